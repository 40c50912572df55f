//! The host's build of the packet logic and the daemon's encoder say the same to the same frames.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

use fuzz::parity::{case, run, seed};

#[test]
fn ten_million_frames_are_answered_alike() {
    seed::judge(10_000_000, |seed, frames| run::run(seed, frames, None));
}

#[test]
fn what_was_different_once_is_the_same_now() {
    for (name, case) in case::all().unwrap() {
        case.run(None).unwrap_or_else(|difference| panic!("{name}: {difference:#}"));
    }
}
