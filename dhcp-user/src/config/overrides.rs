//! The contents of an answer beside the address: options, boot fields and times, set in general and overridden by
//! more specific scopes.
//!
//! From the most general to the most specific: `[server]` (without times), `[[subnet]]`, an entry of `pools`,
//! `[[class]]` in the order of the file, `[[subnet.reservation]]`. Each option and each field is the last one's that
//! sets it.

use std::net::Ipv4Addr;

use super::lease_times::LeaseTimes;
use super::options::{self, OptionSet};
use super::section::Section;
use super::value::Value;

/// The settings of a pool, a class or a reservation, which override more general ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Overrides {
    /// Its options.
    pub options: OptionSet,
    /// Its fields of the header.
    pub boot: Boot,
    /// Its lease times, all of them or none.
    pub times: Option<LeaseTimes>,
}

/// The header fields for a client that boots from the network; a more general scope decides on those that aren't set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Boot {
    /// `siaddr`: the next server.
    pub next_server: Option<Ipv4Addr>,
    /// `sname`: at most 63 octets.
    pub server_name: Option<String>,
    /// `file`: at most 127 octets.
    pub file: Option<String>,
}

impl Overrides {
    /// Whether it sets nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Boot { next_server, server_name, file } = &self.boot;
        self.options.0.is_empty()
            && next_server.is_none()
            && server_name.is_none()
            && file.is_none()
            && self.times.is_none()
    }

    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let options = section.or("options", OptionSet::default(), options::read);
        let boot = Boot::read(section);
        let times = LeaseTimes::read_own(section);
        Some(Self { options: options?, boot: boot?, times: times? })
    }
}

impl Boot {
    /// These fields, with those of `over` in their place that it sets.
    pub(super) fn overridden_by(&self, over: Self) -> Self {
        Self {
            next_server: over.next_server.or(self.next_server),
            server_name: over.server_name.or_else(|| self.server_name.clone()),
            file: over.file.or_else(|| self.file.clone()),
        }
    }

    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let next_server = section.optional("next-server", Value::host_address);
        let server_name = section.optional("server-hostname", |v| field_text(v, 63));
        let file = section.optional("boot-file-name", |v| field_text(v, 127));
        Some(Self { next_server: next_server?, server_name: server_name?, file: file? })
    }
}

/// Text for a header field of fixed size, `longest` octets and a final zero.
fn field_text(value: Value<'_>, longest: usize) -> Option<String> {
    let text = value.text("text")?;
    match text.len() {
        0 => value.refuse("must not be empty: remove the key if it isn't wanted"),
        len if len > longest => value.refuse(format!("{len} octets are more than the field's {longest}")),
        _ if text.contains(char::is_control) => value.refuse("control characters can't be in this field"),
        _ => Some(text.to_owned()),
    }
}
