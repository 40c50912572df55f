//! A driver's name, features and counters, by ethtool's ioctl.

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// Commands of linux/ethtool.h.
const GET_DRIVER: u32 = 0x03;
const GET_STRINGS: u32 = 0x1b;
const GET_STATISTICS: u32 = 0x1d;
const GET_SET_SIZES: u32 = 0x37;
const GET_FEATURES: u32 = 0x3a;
const SET_FEATURES: u32 = 0x3b;
/// Sets of strings: names of a driver's counters, and of all features that this kernel knows.
const STATISTICS: u32 = 1;
const FEATURES: u32 = 4;
/// Octets of each string.
const STRING: usize = 32;
/// `struct ethtool_drvinfo`, and where the driver's name is in it.
const DRIVER_INFO: usize = 196;
const DRIVER_NAME: usize = 4;
/// Octets that a feature block has when it is read: available, requested, active, never changed.
const FEATURE_BLOCK: usize = 16;
/// More counters or features than any driver has: of one that has more, nothing is asked.
const MOST: usize = 1 << 16;

/// An interface, as ethtool sees it.
#[derive(Debug)]
pub struct Device {
    socket: OwnedFd,
    name: [libc::c_char; libc::IFNAMSIZ],
}

/// A feature of a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// The kernel's name of it, as `ethtool -k` shows it.
    pub name: String,
    /// Whether it is on.
    pub is_on: bool,
    /// Its place among all features.
    index: usize,
}

impl Device {
    /// The interface of this name in this network namespace.
    ///
    /// # Errors
    /// When no socket can be opened, or no interface can have this name.
    pub fn named(interface: &str) -> io::Result<Self> {
        let mut name = [0; libc::IFNAMSIZ];
        if interface.len() >= name.len() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        for (to, from) in name.iter_mut().zip(interface.as_bytes()) {
            *to = libc::c_char::from_ne_bytes([*from]);
        }
        // SAFETY: no memory is passed; the descriptor is new and belongs to nobody else.
        let socket = unsafe {
            let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        Ok(Self { socket, name })
    }

    /// The name of its driver.
    ///
    /// # Errors
    /// When there is no such interface, or its driver doesn't say.
    pub fn driver(&self) -> io::Result<String> {
        let info = self.ask(GET_DRIVER, &[], DRIVER_INFO)?;
        Ok(text(info.get(DRIVER_NAME..DRIVER_NAME + STRING).unwrap_or_default()))
    }

    /// The driver's own counters by name; none where it has none.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn statistics(&self) -> io::Result<Vec<(String, u64)>> {
        let names = self.strings(STATISTICS)?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let said = self.ask(GET_STATISTICS, &[as_u32(names.len())], 8 + 8 * room(names.len()))?;
        let values =
            said.get(8..).unwrap_or_default().as_chunks().0.iter().map(|value| u64::from_ne_bytes(*value));
        Ok(names.into_iter().zip(values).collect())
    }

    /// The features that the kernel knows, and whether each is on here.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn features(&self) -> io::Result<Vec<Feature>> {
        let names = self.strings(FEATURES)?;
        let blocks = names.len().div_ceil(32);
        let said = self.ask(GET_FEATURES, &[as_u32(blocks)], 8 + FEATURE_BLOCK * blocks)?;
        let active = |index: usize| {
            let at = 8 + FEATURE_BLOCK * (index / 32) + 8;
            let bits =
                said.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |b| u32::from_ne_bytes(*b));
            bits >> (index % 32) & 1 == 1
        };
        let all = names.into_iter().enumerate();
        Ok(all.map(|(index, name)| Feature { name, is_on: active(index), index }).collect())
    }

    /// Asks for features to be off. Those that the driver can't do without stay: look again.
    ///
    /// # Errors
    /// When the process may not (`CAP_NET_ADMIN`), or the driver fails.
    pub fn turn_off(&self, features: &[&Feature]) -> io::Result<()> {
        let blocks = features.iter().map(|feature| feature.index / 32 + 1).max().unwrap_or(0);
        // What the kernel has for all features must be as long as it expects: as many blocks as it knows.
        let blocks = blocks.max(self.strings(FEATURES)?.len().div_ceil(32));
        // Of each block: which are meant, and which of these are to be on.
        let mut meant = vec![0_u32; blocks];
        for feature in features {
            if let Some(block) = meant.get_mut(feature.index / 32) {
                *block |= 1 << (feature.index % 32);
            }
        }
        let words: Vec<u32> =
            [as_u32(blocks)].into_iter().chain(meant.into_iter().flat_map(|block| [block, 0])).collect();
        self.ask(SET_FEATURES, &words, 4 + 4 * words.len()).map(drop)
    }

    fn strings(&self, set: u32) -> io::Result<Vec<String>> {
        let mask = 1_u64 << set;
        let octets = mask.to_ne_bytes();
        let halves = octets.as_chunks().0.iter().map(|half| u32::from_ne_bytes(*half));
        let reserved_and_mask: Vec<u32> = [0].into_iter().chain(halves).collect();
        let sizes = self.ask(GET_SET_SIZES, &reserved_and_mask, 20)?;
        // The kernel leaves out of the mask what this device has none of.
        let has =
            sizes.get(8..).and_then(|mask| mask.first_chunk()).map_or(0, |mask| u64::from_ne_bytes(*mask))
                & mask
                != 0;
        let count = sizes
            .get(16..)
            .and_then(|count| count.first_chunk())
            .map_or(0, |count| u32::from_ne_bytes(*count)) as usize;
        if !has || count == 0 || count > MOST {
            return Ok(Vec::new());
        }
        let said = self.ask(GET_STRINGS, &[set, as_u32(count)], 12 + STRING * room(count))?;
        Ok(said.get(12..).unwrap_or_default().chunks_exact(STRING).take(count).map(text).collect())
    }

    /// Asks with a command and the words behind it, in `size` octets, which come back as the kernel has filled them in.
    fn ask(&self, command: u32, words: &[u32], size: usize) -> io::Result<Vec<u8>> {
        let mut value: Vec<u8> = [command].iter().chain(words).flat_map(|word| word.to_ne_bytes()).collect();
        value.resize(size.max(value.len()), 0);
        // SAFETY: all zero is a valid ifreq.
        let mut request: libc::ifreq = unsafe { zeroed() };
        request.ifr_name = self.name;
        request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
        // SAFETY: the request names the interface and points at `value`, which is longer than the command's structure with
        // as many elements as its words say: strings and statistics the kernel writes as many as the device has by now,
        // whatever was asked for, and `room` is left for those it got since they were counted. Both outlive the call.
        let done = unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
    }
}

fn text(octets: &[u8]) -> String {
    let octets = octets.split(|octet| *octet == 0).next().unwrap_or_default();
    String::from_utf8_lossy(octets).into_owned()
}

/// Room for the counters of a device that had `count` before: with more queues it has more.
fn room(count: usize) -> usize {
    2 * count + 1024
}

/// Bounded by [`MOST`].
fn as_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
impl Feature {
    pub(in crate::datapath) fn at(name: &str, is_on: bool) -> Self {
        Self { name: name.to_owned(), is_on, index: 0 }
    }
}
