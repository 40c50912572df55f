//! The audit: whether policy agrees with itself, with the words and with the store, address by address.

use std::net::Ipv4Addr;

use crate::policy::Policy;
use crate::policy::book::binding::Binding;
use crate::policy::book::state::State;
use crate::policy::evidence::deadline::due;
use crate::policy::site::place::Place;
use crate::policy::words::Words;
use crate::store::{Record, Standing};

/// Something that does not add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The address concerned; 0.0.0.0 if it is a count.
    pub address: Ipv4Addr,
    /// The fault.
    pub what: String,
}

impl Policy {
    /// The faults inside policy, and between policy and the words.
    #[must_use]
    pub fn audit(&self, words: &dyn Words) -> Vec<Finding> {
        let mut findings = self.audit_counts();
        findings.extend(self.book.places().flat_map(|place| self.audit_one(words, place)));
        findings
    }

    /// The counts that do not add up. Takes a walk over all addresses, but a quick one.
    #[must_use]
    pub fn audit_counts(&self) -> Vec<Finding> {
        let (counted, total) = self.book.recount();
        let listed = self.book.listed();
        let find = |what: String| Finding { address: Ipv4Addr::UNSPECIFIED, what };
        let pools = self.book.pools().iter().zip(counted).zip(listed);
        let wrong = pools.filter(|((pool, counted), listed)| {
            pool.tally != *counted
                || pool.tally.size() != pool.range.size()
                || (counted.of(State::Free), counted.of(State::Grace)) != *listed
        });
        let mut findings: Vec<Finding> = wrong
            .map(|((pool, _), _)| find(format!("the counts of pool {} do not add up", pool.range)))
            .collect();
        if total != self.book.total() {
            findings.push(find("the counts of all addresses do not add up".to_owned()));
        }
        let uneven = self.book.classes_that_do_not_add_up();
        findings.extend(uneven.map(|name| find(format!("the count of class \"{name}\" does not add up"))));
        findings
    }

    /// The faults of one address, if it is of a pool or a reservation.
    #[must_use]
    pub fn audit_address(&self, words: &dyn Words, address: Ipv4Addr) -> Vec<Finding> {
        self.book.find(address).map_or_else(Vec::new, |place| self.audit_one(words, place))
    }

    /// How `stored` differs from the record that the store should hold of an address, if that is of a pool or a
    /// reservation.
    #[must_use]
    pub fn audit_record(&self, address: Ipv4Addr, stored: Option<&Record>) -> Option<&'static str> {
        let due = self.book.record(&self.site, self.book.find(address)?);
        let nothing = Standing::Free;
        let standing = stored.map_or(&nothing, |stored| &stored.standing);
        match (&due.standing, standing) {
            (Standing::Leased, Standing::Leased) => stored.and_then(|stored| promise_differs(&due, stored)),
            (Standing::Leased, _) => Some("leased, but the store does not say so"),
            (_, Standing::Leased) => Some("not leased, but the store says so"),
            (Standing::Quarantined { .. }, Standing::Quarantined { .. }) => None,
            (Standing::Quarantined { .. }, _) => Some("in quarantine, but the store does not say so"),
            (_, Standing::Quarantined { .. }) => Some("not in quarantine, but the store says so"),
            // That grace has ended is not worth a commit.
            (
                Standing::Free | Standing::Grace | Standing::Ended,
                Standing::Free | Standing::Grace | Standing::Ended,
            ) => None,
        }
    }

    fn audit_one(&self, words: &dyn Words, place: Place) -> Vec<Finding> {
        let address = self.book.address(place);
        let state = self.book.state(place);
        let word = words.load(address);
        let leased = state == State::Leased;
        let binding = self.book.binding(place);
        let owned =
            |binding: &Binding| self.book.owned(self.book.subnet(place), binding.identity()) == Some(place);
        let beyond = |binding: &Binding| word.alive() && word.expiry() > binding.committed_until;
        let checks = [
            (word.alive() && !leased, "its word is alive, but it is not leased"),
            (leased && binding.is_none(), "leased, but to nobody"),
            (
                word.alive() && binding.is_some_and(Binding::is_for_good),
                "leased for good, and its word is alive",
            ),
            (leased && binding.is_some_and(beyond), "promised beyond what is committed"),
            (
                leased && !binding.is_some_and(owned) && !self.doubts.is_in_doubt(place),
                "leased, but its owner is found elsewhere, or nowhere",
            ),
            (
                state == State::Free && !self.evidence.probes.agree(place, self.book.stock(place)),
                "free, but probed otherwise than its place among the free says",
            ),
            (
                due(&self.site, &self.book, &self.evidence, place)
                    .is_some_and(|due| self.book.armed(place).is_none_or(|at| at > due)),
                "nothing looks at it when its moment comes",
            ),
            (!self.book.circuit_agrees(place), "it counts on another circuit than its owner is on"),
            (!self.book.classes_agree(place), "it counts in other classes than its owner got it in"),
            (state == State::Offered && self.book.offer_at(place).is_none(), "offered, but to nobody"),
            (
                (state == State::Quarantined) != self.book.probation(place).is_some(),
                "its quarantine and its state disagree",
            ),
        ];
        let wrong = checks.into_iter().filter(|(wrong, _)| *wrong);
        wrong.map(|(_, what)| Finding { address, what: what.to_owned() }).collect()
    }
}

/// In what the store differs about a lease that it knows.
fn promise_differs(due: &Record, stored: &Record) -> Option<&'static str> {
    if (stored.chaddr, &stored.client_id) != (due.chaddr, &due.client_id) {
        Some("the store has it for another client")
    } else if stored.classes != due.classes {
        Some("the store has it in the count of other classes")
    } else if stored.committed_until < due.committed_until {
        Some("the store foresees less than is taken for committed")
    } else {
        None
    }
}
