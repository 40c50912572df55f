//! A file, however damaged, is refused in words or accepted; an accepted one makes a consistent configuration.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{
    Draft, Files, FinishedDraft, Found, dnsmasq_config, dnsmasq_leases, isc_config, isc_leases, kea_config,
    kea_leases,
};
use crate::config::Config;

const KEA: &str = r#"{ "Dhcp4": { // a remark
  "interfaces-config": { "interfaces": ["eth1/192.0.2.1", "*"] },
  "valid-lifetime": 4000, "renew-timer": 1000, "rebind-timer": 2000, "authoritative": true,
  "option-def": [{ "name": "rack", "code": 222, "type": "uint32" }],
  "option-data": [{ "name": "domain-name-servers", "data": "192.0.2.53, 192.0.2.54" }, { "name": "rack", "data": "7" },
    { "name": "domain-name", "data": "" }],
  "client-classes": [
    { "name": "pxe", "test": "substring(option[60].hex,0,9) == 'PXEClient'", "boot-file-name": "a.efi" },
    { "name": "odd", "test": "not member('pxe')" }],
  "subnet4": [{ "id": 1, "subnet": "192.0.2.5/24", "relay": { "ip-addresses": ["198.51.100.1"] },
    "pools": [{ "pool": "192.0.2.10 - 192.0.2.99", "client-class": "pxe" }, { "pool": "192.0.2.128/26", "client-class": "odd" },
      { "pool": "192.0.2.200-192.0.2.210" }],
    "option-data": [{ "name": "routers", "data": "192.0.2.1" }, { "code": 4, "data": "192.0.2.2" }],
    "reservations": [{ "hw-address": "02:00:00:00:00:01", "ip-address": "192.0.2.7", "hostname": "seven" },
      { "duid": "01:02", "ip-address": "192.0.2.8" }, { "client-id": "'abc'", "ip-address": "192.0.2.9" }] }],
  "shared-networks": [{ "name": "floor", "valid-lifetime": 600, "subnet4": [{ "subnet": "198.51.100.0/24", "pools": [{ "pool": "198.51.100.0/25" }] }] }],
  "hooks-libraries": [], } }"#;

const DHCPD: &str = r#"# a remark
option domain-name "example.org"; option domain-name-servers 192.0.2.253, ns.example.org;
option rack code 222 = unsigned integer 32; option odd code 223 = { integer 8, text };
option rack 7; default-lease-time 600; max-lease-time 7200; authoritative; ddns-update-style none;
key "k" { algorithm hmac-md5; secret "abc=="; }
class "pxe" { match if substring (option vendor-class-identifier, 0, 9) = "PXEClient"; next-server 192.0.2.4; }
class "macs" { match hardware; }
subclass "macs" 1:2:0:0:0:0:5; subclass "macs" 1:02:00:00:00:00:06 { option root-path "/srv"; }
class "odd" { match if not exists user-class; }
if exists user-class and option user-class = "iPXE" { filename "a.ipxe"; }
elsif (option pxe-system-type = 00:07) or (option pxe-system-type = 00:09) { filename "b.efi"; } else { filename "c.0"; }
shared-network "floor" { option routers 192.0.2.1;
  subnet 192.0.2.0 netmask 255.255.255.0 { option static-routes 10.1.1.1 192.0.2.1;
    pool { range 192.0.2.10 192.0.2.99; allow members of "pxe"; deny members of "macs"; max-lease-time 300; }
    pool { range 192.0.2.200 192.0.2.210; allow members of "odd"; } }
  subnet 198.51.100.0 netmask 255.255.255.0 { range dynamic-bootp 198.51.100.1 198.51.100.255; default-lease-time -1; } }
group { use-host-decl-names on; filename "vmunix"; option root-path "/x";
  host seven { hardware ethernet 2:0:0:0:0:1; fixed-address 192.0.2.7, 198.51.100.7; }
  host lost { hardware ethernet 02:00:00:00:00:03; fixed-address lost.example.org; } }
"#;

const CONF: &str = r#"# a remark
interface=eth1
domain=example.org
dhcp-authoritative
dhcp-range=set:low,192.0.2.10,192.0.2.99,255.255.255.0,12h
dhcp-range=tag:phones,192.0.2.150,192.0.2.180,255.255.255.0
dhcp-range=198.51.100.0,static
dhcp-host=02:00:00:00:00:01,192.0.2.7,seven,45m
dhcp-host=id:01:02:03,198.51.100.8,set:mine
dhcp-host=02:00:00:00:00:09,ignore
dhcp-option=3,192.0.2.1
dhcp-option=tag:phones,option:tftp-server-address,192.0.2.4
dhcp-option=tag:low,42,192.0.2.5
dhcp-option=tag:mine,option:mtu,1400
dhcp-option=tag:!low,42,192.0.2.6
dhcp-option=121,10.0.0.0/8,192.0.2.1
dhcp-option=option6:dns-server,[::1]
dhcp-vendorclass=set:phones,Acme
dhcp-match=set:efi,option:client-arch,7
dhcp-match=set:gpxe,175
dhcp-boot=tag:efi,a.efi,boothost,192.0.2.4
dhcp-boot=c.0
server=192.0.2.53   # the DNS's
dhcp-script=/bin/echo
conf-file=more
"#;

