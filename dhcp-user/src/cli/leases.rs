//! `leases`: the list, filtered as asked and cut to the terminal's width.

use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::time::Duration;

use clap::ValueEnum;

use super::Exit;
use super::daemon::Daemon;
use super::output::{complain, ended, finish};
use super::page::{self, Page};
use super::readable;
use super::table::Table;
use crate::control::{self, AnsweredBy, Lease, LeaseFilter, Request};

/// Which leases, and what of them.
#[derive(Debug, clap::Args)]
pub struct Leases {
    #[command(flatten)]
    pub(super) which: Which,
    /// Only so many
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
    /// In the order of this column
    #[arg(long, value_name = "COLUMN", default_value = "address")]
    sort: Column,
    /// These columns, in this order
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',', conflicts_with = "wide")]
    columns: Vec<Column>,
    /// All columns, whether or not the terminal has room for them
    #[arg(long)]
    wide: bool,
    #[command(flatten)]
    daemon: Daemon,
}

/// What leases must be like.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Which {
    /// Only addresses in this subnet, or in any other prefix
    #[arg(long, value_name = "PREFIX", value_parser = subnet)]
    subnet: Option<String>,
    /// Only those in this state
    #[arg(long, value_name = "STATE", value_parser = ["leased", "grace"])]
    state: Option<String>,
    /// Only those of this hardware address, or of all that begin so
    #[arg(long, value_name = "MAC", value_parser = mac)]
    mac: Option<String>,
    /// Only those whose host name has this in it
    #[arg(long, value_name = "TEXT")]
    host: Option<String>,
    /// Only those on this circuit: the id as text, or hex: and its octets
    #[arg(long, value_name = "CIRCUIT", value_parser = super::who_had::circuit)]
    circuit: Option<String>,
    /// Only those on this VLAN (or OUTER,INNER; 0 for none)
    #[arg(long, value_name = "ID", value_parser = vlan)]
    vlan: Option<Tags>,
    /// Only those whose owner was last heard so long ago, or longer
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    older_than: Option<Duration>,
}

/// VLAN ids, outer first.
#[derive(Clone, Debug)]
struct Tags(Vec<u16>);

impl Which {
    pub(super) fn filter(&self) -> LeaseFilter {
        LeaseFilter {
            subnet: self.subnet.clone(),
            state: self.state.clone(),
            mac: self.mac.clone(),
            host: self.host.clone(),
            circuit: self.circuit.clone(),
            vlan: self.vlan.clone().map(|Tags(ids)| ids),
            older_than: self.older_than.map(|age| u32::try_from(age.as_secs()).unwrap_or(u32::MAX)),
            limit: None,
        }
    }
}

/// Something that is known of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Column {
    Address,
    Mac,
    Host,
    State,
    Expires,
    LastHeard,
    AnsweredBy,
    KernelRenewals,
    Subnet,
    Interface,
    Vlan,
    Relay,
    Circuit,
    Remote,
    Subscriber,
    RelayVendor,
    ClientId,
}

/// Those that eighty columns have room for.
const NARROW: [Column; 5] = [Column::Address, Column::Mac, Column::Host, Column::State, Column::Expires];

impl Column {
    const fn head(self) -> &'static str {
        match self {
            Self::Address => "ADDRESS",
            Self::Mac => "MAC",
            Self::Host => "HOST",
            Self::State => "STATE",
            Self::Expires => "EXPIRES",
            Self::LastHeard => "LAST-HEARD",
            Self::AnsweredBy => "ANSWERED-BY",
            Self::KernelRenewals => "KERNEL-RENEWALS",
            Self::Subnet => "SUBNET",
            Self::Interface => "INTERFACE",
            Self::Vlan => "VLAN",
            Self::Relay => "RELAY",
            Self::Circuit => "CIRCUIT",
            Self::Remote => "REMOTE",
            Self::Subscriber => "SUBSCRIBER",
            Self::RelayVendor => "RELAY-VENDOR",
            Self::ClientId => "CLIENT-ID",
        }
    }

    fn of(self, lease: &Lease) -> String {
        let given = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        match self {
            Self::Address => lease.address.to_string(),
            Self::Mac => lease.hw_address.clone(),
            Self::Host => given(&lease.host_name),
            Self::State => lease.state.to_string(),
            Self::Expires => lease.expires.to_string(),
            Self::LastHeard => lease.last_heard.to_string(),
            Self::AnsweredBy => match lease.last_answered_by {
                AnsweredBy::Kernel => "kernel".to_owned(),
                AnsweredBy::Daemon => "daemon".to_owned(),
            },
            Self::KernelRenewals => lease.kernel_renewals.to_string(),
            Self::Subnet => lease.subnet.clone(),
            Self::Interface => lease.interface.clone(),
            Self::Vlan if lease.vlan.is_empty() => "-".to_owned(),
            Self::Vlan => lease.vlan.iter().map(u16::to_string).collect::<Vec<_>>().join(","),
            Self::Relay => lease.relay.map_or_else(|| "-".to_owned(), |relay| relay.to_string()),
            Self::Circuit => given(&lease.circuit_id),
            Self::Remote => given(&lease.remote_id),
            Self::Subscriber => given(&lease.subscriber_id),
            Self::RelayVendor if lease.relay_vendor.is_empty() => "-".to_owned(),
            Self::RelayVendor => lease.relay_vendor.join(","),
            Self::ClientId => lease.client_id.as_deref().map_or_else(|| "-".to_owned(), readable::client_id),
        }
    }
}

