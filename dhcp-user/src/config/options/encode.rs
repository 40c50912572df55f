//! Option values in wire form.

use std::net::Ipv4Addr;

use super::registry::Kind;
use crate::config::prefix::Prefix;
use crate::config::value::{self, Value};

/// The octets of an option of this kind with this value; reports what can't be one.
pub(super) fn encode(kind: Kind, value: Value<'_>) -> Option<Vec<u8>> {
    match kind {
        Kind::Address => octets_of(specified(value)),
        Kind::Host => octets_of(host(value)),
        Kind::Hosts => list(value, "addresses", |v| octets_of(host(v))),
        Kind::Addresses => list(value, "addresses", |v| octets_of(specified(v))),
        Kind::Mask => octets_of(mask(value)),
        Kind::Filters => pairs(value, Value::address, mask),
        Kind::ClassfulRoutes => pairs(value, classful_destination, host),
        Kind::OneOf(numbers) => one_of(value, numbers),
        Kind::Unsigned8 { min } => integer(value, min.into(), u8::MAX.into(), 1),
        Kind::Unsigned16 { min } => integer(value, min.into(), u16::MAX.into(), 2),
        Kind::Unsigned32 => integer(value, 0, u32::MAX.into(), 4),
        Kind::Signed32 => integer(value, i32::MIN.into(), i32::MAX.into(), 4),
        Kind::Unsigned16s { min } => list(value, "numbers", |v| integer(v, min.into(), u16::MAX.into(), 2)),
        Kind::Boolean => value.boolean().map(|is_set| vec![is_set.into()]),
        Kind::Text => text(value),
        Kind::Octets => octets(value),
        Kind::Encapsulated => encapsulated(value),
        Kind::Name => name(value).map(|labels| uncompressed(&labels)),
        Kind::Names => list(value, "domain names", |v| name(v).map(|labels| uncompressed(&labels))),
        Kind::SearchList => search_list(value),
        Kind::Routes => list(value, "routes", route),
        Kind::SipServers => sip_servers(value),
        Kind::Ours(why) => value.refuse(format!("can't be set: {why}")),
    }
}

/// The elements of a value in a row: a list's own, or a single value's; never none.
fn elements<'t>(value: Value<'t>, of: &str) -> Option<Vec<Value<'t>>> {
    if !value.is_list() {
        return Some(vec![value]);
    }
    match value.list(of)? {
        none if none.is_empty() => {
            value.refuse(format!("expected a list of {of}, found none: remove the option"))
        }
        some => Some(some),
    }
}

fn list<'t>(value: Value<'t>, of: &str, encode: impl FnMut(Value<'t>) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let encoded: Vec<Option<Vec<u8>>> = elements(value, of)?.into_iter().map(encode).collect();
    encoded.into_iter().collect::<Option<Vec<_>>>().map(|encoded| encoded.concat())
}

/// The last `octets` octets of a number in two's complement, most significant first.
fn integer(value: Value<'_>, min: i64, max: i64, octets: usize) -> Option<Vec<u8>> {
    let number = value.integer(min..=max)?.to_be_bytes();
    let (_, last) = number.split_at_checked(number.len().checked_sub(octets)?)?;
    Some(last.to_vec())
}

/// NVT ASCII by the book, UTF-8 in practice; no terminating zero (RFC 2132, section 2).
fn text(value: Value<'_>) -> Option<Vec<u8>> {
    let text = value.text("text")?;
    if text.is_empty() || text.contains(char::is_control) {
        return value.refuse("this option's text must not be empty, and not contain control characters");
    }
    Some(text.as_bytes().to_vec())
}

fn octets(value: Value<'_>) -> Option<Vec<u8>> {
    let text = value.text("octets, such as \"hex:0a0b0c\"")?;
    match text.strip_prefix("hex:").and_then(value::from_hex) {
        Some(octets) if !octets.is_empty() => Some(octets),
        _ => {
            value.refuse(format!("\"{}\" is not octets: write them as \"hex:0a0b0c\"", text.escape_default()))
        }
    }
}

