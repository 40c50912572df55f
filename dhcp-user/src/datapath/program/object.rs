//! The BPF object that the binary carries: its program, its maps, which of them are pinned and how large they are made.

use anyhow::{Context as _, Result, bail};
use aya::Ebpf;
use aya::maps::Map;
use aya::programs::Xdp;
use dhcp_ebpf::abi::{maps, programs};

use crate::datapath::leases::memory::Region;

/// The program, built beside this crate and carried inside its binary.
pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("XDHCPD_BPF_OBJECT"));

/// Maps that are pinned. Logs, constants, and what a CPU remembers belong to one load of the program.
pub const PINNED_MAPS: [&str; 12] = [
    maps::SLOTS,
    maps::CHUNKS,
    maps::RUNS,
    maps::QUESTIONS,
    maps::KEYS,
    maps::CONTROL,
    maps::INTERFACES,
    maps::STATIONS,
    maps::ADDRESSES,
    maps::COUNTERS,
    maps::BEGUN,
    maps::FRESH,
];

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

/// The program that answers.
///
/// # Errors
/// When the object has none.
pub(super) fn xdp(ebpf: &mut Ebpf) -> Result<&mut Xdp> {
    Ok(ebpf.program_mut(programs::XDHCPD).context("the BPF object has no DHCP program")?.try_into()?)
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
