//! `completions`, `man` and `reference`: the command line and the configuration, for shells and readers.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

use super::output::{complain, finish};
use super::{Cli, Exit};
use crate::config::keys;
use crate::control;
use crate::events;
use crate::metrics;
use crate::reason;

/// The shell to complete for.
#[derive(Clone, Debug, clap::Args)]
pub struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

impl Completions {
    /// Prints a script that completes verbs and their arguments.
    #[must_use]
    pub fn run(self) -> Exit {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "xdhcpd", &mut script);
        finish(Exit::Done, io::Write::write_all(&mut io::stdout(), &script))
    }
}

/// Where to write the manual.
#[derive(Clone, Debug, clap::Args)]
pub struct Man {
    /// The directory for `xdhcpd.8` and a page for each verb
    directory: PathBuf,
}

impl Man {
    /// Writes a page of the manual for the program and for each verb.
    #[must_use]
    pub fn run(self) -> Exit {
        match write_pages(&self.directory) {
            Ok(()) => Exit::Done,
            Err(error) => complain(Exit::Usage, reason::told(&error)),
        }
    }
}

/// Where the documents are.
#[derive(Clone, Debug, clap::Args)]
pub struct Reference {
    /// The directory of `configuration.md`
    directory: PathBuf,
}

impl Reference {
    /// Writes the lists of keys, metrics and events into the pages that have them, and the schema beside them.
    #[must_use]
    pub fn run(self) -> Exit {
        match write_reference(&self.directory) {
            Ok(()) => Exit::Done,
            Err(error) => complain(Exit::Usage, reason::told(&error)),
        }
    }
}

fn write_reference(directory: &Path) -> Result<()> {
    rewrite(&directory.join("configuration.md"), keys::with_keys)?;
    rewrite(&directory.join("metrics.md"), metrics::with_metrics)?;
    rewrite(&directory.join("events.md"), events::with_events)?;
    rewrite(&directory.join("control.md"), control::with_verbs)?;
    let path = directory.join("xdhcpd.schema.json");
    fs::write(&path, keys::schema()).with_context(|| format!("can't write {}", path.display()))
}

/// Writes what is between the marks of a page anew.
fn rewrite(path: &Path, with: impl FnOnce(&str) -> Option<String>) -> Result<()> {
    let page = fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    let page = with(&page).with_context(|| format!("{} lacks the marks", path.display()))?;
    fs::write(path, page).with_context(|| format!("can't write {}", path.display()))
}

fn write_pages(directory: &Path) -> Result<()> {
    let path = directory.join("xdhcpd.toml.5");
    fs::write(&path, keys::manual()).with_context(|| format!("can't write {}", path.display()))?;
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    write_page(directory, program.clone())?;
    for verb in program.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name: &'static str = format!("xdhcpd-{}", verb.get_name()).leak();
        write_page(directory, verb.clone().name(name))?;
    }
    Ok(())
}

fn write_page(directory: &Path, command: clap::Command) -> Result<()> {
    let path = directory.join(format!("{}.8", command.get_name()));
    let mut page = Vec::new();
    clap_mangen::Man::new(command).section("8").render(&mut page).context("the page can't be made")?;
    fs::write(&path, page).with_context(|| format!("can't write {}", path.display()))
}