pub(super) fn of_isc(text: &[u8]) -> Option<FinishedDraft> {
    let read = |name: &str| if name == "i" { Ok(text.to_vec()) } else { Err("not there".to_owned()) };
    isc_config("i", &["eth1".to_owned()], &read).ok().map(Draft::finish)
}

pub(super) fn of_dnsmasq(text: &[u8]) -> Option<FinishedDraft> {
    let read = |name: &str| match name {
        "d" => Ok(text.to_vec()),
        "more" => Ok(b"dhcp-option=option:ntp-server,0.0.0.0".to_vec()),
        _ => Err("not there".to_owned()),
    };
    let files = Files { read: &read, list: &|_| Err("not there".to_owned()) };
    dnsmasq_config("d", &[], &files).ok().map(Draft::finish)
}

pub(super) fn has(settled: &FinishedDraft, comments: &[&str]) {
    assert_eq!(settled.wrong, Vec::<String>::new(), "{}", settled.text);
    for comment in comments {
        assert!(settled.text.contains(comment), "{comment} is not in\n{}", settled.text);
    }
}

/// Each line of `text` stands behind a key or in a comment.
fn is_complete(settled: &FinishedDraft, text: &str, lines: impl IntoIterator<Item = usize>) {
    for line in lines {
        assert!(
            settled.origins.iter().any(|at| at.line == line),
            "line {line} is lost: {:?}",
            text.lines().nth(line - 1)
        );
    }
}

#[test]
fn a_configuration_of_isc_is_one_of_ours_and_nothing_is_lost() {
    let settled = of_isc(DHCPD.as_bytes()).unwrap();
    has(
        &settled,
        &[
            "# i:2: option domain-name-servers = 192.0.2.253, ns.example.org can't be taken",
            "# i:3: option odd code 223",
            "options.code-222 = \"hex:00000007\"",
            "# i:5: key",
            "match = { vendor-class = [\"PXEClient*\"] }",
            "match = { hw-address = [\"02:00:00:00:00:05\", \"02:00:00:00:00:06\"] }",
            "match = { user-class = [\"iPXE\"] }",
            "match = { architecture = [7, 9] }",
            "boot-file-name = \"c.0\"",
            "# i:9: [[class]] is left out",
            "# i:15: [[subnet.pools]] is left out",
            "# i:19: host lost is left out",
        ],
    );
    let config = Config::parse(&settled.text, "x").unwrap();
    let [first, second] = &config.subnets[..] else { panic!("{}", settled.text) };
    assert_eq!((first.pools.len(), first.reservations.len()), (1, 1), "{}", settled.text);
    assert_eq!((first.times.lease, first.times.max, second.times.lease), (600, 7200, 7200));
    assert_eq!(first.pools[0].overrides.times.map(|times| times.max), Some(300));
    let seven = &second.reservations[0];
    assert_eq!(
        (seven.host_name.as_deref(), seven.overrides.boot.file.as_deref()),
        (Some("seven"), Some("vmunix"))
    );
    assert!(first.authoritative && second.reservations.len() == 1);
    is_complete(&settled, DHCPD, (2..=6).chain(8..=19));
}

#[test]
fn a_configuration_of_dnsmasq_is_one_of_ours_and_nothing_is_lost() {
    let settled = of_dnsmasq(CONF.as_bytes()).unwrap();
    has(
        &settled,
        &[
            "name = \"eth1\"",
            "options.domain-name = \"example.org\"",
            "options.classless-static-route = [\"10.0.0.0/8 - 192.0.2.1\"]",
            "# d:7: no netmask is written there",
            "# d:15: dhcp-option=tag:!low",
            "# d:17: dhcp-option=option6:dns-server",
            "# d:20: [[class]] is left out",
            "# d:23: server=192.0.2.53: it is about the DNS",
            "# more:1: dhcp-option=option:ntp-server,0.0.0.0",
        ],
    );
    let config = Config::parse(&settled.text, "x").unwrap();
    let [first, second] = &config.subnets[..] else { panic!("{}", settled.text) };
    assert_eq!(first.times.lease, 43_200);
    assert_eq!(first.pools[0].overrides.options.get(42), Some(&[192, 0, 2, 5][..]));
    assert!(!first.pools[1].admits.allow.is_empty(), "{}", settled.text);
    assert_eq!(first.reservations[0].overrides.times.map(|times| times.lease), Some(2700));
    assert_eq!(second.reservations[0].overrides.options.get(26), Some(&1400_u16.to_be_bytes()[..]));
    let [phones, efi, ignored] = &config.classes[..] else { panic!("{}", settled.text) };
    assert_eq!(phones.overrides.options.get(150), Some(&[192, 0, 2, 4][..]));
    assert_eq!(efi.overrides.boot.file.as_deref(), Some("a.efi"));
    assert_eq!(first.boot.file.as_deref(), Some("c.0"));
    assert!(ignored.drop && ignored.matches.asks_hardware(), "{}", settled.text);
    is_complete(&settled, CONF, 2..=24);
}

