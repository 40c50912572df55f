//! Refused configurations: the line, and the advice.

use crate::config::{Bootp, Config};

/// Errors by line and part of the message, in the order of the text: these and no others.
type Expected<'e> = &'e [(usize, &'e str)];

#[track_caller]
fn refused(text: &str, expected: Expected<'_>) {
    let errors = Config::parse(text, "f").expect_err(text);
    let as_expected = errors.len() == expected.len()
        && errors
            .iter()
            .zip(expected)
            .all(|(error, (line, part))| error.line == *line && error.message.contains(part));
    assert!(as_expected, "{text}\n{errors:#?}\nexpected {expected:#?}");
}

/// A good file, with `keys` in its `[server]` from line 2 on.
#[track_caller]
fn server(keys: &str, expected: Expected<'_>) {
    refused(
        &format!(
            "[server]\n{keys}\n[[interface]]\nname = 'e'\n[[subnet]]\nprefix = '192.0.2.0/24'\npools = ['192.0.2.9 - 192.0.2.9']"
        ),
        expected,
    );
}

/// A good file, with `keys` in its subnet 192.0.2.0/24 (pool .10 to .20 on line 5) from line 6 on.
#[track_caller]
fn subnet(keys: &str, expected: Expected<'_>) {
    refused(
        &format!(
            "[[interface]]\nname = 'e'\n[[subnet]]\nprefix = '192.0.2.0/24'\npools = ['192.0.2.10 - 192.0.2.20']\n{keys}"
        ),
        expected,
    );
}

/// A good file, but that its subnet is all in `keys`, from line 4 on.
#[track_caller]
fn bare_subnet(keys: &str, expected: Expected<'_>) {
    refused(&format!("[[interface]]\nname = 'e'\n[[subnet]]\n{keys}"), expected);
}

#[test]
fn files_that_are_not_whole() {
    refused(
        "",
        &[(1, "there is no [[interface]]: add one, with name = \"eth0\""), (1, "there is no [[subnet]]")],
    );
    refused("interface = []\nsubnet = []", &[(1, "no [[interface]]"), (1, "no [[subnet]]")]);
    subnet("[servr]", &[(6, "unknown key `servr` in this file: did you mean `server`?")]);
    subnet(
        "[colours]",
        &[(6, "unknown key `colours` in this file: known are server, interface, class, subnet")],
    );
    refused(
        "[interface]\nname = 'e'\n[subnet]\nprefix = '192.0.2.0/24'",
        &[(1, "write [[interface]] with two brackets"), (3, "write [[subnet]] with two brackets")],
    );
    refused(
        "server = 1\ninterface = 2\nsubnet = [3]",
        &[
            (1, "expected a table for [server], found an integer"),
            (2, "expected a list of tables: [ … ], found an integer"),
            (3, "expected a table for [[subnet]], found an integer"),
        ],
    );
}

#[test]
fn files_that_are_not_toml() {
    subnet("lease-time = 1h", &[(6, "not valid TOML: string values must be quoted")]);
    subnet("grace = '1m'\ngrace = '2m'", &[(7, "not valid TOML: duplicate key")]);
    // What else is wrong is said too, but nothing is called missing: it may stand where nothing could be read.
    refused(
        "[[subnet]]\nprefix = 10.0.0.0/8\nvlan = 5000\n",
        &[(2, "not valid TOML"), (3, "5000 is out of range")],
    );
    refused("[[subnet]]\npools = [\"192.0.2.1\n", &[(2, "not valid TOML")]);
}

#[test]
fn every_error_is_told_at_once() {
    refused(
        "[server]\nhorizon = 'far'\nprobe = 'never'\n[[interface]]\nxdp = 'fast'\n[[subnet]]\nprefx = '10.0.0.0/8'\npools = ['x', 'y']\noptions = { routers = ['z'], nonsense = 1 }\n",
        &[
            (2, "expected a number from 1 to 10, found a string"),
            (3, "\"never\" is none of \"auto\", \"off\""),
            (4, "[[interface]] lacks `name`: add name = \"eth0\""),
            (5, "\"fast\" is none of \"auto\", \"native\", \"generic\", \"external\", \"off\""),
            (6, "[[subnet]] lacks `prefix`: add prefix = \"192.0.2.0/24\""),
            (7, "unknown key `prefx` in [[subnet]]: did you mean `prefix`?"),
            (8, "\"x\" is not a range of addresses"),
            (8, "\"y\" is not a range of addresses"),
            (9, "\"z\" is not an IPv4 address"),
            (9, "unknown option `nonsense`"),
        ],
    );
}

#[test]
fn columns_point_at_the_value() {
    let text = "[[interface]]\nname = 'e'\n[[subnet]]\nprefix = '192.0.2.0/24'\npools = ['192.0.2.1 - 192.0.2.9', 'ä', 'b']";
    let places: Vec<_> =
        Config::parse(text, "f").unwrap_err().iter().map(|error| (error.line, error.column)).collect();
    assert_eq!(places, [(5, 35), (5, 40)]);
}

#[test]
fn bootp_is_off_reserved_or_dynamic() {
    let subnet = |key: &str| {
        format!(
            "[[interface]]\nname = 'eth0'\n[[subnet]]\nprefix = '10.0.0.0/24'\npools = ['10.0.0.10 - 10.0.0.19']\n{key}\n"
        )
    };
    let read = |key: &str| Config::parse(&subnet(key), "f").map(|config| config.subnets[0].bootp);
    assert_eq!(read(""), Ok(Bootp::Off));
    assert_eq!(read("bootp = false"), Ok(Bootp::Off));
    assert_eq!(read("bootp = true"), Ok(Bootp::Reserved));
    assert_eq!(read("bootp = 'dynamic'"), Ok(Bootp::Dynamic));
    for wrong in ["bootp = 'static'", "bootp = 1"] {
        assert_eq!(read(wrong).map_err(|errors| errors[0].line), Err(6), "{wrong}");
    }
}

#[test]
fn servers() {
    server("state-dir = 'lib'", &[(2, "\"lib\" is not an absolute path: begin it with /")]);
    server("pin-dir = '/a\u{0}'", &[(2, "not valid TOML")]);
    server("pin-dir = \"/a\\u0000\"", &[(2, "not an absolute path")]);
    server(&format!("control-socket = '/{}'", "x".repeat(107)), &[(2, "108 octets, a socket's at most 107")]);
    server("metrics-listen = '9547'", &[(2, "not an address and port, such as \"127.0.0.1:19067\"")]);
    server("metrics-listen = '127.0.0.1:0'", &[(2, "write the port")]);
    server("metrics-listen = 9547", &[(2, "expected an address and port")]);
    server("offer-hold = '0s'", &[(2, "must be longer than zero")]);
    server(
        "offer-hold = 10",
        &[(
            2,
            "expected a duration with its unit, such as \"90s\" or \"1h 30m\" as a string, found an integer",
        )],
    );
    server("offer-hold = '10'", &[(2, "\"10\" is not a duration")]);
    server("offer-hold = '1500ms'", &[(2, "not a whole number of seconds")]);
    server("quarantine = '11years'", &[(2, "too long: at most")]);
    server("quarantine = '-1s'", &[(2, "not a duration")]);
    server("probe = true", &[(2, "expected one of \"auto\", \"off\" as a string, found a boolean")]);
    server("keep-cpus-awake = true", &[(2, "expected one of \"never\", \"under-load\", \"always\"")]);
    server("store = 'sqlite'", &[(2, "\"sqlite\" is not a store: write \"embedded\" or { etcd")]);
    server("store = { etcd = [] }", &[(2, "at least one endpoint")]);
    server(
        "store = { etcd = ['127.0.0.1:2379', 'http://'] }",
        &[(2, "\"127.0.0.1:2379\" is not a URL"), (2, "\"http://\" is not a URL")],
    );
    server("store = { etcd = ['https://127.0.0.1:2379'] }", &[(2, "without TLS so far")]);
    server(
        "store = { etcd = ['http://127.0.0.1:2379'], prefix = 'x/', node = 'a b' }",
        &[(2, "\"x/\" is no prefix"), (2, "\"a b\" is no node's name")],
    );
    server("store = { redis = 'x' }", &[(2, "lacks `etcd`"), (2, "unknown key `redis` in store")]);
    server("horizon = 0.5", &[(2, "out of range: 1 to 10")]);
    server("horizon = nan", &[(2, "out of range: 1 to 10")]);
    server("horizon = inf", &[(2, "out of range: 1 to 10")]);
    server(
        "horizon = 1.49",
        &[(
            2,
            "192.0.2.0/24 renews after 1800 of 3600 seconds, which takes 1 + T1 / lease time = 1.500 or more",
        )],
    );
    server("leasequery-from = ['10.0.0.1', '10.0.0.1']", &[(2, "in this list already")]);
    server("leasequery-from = ['any']", &[(2, "\"any\" is not an IPv4 address")]);
    server("lease-time = '1h'", &[(2, "unknown key `lease-time` in [server]")]);
    server("options = { lease-time = 5 }", &[(2, "unknown option `lease-time`")]);
}

/// The nearest horizon that lets a renewal at T1 be answered is good enough.
#[test]
fn a_horizon_may_be_just_far_enough() {
    let text = |horizon: &str| {
        format!("server.horizon = {horizon}\n[[interface]]\nname = 'e'\n[[subnet]]\nprefix = '10.0.0.0/8'\npools = ['10.0.0.0/9']\nrenew-time = '30m'")
            .replace("'10.0.0.0/9'", "'10.0.0.1 - 10.0.0.2'")
    };
    assert!(Config::parse(&text("1.5"), "f").is_ok());
    refused(&text("1.4999"), &[(1, "horizon 1.4999 is too near")]);
}

#[test]
fn interfaces() {
    let interface = |keys: &str, expected: Expected<'_>| {
        let text = format!(
            "[[subnet]]\nprefix = '192.0.2.0/24'\npools = ['192.0.2.9 - 192.0.2.9']\n[[interface]]\n{keys}"
        );
        refused(&text, expected);
    };
    interface("xdp = 'auto'", &[(4, "[[interface]] lacks `name`")]);
    interface("name = ''", &[(5, "can't be an interface")]);
    interface("name = 'sixteen-letters-'", &[(5, "can't be an interface: a name has 1 to 15 octets")]);
    interface("name = '..'", &[(5, "can't be an interface")]);
    interface("name = 'a/b'", &[(5, "can't be an interface")]);
    interface(
        "name = 'e'\nmode = 'native'",
        &[(6, "unknown key `mode` in [[interface]]: known are name, xdp")],
    );
    interface(
        "name = 'e'\n[[interface]]\nxdp = 'off'\nname = 'e'",
        &[(8, "interface \"e\" is configured twice")],
    );
}

#[test]
fn prefixes() {
    for (prefix, message) in [
        ("192.0.2.0", "\"192.0.2.0\" is not a prefix, such as \"192.0.2.0/24\""),
        ("192.0.2.0/33", "is not a prefix"),
        ("0.0.0.0/0", "is not a prefix"),
        ("192.0.2/24", "is not a prefix"),
        ("2001:db8::/64", "is not a prefix"),
        ("192.0.2.1/24", "has bits set beyond its length: write \"192.0.2.0/24\""),
        ("127.0.0.0/8", "loopback, multicast or reserved"),
        ("64.0.0.0/2", "loopback, multicast or reserved"),
        ("224.0.0.0/4", "loopback, multicast or reserved"),
    ] {
        bare_subnet(&format!("prefix = '{prefix}'\npools = ['192.0.2.1 - 192.0.2.9']"), &[(4, message)]);
    }
    bare_subnet("pools = ['192.0.2.1 - 192.0.2.9']", &[(3, "[[subnet]] lacks `prefix`")]);
}

#[test]
fn subnets_that_overlap() {
    let other = |prefix: &str, keys: &str| {
        format!(
            "[[subnet]]\nprefix = '{prefix}'\n{keys}\n[[subnet.reservation]]\nhw-address = '02:00:00:00:00:01'\naddress = '192.0.2.130'"
        )
    };
    subnet(&other("192.0.2.128/25", ""), &[(7, "192.0.2.128/25 overlaps the subnet on line 4")]);
    subnet(
        &other("192.0.2.0/24", "vlan = 7"),
        &[(
            7,
            "192.0.2.0/24 overlaps the subnet on line 4: an address is leased from one subnet only, whatever its VLAN",
        )],
    );
    subnet(&other("192.0.0.0/16", ""), &[(7, "192.0.0.0/16 overlaps the subnet on line 4")]);
}

#[test]
fn pools() {
    let pools = |pools: &str, expected: Expected<'_>| {
        bare_subnet(&format!("prefix = '192.0.2.0/24'\npools = {pools}"), expected);
    };
    pools("'192.0.2.1 - 192.0.2.9'", &[(5, "expected a list of address ranges: [ … ], found a string")]);
    pools("['192.0.2.1']", &[(5, "\"192.0.2.1\" is not a range of addresses")]);
    pools("['192.0.2.1 - 9']", &[(5, "is not a range of addresses")]);
    pools("['192.0.2.9 - 192.0.2.1']", &[(5, "runs backwards: write \"192.0.2.1 - 192.0.2.9\"")]);
    pools("['192.0.1.250 - 192.0.2.9']", &[(5, "is not inside the subnet's 192.0.2.0/24")]);
    pools(
        "['192.0.2.0 - 192.0.2.9']",
        &[(
            5,
            "network or the broadcast address of 192.0.2.0/24 in it: the widest pool is \"192.0.2.1 - 192.0.2.254\"",
        )],
    );
    pools("['192.0.2.9 - 192.0.2.255']", &[(5, "the network or the broadcast address")]);
    pools("['192.0.2.128/25']", &[(5, "the network or the broadcast address")]);
    pools("['192.0.2.129/25']", &[(5, "write \"192.0.2.128/25\"")]);
    pools(
        "['192.0.2.1 - 192.0.2.9', '192.0.2.9 - 192.0.2.20']",
        &[(5, "192.0.2.9 - 192.0.2.20 overlaps the pool 192.0.2.1 - 192.0.2.9")],
    );
    pools("['192.0.2.1 - 192.0.2.9', 7]", &[(5, "expected a range of addresses")]);
}

