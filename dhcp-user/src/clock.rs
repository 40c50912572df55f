//! The clock that promises are made in.

use std::time::Duration;

use dhcp_ebpf::lease::BootSecs;
use nix::time::{ClockId, clock_gettime};

/// A moment of `CLOCK_BOOTTIME` in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootNanos(pub u64);

impl BootNanos {
    /// The present.
    #[must_use]
    pub fn now() -> Self {
        #[cfg(feature = "simulation")]
        if let Some((boot, _)) = simulated::shown() {
            return boot;
        }
        // The clock is there since Linux 2.6.39; without it nothing could be promised.
        let time =
            clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap_or_else(|error| panic!("no boot clock: {error}"));
        let nanos = time.tv_sec() * 1_000_000_000 + time.tv_nsec();
        Self(u64::try_from(nanos).unwrap_or(0))
    }

    /// The moment so much later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The second it lies in.
    #[must_use]
    pub fn floor(self) -> BootSecs {
        BootSecs::floor(self.0)
    }
}

/// Clocks that show what they are told to, on the thread that tells them.
#[cfg(feature = "simulation")]
pub mod simulated {
    use std::cell::Cell;

    use super::BootNanos;

    thread_local! {
        static SHOWN: Cell<Option<(BootNanos, i64)>> = const { Cell::new(None) };
    }

    /// Sets the clocks: boot time, and wall time in seconds since 1970.
    pub fn set(boot: BootNanos, wall: i64) {
        SHOWN.set(Some((boot, wall)));
    }

    /// What they show, if they were set.
    pub(crate) fn shown() -> Option<(BootNanos, i64)> {
        SHOWN.get()
    }
}
