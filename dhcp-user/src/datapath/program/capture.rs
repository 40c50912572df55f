//! Captures in the kernel: while somebody captures, another program replaces the one that answers. It does the same,
//! and copies frames into a ring.
//!
//! Each attachment is changed from one program to the other by one system call, so that each frame meets one of them.
//! They share all pinned maps. The end of a capture puts the plain program back. A daemon that is killed meanwhile
//! leaves that to the next, which attaches its own program everywhere.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray, RingBuf};
use bytes::Bytes;
use dhcp_ebpf::abi::capture::{Header, LEFT};
use dhcp_ebpf::abi::maps;
use dhcp_ebpf::verdict::{Dropped, Passed, Renewal, Verdict};

use super::object::{self, OBJECT, Rest, Sizes};
use super::pins::{LinkPin, Pins};
use crate::capture::{Captured, Direction};
use crate::clock::BootNanos;

/// Octets of the ring: as many as 2,700 frames take.
const RING: u32 = 4 << 20;

/// The means of a capture in the kernel.
#[derive(Debug)]
pub struct Means {
    pub(super) pins: Pins,
    pub(super) sizes: Sizes,
    pub(super) rest: Rest,
    /// The program that answers.
    pub(super) plain: OwnedFd,
    pub(super) instead: CapturingProgram,
}

/// The kernel's number of the program that is in the place of the one that answers; zero for none.
#[derive(Clone, Debug, Default)]
pub struct CapturingProgram(Arc<AtomicU32>);

impl CapturingProgram {
    /// Whether this is that program.
    #[must_use]
    pub fn is(&self, program: u32) -> bool {
        program != 0 && self.0.load(Ordering::Acquire) == program
    }
}

/// A capture in the kernel. When it is dropped the plain program is in its place again.
pub struct Tap {
    means: Means,
    capturing: OwnedFd,
    number: u32,
    ring: RingBuf<MapData>,
    missed: PerCpuArray<MapData, u64>,
    told: u64,
    /// Where the capturing program is.
    placed: Vec<LinkPin>,
    _ebpf: Ebpf,
}

impl Means {
    /// Loads the capturing program, and puts it into every attachment.
    ///
    /// # Errors
    /// When the kernel refuses any of it; the plain program is everywhere then.
    pub fn open(self) -> Result<Tap> {
        let lines = object::lines(self.sizes);
        let mut loader = object::loader(&self.pins, self.sizes, &lines, self.rest);
        loader.override_global(aya_log::LEVEL, &0_u8, false).map_max_entries(maps::CAPTURED, RING);
        let mut ebpf = loader.load(OBJECT).context("making the maps of a capture")?;
        let program = object::xdp(&mut ebpf, self.rest.capturing())?;
        program.load().context("the kernel refused the program that captures")?;
        let number = program.info().context("asking for the number of the program that captures")?.id();
        let capturing =
            program.fd()?.as_fd().try_clone_to_owned().context("keeping the program that captures")?;
        let mut take =
            |name: &str| ebpf.take_map(name).with_context(|| format!("the BPF object has no map {name}"));
        let ring = take(maps::CAPTURED)?.try_into()?;
        let missed = take(maps::UNCAPTURED)?.try_into()?;
        self.instead.0.store(number, Ordering::Release);
        let mut tap =
            Tap { means: self, capturing, number, ring, missed, told: 0, placed: Vec::new(), _ebpf: ebpf };
        tap.cover()?;
        Ok(tap)
    }
}

impl Tap {
    /// Puts the program into attachments that have come since this was last done.
    ///
    /// # Errors
    /// When one can't be changed.
    pub fn cover(&mut self) -> Result<()> {
        let pins = self.means.pins.links()?;
        self.placed.retain(|placed| pins.contains(placed));
        for pin in pins {
            if !self.placed.contains(&pin) {
                pin.exchange(self.means.plain.as_fd(), self.capturing.as_fd())
                    .with_context(|| format!("capturing on {}", pin.interface))?;
                self.placed.push(pin);
            }
        }
        // The daemon may have put the plain program there since.
        let entry = self.means.pins.entry();
        if entry.is_there() {
            entry.put(self.capturing.as_fd()).context("capturing what another's program calls")?;
        }
        Ok(())
    }

