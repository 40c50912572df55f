//! The questions and answers of a slot: written, replaced, voided, and led to.

use std::net::Ipv4Addr;

use dhcp_ebpf::abi::{Link, NetAddr, RunKey};
use dhcp_ebpf::publish;
use dhcp_ebpf::question::{self, Asker};
use dhcp_ebpf::slot::{Identity, MEMOS, Memo};

use super::super::body::Body;
use super::super::echo::Echoed;
use super::super::notes::Notes;
use super::{Overtaken, Published, Table};
use crate::policy::{self, Ground, Publication};

impl Table {
    /// Writes a dead slot and brings it to life, with `notes` to begin with.
    pub(super) fn grant(
        &mut self,
        lease: &Publication,
        identity: &Identity,
        mut notes: Notes,
    ) -> Result<Published, Overtaken> {
        self.clear(lease.address);
        let mut published = Published::default();
        let mut memos: Vec<Memo> = Vec::with_capacity(MEMOS);
        let mut asked = Vec::new();
        let mut last: Option<(&policy::Memo, Memo)> = None;
        for memo in lease.memos.iter().take(MEMOS) {
            match self.prepare(lease, memo, last) {
                Some(prepared) => {
                    if memo.ground == Ground::Expected {
                        notes = notes.expected(memos.len());
                    }
                    last = Some((memo, prepared));
                    if memo.question.ciaddr.is_unspecified() {
                        asked.push((memos.len(), prepared.hash));
                    }
                    memos.push(prepared);
                }
                None => published.without_room += 1,
            }
        }
        let (_, slot) = self.slot(lease.address).ok_or(Overtaken)?;
        slot.set_basis(lease.basis.0);
        let word = slot.word();
        let Ok(granted) = publish::grant(&slot, word, identity, lease.horizon, &memos, lease.expiry) else {
            memos.iter().for_each(|memo| self.answers.take_back(memo.place));
            return Err(Overtaken);
        };
        notes.accounted(granted).save(&slot);
        published.without_room += usize::from(!self.lead(lease));
        for (memo, hash) in asked {
            published.without_room += usize::from(!self.lead_question(lease.address, memo, hash));
        }
        Ok(published)
    }

    /// Adds to a live slot the questions that it doesn't know, or whose answers have changed.
    pub(super) fn remember(&mut self, lease: &Publication) -> Published {
        let mut published = Published { without_room: usize::from(!self.lead(lease)) };
        for memo in lease.memos.iter().take(MEMOS) {
            published.without_room += usize::from(!self.remember_one(lease, memo));
        }
        published
    }

    fn remember_one(&mut self, lease: &Publication, memo: &policy::Memo) -> bool {
        let (Some(hash), Some((body, echo))) = (self.hash(lease, memo), Body::shared(memo)) else {
            return true;
        };
        let Some((_, slot)) = self.slot(lease.address) else { return false };
        let known: Vec<Memo> = (0..MEMOS).map(|index| slot.memo(index)).collect();
        let notes = Notes::of(&slot);
        let is_asked = memo.ground == Ground::Asked;
        let at = match known.iter().position(|known| known.hash == hash) {
            Some(same)
                if known
                    .get(same)
                    .is_some_and(|known| known.echo == echo && self.answers.says(known.place, &body)) =>
            {
                if is_asked {
                    notes.asked(same).save(&slot);
                }
                return true;
            }
            Some(stale) => stale,
            None => match known.iter().position(|known| known.hash == 0) {
                Some(void) => void,
                None if is_asked => notes.least_wanted(),
                // There is room for what was asked only.
                None => return true,
            },
        };
        if known.get(at).is_some_and(|known| known.hash != 0) {
            self.forget(lease.address, at);
        }
        let Some(prepared) = self.prepare(lease, memo, None) else { return false };
        let Some((_, slot)) = self.slot(lease.address) else { return false };
        slot.set_memo(at, prepared);
        let notes = Notes::of(&slot).written(at);
        (if is_asked { notes.asked(at) } else { notes.expected(at) }).save(&slot);
        !memo.question.ciaddr.is_unspecified() || self.lead_question(lease.address, at, prepared.hash)
    }

