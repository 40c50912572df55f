//! Consistent configurations, and inconsistent ones.

mod classes;
mod files;
mod options;
mod properties;
mod refused;

use std::net::Ipv4Addr;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

/// The configuration of the design, word for word.
const DOCUMENTED: &str = r#"
[server]
state-dir      = "/var/lib/xdhcpd"
control-socket = "/run/xdhcpd/control.sock"
metrics-listen = "127.0.0.1:19067"     # optional, Prometheus text format at /metrics
offer-hold     = "10s"                # how long an unanswered OFFER keeps its address
probe          = "auto"               # auto | off: conflict probing before an OFFER
quarantine     = "24h"
store          = "embedded"           # or { etcd = ["http://127.0.0.1:2379"] }
pin-dir        = "/sys/fs/bpf/xdhcpd"
horizon        = 2.0                  # how many lease times ahead of the last ACK the store commits

[[interface]]
name = "eth0"
xdp  = "auto"                         # auto | native | generic | off

[[subnet]]
prefix        = "192.0.2.0/24"
pools         = ["192.0.2.10 - 192.0.2.200"]
lease-time    = "1h"                  # optional: renew-time (T1, default 1/2), rebind-time (T2, default 7/8)
grace         = "5m"
authoritative = true
relays        = ["198.51.100.1"]      # giaddrs served from this subnet; the subnet's own addresses always are
max-leases-per-device = 4
options       = { routers = ["192.0.2.1"], domain-name-servers = ["192.0.2.53"], domain-name = "example.org" }

[[subnet.reservation]]
hw-address = "02:00:00:00:00:01"      # or client-id = "01:…", or circuit-id
address    = "192.0.2.5"              # optional: host-name, options
"#;

