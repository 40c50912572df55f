//! Refused messages, to distinguish a repeated one from ever new ones.

const SECOND: u64 = 1_000_000_000;
/// How many may be remembered in the place of one.
const WAYS: usize = 4;

/// A message that was refused, and when it was last let through or seen first, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    message: u64,
    at: u64,
}

/// The messages that were refused lately, in a fixed amount of memory: the latest take the place of the earliest.
#[derive(Clone, Debug)]
pub(super) struct Repeats(Box<[[Seen; WAYS]]>);

impl Repeats {
    /// Room for `count` messages, rounded up.
    pub(super) fn new(count: usize) -> Self {
        Self(vec![[Seen::default(); WAYS]; count.div_ceil(WAYS).max(1)].into_boxed_slice())
    }

    /// Whether this message was seen a second ago or earlier, and was not let through since. It is remembered.
    /// `message` is a hash that nobody outside can foresee.
    pub(super) fn is_due(&mut self, message: u64, now: u64) -> bool {
        let count = self.0.len() as u64;
        let Some(set) = self.0.get_mut(usize::try_from(message % count).unwrap_or_default()) else {
            return false;
        };
        if let Some(seen) = set.iter_mut().find(|seen| seen.message == message && seen.at > 0) {
            let due = now.saturating_sub(seen.at) >= SECOND;
            if due {
                seen.at = now;
            }
            return due;
        }
        if let Some(earliest) = set.iter_mut().min_by_key(|seen| seen.at) {
            *earliest = Seen { message, at: now };
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_repeated_is_due_once_a_second() {
        let mut repeats = Repeats::new(64);
        let now = 7 * SECOND;
        let due = (0..50).filter(|tenth| repeats.is_due(1, now + tenth * SECOND / 10)).count();
        assert_eq!(due, 4, "not at first, then after each second");
        assert!(!repeats.is_due(2, now + 9 * SECOND));
    }

    #[test]
    fn ever_new_messages_are_never_due() {
        let mut repeats = Repeats::new(64);
        assert!((1..10_000).all(|message| !repeats.is_due(message, 7 * SECOND + message * SECOND)));
    }
}
