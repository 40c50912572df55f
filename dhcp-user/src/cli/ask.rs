//! The verbs that a running daemon answers.

use std::net::Ipv4Addr;

use clap::Subcommand;

use super::Exit;
use super::daemon::Daemon;
use super::leases::Leases;
use super::release::Release;
use super::reservation::Reservation;
use super::words::{hw_address, prefix};
use crate::control::{Cause, Request, Subject, from_colon_hex};
use crate::journal::wire_text;

/// A question to a running daemon.
#[derive(Debug, Subcommand)]
pub enum Ask {
    /// Show the daemon's version, interfaces and store
    Status(Daemon),
    /// Show the counters of kernel and daemon
    Stats(Daemon),
    /// Show how many addresses of each pool are in which state
    Pools(Daemon),
    /// List the leases, all or those that are like this
    Leases(Leases),
    /// Show or end one lease
    #[command(subcommand)]
    Lease(OneLease),
    /// List devices that hold more than one lease, and when each lease was last heard of
    Orphans(Daemon),
    /// List the addresses in quarantine, or take one out
    Quarantine(Quarantine),
    /// Compare policy, store and kernel: exit status 1 if they differ
    Audit(Daemon),
    /// Tell why a client's last messages got no answer, or not one of the kernel
    Explain(Explain),
    /// Follow what happens, one line per event
    Events(Follow),
    /// Add, remove and list reservations while the daemon runs
    #[command(subcommand)]
    Reservation(Reservation),
    /// Read the configuration file again: exit status 1 and every error if it is wrong, and nothing changes
    Reload(Daemon),
}

/// What to do about one lease.
#[derive(Debug, Subcommand)]
pub enum OneLease {
    /// Show a lease, and what the kernel can answer for it
    Show(Leased),
    /// End leases: each client gets a NAK, and its address is free when a probe finds nobody using it
    Release(Release),
}

/// The addresses in quarantine, or one of them.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Quarantine {
    #[command(flatten)]
    list: Daemon,
    #[command(subcommand)]
    change: Option<QuarantineChange>,
}

/// What to do about an address in quarantine.
#[derive(Debug, Subcommand)]
enum QuarantineChange {
    /// Take addresses out of quarantine
    Clear(Quarantined),
}

/// Addresses in quarantine.
#[derive(Debug, clap::Args)]
struct Quarantined {
    /// The address in quarantine, or all of these
    #[arg(value_name = "ADDRESS|PREFIX", value_parser = prefix)]
    which: (Ipv4Addr, u8),
    /// Only those that are in quarantine for this reason
    #[arg(long)]
    why: Option<Cause>,
    #[command(flatten)]
    daemon: Daemon,
}

/// What happens.
#[derive(Debug, clap::Args)]
pub struct Follow {
    /// First what happened after the event of this number, as far as it is kept; 0: all that is
    #[arg(long, value_name = "NUMBER")]
    since: Option<u64>,
    /// Only that: end where there is nothing more
    #[arg(long, requires = "since")]
    no_follow: bool,
    #[command(flatten)]
    daemon: Daemon,
}

/// A leased address.
#[derive(Debug, clap::Args)]
pub struct Leased {
    /// The leased address
    #[arg(value_name = "ADDRESS")]
    address: Ipv4Addr,
    #[command(flatten)]
    daemon: Daemon,
}

/// A client.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The address it has leased, its hardware address, or the circuit that it is on: the id as text, or hex: and its octets
    #[arg(value_name = "ADDRESS|MAC|CIRCUIT", value_parser = subject)]
    client: Subject,
    #[command(flatten)]
    daemon: Daemon,
}

impl Ask {
    /// Asks, and prints the answer.
    #[must_use]
    pub fn run(self) -> Exit {
        match self {
            Self::Leases(leases) => leases.run(),
            Self::Lease(OneLease::Release(release)) => release.run(),
            other => match other.parts() {
                Some((request, daemon)) => daemon.ask(&request),
                None => Exit::Usage,
            },
        }
    }

    /// The request, for verbs that are one request.
    fn parts(self) -> Option<(Request, Daemon)> {
        Some(match self {
            Self::Status(daemon) => (Request::Status, daemon),
            Self::Stats(daemon) => (Request::Stats, daemon),
            Self::Pools(daemon) => (Request::Pools, daemon),
            Self::Leases(_) | Self::Lease(OneLease::Release(_)) => return None,
            Self::Lease(OneLease::Show(Leased { address, daemon })) => {
                (Request::LeaseShow { address }, daemon)
            }
            Self::Orphans(daemon) => (Request::Orphans, daemon),
            Self::Quarantine(Quarantine { list, change: None }) => (Request::Quarantine, list),
            Self::Quarantine(Quarantine { change: Some(QuarantineChange::Clear(quarantined)), .. }) => {
                let Quarantined { which: (address, len), why, daemon } = quarantined;
                (Request::QuarantineClear { address, len, why }, daemon)
            }
            Self::Audit(daemon) => (Request::Audit, daemon),
            Self::Explain(Explain { client, daemon }) => (Request::Explain { client }, daemon),
            Self::Events(Follow { since, no_follow, daemon }) => {
                (Request::Events { since, follow: !no_follow }, daemon)
            }
            Self::Reservation(reservation) => reservation.parts(),
            Self::Reload(daemon) => (Request::Reload, daemon),
        })
    }
}

fn subject(text: &str) -> Result<Subject, String> {
    if let Ok(address) = text.parse() {
        return Ok(Subject::Address(address));
    }
    // `leases` shows another hardware type than Ethernet's so.
    let octets = text.split_once('/').filter(|(htype, _)| htype.parse::<u8>().is_ok());
    if let Ok(mac) = hw_address(octets.map_or(text, |(_, octets)| octets)) {
        return Ok(Subject::HwAddress(mac));
    }
    match text.strip_prefix("hex:") {
        None if text.is_empty() => {
            Err("write an IPv4 address, a hardware address, or a circuit id".to_owned())
        }
        None => Ok(Subject::Circuit(wire_text(text.as_bytes()))),
        Some(hex) => from_colon_hex(&hex.to_ascii_lowercase())
            .map(|octets| Subject::Circuit(wire_text(&octets)))
            .ok_or_else(|| "write octets such as hex:00:04:00:64".to_owned()),
    }
}
