//! The user at the other end of a connection, and the requests that he may make.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt};

/// More groups than the kernel lets a process have (`NGROUPS_MAX`).
const MOST_GROUPS: usize = 65_536;
/// Refusals have a line of the log as often.
const PAUSE: Duration = Duration::from_secs(1);

/// A process, as the kernel knew it when it connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) uid: u32,
    pub(super) pid: i32,
    /// All of its groups.
    pub(super) groups: Vec<u32>,
}

impl Peer {
    /// # Errors
    /// When the kernel doesn't report it.
    pub(super) fn of(stream: BorrowedFd<'_>) -> io::Result<Self> {
        let peer = getsockopt(&stream, sockopt::PeerCredentials)?;
        // Who has no more groups than the one has just that.
        let mut groups = other_groups(stream).unwrap_or_default();
        groups.push(peer.gid());
        Ok(Self { uid: peer.uid(), pid: peer.pid(), groups })
    }
}

/// The groups beside its own (SO_PEERGROUPS).
fn other_groups(stream: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; 64];
    loop {
        let mut length =
            libc::socklen_t::try_from(size_of_val(groups.as_slice())).map_err(io::Error::other)?;
        // SAFETY: the kernel writes at most `length` octets, which is what `groups` has room for, and both outlive the call.
        let failed = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if failed == 0 {
            groups.truncate((length as usize).checked_div(size_of::<u32>()).unwrap_or(0));
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || groups.len() >= MOST_GROUPS {
            return Err(error);
        }
        groups.resize(MOST_GROUPS, 0);
    }
}

/// The requests that a user may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum May {
    Nothing,
    Read,
    Change,
}

/// Which users may make which requests.
#[derive(Debug, Default)]
pub struct Admission {
    /// `None`: everybody who reaches the socket may ask for anything.
    groups: Option<Groups>,
    told: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Groups {
    /// The daemon's own user.
    own: u32,
    change: u32,
    read: Option<u32>,
}

impl Admission {
    /// For members of `change`, root and the user `own` to ask for anything, and for those of `read` to ask what there is.
    #[must_use]
    pub fn of(own: u32, change: u32, read: Option<u32>) -> Self {
        Self { groups: Some(Groups { own, change, read }), told: Mutex::default() }
    }

    pub(super) fn may(&self, peer: &io::Result<Peer>) -> May {
        let Some(groups) = &self.groups else { return May::Change };
        match peer {
            Ok(peer) if [0, groups.own].contains(&peer.uid) || peer.groups.contains(&groups.change) => {
                May::Change
            }
            Ok(peer) if groups.read.is_some_and(|read| peer.groups.contains(&read)) => May::Read,
            Ok(_) | Err(_) => May::Nothing,
        }
    }

    /// Whether a refusal has a line of the log.
    pub(super) fn is_told(&self) -> bool {
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_due = told.is_none_or(|told| told.elapsed() >= PAUSE);
        if is_due {
            *told = Some(Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn who_is_in_which_group_may_do_what() {
        let peer = |uid, groups: &[u32]| Ok(Peer { uid, pid: 1, groups: groups.to_vec() });
        let open = Admission::default();
        assert_eq!(open.may(&peer(7, &[])), May::Change);
        let admission = Admission::of(100, 20, Some(30));
        for (uid, groups, may) in [
            (0, &[][..], May::Change),
            (100, &[], May::Change),
            (7, &[5, 20], May::Change),
            (7, &[30, 20], May::Change),
            (7, &[30], May::Read),
            (7, &[5], May::Nothing),
        ] {
            assert_eq!(admission.may(&peer(uid, groups)), may, "{uid} {groups:?}");
        }
        assert_eq!(admission.may(&Err(io::ErrorKind::Other.into())), May::Nothing);
        assert_eq!(Admission::of(100, 20, None).may(&peer(7, &[30])), May::Nothing);
    }

    #[test]
    fn a_process_is_known_with_all_its_groups() {
        let (here, _there) = UnixStream::pair().unwrap();
        let peer = Peer::of(here.as_fd()).unwrap();
        assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
        let mut own: Vec<u32> =
            nix::unistd::getgroups().unwrap().iter().map(|group| group.as_raw()).collect();
        own.push(nix::unistd::getegid().as_raw());
        let sorted = |mut groups: Vec<u32>| {
            groups.sort_unstable();
            groups.dedup();
            groups
        };
        assert_eq!(sorted(peer.groups), sorted(own));
    }
}
