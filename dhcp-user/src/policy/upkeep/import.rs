//! Imports leases of another server: its promises hold here, unless that would break a promise of ours.

use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;

use crate::policy::Policy;
use crate::policy::action::Action;
use crate::policy::book::binding::Binding;
use crate::policy::book::quarantine::Probation;
use crate::policy::book::record::{nobody, owner};
use crate::policy::book::state::State;
use crate::policy::book::transitions::Restored;
use crate::policy::event::Client;
use crate::policy::site::place::Place;
use crate::policy::terms::reserved::is_reserved_for_another;
use crate::policy::turn::Turn;
use crate::policy::words::Words;
use crate::store::{Change, Record, Standing};

/// Why a lease of another server can't be imported. Our state then stays as it is.
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
        let place = self.book.find(record.address).ok_or(ImportError::NotServed)?;
        self.tenure().settle(turn, place);
        let mut owner = self.owner_here(place, record);
        if record.standing == Standing::Leased {
            // The word of an address never goes back, whoever had it before: what it will say is committed with this.
            let end = owner.expiry.max(turn.words.load(record.address).expiry());
            (owner.expiry, owner.granted_until, owner.committed_until) = (end, end, end);
        }
        match record.standing {
            Standing::Leased => self.import_lease(turn, place, owner)?,
            Standing::Quarantined { since, until, why, .. } => {
                let by = (!nobody(record.chaddr)).then_some(record.chaddr);
                self.import_quarantine(turn, place, Probation::believed(since, until, why, by))?;
            }
            Standing::Grace | Standing::Ended => self.import_memory(turn, place, owner, Restored::Grace)?,
            Standing::Free => self.import_memory(turn, place, owner, Restored::Free)?,
        }
        let recurrences = self.book.recurrences(place).max(record.recurrences);
        self.book.set_recurrences(place, recurrences);
        turn.out.push(Action::Commit(Change::Put(self.book.record(&self.site, place))));
        // By itself the kernel would promise less, or nothing.
        turn.out.extend(self.publication(turn.words, record.address).map(Action::Publish));
        self.tenure().settle(turn, place);
        self.inquiry().rearm(place);
        turn.watch_fullness(&self.site, &mut self.book, place);
        self.exchange().hear_again(turn);
        Ok(())
    }

    /// The owner in `record`, on the link of its subnet's clients if the interface isn't known by name.
    fn owner_here(&self, place: Place, record: &Record) -> Binding {
        let mut owner = owner(&self.site, record);
        if let Some(link) =
            self.site.subnets.link(self.book.subnet(place)).filter(|_| owner.link.ifindex == 0)
        {
            owner.link = link;
        }
        let end = owner.expiry.max(owner.committed_until);
        let end =
            if wrong!(ImportShort) { BootSecs(end.0.saturating_sub(record.lease_time / 2)) } else { end };
        Binding { expiry: end, granted_until: end, committed_until: end, ..owner }
    }

    fn import_lease(&mut self, turn: &mut Turn<'_>, place: Place, owner: Binding) -> Result<(), ImportError> {
        if let Some(obstacle) = self.obstacle(turn, place, &owner) {
            return Err(obstacle);
        }
        if self.book.state(place) == State::Leased {
            self.book.prolong(place, owner.expiry);
            let expiry = self.book.binding(place).map_or(owner.expiry, |here| here.expiry);
            self.book.foresee(place, expiry);
            return Ok(());
        }
        self.book.withdraw_offer(place);
        self.inquiry().claim(place);
        self.tenure().rebind(turn, place, owner, None, Restored::Leased);
        Ok(())
    }

    /// The obstacle to a promise of the address to `owner`.
    fn obstacle(&self, turn: &Turn<'_>, place: Place, owner: &Binding) -> Option<ImportError> {
        if nobody(owner.chaddr()) && owner.client_id().is_none() {
            return Some(ImportError::Nobody);
        }
        let other = self.book.binding(place).filter(|here| !is_same_client(here, owner));
        match (self.book.state(place), other) {
            (State::Quarantined, _) => return Some(ImportError::Quarantined),
            (State::Leased, Some(_)) if wrong!(ImportOver) => return None,
            (State::Leased, Some(other)) => return Some(ImportError::Leased(Client::from(other))),
            (State::Grace, Some(other)) if other.expiry > turn.now => {
                return Some(ImportError::Promised(Client::from(other)));
            }
            _ => {}
        }
        if is_reserved_for_another(&self.site, &self.book, place, owner) {
            return Some(ImportError::Reserved);
        }
        let found = self.book.owned(self.book.subnet(place), owner.identity());
        let another = found.filter(|other| *other != place && self.book.state(*other) == State::Leased);
        another.map(|other| ImportError::HasAnother(self.book.address(other)))
    }

    fn import_quarantine(
        &mut self,
        turn: &Turn<'_>,
        place: Place,
        probation: Probation,
    ) -> Result<(), ImportError> {
        match (self.book.state(place), Client::owner_of(&self.book, place)) {
            (State::Quarantined, _) => self.book.postpone(place, probation.until),
            (State::Leased, Some(client)) => return Err(ImportError::Leased(client)),
            (State::Grace, Some(client)) if self.book.binding(place).is_some_and(|b| b.expiry > turn.now) => {
                return Err(ImportError::Promised(client));
            }
            _ => {
                self.inquiry().claim(place);
                self.book.quarantine(place, probation);
            }
        }
        Ok(())
    }

    /// The former owner there. That promises nothing, and gives way to our own state.
    fn import_memory(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        owner: Binding,
        restored: Restored,
    ) -> Result<(), ImportError> {
        if nobody(owner.chaddr()) && owner.client_id().is_none() {
            return Ok(());
        }
        let known = self.book.binding(place).map(|here| is_same_client(here, &owner));
        match (self.book.state(place), known) {
            (_, Some(true)) => {}
            (_, Some(false)) | (State::Offered | State::Quarantined, _) => {
                return Err(ImportError::Forgotten);
            }
            _ => {
                self.inquiry().claim(place);
                self.tenure().rebind(turn, place, owner, None, restored);
            }
        }
        Ok(())
    }
}

fn is_same_client(here: &Binding, there: &Binding) -> bool {
    here.chaddr() == there.chaddr() && (here.adopted || here.identity() == there.identity())
}
