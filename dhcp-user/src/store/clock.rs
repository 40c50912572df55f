//! The store's own clock, which reboots neither set back nor move on.
//!
//! Promises are made in boot time, and boot time starts anew at each boot. Records therefore keep the time of a clock
//! that goes on across boots: boot time plus an offset that is fixed once per boot, so that the clock goes on from
//! where the last commit had left it. However long the machine was off, a lease has as much time left as at the last
//! commit; and no record is rewritten because of a reboot. Wall time plays no part.

use std::fmt;
use std::str::FromStr;

use dhcp_ebpf::lease::BootSecs;
use serde::{Deserialize, Serialize};

/// The end of boot time. A promise until then has no end, in this boot and in those to come.
const END_OF_BOOT: BootSecs = BootSecs(u32::MAX);

/// A moment in whole seconds of the store's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StoreSecs(pub u64);

impl StoreSecs {
    /// A moment that never comes.
    pub const NEVER: Self = Self(u64::MAX);
}

/// The kernel's id of this boot: `/proc/sys/kernel/random/boot_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BootId(pub u128);

/// The text is not 32 hex digits with hyphens between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a boot id: expected 32 hex digits with hyphens, as in /proc/sys/kernel/random/boot_id")]
pub struct NotABootId;

impl FromStr for BootId {
    type Err = NotABootId;

    fn from_str(text: &str) -> Result<Self, NotABootId> {
        let digits = text.trim().replace('-', "");
        if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotABootId);
        }
        u128::from_str_radix(&digits, 16).map(Self).map_err(|_| NotABootId)
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", self.0);
        write!(
            f,
            "{}-{}-{}-{}-{}",
            &digits[..8],
            &digits[8..12],
            &digits[12..16],
            &digits[16..20],
            &digits[20..]
        )
    }
}

/// The store's clock in one boot, as every commit records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    boot: BootId,
    /// Seconds from that boot's time to the store's. Negative where the store was opened late in a boot: the
    /// time before that counts as zero too.
    offset: i64,
    /// The latest commit.
    time: StoreSecs,
}

impl Clock {
    /// Octets of the stored form.
    pub const LEN: usize = 32;

    /// The clock in the boot `boot`, whose time is `now`, going on from the one that the last commit recorded.
    ///
    /// Whoever calls this in a new boot records the result before using it: a boot has one offset, however often the
    /// daemon starts in it.
    #[must_use]
    pub fn resume(recorded: Option<Self>, boot: BootId, now: BootSecs) -> Self {
        match recorded {
            None => Self { boot, offset: 0, time: StoreSecs(u64::from(now.0)) },
            Some(same) if same.boot == boot => same.at(now),
            Some(Self { time, .. }) => {
                let reached = i64::try_from(time.0).unwrap_or(i64::MAX);
                let reached = if wrong!(DowntimeCounts) { reached.saturating_add(600) } else { reached };
                Self { boot, offset: reached.saturating_sub(now.0.into()), time }
            }
        }
    }

    /// This clock at a later moment of its boot; it never goes back.
    #[must_use]
    pub fn at(self, now: BootSecs) -> Self {
        Self { time: self.time.max(self.to_store(now)), ..self }
    }

