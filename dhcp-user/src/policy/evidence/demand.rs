//! How many addresses of a subnet are probed ahead of demand.

use dhcp_ebpf::lease::BootSecs;

/// Few, and more each time a client finds none.
const LEAST_STOCK: u32 = 4;
/// A probe takes half a second: so many serve twice as many clients a second.
const MOST_STOCK: u32 = 16_384;
/// Without a client that found none for so long, in seconds, the stock is halved.
const CALM: u32 = 60;

/// How many probed addresses a subnet is to have, and when a client last found none.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Demand {
    stock: u32,
    missed: BootSecs,
}

impl Demand {
    /// The demand of a subnet that no client has asked yet.
    pub(in crate::policy) fn new(now: BootSecs) -> Self {
        Self { stock: LEAST_STOCK, missed: now }
    }

    /// How many are wanted at `now`.
    pub(in crate::policy) fn wanted(&mut self, now: BootSecs) -> u32 {
        if self.is_calm(now) {
            *self = self.calmed(now);
        }
        self.stock
    }

    /// A client found no probed address: the stock is too small, unless it has just become too old.
    pub(in crate::policy) fn note_miss(&mut self, now: BootSecs) {
        *self = if self.is_calm(now) {
            self.calmed(now)
        } else {
            Self { stock: (self.stock * 2).min(MOST_STOCK), missed: now }
        };
    }

    fn is_calm(self, now: BootSecs) -> bool {
        self.missed.plus(CALM) <= now
    }

    fn calmed(self, now: BootSecs) -> Self {
        Self { stock: (self.stock / 2).max(LEAST_STOCK), missed: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stock_grows_with_those_who_find_none_and_shrinks_in_calm() {
        let mut now = BootSecs(1000);
        let mut demand = Demand::new(now);
        assert_eq!(demand.wanted(now), LEAST_STOCK);
        (0..20).for_each(|_| demand.note_miss(now));
        assert_eq!(demand.wanted(now), MOST_STOCK);
        for halved in 1..=20 {
            now = now.plus(CALM);
            assert_eq!(demand.wanted(now), (MOST_STOCK >> halved).max(LEAST_STOCK));
        }
        // The first after a calm finds only what has become too old.
        demand.note_miss(now.plus(CALM));
        assert_eq!(demand.wanted(now.plus(CALM)), LEAST_STOCK);
    }
}
