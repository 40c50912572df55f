//! The pins of program, maps and links, so that they outlive the daemon.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use dhcp_ebpf::abi::maps;

/// `BPF_MAP_UPDATE_ELEM`, `BPF_MAP_DELETE_ELEM`, `BPF_OBJ_PIN`, `BPF_OBJ_GET`, `BPF_LINK_UPDATE` and `BPF_LINK_DETACH` of
/// linux/bpf.h.
const MAP_UPDATE: libc::c_long = 2;
const MAP_DELETE: libc::c_long = 3;
const OBJECT_PIN: libc::c_long = 6;
const OBJECT_GET: libc::c_long = 7;
const LINK_UPDATE: libc::c_long = 29;
const LINK_DETACH: libc::c_long = 34;
/// `BPF_F_REPLACE`: only in the place of the program that is named.
const REPLACE: u32 = 4;

/// Maps that are pinned. Logs, constants and per-CPU memory belong to one load of the program.
pub const PINNED_MAPS: [&str; 12] = [
    maps::SLOTS,
    maps::CHUNKS,
    maps::RUNS,
    maps::QUESTIONS,
    maps::KEYS,
    maps::CONTROL,
    maps::INTERFACES,
    maps::STATIONS,
    maps::ADDRESSES,
    maps::COUNTERS,
    maps::BEGUN,
    maps::FRESH,
];

/// Opens a directory; whatever else is in its place is not waited for.
fn open(directory: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NONBLOCK).open(directory)
}

/// The pin of what others' programs call. bpffs takes no dots in names.
const CALLABLE: &str = "program";

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

    /// Makes the directory once more, where it was removed under a running daemon. That may mount nothing any more.
    ///
    /// # Errors
    /// When it can't be made, or no bpffs is there.
    pub(super) fn make_again(&self) -> Result<()> {
        let at = self.0.display();
        let parent = self.0.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"));
        if !is_bpffs(parent)? {
            bail!(
                "the bpffs with the pins is not at {at} any more: mount one there (`mount -t bpf bpf DIR`), or restart the \
                 daemon, which does"
            );
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .with_context(|| format!("making the pin directory {at} again"))
    }

    /// Where it is.
    pub(super) fn directory(&self) -> &Path {
        &self.0
    }

    /// Keeps every other daemon away from these pins, for as long as the caller keeps the returned file: the system
    /// releases the lock when the process ends, however it ends.
    ///
    /// # Errors
    /// When another has it.
    pub fn hold(&self) -> Result<File> {
        let at = self.0.display();
        let held = open(&self.0).with_context(|| format!("opening the pin directory {at}"))?;
        match held.try_lock() {
            Ok(()) => Ok(held),
            Err(TryLockError::WouldBlock) => bail!(
                "a running xdhcpd has its maps in {at}, and attaches by itself: a changed configuration it takes by \
                 `xdhcpd reload`, one that needs larger maps by a restart; another server needs a `pin-dir` of its own"
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("locking the pin directory {at}"))
            }
        }
    }

    /// Whether a daemon keeps others away from these pins.
    #[must_use]
    pub fn is_held(&self) -> bool {
        open(&self.0).is_ok_and(|held| matches!(held.try_lock(), Err(TryLockError::WouldBlock)))
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

    /// The pin of the program that others' programs call.
    #[must_use]
    pub fn callable(&self) -> PathBuf {
        self.0.join(CALLABLE)
    }

    /// The program that goes on with a frame when another's program has called ours.
    #[must_use]
    pub fn entry(&self) -> SlotPin {
        SlotPin(self.map(maps::ENTRY))
    }

    /// The program of another that ours calls.
    #[must_use]
    pub fn next(&self) -> SlotPin {
        SlotPin(self.map(maps::NEXT))
    }

    /// Others' programs can't call ours any more.
    ///
    /// # Errors
    /// When a pin can't be removed.
    pub fn remove_entry(&self) -> Result<()> {
        self.entry().remove()?;
        remove(&self.map(maps::CALLED))?;
        remove(&self.callable())
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
            link.detach()?;
        }
        self.remove_entry()?;
        self.next().remove()?;
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
        PINNED_MAPS.iter().try_for_each(|name| remove(&self.map(name)))
    }
}

