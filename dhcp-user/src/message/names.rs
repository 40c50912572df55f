//! Host names from clients, which may be any octets.

/// The longest name of the DNS in text, and the longest label (RFC 1035 §2.3.4).
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// The octets before the name in option 81: flags and two codes (RFC 4702 §2).
const FQDN_HEAD: usize = 3;
/// The flag that says that the name is in the DNS's wire form.
const IN_WIRE_FORM: u8 = 0x04;

/// The host name in the value of option 12, if it is one that can be shown and stored.
pub(super) fn host_name(raw: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(raw).ok()?.trim_end_matches('\0');
    (name.len() <= LONGEST_NAME && name.split('.').all(|label| is_label(label.as_bytes()))).then_some(name)
}

/// Whether the value of option 81 is one: its name may be empty, partial or whole (RFC 4702 §2.3).
pub(super) fn is_fqdn(raw: &[u8]) -> bool {
    match raw.split_at_checked(FQDN_HEAD) {
        None => false,
        Some((_, [])) => true,
        Some(([flags, ..], name)) if flags & IN_WIRE_FORM != 0 => is_in_wire_form(name),
        Some((_, name)) => host_name(name.strip_suffix(b".").unwrap_or(name)).is_some(),
    }
}

/// Labels with their lengths before them, and after the last one at most the root's.
fn is_in_wire_form(mut name: &[u8]) -> bool {
    while let [length, rest @ ..] = name {
        if *length == 0 {
            return rest.is_empty();
        }
        match rest.split_at_checked(usize::from(*length)) {
            Some((label, rest)) if is_label(label) => name = rest,
            _ => return false,
        }
    }
    true
}

fn is_label(label: &[u8]) -> bool {
    (1..=LONGEST_LABEL).contains(&label.len())
        && label.iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
}
