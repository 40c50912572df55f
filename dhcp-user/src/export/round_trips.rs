//! What another server has as well comes back as it went.

use std::net::Ipv4Addr;
use std::path::Path;

use super::{To, configuration};
use crate::config::{Config, Match, Overrides, Reservation, ReservationKey};
use crate::import::{self, Draft, Files};

/// What all three have.
const PLAIN: &str = r#"
[server]
options.domain-name-servers = ["192.0.2.53", "192.0.2.54"]
options.domain-name = "example.org"
[[interface]]
name = "eth1"
[[class]]
name = "phones"
match = { vendor-class = "Acme*" }
options.tftp-server-address = ["192.0.2.4"]
[[class]]
name = "efi"
match = { architecture = [7, 9] }
boot-file-name = "a.efi"
[[class]]
name = "printers"
match = { hw-address = ["02:00:5e:*", "02:00:5f:00:00:01"] }
[[class]]
name = "known"
match = { known = true }
[[class]]
name = "banned"
match = { hw-address = "02:00:00:00:00:66" }
drop = true
[[subnet]]
prefix = "192.0.2.0/24"
lease-time = "2h"
authoritative = true
options = { routers = ["192.0.2.1"], interface-mtu = 1400, ntp-servers = ["192.0.2.9"], code-224 = "hex:0a0b" }
pools = [{ range = "192.0.2.10 - 192.0.2.99", allow = "phones" }, "192.0.2.100 - 192.0.2.120", { range = "192.0.2.130 - 192.0.2.140", allow = "known" }]
[[subnet.reservation]]
hw-address = "02:00:00:00:00:01"
address = "192.0.2.5"
host-name = "printer"
options = { routers = ["192.0.2.2"] }
[[subnet.reservation]]
client-id = "01:02:03"
address = "192.0.2.6"
"#;

/// What none has, or not all.
const PARTICULAR: &str = r#"
[server]
horizon = 3.0
[journal]
directory = "/var/lib/j"
[[interface]]
name = "eth1"
rate-limit = 100
[[class]]
name = "both"
match = { vendor-class = "A*", user-class = "b" }
max-leases = 7
[[class]]
name = "vendor"
match = { relay-vendor = "3561" }
[[subnet]]
prefix = "192.0.2.0/24"
vlan = 100
grace = "1h"
lease-time = "1h"
lease-time-when-full = "10m"
max-leases-per-device = 2
pools = [{ range = "192.0.2.10 - 192.0.2.19", lease-time = "30m", deny = "vendor" }]
[[subnet.reservation]]
circuit-id = "port 1"
remote-id = "switch"
address = "192.0.2.7"
"#;

fn written(text: &str, to: To) -> (Config, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ours.toml");
    std::fs::write(&file, text).unwrap();
    let config = Config::load(&file).unwrap_or_else(|error| panic!("{error}"));
    let written = configuration(&config, &file, to);
    (config, written.replace(&dir.path().display().to_string(), ""))
}

fn returned(text: &str, to: To) -> Config {
    let read = |_: &str| Ok(text.as_bytes().to_vec());
    let interfaces = ["eth1".to_owned()];
    let draft = match to {
        To::Kea => import::kea_config("k", &[], &read),
        To::Isc => import::isc_config("i", &interfaces, &read),
        To::Dnsmasq => {
            import::dnsmasq_config("d", &[], &Files { read: &read, list: &|_| Err("no".to_owned()) })
        }
    };
    let settled = draft.map(Draft::finish).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert!(settled.wrong.is_empty(), "{:?}\n{text}\n{}", settled.wrong, settled.text);
    Config::parse(&settled.text, "x").unwrap()
}

/// A pool: its ends, whom it is for, and its options.
type PoolGist = (String, Vec<Match>, Vec<(u8, Vec<u8>)>);
/// A client: who it is, its address, name, options and boot file.
type Own = (ReservationKey, Option<Ipv4Addr>, Option<String>, Overrides);

fn pools(config: &Config) -> Vec<PoolGist> {
    let one = |pool: &crate::config::DynamicPool| {
        let allow = pool.admits.allow.last_first().map(|place| config.classes[place].matches.clone());
        (pool.range.to_string(), allow.collect(), Vec::new())
    };
    config.subnets[0].pools.iter().map(one).collect()
}

fn reservations(config: &Config) -> Vec<Own> {
    let one = |own: &Reservation| {
        (
            own.key.clone(),
            own.address,
            own.host_name.clone(),
            Overrides { times: None, ..own.overrides.clone() },
        )
    };
    config.subnets[0].reservations.iter().map(one).collect()
}

/// The classes that say or drop something, by what they match.
fn classes(config: &Config) -> Vec<(Match, Overrides, bool)> {
    let mut all: Vec<_> = config
        .classes
        .iter()
        .filter(|class| !class.overrides.is_empty())
        .map(|class| {
            (class.matches.clone(), Overrides { times: None, ..class.overrides.clone() }, class.drop)
        })
        .collect();
    all.sort_by_key(|(matches, ..)| format!("{matches:?}"));
    all
}

