//! A `[[subnet]]`: addresses, and on what terms they are leased.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::disjoint::Disjoint;
use super::options::{self, OptionSet};
use super::prefix::{Pool, Prefix};
use super::reservation::{Reservation, ReservationKey};
use super::section::Section;
use super::value::Value;

const DEFAULT_LEASE_TIME: u32 = 60 * 60;
const DEFAULT_GRACE: u32 = 5 * 60;
/// A client's own wish is not granted below this, unless the operator's terms are shorter.
const DEFAULT_MIN_LEASE_TIME: u32 = 60;

/// A subnet that is served. Durations are in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Subnet {
    /// Its addresses; no other subnet has any of them.
    pub prefix: Prefix,
    /// The tags its frames carry on the interface.
    pub vlan: Vlan,
    /// Ranges for dynamic leases, all inside `prefix`, no two overlapping, lowest first.
    pub pools: Vec<Pool>,
    /// The lease time given when the client asks for none.
    pub lease_time: u32,
    /// T1 of a lease of `lease_time`.
    pub renew_time: u32,
    /// T2 of a lease of `lease_time`.
    pub rebind_time: u32,
    /// The shortest lease time that a client's own wish is granted.
    pub min_lease_time: u32,
    /// The longest lease time that a client's own wish is granted.
    pub max_lease_time: u32,
    /// How long an expired address is kept for its last owner before it may be reused; may be 0.
    pub grace: u32,
    /// Whether clients with an address that can't be theirs get a NAK.
    pub authoritative: bool,
    /// Relay addresses (giaddr) served from this subnet beside its own addresses.
    pub relays: Vec<Ipv4Addr>,
    /// The server identifier, where it isn't the interface's own address.
    pub server_id: Option<Ipv4Addr>,
    /// How many leases a device (chaddr) may hold.
    pub max_leases_per_device: u32,
    /// How many leases a device may hold whose client identifiers are those of a RAS.
    pub max_leases_per_ras_device: u32,
    /// Options of every answer from this subnet: the server's, overridden by the subnet's.
    pub options: OptionSet,
    /// `siaddr`: the next server of a client that boots.
    pub next_server: Option<Ipv4Addr>,
    /// `sname`: at most 63 octets.
    pub server_name: Option<String>,
    /// `file`: at most 127 octets.
    pub boot_file: Option<String>,
    /// Addresses that belong to one client each, inside pools or outside; clients and addresses are unique.
    pub reservations: Vec<Reservation>,
}

/// The VLAN ids of a link; 0 stands for no tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vlan {
    /// Outer (or only) VLAN id, 0 when frames are untagged.
    pub outer: u16,
    /// Inner VLAN id, 0 unless frames carry two tags.
    pub inner: u16,
}

impl Subnet {
    /// Reads a subnet whose answers carry `server_options` where it sets none of its own.
    ///
    /// `prefixes` are those of the subnets read before.
    pub(super) fn read(
        mut section: Section<'_>,
        server_options: &OptionSet,
        prefixes: &mut Disjoint,
    ) -> Option<Self> {
        let prefix = section.required("prefix", "\"192.0.2.0/24\"", usable_prefix);
        if let Some(prefix) = prefix {
            claim_prefix(&section, prefix, prefixes);
        }
        let vlan = section.or("vlan", Vlan::default(), vlan);
        let pools = section.or("pools", Vec::new(), |v| pools(v, prefix));
        let times = lease_times(&mut section);
        let grace = section.or("grace", DEFAULT_GRACE, Value::seconds);
        let authoritative = section.or("authoritative", true, Value::boolean);
        let relays = section.or("relays", Vec::new(), relays);
        let server_id = section.optional("server-id", Value::host_address);
        let max_leases_per_device = section.or("max-leases-per-device", 4, lease_count);
        let max_leases_per_ras_device = section.or("max-leases-per-ras-device", 32, lease_count);
        let options = section.or("options", OptionSet::default(), options::read);
        let next_server = section.optional("next-server", Value::host_address);
        let server_name = section.optional("server-hostname", |v| field_text(v, 63));
        let boot_file = section.optional("boot-file-name", |v| field_text(v, 127));
        let reservations = section.or("reservation", Vec::new(), |v| reservations(v, prefix));

        if let (Some(pools), Some(reservations)) = (&pools, &reservations)
            && pools.is_empty()
            && reservations.is_empty()
        {
            section.missing("[[subnet]] has no address to lease: add pools = [\"FIRST - LAST\"] or a [[subnet.reservation]]");
        }
        if let (Some(pools), Some(Some(server_id))) = (&pools, &server_id) {
            keep_out_of_pools(&section, "server-id", *server_id, pools);
        }
        if let (Some(pools), Some(relays)) = (&pools, &relays) {
            relays.iter().for_each(|relay| keep_out_of_pools(&section, "relays", *relay, pools));
        }
        if let (Some(Some(server_id)), Some(reservations)) = (&server_id, &reservations)
            && reservations.iter().any(|reservation| reservation.address == *server_id)
        {
            section.refuse(
                &section.place(&["server-id"]),
                format!("{server_id} is reserved for a client: it can't be the server's own as well"),
            );
        }
        section.finish();

        let times = times?;
        Some(Self {
            prefix: prefix?,
            vlan: vlan?,
            pools: pools?,
            lease_time: times.lease,
            renew_time: times.renew,
            rebind_time: times.rebind,
            min_lease_time: times.min,
            max_lease_time: times.max,
            grace: grace?,
            authoritative: authoritative?,
            relays: relays?,
            server_id: server_id?,
            max_leases_per_device: max_leases_per_device?,
            max_leases_per_ras_device: max_leases_per_ras_device?,
            options: server_options.overridden_by(&options?),
            next_server: next_server?,
            server_name: server_name?,
            boot_file: boot_file?,
            reservations: reservations?,
        })
    }
}

