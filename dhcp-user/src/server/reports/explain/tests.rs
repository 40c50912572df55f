//! The remembered messages of clients, and the reports on them.

use super::*;
use crate::control::{Heard, WallClock};
use crate::datapath::leases::hints::HeapHints;
use crate::datapath::leases::memory::Region;
use crate::policy::Policy;
use crate::policy::tests::wire::{Draft, IFINDEX, SERVER};
use crate::policy::tests::{RELAY, relayed_subnet, subnet};
use dhcp_ebpf::question::Keys;
use dhcp_ebpf::slot::{CHUNK_CELLS, SLOT_CELLS};

/// What became of a message is put down to that message, and only the last few of a client are kept.
#[test]
fn the_last_messages_of_a_client_are_told_with_what_became_of_them() {
    let mut history = History::default();
    let sent = |xid: u32, kind| {
        let draft = crate::policy::tests::wire::Draft::new(kind, 1);
        crate::policy::tests::wire::Draft { xid, ..draft }.request(7)
    };
    let seen = Seen { address: Ipv4Addr::UNSPECIFIED, word: Word::default() };
    for xid in 0..9 {
        history.add(sender(&sent(xid, 1)), Message::of(&sent(xid, 1), Outcome::Waiting, seen));
    }
    history.became(&sent(7, 1), Outcome::Answered("offer"), Box::default);
    history.became(&sent(7, 3), Outcome::Answered("ack"), Box::default);
    history.became(&sent(1, 1), Outcome::Answered("offer"), Box::default);
    let became: Vec<Outcome> = history.of(&sender(&sent(0, 1))).iter().map(|heard| heard.became).collect();
    assert_eq!(became, [Outcome::Waiting, Outcome::Waiting, Outcome::Answered("offer"), Outcome::Waiting]);
}

#[test]
fn the_latest_entries_are_kept_and_the_earliest_go() {
    let mut recent = Recent::default();
    for key in 0..3 * CLIENTS {
        recent.insert(key, key);
        recent.insert(0, key);
    }
    let kept = (0..3 * CLIENTS).filter(|key| recent.get(key).is_some()).count();
    assert!((CLIENTS..=2 * CLIENTS).contains(&kept), "{kept}");
    assert_eq!(recent.get(&0), Some(&(3 * CLIENTS - 1)));
    assert_eq!(recent.get(&(3 * CLIENTS - 1)), Some(&(3 * CLIENTS - 1)));
    assert_eq!(recent.get(&1), None);
    recent.forget(&0);
    assert_eq!(recent.get(&0), None);
}

#[test]
fn of_so_many_in_a_second_and_no_more_something_is_remembered() {
    let mut lately = Lately::default();
    for second in [BootSecs(7), BootSecs(8)] {
        let remembered = (0..2 * IN_A_SECOND).filter(|_| {
            lately.count(second);
            !lately.too_many()
        });
        assert_eq!(remembered.count(), IN_A_SECOND);
    }
}

const TAG: u16 = 77;

/// A server with a subnet on its link and one behind a relay, which remembers what went up.
struct Bench {
    punts: PuntLog,
    policy: Policy,
    table: Table,
}

impl Bench {
    fn new() -> Self {
        let interface = crate::policy::Interface {
            name: "eth0".to_owned(),
            ifindex: IFINDEX,
            mac: [2, 0, 0, 0, 0, 0xfe],
            mtu: 1500,
            addresses: vec![SERVER],
        };
        let config = crate::config::Config::of(
            crate::config::Server::default(),
            Vec::new(),
            Vec::new(),
            vec![subnet(10, 20), relayed_subnet()],
        );
        let policy = Policy::new(&config, vec![interface], 1);
        let (slots, answers) = (Region::heap(256 * SLOT_CELLS), Region::heap(256 * CHUNK_CELLS));
        let keys = Keys([[0; 4]; Keys::POSITIONS]);
        let table = Table::new(slots, answers, Box::new(keys), Box::new(HeapHints::default()));
        Self { punts: PuntLog::default(), policy, table }
    }

    /// A message goes up as `draft` has it, and gets no answer for this reason.
    fn unanswered(&mut self, draft: &Draft, why: Unanswered, at: u32) {
        let Self { punts, policy, table } = self;
        match why {
            Unanswered::Silent(_) | Unanswered::Lost(Lost::Overtaken | Lost::UnknownInterface) => {
                let request = draft.request(at);
                punts.note(&request, None, table);
                punts.unanswered(&request, why, || policy.considered(&request));
            }
            Unanswered::Lost(Lost::ReplyTooLong | Lost::NotCommitted) => {
                let request = draft.request(at);
                punts.note(&request, Some(Why::Request), table);
                punts.unanswered(&request, why, || policy.considered(&request));
            }
            Unanswered::Lost(Lost::NotSent) => {
                let request = draft.request(at);
                punts.note(&request, None, table);
                punts.answered(&request, "ack", table);
                punts.unsent(&sender(&request), request.xid, |link, relay| policy.considered_at(link, relay));
            }
            Unanswered::Limited(_) | Unanswered::Lost(Lost::NotForUs) => {
                let request = draft.request(at);
                punts.refused(&request, why, table, || policy.considered(&request));
            }
            Unanswered::Malformed(_) | Unanswered::Lost(Lost::Stale) => {
                let glimpse = || Glimpse::of(&draft.frame(), IFINDEX);
                let considered = |seen: &Glimpse| policy.considered_at(seen.link, seen.relay);
                punts.unread(glimpse, BootSecs(at), why, table, considered);
            }
        }
    }

