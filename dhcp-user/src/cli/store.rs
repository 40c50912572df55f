//! `store check`: the contents and the faults of a lease store.

use std::io::{self, Write};
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use super::Exit;
use super::output::{complain, finish};
use crate::control::WallClock;
use crate::store::{self, BootId, Checked};

/// What to do with a store.
#[derive(Clone, Debug, clap::Args)]
pub struct Store {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// Say what is in a store and what is wrong with it: exit status 0, or 1 if anything is. Nothing is changed
    Check {
        /// The state directory, or the store in it
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Store {
    /// Looks, and prints what it finds.
    #[must_use]
    pub fn run(self) -> Exit {
        let What::Check { dir, json } = self.what;
        let checked = match store::check(&dir) {
            Ok(checked) => checked,
            Err(error) => return complain(Exit::No, error),
        };
        if checked.store.is_none() && checked.damages.is_empty() {
            return complain(Exit::No, format!("there is no lease store in {}", checked.dir.display()));
        }
        let exit = if checked.damages.is_empty() { Exit::Done } else { Exit::No };
        finish(exit, if json { print_json(&checked) } else { print_text(&checked) })
    }
}

/// The wall time of the last commit, if it was made in this boot.
fn newest(checked: &Checked) -> Option<Timestamp> {
    let boot: BootId = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.parse().ok()?;
    let clock = checked.clock.filter(|clock| clock.boot() == boot)?;
    Some(WallClock::read().ok()?.at(clock.to_boot(clock.time())))
}

fn print_text(checked: &Checked) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match checked.store {
        Some(id) => writeln!(out, "store {id} in {}", checked.dir.display())?,
        None => writeln!(out, "a store that nothing tells the id of, in {}", checked.dir.display())?,
    }
    if let Some(pid) = checked.held_by {
        writeln!(out, "a daemon has it open (pid {pid}): it changes while it is looked at")?;
    }
    for segment in &checked.segments {
        match segment.commits {
            Some((first, last)) => {
                writeln!(out, "{}: {} octets, commits {first} to {last}", segment.file, segment.size)?;
            }
            None => writeln!(out, "{}: {} octets, no commit", segment.file, segment.size)?,
        }
    }
    let when = match newest(checked) {
        Some(time) => format!("made at {time}"),
        None => "made in an earlier boot".to_owned(),
    };
    writeln!(out, "{} records; the last commit is number {}, {when}", checked.records, checked.last_commit)?;
    for damage in &checked.damages {
        writeln!(out, "damaged: {damage}")?;
    }
    if checked.damages.is_empty() {
        writeln!(out, "sound")
    } else {
        writeln!(
            out,
            "put a backup in its place, or start with `xdhcpd run --accept-loss`, which goes on with these records and \
             with what pinned maps still know"
        )
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report<'c> {
    sound: bool,
    dir: String,
    store: Option<String>,
    held_by: Option<u32>,
    segments: Vec<Segment<'c>>,
    records: u64,
    last_commit: u64,
    newest: Option<Timestamp>,
    damages: Vec<Damage<'c>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Segment<'c> {
    file: &'c str,
    size: u32,
    first_commit: Option<u64>,
    last_commit: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Damage<'c> {
    file: &'c str,
    offset: u64,
    what: &'c str,
}

fn print_json(checked: &Checked) -> io::Result<()> {
    let segments = checked.segments.iter().map(|segment| Segment {
        file: &segment.file,
        size: segment.size,
        first_commit: segment.commits.map(|(first, _)| first),
        last_commit: segment.commits.map(|(_, last)| last),
    });
    let damages = checked.damages.iter().map(|damage| Damage {
        file: &damage.file,
        offset: damage.offset,
        what: &damage.what,
    });
    let report = Report {
        sound: checked.damages.is_empty(),
        dir: checked.dir.display().to_string(),
        store: checked.store.map(|id| id.to_string()),
        held_by: checked.held_by,
        segments: segments.collect(),
        records: checked.records,
        last_commit: checked.last_commit,
        newest: newest(checked),
        damages: damages.collect(),
    };
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&report)?)
}
