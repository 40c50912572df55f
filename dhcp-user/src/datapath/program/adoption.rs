//! Adoption of an earlier daemon's pins: maps that stay in use, maps that have become too small, or nothing of use.
//!
//! Maps that are too small go on answering while larger ones are made and take over all their contents:
//!
//! ```text
//! marked as in the making ─► larger ones pinned in their place ─► filled ─► program replaced in every attachment
//!   ─► promises made meanwhile taken over, the old words dead ─► marked as made
//! ```
//!
//! A daemon that finds maps marked as in the making takes nothing from them: an earlier daemon ended before all
//! promises were in. The store knows how far each of these can go at most.

use std::collections::HashSet;
use std::path::Path;

use anyhow::Result;
use aya::maps::MapData;
use dhcp_ebpf::abi::{self, Control, Link, RUN, RunKey, maps};
use dhcp_ebpf::publish;
use dhcp_ebpf::slot::{CHUNK_CELLS, Cells as _, CellsMut as _, MEMOS, SLOT_CELLS, Slot};

use super::object::Sizes;
use super::pins::{self, Pins};
use crate::datapath::leases::hints::Hints;
use crate::datapath::leases::memory::{Region, SharedCells};
use crate::datapath::leases::notes::Notes;

/// Maps whose sizes depend on the configuration. All others stay.
const SIZED: [&str; 4] = [maps::SLOTS, maps::CHUNKS, maps::RUNS, maps::QUESTIONS];

/// The use of the pinned maps.
pub(super) enum Pinned {
    /// They serve on, and are this large.
    Fit(Sizes),
    /// They are too small.
    Outgrown(Outgrown),
    /// There are none, or none of use: they were unpinned.
    Nothing,
}

impl Pinned {
    /// Looks at them. The leases of maps that are of no use are in the store.
    ///
    /// # Errors
    /// When a pin can't be removed, or a map not be mapped.
    pub(super) fn look(pins: &Pins, needed: Sizes) -> Result<Self> {
        let Ok(control) = MapData::from_pin(pins.map(maps::CONTROL)) else {
            pins.remove_maps()?;
            return Ok(Self::Nothing);
        };
        let control = Region::mapped(control.fd(), Control::CELLS)?;
        let version = control.cells().load(Control::VERSION);
        if version != u64::from(abi::VERSION) {
            if version == IN_THE_MAKING {
                tracing::info!("an earlier start was cut short: its maps are made anew, from the store");
            } else {
                tracing::warn!(
                    found = version,
                    ours = abi::VERSION,
                    "the pinned maps are of another version; making new ones: the first renewal of each lease is \
                     answered by the daemon"
                );
            }
            pins.remove_maps()?;
            return Ok(Self::Nothing);
        }
        let Some((slots, chunks)) = sized(pins, maps::SLOTS).zip(sized(pins, maps::CHUNKS)) else {
            tracing::warn!("some of the pinned maps are gone; making new ones");
            pins.remove_maps()?;
            return Ok(Self::Nothing);
        };
        let there = Sizes { slots: slots.1, chunks: chunks.1 };
        if there.slots >= needed.slots && there.chunks >= needed.chunks {
            return Ok(Self::Fit(there));
        }
        tracing::info!(
            ?there,
            ?needed,
            "the pinned maps are too small for this configuration; making larger ones"
        );
        Ok(Self::Outgrown(Outgrown {
            slots: Region::mapped(slots.0.fd(), there.slots as usize * SLOT_CELLS)?,
            chunks: Region::mapped(chunks.0.fd(), there.chunks as usize * CHUNK_CELLS)?,
            control,
            sizes: Sizes { slots: there.slots.max(needed.slots), chunks: there.chunks.max(needed.chunks) },
        }))
    }

    /// How large the maps are, or are to be made.
    pub(super) const fn sizes(&self, needed: Sizes) -> Sizes {
        match self {
            Self::Fit(sizes) | Self::Outgrown(Outgrown { sizes, .. }) => *sizes,
            Self::Nothing => needed,
        }
    }
}

/// [`Control::VERSION`] of maps that are not, or not all, filled yet.
const IN_THE_MAKING: u64 = 0;

