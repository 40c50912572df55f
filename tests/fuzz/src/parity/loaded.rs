//! The program as the kernel has loaded it, run on frames that no driver has seen (`BPF_PROG_TEST_RUN`).

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::{Map, MapData, PerCpuArray, RingBuf};
use dhcp_ebpf::abi::{NetAddr, RunKey, maps};
use dhcp_ebpf::leads;
use dhcp_ebpf::question::Keys;
use dhcp_ebpf::slot::{CHUNK_CELLS, CellsMut as _, SLOT_CELLS};
use dhcp_ebpf::verdict::{Ring, Verdict};
use dhcp_user::datapath::frames::ring::{self, Arrival};
use dhcp_user::datapath::leases::hints::Hints;
use dhcp_user::datapath::leases::memory::Region;
use dhcp_user::datapath::program::kernel::{Kernel, MapHints};
use dhcp_user::datapath::program::object::Sizes;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::host::Fate;
use super::location::{IFINDEX, OURS};
use super::world::SIZES;

/// `BPF_PROG_TEST_RUN` of linux/bpf.h.
const TEST_RUN: libc::c_long = 10;
/// What programs return.
const DROP: u32 = 1;
const PASS: u32 = 2;
pub(crate) const TX: u32 = 3;
/// The longest frame that comes back.
const LONGEST: usize = 4096;

/// The part of `union bpf_attr` that test runs use.
#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    result: u32,
    data_in_len: u32,
    data_out_len: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    zero: [u64; 4],
}

/// A loaded program with maps of its own.
pub struct Loaded {
    kernel: Kernel,
    counters: PerCpuArray<MapData, u64>,
    counted: Vec<u64>,
    begun: RingBuf<MapData>,
    fresh: RingBuf<MapData>,
    hints: KernelHints,
    keys: Keys,
    runner: Runner,
    place: PinDirectory,
}

/// Runs the program on frames, on the processor that it is called on.
pub(crate) struct Runner {
    program: OwnedFd,
    out: Vec<u8>,
}

/// What `Loaded` is pinned in, gone with it.
struct PinDirectory(PathBuf);

impl Drop for PinDirectory {
    fn drop(&mut self) {
        // What can't be removed now goes with the thread's mount namespace, but for an empty directory.
        let _ = umount2(&self.0.join("pins"), MntFlags::MNT_DETACH);
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Maps that are the kernel's, shared by one world after another. The program remembers where a run is: so they keep all runs.
#[derive(Clone)]
pub(crate) struct KernelHints {
    maps: Arc<Mutex<MapHints>>,
    runs: Arc<Mutex<HashMap<RunKey, u32>>>,
}

impl KernelHints {
    /// The runs that were led to.
    pub(super) fn runs(&self) -> HashMap<RunKey, u32> {
        self.runs.lock().unwrap().clone()
    }
}

impl Hints for KernelHints {
    fn lead_run(&mut self, key: RunKey, first: u32) -> Result<()> {
        self.runs.lock().unwrap().insert(key, first);
        self.maps.lock().unwrap().lead_run(key, first)
    }

    fn lead_question(&mut self, hash: u64, slot: u32) -> Result<()> {
        self.maps.lock().unwrap().lead_question(hash, slot)
    }

    fn drop_interface(&mut self, ifindex: u32) {
        self.maps.lock().unwrap().drop_interface(ifindex);
    }

    fn drop_question(&mut self, hash: u64, slot: u32) {
        self.maps.lock().unwrap().drop_question(hash, slot);
    }
}

impl Loaded {
    /// Loads the program. The calling thread has a mount namespace of its own from then on.
    ///
    /// # Errors
    /// Without root's rights, or when the kernel refuses.
    pub fn load(ours: impl IntoIterator<Item = NetAddr>) -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNS)
            .context("this needs a mount namespace of its own: run it as root")?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
            .context("keeping mounts private")?;
        let place = PinDirectory(nix::unistd::mkdtemp(&std::env::temp_dir().join("xdhcpd-parity-XXXXXX"))?);
        let pins = place.0.join("pins");
        let (mut kernel, shared) = Kernel::open(&pins, SIZES, None, 0)?;
        kernel.know_interface(IFINDEX, OURS)?;
        kernel.know_addresses(&ours.into_iter().map(Into::into).collect())?;
        let counters = MapData::from_pin(pins.join(maps::COUNTERS))?;
        let counters = Map::PerCpuArray(counters).try_into()?;
        let counted = kernel.counters()?;
        let runner = Runner::of(&kernel)?;
        Ok(Self {
            kernel,
            counters,
            counted,
            begun: shared.begun,
            fresh: shared.fresh,
            hints: KernelHints { maps: Arc::new(Mutex::new(shared.hints)), runs: Arc::default() },
            keys: *shared.keys,
            runner,
            place,
        })
    }

