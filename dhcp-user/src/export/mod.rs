//! Writes our leases and our configuration in the files of other DHCP servers.

// What goes to another server's files is written or told of, whatever it is.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

mod configuration;
mod dnsmasq_configuration;
mod isc_configuration;
mod kea_configuration;
#[cfg(test)]
mod round_trips;
mod source;
mod written;

use std::net::Ipv4Addr;

use crate::control::{Portable, Treated};
use crate::import::octets;

pub use configuration::{To, configuration};

/// A time that has no end.
const FOR_EVER: u32 = u32::MAX;

/// The first line of Kea's file.
pub const KEA_HEAD: &str =
    "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context";

/// Why a lease isn't written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Left {
    /// Nobody was promised the address.
    #[error("free")]
    Free,
    /// The other server has no quarantine.
    #[error("in quarantine, which isn't known there")]
    Quarantined,
    /// None of the other server's subnets has the address.
    #[error("in none of the other server's subnets")]
    NoSubnet,
    /// A hardware address or an identifier is none.
    #[error("its owner can't be told")]
    NoOwner,
}

/// The use of an address, and its end.
enum Kept {
    /// For its owner. Longer than he knows, where more may have been promised.
    Leased { left: u32 },
    /// For nobody.
    Quarantined { left: u32 },
}

fn kept(lease: &Portable) -> Result<Kept, Left> {
    match lease.state {
        Treated::Leased | Treated::Grace if lease.committed_for > 0 => {
            Ok(Kept::Leased { left: lease.committed_for })
        }
        Treated::Leased | Treated::Grace | Treated::Free => Err(Left::Free),
        Treated::Quarantined => {
            Ok(Kept::Quarantined { left: lease.quarantine.as_ref().map_or(0, |confined| confined.ends_in) })
        }
    }
}

/// The hardware type and address of the owner.
fn hardware(lease: &Portable) -> Result<Option<(u8, &str)>, Left> {
    let Some(written) = lease.hw_address.as_deref() else { return Ok(None) };
    let (kind, address) = written.split_once('/').unwrap_or(("1", written));
    let kind = kind.parse().map_err(|_| Left::NoOwner)?;
    octets(address).map(|_| Some((kind, address))).ok_or(Left::NoOwner)
}

fn client_id(lease: &Portable) -> Result<Option<Vec<u8>>, Left> {
    lease.client_id.as_deref().map(|text| octets(text).ok_or(Left::NoOwner)).transpose()
}

/// The host name, if it has nothing in it that a file's syntax might take for its own.
fn host_name(lease: &Portable) -> Option<&str> {
    let is_plain = |name: &&str| {
        !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._".contains(&octet))
    };
    lease.host_name.as_deref().filter(is_plain)
}

/// A line of Kea's file (without its end), at `now` in seconds of the Unix epoch; `id` is that of the subnet.
///
/// # Errors
/// [`Left`] if the lease has no place there.
pub fn kea(lease: &Portable, now: i64, id: impl Fn(Ipv4Addr) -> Option<u32>) -> Result<String, Left> {
    let kept = kept(lease)?;
    let id = id(lease.address).ok_or(Left::NoSubnet)?;
    let address = lease.address;
    let line = |hw: &str, client_id: &str, left: u32, lifetime: u32, name: &str, state: u8| {
        // One for good runs from now on.
        let expire = now.saturating_add(if left == FOR_EVER { 0 } else { left.into() });
        format!("{address},{hw},{client_id},{lifetime},{expire},{id},0,0,{name},{state},")
    };
    match kept {
        Kept::Quarantined { left } => Ok(line("", "", left, left, "", 1)),
        Kept::Leased { left } => {
            let hw = hardware(lease)?.map_or("", |(_, address)| address);
            let client_id =
                client_id(lease)?.map(|octets| crate::import::colons(&octets)).unwrap_or_default();
            // The client's last word is a lifetime before the end there, and is not to come yet.
            let lifetime = lease.lease_time.max(left);
            Ok(line(hw, &client_id, left, lifetime, host_name(lease).unwrap_or_default(), 0))
        }
    }
}

/// A declaration of dhcpd's lease file, at `now` in seconds of the Unix epoch.
///
/// # Errors
/// [`Left`] if the lease has no place there.
pub fn isc(lease: &Portable, now: i64) -> Result<String, Left> {
    let ends = |left: u32| match left {
        FOR_EVER => "never".to_owned(),
        left => format!("epoch {}", now.saturating_add(left.into())),
    };
    let (state, left) = match kept(lease)? {
        Kept::Leased { left } => ("active", left),
        Kept::Quarantined { left } => ("abandoned", left),
    };
    // A lease of which less than a quarter is over is confirmed as it is: the client would be told all that it is kept for.
    let starts =
        now.saturating_sub(if left == FOR_EVER { 0 } else { lease.last_heard_ago.max(left / 2).into() });
    let mut text = format!(
        "lease {} {{\n  starts epoch {starts};\n  ends {};\n  cltt epoch {starts};\n  binding state {state};\n  next binding state free;\n",
        lease.address,
        ends(left),
    );
    if state == "active" {
        if let Some((kind, address)) = hardware(lease)? {
            let kind = match kind {
                1 => "ethernet".to_owned(),
                6 => "token-ring".to_owned(),
                8 => "fddi".to_owned(),
                32 => "infiniband".to_owned(),
                kind => format!("unknown-{kind}"),
            };
            text.push_str(&format!("  hardware {kind} {address};\n"));
        }
        if let Some(id) = client_id(lease)? {
            let octal: String = id.iter().map(|octet| format!("\\{octet:03o}")).collect();
            text.push_str(&format!("  uid \"{octal}\";\n"));
        }
        if let Some(name) = host_name(lease) {
            text.push_str(&format!("  client-hostname \"{name}\";\n"));
        }
    }
    text.push('}');
    Ok(text)
}

