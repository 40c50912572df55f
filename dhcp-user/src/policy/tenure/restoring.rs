//! Takes over the state that an address had before: in the store, with another server, or under another configuration.

use dhcp_ebpf::lease::{BootSecs, Word};

use super::Tenure;
use crate::policy::action::{Action, Publication};
use crate::policy::book::binding::Binding;
use crate::policy::book::quarantine::Probation;
use crate::policy::book::record::{nobody, owner};
use crate::policy::book::state::{State, Stock};
use crate::policy::book::transitions::Restored;
use crate::policy::evidence::ending::is_vacated;
use crate::policy::site::place::Place;
use crate::policy::terms::basis::basis_at;
use crate::policy::terms::reserved::is_reserved_for_another;
use crate::policy::words::revoke_anyway;
use crate::store::{Change, Record, Standing};

use crate::policy::turn::Turn;

impl Tenure<'_> {
    pub(in crate::policy) fn restore_one(&mut self, turn: &mut Turn<'_>, place: Place, record: &Record) {
        self.book.set_recurrences(place, record.recurrences);
        let word = turn.words.load(record.address);
        match &record.standing {
            Standing::Leased => self.restore_lease(turn, place, record, word),
            Standing::Quarantined { since, until, why, .. } => {
                let promised =
                    if word.alive() { revoke_anyway(turn.words, record.address).expiry() } else { *until };
                let by = (!nobody(record.chaddr)).then_some(record.chaddr);
                let probation = Probation::believed(*since, promised.max(*until), *why, by);
                let probation = probation.restored(self.site.settings.quarantine);
                if wrong!(QuarantineOver) {
                    return self.book.free(place, Stock::Freed);
                }
                self.book.quarantine(place, probation);
            }
            Standing::Grace | Standing::Ended | Standing::Free if word.alive() => {
                // Its end was committed, but not to the word: what was promised there holds as long as it says.
                let mut owner = owner(self.site, record);
                owner.expiry = revoke_anyway(turn.words, record.address).expiry();
                self.rebind(turn, place, owner, None, Restored::Grace);
            }
            // Freed at the operator's word; its last owner is to learn of it.
            Standing::Ended if record.expiry <= turn.now => {
                self.rebind(turn, place, owner(self.site, record), None, Restored::Free);
            }
            Standing::Grace | Standing::Ended if wrong!(GraceOver) => self.book.free(place, Stock::Freed),
            Standing::Grace | Standing::Ended => {
                self.rebind(turn, place, owner(self.site, record), None, Restored::Grace);
                self.wait_for_vacancy(turn.now, place);
            }
            Standing::Free if nobody(record.chaddr) => self.book.free(place, Stock::Freed),
            Standing::Free => {
                self.rebind(turn, place, owner(self.site, record), None, Restored::Free);
            }
        }
        // A quarantine may have to end with a probe, and nobody carries out probes yet.
        if self.book.state(place) != State::Quarantined {
            self.settle(turn, place);
        }
        self.inquiry().rearm(place);
    }

    fn restore_lease(&mut self, turn: &mut Turn<'_>, place: Place, record: &Record, word: Word) {
        let mut owner = owner(self.site, record);
        if is_reserved_for_another(self.site, self.book, place, &owner) {
            if !word.alive() {
                // All that the kernel may have promised until the maps were lost.
                owner.expiry = owner.expiry.max(owner.committed_until);
            }
            return self.withdraw_from(turn, place, owner, None);
        }
        if word.alive() {
            owner.expiry = owner.expiry.max(word.expiry());
            owner.committed_until = owner.committed_until.max(owner.expiry);
            self.rebind(turn, place, owner, None, Restored::Leased);
            return;
        }
        // All that the kernel may have promised until the maps were lost.
        // A word never goes back: where the store is older than the maps, it may say more than was committed.
        let committed = owner.committed_until;
        if !wrong!(PromiseForgotten) {
            owner.expiry = owner.expiry.max(committed).max(word.expiry());
        }
        owner.committed_until = owner.expiry;
        let is_beyond = owner.committed_until > committed;
        let publication = (owner.expiry > turn.now && !owner.is_for_good()).then(|| Publication {
            address: record.address,
            link: owner.link,
            chaddr: owner.chaddr().mac().unwrap_or_default(),
            server: owner.server,
            generation: word.generation(),
            expiry: owner.expiry,
            horizon: owner.committed_until,
            basis: basis_at(self.site, self.book, place, owner.link),
            memos: Vec::new(),
        });
        self.rebind(turn, place, owner, None, Restored::Leased);
        if is_beyond {
            turn.out.push(Action::Commit(Change::Put(self.book.record(self.site, place))));
        }
        turn.out.extend(publication.map(Action::Publish));
    }

    /// Gives the address an owner and a state, in the place of its former ones.
    pub(in crate::policy) fn rebind(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        owner: Binding,
        station: Option<[u8; 6]>,
        restored: Restored,
    ) {
        self.book.forget(place);
        // Two records of one client in one subnet: it has moved. It is found where it has a lease, else at the later
        // one, and what it was promised at the other is kept until it ends.
        let former = self.book.owned(self.book.subnet(place), owner.identity());
        let stays =
            |former: &Place| self.book.state(*former) == State::Leased && restored != Restored::Leased;
        if let Some(former) = former.filter(|former| !stays(former)) {
            self.vacate(turn, former);
        }
        self.book.restore(place, Box::new(owner), station, restored);
    }

    /// If the operator has ended the lease, its address is asked for when probes are carried out.
    pub(in crate::policy) fn wait_for_vacancy(&mut self, now: BootSecs, place: Place) {
        if self.book.binding(place).is_some_and(is_vacated) {
            self.evidence.probes.vacating.ask_again(place, now);
        }
    }
}
