//! Leases of another server taken over: what it promised is promised here, unless that would break a promise of ours.

use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;

use crate::policy::action::Action;
use crate::policy::book::addresses::{Place, State, Stock};
use crate::policy::book::binding::Binding;
use crate::policy::book::quarantine::Probation;
use crate::policy::book::record::nobody;
use crate::policy::event::Client;
use crate::policy::words::Words;
use crate::policy::{Policy, Turn};
use crate::store::{Change, Record, Standing};

/// Why a lease of another server can't be taken over. What is here stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The address is of no pool and no reservation.
    #[error("no pool and no reservation here has this address")]
    NotServed,
    /// A lease without anybody who could renew it.
    #[error("it has neither a hardware address nor a client identifier")]
    Nobody,
    /// The address is another client's.
    #[error("it is leased to {0} here")]
    Leased(Client),
    /// The address was taken from another client, which may use it still.
    #[error("it is still promised to {0} here")]
    Promised(Client),
    /// Somebody was seen to use the address.
    #[error("it is in quarantine here")]
    Quarantined,
    /// The configuration keeps the address for another client.
    #[error("it is reserved for another client here")]
    Reserved,
    /// The client was given another address.
    #[error("its client has {0} leased here")]
    HasAnother(Ipv4Addr),
    /// It is only remembered there, and here so is another client, or there is an offer.
    #[error("it is only remembered there, and is another client's here")]
    Forgotten,
}

impl Policy {
    /// Takes over what another server knows of an address; `record` is in times of this boot.
    ///
    /// A lease is promised until the end of all that may have been promised for it there; one that its client has here
    /// already is moved ahead, never back. `out` is to be carried out in either case.
    ///
    /// # Errors
    /// [`ImportError`] if a promise, a quarantine or a reservation of ours is in the way.
    pub fn import(
        &mut self,
        now: BootSecs,
        words: &dyn Words,
        record: &Record,
        out: &mut Vec<Action>,
    ) -> Result<(), ImportError> {
        let turn = &mut Turn { now, words, out };
        let place = self.book.all.find(record.address).ok_or(ImportError::NotServed)?;
        self.settle(turn, place);
        let owner = self.owner_here(place, record);
        match record.standing {
            Standing::Leased => self.import_lease(turn, place, owner)?,
            Standing::Quarantined { since, until, why, .. } => {
                let by = (!nobody(record.chaddr)).then_some(record.chaddr);
                self.import_quarantine(turn, place, Probation::believed(since, until, why, by))?;
            }
            Standing::Grace | Standing::Ended => self.import_memory(turn, place, owner, State::Grace)?,
            // As reserved until it is put back where it belongs.
            Standing::Free => self.import_memory(turn, place, owner, State::Reserved)?,
        }
        let recurrences = self.book.quarantine.recurrences(place).max(record.recurrences);
        self.book.quarantine.set_recurrences(place, recurrences);
        turn.out.push(Action::Commit(Change::Put(self.record(place))));
        // By itself the kernel would promise less, or nothing.
        turn.out.extend(self.publication(turn.words, record.address).map(Action::Publish));
        self.settle(turn, place);
        self.rearm(place);
        self.watch_fullness(turn, place);
        self.hear_again(turn);
        Ok(())
    }

    /// The owner that `record` tells of, reached where clients of its subnet are if the interface isn't known by name.
    fn owner_here(&self, place: Place, record: &Record) -> Binding {
        let mut owner = self.owner(record);
        if let Some(link) =
            self.site.subnets.link(self.book.all.subnet(place)).filter(|_| owner.link.ifindex == 0)
        {
            owner.link = link;
        }
        let end = owner.expiry.max(owner.committed_until);
        Binding { expiry: end, granted_until: end, committed_until: end, ..owner }
    }

    fn import_lease(&mut self, turn: &mut Turn<'_>, place: Place, owner: Binding) -> Result<(), ImportError> {
        if let Some(obstacle) = self.obstacle(turn, place, &owner) {
            return Err(obstacle);
        }
        if self.book.all.state(place) == State::Leased {
            if let Some(here) = self.binding_mut(place) {
                here.expiry = here.expiry.max(owner.expiry);
                here.committed_until = here.committed_until.max(here.expiry);
            }
            return Ok(());
        }
        self.book.offers.remove(place);
        self.claim(place);
        self.rebind(turn, place, owner, State::Leased);
        Ok(())
    }

    /// What forbids that the address be promised to `owner`.
    fn obstacle(&self, turn: &Turn<'_>, place: Place, owner: &Binding) -> Option<ImportError> {
        if nobody(owner.chaddr()) && owner.client_id().is_none() {
            return Some(ImportError::Nobody);
        }
        let other = self.binding(place).filter(|here| !is_same_client(here, owner));
        match (self.book.all.state(place), other) {
            (State::Quarantined, _) => return Some(ImportError::Quarantined),
            (State::Leased, Some(other)) => return Some(ImportError::Leased(Client::from(other))),
            (State::Grace, Some(other)) if other.expiry > turn.now => {
                return Some(ImportError::Promised(Client::from(other)));
            }
            _ => {}
        }
        if self.is_reserved_for_another(place, owner) {
            return Some(ImportError::Reserved);
        }
        let found = self.book.index.owned(&self.book.all, self.book.all.subnet(place), owner.identity());
        let another = found.filter(|other| *other != place && self.book.all.state(*other) == State::Leased);
        another.map(|other| ImportError::HasAnother(self.book.all.address(other)))
    }

    fn import_quarantine(
        &mut self,
        turn: &Turn<'_>,
        place: Place,
        probation: Probation,
    ) -> Result<(), ImportError> {
        match (self.book.all.state(place), self.client(place)) {
            (State::Quarantined, _) => self.book.quarantine.postpone(place, probation.until),
            (State::Leased, Some(client)) => return Err(ImportError::Leased(client)),
            (State::Grace, Some(client)) if self.binding(place).is_some_and(|b| b.expiry > turn.now) => {
                return Err(ImportError::Promised(client));
            }
            _ => {
                self.book.offers.remove(place);
                self.claim(place);
                self.book.all.set(place, State::Quarantined);
                self.book.quarantine.add(self.book.all.subnet(place), place, probation);
                self.unbind(place);
            }
        }
        Ok(())
    }

    /// Whose address it was there. That promises nothing, and gives way to what is known here.
    fn import_memory(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        owner: Binding,
        state: State,
    ) -> Result<(), ImportError> {
        if nobody(owner.chaddr()) && owner.client_id().is_none() {
            return Ok(());
        }
        let known = self.binding(place).map(|here| is_same_client(here, &owner));
        match (self.book.all.state(place), known) {
            (_, Some(true)) => {}
            (_, Some(false)) | (State::Offered | State::Quarantined, _) => {
                return Err(ImportError::Forgotten);
            }
            _ => {
                self.claim(place);
                self.rebind(turn, place, owner, state);
                if state != State::Grace {
                    self.put_back(place, Stock::Freed);
                }
            }
        }
        Ok(())
    }
}

fn is_same_client(here: &Binding, there: &Binding) -> bool {
    here.chaddr() == there.chaddr() && (here.adopted || here.identity() == there.identity())
}