    /// The next frame; none for now.
    pub fn take(&mut self) -> Option<Captured> {
        while let Some(record) = self.ring.next() {
            if let Some(captured) = read(&record) {
                return Some(captured);
            }
        }
        None
    }

    /// How many frames the ring had no room for since this was last asked.
    pub fn missed(&mut self) -> u64 {
        let all: u64 = self.missed.get(&0, 0).map_or(self.told, |counts| counts.iter().sum());
        let new = all.saturating_sub(self.told);
        self.told = all;
        new
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let ring: RawFd = self.ring.as_raw_fd();
        // SAFETY: the descriptor belongs to the ring, which lives as long as `self`.
        unsafe { BorrowedFd::borrow_raw(ring) }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        for pin in &self.placed {
            let back = pin.exchange(self.capturing.as_fd(), self.means.plain.as_fd());
            if let Err(error) = back
                && error.kind() != io::ErrorKind::NotFound
            {
                // It has another program by now: a later capture's, or this daemon attached anew.
                tracing::debug!(%error, interface = pin.interface, "the plain program is not put back");
            }
        }
        let entry = self.means.pins.entry();
        if entry.is_there()
            && let Err(error) = entry.put(self.means.plain.as_fd())
        {
            tracing::warn!(%error, "another's program goes on calling the program that captures");
        }
        let _ = self.means.instead.0.compare_exchange(self.number, 0, Ordering::AcqRel, Ordering::Relaxed);
    }
}

fn read(record: &[u8]) -> Option<Captured> {
    let (header, rest) = record.split_at_checked(size_of::<Header>())?;
    let at = u64::from_ne_bytes(*header.first_chunk()?);
    let ifindex = u32::from_ne_bytes(*header.get(8..)?.first_chunk()?);
    let len = usize::from(u16::from_ne_bytes(*header.get(12..)?.first_chunk()?));
    let (counter, direction) = (*header.get(14)?, *header.get(15)?);
    let frame = Bytes::copy_from_slice(rest.get(..len.min(rest.len()))?);
    let direction = if direction == LEFT { Direction::Out } else { Direction::In };
    let comment = comment(u32::from(counter), direction);
    Some(Captured { at: BootNanos(at), ifindex, direction, comment, frame, len })
}

/// The outcome of a frame with this counter, as a comment.
fn comment(counter: u32, direction: Direction) -> String {
    if let Some(state) = Renewal::ALL.iter().find(|state| Verdict::Reply(**state).counter() == counter) {
        return match direction {
            Direction::In => format!("answered by the kernel: {}", state.name()),
            Direction::Out => format!("the kernel's answer: {}", state.name()),
        };
    }
    let passed = Passed::ALL.iter().find(|why| Verdict::Pass(**why).counter() == counter);
    let dropped = Dropped::ALL.iter().find(|why| Verdict::Drop(**why).counter() == counter);
    match (passed, dropped) {
        (Some(why), _) => format!("passed to the host's stack: {}", why.name()),
        (_, Some(why)) => format!("dropped by the kernel: {}", why.name()),
        _ => format!("counted by the kernel as {counter}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_tells_of_its_frame_and_nonsense_of_none() {
        let counter = Verdict::Reply(Renewal::Rebinding).counter();
        let record = [
            &7_u64.to_ne_bytes()[..],
            &3_u32.to_ne_bytes(),
            &4_u16.to_ne_bytes(),
            &[u8::try_from(counter).unwrap(), LEFT],
            b"abcdefgh",
        ];
        let captured = read(&record.concat()).unwrap();
        assert_eq!((captured.at, captured.ifindex, &captured.frame[..]), (BootNanos(7), 3, &b"abcd"[..]));
        assert_eq!(captured.comment, "the kernel's answer: rebinding");
        assert!(read(b"short").is_none());
    }

    #[test]
    fn each_outcome_has_its_name() {
        let passed = Verdict::Pass(Passed::NotForUs).counter();
        assert_eq!(comment(passed, Direction::In), "passed to the host's stack: not-for-us");
        let dropped = Verdict::Drop(Dropped::Raced).counter();
        assert_eq!(comment(dropped, Direction::In), "dropped by the kernel: raced");
    }
}
