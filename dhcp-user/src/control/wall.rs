//! Boot time to wall time, for display.

use dhcp_ebpf::lease::BootSecs;
use jiff::{SignedDuration, Timestamp};
use nix::time::{ClockId, clock_gettime};

/// The readings of the clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    /// The wall time at which boot time was 0, to the second.
    boot: Timestamp,
}

impl WallClock {
    /// Reads the clocks.
    ///
    /// # Errors
    /// If the kernel has no boot time.
    pub fn read() -> std::io::Result<Self> {
        #[cfg(feature = "simulation")]
        if let Some((boot, wall)) = crate::clock::simulated::shown() {
            let wall = Timestamp::from_second(wall).map_err(std::io::Error::other)?;
            let since_boot = SignedDuration::from_secs(boot.floor().0.into());
            return Ok(Self::booted(wall.checked_sub(since_boot).map_err(std::io::Error::other)?));
        }
        let since_boot = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
        let since_boot =
            SignedDuration::new(since_boot.tv_sec(), i32::try_from(since_boot.tv_nsec()).unwrap_or(0));
        let boot = Timestamp::now().checked_sub(since_boot).map_err(std::io::Error::other)?;
        Ok(Self::booted(boot))
    }

    /// Clocks that showed boot time 0 at `boot`.
    #[must_use]
    pub fn booted(boot: Timestamp) -> Self {
        // Half a second up or down, so that one moment keeps its name from reading to reading.
        Self { boot: boot.round(jiff::Unit::Second).unwrap_or(boot) }
    }

    /// These clocks, unless wall time was set anew since, as `read` shows: then moments follow the new time.
    ///
    /// A difference of a second or less comes from reading, and changes no moment.
    #[must_use]
    pub fn unless_set(self, read: Self) -> Self {
        let off = read.boot.duration_since(self.boot).abs();
        if off > SignedDuration::from_secs(1) { read } else { self }
    }

    /// The wall time of `moment`, as long as wall time isn't set anew.
    #[must_use]
    pub fn at(self, moment: BootSecs) -> Timestamp {
        self.boot.saturating_add(SignedDuration::from_secs(moment.0.into())).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_named_to_the_second() {
        let clock = WallClock::booted("2026-02-03T04:05:06.4Z".parse().unwrap());
        assert_eq!(clock.at(BootSecs(54)).to_string(), "2026-02-03T04:06:00Z");
        assert_eq!(clock.at(BootSecs(u32::MAX)).to_string(), "2162-03-12T10:33:21Z");
    }

    #[test]
    fn a_step_of_wall_time_is_followed_and_what_comes_from_reading_is_not() {
        let clock = |text: &str| WallClock::booted(text.parse().unwrap());
        let at_boot = clock("1970-01-01T00:00:05Z");
        let (corrected, read) = (clock("2026-02-03T04:05:06.4Z"), clock("2026-02-03T04:05:06.6Z"));
        assert_eq!(at_boot.unless_set(corrected), corrected);
        assert_eq!(corrected.unless_set(read), corrected);
        assert_eq!(corrected.unless_set(at_boot), at_boot);
    }

    #[test]
    fn now_is_now() {
        let nanos = std::time::Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap()).as_nanos();
        let now = BootSecs::floor(u64::try_from(nanos).unwrap());
        let shown = WallClock::read().unwrap().at(now);
        let off = Timestamp::now().duration_since(shown).abs();
        assert!(off <= SignedDuration::from_secs(2), "{shown} is {off} off");
    }
}
