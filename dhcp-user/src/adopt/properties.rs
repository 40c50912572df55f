//! No file, however damaged, does more than be refused in words; what is taken makes a configuration that holds together.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Found, dnsmasq_leases, isc_leases, kea_config, kea_leases};
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

fn adopted(text: &[u8]) -> Option<super::Settled> {
    let read = |name: &str| if name == "k" { Ok(text.to_vec()) } else { Err("not there".to_owned()) };
    kea_config("k", &[], &read).ok().map(super::Draft::settle)
}

#[test]
fn a_configuration_of_kea_is_one_of_ours_and_nothing_is_lost() {
    let settled = adopted(KEA.as_bytes()).unwrap();
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
        if let Some(settled) = adopted(&text) {
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