    /// This clock in the stored form: boot id, offset and time, each little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..16].copy_from_slice(&self.boot.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_le_bytes());
        bytes[24..].copy_from_slice(&self.time.0.to_le_bytes());
        bytes
    }

    /// The clock of this stored form.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        let (fields, _) = bytes.as_chunks();
        let mut fields = fields.iter().map(|field| u64::from_le_bytes(*field));
        let mut next = || fields.next().unwrap_or_default();
        let (boot_low, boot_high) = (next(), next());
        Self {
            boot: BootId(u128::from(boot_high) << 64 | u128::from(boot_low)),
            offset: next().cast_signed(),
            time: StoreSecs(next()),
        }
    }

    /// The boot that this clock runs in.
    #[must_use]
    pub fn boot(&self) -> BootId {
        self.boot
    }

    /// The moment of the latest commit.
    #[must_use]
    pub fn time(&self) -> StoreSecs {
        self.time
    }

    /// A moment of this boot in the store's time. The end of boot time is [`StoreSecs::NEVER`].
    #[must_use]
    pub fn to_store(&self, moment: BootSecs) -> StoreSecs {
        if moment == END_OF_BOOT {
            return StoreSecs::NEVER;
        }
        StoreSecs(u64::from(moment.0).saturating_add_signed(self.offset))
    }

    /// A moment of the store's time in this boot's: 0 if it passed before, the end of boot time if it lies beyond.
    #[must_use]
    pub fn to_boot(&self, moment: StoreSecs) -> BootSecs {
        let seconds = i128::from(moment.0).saturating_sub(self.offset.into());
        BootSecs(u32::try_from(seconds.max(0)).unwrap_or(END_OF_BOOT.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: BootId = BootId(0xa);
    const B: BootId = BootId(0xb);
    const C: BootId = BootId(0xc);

    /// The remaining time of a promise in `clock` at `now`.
    fn left(clock: &Clock, promise: StoreSecs, now: BootSecs) -> u32 {
        clock.to_boot(promise).0.saturating_sub(now.0)
    }

    #[test]
    fn a_boot_id_is_read_as_the_kernel_writes_it() {
        let text = "0f8e1c2a-95b4-4f7e-8b1d-3c2b1a09f8e7\n";
        let id: BootId = text.parse().unwrap();
        assert_eq!(id, BootId(0x0f8e_1c2a_95b4_4f7e_8b1d_3c2b_1a09_f8e7));
        assert_eq!(format!("{id}\n"), text);
        for wrong in
            ["", "0f8e1c2a", "+f8e1c2a-95b4-4f7e-8b1d-3c2b1a09f8e7", "0f8e1c2a-95b4-4f7e-8b1d-3c2b1a09f8e7f"]
        {
            assert_eq!(wrong.parse::<BootId>(), Err(NotABootId), "{wrong:?}");
        }
    }

    #[test]
    fn the_first_boot_is_the_stores_own_time() {
        let clock = Clock::resume(None, A, BootSecs(700));
        assert_eq!(clock.to_store(BootSecs(1000)), StoreSecs(1000));
        assert_eq!(clock.to_boot(StoreSecs(1000)), BootSecs(1000));
        assert_eq!(clock.time(), StoreSecs(700));
    }

    #[test]
    fn a_restart_within_a_boot_lets_time_pass() {
        let committed = Clock::resume(None, A, BootSecs(700)).at(BootSecs(800));
        let promise = committed.to_store(BootSecs(1000));
        let restarted = Clock::resume(Some(committed), A, BootSecs(950));
        assert_eq!(restarted.to_boot(promise), BootSecs(1000));
        assert_eq!(left(&restarted, promise, BootSecs(950)), 50);
    }

    #[test]
    fn a_lease_has_left_after_a_reboot_what_it_had_at_the_last_commit() {
        let committed = Clock::resume(None, A, BootSecs(700)).at(BootSecs(800));
        let promise = committed.to_store(BootSecs(1000));
        let early = Clock::resume(Some(committed), B, BootSecs(12));
        assert_eq!(early.to_boot(promise), BootSecs(212));
        let late = Clock::resume(Some(committed), B, BootSecs(40_000));
        assert_eq!(late.to_boot(promise), BootSecs(40_200));
    }

    #[test]
    fn two_reboots_with_a_crash_between_cost_no_lease_a_second() {
        let in_a = Clock::resume(None, A, BootSecs(5_000)).at(BootSecs(6_000));
        let promise = in_a.to_store(BootSecs(9_600));

        let in_b = Clock::resume(Some(in_a), B, BootSecs(30));
        assert_eq!(left(&in_b, promise, BootSecs(30)), 3_600);
        // The daemon crashes in B and starts again: same boot, same offset, and time has passed.
        let again = Clock::resume(Some(in_b), B, BootSecs(130));
        assert_eq!(again.to_boot(promise), in_b.to_boot(promise));
        let granted_in_b = again.to_store(BootSecs(4_030));
        let last_in_b = again.at(BootSecs(430));
        // The machine crashes; what passed in B after its last commit is unknown, and counts as zero.
        let in_c = Clock::resume(Some(last_in_b), C, BootSecs(8));
        assert_eq!(left(&in_c, promise, BootSecs(8)), 3_200);
        assert_eq!(left(&in_c, granted_in_b, BootSecs(8)), 3_600);
    }

    #[test]
    fn a_crash_before_the_first_commit_of_a_boot_changes_nothing() {
        let in_a = Clock::resume(None, A, BootSecs(100)).at(BootSecs(200));
        let promise = in_a.to_store(BootSecs(300));
        let in_b = Clock::resume(Some(in_a), B, BootSecs(50));
        let in_c = Clock::resume(Some(in_b), C, BootSecs(70));
        assert_eq!(left(&in_c, promise, BootSecs(70)), 100);
    }

    #[test]
    fn what_ran_out_before_this_boot_is_at_its_beginning() {
        let in_a = Clock::resume(None, A, BootSecs(100)).at(BootSecs(9_000));
        let over = in_a.to_store(BootSecs(400));
        let in_b = Clock::resume(Some(in_a), B, BootSecs(20));
        assert_eq!(in_b.to_boot(over), BootSecs(0));
    }

    #[test]
    fn a_clock_that_steps_back_is_not_followed() {
        let clock = Clock::resume(None, A, BootSecs(500)).at(BootSecs(400));
        assert_eq!(clock.time(), StoreSecs(500));
    }

    #[test]
    fn the_end_of_time_stays_the_end_of_time() {
        let in_a = Clock::resume(None, A, BootSecs(100)).at(BootSecs(9_000));
        assert_eq!(in_a.to_store(BootSecs(u32::MAX)), StoreSecs::NEVER);
        let in_b = Clock::resume(Some(in_a), B, BootSecs(20));
        assert_eq!(in_b.to_boot(StoreSecs::NEVER), BootSecs(u32::MAX));
    }

    proptest! {
        /// Over any chain of restarts and reboots a promise has left what it had, less what passed between commits.
        #[test]
        fn no_chain_of_boots_shortens_a_promise(
            start in 0..1_000_000u32,
            lease in 1..10_000_000u32,
            boots in prop::collection::vec((any::<bool>(), 0..1_000_000u32, 0..100_000u32), 0..20),
        ) {
            let mut clock = Clock::resume(None, BootId(0), BootSecs(start));
            let promise = clock.to_store(BootSecs(start + lease));
            let (mut now, mut passed) = (start, 0);
            for (i, (reboot, wait, work)) in boots.into_iter().enumerate() {
                let boot = if reboot { BootId(i as u128 + 1) } else { clock.boot() };
                if reboot {
                    now = wait;
                } else {
                    now += wait;
                    passed += wait;
                }
                clock = Clock::resume(Some(clock), boot, BootSecs(now));
                now += work;
                passed += work;
                clock = clock.at(BootSecs(now));
                prop_assert_eq!(left(&clock, promise, BootSecs(now)), lease.saturating_sub(passed));
            }
        }

        #[test]
        fn a_clock_is_read_as_it_was_written(boot: u128, offset: i64, time: u64) {
            let clock = Clock { boot: BootId(boot), offset, time: StoreSecs(time) };
            prop_assert_eq!(Clock::from_bytes(clock.to_bytes()), clock);
        }

        /// Anything may be on a disk: no conversion panics.
        #[test]
        fn any_clock_converts_any_moment(offset: i64, time: u64, moment: u64, boot: u32) {
            let clock = Clock { boot: A, offset, time: StoreSecs(time) };
            let _ = clock.to_boot(StoreSecs(moment));
            let _ = clock.to_store(BootSecs(boot));
            let resumed = Clock::resume(Some(clock), B, BootSecs(boot));
            prop_assert!(resumed.to_store(BootSecs(boot)).0 <= time.max(u64::from(boot)) || boot == u32::MAX);
        }
    }
}