    fn explain(&self, who: &Subject) -> Explanation {
        let wall = WallClock::booted("2026-01-01T00:00:00Z".parse().expect("a time"));
        let name_of = |link: Link| (link.ifindex == IFINDEX).then(|| "eth0".to_owned());
        let Self { punts, policy, table } = self;
        Sight { punts, policy, table, wall, name_of: &name_of }.explain(who).expect("an explanation")
    }
}

/// Whatever the reason, one question finds it: by the client, by the address that it is about, by its circuit.
#[test]
fn every_reason_there_is_is_found_with_one_question() {
    let mut bench = Bench::new();
    let all = reasons::every();
    assert!(all.len() > 50, "{}", all.len());
    for (n, why) in (0_u8..).zip(all) {
        let (mac, address) = ([2, 0, 0, 0, 1, n], Ipv4Addr::new(10, 9, 0, n));
        let (circuit, at) = (format!("port-{n}"), 100 + u32::from(n));
        let agent = [&[1, u8::try_from(circuit.len()).expect("short")], circuit.as_bytes()].concat();
        let asks = |kind| Draft::new(kind, n).address(50, address).tagged(&[TAG]);
        bench.unanswered(&asks(3).via(RELAY).option(82, &agent), why, at);
        let by = [Subject::HwAddress(mac), Subject::Address(address), Subject::Circuit(circuit.clone())];
        for who in by {
            let said = bench.explain(&who);
            assert!(said.why.starts_with(&format!("{}: ", why.name())), "{who:?}: {said:?}");
            assert_eq!((said.address, &said.hw_address), (address, &Some(crate::control::colon_hex(&mac))));
            let Some(Heard {
                interface, vlan, relay, circuit: by, subnets, answered: None, why: told, ..
            }) = said.messages.last()
            else {
                panic!("{who:?}: {said:?}")
            };
            assert_eq!((interface.as_deref(), &vlan[..], *relay), (Some("eth0"), &[TAG][..], Some(RELAY)));
            assert_eq!((by.as_deref(), &subnets[..]), (Some(&*circuit), &["10.9.0.0/24".to_owned()][..]));
            assert_eq!(told.as_ref(), Some(&said.why));
        }
    }
}

#[test]
fn where_no_subnet_is_none_was_considered() {
    let mut bench = Bench::new();
    let none = Unanswered::Silent(crate::policy::Silence::NoSubnet);
    bench.unanswered(&Draft::discover(1).tagged(&[TAG]), none, 100);
    let said = bench.explain(&Subject::HwAddress([2, 0, 0, 0, 1, 1]));
    assert!(said.messages[0].subnets.is_empty() && said.messages[0].vlan == [TAG], "{said:?}");
}

/// Of several on a circuit the one that gets no answer is of interest, whoever was heard after it.
#[test]
fn of_a_circuit_the_client_is_shown_that_gets_no_answer() {
    let mut bench = Bench::new();
    let agent = [&[1, 4], &b"port"[..]].concat();
    let discover = |n| Draft::discover(n).via(RELAY).option(82, &agent);
    bench.unanswered(&discover(1), Unanswered::Silent(crate::policy::Silence::DeviceCap), 100);
    let other = discover(2).request(101);
    bench.punts.note(&other, None, &bench.table);
    bench.punts.answered(&other, "offer", &bench.table);
    let said = bench.explain(&Subject::Circuit("port".to_owned()));
    assert_eq!(said.hw_address.as_deref(), Some("02:00:00:00:01:01"));
    assert!(said.why.starts_with("device-cap: "), "{said:?}");
}

/// A RELEASE or a DECLINE that was taken gets no answer, and is no reason to speak of the request before it.
#[test]
fn a_client_that_gave_its_address_up_is_told_of_as_such() {
    let mut bench = Bench::new();
    let address = crate::policy::tests::host(10);
    let (request, released) =
        (Draft::renew(1, address).request(100), Draft::release(1, address).request(101));
    bench.punts.note(&request, None, &bench.table);
    bench.punts.answered(&request, "ack", &bench.table);
    bench.punts.note(&released, None, &bench.table);
    for who in [Subject::HwAddress([2, 0, 0, 0, 1, 1]), Subject::Address(address)] {
        let said = bench.explain(&who);
        assert!(said.why.starts_with("release: ") && said.differs.is_empty(), "{said:?}");
        assert_eq!(said.address, address);
    }
}

/// What the kernel made of an earlier request is no reason for what came since.
#[test]
fn a_message_that_is_no_request_is_not_told_by_the_request_before_it() {
    let mut bench = Bench::new();
    let address = crate::policy::tests::host(10);
    let (request, discover) = (Draft::renew(1, address).request(100), Draft::discover(1).request(101));
    bench.punts.note(&request, Some(Why::Expired), &bench.table);
    bench.punts.answered(&request, "ack", &bench.table);
    let of_client = Subject::HwAddress([2, 0, 0, 0, 1, 1]);
    assert!(bench.explain(&of_client).why.starts_with("expired: "));
    bench.punts.note(&discover, Some(Why::Discover), &bench.table);
    bench.punts.answered(&discover, "offer", &bench.table);
    let said = bench.explain(&of_client);
    assert!(said.why.starts_with("the daemon decides all messages but"), "{said:?}");
    let of_address = bench.explain(&Subject::Address(address));
    assert!(of_address.why.starts_with("expired: "), "{of_address:?}");
}
