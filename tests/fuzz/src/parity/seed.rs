//! Where a run of tests begins: somewhere new each time, or where `XDHCPD_SEED` says.

use std::env;
use std::thread;
use std::time::{Instant, SystemTime};

use anyhow::Result;

use super::run::{Tally, spread};

/// The seed that is asked for, or another each time.
///
/// # Panics
/// When what is asked for is no number.
#[must_use]
pub fn seed() -> u64 {
    let parse = |said: String| match said.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
        None => said.parse().unwrap(),
    };
    let now = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    env::var("XDHCPD_SEED").map_or_else(|_| now(), parse)
}

/// Has so many frames come in, on all processors, and prints what became of them.
///
/// # Panics
/// With the first difference; or if too few frames were answered to show anything.
pub fn judge(frames: u64, one: impl Fn(u64, u64) -> Result<Tally> + Sync) {
    let seed = seed();
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    println!("XDHCPD_SEED={seed:#x} repeats this on {threads} threads");
    let began = Instant::now();
    match spread(seed, frames, threads, one) {
        Ok(tally) => {
            println!("{tally}, in {:.1} s", began.elapsed().as_secs_f64());
            assert!(tally.answered * 4 > tally.frames, "too few are answered to show anything: {tally}");
            assert!(
                tally.outlived * 20 < tally.answered,
                "the daemon would refuse too many of them: {tally}"
            );
        }
        Err(difference) => panic!("XDHCPD_SEED={seed:#x}: {difference}"),
    }
}
