//! Classes: who is in one, what it changes, and which addresses it opens and shuts.

use super::wire::{Draft, SERVER};
use super::*;
use crate::config::{Admission, Class, ClassSet, DynamicPool, Match, Pattern};

const PHONE: &[u8] = b"phone 3000";
const UEFI: [u8; 2] = [0, 7];
const BIOS: [u8; 2] = [0, 0];

fn class(name: &str, matches: Match) -> Class {
    Class { name: name.to_owned(), matches, overrides: Overrides::default(), drop: false, max_leases: None }
}

fn begins(octets: &[u8]) -> Vec<Pattern> {
    vec![Pattern::Beginning(octets.to_vec())]
}

fn is(octets: &[u8]) -> Vec<Pattern> {
    vec![Pattern::Exactly(octets.to_vec())]
}

fn phones() -> Class {
    class("phones", Match { vendor_class: begins(b"phone "), ..Match::default() })
}

fn behind(circuit: &[u8]) -> Class {
    class("circuit", Match { circuit_id: is(circuit), ..Match::default() })
}

fn set(places: &[usize]) -> ClassSet {
    let mut set = ClassSet::default();
    places.iter().for_each(|place| set.insert(*place));
    set
}

fn pool(first: u8, last: u8, allow: &[usize], deny: &[usize]) -> DynamicPool {
    let range = Pool { first: host(first), last: host(last) };
    DynamicPool { admits: Admission { allow: set(allow), deny: set(deny) }, ..range.into() }
}

fn relayed(draft: Draft, circuit: &[u8]) -> Draft {
    let length = u8::try_from(circuit.len()).expect("short");
    draft.via(RELAY).option(82, &[&[1, length], circuit].concat())
}

