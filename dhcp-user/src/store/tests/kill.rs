//! A process that commits is killed at any instant; what it acknowledged is there.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// Set for the process that commits: the state directory, and the number of the first commit.
const INTO: &str = "XDHCPD_TEST_COMMIT_INTO";
const FROM: &str = "XDHCPD_TEST_COMMIT_FROM";

const CYCLES: u32 = 40;

/// The changes of the commit `number`: the same whoever asks.
fn changes(number: u64) -> Vec<Change> {
    let chance = |i: u64| (number * 1_000 + i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    (0..chance(0) % 400)
        .map(|i| {
            let drawn = chance(i + 1);
            let record = leased(u32::try_from(drawn % 500).unwrap());
            match drawn % 7 {
                0 => Change::Delete(record.address),
                _ => Change::Put(Record { kernel_renewals: number, ..record }),
            }
        })
        .collect()
}

#[test]
fn a_killed_process_forgets_nothing_it_acknowledged() {
    if let Some(state) = env::var_os(INTO) {
        commit_until_killed(state.as_ref(), env::var(FROM).unwrap().parse().unwrap());
    }
    let state = tempfile::tempdir().unwrap();
    let mut contents = BTreeMap::new();
    let mut next = 0;
    for cycle in 0..CYCLES {
        let acknowledged = run_and_kill(&state, next, cycle);
        let mut expected = Vec::new();
        while next < acknowledged {
            apply(&mut contents, next);
            next += 1;
        }
        expected.push(contents.clone());
        apply(&mut contents, next);
        expected.push(contents.clone());

        let mut store = Embedded::open(state.path(), A, BootSecs(100)).unwrap();
        let records = store.load().unwrap().into_iter();
        let found: BTreeMap<_, _> = records.map(|record| (record.address, record)).collect();
        let Some(at) = expected.iter().position(|expected| *expected == found) else {
            panic!("cycle {cycle}: acknowledged {acknowledged} commits, found neither these nor one more");
        };
        next = acknowledged + at as u64;
        contents = found;
    }
    assert!(next > CYCLES.into(), "{next} commits");
}

fn apply(contents: &mut BTreeMap<Ipv4Addr, Record>, number: u64) {
    for change in changes(number) {
        match change {
            Change::Put(record) => contents.insert(record.address, record),
            Change::Delete(address) => contents.remove(&address),
        };
    }
}

/// Has another process commit from number `next` on, and kills it. Returns how many commits are acknowledged in all.
fn run_and_kill(state: &TempDir, next: u64, cycle: u32) -> u64 {
    let name = "store::tests::kill::a_killed_process_forgets_nothing_it_acknowledged";
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INTO, state.path())
        .env(FROM, next.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let number =
        |line: String| line.strip_prefix("committed ").map(|number| number.parse::<u64>().unwrap() + 1);
    let mut acknowledged = next;
    for commit in lines.by_ref().filter_map(number).take(1 + cycle as usize * 7 % 30) {
        acknowledged = commit;
    }
    // Some way into the commits that follow, which one and how far is anyone's guess.
    let instant = Instant::now() + Duration::from_micros(u64::from(cycle) * 37 % 700);
    while Instant::now() < instant {}
    child.kill().unwrap();
    child.wait().unwrap();
    lines.filter_map(number).last().unwrap_or(acknowledged)
}

fn commit_until_killed(state: &std::path::Path, first: u64) -> ! {
    let mut store = Embedded::open(state, A, BootSecs(100)).unwrap();
    let mut stdout = std::io::stdout();
    for number in first.. {
        store.commit(BootSecs(100), &changes(number)).unwrap();
        stdout.write_all(format!("committed {number}\n").as_bytes()).unwrap();
        stdout.flush().unwrap();
    }
    unreachable!("there are enough numbers")
}
