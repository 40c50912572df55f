//! Keeps the CPUs awake while clients come fast, so that nobody waits for one to wake up.
//!
//! An exchange passes from the ring to the deciding thread, the committing one and the sending one, and at a moderate
//! load each of them has to be woken: a CPU that sleeps needs 20 to 60 µs for that, several times in an exchange.
//! Linux lets no CPU sleep while a process has asked for a latency of 0 µs (PM QoS,
//! `Documentation/power/pm_qos_interface.rst`). It costs power, so the daemon asks for it only while it matters. The
//! request ends with the process, however that ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::config::KeepAwake;

/// The device that takes requests: a latency in µs as an `i32` of this machine's byte order, which holds until the
/// file is closed.
const DEVICE: &str = "/dev/cpu_dma_latency";
/// So many messages in one beat, 5,000 a second, are a load.
const LOAD: usize = 1250;
/// So many beats in a row without it, 2 s, end it: a storm has its lulls.
const CALM: u32 = 8;

/// Whether the CPUs are kept awake.
#[derive(Debug)]
pub(in crate::server) struct Awake {
    device: PathBuf,
    pace: Pace,
    request: Request,
}

/// Whether clients come fast.
#[derive(Debug, Default)]
struct Pace {
    /// How many messages came since the last beat.
    came: usize,
    /// For how many more beats the last load is remembered.
    remembered: u32,
}

/// The request to the kernel.
#[derive(Debug)]
enum Request {
    None,
    /// Holds while the file is open.
    Made(#[expect(dead_code, reason = "it is to stay open")] File),
    /// The kernel takes none here. That was logged, and is not again while a request is wanted.
    Refused,
}

impl Awake {
    pub(in crate::server) fn new() -> Self {
        Self::by(DEVICE.into())
    }

    fn by(device: PathBuf) -> Self {
        Self { device, pace: Pace::default(), request: Request::None }
    }

    /// Messages came.
    pub(in crate::server) const fn came(&mut self, messages: usize) {
        self.pace.came += messages;
    }

    /// A beat has passed: makes the request that is wanted now, if it differs from the present one.
    pub(in crate::server) fn beat(&mut self, when: KeepAwake) {
        let fast = self.pace.beat();
        let wanted = match when {
            KeepAwake::Never => false,
            KeepAwake::UnderLoad => fast,
            KeepAwake::Always => true,
        };
        match (&self.request, wanted) {
            (Request::None, true) => self.ask(),
            (Request::Made(_), false) => {
                self.request = Request::None;
                tracing::info!("the CPUs may sleep again");
            }
            (Request::Refused, false) => self.request = Request::None,
            _ => {}
        }
    }

    fn ask(&mut self) {
        self.request = match request(&self.device) {
            Ok(file) => {
                tracing::info!("the CPUs are kept awake");
                Request::Made(file)
            }
            Err(error) => {
                tracing::info!(
                    %error,
                    device = %self.device.display(),
                    "the CPUs can't be kept awake, so replies take longer at a moderate load: let the daemon write to \
                     that device, or set keep-cpus-awake = \"never\""
                );
                Request::Refused
            }
        };
    }
}

impl Pace {
    /// Whether clients come fast, or did of late.
    const fn beat(&mut self) -> bool {
        self.remembered = if self.came >= LOAD { CALM } else { self.remembered.saturating_sub(1) };
        self.came = 0;
        self.remembered > 0
    }
}

fn request(device: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).open(device)?;
    file.write_all(&0_i32.to_ne_bytes())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_begins_at_once_and_ends_when_it_was_calm_for_a_while() {
        let mut pace = Pace::default();
        let mut beat = |came: usize| {
            pace.came += came / 2;
            pace.came += came - came / 2;
            pace.beat()
        };
        assert!(!beat(0) && !beat(LOAD - 1) && !beat(LOAD - 1));
        assert!(beat(LOAD));
        assert!((1..CALM).all(|_| beat(LOAD - 1)), "a lull");
        assert!(beat(LOAD));
        assert!((1..CALM).all(|_| beat(0)));
        assert!(!beat(0) && !beat(0));
    }

    #[test]
    fn the_kernel_is_asked_once_for_as_long_as_it_is_wanted() {
        let directory = tempfile::tempdir().expect("a directory");
        let device = directory.path().join("latency");
        let mut awake = Awake::by(device.clone());
        awake.came(LOAD);
        awake.beat(KeepAwake::UnderLoad);
        assert!(matches!(awake.request, Request::Refused), "there is no such device");

        std::fs::write(&device, "").expect("a file");
        awake.beat(KeepAwake::UnderLoad);
        assert!(matches!(awake.request, Request::Refused), "that was told of already");
        awake.beat(KeepAwake::Never);
        awake.beat(KeepAwake::UnderLoad);
        assert!(matches!(awake.request, Request::Made(_)), "the load is not over");
        awake.beat(KeepAwake::UnderLoad);
        assert_eq!(std::fs::read(&device).expect("a file"), 0_i32.to_ne_bytes());

        awake.beat(KeepAwake::Never);
        assert!(matches!(awake.request, Request::None));
        (0..CALM).for_each(|_| awake.beat(KeepAwake::UnderLoad));
        assert!(matches!(awake.request, Request::None));
        awake.beat(KeepAwake::Always);
        assert!(matches!(awake.request, Request::Made(_)));
    }
}
