//! `export` and `import`: leases on their way from one server to another, as lines of JSON.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufWriter, Read, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde_json::json;

use super::Exit;
use super::daemon::{Whom, default_socket};
use super::output::{complain, finish, remark};
use super::serve::load;
use crate::control::{self, ClientError, Outcome, Portable, Request};
use crate::export;
use crate::files::{self, Within};
use crate::import::{SubnetIds, Unreadable};
use crate::reason;
use crate::server;

/// What JSON has between its parts (RFC 8259 §2), and nothing else.
const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];

/// How many leases are sent together: each part is one commit.
const PART: usize = 256;

/// Which leases to export.
#[derive(Clone, Debug, clap::Args)]
pub struct Export {
    /// The control socket of the daemon whose leases are meant [default: that of the daemon that runs]
    #[arg(long = "control", value_name = "SOCKET")]
    socket: Option<PathBuf>,
    /// Export what is on disk, by the configuration of a daemon that has been stopped
    #[arg(long, value_name = "FILE", conflicts_with = "socket")]
    config: Option<PathBuf>,
    /// Print what another server reads, instead of what an xdhcpd does
    #[arg(long, value_enum, value_name = "SERVER")]
    to: Option<Other>,
    /// Print the configuration of --config for the other server, instead of leases
    #[arg(long, requires = "config", requires = "to", conflicts_with = "kea_config")]
    configuration: bool,
    /// Kea's own configuration, for the numbers of its subnets
    #[arg(long, value_name = "FILE")]
    kea_config: Option<PathBuf>,
    /// Print JSON (it always is)
    #[arg(long, hide = true)]
    json: bool,
}

/// Another server, to which leases can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Other {
    /// Kea's `kea-leases4.csv`
    Kea,
    /// ISC dhcpd's `dhcpd.leases`
    Isc,
    /// dnsmasq's `dnsmasq.leases`
    Dnsmasq,
}

impl From<Other> for export::To {
    fn from(other: Other) -> Self {
        match other {
            Other::Kea => Self::Kea,
            Other::Isc => Self::Isc,
            Other::Dnsmasq => Self::Dnsmasq,
        }
    }
}

/// Which leases to import, and where to.
#[derive(Clone, Debug, clap::Args)]
pub struct Import {
    /// What `xdhcpd export` has printed; `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    whom: Whom,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Export {
    /// Prints the leases, a line each, or the configuration.
    #[must_use]
    pub fn run(self) -> Exit {
        if let (true, Some(file), Some(to)) = (self.configuration, &self.config, self.to) {
            return match load(file) {
                Ok(config) => {
                    let text = export::configuration(&config, file, to.into());
                    finish(Exit::Done, write!(io::stdout(), "{text}"))
                }
                Err(error) => complain(Exit::No, reason::told(&error)),
            };
        }
        if self.to == Some(Other::Kea) && self.kea_config.is_none() {
            return complain(
                Exit::Usage,
                "--to kea: Kea's leases have the numbers of its subnets: add --kea-config FILE",
            );
        }
        let mut to = match self.writer() {
            Ok(writer) => writer,
            Err(error) => return complain(Exit::No, error),
        };
        if let Some(file) = &self.config {
            let exported =
                load(file).and_then(|config| server::export_stopped(&config, |lease| to.lease(&lease)));
            return match exported {
                Ok(written) => finish(Exit::Done, written.and_then(|()| to.finish())),
                Err(error) => complain(Exit::No, reason::told(&error)),
            };
        }
        let socket = match self.socket.map_or_else(default_socket, Ok) {
            Ok(socket) => socket,
            Err(why) => return complain(Exit::Unreachable, why),
        };
        match control::ask(&socket, &Request::Export, |lease| to.line(lease.get())) {
            Ok(Outcome::Done) => finish(Exit::Done, to.finish()),
            Ok(Outcome::No(why)) => complain(Exit::No, why),
            Ok(Outcome::Refused(why)) => complain(Exit::Usage, why),
            Ok(Outcome::Stuck(why)) => complain(Exit::Unreachable, why),
            Err(ClientError::Output(error)) => finish(Exit::Done, Err(error)),
            Err(error) => complain(Exit::Unreachable, error),
        }
    }
}

