//! Any sequence of events: whatever clients, relays, kernel, operator, clock and crashes do, no promise is broken.
//!
//! Every third client is in a class that part of the addresses are for, or not for.

mod chances;
mod clients;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestError, TestRng, TestRunner};

use chances::Chances;
use world::World;

/// One thing that happens, with all its chances drawn beforehand. Addresses go by their number among all there are. Where
/// a client is named, it is the first from that one on that can do so.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A client sends this message, and it is dealt with at once, after those before it in its ring.
    Send(u8, Say),
    /// A client sends this message, and it waits.
    Queue(u8, Say),
    /// The first message that waits is dealt with.
    Arrive,
    /// The kernel renews what a client has.
    KernelRenews(u8),
    /// The daemon's beat goes over all words.
    Beat,
    Pass(u32),
    /// What was decided since the last one is committed and carried out.
    EndBatch,
    /// Only the first half of it: more was decided while the disk took that.
    EndHalf,
    /// A client loses its memory: its lease is an orphan.
    Forget(u8),
    /// A client is carried to the other link.
    Move(u8),
    /// A station that never asked takes this address, or leaves it.
    Squat(u8, bool),
    /// All probes asked for come to their end.
    Probe,
    OperatorRelease(u8),
    QuarantineClear(u8),
    /// The other configuration is read, unless there is one to go over to.
    Reload,
    /// A step on the way to it, or a step of what it ends: so much work.
    Advance(u8),
    /// The daemon dies: with what was decided committed or not, with the maps lost or not.
    Crash {
        committed: bool,
        maps: bool,
    },
}

#[derive(Clone, Copy, Debug)]
enum Say {
    Discover {
        asking: Option<u8>,
        wish: Option<u32>,
    },
    /// Takes the last offer, perhaps for another time than it was made.
    Select {
        wish: Option<u32>,
    },
    SelectElsewhere,
    Renew,
    Rebind,
    Reboot,
    /// The driver may have told which word it saw.
    Release {
        met: bool,
    },
    Decline,
    Inform,
    Bootp,
    /// For an address that is not its own.
    Forge(u8, u8),
}

/// Whether probes are carried out, and what happens. A life gets shorter by losing steps.
fn life() -> impl Strategy<Value = (bool, Vec<Step>)> {
    let step = any::<u64>().no_shrink().prop_map(|chances| Chances(chances).step());
    (any::<bool>(), prop::collection::vec(step, 1..200))
}

/// How many events the policy was given.
fn run(probing: bool, steps: Vec<Step>) -> u64 {
    let mut world = World::new(probing);
    for step in steps {
        world.step(step);
    }
    world.end()
}

proptest! {
    #[test]
    fn no_sequence_of_events_breaks_a_promise((probing, steps) in life()) {
        run(probing, steps);
    }
}

/// Lives are drawn on two threads until the policy has been given ten million events: the same ones each time, or others
/// for another number in `XDHCPD_LIVES`.
#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "takes minutes without optimisation: `cargo test --release -- million`"
)]
fn ten_million_events_break_no_promise() {
    const EVENTS: u64 = 10_000_000;
    const LIVES: u32 = 1000;
    let first = std::env::var("XDHCPD_LIVES").map_or(0, |number| number.parse().expect("a number"));
    let (batch, done) = (AtomicU64::new(first), AtomicU64::new(0));
    let config = ProptestConfig { cases: LIVES, failure_persistence: None, ..ProptestConfig::default() };
    let live = || {
        while done.load(Ordering::Relaxed) < EVENTS {
            let batch = batch.fetch_add(1, Ordering::Relaxed);
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&batch.to_le_bytes());
            let random = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
            let outcome =
                TestRunner::new_with_rng(config.clone(), random).run(&life(), |(probing, steps)| {
                    done.fetch_add(run(probing, steps), Ordering::Relaxed);
                    Ok(())
                });
            if let Err(TestError::Fail(why, life)) = outcome {
                // The other thread need not go on.
                done.store(EVENTS, Ordering::Relaxed);
                panic!("{why}\nthe shortest such life, of those from {batch} on: {life:?}");
            }
            assert!(outcome.is_ok(), "{outcome:?}");
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(live);
        live();
    });
    println!("{} events", done.load(Ordering::Relaxed));
}
