//! Addresses seen in use by somebody they were not promised to: out of use for a probation that grows.

use std::collections::{BTreeMap, HashMap};

use dhcp_ebpf::lease::BootSecs;

use super::action::Action;
use super::addresses::{Place, State, Stock};
use super::event::Happened;
use super::subnet::SubnetId;
use super::words::revoke_anyway;
use super::{Policy, Turn};
use crate::store::{Change, HwAddr, QuarantineCause, Standing};

/// The probation doubles with each recurrence, this often at most.
const MAX_DOUBLINGS: u32 = 6;

/// One address in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Probation {
    pub(super) since: BootSecs,
    pub(super) until: BootSecs,
    pub(super) why: QuarantineCause,
    pub(super) by: Option<HwAddr>,
}

impl Probation {
    /// What is stored of it.
    pub(super) fn standing(&self) -> Standing {
        Standing::Quarantined {
            since: self.since,
            until: self.until,
            why: self.why,
            by: self.by.map(|chaddr| chaddr.to_string()).unwrap_or_default(),
        }
    }
}

/// All of them, and how often each address was in before.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    places: BTreeMap<Place, Probation>,
    recurrences: BTreeMap<Place, u32>,
    declined: HashMap<(SubnetId, HwAddr), u32>,
}

impl Quarantine {
    pub(super) fn at(&self, place: Place) -> Option<&Probation> {
        self.places.get(&place)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, &Probation)> {
        self.places.iter().map(|(place, probation)| (*place, probation))
    }

    /// How often the address was quarantined, the present time included.
    pub(super) fn recurrences(&self, place: Place) -> u32 {
        self.recurrences.get(&place).copied().unwrap_or(0)
    }

    pub(super) fn set_recurrences(&mut self, place: Place, count: u32) {
        if count > 0 {
            self.recurrences.insert(place, count);
        }
    }

    /// How many addresses of `subnet` are in quarantine because this device declined them.
    pub(super) fn declined_by(&self, subnet: SubnetId, chaddr: HwAddr) -> u32 {
        self.declined.get(&(subnet, chaddr)).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, subnet: SubnetId, place: Place, probation: Probation) {
        if let (QuarantineCause::Declined, Some(chaddr)) = (probation.why, probation.by) {
            *self.declined.entry((subnet, chaddr)).or_insert(0) += 1;
        }
        self.places.insert(place, probation);
    }

    /// The probation lasts at least until then.
    pub(super) fn postpone(&mut self, place: Place, until: BootSecs) {
        if let Some(probation) = self.places.get_mut(&place) {
            probation.until = probation.until.max(until);
        }
    }

    pub(super) fn remove(&mut self, subnet: SubnetId, place: Place) {
        let Some(probation) = self.places.remove(&place) else { return };
        if let (QuarantineCause::Declined, Some(chaddr)) = (probation.why, probation.by)
            && let Some(count) = self.declined.get_mut(&(subnet, chaddr))
        {
            *count -= 1;
            if *count == 0 {
                self.declined.remove(&(subnet, chaddr));
            }
        }
    }
}

impl Policy {
    /// Takes the address out of use at once, whoever has it. The last promise made for it is kept in mind.
    pub(super) fn quarantine(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        why: QuarantineCause,
        by: Option<HwAddr>,
    ) {
        let address = self.all.address(place);
        let subnet = self.all.subnet(place);
        let promised = revoke_anyway(turn.words, address).expiry();
        let before = self.quarantine.recurrences(place);
        let length = self.settings.quarantine.saturating_mul(1 << before.min(MAX_DOUBLINGS));
        let until = turn.after(length).max(promised);
        self.offers.remove(place);
        self.claim(place);
        let client = self.client(place);
        self.all.set(place, State::Quarantined);
        self.quarantine.add(subnet, place, Probation { since: turn.now, until, why, by });
        self.quarantine.set_recurrences(place, before.saturating_add(1));
        self.unbind(place);
        turn.out.push(Action::Commit(Change::Put(self.record(place))));
        turn.tell(address, Happened::Quarantined(why), client);
        self.rearm(place);
        self.watch_fullness(turn, place);
    }

    /// The address may be used again.
    pub(super) fn end_quarantine(&mut self, turn: &mut Turn<'_>, place: Place) {
        let address = self.all.address(place);
        self.claim(place);
        self.quarantine.remove(self.all.subnet(place), place);
        self.put_back(place, Stock::Freed);
        turn.out.push(Action::Commit(Change::Put(self.record(place))));
        turn.tell(address, Happened::QuarantineOver, None);
        self.watch_fullness(turn, place);
    }
}
