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
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::pins::{LinkPin, PINNED_MAPS, Pins, opened, pin, take_off};

/// The objects that are pinned, open.
pub(super) struct Holding {
    pins: Pins,
    /// The directory of the pins, which keeps other daemons away.
    directory: File,
    maps: Vec<(PathBuf, OwnedFd)>,
    /// Attachments, by the index of their interface.
    links: BTreeMap<u32, (PathBuf, OwnedFd)>,
}

impl Holding {
    /// Of the maps in `pins`, which `directory` keeps for us.
    ///
    /// # Errors
    /// When a map is not pinned there, or the process may have no more open files.
    pub(super) fn of(pins: Pins, directory: File) -> Result<Self> {
        let map = |name: &&str| {
            let path = pins.map(name);
            let map = opened(&path).with_context(|| format!("opening the map {}", path.display()))?;
            Ok((path, map))
        };
        let maps = PINNED_MAPS.iter().map(map).collect::<Result<Vec<_>>>()?;
        Ok(Self { pins, directory, maps, links: BTreeMap::new() })
    }

    /// Holds an attachment that is pinned.
    ///
    /// # Errors
    /// When the pin can't be opened.
    pub(super) fn hold(&mut self, pin: &LinkPin) -> Result<()> {
        let path = &pin.path;
        let link = opened(path).with_context(|| format!("opening the attachment {}", path.display()))?;
        self.links.insert(pin.ifindex, (path.clone(), link));
        Ok(())
    }

    /// Ends an attachment, pinned or not.
    ///
    /// # Errors
    /// When the pin is there and can't be removed.
    pub(super) fn release(&mut self, pin: &LinkPin) -> Result<()> {
        if let Some((_, link)) = self.links.remove(&pin.ifindex)
            && let Err(error) = take_off(&link)
        {
            // Of an interface that is gone there is nothing to be taken off.
            tracing::debug!(%error, interface = pin.interface, "not detached before its pin goes");
        }
        pin.detach()
    }

    /// Pins again what is not pinned any more. Says whether there was anything.
    ///
    /// # Errors
    /// When that can't be done.
    pub(super) fn keep(&mut self) -> Result<bool> {
        let mut is_anew = false;
        if !self.is_in_place()? {
            self.pins.make_again()?;
            self.directory = self.pins.hold()?;
            is_anew = true;
        }
        for (path, object) in self.maps.iter().chain(self.links.values()) {
            if fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
                pin(object.as_fd(), path).with_context(|| format!("pinning {}", path.display()))?;
                is_anew = true;
            }
        }
        Ok(is_anew)
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
