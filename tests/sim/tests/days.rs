//! Server-days by the thousand, each life from a seed of its own, on all processors.
#![cfg(feature = "simulation")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sim::life::{self, DAY};
use sim::world::Tally;

/// How long a life is, in days.
const LIFE: u64 = 4;
/// So many days are lived, unless it is said how many, or of which seed.
const DAYS: u64 = 2000;
/// After so long no other life begins then.
const LONGEST: Duration = Duration::from_secs(150);

fn asked(name: &str) -> Option<u64> {
    let contents = std::env::var(name).ok()?;
    let parsed = match contents.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => contents.parse(),
    };
    Some(parsed.unwrap_or_else(|_| panic!("{name} is no number: {contents}")))
}

#[test]
fn no_life_of_the_server_breaks_a_promise() {
    let (seed, contents) = (asked("XDHCPD_SEED"), asked("XDHCPD_DAYS"));
    // Whoever says how many days has them all; of a seed there is the one life that it stands for.
    let until = contents.or(seed).is_none().then(|| Instant::now() + LONGEST);
    let days = contents.unwrap_or(if seed.is_some() { LIFE } else { DAYS });
    // The same lives each time, so that a failure is the change's; who says how many has others each time.
    let now = || std::time::UNIX_EPOCH.elapsed().expect("after 1970").subsec_nanos();
    let first = seed.unwrap_or_else(|| if contents.is_some() { now().into() } else { 1 });
    let lives = days.div_ceil(LIFE);
    println!("XDHCPD_SEED={first:#x} and those after it, {lives} lives of {LIFE} days at most");
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut tally = Tally::default();
        loop {
            let life = next.fetch_add(1, Ordering::Relaxed);
            if life >= lives || until.is_some_and(|until| Instant::now() >= until) {
                return Ok(tally);
            }
            match life::one(first + life, LIFE * DAY, true) {
                Ok(lived) => tally += lived,
                Err(failure) => {
                    next.store(lives, Ordering::Relaxed);
                    return Err(failure);
                }
            }
        }
    };
    let outcomes: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|thread| thread.join().expect("a panic in a life is caught")).collect()
    });
    let mut tally = Tally::default();
    for outcome in outcomes {
        match outcome {
            Ok(lived) => tally += lived,
            Err(failure) => {
                panic!("{failure}`cargo xtask test sim --seed {:#x}` shows it again", failure.seed)
            }
        }
    }
    println!("{tally}, in {:.1} s", began.elapsed().as_secs_f64());
}

#[test]
fn a_seed_gives_the_same_life_again() {
    for seed in 1..4 {
        assert_eq!(life::digest(seed, DAY), life::digest(seed, DAY), "of seed {seed}");
    }
}
