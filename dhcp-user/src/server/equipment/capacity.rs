//! The size of a configuration: the entries of the maps, and the memory.
//!
//! The maps are made at the start, whole, for every address that may be leased. The daemon's own memory grows with
//! the leases. `docs/limits.md` has the numbers.

use std::collections::{BTreeMap, HashSet};
use std::net::Ipv4Addr;

use dhcp_ebpf::abi::RUN;
use dhcp_ebpf::leads::{LINE, lines_for};
use dhcp_ebpf::publish;
use dhcp_ebpf::slot::{CHUNK_CELLS, SLOT_CELLS};

use super::room::LEASE;
use crate::config::{Config, Subnet, XdpMode};
use crate::datapath::program::kernel::have_room;
use crate::datapath::program::object::{ADDRESSES, INTERFACES, Sizes};
use crate::process_limits;

/// The least number of slots: small sites can grow without new maps.
const LEAST_SLOTS: u32 = 4096;
/// So many clients of a subnet may have answers that are no other's, where the maps are made for more.
const DISTINCT: u32 = 4096;
/// One answer to so many slots there is at least.
const SHARING: u32 = 8;
/// Octets of the options that every answer has, an echoed client identifier of usual length among them.
const PROTOCOL_OPTIONS: usize = 50;
/// Octets of relay information (option 82), as relays usually have it.
const AGENT_INFORMATION: usize = 48;
/// Octets that the daemon keeps of an address that nobody has.
const ADDRESS: u64 = 48;
/// Octets for any configuration: program, rings, counters, the daemon itself.
const FIXED: u64 = 48 << 20;
/// The most slots that maps can have: their places are numbers of 32 bits, and so are those of their chunks.
const MOST_SLOTS: u64 = 1 << 28;

/// The size of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Addresses of pools and reservations.
    addresses: u64,
    /// Slots that those need, as far as they can be counted.
    slots: u64,
    sizes: Sizes,
    /// Octets of the maps that are made for it.
    maps: u64,
    interfaces: usize,
    /// Addresses at which the program is to take DHCP for ours.
    ours: usize,
}

/// Why a configuration can't be served, and whether the operator may try all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// No machine could.
    #[error("{0}")]
    ForTheMaps(String),
    /// This machine has not the memory.
    #[error(
        "it takes {} of memory when all its addresses are leased, and {} are left, of this machine or by the limits of this \
         process: make pools smaller, or start with --force",
        in_words(*.needed), in_words(*.left)
    )]
    ForTheMachine {
        /// Octets.
        needed: u64,
        /// Octets.
        left: u64,
    },
}

