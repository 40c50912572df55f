//! The configuration: the operator's text, parsed once and checked as a whole.
//!
//! Everything is checked before anything is used, and every error is reported, not the first only. A configuration
//! that parses is consistent, and later code may rely on the types here.

// What an operator wrote is accepted or refused in words, whatever it is.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

mod class;
mod class_names;
pub mod difference;
mod disjoint;
mod errors;
mod hook;
mod hosts;
mod interface;
mod journal;
pub mod kept_reservations;
pub mod keys;
mod lease_times;
mod options;
mod overrides;
mod pool;
mod prefix;
mod probe;
mod reach;
mod reservation;
mod reservations;
mod reservations_file;
mod section;
mod server;
mod sources;
mod stations;
mod subnet;
mod value;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub use class::{Class, Match, Pattern};
pub use class_names::ClassSet;
pub use errors::ConfigError;
pub use hook::Hook;
pub use interface::{Interface, XdpMode};
pub use journal::Journal;
pub use lease_times::LeaseTimes;
pub use options::{Form as OptionForm, OptionSet, form as option_form, option_name, shown as shown_option};
pub use overrides::{Boot, Overrides};
pub use pool::{Admission, DynamicPool};
pub use prefix::{Pool, Prefix};
pub use probe::Probe;
pub use reservation::{Reservation, ReservationKey};
pub use server::{Etcd, KeepAwake, Server, StoreChoice};
pub use subnet::{Bootp, Subnet, Vlan};
pub use value::LONGEST as LONGEST_TIME;

use class_names::ClassNames;
use errors::{Errors, Span};
use hosts::PoolsAt;
use kept_reservations::Beside;
use section::Section;
use sources::Sources;
use subnet::Others;
use value::Value;

use crate::files;

/// A configuration has so many octets at most, all its files together: lists have files of their own.
pub const LONGEST: u64 = 64 << 20;

/// Where the control socket is unless the configuration says otherwise.
pub const DEFAULT_CONTROL_SOCKET: &str = "/run/xdhcpd/control.sock";

/// A configuration that was found to hold together.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The settings of the daemon as a whole.
    pub server: Server,
    /// The interfaces served, at least one, each once.
    pub interfaces: Vec<Interface>,
    /// Clients that have something in common, in the order in which they override each other.
    pub classes: Vec<Class>,
    /// The subnets served, at least one; no two overlap.
    pub subnets: Vec<Subnet>,
    /// Where it is written down who had which address, if anywhere.
    pub journal: Option<Journal>,
    /// Programs that are run for events.
    pub hooks: Vec<Hook>,
    /// The files that it was read from beside the one that was named.
    pub files: Vec<PathBuf>,
    /// Warnings: not wrong, but perhaps a mistake; in the order of the text.
    pub warnings: Vec<ConfigError>,
    pools_at: Vec<PoolsAt>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read.
    #[error("can't read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is no good; never empty.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(Vec<ConfigError>),
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// If it can't be read, or with everything that is wrong in it.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let octets =
            files::read(path, LONGEST).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        Self::read(&octets, path, Beside::Kept).map_err(LoadError::Invalid)
    }

    /// The same as [`load`](Self::load) would if `kept` stood in the file of reservations that the daemon keeps.
    ///
    /// # Errors
    /// As there.
    pub fn load_with(path: &Path, kept: &str) -> Result<Self, LoadError> {
        let octets =
            files::read(path, LONGEST).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        Self::read(&octets, path, Beside::Instead(kept)).map_err(LoadError::Invalid)
    }

    /// Parses and checks the text of a file, and of those that it names.
    fn read(octets: &[u8], path: &Path, beside: Beside<'_>) -> Result<Self, Vec<ConfigError>> {
        let sources = Sources::of(path, octets);
        if sources.files.is_empty() {
            return Err(sources.errors);
        }
        let files = sources.files.iter().map(|(begin, file)| (*begin, file.as_str())).collect();
        let mut config = match Self::parse_files(&sources.text, files, beside) {
            Ok(config) if sources.errors.is_empty() => config,
            Ok(_) => return Err(sources.errors),
            Err(errors) => return Err(sources.errors.into_iter().chain(errors).collect()),
        };
        config.files.extend(sources.files.iter().skip(1).map(|(_, file)| PathBuf::from(file)));
        Ok(config)
    }

    /// A configuration of these parts.
    #[must_use]
    pub fn of(server: Server, interfaces: Vec<Interface>, classes: Vec<Class>, subnets: Vec<Subnet>) -> Self {
        Self {
            server,
            interfaces,
            classes,
            subnets,
            journal: None,
            hooks: Vec::new(),
            files: Vec::new(),
            warnings: Vec::new(),
            pools_at: Vec::new(),
        }
    }

    /// All lease times that a client may get, and the scopes that set them.
    pub fn lease_times(&self) -> impl Iterator<Item = (String, LeaseTimes)> {
        lease_times(&self.subnets, &self.classes)
    }

    /// Parses and checks `text`; `file` is how errors call it.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the text; never empty.
    pub fn parse(text: &str, file: &str) -> Result<Self, Vec<ConfigError>> {
        Self::parse_files(text, vec![(0, file)], Beside::Nothing)
    }

    fn parse_files(
        text: &str,
        files: Vec<(usize, &str)>,
        beside: Beside<'_>,
    ) -> Result<Self, Vec<ConfigError>> {
        let errors = Errors::of_files(files, text);
        let (document, not_toml) = DeTable::parse_recoverable(text);
        for error in &not_toml {
            errors.syntax(&error.span().unwrap_or_default(), error.message());
        }
        let config = read(Section::new(document.get_ref(), 0..0, "this file".to_owned(), &errors), beside);
        let warnings = errors.warnings();
        match (config, errors.into_sorted()) {
            (Some(config), found) if found.is_empty() => Ok(Self { warnings, ..config }),
            (_, found) => Err(found),
        }
    }
}