/// Octets, or a table of sub-options in the order of the file: `code-N` is octets, a text, a number of one octet, or
/// a list of addresses.
fn encapsulated(value: Value<'_>) -> Option<Vec<u8>> {
    if !value.is_table() {
        return octets(value);
    }
    let section = value.section("sub-options")?;
    let entries: Vec<_> = section.entries();
    if entries.is_empty() {
        return value.refuse("there is no sub-option in it: remove the option");
    }
    let encoded = entries.into_iter().map(|(key, value)| {
        let name = key.get_ref().as_ref();
        let code = name.strip_prefix("code-").and_then(|code| code.parse::<u8>().ok());
        let Some(code @ 1..=254) = code else {
            section.refuse(
                &key.span(),
                format!("`{name}` is not a sub-option: codes go from code-1 to code-254"),
            );
            return None;
        };
        let octets = sub_option(value)?;
        match u8::try_from(octets.len()) {
            Ok(length) => Some([&[code, length], &octets[..]].concat()),
            Err(_) => value.refuse(format!("{} octets are more than the 255 of a sub-option", octets.len())),
        }
    });
    let encoded: Vec<Option<Vec<u8>>> = encoded.collect();
    encoded.into_iter().collect::<Option<Vec<_>>>().map(|encoded| encoded.concat())
}

fn sub_option(value: Value<'_>) -> Option<Vec<u8>> {
    if value.is_list() {
        return encode(Kind::Addresses, value);
    }
    if !value.is_text() {
        return integer(value, 0, u8::MAX.into(), 1);
    }
    if value.text("")?.starts_with("hex:") { octets(value) } else { text(value) }
}

fn octets_of(address: Option<Ipv4Addr>) -> Option<Vec<u8>> {
    address.map(|address| address.octets().to_vec())
}

/// Any address but 0.0.0.0, which is nobody's and no group's.
fn specified(value: Value<'_>) -> Option<Ipv4Addr> {
    match value.address()? {
        Ipv4Addr::UNSPECIFIED => value.refuse("0.0.0.0 is not an address to be told: remove it"),
        address => Some(address),
    }
}

/// An address that is one host's: not 0.0.0.0, nor a group's, nor everybody's. It may be the client itself.
fn host(value: Value<'_>) -> Option<Ipv4Addr> {
    let address = specified(value)?;
    if address.is_multicast() || address.is_broadcast() {
        return value.refuse(format!("{address} is not the address of one host"));
    }
    Some(address)
}

/// Ones, then zeros.
fn mask(value: Value<'_>) -> Option<Ipv4Addr> {
    let mask = value.address()?;
    if mask.is_unspecified() || mask.to_bits().leading_ones() != mask.to_bits().count_ones() {
        return value.refuse(format!("{mask} is not a subnet mask, such as \"255.255.255.0\""));
    }
    Some(mask)
}

/// The default route is no destination here (RFC 2132, section 5.8).
fn classful_destination(value: Value<'_>) -> Option<Ipv4Addr> {
    let address = value.address()?;
    if address.is_unspecified() {
        return value.refuse(
            "0.0.0.0 is not a destination of a static route: write the default route as `routers`, or as \
             classless-static-route = \"0.0.0.0/0 - ROUTER\"",
        );
    }
    if address.is_multicast() || address.is_broadcast() {
        return value.refuse(format!("{address} is not a destination that a router leads to"));
    }
    Some(address)
}

/// Addresses two by two, the first of each pair read in one way and the second in another.
fn pairs<'t>(
    value: Value<'t>,
    first: impl Fn(Value<'t>) -> Option<Ipv4Addr>,
    second: impl Fn(Value<'t>) -> Option<Ipv4Addr>,
) -> Option<Vec<u8>> {
    let elements = elements(value, "addresses")?;
    if elements.len() % 2 != 0 {
        return value.refuse("this option has addresses in pairs: one is left over");
    }
    let all = elements.into_iter().enumerate();
    let octets: Vec<_> =
        all.map(|(at, v)| octets_of(if at % 2 == 0 { first(v) } else { second(v) })).collect();
    octets.into_iter().collect::<Option<Vec<_>>>().map(|octets| octets.concat())
}

fn one_of(value: Value<'_>, numbers: &[u8]) -> Option<Vec<u8>> {
    let octets = integer(value, 0, u8::MAX.into(), 1)?;
    if octets.iter().all(|octet| numbers.contains(octet)) {
        return Some(octets);
    }
    let all: Vec<String> = numbers.iter().map(u8::to_string).collect();
    value.refuse(format!("expected one of {}", all.join(", ")))
}

/// The labels of a domain name; `None` of them for the root.
fn name(value: Value<'_>) -> Option<Vec<&str>> {
    let text = value.text("a domain name")?;
    let labels: Vec<&str> = text.strip_suffix('.').unwrap_or(text).split('.').collect();
    let label_fits = |label: &&str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
    };
    let wire_len =
        labels.iter().fold(1, |octets: usize, label| octets.saturating_add(label.len()).saturating_add(1));
    if labels.iter().all(label_fits) && wire_len <= 255 {
        Some(labels)
    } else {
        value.refuse(format!("\"{}\" is not a domain name, such as \"example.org\"", text.escape_default()))
    }
}

