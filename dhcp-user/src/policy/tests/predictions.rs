//! The questions published with a lease: those that real clients ask first.

use dhcp_ebpf::slot::Destination;

use super::wire::{Draft, SERVER};
use super::*;

/// What a client sends, option codes in its own order.
struct Sort {
    name: &'static str,
    discover: &'static [u8],
    select: &'static [u8],
    renew: &'static [u8],
    reboot: &'static [u8],
}

const CLIENTS: [Sort; 3] = [
    Sort {
        name: "dhclient",
        discover: &[53, 12, 55],
        select: &[53, 54, 50, 12, 55],
        renew: &[53, 12, 55],
        reboot: &[53, 50, 12, 55],
    },
    Sort {
        name: "udhcpc",
        discover: &[53, 57, 55, 60, 61],
        select: &[53, 50, 54, 57, 55, 60, 61],
        renew: &[53, 57, 55, 60, 61],
        reboot: &[53, 50, 57, 55, 60, 61],
    },
    Sort {
        name: "dhcpcd",
        discover: &[53, 55, 57, 61, 145],
        select: &[50, 53, 54, 55, 57, 61, 145],
        renew: &[53, 55, 57, 61, 145],
        reboot: &[50, 53, 55, 57, 61, 145],
    },
];

fn draft(kind: u8, codes: &[u8], address: Ipv4Addr) -> Draft {
    let mut draft = Draft::new(kind, 1);
    draft.options.clear();
    codes.iter().fold(draft, |draft, code| match code {
        53 => draft.option(53, &[kind]),
        54 => draft.address(54, SERVER),
        50 => draft.address(50, address),
        12 => draft.option(12, b"client"),
        55 => draft.option(55, &[1, 28, 2, 3, 15, 6, 12]),
        57 => draft.option(57, &[2, 64]),
        60 => draft.option(60, b"udhcp 1.35.0"),
        61 => draft.id(b"\x01\x02\x00\x00\x00\x01\x01"),
        145 => draft.option(145, &[1]),
        other => panic!("option {other}"),
    })
}

fn memo<'a>(publication: &'a Publication, question: &Question) -> Option<&'a Memo> {
    publication.memos.iter().find(|memo| memo.question == *question)
}

fn asked(draft: &Draft) -> Question {
    Question {
        ciaddr: draft.ciaddr,
        giaddr: draft.giaddr,
        relay_src: if draft.giaddr.is_unspecified() { Ipv4Addr::UNSPECIFIED } else { draft.ip_src },
        options: draft.area(),
    }
}

#[test]
fn the_first_renewal_of_real_clients_is_known_and_answered_as_by_the_daemon() {
    for sort in CLIENTS {
        let mut bench = Bench::new(vec![subnet(10, 20)]);
        let address = bench.send(&draft(1, sort.discover, host(0))).offered().expect("an offer");
        bench.send(&draft(3, sort.select, address));
        let publication = bench.published.pop().expect("published");
        let renew = draft(3, sort.renew, address).unicast(address);
        let rebind = Draft { ciaddr: address, ip_src: address, ..draft(3, sort.renew, address) };
        let reboot = draft(3, sort.reboot, address);
        for (form, draft) in [("renew", renew), ("rebind", rebind), ("reboot", reboot)] {
            let memo = memo(&publication, &asked(&draft)).unwrap_or_else(|| panic!("{} {form}", sort.name));
            let outcome = bench.send(&draft);
            assert_eq!(outcome.acked(), Some(address));
            assert_eq!(*outcome.answer(), memo.answer, "{} {form}", sort.name);
        }
        assert_eq!(
            publication.memos.len(),
            3,
            "renewing and rebinding ask the same; and as small stacks renew"
        );
    }
}

#[test]
fn through_a_relay_both_ways_of_renewing_are_known() {
    let mut bench = Bench::new(vec![relayed_subnet()]);
    let relayed = |draft: Draft| draft.via(RELAY).option(82, b"\x01\x02ab");
    let address = bench.send(&relayed(Draft::discover(1))).offered().expect("an offer");
    bench.send(&relayed(Draft::select(1, SERVER, address)));
    let publication = bench.published.pop().expect("published");
    let renew = Draft::renew(1, address);
    let rebind = Draft { ciaddr: address, ..relayed(Draft::new(3, 1)) };
    let reboot = relayed(Draft::reboot(1, address));
    for draft in [renew, rebind, reboot] {
        let memo = memo(&publication, &asked(&draft)).unwrap_or_else(|| panic!("{draft:?}"));
        assert_eq!(*bench.send(&draft).answer(), memo.answer);
    }
    let kept = Draft::renew(1, address).address(54, SERVER).address(50, address);
    assert!(memo(&publication, &asked(&kept)).is_some(), "as small stacks renew");
    assert_eq!(publication.memos.len(), 5);
}

/// RFC 2131 §4.3.2: a client that broadcasts on our link what it would send past its relay has moved there, where its address
/// is of another network. By the question alone one can't be told from the other.
#[test]
fn what_is_sent_past_a_relay_is_known_only_as_unicast() {
    let mut bench = Bench::new(vec![subnet(10, 20), relayed_subnet()]);
    let relayed = |draft: Draft| draft.via(RELAY).option(82, b"\x01\x02ab");
    let address = bench.send(&relayed(Draft::discover(1))).offered().expect("an offer");
    bench.send(&relayed(Draft::select(1, SERVER, address)));
    let publication = bench.published.pop().expect("published");
    for memo in &publication.memos {
        let past_relay = memo.question.giaddr.is_unspecified() && !memo.question.ciaddr.is_unspecified();
        let to = if past_relay { Destination::Unicast } else { Destination::Any };
        assert_eq!(memo.to, to, "{:?}", memo.question);
    }
    bench.send(&Draft::renew(1, address));
    let asked_for = bench.published.pop().expect("published");
    assert_eq!(asked_for.memos[0].to, Destination::Unicast, "what was asked as well as what is expected");

    let moved = Draft { ciaddr: address, ..Draft::new(3, 1) };
    assert!(bench.send(&moved).is_nak(), "its address is of another network");

    let direct = bench.lease(2);
    let publication = bench.published.pop().expect("published");
    assert!(publication.memos.iter().all(|memo| memo.to == Destination::Any), "{direct} is of this link");
}

