//! Options in wire form.

use crate::config::{Config, OptionSet, option_name};

fn encoded(options: &str) -> OptionSet {
    let text = format!(
        "[[interface]]\nname = 'e'\n[[subnet]]\nprefix = '10.0.0.0/8'\npools = ['10.0.0.1 - 10.0.0.9']\n[subnet.options]\n{options}\n"
    );
    // An inline `[subnet.options]` after `[[subnet]]` belongs to that subnet.
    Config::parse(&text, "f").unwrap_or_else(|errors| panic!("{options}: {errors:?}")).subnets[0]
        .options
        .clone()
}

fn by_code(code: u8, octets: &[u8]) -> String {
    let hex: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("code-{code} = 'hex:{hex}'")
}

/// RFC 2132 §2, SHOULD NOT (no-trailing-nul): text ends where it ends.
/// RFC 2132 §3.5, SHOULD (by-preference): lists come as they are written down.
/// RFC 2132 §3.5, MUST (whole-addresses): of addresses, all four octets.
#[test]
fn values_are_encoded_as_their_rfc_says() {
    let cases: &[(&str, u8, &[u8])] = &[
        ("subnet-mask = '255.255.0.0'", 1, &[255, 255, 0, 0]),
        ("time-offset = -7200", 2, &[0xff, 0xff, 0xe3, 0xe0]),
        ("routers = ['10.0.0.1', '10.0.0.2']", 3, &[10, 0, 0, 1, 10, 0, 0, 2]),
        ("domain-name-servers = '9.9.9.9'", 6, &[9, 9, 9, 9]),
        ("boot-size = 0x0102", 13, &[1, 2]),
        ("domain-name = 'example.org'", 15, b"example.org"),
        ("ip-forwarding = true", 19, &[1]),
        ("perform-mask-discovery = false", 29, &[0]),
        ("default-ip-ttl = 64", 23, &[64]),
        ("path-mtu-plateau-table = [68, 1500]", 25, &[0, 68, 5, 220]),
        ("interface-mtu = 9000", 26, &[0x23, 0x28]),
        ("static-routes = ['10.9.0.0', '10.0.0.1']", 33, &[10, 9, 0, 0, 10, 0, 0, 1]),
        ("policy-filter = ['10.9.0.0', '255.255.0.0']", 21, &[10, 9, 0, 0, 255, 255, 0, 0]),
        ("broadcast-address = '255.255.255.255'", 28, &[255; 4]),
        ("router-solicitation-address = '224.0.0.2'", 32, &[224, 0, 0, 2]),
        ("netbios-node-type = 8", 46, &[8]),
        ("domain-name-servers = '127.0.0.1'", 6, &[127, 0, 0, 1]),
        ("classless-static-route = '10.0.0.0/8 - 0.0.0.0'", 121, &[8, 10, 0, 0, 0, 0]),
        ("arp-cache-timeout = 4294967295", 35, &[255; 4]),
        ("vendor-encapsulated-options = 'hex:01 02:0304'", 43, &[1, 2, 3, 4]),
        (
            "vendor-encapsulated-options = { code-6 = 8, code-1 = ['10.0.0.1'] }",
            43,
            &[6, 1, 8, 1, 4, 10, 0, 0, 1],
        ),
        (
            "vendor-encapsulated-options = { code-10 = 'hex:00ff', code-2 = 'menu' }",
            43,
            b"\x0a\x02\x00\xff\x02\x04menu",
        ),
        ("ntp-servers = ['10.0.0.1', '224.0.1.1']", 42, &[10, 0, 0, 1, 224, 0, 1, 1]),
        ("vendor-class-identifier = 'PXEClient'", 60, b"PXEClient"),
        ("tftp-server-name = 'boot.example.org'", 66, b"boot.example.org"),
        ("boot-file-name = 'pxelinux.0'", 67, b"pxelinux.0"),
        ("client-system = [7, 9]", 93, &[0, 7, 0, 9]),
        ("v6-only-preferred = 1800", 108, &[0, 0, 7, 8]),
        ("v4-captive-portal = 'https://example.org/api'", 114, b"https://example.org/api"),
        ("v4-lost = 'lost.example.'", 137, b"\x04lost\x07example\0"),
        ("sip-ua-cs-domains = ['a.b', 'b']", 141, b"\x01a\x01b\0\x01b\0"),
        ("sip-servers = ['10.0.0.1', '10.0.0.2']", 120, &[1, 10, 0, 0, 1, 10, 0, 0, 2]),
        ("sip-servers = ['sip.b']", 120, b"\0\x03sip\x01b\0"),
        ("code-224 = 'hex:deadbeef'", 224, &[0xde, 0xad, 0xbe, 0xef]),
        ("code-3 = 'hex:0a000001'", 3, &[10, 0, 0, 1]),
    ];
    for (text, code, octets) in cases {
        assert_eq!(encoded(text).0, [(*code, octets.to_vec())].into(), "{text}");
        assert_eq!(encoded(&by_code(*code, octets)).get(*code), Some(*octets), "{text} by its code");
    }
}

/// RFC 3442's own table of how many octets a destination takes.
#[test]
fn classless_routes_leave_out_insignificant_octets() {
    let text = "classless-static-route = ['0.0.0.0/0 - 10.0.0.1', '10.0.0.0/8-10.0.0.1', '10.17.0.0/16 - 10.0.0.1', \
                { destination = '10.27.129.0/24', router = '10.0.0.1' }, '10.229.0.128/25 - 10.0.0.1', '10.198.122.47/32 - 10.0.0.1']";
    let mut expected = Vec::new();
    for destination in [
        &[0][..],
        &[8, 10],
        &[16, 10, 17],
        &[24, 10, 27, 129],
        &[25, 10, 229, 0, 128],
        &[32, 10, 198, 122, 47],
    ] {
        expected.extend_from_slice(destination);
        expected.extend_from_slice(&[10, 0, 0, 1]);
    }
    assert_eq!(encoded(text).get(121), Some(&expected[..]));
}

/// The example of RFC 3397, section 2, and other repetitions.
#[test]
fn search_lists_share_their_tails() {
    let wire = encoded("domain-search = ['eng.apple.com', 'marketing.apple.com']");
    assert_eq!(wire.get(119), Some(&b"\x03eng\x05apple\x03com\0\x09marketing\xc0\x04"[..]));
    let wire = encoded("domain-search = ['a.b.c', 'A.B.C', 'b.c', 'x.a.b.c', 'c.']");
    assert_eq!(wire.get(119), Some(&b"\x01a\x01b\x01c\0\xc0\x00\xc0\x02\x01x\xc0\x00\xc0\x04"[..]));
    assert_eq!(encoded(&by_code(119, wire.get(119).unwrap_or_default())), wire);
}

#[test]
fn long_values_stay_whole() {
    let names: Vec<String> = (0..25).map(|i| format!("'host-number-{i}.example.org'")).collect();
    let wire = encoded(&format!("domain-search = [{}]", names.join(", ")));
    assert!(wire.get(119).is_some_and(|octets| octets.len() > 255));
}

#[test]
fn names_go_both_ways() {
    assert_eq!(option_name(121), "classless-static-route");
    assert_eq!(option_name(55), "dhcp-parameter-request-list");
    assert_eq!(option_name(224), "code-224");
}