impl Capacity {
    /// The size of `config`, on a machine that has none of it yet.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let pools = config.subnets.iter().flat_map(|subnet| &subnet.pools);
        let reserved = config
            .subnets
            .iter()
            .map(|subnet| subnet.reservations.iter().filter(|own| own.address.is_some()).count() as u64);
        let addresses = pools.map(|pool| u64::from(pool.range.size())).sum::<u64>() + reserved.sum::<u64>();
        let sizes = sizes(config);
        let ours: HashSet<Ipv4Addr> = super::ours(config, &[]);
        let is_attached = |interface: &crate::config::Interface| interface.xdp != XdpMode::Off;
        Self {
            addresses,
            slots: blocks(config) * u64::from(RUN),
            sizes,
            maps: octets(sizes),
            interfaces: config.interfaces.iter().filter(|interface| is_attached(interface)).count(),
            ours: ours.len(),
        }
    }

    /// The same where maps that are pinned in this directory have room for it, and serve on.
    #[must_use]
    pub fn beside(self, pin_dir: &std::path::Path) -> Self {
        if have_room(pin_dir, self.sizes) { Self { maps: 0, ..self } } else { self }
    }

    /// Octets that are taken at the start.
    #[must_use]
    pub fn at_start(&self) -> u64 {
        FIXED + self.maps + self.addresses * ADDRESS
    }

    /// Octets that are taken when every address is leased.
    #[must_use]
    pub fn at_most(&self) -> u64 {
        self.at_start() + self.addresses * LEASE as u64
    }

    /// Whether a machine with so many octets left can serve it.
    ///
    /// # Errors
    /// When it can't, or the maps can't hold it; the message says what to do.
    pub fn check(&self, left: Option<u64>) -> Result<(), TooMuch> {
        let limits = [
            ("addresses in blocks of 256", self.slots, MOST_SLOTS, "make pools smaller"),
            (
                "interfaces with an XDP program",
                self.interfaces as u64,
                u64::from(INTERFACES),
                "set `xdp = \"off\"` for some",
            ),
            (
                "server addresses and broadcast addresses of subnets",
                self.ours as u64,
                u64::from(ADDRESSES),
                "let subnets share a `server-id`, or have fewer",
            ),
        ];
        if let Some((what, wanted, most, advice)) =
            limits.into_iter().find(|(_, wanted, most, _)| wanted > most)
        {
            return Err(TooMuch::ForTheMaps(format!(
                "{wanted} {what} are too many, at most {most}: {advice}"
            )));
        }
        match left {
            Some(left) if self.at_most() > left => {
                Err(TooMuch::ForTheMachine { needed: self.at_most(), left })
            }
            _ => Ok(()),
        }
    }

    /// Whether a running server that serves `former` can go over to this, with so many octets left.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub(in crate::server) fn check_beside(&self, former: &Self, left: Option<u64>) -> Result<(), TooMuch> {
        self.check(None)?;
        let grows = (self.addresses.saturating_sub(former.addresses)) * (ADDRESS + LEASE as u64);
        match left {
            Some(left) if grows > left => Err(TooMuch::ForTheMachine { needed: grows, left }),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for Capacity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (start, most) = (in_words(self.at_start()), in_words(self.at_most()));
        write!(f, "takes {start} of memory at the start, {most} when all addresses are leased")
    }
}

/// Octets of memory that this machine, and the limits of this process, leave to something new; `None` if they don't say.
#[must_use]
pub fn memory_left() -> Option<u64> {
    [machine_s_memory_left(), process_limits::memory_left()].into_iter().flatten().min()
}

fn machine_s_memory_left() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilo| kilo * 1024)
}

/// Octets of the maps of these sizes.
fn octets(sizes: Sizes) -> u64 {
    let (slots, chunks) = (u64::from(sizes.slots), u64::from(sizes.chunks));
    let lines = u64::from(lines_for(sizes.slots));
    8 * (slots * SLOT_CELLS as u64 + chunks * CHUNK_CELLS as u64 + lines * LINE as u64)
}

fn in_words(octets: u64) -> String {
    let mega = octets.div_ceil(1 << 20);
    if mega < 10 * 1024 { format!("{mega} MiB") } else { format!("{} GiB", mega.div_ceil(1024)) }
}

/// All addresses that may be leased.
pub(in crate::server) fn leasable(config: &Config) -> impl Iterator<Item = Ipv4Addr> + '_ {
    config.subnets.iter().flat_map(|subnet| {
        // A slot's run has all 256 neighbours: one address of each is enough.
        let pools = subnet.pools.iter().flat_map(|pool| {
            let (first, last) = (u32::from(pool.range.first) >> 8, u32::from(pool.range.last) >> 8);
            (first..=last).map(|net| Ipv4Addr::from(net << 8))
        });
        pools.chain(subnet.reservations.iter().filter_map(|reservation| reservation.address))
    })
}

/// How many blocks of 256 addresses may be leased from.
fn blocks(config: &Config) -> u64 {
    let block = |address: Ipv4Addr| u64::from(u32::from(address) >> 8);
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for subnet in &config.subnets {
        let pools = subnet.pools.iter().map(|pool| (block(pool.range.first), block(pool.range.last)));
        let reserved = subnet.reservations.iter().filter_map(|reservation| reservation.address.map(block));
        spans.extend(pools.chain(reserved.map(|block| (block, block))));
    }
    spans.sort_unstable();
    // The first block that is not counted yet.
    let (mut count, mut next) = (0, 0);
    for (first, last) in spans {
        let first = first.max(next);
        if first <= last {
            count += last - first + 1;
            next = last + 1;
        }
    }
    count
}