impl Export {
    fn writer(&self) -> Result<Writer, Unreadable> {
        let read = |name: &str| files::read(name.as_ref(), files::LIST).map_err(|error| error.to_string());
        let ids = |file: &PathBuf| SubnetIds::read(&file.display().to_string(), &read);
        Ok(Writer {
            to: BufWriter::new(io::stdout()),
            form: self.to,
            ids: self.kea_config.as_ref().map(ids).transpose()?,
            now: jiff::Timestamp::now().as_second(),
            has_begun: false,
            left: BTreeMap::new(),
        })
    }
}

/// Writes leases in the form that was asked for.
struct Writer {
    to: BufWriter<io::Stdout>,
    form: Option<Other>,
    ids: Option<SubnetIds>,
    now: i64,
    has_begun: bool,
    /// How many are not written, by reason.
    left: BTreeMap<String, u64>,
}

impl Writer {
    /// A lease as the daemon says it.
    fn line(&mut self, line: &str) -> io::Result<()> {
        match self.form {
            None => writeln!(self.to, "{line}"),
            Some(_) => self.lease(&serde_json::from_str(line)?),
        }
    }

    fn lease(&mut self, lease: &Portable) -> io::Result<()> {
        self.begin()?;
        let id = |address| self.ids.as_ref().and_then(|ids| ids.of(address));
        let written = match self.form {
            None => {
                serde_json::to_writer(&mut self.to, lease)?;
                return self.to.write_all(b"\n");
            }
            Some(Other::Kea) => export::kea(lease, self.now, id),
            Some(Other::Isc) => export::isc(lease, self.now),
            Some(Other::Dnsmasq) => export::dnsmasq(lease, self.now),
        };
        match written {
            Ok(text) => writeln!(self.to, "{text}"),
            Err(why) => {
                let count = self.left.entry(why.to_string()).or_default();
                *count = count.saturating_add(1);
                Ok(())
            }
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        if is_first && self.form == Some(Other::Kea) {
            return writeln!(self.to, "{}", export::KEA_HEAD);
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.begin()?;
        self.to.flush()?;
        for (why, count) in &self.left {
            remark(format_args!("{count} not written: {why}"));
        }
        Ok(())
    }
}

/// A line that was not imported, and why.
struct Refused {
    line: usize,
    address: Option<Ipv4Addr>,
    why: String,
}

impl Import {
    /// Brings the leases to the daemon, and prints each that it refuses.
    #[must_use]
    pub fn run(self) -> Exit {
        let octets = match self.read() {
            Ok(octets) => octets,
            Err(error) => {
                return complain(Exit::Usage, format!("can't read {}: {error}", self.file.display()));
            }
        };
        let (leases, mut refused) = sorted_out(&octets);
        let lines: Vec<&str> = leases.iter().map(|lease| lease.text).collect();
        let (mut imported, mut sent) = (0, 0);
        let socket = match self.whom.socket() {
            Ok(socket) => socket,
            Err(why) => return complain(Exit::Unreachable, why),
        };
        let outcome = control::import(&socket, &lines, PART, |part, told| {
            imported += told.imported;
            for no in told.refused {
                let lease = usize::try_from(no.number).ok().and_then(|number| leases.get(sent + number));
                let (line, address) = lease.map_or((0, None), |lease| (lease.line, Some(lease.address)));
                refused.push(Refused { line, address, why: no.why });
            }
            sent += part.len();
        });
        refused.sort_by_key(|refused| refused.line);
        let printed = self.print(imported, &refused);
        match outcome {
            Ok(Outcome::Done) if refused.is_empty() => finish(Exit::Done, printed),
            Ok(Outcome::Done) => finish(Exit::No, printed),
            Ok(Outcome::No(why)) => complain(Exit::No, why),
            Ok(Outcome::Refused(why)) => complain(Exit::Usage, why),
            Ok(Outcome::Stuck(why)) => complain(Exit::Unreachable, why),
            Err(error) => complain(Exit::Unreachable, error),
        }
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        if self.file.as_os_str() != "-" {
            return files::read(&self.file, files::LIST);
        }
        let mut octets = Vec::new();
        Within::of(io::stdin(), files::LIST).read_to_end(&mut octets).map(|_| octets)
    }

    fn print(&self, imported: u64, refused: &[Refused]) -> io::Result<()> {
        let mut to = io::stdout().lock();
        if self.json {
            let refused: Vec<_> = refused
                .iter()
                .map(|no| json!({"line": no.line, "address": no.address, "why": no.why}))
                .collect();
            return writeln!(to, "{}", json!({"imported": imported, "refused": refused}));
        }
        for Refused { line, address, why } in refused {
            let address = address.map(|address| format!("{address}: ")).unwrap_or_default();
            remark(format_args!("{}:{line}: {address}{why}", self.file.display()));
        }
        writeln!(to, "{imported} imported, {} refused", refused.len())
    }
}

/// A line to be sent.
struct Lease<'t> {
    line: usize,
    address: Ipv4Addr,
    text: &'t str,
}

/// The last line of each address, which is the one that counts, in the order of the file; and lines that are no leases.
fn sorted_out(octets: &[u8]) -> (Vec<Lease<'_>>, Vec<Refused>) {
    let (mut leases, mut refused) = (Vec::new(), Vec::new());
    let mut last = HashMap::new();
    for (line, octets) in (1..).zip(octets.split(|octet| *octet == b'\n')) {
        match read(octets) {
            Ok(Some((address, text))) => {
                last.insert(address, line);
                leases.push(Lease { line, address, text });
            }
            Ok(None) => {}
            Err(why) => refused.push(Refused { line, address: None, why }),
        }
    }
    leases.retain(|lease| last.get(&lease.address) == Some(&lease.line));
    (leases, refused)
}

/// The address of the lease that a line says, and its text; none if nothing stands there.
fn read(line: &[u8]) -> Result<Option<(Ipv4Addr, &str)>, String> {
    let text = std::str::from_utf8(line).map_err(|error| format!("no lease: {error}"))?.trim_matches(BLANK);
    if text.is_empty() {
        return Ok(None);
    }
    // With the end of its line.
    if text.len() >= control::LONGEST_LEASE {
        return Err(format!("no lease: it is longer than {} octets", control::LONGEST_LEASE));
    }
    let lease: Portable = serde_json::from_str(text).map_err(|error| format!("no lease: {error}"))?;
    Ok(Some((lease.address, text)))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::control::properties::leases;
    use crate::damaged::damaged_octets;

    #[test]
    fn the_last_line_of_an_address_counts() {
        let line = |last, state| format!(r#"{{"address":"192.0.2.{last}","state":"{state}"}}"#);
        let text =
            [line(1, "leased"), line(2, "leased"), String::new(), "{}".into(), line(1, "free")].join("\n");
        let (leases, refused) = sorted_out(text.as_bytes());
        let kept: Vec<_> = leases.iter().map(|lease| (lease.line, lease.address.octets()[3])).collect();
        assert_eq!(kept, [(2, 2), (5, 1)]);
        assert_eq!(refused.iter().map(|no| no.line).collect::<Vec<_>>(), [4]);
    }

    /// A line for which the daemon would end the whole import is refused here, alone.
    #[test]
    fn a_line_that_can_not_be_sent_is_refused_by_its_number() {
        let lease = |address, name: &str| {
            format!(r#"{{"address":"192.0.2.{address}","state":"free","host-name":"{name}"}}"#)
        };
        let room = control::LONGEST_LEASE - lease(2, "").len();
        let mut octets = [lease(1, "a"), lease(2, &"a".repeat(room)), lease(3, &"a".repeat(room - 1))]
            .join("\n")
            .into_bytes();
        octets.extend(b"\r\n\xff\n \r\n");
        octets.extend(lease(4, "b").bytes());
        let (leases, refused) = sorted_out(&octets);
        assert_eq!(leases.iter().map(|lease| lease.line).collect::<Vec<_>>(), [1, 3, 6]);
        assert_eq!(refused.iter().map(|no| no.line).collect::<Vec<_>>(), [2, 4]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn each_line_is_sent_or_superseded_or_refused_by_its_number(
            parts in vec(damaged_octets(leases()), 0..4),
        ) {
            let octets = parts.concat();
            let (sent, refused) = sorted_out(&octets);
            for (line, octets) in (1..).zip(octets.split(|octet| *octet == b'\n')) {
                let is_sent = sent.iter().find(|lease| lease.line == line);
                let is_refused = refused.iter().any(|no| no.line == line && !no.why.is_empty());
                match serde_json::from_slice::<Portable>(octets) {
                    Ok(lease) => {
                        let later = sent.iter().any(|other| other.address == lease.address && other.line > line);
                        prop_assert!(!is_refused && is_sent.is_some() != later);
                        prop_assert!(is_sent.is_none_or(|sent| serde_json::from_str(sent.text).is_ok_and(|read: Portable| read == lease)));
                    }
                    Err(_) => {
                        let blank = std::str::from_utf8(octets).is_ok_and(|text| text.trim_matches(BLANK).is_empty());
                        prop_assert!(is_sent.is_none() && is_refused != blank);
                    }
                }
            }
        }
    }
}
