//! Under what conditions a run was made: without them its numbers say nothing.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use system_tests::process::run;
use system_tests::server::cli;

use crate::asking::Asking;
use crate::elsewhere::Elsewhere;
use crate::subject::installed;

/// The link that is made when no other is named.
pub(crate) const VETH: &str =
    "veth pair, native XDP, one queue per CPU, clients and servers on the same CPUs";

/// How ours is configured where nothing else is said.
const SETTINGS: &str = "xdhcpd logs as it does by default; addresses are not probed before they are offered (`probe = \"off\"`), as \
    none of the other servers does it, but where a figure says that they are";

/// The machine, and what ran on it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Conditions {
    /// When the run began, UTC.
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) processor: String,
    pub(crate) cpus: usize,
    pub(crate) memory: String,
    pub(crate) kernel: String,
    pub(crate) disk: String,
    pub(crate) link: String,
    pub(crate) versions: Vec<String>,
    /// Who asked.
    pub(crate) clients: String,
    /// How ours is configured, where that is a choice.
    pub(crate) settings: String,
    /// How often all of it was measured.
    pub(crate) runs: u32,
    /// Processes that wanted a CPU when the run began, the machine's own included.
    pub(crate) load_before: String,
}

impl Conditions {
    pub(crate) fn now(elsewhere: Option<&Elsewhere>, asking: Asking, runs: u32) -> Result<Self> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let own = words.iter().skip_while(|word| *word == system_tests::confine::INSIDE);
        Ok(Self {
            date: run(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?.trim().to_owned(),
            command: format!("cargo xtask bench {}", shown(own.cloned())).trim_end().to_owned(),
            processor: field("/proc/cpuinfo", "model name")?,
            cpus: std::thread::available_parallelism()?.get(),
            memory: field("/proc/meminfo", "MemTotal")?,
            // What a builder has appended names no version.
            kernel: read("/proc/sys/kernel/osrelease")?.split('-').take(1).collect(),
            disk: elsewhere.map_or_else(disk, |_| "the server's is not known here".to_owned()),
            link: elsewhere.map_or_else(|| VETH.to_owned(), Elsewhere::link),
            versions: elsewhere.map_or_else(versions, |_| vec!["the server's is not known here".to_owned()]),
            clients: asking.clients().to_owned(),
            settings: elsewhere.map_or(SETTINGS, |_| "the server's are not known here").to_owned(),
            runs,
            load_before: read("/proc/loadavg")?.split(' ').take(3).collect::<Vec<_>>().join(" "),
        })
    }

    /// Machine, kernel and day in a line.
    pub(crate) fn in_short(&self) -> String {
        let day = self.date.split(' ').next().unwrap_or_default();
        format!("{} × {}, Linux {}, veth, {day}", self.cpus, self.processor, self.kernel)
    }

    fn runs_in_words(&self) -> String {
        match self.runs {
            1 => "1".to_owned(),
            runs => format!(
                "{runs}: figures, tables and plots are medians. Other servers than Kea, and what has no goal, are of the first run alone"
            ),
        }
    }

    /// As lines of a name and a value.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        vec![
            ("date", self.date.clone()),
            ("command", self.command.clone()),
            ("machine", format!("{} × {}, {}", self.cpus, self.processor, self.memory)),
            ("kernel", self.kernel.clone()),
            ("disk", self.disk.clone()),
            ("link", self.link.clone()),
            ("clients", self.clients.clone()),
            ("settings", self.settings.clone()),
            ("runs", self.runs_in_words()),
            ("load average before", self.load_before.clone()),
            ("versions", self.versions.join("; ")),
        ]
    }
}

/// Arguments as one types them; where results go is no condition.
fn shown(words: impl Iterator<Item = String>) -> String {
    let mut kept = Vec::new();
    let mut words = words;
    while let Some(word) = words.next() {
        if word == "--results" {
            words.next();
        } else {
            kept.push(word);
        }
    }
    kept.join(" ")
}

fn versions() -> Vec<String> {
    let ours = cli().and_then(|mut command| run(command.arg("--version")));
    let packages = ["kea-dhcp4-server", "isc-dhcp-server", "dnsmasq-base"]
        .map(|package| installed::package(package).map(|version| format!("{package} {version}")));
    ours.ok()
        .map(|version| version.trim().to_owned())
        .into_iter()
        .chain(packages.into_iter().flatten())
        .collect()
}

/// The file system under the directory for temporary files, where every server keeps its leases.
fn disk() -> String {
    let dir = std::env::temp_dir();
    let asked = run(Command::new("findmnt").args(["-n", "-o", "FSTYPE,SOURCE", "--target"]).arg(&dir));
    asked.map_or_else(
        |_| dir.display().to_string(),
        |said| said.split_whitespace().collect::<Vec<_>>().join(" "),
    )
}

fn read(path: &str) -> Result<String> {
    Ok(fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?.trim().to_owned())
}

/// A field of one of the kernel's text files; the first, if there are several.
fn field(path: &str, name: &str) -> Result<String> {
    let text = read(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    Ok(line.with_context(|| format!("{path} has no {name}"))?.trim().to_owned())
}
