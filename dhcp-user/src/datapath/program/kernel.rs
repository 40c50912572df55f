//! The kernel part: loads the program, adopts or makes its maps, and sets its interfaces.

use std::collections::HashSet;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use aya::Pod;
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, RingBuf};
use dhcp_ebpf::abi::{self, Control, Link, Mac, NetAddr, RunKey, maps};
use dhcp_ebpf::leads;
use dhcp_ebpf::question::{Hash, Keys};
use dhcp_ebpf::slot::{CHUNK_CELLS, CellsMut as _, SLOT_CELLS};
use nix::errno::Errno;

use super::adoption::{self, Pinned};
use super::attachment::Attacher;
use super::capture::{CapturingProgram, Means};
use super::live_frames::LiveFrames;
use super::neighbours;
use super::object::{self, ADDRESSES, OBJECT, Rest, Sizes, region, xdp};
use super::pins::Pins;
use crate::datapath::frames::fill::Fill;
use crate::datapath::interfaces::netlink::Occupant;
use crate::datapath::leases::hints::Hints;
use crate::datapath::leases::memory::{self, Region, SharedCells};
use crate::reason;

/// How much the program logs of a frame's way: 0 nothing (it costs nothing then), 4 each DHCP decision.
pub type Diagnosis = u8;

/// A value of a map, as its raw bytes.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Raw<T>(T);

// SAFETY: each is a `repr(C)` or `repr(transparent)` integer or struct of integers without padding (the layouts
// are asserted in `abi`), so any bytes are a value and a value is only bytes.
unsafe impl Pod for Raw<RunKey> {}
// SAFETY: as above.
unsafe impl Pod for Raw<Mac> {}
// SAFETY: as above.
unsafe impl Pod for Raw<NetAddr> {}
// SAFETY: as above.
unsafe impl Pod for Raw<Keys> {}

