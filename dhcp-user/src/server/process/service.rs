//! Notifications to the service manager (`sd_notify`(3)): ready, alive, reloading, stopping, and a line for its
//! status.

use std::sync::OnceLock;
use std::time::Duration;

use sd_notify::NotifyState;

use super::notifications::Notifications;
use crate::control::LinkStatus;
use crate::server::Server;

/// How long the manager may take to hear the last.
const LAST_WORD: Duration = Duration::from_millis(500);

/// A process has one service manager, or none.
static MANAGER: OnceLock<Option<Notifications>> = OnceLock::new();

fn manager() -> Option<&'static Notifications> {
    let begin = || {
        std::env::var_os("NOTIFY_SOCKET")?;
        let begun =
            Notifications::before(|lines| sd_notify::notify(&[NotifyState::Custom(lines.trim_end())]));
        begun
            .inspect_err(|error| tracing::error!(%error, "the service manager can't be told of anything"))
            .ok()
    };
    MANAGER.get_or_init(begin).as_ref()
}

/// How many notifications the manager did not take.
pub(in crate::server) fn notifications_dropped() -> u64 {
    manager().map_or(0, Notifications::dropped)
}

/// The daemon has begun to start.
pub(in crate::server) fn starting() {
    if let Some(manager) = manager() {
        manager.status("starting: reading leases");
    }
}

/// The daemon serves.
pub(in crate::server) fn ready(server: &Server) {
    if let Some(manager) = manager() {
        manager.step(&[NotifyState::Ready, NotifyState::Status(&status(server))]);
    }
}

/// The deciding thread, which calls this, is alive.
pub(in crate::server) fn alive() {
    if let Some(manager) = manager() {
        manager.alive();
    }
}

/// How the daemon does, in a line.
pub(in crate::server) fn tell(server: &Server) {
    if let Some(manager) = manager() {
        manager.status(&status(server));
    }
}

/// The configuration is read again, until [`ready`] is sent.
pub(in crate::server) fn reloading() {
    let Some(manager) = manager() else { return };
    match NotifyState::monotonic_usec_now() {
        Ok(now) => manager.step(&[NotifyState::Reloading, now, NotifyState::Status("reloading")]),
        Err(error) => tracing::debug!(%error, "the service manager is not told of a reload"),
    }
}

/// The daemon is about to end.
pub(in crate::server) fn stopping() {
    if let Some(manager) = manager() {
        manager.step(&[
            NotifyState::Stopping,
            NotifyState::Status("stopping: committing what the kernel has promised"),
        ]);
    }
}

/// No more notifications; those that wait have a moment to leave.
pub(in crate::server) fn farewell() {
    if let Some(manager) = manager() {
        manager.flush(LAST_WORD);
    }
}

fn status(server: &Server) -> String {
    let mut served: Vec<&str> = Vec::new();
    let mut missing: Vec<&str> = Vec::new();
    for interface in server.interfaces.values() {
        let list = if interface.link == LinkStatus::Missing { &mut missing } else { &mut served };
        list.push(&interface.facts.name);
    }
    served.sort_unstable();
    missing.sort_unstable();
    let mut line = match server.disk_trouble() {
        Some(trouble) => format!("NO LEASE CAN BE GRANTED: {trouble}"),
        None => format!("serving {}", served.join(", ")),
    };
    if !missing.is_empty() {
        line.push_str("; missing: ");
        line.push_str(&missing.join(", "));
    }
    line
}