impl LinkPin {
    /// Replaces a program by another, atomically: each frame meets one of the two.
    ///
    /// # Errors
    /// When the attachment is gone, or now has another program.
    pub fn exchange(&self, before: BorrowedFd<'_>, after: BorrowedFd<'_>) -> io::Result<()> {
        #[repr(C)]
        struct Update {
            link: u32,
            program: u32,
            flags: u32,
            before: u32,
        }
        let link = opened(&self.path)?;
        let [link, program, before] = [link.as_fd(), after, before].map(|fd| fd.as_raw_fd().cast_unsigned());
        bpf(LINK_UPDATE, &Update { link, program, flags: REPLACE, before }).map(drop)
    }

    /// Takes the program off its interface, and removes the pin. By removing alone it would stay on for a while yet: the
    /// kernel gives up what was pinned at its leisure.
    ///
    /// # Errors
    /// When the pin is there and can't be removed.
    pub fn detach(&self) -> Result<()> {
        if let Err(error) = opened(&self.path).and_then(|link| take_off(&link))
            && error.kind() != ErrorKind::NotFound
        {
            // Of an interface that is gone there is nothing to be taken off.
            tracing::debug!(%error, interface = self.interface, "not detached before its pin goes");
        }
        remove(&self.path)
    }
}

/// A pinned array of one program.
#[derive(Clone, Debug)]
pub struct SlotPin(PathBuf);

impl SlotPin {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Whether it is there.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.0.exists()
    }

    /// Puts a program into it, in the place of the one there: each frame meets one of the two.
    ///
    /// # Errors
    /// When it is not there, or the kernel doesn't let programs that use it call this one.
    pub fn put(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        let program = program.as_raw_fd();
        self.element(MAP_UPDATE, &raw const program)
    }

    /// Empties it and removes the pin.
    ///
    /// # Errors
    /// When the pin is there and can't be removed.
    pub fn remove(&self) -> Result<()> {
        // Whoever else holds the array must not go on with what was in it. An empty one is as it is to be.
        let _ = self.element(MAP_DELETE, std::ptr::null());
        remove(&self.0)
    }

    fn element(&self, command: libc::c_long, value: *const i32) -> io::Result<()> {
        #[repr(C)]
        struct Element {
            map: u32,
            unused: u32,
            key: u64,
            value: u64,
            flags: u64,
        }
        let map = opened(&self.0)?;
        let key = 0_u32;
        let element = Element {
            map: map.as_raw_fd().cast_unsigned(),
            unused: 0,
            key: &raw const key as u64,
            value: value as u64,
            flags: 0,
        };
        bpf(command, &element).map(drop)
    }
}

/// Takes the program of an attachment off its interface.
pub(super) fn take_off(link: &OwnedFd) -> io::Result<()> {
    bpf(LINK_DETACH, &link.as_raw_fd()).map(drop)
}

/// The arguments of `BPF_OBJ_PIN` and `BPF_OBJ_GET`.
#[repr(C)]
struct Object {
    pathname: u64,
    fd: u32,
    flags: u32,
}

/// Pins an object.
pub(super) fn pin(object: BorrowedFd<'_>, at: &Path) -> io::Result<()> {
    let at = CString::new(at.as_os_str().as_bytes())?;
    let object = Object { pathname: at.as_ptr() as u64, fd: object.as_raw_fd().cast_unsigned(), flags: 0 };
    bpf(OBJECT_PIN, &object).map(drop)
}

/// The object that a pin holds.
pub(super) fn opened(pin: &Path) -> io::Result<OwnedFd> {
    let pin = CString::new(pin.as_os_str().as_bytes())?;
    let object = Object { pathname: pin.as_ptr() as u64, fd: 0, flags: 0 };
    let opened = bpf(OBJECT_GET, &object)?;
    // SAFETY: a descriptor that was just opened and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

pub(super) fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<i32> {
    // SAFETY: all callers pass the leading part of the kernel's `union bpf_attr` for the command, by reference and with
    // its size; the kernel takes the rest for zero. What it points to, a string, an element or room for an answer, outlives the
    // call; where the kernel writes there are cells.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(i32::try_from(done).unwrap_or(i32::MAX)) }
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
