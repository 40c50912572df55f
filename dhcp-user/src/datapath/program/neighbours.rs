//! Others' programs on the same interface: one that calls ours, and one that ours calls.
//!
//! A program that is attached calls ours by an array of its own, into which its owner puts what is pinned as `program`.
//! That is three instructions, and stays the same for as long as it is pinned: it counts, and goes on with the program
//! in our array of one, `ENTRY`. So an upgrade, or a capture, exchanges the program there, and nobody has to touch the
//! other's array.
//!
//! The other way round, an array of one, `NEXT`, has another's program, which gets each frame that would go to the host's
//! stack.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use aya::EbpfLoader;
use aya::maps::{Map, MapData, PerCpuArray};
use dhcp_ebpf::abi::{self, maps, programs};

use super::identity::Identity;
use super::object::{self, OBJECT};
use super::pins::{self, Pins};

/// Pins what others' programs are to call, unless it is there. It finds no program yet if it is new.
///
/// # Errors
/// When the kernel refuses the program, or it can't be pinned.
pub(super) fn provide_entry(pins: &Pins) -> Result<()> {
    let callable = pins.callable();
    if callable.exists() && pins.entry().is_there() && pins.map(maps::CALLED).exists() {
        return Ok(());
    }
    if callable.exists() {
        tracing::warn!(
            pin = %callable.display(),
            "its maps are gone: it is made anew, and has to be put into the other program's array again"
        );
    }
    pins.remove_entry()?;
    let mut loader = EbpfLoader::new();
    loader.map_max_entries(maps::CALLED, abi::STATIONS).override_global(aya_log::LEVEL, &0_u8, false);
    for name in [maps::ENTRY, maps::CALLED] {
        loader.map_pin_path(name, pins.map(name));
    }
    let mut ebpf = loader.load(OBJECT).context("making the maps of what others' programs call")?;
    let entry = object::xdp(&mut ebpf, programs::ENTRY)?;
    entry.load().map_err(object::refused)?;
    entry.pin(&callable).with_context(|| format!("pinning {}", callable.display()))?;
    tracing::info!(pin = %callable.display(), "to be put into the array of the program that is to call it");
    Ok(())
}

/// What has to stay pinned for others' programs to call ours.
pub(super) fn called_by(pins: &Pins) -> [PathBuf; 3] {
    [pins.callable(), pins.entry().path().to_owned(), pins.map(maps::CALLED)]
}

/// How many frames another's program has called ours for, on an interface.
pub(super) fn called(pins: &Pins, ifindex: u32) -> u64 {
    let Ok(map) = MapData::from_pin(pins.map(maps::CALLED)) else { return 0 };
    let Ok(counts) = PerCpuArray::<_, u64>::try_from(Map::PerCpuArray(map)) else { return 0 };
    counts.get(&ifindex, 0).map_or(0, |counts| counts.iter().sum())
}

/// Has a program that is pinned somewhere get what goes to the host's stack.
///
/// # Errors
/// When nothing is pinned there, or it is nothing that ours could call.
pub(super) fn hand_on_to(pins: &Pins, program: &Path) -> Result<()> {
    let shown = program.display();
    let next = match pins::opened(program) {
        Ok(next) => next,
        Err(error) => {
            bail!("`next-program`: no program can be had from {shown} ({error}): pin it there first")
        }
    };
    let there = Identity::of(&next).with_context(|| format!("looking what is pinned as {shown}"))?;
    if !there.is_xdp() {
        bail!("`next-program`: what is pinned as {shown} is {}: pin an XDP program there", there.name());
    }
    // The kernel says no more than that it won't: it doesn't show how a program was loaded.
    pins.next().put(next.as_fd()).with_context(|| {
        format!(
            "`next-program`: {shown} is {}, and the kernel doesn't let ours call it, since the two were loaded in different \
             ways. Either its loader left out the attach type (`expected_attach_type` has to be BPF_XDP: libbpf sets it for \
             the section `xdp`, as `bpftool prog load` does), or it takes frames in several buffers (section `xdp.frags`), or it \
             is bound to a device. Load it anew from the section `xdp`, and pin that",
            there.name()
        )
    })
}