/// The kernel part of this instance.
pub struct Kernel {
    pins: Pins,
    interfaces: HashMap<MapData, u32, Raw<Mac>>,
    stations: Array<MapData, Raw<Mac>>,
    addresses: HashMap<MapData, Raw<NetAddr>, u32>,
    /// The contents of that map; none before it was read.
    known: Option<HashSet<NetAddr>>,
    counters: PerCpuArray<MapData, u64>,
    control: Region,
    /// The kernel's number of the program.
    program: u32,
    /// The program itself.
    plain: OwnedFd,
    instead: CapturingProgram,
    sizes: Sizes,
    rest: Rest,
    fills: [(&'static str, Fill); 2],
    /// Keeps others away from the pins.
    _held: File,
}

/// The parts that the rest of the daemon takes from the kernel part.
pub struct Shared {
    /// Memory of the slots.
    pub slots: Region,
    /// Memory of the chunks.
    pub answers: Region,
    /// The keys of the question hash.
    pub keys: Box<Keys>,
    /// The maps that lead to slots.
    pub hints: MapHints,
    /// Exchanges already begun.
    pub begun: RingBuf<MapData>,
    /// Everything else that goes up.
    pub fresh: RingBuf<MapData>,
    /// The sender of many frames at once; none where the kernel doesn't allow it.
    pub live: Option<LiveFrames>,
    /// The store that live words were promised by, if the maps were there before.
    pub adopted_from: Option<u128>,
    /// The attacher of the program.
    pub attacher: Attacher,
}

/// Whether maps that are pinned in `dir` have room for `needed`.
#[must_use]
pub fn have_room(dir: &Path, needed: Sizes) -> bool {
    adoption::have_room(&Pins::at(dir), needed)
}

impl Kernel {
    /// Loads the program over the maps pinned by an earlier daemon, or over new ones with room for `needed`. What goes to the
    /// host's stack is handed to the program that is pinned as `next`, if one is named.
    ///
    /// # Errors
    /// When the kernel refuses the program or a map, or the pin directory can't be used or is another daemon's.
    pub fn open(
        dir: &Path,
        needed: Sizes,
        next: Option<&Path>,
        diagnosis: Diagnosis,
    ) -> Result<(Self, Shared)> {
        let pins = Pins::at(dir);
        pins.prepare()?;
        let held = pins.hold()?;
        let pinned = Pinned::look(&pins, needed)?;
        let sizes = pinned.sizes(needed);
        let Sizes { slots, chunks } = sizes;
        if let Pinned::Outgrown(outgrown) = &pinned {
            outgrown.make_way(&pins)?;
        }
        let lines = object::lines(sizes);
        let rest = if next.is_some() { Rest::HandedOn } else { Rest::ToTheHost };
        let mut loader = object::loader(&pins, sizes, &lines, rest);
        loader.override_global(aya_log::LEVEL, &diagnosis, false);
        let mut ebpf = loader.load(OBJECT).map_err(not_made)?;
        let program = xdp(&mut ebpf, rest.answering())?;
        program.load().map_err(object::refused)?;
        // Afterwards: an array of programs takes only what was loaded as the first that had to do with it.
        match next {
            Some(next) => neighbours::hand_on_to(&pins, next)?,
            None => pins.next().remove()?,
        }
        let plain = program.fd()?.as_fd().try_clone_to_owned().context("keeping the XDP program")?;
        let program = program.info().context("asking for the number of the XDP program")?.id();
        let instead = CapturingProgram::default();
        let live = LiveFrames::over(&mut ebpf, rest, instead.clone());
        if let Err(error) = &live {
            tracing::info!(
                error = reason::told(error),
                "many replies at once will leave by a packet socket, like few"
            );
        }
        let mut take =
            |name: &str| ebpf.take_map(name).with_context(|| format!("the BPF object has no map {name}"));

        let control = region(&take(maps::CONTROL)?, Control::CELLS)?;
        let adopted_from = adoption::store(&control);
        let mut keys: Array<MapData, Raw<Keys>> = take(maps::KEYS)?.try_into()?;
        let keys = drawn(&mut keys, !matches!(pinned, Pinned::Nothing))?;
        let (begun, begun_fill) = ring(take(maps::BEGUN)?)?;
        let (fresh, fresh_fill) = ring(take(maps::FRESH)?)?;
        let interfaces = take(maps::INTERFACES)?.try_into()?;
        let stations = take(maps::STATIONS)?.try_into()?;
        let addresses = take(maps::ADDRESSES)?.try_into()?;
        let counters = take(maps::COUNTERS)?.try_into()?;
        let slot_region = region(&take(maps::SLOTS)?, slots as usize * SLOT_CELLS)?;
        let answers = region(&take(maps::CHUNKS)?, chunks as usize * CHUNK_CELLS)?;
        let hints = MapHints {
            runs: take(maps::RUNS)?.try_into()?,
            questions: region(&take(maps::QUESTIONS)?, lines as usize * leads::LINE)?,
            lines,
        };
        let mut shared = Shared {
            slots: slot_region,
            answers,
            keys,
            hints,
            begun,
            fresh,
            live: live.ok(),
            adopted_from,
            attacher: Attacher::new(
                ebpf,
                rest,
                pins.clone(),
                held.try_clone().context("keeping the pin directory")?,
            )?,
        };
        let kernel = Self {
            pins,
            interfaces,
            stations,
            addresses,
            known: None,
            counters,
            control,
            program,
            plain,
            instead,
            sizes,
            rest,
            fills: [("begun", begun_fill), ("fresh", fresh_fill)],
            _held: held,
        };
        if let Pinned::Outgrown(outgrown) = pinned {
            outgrown.fill(&shared.slots, &shared.answers, &mut shared.hints)?;
            shared.attacher.replace_everywhere()?;
            memory::let_programs_end();
            outgrown.hand_over(&shared.slots);
        }
        Ok((kernel, shared))
    }

    /// The means of a capture.
    ///
    /// # Errors
    /// When the process may open no more files.
    pub fn means_of_capture(&self) -> Result<Means> {
        let plain = self.plain.try_clone().context("keeping the XDP program")?;
        Ok(Means {
            pins: self.pins.clone(),
            sizes: self.sizes,
            rest: self.rest,
            plain,
            instead: self.instead.clone(),
        })
    }

    /// The program: for running it on frames that no driver has seen.
    #[must_use]
    pub fn program(&self) -> BorrowedFd<'_> {
        self.plain.as_fd()
    }

    /// Whether the program on an interface is the one that was loaded here, or is in its place while somebody captures.
    #[must_use]
    pub fn is_ours(&self, occupant: Occupant) -> bool {
        occupant.program == self.program || self.instead.is(occupant.program)
    }

    /// Says that the maps are made, with the leases that there are: another daemon may take them over as they are.
    pub fn made(&self) {
        adoption::made(&self.control);
    }

    /// Writes into the maps which store's promises they hold from now on. They already have all that the store knows.
    pub fn belongs_to(&self, store: u128) {
        let cells = self.control.cells();
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        let halves = [store as u64, (store >> 64) as u64];
        cells.store(Control::STORE, halves[0]);
        cells.store(Control::STORE + 1, halves[1]);
        self.made();
    }

    /// Writes into the maps the number of the last commit that their promises rest upon.
    pub fn rest_on(&self, commit: u64) {
        self.control.cells().store(Control::COMMIT, commit);
    }

    /// Tells the program that the daemon is alive at `now` (boot time in nanoseconds).
    pub fn beat(&self, now: u64) {
        self.control.cells().store(Control::HEARTBEAT, now);
    }

    /// Tells the program an interface's hardware address.
    ///
    /// # Errors
    /// When the map is full.
    pub fn know_interface(&mut self, ifindex: u32, mac: [u8; 6]) -> Result<()> {
        let mac = Raw(Mac::from(mac));
        self.interfaces.insert(ifindex, mac, 0).context("telling the XDP program of an interface")?;
        self.station(ifindex, mac)
    }

    /// Writes the address where it is looked for first, for interfaces that have a place there.
    fn station(&mut self, ifindex: u32, mac: Raw<Mac>) -> Result<()> {
        if ifindex < abi::STATIONS {
            self.stations.set(ifindex, mac, 0).context("telling the XDP program of an interface")?;
        }
        Ok(())
    }

    /// Forgets an interface that is gone, or not to be served any more.
    ///
    /// # Errors
    /// When its place in a map can't be written.
    pub fn forget_interface(&mut self, ifindex: u32) -> Result<()> {
        let _ = self.interfaces.remove(&ifindex);
        self.station(ifindex, Raw(Mac::default()))
    }

    /// Makes these the addresses at which DHCP is for us. It takes a call of the kernel for each that is new, or gone.
    ///
    /// # Errors
    /// When the map is full.
    pub fn know_addresses(&mut self, ours: &HashSet<Ipv4Addr>) -> Result<()> {
        self.check_room(ours.len())?;
        ours.iter().try_for_each(|address| self.know_address(*address))?;
        let Self { known, addresses, .. } = self;
        known.iter_mut().for_each(|known| {
            known.retain(|address| {
                let stays = ours.contains(&Ipv4Addr::from(*address));
                if !stays {
                    let _ = addresses.remove(&Raw(*address));
                }
                stays
            });
        });
        Ok(())
    }

    /// The same for these beside those that are known.
    ///
    /// # Errors
    /// When the map is full.
    pub fn know_more_addresses(&mut self, more: &[Ipv4Addr]) -> Result<()> {
        let new = more.iter().filter(|address| !self.known().contains(&NetAddr::from(**address)));
        let new: Vec<Ipv4Addr> = new.copied().collect();
        self.check_room(self.known.as_ref().map_or(0, HashSet::len) + new.len())?;
        new.iter().try_for_each(|address| self.know_address(*address))
    }

    fn check_room(&self, wanted: usize) -> Result<()> {
        // Maps of an earlier daemon may have room for fewer than those that are made now.
        let room = adoption::entries(&self.pins, maps::ADDRESSES).unwrap_or(ADDRESSES);
        if wanted > room as usize {
            bail!(
                "{wanted} server addresses and broadcast addresses of subnets are too many for maps that have room for {room}: \
                 have fewer, or end the daemon, run `xdhcpd detach` and start it again"
            );
        }
        Ok(())
    }

    fn know_address(&mut self, address: Ipv4Addr) -> Result<()> {
        let address = NetAddr::from(address);
        if !self.known().contains(&address) {
            self.addresses.insert(Raw(address), 1, 0).context("telling the XDP program of an address")?;
            self.known().insert(address);
        }
        Ok(())
    }

    fn known(&mut self) -> &mut HashSet<NetAddr> {
        let Self { known, addresses, .. } = self;
        known.get_or_insert_with(|| addresses.keys().filter_map(Result::ok).map(|raw| raw.0).collect())
    }

    /// The verdicts on frames since the maps were made, one count for each.
    ///
    /// # Errors
    /// When the map can't be read.
    pub fn counters(&self) -> Result<Vec<u64>> {
        (0..dhcp_ebpf::verdict::Verdict::COUNTERS)
            .map(|index| Ok(self.counters.get(&u32::try_from(index)?, 0)?.iter().sum()))
            .collect()
    }

    /// How many frames another's program has called ours for, on this interface.
    #[must_use]
    pub fn called(&self, ifindex: u32) -> u64 {
        neighbours::called(&self.pins, ifindex)
    }

    /// The pin of what others' programs call.
    #[must_use]
    pub fn callable(&self) -> PathBuf {
        self.pins.callable()
    }

    /// The rings to the daemon: the name of each, how many octets it holds, and how many of them wait to be read.
    pub fn rings(&self) -> impl Iterator<Item = (&'static str, u64, u64)> + '_ {
        self.fills.iter().map(|(name, fill)| (*name, fill.size(), fill.waiting()))
    }
}

/// Why there are no maps. What is usually lacking is said only where it may be that.
fn not_made(error: aya::EbpfError) -> anyhow::Error {
    let error = anyhow::Error::from(error);
    match reason::errno(&error) {
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => error.context("making the BPF maps"),
        _ => error.context("making the BPF maps (root and a kernel of at least 5.15 are needed)"),
    }
}

/// A ring, and how full it is.
fn ring(map: Map) -> Result<(RingBuf<MapData>, Fill)> {
    let Map::RingBuf(data) = &map else { bail!("the BPF object has no ring where there should be one") };
    let size = data.info().context("asking for the size of a ring")?.max_entries();
    let ring: RingBuf<MapData> = map.try_into().context("mapping a ring of the BPF program")?;
    let fill = Fill::of(&ring, size)?;
    Ok((ring, fill))
}

/// The keys in the map; drawn anew for new maps.
fn drawn(map: &mut Array<MapData, Raw<Keys>>, adopted: bool) -> Result<Box<Keys>> {
    if adopted {
        return Ok(Box::new(map.get(&0, 0).context("reading the question keys")?.0));
    }
    let mut bytes = vec![0; size_of::<Keys>()];
    File::open("/dev/urandom")
        .and_then(|mut random| std::io::Read::read_exact(&mut random, &mut bytes))
        .context("drawing the question keys")?;
    let mut words = bytes.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_ne_bytes));
    let keys = Keys(std::array::from_fn(|_| std::array::from_fn(|_| words.next().unwrap_or_default())));
    map.set(0, Raw(keys), 0).context("writing the question keys")?;
    Ok(Box::new(keys))
}