/// RFC 2131 §4.3.1, MUST (class-exact): a vendor class is another if any octet is, or if there are more.
#[test]
fn each_key_of_a_match_is_looked_for_where_it_stands() {
    let plain = || Draft::discover(1);
    let cases: [(&str, Match, Draft, bool); 23] = [
        (
            "vendor class",
            Match { vendor_class: is(PHONE), ..Match::default() },
            plain().option(60, PHONE),
            true,
        ),
        (
            "another",
            Match { vendor_class: is(PHONE), ..Match::default() },
            plain().option(60, b"phone"),
            false,
        ),
        ("none", Match { vendor_class: is(PHONE), ..Match::default() }, plain(), false),
        (
            "its beginning",
            Match { vendor_class: begins(b"ph"), ..Match::default() },
            plain().option(60, PHONE),
            true,
        ),
        ("any", Match { vendor_class: begins(b""), ..Match::default() }, plain().option(60, b"x"), true),
        ("any but none", Match { vendor_class: begins(b""), ..Match::default() }, plain(), false),
        (
            "user class, bare",
            Match { user_class: is(b"iPXE"), ..Match::default() },
            plain().option(77, b"iPXE"),
            true,
        ),
        (
            "RFC 3004",
            Match { user_class: is(b"b"), ..Match::default() },
            plain().option(77, b"\x02aa\x01b"),
            true,
        ),
        (
            "not RFC 3004",
            Match { user_class: is(b"b"), ..Match::default() },
            plain().option(77, b"\x02aa\x02b"),
            false,
        ),
        ("chaddr", Match { hw_address: begins(&[2, 0, 0]), ..Match::default() }, plain(), true),
        ("other chaddr", Match { hw_address: is(&[2, 0, 0, 0, 1, 2]), ..Match::default() }, plain(), false),
        ("client-id", Match { client_id: begins(&[0, 7]), ..Match::default() }, plain().id(&[0, 7, 8]), true),
        (
            "one of several",
            Match { architecture: vec![9, 7], ..Match::default() },
            plain().option(93, &UEFI),
            true,
        ),
        (
            "several told",
            Match { architecture: vec![7], ..Match::default() },
            plain().option(93, &[0, 6, 0, 7]),
            true,
        ),
        (
            "not across",
            Match { architecture: vec![0x0600], ..Match::default() },
            plain().option(93, &[0, 6, 0, 7]),
            false,
        ),
        ("circuit", behind(b"p1").matches, relayed(plain(), b"p1"), true),
        (
            "remote",
            Match { remote_id: is(b"olt"), ..Match::default() },
            plain().via(RELAY).option(82, b"\x02\x03olt"),
            true,
        ),
        (
            "subscriber",
            Match { subscriber_id: begins(b"cust-"), ..Match::default() },
            plain().via(RELAY).option(82, b"\x06\x06cust-7"),
            true,
        ),
        (
            "another subscriber",
            Match { subscriber_id: is(b"cust-7"), ..Match::default() },
            plain().via(RELAY).option(82, b"\x06\x06cust-8"),
            false,
        ),
        (
            "the second of two vendors",
            Match { relay_vendor: vec![(3561, Pattern::Exactly(b"b".to_vec()))], ..Match::default() },
            plain().via(RELAY).option(82, b"\x09\x0d\0\0\0\x09\x02aa\0\0\x0d\xe9\x01b"),
            true,
        ),
        (
            "another vendor says so",
            Match { relay_vendor: vec![(9, Pattern::Exactly(b"b".to_vec()))], ..Match::default() },
            plain().via(RELAY).option(82, b"\x09\x0d\0\0\0\x09\x02aa\0\0\x0d\xe9\x01b"),
            false,
        ),
        (
            "cut short",
            Match { relay_vendor: vec![(3561, Pattern::Beginning(Vec::new()))], ..Match::default() },
            plain().via(RELAY).option(82, b"\x09\x06\0\0\x0d\xe9\x02b"),
            false,
        ),
        (
            "all of it",
            Match { remote_id: is(b"olt"), ..behind(b"p1").matches },
            relayed(plain(), b"p1"),
            false,
        ),
    ];
    for (name, matches, draft, fits) in cases {
        let classes = site::classes::Classes::new(&[phones(), class(name, matches)]);
        let found = classes
            .of(&draft.request(START), draft.request(START).options.agent.as_ref(), false)
            .last_first()
            .any(|place| place == 1);
        assert_eq!(found, fits, "{name}");
    }
}

/// Server, subnet, pool, class by class, reservation: the later overrides the earlier.
#[test]
fn the_particular_overrides_the_general() {
    let overrides = |options: &[(u8, u8)], file: &str| Overrides {
        options: OptionSet(options.iter().map(|(code, value)| (*code, vec![*value])).collect()),
        boot: Boot { file: Some(file.to_owned()), ..Boot::default() },
        times: None,
    };
    let mut site = subnet(10, 20);
    site.options = OptionSet((1..=5).map(|level| (200 + level, vec![1])).collect());
    site.boot = Boot { next_server: Some(host(3)), server_name: None, file: Some("subnet".to_owned()) };
    site.pools[0].overrides = overrides(&[(202, 2), (203, 2), (204, 2), (205, 2)], "pool");
    let all = Match { hw_address: begins(b""), ..Match::default() };
    let mut first = class("first", all.clone());
    first.overrides = overrides(&[(203, 3), (204, 3), (205, 3)], "first");
    let mut second = class("second", all);
    second.overrides = overrides(&[(204, 4), (205, 4)], "second");
    second.overrides.boot.server_name = Some("boot".to_owned());
    let mut own = reserved(1, host(12));
    own.overrides = overrides(&[(205, 5)], "own");
    site.reservations = vec![own];
    let mut bench = Bench::of(vec![first, second, phones()], vec![site]);
    let wants = [55, 201, 202, 203, 204, 205];
    let offer = bench.send(&Draft::discover(1).option(55, &wants[1..]));
    let values: Vec<_> = (201..=205).map(|code| offer.option(code)).collect();
    assert_eq!(values, (1..=5).map(|level| Some(vec![level])).collect::<Vec<_>>());
    let answer = offer.answer();
    assert!(answer.file.as_ref().is_some_and(|file| file.starts_with(b"own\0")));
    assert!(answer.sname.as_ref().is_some_and(|sname| sname.starts_with(b"boot\0")));
    assert_eq!(answer.siaddr, host(3));
    let other = bench.send(&Draft::discover(2));
    assert_eq!(
        other.codes(),
        [53, 54, 51, 58, 59, 1, 201, 202, 203, 204, 205],
        "asked for nothing: all there is"
    );
    assert_eq!((other.option(204), other.option(205)), (Some(vec![4]), Some(vec![4])));
    assert!(other.answer().file.as_ref().is_some_and(|file| file.starts_with(b"second\0")));
}

