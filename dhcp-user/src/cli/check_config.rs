//! `check-config`: whether a file is accepted, and if not, all its errors.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Exit;
use super::explain_diff::{Leases, explain};
use super::output::{complain, finish, remark};
use crate::access::{self, Closed};
use crate::config::{self, Config, ConfigError, LoadError};
use crate::datapath::interfaces::netlink;
use crate::files;
use crate::server::{self, Capacity};

/// The file to check, and how to say what is found.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckConfig {
    /// The configuration
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Say what a reload from this configuration to FILE does, and to which leases
    #[arg(long, value_name = "OLD")]
    explain_diff: Option<PathBuf>,
    #[command(flatten)]
    leases: Leases,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The findings, in JSON.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Findings<'f> {
    valid: bool,
    errors: Vec<Finding<'f>>,
    /// Warnings: accepted, and perhaps a mistake.
    warnings: Vec<Finding<'f>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Memory>,
}

/// How many octets of memory a configuration takes.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Memory {
    at_start: u64,
    at_most: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Finding<'f> {
    file: &'f str,
    line: usize,
    column: usize,
    message: &'f str,
}

impl CheckConfig {
    /// Checks the file and prints what it finds.
    #[must_use]
    pub fn run(self) -> Exit {
        if let Some(old) = &self.explain_diff {
            return explain(old, &self.file, &self.leases, self.json);
        }
        let checked = match Config::load(&self.file) {
            Ok(config) => {
                let capacity = Capacity::of(&config).beside(&config.server.pin_dir);
                match capacity.check(server::memory_left()) {
                    Ok(()) => Ok(config),
                    Err(too_much) => Err(vec![ConfigError {
                        file: self.file.display().to_string(),
                        line: 1,
                        column: 1,
                        message: too_much.to_string(),
                    }]),
                }
            }
            Err(LoadError::Invalid(errors)) => Err(errors),
            Err(error @ LoadError::Read { .. }) => {
                return complain(Exit::No, error);
            }
        };
        let exit = if checked.is_ok() { Exit::Done } else { Exit::No };
        let warnings = checked.as_ref().map(|config| warnings(config, &self.file)).unwrap_or_default();
        let printed = if self.json {
            print_json(&checked, &warnings)
        } else {
            let mut texts = HashMap::new();
            warnings.iter().for_each(|warning| {
                remark(format_args!("{warning} (a warning){}", pointed_at(&mut texts, warning)));
            });
            self.print_text(&checked, &mut texts)
        };
        finish(exit, printed)
    }

    fn print_text(&self, checked: &Result<Config, Vec<ConfigError>>, texts: &mut Texts) -> io::Result<()> {
        match checked {
            Ok(config) => {
                let capacity = Capacity::of(config);
                writeln!(io::stdout(), "{}: good: {}; {capacity}", self.file.display(), summary(config))
            }
            Err(errors) => {
                errors.iter().for_each(|error| remark(format_args!("{error}{}", pointed_at(texts, error))));
                Ok(())
            }
        }
    }
}

/// No longer line is shown.
const LONGEST_SHOWN: usize = 1000;

/// The texts of the files with findings.
type Texts = HashMap<String, String>;

/// The line of the text with a finding, and a mark below it. Nothing if the line isn't there, or a terminal might
/// take it for more than text.
fn pointed_at(texts: &mut Texts, error: &ConfigError) -> String {
    let text = texts
        .entry(error.file.clone())
        .or_insert_with_key(|file| files::text(file.as_ref(), config::LONGEST).unwrap_or_default());
    let shown = |line: &&str| {
        !line.trim().is_empty()
            && line.len() <= LONGEST_SHOWN
            && !line.chars().any(|c| c.is_control() && c != '\t')
    };
    let Some(line) = text.lines().nth(error.line.saturating_sub(1)).filter(shown) else {
        return String::new();
    };
    let number = error.line;
    // Tabs stay, so that the mark is where the terminal has the character.
    let before: String = line
        .chars()
        .take(error.column.saturating_sub(1))
        .map(|c| if c == '\t' { '\t' } else { ' ' })
        .collect();
    let margin = " ".repeat(number.to_string().len());
    format!("\n {number} | {line}\n {margin} | {before}^")
}

/// The warnings for this machine, as far as its interfaces and directories can be read.
fn warnings(config: &Config, file: &Path) -> Vec<ConfigError> {
    let here = netlink::namespace().unwrap_or_default();
    let own = here.addresses.iter().map(|(name, address)| (name.as_str(), *address));
    let mut warnings = config.warnings_beside(own);
    let served = |name: &str| config.interfaces.iter().any(|interface| interface.name == name);
    let facts: Vec<_> =
        here.links.iter().map(|link| &link.facts).filter(|facts| served(&facts.name)).collect();
    // It may be for another machine, or an interface is not there yet.
    if facts.len() == config.interfaces.len() && facts.iter().all(|facts| !facts.addresses.is_empty()) {
        let own: Vec<_> = facts.iter().flat_map(|facts| facts.addresses.iter().copied()).collect();
        warnings.extend(config.unreachable_beside(&own));
        warnings.sort();
    }
    // Who checks need not be who serves.
    let closed = access::closed(config, file).into_iter().filter(Closed::is_for_all);
    warnings.extend(closed.map(|closed| ConfigError {
        file: file.display().to_string(),
        line: 1,
        column: 1,
        message: closed.to_string(),
    }));
    warnings
}

fn print_json(checked: &Result<Config, Vec<ConfigError>>, warnings: &[ConfigError]) -> io::Result<()> {
    fn finding(e: &ConfigError) -> Finding<'_> {
        Finding { file: &e.file, line: e.line, column: e.column, message: &e.message }
    }
    let errors: Vec<_> = checked.as_ref().err().into_iter().flatten().map(finding).collect();
    let warnings = warnings.iter().map(finding).collect();
    let memory = checked
        .as_ref()
        .ok()
        .map(Capacity::of)
        .map(|capacity| Memory { at_start: capacity.at_start(), at_most: capacity.at_most() });
    let findings = Findings { valid: errors.is_empty(), errors, warnings, memory };
    writeln!(io::stdout(), "{}", serde_json::to_string(&findings)?)
}

fn summary(config: &Config) -> String {
    let count = |n: u64, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let pools = config.subnets.iter().flat_map(|subnet| &subnet.pools);
    [
        count(config.interfaces.len() as u64, "interface", "interfaces"),
        count(config.subnets.len() as u64, "subnet", "subnets"),
        count(pools.map(|pool| u64::from(pool.range.size())).sum(), "address in pools", "addresses in pools"),
        count(
            config.subnets.iter().map(|subnet| subnet.reservations.len() as u64).sum(),
            "reservation",
            "reservations",
        ),
    ]
    .join(", ")
}