/// A pinned map and how many entries it has room for.
fn sized(pins: &Pins, name: &str) -> Option<(MapData, u32)> {
    let map = MapData::from_pin(pins.map(name)).ok()?;
    let entries = map.info().ok()?.max_entries();
    Some((map, entries))
}

/// How many entries a pinned map has room for.
pub(super) fn entries(pins: &Pins, name: &str) -> Option<u32> {
    sized(pins, name).map(|(_, entries)| entries)
}

/// Whether pinned maps are as large as `needed`.
pub(super) fn have_room(pins: &Pins, needed: Sizes) -> bool {
    let (slots, chunks) = (entries(pins, maps::SLOTS), entries(pins, maps::CHUNKS));
    slots.is_some_and(|slots| slots >= needed.slots) && chunks.is_some_and(|chunks| chunks >= needed.chunks)
}

/// Marks the maps as made: another daemon may take them over.
pub(super) fn made(control: &Region) {
    control.cells().store(Control::VERSION, u64::from(abi::VERSION));
}

/// The store whose promises the maps hold; `None` for maps that no store has made use of yet.
pub(super) fn store(control: &Region) -> Option<u128> {
    let cells = control.cells();
    let store = u128::from(cells.load(Control::STORE)) | u128::from(cells.load(Control::STORE + 1)) << 64;
    (store != 0).then_some(store)
}

/// The store whose promises the maps that are pinned at `dir` hold, and the number of the last commit that these rest
/// upon; `None` where there are no maps that could be taken over, or nothing was promised.
#[must_use]
pub fn rest_on(dir: &Path) -> Option<(u128, u64)> {
    let control = MapData::from_pin(Pins::at(dir).map(maps::CONTROL)).ok()?;
    let control = Region::mapped(control.fd(), Control::CELLS).ok()?;
    let cells = control.cells();
    let is_made = cells.load(Control::VERSION) == u64::from(abi::VERSION);
    let commit = cells.load(Control::COMMIT);
    (is_made && commit > 0).then_some((store(&control)?, commit))
}

/// Maps that are too small, still answered from.
pub(super) struct Outgrown {
    slots: Region,
    chunks: Region,
    control: Region,
    sizes: Sizes,
}

impl Outgrown {
    /// Makes way for larger ones. The program that answers holds on to these.
    ///
    /// # Errors
    /// When a pin can't be removed.
    pub(super) fn make_way(&self, pins: &Pins) -> Result<()> {
        self.control.cells().store(Control::VERSION, IN_THE_MAKING);
        SIZED.iter().try_for_each(|name| pins::remove(&pins.map(name)))
    }

    /// Fills new maps with all that these hold, each slot and chunk in its old place.
    ///
    /// # Errors
    /// When the kernel doesn't take what leads to the slots.
    pub(super) fn fill(&self, slots: &Region, chunks: &Region, hints: &mut impl Hints) -> Result<()> {
        copy(self.chunks.cells(), chunks.cells());
        copy(self.slots.cells(), slots.cells());
        lead(slots, hints)
    }

    /// Takes over the promises made from these maps since, and ends their words: a program that still reads them
    /// loses its swap.
    pub(super) fn hand_over(&self, slots: &Region) {
        for (old, new) in each(&self.slots).zip(each(slots)) {
            if old.word().alive() {
                let last = publish::suspend(&old);
                // Nobody but the kernel has changed the new word: it is alive, and of this generation.
                let _ = publish::extend(&new, last.generation(), last.expiry());
            }
        }
        made(&self.control);
    }
}

fn copy(from: SharedCells<'_>, to: SharedCells<'_>) {
    (0..from.len()).for_each(|cell| to.store(cell, from.load(cell)));
}

fn each(slots: &Region) -> impl Iterator<Item = Slot<SharedCells<'_>>> {
    let cells = slots.cells();
    (0..).map_while(move |index| cells.slot(index))
}