/// RFC 4578: the architecture decides on the boot file, and option 97 comes back.
#[test]
fn firmware_gets_the_boot_file_of_its_architecture() {
    let booting = |name: &str, architecture, file: &str| {
        let mut class = class(
            name,
            Match {
                vendor_class: begins(b"PXEClient"),
                architecture: vec![architecture],
                ..Match::default()
            },
        );
        class.overrides.boot =
            Boot { next_server: Some(host(3)), server_name: None, file: Some(file.to_owned()) };
        class.overrides.options.0.insert(60, b"PXEClient".to_vec());
        class
    };
    let classes = vec![booting("bios", 0, "undionly.kpxe"), booting("uefi", 7, "ipxe.efi")];
    let mut bench = Bench::of(classes, vec![subnet(10, 20)]);
    let machine = [&[0][..], &[9; 16]].concat();
    let pxe = |draft: Draft, architecture: [u8; 2]| {
        draft
            .option(60, b"PXEClient:Arch:00007")
            .option(93, &architecture)
            .option(97, &machine)
            .option(55, &[60, 67])
    };
    for (mac, architecture, file) in [(1, UEFI, "ipxe.efi\0"), (2, BIOS, "undionly.kpxe\0")] {
        let offer = bench.send(&pxe(Draft::discover(mac), architecture));
        assert_eq!(offer.answer().siaddr, host(3));
        assert!(
            offer.answer().file.as_ref().is_some_and(|there| there.starts_with(file.as_bytes())),
            "{file}"
        );
        assert_eq!(offer.codes(), [53, 54, 51, 58, 59, 1, 60, 97]);
        assert_eq!(
            (offer.option(60), offer.option(97)),
            (Some(b"PXEClient".to_vec()), Some(machine.clone()))
        );
    }
    let other = bench.send(&pxe(Draft::discover(3), [0, 11]));
    assert_eq!((other.answer().siaddr, &other.answer().file), (Ipv4Addr::UNSPECIFIED, &None));
    let no_pxe = bench.send(&Draft::discover(4).option(97, &machine));
    assert_eq!(no_pxe.option(97), None);
}

#[test]
fn what_is_published_is_what_the_question_itself_would_be_told() {
    let mut phones = phones();
    phones.overrides.options.0.insert(6, vec![9, 9, 9, 9]);
    let mut bench = Bench::of(vec![phones], vec![subnet(10, 20)]);
    let address = bench.send(&Draft::discover(1).option(60, PHONE)).offered().expect("an offer");
    bench.send(&Draft::select(1, SERVER, address).option(60, PHONE));
    let memos = bench.published.last().expect("published").memos.clone();
    for draft in [Draft::renew(1, address), Draft::reboot(1, address)] {
        let draft = draft.option(60, PHONE);
        let response = bench.send(&draft);
        assert_eq!((response.acked(), response.option(6)), (Some(address), Some(vec![9, 9, 9, 9])));
        let known = memos.iter().find(|memo| memo.question.options == draft.area()).expect("foreseen");
        assert_eq!(known.answer, *response.answer());
    }
    let response = bench.send(&Draft::renew(1, address));
    assert_eq!((response.acked(), response.option(6)), (Some(address), Some(vec![192, 0, 2, 53])));
    let known = bench.published.last().expect("published").memos.clone();
    assert!(
        known.iter().all(|memo| memo.answer == *response.answer()),
        "in no class any more, and so it is known"
    );
}

