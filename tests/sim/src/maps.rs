//! The memory that kernel and daemon share, and the packet logic over it: a frame is judged, and its promise made in a step of
//! its own, so that anything may happen between.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use dhcp_ebpf::abi::{Mac, NetAddr, RUN, RunKey};
use dhcp_ebpf::frame::HostFrame;
use dhcp_ebpf::lease::{Now, Word};
use dhcp_ebpf::question::{Hash, Keys};
use dhcp_ebpf::renewal::{self, Triaged};
use dhcp_ebpf::slot::{CHUNK_CELLS, Cells, SLOT_CELLS, Slot};
use dhcp_ebpf::verdict::{Ring, Verdict, Why};
use dhcp_user::datapath::leases::hints::{HeapHints, Hints};
use dhcp_user::datapath::leases::memory::{Region, SharedCells};
use dhcp_user::datapath::leases::table::Table;
use dhcp_user::datapath::program::object::Sizes;

use super::site::{IFINDEX, OURS};

/// All maps: they outlive the daemon, not the machine.
pub struct Maps {
    slots: Region,
    answers: Region,
    leads: Leads,
    keys: Keys,
    ours: HashSet<NetAddr>,
    sizes: Sizes,
    /// When the daemon was last seen alive.
    pub heartbeat: u64,
    /// The store whose promises these are, and its last commit that they rest upon.
    pub rests_on: Option<(u128, u64)>,
}

/// What leads to slots.
#[derive(Clone, Debug, Default)]
struct Leads(Arc<Mutex<HeapHints>>);

impl Leads {
    fn with<R>(&self, look: impl FnOnce(&mut HeapHints) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Hints for Leads {
    fn lead_run(&mut self, key: RunKey, first: u32) -> Result<()> {
        self.with(|hints| hints.lead_run(key, first))
    }

    fn lead_question(&mut self, hash: u64, slot: u32) -> Result<()> {
        self.with(|hints| hints.lead_question(hash, slot))
    }

    fn drop_interface(&mut self, ifindex: u32) {
        self.with(|hints| hints.drop_interface(ifindex));
    }

    fn drop_question(&mut self, hash: u64, slot: u32) {
        self.with(|hints| hints.drop_question(hash, slot));
    }
}

/// A frame that the program is at: written over, and not promised yet.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What the packet logic says, if the promise can be made.
    pub verdict: Verdict,
    /// The frame that it leaves.
    pub frame: Vec<u8>,
    /// How it goes up, if it does.
    pub up: Option<(Ring, Why, Word)>,
    /// The slot, and its word as it was judged and is to be.
    promise: Option<(u32, Word, Word)>,
}

impl Maps {
    /// Maps in which nothing was promised.
    #[must_use]
    pub fn new(seed: u64, sizes: Sizes, ours: HashSet<NetAddr>) -> Self {
        let mut chance = fuzz::chance::Chance::seeded(seed);
        Self {
            slots: Region::shared(sizes.slots as usize * SLOT_CELLS),
            answers: Region::shared(sizes.chunks as usize * CHUNK_CELLS),
            leads: Leads::default(),
            keys: Keys(std::array::from_fn(|_| std::array::from_fn(|_| chance.any()))),
            ours,
            sizes,
            heartbeat: 0,
            rests_on: None,
        }
    }

    /// Whether they have room for so much.
    #[must_use]
    pub const fn have_room(&self, needed: &Sizes) -> bool {
        self.sizes.slots >= needed.slots && self.sizes.chunks >= needed.chunks
    }

    /// The daemon's view of them.
    #[must_use]
    pub fn table(&self) -> Table {
        let (slots, answers) = (self.slots.again().unwrap(), self.answers.again().unwrap());
        Table::new(slots, answers, Box::new(self.keys), Box::new(self.leads.clone()))
    }

