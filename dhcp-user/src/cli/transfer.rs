//! `export` and `import`: leases on their way from one server to another, as lines of JSON.

use std::collections::HashMap;
use std::io::{self, BufWriter, Read, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde_json::json;

use super::Exit;
use super::output::{complain, finish, remark};
use super::serve::load;
use crate::config::DEFAULT_CONTROL_SOCKET;
use crate::control::{self, ClientError, Outcome, Portable, Request};
use crate::server;

/// How many leases are sent together: each part is one commit.
const PART: usize = 256;

/// Which leases to export.
#[derive(Clone, Debug, clap::Args)]
pub struct Export {
    /// The control socket of the daemon whose leases are meant
    #[arg(long = "control", value_name = "SOCKET", default_value = DEFAULT_CONTROL_SOCKET)]
    socket: PathBuf,
    /// Export what is on disk, by the configuration of a daemon that has been stopped
    #[arg(long, value_name = "FILE", conflicts_with = "socket")]
    config: Option<PathBuf>,
    /// Print JSON (it always is)
    #[arg(long, hide = true)]
    json: bool,
}

/// Which leases to import, and where to.
#[derive(Clone, Debug, clap::Args)]
pub struct Import {
    /// What `xdhcpd export` has printed; `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The control socket of the daemon that is to honour the leases
    #[arg(long = "control", value_name = "SOCKET", default_value = DEFAULT_CONTROL_SOCKET)]
    socket: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Export {
    /// Prints the leases, a line each.
    #[must_use]
    pub fn run(self) -> Exit {
        let mut to = BufWriter::new(io::stdout());
        if let Some(file) = &self.config {
            let exported = load(file).and_then(|config| {
                server::export_stopped(&config, |lease| {
                    serde_json::to_writer(&mut to, &lease)?;
                    to.write_all(b"\n")
                })
            });
            return match exported {
                Ok(written) => finish(Exit::Done, written.and_then(|()| to.flush())),
                Err(error) => complain(Exit::No, format!("{error:#}")),
            };
        }
        match control::ask(&self.socket, &Request::Export, |lease| writeln!(to, "{lease}")) {
            Ok(Outcome::Done) => finish(Exit::Done, to.flush()),
            Ok(Outcome::No(why)) => complain(Exit::No, why),
            Ok(Outcome::Refused(why)) => complain(Exit::Usage, why),
            Ok(Outcome::Stuck(why)) => complain(Exit::Unreachable, why),
            Err(ClientError::Output(error)) => finish(Exit::Done, Err(error)),
            Err(error) => complain(Exit::Unreachable, error),
        }
    }
}

/// A line that was not imported, and why.
struct Refused {
    line: usize,
    address: Option<Ipv4Addr>,
    why: String,
}

impl Import {
    /// Brings the leases to the daemon, and tells of each that it refuses.
    #[must_use]
    pub fn run(self) -> Exit {
        let text = match self.read() {
            Ok(text) => text,
            Err(error) => {
                return complain(Exit::Usage, format!("can't read {}: {error}", self.file.display()));
            }
        };
        let (leases, mut refused) = sorted_out(&text);
        let lines: Vec<&str> = leases.iter().map(|lease| lease.text).collect();
        let (mut imported, mut sent) = (0, 0);
        let outcome = control::import(&self.socket, &lines, PART, |part, told| {
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

    fn read(&self) -> io::Result<String> {
        if self.file.as_os_str() != "-" {
            return std::fs::read_to_string(&self.file);
        }
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
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
fn sorted_out(text: &str) -> (Vec<Lease<'_>>, Vec<Refused>) {
    let (mut leases, mut refused) = (Vec::new(), Vec::new());
    let mut last = HashMap::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        match serde_json::from_str::<Portable>(text) {
            Ok(Portable { address, .. }) => {
                last.insert(address, line);
                leases.push(Lease { line, address, text });
            }
            Err(error) => refused.push(Refused { line, address: None, why: format!("no lease: {error}") }),
        }
    }
    leases.retain(|lease| last.get(&lease.address) == Some(&lease.line));
    (leases, refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_an_address_counts() {
        let line = |last, state| format!(r#"{{"address":"192.0.2.{last}","state":"{state}"}}"#);
        let text =
            [line(1, "leased"), line(2, "leased"), String::new(), "{}".into(), line(1, "free")].join("\n");
        let (leases, refused) = sorted_out(&text);
        let kept: Vec<_> = leases.iter().map(|lease| (lease.line, lease.address.octets()[3])).collect();
        assert_eq!(kept, [(2, 2), (5, 1)]);
        assert_eq!(refused.iter().map(|no| no.line).collect::<Vec<_>>(), [4]);
    }
}
