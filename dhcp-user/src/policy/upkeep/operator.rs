//! The operator's orders: end a lease, end a quarantine.

use std::net::Ipv4Addr;

use crate::config::Pool;
use crate::policy::Policy;
use crate::policy::action::Reuse;
use crate::policy::book::binding::Party;
use crate::policy::book::quarantine::Probation;
use crate::policy::book::state::State;
use crate::policy::event::{Client, Happened};
use crate::policy::site::place::Place;
use crate::policy::turn::Turn;
use crate::policy::words::revoke_anyway;
use crate::store::QuarantineCause;

impl Policy {
    /// Ends the lease of `address`, if there is one. A client that asks to go on with it gets a NAK; it may ask anew.
    ///
    /// It may not know, and use the address still. So that is not reused before a probe finds nobody there, or the last
    /// promise has run out; unless the operator says so.
    pub(in crate::policy) fn operator_release(
        &mut self,
        turn: &mut Turn<'_>,
        address: Ipv4Addr,
        reuse: Reuse,
    ) {
        let Some(place) = self.book.find(address) else { return };
        self.tenure().settle(turn, place);
        match self.book.state(place) {
            State::Leased => {}
            // Its lease has ended, and somebody may count on it still: the operator says that nobody does.
            State::Grace if reuse == Reuse::AtOnce => {}
            _ => return,
        }
        let promised = revoke_anyway(turn.words, address).expiry();
        self.book.withdraw_offer(place);
        match reuse {
            Reuse::WhenClean => {
                self.tenure().end_in_grace(turn, place, promised, Some(Party::Operator));
                self.inquiry().probe_vacated(turn, place);
            }
            Reuse::AtOnce => {
                self.inquiry().free_vacated(turn, place);
            }
        }
        turn.tell(address, Happened::ReleasedByOperator, Client::owner_of(&self.book, place));
        turn.watch_fullness(&self.site, &mut self.book, place);
    }

    /// Ends the quarantine of each address of `range` that is in one, for this reason if one is given.
    pub(in crate::policy) fn operator_clear(
        &mut self,
        turn: &mut Turn<'_>,
        range: Pool,
        why: Option<QuarantineCause>,
    ) {
        let places: Vec<Place> = self.quarantined_in(range, why).collect();
        for place in places {
            self.inquiry().end_quarantine(turn, place);
            self.inquiry().rearm(place);
        }
    }

    /// How many addresses of `range` are in quarantine, for this reason if one is given.
    #[must_use]
    pub fn count_quarantined(&self, range: Pool, why: Option<QuarantineCause>) -> usize {
        self.quarantined_in(range, why).count()
    }

    fn quarantined_in(&self, range: Pool, why: Option<QuarantineCause>) -> impl Iterator<Item = Place> {
        let fits = move |probation: &Probation| why.is_none_or(|why| why == probation.why);
        self.book
            .quarantined()
            .filter(move |(place, probation)| range.contains(self.book.address(*place)) && fits(probation))
            .map(|(place, _)| place)
    }

    /// How long a client of `address` has to come back after its lease, in seconds.
    #[must_use]
    pub fn grace_of(&self, address: Ipv4Addr) -> u32 {
        let subnet = self.book.find(address).map(|place| self.book.subnet(place));
        subnet.map_or(0, |subnet| self.site.subnets.get(subnet).grace)
    }

    /// Whether an address whose lease the operator ends is probed.
    #[must_use]
    pub fn probes_when_vacated(&self, address: Ipv4Addr) -> bool {
        self.book
            .find(address)
            .is_some_and(|place| self.evidence.probing(&self.site, self.book.subnet(place)))
    }
}