/// The maps that lead to slots, in the kernel.
pub struct MapHints {
    runs: HashMap<MapData, Raw<RunKey>, u32>,
    questions: Region,
    /// How many lines of questions there are.
    lines: u32,
}

impl MapHints {
    /// The two lines that a question may stand in.
    fn lines(&self, hash: Hash) -> Option<[SharedCells<'_>; 2]> {
        let [first, second] =
            leads::lines(hash, self.lines).map(|line| self.questions.cells().element(line, leads::LINE));
        first.zip(second).map(<[_; 2]>::from)
    }
}

impl Hints for MapHints {
    fn lead_run(&mut self, key: RunKey, first: u32) -> Result<()> {
        Ok(self.runs.insert(Raw(key), first, 0)?)
    }

    fn lead_question(&mut self, hash: u64, slot: u32) -> Result<()> {
        let hash = Hash(hash);
        let led = self.lines(hash).is_some_and(|lines| leads::lead(&lines, hash, slot));
        if led { Ok(()) } else { bail!("both lines that it may stand in are full") }
    }

    fn drop_interface(&mut self, ifindex: u32) {
        let keys = self.runs.keys().filter_map(Result::ok);
        let gone: Vec<_> = keys.filter(|key| Link::from_cell(key.0.link).ifindex == ifindex).collect();
        for key in gone {
            let _ = self.runs.remove(&key);
        }
    }

    fn drop_question(&mut self, hash: u64, slot: u32) {
        let hash = Hash(hash);
        if let Some(lines) = self.lines(hash) {
            leads::drop(&lines, hash, slot);
        }
    }
}
