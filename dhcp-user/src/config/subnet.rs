//! A `[[subnet]]`: addresses, and the terms of their leases.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::class_names::ClassNames;
use super::disjoint::Disjoint;
use super::errors::Span;
use super::hosts::{self, NamedHosts, PoolsAt};
use super::kept_reservations;
use super::lease_times::LeaseTimes;
use super::options::{self, OptionSet};
use super::overrides::Boot;
use super::pool::{self, DynamicPool};
use super::prefix::Prefix;
use super::probe::Probe;
use super::reservation::Reservation;
use super::reservations::{ReservationSource, Reservations};
use super::section::Section;
use super::value::Value;

const DEFAULT_GRACE: u32 = 5 * 60;
/// How many leases a device may hold that answer their probes.
const DEFAULT_IN_USE: u32 = 64;

/// A subnet that is served. Durations are in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Subnet {
    /// Its addresses; no other subnet has any of them.
    pub prefix: Prefix,
    /// The tags its frames carry on the interface.
    pub vlan: Vlan,
    /// The name that it and the other subnets on its link share: an interface or relay that serves one serves all of
    /// them.
    pub shared_network: Option<String>,
    /// Ranges for dynamic leases, all inside `prefix`, no two overlapping, lowest first.
    pub pools: Vec<DynamicPool>,
    /// How long leases last, unless a pool, a class or a reservation says otherwise.
    pub times: LeaseTimes,
    /// How long an expired address is kept for its last owner before it may be reused; may be 0.
    pub grace: u32,
    /// Whether clients with an address that can't be theirs get a NAK.
    pub authoritative: bool,
    /// Which clients that speak BOOTP only are served.
    pub bootp: Bootp,
    /// Relay addresses (giaddr) served from this subnet beside its own addresses.
    pub relays: Vec<Ipv4Addr>,
    /// The server identifier, where it isn't the interface's own address.
    pub server_id: Option<Ipv4Addr>,
    /// Whether its addresses are probed, if it is to be otherwise than interface and server have it.
    pub probe: Option<Probe>,
    /// How many leases a device (chaddr) may hold that are not known to be in use.
    pub max_leases_per_device: u32,
    /// How many leases a device may hold whose client identifiers are those of a RAS.
    pub max_leases_per_ras_device: u32,
    /// How many leases a device may hold at all: no fewer than `max_leases_per_device`.
    pub max_leases_per_device_in_use: u32,
    /// How many leases the clients of one relay's port may hold together, if that is limited.
    pub max_leases_per_circuit: Option<u32>,
    /// Whether option 82 is believed that comes without a relay, from the links where the subnet is; if it does not say,
    /// as on the interface.
    pub trust_agent_information: Option<bool>,
    /// Options of every answer from this subnet: the server's, overridden by the subnet's.
    pub options: OptionSet,
    /// Header fields of every answer from this subnet.
    pub boot: Boot,
    /// Addresses that belong to one client each, inside pools or outside; clients and addresses are unique.
    pub reservations: Vec<Reservation>,
}

/// Which BOOTP-only clients are served (RFC 1534 §2). They have their addresses without end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bootp {
    /// None.
    #[default]
    Off,
    /// Those with a reservation.
    Reserved,
    /// All: those without a reservation from the pools.
    Dynamic,
}

/// The VLAN ids of a link; 0 stands for no tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vlan {
    /// Outer (or only) VLAN id, 0 when frames are untagged.
    pub outer: u16,
    /// Inner VLAN id, 0 unless frames carry two tags.
    pub inner: u16,
}

/// The properties in which subnets must differ, or agree, as far as the file was read.
#[derive(Default)]
pub(super) struct Others {
    prefixes: Disjoint,
    /// The VLAN of each shared network, and the place that set it first.
    shared: HashMap<String, (Vlan, Span)>,
    /// Where pools stand.
    pub(super) pools_at: Vec<PoolsAt>,
    /// Hosts that may be in pools of any subnet.
    pub(super) named_hosts: NamedHosts,
    /// What the daemon keeps itself.
    pub(super) kept: kept_reservations::Lines,
    /// Files of reservations.
    pub(super) files: Vec<PathBuf>,
}

