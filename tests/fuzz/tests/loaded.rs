//! The program that the kernel has loaded, the host's build of the packet logic and the daemon's encoder say the same to the
//! same frames. As root.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

use fuzz::parity::loaded::Loaded;
use fuzz::parity::{case, run, seed, world};

#[test]
fn a_million_frames_are_answered_alike() {
    seed::judge(1_000_000, |seed, frames| {
        let mut loaded = Loaded::load(world::ours())?;
        run::run(seed, frames, Some(&mut loaded))
    });
}

#[test]
fn what_was_different_once_is_the_same_now() {
    let mut loaded = Loaded::load(world::ours()).unwrap();
    for (name, case) in case::all().unwrap() {
        case.run(Some(&mut loaded)).unwrap_or_else(|difference| panic!("{name}: {difference:#}"));
    }
}