#[test]
fn lease_times() {
    subnet("lease-time = '0s'", &[(6, "must be longer than zero")]);
    subnet("lease-time = '2s'", &[(6, "a lease must last 3s or more")]);
    subnet("renew-time = '0s'", &[(6, "must be longer than zero")]);
    subnet("renew-time = '55m'", &[(6, "renew-time (55m) must be shorter than rebind-time (52m 30s)")]);
    subnet("rebind-time = '30m'", &[(6, "renew-time (30m) must be shorter than rebind-time (30m)")]);
    subnet("rebind-time = '1h'", &[(6, "rebind-time (1h) must be shorter than lease-time (1h)")]);
    subnet(
        "lease-time = '5m'\nrenew-time = '10m'\nrebind-time = '20m'",
        &[(8, "rebind-time (20m) must be shorter than lease-time (5m)")],
    );
    subnet("min-lease-time = '2h'", &[(6, "lease-time (1h) must not be shorter than min-lease-time (2h)")]);
    subnet("max-lease-time = '59m'", &[(6, "max-lease-time (59m) must not be shorter than lease-time (1h)")]);
    subnet("lease-time = 'soon'\nrenew-time = '2h'", &[(6, "\"soon\" is not a duration")]);
    subnet("grace = 'x'", &[(6, "\"x\" is not a duration")]);
}