/// A domain name in the form of RFC 1035, section 3.1.
fn uncompressed(labels: &[&str]) -> Vec<u8> {
    let mut octets = Vec::new();
    labels.iter().for_each(|label| push_label(&mut octets, label));
    octets.push(0);
    octets
}

#[expect(clippy::cast_possible_truncation, reason = "a label has at most 63 octets")]
fn push_label(octets: &mut Vec<u8>, label: &str) {
    octets.push(label.len() as u8);
    octets.extend_from_slice(label.as_bytes());
}

/// Domain names, each sharing the tail it has in common with one before (RFC 3397, RFC 1035 section 4.1.4).
fn search_list(value: Value<'_>) -> Option<Vec<u8>> {
    let names: Vec<Option<Vec<&str>>> = elements(value, "domain names")?.into_iter().map(name).collect();
    let names: Vec<Vec<&str>> = names.into_iter().collect::<Option<_>>()?;
    let mut octets = Vec::new();
    let mut tails: Vec<(Vec<String>, u16)> = Vec::new();
    for labels in &names {
        let mut rest = labels.as_slice();
        loop {
            let Some((label, further)) = rest.split_first() else {
                octets.push(0);
                break;
            };
            let folded: Vec<String> = rest.iter().map(|label| label.to_ascii_lowercase()).collect();
            if let Some((_, at)) = tails.iter().find(|(tail, _)| *tail == folded) {
                octets.extend_from_slice(&(0xc000 | at).to_be_bytes());
                break;
            }
            if let Some(at) = u16::try_from(octets.len()).ok().filter(|at| *at < 0x4000) {
                tails.push((folded, at));
            }
            push_label(&mut octets, label);
            rest = further;
        }
    }
    Some(octets)
}

/// A classless route (RFC 3442): `"DESTINATION - ROUTER"`, or a table of the two. Router 0.0.0.0: on the client's link.
fn route(value: Value<'_>) -> Option<Vec<u8>> {
    let (destination, router) = if value.is_table() {
        let mut section = value.section("route")?;
        let destination = section.required("destination", "\"0.0.0.0/0\"", destination);
        let router = section.required("router", "\"192.0.2.1\"", Value::address);
        section.finish();
        (destination?, router?)
    } else {
        let form = "\"DESTINATION - ROUTER\", such as \"198.51.100.0/24 - 192.0.2.1\"";
        let text = value.text(form)?;
        let parsed = text.split_once('-').and_then(|(destination, router)| {
            Some((parse_destination(destination)?, router.trim().parse().ok()?))
        });
        match parsed {
            Some(route) => route,
            None => return value.refuse(format!("\"{}\" is not {form}", text.escape_default())),
        }
    };
    if router.is_multicast() || router.is_broadcast() {
        return value.refuse(format!("{router} is not the address of one router"));
    }
    let significant = usize::from(destination.len.div_ceil(8));
    let mut octets = vec![destination.len];
    octets.extend(destination.network.octets().into_iter().take(significant));
    octets.extend_from_slice(&router.octets());
    Some(octets)
}

fn destination(value: Value<'_>) -> Option<Prefix> {
    let form = "a prefix without bits beyond its length, such as \"198.51.100.0/24\" or \"0.0.0.0/0\"";
    let text = value.text(form)?;
    match parse_destination(text) {
        Some(destination) => Some(destination),
        None => value.refuse(format!("\"{}\" is not {form}", text.escape_default())),
    }
}

/// A prefix; unlike a subnet's it may be everything (length 0).
fn parse_destination(text: &str) -> Option<Prefix> {
    let (network, len) = text.split_once('/')?;
    let network: Ipv4Addr = network.trim().parse().ok()?;
    let len: u8 = len.trim().parse().ok().filter(|len| *len <= 32)?;
    Some(Prefix::around(network, len)).filter(|prefix| prefix.network == network)
}

/// SIP servers (RFC 3361): all by address (encoding 1), or all by name (encoding 0).
fn sip_servers(value: Value<'_>) -> Option<Vec<u8>> {
    let by_address = elements(value, "SIP servers")?.iter().all(|element| {
        element.is_text() && element.text("").is_some_and(|text| text.parse::<Ipv4Addr>().is_ok())
    });
    let (encoding, encoded) =
        if by_address { (1, encode(Kind::Hosts, value)?) } else { (0, encode(Kind::Names, value)?) };
    Some([vec![encoding], encoded].concat())
}
