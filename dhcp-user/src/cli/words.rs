//! Arguments of commands: prefixes and hardware addresses.

use std::net::Ipv4Addr;

use crate::config::Prefix;

/// An address, or a prefix.
pub(super) fn prefix(text: &str) -> Result<(Ipv4Addr, u8), String> {
    let (address, len) = text.split_once('/').unwrap_or((text, "32"));
    let parsed = address.parse().ok().zip(len.parse().ok());
    parsed
        .filter(|(address, len)| Prefix::of(*address, *len).is_some())
        .ok_or_else(|| "write an IPv4 address, or a prefix such as 192.0.2.0/24".to_owned())
}

/// A hardware address.
pub(super) fn hw_address(text: &str) -> Result<[u8; 6], String> {
    let octets: Option<Vec<u8>> = text
        .split(':')
        .map(|octet| u8::from_str_radix(octet, 16).ok().filter(|_| octet.len() == 2))
        .collect();
    let mac = octets.and_then(|octets| octets.try_into().ok());
    mac.ok_or_else(|| "write a hardware address such as 02:00:00:00:00:01".to_owned())
}