#[test]
fn links_and_addresses() {
    subnet("vlan = 0", &[(6, "0 is out of range: 1 to 4094")]);
    subnet("vlan = 4095", &[(6, "4095 is out of range")]);
    subnet("vlan = '7'", &[(6, "expected a number from 1 to 4094, found a string")]);
    subnet("vlan = [1]", &[(6, "expected one VLAN id, such as 100, or two, outer first")]);
    subnet("vlan = [1, 2, 3]", &[(6, "expected one VLAN id")]);
    subnet("vlan = [1, 0]", &[(6, "0 is out of range")]);
    subnet("server-id = '255.255.255.255'", &[(6, "not an address that a host can have")]);
    subnet("server-id = 'me'", &[(6, "\"me\" is not an IPv4 address")]);
    subnet(
        "server-id = '192.0.2.15'",
        &[(6, "192.0.2.15 is in the pool 192.0.2.10 - 192.0.2.20 and would be leased to a client")],
    );
    subnet("relays = '192.0.2.1'", &[(6, "expected a list of relay addresses")]);
    subnet("relays = ['198.51.100.1', '198.51.100.1']", &[(6, "198.51.100.1 is in this list already")]);
    subnet("relays = ['224.0.0.1']", &[(6, "224.0.0.1 is not an address that a host can have")]);
    subnet("relays = ['192.0.2.10']", &[(6, "take it out of the pool")]);
    subnet("next-server = '0.0.0.0'", &[(6, "0.0.0.0 is not an address that a host can have")]);
    subnet("authoritative = 'yes'", &[(6, "expected true or false, found a string")]);
    subnet("max-leases-per-device = 0", &[(6, "0 is out of range: 1 to 1000000")]);
    subnet("max-leases-per-device-in-use = 3", &[(6, "3 is less than `max-leases-per-device` (4)")]);
    subnet("max-leases-per-ras-device = -1", &[(6, "-1 is out of range")]);
    subnet("max-leases-per-ras-device = 99999999999999999999", &[(6, "out of range")]);
    subnet(
        &format!("server-hostname = '{}'", "x".repeat(64)),
        &[(6, "64 octets are more than the field's 63")],
    );
    subnet(
        &format!("boot-file-name = '{}'", "x".repeat(128)),
        &[(6, "128 octets are more than the field's 127")],
    );
    subnet("boot-file-name = ''", &[(6, "must not be empty")]);
    subnet("boot-file-name = \"a\\u0007\"", &[(6, "control characters")]);
}

