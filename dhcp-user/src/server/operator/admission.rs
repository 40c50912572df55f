//! Admission to the control socket, by the groups that the configuration names.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, bail};
use nix::unistd::{Group, getegid, geteuid};

use crate::config;
use crate::control::{Admission, Audience};

/// Who may use the socket for what, and the mode of its file.
///
/// # Errors
/// When there is no such group.
pub(in crate::server) fn of(settings: &config::Server) -> Result<(Admission, Audience)> {
    let (change, read) = (&settings.control_group, &settings.control_read_group);
    if change.is_none() && read.is_none() {
        return Ok((Admission::default(), Audience::Group));
    }
    let change = match change {
        Some(name) => number_of("control-group", name)?,
        None => getegid().as_raw(),
    };
    let read = read.as_ref().map(|name| number_of("control-read-group", name)).transpose()?;
    // It is there already where a service manager makes it.
    if let Some(directory) = settings.control_socket.parent()
        && let Ok(metadata) = fs::metadata(directory)
        && metadata.permissions().mode() & 0o001 == 0
    {
        tracing::warn!(
            "{} is closed to others (mode {:o}): members of control-group and control-read-group may not reach the control \
             socket in it. Open it (0755, RuntimeDirectoryMode= of a unit), or have them in the directory's group",
            directory.display(),
            metadata.permissions().mode() & 0o777
        );
    }
    Ok((Admission::of(geteuid().as_raw(), change, read), Audience::All))
}

fn number_of(key: &str, name: &str) -> Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    match Group::from_name(name).with_context(|| format!("looking for the group {name} ({key})"))? {
        Some(group) => Ok(group.gid.as_raw()),
        None => bail!("there is no group {name}: make it (groupadd --system {name}), or change {key}"),
    }
}
