//! Blocks of addresses, the instances of nodes, and durations that others wait for.

use std::fmt;
use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;
use serde::{Deserialize, Serialize};

use crate::store::BootId;

/// A duration without an end.
pub(super) const FOR_EVER: u32 = u32::MAX;
/// Clocks differ by less than this part of what they measure.
const DRIFT: u32 = 256;
/// Both ends of a duration are rounded.
const ROUNDING: u32 = 2;

/// 256 consecutive addresses that have one owner: those that share their first three octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Block(u32);

impl Block {
    /// The block of an address.
    #[must_use]
    pub fn of(address: Ipv4Addr) -> Self {
        Self(address.to_bits() >> 8)
    }

    /// Its first address.
    #[must_use]
    pub fn first(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.0 << 8)
    }

    /// The blocks from one address to another, both included, and how many of the addresses are in each.
    pub fn between(first: Ipv4Addr, last: Ipv4Addr) -> impl Iterator<Item = (Self, u32)> {
        let (first, last) = (first.to_bits(), last.to_bits());
        (first >> 8..=last >> 8).map(move |block| {
            let begin = first.max(block << 8);
            let end = last.min(block << 8 | 0xff);
            (Self(block), end.saturating_sub(begin).saturating_add(1))
        })
    }
}

/// `192.0.2.0/24`.
impl fmt::Display for Block {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}/24", self.first())
    }
}

/// A kernel whose maps may promise for a node: made by chance with the node's state directory, so that another machine
/// which takes a node's name is another. In what is promised it is of one boot ([`in_boot`](Self::in_boot)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instance(pub u128);

impl Instance {
    /// The machine's kernel in one boot. Maps end with a boot: a later one does not know what they promised, and can say nothing
    /// of it in their name.
    #[must_use]
    pub fn in_boot(self, boot: BootId) -> Self {
        Self(self.0 ^ boot.0)
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:032x}", self.0)
    }
}

/// How long it is from `now` to `until`; for ever at the end of boot time.
pub(super) fn duration(now: BootSecs, until: BootSecs) -> u32 {
    if until.0 == FOR_EVER { FOR_EVER } else { until.0.saturating_sub(now.0) }
}

/// When a duration is over for certain that began at `seen` or before, by whatever clock.
pub(super) fn over(seen: BootSecs, duration: u32) -> BootSecs {
    match duration {
        0 => BootSecs(0),
        FOR_EVER => BootSecs(FOR_EVER),
        secs => seen.plus(secs).plus(secs / DRIFT).plus(ROUNDING),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_cut_into_blocks() {
        let cut: Vec<_> = Block::between([10, 0, 0, 250].into(), [10, 0, 2, 1].into()).collect();
        let blocks = [[10, 0, 0, 0], [10, 0, 1, 0], [10, 0, 2, 0]].map(|first| Block::of(first.into()));
        assert_eq!(cut, [(blocks[0], 6), (blocks[1], 256), (blocks[2], 2)]);
        assert_eq!(blocks[1].to_string(), "10.0.1.0/24");
    }

    #[test]
    fn who_waits_waits_longer() {
        let now = BootSecs(100);
        assert_eq!(duration(now, BootSecs(90)), 0);
        assert_eq!(duration(now, BootSecs(612)), 512);
        assert_eq!(over(now, 512), BootSecs(100 + 512 + 2 + 2));
        assert_eq!(over(now, 0), BootSecs(0));
        assert_eq!(over(now, duration(now, BootSecs(u32::MAX))), BootSecs(u32::MAX));
    }
}
