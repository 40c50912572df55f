//! After a restart: merges the store, the words and the promises made meanwhile.

use std::net::Ipv4Addr;

use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::{BootSecs, Word};

use super::operator::is_vacated;
use crate::policy::action::{Action, Publication};
use crate::policy::book::binding::{AnsweredBy, Binding, Particulars, Station};
use crate::policy::book::quarantine::Probation;
use crate::policy::book::record::{nobody, owner};
use crate::policy::book::state::{State, Stock};
use crate::policy::book::transitions::Restored;
use crate::policy::site::place::Place;
use crate::policy::terms::basis::basis_at;
use crate::policy::words::{Words, revoke_anyway};
use crate::policy::{Policy, Turn};
use crate::store::{Change, HwAddr, Record, Standing};

/// A lease that the kernel's maps have and the store may not: the contents of its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// Its address.
    pub address: Ipv4Addr,
    /// The link its client is reached on.
    pub link: Link,
    /// Its client's Ethernet address.
    pub chaddr: [u8; 6],
    /// The address of ours that the client talks to.
    pub server: Ipv4Addr,
    /// How far the kernel may promise.
    pub horizon: BootSecs,
    /// The lease time of its memos, in seconds.
    pub lease_time: u32,
}

impl Policy {
    /// Takes over `records` of the store and live leases of the kernel's maps. To be called before any event; records
    /// may come in parts, those that expire first coming first, and the leases of the maps after all of them.
    ///
    /// A live word is believed: the kernel may have promised more than the store knows. A lease that the store has
    /// and whose word is dead gets one until the end of all that may have been promised for it. A live word that
    /// the store does not know is kept, and committed.
    pub fn restore(
        &mut self,
        now: BootSecs,
        words: &dyn Words,
        records: Vec<Record>,
        adopted: &[Adopted],
        out: &mut Vec<Action>,
    ) {
        let turn = &mut Turn { now, words, out };
        for record in records {
            match self.book.find(record.address) {
                Some(place) => self.restore_one(turn, place, &record),
                None => self.unconfigured.add(turn, record),
            }
        }
        for lease in adopted {
            if let Some(place) = self.book.find(lease.address) {
                self.adopt(turn, place, lease);
            }
        }
    }

    /// Whether a promise for this address is kept in mind though it is of no pool and no reservation.
    #[must_use]
    pub fn is_unconfigured(&self, address: Ipv4Addr) -> bool {
        self.unconfigured.holds(address)
    }

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
                let mut owner = owner(&self.site, record);
                owner.expiry = revoke_anyway(turn.words, record.address).expiry();
                self.rebind(turn, place, owner, None, Restored::Grace);
            }
            // Freed at the operator's word; its last owner is to learn of it.
            Standing::Ended if record.expiry <= turn.now => {
                self.rebind(turn, place, owner(&self.site, record), None, Restored::Free);
            }
            Standing::Grace | Standing::Ended if wrong!(GraceOver) => self.book.free(place, Stock::Freed),
            Standing::Grace | Standing::Ended => {
                self.rebind(turn, place, owner(&self.site, record), None, Restored::Grace);
                self.wait_for_vacancy(turn.now, place);
            }
            Standing::Free if nobody(record.chaddr) => self.book.free(place, Stock::Freed),
            Standing::Free => {
                self.rebind(turn, place, owner(&self.site, record), None, Restored::Free);
            }
        }
        // A quarantine may have to end with a probe, and nobody carries out probes yet.
        if self.book.state(place) != State::Quarantined {
            self.settle(turn, place);
        }
        self.rearm(place);
    }

    /// If the operator has ended the lease, its address is asked for when probes are carried out.
    pub(in crate::policy) fn wait_for_vacancy(&mut self, now: BootSecs, place: Place) {
        if self.book.binding(place).is_some_and(is_vacated) {
            self.evidence.probes.vacating.ask_again(place, now);
        }
    }

    fn restore_lease(&mut self, turn: &mut Turn<'_>, place: Place, record: &Record, word: Word) {
        let mut owner = owner(&self.site, record);
        if self.is_reserved_for_another(place, &owner) {
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
            basis: basis_at(&self.site, &self.book, place, owner.link),
            memos: Vec::new(),
        });
        self.rebind(turn, place, owner, None, Restored::Leased);
        if is_beyond {
            turn.out.push(Action::Commit(Change::Put(self.book.record(&self.site, place))));
        }
        turn.out.extend(publication.map(Action::Publish));
    }

    /// A live word without a record.
    fn adopt(&mut self, turn: &mut Turn<'_>, place: Place, lease: &Adopted) {
        let word = turn.words.load(lease.address);
        if self.book.state(place) == State::Leased || !word.alive() {
            return;
        }
        let owner = Binding {
            particulars: Particulars::new(HwAddr::ethernet(lease.chaddr), None, None, None),
            adopted: true,
            shortened: false,
            station: Station::Unknown,
            ended_by: None,
            answered_by: AnsweredBy::Kernel,
            link: lease.link,
            giaddr: Ipv4Addr::UNSPECIFIED,
            server: lease.server,
            lease_time: lease.lease_time,
            expiry: word.expiry(),
            granted_until: word.expiry(),
            former_promise: BootSecs(0),
            committed_until: lease.horizon.max(word.expiry()),
            last_heard: BootSecs(word.expiry().0.saturating_sub(lease.lease_time)).min(turn.now),
            kernel_renewals: 0,
            counted_in: Box::default(),
        };
        if self.is_reserved_for_another(place, &owner) {
            self.withdraw_from(turn, place, owner, None);
        } else {
            self.rebind(turn, place, owner, None, Restored::Leased);
            turn.out.push(Action::Commit(Change::Put(self.book.record(&self.site, place))));
        }
        self.settle(turn, place);
        self.rearm(place);
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
}