/// A prefix whose addresses hosts can have.
fn usable_prefix(value: Value<'_>) -> Option<Prefix> {
    let prefix = value.prefix()?;
    if prefix.is_unicast() {
        Some(prefix)
    } else {
        value.refuse(format!(
            "{prefix} has addresses that no host can have: loopback, multicast or reserved ones"
        ))
    }
}

fn claim_prefix(section: &Section<'_>, prefix: Prefix, prefixes: &mut Disjoint) {
    let place = section.place(&["prefix"]);
    if let Err((_, earlier)) = prefixes.claim(prefix.pool(), place.clone()) {
        section.refuse(
            &place,
            format!(
                "{prefix} overlaps the subnet on line {}: an address is leased from one subnet only, whatever its VLAN",
                section.errors().line(&earlier)
            ),
        );
    }
}

/// One VLAN id, or two, outer first.
fn vlan(value: Value<'_>) -> Option<Vlan> {
    if !value.is_list() {
        return vlan_id(value).map(|outer| Vlan { outer, inner: 0 });
    }
    match value.each("VLAN ids", vlan_id)?[..] {
        [outer, inner] => Some(Vlan { outer, inner }),
        _ => value.refuse("expected one VLAN id, such as 100, or two, outer first, such as [200, 100]"),
    }
}

fn vlan_id(value: Value<'_>) -> Option<u16> {
    value.integer(1..=4094).and_then(|id| u16::try_from(id).ok())
}

fn lease_count(value: Value<'_>) -> Option<u32> {
    value.integer(1..=1_000_000).and_then(|count| u32::try_from(count).ok())
}

/// Pools that lie in `prefix` (if it is known), none overlapping another; lowest first.
fn pools(value: Value<'_>, prefix: Option<Prefix>) -> Option<Vec<Pool>> {
    let mut claimed = Disjoint::default();
    let mut pools = value.each("address ranges", |value| {
        let pool = value.pool()?;
        if let Some(prefix) = prefix {
            check_pool(value, pool, prefix)?;
        }
        match claimed.claim(pool, value.span()) {
            Ok(()) => Some(pool),
            Err((other, _)) => {
                value.refuse(format!("{pool} overlaps the pool {other}: make them one, or end it earlier"))
            }
        }
    })?;
    pools.sort();
    Some(pools)
}

fn check_pool(value: Value<'_>, pool: Pool, prefix: Prefix) -> Option<()> {
    if !prefix.contains(pool.first) || !prefix.contains(pool.last) {
        return value.refuse(format!("{pool} is not inside the subnet's {prefix}"));
    }
    let hosts = prefix.hosts();
    if pool.first < hosts.first || pool.last > hosts.last {
        return value.refuse(format!(
            "{pool} has the network or the broadcast address of {prefix} in it: the widest pool is \"{hosts}\""
        ));
    }
    Some(())
}

/// The times of a lease, in seconds.
struct LeaseTimes {
    lease: u32,
    renew: u32,
    rebind: u32,
    min: u32,
    max: u32,
}

