//! Prefixes and pools: sets of IPv4 addresses.

use std::fmt;
use std::net::Ipv4Addr;

/// An IPv4 prefix without host bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// The first address.
    pub network: Ipv4Addr,
    /// How many leading bits its addresses share, 1 to 32.
    pub len: u8,
}

impl Prefix {
    /// The prefix of `len` bits (at most 32) that `address` is in.
    #[must_use]
    pub fn around(address: Ipv4Addr, len: u8) -> Self {
        let whole = Self { network: address, len };
        Self { network: address & whole.netmask(), len }
    }

    /// The prefix that begins with `network`; none if there are host bits in it, or no `len` is such.
    #[must_use]
    pub fn of(network: Ipv4Addr, len: u8) -> Option<Self> {
        (1..=32).contains(&len).then(|| Self::around(network, len)).filter(|prefix| prefix.network == network)
    }

    /// The subnet mask.
    #[must_use]
    pub fn netmask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(!self.host_bits())
    }

    /// The last address.
    #[must_use]
    pub fn last(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() | self.host_bits())
    }

    /// The broadcast address; a prefix of 31 or 32 bits has none (RFC 3021).
    #[must_use]
    pub fn broadcast(self) -> Option<Ipv4Addr> {
        (self.len <= 30).then(|| self.last())
    }

    /// Whether `address` is one of this prefix.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address & self.netmask() == self.network
    }

    /// All its addresses.
    #[must_use]
    pub fn pool(self) -> Pool {
        Pool { first: self.network, last: self.last() }
    }

    /// The addresses that hosts can have: all but the network's and the broadcast address, where there are such.
    #[must_use]
    pub fn hosts(self) -> Pool {
        let Pool { first, last } = self.pool();
        match self.len {
            31.. => Pool { first, last },
            _ => Pool {
                first: Ipv4Addr::from_bits(first.to_bits().saturating_add(1)),
                last: Ipv4Addr::from_bits(last.to_bits().saturating_sub(1)),
            },
        }
    }

    /// Whether all its addresses are unicast ones, and none is a loopback address.
    #[must_use]
    pub fn is_unicast(self) -> bool {
        let Pool { first, last } = self.pool();
        is_unicast(first) && is_unicast(last) && !self.overlaps(Self::around(Ipv4Addr::LOCALHOST, 8))
    }

    /// Whether the two share any address.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }

    fn host_bits(self) -> u32 {
        u32::MAX.checked_shr(u32::from(self.len)).unwrap_or(0)
    }
}

/// Whether `address` can be a host's own, under any prefix.
pub(super) fn is_unicast(address: Ipv4Addr) -> bool {
    (1..=223).contains(&address.octets()[0]) && !address.is_loopback()
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.len)
    }
}

/// A run of addresses, both ends included; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pool {
    /// The lowest address.
    pub first: Ipv4Addr,
    /// The highest address, not below `first`.
    pub last: Ipv4Addr,
}

impl Pool {
    /// Whether `address` is in this pool.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }

    /// How many addresses it has.
    #[must_use]
    pub fn size(self) -> u32 {
        self.last.to_bits().saturating_sub(self.first.to_bits()).saturating_add(1)
    }

    /// Its addresses, lowest first.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Ipv4Addr> + Clone {
        (self.first.to_bits()..=self.last.to_bits()).map(Ipv4Addr::from_bits)
    }

    /// Whether the two share any address.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} - {}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(network: [u8; 4], len: u8) -> Prefix {
        Prefix { network: network.into(), len }
    }

    #[test]
    fn a_prefix_knows_its_ends() {
        let p = prefix([192, 0, 2, 128], 25);
        assert_eq!(p.netmask(), Ipv4Addr::new(255, 255, 255, 128));
        assert_eq!(p.last(), Ipv4Addr::new(192, 0, 2, 255));
        assert!(p.contains(Ipv4Addr::new(192, 0, 2, 128)) && !p.contains(Ipv4Addr::new(192, 0, 2, 127)));
        assert_eq!(p.to_string(), "192.0.2.128/25");
    }

    #[test]
    fn the_longest_prefixes_have_hosts_only() {
        let (pair, single) = (prefix([192, 0, 2, 4], 31), prefix([192, 0, 2, 4], 32));
        assert_eq!((pair.broadcast(), single.broadcast()), (None, None));
        assert_eq!((pair.hosts(), single.hosts()), (pair.pool(), single.pool()));
        assert_eq!(single.last(), single.network);
        let usual = prefix([192, 0, 2, 4], 30);
        assert_eq!(usual.hosts().to_string(), "192.0.2.5 - 192.0.2.6");
    }

    #[test]
    fn only_unicast_prefixes_are_called_so() {
        for (network, len) in
            [([0, 0, 0, 0], 1), ([64, 0, 0, 0], 2), ([224, 0, 0, 0], 4), ([127, 0, 0, 0], 24)]
        {
            assert!(!prefix(network, len).is_unicast(), "{network:?}/{len}");
        }
        assert!(prefix([10, 0, 0, 0], 8).is_unicast());
    }

    #[test]
    fn a_pool_counts_and_lists_its_addresses() {
        let pool = Pool { first: Ipv4Addr::new(10, 0, 0, 254), last: Ipv4Addr::new(10, 0, 1, 1) };
        assert_eq!(pool.size(), 4);
        assert_eq!(pool.iter().count(), 4);
        assert!(pool.iter().all(|a| pool.contains(a)));
        assert!(!pool.contains(Ipv4Addr::new(10, 0, 1, 2)));
    }

    #[test]
    fn overlap_is_symmetric_and_touches_count() {
        let pool = |a: u8, b: u8| Pool { first: [10, 0, 0, a].into(), last: [10, 0, 0, b].into() };
        for (a, b, expected) in
            [(pool(1, 5), pool(5, 9), true), (pool(1, 5), pool(6, 9), false), (pool(1, 9), pool(3, 4), true)]
        {
            assert_eq!((a.overlaps(b), b.overlaps(a)), (expected, expected), "{a} and {b}");
        }
        assert!(prefix([10, 0, 0, 0], 8).overlaps(prefix([10, 1, 0, 0], 16)));
        assert!(!prefix([10, 0, 0, 0], 16).overlaps(prefix([10, 1, 0, 0], 16)));
    }
}