#[test]
fn reservations() {
    let reservation =
        |keys: &str, expected: Expected<'_>| subnet(&format!("[[subnet.reservation]]\n{keys}"), expected);
    reservation(
        "",
        &[(6, "[[subnet.reservation]] lacks its client: add hw-address, client-id or circuit-id")],
    );
    let address = "address = '192.0.2.5'";
    for (client, message) in [
        ("hw-address = '02:00:00:00:01'", "not an Ethernet address, such as \"02:00:00:00:00:01\""),
        ("hw-address = '02:00:00:00:00:0g'", "not an Ethernet address"),
        ("hw-address = 'ff:ff:ff:ff:ff:ff'", "group or zero address"),
        ("hw-address = '00:00:00:00:00:00'", "group or zero address"),
        ("client-id = ''", "is not octets"),
        ("client-id = '01:2'", "is not octets"),
        ("client-id = 'laptop'", "\"laptop\" is not octets, such as \"01:02:0a\" (or \"'text'\""),
        ("circuit-id = 'abc'", "\"abc\" is not octets"),
        ("circuit-id = 7", "expected octets or text as a string, found an integer"),
    ] {
        reservation(&format!("{address}\n{client}"), &[(8, message)]);
    }
    let long = "00".repeat(256);
    reservation(&format!("{address}\nclient-id = '{long}'"), &[(8, "256 octets are more than the 255")]);
    reservation(
        &format!("{address}\nhw-address = '02:00:00:00:00:01'\nclient-id = '01'"),
        &[(9, "one of hw-address, client-id and circuit-id")],
    );
    let client = "hw-address = '02:00:00:00:00:01'";
    for (address, message) in [
        (
            "198.51.100.1",
            "198.51.100.1 is not an address that a host in 192.0.2.0/24 can have (192.0.2.1 - 192.0.2.254)",
        ),
        ("192.0.2.0", "is not an address that a host in 192.0.2.0/24 can have"),
        ("192.0.2.255", "is not an address that a host in 192.0.2.0/24 can have"),
        ("192.0.2.256", "is not an IPv4 address"),
    ] {
        reservation(&format!("{client}\naddress = '{address}'"), &[(8, message)]);
    }
    reservation(&format!("{client}\n{address}\nhost-name = 'a b'"), &[(9, "is not a host name")]);
    reservation(&format!("{client}\n{address}\nhost-name = '-a'"), &[(9, "is not a host name")]);
    reservation(
        &format!("{client}\n{address}\nhostname = 'a'"),
        &[(9, "unknown key `hostname` in [[subnet.reservation]]: did you mean `host-name`?")],
    );
    reservation(
        &format!("{client}\n{address}\n[[subnet.reservation]]\n{client}\naddress = '192.0.2.6'"),
        &[(10, "hw-address 02:00:00:00:00:01 has a reservation on line 7 already")],
    );
    reservation(
        &format!("{client}\n{address}\n[[subnet.reservation]]\nclient-id = '01'\n{address}"),
        &[(11, "192.0.2.5 is reserved on line 8 already")],
    );
    subnet(
        "server-id = '192.0.2.5'\n[[subnet.reservation]]\nclient-id = '01'\naddress = '192.0.2.5'",
        &[(6, "192.0.2.5 is reserved for a client")],
    );
}

