//! The questions published with a lease: those that real clients ask first.

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
        assert_eq!(publication.memos.len(), 2, "renewing and rebinding ask the same");
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
    assert_eq!(publication.memos.len(), 3);
}

#[test]
fn the_form_that_came_is_published_unless_it_names_a_server() {
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let address = bench.lease(1);
    assert!(
        bench
            .published
            .pop()
            .expect("published")
            .memos
            .iter()
            .all(|memo| !memo.question.options.contains(&54))
    );
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
        assert_eq!(bench.published.pop().expect("published").memos, [], "{name}");
    }
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
