//! Extracts failures and their reasons from the output of test runners, to repeat them at the end.

use std::fmt;

/// The tests that failed, each with its reason.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    lines: Vec<String>,
    reading: Reading,
}

/// The part of a runner's output that the next line belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reading {
    #[default]
    Elsewhere,
    /// The output of a failed test.
    Output,
    /// Its error or panic.
    Reason,
}

impl Failures {
    /// Reads the next line of a test runner's output.
    pub(crate) fn read(&mut self, line: &str) {
        let line = line.trim_end();
        let names_one = line.starts_with("---- ") && line.ends_with(" stdout ----");
        self.reading = match self.reading {
            _ if names_one => Reading::Output,
            _ if line == "failures:" || line.starts_with("test result: ") => Reading::Elsewhere,
            Reading::Output if begins_reason(line) => Reading::Reason,
            Reading::Reason if line.eq_ignore_ascii_case("stack backtrace:") => Reading::Output,
            reading => reading,
        };
        if names_one || (self.reading == Reading::Reason && !line.is_empty()) {
            self.lines.push(line.to_owned());
        }
    }
}

/// Whether a test says here why it failed.
fn begins_reason(line: &str) -> bool {
    line.starts_with("Error: ") || (line.starts_with("thread '") && line.contains(" panicked at "))
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failed_test_is_named_with_its_reason() {
        let mut failures = Failures::default();
        let printed = "\
running 3 tests
test one ... FAILED
test two ... ok
test three ... FAILED

failures:

---- one stdout ----
a log
what a process said
Error: nobody answered

Caused by:
    it timed out

Stack backtrace:
   0: somewhere

---- three stdout ----

thread 'three' (27) panicked at src/three.rs:4:5:
assertion `left == right` failed
  left: 2
 right: 3

failures:
    one
    three

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

Error: said by another run
";
        printed.lines().for_each(|line| failures.read(line));
        let expected = "\
---- one stdout ----
Error: nobody answered
Caused by:
    it timed out
---- three stdout ----
thread 'three' (27) panicked at src/three.rs:4:5:
assertion `left == right` failed
  left: 2
 right: 3
";
        assert_eq!(failures.to_string(), expected);
    }

    #[test]
    fn nothing_is_said_of_a_run_without_failures() {
        let mut failures = Failures::default();
        for line in
            ["running 1 test", "test one ... ok", "Error: printed by a test", "test result: ok. 1 passed"]
        {
            failures.read(line);
        }
        assert_eq!(failures.to_string(), "");
    }
}
