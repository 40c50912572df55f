//! `import-config` and `import-leases`: convert another server's configuration and leases.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde_json::json;

use super::Exit;
use super::daemon::Whom;
use super::output::{complain, finish, remark};
use crate::control::{self, Outcome, Portable};
use crate::files;
use crate::import::{self, At, FinishedDraft, Found, Unreadable};

/// How many leases are sent together: each part is one commit.
const PART: usize = 256;

/// Whose configurations can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ConfigOf {
    /// Kea's `kea-dhcp4.conf`
    Kea,
    /// ISC dhcpd's `dhcpd.conf`
    Isc,
    /// `dnsmasq.conf`
    Dnsmasq,
}

/// Whose leases can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LeasesOf {
    /// Kea's `kea-leases4.csv`, with what its clean-up left beside it
    Kea,
    /// ISC dhcpd's `dhcpd.leases`
    Isc,
    /// dnsmasq's `dnsmasq.leases`
    Dnsmasq,
}

/// What to make a configuration of.
#[derive(Clone, Debug, clap::Args)]
pub struct ImportConfig {
    /// Whose configuration it is
    #[arg(long, value_enum)]
    from: ConfigOf,
    /// Serve this interface, whatever the file says (may be repeated)
    #[arg(long = "interface", value_name = "NAME")]
    interfaces: Vec<String>,
    /// The configuration
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Which leases to bring along, and where to.
#[derive(Clone, Debug, clap::Args)]
pub struct ImportLeases {
    /// Whose leases they are
    #[arg(long, value_enum)]
    from: LeasesOf,
    /// Print them as `xdhcpd import` reads them, and send them to nobody
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    whom: Whom,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The lease files, in the order in which they were written
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl ImportConfig {
    /// Prints a consistent configuration, with the other one's missing parts as comments.
    #[must_use]
    pub fn run(self) -> Exit {
        let read = |name: &str| files::read(name.as_ref(), files::LIST).map_err(|error| error.to_string());
        let file = self.file.display().to_string();
        let draft = match self.from {
            ConfigOf::Kea => import::kea_config(&file, &self.interfaces, &read),
            ConfigOf::Isc => import::isc_config(&file, &self.interfaces, &read),
            ConfigOf::Dnsmasq => {
                let files = import::Files { read: &read, list: &listed };
                import::dnsmasq_config(&file, &self.interfaces, &files)
            }
        };
        let settled = match draft {
            Ok(draft) => draft.finish(),
            Err(error) => return complain(Exit::No, error),
        };
        let mut to = io::stdout().lock();
        let FinishedDraft { mapped, held, commented, .. } = settled;
        let printed = write!(to, "{}", settled.text).and_then(|()| to.flush());
        remark(format_args!(
            "{mapped} lines brought along, {held} hold here without a key, {commented} are comments: read each"
        ));
        if settled.wrong.is_empty() {
            return finish(Exit::Done, printed);
        }
        settled.wrong.iter().for_each(remark);
        complain(Exit::No, "it can't be served from as it is, for the reasons above")
    }
}

/// The names of the files in a directory.
fn listed(directory: &str) -> Result<Vec<String>, String> {
    let entries = std::fs::read_dir(directory).map_err(|error| error.to_string())?;
    let name = |entry: io::Result<std::fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned()).map_err(|error| error.to_string())
    };
    entries.map(name).collect()
}

/// A lease that isn't brought along, and why.
struct Refused {
    at: At,
    address: Option<Ipv4Addr>,
    why: String,
}

impl ImportLeases {
    /// Brings the leases to the daemon, and prints each that isn't taken.
    #[must_use]
    pub fn run(self) -> Exit {
        let found = match self.read() {
            Ok(found) => found,
            Err(error) => return complain(Exit::No, error),
        };
        let superseded = found.superseded();
        let (leases, not_taken) = found.at(jiff::Timestamp::now().as_second());
        let refused: Vec<Refused> = not_taken
            .into_iter()
            .map(|no| Refused { at: no.at, address: no.address, why: no.why.to_string() })
            .collect();
        let lines: Result<Vec<String>, _> =
            leases.iter().map(|(_, lease)| serde_json::to_string(lease)).collect();
        let lines = match lines {
            Ok(lines) => lines,
            Err(error) => return complain(Exit::No, error),
        };
        if self.print {
            let mut to = io::stdout().lock();
            let printed = lines.iter().try_for_each(|line| writeln!(to, "{line}"));
            tell(&refused);
            return finish(Exit::Done, printed);
        }
        self.send(&leases, &lines, refused, superseded)
    }