#[test]
fn what_another_server_has_as_well_comes_back() {
    for to in [To::Kea, To::Isc, To::Dnsmasq] {
        let (ours, text) = written(PLAIN, to);
        let back = returned(&text, to);
        let (mine, theirs) = (&ours.subnets[0], &back.subnets[0]);
        assert_eq!(mine.prefix, theirs.prefix, "{text}");
        assert_eq!(
            (mine.times.lease, mine.authoritative),
            (theirs.times.lease, theirs.authoritative),
            "{text}"
        );
        assert_eq!(mine.options, theirs.options, "{to:?}\n{text}");
        assert_eq!(pools(&ours), pools(&back), "{to:?}\n{text}");
        assert_eq!(reservations(&ours), reservations(&back), "{to:?}\n{text}");
        assert_eq!(classes(&ours), classes(&back), "{to:?}\n{text}");
        let dropped = |config: &Config| {
            config
                .classes
                .iter()
                .any(|class| class.drop && class.matches.fits_hardware(&[2, 0, 0, 0, 0, 0x66]))
        };
        assert!(dropped(&back), "{to:?}\n{text}");
        assert_eq!(back.interfaces[0].name, "eth1");
    }
}

#[test]
fn what_another_server_has_not_is_a_comment_with_its_line() {
    let line_of = |wanted: &str| {
        let at = PARTICULAR.lines().position(|line| line.starts_with(wanted));
        at.unwrap_or_else(|| panic!("{wanted}")) + 1
    };
    let everywhere = [
        "horizon",
        "directory",
        "rate-limit",
        "vlan",
        "grace",
        "lease-time-when-full",
        "max-leases-per-device",
    ];
    let also = |to| match to {
        To::Kea => vec!["max-leases = 7", "circuit-id", "remote-id", "pools"],
        To::Isc => vec!["match = { relay-vendor", "circuit-id", "remote-id", "pools"],
        To::Dnsmasq => vec!["match = { vendor-class", "max-leases = 7", "circuit-id", "pools"],
    };
    for to in [To::Kea, To::Isc, To::Dnsmasq] {
        let (_, text) = written(PARTICULAR, to);
        let mark = if to == To::Kea { "// " } else { "# " };
        for wanted in everywhere.into_iter().chain(also(to)) {
            let due = format!("{mark}/ours.toml:{}: ", line_of(wanted));
            assert!(text.lines().any(|line| line.starts_with(&due)), "{to:?}: {wanted}: {due}\n{text}");
        }
        let _ = returned(&text, to);
    }
}

#[test]
fn a_file_that_is_gone_has_no_lines() {
    let config = Config::parse(&PLAIN.replace("[server]", "[server]\nhorizon = 3.0"), "x").unwrap();
    assert!(configuration(&config, Path::new("/nonexistent"), To::Kea).starts_with('{'));
}

/// Two subnets, the first pool with terms of its own.
const TWO: &str = r#"
[[interface]]
name = "eth1"
[[subnet]]
prefix = "192.0.2.0/24"
shared-network = "n"
authoritative = true
options = { routers = ["192.0.2.1"], domain-name = "outer" }
boot-file-name = "outer.efi"
pools = [{ range = "192.0.2.10 - 192.0.2.99", options = { domain-name = "inner" } }, "192.0.2.100 - 192.0.2.120"]
[[subnet]]
prefix = "198.51.100.0/24"
shared-network = "n"
authoritative = true
pools = ["198.51.100.10 - 198.51.100.20"]
"#;

#[test]
fn a_shared_network_is_authoritative_as_its_subnets_are() {
    let network = |text: &str| {
        let json = text.lines().filter(|line| !line.starts_with("//")).collect::<String>();
        let all: serde_json::Value = serde_json::from_str(&json).unwrap();
        let network = all["Dhcp4"]["shared-networks"][0].clone();
        let of = |value: &serde_json::Value| value["authoritative"].as_bool().unwrap();
        (of(&network), of(&network["subnet4"][0]), of(&network["subnet4"][1]))
    };
    assert_eq!(network(&written(TWO, To::Kea).1), (true, true, true));
    // Where they differ there is one for all, and a comment names the other.
    let differ = TWO.replacen("authoritative = true", "authoritative = false", 1);
    let (_, text) = written(&differ, To::Kea);
    assert_eq!(network(&text), (false, false, false));
    assert!(
        text.lines().any(|line| line.starts_with("// ") && line.contains("authoritative = true")),
        "{text}"
    );
}

#[test]
fn a_range_of_dnsmasq_sets_one_tag_that_has_the_options_of_both_levels() {
    let (_, text) = written(TWO, To::Dnsmasq);
    let ranges: Vec<_> = text.lines().filter(|line| line.starts_with("dhcp-range=")).collect();
    assert!(ranges.len() == 3 && ranges.iter().all(|range| range.matches("set:").count() == 1), "{text}");
    for due in [
        "dhcp-option=tag:subnet1-pool1,3,192.0.2.1",
        "dhcp-option=tag:subnet1-pool1,15,inner",
        "dhcp-boot=tag:subnet1-pool1,outer.efi",
        "dhcp-option=tag:subnet1,15,outer",
    ] {
        assert!(text.lines().any(|line| line == due), "{due}\n{text}");
    }
    assert!(!text.contains("tag:subnet1-pool1,15,outer"), "{text}");
}
