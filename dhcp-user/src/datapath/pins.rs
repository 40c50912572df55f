//! Where program, maps and links are pinned, so that they outlive the daemon.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

/// The pin directory of one instance.
#[derive(Clone, Debug)]
pub struct Pins(PathBuf);

/// A pinned link: an attachment of the program to an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkPin {
    /// The pin.
    pub path: PathBuf,
    /// The interface's name when it was attached.
    pub interface: String,
    /// The interface's index when it was attached; another interface of that name has another.
    pub ifindex: u32,
}

impl Pins {
    /// The pins under `dir`, whether or not anything is there.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// Makes the directory, for root only, on a bpffs that is mounted there if it has to be.
    ///
    /// # Errors
    /// When the directory can't be made or the file system can't be mounted.
    pub fn prepare(&self) -> Result<()> {
        let dir = &self.0;
        let create = || fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        let parent = dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
        if !is_bpffs(parent)? {
            let mountpoint =
                if dir.starts_with("/sys/fs/bpf") { Path::new("/sys/fs/bpf") } else { dir.as_path() };
            if mountpoint == dir {
                create().with_context(|| format!("making the pin directory {}", dir.display()))?;
            }
            mount(Some("bpffs"), mountpoint, Some("bpf"), MsFlags::empty(), Some("mode=0700"))
                .with_context(|| format!("mounting a bpffs at {}", mountpoint.display()))?;
            tracing::info!(at = %mountpoint.display(), "mounted a bpffs");
        }
        create().with_context(|| format!("making the pin directory {}", dir.display()))?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("closing the pin directory {} to others", dir.display()))
    }

    /// The pin of a map.
    #[must_use]
    pub fn map(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The pin of the attachment to an interface.
    #[must_use]
    pub fn link(&self, interface: &str, ifindex: u32) -> LinkPin {
        // bpffs takes no dots in names; interface names may have them.
        let name = interface.replace('%', "%25").replace('.', "%2e");
        LinkPin {
            path: self.0.join(format!("link-{ifindex}-{name}")),
            interface: interface.to_owned(),
            ifindex,
        }
    }

    /// All attachments that are pinned.
    ///
    /// # Errors
    /// When the directory can't be read.
    pub fn links(&self) -> Result<Vec<LinkPin>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("reading the pin directory {}", self.0.display()))?,
        };
        let mut links = Vec::new();
        for entry in entries {
            let path =
                entry.with_context(|| format!("reading the pin directory {}", self.0.display()))?.path();
            let name =
                path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("link-"));
            if let Some((ifindex, interface)) = name.and_then(|name| name.split_once('-'))
                && let Ok(ifindex) = ifindex.parse()
            {
                let interface = interface.replace("%2e", ".").replace("%25", "%");
                links.push(LinkPin { path, interface, ifindex });
            }
        }
        links.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(links)
    }

    /// Removes every pin and the directory. Attachments and maps live on only where somebody holds them open.
    ///
    /// # Errors
    /// When a pin can't be removed.
    pub fn remove_all(&self) -> Result<()> {
        for link in self.links()? {
            remove(&link.path)?;
        }
        self.remove_maps()?;
        match fs::remove_dir(&self.0) {
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ResourceBusy) => {
                Err(error).with_context(|| format!("removing {}", self.0.display()))
            }
            _ => Ok(()),
        }
    }

    /// Removes the pins of the maps.
    ///
    /// # Errors
    /// When a pin can't be removed.
    pub fn remove_maps(&self) -> Result<()> {
        super::kernel::PINNED_MAPS.iter().try_for_each(|name| remove(&self.map(name)))
    }
}

/// Removes a pin, if it is there.
///
/// # Errors
/// When it is there and can't be removed.
pub fn remove(pin: &Path) -> Result<()> {
    match fs::remove_file(pin) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing the pin {}", pin.display()))
        }
        _ => Ok(()),
    }
}

fn is_bpffs(dir: &Path) -> Result<bool> {
    Ok(statfs(dir)
        .with_context(|| format!("looking at the file system of {}", dir.display()))?
        .filesystem_type()
        == BPF_FS_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_pin_names_its_interface_without_dots() {
        let pins = Pins::at(Path::new("/nowhere"));
        let pin = pins.link("eth0.100", 7);
        assert_eq!(pin.path, Path::new("/nowhere/link-7-eth0%2e100"));
    }
}
