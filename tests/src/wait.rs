//! Waiting for a condition, never for a time.

use anyhow::{Result, bail};
use nix::time::{ClockId, clock_gettime};
use std::thread;
use std::time::{Duration, Instant};

/// How long an answer that costs no timer may take, on a machine that is busy with other tests.
pub const PROMPT: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(5);

/// Polls `probe` until it finds something, and returns that.
///
/// # Errors
/// Says that `what` did not come about in time, or passes on the first error of `probe`.
pub fn until<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = probe()? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {within:?} in vain for {what}");
        }
        thread::sleep(POLL);
    }
}

/// Waits for the next whole second of boot time.
///
/// Promises are counted in these. A RELEASE that comes in the very second in which the kernel has extended the lease
/// may have been overtaken by that, and is void.
///
/// # Errors
/// When the clock stands still.
pub fn next_second() -> Result<()> {
    let began = clock_gettime(ClockId::CLOCK_BOOTTIME)?.tv_sec();
    until("the next second", PROMPT, || {
        Ok((clock_gettime(ClockId::CLOCK_BOOTTIME)?.tv_sec() > began).then_some(()))
    })
}
