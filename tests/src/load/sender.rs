//! Threads that let the lanes' programs send: one for each CPU, at full rate or at a given one.

use anyhow::{Context, Result};
use aya::programs::{ProgramError, TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::namespace::Namespace;

/// Frames that the kernel sends before it looks after anything else.
const BATCH: u32 = 64;
/// Frames per system call at full rate: some milliseconds.
const FULL: u32 = 64 * BATCH;
/// How often a paced sender sends what is due; and of more than [`MANY`] frames a second. Each time costs as much as dozens
/// of frames; but what is sent at once is also answered one after the other.
const TICK: Duration = Duration::from_micros(250);
const TICK_OF_MANY: Duration = Duration::from_millis(1);
const MANY: f64 = 100_000.0;
/// For how long the kernel may be short of what it needs to send.
const PATIENCE: Duration = Duration::from_secs(10);

/// How fast to send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as it goes.
    Full,
    /// So many frames per second, all CPUs together.
    Rate(f64),
    /// One frame after the other, each by a system call of its own: as often as that goes, and nothing waits in a queue.
    Single,
}

/// What is needed to send on one lane.
#[derive(Clone, Copy)]
pub(crate) struct Sender<'a> {
    pub(crate) namespace: &'a Namespace,
    pub(crate) program: &'a Xdp,
    pub(crate) ifindex: u32,
    /// Octets of the lane's frames.
    pub(crate) len: usize,
}

impl Sender<'_> {
    /// Sends from `cpu`, until told to stop; how long that CPU was busy with it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn run(&self, cpu: usize, pace: Pace, stop: &AtomicBool) -> Result<Duration> {
        self.namespace.enter(|| {
            settle_on(cpu)?;
            match pace {
                Pace::Full => self.unpaced(FULL, stop),
                Pace::Single => self.unpaced(1, stop),
                Pace::Rate(rate) => self.paced(rate, stop),
            }?;
            Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
        })?
    }

    fn unpaced(&self, frames: u32, stop: &AtomicBool) -> Result<()> {
        while !stop.load(Ordering::Relaxed) {
            self.send(frames)?;
        }
        Ok(())
    }

    #[expect(clippy::cast_possible_truncation, reason = "a number of frames")]
    fn paced(&self, rate: f64, stop: &AtomicBool) -> Result<()> {
        // However late this thread was woken, no more at once than for two milliseconds; but not many system calls either:
        // each takes one of 65 thousand numbers for its memory, and gives it back only some time later.
        let most = u64::from(BATCH).max((rate / 500.0) as u64);
        let tick = if rate > MANY { TICK_OF_MANY } else { TICK };
        let began = Instant::now();
        let mut sent = 0_u64;
        while !stop.load(Ordering::Relaxed) {
            let due = (began.elapsed().as_secs_f64() * rate) as u64;
            match due.saturating_sub(sent) {
                0 => {}
                missing => sent += self.send(missing.min(most) as u32)?,
            }
            thread::sleep(tick);
        }
        Ok(())
    }

    /// Sends exactly so many frames from `cpu`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn send_each(&self, cpu: usize, frames: u32) -> Result<()> {
        self.namespace.enter(|| {
            settle_on(cpu)?;
            for part in [frames / BATCH * BATCH, frames % BATCH] {
                if part > 0 {
                    self.send(part)?;
                }
            }
            Ok(())
        })?
    }

    /// Sends `frames` frames from where the thread is, or up to a batch more; how many.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn send(&self, frames: u32) -> Result<u64> {
        // The kernel takes whole batches only.
        let frames = if frames > BATCH { frames.next_multiple_of(BATCH) } else { frames };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let error = match self.try_to_send(frames)? {
                None => return Ok(frames.into()),
                Some(error) => error,
            };
            // A signal stopped and continued this process: what is not sent by then is not sent.
            if error.raw_os_error() == Some(libc::EINTR) {
                return Ok(frames.into());
            }
            // All numbers are taken by runs whose frames are still on their way.
            if error.raw_os_error() != Some(libc::ENOSPC) || Instant::now() > deadline {
                return Err(error).context(
                    "cannot send frames from the kernel (BPF_F_TEST_XDP_LIVE_FRAMES needs Linux 5.18 or newer)",
                );
            }
            thread::sleep(TICK);
        }
    }

    /// What the kernel has against it, if it has.
    fn try_to_send(&self, frames: u32) -> Result<Option<io::Error>> {
        let data = [0; 512];
        let context = self.context()?;
        let done = self.program.test_run(TestRunOptions {
            data_in: Some(&data[..self.len]),
            ctx_in: Some(&context),
            repeat: frames,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH.min(frames)),
            ..TestRunOptions::default()
        });
        match done {
            Ok(_) => Ok(None),
            Err(ProgramError::SyscallError(refused)) => Ok(Some(refused.io_error)),
            Err(error) => Err(error.into()),
        }
    }

    /// The kernel's `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
    fn context(&self) -> Result<Vec<u8>> {
        let fields = [0, u32::try_from(self.len)?, 0, self.ifindex, 0, 0];
        Ok(fields.iter().flat_map(|field| field.to_ne_bytes()).collect())
    }
}

/// Keeps the calling thread on one CPU, and wakes it when it wants to be woken.
fn settle_on(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set)
        .with_context(|| format!("cannot keep a thread on CPU {cpu}"))?;
    nix::sys::prctl::set_timerslack(1).context("cannot set the timer slack")
}
