//! `who-had`: who had which address when, from the lease journal's files, without a daemon.

use std::io::{self, BufWriter, Write as _};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;

use super::Exit;
use super::output::{complain, finish, remark};
use super::table::Table;
use crate::config::Config;
use crate::control::from_colon_hex;
use crate::journal::{Answer, Question, Span, Whose, wire_text};
use crate::reason;

/// Who had which address when.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("whose").required(true).multiple(true).args(["address", "mac", "circuit"]))]
pub struct WhoHad {
    /// Who had this address
    #[arg(value_name = "ADDRESS")]
    address: Option<Ipv4Addr>,
    /// What this device had: its hardware address
    #[arg(long, value_name = "MAC", value_parser = mac)]
    mac: Option<String>,
    /// What those on this circuit had: the circuit id as text, or hex: and its octets
    #[arg(long, value_name = "CIRCUIT", value_parser = circuit)]
    circuit: Option<String>,
    /// At this time only, such as 2026-01-02T03:04:05Z
    #[arg(long, value_name = "TIME", conflicts_with_all = ["from", "to"])]
    at: Option<Timestamp>,
    /// From this time on
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Until this time
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// The configuration that names the journal's directory
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/xdhcpd/xdhcpd.toml",
        conflicts_with = "directory"
    )]
    config: PathBuf,
    /// The journal's directory itself
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl WhoHad {
    /// Looks, and prints what it finds: exit status 1 if nobody had it.
    #[must_use]
    pub fn run(self) -> Exit {
        let answer = match self.answer() {
            Ok(answer) => answer,
            Err(error) => return complain(Exit::Usage, reason::told(&error)),
        };
        for (changes, from, to) in &answer.lost {
            remark(format_args!(
                "xdhcpd: {changes} changes of leases between {from} and {to} are not in the journal"
            ));
        }
        for file in &answer.unreadable {
            remark(format_args!("xdhcpd: can't read all of {file}"));
        }
        let exit = if answer.holdings.is_empty() { Exit::No } else { Exit::Done };
        finish(exit, if self.json { print_json(&answer) } else { print_text(&answer) })
    }

    fn answer(&self) -> Result<Answer> {
        let directory = match &self.directory {
            Some(directory) => directory.clone(),
            None => match Config::load(&self.config)?.journal {
                Some(journal) => journal.directory,
                None => bail!(
                    "{} has no [journal]: nobody has written down who had which address",
                    self.config.display()
                ),
            },
        };
        let span = match self.at {
            Some(at) => Span { from: at, to: at },
            None => Span { from: self.from.unwrap_or(Timestamp::MIN), to: self.to.unwrap_or(Timestamp::MAX) },
        };
        let whose = self.address.map(Whose::Address).into_iter();
        let whose = whose.chain(self.mac.clone().map(Whose::HwAddress));
        let whose = whose.chain(self.circuit.clone().map(Whose::Circuit)).collect();
        let question = Question { whose, span };
        question
            .answer(&directory)
            .with_context(|| format!("can't read the journal in {}", directory.display()))
    }
}

fn print_json(answer: &Answer) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout());
    serde_json::to_writer_pretty(&mut out, &answer.holdings)?;
    writeln!(out)?;
    out.flush()
}

fn print_text(answer: &Answer) -> io::Result<()> {
    if answer.holdings.is_empty() {
        remark("xdhcpd: the journal says of nobody that it had it then");
        return Ok(());
    }
    let mut table =
        Table::with_heads(&["ADDRESS", "MAC", "FROM", "TO", "ENDED", "HOST NAME", "CIRCUIT", "RENEWALS"]);
    for holding in &answer.holdings {
        let to = holding.to.map_or_else(|| format!("({})", holding.expires), |to| to.to_string());
        table.row([
            &holding.address,
            &holding.hw_address,
            &holding.from,
            &to,
            &holding.why.map_or("runs", |why| why.name()),
            &holding.host_name.as_deref().unwrap_or_default(),
            &holding.circuit_id.as_deref().unwrap_or_default(),
            &holding.daemon_renewals.saturating_add(holding.kernel_renewals),
        ]);
    }
    let mut out = BufWriter::new(io::stdout());
    table.write(&mut out, None)?;
    out.flush()
}

fn mac(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    let octets = text.split_once('/').map_or(text.as_str(), |(_, octets)| octets);
    match from_colon_hex(octets) {
        Some(octets) if !octets.is_empty() => Ok(text),
        _ => Err("write a hardware address such as 02:00:00:00:00:01".to_owned()),
    }
}

pub(super) fn circuit(text: &str) -> Result<String, String> {
    match text.strip_prefix("hex:") {
        None => Ok(wire_text(text.as_bytes())),
        Some(hex) => from_colon_hex(&hex.to_ascii_lowercase())
            .map(|octets| wire_text(&octets))
            .ok_or_else(|| "write octets such as hex:00:04:00:64".to_owned()),
    }
}
