//! Takes an address out of use on evidence, and gives it back.

use dhcp_ebpf::lease::BootSecs;

use super::Inquiry;
use crate::policy::action::Action;
use crate::policy::book::quarantine::{Probation, SHORT};
use crate::policy::event::{Client, Happened};
use crate::policy::evidence::probe::Proof;
use crate::policy::site::place::Place;
use crate::policy::turn::Turn;
use crate::policy::words::revoke_anyway;
use crate::store::{Change, HwAddr, QuarantineCause};

/// The probation doubles with each recurrence, this often at most.
const MAX_DOUBLINGS: u32 = 6;

impl Inquiry<'_> {
    /// Takes the address out of use at once, even if a client has it. The quarantine lasts at least as long as the
    /// last promise.
    pub(in crate::policy) fn quarantine(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        why: QuarantineCause,
        by: Option<HwAddr>,
    ) {
        let address = self.book.address(place);
        let promised = revoke_anyway(turn.words, address).expiry();
        let before = self.book.recurrences(place);
        let length = self.site.settings.quarantine.saturating_mul(1 << before.min(MAX_DOUBLINGS));
        let until = turn.after(length).max(promised);
        self.book.set_recurrences(place, before.saturating_add(1));
        self.put_out_of_use(turn, place, Probation::believed(turn.now, until, why, by));
    }

    /// Takes the address out of use for minutes, on evidence that came at `arrival` from a source over its credit.
    /// The last promise extends the quarantine only if the kernel has made it since then: a client that declines
    /// relies on no promise (RFC 2131 §4.4.4), and could otherwise block the address for a whole lease time.
    pub(in crate::policy) fn quarantine_in_doubt(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        (why, by): (QuarantineCause, Option<HwAddr>),
        arrival: BootSecs,
    ) {
        let last = revoke_anyway(turn.words, self.book.address(place));
        let is_promised = self.book.is_promised_since(place, last, arrival);
        let probation = turn.after(self.site.settings.quarantine.min(SHORT));
        // No shorter than a second more: by its length a restart knows it from one that nobody counts on.
        let until = if is_promised { probation.plus(1).max(last.expiry()) } else { probation };
        let probation = Probation { since: turn.now, until, why, by, doubtful: !is_promised };
        self.put_out_of_use(turn, place, probation);
    }

    /// Takes the address out of use for which this station answers, which isn't its holder.
    pub(in crate::policy) fn quarantine_answered(
        &mut self,
        turn: &mut Turn<'_>,
        place: Place,
        by: Option<[u8; 6]>,
        proof: Proof,
    ) {
        let by = by.map(HwAddr::ethernet);
        match proof {
            Proof::Good => self.quarantine(turn, place, QuarantineCause::Probe, by),
            Proof::Weak => self.quarantine_in_doubt(turn, place, (QuarantineCause::Probe, by), turn.now),
        }
    }

    fn put_out_of_use(&mut self, turn: &mut Turn<'_>, place: Place, probation: Probation) {
        let (address, why) = (self.book.address(place), probation.why);
        self.claim(place);
        let client = Client::owner_of(self.book, place);
        self.book.quarantine(place, probation);
        turn.out.push(Action::Commit(Change::Put(self.book.record(self.site, place))));
        turn.tell(address, Happened::Quarantined(why), client);
        self.rearm(place);
        turn.watch_fullness(self.site, self.book, place);
    }

    /// The address may be used again.
    pub(in crate::policy) fn end_quarantine(&mut self, turn: &mut Turn<'_>, place: Place) {
        let address = self.book.address(place);
        self.claim(place);
        self.book.end_quarantine(place);
        turn.out.push(Action::Commit(Change::Put(self.book.record(self.site, place))));
        turn.tell(address, Happened::QuarantineOver, None);
        turn.watch_fullness(self.site, self.book, place);
    }
}
