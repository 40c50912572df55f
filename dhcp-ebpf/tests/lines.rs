//! Which lines of memory an answer touches, so that they do not become more unnoticed: among many leases no line of a slot is
//! ever in a cache, and each costs more than all instructions together.

mod twin;

use dhcp_ebpf::abi::{Mac, NetAddr, RunKey};
use dhcp_ebpf::frame::HostFrame;
use dhcp_ebpf::lease::Now;
use dhcp_ebpf::question::{Hash, Keys};
use dhcp_ebpf::renewal::{self, Maps};
use dhcp_ebpf::slot::{Cells, Slot};
use dhcp_ebpf::verdict::Verdict;
use std::cell::RefCell;
use std::collections::BTreeSet;
use twin::maps::{HeapCells, Twin};
use twin::sent::{Sent, State, Way};
use twin::*;

/// Cells of a line.
const LINE: usize = 8;

/// A line of map memory: of a slot, or of a chunk of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    Slot(u32, usize),
    Chunk(u32, usize),
}

/// The maps, with a note of each line of slots and answers that is read, swapped or asked for.
struct Watched<'a> {
    twin: &'a Twin,
    touched: RefCell<BTreeSet<Line>>,
}

/// Cells with a note of each that is touched.
#[derive(Clone, Copy)]
struct WatchedCells<'a> {
    cells: HeapCells<'a>,
    line: fn(u32, usize) -> Line,
    index: u32,
    touched: &'a RefCell<BTreeSet<Line>>,
}

impl WatchedCells<'_> {
    fn touch(&self, cell: usize) {
        self.touched.borrow_mut().insert((self.line)(self.index, cell / LINE));
    }
}

impl Cells for WatchedCells<'_> {
    fn load(&self, cell: usize) -> u64 {
        self.touch(cell);
        self.cells.load(cell)
    }

    fn fetch_ahead(&self, cell: usize) {
        self.touch(cell);
    }

    fn swap(&self, cell: usize, from: u64, to: u64) -> Result<(), u64> {
        self.touch(cell);
        self.cells.swap(cell, from, to)
    }
}

impl<'a> Maps for &'a Watched<'a> {
    type Cells = WatchedCells<'a>;

    fn interface(&self, ifindex: u32) -> Option<Mac> {
        self.twin.interface(ifindex)
    }

    fn is_ours(&self, address: NetAddr) -> bool {
        self.twin.is_ours(address)
    }

    fn keys(&self) -> Option<&Keys> {
        self.twin.keys
    }

    fn run(&self, key: RunKey) -> Option<u32> {
        self.twin.run(key)
    }

    fn asked(&self, hash: Hash) -> Option<u32> {
        self.twin.asked(hash)
    }

    fn slot(&self, index: u32) -> Option<Slot<WatchedCells<'a>>> {
        let Slot(cells) = self.twin.slot(index)?;
        Some(Slot(WatchedCells { cells, line: Line::Slot, index, touched: &self.touched }))
    }

    fn chunk(&self, index: u32) -> Option<WatchedCells<'a>> {
        let cells = self.twin.chunk(index)?;
        Some(WatchedCells { cells, line: Line::Chunk, index, touched: &self.touched })
    }

    fn heartbeat(&self) -> u64 {
        self.twin.heartbeat
    }

    fn sheds(&self) -> bool {
        self.twin.sheds
    }
}

/// How many lines of its slot and of its answer a request touches that is answered.
fn lines(twin: &Twin, sent: &Sent) -> (usize, usize) {
    let watched = Watched { twin, touched: RefCell::default() };
    let frame = sent.frame();
    let mut buffer = [&frame[..], &[0; 1024]].concat();
    let mut room = HostFrame::new(&mut buffer, frame.len());
    let verdict = renewal::handle(&mut room, &&watched, IFINDEX, Now::at(NOW));
    assert!(matches!(verdict, Verdict::Reply(_)), "{verdict:?}");
    let touched = watched.touched.borrow();
    let slots = touched.iter().filter(|line| matches!(line, Line::Slot(..))).count();
    (slots, touched.len() - slots)
}

/// The head of an answer and its body, in lines.
fn lines_of(answer: &Answer) -> usize {
    let head = 8 * dhcp_ebpf::slot::ANSWER_HEAD;
    (head + answer.body().1.len()).div_ceil(8 * LINE)
}

#[test]
fn the_likeliest_question_is_known_by_the_first_line_of_its_slot() {
    for way in [Way::Direct, Way::Router, Way::Relay] {
        for len in [60, 104, 236, 400, 744] {
            let (sent, answer) = (Sent::request(State::Renewing, way), Answer::of_len(len));
            let found = lines(&Twin::knowing(&sent, &answer), &sent);
            assert_eq!(found, (1, lines_of(&answer)), "{way:?}, {len} octets");
        }
    }
}

#[test]
fn any_other_question_takes_the_second_line_too() {
    let [renewing, rebinding, reboot] =
        [State::Renewing, State::Rebinding, State::InitReboot].map(|state| Sent::request(state, Way::Direct));
    let answer = Answer::of_len(104);
    // Both are asked with the same options: one question, however it was sent.
    let others = [renewing.clone().lengthened(120), reboot];
    let mut twin = Twin::new();
    let known: Vec<(&Sent, &Answer)> =
        [&renewing].into_iter().chain(&others).map(|sent| (sent, &answer)).collect();
    twin.grant(&renewing.lease(), &known);
    for sent in [&renewing, &rebinding] {
        assert_eq!(lines(&twin, sent), (1, lines_of(&answer)));
    }
    for sent in &others {
        assert_eq!(lines(&twin, sent), (2, lines_of(&answer)));
    }
}
