//! Lease times, and the times at which clients renew.

use std::time::Duration;

use super::section::Section;
use super::value::Value;

const DEFAULT_LEASE_TIME: u32 = 60 * 60;
/// A client's own wish is not granted below this, unless the operator's terms are shorter.
const DEFAULT_MIN_LEASE_TIME: u32 = 60;
/// The keys that need a lease time beside them.
const DEPENDENT: [&str; 5] =
    ["renew-time", "rebind-time", "min-lease-time", "max-lease-time", "lease-time-when-full"];

/// The times of leases, in seconds: `renew` < `rebind` < `lease`, and `min` <= `lease` <= `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseTimes {
    /// The lease time given when the client asks for none.
    pub lease: u32,
    /// T1 of a lease of `lease`.
    pub renew: u32,
    /// T2 of a lease of `lease`.
    pub rebind: u32,
    /// The shortest lease time that a client's own wish is granted.
    pub min: u32,
    /// The longest lease time that a client's own wish is granted.
    pub max: u32,
    /// The time of new leases when their pool is full, at most `lease`. See [`LeaseTimes::for_new_lease`].
    pub when_full: Option<u32>,
}

impl LeaseTimes {
    /// The time of a new lease, in seconds, from a pool of `size` addresses with `used` not free, for a client that
    /// asks for `wish` (option 51) or nothing.
    ///
    /// Up to half full a pool gives `lease`, or the wish between `min` and `max`. From there on the time falls in a
    /// straight line to `when_full` for the last address, if that is set: clients that come and go, or make up
    /// hardware addresses, then tie up the last addresses for a short time only. A lease that is renewed keeps the
    /// time it was granted with.
    #[must_use]
    pub fn for_new_lease(&self, wish: Option<u32>, used: u32, size: u32) -> u32 {
        let limit = |longest: u32| self.limit(longest, used, size);
        match wish {
            Some(wish) => {
                let longest = limit(self.max);
                wish.clamp(self.min.min(longest), longest)
            }
            None => limit(self.lease),
        }
    }

    fn limit(&self, longest: u32, used: u32, size: u32) -> u32 {
        let Some(when_full) = self.when_full else { return longest };
        let above_half = u64::from(used).saturating_mul(2).saturating_sub(size.into());
        let most = u64::from(longest.saturating_sub(when_full));
        let cut = most.saturating_mul(above_half).checked_div(size.into()).unwrap_or(0);
        longest.saturating_sub(u32::try_from(cut).unwrap_or(u32::MAX))
    }

    /// The shortest lease that can be granted.
    #[must_use]
    pub fn shortest(&self) -> u32 {
        self.when_full.unwrap_or(self.min).min(self.min)
    }

    /// A subnet's own, which has defaults for all.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let lease = section.or("lease-time", DEFAULT_LEASE_TIME, lease_time);
        Self::around(section, lease)
    }

    /// The times of a scope that overrides a subnet: none, or all of them with a lease time of its own.
    pub(super) fn read_own(section: &mut Section<'_>) -> Option<Option<Self>> {
        if let Some(lease) = section.get("lease-time") {
            return Self::around(section, lease_time(lease)).map(Some);
        }
        let alone: Vec<&str> = DEPENDENT.into_iter().filter(|key| section.get(key).is_some()).collect();
        for key in &alone {
            section.refuse(&section.place(&[key]), format!("{key} needs a lease-time beside it: add one"));
        }
        alone.is_empty().then_some(None)
    }

    fn around(section: &mut Section<'_>, lease: Option<u32>) -> Option<Self> {
        let renew = section.optional("renew-time", Value::some_seconds);
        let rebind = section.optional("rebind-time", Value::some_seconds);
        let min = section.optional("min-lease-time", lease_time);
        let max = section.optional("max-lease-time", lease_time);
        let when_full = section.optional("lease-time-when-full", lease_time);

        let lease = lease?;
        let times = Self {
            lease,
            renew: renew?.unwrap_or(lease / 2),
            rebind: rebind?.unwrap_or(lease.saturating_sub(lease.div_ceil(8))),
            min: min?.unwrap_or(DEFAULT_MIN_LEASE_TIME.min(lease)),
            max: max?.unwrap_or(lease),
            when_full: when_full?,
        };
        times.check(section);
        Some(times)
    }

    fn check(&self, section: &Section<'_>) {
        let lease = ("lease-time", self.lease);
        let rebind = ("rebind-time", self.rebind);
        for ((shorter, a), (longer, b)) in [(("renew-time", self.renew), rebind), (rebind, lease)] {
            if a >= b {
                section.refuse(
                    &section.place(&[shorter, longer]),
                    format!("{shorter} ({}) must be shorter than {longer} ({})", in_words(a), in_words(b)),
                );
            }
        }
        let full = ("lease-time-when-full", self.when_full.unwrap_or(self.lease));
        for ((shorter, a), (longer, b)) in
            [(("min-lease-time", self.min), lease), (full, lease), (lease, ("max-lease-time", self.max))]
        {
            if a > b {
                section.refuse(
                    &section.place(&[longer, shorter]),
                    format!(
                        "{longer} ({}) must not be shorter than {shorter} ({})",
                        in_words(b),
                        in_words(a)
                    ),
                );
            }
        }
    }
}

/// A lease time: long enough that T1 and T2 come before its end.
fn lease_time(value: Value<'_>) -> Option<u32> {
    match value.some_seconds()? {
        1 | 2 => value.refuse("a lease must last 3s or more, so that T1 and T2 come before its end"),
        seconds => Some(seconds),
    }
}

fn in_words(seconds: u32) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: LeaseTimes =
        LeaseTimes { lease: 3600, renew: 1800, rebind: 3150, min: 60, max: 7200, when_full: Some(600) };

    #[test]
    fn leases_get_shorter_in_the_upper_half_of_a_pool() {
        let given = |used| TIMES.for_new_lease(None, used, 100);
        assert_eq!([0, 50, 51, 75, 99, 100].map(given), [3600, 3600, 3540, 2100, 660, 600]);
        let constant = LeaseTimes { when_full: None, ..TIMES };
        assert_eq!(constant.for_new_lease(None, 100, 100), 3600);
    }

    #[test]
    fn a_wish_is_granted_as_far_as_the_pool_allows() {
        let given = |wish, used| TIMES.for_new_lease(Some(wish), used, 100);
        assert_eq!([1, 100, 7200, u32::MAX].map(|wish| given(wish, 0)), [60, 100, 7200, 7200]);
        assert_eq!([1, 100, 2100, u32::MAX].map(|wish| given(wish, 75)), [60, 100, 2100, 3900]);
        let least = LeaseTimes { min: 1800, ..TIMES };
        assert_eq!(least.for_new_lease(Some(1), 100, 100), 600);
    }
}
