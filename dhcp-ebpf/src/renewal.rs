//! A frame's journey through the driver: located, read, recognised, judged, answered, and only then promised.

use crate::abi::{HEARTBEAT_PATIENCE, Mac, NetAddr, RUN, RunKey};
use crate::frame::Frame;
use crate::lease::{BootSecs, Now, Word};
use crate::question::{self, Asker, Keys};
use crate::reply::{self, Asked, Echoes, Envelope, Kind};
use crate::request::{self, Located, Request};
use crate::slot::{AnswerHead, Cells, Destination, Echo, MEMOS, Place, Slot, answer_head};
use crate::verdict::{Dropped, Message, Passed, Renewal, Verdict, Why};
use crate::wire::bootp;

/// The maps as the packet logic sees them.
pub trait Maps {
    /// Memory of slots and chunks.
    type Cells: Cells;

    /// Our address on this interface.
    fn interface(&self, ifindex: u32) -> Option<Mac>;
    /// Whether frames sent to this address are for us.
    fn is_ours(&self, address: NetAddr) -> bool;
    /// The keys of the question hash.
    fn keys(&self) -> Option<&Keys>;
    /// The first slot of a run.
    fn run(&self, key: RunKey) -> Option<u32>;
    /// The slot that a question without ciaddr may belong to.
    fn asked(&self, hash: question::Hash) -> Option<u32>;
    /// A slot.
    fn slot(&self, index: u32) -> Option<Slot<Self::Cells>>;
    /// A chunk of an answer.
    fn chunk(&self, index: u32) -> Option<Self::Cells>;
    /// The boot time in nanoseconds at which the daemon was last seen alive.
    fn heartbeat(&self) -> u64;
    /// Whether what begins something new is not to be tried to send up: its ring was found full just now.
    fn sheds(&self) -> bool;
}

/// Decides what becomes of a frame that arrived at `now`, and writes the answer over it when it has one. What goes up is
/// looked at by [`triage`] first.
#[inline(always)]
pub fn handle<F: Frame, M: Maps>(frame: &mut F, maps: &M, ifindex: u32, now: Now) -> Verdict {
    let located = match request::locate(frame, ifindex) {
        Ok(located) => located,
        Err(why) => return Verdict::Pass(why),
    };
    let Some(ours) = maps.interface(ifindex) else { return Verdict::Pass(Passed::NotForUs) };
    if located.eth_dst != ours && located.eth_dst != Mac::BROADCAST {
        return Verdict::Pass(Passed::NotForUs);
    }
    match answer(frame, maps, &located, ours, now) {
        Ok(verdict) => verdict,
        Err(why) => Verdict::Up(why),
    }
}

