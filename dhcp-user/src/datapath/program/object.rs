//! The BPF object in the binary: its programs, its maps, and their sizes.

use anyhow::{Context as _, Result, bail};
use aya::maps::Map;
use aya::programs::{ProgramError, Xdp};
use aya::{Ebpf, EbpfLoader};
use dhcp_ebpf::abi::{self, constants, maps, programs};
use dhcp_ebpf::leads;

use super::pins::{PINNED_MAPS, Pins};
use crate::datapath::leases::memory::Region;

/// The program, built beside this crate and carried inside its binary.
pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("XDHCPD_BPF_OBJECT"));

/// How many interfaces the program can be on.
pub const INTERFACES: u32 = 256;
/// At how many addresses it can take DHCP for ours, in maps that are made now.
pub const ADDRESSES: u32 = 32 * 1024;

/// How much the maps are to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Leases.
    pub slots: u32,
    /// Pieces of answers.
    pub chunks: u32,
}

/// How many lines of questions there are to be.
pub(super) const fn lines(sizes: Sizes) -> u32 {
    leads::lines_for(sizes.slots)
}

/// Loads the object over maps that are pinned, or pins new ones of these sizes.
///
/// `lines` is how many lines of questions there are: [`lines`] of the sizes.
pub(super) fn loader<'a>(pins: &Pins, sizes: Sizes, lines: &'a u32, rest: Rest) -> EbpfLoader<'a> {
    let Sizes { slots, chunks } = sizes;
    let mut loader = EbpfLoader::new();
    loader
        .map_max_entries(maps::SLOTS, slots)
        .map_max_entries(maps::CHUNKS, chunks)
        .override_global(constants::QUESTION_LINES, lines, true)
        .map_max_entries(maps::QUESTIONS, *lines)
        .map_max_entries(maps::INTERFACES, INTERFACES)
        .map_max_entries(maps::ADDRESSES, ADDRESSES)
        .map_max_entries(maps::RUNS, (slots / abi::RUN * 4).max(1024));
    for name in PINNED_MAPS {
        loader.map_pin_path(name, pins.map(name));
    }
    if rest == Rest::HandedOn {
        loader.map_pin_path(maps::NEXT, pins.map(maps::NEXT));
    }
    loader
}

/// What becomes of frames that are not for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// They go to the host's stack.
    ToTheHost,
    /// Another's program gets them.
    HandedOn,
}

impl Rest {
    /// The program that answers.
    pub(super) const fn answering(self) -> &'static str {
        match self {
            Self::ToTheHost => programs::XDHCPD,
            Self::HandedOn => programs::XDHCPD_NEXT,
        }
    }

    /// The one in its place while somebody captures.
    pub(super) const fn capturing(self) -> &'static str {
        match self {
            Self::ToTheHost => programs::CAPTURING,
            Self::HandedOn => programs::CAPTURING_NEXT,
        }
    }
}

/// A program of the object.
///
/// # Errors
/// When the object has none of that name.
pub(super) fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    Ok(ebpf.program_mut(name).with_context(|| format!("the BPF object has no program {name}"))?.try_into()?)
}

/// The memory of a map of `cells` cells.
///
/// # Errors
/// When it is of another type, or can't be mapped.
pub(super) fn region(map: &Map, cells: usize) -> Result<Region> {
    let (Map::Array(data) | Map::HashMap(data)) = map else {
        bail!("the BPF object has a map of the wrong type")
    };
    Region::mapped(data.fd(), cells)
}

/// Lines of the verifier's report that are shown: the last ones have the reason.
const REASON: usize = 12;

/// The message for the operator when the kernel doesn't take the program. The verifier reports every instruction that
/// it has checked: the one that it refused comes last.
pub(super) fn refused(error: ProgramError) -> anyhow::Error {
    let ProgramError::LoadError { io_error, verifier_log } = error else {
        return anyhow::Error::from(error).context("the kernel refused the XDP program");
    };
    let report = verifier_log.to_string();
    let lines: Vec<&str> = report.lines().filter(|line| !line.trim().is_empty()).collect();
    let reason = lines.get(lines.len().saturating_sub(REASON)..).unwrap_or_default().join("\n");
    anyhow::anyhow!("the kernel refused the XDP program ({io_error}); its verifier said last:\n{reason}")
}
