//! How long answers took, as the programs counted it.

use load_ebpf::latency::{BUCKETS, least};
use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// Times by bucket; each bucket is at most 3 % wide.
#[derive(Clone, PartialEq, Eq)]
pub struct Histogram(Vec<u64>);

impl Histogram {
    pub(crate) fn sum<'a>(rows: impl Iterator<Item = &'a [u64]>) -> Self {
        let mut counts = vec![0; BUCKETS];
        for row in rows {
            counts.iter_mut().zip(row).for_each(|(sum, count)| *sum += count);
        }
        Self(counts)
    }

    /// How many times were measured.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The time that `share` of all (0.5: the median) stayed below or reached; the middle of its bucket. `None` without
    /// any.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let all = self.count();
        if all == 0 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a share of all")]
        let rank = ((all as f64 * share).ceil() as u64).clamp(1, all);
        let mut seen = 0;
        let bucket = self.0.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        let bucket = u32::try_from(bucket).ok()?;
        Some(Duration::from_nanos(u64::midpoint(least(bucket), least(bucket + 1))))
    }

    /// Every bucket that holds something: the least time in it, and how many.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        (0_u32..)
            .zip(&self.0)
            .filter(|(_, count)| **count > 0)
            .map(|(at, n)| (Duration::from_nanos(least(at)), *n))
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, p99] = [0.5, 0.99].map(|share| self.quantile(share));
        write!(f, "{} times, median {median:?}, p99 {p99:?}", self.count())
    }
}

impl Add<&Histogram> for Histogram {
    type Output = Self;

    fn add(mut self, other: &Histogram) -> Self {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, count)| *sum += count);
        self
    }
}

impl Sub<&Histogram> for Histogram {
    type Output = Self;

    fn sub(mut self, earlier: &Histogram) -> Self {
        self.0.iter_mut().zip(&earlier.0).for_each(|(now, then)| *now -= then);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use load_ebpf::latency::bucket;

    #[test]
    fn quantiles_are_the_middles_of_their_buckets() {
        let mut row = vec![0; BUCKETS];
        for time in [1_000, 1_000, 1_000, 100_000] {
            row[bucket(time) as usize] += 1;
        }
        let histogram = Histogram::sum([row.as_slice()].into_iter());
        let near = |share, nanos: f64| {
            let found = histogram.quantile(share).expect("there are times").as_secs_f64() * 1e9;
            assert!((found / nanos - 1.0).abs() < 0.03, "{share}: {found} for {nanos}");
        };
        near(0.5, 1_000.0);
        near(0.75, 1_000.0);
        near(0.76, 100_000.0);
        near(1.0, 100_000.0);
        assert_eq!((histogram.clone() - &histogram).quantile(0.5), None);
    }
}
