//! The load generator itself: its clients get along with the server, and no wrong reply gets past them.

use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use system_tests::load::{Count, Crowd, Form, Lane, Load, Pace, Relay, Sorts, Way};
use system_tests::packet::{PacketSocket, Sees};
use system_tests::pass::Pass;
use system_tests::paths::{AGENT_INFO, AGENT_MAC};
use system_tests::server::{Server, Xdp};
use system_tests::topology::{Lan, SERVER_IF, SERVER_MAC};
use system_tests::wait::{PROMPT, until};
use system_tests::wire::{CLIENT_PORT, Envelope, Message, SERVER_PORT, Tag, options, read_request};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const CLIENTS: u32 = 1000;

fn crowd(way: Way) -> Crowd {
    Crowd {
        clients: CLIENTS,
        first_address: Ipv4Addr::new(10, 0, 1, 0),
        addresses: 0xff00,
        way,
        sorts: Sorts::Alike,
    }
}

fn subnet(more: &str) -> String {
    format!(
        r#"
[[subnet]]
prefix = "10.0.0.0/16"
pools = ["10.0.1.0 - 10.0.255.250"]
lease-time = "1h"
{more}
options = {{ routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.53"] }}
"#
    )
}

/// All clients get a lease, then ask in `forms`; the kernel must answer every time.
fn gets_along(name: &str, way: Way, settings: &str, forms: &[(Form, &str)]) -> Result<()> {
    they_get_along(name, crowd(way), settings, forms)
}

fn they_get_along(name: &str, crowd: Crowd, settings: &str, forms: &[(Form, &str)]) -> Result<()> {
    let lan = Lan::new(name, SERVER, 16)?;
    let load = Load::new(&lan, crowd)?;
    let server = Server::start(&lan, Xdp::Native, &subnet(settings))?;

    let report = load.dora(0..CLIENTS, 64, PROMPT)?;
    ensure!(report.counts.of(Count::Bound) == u64::from(CLIENTS), "{report:?}");
    ensure!(server.pool_count("leased")? == u64::from(CLIENTS));

    for (form, counted_as) in forms {
        load.renew_by(*form)?;
        let report = load.renew(CLIENTS, Pace::Rate(10_000.0), Duration::from_millis(300))?;
        let renewed = report.renewed();
        ensure!(renewed > 500, "only {renewed} renewals in {:?}", report.elapsed);
        ensure!(report.lost_renewals() == 0, "{report:?} {}", server.stats()?.0);
        ensure!(report.renewal.count() == renewed, "each is timed: {report:?}");
        ensure!(server.stats()?.kernel_acked(counted_as)? == renewed, "{report:?} {}", server.stats()?.0);
    }
    Ok(())
}

const ALL_FORMS: [(Form, &str); 3] =
    [(Form::Renewing, "renewing"), (Form::Rebinding, "rebinding"), (Form::InitReboot, "init-reboot")];

#[test]
fn its_clients_get_along_with_the_server() -> Result<()> {
    gets_along("load", Way::default(), "", &ALL_FORMS)
}

#[test]
fn so_they_do_on_a_vlan_in_a_vlan() -> Result<()> {
    let way = Way { tags: vec![Tag::provider(200), Tag::customer(100)], relay: None };
    gets_along("load-qinq", way, "vlan = [200, 100]\nserver-id = \"10.0.0.1\"", &ALL_FORMS)
}

/// With identifiers, host names and circuits of their own, some of them behind a relay: each reply is checked.
#[test]
fn so_they_do_when_each_is_of_its_own() -> Result<()> {
    let relay = Relay { mac: AGENT_MAC, address: Ipv4Addr::new(10, 0, 0, 2), agent_info: None };
    let mixed = Crowd { sorts: Sorts::Mixed, ..crowd(Way { tags: vec![], relay: Some(relay) }) };
    they_get_along(
        "load-mixed",
        mixed,
        "",
        &[(Form::Rebinding, "rebinding"), (Form::InitReboot, "init-reboot")],
    )
}

#[test]
fn so_they_do_through_a_relay() -> Result<()> {
    let relay =
        Relay { mac: AGENT_MAC, address: Ipv4Addr::new(10, 0, 0, 2), agent_info: Some(AGENT_INFO.to_vec()) };
    gets_along("load-relay", Way { tags: vec![], relay: Some(relay) }, "", &ALL_FORMS)
}

#[test]
fn what_a_reflector_sends_back_is_known_from_an_answer() -> Result<()> {
    let lan = Lan::new("load-reflector", SERVER, 16)?;
    let mut load = Load::new(&lan, crowd(Way::default()))?;
    load.add_reflector(&lan)?;
    let _server = Server::start(&lan, Xdp::Native, &subnet(""))?;
    load.dora(0..CLIENTS, 64, PROMPT)?;

    let report = load.reflect(CLIENTS, Pace::Full, Duration::from_millis(100))?;
    ensure!(report.counts.of(Count::Reflected) > 10_000, "{report:?}");
    ensure!(report.counts.of(Count::Renewed) == 0, "{report:?}");
    Ok(())
}

/// A server by hand, which answers as it likes.
struct Liar<'a> {
    load: Load<'a>,
    wire: PacketSocket,
    _pass: Pass,
}

/// A reply before it is sent.
struct Reply {
    envelope: Envelope,
    message: Message,
    options: Vec<(u8, Vec<u8>)>,
}

impl<'a> Liar<'a> {
    fn on(lan: &'a Lan) -> Result<Self> {
        // Frames sent by a program arrive only where there is one.
        let pass = Pass::attach(&lan.server, SERVER_IF)?;
        let wire = PacketSocket::open(&lan.server, SERVER_IF, Sees::Arrivals)?;
        Ok(Self { load: Load::new(lan, crowd(Way::default()))?, wire, _pass: pass })
    }

    /// Client `number` looks for a lease; what it says.
    fn discover(&self, number: u32) -> Result<Message> {
        self.load.ask(Lane::Discover, number..number + 1)?;
        self.hear()
    }

    /// The next request.
    fn hear(&self) -> Result<Message> {
        let frame = self.wire.receive(Instant::now() + PROMPT)?.context("nothing was asked")?;
        Ok(read_request(&frame)?.context("something else than a request")?.1)
    }

    /// A right reply.
    fn reply(to: &Message, kind: u8, address: Ipv4Addr) -> Reply {
        let [a, b, c, d, e, f, ..] = to.chaddr;
        let mac = [a, b, c, d, e, f];
        let mut message = Message { op: 2, ..Message::from_client(mac, to.xid, Vec::new()) };
        message.yiaddr = address;
        let envelope = Envelope {
            eth_src: SERVER_MAC,
            eth_dst: mac,
            tags: vec![],
            ip_src: SERVER,
            ip_dst: address,
            src_port: SERVER_PORT,
            dst_port: CLIENT_PORT,
        };
        let options =
            vec![(53, vec![kind]), (54, SERVER.octets().to_vec()), (51, 3600_u32.to_be_bytes().to_vec())];
        Reply { envelope, message, options }
    }

    /// Sends a reply, and waits until it is counted as `what`.
    fn tell(&self, reply: &Reply, what: Count) -> Result<()> {
        self.tell_bent(reply, |_| {}, what)
    }

    /// As `tell`, with the finished frame bent.
    fn tell_bent(&self, reply: &Reply, bend: impl FnOnce(&mut Vec<u8>), what: Count) -> Result<()> {
        let list: Vec<(u8, &[u8])> =
            reply.options.iter().map(|(code, value)| (*code, value.as_slice())).collect();
        let message = Message { options: options(&list), ..reply.message.clone() };
        let mut frame = reply.envelope.frame(&message.encode())?;
        bend(&mut frame);
        let before = self.load.counts().of(what);
        self.wire.send(&frame)?;
        until(&format!("a reply to be counted as {what:?}, not {:?}", self.load.counts()), PROMPT, || {
            Ok((self.load.counts().of(what) == before + 1).then_some(()))
        })
    }
}

const OFFER: u8 = 2;
const ACK: u8 = 5;
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 7, 7);

