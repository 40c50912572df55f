//! What an exchange costs the daemon, in instructions, so that it does not grow unnoticed: read, decided, shared with the
//! kernel, written; receiving, committing and sending not included.
//!
//! Counted in optimised builds only: elsewhere the number says nothing.

#[path = "../../dhcp-ebpf/tests/instructions/mod.rs"]
mod instructions;

use std::net::Ipv4Addr;

use crate::config::Config;
use crate::datapath::frames::frame;
use crate::datapath::leases::hints::HeapHints;
use crate::datapath::leases::memory::Region;
use crate::datapath::leases::table::Table;
use crate::message::Request;
use crate::policy::{Action, Event, Interface, Policy, Reply};
use bytes::Bytes;
use dhcp_ebpf::lease::BootSecs;
use dhcp_ebpf::question::Keys;
use dhcp_ebpf::slot::{CHUNK_CELLS, SLOT_CELLS};
use instructions::{assert_cost, counted};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];
const IFINDEX: u32 = 2;
const NOW: BootSecs = BootSecs(50_000);
const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;

const CONFIG: &str = r#"
[server]
probe = "off"
[[interface]]
name = "srv0"
[[subnet]]
prefix = "10.0.0.0/8"
pools = ["10.1.0.0 - 10.1.15.255"]
options = { routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.53"], domain-name = "example.org" }
"#;

struct Daemon {
    policy: Policy,
    table: Table,
    actions: Vec<Action>,
}

impl Daemon {
    fn new() -> Self {
        let config = Config::parse(CONFIG, "cost").expect("a good configuration");
        let interface = Interface {
            name: "srv0".into(),
            ifindex: IFINDEX,
            mac: SERVER_MAC,
            addresses: vec![SERVER],
            mtu: 1500,
        };
        let keys = Keys(std::array::from_fn(|at| {
            [at as u64 | 1; 4].map(|key| key.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        }));
        let cells = |count: usize| Region::heap(count);
        let mut table = Table::new(
            cells((16 << 8) * SLOT_CELLS),
            cells(1024 * CHUNK_CELLS),
            Box::new(keys),
            Box::new(HeapHints::default()),
        );
        for net in 0x0a_0100..0x0a_0110_u32 {
            table.reserve(Ipv4Addr::from(net << 8)).expect("room");
        }
        Self { policy: Policy::new(&config, vec![interface], 1), table, actions: Vec::new() }
    }

    /// All that the daemon does with a frame but receiving, committing and sending. Gives the address it answers with.
    fn serve(&mut self, frame: &[u8]) -> Ipv4Addr {
        let request = Request::read(Bytes::copy_from_slice(frame), IFINDEX, NOW).expect("a good frame");
        self.policy.handle(NOW, &self.table, Event::Message(request.into()), &mut self.actions);
        let mut given = Ipv4Addr::UNSPECIFIED;
        for action in self.actions.drain(..) {
            match action {
                Action::Publish(lease) => drop(self.table.publish(&lease)),
                Action::Reply { request, reply, .. } => {
                    let (Reply::Offer { yiaddr, .. } | Reply::Ack { yiaddr, .. }) = reply else { continue };
                    given = yiaddr;
                    let frame = frame::write(&request, &reply, SERVER_MAC).expect("a frame");
                    std::hint::black_box(frame);
                }
                _ => {}
            }
        }
        given
    }
}

/// The frames of client number `client`, as dhclient's are.
struct Client {
    frame: Vec<u8>,
}

const OPTIONS: usize = 14 + 20 + 8 + 240;

impl Client {
    fn new(client: u32) -> Self {
        let [a, b, c, d] = client.to_be_bytes();
        let mac = [2, 1, a, b, c, d];
        let mut frame = vec![0; OPTIONS + 60];
        frame[..6].fill(0xff);
        frame[6..12].copy_from_slice(&mac);
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14..16].copy_from_slice(&[0x45, 0]);
        frame[16..18].copy_from_slice(&328_u16.to_be_bytes());
        frame[22..24].copy_from_slice(&[64, 17]);
        frame[30..34].fill(0xff);
        frame[34..40].copy_from_slice(&[0, 68, 0, 67, 1, 52]);
        frame[42..45].copy_from_slice(&[1, 1, 6]);
        frame[46..50].copy_from_slice(&client.to_be_bytes());
        frame[70..76].copy_from_slice(&mac);
        frame[278..282].copy_from_slice(&[99, 130, 83, 99]);
        Self { frame }
    }

    fn options(&mut self, head: &[u8]) -> &[u8] {
        let asks = [12, 5, b'h', b'o', b's', b't', b'1', 55, 7, 1, 28, 2, 3, 15, 6, 12, 255];
        let area = &mut self.frame[OPTIONS..];
        area.fill(0);
        area[..head.len()].copy_from_slice(head);
        area[head.len()..head.len() + asks.len()].copy_from_slice(&asks);
        checksum(&mut self.frame);
        &self.frame
    }

    fn discover(&mut self) -> &[u8] {
        self.options(&[53, 1, DISCOVER])
    }

    fn select(&mut self, address: Ipv4Addr) -> &[u8] {
        let mut head = [53, 1, REQUEST, 54, 4, 0, 0, 0, 0, 50, 4, 0, 0, 0, 0];
        head[5..9].copy_from_slice(&SERVER.octets());
        head[11..15].copy_from_slice(&address.octets());
        self.options(&head)
    }

    fn renew(&mut self, address: Ipv4Addr) -> &[u8] {
        self.frame[..6].copy_from_slice(&SERVER_MAC);
        self.frame[26..30].copy_from_slice(&address.octets());
        self.frame[30..34].copy_from_slice(&SERVER.octets());
        self.frame[54..58].copy_from_slice(&address.octets());
        self.options(&[53, 1, REQUEST])
    }
}

/// The checksum of the IPv4 header; UDP goes without.
fn checksum(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let words = frame[14..34].chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    frame[24..26].copy_from_slice(&(!u16::try_from(folded).expect("folded")).to_be_bytes());
}

/// Which message of each client is the last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    Offer,
    Ack,
    Renewal,
}

/// Serves as many new clients as is counted.
fn serve(until: Until) {
    let mut daemon = Daemon::new();
    for client in 0..counted().unwrap_or_default() {
        let mut client = Client::new(client);
        let address = daemon.serve(client.discover());
        assert!(!address.is_unspecified());
        if until != Until::Offer {
            assert_eq!(daemon.serve(client.select(address)), address);
        }
        if until == Until::Renewal {
            assert_eq!(daemon.serve(client.renew(address)), address);
        }
    }
}

#[test]
fn an_offer_costs_no_more_than_it_did() {
    if counted().is_some() {
        return serve(Until::Offer);
    }
    assert_cost("cost::an_offer_costs_no_more_than_it_did", 15_000);
}

#[test]
fn an_exchange_costs_no_more_than_it_did() {
    if counted().is_some() {
        return serve(Until::Ack);
    }
    assert_cost("cost::an_exchange_costs_no_more_than_it_did", 44_100);
}

#[test]
fn an_exchange_and_a_renewal_by_the_daemon_cost_no_more_than_they_did() {
    if counted().is_some() {
        return serve(Until::Renewal);
    }
    assert_cost("cost::an_exchange_and_a_renewal_by_the_daemon_cost_no_more_than_they_did", 68_000);
}
