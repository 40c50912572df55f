//! Token buckets for any number of owners in a fixed amount of memory.

use std::num::NonZeroU32;

const SECOND: u64 = 1_000_000_000;
/// How many buckets an owner's may be among.
const WAYS: usize = 4;

/// How much is let through: so many in a row, and so many a second on end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    burst: u32,
    rate: NonZeroU32,
}

impl Allowance {
    /// `rate` a second, and `burst` in a row.
    #[must_use]
    pub(super) fn new(rate: NonZeroU32, burst: u32) -> Self {
        Self { burst, rate }
    }

    /// `rate` a second, and in a row what a second brings.
    #[must_use]
    pub(super) fn per_second(rate: NonZeroU32) -> Self {
        Self::new(rate, rate.get())
    }

    /// Nanoseconds in which one more may pass.
    fn interval(self) -> u64 {
        SECOND / u64::from(self.rate.get())
    }
}

/// A bucket, and when it will be full again, in nanoseconds. One that is full is as good as none.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    owner: u64,
    full_at: u64,
}

/// Buckets by their owners. Where there is no room for one more, the one that is nearest to being full is forgotten:
/// its owner is let through a little more, and nobody less for the sake of another.
#[derive(Clone, Debug)]
pub(super) struct Buckets {
    sets: Box<[[Bucket; WAYS]]>,
}

impl Buckets {
    /// Room for `count` buckets, rounded up.
    #[must_use]
    pub(super) fn new(count: usize) -> Self {
        let sets = count.div_ceil(WAYS).max(1);
        Self { sets: vec![[Bucket::default(); WAYS]; sets].into_boxed_slice() }
    }

    /// Whether one more of `owner` may pass at `now`, in nanoseconds. `owner` is a hash that nobody outside can foresee.
    pub(super) fn take(&mut self, owner: u64, allowance: Allowance, now: u64) -> bool {
        let Some(bucket) = self.bucket(owner) else { return false };
        let interval = allowance.interval();
        let full_at = bucket.full_at.max(now).saturating_add(interval);
        let passes = full_at - now <= interval.saturating_mul(u64::from(allowance.burst));
        if passes {
            bucket.full_at = full_at;
        }
        passes
    }

    /// The bucket of `owner`; there is one, as no set is empty.
    fn bucket(&mut self, owner: u64) -> Option<&mut Bucket> {
        let count = self.sets.len() as u64;
        let set = self.sets.get_mut(usize::try_from(owner % count).unwrap_or_default())?;
        if let Some(own) = set.iter().position(|bucket| bucket.owner == owner) {
            return set.get_mut(own);
        }
        let fullest = set.iter_mut().min_by_key(|bucket| bucket.full_at)?;
        *fullest = Bucket { owner, full_at: 0 };
        Some(fullest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rate: u32, burst: u32) -> Allowance {
        Allowance::new(NonZeroU32::new(rate).unwrap(), burst)
    }

    /// How many of `tries` at one moment pass.
    fn passing(buckets: &mut Buckets, owner: u64, allowance: Allowance, now: u64, tries: usize) -> usize {
        (0..tries).filter(|_| buckets.take(owner, allowance, now)).count()
    }

    #[test]
    fn so_many_pass_in_a_row_and_so_many_a_second() {
        let mut buckets = Buckets::new(8);
        let now = 77 * SECOND;
        assert_eq!(passing(&mut buckets, 1, of(5, 20), now, 100), 20);
        assert_eq!(passing(&mut buckets, 1, of(5, 20), now + SECOND / 5 - 1, 100), 0);
        assert_eq!(passing(&mut buckets, 1, of(5, 20), now + SECOND / 5, 100), 1);
        assert_eq!(passing(&mut buckets, 1, of(5, 20), now + 2 * SECOND, 100), 9);
        assert_eq!(passing(&mut buckets, 1, of(5, 20), now + 1000 * SECOND, 100), 20, "no more than full");
        let rate = Allowance::per_second(NonZeroU32::new(5).unwrap());
        assert_eq!(passing(&mut buckets, 2, rate, now, 100), 5, "another owner, another bucket");
    }

    /// A client that keeps trying does not get less through.
    #[test]
    fn what_is_refused_is_not_charged() {
        let mut buckets = Buckets::new(8);
        let passed: usize =
            (0..1000).map(|step| passing(&mut buckets, 1, of(5, 20), step * SECOND / 100, 10)).sum();
        assert_eq!(passed, 20 + 49);
    }

    /// Each owner gets at least its due, whatever strangers do.
    #[test]
    fn a_crowd_of_strangers_takes_nothing_from_anybody() {
        let mut buckets = Buckets::new(16);
        let mut passed = 0;
        for step in 0..1000_u64 {
            let now = step * SECOND / 100;
            let strangers = 1000 + 50 * step..1050 + 50 * step;
            assert!(strangers.into_iter().all(|stranger| buckets.take(stranger, of(5, 20), now)));
            passed += passing(&mut buckets, 7, of(5, 20), now, 1);
        }
        assert!(passed >= 20 + 49, "{passed}");
    }

    #[test]
    fn time_that_goes_back_is_no_time() {
        let mut buckets = Buckets::new(8);
        assert_eq!(passing(&mut buckets, 1, of(5, 20), 10 * SECOND, 100), 20);
        assert_eq!(passing(&mut buckets, 1, of(5, 20), 9 * SECOND, 100), 0);
    }
}
