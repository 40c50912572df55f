//! The clock that promises are made in.

use dhcp_ebpf::lease::BootSecs;
use nix::time::{ClockId, clock_gettime};

/// A moment of `CLOCK_BOOTTIME` in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootNanos(pub u64);

impl BootNanos {
    /// The present.
    #[must_use]
    pub fn now() -> Self {
        // The clock is there since Linux 2.6.39; without it nothing could be promised.
        let time =
            clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap_or_else(|error| panic!("no boot clock: {error}"));
        let nanos = time.tv_sec() * 1_000_000_000 + time.tv_nsec();
        Self(u64::try_from(nanos).unwrap_or(0))
    }

    /// The second it lies in.
    #[must_use]
    pub fn floor(self) -> BootSecs {
        BootSecs::floor(self.0)
    }
}
