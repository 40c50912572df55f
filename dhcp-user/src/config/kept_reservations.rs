//! The reservations that the daemon keeps itself, as operators order it (`xdhcpd reservation`): a file in `state-dir`, one a line
//! as in a `reservations-file`, each with its `subnet`. They stand beside those of the configuration.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::errors::{ConfigError, Errors, Span};
use super::prefix::Prefix;
use super::reservation::{Fields, ReservationKey};
use crate::files;

/// The name of the file in `state-dir`.
const FILE: &str = "reservations.jsonl";
/// The key by which a line names its subnet.
pub const SUBNET: &str = "subnet";

/// Where the daemon keeps reservations.
#[must_use]
pub fn file(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE)
}

/// Whose reservations are read beside those of the configuration.
#[derive(Clone, Copy, Debug)]
pub(super) enum Beside<'k> {
    /// None: a text is looked at by itself.
    Nothing,
    /// Those that are kept in `state-dir`.
    Kept,
    /// Those that would be kept there.
    Instead(&'k str),
}

/// The number of a line, and what it says beside its subnet.
type Line = (usize, Map<String, Json>);

/// Lines of the file, by their subnets.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) file: Arc<str>,
    by_subnet: BTreeMap<Prefix, Vec<Line>>,
}

impl Lines {
    /// Those of the file in `state_dir`.
    pub(super) fn of(beside: Beside<'_>, state_dir: &Path, errors: &Errors<'_>, at: &Span) -> Self {
        let path = file(state_dir);
        let text = match beside {
            Beside::Nothing => return Self::default(),
            Beside::Instead(text) => text.to_owned(),
            Beside::Kept => match files::text(&path, super::LONGEST) {
                Ok(text) => text,
                Err(error) if error.kind() == ErrorKind::NotFound => return Self::default(),
                Err(error) if error.kind() != ErrorKind::PermissionDenied => {
                    errors.refuse(
                        at,
                        format!(
                            "can't read {}: {error}: the addresses reserved there would be given to others; mend the file, or move \
                             it away to do without its reservations",
                            path.display()
                        ),
                    );
                    return Self::default();
                }
                // Who checks a configuration need not be who serves it.
                Err(error) => {
                    errors.warn(
                        at,
                        format!("can't read {}: {error}: its reservations are left out", path.display()),
                    );
                    return Self::default();
                }
            },
        };
        let mut lines = Self { file: path.display().to_string().into(), ..Self::default() };
        for (line, text) in (1_usize..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
            match read(text) {
                Ok((subnet, object)) => lines.by_subnet.entry(subnet).or_default().push((line, object)),
                Err(message) => errors.refuse_at(lines.error(line, message)),
            }
        }
        lines
    }

    /// Those of a subnet.
    pub(super) fn take(&mut self, subnet: Prefix) -> Vec<Line> {
        self.by_subnet.remove(&subnet).unwrap_or_default()
    }

    /// Warns of those that no subnet has taken.
    pub(super) fn warn_of_the_rest(&self, errors: &Errors<'_>) {
        for (subnet, lines) in &self.by_subnet {
            for (line, _) in lines {
                errors.warn_at(
                    self.error(
                        *line,
                        format!("there is no [[subnet]] {subnet}: this reservation is left out"),
                    ),
                );
            }
        }
    }

    pub(super) fn error(&self, line: usize, message: String) -> ConfigError {
        ConfigError { file: self.file.to_string(), line, column: 1, message }
    }
}

/// The subnet that a line names, and what else it says.
///
/// # Errors
/// What is wrong with it.
pub fn read(text: &str) -> Result<(Prefix, Map<String, Json>), String> {
    let mut object: Map<String, Json> =
        serde_json::from_str(text).map_err(|error| format!("no object of JSON: {error}"))?;
    let subnet = object.remove(SUBNET).and_then(|subnet| subnet.as_str().and_then(prefix_of));
    Ok((subnet.ok_or("`subnet` must be a prefix, such as \"192.0.2.0/24\"")?, object))
}

/// The prefix that a text says.
#[must_use]
pub fn prefix_of(text: &str) -> Option<Prefix> {
    let (address, len) = text.split_once('/')?;
    let prefix = Prefix::of(address.trim().parse().ok()?, len.trim().parse().ok()?)?;
    Some(prefix)
}

/// The client that a reservation is for.
///
/// # Errors
/// What is wrong with it.
pub fn client_of(object: &Map<String, Json>) -> Result<ReservationKey, String> {
    let text = |key: &str| object.get(key).and_then(Json::as_str);
    let fields = Fields {
        hw_address: text("hw-address"),
        client_id: text("client-id"),
        circuit_id: text("circuit-id"),
        remote_id: text("remote-id"),
        address: None,
        host_name: None,
        classes: Vec::new(),
    };
    fields.key()
}
