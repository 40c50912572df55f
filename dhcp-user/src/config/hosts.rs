//! Addresses that hosts have by what clients are told: routers, servers; and relays. In a pool they would be leased to somebody
//! else.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::errors::{ConfigError, Span};
use super::options::OptionSet;
use super::overrides::Boot;
use super::prefix::Pool;
use super::section::Section;
use super::{Config, DynamicPool, Reservation};

/// Options whose value is a list of addresses of hosts (RFC 2132, RFC 5859): routers, servers of all kinds.
const LISTS: [u8; 27] =
    [3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 41, 42, 44, 45, 48, 49, 65, 68, 69, 70, 71, 72, 73, 74, 75, 76, 150];
/// Pairs of a destination and a router (RFC 2132 §5.8).
const STATIC_ROUTES: u8 = 33;
/// A prefix and a router each (RFC 3442).
const CLASSLESS_STATIC_ROUTE: u8 = 121;

/// Where the pools of a subnet stand in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PoolsAt {
    pools: Vec<Pool>,
    pub(super) at: ConfigError,
}

impl Config {
    /// All addresses that hosts have by what clients are told, and those of relays.
    pub fn hosts(&self) -> BTreeSet<Ipv4Addr> {
        let classes = self.classes.iter().map(|class| &class.overrides);
        let particular = self.subnets.iter().flat_map(|subnet| {
            let pools = subnet.pools.iter().map(|pool| &pool.overrides);
            pools.chain(subnet.reservations.iter().map(|reservation| &reservation.overrides))
        });
        let particular = classes.chain(particular).map(|overrides| (&overrides.options, &overrides.boot));
        let general = self.subnets.iter().map(|subnet| (&subnet.options, &subnet.boot));
        let relays = self.subnets.iter().flat_map(|subnet| subnet.relays.iter().copied());
        particular.chain(general).flat_map(|(options, boot)| told(options, boot)).chain(relays).collect()
    }

    /// What to warn of where the server has these addresses, each on an interface of that name.
    pub fn warnings_beside<'a>(
        &self,
        own: impl IntoIterator<Item = (&'a str, Ipv4Addr)>,
    ) -> Vec<ConfigError> {
        let warn = |(name, address): (&str, Ipv4Addr)| {
            let holds = |there: &&PoolsAt| there.pools.iter().any(|pool| pool.contains(address));
            let there = self.pools_at.iter().find(holds)?;
            let message =
                format!("{address} is the server's own on {name} and in a pool: it is never leased");
            Some(ConfigError { message, ..there.at.clone() })
        };
        let mut warnings = self.warnings.clone();
        warnings.extend(own.into_iter().filter_map(warn));
        warnings.sort();
        warnings
    }
}

/// Warns of hosts in the pools of a subnet, `options` and `boot` being the subnet's; and where those pools stand.
pub(super) fn look_for(
    section: &Section<'_>,
    pools: &[DynamicPool],
    reservations: &[Reservation],
    (options, boot): (&OptionSet, &Boot),
) -> PoolsAt {
    let at = section.place(&["pools"]);
    let here = section.place(&["options", "pools"]);
    let reserved = |host: &Ipv4Addr| reservations.iter().any(|reservation| reservation.address == *host);
    let warn = |span: &Span, host: Ipv4Addr| {
        if let Some(pool) = pools.iter().map(|pool| pool.range).find(|range| range.contains(host)) {
            let what =
                "a router or server by the options: it is never leased to a client without a reservation";
            section.errors().warn(span, format!("{host} is in the pool {pool}, and {what}"));
        }
    };
    told(options, boot).filter(|host| !reserved(host)).for_each(|host| warn(&here, host));
    let particular = pools.iter().flat_map(|pool| told(&pool.overrides.options, &pool.overrides.boot));
    particular.filter(|host| !reserved(host)).for_each(|host| warn(&at, host));
    let at = section.errors().at(&at, String::new());
    PoolsAt { pools: pools.iter().map(|pool| pool.range).collect(), at }
}

fn told<'a>(options: &'a OptionSet, boot: &'a Boot) -> impl Iterator<Item = Ipv4Addr> + 'a {
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
        CLASSLESS_STATIC_ROUTE => {
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
