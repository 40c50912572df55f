//! Lives of real devices, by the shapes of their messages: which of their renewals, rebindings and reboots the kernel knows
//! the answer to. Prints the table, and holds it against what it is to be.
//!
//! Every device lives twice: with a kernel, and on a server without one. What the kernel says is what the daemon would.

#[path = "../../tests/devices/mod.rs"]
mod shape;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use dhcp_ebpf::lease::BootSecs;
use dhcp_ebpf::question::{self, Asker, Keys};
use dhcp_ebpf::slot::{CHUNK_CELLS, MEMOS, SLOT_CELLS};
use dhcp_user::config::Config;
use dhcp_user::datapath::leases::hints::HeapHints;
use dhcp_user::datapath::leases::memory::Region;
use dhcp_user::datapath::leases::table::Table;
use dhcp_user::message::Request;
use dhcp_user::policy::{Action, Answer, Event, Interface, Policy, Question, Reply, Words as _};
use shape::{Device, Message, Shape, shapes};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];
const IFINDEX: u32 = 2;
const LEASE_TIME: u32 = 3600;
const ETHERNET: usize = 14;
const BEFORE_OPTIONS: usize = ETHERNET + 20 + 8 + 240;
/// What clients make of a short message (RFC 1542 §2.1).
const LEAST_BOOTP: usize = 300;

const CONFIG: &str = r#"
[server]
probe = "off"
[[interface]]
name = "srv0"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.250"]
lease-time = "1h"
options = { routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.53"], domain-name = "example.org" }
"#;

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Kernel,
    Daemon,
}

struct Server {
    policy: Policy,
    table: Table,
    keys: Keys,
    has_kernel: bool,
    now: u32,
    /// What was published for each address, the latest last.
    published: HashMap<(Ipv4Addr, Question), Answer>,
}

impl Server {
    fn new(has_kernel: bool) -> Self {
        let config = Config::parse(CONFIG, "devices").expect("a good configuration");
        let interface = Interface {
            name: "srv0".into(),
            ifindex: IFINDEX,
            mac: SERVER_MAC,
            addresses: vec![SERVER],
            mtu: 1500,
        };
        let keys = || {
            Keys(std::array::from_fn(|at| {
                [1, 3, 5, 7].map(|part| (at as u64 * 8 + part).wrapping_mul(0x9e37_79b9_7f4a_7c15))
            }))
        };
        let mut table = Table::new(
            Region::heap(256 * SLOT_CELLS),
            Region::heap(4096 * CHUNK_CELLS),
            Box::new(keys()),
            Box::new(HeapHints::default()),
        );
        table.reserve(Ipv4Addr::new(10, 0, 0, 0)).expect("room");
        let policy = Policy::new(&config, vec![interface], 1);
        Self { policy, table, keys: keys(), has_kernel, now: 50_000, published: HashMap::new() }
    }

    /// Who answers a frame, and what is said; nothing if nobody acknowledges.
    fn serve(&mut self, frame: Vec<u8>) -> Option<(By, Ipv4Addr, Answer)> {
        let now = BootSecs(self.now);
        let request = Request::read(Bytes::from(frame), IFINDEX, now).expect("a good frame");
        if self.has_kernel
            && let Some((address, answer)) = self.kernel(&request)
        {
            return Some((By::Kernel, address, answer));
        }
        let mut actions = Vec::new();
        self.policy.handle(now, &self.table, Event::Message(Arc::new(request)), &mut actions);
        let mut given = None;
        for action in actions {
            match action {
                Action::Publish(lease) => {
                    let published = self.table.publish(&lease).expect("not overtaken");
                    assert_eq!(published.without_room, 0);
                    let memos = lease.memos.into_iter();
                    self.published.extend(memos.map(|memo| ((lease.address, memo.question), memo.answer)));
                }
                Action::Horizon { address, generation, until } => {
                    self.table.move_horizon(address, generation, until);
                }
                Action::Reply { reply: Reply::Offer { yiaddr, answer, .. }, .. }
                | Action::Reply { reply: Reply::Ack { yiaddr, answer, .. }, .. } => {
                    given = Some((By::Daemon, yiaddr, answer));
                }
                _ => {}
            }
        }
        given
    }