#[test]
fn pools_are_for_their_classes() {
    let site = Subnet { pools: vec![pool(10, 11, &[0], &[]), pool(20, 21, &[], &[0])], ..subnet(0, 0) };
    let mut bench = Bench::of(vec![phones()], vec![site]);
    let phone = |draft: Draft| draft.option(60, PHONE);
    assert_eq!(bench.send(&Draft::discover(1)).offered(), Some(host(20)));
    assert_eq!(bench.send(&phone(Draft::discover(2))).offered(), Some(host(10)));
    assert_eq!(
        bench.send(&Draft::discover(3).address(50, host(11))).offered(),
        Some(host(21)),
        "asking won't do"
    );
    assert!(bench.send(&Draft::select(3, SERVER, host(11))).is_nak());
    assert_eq!(bench.send(&phone(Draft::discover(4))).offered(), Some(host(11)));
    assert_eq!(bench.send(&phone(Draft::discover(5))), Response::Silence(Silence::Exhausted));
    assert_eq!(bench.send(&Draft::discover(6)), Response::Silence(Silence::Exhausted));
    bench.send(&phone(Draft::discover(5)));
    let exhausted = bench.events.iter().filter(|event| matches!(event, LeaseEvent::Exhausted { .. }));
    assert_eq!(exhausted.count(), 2, "once for each pool");
}

#[test]
fn who_is_in_no_class_that_a_pool_allows_gets_none() {
    let mut bench =
        Bench::of(vec![phones()], vec![Subnet { pools: vec![pool(10, 11, &[0], &[])], ..subnet(0, 0) }]);
    assert_eq!(bench.send(&Draft::discover(1)), Response::Silence(Silence::NoPool));
    assert_eq!(bench.events, []);
}

#[test]
fn a_stock_of_probed_addresses_is_kept_for_each_class() {
    let site = Subnet { pools: vec![pool(10, 19, &[0], &[]), pool(20, 29, &[], &[0])], ..subnet(0, 0) };
    let mut bench = Bench::of(vec![phones()], vec![site]);
    bench.policy.carry_out_probes();
    let first = |bench: &mut Bench, draft: Draft| {
        assert_eq!(bench.send(&draft), Response::Done, "it waits");
        bench.probe(&[]).iter().find_map(Response::offered)
    };
    assert_eq!(first(&mut bench, Draft::discover(1)), Some(host(20)));
    assert_eq!(first(&mut bench, Draft::discover(2).option(60, PHONE)), Some(host(10)));
    for (mac, phone) in [(3, false), (4, true), (5, true), (6, false)] {
        let draft = Draft::discover(mac);
        let response = bench.send(&if phone { draft.option(60, PHONE) } else { draft });
        let address = response.offered().expect("at once");
        assert_eq!(address < host(20), phone);
    }
}

