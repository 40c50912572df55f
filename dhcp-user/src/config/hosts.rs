//! Addresses that the options of clients name as hosts' (routers, servers), and those of relays. In a pool they would
//! be leased to clients.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::errors::{ConfigError, Errors, Span};
use super::options::OptionSet;
use super::overrides::{Boot, Overrides};
use super::prefix::Pool;
use super::reservations::{ReservationSource, Reservations};
use super::section::Section;
use super::{Config, DynamicPool, Reservation};

/// Options whose value is a list of addresses of hosts (RFC 2132, RFC 5417, RFC 5859): routers, servers of all kinds.
const LISTS: [u8; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 32, 41, 42, 44, 45, 48, 49, 65, 68, 69, 70, 71, 72, 73, 74, 75, 76, 138,
    150,
];
/// Servers by address after an octet that says so, or by name (RFC 3361 §3).
const SIP_SERVERS: u8 = 120;
/// The value of that octet for addresses.
const BY_ADDRESS: u8 = 1;
/// Pairs of a destination and a router (RFC 2132 §5.8).
const STATIC_ROUTES: u8 = 33;
/// A prefix and a router each (RFC 3442), and the number that Windows had for it before.
const CLASSLESS_STATIC_ROUTE: u8 = 121;
const CLASSLESS_STATIC_ROUTE_BEFORE: u8 = 249;

/// Where the pools and reservations of a subnet stand in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PoolsAt {
    pools: Vec<Pool>,
    pub(super) at: ConfigError,
    /// What is reserved, in order, and where.
    reserved: Vec<(Ipv4Addr, Where)>,
}

/// Where a reservation stands.
#[derive(Clone, Debug, PartialEq)]
enum Where {
    /// In the configuration, on this line and column.
    Here(usize, usize),
    /// On a line of a file of reservations.
    InFile(Arc<str>, usize),
}

impl PoolsAt {
    /// The place at which `address` is reserved.
    fn reservation(&self, address: Ipv4Addr) -> Option<ConfigError> {
        let at = self.reserved.binary_search_by_key(&address, |(reserved, _)| *reserved).ok()?;
        let (_, place) = self.reserved.get(at)?;
        Some(match place {
            Where::Here(line, column) => ConfigError { line: *line, column: *column, ..self.at.clone() },
            Where::InFile(file, line) => {
                ConfigError { file: file.to_string(), line: *line, column: 1, message: String::new() }
            }
        })
    }
}

/// Hosts that are named, and where. They may be in the pools of any subnet.
#[derive(Default)]
pub(super) struct NamedHosts(Vec<(Ipv4Addr, Whose, Span)>);

/// Whose an address is by the configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Server,
    Relay,
    Option,
}

impl NamedHosts {
    /// A subnet is served by this address, and through these relays.
    pub(super) fn ways(&mut self, section: &Section<'_>, server: Option<Ipv4Addr>, relays: &[Ipv4Addr]) {
        let (here, there) = (section.place(&["server-id"]), section.place(&["relays"]));
        self.0.extend(server.map(|server| (server, Whose::Server, here)));
        self.0.extend(relays.iter().map(|relay| (*relay, Whose::Relay, there.clone())));
    }

    /// The options and boot fields at `place` may name hosts.
    pub(super) fn add_options(&mut self, place: &Span, options: &OptionSet, boot: &Boot) {
        self.0.extend(hosts_in(options, boot).map(|host| (host, Whose::Option, place.clone())));
    }

    /// The same for overrides at `place`.
    pub(super) fn add_overrides(&mut self, place: &Span, overrides: &Overrides) {
        self.add_options(place, &overrides.options, &overrides.boot);
    }

    /// Warns of those that lie in pools, or are reserved for a client that will not get them.
    pub(super) fn look_through(self, errors: &Errors<'_>, there: &[PoolsAt]) {
        let mut pools: Vec<(Pool, &PoolsAt)> =
            there.iter().flat_map(|at| at.pools.iter().map(move |pool| (*pool, at))).collect();
        pools.sort_by_key(|(pool, _)| pool.first);
        for (host, whose, at) in self.0 {
            // Few of them are the server's; to look through all subnets for each relay would take too long.
            let reserved = || there.iter().find_map(|there| there.reservation(host));
            if whose == Whose::Server
                && let Some(reserved) = reserved()
            {
                let what = "is reserved for a client, and the server's own by `server-id`: no client gets it";
                errors.warn_at(ConfigError { message: format!("{host} {what}"), ..reserved });
            }
            let before = pools.partition_point(|(pool, _)| pool.first <= host);
            let Some((pool, there)) = before.checked_sub(1).and_then(|at| pools.get(at)) else { continue };
            if !pool.contains(host) || whose != Whose::Server && there.reservation(host).is_some() {
                continue;
            }
            let what = match whose {
                Whose::Server => "the server's own by `server-id`: it is never leased",
                Whose::Relay => "a relay: it is never leased to a client without a reservation",
                Whose::Option => {
                    "a router or server by the options: it is never leased to a client without a reservation"
                }
            };
            errors.warn(&at, format!("{host} is in the pool {pool}, and {what}"));
        }
    }
}

