//! Orphans: leases that a device, or the devices on a circuit, have forgotten. They are probed and ended when a
//! device or circuit asks for more than it may hold.

use std::sync::Arc;

use dhcp_ebpf::lease::BootSecs;

use super::Exchange;
use super::draw::AddressChoice;
use crate::message::Request;
use crate::policy::evidence::probe::Purpose;
use crate::policy::site::place::Place;
use crate::policy::site::subnet_id::SubnetId;
use crate::policy::turn::Turn;

impl Exchange<'_> {
    /// Has the longest-silent lease of `leased` in `subnet` probed: if nobody answers, the client can have it instead.
    /// Exhausted if each was found alive lately, or probing is off.
    pub(super) fn reclaim(
        &mut self,
        turn: &mut Turn<'_>,
        request: &Arc<Request>,
        subnet: SubnetId,
        mut leased: Vec<Place>,
    ) -> AddressChoice {
        if !self.evidence.probing(self.site, subnet) {
            return AddressChoice::Exhausted;
        }
        self.evidence.probes.forget_alive(turn.now);
        leased.retain(|place| !self.book.is_for_good(*place));
        let running = leased.iter().find(|place| self.evidence.probes.is_running(**place)).copied();
        if let Some(place) = running {
            if let Some(waiting) = self.inquiry().waits(request, &[subnet]) {
                return waiting.into();
            }
            let waits = !self.evidence.probes.claimed(place) && self.inquiry().wait_for(request, place);
            return if waits { AddressChoice::Wait } else { AddressChoice::Probing };
        }
        let silent = leased.into_iter().filter(|place| !self.evidence.probes.is_alive(*place));
        let longest = silent.min_by_key(|place| self.heard(turn, *place));
        let Some(place) = longest else { return AddressChoice::Exhausted };
        let judged = turn.words.load(self.book.address(place));
        let started = self.inquiry().start_probe(turn, place, Purpose::Reclaim { judged }, Some(request));
        if started { AddressChoice::Wait } else { AddressChoice::Probing }
    }

    /// When the owner of the address was last heard, by the daemon or by the kernel.
    fn heard(&self, turn: &Turn<'_>, place: Place) -> BootSecs {
        let word = turn.words.load(self.book.address(place));
        self.book.binding(place).map_or(BootSecs(0), |binding| binding.heard(word, turn.now))
    }
}