    /// What the kernel answers, by the memos in the lease's slot.
    fn kernel(&mut self, request: &Request) -> Option<(Ipv4Addr, Answer)> {
        let Request { ciaddr, giaddr, .. } = *request;
        let address = if ciaddr.is_unspecified() { request.options.requested? } else { ciaddr };
        let asker = Asker {
            link: request.link,
            chaddr: request.mac()?.into(),
            ciaddr: ciaddr.into(),
            giaddr: giaddr.into(),
            relay_src: Ipv4Addr::UNSPECIFIED.into(),
        };
        let hash = question::hash_parts(&self.keys, &asker, &request.area)?.0;
        let (_, slot) = self.table.slot(address)?;
        let word = slot.word();
        if !word.holds(BootSecs(self.now)) || !(0..MEMOS).any(|memo| slot.memo_hash(memo) == hash) {
            return None;
        }
        let question =
            Question { ciaddr, giaddr, relay_src: Ipv4Addr::UNSPECIFIED, options: request.area.to_vec() };
        let answer =
            self.published.get(&(address, question)).expect("what the slot has was published").clone();
        let promise = BootSecs(self.now + 1 + answer.lease_time);
        assert!(promise <= slot.horizon(), "the store foresaw it");
        slot.swap_word(word, word.granted(promise)).expect("nobody else is there");
        let seen: Vec<_> = self.table.extended(0, self.table.in_use()).into_iter().collect();
        let mut actions = Vec::new();
        for extended in seen {
            let event = Event::Extended {
                address: extended.address,
                word: self.table.load(extended.address),
                renewals: extended.unreported.renewals,
                is_last_answer: true,
            };
            self.policy.handle(BootSecs(self.now), &self.table, event, &mut actions);
        }
        for action in actions {
            if let Action::Horizon { address, generation, until } = action {
                self.table.move_horizon(address, generation, until);
            }
        }
        Some((address, answer))
    }
}

/// The frame of a message.
fn frame(shape: &Shape, message: Message, device: &Device) -> Vec<u8> {
    let going_on = matches!(message, Message::Renew | Message::Rebind);
    let ciaddr = if going_on && !shape.without_ciaddr { device.address } else { Ipv4Addr::UNSPECIFIED };
    let to_all = shape.broadcasts || message != Message::Renew;
    let src = if going_on { device.address } else { Ipv4Addr::UNSPECIFIED };
    let (eth_dst, dst) = if to_all { ([0xff; 6], Ipv4Addr::BROADCAST) } else { (SERVER_MAC, SERVER) };
    let mut frame = vec![0; BEFORE_OPTIONS];
    frame[..6].copy_from_slice(&eth_dst);
    frame[6..12].copy_from_slice(&device.mac);
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[ETHERNET] = 0x45;
    frame[22..24].copy_from_slice(&[64, 17]);
    frame[26..30].copy_from_slice(&src.octets());
    frame[30..34].copy_from_slice(&dst.octets());
    frame[34..38].copy_from_slice(&[0, 68, 0, 67]);
    frame[42..45].copy_from_slice(&[1, 1, 6]);
    frame[46..50].copy_from_slice(&device.sent.to_be_bytes());
    frame[54..58].copy_from_slice(&ciaddr.octets());
    frame[70..76].copy_from_slice(&device.mac);
    frame[278..282].copy_from_slice(&[99, 130, 83, 99]);
    frame.extend(shape.area(message, device));
    let least = ETHERNET + 28 + LEAST_BOOTP;
    frame.resize(frame.len().max(least), 0);
    let datagram = u16::try_from(frame.len() - ETHERNET).expect("short");
    frame[16..18].copy_from_slice(&datagram.to_be_bytes());
    frame[38..40].copy_from_slice(&(datagram - 20).to_be_bytes());
    let words = frame[14..34].chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    frame[24..26].copy_from_slice(&(!u16::try_from(folded).expect("folded")).to_be_bytes());
    frame
}

/// Who answered what in the life of one device.
#[derive(Debug)]
struct Life {
    renewals: [By; 4],
    rebinding: By,
    reboot: Option<By>,
}

/// A device on both servers, which say the same.
struct Lived<'a> {
    shape: &'a Shape,
    device: Device,
    with: &'a mut Server,
    without: &'a mut Server,
}

impl Lived<'_> {
    fn says(&mut self, message: Message) -> By {
        let frame = frame(self.shape, message, &self.device);
        let (by, address, said) =
            self.with.serve(frame.clone()).unwrap_or_else(|| panic!("{}: {message:?}", self.shape.name));
        let (_, there, daemon) = self.without.serve(frame).expect("an answer without a kernel, too");
        assert_eq!((address, &said), (there, &daemon), "{}: {message:?} by {by:?}", self.shape.name);
        self.device.address = address;
        self.device.sent += 1;
        by
    }

    fn passes(&mut self, secs: u32) {
        self.with.now += secs;
        self.without.now += secs;
    }

    fn live(mut self) -> Life {
        assert_eq!(self.says(Message::Discover), By::Daemon);
        self.says(Message::Select);
        let renewals = std::array::from_fn(|_| {
            self.passes(LEASE_TIME / 2);
            self.says(Message::Renew)
        });
        self.passes(LEASE_TIME * 7 / 8);
        let rebinding = self.says(Message::Rebind);
        let reboot = self.shape.reboots().then(|| self.says(Message::Reboot));
        Life { renewals, rebinding, reboot }
    }
}