impl Config {
    /// All addresses of hosts that options name, and those of relays.
    pub fn hosts(&self) -> BTreeSet<Ipv4Addr> {
        let classes = self.classes.iter().map(|class| &class.overrides);
        let particular = self.subnets.iter().flat_map(|subnet| {
            let pools = subnet.pools.iter().map(|pool| &pool.overrides);
            pools.chain(subnet.reservations.iter().map(|reservation| &reservation.overrides))
        });
        let particular = classes.chain(particular).map(|overrides| (&overrides.options, &overrides.boot));
        let general = self.subnets.iter().map(|subnet| (&subnet.options, &subnet.boot));
        let relays = self.subnets.iter().flat_map(|subnet| subnet.relays.iter().copied());
        particular.chain(general).flat_map(|(options, boot)| hosts_in(options, boot)).chain(relays).collect()
    }

    /// The warnings if the host has these addresses, each on an interface of that name.
    pub fn warnings_beside<'a>(
        &self,
        own: impl IntoIterator<Item = (&'a str, Ipv4Addr)>,
    ) -> Vec<ConfigError> {
        let warn = |(name, address): (&str, Ipv4Addr)| {
            let holds = |there: &&PoolsAt| there.pools.iter().any(|pool| pool.contains(address));
            let pooled = self.pools_at.iter().find(holds).map(|there| ConfigError {
                message: format!("{address} is the server's own on {name} and in a pool: it is never leased"),
                ..there.at.clone()
            });
            let reserved = self.pools_at.iter().find_map(|there| there.reservation(address));
            let reserved = reserved.map(|there| ConfigError {
                message: format!(
                    "{address} is the server's own on {name}, and reserved for a client: no client gets it"
                ),
                ..there
            });
            [pooled, reserved].into_iter().flatten()
        };
        let mut warnings = self.warnings.clone();
        warnings.extend(own.into_iter().flat_map(warn));
        warnings.sort();
        warnings
    }
}

/// Where the pools of a subnet stand, and its reservations.
pub(super) fn places_of(
    section: &Section<'_>,
    pools: &[DynamicPool],
    reservations: &Reservations,
) -> PoolsAt {
    let place = |(reservation, place): &(Reservation, ReservationSource)| match place {
        ReservationSource::Here(span) => {
            let there = section.errors().at(span, String::new());
            Some((reservation.address?, Where::Here(there.line, there.column)))
        }
        ReservationSource::InFile(file, line) => {
            Some((reservation.address?, Where::InFile(Arc::clone(file), *line)))
        }
    };
    let mut reserved: Vec<_> = reservations.all.iter().filter_map(place).collect();
    reserved.sort_unstable_by_key(|(address, _)| *address);
    let at = section.errors().at(&section.place(&["pools"]), String::new());
    let pools = pools.iter().map(|pool| pool.range).collect();
    PoolsAt { pools, at, reserved }
}

fn hosts_in<'a>(options: &'a OptionSet, boot: &'a Boot) -> impl Iterator<Item = Ipv4Addr> + 'a {
    let options = options.0.iter().flat_map(|(code, value)| named(*code, value));
    options.chain(boot.next_server).filter(|address| !address.is_unspecified())
}

/// The hosts that the value of an option names.
fn named(code: u8, value: &[u8]) -> Vec<Ipv4Addr> {
    let addresses = |octets: &[u8]| -> Vec<Ipv4Addr> {
        octets.as_chunks::<4>().0.iter().map(|octets| Ipv4Addr::from(*octets)).collect()
    };
    match code {
        STATIC_ROUTES => addresses(value).into_iter().skip(1).step_by(2).collect(),
        SIP_SERVERS => match value.split_first() {
            Some((&BY_ADDRESS, servers)) => addresses(servers),
            _ => Vec::new(),
        },
        CLASSLESS_STATIC_ROUTE | CLASSLESS_STATIC_ROUTE_BEFORE => {
            let (mut routers, mut rest) = (Vec::new(), value);
            while let Some((len, tail)) = rest.split_first() {
                let Some(router) = tail.get(usize::from(len.div_ceil(8))..) else { break };
                let Some((router, next)) = router.split_first_chunk::<4>() else { break };
                routers.push(Ipv4Addr::from(*router));
                rest = next;
            }
            routers
        }
        _ if LISTS.contains(&code) => addresses(value),
        _ => Vec::new(),
    }
}
