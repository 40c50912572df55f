//! Options of a question that its answer echoes: found in both, so that the kernel can copy them.

use dhcp_ebpf::slot::{Echo, Run};

use crate::message::options::{Piece, pieces};
use crate::policy::Answer;

/// The options at the end of an answer that stand in the question likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echoed {
    /// Where they begin in the answer's option area.
    pub at: usize,
    /// Where they are in the question's.
    pub echo: Echo,
}

impl Echoed {
    /// As many of the options that come back, the last ones, as the kernel can copy: they stand in the question whole, in no
    /// more than two runs, each neither too short nor too long. The others are part of the answer.
    #[must_use]
    pub fn of(question: &[u8], answer: &Answer) -> Self {
        let end = answer.options.len().saturating_sub(1);
        let echoes = answer.options.get(answer.echoes_at..end).unwrap_or_default();
        let wanted: Vec<&[u8]> = options(echoes).map(|(_, whole)| whole).collect();
        let mut at = answer.echoes_at;
        for first in 0..wanted.len() {
            let rest = wanted.get(first..).unwrap_or_default();
            if let Some(echo) = runs(question, rest).and_then(Echo::of) {
                return Self { at, echo };
            }
            at += rest.first().map_or(0, |whole| whole.len());
        }
        Self { at: end, echo: Echo::NONE }
    }
}

/// The runs of `question` that these options fill, one behind the other. `None`: one isn't there, or there are more runs.
fn runs(question: &[u8], wanted: &[&[u8]]) -> Option<[Run; 2]> {
    let mut runs: Vec<Run> = Vec::with_capacity(2);
    for option in wanted {
        let (at, _) = options(question).find(|(_, whole)| whole == option)?;
        match runs.last_mut() {
            Some(run) if run.at + run.len == at => run.len += option.len(),
            _ => runs.push(Run { at, len: option.len() }),
        }
    }
    match *runs {
        [one] => Some([one, Run::default()]),
        [first, second] => Some([first, second]),
        _ => None,
    }
}

/// The options of an area, each with its code and length, and where it begins.
fn options(area: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut next = 0;
    pieces(area).filter_map(move |piece| {
        let at = next;
        match piece {
            Piece::Pad => {
                next += 1;
                None
            }
            Piece::Option(_, whole) => {
                next += whole.len();
                Some((at, whole))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ID: &[u8] = &[61, 7, 1, 2, 3, 4, 5, 6, 7];
    const AGENT: &[u8] = &[82, 8, 1, 6, 9, 8, 7, 6, 5, 4];
    const SUBNET: &[u8] = &[118, 4, 10, 0, 0, 0];

    fn echoed(question: &[&[u8]], echoes: &[&[u8]]) -> Echoed {
        let options = [&[53, 1, 5], &echoes.concat()[..], &[255]].concat();
        let answer = Answer {
            lease_time: 60,
            siaddr: Ipv4Addr::UNSPECIFIED,
            sname: None,
            file: None,
            options,
            echoes_at: 3,
            complete: true,
        };
        Echoed::of(&question.concat(), &answer)
    }

    fn found(at: usize, runs: [(usize, usize); 2]) -> Echoed {
        Echoed { at, echo: Echo::of(runs.map(|(at, len)| Run { at, len })).expect("runs that fit") }
    }

    #[test]
    fn options_that_come_back_are_found_wherever_they_stand() {
        let kind: &[u8] = &[53, 1, 3];
        assert_eq!(echoed(&[kind, ID, &[255]], &[ID]), found(3, [(3, 9), (0, 0)]));
        assert_eq!(echoed(&[kind, ID, AGENT, &[255]], &[ID, AGENT]), found(3, [(3, 19), (0, 0)]));
        assert_eq!(echoed(&[ID, kind, &[0, 0], AGENT, &[255]], &[ID, AGENT]), found(3, [(0, 9), (14, 10)]));
        assert_eq!(echoed(&[AGENT, ID, kind, &[255]], &[ID, AGENT]), found(3, [(10, 9), (0, 10)]));
    }

    #[test]
    fn what_can_not_be_copied_stays_in_the_answer() {
        let kind: &[u8] = &[53, 1, 3];
        let long = [&[61, 70][..], &[7; 70]].concat();
        assert_eq!(echoed(&[kind, SUBNET, &[255]], &[SUBNET]), found(9, [(0, 0), (0, 0)]), "too short");
        assert_eq!(echoed(&[kind, SUBNET, kind, ID, &[255]], &[SUBNET, ID]), found(9, [(12, 9), (0, 0)]));
        assert_eq!(echoed(&[kind, &long, AGENT, &[255]], &[&long, AGENT]), found(75, [(75, 10), (0, 0)]));
        assert_eq!(
            echoed(&[kind, ID, &[255]], &[ID, AGENT]),
            found(22, [(0, 0), (0, 0)]),
            "not in the question"
        );
        let [first, second] = [[61, 3, 1, 2, 3], [61, 4, 4, 5, 6]];
        let split: [&[u8]; 4] = [kind, &first, &second[..5], &[7, 255]];
        assert_eq!(echoed(&split, &[ID]), found(12, [(0, 0), (0, 0)]), "joined (RFC 3396)");
        assert_eq!(echoed(&[kind, &[255]], &[]), found(3, [(0, 0), (0, 0)]));
    }
}
