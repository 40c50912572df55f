//! How long the disk itself takes for what a commit needs of it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::subject::awake;

/// Octets that are written each time.
const PIECE: usize = 4096;
/// How many pieces the file has: as much as one segment of the store.
const PIECES: usize = 1024;

/// A file on the disk on which servers keep their leases, written once before, as the store's segments are.
pub(super) struct Disk {
    file: File,
    next: usize,
    /// Seconds that each piece took.
    took: Vec<f64>,
}

impl Disk {
    pub(super) fn new(dir: &Path) -> Result<Self> {
        let path = dir.join("disk");
        let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        file.write_all_at(&vec![0; PIECE * PIECES], 0)?;
        file.sync_all()?;
        Ok(Self { file, next: 0, took: Vec::new() })
    }

    /// Writes a piece after the other for a while, each with an `fdatasync` of its own.
    pub(super) fn measure(&mut self, time: Duration) -> Result<()> {
        // As they are while the server is asked for new leases.
        let _awake = awake();
        let began = Instant::now();
        while began.elapsed() < time {
            let piece = [u8::try_from(self.took.len() % 251)?; PIECE];
            self.file.write_all_at(&piece, (self.next % PIECES * PIECE) as u64)?;
            self.next += 1;
            let asked = Instant::now();
            self.file.sync_data()?;
            self.took.push(asked.elapsed().as_secs_f64());
        }
        Ok(())
    }

    /// The time that `share` of all stayed below or reached; not a number without any.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of all")]
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.took.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1));
        sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    /// How often it was measured.
    pub(super) fn count(&self) -> usize {
        self.took.len()
    }
}
