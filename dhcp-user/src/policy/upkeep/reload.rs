//! A changed configuration: leases go on where their address is still theirs, and are revoked before it is anybody
//! else's where not.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;

use crate::config::Config;
use crate::policy::action::Action;
use crate::policy::book::binding::Binding;
use crate::policy::book::record::{by_operator, record_of};
use crate::policy::book::state::State;
use crate::policy::book::transitions::{Page, Restored};
use crate::policy::event::{Client, Happened};
use crate::policy::site::place::Place;
use crate::policy::site::reservations::is_for_another;
use crate::policy::site::subnet::Interface;
use crate::policy::words::{Words, revoke_anyway};
use crate::policy::{Policy, Turn};
use crate::store::{Change, Standing};

/// What a reload did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Leases that go on. What was published of them is to be forgotten where it has another basis ([`Policy::basis`]).
    pub kept: u64,
    /// Leases whose address is not theirs any more.
    pub withdrawn: u64,
}

impl Policy {
    /// Makes the policy that is to come after this one ([`go_over_to`](Self::go_over_to)), wherever there is time for it.
    pub fn successor(&self) -> impl FnOnce(&Config, Vec<Interface>) -> Self + Send + use<> {
        let (key, probes) = (self.book.key(), self.evidence.probes.is_carried_out());
        move |config, interfaces| {
            let mut next = Self::keyed(config, interfaces, key);
            if probes {
                next.carry_out_probes();
            }
            next
        }
    }

    /// Goes on with `next`, which its [`successor`](Self::successor) made. Every address of it must have a word already, and
    /// those of the former one still. Gives the former one, too: to free it may take its time.
    ///
    /// A lease whose address is of no pool and no reservation any more, or is reserved for another client now, is
    /// revoked at once; what was promised is kept in mind until it has run out. Offers lapse: their clients ask anew.
    pub fn go_over_to(
        &mut self,
        next: Self,
        now: BootSecs,
        words: &dyn Words,
        out: &mut Vec<Action>,
    ) -> (Reloaded, Self) {
        let turn = &mut Turn { now, words, out };
        let mut old = std::mem::replace(self, next);
        self.set_host(old.site.subnets.set_host(BTreeSet::new()));
        self.evidence.witnesses = std::mem::take(&mut old.evidence.witnesses);
        self.evidence.declines = std::mem::take(&mut old.evidence.declines);
        std::mem::swap(&mut self.predictions, &mut old.predictions);
        let mut done = Reloaded::default();
        for place in old.book.in_order_of_use() {
            let known = old.book.tear_out(place);
            if known.is_blank() {
                continue;
            }
            match self.book.find(known.address) {
                Some(place) => self.take_over(turn, place, known, &mut done),
                None => self.withdraw(turn, known, &mut done),
            }
        }
        for record in std::mem::take(&mut old.unconfigured).into_records() {
            match self.book.find(record.address) {
                Some(place) => self.restore_one(turn, place, &record),
                None => self.unconfigured.add(turn, record),
            }
        }
        (done, old)
    }

    fn take_over(&mut self, turn: &mut Turn<'_>, place: Place, known: Page, done: &mut Reloaded) {
        self.book.set_recurrences(place, known.recurrences);
        match (known.state, known.binding) {
            (State::Quarantined, _) => {
                if let Some(probation) = known.probation {
                    self.book.quarantine(place, probation);
                }
            }
            (State::Leased, Some(binding)) if self.is_reserved_for_another(place, &binding) => {
                done.withdrawn += 1;
                self.withdraw_from(turn, place, *binding, known.station);
            }
            (State::Leased, Some(binding)) => {
                done.kept += 1;
                self.rebind(turn, place, *binding, known.station, Restored::Leased);
            }
            (State::Grace, Some(binding)) => {
                self.rebind(turn, place, *binding, known.station, Restored::Grace);
                self.wait_for_vacancy(turn, place);
            }
            (_, Some(binding)) => {
                self.rebind(turn, place, *binding, known.station, Restored::Free);
            }
            (_, None) => {}
        }
        self.rearm(place);
    }

    /// The address is its owner's no more, being reserved for another; nobody gets it before the promise ends.
    pub(in crate::policy) fn withdraw_from(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        owner: Binding,
        station: Option<[u8; 6]>,
    ) {
        let (address, client) = (self.book.address(place), Client::from(&owner));
        self.rebind(turn, place, ended(turn, address, owner), station, Restored::Grace);
        turn.out.push(Action::Commit(Change::Put(self.book.record(&self.site, place))));
        turn.tell(address, Happened::Withdrawn, Some(client));
    }

    /// The address is not ours to give any more.
    fn withdraw(&mut self, turn: &mut Turn<'_>, known: Page, done: &mut Reloaded) {
        let (standing, owner) = match (known.state, known.binding, known.probation) {
            (State::Leased, Some(binding), _) => {
                done.withdrawn += 1;
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
        let record = record_of(&self.site, known.address, standing, known.recurrences, owner.as_ref());
        turn.out.push(Action::Commit(Change::Put(record.clone())));
        self.unconfigured.add(turn, record);
    }

    pub(in crate::policy) fn is_reserved_for_another(&self, place: Place, binding: &Binding) -> bool {
        let reservation = self.site.subnets.reservation_at(self.book.subnet(place), place);
        reservation.is_some_and(|reservation| is_for_another(reservation, binding.owner()))
    }
}

/// The lease is over for the kernel; what it has promised is what remains.
fn ended(turn: &Turn<'_>, address: Ipv4Addr, mut binding: Binding) -> Binding {
    let promised = revoke_anyway(turn.words, address).expiry();
    binding.end(turn.now, promised);
    binding
}