fn read(mut document: Section<'_>, beside: Beside<'_>) -> Option<Config> {
    let server = document.get("server").and_then(|value| value.section("[server]"));
    let options_at = server.as_ref().map(|section| section.place(&["options", "next-server"]));
    let horizon_at = server.as_ref().map(|section| section.place(&["horizon"]));
    let server = server.map_or_else(|| Some(Server::default()), Server::read);

    let interfaces = some_of(&mut document, "interface", "name = \"eth0\"", interfaces);
    let server_options = server.as_ref().map(|server| server.options.clone()).unwrap_or_default();
    let server_boot = server.as_ref().map(|server| server.boot.clone()).unwrap_or_default();
    let mut names = ClassNames::default();
    let mut others = Others::default();
    if let Some(server) = &server {
        others.kept = kept_reservations::Lines::of(beside, &server.state_dir, document.errors(), &(0..0));
    }
    let classes = document.or("class", Vec::new(), |value| {
        let Others { named_hosts, files, .. } = &mut others;
        class::read(value, &mut names, named_hosts, files)
    });
    if let Some(at) = &options_at {
        others.named_hosts.add_options(at, &server_options, &server_boot);
    }
    let subnets = some_of(&mut document, "subnet", "prefix = \"192.0.2.0/24\"", |value| {
        value.each_section("subnet", |section| {
            Subnet::read(section, (&server_options, &server_boot), &names, &mut others)
        })
    });
    others.kept.warn_of_the_rest(document.errors());
    std::mem::take(&mut others.named_hosts).look_through(document.errors(), &others.pools_at);
    let hooks = document.or("hook", Vec::new(), |value| value.each_section("hook", Hook::read));
    let journal = document.optional("journal", |value| Journal::read(value.section("[journal]")?));
    if let (Some(server), Some(horizon_at), Some(classes), Some(subnets)) =
        (&server, &horizon_at, &classes, &subnets)
    {
        check_horizon(document.errors(), horizon_at, server.horizon, lease_times(subnets, classes));
    }
    // What it names was read before.
    let _ = document.get("include");
    document.finish();
    Some(Config {
        journal: journal?,
        hooks: hooks?,
        pools_at: others.pools_at,
        files: others.files,
        ..Config::of(server?, interfaces?, classes?, subnets?)
    })
}

/// An array of tables of which there must be one.
fn some_of<'t, T>(
    document: &mut Section<'t>,
    name: &'static str,
    example: &str,
    read: impl FnOnce(Value<'t>) -> Option<Vec<T>>,
) -> Option<Vec<T>> {
    let found = document.or(name, Vec::new(), read)?;
    if found.is_empty() {
        document.missing(format!("there is no [[{name}]]: add one, with {example} as its first line"));
    }
    Some(found)
}

fn interfaces(value: Value<'_>) -> Option<Vec<Interface>> {
    let mut names: HashMap<String, Span> = HashMap::new();
    value.each_section("interface", |section| {
        let at = section.place(&["name"]);
        let errors = section.errors();
        let interface = Interface::read(section)?;
        if let Some(earlier) = names.insert(interface.name.clone(), at.clone()) {
            let earlier = errors.where_is(&earlier, &at);
            errors.refuse(
                &at,
                format!(
                    "interface \"{}\" is configured twice, first on {earlier}: remove one",
                    interface.name
                ),
            );
        }
        Some(interface)
    })
}

/// A horizon must reach past the end of a lease that is renewed at its T1, or no renewal can be answered in the kernel.
fn check_horizon(
    errors: &Errors<'_>,
    at: &Span,
    horizon: f64,
    all: impl Iterator<Item = (String, LeaseTimes)>,
) {
    let needed = |times: &LeaseTimes| 1.0 + f64::from(times.renew) / f64::from(times.lease);
    let Some((name, times)) = all.max_by(|(_, a), (_, b)| needed(a).total_cmp(&needed(b))) else { return };
    let needed = needed(&times);
    if horizon < needed {
        errors.refuse(
            at,
            format!(
                "horizon {horizon} is too near: {name} renews after {} of {} seconds, which takes 1 + T1 / lease time = {needed:.3} or more",
                times.renew, times.lease,
            ),
        );
    }
}

fn lease_times(subnets: &[Subnet], classes: &[Class]) -> impl Iterator<Item = (String, LeaseTimes)> {
    let of = |name: String, overrides: &Overrides| overrides.times.map(|times| (name, times));
    let subnets = subnets.iter().flat_map(move |subnet| {
        let pools = subnet.pools.iter();
        let pools = pools.filter_map(move |pool| of(format!("the pool {}", pool.range), &pool.overrides));
        let own = subnet.reservations.iter();
        let own = own.filter_map(move |r| of(r.to_string(), &r.overrides));
        std::iter::once((subnet.prefix.to_string(), subnet.times)).chain(pools).chain(own)
    });
    let classes = classes.iter();
    subnets.chain(classes.filter_map(move |class| of(format!("class \"{}\"", class.name), &class.overrides)))
}