    fn send(
        &self,
        leases: &[(At, Portable)],
        lines: &[String],
        mut refused: Vec<Refused>,
        superseded: usize,
    ) -> Exit {
        let mut kept_back = 0;
        let (fitting, lines): (Vec<&(At, Portable)>, Vec<&str>) = leases
            .iter()
            .zip(lines.iter().map(String::as_str))
            .filter(|((at, lease), line)| {
                let fits = line.len() < control::LONGEST_LEASE;
                if !fits {
                    kept_back += 1;
                    let why = format!("longer than {} octets", control::LONGEST_LEASE);
                    refused.push(Refused { at: at.clone(), address: Some(lease.address), why });
                }
                fits
            })
            .unzip();
        // What has run out is nothing to complain of; what the daemon can't honour is.
        let (mut imported, mut sent, mut denied) = (0, 0, kept_back);
        let socket = match self.whom.socket() {
            Ok(socket) => socket,
            Err(why) => return complain(Exit::Unreachable, why),
        };
        let outcome = control::import(&socket, &lines, PART, |part, told| {
            imported += told.imported;
            for no in told.refused {
                let lease = usize::try_from(no.number).ok().and_then(|number| fitting.get(sent + number));
                if let Some((at, lease)) = lease {
                    denied += 1;
                    refused.push(Refused { at: at.clone(), address: Some(lease.address), why: no.why });
                }
            }
            sent += part.len();
        });
        let printed = self.report(imported, superseded, &refused);
        match outcome {
            Ok(Outcome::Done) if denied == 0 => finish(Exit::Done, printed),
            Ok(Outcome::Done) => finish(Exit::No, printed),
            Ok(Outcome::No(why)) => complain(Exit::No, why),
            Ok(Outcome::Refused(why)) => complain(Exit::Usage, why),
            Ok(Outcome::Stuck(why)) => complain(Exit::Unreachable, why),
            Err(error) => complain(Exit::Unreachable, error),
        }
    }

    fn read(&self) -> Result<Found, Unreadable> {
        let mut found = Found::default();
        let files: Vec<PathBuf> = match self.from {
            LeasesOf::Kea => self.files.iter().flat_map(|file| import::kea_files(file)).collect(),
            LeasesOf::Isc | LeasesOf::Dnsmasq => self.files.clone(),
        };
        for path in files {
            let file = path.display().to_string();
            let octets = files::read(&path, files::LIST).map_err(|error| Unreadable {
                at: At::start_of(&file),
                what: format!("can't read it: {error}"),
            })?;
            match self.from {
                LeasesOf::Kea => import::kea_leases(&file, &octets, &mut found)?,
                LeasesOf::Isc => import::isc_leases(&file, &octets, &mut found)?,
                LeasesOf::Dnsmasq => import::dnsmasq_leases(&file, &octets, &mut found),
            }
        }
        Ok(found)
    }

    fn report(&self, imported: u64, superseded: usize, refused: &[Refused]) -> io::Result<()> {
        let mut to = io::stdout().lock();
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for no in refused {
            *reasons.entry(no.why.as_str()).or_default() += 1;
        }
        if self.json {
            let refused: Vec<_> = refused
                .iter()
                .map(|no| json!({"file": &*no.at.file, "line": no.at.line, "address": no.address, "why": no.why}))
                .collect();
            let told = json!({"imported": imported, "superseded": superseded, "refused": refused, "reasons": reasons});
            return writeln!(to, "{told}");
        }
        tell(refused);
        writeln!(
            to,
            "{imported} imported, {} not, {superseded} entries superseded by later ones",
            refused.len()
        )?;
        reasons.iter().try_for_each(|(why, count)| writeln!(to, "{count:8}  {why}"))
    }
}

fn tell(refused: &[Refused]) {
    for Refused { at, address, why } in refused {
        let address = address.map(|address| format!("{address}: ")).unwrap_or_default();
        remark(format_args!("{at}: {address}{why}"));
    }
}