#[test]
fn no_wrong_reply_gets_past_it() -> Result<()> {
    let lan = Lan::new("load-liar", SERVER, 16)?;
    let liar = Liar::on(&lan)?;
    let asked = liar.discover(0)?;
    let right = || Liar::reply(&asked, OFFER, ADDRESS);

    liar.tell_bent(&right(), |frame| frame[14 + 10] ^= 1, Count::WrongHeader)?;
    liar.tell_bent(&right(), |frame| frame.push(0), Count::WrongLength)?;
    liar.tell_bent(&right(), |frame| frame[14 + 28 + 250] ^= 1, Count::WrongChecksum)?;
    let mut stranger = right();
    stranger.message.chaddr[5] = 0xff;
    stranger.message.chaddr[4] = 0xff;
    liar.tell(&stranger, Count::WrongClient)?;
    let mut other_xid = right();
    other_xid.message.xid ^= 1;
    liar.tell(&other_xid, Count::WrongXid)?;
    let mut cookieless = right();
    cookieless.message.cookie = [0; 4];
    liar.tell(&cookieless, Count::WrongType)?;
    liar.tell(&Liar::reply(&asked, 13, ADDRESS), Count::WrongType)?;
    for left_out in [51, 54] {
        let mut lacking = right();
        lacking.options.retain(|(code, _)| *code != left_out);
        liar.tell(&lacking, Count::WrongOptions)?;
    }
    // An ACK of what was never requested.
    liar.tell(&Liar::reply(&asked, ACK, ADDRESS), Count::WrongType)?;

    liar.tell(&right(), Count::Offers)?;
    let request = liar.hear()?;
    ensure!(request.options.starts_with(&[53, 1, 3, 50, 4, 10, 0, 7, 7, 54, 4, 10, 0, 0, 1]), "{request:?}");
    liar.tell(&Liar::reply(&request, ACK, Ipv4Addr::new(10, 0, 7, 8)), Count::WrongAddress)?;
    liar.tell(&Liar::reply(&request, ACK, ADDRESS), Count::Bound)?;
    liar.tell(&Liar::reply(&request, ACK, ADDRESS), Count::Repeated)?;

    let second = liar.discover(1)?;
    liar.tell(&Liar::reply(&second, OFFER, ADDRESS), Count::Offers)?;
    liar.tell(&Liar::reply(&liar.hear()?, ACK, ADDRESS), Count::TwiceGiven)?;
    Ok(())
}

#[test]
fn a_wrong_reply_makes_the_whole_run_fail() -> Result<()> {
    let lan = Lan::new("load-fails", SERVER, 16)?;
    let liar = Liar::on(&lan)?;
    let run = liar.load.run(&[], || -> Result<()> {
        let asked = liar.discover(0)?;
        liar.tell_bent(&Liar::reply(&asked, OFFER, ADDRESS), |frame| frame[14 + 10] ^= 1, Count::WrongHeader)
    });
    let error = run.err().context("the run was taken for a good one")?;
    ensure!(error.to_string().contains("WrongHeader"), "{error:#}");
    Ok(())
}
