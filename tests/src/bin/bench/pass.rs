//! The program's cost for foreign frames: of other protocols, and of whole connections.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use system_tests::pass::Pass;
use system_tests::program::Timed;
use system_tests::server::Server;
use system_tests::topology::{CLIENT_IF, Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};

use crate::report::{Cell, Goal, Section, Table};
use crate::statistics::{Spread, spread};
use crate::unit::Unit;
use crate::{Bench, site, step};

const METHOD: &str = "Three links side by side: one whose server's end runs no program, one where a program of two instructions passes \
    every frame, one with ours; the clients' end runs none. What a frame costs in the program the kernel counts (bpf_stats) while \
    datagrams of 18 octets come as fast as one thread sends them, and while a connection does; what the two instructions take, with the \
    kernel's own looks at the clock, is taken off. Throughput is of one TCP connection to the server's end, on the same CPUs, the links \
    in turn. A driver does other things for a link with a program than for one without, whatever the program is: veth takes no \
    segments larger than the link's from then on. The two instructions show that.";

/// The clients' host.
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
const CLIENT_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 3);
const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
/// Where frames go that nobody reads (RFC 863).
const DISCARD: u16 = 9;
/// With it the shortest frame is full.
const DATAGRAM: [u8; 18] = [0; 18];
/// What is written to a connection, or read from it, at once.
const PIECE: usize = 1 << 17;

/// A link, and what is on the server's end of it.
struct Link<'a> {
    lan: &'a Lan,
    _pass: Option<Pass>,
    _server: Option<Server<'a>>,
}

/// What is sent while the kernel counts.
#[derive(Clone, Copy)]
enum Traffic {
    Datagrams(SocketAddr),
    Connection,
}

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let mut section = Section::new("pass", "Frames that aren't DHCP", METHOD);
    let [bare, with_two, with_ours] =
        [site::lan("bench-bare")?, site::lan("bench-two")?, site::lan("bench-ours")?];
    let links = [
        Link { lan: &bare, _pass: None, _server: None },
        Link { lan: &with_two, _pass: Some(Pass::attach(&with_two.server, SERVER_IF)?), _server: None },
        Link { lan: &with_ours, _pass: None, _server: Some(site::serve(&with_ours, 1_000)?) },
    ];
    links.iter().try_for_each(Link::prepare)?;
    let time = bench.scale.of(Duration::from_millis(300), Duration::from_secs(1));
    let rounds = bench.scale.of(5, 9);
    frames(&mut section, [&links[1], &links[2]], time, rounds)?;
    connections(&mut section, &links, time, rounds)?;
    Ok(section)
}

impl Link<'_> {
    /// Hosts at both ends, and nothing else.
    fn prepare(&self) -> Result<()> {
        let lan = self.lan;
        lan.pass.detach()?;
        for (namespace, interface, v6) in
            [(&lan.clients, CLIENT_IF, CLIENT_V6), (&lan.server, SERVER_IF, SERVER_V6)]
        {
            namespace.set(&format!("net/ipv6/conf/{interface}/disable_ipv6"), "0")?;
            namespace.ip(&format!("address add {v6}/64 dev {interface} nodad"))?;
        }
        lan.clients.ip(&format!("address add {CLIENT}/{} dev {CLIENT_IF}", site::PREFIX))?;
        // Both hosts find each other before anything is measured.
        for to in [SocketAddr::from((site::SERVER, DISCARD)), SocketAddr::from((SERVER_V6, DISCARD))] {
            until("the hosts to reach each other", PROMPT, || {
                Ok(self.send_for(to, Duration::from_millis(20)).is_ok_and(|sent| sent > 0).then_some(()))
            })?;
        }
        Ok(())
    }

    /// Sends datagrams that nobody reads for a while; how many.
    fn send_for(&self, to: SocketAddr, time: Duration) -> Result<u64> {
        let _nobody =
            self.lan.server.enter(|| UdpSocket::bind(to))?.context("no socket that nobody reads")?;
        self.lan.clients.enter(|| -> Result<u64> {
            let from: SocketAddr = if to.is_ipv4() { (CLIENT, 0).into() } else { (CLIENT_V6, 0).into() };
            let socket = UdpSocket::bind(from)?;
            socket.connect(to)?;
            let (began, mut sent) = (Instant::now(), 0);
            while began.elapsed() < time {
                for _ in 0..64 {
                    sent += u64::from(socket.send(&DATAGRAM).is_ok());
                }
            }
            Ok(sent)
        })?
    }

    /// Octets per second that one connection carries to the server's end.
    fn throughput(&self, time: Duration) -> Result<f64> {
        let listener =
            self.lan.server.enter(|| TcpListener::bind((site::SERVER, 0)))?.context("no listener")?;
        let to = listener.local_addr()?;
        thread::scope(|scope| {
            let receiver = scope.spawn(move || -> Result<f64> {
                let (mut stream, _) = listener.accept()?;
                let (mut piece, mut octets) = (vec![0; PIECE], 0_u64);
                let began = Instant::now();
                loop {
                    match stream.read(&mut piece)? {
                        0 => return Ok(octets as f64 / began.elapsed().as_secs_f64()),
                        some => octets += some as u64,
                    }
                }
            });
            let mut stream = self.lan.clients.enter(|| TcpStream::connect_timeout(&to, PROMPT))??;
            let (piece, began) = (vec![0; PIECE], Instant::now());
            while began.elapsed() < time {
                stream.write_all(&piece)?;
            }
            drop(stream);
            receiver.join().map_err(|_| anyhow!("the thread that receives panicked"))?
        })
    }

    fn carry(&self, traffic: Traffic, time: Duration) -> Result<()> {
        match traffic {
            Traffic::Datagrams(to) => self.send_for(to, time).map(drop),
            Traffic::Connection => self.throughput(time).map(drop),
        }
    }
}

