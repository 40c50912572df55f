//! Quarantine: addresses that a host without a promise uses are out of use, for a probation that grows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dhcp_ebpf::lease::BootSecs;

use crate::policy::site::place::Place;
use crate::policy::site::subnet::SubnetId;
use crate::store::{HwAddr, QuarantineCause, Standing};

/// Evidence beyond a source's credit keeps an address out of use for so many seconds.
pub(in crate::policy) const SHORT: u32 = 300;

/// One address in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::policy) struct Probation {
    pub(in crate::policy) since: BootSecs,
    pub(in crate::policy) until: BootSecs,
    pub(in crate::policy) why: QuarantineCause,
    pub(in crate::policy) by: Option<HwAddr>,
    /// Whether the evidence is weak, and nobody was promised the address: it may be given when no other address is
    /// left.
    pub(in crate::policy) doubtful: bool,
}

impl Probation {
    /// On good evidence.
    pub(in crate::policy) fn believed(
        since: BootSecs,
        until: BootSecs,
        why: QuarantineCause,
        by: Option<HwAddr>,
    ) -> Self {
        Self { since, until, why, by, doubtful: false }
    }

    /// As it was stored, where a usual one is `usual` long.
    pub(in crate::policy) fn restored(self, usual: u32) -> Self {
        let short = usual > SHORT && self.until <= self.since.plus(1).plus(SHORT);
        Self { doubtful: short, ..self }
    }

    /// The stored form.
    pub(in crate::policy) fn standing(&self) -> Standing {
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

    /// Nothing is known of the address.
    pub(super) fn forget(&mut self, subnet: SubnetId, place: Place) {
        self.remove(subnet, place);
        self.recurrences.remove(&place);
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
