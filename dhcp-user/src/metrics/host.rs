//! The host names under which we answer a browser: a foreign page whose name leads to our address (DNS rebinding)
//! sends that name.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether `host`, as a request names it, can be meant for us: an address, which nobody can have lead elsewhere, `localhost`,
/// or the name of this machine.
pub(super) fn is_ours(host: &str, machine: &str) -> bool {
    let Some(name) = without_port(host) else { return false };
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_address = match address {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => name.parse::<Ipv4Addr>().is_ok(),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_named = |ours: &str| !ours.is_empty() && name.eq_ignore_ascii_case(ours);
    is_address || is_named("localhost") || is_named(machine)
}

/// The name alone; nothing if what follows is no port.
fn without_port(host: &str) -> Option<&str> {
    let end = host.find(']').map_or(0, |bracket| bracket + 1);
    match host.get(end..)?.find(':') {
        Some(colon) => {
            let port = host.get(end + colon + 1..)?;
            let is_port = port.is_empty() || port.parse::<u16>().is_ok() && !port.starts_with('+');
            host.get(..end + colon).filter(|_| is_port)
        }
        None => Some(host),
    }
}

/// The name of this machine; empty if it has none.
pub(super) fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_our_own_names_are_ours_and_nothing_else_is() {
        for ours in [
            "127.0.0.1",
            "127.0.0.1:19067",
            "192.0.2.1:80",
            "[::1]:19067",
            "[::1]",
            "localhost",
            "LOCALHOST:1",
            "localhost.:19067",
            "dhcp1",
            "Dhcp1:19067",
        ] {
            assert!(is_ours(ours, "dhcp1"), "{ours}");
        }
        for theirs in [
            "",
            ":",
            ":80",
            "evil.example",
            "evil.example:19067",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "dhcp1.evil.example",
            "127.0.0.1:evil",
            "127.0.0.1:+80",
            "[::1",
            "[evil]",
            "[::1].evil.example",
            "::1",
            "user@127.0.0.1",
            "127.0.0.1:80:80",
            "0x7f.1",
            "\u{ff11}27.0.0.1",
        ] {
            assert!(!is_ours(theirs, "dhcp1"), "{theirs}");
        }
        assert!(!is_ours(".", "") && !is_ours("", ""));
    }
}