/// What a frame costs in the program, beyond two instructions.
fn frames(section: &mut Section, links: [&Link<'_>; 2], time: Duration, rounds: u32) -> Result<()> {
    let kinds = [
        ("UDP over IPv4, to another port", Traffic::Datagrams((site::SERVER, DISCARD).into())),
        ("UDP over IPv6", Traffic::Datagrams((SERVER_V6, DISCARD).into())),
        ("TCP over IPv4", Traffic::Connection),
    ];
    let timed = Timed::begin()?;
    let (mut rows, mut most) = (Vec::new(), f64::NAN);
    for (name, traffic) in kinds {
        let mut costs = Vec::new();
        for round in 1..=rounds {
            step(&format!("pass: {name}, round {round} of {rounds}"));
            let each =
                |link: &Link<'_>| timed.each(&link.lan.server, SERVER_IF, || link.carry(traffic, time));
            let [two, ours] = [each(links[0])?, each(links[1])?].map(|time| time.as_secs_f64());
            costs.push((two, ours, ours - two));
        }
        let over = |value: fn(&(f64, f64, f64)) -> f64| middle(costs.iter().map(value).collect());
        let beyond = over(|cost| cost.2)?;
        most = beyond.median.max(most);
        rows.push(vec![
            Cell::text(name),
            Cell::number(over(|cost| cost.0)?.median, Unit::Seconds),
            Cell::number(over(|cost| cost.1)?.median, Unit::Seconds),
            Cell::number(beyond.median, Unit::Seconds),
            Cell::number(beyond.least, Unit::Seconds),
            Cell::number(beyond.most, Unit::Seconds),
        ]);
    }
    section.goal(
        "what a frame that isn't DHCP costs in the program, of the dearest kind",
        most,
        Unit::Seconds,
        Goal::must_be_at_most(20e-9),
    );
    let columns = ["Frames", "Two instructions", "Ours", "More", "least", "most"];
    section.tables.push(Table::new("Time in the program, a frame", &columns, rows));
    Ok(())
}

/// What a connection carries with the program and without.
fn connections(section: &mut Section, links: &[Link<'_>; 3], time: Duration, rounds: u32) -> Result<()> {
    let mut found: [Vec<f64>; 3] = Default::default();
    for round in 1..=rounds {
        step(&format!("pass: throughput, round {round} of {rounds}"));
        for (link, found) in links.iter().zip(&mut found) {
            found.push(link.throughput(time)?);
        }
    }
    let of = |one: usize, other: usize| {
        middle(found[one].iter().zip(&found[other]).map(|(one, other)| one / other).collect())
    };
    section.figure("TCP throughput with the program, of that without any", of(2, 0)?.median, Unit::Share);
    section.figure(
        "TCP throughput with the program, of that with two instructions",
        of(2, 1)?.median,
        Unit::Share,
    );
    let names = ["no program", "two instructions", "ours"];
    let rows: Vec<Vec<Cell>> = names
        .iter()
        .enumerate()
        .map(|(link, name)| {
            let spread = middle(found[link].clone())?;
            let number = |value| Cell::number(value, Unit::BytesPerSecond);
            Ok(vec![Cell::text(*name), number(spread.median), number(spread.least), number(spread.most)])
        })
        .collect::<Result<_>>()?;
    section.tables.push(Table::new(
        "TCP to the server's end",
        &["With", "Throughput", "least", "most"],
        rows,
    ));
    Ok(())
}

fn middle(values: Vec<f64>) -> Result<Spread> {
    spread(&values).context("nothing was measured")
}
