//! A small file system of a test's own, which can be filled.

use anyhow::Result;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A file system that has room until it is filled.
#[derive(Debug)]
pub struct FullDisk {
    at: PathBuf,
}

impl FullDisk {
    /// Mounts it, so large: `16m`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn mount(at: &Path, size: &str) -> Result<Self> {
        fs::create_dir_all(at)?;
        mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(format!("size={size}").as_str()))?;
        Ok(Self { at: at.to_owned() })
    }

    /// Leaves no room for more than there is.
    ///
    /// # Errors
    /// When there can be no file to fill it with.
    pub fn fill(&self) -> Result<()> {
        let mut filler = fs::File::create(self.at.join("filler"))?;
        let octets = [0x55; 4096];
        while filler.write_all(&octets).is_ok() {}
        Ok(())
    }

    /// Makes room again.
    ///
    /// # Errors
    /// When it was not full.
    pub fn make_room(&self) -> Result<()> {
        Ok(fs::remove_file(self.at.join("filler"))?)
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.at, MntFlags::MNT_DETACH);
    }
}
