//! The maps in ordinary memory, filled by the daemon's side of the protocol.

use super::*;
use crate::twin::sent::Sent;
use dhcp_ebpf::abi::{Mac, NetAddr, RUN, RunKey};
use dhcp_ebpf::frame::HostFrame;
use dhcp_ebpf::lease::{Now, Word};
use dhcp_ebpf::publish;
use dhcp_ebpf::question::{self, Asker, Hash, Keys};
use dhcp_ebpf::renewal::{self, Maps};
use dhcp_ebpf::slot::{
    AnswerHead, CHUNK_CELLS, Cells, CellsMut, Echo, Identity, Memo, Place, SLOT_CELLS, Slot, answer_head,
};
use dhcp_ebpf::verdict::Verdict;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Cells of ordinary memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeapCells<'a>(pub(crate) &'a [AtomicU64]);

impl Cells for HeapCells<'_> {
    fn load(&self, cell: usize) -> u64 {
        self.0[cell].load(SeqCst)
    }

    fn swap(&self, cell: usize, from: u64, to: u64) -> Result<(), u64> {
        self.0[cell].compare_exchange(from, to, SeqCst, SeqCst).map(|_| ())
    }
}

impl CellsMut for HeapCells<'_> {
    fn store(&self, cell: usize, value: u64) {
        self.0[cell].store(value, SeqCst);
    }
}

pub(crate) fn heap(cells: usize) -> Box<[AtomicU64]> {
    (0..cells).map(|_| AtomicU64::new(0)).collect()
}

/// Keys that look random and are the same in every run.
pub(crate) static KEYS: LazyLock<Keys> = LazyLock::new(|| keys(0x9e37_79b9_7f4a_7c15));

/// Keys drawn from a seed (splitmix64).
pub(crate) fn keys(seed: u64) -> Keys {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    Keys(std::array::from_fn(|_| std::array::from_fn(|_| next())))
}

/// Two runs; an interpreter, which takes a thousand times as long, makes no more than the tests' leases take.
const SLOTS: u32 = if cfg!(miri) { 128 } else { 2 * RUN };
const CHUNKS: u32 = 64;

/// The maps.
pub(crate) struct Twin {
    slots: Box<[AtomicU64]>,
    chunks: Box<[AtomicU64]>,
    next_chunk: u32,
    pub(crate) keys: Option<&'static Keys>,
    pub(crate) runs: HashMap<RunKey, u32>,
    pub(crate) questions: HashMap<u64, u32>,
    pub(crate) interfaces: HashMap<u32, Mac>,
    pub(crate) addresses: HashSet<NetAddr>,
    pub(crate) heartbeat: u64,
    pub(crate) sheds: bool,
}

/// The run that every lease of the tests lies in.
const THE_RUN: u32 = if cfg!(miri) { 0 } else { RUN };

impl Twin {
    /// Maps as they are before the first lease.
    pub(crate) fn new() -> Self {
        Self {
            slots: heap(SLOTS as usize * SLOT_CELLS),
            chunks: heap(CHUNKS as usize * CHUNK_CELLS),
            next_chunk: 0,
            keys: Some(&KEYS),
            runs: HashMap::new(),
            questions: HashMap::new(),
            interfaces: HashMap::from([(IFINDEX, Mac::from(OURS))]),
            addresses: HashSet::from([NetAddr::from(SERVER)]),
            heartbeat: NOW - SECOND,
            sheds: false,
        }
    }

    /// Maps in which `sent` has been answered with `answer`.
    pub(crate) fn knowing(sent: &Sent, answer: &Answer) -> Self {
        let mut twin = Self::new();
        twin.grant(&sent.lease(), &[(sent, answer)]);
        twin
    }

    /// Grants a lease and publishes the answers to these questions, in the order of writes that the design asks for.
    pub(crate) fn grant(&mut self, lease: &Lease, known: &[(&Sent, &Answer)]) -> Word {
        let index = THE_RUN + u32::from(lease.address.octets()[3]);
        let (mut memos, mut hashes) = (Vec::new(), Vec::new());
        for (sent, answer) in known {
            let hash = self.hash(sent, lease.link);
            let (place, echo) = self.write_answer(sent, answer);
            memos.push(Memo { hash: hash.0, place, echo });
            if sent.ciaddr.is_unspecified() {
                hashes.push(hash);
            }
        }
        let slot = self.slot_at(index);
        let word = publish::grant(&slot, slot.word(), &identity(lease), lease.horizon, &memos, lease.expiry)
            .unwrap();
        self.runs.insert(RunKey::new(lease.link, lease.address.into()), THE_RUN);
        self.questions.extend(hashes.into_iter().map(|hash| (hash.0, index)));
        word
    }

    fn write_answer(&mut self, sent: &Sent, answer: &Answer) -> (Place, Echo) {
        let (at, mut body) = answer.body();
        let (echo_at, echo) = answer.echoes(sent);
        let echo_at = body.len() - answer.options.len() + echo_at;
        body[echo_at..][..echo.len()].fill(0);
        let head = AnswerHead {
            giaddr: sent.giaddr.into(),
            echo_at: echo_at as u16,
            ..publish::head_of(&body, at, answer.lease_time, answer.siaddr.into()).unwrap()
        };
        let chunks = publish::chunks_for(body.len()) as u32;
        let from = self.next_chunk;
        self.next_chunk += chunks;
        let chunk = |index: usize| self.chunk_at(from + index as u32);
        publish::write_answer(&head, &body, chunk);
        self.check_read_back(&head, &body, chunk);
        (Place(from), echo)
    }

