//! Holds what is pinned, and pins it again where the pins are gone.
//!
//! Pins keep program, maps and attachments alive without the daemon. Somebody may remove them, or the file system that they
//! are in. While the daemon runs nothing is lost by that, since it holds all of it open; but at its end renewals would end
//! with it, and so would the promises in the maps.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::identity::Identity;
use super::pins::{self, LinkPin, PINNED_MAPS, Pins, opened, pin, take_off};

/// The objects that are pinned, open.
pub(super) struct Holding {
    pins: Pins,
    /// The directory of the pins, which keeps other daemons away.
    directory: File,
    maps: Vec<Held>,
    /// Attachments, by the index of their interface.
    links: BTreeMap<u32, Held>,
    /// What other programs call, and what calls others. The kernel empties an array of programs that is neither pinned nor
    /// open.
    neighbours: Vec<Held>,
}

/// An object that is pinned, open.
struct Held {
    path: PathBuf,
    object: OwnedFd,
    identity: Identity,
    /// The pin's file, as long as it is known.
    file: Option<(u64, u64)>,
}

impl Held {
    fn at(path: &Path) -> Result<Self> {
        let object = opened(path).with_context(|| format!("opening the pin {}", path.display()))?;
        let identity = Identity::of(&object).with_context(|| format!("looking at {}", path.display()))?;
        Ok(Self { path: path.to_owned(), object, identity, file: file(path)? })
    }

    /// Pins it again where it is not any more. Says whether it was so.
    fn keep(&mut self) -> Result<bool> {
        let shown = self.path.display();
        let there = file(&self.path)?;
        if there.is_some() && there == self.file {
            return Ok(false);
        }
        if there.is_some() {
            let other = opened(&self.path).and_then(|other| Identity::of(&other)).ok();
            if other == Some(self.identity) {
                self.file = there;
                return Ok(false);
            }
            let what = other.map_or_else(|| "something".to_owned(), Identity::name);
            tracing::warn!(
                "{what} is pinned as {shown}, and is not ours: that pin is removed, and ours made again"
            );
            pins::remove(&self.path)?;
        }
        pin(self.object.as_fd(), &self.path).with_context(|| format!("pinning {shown}"))?;
        self.file = file(&self.path)?;
        Ok(true)
    }
}

/// The file of a pin; none if there is none.
fn file(pin: &Path) -> Result<Option<(u64, u64)>> {
    match fs::symlink_metadata(pin) {
        Ok(there) => Ok(Some((there.dev(), there.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("looking at the pin {}", pin.display())),
    }
}

impl Holding {
    /// Of the maps in `pins`, which `directory` keeps for us.
    ///
    /// # Errors
    /// When a map is not pinned there, or the process may have no more open files.
    pub(super) fn of(pins: Pins, directory: File) -> Result<Self> {
        let maps = PINNED_MAPS.iter().map(|name| Held::at(&pins.map(name))).collect::<Result<Vec<_>>>()?;
        Ok(Self { pins, directory, maps, links: BTreeMap::new(), neighbours: Vec::new() })
    }

    /// Holds an attachment that is pinned.
    ///
    /// # Errors
    /// When the pin can't be opened.
    pub(super) fn hold(&mut self, pin: &LinkPin) -> Result<()> {
        self.links.insert(pin.ifindex, Held::at(&pin.path)?);
        Ok(())
    }

    /// Holds what connects ours with others' programs.
    ///
    /// # Errors
    /// When a pin can't be opened.
    pub(super) fn hold_neighbours(&mut self, paths: impl IntoIterator<Item = PathBuf>) -> Result<()> {
        for path in paths {
            self.neighbours.retain(|held| held.path != path);
            self.neighbours.push(Held::at(&path)?);
        }
        Ok(())
    }

    /// Ends an attachment, pinned or not.
    ///
    /// # Errors
    /// When the pin is there and can't be removed.
    pub(super) fn release(&mut self, pin: &LinkPin) -> Result<()> {
        if let Some(held) = self.links.remove(&pin.ifindex)
            && let Err(error) = take_off(&held.object)
        {
            // Of an interface that is gone there is nothing to be taken off.
            tracing::debug!(%error, interface = pin.interface, "not detached before its pin goes");
        }
        pin.detach()
    }

    /// Pins again what is not pinned any more. Says how many pins were gone.
    ///
    /// # Errors
    /// When that can't be done.
    pub(super) fn keep(&mut self) -> Result<usize> {
        if !self.is_in_place()? {
            self.pins.make_again()?;
            self.directory = self.pins.hold()?;
        }
        let mut anew = 0_usize;
        for held in self.maps.iter_mut().chain(self.links.values_mut()).chain(&mut self.neighbours) {
            anew = anew.saturating_add(held.keep()?.into());
        }
        Ok(anew)
    }

    /// Whether the directory is the one that was opened.
    fn is_in_place(&self) -> Result<bool> {
        let ours = self.directory.metadata().context("looking at the pin directory")?;
        match fs::metadata(self.pins.directory()) {
            Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).context("looking at the pin directory"),
        }
    }
}
