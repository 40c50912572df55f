//! The generator's BPF object: found, loaded with maps of the right size, and its memory mapped.

use anyhow::{Context, Result, bail};
use aya::maps::Map;
use aya::programs::{TracePoint, Xdp};
use aya::{Ebpf, EbpfLoader};
use load_ebpf::lane::{LANES, Lane, SORTS, TURN_CELLS};
use load_ebpf::latency::{BUCKETS, KINDS};
use load_ebpf::{counts, lane, maps, programs};
use std::path::PathBuf;

use super::memory::Shared;

/// What the floor says: an ACK with a server identifier, a lease time and END.
const FLOOR_ANSWER: [u64; 8] = [
    u64::from_ne_bytes([53, 1, 5, 54, 4, 10, 0, 0]),
    u64::from_ne_bytes([1, 51, 4, 0, 0, 14, 16, 1]),
    u64::from_ne_bytes([4, 255, 0, 0, 0, 3, 4, 10]),
    u64::from_ne_bytes([0, 0, 1, 6, 4, 10, 0, 0]),
    u64::from_ne_bytes([53, 255, 0, 0, 0, 0, 0, 0]),
    0,
    0,
    0,
];

/// The programs and their memory.
#[derive(Debug)]
pub(crate) struct Object {
    ebpf: Ebpf,
    pub(crate) clients: Shared,
    pub(crate) pool: Shared,
    traced: Shared,
    pub(crate) lanes: Shared,
    pub(crate) turns: Shared,
    pub(crate) counts: Shared,
    pub(crate) latencies: Shared,
}

impl Object {
    /// Loads it with room for so many clients and addresses.
    ///
    /// # Errors
    /// When there is no object, or the kernel refuses it or the memory.
    pub(crate) fn load(clients: u32, addresses: u32) -> Result<Self> {
        let path = path()?;
        let octets = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let cpus = elements(cpus()?)?;
        let (lanes, rows) = (elements(LANES)?, elements(KINDS * BUCKETS)?);
        let mut loader = EbpfLoader::new();
        loader
            .map_max_entries(maps::CLIENTS, clients)
            .map_max_entries(maps::OWNERS, addresses)
            .map_max_entries(maps::FLOOR, addresses)
            .map_max_entries(maps::TURNS, cpus * lanes)
            .map_max_entries(maps::COUNTS, cpus)
            .map_max_entries(maps::LATENCIES, cpus * rows);
        let mut ebpf =
            loader.load(&octets).with_context(|| format!("cannot make the maps of {}", path.display()))?;
        // First, since programs refer to maps by descriptor, and taking a map closes it.
        for lane in [Lane::Discover, Lane::Renew, Lane::Release, Lane::Decline] {
            load_program(&mut ebpf, lane.program())?;
        }
        load_program(&mut ebpf, programs::RECEIVE)?;
        load_program(&mut ebpf, programs::REFLECT)?;
        load_program(&mut ebpf, programs::FLOOR)?;
        for name in [programs::XMIT, programs::REDIRECT_ERR] {
            tracing(&mut ebpf, name)?
                .load()
                .with_context(|| format!("the kernel refuses the program {name}"))?;
        }
        let mut memory = |name: &str, elements: u32, cells: usize| {
            mapped(&mut ebpf, name, elements as usize * cells).with_context(|| format!("map {name}"))
        };
        let clients = memory(maps::CLIENTS, clients, 2)?;
        let pool = memory(maps::POOL, 1, 1)?;
        let traced = memory(maps::TRACED, 1, 1)?;
        let turns = memory(maps::TURNS, cpus * lanes, TURN_CELLS)?;
        let lanes = memory(maps::LANES, lanes * elements(SORTS)?, lane::CELLS)?;
        memory(maps::FLOOR_ANSWER, 1, FLOOR_ANSWER.len())?.write(0, &FLOOR_ANSWER);
        let counts = memory(maps::COUNTS, cpus, counts::CELLS)?;
        let latencies = memory(maps::LATENCIES, cpus * rows, 1)?;
        Ok(Self { ebpf, clients, pool, traced, lanes, turns, counts, latencies })
    }

    /// From now on counts what an interface does not send. One of the same index in another network namespace, which a
    /// tracepoint can't tell from it, had better not drop anything meanwhile.
    ///
    /// # Errors
    /// Without tracefs.
    pub(crate) fn trace_drops(&mut self, ifindex: u32) -> Result<()> {
        self.traced.write(0, &[ifindex.into()]);
        for (name, event) in
            [(programs::XMIT, "xdp_devmap_xmit"), (programs::REDIRECT_ERR, "xdp_redirect_err")]
        {
            tracing(&mut self.ebpf, name)?.attach("xdp", event).with_context(|| {
                format!("cannot trace {event} (`mount -t tracefs tracefs /sys/kernel/tracing`, if it is not there)")
            })?;
        }
        Ok(())
    }

    /// A program of the object.
    ///
    /// # Errors
    /// When there is no such program.
    pub(crate) fn program(&self, name: &str) -> Result<&Xdp> {
        let program = self.ebpf.program(name).with_context(|| format!("there is no program {name}"))?;
        Ok(program.try_into()?)
    }
}

/// How many CPUs the kernel may have.
pub(crate) fn cpus() -> Result<usize> {
    aya::util::nr_cpus().map_err(|(_, error)| error).context("cannot tell how many CPUs there are")
}

fn elements(count: usize) -> Result<u32> {
    u32::try_from(count).context("too many elements for a map")
}

fn mapped(ebpf: &mut Ebpf, name: &str, cells: usize) -> Result<Shared> {
    match ebpf.take_map(name) {
        Some(Map::Array(map)) => Shared::map(map.fd(), cells),
        _ => bail!("the object has no such array"),
    }
}

fn load_program(ebpf: &mut Ebpf, name: &str) -> Result<()> {
    let program = ebpf.program_mut(name).with_context(|| format!("the object has no program {name}"))?;
    <&mut Xdp>::try_from(program)?.load().with_context(|| format!("the kernel refuses the program {name}"))
}

fn tracing<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut TracePoint> {
    let program = ebpf.program_mut(name).with_context(|| format!("the object has no program {name}"))?;
    Ok(program.try_into()?)
}

/// Where `cargo xtask build` puts the object: `bpf/load.o` in the target directory that this program was built into.
fn path() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("XDHCPD_LOAD_OBJECT") {
        return Ok(path.into());
    }
    let program = std::env::current_exe()?;
    let mut places = program.ancestors().map(|dir| dir.join("bpf/load.o"));
    places.find(|path| path.exists()).with_context(|| {
        format!(
            "there is no bpf/load.o above {}: run `cargo xtask build`, or name it in XDHCPD_LOAD_OBJECT",
            program.display()
        )
    })
}
