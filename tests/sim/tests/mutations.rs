//! Wrong versions of the code, one after the other: each must break an invariant of some life, and it is said which.
#![cfg(feature = "simulation")]

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dhcp_user::mutation::{self, Mutation};
use sim::life::{self, DAY};

/// So many lives are tried with each, of so many days.
const LIVES: u64 = 100;
const LIFE: u64 = 2;

struct Caught {
    mutation: Mutation,
    /// By which invariant, in which life, after how many steps.
    by: Option<(String, u64, usize)>,
    took: Duration,
}

fn catch(mutation: Mutation) -> Caught {
    let began = Instant::now();
    mutation::tell(Some(mutation));
    let lives = (1..=LIVES).find_map(|seed| Some((seed, life::one(seed, LIFE * DAY, false).err()?)));
    mutation::tell(None);
    let by = lives.map(|(seed, failure)| (failure.broken.invariant.to_string(), seed, failure.steps));
    Caught { mutation, by, took: began.elapsed() }
}

/// Those that are asked for by `XDHCPD_MUTATIONS`, which names one: else all.
fn asked() -> Vec<Mutation> {
    let contents = std::env::var("XDHCPD_MUTATIONS").ok();
    let is_asked =
        |mutation: &Mutation| contents.as_ref().is_none_or(|name| format!("{mutation:?}") == *name);
    Mutation::ALL.iter().copied().filter(is_asked).collect()
}

#[test]
fn every_wrong_version_is_caught() {
    let asked = asked();
    assert!(!asked.is_empty(), "XDHCPD_MUTATIONS names none of {:?}", Mutation::ALL);
    let next = AtomicUsize::new(0);
    let caught = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(mutation) = asked.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let one = catch(*mutation);
                    caught.lock().expect("nobody panics").push(one);
                }
            });
        }
    });
    let mut caught = caught.into_inner().expect("nobody panics");
    caught.sort_by_key(|caught| caught.mutation as usize);
    let mut table = String::from(
        "| What is wrong | Caught by | Life | After steps | Seconds |\n| --- | --- | --- | --- | --- |\n",
    );
    for Caught { mutation, by, took } in &caught {
        let (by, life, steps) = match by {
            Some((by, life, steps)) => (by.as_str(), life.to_string(), steps.to_string()),
            None => ("NOTHING", "-".to_owned(), "-".to_owned()),
        };
        let (what, took) = (mutation.what().trim(), took.as_secs_f64());
        let _ = writeln!(table, "| `{mutation:?}`: {what} | {by} | {life} | {steps} | {took:.1} |");
    }
    println!("{table}");
    let missed: Vec<Mutation> =
        caught.iter().filter(|caught| caught.by.is_none()).map(|caught| caught.mutation).collect();
    assert!(missed.is_empty(), "nothing catches {missed:?}");
}
