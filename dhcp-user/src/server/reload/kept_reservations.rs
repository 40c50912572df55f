//! The reservations that the daemon keeps: read, changed and checked on the thread that reads configurations.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Map, Value};

use crate::config::kept_reservations::{self, SUBNET};
use crate::config::{self, Config};
use crate::control::ReservationEdit;
use crate::files;

/// All of them, as they stand in the file.
pub(super) fn list(state_dir: &Path) -> Result<Vec<Map<String, Value>>> {
    let text = text_in(state_dir)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| serde_json::from_str(line).context("a line is no object of JSON")).collect()
}

/// Changes them: what comes of it is on disk then, and is what a reload takes.
///
/// # Errors
/// If it is no change, or `check-config` would refuse what comes of it. Then nothing is changed.
pub(super) fn edit(file: &Path, state_dir: &Path, edit: ReservationEdit) -> Result<()> {
    let text = text_in(state_dir)?;
    let changed = match edit {
        ReservationEdit::Add(reservation) => {
            let line = serde_json::to_string(&with_subnet(file, reservation)?)?;
            let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            format!("{text}{end}{line}\n")
        }
        ReservationEdit::Remove { client, subnet } => without(&text, &client, subnet.as_deref())?,
    };
    Config::load_with(file, &changed)?;
    write(state_dir, &changed)
        .with_context(|| format!("can't write {}", kept_reservations::file(state_dir).display()))
}

fn text_in(state_dir: &Path) -> Result<String> {
    let path = kept_reservations::file(state_dir);
    match files::text(&path, config::LONGEST) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        read => read.with_context(|| format!("can't read {}", path.display())),
    }
}

/// The reservation with the name of its subnet: the one that its address is in, if it doesn't say.
fn with_subnet(file: &Path, mut reservation: Map<String, Value>) -> Result<Map<String, Value>> {
    let config = Config::load(file)?;
    let named = match (reservation.get(SUBNET), reservation.get("address")) {
        (Some(subnet), _) => {
            let prefix = subnet.as_str().and_then(kept_reservations::prefix_of);
            config.subnets.iter().find(|subnet| Some(subnet.prefix) == prefix).ok_or_else(|| {
                anyhow!("there is no [[subnet]] {}", subnet.as_str().unwrap_or("of that kind"))
            })?
        }
        (None, Some(address)) => {
            let address = address.as_str().and_then(|address| address.trim().parse().ok());
            let address = address.context("`address` must be an IPv4 address")?;
            let holding = config.subnets.iter().find(|subnet| subnet.prefix.contains(address));
            holding.ok_or_else(|| anyhow!("{address} is in no [[subnet]]"))?
        }
        (None, None) => bail!("say in which subnet the client is: a reservation holds in one"),
    };
    reservation.insert(SUBNET.to_owned(), named.prefix.to_string().into());
    Ok(reservation)
}

/// The text without the reservation of a client.
fn without(text: &str, client: &Map<String, Value>, subnet: Option<&str>) -> Result<String> {
    let client = kept_reservations::client_of(client).map_err(|why| anyhow!(why))?;
    let subnet = match subnet {
        Some(named) => {
            Some(kept_reservations::prefix_of(named).ok_or_else(|| anyhow!("\"{named}\" is no prefix"))?)
        }
        None => None,
    };
    let is_meant = |line: &&str| {
        kept_reservations::read(line).is_ok_and(|(there, object)| {
            subnet.is_none_or(|subnet| subnet == there)
                && kept_reservations::client_of(&object) == Ok(client.clone())
        })
    };
    match text.lines().filter(is_meant).count() {
        0 => bail!("none is kept for {client}; those of the configuration are changed there"),
        1 => Ok(text.lines().filter(|line| !is_meant(line)).map(|line| format!("{line}\n")).collect()),
        several => bail!("{several} are kept for {client}: say which by the subnet"),
    }
}

/// The file is the former one or the new one, whatever happens.
fn write(state_dir: &Path, text: &str) -> io::Result<()> {
    let path = kept_reservations::file(state_dir);
    let next = path.with_extension("next");
    let mut file = files::create(&next)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&next, &path)?;
    File::open(state_dir)?.sync_all()
}