fn a(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

#[test]
fn what_the_server_boots_from_holds_where_a_subnet_says_nothing_else() {
    let text = "[server]\nnext-server = \"192.0.2.4\"\nserver-hostname = \"tftp\"\nboot-file-name = \"a\"\n[[interface]]\nname = \"e\"\n\
        [[subnet]]\nprefix = \"192.0.2.0/24\"\npools = [\"192.0.2.10 - 192.0.2.20\"]\nboot-file-name = \"b\"\n";
    let config = Config::parse(text, "f").unwrap();
    let boot = &config.subnets[0].boot;
    assert_eq!(boot.next_server, Some([192, 0, 2, 4].into()));
    assert_eq!((boot.server_name.as_deref(), boot.file.as_deref()), (Some("tftp"), Some("b")));
}

#[test]
fn who_may_ask_about_leases_is_listed() {
    let text = DOCUMENTED.replacen("[server]", "[server]\nleasequery-from = ['198.51.100.1', '10.0.0.1']", 1);
    let server = Config::parse(&text, "f").unwrap().server;
    assert_eq!(server.leasequery_from, [a("198.51.100.1"), a("10.0.0.1")]);
    assert_eq!(Config::parse(DOCUMENTED, "f").unwrap().server.leasequery_from, [] as [Ipv4Addr; 0], "nobody");
}

#[test]
fn cpus_are_kept_awake_when_the_operator_says() {
    let when = |text: &str| Config::parse(text, "f").unwrap().server.keep_cpus_awake;
    let with = |key: &str| DOCUMENTED.replacen("[server]", &format!("[server]\n{key}"), 1);
    assert_eq!(when(DOCUMENTED), KeepAwake::UnderLoad);
    assert_eq!(when(&with("keep-cpus-awake = 'under-load'")), KeepAwake::UnderLoad);
    assert_eq!(when(&with("keep-cpus-awake = 'never'")), KeepAwake::Never);
}

#[test]
fn limits_are_messages_a_second() {
    let limited = DOCUMENTED.replacen("[server]", "[server]\nleasequery-rate-limit = 7", 1).replacen(
        "[[interface]]",
        "[[interface]]\nrate-limit = 2000\ncircuit-rate-limit = 20",
        1,
    );
    let config = Config::parse(&limited, "f").unwrap();
    let rates = [config.interfaces[0].rate_limit, config.interfaces[0].circuit_rate_limit];
    assert_eq!(rates.map(|rate| rate.map(u32::from)), [Some(2000), Some(20)]);
    assert_eq!(config.server.leasequery_rate_limit.get(), 7);
    for wrong in ["rate-limit = 0", "rate-limit = -1", "circuit-rate-limit = '20'", "rate-limit = 1.5"] {
        let text = DOCUMENTED.replacen("[[interface]]", &format!("[[interface]]\n{wrong}"), 1);
        assert_eq!(Config::parse(&text, "f").unwrap_err().len(), 1, "{wrong}");
    }
}

#[test]
fn the_documented_configuration_means_what_it_says() {
    let config = Config::parse(DOCUMENTED, "xdhcpd.toml").unwrap();
    let server = Server { metrics_listen: Some("127.0.0.1:19067".parse().unwrap()), ..Server::default() };
    assert_eq!(config.server, server);
    let (rate_limit, circuit_rate_limit) = (None, None);
    let eth0 = Interface {
        name: "eth0".to_owned(),
        xdp: XdpMode::Auto,
        probe: None,
        rate_limit,
        circuit_rate_limit,
        trust_agent_information: false,
    };
    assert_eq!(config.interfaces, [eth0]);
    let options = [(3, vec![192, 0, 2, 1]), (6, vec![192, 0, 2, 53]), (15, b"example.org".to_vec())];
    let subnet = Subnet {
        prefix: Prefix { network: a("192.0.2.0"), len: 24 },
        vlan: Vlan::default(),
        shared_network: None,
        pools: vec![Pool { first: a("192.0.2.10"), last: a("192.0.2.200") }.into()],
        times: LeaseTimes { lease: 3600, renew: 1800, rebind: 3150, min: 60, max: 3600, when_full: None },
        grace: 300,
        authoritative: true,
        bootp: Bootp::Off,
        relays: vec![a("198.51.100.1")],
        server_id: None,
        probe: None,
        max_leases_per_device: 4,
        max_leases_per_ras_device: 32,
        max_leases_per_device_in_use: 64,
        max_leases_per_circuit: None,
        trust_agent_information: None,
        options: OptionSet(options.into()),
        boot: Boot::default(),
        reservations: vec![Reservation {
            key: ReservationKey::HwAddress([2, 0, 0, 0, 0, 1]),
            address: Some(a("192.0.2.5")),
            host_name: None,
            classes: ClassSet::default(),
            overrides: Overrides::default(),
        }],
    };
    assert_eq!(config.subnets, [subnet]);
}

#[test]
fn every_key_is_read() {
    let text = r#"
        [server]
        state-dir = "/s"
        control-socket = "/c"
        offer-hold = "1m 5s"
        probe = "off"
        quarantine = "1day"
        store = { etcd = ["http://10.0.0.1:2379", "http://etcd.example.org:2379"], node = "a" }
        pin-dir = "/p"
        horizon = 3
        keep-cpus-awake = "always"
        options = { domain-name-servers = "9.9.9.9", time-offset = -3600 }

        [[interface]]
        name = "lan0"
        xdp = "native"
        [[interface]]
        name = "lan1"
        xdp = "off"

        [[subnet]]
        prefix = "10.0.0.0/8"
        vlan = [200, 100]
        pools = ["10.2.0.0/16", "10.1.0.0-10.1.0.9"]
        lease-time = "100s"
        renew-time = "10s"
        rebind-time = "20s"
        min-lease-time = "5s"
        max-lease-time = "2h"
        lease-time-when-full = "30s"
        shared-network = "floor"
        grace = "0s"
        authoritative = false
        server-id = "10.0.0.1"
        max-leases-per-device = 1
        max-leases-per-ras-device = 10
        max-leases-per-device-in-use = 20
        next-server = "10.0.0.2"
        server-hostname = "boot"
        boot-file-name = "pxe/grub.efi"
        options.domain-name-servers = ["10.0.0.3"]
        [[subnet.reservation]]
        client-id = "01:02:00:00:00:00:01"
        address = "10.1.0.1"
        host-name = "printer.example.org"
        options = { code-224 = "hex:00ff" }
        [[subnet.reservation]]
        circuit-id = "ge-0/0/1:100"
        address = "10.9.0.1"
        [[subnet.reservation]]
        circuit-id = "'cafe'"
        address = "10.9.0.2"
        [[subnet.reservation]]
        circuit-id = "00:04:00:64"
        remote-id = "olt-7"
        address = "10.9.0.3"

        [[subnet]]
        prefix = "192.0.2.4/31"
        vlan = 7
        pools = ["192.0.2.4 - 192.0.2.5"]
    "#;
    let config = Config::parse(text, "f").unwrap();
    assert_eq!(config.server.state_dir, PathBuf::from("/s"));
    assert_eq!(config.server.control_socket, PathBuf::from("/c"));
    assert_eq!(config.server.metrics_listen, None);
    assert_eq!((config.server.offer_hold, config.server.quarantine), (65, 86_400));
    assert_eq!(config.server.probe, Probe::Off);
    assert_eq!(config.server.keep_cpus_awake, KeepAwake::Always);
    let endpoints = ["http://10.0.0.1:2379", "http://etcd.example.org:2379"].map(str::to_owned);
    let etcd = Etcd { endpoints: endpoints.into(), prefix: "/xdhcpd".to_owned(), node: Some("a".to_owned()) };
    assert_eq!(config.server.store, StoreChoice::Etcd(etcd));
    assert_eq!(config.server.pin_dir, PathBuf::from("/p"));
    assert_eq!(config.subnets[0].shared_network.as_deref(), Some("floor"));
    assert!((config.server.horizon - 3.0).abs() < f64::EPSILON);
    assert_eq!(config.interfaces.iter().map(|i| i.xdp).collect::<Vec<_>>(), [XdpMode::Native, XdpMode::Off]);

    let [wide, pair] = &config.subnets[..] else { panic!("two subnets") };
    assert_eq!((wide.vlan, pair.vlan), (Vlan { outer: 200, inner: 100 }, Vlan { outer: 7, inner: 0 }));
    assert_eq!(
        wide.pools.iter().map(|pool| pool.range.to_string()).collect::<Vec<_>>(),
        ["10.1.0.0 - 10.1.0.9", "10.2.0.0 - 10.2.255.255"]
    );
    let times = LeaseTimes { lease: 100, renew: 10, rebind: 20, min: 5, max: 7200, when_full: Some(30) };
    assert_eq!((wide.times, wide.grace), (times, 0));
    assert!(!wide.authoritative && pair.authoritative);
    assert_eq!((wide.server_id, wide.boot.next_server), (Some(a("10.0.0.1")), Some(a("10.0.0.2"))));
    assert_eq!((wide.max_leases_per_device, wide.max_leases_per_ras_device), (1, 10));
    assert_eq!((wide.max_leases_per_device_in_use, pair.max_leases_per_device_in_use), (20, 64));
    assert_eq!(
        (wide.boot.server_name.as_deref(), wide.boot.file.as_deref()),
        (Some("boot"), Some("pxe/grub.efi"))
    );
    assert_eq!(wide.options.get(6), Some(&[10, 0, 0, 3][..]), "the subnet's own override the server's");
    assert_eq!(pair.options.get(6), Some(&[9, 9, 9, 9][..]), "and the server's hold elsewhere");
    assert_eq!(wide.options.get(2), Some(&(-3600_i32).to_be_bytes()[..]));
    let circuit = |id: &[u8], remote_id: Option<&[u8]>| ReservationKey::Circuit {
        id: id.to_vec(),
        remote_id: remote_id.map(<[u8]>::to_vec),
    };
    let keys: Vec<_> = wide.reservations.iter().map(|r| r.key.clone()).collect();
    assert_eq!(
        keys,
        [
            ReservationKey::ClientId(vec![1, 2, 0, 0, 0, 0, 1]),
            circuit(b"ge-0/0/1:100", None),
            circuit(b"cafe", None),
            circuit(&[0, 4, 0, 0x64], Some(b"olt-7")),
        ]
    );
    assert_eq!(wide.reservations[0].host_name.as_deref(), Some("printer.example.org"));
    assert_eq!(wide.reservations[0].overrides.options.get(224), Some(&[0, 255][..]));
}

#[test]
fn a_file_is_read_and_errors_name_it() {
    let dir = std::env::temp_dir().join(format!("xdhcpd-config-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("xdhcpd.toml");
    assert!(matches!(Config::load(&path), Err(LoadError::Read { .. })));
    std::fs::write(&path, DOCUMENTED).unwrap();
    assert!(Config::load(&path).is_ok());
    std::fs::write(&path, b"[server]\nstate-dir = \"/\xff\"\n").unwrap();
    let message = Config::load(&path).unwrap_err().to_string();
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(
        message,
        format!("{}:2:15: not valid TOML: from here on it is not UTF-8 text", path.display())
    );
}

proptest! {
    #[test]
    fn any_text_is_taken_or_refused_with_a_reason(text in "\\PC*|([a-z\\[\\]{}=\",.# \n-]|[0-9])*") {
        if let Err(errors) = Config::parse(&text, "f") {
            prop_assert!(!errors.is_empty());
        }
    }

    /// Damage to a good file: cut, and something foreign in between.
    #[test]
    fn a_damaged_file_is_taken_or_refused_with_places_in_it(from in 0..DOCUMENTED.len(), cut in 0..40_usize, foreign in "\\PC{0,6}|\n|\"|\\[|\\]") {
        let mut text = DOCUMENTED.as_bytes().to_vec();
        let end = (from + cut).min(text.len());
        text.splice(from..end, foreign.bytes());
        let text = String::from_utf8_lossy(&text);
        if let Err(errors) = Config::parse(&text, "f") {
            prop_assert!(!errors.is_empty());
            for error in errors {
                prop_assert!(error.line <= text.lines().count() + 1, "{error}");
            }
        }
    }

    /// Values of every type under every key.
    #[test]
    fn a_wrong_value_is_refused_where_it_stands(
        key in prop::sample::select(vec![
            "prefix", "vlan", "pools", "lease-time", "renew-time", "grace", "authoritative", "relays", "server-id",
            "max-leases-per-device", "options", "next-server", "server-hostname", "reservation",
        ]),
        value in prop::sample::select(vec![
            "1e400", "-1", "99999999999999999999", "[]", "{}", "[[]]", "[{}]", "nan", "1979-05-27", "'\u{0}'", "\"\\u0000\"", "[1, 'x', 2.5]",
            "'18446744073709551616y'", "'/'", "'-'", "'1.2.3.4/33'", "0x_", "{ a = { b = 1 } }",
        ]),
    ) {
        let text = format!("[[interface]]\nname = 'e'\n[[subnet]]\n{key} = {value}\n");
        let errors = Config::parse(&text, "f").unwrap_err();
        prop_assert!(errors.iter().any(|error| error.line >= 3), "{errors:?}");
    }
}

/// A host's address that options name can't be leased to another: the file is good, and a warning says so.
#[test]
fn hosts_in_pools_are_warned_of_with_their_lines() {
    let text = r#"[[interface]]
name = "eth0"
[[subnet]]
prefix = "192.0.2.0/24"
pools = ["192.0.2.1 - 192.0.2.99", { range = "192.0.2.100 - 192.0.2.110", options = { tftp-server-address = "192.0.2.103" } }]
options = { routers = ["192.0.2.1"], domain-name-servers = ["192.0.2.53", "192.0.2.200"] }
[[subnet.reservation]]
hw-address = "02:00:00:00:00:01"
address = "192.0.2.53"
"#;
    let config = Config::parse(text, "f").expect("a good configuration");
    let said = |warnings: &[ConfigError]| -> Vec<(usize, String)> {
        let first = |message: &str| message.split(' ').next().unwrap_or_default().to_owned();
        warnings.iter().map(|warning| (warning.line, first(&warning.message))).collect()
    };
    let expected = [(5, "192.0.2.103".to_owned()), (6, "192.0.2.1".to_owned())];
    assert_eq!(said(&config.warnings), expected, "what is reserved is its own");
    let own = [("eth0", a("192.0.2.9")), ("eth0", a("192.0.2.250"))];
    assert!(said(&config.warnings_beside(own)).contains(&(5, "192.0.2.9".to_owned())));
    let hosts: Vec<_> = config.hosts().into_iter().collect();
    let told = ["192.0.2.1", "192.0.2.53", "192.0.2.103", "192.0.2.200"].map(a);
    assert_eq!(hosts, told);
}

/// Any scope may name a host, anywhere: a warning lists the addresses that nobody gets.
#[test]
fn whatever_option_names_a_host_its_address_is_known() {
    let text = r#"[server]
[[interface]]
name = "eth0"
[[subnet]]
prefix = "192.0.2.0/24"
pools = ["192.0.2.50 - 192.0.2.59"]
options = { capwap-ac-v4 = ["192.0.2.55"], code-120 = "hex:01c0000238", router-solicitation-address = "192.0.2.57", code-249 = "hex:18c63364c000023a" }
"#;
    let config = Config::parse(text, "f").expect("it is right");
    let hosts: Vec<Ipv4Addr> = config.hosts().into_iter().collect();
    assert_eq!(hosts, [55, 56, 57, 58].map(|last| Ipv4Addr::new(192, 0, 2, last)));
    assert_eq!(config.warnings.iter().filter(|warning| warning.message.contains("never leased")).count(), 4);
}

#[test]
fn hosts_in_the_pools_of_other_subnets_are_warned_of() {
    let text = r#"[server]
options = { log-servers = "192.0.2.11" }
[[interface]]
name = "eth0"
[[class]]
name = "phones"
match = { vendor-class = "phone" }
options = { ntp-servers = ["192.0.2.12", "192.0.2.60"] }
[[subnet]]
prefix = "192.0.2.0/24"
pools = ["192.0.2.10 - 192.0.2.99"]
[[subnet.reservation]]
hw-address = "02:00:00:00:00:01"
address = "192.0.2.60"
[[subnet.reservation]]
hw-address = "02:00:00:00:00:02"
address = "192.0.2.200"
options = { routers = "192.0.2.15" }
[[subnet]]
prefix = "198.51.100.0/24"
pools = ["198.51.100.10 - 198.51.100.99"]
relays = ["192.0.2.13", "192.0.2.200"]
server-id = "192.0.2.60"
options = { domain-name-servers = ["192.0.2.14"] }
"#;
    let config = Config::parse(text, "f").expect("a good configuration");
    let said = |warnings: &[ConfigError]| -> Vec<(usize, String)> {
        let first = |message: &str| message.split(' ').next().unwrap_or_default().to_owned();
        warnings.iter().map(|warning| (warning.line, first(&warning.message))).collect()
    };
    let expected = [
        (2, "192.0.2.11"),
        (8, "192.0.2.12"),
        (14, "192.0.2.60"),
        (17, "192.0.2.15"),
        (22, "192.0.2.13"),
        (23, "192.0.2.60"),
        (24, "192.0.2.14"),
    ];
    assert_eq!(said(&config.warnings), expected.map(|(line, host)| (line, host.to_owned())));
    let own = [("lo", a("192.0.2.200"))];
    let beside = config.warnings_beside(own);
    assert!(
        beside.iter().any(|w| w.line == 17 && w.message.contains("own on lo, and reserved")),
        "{beside:?}"
    );
}