    /// The keys of questions.
    #[must_use]
    pub const fn keys(&self) -> Keys {
        self.keys
    }

    /// The memory of slots and answers, and what leads there: all forgotten.
    ///
    /// # Errors
    /// When a map can't be mapped.
    pub(crate) fn anew(&mut self) -> Result<(Region, Region, KernelHints)> {
        // What a run that failed has left.
        for ring in [&mut self.begun, &mut self.fresh] {
            while ring::next(ring).is_some() {}
        }
        self.counted = self.kernel.counters()?;
        let Sizes { slots, chunks } = SIZES;
        let region = |name: &str, cells: usize| -> Result<Region> {
            let map = MapData::from_pin(self.place.0.join("pins").join(name))?;
            let region = Region::mapped(map.fd(), cells)?;
            (0..cells).for_each(|cell| region.cells().store(cell, 0));
            Ok(region)
        };
        region(maps::QUESTIONS, leads::lines_for(slots) as usize * leads::LINE)?;
        let slots = region(maps::SLOTS, slots as usize * SLOT_CELLS)?;
        let answers = region(maps::CHUNKS, chunks as usize * CHUNK_CELLS)?;
        Ok((slots, answers, self.hints.clone()))
    }

    /// Another that runs it, for a thread of its own.
    ///
    /// # Errors
    /// When the process may have no more descriptors.
    pub(crate) fn runner(&self) -> Result<Runner> {
        Runner::of(&self.kernel)
    }

    /// How often a verdict was counted.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub(crate) fn counted(&self, verdict: Verdict) -> Result<u64> {
        Ok(self.counters.get(&verdict.counter(), 0)?.iter().sum())
    }

    /// Tells it when the daemon was last alive.
    pub fn beat(&self, at: u64) {
        self.kernel.beat(at);
    }

    /// Runs the program on a frame, and holds what it does against what it should do.
    ///
    /// # Errors
    /// With what is different, or when the kernel doesn't run it.
    pub fn run(&mut self, frame: &[u8], fate: &Fate) -> Result<()> {
        let (action, left) = self.runner.run(frame)?;
        let due = match fate.verdict {
            Verdict::Reply(_) => TX,
            Verdict::Pass(_) => PASS,
            Verdict::Up(_) | Verdict::Drop(_) => DROP,
        };
        if action != due {
            bail!("it returns {action}, not {due}: {}", self.what_was_counted()?);
        }
        if left != fate.frame {
            bail!("it leaves another frame: {}", differing(&fate.frame, left));
        }
        let counter = fate.verdict.counter();
        let counts = self.counters.get(&counter, 0)?.iter().sum::<u64>();
        let before = std::mem::replace(&mut self.counted[counter as usize], counts);
        ensure!(counts == before + 1, "it counts something else: {}", self.what_was_counted()?);
        self.take_up(frame, fate)
    }

    /// What went up is what had to, whole and by the right ring.
    fn take_up(&mut self, frame: &[u8], fate: &Fate) -> Result<()> {
        let mut came: Vec<(Ring, Option<Arrival>)> = Vec::new();
        for (name, ring) in [(Ring::Begun, &mut self.begun), (Ring::Fresh, &mut self.fresh)] {
            while let Some(arrival) = ring::next(ring) {
                came.push((name, arrival));
            }
        }
        match (&came[..], fate.up) {
            ([], None) => Ok(()),
            ([(ring, Some(arrival))], Some((due, why))) => {
                ensure!(*ring == due, "it goes up by {ring:?}, not by {due:?}");
                ensure!(arrival.why == Some(why), "it goes up as {:?}, not as {why:?}", arrival.why);
                ensure!(arrival.ifindex == IFINDEX, "it came from interface {}", arrival.ifindex);
                ensure!(arrival.frame == frame, "what goes up: {}", differing(frame, &arrival.frame));
                Ok(())
            }
            (came, due) => bail!("{} records go up, and {due:?} was due", came.len()),
        }
    }

    /// The counters that have gone on since they were looked at.
    fn what_was_counted(&mut self) -> Result<String> {
        let now = self.kernel.counters()?;
        let before = std::mem::replace(&mut self.counted, now);
        let gone_on =
            self.counted.iter().zip(before).enumerate().filter(|(_, (now, before))| **now != *before);
        let names = gone_on.map(|(counter, (now, before))| format!("{} by {}", name(counter), now - before));
        Ok(names.collect::<Vec<_>>().join(", "))
    }
}