    /// Hashes a question and finds or writes its answer, which may be the one that was given `last`. `None`: no room, or
    /// nothing that can be shared.
    fn prepare(
        &mut self,
        lease: &Publication,
        memo: &policy::Memo,
        last: Option<(&policy::Memo, Memo)>,
    ) -> Option<Memo> {
        let hash = self.hash(lease, memo)?;
        let is_told_alike = |other: &policy::Memo| {
            (&other.answer, other.to, other.question.giaddr) == (&memo.answer, memo.to, memo.question.giaddr)
        };
        if let Some((_, written)) = last.filter(|(other, _)| is_told_alike(other)) {
            let Echoed { echo, .. } = Echoed::of(&memo.question.options, &memo.answer);
            if echo.len() == written.echo.len() {
                return Some(Memo { hash, place: self.answers.give_again(written.place), echo });
            }
        }
        let (body, echo) = Body::shared(memo)?;
        Some(Memo { hash, place: self.answers.give(&body)?, echo })
    }

    fn hash(&self, lease: &Publication, memo: &policy::Memo) -> Option<u64> {
        let asker = Asker {
            link: lease.link,
            chaddr: lease.chaddr.into(),
            ciaddr: memo.question.ciaddr.into(),
            giaddr: memo.question.giaddr.into(),
            relay_src: memo.question.relay_src.into(),
        };
        question::hash_parts(&self.keys, &asker, &memo.question.options).map(|hash| hash.0)
    }

    /// Leads requests with ciaddr from the lease's link to its run. `false`: the map is full.
    fn lead(&mut self, lease: &Publication) -> bool {
        let key = RunKey::new(lease.link, NetAddr::from(lease.address));
        let Some(&first) = self.runs.get(&(u32::from(lease.address) >> 8)) else { return false };
        if self.led.contains(&key) {
            return true;
        }
        match self.hints.lead_run(key, first) {
            Ok(()) => self.led.insert(key),
            Err(error) => {
                tracing::warn!(%error, address = %lease.address, "renewals of this link can't be led to their slots");
                false
            }
        }
    }

    /// Nothing comes from this interface any more. Leases go on; where they are answered next they are led anew.
    pub fn forget_interface(&mut self, ifindex: u32) {
        self.led.retain(|key| Link::from_cell(key.link).ifindex != ifindex);
        self.hints.drop_interface(ifindex);
    }

    fn lead_question(&mut self, address: Ipv4Addr, memo: usize, hash: u64) -> bool {
        let Some((index, _)) = self.slot(address) else { return false };
        let led = self.hints.lead_question(hash, index);
        if let (Ok(()), Some((_, slot))) = (&led, self.slot(address)) {
            Notes::of(&slot).led(memo).save(&slot);
        }
        led.inspect_err(|error| tracing::debug!(%error, %address, "no room for a question")).is_ok()
    }

    /// Voids one memo of a live slot and gives its answer back.
    pub(super) fn forget(&mut self, address: Ipv4Addr, memo: usize) {
        let Some((_, slot)) = self.slot(address) else { return };
        let gone = slot.memo(memo);
        self.change(address, |slot| Some(publish::forget(slot, [memo])));
        let Some((index, slot)) = self.slot(address) else { return };
        let notes = Notes::of(&slot);
        notes.not_led(memo).asked(memo).save(&slot);
        if notes.is_led(memo) {
            self.hints.drop_question(gone.hash, index);
        }
        if gone.hash != 0 {
            self.answers.take_back(gone.place);
        }
    }

    /// Empties a dead slot: its answers are freed, its hints removed.
    pub(super) fn clear(&mut self, address: Ipv4Addr) {
        let Some((own, slot)) = self.slot(address) else { return };
        if slot.word().alive() {
            return;
        }
        let notes = Notes::of(&slot);
        let memos: Vec<Memo> = (0..MEMOS).map(|index| slot.memo(index)).collect();
        for index in 0..MEMOS {
            slot.void_memo(index);
        }
        notes.emptied().save(&slot);
        for (index, memo) in memos.iter().enumerate().filter(|(_, memo)| memo.hash != 0) {
            self.answers.take_back(memo.place);
            if notes.is_led(index) {
                self.hints.drop_question(memo.hash, own);
            }
        }
    }
}
