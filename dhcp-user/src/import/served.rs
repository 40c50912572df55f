//! Who is served, and with which terms, is brought along: reservations without an address, known and unknown clients,
//! and clients that get no answer.

use super::FinishedDraft;
use super::properties::{has, of_dnsmasq, of_isc, of_kea};
use crate::config::{Config, Reservation, ReservationKey, Subnet};

const KEA: &str = r#"{ "Dhcp4": {
  "next-server": "192.0.2.4", "boot-file-name": "all.0", "reservations-global": true, "reservations-out-of-pool": true,
  "offer-lifetime": 20, "early-global-reservations-lookup": true,
  "client-classes": [
    { "name": "DROP", "test": "member('UNKNOWN') and substring(pkt4.mac,0,3) == 0x02005e" },
    { "name": "first", "test": "option[60].hex == '1234'", "next-server": "192.0.2.5", "server-hostname": "boots",
      "boot-file-name": "first.0", "user-context": { "limits": { "address-limit": 7 } } },
    { "name": "later", "test": "member('first') and (relay4[6].hex == 'gold' or relay4[6].hex == 'silver')" },
    { "name": "vendor", "test": "substring(relay4[9].hex,0,4) == 0x00000de9" },
    { "name": "exact", "test": "relay4[9].hex == 0x00000de9020102" },
    { "name": "given" } ],
  "reservations": [{ "hw-address": "02:00:00:00:00:01", "hostname": "everywhere", "client-classes": ["given"] },
    { "hw-address": "02:00:00:00:00:02", "client-classes": ["DROP"] },
    { "hw-address": "02:00:00:00:00:03", "ip-address": "192.0.2.77" }],
  "subnet4": [
    { "id": 1, "subnet": "192.0.2.0/24", "pools": [{ "pool": "192.0.2.10 - 192.0.2.19", "client-class": "KNOWN" },
        { "pool": "192.0.2.20 - 192.0.2.29", "client-class": "UNKNOWN" }, { "pool": "192.0.2.30 - 192.0.2.39", "client-class": "given" }],
      "reservations": [{ "client-id": "01:02", "next-server": "192.0.2.6" }, { "hw-address": "02:00:00:00:00:09" }] },
    { "id": 2, "subnet": "198.51.100.0/24", "reservations-global": false, "reservations-in-subnet": false,
      "client-class": "VENDOR_CLASS_docsis3.0", "pools": [{ "pool": "198.51.100.10 - 198.51.100.19" }],
      "reservations": [{ "hw-address": "02:00:00:00:00:04", "ip-address": "198.51.100.7" }] },
    { "id": 3, "subnet": "203.0.113.0/24" }]
} }"#;

const DHCPD: &str = r#"default-lease-time 600; filename "all.0";
class "few" { match if substring (option vendor-class-identifier, 0, 4) = "Acme"; lease limit 3; }
class "lines" { spawn with option agent.circuit-id; lease limit 2; }
class "bad" { match if option agent.subscriber-id = "unpaid"; ignore booting; }
class "guests" { match if not known; option domain-name "guests.example"; }
subnet 192.0.2.0 netmask 255.255.255.0 { deny unknown-clients;
  pool { range 192.0.2.10 192.0.2.19; deny members of "few"; }
  pool { allow unknown-clients; range 192.0.2.20 192.0.2.29; allow known-clients; } }
subnet 198.51.100.0 netmask 255.255.255.0 { range 198.51.100.10 198.51.100.19; pool { range 198.51.100.30 198.51.100.39; deny known-clients; } }
subnet 203.0.113.0 netmask 255.255.255.0 { allow unknown-clients; }
host named { hardware ethernet 02:00:00:00:00:01; option host-name "named"; next-server 192.0.2.4; }
host bare { hardware ethernet 02:00:00:00:00:02; }
host fixed { hardware ethernet 02:00:00:00:00:03; fixed-address 198.51.100.77; }
host away { hardware ethernet 02:00:00:00:00:04; deny booting; fixed-address 192.0.2.78; }
"#;

