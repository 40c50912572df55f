//! One slot and some chunks in loom's memory, and the two sides that use them: the kernel's whole journey of a frame,
//! and the daemon's functions.
#![allow(dead_code, reason = "the tests and the tests of the tests use a part each")]

use crate::twin::maps::{HeapCells, KEYS, Twin, identity};
use crate::twin::sent::{DOT1Q, Sent, State, Way};
use crate::twin::{Answer, IFINDEX, LEASE_TIME, Lease, NOW, OURS, SERVER, expected};
use dhcp_ebpf::abi::{Link, Mac, NetAddr, RunKey};
use dhcp_ebpf::frame::HostFrame;
use dhcp_ebpf::lease::{BootSecs, Now, Word};
use dhcp_ebpf::publish;
use dhcp_ebpf::question::{Hash, Keys};
use dhcp_ebpf::renewal::{self, Maps};
use dhcp_ebpf::slot::{
    AnswerHead, CHUNK_CELLS, Cells, CellsMut, Echo, Identity, Memo, Place, SLOT_CELLS, Slot,
};
use dhcp_ebpf::verdict::{Verdict, Why};
use loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use loom::sync::atomic::{AtomicBool, AtomicU64};
use loom::thread::{self, JoinHandle};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

/// Chunks that the tests use: an answer fits into one.
const CHUNKS: u32 = 2;
/// Where the first client's answer lies.
pub(crate) const FIRST: Place = Place(0);
/// Where there is room for another.
pub(crate) const SECOND: Place = Place(1);

/// The memory that kernel and daemon share.
pub(crate) struct Shared(Vec<Cell>);

/// A cell, and what the daemon wrote into it last.
struct Cell {
    now: AtomicU64,
    written: std::sync::atomic::AtomicU64,
}

impl Shared {
    /// Memory with these contents.
    pub(crate) fn with(contents: &[u64]) -> Arc<Self> {
        let cell = |content: &u64| Cell { now: AtomicU64::new(*content), written: (*content).into() };
        Arc::new(Self(contents.iter().map(cell).collect()))
    }

    fn slot_cells(&self) -> &[Cell] {
        &self.0[..SLOT_CELLS]
    }

    fn chunk_cells(&self, index: usize) -> &[Cell] {
        &self.0[SLOT_CELLS + index * CHUNK_CELLS..][..CHUNK_CELLS]
    }

    /// The slot as the daemon has it.
    pub(crate) fn daemon(&self) -> Slot<Daemon<'_>> {
        Slot(Daemon(self.slot_cells()))
    }

    /// The first chunk of an answer as the daemon has it.
    pub(crate) fn daemon_chunk(&self, place: Place) -> Daemon<'_> {
        Daemon(self.chunk_cells(place.0 as usize))
    }

    /// The slot as the kernel has it.
    pub(crate) fn kernel(&self) -> Slot<Kernel<'_>> {
        Slot(Kernel(self.slot_cells()))
    }

    /// The first chunk of an answer as the kernel has it.
    pub(crate) fn kernel_chunk(&self, place: Place) -> Kernel<'_> {
        Kernel(self.chunk_cells(place.0 as usize))
    }
}

/// Starts a request's whole journey beside whoever starts it.
pub(crate) fn receive(shared: &Arc<Shared>, party: &Party) -> JoinHandle<Arrived> {
    let (shared, request) = (Arc::clone(shared), party.request.clone());
    thread::spawn(move || journey(&View::<true>(&shared), &request))
}

/// What became of a request, and the frame it has become.
pub(crate) type Arrived = (Verdict, Vec<u8>);

/// A request's whole journey.
pub(crate) fn journey(maps: &impl Maps, request: &[u8]) -> Arrived {
    let mut buffer = request.to_vec();
    buffer.resize(request.len() + 64, 0xa5);
    let mut frame = HostFrame::new(&mut buffer, request.len());
    let verdict = renewal::handle(&mut frame, maps, IFINDEX, Now::at(NOW));
    if matches!(verdict, Verdict::Up(_)) {
        assert_eq!(frame.bytes(), request, "a frame that goes up was changed");
    }
    (verdict, frame.bytes().to_vec())
}

/// The kernel's view, `ACQUIRES` or not. Its loads come in any order, but for those that the protocol says acquire:
/// the weakest that any machine does, x86-64 included.
#[derive(Clone, Copy)]
pub(crate) struct Kernel<'a, const ACQUIRES: bool = true>(&'a [Cell]);

impl<const ACQUIRES: bool> Cells for Kernel<'_, ACQUIRES> {
    fn load(&self, cell: usize) -> u64 {
        self.0[cell].now.load(Relaxed)
    }

    fn load_acquire(&self, cell: usize) -> u64 {
        self.0[cell].now.load(if ACQUIRES { Acquire } else { Relaxed })
    }

    fn swap(&self, cell: usize, from: u64, to: u64) -> Result<(), u64> {
        self.0[cell].now.compare_exchange(from, to, AcqRel, Acquire).map(|_| ())
    }
}

