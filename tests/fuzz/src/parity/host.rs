//! The host's build of the packet logic over the maps that the daemon writes: what it makes of a frame, without doing it.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use dhcp_ebpf::abi::{Link, Mac, NetAddr, RECORD_LARGE, RunKey};
use dhcp_ebpf::frame::{Frame as _, HostFrame};
use dhcp_ebpf::leads;
use dhcp_ebpf::lease::{Now, Word};
use dhcp_ebpf::question::{Hash, Keys};
use dhcp_ebpf::renewal::{self, Maps, Triaged};
use dhcp_ebpf::slot::{CHUNK_CELLS, Cells, Slot};
use dhcp_ebpf::verdict::{Dropped, Ring, Verdict, Why};
use dhcp_user::datapath::leases::hints::Hints;
use dhcp_user::datapath::leases::memory::{Region, SharedCells};
use dhcp_user::datapath::leases::table::Table;

use super::location::{IFINDEX, OURS};

/// Room that the kernel leaves before a frame that it is told to run a program on, less what it needs of it, and behind.
const ROOM: (usize, usize) = (216, 3000);

/// What leads to slots, as the kernel's maps have it.
#[derive(Debug)]
pub struct Leads {
    runs: HashMap<RunKey, u32>,
    questions: Region,
    lines: u32,
}

impl Leads {
    /// No questions yet, and room for those of so many slots; and runs that were led to before, in the same maps.
    #[must_use]
    pub fn new(slots: u32, runs: HashMap<RunKey, u32>) -> Self {
        let lines = leads::lines_for(slots);
        Self { runs, questions: Region::heap(lines as usize * leads::LINE), lines }
    }

    fn lines(&self, hash: Hash) -> [SharedCells<'_>; 2] {
        leads::lines(hash, self.lines).map(|line| self.questions.cells().element(line, leads::LINE).unwrap())
    }
}

impl Hints for Leads {
    fn lead_run(&mut self, key: RunKey, first: u32) -> anyhow::Result<()> {
        self.runs.insert(key, first);
        Ok(())
    }

    fn lead_question(&mut self, hash: u64, slot: u32) -> anyhow::Result<()> {
        anyhow::ensure!(leads::lead(&self.lines(Hash(hash)), Hash(hash), slot), "both lines are full");
        Ok(())
    }

    fn drop_interface(&mut self, ifindex: u32) {
        self.runs.retain(|key, _| Link::from_cell(key.link).ifindex != ifindex);
    }

    fn drop_question(&mut self, hash: u64, slot: u32) {
        leads::drop(&self.lines(Hash(hash)), Hash(hash), slot);
    }
}

/// All that the packet logic looks at.
pub struct Seen<'a> {
    /// Slots and answers.
    pub table: &'a Table,
    /// What leads to them.
    pub leads: &'a Leads,
    /// The keys of questions.
    pub keys: &'a Keys,
    /// Our addresses.
    pub ours: &'a HashSet<NetAddr>,
    /// When the daemon was last seen alive.
    pub heartbeat: u64,
}

/// What becomes of a frame.
#[derive(Clone, Debug)]
pub struct Fate {
    /// What the packet logic says.
    pub verdict: Verdict,
    /// The frame that it leaves.
    pub frame: Vec<u8>,
    /// How it goes up, if it does.
    pub up: Option<(Ring, Why)>,
}

/// A word that an answer rests on.
#[derive(Clone, Copy, Debug)]
pub struct Promise<'a> {
    slot: Slot<SharedCells<'a>>,
    /// As it was judged.
    judged: Word,
    /// As the answer leaves it.
    promised: Word,
}

impl Promise<'_> {
    /// Makes the promise.
    pub fn make(&self) {
        self.slot.swap_word(self.judged, self.promised).unwrap();
    }

    /// Whether somebody else has made it. His clock may have been read in another second.
    #[must_use]
    pub fn is_made(&self) -> bool {
        let word = self.slot.word();
        let other = |secs| {
            let expiry = dhcp_ebpf::lease::BootSecs(self.promised.expiry().0.saturating_add_signed(secs));
            self.judged.granted(expiry)
        };
        (-2..=2).any(|secs| other(secs) == word)
    }
}