pub(super) fn of_kea(text: &[u8]) -> Option<super::FinishedDraft> {
    let read = |name: &str| if name == "k" { Ok(text.to_vec()) } else { Err("not there".to_owned()) };
    kea_config("k", &[], &read).ok().map(super::Draft::finish)
}

#[test]
fn a_configuration_of_kea_is_one_of_ours_and_nothing_is_lost() {
    let settled = of_kea(KEA.as_bytes()).unwrap();
    assert_eq!(settled.wrong, Vec::<String>::new(), "{}", settled.text);
    let config = Config::parse(&settled.text, "x").unwrap();
    let [first, second] = &config.subnets[..] else { panic!("{}", settled.text) };
    assert_eq!(first.prefix.to_string(), "192.0.2.0/24");
    // The pool of a class that isn't to be had stays closed.
    assert_eq!(first.pools.len(), 2, "{}", settled.text);
    assert_eq!(first.reservations.len(), 2, "{}", settled.text);
    assert_eq!((first.times.lease, second.times.lease), (4000, 600));
    for comment in [
        "# k:6: option domain-name =  can't be taken",
        "# k:9: [[class]] is left out",
        "# k:11: [[subnet.pools]] is left out",
        "# k:15: duid = 01:02",
        "# k:17: hooks-libraries",
        "# k:2: \"interfaces\": \"*\"",
    ] {
        assert!(settled.text.contains(comment), "{comment} is not in\n{}", settled.text);
    }
    assert!(settled.text.contains("options.code-222 = \"hex:00000007\""), "{}", settled.text);
}

/// Some of `text` replaced, doubled or cut.
fn damaged(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let cuts = vec((0..=text.len(), 0..40_usize, vec(any::<u8>(), 0..4)), 0..4);
    cuts.prop_map(move |cuts| {
        let mut octets = text.as_bytes().to_vec();
        for (at, len, put) in cuts {
            let at = at.min(octets.len());
            let end = (at + len).min(octets.len());
            octets.splice(at..end, put);
        }
        octets
    })
}

const CSV: &str = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state\n\
    192.0.2.1,02:00:00:00:00:01,01:02,600,1500,1,0,0,a,0\n192.0.2.1,02:00:00:00:00:01,,4294967295,1500,1,0,0,a,1\n";
const ISC: &str = "lease 192.0.2.1 { starts 4 2026/01/01 00:00:00; ends never; hardware ethernet 2:0:0:0:0:1; \
    uid \"\\001a\"; binding state active; }\nlease 192.0.2.2 { ends epoch 5; binding state abandoned; }\n";
const DNSMASQ: &str = "1500 02:00:00:00:00:01 192.0.2.1 alpha 01:02\n0 06-02:00 192.0.2.2 * *\nduid 00:01\n";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_damaged_configuration_makes_a_good_one_or_says_why(text in damaged(KEA)) {
        if let Some(settled) = of_kea(&text) {
            prop_assert_eq!(Config::parse(&settled.text, "x").is_ok(), settled.wrong.is_empty());
        }
    }

    #[test]
    fn a_damaged_configuration_of_isc_does_so(text in damaged(DHCPD)) {
        if let Some(settled) = of_isc(&text) {
            prop_assert_eq!(Config::parse(&settled.text, "x").is_ok(), settled.wrong.is_empty());
        }
    }

    #[test]
    fn a_damaged_configuration_of_dnsmasq_does_so(text in damaged(CONF)) {
        if let Some(settled) = of_dnsmasq(&text) {
            prop_assert_eq!(Config::parse(&settled.text, "x").is_ok(), settled.wrong.is_empty());
        }
    }

    #[test]
    fn damaged_leases_are_taken_or_told(kea in damaged(CSV), isc in damaged(ISC), dnsmasq in damaged(DNSMASQ), now: i64) {
        let mut found = Found::default();
        let _ = kea_leases("k", &kea, &mut found);
        let _ = isc_leases("i", &isc, &mut found);
        dnsmasq_leases("d", &dnsmasq, &mut found);
        for (_, lease) in found.at(now).0 {
            prop_assert!(serde_json::to_string(&lease).is_ok());
        }
    }
}