    /// Leases that are alive, as far as devices get addresses of them.
    pub fn live(&self) -> impl Iterator<Item = Slot<SharedCells<'_>>> {
        let slot = |index| self.slots.cells().slot(index);
        let runs = (0..self.sizes.slots).step_by(RUN as usize);
        let in_use = runs
            .take_while(move |first| slot(*first).is_some_and(|slot| !slot.addresses().0.is_unspecified()));
        let given = in_use.flat_map(move |first| (10..30).filter_map(move |index| slot(first + index)));
        given.filter(|slot| slot.word().alive())
    }

    /// A frame comes in.
    #[must_use]
    pub fn judge(&self, frame: &[u8], now: u64) -> Judged {
        // As a driver that leaves room before and behind the frame.
        let mut buffer = vec![0; 64];
        buffer.extend_from_slice(frame);
        buffer.resize(buffer.len() + 1000, 0);
        let mut written = HostFrame::with_headroom(&mut buffer, 64, frame.len());
        let seen = Seen { maps: self, promise: Cell::new(None) };
        let mut verdict = renewal::handle(&mut written, &&seen, IFINDEX, Now::at(now));
        let mut up = None;
        if let Verdict::Up(why) = verdict {
            match renewal::triage(&mut written, &&seen, IFINDEX, now) {
                Err(passed) => verdict = Verdict::Pass(passed),
                Ok(Triaged { message, word }) => up = Some((message.ring(), why, word)),
            }
        }
        Judged { verdict, frame: written.bytes().to_vec(), up, promise: seen.promise.get() }
    }

    /// The promise is made, if nobody has changed the word meanwhile. Whether the answer leaves.
    #[must_use]
    pub fn promise(&self, judged: &Judged) -> bool {
        judged.promise.is_none_or(|(index, from, to)| {
            let slot = self.slots.cells().slot(index);
            slot.is_some_and(|slot| slot.swap_word(from, to).is_ok())
        })
    }
}

/// What a program sees. Its last swap is noted, and done later.
struct Seen<'a> {
    maps: &'a Maps,
    promise: Cell<Option<(u32, Word, Word)>>,
}

/// Cells of a slot or an answer.
#[derive(Clone, Copy)]
struct Noting<'a> {
    cells: SharedCells<'a>,
    index: u32,
    promise: &'a Cell<Option<(u32, Word, Word)>>,
}

impl Cells for Noting<'_> {
    fn load(&self, cell: usize) -> u64 {
        self.cells.load(cell)
    }

    fn swap(&self, cell: usize, from: u64, to: u64) -> Result<(), u64> {
        let found = self.cells.load(cell);
        if found != from {
            return Err(found);
        }
        // Nothing of a slot but the word is ever swapped.
        self.promise.set(Some((self.index, Word(from), Word(to))));
        Ok(())
    }
}

impl<'a> renewal::Maps for &'a Seen<'a> {
    type Cells = Noting<'a>;

    fn interface(&self, ifindex: u32) -> Option<Mac> {
        (ifindex == IFINDEX).then(|| OURS.into())
    }

    fn is_ours(&self, address: NetAddr) -> bool {
        self.maps.ours.contains(&address)
    }

    fn keys(&self) -> Option<&Keys> {
        Some(&self.maps.keys)
    }

    fn run(&self, key: RunKey) -> Option<u32> {
        self.maps.leads.with(|hints| hints.runs.get(&key).copied())
    }

    fn asked(&self, hash: Hash) -> Option<u32> {
        self.maps.leads.with(|hints| hints.questions.get(&hash.0).copied())
    }

    fn slot(&self, index: u32) -> Option<Slot<Self::Cells>> {
        let Slot(cells) = self.maps.slots.cells().slot(index)?;
        Some(Slot(Noting { cells, index, promise: &self.promise }))
    }

    fn chunk(&self, index: u32) -> Option<Self::Cells> {
        let cells = self.maps.answers.cells().element(index, CHUNK_CELLS)?;
        Some(Noting { cells, index, promise: &self.promise })
    }

    fn heartbeat(&self) -> u64 {
        self.maps.heartbeat
    }

    fn sheds(&self) -> bool {
        false
    }
}