/// RFC 2131 §4.3.2: a renewal names no server. Small stacks leave options 54 and 50 in for ever.
#[test]
fn a_form_that_names_a_server_is_known_if_it_renews_with_us() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let publication = bench.published.pop().expect("published");
    let kept = Draft::select(1, SERVER, address).unicast(address);
    let known = memo(&publication, &asked(&kept)).expect("published");
    assert_eq!(*bench.send(&kept).answer(), known.answer);
    assert!(memo(&publication, &asked(&Draft::select(1, SERVER, address))).is_none(), "it selects");
    for not_ours in [
        Draft::select(1, host(2), address).unicast(address),
        Draft::select(1, SERVER, host(11)).unicast(address),
        Draft::select(1, SERVER, address).unicast(host(11)),
    ] {
        assert_eq!(bench.policy.answer_to(address, &asked(&not_ours)), None, "{not_ours:?}");
    }
}

#[test]
fn the_form_that_came_is_published() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    let renew = Draft::renew(1, address).option(12, b"new-name");
    bench.send(&renew);
    let publication = bench.published.pop().expect("published");
    assert_eq!(publication.memos.len(), 1, "where option 50 would stand is not known");
    assert!(memo(&publication, &asked(&renew)).is_some());
}

/// Makes a common request one that the kernel must not answer.
type Change = Box<dyn Fn(Draft) -> Draft>;

#[test]
fn what_the_kernel_must_not_answer_is_not_published() {
    let long = vec![b'x'; 250];
    let unpublishable: [(&str, Change); 4] = [
        ("authentication", Box::new(|draft| draft.option(90, &[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]))),
        ("relay source port", Box::new(|draft| draft.via(RELAY).option(82, b"\x01\x02ab\x13\x00"))),
        ("long", Box::new(move |draft| draft.option(43, &long).option(125, &long).option(60, b"0123456789"))),
        ("overload", Box::new(|draft| draft.option(52, &[1]))),
    ];
    for (name, change) in unpublishable {
        let mut bench = Bench::new(vec![subnet(10, 20), relayed_subnet()]);
        let draft = |draft: Draft| {
            let draft = change(draft);
            let mut frame = draft.frame();
            if name == "overload" {
                // END in `file`, and the checksum given up.
                frame[14 + 28 + 108] = 255;
                frame[14 + 26..14 + 28].fill(0);
            }
            Arc::new(Request::read(frame.into(), IFINDEX, BootSecs(START)).expect("a good frame"))
        };
        let discover = bench.handle(Event::Message(draft(Draft::discover(1))));
        let address = bench.carry_out(discover)[0].offered().unwrap_or_else(|| panic!("{name}: no offer"));
        let select = bench.handle(Event::Message(draft(Draft::select(1, SERVER, address))));
        assert_eq!(bench.carry_out(select)[0].acked(), Some(address), "{name}");
        let memos = bench.published.pop().expect("published").memos;
        let through_relay = |memo: &Memo| !memo.question.giaddr.is_unspecified();
        // What the relay asks for is no part of what the client sends past it.
        let is_known = |memo: &Memo| name != "relay source port" || through_relay(memo);
        assert!(!memos.iter().any(is_known), "{name}: {memos:?}");
    }
}

/// What the relay adds may make the request too long to be known, and not what its client sends past it.
#[test]
fn a_form_is_measured_and_not_the_request_that_it_was_made_of() {
    let mut bench = Bench::new(vec![relayed_subnet()]);
    let long = |draft: Draft| draft.option(43, &[7; 250]).option(125, &[7; 200]);
    let relayed = |draft: Draft| long(draft).via(RELAY).option(82, &[&[1, 60][..], &[8; 60]].concat());
    let address = bench.send(&relayed(Draft::discover(1))).offered().expect("an offer");
    assert_eq!(bench.send(&relayed(Draft::select(1, SERVER, address))).acked(), Some(address));
    let publication = bench.published.pop().expect("published");
    let renew = long(Draft::renew(1, address));
    let known = memo(&publication, &asked(&renew)).expect("the form is short enough");
    assert!(publication.memos.iter().all(|memo| memo.question.options.len() <= 512));
    assert_eq!(*bench.send(&renew).answer(), known.answer);
    // And what is short enough by itself is too long with what is added to it.
    let kept = renew.address(54, SERVER).option(12, &[b'x'; 60]);
    assert_eq!(bench.send(&kept).acked(), Some(address));
    assert!(memo(&bench.published.pop().expect("published"), &asked(&kept)).is_none());
}

#[test]
fn an_answer_that_does_not_fit_is_not_published() {
    let mut wordy = subnet(10, 20);
    wordy.options.0.insert(43, vec![1; 250]);
    wordy.options.0.insert(125, vec![2; 250]);
    let mut bench = Bench::new(vec![wordy]);
    bench.lease(1);
    assert_eq!(bench.published.pop().expect("published").memos, []);
}