impl Leases {
    /// Asks, and prints the list.
    pub(super) fn run(self) -> Exit {
        let by_address = self.sort == Column::Address;
        // Of those that are sorted here the first can't be known there.
        let limit = self.limit.filter(|_| by_address);
        let request = Request::Leases { filter: LeaseFilter { limit, ..self.which.filter() } };
        let socket = match self.daemon.socket() {
            Ok(socket) => socket,
            Err(why) => return complain(Exit::Unreachable, why),
        };
        if self.daemon.json && by_address {
            return self.daemon.ask(&request);
        }
        let mut leases: Vec<Lease> = Vec::new();
        let answer = control::ask(&socket, &request, |item| {
            leases.push(serde_json::from_str(item.get())?);
            Ok(())
        });
        if let Some(exit) = ended(answer) {
            return exit;
        }
        self.sort(&mut leases);
        if let Some(limit) = self.limit {
            leases.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        finish(Exit::Done, if self.daemon.json { print_json(&leases) } else { self.print(&leases) })
    }

    fn sort(&self, leases: &mut [Lease]) {
        match self.sort {
            Column::Address => {}
            Column::KernelRenewals => leases.sort_by_key(|lease| lease.kernel_renewals),
            Column::Relay => leases.sort_by_key(|lease| lease.relay.unwrap_or(Ipv4Addr::UNSPECIFIED)),
            Column::Vlan => leases.sort_by_key(|lease| lease.vlan.clone()),
            column => leases.sort_by_cached_key(|lease| column.of(lease)),
        }
    }

    fn print(&self, leases: &[Lease]) -> io::Result<()> {
        let columns = match (self.wide, self.columns.is_empty()) {
            (true, _) => Column::value_variants(),
            (false, true) => &NARROW,
            (false, false) => &self.columns,
        };
        let mut table = Table::with_heads(&columns.iter().map(|column| column.head()).collect::<Vec<_>>());
        leases.iter().for_each(|lease| table.row_of(columns.iter().map(|column| column.of(lease))));
        let mut page = Page::open();
        if let Some(at) = columns.iter().position(|column| *column == Column::Host)
            && !self.wide
            && let Some(width) = page::width()
        {
            table.fit(at, width);
        }
        let state = columns.iter().position(|column| *column == Column::State);
        table.write(&mut page, state)?;
        page.close()
    }
}

fn print_json(leases: &[Lease]) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout());
    for (n, lease) in leases.iter().enumerate() {
        write!(out, "{}{}", if n == 0 { "[\n" } else { ",\n" }, serde_json::to_string(lease)?)?;
    }
    out.write_all(if leases.is_empty() { b"[]\n" } else { b"\n]\n" })?;
    out.flush()
}

fn subnet(text: &str) -> Result<String, String> {
    super::words::prefix(text).map(|(address, len)| format!("{address}/{len}"))
}

fn mac(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    let are_octets = text
        .trim_end_matches(':')
        .split(':')
        .all(|octet| octet.len() == 2 && octet.bytes().all(|digit| digit.is_ascii_hexdigit()));
    if are_octets {
        Ok(text)
    } else {
        Err("write a hardware address, or how it begins, such as 02:00:00".to_owned())
    }
}

fn vlan(text: &str) -> Result<Tags, String> {
    let ids: Option<Vec<u16>> =
        text.split(',').map(|id| id.trim().parse().ok().filter(|id| *id < 4095)).collect();
    match ids {
        Some(ids) if ids.len() <= 2 => Ok(Tags(ids)),
        _ => Err("write a VLAN id such as 100, or two such as 200,100".to_owned()),
    }
}