impl Runner {
    fn of(kernel: &Kernel) -> Result<Self> {
        let program = kernel.program().try_clone_to_owned().context("another handle of the program")?;
        Ok(Self { program, out: vec![0; LONGEST] })
    }

    /// What the program returns, and the frame that it leaves.
    ///
    /// # Errors
    /// When the kernel doesn't run it.
    pub(crate) fn run(&mut self, frame: &[u8]) -> Result<(u32, &[u8])> {
        let mut run = TestRun {
            program: self.program.as_raw_fd().cast_unsigned(),
            data_in_len: frame.len() as u32,
            data_out_len: self.out.len() as u32,
            data_in: frame.as_ptr() as u64,
            data_out: self.out.as_mut_ptr() as u64,
            repeat: 1,
            ..TestRun::default()
        };
        // SAFETY: the leading part of `union bpf_attr` with its size; the kernel reads `data_in_len` octets of the frame, which
        // is borrowed, writes at most `data_out_len` octets into a buffer of that length, and the results into `run`.
        let done = unsafe { libc::syscall(libc::SYS_bpf, TEST_RUN, &raw mut run, size_of::<TestRun>()) };
        if done < 0 {
            return Err(io::Error::last_os_error()).context("running the program");
        }
        Ok((run.result, &self.out[..run.data_out_len as usize]))
    }
}

/// What a counter counts.
fn name(counter: usize) -> String {
    use dhcp_ebpf::verdict::{Dropped, Passed, Renewal, Why};
    let all = Renewal::ALL.iter().map(|it| Verdict::Reply(*it));
    let all = all.chain(Why::ALL.iter().map(|it| Verdict::Up(*it)));
    let all = all.chain(Passed::ALL.iter().map(|it| Verdict::Pass(*it)));
    let mut all = all.chain(Dropped::ALL.iter().map(|it| Verdict::Drop(*it)));
    all.find(|verdict| verdict.counter() as usize == counter)
        .map_or_else(|| counter.to_string(), |verdict| format!("{verdict:?}"))
}

/// How two frames differ.
#[must_use]
pub fn differing(due: &[u8], is: &[u8]) -> String {
    let at = due.iter().zip(is).position(|(due, is)| due != is);
    let at = at.unwrap_or(due.len().min(is.len()));
    let part = |frame: &[u8]| {
        frame.get(at..(at + 12).min(frame.len())).unwrap_or_default().escape_ascii().to_string()
    };
    format!(
        "from octet {at} on \"{}\" instead of \"{}\", of {} octets instead of {}",
        part(is),
        part(due),
        is.len(),
        due.len()
    )
}