/// A line of dnsmasq's file (without its end), at `now` in seconds of the Unix epoch.
///
/// # Errors
/// [`Left`] if the lease has no place there.
pub fn dnsmasq(lease: &Portable, now: i64) -> Result<String, Left> {
    let Kept::Leased { left } = kept(lease)? else { return Err(Left::Quarantined) };
    let end = if left == FOR_EVER { 0 } else { now.saturating_add(left.into()) };
    let (hw, client_id) = (hardware(lease)?, client_id(lease)?);
    if hw.is_none() && client_id.is_none() {
        return Err(Left::NoOwner);
    }
    let hw = match hw {
        Some((1, address)) => address.to_owned(),
        Some((kind, address)) => format!("{kind:02x}-{address}"),
        None => "00-00".to_owned(),
    };
    let client_id = client_id.map_or_else(|| "*".to_owned(), |octets| crate::import::colons(&octets));
    Ok(format!("{end} {hw} {} {} {client_id}", lease.address, host_name(lease).unwrap_or("*")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::import::{Found, dnsmasq_leases, isc_leases, kea_leases};

    const NOW: i64 = 1_800_000_000;

    /// The part of a lease that survives the way there and back: its client, and its end.
    fn gist(lease: &Portable) -> (Ipv4Addr, bool, u32, Option<String>, Option<String>) {
        let is_leased = lease.state != Treated::Quarantined;
        let left = if is_leased {
            lease.committed_for
        } else {
            lease.quarantine.as_ref().map_or(0, |confined| confined.ends_in)
        };
        let owner = |text: &Option<String>| text.clone().filter(|_| is_leased);
        (lease.address, is_leased, left, owner(&lease.hw_address), owner(&lease.client_id))
    }

    fn returned(found: Found) -> Option<Portable> {
        found.at(NOW).0.pop().map(|(_, lease)| lease)
    }

    fn octets_of(lengths: std::ops::Range<usize>) -> impl Strategy<Value = String> {
        proptest::collection::vec(any::<u8>(), lengths).prop_map(|octets| crate::import::colons(&octets))
    }

    prop_compose! {
        fn leases()(
            address: u32,
            kind in prop_oneof![Just(""), Just("6/"), Just("8/"), Just("32/"), Just("7/")],
            hw in octets_of(1..17),
            client_id in proptest::option::of(octets_of(1..255)),
            host_name in proptest::option::of(".*"),
            left in prop_oneof![1_u32..100_000, Just(u32::MAX)],
            lease_time in 1_u32..100_000,
            last_heard_ago in 0_u32..100_000,
            is_quarantined: bool,
        ) -> Portable {
            let text = format!(r#"{{"address":"{}","state":"leased"}}"#, Ipv4Addr::from_bits(address));
            let lease: Portable = serde_json::from_str(&text).unwrap();
            let quarantine = format!(r#"{{"since-ago":0,"ends-in":{left},"why":"declined"}}"#);
            let quarantine = serde_json::from_str(&quarantine).unwrap();
            Portable {
                state: if is_quarantined { Treated::Quarantined } else { Treated::Leased },
                hw_address: Some(format!("{kind}{hw}")),
                client_id,
                host_name,
                lease_time,
                committed_for: left,
                last_heard_ago,
                quarantine: is_quarantined.then_some(quarantine),
                ..lease
            }
        }
    }

    proptest! {
        #[test]
        fn what_goes_to_another_server_comes_back_as_it_was(lease in leases()) {
            let went = gist(&lease);
            let plain_type = lease.hw_address.as_ref().is_none_or(|hw| !hw.contains('/'));
            if let Ok(line) = kea(&lease, NOW, |_| Some(7)) {
                let mut found = Found::default();
                kea_leases("k", format!("{KEA_HEAD}\n{line}\n").as_bytes(), &mut found).unwrap();
                // Its file has no type of hardware.
                if plain_type {
                    prop_assert_eq!(gist(&returned(found).unwrap()), went.clone());
                }
            }
            if let Ok(text) = isc(&lease, NOW) {
                let mut found = Found::default();
                isc_leases("i", text.as_bytes(), &mut found).unwrap();
                prop_assert_eq!(gist(&returned(found).unwrap()), went.clone());
            }
            if let Ok(line) = dnsmasq(&lease, NOW) {
                let mut found = Found::default();
                dnsmasq_leases("d", line.as_bytes(), &mut found);
                prop_assert_eq!(gist(&returned(found).unwrap()), went);
            }
        }
    }

    #[test]
    fn what_nobody_was_promised_stays_here() {
        let free: Portable = serde_json::from_str(
            r#"{"address":"192.0.2.1","state":"free","hw-address":"02:00:00:00:00:01"}"#,
        )
        .unwrap();
        assert_eq!(kea(&free, NOW, |_| Some(1)), Err(Left::Free));
        let leased = Portable { state: Treated::Leased, committed_for: 60, lease_time: 30, ..free };
        assert_eq!(kea(&leased, NOW, |_| None), Err(Left::NoSubnet));
        let line = kea(&leased, NOW, |_| Some(3)).unwrap();
        assert_eq!(line, "192.0.2.1,02:00:00:00:00:01,,60,1800000060,3,0,0,,0,");
    }
}
