//! A named option may also be written as `code-N`, in octets. These are checked like the named form.

use std::net::Ipv4Addr;

use super::registry::Kind;

/// Checks the octets of an option of this kind, at least one.
///
/// Text and octets may have any value: an operator who writes them in hexadecimal has a client that wants them so.
///
/// # Errors
/// The fault.
pub(super) fn check(kind: Kind, octets: &[u8]) -> Result<(), String> {
    match kind {
        Kind::Address => one(octets).and_then(specified),
        Kind::Host => one(octets).and_then(host),
        Kind::Hosts => addresses(octets)?.into_iter().try_for_each(host),
        Kind::Addresses => addresses(octets)?.into_iter().try_for_each(specified),
        Kind::Mask => one(octets).and_then(mask),
        Kind::Filters => pairs(octets)?.into_iter().try_for_each(|(_, of)| mask(of)),
        Kind::ClassfulRoutes => pairs(octets)?
            .into_iter()
            .try_for_each(|(to, router)| destination(to).and_then(|()| host(router))),
        Kind::OneOf(numbers) => match octets {
            [number] if numbers.contains(number) => Ok(()),
            _ => {
                let all: Vec<String> = numbers.iter().map(u8::to_string).collect();
                Err(format!("is not one of {} in one octet", all.join(", ")))
            }
        },
        Kind::Unsigned8 { min } => match octets {
            [number] if *number >= min => Ok(()),
            [number] => Err(format!("is {number}, less than {min}")),
            _ => Err(length(octets, "1")),
        },
        Kind::Unsigned16 { min } if octets.len() == 2 => numbers(octets, min),
        Kind::Unsigned16 { .. } => Err(length(octets, "2")),
        Kind::Unsigned16s { min } => numbers(octets, min),
        Kind::Unsigned32 | Kind::Signed32 if octets.len() == 4 => Ok(()),
        Kind::Unsigned32 | Kind::Signed32 => Err(length(octets, "4")),
        Kind::Boolean => match octets {
            [0 | 1] => Ok(()),
            _ => Err("is neither 00 nor 01".to_owned()),
        },
        Kind::Name => match names(octets)? {
            1 => Ok(()),
            more => Err(format!("is {more} domain names, and takes one")),
        },
        Kind::Names => names(octets).map(drop),
        Kind::SearchList => search_list(octets),
        Kind::Routes => routes(octets),
        Kind::SipServers => match octets {
            [0, rest @ ..] => names(rest).map(drop),
            [1, rest @ ..] => addresses(rest)?.into_iter().try_for_each(host),
            _ => Err("begins with neither 00 (names) nor 01 (addresses)".to_owned()),
        },
        Kind::Text | Kind::Octets | Kind::Encapsulated => Ok(()),
        Kind::Ours(why) => Err(format!("can't be set: {why}")),
    }
}

fn length(octets: &[u8], of: &str) -> String {
    format!("has {} octets, and takes {of}", octets.len())
}

fn one(octets: &[u8]) -> Result<Ipv4Addr, String> {
    let octets: [u8; 4] = octets.try_into().map_err(|_| length(octets, "the 4 of an address"))?;
    Ok(octets.into())
}

fn addresses(octets: &[u8]) -> Result<Vec<Ipv4Addr>, String> {
    match octets.as_chunks() {
        ([], _) | (_, [_, ..]) => Err(length(octets, "4 for each address")),
        (all, []) => Ok(all.iter().map(|octets: &[u8; 4]| Ipv4Addr::from(*octets)).collect()),
    }
}

fn pairs(octets: &[u8]) -> Result<Vec<(Ipv4Addr, Ipv4Addr)>, String> {
    match octets.as_chunks() {
        ([], _) | (_, [_, ..]) => Err(length(octets, "8 for each pair of addresses")),
        (all, []) => Ok(all
            .iter()
            .map(|[a, b, c, d, e, f, g, h]| ([*a, *b, *c, *d].into(), [*e, *f, *g, *h].into()))
            .collect()),
    }
}

fn specified(address: Ipv4Addr) -> Result<(), String> {
    if address.is_unspecified() {
        Err("has 0.0.0.0, which is not an address to be told".to_owned())
    } else {
        Ok(())
    }
}

fn host(address: Ipv4Addr) -> Result<(), String> {
    if address.is_multicast() || address.is_broadcast() {
        return Err(format!("has {address}, which is not the address of one host"));
    }
    specified(address)
}