/// The daemon's view, ordered as its own memory is.
#[derive(Clone, Copy)]
pub(crate) struct Daemon<'a>(&'a [Cell]);

impl Cells for Daemon<'_> {
    fn load(&self, cell: usize) -> u64 {
        self.0[cell].now.load(Acquire)
    }

    fn swap(&self, cell: usize, from: u64, to: u64) -> Result<(), u64> {
        self.0[cell].now.compare_exchange(from, to, SeqCst, SeqCst).map(|_| ())
    }
}

impl CellsMut for Daemon<'_> {
    /// Writes what is new. To write what is there already (by the only writer) would let nobody read anything else,
    /// only order those who read it more: leaving it out keeps every behaviour, and spares most of the interleavings.
    fn store(&self, cell: usize, value: u64) {
        if self.0[cell].written.swap(value, std::sync::atomic::Ordering::SeqCst) != value {
            self.0[cell].now.store(value, Release);
        }
    }
}

/// The maps around the memory. The hash maps are hints: they lead every question to the slot, whoever has it now.
pub(crate) struct View<'a, const ACQUIRES: bool>(pub(crate) &'a Shared);

impl<'a, const ACQUIRES: bool> Maps for View<'a, ACQUIRES> {
    type Cells = Kernel<'a, ACQUIRES>;

    fn interface(&self, _: u32) -> Option<Mac> {
        Some(Mac::from(OURS))
    }

    fn is_ours(&self, address: NetAddr) -> bool {
        address == NetAddr::from(SERVER)
    }

    fn keys(&self) -> Option<&Keys> {
        Some(&KEYS)
    }

    fn run(&self, _: RunKey) -> Option<u32> {
        Some(0)
    }

    fn asked(&self, _: Hash) -> Option<u32> {
        Some(0)
    }

    fn slot(&self, _: u32) -> Option<Slot<Self::Cells>> {
        Some(Slot(Kernel(self.0.slot_cells())))
    }

    fn chunk(&self, index: u32) -> Option<Self::Cells> {
        (index < CHUNKS).then(|| Kernel(self.0.chunk_cells(index as usize)))
    }

    fn heartbeat(&self) -> u64 {
        NOW
    }

    fn sheds(&self) -> bool {
        false
    }
}

/// A client with its question and the answer that is published for it, all made before loom's memory comes in.
#[derive(Clone)]
pub(crate) struct Party {
    pub(crate) request: Vec<u8>,
    reply: Vec<u8>,
    pub(crate) lease: Lease,
    pub(crate) identity: Identity,
    question: Memo,
    pub(crate) head: AnswerHead,
    body: Vec<u8>,
    sent: Sent,
    answer: Answer,
}

impl Party {
    fn new(sent: Sent, lease: Lease, fill: u8) -> Self {
        Self::with_next_server(sent, lease, fill, fill)
    }

    fn with_next_server(sent: Sent, lease: Lease, fill: u8, next_server: u8) -> Self {
        // Short, but easily torn: answers differ in both cells of the head and in one of two cells of the body.
        let options = [&[53, 1, 5, 0, 0, 0, 224, 7][..], &[fill; 7], &[255]].concat();
        let siaddr = [192, 0, 2, next_server].into();
        let answer = Answer { lease_time: LEASE_TIME, siaddr, names: None, options };
        let (at, body) = answer.body();
        let hash = Twin::new().hash(&sent, lease.link).0;
        Self {
            request: sent.frame(),
            reply: expected::reply(&sent.frame(), &lease, &answer),
            identity: identity(&lease),
            question: Memo { hash, place: FIRST, echo: Echo::NONE },
            head: publish::head_of(&body, at, LEASE_TIME, siaddr.into()).expect("a short body"),
            body,
            lease,
            sent,
            answer,
        }
    }

    /// The client, renewing.
    pub(crate) fn client() -> Self {
        let options = vec![53, 1, 3, 55, 2, 1, 3, 255];
        let sent = Sent { options, ..Sent::request(State::Renewing, Way::Direct) };
        Self::new(sent, Lease::new(), 0x11)
    }

    /// Somebody else, who renews the same address.
    pub(crate) fn stranger() -> Self {
        let Self { sent, lease, .. } = Self::client();
        let chaddr = [0x02, 0x57, 0x4a, 0, 0, 0x02];
        Self::new(Sent { eth_src: chaddr, chaddr, ..sent }, Lease { chaddr, ..lease }, 0x22)
    }

    /// The same question, answered anew.
    pub(crate) fn answered_anew(&self) -> Self {
        Self::new(self.sent.clone(), self.lease.clone(), 0x33)
    }

    /// The same question with an answer that differs in one cell.
    pub(crate) fn booting_elsewhere(&self) -> Self {
        Self::with_next_server(self.sent.clone(), self.lease.clone(), 0x11, 0x66)
    }