impl Subnet {
    /// The terms of every client of the subnet, unless a more specific scope overrides them.
    ///
    /// Not in it: the clients that are served and their ways, the allowed addresses, and how long unleased addresses
    /// are kept.
    pub fn told(&self) -> impl Hash + '_ {
        let Self {
            prefix,
            vlan: _,
            shared_network: _,
            pools: _,
            times,
            grace: _,
            authoritative: _,
            bootp: _,
            relays: _,
            server_id: _,
            probe: _,
            max_leases_per_device: _,
            max_leases_per_ras_device: _,
            max_leases_per_device_in_use: _,
            max_leases_per_circuit: _,
            trust_agent_information: _,
            options,
            boot,
            reservations: _,
        } = self;
        (prefix, times, options, boot)
    }

    /// Reads a subnet whose answers carry the server's options and fields where it sets none of its own. `others` were read before.
    pub(super) fn read(
        mut section: Section<'_>,
        (server_options, server_boot): (&OptionSet, &Boot),
        classes: &ClassNames,
        others: &mut Others,
    ) -> Option<Self> {
        let prefix = section.required("prefix", "\"192.0.2.0/24\"", usable_prefix);
        if let Some(prefix) = prefix {
            claim_prefix(&section, prefix, &mut others.prefixes);
        }
        let vlan = section.or("vlan", Vlan::default(), vlan);
        let shared_network = section.optional("shared-network", network_name);
        if let (Some(vlan), Some(Some(name))) = (vlan, &shared_network) {
            claim_link(&section, name, vlan, &mut others.shared);
        }
        let pools = section.or("pools", Vec::new(), |v| pool::read(v, prefix, classes));
        let times = LeaseTimes::read(&mut section);
        let grace = section.or("grace", DEFAULT_GRACE, Value::seconds);
        let authoritative = section.or("authoritative", true, Value::boolean);
        let bootp = section.or("bootp", Bootp::Off, bootp);
        let relays = section.or("relays", Vec::new(), relays);
        let server_id = section.optional("server-id", Value::host_address);
        let probe = section.optional("probe", Probe::read);
        let max_leases_per_device = section.or("max-leases-per-device", 4, lease_count);
        let max_leases_per_ras_device = section.or("max-leases-per-ras-device", 32, lease_count);
        let max_leases_per_device_in_use = section.optional("max-leases-per-device-in-use", lease_count);
        if let (Some(cap), Some(Some(in_use))) = (max_leases_per_device, max_leases_per_device_in_use)
            && in_use < cap
        {
            section.refuse(
                &section.place(&["max-leases-per-device-in-use"]),
                format!("{in_use} is less than `max-leases-per-device` ({cap}): a device would never get that many"),
            );
        }
        let max_leases_per_circuit = section.optional("max-leases-per-circuit", lease_count);
        let trust_agent_information = section.optional("trust-agent-information", Value::boolean);
        let options = section.or("options", OptionSet::default(), options::read);
        let boot = Boot::read(&mut section);
        let mut reserved = Reservations::default();
        let tables = section.get("reservation").map_or(Some(()), |v| reserved.tables(v, prefix, classes));
        let file = section.get("reservations-file");
        let lines = file.map_or(Some(()), |v| reserved.file(v, prefix, classes));
        others.files.extend(file.map(|_| PathBuf::from(&reserved.file)));
        if let Some(prefix) = prefix {
            reserved.kept(section.errors(), &mut others.kept, prefix, classes);
        }
        let reservations = tables.and(lines).map(|()| &reserved.all);

        if let (Some(pools), Some(reservations)) = (&pools, reservations)
            && pools.is_empty()
            && reservations.is_empty()
        {
            let what = "this subnet has no pools and no reservations: INFORM is answered there, and nobody gets an address";
            section.errors().warn(&section.place(&["prefix"]), what.to_owned());
        }
        if let (Some(pools), Some(Some(server_id))) = (&pools, &server_id) {
            keep_out_of_pools(&section, "server-id", *server_id, pools);
        }
        if let (Some(pools), Some(relays)) = (&pools, &relays) {
            relays.iter().for_each(|relay| keep_out_of_pools(&section, "relays", *relay, pools));
        }
        if let (Some(Some(server_id)), Some(reservations)) = (&server_id, reservations)
            && reservations.iter().any(|(reservation, _)| reservation.address == Some(*server_id))
        {
            section.refuse(
                &section.place(&["server-id"]),
                format!("{server_id} is reserved for a client: it can't be the server's own as well"),
            );
        }
        if let (Some(pools), Some(reservations)) = (&pools, reservations) {
            others.pools_at.push(hosts::places_of(&section, pools, &reserved));
            let at = section.place(&["pools"]);
            pools.iter().for_each(|pool| others.named_hosts.add_overrides(&at, &pool.overrides));
            let file = section.place(&["reservations-file"]);
            for (reserved, place) in reservations {
                let at = if let ReservationSource::Here(span) = place { span } else { &file };
                others.named_hosts.add_overrides(at, &reserved.overrides);
            }
        }
        if let (Some(options), Some(boot)) = (&options, &boot) {
            others.named_hosts.add_options(&section.place(&["options", "next-server"]), options, boot);
        }
        others.named_hosts.ways(&section, server_id.flatten(), relays.as_deref().unwrap_or_default());
        section.finish();

        Some(Self {
            prefix: prefix?,
            vlan: vlan?,
            shared_network: shared_network?,
            pools: pools?,
            times: times?,
            grace: grace?,
            authoritative: authoritative?,
            bootp: bootp?,
            relays: relays?,
            server_id: server_id?,
            probe: probe?,
            max_leases_per_device: max_leases_per_device?,
            max_leases_per_ras_device: max_leases_per_ras_device?,
            max_leases_per_device_in_use: max_leases_per_device_in_use?.unwrap_or_else(|| {
                max_leases_per_device.map_or(DEFAULT_IN_USE, |cap| cap.max(DEFAULT_IN_USE))
            }),
            max_leases_per_circuit: max_leases_per_circuit?,
            trust_agent_information: trust_agent_information?,
            options: server_options.overridden_by(&options?),
            boot: server_boot.overridden_by(boot?),
            reservations: tables.and(lines).map(|()| reserved.all)?.into_iter().map(|(own, _)| own).collect(),
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
                "{prefix} overlaps the subnet on {}: an address is leased from one subnet only, whatever its VLAN",
                section.errors().where_is(&earlier, &place)
            ),
        );
    }
}