/// The address is the client's until the pool says otherwise; then it is told so, and gets another.
#[test]
fn a_client_whose_pool_is_shut_to_it_gets_a_nak_and_another_address() {
    let open = Subnet { pools: vec![pool(10, 19, &[], &[]), pool(20, 29, &[], &[0])], ..subnet(0, 0) };
    let shut = Subnet { pools: vec![pool(10, 19, &[0], &[]), pool(20, 29, &[], &[0])], ..subnet(0, 0) };
    let mut bench = Bench::of(vec![phones()], vec![open]);
    let address = bench.lease(1);
    let phone = bench.send(&Draft::discover(2).option(60, PHONE)).offered().expect("an offer");
    bench.send(&Draft::select(2, SERVER, phone).option(60, PHONE));
    assert_eq!((address, phone), (host(10), host(11)));
    assert_eq!(bench.reload(vec![shut.clone()]), Reloaded { kept: 2, withdrawn: 0 });
    assert_eq!(bench.send(&Draft::renew(2, phone).option(60, PHONE)).acked(), Some(phone));
    for draft in [Draft::renew(1, address), Draft::rebind(1, address), Draft::reboot(1, address)] {
        assert!(bench.send(&draft).is_nak(), "{draft:?}");
    }
    assert_eq!(bench.state(address), State::Leased, "its client may not know");
    assert_eq!(bench.lease(1), host(20));
    assert_eq!(bench.state(address), State::Grace);
    let quiet = Subnet { authoritative: false, ..shut };
    bench.reload(vec![quiet]);
    assert_eq!(bench.send(&Draft::renew(1, phone)), Response::Silence(Silence::NotAuthoritative));
}

#[test]
fn what_the_kernel_knows_of_a_client_whose_pool_is_shut_to_it_is_void() {
    let shut = |deny: &[usize]| Subnet { pools: vec![pool(10, 20, &[], deny)], ..subnet(0, 0) };
    let mut bench = Bench::of(vec![phones()], vec![shut(&[])]);
    let phone = |draft: Draft| draft.option(60, PHONE);
    let address = bench.send(&phone(Draft::discover(1))).offered().expect("an offer");
    bench.send(&phone(Draft::select(1, SERVER, address)));
    let known = bench.published.pop().expect("published").memos;
    assert!(known.iter().all(|memo| bench.policy.answer_to(address, &memo.question).is_some()));
    bench.reload(vec![shut(&[0])]);
    assert!(known.iter().all(|memo| bench.policy.answer_to(address, &memo.question).is_none()));
    assert!(bench.send(&phone(Draft::renew(1, address))).is_nak(), "as the daemon says");
}

#[test]
fn a_client_at_its_cap_may_change_pools() {
    let site = Subnet {
        pools: vec![pool(10, 19, &[0], &[]), pool(20, 29, &[], &[0])],
        max_leases_per_device: 1,
        ..subnet(0, 0)
    };
    let mut bench = Bench::of(vec![phones()], vec![site]);
    assert_eq!(bench.lease(1), host(20));
    assert_eq!(bench.send(&Draft::discover(1).option(60, PHONE)).offered(), Some(host(10)));
    assert_eq!(bench.send(&Draft::select(1, SERVER, host(10)).option(60, PHONE)).acked(), Some(host(10)));
    assert_eq!(bench.state(host(20)), State::Grace);
    assert_eq!(bench.policy.leased(), 1);
}

#[test]
fn a_reservation_holds_in_a_pool_for_others() {
    let reservations = vec![reserved(1, host(12))];
    let site = Subnet { pools: vec![pool(10, 19, &[0], &[])], reservations, ..subnet(0, 0) };
    let mut bench = Bench::of(vec![phones()], vec![site]);
    assert_eq!(bench.lease(1), host(12));
    assert_eq!(bench.send(&Draft::renew(1, host(12))).acked(), Some(host(12)));
    assert_eq!(bench.send(&Draft::reboot(1, host(12))).acked(), Some(host(12)));
    let phones: Vec<_> =
        (2..=10).map(|mac| bench.send(&Draft::discover(mac).option(60, PHONE)).offered()).collect();
    assert!(phones.iter().all(|address| address.is_some_and(|address| address != host(12))));
    assert_eq!(bench.send(&Draft::discover(11).option(60, PHONE)), Response::Silence(Silence::Exhausted));
}

