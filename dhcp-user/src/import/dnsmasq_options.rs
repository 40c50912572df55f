//! dnsmasq's options: `dhcp-option` and `dhcp-boot`, into a table of ours.

use super::dnsmasq_syntax::{Line, Wanted};
use super::draft::{Block, quoted};
use super::draft_options::{add_option, hex, name_of, takes_octets};
use super::leases::octets;

/// Names of options by code, as `dnsmasq --help dhcp` lists them.
const NAMES: [(&str, u8); 56] = [
    ("netmask", 1),
    ("time-offset", 2),
    ("router", 3),
    ("dns-server", 6),
    ("log-server", 7),
    ("lpr-server", 9),
    ("hostname", 12),
    ("boot-file-size", 13),
    ("domain-name", 15),
    ("swap-server", 16),
    ("root-path", 17),
    ("extension-path", 18),
    ("ip-forward-enable", 19),
    ("non-local-source-routing", 20),
    ("policy-filter", 21),
    ("max-datagram-reassembly", 22),
    ("default-ttl", 23),
    ("mtu", 26),
    ("all-subnets-local", 27),
    ("broadcast", 28),
    ("router-discovery", 31),
    ("router-solicitation", 32),
    ("static-route", 33),
    ("trailer-encapsulation", 34),
    ("arp-timeout", 35),
    ("ethernet-encap", 36),
    ("tcp-ttl", 37),
    ("tcp-keepalive", 38),
    ("nis-domain", 40),
    ("nis-server", 41),
    ("ntp-server", 42),
    ("vendor-encap", 43),
    ("netbios-ns", 44),
    ("netbios-dd", 45),
    ("netbios-nodetype", 46),
    ("netbios-scope", 47),
    ("x-windows-fs", 48),
    ("x-windows-dm", 49),
    ("vendor-class", 60),
    ("nis+-domain", 64),
    ("nis+-server", 65),
    ("tftp-server", 66),
    ("bootfile-name", 67),
    ("mobile-ip-home", 68),
    ("smtp-server", 69),
    ("pop3-server", 70),
    ("nntp-server", 71),
    ("irc-server", 74),
    ("user-class", 77),
    ("client-arch", 93),
    ("client-interface-id", 94),
    ("posix-timezone", 100),
    ("tzdb-timezone", 101),
    ("ipv6-only", 108),
    ("domain-search", 119),
    ("sip-server", 120),
];

/// The code of an option, by its number or its name.
pub(super) fn code_of(text: &str) -> Option<u8> {
    let Some(name) = text.strip_prefix("option:") else { return text.parse().ok() };
    match name {
        "classless-static-route" => Some(121),
        "tftp-server-address" => Some(150),
        "vendor-id-encap" => Some(125),
        "T1" => Some(58),
        "T2" => Some(59),
        name => NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, code)| *code),
    }
}

/// Adds what a `dhcp-option` sets.
pub(super) fn option(block: &mut Block, line: &Line) {
    let at = &line.at;
    let wanted = Wanted::of(line);
    let Some((name, values)) = wanted.rest.split_first() else {
        return block.note(at, format!("{}: it names no option", line.shown()));
    };
    if name.contains(':') && !name.starts_with("option:") {
        return block.note(
            at,
            format!("{}: what is inside of an option is written in octets (code-N = \"hex:…\"); DHCPv6 is another server's", line.shown()),
        );
    }
    let Some(code) = code_of(name) else {
        return block.note(at, format!("{}: no option has such a name here", line.shown()));
    };
    // Which of two lines counts is the other server's to know: both are shown.
    match (code, values) {
        (_, []) if code == 3 || code == 6 => {
            block.note(at, format!("{}: none is sent, as here where none is written", line.shown()));
        }
        (_, []) => block.note(at, format!("{}: an option without a value isn't sent here", line.shown())),
        (58 | 59, _) => {
            block.note(at, format!("{}: write renew-time and rebind-time into the [[subnet]]", line.shown()));
        }
        (121, values) => add_option(block, at, &name_of(code), &routes(values).join(", ")),
        (_, values) if values.contains(&"0.0.0.0") => block.note(
            at,
            format!("{}: 0.0.0.0 stands for dnsmasq's own address there: write the address", line.shown()),
        ),
        (_, [value]) if takes_octets(&name_of(code)) && value.contains(':') => match octets(value) {
            Some(octets) => add_option(block, at, &name_of(code), &hex(&octets)),
            None => add_option(block, at, &name_of(code), value),
        },
        // The number of octets may stand behind a number: 1, 2 or 4.
        (_, [value]) if sized(value).is_some() => {
            let (octets, digits) = sized(value).unwrap_or_default();
            let data = if takes_octets(&name_of(code)) { hex(&octets) } else { digits };
            add_option(block, at, &name_of(code), &data);
        }
        (_, values) => add_option(block, at, &name_of(code), &values.join(", ")),
    }
}

/// A number with `b`, `s` or `i` behind it: its octets, and its digits.
fn sized(value: &str) -> Option<(Vec<u8>, String)> {
    let digits = value.strip_suffix(['b', 's', 'i'])?;
    let number: u32 = digits.parse().ok()?;
    let octets = match value.get(digits.len()..)? {
        "b" => vec![u8::try_from(number).ok()?],
        "s" => u16::try_from(number).ok()?.to_be_bytes().to_vec(),
        _ => number.to_be_bytes().to_vec(),
    };
    Some((octets, digits.to_owned()))
}

/// Destinations and routers in turn, as ours are written.
fn routes(values: &[&str]) -> Vec<String> {
    values
        .chunks(2)
        .map(|pair| match pair {
            [destination, router] if destination.contains('/') => format!("{destination} - {router}"),
            [destination, router] => format!("{destination}/32 - {router}"),
            rest => rest.join(""),
        })
        .collect()
}

/// Adds what a `dhcp-boot` sets: a file, and perhaps the name and the address of its server.
pub(super) fn boot(block: &mut Block, line: &Line) {
    let at = &line.at;
    let wanted = Wanted::of(line);
    let mut rest = wanted.rest.iter().copied();
    let keys = ["boot-file-name", "server-hostname", "next-server"];
    for (key, value) in keys.into_iter().zip(rest.by_ref()) {
        match value {
            "" => {}
            _ if block.has(key) => {
                block.note(at, format!("{}: there is another {key} before it", line.shown()));
            }
            value => block.key(at, key, quoted(value)),
        }
    }
    for more in rest {
        block.note(at, format!("{}: {more} is one value too many", line.shown()));
    }
}
