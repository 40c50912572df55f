//! `reservation`: reservations that the daemon keeps itself, added, removed and listed while it runs.

use std::net::Ipv4Addr;

use clap::Subcommand;
use serde_json::{Map, Value};

use super::daemon::Daemon;
use crate::control::Request;

/// What to do about reservations that the daemon keeps.
#[derive(Debug, Subcommand)]
pub enum Reservation {
    /// Keep a reservation: it is on disk and in force when this ends
    Add(Add),
    /// Keep a reservation no more
    Remove(Remove),
    /// List the reservations that the daemon keeps, not those of the configuration
    List(Daemon),
}

/// Whom a reservation is for, and where.
#[derive(Debug, clap::Args)]
struct Client {
    /// The subnet that it holds in [default: the one that the address is in]
    #[arg(long, value_name = "PREFIX")]
    subnet: Option<String>,
    /// For the client with this hardware address
    #[arg(long, value_name = "MAC")]
    hw_address: Option<String>,
    /// For the client that sends this identifier: octets, or 'text'
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// For whoever is on this port of a relay: octets, or text
    #[arg(long, value_name = "ID")]
    circuit_id: Option<String>,
    /// Of this relay or switch only
    #[arg(long, value_name = "ID", requires = "circuit_id")]
    remote_id: Option<String>,
}

/// A reservation.
#[derive(Debug, clap::Args)]
pub struct Add {
    #[command(flatten)]
    client: Client,
    /// The address that only this client gets [default: one of the pools]
    #[arg(long)]
    address: Option<Ipv4Addr>,
    /// The name that it is told
    #[arg(long, value_name = "NAME")]
    host_name: Option<String>,
    /// A class that it is in
    #[arg(long, value_name = "NAME")]
    class: Vec<String>,
    /// What else a [[subnet.reservation]] may have, as an object of JSON: {"lease-time": "1d", "options": {…}}
    #[arg(long, value_name = "JSON", value_parser = object)]
    also: Option<Map<String, Value>>,
    #[command(flatten)]
    daemon: Daemon,
}

/// The client whose reservation is kept no more.
#[derive(Debug, clap::Args)]
pub struct Remove {
    #[command(flatten)]
    client: Client,
    #[command(flatten)]
    daemon: Daemon,
}

impl Client {
    /// The keys that say so.
    fn keys(&self) -> Map<String, Value> {
        let keys = [
            ("hw-address", &self.hw_address),
            ("client-id", &self.client_id),
            ("circuit-id", &self.circuit_id),
            ("remote-id", &self.remote_id),
        ];
        let said = keys.into_iter().filter_map(|(key, said)| Some((key.to_owned(), said.clone()?.into())));
        said.collect()
    }
}

impl Reservation {
    /// What is asked, and of whom.
    pub(super) fn parts(self) -> (Request, Daemon) {
        match self {
            Self::List(daemon) => (Request::ReservationList, daemon),
            Self::Remove(Remove { client, daemon }) => {
                (Request::ReservationRemove { client: client.keys(), subnet: client.subnet }, daemon)
            }
            Self::Add(Add { client, address, host_name, class, also, daemon }) => {
                let mut reservation = also.unwrap_or_default();
                reservation.extend(client.keys());
                let said = [
                    ("subnet", client.subnet.map(Value::from)),
                    ("address", address.map(|address| address.to_string().into())),
                    ("host-name", host_name.map(Value::from)),
                    ("class", Some(class).filter(|class| !class.is_empty()).map(Value::from)),
                ];
                reservation.extend(said.into_iter().filter_map(|(key, said)| Some((key.to_owned(), said?))));
                (Request::ReservationAdd { reservation }, daemon)
            }
        }
    }
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("no object of JSON: {error}"))
}