fn mask(mask: Ipv4Addr) -> Result<(), String> {
    if mask.is_unspecified() || mask.to_bits().leading_ones() != mask.to_bits().count_ones() {
        return Err(format!("has {mask}, which is not a subnet mask"));
    }
    Ok(())
}

/// The default route is no destination here (RFC 2132, section 5.8).
fn destination(to: Ipv4Addr) -> Result<(), String> {
    if to.is_unspecified() {
        return Err("has the destination 0.0.0.0: write the default route as `routers`".to_owned());
    }
    if to.is_multicast() || to.is_broadcast() {
        return Err(format!("has {to}, which is not a destination that a router leads to"));
    }
    Ok(())
}

fn numbers(octets: &[u8], min: u16) -> Result<(), String> {
    let (all, rest) = octets.as_chunks();
    if all.is_empty() || !rest.is_empty() {
        return Err(length(octets, "2 for each number"));
    }
    match all.iter().map(|octets| u16::from_be_bytes(*octets)).find(|number| *number < min) {
        Some(number) => Err(format!("has {number}, less than {min}")),
        None => Ok(()),
    }
}

/// A name of RFC 1035, section 3.1, at the beginning: its octets, and those behind it.
fn name(octets: &[u8]) -> Result<(usize, &[u8]), String> {
    let (mut rest, mut long) = (octets, 0usize);
    loop {
        let Some((length, tail)) = rest.split_first() else {
            return Err("is not whole: a domain name lacks its end".to_owned());
        };
        long = long.saturating_add(1).saturating_add(usize::from(*length));
        match *length {
            _ if long > 255 => return Err("has a domain name of more than 255 octets".to_owned()),
            0 => return Ok((long, tail)),
            1..=63 => {
                let label = tail.split_at_checked(usize::from(*length));
                rest = label.ok_or("is not whole: a label is cut short")?.1;
            }
            _ => return Err(format!("has a label of {length} octets: 63 is the most")),
        }
    }
}

/// How many names there are, none compressed.
fn names(octets: &[u8]) -> Result<usize, String> {
    let (mut rest, mut count) = (octets, 0usize);
    while !rest.is_empty() || count == 0 {
        (_, rest) = name(rest)?;
        count = count.saturating_add(1);
    }
    Ok(count)
}

/// Names, each of which may end in a pointer to an earlier place (RFC 3397, RFC 1035 section 4.1.4).
fn search_list(octets: &[u8]) -> Result<(), String> {
    // Where a label begins that may be pointed at, with the octets of the name from there on.
    let mut known: Vec<(usize, usize)> = Vec::new();
    let (mut at, mut labels, mut count) = (0usize, Vec::new(), 0usize);
    while at < octets.len() || !labels.is_empty() || count == 0 {
        let (ends, tail) = match octets.get(at..).unwrap_or_default() {
            [] => return Err("is not whole: a domain name lacks its end".to_owned()),
            [0, ..] => (1, 1),
            [length @ 1..=63, rest @ ..] if rest.len() >= usize::from(*length) => {
                labels.push((at, usize::from(*length).saturating_add(1)));
                at = at.saturating_add(usize::from(*length)).saturating_add(1);
                continue;
            }
            [high @ 0xc0..=0xff, low, ..] => {
                let to = usize::from(u16::from_be_bytes([high & 0x3f, *low]));
                let pointed = known.iter().find(|(label, _)| *label == to);
                let Some((_, tail)) = pointed else {
                    return Err(format!("points to {to}, where no label of a name before it begins"));
                };
                (2, *tail)
            }
            _ => return Err("is not whole: a label is cut short, or longer than 63 octets".to_owned()),
        };
        let mut long = tail;
        for (label, octets) in labels.drain(..).rev() {
            long = long.saturating_add(octets);
            known.push((label, long));
        }
        if long > 255 {
            return Err("has a domain name of more than 255 octets".to_owned());
        }
        at = at.saturating_add(ends);
        count = count.saturating_add(1);
    }
    Ok(())
}

