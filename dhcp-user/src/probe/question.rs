//! How often one address is asked for, and the meaning of a missing answer.

use std::io;
use std::time::Duration;

use crate::policy::Outcome;

/// So often nobody must have answered, where an answer would have been heard.
const ENOUGH: u8 = 2;
/// How often an address is asked for at most.
const MOST: u8 = 8;
/// How long each question waits for an answer. RFC 5227 has hosts wait for seconds in all; a client that waits for its
/// OFFER repeats its DISCOVER after four (RFC 2131 §4.1).
pub(super) const WAIT: Duration = Duration::from_millis(250);

/// The result of asking once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The question has left.
    Sent,
    /// There was no room for it.
    NoRoom,
    /// There is no way to the address.
    Unreachable,
}

impl From<io::Result<()>> for Asked {
    fn from(sent: io::Result<()>) -> Self {
        match sent.as_ref().map_err(io::Error::raw_os_error) {
            Ok(()) => Self::Sent,
            Err(Some(libc::ENOBUFS | libc::EAGAIN | libc::ENOMEM | libc::EINTR)) => Self::NoRoom,
            Err(_) => Self::Unreachable,
        }
    }
}

/// The questions for one address.
#[derive(Debug, Default)]
pub(super) struct Question {
    /// How often it was put, or tried to.
    times: u8,
    /// How often nobody answered though an answer would have been heard.
    silent: u8,
    /// How often there was no way.
    unreachable: u8,
    /// Whether any has left.
    sent: bool,
    /// The last one, and how many gaps there were in what was heard before.
    last: Option<(Asked, u64)>,
}

impl Question {
    /// Whether somebody may answer it.
    pub(super) fn is_asked(&self) -> bool {
        self.sent
    }

    /// It was put once more, after so many `gaps` in what was heard.
    pub(super) fn asked(&mut self, asked: Asked, gaps: u64) {
        self.times += 1;
        self.sent |= asked == Asked::Sent;
        self.last = Some((asked, gaps));
    }

    /// Nobody has answered the last question; up to now there were so many `gaps` in what was heard. The result for
    /// the whole probe, unless it asks again.
    pub(super) fn unanswered(&mut self, gaps: u64) -> Option<Outcome> {
        match self.last.take() {
            Some((Asked::Sent, before)) if before == gaps => self.silent += 1,
            Some((Asked::Unreachable, _)) => self.unreachable += 1,
            Some((Asked::Sent | Asked::NoRoom, _)) | None => {}
        }
        if self.silent == ENOUGH {
            Some(Outcome::Silent)
        } else if self.unreachable == ENOUGH && self.times == ENOUGH {
            Some(Outcome::Unreachable)
        } else {
            (self.times == MOST).then_some(Outcome::Unknown)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks until there is an outcome: `course` has the result of each question, and whether a gap follows it.
    fn asked(course: impl IntoIterator<Item = (Asked, bool)>) -> (Option<Outcome>, u8) {
        let (mut question, mut gaps) = (Question::default(), 7);
        for (asked, gap) in course {
            if let Some(outcome) = question.unanswered(gaps) {
                return (Some(outcome), question.times);
            }
            question.asked(asked, gaps);
            gaps += u64::from(gap);
        }
        (question.unanswered(gaps), question.times)
    }

    #[test]
    fn two_questions_that_nobody_answers_are_silence() {
        assert_eq!(asked([(Asked::Sent, false); 8]), (Some(Outcome::Silent), 2));
    }

    #[test]
    fn a_question_whose_answer_may_have_been_lost_is_put_again() {
        let lossy = [(Asked::Sent, true), (Asked::NoRoom, false), (Asked::Sent, false), (Asked::Sent, true)];
        assert_eq!(asked(lossy), (None, 4));
        let then = lossy.into_iter().chain([(Asked::Sent, false)]);
        assert_eq!(asked(then), (Some(Outcome::Silent), 5));
    }

    #[test]
    fn what_is_never_heard_through_is_neither_silent_nor_unreachable() {
        assert_eq!(asked([(Asked::Sent, true); 20]), (Some(Outcome::Unknown), 8));
        assert_eq!(asked([(Asked::NoRoom, false); 20]), (Some(Outcome::Unknown), 8));
        let flapping = [(Asked::Sent, false), (Asked::Unreachable, false)];
        let flapping = flapping.into_iter().chain([(Asked::Unreachable, false); 20]);
        assert_eq!(asked(flapping), (Some(Outcome::Unknown), 8));
    }

    #[test]
    fn no_way_to_the_address_is_found_out_at_once() {
        assert_eq!(asked([(Asked::Unreachable, false); 20]), (Some(Outcome::Unreachable), 2));
    }

    #[test]
    fn a_full_queue_is_not_a_missing_way() {
        let from = |code| Asked::from(Err(io::Error::from_raw_os_error(code)));
        assert_eq!(from(libc::ENOBUFS), Asked::NoRoom);
        assert_eq!([from(libc::ENETDOWN), from(libc::ENETUNREACH)], [Asked::Unreachable; 2]);
    }
}