/// The lives of the first and the second device of a kind on a fresh server.
fn lives(shape: &Shape) -> [Life; 2] {
    let (mut with, mut without) = (Server::new(true), Server::new(false));
    [1, 2].map(|number| {
        let device = Device {
            mac: [2, 0x44, 0, 0, 7 * number, number],
            address: Ipv4Addr::UNSPECIFIED,
            server: SERVER,
            sent: 1000 * u32::from(number),
        };
        Lived { shape, device, with: &mut with, without: &mut without }.live()
    })
}

/// How many of how many the kernel answered.
fn share(all: impl Iterator<Item = By>) -> (usize, usize) {
    all.fold((0, 0), |(hits, all), by| (hits + usize::from(by == By::Kernel), all + 1))
}

/// A share as the page has it, and the least percentage that it is to be.
struct Figure {
    what: &'static str,
    share: (usize, usize),
    least: usize,
}

impl Figure {
    fn percent(&self) -> usize {
        self.share.0 * 100 / self.share.1
    }

    fn row(&self) -> String {
        let (Self { what, share: (hits, all), least }, percent) = (self, self.percent());
        format!("| {what} | {hits} of {all} ({percent} %) | {least} % |")
    }
}

/// The figures of all these lives. What they are at least is just what they are.
fn figures(all: &[(Shape, [Life; 2])]) -> [Figure; 6] {
    let of = |device: usize| all.iter().map(move |(_, lives)| &lives[device]);
    let both = || of(0).chain(of(1));
    let first = |device| share(of(device).map(|life| life.renewals[0]));
    let reboots = |device| share(of(device).filter_map(|life| life.reboot));
    let later = share(both().flat_map(|life| life.renewals[1..].iter().copied()));
    let rebindings = share(both().map(|life| life.rebinding));
    let figure = |what, share, least| Figure { what, share, least };
    [
        figure("First renewal of the first device of a kind", first(0), 92),
        figure("First renewal of the second device of a kind", first(1), 97),
        figure("Renewals from the second on, of both", later, 97),
        figure("Rebindings, of both", rebindings, 97),
        figure("First reboot of the first device of a kind", reboots(0), 97),
        figure("First reboot of the second device of a kind", reboots(1), 100),
    ]
}

/// The life of a device in signs.
fn signs(life: &Life) -> String {
    let sign = |by: By| if by == By::Kernel { "k" } else { "-" };
    let renewals: String = life.renewals.map(sign).concat();
    format!("`{renewals} {} {}`", sign(life.rebinding), life.reboot.map_or(" ", sign))
}

fn lived() -> Vec<(Shape, [Life; 2])> {
    shapes().into_iter().map(|shape| (shape.clone(), lives(&shape))).collect()
}

#[test]
fn most_devices_are_renewed_in_the_kernel_from_the_first_time_on() {
    let all = lived();
    println!("| Device | first of its kind: renewals, rebinding, reboot | second |");
    println!("| --- | --- | --- |");
    for (shape, lives) in &all {
        println!("| {} | {} | {} |", shape.name, signs(&lives[0]), signs(&lives[1]));
    }
    for figure in figures(&all) {
        println!("{}", figure.row());
        assert!(figure.percent() >= figure.least, "{}", figure.row());
    }
}

/// What the pages say of all this is what comes about.
#[test]
fn the_pages_have_the_figures_that_come_about() {
    let all = lived();
    let page = include_str!("../docs/predictions.md");
    for figure in figures(&all) {
        assert!(page.lines().any(|line| line == figure.row()), "predictions.md lacks: {}", figure.row());
    }
    let kinds = format!("the {} kinds of devices", all.len());
    assert!(page.contains(&kinds), "predictions.md lacks: {kinds}");
    // Those that are not the kernel's throughout, in the order of the shapes; behind them stands why.
    let is_whole = |life: &Life| {
        let rest = [Some(life.rebinding), life.reboot].into_iter().flatten();
        life.renewals.into_iter().chain(rest).all(|by| by == By::Kernel)
    };
    let rest = all.iter().filter(|(_, lives)| !lives.iter().all(is_whole));
    let rows: Vec<String> = rest
        .map(|(shape, lives)| format!("| {} | {} | {} | ", shape.name, signs(&lives[0]), signs(&lives[1])))
        .collect();
    let written: Vec<&str> = page.lines().filter(|line| line.contains(" | `")).collect();
    assert_eq!(written.len(), rows.len(), "predictions.md must have rows for: {rows:?}");
    for (row, written) in rows.iter().zip(written) {
        let begins = written.to_lowercase().starts_with(&row.to_lowercase());
        assert!(begins, "predictions.md must have: {row}");
    }

    let readme = include_str!("../../README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let [first, second, later, _, reboots, _] = figures(&all);
    for said in [
        format!("run {} kinds of devices", all.len()),
        format!("answers the first renewal of {} kinds", first.share.0),
        format!("for the second device, of {}.", second.share.0),
        format!("answers {} % of all later renewals", later.percent()),
        format!("{} of {} first reboots", reboots.share.0, reboots.share.1),
    ] {
        assert!(readme.contains(&said), "README.md must say: {said}");
    }
}