fn lease_times(section: &mut Section<'_>) -> Option<LeaseTimes> {
    let lease = section.or("lease-time", DEFAULT_LEASE_TIME, lease_time);
    let renew = section.optional("renew-time", Value::some_seconds);
    let rebind = section.optional("rebind-time", Value::some_seconds);
    let min = section.optional("min-lease-time", lease_time);
    let max = section.optional("max-lease-time", lease_time);

    let lease = lease?;
    let times = LeaseTimes {
        lease,
        renew: renew?.unwrap_or(lease / 2),
        rebind: rebind?.unwrap_or(lease - lease.div_ceil(8)),
        min: min?.unwrap_or(DEFAULT_MIN_LEASE_TIME.min(lease)),
        max: max?.unwrap_or(lease),
    };
    let before = [
        (("renew-time", times.renew), ("rebind-time", times.rebind)),
        (("rebind-time", times.rebind), ("lease-time", times.lease)),
    ];
    let not_above = [
        (("min-lease-time", times.min), ("lease-time", times.lease)),
        (("lease-time", times.lease), ("max-lease-time", times.max)),
    ];
    for ((shorter, a), (longer, b)) in before.into_iter().filter(|((_, a), (_, b))| a >= b) {
        let place = section.place(&[shorter, longer]);
        section.refuse(
            &place,
            format!("{shorter} ({}) must be shorter than {longer} ({})", in_words(a), in_words(b)),
        );
    }
    for ((shorter, a), (longer, b)) in not_above.into_iter().filter(|((_, a), (_, b))| a > b) {
        let place = section.place(&[longer, shorter]);
        section.refuse(
            &place,
            format!("{longer} ({}) must not be shorter than {shorter} ({})", in_words(b), in_words(a)),
        );
    }
    Some(times)
}

/// A lease time: long enough that T1 and T2 come before its end.
fn lease_time(value: Value<'_>) -> Option<u32> {
    match value.some_seconds()? {
        1 | 2 => value.refuse("a lease must last 3s or more, so that T1 and T2 come before its end"),
        seconds => Some(seconds),
    }
}

pub(super) fn relays(value: Value<'_>) -> Option<Vec<Ipv4Addr>> {
    let mut relays = Vec::new();
    value.each("relay addresses", |value| {
        let relay = value.host_address()?;
        if relays.contains(&relay) {
            return value.refuse(format!("{relay} is in this list already: remove it"));
        }
        relays.push(relay);
        Some(())
    })?;
    Some(relays)
}

/// Text for a header field of fixed size, `longest` octets and a final zero.
fn field_text(value: Value<'_>, longest: usize) -> Option<String> {
    let text = value.text("text")?;
    match text.len() {
        0 => value.refuse("must not be empty: remove the key if it isn't wanted"),
        len if len > longest => value.refuse(format!("{len} octets are more than the field's {longest}")),
        _ if text.contains(char::is_control) => value.refuse("control characters can't be in this field"),
        _ => Some(text.to_owned()),
    }
}

fn reservations(value: Value<'_>, prefix: Option<Prefix>) -> Option<Vec<Reservation>> {
    let mut clients: HashMap<ReservationKey, usize> = HashMap::new();
    let mut addresses: HashMap<Ipv4Addr, usize> = HashMap::new();
    value.each_section("subnet.reservation", |section| {
        let client_at = section.place(&["hw-address", "client-id", "circuit-id"]);
        let address_at = section.place(&["address"]);
        let errors = section.errors();
        let reservation = Reservation::read(section)?;
        let line = errors.line(&client_at);
        if let Some(earlier) = clients.insert(reservation.key.clone(), line) {
            errors.refuse(
                &client_at,
                format!(
                    "{} has a reservation on line {earlier} already: remove one of them",
                    reservation.key
                ),
            );
        }
        let address = reservation.address;
        if let Some(earlier) = addresses.insert(address, errors.line(&address_at)) {
            errors.refuse(
                &address_at,
                format!("{address} is reserved on line {earlier} already: give each client its own"),
            );
        }
        if let Some(prefix) = prefix
            && !prefix.hosts().contains(address)
        {
            errors.refuse(
                &address_at,
                format!("{address} is not an address that a host in {prefix} can have ({})", prefix.hosts()),
            );
        }
        Some(reservation)
    })
}

/// The server's or a relay's own address would be leased to a client if it were in a pool.
fn keep_out_of_pools(section: &Section<'_>, key: &'static str, address: Ipv4Addr, pools: &[Pool]) {
    if let Some(pool) = pools.iter().find(|pool| pool.contains(address)) {
        section.refuse(
            &section.place(&[key]),
            format!(
                "{address} is in the pool {pool} and would be leased to a client: take it out of the pool"
            ),
        );
    }
}

fn in_words(seconds: u32) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(seconds.into()))
}
