//! Waiting for a condition, never for a time.

use anyhow::{Result, bail};
use std::env;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

/// How long an answer that costs no timer may take, on a machine that is busy with other tests.
pub const PROMPT: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(5);

/// How many times as long everything may take: an emulated machine is slower than any that is busy.
const SLOWNESS: &str = "XDHCPD_SLOWNESS";

static TIMES: LazyLock<u32> =
    LazyLock::new(|| env::var(SLOWNESS).ok().and_then(|times| times.parse().ok()).unwrap_or(1));

/// When what may take so long on an ordinary machine has to be there.
#[must_use]
pub fn deadline(within: Duration) -> Instant {
    Instant::now() + within * *TIMES
}

/// Polls `probe` until it finds something, and returns that.
///
/// # Errors
/// Says that `what` did not come about in time, or passes on the first error of `probe`.
pub fn until<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = deadline(within);
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