impl<'a> Seen<'a> {
    /// What becomes of a frame that comes in now. Nothing is changed.
    #[must_use]
    pub fn judge(&self, frame: &[u8], now: u64) -> (Fate, Option<Promise<'a>>) {
        self.judge_in(frame, ROOM, now)
    }

    /// The same when there is so much room before the frame, and behind it.
    #[must_use]
    pub fn judge_in(&self, frame: &[u8], room: (usize, usize), now: u64) -> (Fate, Option<Promise<'a>>) {
        let mut buffer = vec![0xa5; room.0];
        buffer.extend_from_slice(frame);
        buffer.resize(buffer.len() + room.1, 0xa5);
        let mut written = HostFrame::with_headroom(&mut buffer, room.0, frame.len());
        let maps = Dry { seen: self, promise: Cell::new(None) };
        let mut verdict = renewal::handle(&mut written, &&maps, IFINDEX, Now::at(now));
        let mut up = None;
        if let Verdict::Up(why) = verdict {
            match renewal::triage(&mut written, &&maps, IFINDEX, now) {
                Err(passed) => verdict = Verdict::Pass(passed),
                Ok(_) if written.len() > RECORD_LARGE => verdict = Verdict::Drop(Dropped::TooLong),
                Ok(Triaged { message, .. }) => {
                    let why = Why::from_number(message.reason(why as usize) as u8).unwrap();
                    verdict = Verdict::Up(why);
                    up = Some((message.ring(), why));
                }
            }
        }
        let frame = written.bytes().to_vec();
        (Fate { verdict, frame, up }, maps.promise.get())
    }
}

/// Maps in which nothing is changed.
struct Dry<'s, 'a> {
    seen: &'s Seen<'a>,
    promise: Cell<Option<Promise<'a>>>,
}

/// Cells that are read, and a word whose change is noted.
#[derive(Clone, Copy)]
struct DryCells<'d, 'a> {
    cells: SharedCells<'a>,
    promise: &'d Cell<Option<Promise<'a>>>,
}

impl Cells for DryCells<'_, '_> {
    fn load(&self, cell: usize) -> u64 {
        self.cells.load(cell)
    }

    fn swap(&self, cell: usize, from: u64, to: u64) -> Result<(), u64> {
        let found = self.cells.load(cell);
        if found != from {
            return Err(found);
        }
        // Of a slot nothing else is ever swapped.
        self.promise.set(Some(Promise { slot: Slot(self.cells), judged: Word(from), promised: Word(to) }));
        Ok(())
    }
}

impl<'d, 'a> Maps for &'d Dry<'_, 'a> {
    type Cells = DryCells<'d, 'a>;

    fn interface(&self, ifindex: u32) -> Option<Mac> {
        (ifindex == IFINDEX).then(|| OURS.into())
    }

    fn is_ours(&self, address: NetAddr) -> bool {
        self.seen.ours.contains(&address)
    }

    fn keys(&self) -> Option<&Keys> {
        Some(self.seen.keys)
    }

    fn run(&self, key: RunKey) -> Option<u32> {
        self.seen.leads.runs.get(&key).copied()
    }

    fn asked(&self, hash: Hash) -> Option<u32> {
        leads::find(&self.seen.leads.lines(hash), hash)
    }

    fn slot(&self, index: u32) -> Option<Slot<Self::Cells>> {
        let Slot(cells) = self.seen.table.memory().0.slot(index)?;
        Some(Slot(DryCells { cells, promise: &self.promise }))
    }

    fn chunk(&self, index: u32) -> Option<Self::Cells> {
        let cells = self.seen.table.memory().1.element(index, CHUNK_CELLS)?;
        Some(DryCells { cells, promise: &self.promise })
    }

    fn heartbeat(&self) -> u64 {
        self.seen.heartbeat
    }

    fn sheds(&self) -> bool {
        false
    }
}