fn network_name(value: Value<'_>) -> Option<String> {
    let text = value.text("a name")?;
    if text.is_empty() || text.contains(char::is_control) {
        return value.refuse("the name must not be empty, and not contain control characters");
    }
    Some(text.to_owned())
}

/// The subnets of one name are on one link, so their frames are tagged alike.
fn claim_link(section: &Section<'_>, name: &str, vlan: Vlan, shared: &mut HashMap<String, (Vlan, Span)>) {
    let place = section.place(&["shared-network"]);
    let (theirs, earlier) = shared.entry(name.to_owned()).or_insert_with(|| (vlan, place.clone()));
    if *theirs != vlan {
        section.refuse(
            &place,
            format!(
                "the subnets of \"{name}\" are on one link, but this one's `vlan` is not that of the subnet with {}",
                section.errors().where_is(earlier, &place)
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

/// `true`, `false` or `"dynamic"`.
fn bootp(value: Value<'_>) -> Option<Bootp> {
    if value.is_text() {
        return value.one_of([("dynamic", Bootp::Dynamic)]);
    }
    value.boolean().map(|served| if served { Bootp::Reserved } else { Bootp::Off })
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

/// The server's or a relay's own address would be leased to a client if it were in a pool.
fn keep_out_of_pools(section: &Section<'_>, key: &'static str, address: Ipv4Addr, pools: &[DynamicPool]) {
    if let Some(pool) = pools.iter().map(|pool| pool.range).find(|range| range.contains(address)) {
        section.refuse(
            &section.place(&[key]),
            format!(
                "{address} is in the pool {pool} and would be leased to a client: take it out of the pool"
            ),
        );
    }
}
