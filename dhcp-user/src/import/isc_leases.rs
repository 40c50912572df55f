//! ISC dhcpd's lease file: `dhcpd.leases`, a declaration for each change.

use jiff::civil;
use jiff::tz::TimeZone;

use super::leases::{Entry, Found, Use, Why, hw_address, octets};
use super::origin::{At, Unreadable};

/// A word, a text in quotes, or a mark.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(Vec<u8>),
    Mark(u8),
}

/// Reads one file.
///
/// # Errors
/// [`Unreadable`] if braces, quotes or semicolons don't fit.
pub fn isc_leases(file: &str, text: &[u8], found: &mut Found) -> Result<(), Unreadable> {
    let tokens = tokens(file, text)?;
    let mut rest = tokens.as_slice();
    while let Some(((at, first), after)) = rest.split_first() {
        let end = after.iter().position(|(_, token)| matches!(token, Token::Mark(b'{' | b';')));
        let (head, beyond) = end
            .and_then(|end| after.split_at_checked(end))
            .ok_or_else(|| Unreadable::new(at, "this statement doesn't end"))?;
        let has_body = beyond.first().is_some_and(|(_, token)| *token == Token::Mark(b'{'));
        let beyond = beyond.get(1..).unwrap_or_default();
        let (body, beyond) = if has_body { body(at, beyond)? } else { (&[][..], beyond) };
        rest = beyond;
        let address = match head {
            [(_, Token::Word(address))] if has_body => address.parse().ok(),
            _ => None,
        };
        match (first, address) {
            (Token::Word(word), Some(address)) if word == "lease" => match entry(at, address, body) {
                Ok(entry) => found.add(entry),
                Err(what) => found.skip(at, Some(address), Why::Unreadable(what)),
            },
            (Token::Word(word), _) if word == "lease" => {
                found.skip(at, None, Why::Unreadable("the address is none".to_owned()));
            }
            // How its numbers are written, and who the server is.
            (Token::Word(word), _) if word == "authoring-byte-order" || word == "server-duid" => {}
            _ => found.skip(at, None, Why::OtherKind),
        }
    }
    Ok(())
}

type Tokens<'t> = &'t [(At, Token)];

