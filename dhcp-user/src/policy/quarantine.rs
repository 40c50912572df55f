//! Addresses seen in use by somebody they were not promised to: out of use for a probation that grows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dhcp_ebpf::lease::{BootSecs, Word};

use super::action::Action;
use super::addresses::{Place, State, Stock};
use super::event::Happened;
use super::subnet::SubnetId;
use super::words::revoke_anyway;
use super::{Policy, Turn};
use crate::store::{Change, HwAddr, QuarantineCause, Standing};

/// The probation doubles with each recurrence, this often at most.
const MAX_DOUBLINGS: u32 = 6;
/// What is said by somebody who says too much keeps an address out of use for so many seconds.
const SHORT: u32 = 300;

/// One address in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Probation {
    pub(super) since: BootSecs,
    pub(super) until: BootSecs,
    pub(super) why: QuarantineCause,
    pub(super) by: Option<HwAddr>,
    /// Whether the evidence is weak, and nobody was promised the address: it may be given to who is in need of one.
    pub(super) doubtful: bool,
}

impl Probation {
    /// On good evidence.
    pub(super) fn believed(
        since: BootSecs,
        until: BootSecs,
        why: QuarantineCause,
        by: Option<HwAddr>,
    ) -> Self {
        Self { since, until, why, by, doubtful: false }
    }

    /// As it was stored, where a usual one is `usual` long.
    pub(super) fn restored(self, usual: u32) -> Self {
        let short = usual > SHORT && self.until <= self.since.plus(1).plus(SHORT);
        Self { doubtful: self.why == QuarantineCause::Declined && short, ..self }
    }

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
    /// Those on weak evidence, by the moment they came.
    doubtful: BTreeSet<(SubnetId, BootSecs, Place)>,
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

    /// The present time was no time: there was no evidence.
    pub(super) fn strike(&mut self, place: Place) {
        if let Some(count) = self.recurrences.get_mut(&place) {
            *count = count.saturating_sub(1);
        }
    }

    /// The addresses of `subnet` that are in on weak evidence, longest ago first.
    pub(super) fn doubtful(&self, subnet: SubnetId) -> impl Iterator<Item = Place> {
        let from = (subnet, BootSecs(0), Place::FIRST);
        self.doubtful.range(from..).take_while(move |(of, ..)| *of == subnet).map(|(.., place)| *place)
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
        if probation.doubtful {
            self.doubtful.insert((subnet, probation.since, place));
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
        self.doubtful.remove(&(subnet, probation.since, place));
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
        let promised = revoke_anyway(turn.words, address).expiry();
        let before = self.quarantine.recurrences(place);
        let length = self.settings.quarantine.saturating_mul(1 << before.min(MAX_DOUBLINGS));
        let until = turn.after(length).max(promised);
        self.quarantine.set_recurrences(place, before.saturating_add(1));
        self.put_out_of_use(turn, place, Probation::believed(turn.now, until, why, by));
    }

    /// Takes the address, which was declined at `arrival`, out of use for minutes: it was said by somebody who says too
    /// much. Its last promise is kept in mind only if the kernel has made it since then: a client that declines counts
    /// on nothing (RFC 2131 §4.4.4), and could keep the address for as long as a lease otherwise.
    pub(super) fn quarantine_in_doubt(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        by: HwAddr,
        arrival: BootSecs,
    ) {
        let last = revoke_anyway(turn.words, self.all.address(place));
        let is_promised = self.is_promised_since(place, last, arrival);
        let probation = turn.after(self.settings.quarantine.min(SHORT));
        // No shorter than a second more: by its length a restart knows it from one that nobody counts on.
        let until = if is_promised { probation.plus(1).max(last.expiry()) } else { probation };
        let why = QuarantineCause::Declined;
        let probation = Probation { since: turn.now, until, why, by: Some(by), doubtful: !is_promised };
        self.put_out_of_use(turn, place, probation);
    }

    /// Whether the kernel has promised the leased address, whose word was `last`, after the message came that is dealt
    /// with.
    pub(super) fn is_promised_since(&self, place: Place, last: Word, arrival: BootSecs) -> bool {
        self.all.state(place) == State::Leased
            && self.binding(place).is_some_and(|binding| {
                last.expiry() > binding.granted_until && binding.promised_after(last, arrival)
            })
    }

    /// Somebody answers for an address that is in quarantine already.
    pub(super) fn quarantine_anew(&mut self, turn: &mut Turn<'_>, place: Place, by: Option<[u8; 6]>) {
        self.quarantine.remove(self.all.subnet(place), place);
        self.quarantine(turn, place, QuarantineCause::Probe, by.map(HwAddr::ethernet));
    }

    fn put_out_of_use(&mut self, turn: &mut Turn<'_>, place: Place, probation: Probation) {
        let (address, why) = (self.all.address(place), probation.why);
        self.offers.remove(place);
        self.claim(place);
        let client = self.client(place);
        self.all.set(place, State::Quarantined);
        self.quarantine.add(self.all.subnet(place), place, probation);
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
