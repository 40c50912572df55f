//! Classes, and the order of overriding scopes.

use super::a;
use crate::config::*;

const BASE: &str = "[[interface]]\nname = 'e'\n";

fn parse(text: &str) -> Config {
    Config::parse(text, "f").unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"))
}

fn classes(keys: &str) -> Vec<Class> {
    let text = format!(
        "{BASE}[[subnet]]\nprefix = '10.0.0.0/8'\npools = ['10.0.0.1 - 10.0.0.9']\n[[class]]\n{keys}"
    );
    parse(&text).classes
}

fn set(places: &[usize]) -> ClassSet {
    let mut set = ClassSet::default();
    places.iter().for_each(|place| set.insert(*place));
    set
}

#[test]
fn every_key_of_a_match_is_read() {
    let [class] = &classes(
        "name = 'all'
        match.vendor-class = 'PXEClient*'
        match.user-class = ['iPXE', 'hex:6950*']
        match.hw-address = ['00:1b:21:*', '02:00:00:00:00:01', '00-1B*']
        match.client-id = ['01:02*', \"'RAS '*\", '*']
        match.circuit-id = ['ge-0/0/1:*', \"'cafe'\", '00:04:*']
        match.remote-id = 'olt-7'
        match.subscriber-id = 'cust-*'
        match.relay-vendor = ['3561/hex:0102*', '9']
        match.architecture = [7, 9, 0x10]
        next-server = '10.0.0.2'
        server-hostname = 'boot'
        boot-file-name = 'grubx64.efi'
        lease-time = '10m'
        lease-time-when-full = '1m'
        options.vendor-class-identifier = 'PXEClient'",
    )[..] else {
        panic!("one class")
    };
    let begins = |octets: &[u8]| Pattern::Beginning(octets.to_vec());
    let is = |octets: &[u8]| Pattern::Exactly(octets.to_vec());
    let expected = Match {
        vendor_class: vec![begins(b"PXEClient")],
        user_class: vec![is(b"iPXE"), begins(b"iP")],
        hw_address: vec![begins(&[0, 0x1b, 0x21]), is(&[2, 0, 0, 0, 0, 1]), begins(&[0, 0x1b])],
        hw_listed: None,
        client_id: vec![begins(&[1, 2]), begins(b"RAS "), begins(b"")],
        circuit_id: vec![begins(b"ge-0/0/1:"), is(b"cafe"), begins(&[0, 4])],
        remote_id: vec![is(b"olt-7")],
        subscriber_id: vec![begins(b"cust-")],
        relay_vendor: vec![(3561, begins(&[1, 2])), (9, begins(b""))],
        architecture: vec![7, 9, 16],
        known: None,
    };
    assert_eq!((class.name.as_str(), &class.matches), ("all", &expected));
    let times = LeaseTimes { lease: 600, renew: 300, rebind: 525, min: 60, max: 600, when_full: Some(60) };
    let boot = Boot {
        next_server: Some(a("10.0.0.2")),
        server_name: Some("boot".to_owned()),
        file: Some("grubx64.efi".to_owned()),
    };
    let options = OptionSet([(60, b"PXEClient".to_vec())].into());
    assert_eq!(class.overrides, Overrides { options, boot, times: Some(times) });
}

#[test]
fn pools_name_their_classes_and_have_terms_of_their_own() {
    let text = format!(
        "{BASE}[[subnet]]
        prefix = '10.0.0.0/8'
        pools = [
            '10.0.0.20 - 10.0.0.29',
            {{ range = '10.0.0.10 - 10.0.0.19', allow = ['phones', 'uefi'], deny = 'bios', lease-time = '1d', options = {{ code-224 = 'hex:01' }} }},
        ]
        [[class]]
        name = 'bios'
        match = {{ architecture = 0 }}
        [[class]]
        name = 'uefi'
        match = {{ architecture = [7] }}
        [[class]]
        name = 'phones'
        match = {{ vendor-class = 'phone' }}"
    );
    let config = parse(&text);
    let [phones, open] = &config.subnets[0].pools[..] else { panic!("two pools") };
    assert_eq!((phones.range.first, open.range.first), (a("10.0.0.10"), a("10.0.0.20")));
    assert!(open.admits.is_open() && !phones.admits.is_open());
    assert_eq!(phones.admits, Admission { allow: set(&[1, 2]), deny: set(&[0]) });
    let admitted = [&[][..], &[0], &[1], &[2], &[0, 2]].map(|classes| phones.admits.admits(set(classes)));
    assert_eq!(admitted, [false, false, true, true, false]);
    assert_eq!(phones.overrides.options.get(224), Some(&[1][..]));
    assert_eq!(phones.overrides.times.map(|times| times.lease), Some(86_400));
    assert_eq!(open.overrides, Overrides::default());
}

/// Errors by line and part of the message.
#[track_caller]
fn refused(text: &str, expected: &[(usize, &str)]) {
    let errors = Config::parse(text, "f").expect_err(text);
    let fits = |(error, (line, part)): (&ConfigError, &(usize, &str))| {
        error.line == *line && error.message.contains(part)
    };
    assert!(errors.len() == expected.len() && errors.iter().zip(expected).all(fits), "{text}\n{errors:#?}");
}

/// A good file, with `keys` in a class named "x" from line 8 on.
#[track_caller]
fn class(keys: &str, expected: &[(usize, &str)]) {
    let subnet = "[[subnet]]\nprefix = '10.0.0.0/8'\npools = ['10.0.0.1 - 10.0.0.9']\n";
    refused(&format!("{BASE}{subnet}[[class]]\nname = 'x'\n{keys}"), expected);
}

#[test]
fn classes_that_can_not_be() {
    class("", &[(6, "[[class]] lacks `match`: add match = { vendor-class = ")]);
    class("match = {}", &[(8, "this fits every client")]);
    class(
        "match = { vendor = 'a' }",
        &[(8, "unknown key `vendor` in match: known are vendor-class, user-class")],
    );
    class("match = { architecture = 70000 }", &[(8, "70000 is out of range: 0 to 65535")]);
    class("match = { architecture = [] }", &[(8, "a list without numbers fits nobody")]);
    class("match = { vendor-class = [] }", &[(8, "a list without values fits nobody")]);
    class("match = { vendor-class = '' }", &[(8, "must not be empty: \"*\" fits any value")]);
    class("match = { vendor-class = 7 }", &[(8, "expected a value as a string, found an integer")]);
    class("match = { vendor-class = 'hex:0' }", &[(8, "\"hex:0\" is not octets")]);
    class("match = { hw-address = '00:1b:2' }", &[(8, "\"00:1b:2\" is not octets")]);
    class(
        "match = { hw-address = '00:1b:21' }",
        &[(8, "00:1b:21 is not a whole Ethernet address: write \"00:1b:21:*\" for all that begin so")],
    );
    class("match = { client-id = 'laptop' }", &[(8, "\"laptop\" is not octets")]);
    class("match = { circuit-id = 'abc' }", &[(8, "\"abc\" is not octets")]);
    let good = "match = { architecture = 7 }\n";
    class(&format!("{good}renew-time = '1m'"), &[(9, "renew-time needs a lease-time beside it: add one")]);
    class(
        &format!("{good}lease-time = '1m'\nlease-time-when-full = '2m'"),
        &[(9, "lease-time (1m) must not be shorter than lease-time-when-full (2m)")],
    );
    class(
        &format!("{good}boot-file-name = ''\nbootfile = 'a'"),
        &[(9, "must not be empty"), (10, "unknown key")],
    );
    class(&format!("{good}[[class]]\nname = 'x'\n{good}"), &[(10, "there is a class \"x\" already")]);
    class(&format!("{good}[[class]]\n{good}"), &[(9, "[[class]] lacks `name`: add name = \"phones\"")]);
    let many: String = (0..128).map(|n| format!("[[class]]\nname = 'n{n}'\n{good}")).collect();
    class(&format!("{good}{many}"), &[(391, "there can be 128 classes and no more")]);
}

#[test]
fn pools_with_terms_that_can_not_be() {
    let pool = |pool: &str, expected: &[(usize, &str)]| {
        let class = "[[class]]\nname = 'phones'\nmatch = { vendor-class = 'a' }\n";
        refused(&format!("{BASE}{class}[[subnet]]\nprefix = '10.0.0.0/8'\npools = [{pool}]"), expected);
    };
    let range = "range = '10.0.0.1 - 10.0.0.9'";
    pool(
        &format!("{{ {range}, allow = 'phone' }}"),
        &[(8, "no [[class]] is named \"phone\": did you mean \"phones\"?")],
    );
    pool(
        &format!("{{ {range}, deny = ['a', 'b'] }}"),
        &[(8, "named \"a\": known are phones"), (8, "named \"b\"")],
    );
    pool(&format!("{{ {range}, allow = [] }}"), &[(8, "name at least one class, or remove the key")]);
    pool(
        &format!("{{ {range}, alow = 'phones' }}"),
        &[(8, "unknown key `alow` in a pool: did you mean `allow`?")],
    );
    pool("{ allow = 'phones' }", &[(8, "a pool lacks `range`")]);
    pool(&format!("{{ {range}, max-lease-time = '1m' }}"), &[(8, "max-lease-time needs a lease-time")]);
    pool("{ range = '10.0.0.9 - 10.0.0.1' }", &[(8, "runs backwards")]);
    pool(&format!("{{ {range} }}, '10.0.0.9 - 10.0.0.10'"), &[(8, "overlaps the pool 10.0.0.1 - 10.0.0.9")]);
    // A class in which something is wrong is there all the same.
    refused(
        &format!(
            "{BASE}[[class]]\nname = 'phones'\n[[subnet]]\nprefix = '10.0.0.0/8'\npools = [{{ {range}, allow = 'phones' }}]"
        ),
        &[(3, "[[class]] lacks `match`")],
    );
    refused(
        &format!("{BASE}[[subnet]]\nprefix = '10.0.0.0/8'\npools = [{{ {range}, allow = 'phones' }}]"),
        &[(5, "named \"phones\": add a [[class]] of that name")],
    );
}

#[test]
fn a_horizon_must_reach_past_the_renewals_of_all() {
    let text = |horizon: &str| {
        format!(
            "server.horizon = {horizon}\n{BASE}[[subnet]]\nprefix = '10.0.0.0/8'\npools = ['10.0.0.1 - 10.0.0.9']
            [[class]]\nname = 'late'\nmatch = {{ architecture = 7 }}\nlease-time = '100s'\nrenew-time = '80s'"
        )
    };
    assert_eq!(parse(&text("1.8")).lease_times().count(), 2);
    refused(&text("1.7"), &[(1, "class \"late\" renews after 80 of 100 seconds")]);
}

#[test]
fn shared_networks_and_circuits_that_can_not_be() {
    let two = |first: &str, second: &str| {
        let subnet = |net: u8, keys: &str| {
            format!(
                "[[subnet]]\nprefix = '10.{net}.0.0/16'\npools = ['10.{net}.0.1 - 10.{net}.0.9']\n{keys}\n"
            )
        };
        format!("{BASE}{}{}", subnet(1, first), subnet(2, second))
    };
    let floor = "shared-network = 'floor'";
    assert_eq!(parse(&two(floor, floor)).subnets[1].shared_network.as_deref(), Some("floor"));
    refused(
        &two(floor, &format!("{floor}\nvlan = 7")),
        &[(
            10,
            "the subnets of \"floor\" are on one link, but this one's `vlan` is not that of the subnet with line 6",
        )],
    );
    refused(&two("shared-network = ''", ""), &[(6, "must not be empty")]);
    let reserved = |keys: &str| two("", &format!("[[subnet.reservation]]\naddress = '10.2.0.5'\n{keys}"));
    refused(&reserved("remote-id = 'olt'"), &[(10, "lacks its client"), (12, "add the circuit-id")]);
    refused(
        &reserved("hw-address = '02:00:00:00:00:01'\nremote-id = 'olt'"),
        &[(13, "remote-id tells the circuits of several relays apart: add the circuit-id")],
    );
    let again = "[[subnet.reservation]]\naddress = '10.2.0.6'\ncircuit-id = 'p-1'\nremote-id = 'olt'";
    parse(&reserved(&format!("circuit-id = 'p-1'\n{again}")));
    refused(
        &reserved(&format!("circuit-id = 'p-1'\nremote-id = 'olt'\n{again}")),
        &[(16, "circuit-id 70:2d:31 with remote-id 6f:6c:74 has a reservation on line 12 already")],
    );
}

#[test]
fn sub_options_that_can_not_be() {
    let option = |value: &str, part: &str| {
        let text = format!(
            "{BASE}[[subnet]]\nprefix = '10.0.0.0/8'\npools = ['10.0.0.1 - 10.0.0.9']\noptions.vendor-encapsulated-options = {value}"
        );
        refused(&text, &[(6, part)]);
    };
    option("{}", "there is no sub-option in it");
    option("{ six = 8 }", "`six` is not a sub-option: codes go from code-1 to code-254");
    option("{ code-255 = 8 }", "`code-255` is not a sub-option");
    option("{ code-6 = 256 }", "256 is out of range: 0 to 255");
    option("{ code-6 = [] }", "expected a list of addresses, found none");
    option("{ code-6 = '' }", "must not be empty");
    option(&format!("{{ code-6 = 'hex:{}' }}", "00".repeat(256)), "more than the 255 of a sub-option");
    option("'0104'", "is not octets: write them as \"hex:0a0b0c\"");
}

#[test]
fn a_class_may_drop_and_ask_who_is_known() {
    let [class] = &classes("name = 'x'\nmatch = { known = false }\ndrop = true")[..] else { panic!("one") };
    assert_eq!(
        (class.drop, class.matches.known, class.matches.hw_listed.as_ref()),
        (true, Some(false), None)
    );
    assert!(!classes("name = 'x'\nmatch = { known = true }")[0].drop);
    let text = format!(
        "{BASE}[[subnet]]\nprefix = '10.0.0.0/8'\npools = ['10.0.0.1 - 10.0.0.9']\n[[class]]\nname = 'x'\nmatch = {{ known = false }}\ndrop = true\nlease-time = '1h'"
    );
    let errors = Config::parse(&text, "f").expect_err("it gives something to nobody");
    assert!(errors[0].message.contains("are given nothing"), "{errors:?}");
}

#[test]
fn what_a_vendor_says_through_its_relay_is_asked_by_its_number() {
    for (written, message) in [
        ("x", "is not an enterprise number"),
        ("-1", "is not an enterprise number"),
        ("4294967296", "is not an enterprise number"),
        ("3561/hex:0", "is not octets"),
        ("3561/", "must not be empty"),
    ] {
        let text = format!(
            "{BASE}[[subnet]]\nprefix = '10.0.0.0/8'\npools = ['10.0.0.1 - 10.0.0.9']\n[[class]]\nname = 'x'\nmatch = {{ relay-vendor = '{written}' }}"
        );
        let errors = Config::parse(&text, "f").expect_err(written);
        assert!(errors[0].message.contains(message), "{errors:?}");
    }
}

/// It is warned of: somebody may have forgotten them.
#[test]
fn a_subnet_may_have_no_addresses_to_give() {
    let config = parse(&format!("{BASE}[[subnet]]\nprefix = '10.0.0.0/8'\n"));
    assert!(
        config.subnets[0].pools.is_empty() && config.warnings[0].message.contains("nobody gets an address")
    );
    let reserving = format!(
        "{BASE}[[subnet]]\nprefix = '10.0.0.0/8'\n[[subnet.reservation]]\nhw-address = '02:00:00:00:00:01'\naddress = '10.0.0.7'\n"
    );
    assert!(parse(&reserving).warnings.is_empty());
}