/// Answers a question that the daemon has answered before.
///
/// # Errors
/// Why not. The frame is as it was then.
#[inline(always)]
fn answer<F: Frame, M: Maps>(
    frame: &mut F,
    maps: &M,
    located: &Located,
    ours: Mac,
    now: Now,
) -> Result<Verdict, Why> {
    let request = request::read(frame, located)?;
    let direct = request.giaddr.is_unspecified();
    if direct && !located.ip_dst.is_broadcast() && request.ip_src != request.ciaddr {
        return Err(Why::ForeignSource);
    }
    let asker = Asker {
        link: located.link,
        chaddr: request.chaddr,
        ciaddr: request.ciaddr,
        giaddr: request.giaddr,
        relay_src: if direct { NetAddr::UNSPECIFIED } else { request.ip_src },
    };
    let keys = maps.keys().ok_or(Why::NoSlot)?;
    let has_address = !request.ciaddr.is_unspecified();
    // Without ciaddr it is any slot, for now. An `Option` would be a flag beside memory that was not written, and the verifier of
    // Linux 6.1 does not see that the one says whether the other may be read.
    let of_address = if has_address {
        let slot = slot_of(maps, located, request.ciaddr).ok_or(Why::NoSlot)?;
        slot.fetch_ahead();
        slot
    } else if request::begins_as_discover(frame, &request) {
        // Nobody was ever answered by this: not looking spares a flood's victim two reads of memory that nobody else needs.
        return discover(maps, located);
    } else {
        maps.slot(0).ok_or(Why::NoSlot)?
    };
    let (hash, options_sum) = question::hash(keys, &asker, frame, request.options_at, request.options_len)
        .ok_or(Why::OptionsSize)?;
    let slot = if has_address {
        of_address
    } else {
        maps.slot(maps.asked(hash).ok_or(Why::Request)?).ok_or(Why::NoSlot)?
    };
    let judged = slot.word();
    if !judged.alive() {
        return Err(Why::NotAlive);
    }
    if !judged.holds(now.second) {
        return Err(Why::Expired);
    }
    let server = identify(&slot, located, &request)?;
    let (place, echo) = recall(&slot, hash).ok_or(Why::UnknownQuestion)?;
    let first = maps.chunk(place.0).ok_or(Why::UnknownQuestion)?;
    let head = answer_head(first);
    if head.giaddr != request.giaddr {
        return Err(Why::OtherIdentity);
    }
    if matches!(head.to, Destination::Unicast) && located.ip_dst.is_broadcast() {
        return Err(Why::UnknownQuestion);
    }
    let promise = now.promised_from.plus(head.lease_time);
    if promise > slot.horizon() {
        return Err(Why::Horizon);
    }
    if request::is_sum_right(frame, located.l3, options_sum) != Some(true) {
        return Err(Why::BadChecksum);
    }
    let echoes = Echoes::take(frame, request.options_at, echo, hash).ok_or(Why::NoRoom)?;
    let len = reply::frame_len(located.l3, &head);
    reply::make_room(frame, located.l3, len).ok_or(Why::NoRoom)?;
    let asked = Asked {
        eth_src: located.eth_src,
        ciaddr: request.ciaddr,
        giaddr: request.giaddr,
        chaddr: request.chaddr,
        flags: request.flags,
    };
    let (yiaddr, _) = slot.addresses();
    let envelope = Envelope::address(Kind::Ack, &asked, ours, server, yiaddr);
    let written = write(frame, maps, located.l3, &envelope, (&head, place, first), &echoes);
    Ok(promised(frame, &slot, judged, promise, written.map(|()| len), request.state(located.ip_dst)))
}

/// A DISCOVER goes up, unless it would find its ring full. Nine of ten end here when ten times as many come as can be
/// served, and what each costs is taken from those who are.
#[inline(always)]
fn discover<M: Maps>(maps: &M, located: &Located) -> Result<Verdict, Why> {
    if maps.sheds() && is_for_us(maps, located) {
        return Ok(Verdict::Drop(Dropped::FreshFull));
    }
    Err(Why::Discover)
}

/// Whether the frame was sent to an address that we answer at.
#[inline(always)]
fn is_for_us<M: Maps>(maps: &M, located: &Located) -> bool {
    located.ip_dst.is_broadcast() || maps.is_ours(located.ip_dst)
}

/// The slot of the lease of `ciaddr` on the frame's link, if any lease near it was ever shared.
#[inline(always)]
fn slot_of<M: Maps>(maps: &M, located: &Located, ciaddr: NetAddr) -> Option<Slot<M::Cells>> {
    let first = maps.run(RunKey::new(located.link, ciaddr))?;
    maps.slot(first + ciaddr.last_octet() % RUN)
}

/// Compares who asks with whom the slot belongs to, exactly. Gives the server's address.
///
/// A client sends from its address, or from none while it says that it has none (RFC 2131 §4.1): from any other the daemon looks at
/// it. What a relay sends from is part of the question.
#[inline(always)]
fn identify<C: Cells>(slot: &Slot<C>, located: &Located, request: &Request) -> Result<NetAddr, Why> {
    let (address, server) = slot.addresses();
    if slot.link_cell() != located.link.cell()
        || slot.chaddr_cell() != request.chaddr.cell()
        || (request.ciaddr != address && !request.ciaddr.is_unspecified())
    {
        return Err(Why::OtherIdentity);
    }
    if located.ip_dst != server && !located.ip_dst.is_broadcast() {
        return Err(Why::OtherServer);
    }
    if request.giaddr.is_unspecified() && !request.ip_src.is_unspecified() && request.ip_src != address {
        return Err(Why::ForeignSource);
    }
    Ok(server)
}

