//! Runs of addresses of which no two may overlap.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::errors::Span;
use super::prefix::Pool;

/// Runs claimed so far, by first address, and where each was claimed.
#[derive(Default)]
pub(super) struct Disjoint(BTreeMap<Ipv4Addr, (Ipv4Addr, Span)>);

impl Disjoint {
    /// Claims `run`, or returns the earlier run that it overlaps.
    pub(super) fn claim(&mut self, run: Pool, at: Span) -> Result<(), (Pool, Span)> {
        // Runs claimed so far are disjoint, so the one that begins last before our end is the only candidate.
        match self.0.range(..=run.last).next_back() {
            Some((first, (last, earlier))) if *last >= run.first => {
                Err((Pool { first: *first, last: *last }, earlier.clone()))
            }
            _ => {
                self.0.insert(run.first, (run.last, at));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_overlap_is_told() {
        let run =
            |first: u8, last: u8| Pool { first: [10, 0, 0, first].into(), last: [10, 0, 0, last].into() };
        let mut claimed = Disjoint::default();
        assert_eq!(claimed.claim(run(20, 30), 1..1), Ok(()));
        assert_eq!(claimed.claim(run(10, 12), 2..2), Ok(()));
        for (first, last) in [(20, 30), (15, 20), (30, 40), (24, 25), (13, 99)] {
            assert_eq!(claimed.claim(run(first, last), 3..3), Err((run(20, 30), 1..1)), "{first} - {last}");
        }
        assert_eq!(claimed.claim(run(9, 10), 3..3), Err((run(10, 12), 2..2)));
        assert_eq!(claimed.claim(run(31, 31), 4..4), Ok(()));
        assert_eq!(claimed.claim(run(13, 19), 5..5), Ok(()));
    }
}