#[test]
fn options() {
    let option =
        |option: &str, expected: &str| subnet(&format!("[subnet.options]\n{option}"), &[(7, expected)]);
    option("router = '192.0.2.1'", "unknown option `router`: did you mean `routers`?");
    option(
        "nonsense = 1",
        "unknown option `nonsense`: names are Kea's; any other option is code-N = \"hex:…\"",
    );
    option("code-0 = 'hex:00'", "`code-0` is not an option: codes go from code-1 to code-254");
    option("code-255 = 'hex:00'", "`code-255` is not an option");
    option("code-x = 'hex:00'", "`code-x` is not an option");
    option("code-224 = '0a'", "\"0a\" is not octets: write them as \"hex:0a0b0c\"");
    option("code-224 = 'hex:'", "is not octets");
    option("code-224 = 'hex:0'", "is not octets");
    option("code-224 = 10", "expected octets");
    option("dhcp-lease-time = 5", "`dhcp-lease-time` can't be set: write lease-time in the subnet");
    option("code-53 = 'hex:05'", "`code-53` can't be set: the server sets it");
    option("code-82 = 'hex:05'", "`code-82` can't be set: the server echoes what the relay sends");
    option(
        "code-33 = 'hex:000000000a000001'",
        "`code-33` (`static-routes`) has the destination 0.0.0.0: write the default route as `routers`",
    );
    option("code-1 = 'hex:ff00ff00'", "`code-1` (`subnet-mask`) has 255.0.255.0, which is not a subnet mask");
    for code in [50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 61, 80, 81, 82, 90, 91, 92, 97, 118, 145, 151, 157] {
        option(&format!("code-{code} = 'hex:00000001'"), &format!("`code-{code}` can't be set: "));
    }
    option("routers = []", "expected a list of addresses, found none");
    option("routers = 'fe80::1'", "\"fe80::1\" is not an IPv4 address");
    option("subnet-mask = ['255.0.0.0']", "expected an IPv4 address as a string, found an array");
    for address in ["224.0.0.1", "255.255.255.255"] {
        option(&format!("routers = '{address}'"), "is not the address of one host");
        option(&format!("domain-name-servers = ['9.9.9.9', '{address}']"), "is not the address of one host");
        option(&format!("swap-server = '{address}'"), "is not the address of one host");
        option(&format!("sip-servers = '{address}'"), "is not the address of one host");
        option(&format!("static-routes = ['10.0.0.0', '{address}']"), "is not the address of one host");
        option(&format!("static-routes = ['{address}', '10.0.0.1']"), "is not a destination");
        option(
            &format!("classless-static-route = '10.0.0.0/8 - {address}'"),
            "not the address of one router",
        );
    }
    for unset in [
        "routers = '0.0.0.0'",
        "domain-name-servers = ['9.9.9.9', '0.0.0.0']",
        "ntp-servers = '0.0.0.0'",
        "broadcast-address = '0.0.0.0'",
        "static-routes = ['10.0.0.0', '0.0.0.0']",
    ] {
        option(unset, "0.0.0.0 is not an address to be told");
    }
    for mask in ["0.0.0.0", "255.0.255.0", "255.255.255.1", "0.255.255.255"] {
        option(&format!("subnet-mask = '{mask}'"), "is not a subnet mask");
        option(&format!("policy-filter = ['10.0.0.0', '{mask}']"), "is not a subnet mask");
    }
    option(
        "static-routes = ['10.9.0.0', '192.0.2.1', '0.0.0.0', '192.0.2.1']",
        "0.0.0.0 is not a destination of a static route: write the default route as `routers`",
    );
    option("policy-filter = ['10.0.0.0']", "addresses in pairs: one is left over");
    option("netbios-node-type = 3", "expected one of 1, 2, 4, 8");
    option("auto-config = 2", "expected one of 0, 1");
    option("interface-mtu = 67", "67 is out of range: 68 to 65535");
    option("default-ip-ttl = 256", "256 is out of range: 1 to 255");
    option("time-offset = 2147483648", "out of range");
    option("ip-forwarding = 1", "expected true or false, found an integer");
    option("domain-name = ''", "must not be empty");
    option("domain-name = 7", "expected text as a string");
    option("domain-search = ['a..b']", "\"a..b\" is not a domain name");
    option("domain-search = ['']", "\"\" is not a domain name");
    option(&format!("domain-search = ['{}.org']", "x".repeat(64)), "is not a domain name");
    option("static-routes = ['10.0.0.0', '192.0.2.1', '10.1.0.0']", "addresses in pairs: one is left over");
    option("classless-static-route = '10.0.0.0/8'", "\"10.0.0.0/8\" is not \"DESTINATION - ROUTER\"");
    option("classless-static-route = '10.0.0.1/8 - 192.0.2.1'", "is not \"DESTINATION - ROUTER\"");
    option("classless-static-route = [{ destination = '10.0.0.0/8' }]", "route lacks `router`");
    option(
        "classless-static-route = [{ destination = '10.0.0.1/8', router = '192.0.2.1' }]",
        "without bits beyond its length",
    );
    option("sip-servers = ['192.0.2.1', 'sip.example.org', 'a b']", "\"a b\" is not a domain name");
    option(
        &format!("code-224 = 'hex:{}'", "00".repeat(641)),
        "641 octets, more than an answer has room for (632)",
    );
    subnet(
        "[subnet.options]\nrouters = '192.0.2.1'\ncode-3 = 'hex:c0000201'",
        &[(8, "option 3 is set twice, by name and by code")],
    );
    subnet("options = 5", &[(6, "expected a table for options, found an integer")]);
}