/// Room for all that may be leased, and an eighth more to grow into.
pub(in crate::server) fn sizes(config: &Config) -> Sizes {
    let needed = u32::try_from(blocks(config)).unwrap_or(u32::MAX).saturating_mul(RUN);
    let slots = needed.saturating_add(needed / 8).max(LEAST_SLOTS);
    let slots = slots.checked_next_multiple_of(RUN).unwrap_or(u32::MAX / RUN * RUN);
    let each = config.subnets.iter().map(|subnet| chunks_each(config, subnet)).max().unwrap_or(0);
    let answers: u32 = config.subnets.iter().map(answers).fold(0, u32::saturating_add);
    // Some clients ask for more, or in several ways; and a reload may bring others.
    let answers = answers.saturating_add(answers / 8).max(slots / SHARING).max(LEAST_SLOTS).min(slots);
    Sizes { slots, chunks: answers.saturating_mul(each.max(1)) }
}

/// The answers to clients of `subnet`, at most.
///
/// The kernel copies what a client says of itself from its question, so clients of a subnet that ask alike share an answer. In a
/// small subnet each client may have its own; in a large one those may for whom a reservation says something.
fn answers(subnet: &Subnet) -> u32 {
    let pools = subnet.pools.iter().map(|pool| pool.range.size()).fold(0, u32::saturating_add);
    let reserved = u32::try_from(subnet.reservations.len()).unwrap_or(u32::MAX);
    pools.min(DISTINCT).saturating_add(reserved)
}