/// Looks for the question among the slot's memos.
#[inline(always)]
fn recall<C: Cells>(slot: &Slot<C>, hash: question::Hash) -> Option<(Place, Echo)> {
    let mut index = 0;
    while index < MEMOS {
        if slot.memo_hash(index) == hash.0 {
            return Some(slot.memo_rest(index));
        }
        index += 1;
    }
    None
}

/// Writes the whole reply over the request. From here on the frame is spent if the promise can't be made.
#[inline(always)]
fn write<F: Frame, M: Maps>(
    frame: &mut F,
    maps: &M,
    l3: usize,
    envelope: &Envelope,
    (head, place, first): (&AnswerHead, Place, M::Cells),
    echoes: &Echoes,
) -> Option<()> {
    reply::write_headers(frame, l3, envelope, head, echoes.sum(head))?;
    reply::write_body(frame, l3, head, |index| match index {
        0 => Some(first),
        #[expect(clippy::cast_possible_truncation, reason = "an answer has at most MAX_CHUNKS chunks")]
        more => maps.chunk(place.0 + more as u32),
    })?;
    echoes.put(frame, l3, head)
}

/// Makes the promise, as the last step: all that was read to write the answer is proved unchanged by it.
#[inline(always)]
fn promised<F: Frame, C: Cells>(
    frame: &mut F,
    slot: &Slot<C>,
    judged: Word,
    promise: BootSecs,
    written: Option<usize>,
    state: Renewal,
) -> Verdict {
    let Some(len) = written else { return Verdict::Drop(Dropped::Raced) };
    if slot.swap_word(judged, judged.granted(promise)).is_err() {
        return Verdict::Drop(Dropped::Raced);
    }
    if frame.len() != len && !frame.trim(len) {
        return Verdict::Drop(Dropped::NotTrimmed);
    }
    Verdict::Reply(state)
}

/// A frame that is to go up, looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Triaged {
    /// Which message it seems to be.
    pub message: Message,
    /// The lease word of a RELEASE's ciaddr; all zero for anything else, and where there is no slot.
    pub word: Word,
}

/// Looks at a frame that is to go up, at `nanos` of boot time: which message it seems to be, and whether there is anybody to send
/// it to.
///
/// # Errors
/// Why it goes to the host's stack after all, untouched.
#[inline(always)]
pub fn triage<F: Frame, M: Maps>(
    frame: &mut F,
    maps: &M,
    ifindex: u32,
    nanos: u64,
) -> Result<Triaged, Passed> {
    let located = request::locate(frame, ifindex)?;
    if !is_for_us(maps, &located) {
        return Err(Passed::NotForUs);
    }
    if nanos.saturating_sub(maps.heartbeat()) > HEARTBEAT_PATIENCE {
        return Err(Passed::DaemonAway);
    }
    let message = request::message(frame, located.l3);
    let word = match message {
        Message::Release => released(frame, maps, &located).unwrap_or_default(),
        _ => Word::default(),
    };
    Ok(Triaged { message, word })
}

/// The word that a RELEASE finds: if it is still that one when the daemon comes to it, nothing was promised since.
#[inline(always)]
fn released<F: Frame, M: Maps>(frame: &mut F, maps: &M, located: &Located) -> Option<Word> {
    let ciaddr = NetAddr(frame.window::<4>(located.l3 + bootp::CIADDR)?.raw32::<0>());
    slot_of(maps, located, ciaddr).map(|slot| slot.word())
}