const CONF: &str = "interface=eth1
dhcp-range=tag:known,192.0.2.10,192.0.2.19,255.255.255.0,1h
dhcp-range=tag:staff,192.0.2.20,192.0.2.29,255.255.255.0,1h
dhcp-range=tag:!known,198.51.100.10,198.51.100.19,255.255.255.0,1h
dhcp-host=02:00:00:00:00:01,printer
dhcp-host=02:00:00:00:00:02,set:staff,192.0.2.77
dhcp-host=02:00:5e:*:*:*,set:phones
dhcp-host=02:00:5f:*:*:*,ignore
dhcp-host=id:rogue,ignore
dhcp-host=02:00:00:00:00:03
dhcp-subscrid=set:gold,premium
dhcp-ignore=tag:phones,tag:!known
dhcp-ignore=tag:gold
dhcp-ignore=tag:!gold
dhcp-option=tag:!known,option:ntp-server,192.0.2.5
";

fn config(settled: &FinishedDraft) -> Config {
    has(settled, &[]);
    Config::parse(&settled.text, "x").unwrap()
}

/// The places of a pool's classes.
fn listed(config: &Config, subnet: usize, pool: usize) -> (Vec<&str>, Vec<&str>) {
    let admits = &config.subnets[subnet].pools[pool].admits;
    let names = |set: crate::config::ClassSet| {
        let mut names: Vec<&str> =
            set.last_first().map(|place| config.classes[place].name.as_str()).collect();
        names.sort_unstable();
        names
    };
    (names(admits.allow), names(admits.deny))
}

fn of(subnet: &Subnet, last: u8) -> Option<&Reservation> {
    subnet.reservations.iter().find(|own| own.key == ReservationKey::HwAddress([2, 0, 0, 0, 0, last]))
}

fn class<'c>(config: &'c Config, name: &str) -> &'c crate::config::Class {
    config.classes.iter().find(|class| class.name == name).unwrap()
}

#[test]
fn kea_serves_known_clients_and_drops_others_here_as_well() {
    let settled = of_kea(KEA.as_bytes()).unwrap();
    let config = config(&settled);
    assert_eq!(listed(&config, 0, 0).0, ["KNOWN"]);
    assert_eq!(listed(&config, 0, 1).0, ["UNKNOWN"]);
    assert_eq!(listed(&config, 0, 2).0, ["given"]);
    assert_eq!(listed(&config, 1, 0).0, ["VENDOR_CLASS_docsis3.0"]);
    assert_eq!(
        (class(&config, "KNOWN").matches.known, class(&config, "UNKNOWN").matches.known),
        (Some(true), Some(false))
    );
    let dropped = class(&config, "DROP");
    assert!(
        dropped.drop
            && dropped.matches.known == Some(false)
            && dropped.matches.fits_hardware(&[2, 0, 0x5e, 1, 1, 1])
    );
    let first = class(&config, "first");
    assert_eq!((first.max_leases, first.overrides.boot.file.as_deref()), (Some(7), Some("first.0")));
    assert!(first.matches.vendor_class[0].fits(b"1234"), "{}", settled.text);
    assert_eq!(class(&config, "later").matches.subscriber_id.len(), 2, "{}", settled.text);
    assert_eq!(class(&config, "later").matches.vendor_class, first.matches.vendor_class);
    let vendor = |name| &class(&config, name).matches.relay_vendor[0];
    assert!(vendor("vendor").0 == 3561 && vendor("exact").1.fits(&[1, 2]), "{}", settled.text);
    // The first class counts there, and the last one here.
    let place = |name| config.classes.iter().position(|class| class.name == name);
    assert!(place("first") > place("later"));
    let [one, two, three] = &config.subnets[..] else { panic!("{}", settled.text) };
    assert_eq!(of(one, 1).and_then(|own| own.host_name.as_deref()), Some("everywhere"));
    assert!(
        of(one, 9).is_some_and(|own| own.address.is_none())
            && of(one, 3).is_some_and(|own| own.address.is_some())
    );
    assert!(of(two, 1).is_none() && of(two, 4).is_none() && of(three, 1).is_some(), "{}", settled.text);
    assert!(three.pools.is_empty());
    assert_eq!(config.server.offer_hold, 20);
    assert_eq!(settled.text.matches("boot-file-name = \"all.0\"").count(), 1, "{}", settled.text);
    has(&settled, &["reservations-in-subnet is false", "boot-file-name = \"first.0\""]);
}