/// The chunks for an answer to a client of `subnet` that wants every option.
fn chunks_each(config: &Config, subnet: &Subnet) -> u32 {
    // A client may be in every class; what is reserved is told to few.
    let pools = subnet.pools.iter().map(|pool| &pool.overrides.options);
    let classes = config.classes.iter().map(|class| &class.overrides.options);
    let mut longest: BTreeMap<u8, usize> = BTreeMap::new();
    for (code, value) in pools.chain(classes).chain([&subnet.options]).flat_map(|set| &set.0) {
        let length = longest.entry(*code).or_default();
        *length = value.len().max(*length);
    }
    let options: usize = longest.values().map(|length| 2 + length).sum();
    let direct = PROTOCOL_OPTIONS + options;
    let chunks =
        |options: usize| u32::try_from(publish::chunks_for(options.next_multiple_of(4))).unwrap_or(u32::MAX);
    if subnet.relays.is_empty() {
        chunks(direct)
    } else {
        // The kernel then knows two answers, with and without what the relay added.
        chunks(direct) + chunks(direct + AGENT_INFORMATION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(subnet: &str) -> Config {
        let head = "[[interface]]\nname = \"eth0\"\n[[subnet]]\nprefix = \"10.0.0.0/8\"\npools = [\"10.1.0.0 - 10.16.255.255\"]\n";
        Config::parse(&format!("{head}{subnet}"), "test").expect("a good configuration")
    }

    #[test]
    fn what_is_too_much_is_refused_with_what_to_do() {
        let million = Capacity::of(&config(""));
        assert_eq!(million.check(Some(million.at_most())), Ok(()));
        let short = million.check(Some(million.at_most() - 1)).expect_err("an octet is missing");
        assert!(short.to_string().contains("--force"), "{short}");
        // A slot for each address and an eighth more, a chunk for each eighth; and what the daemon keeps.
        assert!((200 << 20..300 << 20).contains(&million.at_start()), "{}", million.at_start());
        assert!((450 << 20..600 << 20).contains(&million.at_most()), "{}", million.at_most());

        let many: String = (0..ADDRESSES / 2 + 1)
            .map(|n| {
                let [_, _, high, low] = n.to_be_bytes();
                format!(
                    "[[subnet]]\nprefix = \"192.{high}.{low}.0/24\"\nserver-id = \"192.{high}.{low}.1\"\n\
                     pools = [\"192.{high}.{low}.9 - 192.{high}.{low}.10\"]\n"
                )
            })
            .collect();
        let config = Config::parse(&format!("[[interface]]\nname = \"eth0\"\n{many}"), "test").expect("good");
        let refused = Capacity::of(&config).check(None).expect_err("more than the map has room for");
        assert!(refused.to_string().contains("server addresses"), "{refused}");
    }

    #[test]
    fn blocks_that_share_addresses_are_counted_once() {
        let pools = |pools: &str| {
            let text = format!(
                "[[interface]]\nname = \"eth0\"\n[[subnet]]\nprefix = \"10.0.0.0/8\"\npools = [{pools}]\n\
                 [[subnet.reservation]]\nhw-address = \"02:00:00:00:00:01\"\naddress = \"10.0.9.1\"\n"
            );
            blocks(&Config::parse(&text, "test").expect("a good configuration"))
        };
        assert_eq!(pools("\"10.0.1.10 - 10.0.1.20\", \"10.0.1.30 - 10.0.3.1\""), 4);
        assert_eq!(pools("\"10.0.8.10 - 10.0.10.20\", \"10.0.0.1 - 10.0.0.2\""), 4);
    }

    #[test]
    fn no_configuration_is_too_large_to_be_counted() {
        let all: String = (1..224)
            .filter(|net| *net != 127)
            .map(|net| {
                format!(
                    "[[subnet]]\nprefix = \"{net}.0.0.0/8\"\npools = [\"{net}.0.0.1 - {net}.255.255.254\"]\n"
                )
            })
            .collect();
        let config = Config::parse(&format!("[[interface]]\nname = \"eth0\"\n{all}"), "test").expect("good");
        assert!(Capacity::of(&config).check(None).is_err());
    }

    #[test]
    fn what_runs_already_is_not_counted_twice() {
        let (one, two) = (Capacity::of(&config("")), Capacity::of(&config("")));
        assert_eq!(one.check_beside(&two, Some(0)), Ok(()));
        let small = Capacity { addresses: 0, ..two };
        assert!(one.check_beside(&small, Some(1 << 20)).is_err());
    }

    #[test]
    fn there_is_an_eighth_more_room_than_a_million_leases_need() {
        let Sizes { slots, chunks } = sizes(&config(r#"options = { routers = ["10.0.0.1"] }"#));
        assert_eq!((slots, chunks), ((1 << 20) / 8 * 9, slots / SHARING), "most share their answers");
    }

    #[test]
    fn each_lease_of_few_may_have_an_answer_of_its_own() {
        let of = |count: u32, has_reservations: bool| {
            let subnets: String = (0..count)
                .map(|n| {
                    let [_, _, high, low] = n.to_be_bytes();
                    let reserved = format!(
                        "[[subnet.reservation]]\nhw-address = \"02:00:00:00:00:01\"\naddress = \"10.{high}.{low}.250\"\n"
                    );
                    let reserved = if has_reservations { reserved.as_str() } else { "" };
                    format!(
                        "[[subnet]]\nprefix = \"10.{high}.{low}.0/24\"\npools = [\"10.{high}.{low}.10 - 10.{high}.{low}.249\"]\n{reserved}"
                    )
                })
                .collect();
            sizes(
                &Config::parse(&format!("[[interface]]\nname = \"eth0\"\n{subnets}"), "test").expect("good"),
            )
        };
        let few = of(1, false);
        assert_eq!(few, Sizes { slots: LEAST_SLOTS, chunks: LEAST_SLOTS });
        let many = of(200, false);
        assert_eq!(many.chunks, 200 * 240 / 8 * 9, "{many:?}");
        let reserved = of(200, true);
        assert_eq!(reserved.chunks, 200 * 241 / 8 * 9, "{reserved:?}");
    }

    #[test]
    fn longer_answers_and_those_to_relays_have_room() {
        let long = sizes(&config(&format!(r#"options = {{ domain-name = "{}.example" }}"#, "a".repeat(60))));
        assert_eq!(long.chunks, 2 * (long.slots / SHARING), "an answer that takes two");
        let relayed = sizes(&config(r#"relays = ["192.0.2.1"]"#));
        assert_eq!(
            relayed.chunks,
            2 * (relayed.slots / SHARING),
            "the same once more, with what the relay added"
        );
    }
}