    /// Another question of the same client.
    pub(crate) fn asking_more(&self) -> Self {
        let mut sent = self.sent.clone();
        sent.options[5] ^= 1;
        Self::new(sent, self.lease.clone(), 0x44)
    }

    /// The same client, moved to another link.
    pub(crate) fn moved(&self) -> Self {
        let link = Link { outer: 100, ..self.lease.link };
        Self::new(self.sent.clone().tagged(&[(DOT1Q, 100)]), Lease { link, ..self.lease.clone() }, 0x55)
    }

    /// The same with another horizon.
    pub(crate) fn allowed(&self, horizon: BootSecs) -> Self {
        Self { lease: Lease { horizon, ..self.lease.clone() }, ..self.clone() }
    }

    /// The memory in which this client has its lease, its answer in the first chunk.
    pub(crate) fn granted(&self) -> Vec<u64> {
        let mut twin = Twin::new();
        twin.grant(&self.lease, &[(&self.sent, &self.answer)]);
        let HeapCells(slot) = twin.lease_slot().0;
        let chunks = (0..CHUNKS).flat_map(|index| twin.chunk_at(index).0);
        slot.iter().chain(chunks).map(|cell| cell.load(std::sync::atomic::Ordering::SeqCst)).collect()
    }

    /// The memo that leads from the question to an answer.
    pub(crate) fn memo(&self, place: Place) -> Memo {
        Memo { place, ..self.question }
    }

    /// Grants the lease in a dead slot, its answer where the one before had its own.
    pub(crate) fn grant(&self, shared: &Shared) -> Word {
        let slot = shared.daemon();
        self.write_answer(shared.daemon_chunk(FIRST));
        let memos = [self.memo(FIRST)];
        let Lease { horizon, expiry, .. } = self.lease;
        publish::grant(&slot, slot.word(), &self.identity, horizon, &memos, expiry)
            .expect("only the daemon is left")
    }

    /// The answer's body as its two cells.
    pub(crate) fn body_cells(&self) -> [u64; 2] {
        [0, 8].map(|at| u64::from_ne_bytes(std::array::from_fn(|byte| self.body[at + byte])))
    }

    /// Writes the answer, as the daemon does.
    pub(crate) fn write_answer<C: CellsMut>(&self, chunk: C) {
        publish::write_answer(&self.head, &self.body, |_| chunk);
    }
}

/// What became of a request: a frame that left must be one that was published, whole.
pub(crate) fn outcome(kernel: JoinHandle<Arrived>, published: &[&Party]) -> Outcome {
    match kernel.join().expect("the kernel does not panic") {
        (Verdict::Reply(_), frame) => {
            let known = published.iter().position(|party| party.reply == frame);
            Outcome::Sent(known.expect("an answer left that was never published"))
        }
        (Verdict::Drop(_), _) => Outcome::Raced,
        (Verdict::Up(why), _) => Outcome::Up(why),
        (Verdict::Pass(why), _) => panic!("passed: {why:?}"),
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// The answer of the party with this number left.
    Sent(usize),
    Raced,
    Up(Why),
}

/// The disk that horizons are committed to.
#[derive(Clone)]
pub(crate) struct Disk(Arc<AtomicBool>);

impl Disk {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    pub(crate) fn commit(&self) {
        self.0.store(true, Relaxed);
    }

    /// Whether the commit has been, at this very moment: only a read that also writes never comes too early.
    fn committed(&self) -> bool {
        self.0.fetch_or(false, Relaxed)
    }
}

/// As [`receive`], for a request that may be answered only after a commit.
pub(crate) fn receive_after_commit(shared: &Arc<Shared>, party: &Party, disk: &Disk) -> JoinHandle<Arrived> {
    let (shared, request, disk) = (Arc::clone(shared), party.request.clone(), disk.clone());
    thread::spawn(move || {
        let arrived = journey(&View::<true>(&shared), &request);
        assert!(disk.committed() || !matches!(arrived.0, Verdict::Reply(_)), "promised before the commit");
        arrived
    })
}

/// Revokes whatever the word is, and says what it was when that succeeded.
pub(crate) fn revoke_anyway<C: CellsMut>(slot: &Slot<C>) -> Word {
    let mut judged = slot.word();
    loop {
        match publish::revoke(slot, judged) {
            Ok(_) => return judged,
            Err(found) => judged = found,
        }
    }
}

/// Runs a model in all its interleavings, and gives what it reported of them.
pub(crate) fn explore<T>(model: impl Fn() -> T + Send + Sync + 'static) -> BTreeSet<T>
where
    T: Ord + Clone + Debug + Send + 'static,
{
    let seen = Arc::new(Mutex::new((0, BTreeSet::new())));
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 10_000;
    let reports = Arc::clone(&seen);
    builder.check(move || {
        let report = model();
        let mut seen = reports.lock().unwrap_or_else(PoisonError::into_inner);
        seen.0 += 1;
        seen.1.insert(report);
    });
    let (executions, reports) = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    println!("{executions} executions: {reports:?}");
    reports
}
