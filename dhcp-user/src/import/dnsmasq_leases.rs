//! dnsmasq's lease file: a line for each lease, of end, hardware address, address, host name and client identifier.

use super::leases::{Entry, Found, Use, Why, colons, octets};
use super::origin::At;

/// Reads one file.
pub fn dnsmasq_leases(file: &str, text: &[u8], found: &mut Found) {
    let mut at = At::start_of(file);
    // What stands behind the server's own DUID are leases of DHCPv6.
    let mut is_v6 = false;
    for line in text.split(|octet| *octet == b'\n') {
        let line = String::from_utf8_lossy(line);
        let fields: Vec<&str> = line.split_whitespace().collect();
        is_v6 |= fields.first() == Some(&"duid");
        match fields[..] {
            [] => {}
            _ if is_v6 => found.skip(&at, None, Why::OtherKind),
            [end, hw_address, address, host_name, client_id] => {
                let read = entry(&at, [end, hw_address, address, host_name, client_id]);
                match read {
                    Ok(entry) => found.add(entry),
                    Err(what) => found.skip(&at, address.parse().ok(), Why::Unreadable(what.to_owned())),
                }
            }
            _ => found.skip(&at, None, Why::Unreadable("not five words".to_owned())),
        }
        at.line = at.line.saturating_add(1);
    }
}

fn entry(at: &At, [end, hw, address, host_name, client_id]: [&str; 5]) -> Result<Entry, &'static str> {
    let said = |text: &str| (text != "*").then(|| text.to_owned());
    let end: i64 = end.parse().map_err(|_| "the end is no number")?;
    // A type other than Ethernet goes before, with a dash.
    let (htype, octets_of_hw) = hw.split_once('-').unwrap_or(("01", hw));
    let htype = u8::from_str_radix(htype, 16).map_err(|_| "the hardware type is no number")?;
    let hw_address = match (said(hw), octets(octets_of_hw).filter(|octets| octets.len() <= 16)) {
        (None, _) => None,
        (Some(_), None) => return Err("the hardware address is none"),
        (Some(_), Some(octets)) if htype == 1 => Some(colons(&octets)),
        (Some(_), Some(octets)) => Some(format!("{htype}/{}", colons(&octets))),
    };
    let client_id = match said(client_id) {
        Some(text) => Some(octets(&text).ok_or("the client identifier is no octets")?),
        None => None,
    };
    Ok(Entry {
        at: at.clone(),
        address: address.parse().map_err(|_| "the address is none")?,
        use_of_it: Use::Leased,
        hw_address,
        client_id,
        host_name: said(host_name),
        expires: (end != 0).then_some(end),
        lease_time: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_read_and_what_is_none_is_told() {
        let text = "1500 02:00:00:00:00:01 192.0.2.1 alpha 01:02:00:00:00:00:01\n\
                    0 06-02:00:00 192.0.2.2 * *\n900 02:00:00:00:00:03 192.0.2.3 * *\nx y\n\
                    duid 00:01\n1500 1 2001:db8::1 * 00\n";
        let mut found = Found::default();
        dnsmasq_leases("d", text.as_bytes(), &mut found);
        let (leases, not_taken) = found.at(1000);
        let told: Vec<_> = leases.iter().map(|(_, l)| (l.hw_address.as_deref(), l.expires_in)).collect();
        assert_eq!(told, [(Some("02:00:00:00:00:01"), 500), (Some("6/02:00:00"), u32::MAX)]);
        assert_eq!(leases[0].1.host_name.as_deref(), Some("alpha"));
        let lines: Vec<_> = not_taken.iter().map(|no| no.at.line).collect();
        assert_eq!(lines, [3, 4, 5, 6]);
    }
}
