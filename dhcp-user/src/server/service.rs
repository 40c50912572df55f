//! What the service manager is told (`sd_notify`(3)): ready, alive, reloading, stopping, and a line for its status.

use sd_notify::NotifyState;

use super::Server;
use crate::control::LinkStatus;

/// Tells of one state, or several at once. Without a service manager it is nothing.
pub(super) fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager can't be told");
    }
}

/// The daemon has begun to start.
pub(super) fn starting() {
    notify(&[NotifyState::Status("starting: reading leases")]);
}

/// The daemon serves.
pub(super) fn ready(server: &Server) {
    notify(&[NotifyState::Ready, NotifyState::Status(&status(server))]);
}

/// How the daemon does, in a line.
pub(super) fn tell(server: &Server) {
    notify(&[NotifyState::Status(&status(server))]);
}

/// The configuration is read again, until [`ready`] is told.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now, NotifyState::Status("reloading")]),
        Err(error) => tracing::debug!(%error, "the service manager is not told of a reload"),
    }
}

/// The daemon is about to end.
pub(super) fn stopping() {
    notify(&[
        NotifyState::Stopping,
        NotifyState::Status("stopping: committing what the kernel has promised"),
    ]);
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
    let mut line = match &server.owed {
        Some(owed) => format!("NO LEASE CAN BE GRANTED: {}", owed.why()),
        None => format!("serving {}", served.join(", ")),
    };
    if !missing.is_empty() {
        line.push_str("; missing: ");
        line.push_str(&missing.join(", "));
    }
    line
}