    fn check_read_back<'a>(&self, head: &AnswerHead, body: &[u8], chunk: impl Fn(usize) -> HeapCells<'a>) {
        let mut read = vec![0; body.len()];
        assert_eq!((publish::read_answer(chunk, &mut read), &read[..]), (*head, body));
    }

    /// Changes the head of the lease's first answer.
    pub(crate) fn rewrite_head(&self, change: impl Fn(&mut AnswerHead)) {
        let chunk = self.chunk_at(self.lease_slot().memo(0).place.0);
        let mut head = answer_head(chunk);
        change(&mut head);
        for (index, cell) in head.cells().into_iter().enumerate() {
            chunk.store(index, cell);
        }
    }

    /// The hash of a question as the daemon computes it, from its parts.
    pub(crate) fn hash(&self, sent: &Sent, link: Link) -> Hash {
        question::hash_parts(self.keys.unwrap(), &asker(sent, link), &sent.options).unwrap()
    }

    /// The slot of the client's lease.
    pub(crate) fn lease_slot(&self) -> Slot<HeapCells<'_>> {
        self.slot_at(THE_RUN + u32::from(ADDRESS.octets()[3]))
    }

    /// A place at the very end of the chunks, where only the first chunk of a longer answer can lie. It is a copy.
    pub(crate) fn last_chunk_for(&self, place: Place) -> Place {
        for cell in 0..CHUNK_CELLS {
            self.chunk_at(CHUNKS - 1).store(cell, self.chunk_at(place.0).load(cell));
        }
        Place(CHUNKS - 1)
    }

    fn slot_at(&self, index: u32) -> Slot<HeapCells<'_>> {
        let from = index as usize * SLOT_CELLS;
        Slot(HeapCells(&self.slots[from..from + SLOT_CELLS]))
    }

    pub(crate) fn chunk_at(&self, index: u32) -> HeapCells<'_> {
        let from = index as usize * CHUNK_CELLS;
        HeapCells(&self.chunks[from..from + CHUNK_CELLS])
    }

    /// Everything in shared memory, for telling whether anything was written.
    pub(crate) fn contents(&self) -> Vec<u64> {
        self.slots.iter().chain(&self.chunks).map(|cell| cell.load(SeqCst)).collect()
    }

    /// What becomes of a frame at [`NOW`], and the frame it has become.
    pub(crate) fn receive(&self, frame: &[u8]) -> (Verdict, Vec<u8>) {
        self.receive_at(frame, NOW)
    }

    /// What becomes of a frame, and the frame it has become: the same whether the driver left room behind the frame
    /// or before it. The room holds anything.
    pub(crate) fn receive_at(&self, frame: &[u8], now: u64) -> (Verdict, Vec<u8>) {
        const ROOM: usize = 1024;
        let before = self.receive_in(frame, Room { before: ROOM, behind: 0 }, now);
        let behind = self.receive_in(frame, Room { before: 0, behind: ROOM }, now);
        assert_eq!(before, behind, "where the room was must not show");
        behind
    }

    /// What becomes of a frame when the driver left this much room.
    pub(crate) fn receive_in(&self, frame: &[u8], room: Room, now: u64) -> (Verdict, Vec<u8>) {
        let mut buffer = vec![0xa5; room.before];
        buffer.extend_from_slice(frame);
        buffer.resize(buffer.len() + room.behind, 0xa5);
        let mut frame = HostFrame::with_headroom(&mut buffer, room.before, frame.len());
        let verdict = renewal::handle(&mut frame, &self, IFINDEX, Now::at(now));
        (verdict, frame.bytes().to_vec())
    }
}

/// Room in a driver's buffer around a frame. It holds anything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) before: usize,
    pub(crate) behind: usize,
}

/// A lease's identity as its slot holds it.
pub(crate) fn identity(lease: &Lease) -> Identity {
    Identity {
        link: lease.link,
        chaddr: lease.chaddr.into(),
        address: lease.address.into(),
        server: lease.server.into(),
    }
}

/// The part of a question that is not options.
pub(crate) fn asker(sent: &Sent, link: Link) -> Asker {
    let direct = sent.giaddr.is_unspecified();
    Asker {
        link,
        chaddr: sent.chaddr.into(),
        ciaddr: sent.ciaddr.into(),
        giaddr: sent.giaddr.into(),
        relay_src: if direct { Ipv4Addr::UNSPECIFIED } else { sent.ip_src }.into(),
    }
}

impl<'a> Maps for &'a Twin {
    type Cells = HeapCells<'a>;

    fn interface(&self, ifindex: u32) -> Option<Mac> {
        self.interfaces.get(&ifindex).copied()
    }

    fn is_ours(&self, address: NetAddr) -> bool {
        self.addresses.contains(&address)
    }

    fn keys(&self) -> Option<&Keys> {
        self.keys
    }

    fn run(&self, key: RunKey) -> Option<u32> {
        self.runs.get(&key).copied()
    }

    fn asked(&self, hash: Hash) -> Option<u32> {
        self.questions.get(&hash.0).copied()
    }

    fn slot(&self, index: u32) -> Option<Slot<HeapCells<'a>>> {
        (index < SLOTS).then(|| self.slot_at(index))
    }

    fn chunk(&self, index: u32) -> Option<HeapCells<'a>> {
        (index < CHUNKS).then(|| self.chunk_at(index))
    }

    fn heartbeat(&self) -> u64 {
        self.heartbeat
    }

    fn sheds(&self) -> bool {
        self.sheds
    }
}
