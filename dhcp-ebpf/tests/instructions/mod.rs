//! Counts instructions: what a speed test may assert, being the same on a busy machine and an idle one.

use std::env;
use std::process::Command;

/// Tells a test, run under callgrind, how often it is to do what is measured.
const COUNT: &str = "COUNTED";
/// How far a count may be from the one written down: other compilers and C libraries differ by as much.
const TOLERANCE: f64 = 0.10;

/// The count this process is to do what is measured, if it is run under callgrind.
pub(crate) fn counted() -> Option<u32> {
    env::var(COUNT).ok().and_then(|count| count.parse().ok())
}

/// Runs test `name` of this binary for two counts under callgrind, and holds against `expected` what one more of them
/// costs. The difference of two counts is free of what starting costs.
///
/// # Panics
/// When it is more, or so much less that the number written down is out of date; and without valgrind.
pub(crate) fn assert_cost(name: &str, expected: u64) {
    const FEW: u32 = 500;
    const MANY: u32 = 1500;
    let each = (instructions(name, MANY) - instructions(name, FEW)) / u64::from(MANY - FEW);
    println!("{name}: {each} instructions");
    #[expect(clippy::cast_precision_loss, reason = "a few thousands")]
    let share = each as f64 / expected as f64;
    assert!(
        (share - 1.0).abs() <= TOLERANCE,
        "{name} takes {each} instructions, {expected} are written down: find out why, or write down the new number"
    );
}

fn instructions(name: &str, count: u32) -> u64 {
    let this = env::current_exe().expect("this binary has a path");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(this);
    valgrind.args([name, "--exact", "--test-threads=1"]).env(COUNT, count.to_string());
    let output = valgrind.output().expect("valgrind is installed (`cargo xtask setup`)");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} failed under valgrind:\n{said}");
    let refs = said.lines().find_map(|line| line.split_once("refs:")).expect("callgrind's sum");
    refs.1.trim().replace(',', "").parse().expect("a number")
}