/// The text up to the closing brace, and the rest.
fn body<'t>(at: &At, rest: Tokens<'t>) -> Result<(Tokens<'t>, Tokens<'t>), Unreadable> {
    let mut depth = 1_usize;
    for (place, (_, token)) in rest.iter().enumerate() {
        match token {
            Token::Mark(b'{') => depth = depth.saturating_add(1),
            Token::Mark(b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            let beyond = rest.get(place.saturating_add(1)..).unwrap_or_default();
            return Ok((rest.get(..place).unwrap_or_default(), beyond));
        }
    }
    Err(Unreadable::new(at, "this brace isn't closed"))
}

fn entry(at: &At, address: std::net::Ipv4Addr, body: Tokens<'_>) -> Result<Entry, String> {
    let mut entry = Entry {
        at: at.clone(),
        address,
        use_of_it: Use::Leased,
        hw_address: None,
        client_id: None,
        host_name: None,
        expires: Some(0),
        lease_time: None,
    };
    let mut starts = None;
    for statement in body.split(|(_, token)| *token == Token::Mark(b';')) {
        let words: Vec<&Token> = statement.iter().map(|(_, token)| token).collect();
        let texts: Vec<&str> =
            words.iter().map(|t| if let Token::Word(w) = t { w.as_str() } else { "" }).collect();
        match (texts.as_slice(), words.last()) {
            (["starts", when @ ..], _) => starts = moment(when)?,
            (["ends", when @ ..], _) => entry.expires = moment(when)?,
            (["binding", "state", state], _) => {
                entry.use_of_it = match *state {
                    "active" => Use::Leased,
                    "abandoned" => Use::Declined,
                    _ => Use::None,
                };
            }
            // As versions before 3.0 wrote it.
            (["abandoned"], _) => entry.use_of_it = Use::Declined,
            (["hardware", kind, address], _) => {
                let octets = hw_address(address).ok_or("the hardware address is none")?;
                entry.hw_address = Some(match *kind {
                    "ethernet" => octets,
                    "token-ring" => format!("6/{octets}"),
                    "fddi" => format!("8/{octets}"),
                    "infiniband" => format!("32/{octets}"),
                    kind => {
                        let number = kind.strip_prefix("unknown-").unwrap_or("255");
                        let htype: u8 = number.parse().map_err(|_| "the hardware type is none")?;
                        format!("{htype}/{octets}")
                    }
                });
            }
            (["uid", _], Some(Token::Text(id))) => entry.client_id = Some(id.clone()),
            (["uid", id], _) => entry.client_id = Some(octets(id).ok_or("the uid is no octets")?),
            (["client-hostname", _], Some(Token::Text(name))) => {
                entry.host_name = Some(String::from_utf8_lossy(name).into_owned());
            }
            _ => {}
        }
    }
    if let (Some(starts), Some(end)) = (starts, entry.expires) {
        entry.lease_time = u32::try_from(end.saturating_sub(starts)).ok();
    }
    Ok(entry)
}

/// `4 2026/01/29 12:00:00` in UTC, `epoch N`, or `never`.
fn moment(words: &[&str]) -> Result<Option<i64>, String> {
    let wrong = || format!("{} is no time", words.join(" "));
    match words {
        ["never"] => Ok(None),
        ["epoch", seconds] => seconds.parse().map(Some).map_err(|_| wrong()),
        [_, date, time] => {
            let written = format!("{}T{time}", date.replace('/', "-"));
            let civil: civil::DateTime = written.parse().map_err(|_| wrong())?;
            let zoned = civil.to_zoned(TimeZone::UTC).map_err(|_| wrong())?;
            Ok(Some(zoned.timestamp().as_second()))
        }
        _ => Err(wrong()),
    }
}

fn tokens(file: &str, text: &[u8]) -> Result<Vec<(At, Token)>, Unreadable> {
    let (mut at, mut all) = (At::start_of(file), Vec::new());
    let mut rest = text.iter().copied().peekable();
    while let Some(octet) = rest.next() {
        match octet {
            b'\n' => at.line = at.line.saturating_add(1),
            b'#' => while rest.next_if(|octet| *octet != b'\n').is_some() {},
            b'{' | b'}' | b';' => all.push((at.clone(), Token::Mark(octet))),
            b'"' => {
                let begins = at.clone();
                let mut text = Vec::new();
                loop {
                    match rest.next() {
                        None => return Err(Unreadable::new(&begins, "this text has no closing quote")),
                        Some(b'"') => break,
                        Some(b'\\') => match rest.next() {
                            Some(digit @ b'0'..=b'7') => {
                                let mut code = u32::from(digit.saturating_sub(b'0'));
                                for _ in 0..2 {
                                    if let Some(digit) = rest.next_if(|octet| (b'0'..=b'7').contains(octet)) {
                                        code = code
                                            .saturating_mul(8)
                                            .saturating_add(u32::from(digit.saturating_sub(b'0')));
                                    }
                                }
                                text.push(u8::try_from(code & 0xff).unwrap_or(0));
                            }
                            Some(b'n') => text.push(b'\n'),
                            Some(b't') => text.push(b'\t'),
                            Some(b'r') => text.push(b'\r'),
                            Some(other) => text.push(other),
                            None => {}
                        },
                        Some(octet) => {
                            if octet == b'\n' {
                                at.line = at.line.saturating_add(1);
                            }
                            text.push(octet);
                        }
                    }
                }
                all.push((begins, Token::Text(text)));
            }
            octet if octet.is_ascii_whitespace() => {}
            octet => {
                let mut word = vec![octet];
                while let Some(octet) = rest.next_if(|o| !o.is_ascii_whitespace() && !b"{};\"#".contains(o)) {
                    word.push(octet);
                }
                all.push((at.clone(), Token::Word(String::from_utf8_lossy(&word).into_owned())));
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Treated;

    #[test]
    fn the_last_declaration_counts_and_abandoned_is_quarantined() {
        let text = r#"
authoring-byte-order little-endian;
lease 192.0.2.1 { starts 4 2026/01/01 00:00:00; ends 4 2026/01/01 00:10:00; binding state active;
  hardware ethernet 2:0:0:0:0:1; uid "\001\002\"a"; client-hostname "alpha"; set vendor = "x;}"; }
lease 192.0.2.2 { ends epoch 1767225900; # a remark
  binding state active; hardware ethernet 02:00:00:00:00:02; }
lease 192.0.2.2 { ends epoch 1767225900; binding state free; }
lease 192.0.2.3 { ends never; binding state abandoned; }
lease 192.0.2.4 { ends never; binding state active; uid 01:02; on expiry { set a = "b"; } }
failover peer "x" state { my state normal; }
"#;
        let mut found = Found::default();
        isc_leases("l", text.as_bytes(), &mut found).unwrap();
        let (leases, not_taken) = found.at(1_767_225_600);
        let told: Vec<_> =
            leases.iter().map(|(_, l)| (l.address.octets()[3], l.state, l.expires_in)).collect();
        let expected =
            [(1, Treated::Leased, 600), (3, Treated::Quarantined, u32::MAX), (4, Treated::Leased, u32::MAX)];
        assert_eq!(told, expected);
        assert_eq!(leases[0].1.client_id.as_deref(), Some("01:02:22:61"));
        assert_eq!(leases[0].1.hw_address.as_deref(), Some("02:00:00:00:00:01"));
        let told: Vec<_> = not_taken.iter().map(|no| (no.at.line, no.why.clone())).collect();
        assert_eq!(told, [(7, Why::NotInUse), (10, Why::OtherKind)]);
    }

    #[test]
    fn what_does_not_end_is_refused_with_its_line() {
        for text in ["\nlease 192.0.2.1 {", "\n\"", "\nlease"] {
            assert_eq!(isc_leases("l", text.as_bytes(), &mut Found::default()).unwrap_err().at.line, 2);
        }
    }
}