/// Leads requests to every live slot.
fn lead(slots: &Region, hints: &mut impl Hints) -> Result<()> {
    let mut led = HashSet::new();
    for (index, slot) in (0..).zip(each(slots)).filter(|(_, slot)| slot.word().alive()) {
        let key = RunKey::new(Link::from_cell(slot.link_cell()), slot.addresses().0);
        if led.insert(key) {
            hints.lead_run(key, index - index % RUN)?;
        }
        let notes = Notes::of(&slot);
        for memo in (0..MEMOS).filter(|memo| notes.is_led(*memo)) {
            // Without room the daemon is asked again.
            let _ = hints.lead_question(slot.memo_hash(memo), index);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dhcp_ebpf::abi::{Mac, NetAddr};
    use dhcp_ebpf::lease::{BootSecs, Word};
    use dhcp_ebpf::slot::{Echo, Identity, Memo, Place};

    use super::*;
    use crate::datapath::leases::hints::HeapHints;

    const LINK: Link = Link { ifindex: 7, outer: 0, inner: 0 };
    const HASH: u64 = 0x1234;

    fn outgrown() -> Outgrown {
        let sizes = Sizes { slots: 2 * RUN, chunks: 4 };
        let outgrown = Outgrown {
            slots: Region::heap(RUN as usize * SLOT_CELLS),
            chunks: Region::heap(2 * CHUNK_CELLS),
            control: Region::heap(Control::CELLS),
            sizes,
        };
        let identity = Identity {
            link: LINK,
            chaddr: Mac::from([2, 0, 0, 0, 0, 1]),
            address: NetAddr::from(std::net::Ipv4Addr::new(10, 0, 0, 10)),
            server: NetAddr::from(std::net::Ipv4Addr::new(10, 0, 0, 1)),
        };
        let memo = Memo { hash: HASH, place: Place(1), echo: Echo::NONE };
        let slot = slot(&outgrown.slots);
        publish::grant(&slot, Word::default(), &identity, BootSecs(900), &[memo], BootSecs(500)).unwrap();
        Notes::of(&slot).led(0).accounted(slot.word()).save(&slot);
        slot.set_basis(7);
        outgrown.chunks.cells().store(CHUNK_CELLS, 42);
        outgrown
    }

    fn slot(slots: &Region) -> Slot<SharedCells<'_>> {
        slots.cells().slot(10).unwrap()
    }

    fn larger(outgrown: &Outgrown) -> (Region, Region, HeapHints) {
        let slots = Region::heap(outgrown.sizes.slots as usize * SLOT_CELLS);
        let chunks = Region::heap(outgrown.sizes.chunks as usize * CHUNK_CELLS);
        let mut hints = HeapHints::default();
        outgrown.fill(&slots, &chunks, &mut hints).unwrap();
        (slots, chunks, hints)
    }

    #[test]
    fn larger_maps_hold_all_that_the_small_ones_held() {
        let outgrown = outgrown();
        let (slots, chunks, hints) = larger(&outgrown);
        assert_eq!(slot(&slots).word(), slot(&outgrown.slots).word());
        assert_eq!(slot(&slots).memo(0), slot(&outgrown.slots).memo(0));
        assert_eq!(slot(&slots).notes(), slot(&outgrown.slots).notes());
        assert_eq!((slot(&slots).basis(), slot(&slots).horizon()), (7, BootSecs(900)));
        assert_eq!(chunks.cells().load(CHUNK_CELLS), 42);
        assert_eq!(hints.questions.get(&HASH), Some(&10));
        let key = RunKey::new(LINK, std::net::Ipv4Addr::new(10, 0, 0, 99).into());
        assert_eq!(hints.runs.get(&key), Some(&0), "a run is led to by its first slot");
    }

    #[test]
    fn the_later_promise_of_both_holds_and_the_small_maps_promise_no_more() {
        for (by_the_old, by_the_new) in [(600, 550), (550, 600)].map(|(a, b)| (BootSecs(a), BootSecs(b))) {
            let outgrown = outgrown();
            let (slots, ..) = larger(&outgrown);
            let renewed = |slot: Slot<SharedCells<'_>>, until| {
                slot.swap_word(slot.word(), slot.word().extended(until)).unwrap()
            };
            let judged = renewed(slot(&outgrown.slots), by_the_old);
            renewed(slot(&slots), by_the_new);
            outgrown.hand_over(&slots);
            assert_eq!(slot(&slots).word().expiry(), BootSecs(600));
            assert!(slot(&slots).word().alive());
            let late = slot(&outgrown.slots).swap_word(judged, judged.extended(BootSecs(700)));
            assert!(late.is_err(), "an answer out of the small maps was on its way");
            assert_eq!(outgrown.control.cells().load(Control::VERSION), u64::from(abi::VERSION));
        }
    }
}
