//! Our configuration, for another server: as far as it has the same, and the rest as comments with file and line.

use std::path::{Path, PathBuf};

use super::source::Source;
use super::written::Written;
use super::{dnsmasq_configuration, isc_configuration, kea_configuration};
use crate::config::{self, Config};
use crate::files;

/// A server that configurations can go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Kea's `kea-dhcp4.conf`.
    Kea,
    /// ISC dhcpd's `dhcpd.conf`.
    Isc,
    /// `dnsmasq.conf`.
    Dnsmasq,
}

/// The configuration that was read from `file`, as the other server writes it.
#[must_use]
pub fn configuration(config: &Config, file: &Path, to: To) -> String {
    let mut written = Written::default();
    let files: Vec<PathBuf> = std::iter::once(file.to_owned()).chain(config.files.iter().cloned()).collect();
    for path in files {
        if let Ok(text) = files::text(&path, config::LONGEST) {
            written.add(&path, &text);
        }
    }
    let source = Source { config, written };
    match to {
        To::Kea => kea_configuration::text(&source),
        To::Isc => isc_configuration::text(&source),
        To::Dnsmasq => dnsmasq_configuration::text(&source),
    }
}