/// A relay adds option 82 to what it forwards; what a client sends past it is nonetheless of its circuit's class.
#[test]
fn a_class_by_circuit_holds_when_the_client_renews_past_its_relay() {
    let mut circuit = behind(b"p1");
    circuit.overrides.options.0.insert(6, vec![9, 9, 9, 9]);
    let mut site = relayed_subnet();
    site.pools[0].admits.allow = set(&[0]);
    let mut bench = Bench::of(vec![circuit], vec![site]);
    assert_eq!(bench.send(&relayed(Draft::discover(1), b"p2")), Response::Silence(Silence::NoPool));
    let address = bench.send(&relayed(Draft::discover(1), b"p1")).offered().expect("an offer");
    bench.send(&relayed(Draft::select(1, SERVER, address), b"p1"));
    let memos = bench.published.last().expect("published").memos.clone();
    let rebind = relayed(Draft { ciaddr: address, ..Draft::new(3, 1) }, b"p1");
    for draft in [Draft::renew(1, address), rebind] {
        let response = bench.send(&draft);
        assert_eq!(
            (response.acked(), response.option(6)),
            (Some(address), Some(vec![9, 9, 9, 9])),
            "{draft:?}"
        );
        let known = memos.iter().find(|memo| memo.question.options == draft.area()).expect("foreseen");
        assert_eq!(known.answer, *response.answer());
    }
    bench.restart(true);
    assert_eq!(bench.send(&Draft::renew(1, address)).option(6), Some(vec![9, 9, 9, 9]), "it is in the store");
}

/// What the kernel knows of a lease was answered with the relay's word of that time.
#[test]
fn a_client_that_moves_to_another_circuit_is_answered_anew() {
    let mut circuit = behind(b"p1");
    circuit.overrides.options.0.insert(6, vec![9, 9, 9, 9]);
    let mut bench = Bench::of(vec![circuit], vec![relayed_subnet()]);
    let address = bench.send(&relayed(Draft::discover(1), b"p1")).offered().expect("an offer");
    bench.send(&relayed(Draft::select(1, SERVER, address), b"p1"));
    let before = bench.words.load(address);
    assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address));
    assert_eq!(bench.words.load(address).generation(), before.generation());
    let moved = relayed(Draft { ciaddr: address, ..Draft::new(3, 1) }, b"p2");
    assert_eq!(bench.send(&moved).option(6), Some(vec![192, 0, 2, 53]));
    assert_ne!(
        bench.words.load(address).generation(),
        before.generation(),
        "nothing known before is answered"
    );
    assert_eq!(bench.send(&Draft::renew(1, address)).option(6), Some(vec![192, 0, 2, 53]));
}

#[test]
fn times_are_those_of_the_most_particular() {
    let times = |lease| LeaseTimes {
        lease,
        renew: lease / 4,
        rebind: lease / 2,
        min: 60,
        max: lease,
        when_full: None,
    };
    let mut phones = phones();
    phones.overrides.times = Some(times(400));
    let mut site = subnet(10, 20);
    site.pools[0].overrides.times = Some(times(800));
    let mut own = reserved(3, host(5));
    own.overrides.times = Some(times(2000));
    site.reservations = vec![own];
    let mut bench = Bench::of(vec![phones], vec![site]);
    let times = |response: &Response| {
        [51, 58, 59]
            .map(|code| response.option(code).map(|v| u32::from_be_bytes(v.try_into().expect("four octets"))))
    };
    for (mac, lease) in [(1, 800), (2, 400), (3, 2000)] {
        let draft = Draft::discover(mac);
        let offer = bench.send(&if mac == 1 { draft } else { draft.option(60, PHONE) });
        assert_eq!(times(&offer), [Some(lease), Some(lease / 4), Some(lease / 2)]);
    }
}