/// Destinations and their routers (RFC 3442).
fn routes(octets: &[u8]) -> Result<(), String> {
    let mut rest = octets;
    while let Some((length, tail)) = rest.split_first() {
        let short = || "is not whole: a route is cut short".to_owned();
        if *length > 32 {
            return Err(format!("has a destination of {length} bits: 32 is the most"));
        }
        let (significant, tail) = tail.split_at_checked(usize::from(length.div_ceil(8))).ok_or_else(short)?;
        let (router, tail) = tail.split_first_chunk::<4>().ok_or_else(short)?;
        let mut network = [0; 4];
        network.iter_mut().zip(significant).for_each(|(to, from)| *to = *from);
        let beyond = u32::MAX.checked_shr(u32::from(*length)).unwrap_or(0);
        if u32::from_be_bytes(network) & beyond != 0 {
            return Err(format!("has {}/{length}, with bits beyond its length", Ipv4Addr::from(network)));
        }
        let router = Ipv4Addr::from(*router);
        if router.is_multicast() || router.is_broadcast() {
            return Err(format!("has {router}, which is not the address of one router"));
        }
        rest = tail;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kind of option `code`.
    fn kind(code: u8) -> Kind {
        super::super::registry::REGISTRY.iter().find(|option| option.code == code).expect("a name").kind
    }

    #[test]
    fn octets_are_checked_as_values_are() {
        let zero = &[0; 4][..];
        let refused: &[(u8, &[u8], &str)] = &[
            (1, &[255, 0, 255, 0], "not a subnet mask"),
            (1, zero, "not a subnet mask"),
            (1, &[255; 3], "takes the 4"),
            (2, &[0; 5], "takes 4"),
            (3, zero, "0.0.0.0"),
            (3, &[224, 0, 0, 1], "one host"),
            (3, &[10, 0, 0, 1, 10], "4 for each"),
            (19, &[2], "00 nor 01"),
            (21, &[10, 0, 0, 0, 255, 0, 255, 0], "not a subnet mask"),
            (23, &[0], "less than 1"),
            (25, &[0, 67], "less than 68"),
            (25, &[2, 0, 0], "2 for each"),
            (26, &[0, 67], "less than 68"),
            (26, &[2, 0, 2, 0], "takes 2"),
            (28, zero, "0.0.0.0"),
            (33, &[0, 0, 0, 0, 10, 0, 0, 1], "write the default route"),
            (33, &[10, 9, 0, 0, 0, 0, 0, 0], "0.0.0.0"),
            (33, &[10, 9, 0, 0], "8 for each"),
            (46, &[3], "one of 1, 2, 4, 8"),
            (88, b"\x03foo", "lacks its end"),
            (119, b"\x03foo\xc0\x00", "where no label"),
            (119, b"\x03foo", "lacks its end"),
            (119, b"\x03foo\0\x03bar\xc0\x01", "where no label"),
            (119, b"\x40", "cut short, or longer"),
            (120, &[2, 0], "neither"),
            (120, &[1, 0, 0, 0, 0], "0.0.0.0"),
            (121, &[33, 10, 0, 0, 0, 0, 10, 0, 0, 1], "32 is the most"),
            (121, &[8, 10, 10, 0, 0], "cut short"),
            (121, &[9, 10, 1, 10, 0, 0, 1], "bits beyond"),
            (121, &[0, 224, 0, 0, 1], "one router"),
            (137, b"\x01a\0\x01b\0", "2 domain names"),
            (137, &[64], "63 is the most"),
            (51, &[0, 0, 0, 1], "can't be set"),
        ];
        for (code, octets, why) in refused {
            let error = check(kind(*code), octets).expect_err("refused");
            assert!(error.contains(why), "{code} {octets:?}: {error}");
        }
        let taken: &[(u8, &[u8])] = &[
            (3, &[10, 0, 0, 1]),
            (12, b"with\0"),
            (21, &[0, 0, 0, 0, 255, 0, 0, 0]),
            (33, &[10, 9, 0, 0, 10, 0, 0, 1]),
            (42, &[224, 0, 1, 1]),
            (43, &[1]),
            (119, b"\x03eng\x05apple\x03com\0\x09marketing\xc0\x04"),
            (120, b"\0\x03sip\0"),
            (121, &[0, 0, 0, 0, 0, 32, 10, 0, 0, 9, 10, 0, 0, 1]),
            (137, b"\x01a\0"),
        ];
        for (code, octets) in taken {
            assert_eq!(check(kind(*code), octets), Ok(()), "{code} {octets:?}");
        }
    }
}
