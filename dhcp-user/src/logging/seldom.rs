//! What goes wrong each second for as long as something lasts: said once a minute for each reason, with the number of times
//! that were left out.

use std::fmt;
use std::time::{Duration, Instant};

/// The pause after a line.
const PAUSE: Duration = Duration::from_secs(60);
/// How many reasons are remembered.
const REASONS: usize = 16;

/// The reasons said lately.
#[derive(Debug, Default)]
pub struct Seldom(Vec<Said>);

#[derive(Debug)]
struct Said {
    why: String,
    at: Instant,
    left_out: u64,
}

/// How often something was left out since it was last said; it ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut(pub u64);

impl Seldom {
    /// Whether to say so now. If not it is counted.
    pub fn is_due(&mut self, why: &str) -> Option<LeftOut> {
        self.is_due_at(why, Instant::now())
    }

    fn is_due_at(&mut self, why: &str, now: Instant) -> Option<LeftOut> {
        if let Some(said) = self.0.iter_mut().find(|said| said.why == why) {
            if now.saturating_duration_since(said.at) < PAUSE {
                said.left_out = said.left_out.saturating_add(1);
                return None;
            }
            said.at = now;
            return Some(LeftOut(std::mem::take(&mut said.left_out)));
        }
        if self.0.len() >= REASONS {
            self.0.remove(0);
        }
        self.0.push(Said { why: why.to_owned(), at: now, left_out: 0 });
        Some(LeftOut(0))
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            times => write!(f, " ({times} times more since this was last said)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_said_once_a_minute_and_the_rest_is_counted() {
        let (mut seldom, begin) = (Seldom::default(), Instant::now());
        let mut at = |why: &str, second| seldom.is_due_at(why, begin + Duration::from_secs(second));
        let said: Vec<_> = (0..180).filter_map(|second| at("no files", second)).collect();
        assert_eq!(said, [LeftOut(0), LeftOut(59), LeftOut(59)]);
        assert_eq!(at("another", 180), Some(LeftOut(0)));
        assert_eq!(LeftOut(59).to_string(), " (59 times more since this was last said)");
        assert_eq!(LeftOut(0).to_string(), "");
        for reason in 0..100 {
            at(&reason.to_string(), 200);
        }
        assert_eq!(seldom.0.len(), REASONS);
    }
}