#[test]
fn isc_dhcpd_serves_known_clients_and_limits_others_here_as_well() {
    let settled = of_isc(DHCPD.as_bytes()).unwrap();
    let config = config(&settled);
    assert_eq!(listed(&config, 0, 0).1, ["few", "unknown clients"], "{}", settled.text);
    assert_eq!(listed(&config, 0, 1), (vec!["known clients", "unknown clients"], vec!["unknown clients"]));
    assert_eq!(listed(&config, 1, 0), (vec![], vec![]));
    assert_eq!(listed(&config, 1, 1).1, ["known clients"]);
    assert_eq!(class(&config, "few").max_leases, Some(3));
    assert!(config.subnets.iter().all(|subnet| subnet.max_leases_per_circuit.is_some()), "{}", settled.text);
    assert!(class(&config, "bad").drop && class(&config, "bad").matches.subscriber_id.len() == 1);
    assert_eq!(class(&config, "guests").matches.known, Some(false));
    let unserved = class(&config, "not served, by hw-address");
    assert!(unserved.drop && unserved.matches.fits_hardware(&[2, 0, 0, 0, 0, 4]));
    let [one, two, three] = &config.subnets[..] else { panic!("{}", settled.text) };
    for subnet in [one, two, three] {
        let named = of(subnet, 1).unwrap();
        assert_eq!((named.address, named.host_name.as_deref()), (None, Some("named")));
    }
    // Who has a host is known where that matters, with an address of its own elsewhere or without one.
    assert!(of(one, 2).is_some() && of(two, 2).is_some() && of(three, 2).is_none(), "{}", settled.text);
    assert!(of(one, 3).is_some_and(|own| own.address.is_none()));
    assert!(of(two, 3).is_some_and(|own| own.address.is_some()) && of(one, 4).is_none());
    assert!(three.pools.is_empty());
}

#[test]
fn dnsmasq_ignores_clients_here_as_well() {
    let settled = of_dnsmasq(CONF.as_bytes()).unwrap();
    let config = config(&settled);
    assert_eq!(listed(&config, 0, 0).0, ["known"], "{}", settled.text);
    assert_eq!(listed(&config, 0, 1).0, ["staff"]);
    assert_eq!(listed(&config, 1, 0).1, ["known"]);
    let by_mac = class(&config, "ignored, by hw-address");
    assert!(by_mac.drop && by_mac.matches.fits_hardware(&[2, 0, 0x5f, 1, 1, 1]));
    assert!(class(&config, "ignored, by client-id").matches.client_id[0].fits(b"rogue"), "{}", settled.text);
    let strangers = class(&config, "ignored: phones, !known");
    assert!(strangers.drop && strangers.matches.known == Some(false) && strangers.matches.asks_hardware());
    assert!(!class(&config, "phones").drop && class(&config, "gold").drop);
    assert_eq!(class(&config, "!known").overrides.options.get(42), Some(&[192, 0, 2, 5][..]));
    has(&settled, &["# d:14: dhcp-ignore=tag:!gold"]);
    for subnet in &config.subnets {
        assert_eq!(of(subnet, 1).and_then(|own| own.host_name.as_deref()), Some("printer"));
        assert!(of(subnet, 3).is_some());
    }
    let staff = of(&config.subnets[0], 2).unwrap();
    assert!(staff.address.is_some() && !staff.classes.is_empty() && of(&config.subnets[1], 2).is_none());
}