/// New leases get shorter in the upper half of a pool; those there are keep their time.
#[test]
fn leases_get_shorter_as_a_pool_fills() {
    let mut site = subnet(10, 19);
    site.times.when_full = Some(100);
    site.reservations = vec![reserved(99, host(5))];
    let mut bench = Bench::new(vec![site]);
    let granted: Vec<u32> = (1..=10)
        .map(|mac| {
            let offer = bench.send(&Draft::discover(mac));
            let ack = bench.send(&Draft::select(mac, SERVER, offer.offered().expect("an offer")));
            assert_eq!(offer.answer().lease_time, ack.answer().lease_time);
            ack.answer().lease_time
        })
        .collect();
    assert_eq!(granted, [1000, 1000, 1000, 1000, 1000, 820, 640, 460, 280, 100]);
    assert_eq!(bench.send(&Draft::renew(1, host(10))).answer().lease_time, 1000);
    assert_eq!(bench.send(&Draft::renew(10, host(19))).answer().lease_time, 100);
    let wish = 280u32.to_be_bytes();
    assert_eq!(
        bench.send(&Draft::discover(9).option(51, &wish)).answer().lease_time,
        100,
        "anew, of a full pool"
    );
    assert_eq!(bench.send(&Draft::discover(99)).answer().lease_time, 1000, "what is reserved is not scarce");
    for mac in 3..=10 {
        bench.send(&Draft::release(mac, host(9 + mac)));
    }
    assert_eq!(bench.send(&Draft::discover(3)).answer().lease_time, 1000);
}

#[test]
fn a_lease_is_renewed_on_its_terms_of_now() {
    let mut bench = Bench::new(vec![subnet(10, 19)]);
    let address = bench.lease(1);
    let mut shorter = subnet(10, 19);
    shorter.times = LeaseTimes { lease: 200, renew: 100, rebind: 175, min: 60, max: 300, when_full: None };
    bench.reload(vec![shorter]);
    let response = bench.send(&Draft::renew(1, address));
    assert_eq!((response.acked(), response.answer().lease_time), (Some(address), 200));
    let memo = bench.published.last().expect("published").memos[0].clone();
    assert_eq!(bench.policy.answer_to(address, &memo.question), Some(memo.answer));
}

#[test]
fn a_reload_changes_what_classes_are_told() {
    let mut bench = Bench::of(vec![phones()], vec![subnet(10, 19)]);
    let address = bench.send(&Draft::discover(1).option(60, PHONE)).offered().expect("an offer");
    bench.send(&Draft::select(1, SERVER, address).option(60, PHONE));
    bench.config.classes[0].overrides.options.0.insert(6, vec![9, 9, 9, 9]);
    bench.reload(vec![subnet(10, 19)]);
    let question = bench.published[0].memos[0].question.clone();
    let renewed = bench.send(&Draft::renew(1, address).option(60, PHONE));
    assert_eq!(renewed.option(6), Some(vec![9, 9, 9, 9]));
    assert_eq!(bench.policy.answer_to(address, &question).expect("an answer"), *renewed.answer());
}

/// What a switch said while it was trusted counts no more when it isn't.
#[test]
fn what_a_switch_said_counts_for_as_long_as_it_is_trusted() {
    let mut options = OptionSet::default();
    options.0.insert(15, b"port7".to_vec());
    let overrides = Overrides { options, ..Overrides::default() };
    let port = Class { overrides, ..behind(b"p7") };
    let switched = |draft: Draft| draft.option(82, b"\x01\x02p7");
    let subnets = |trust| vec![Subnet { trust_agent_information: Some(trust), ..subnet(10, 12) }];
    let mut bench = Bench::of(vec![port], subnets(true));
    let address = bench.send(&switched(Draft::discover(1))).offered().expect("an offer");
    bench.send(&switched(Draft::select(1, SERVER, address)));
    assert_eq!(bench.send(&Draft::renew(1, address)).option(15), Some(b"port7".to_vec()));
    bench.reload(subnets(false));
    for draft in [Draft::renew(1, address), switched(Draft::renew(1, address))] {
        assert_ne!(bench.send(&draft).option(15), Some(b"port7".to_vec()), "{draft:?}");
    }
}
