//! Leases that a changed configuration ends: a lease is revoked before another client gets its address, and its
//! promise is kept until it expires.

use crate::policy::Policy;
use crate::policy::action::Action;
use crate::policy::book::record::{by_operator, record_of};
use crate::policy::book::state::State;
use crate::policy::book::transitions::Page;
use crate::policy::event::{Client, Happened};
use crate::policy::tenure::ending::ended;
use crate::policy::turn::Turn;
use crate::store::{Change, Standing};

impl Policy {
    /// The address is no longer ours to give. `former` has the interfaces' names of when it was.
    pub(in crate::policy) fn withdraw(&mut self, turn: &mut Turn<'_>, former: &Self, known: Page) {
        let (standing, owner) = match (known.state, known.binding, known.probation) {
            (State::Leased, Some(binding), _) => {
                self.doubts.note_withdrawn();
                turn.tell(known.address, Happened::Withdrawn, Some(Client::from(binding.as_ref())));
                (Standing::Leased, Some(ended(turn, known.address, *binding)))
            }
            // The operator, or a move, may have ended it before its promise.
            (State::Grace, Some(binding), _) if by_operator(&binding) => (Standing::Ended, Some(*binding)),
            (State::Grace, Some(binding), _) => (Standing::Grace, Some(*binding)),
            (State::Quarantined, _, Some(probation)) => (probation.standing(), None),
            (_, Some(binding), _) => (Standing::Free, Some(*binding)),
            (_, None, _) => return,
        };
        let record = record_of(&former.site, known.address, standing, known.recurrences, owner.as_ref());
        turn.out.push(Action::Commit(Change::Put(record.clone())));
        self.unconfigured.add(turn, record);
    }
}
