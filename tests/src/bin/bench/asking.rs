//! The clients and their requests, by the command line: mixed as in fleets or all alike; in which state, through a
//! relay or not, tagged or not.

use std::net::Ipv4Addr;

use clap::Args;
use system_tests::load::{Crowd, Form, Relay, Sorts, Way};
use system_tests::paths::{AGENT_INFO, AGENT_MAC};
use system_tests::wire::Tag;

/// The relay's address, in the subnet that it brings clients to.
pub(crate) const RELAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// Clients as fleets have them, in words.
const MIXED: &str = "of ten, six send an identifier, seven a host name of their own, three are behind a relay that adds an option \
    82 of 20 octets for each, and four parameter lists are among them";

/// Who the clients are, and how they extend their leases where `renew` measures it; unicast and untagged when nothing is given.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Asking {
    /// `renew`: REBINDING, broadcast
    #[arg(long, conflicts_with = "reboot")]
    rebind: bool,
    /// `renew`: INIT-REBOOT
    #[arg(long)]
    reboot: bool,
    /// `renew`: through a relay that adds option 82; REBINDING unless --reboot is given, since RENEWING meets no relay
    #[arg(long)]
    relay: bool,
    /// `renew`: in a VLAN in a VLAN
    #[arg(long)]
    qinq: bool,
    /// Clients that send the same but for their hardware addresses; else six of ten send an identifier, seven a host name of
    /// their own, three are behind a relay that adds an option 82 of their own, and four parameter lists are among them
    #[arg(long)]
    alike: bool,
}

fn relay() -> Relay {
    Relay { mac: AGENT_MAC, address: RELAY, agent_info: Some(AGENT_INFO.to_vec()) }
}

impl Asking {
    pub(crate) fn form(self) -> Form {
        match self {
            Self { reboot: true, .. } => Form::InitReboot,
            Self { rebind: true, .. } | Self { relay: true, .. } => Form::Rebinding,
            _ => Form::Renewing,
        }
    }

    /// How all reach the server.
    pub(crate) fn way(self) -> Way {
        let tags = if self.qinq { vec![Tag::provider(200), Tag::customer(100)] } else { Vec::new() };
        Way { tags, relay: self.relay.then(relay) }
    }

    /// The same clients, and nothing else that was said of how they ask.
    pub(crate) fn as_any(self) -> Self {
        Self { alike: self.alike, ..Self::default() }
    }

    /// Clients that are all alike and ask the same way.
    pub(crate) fn alike(self) -> Self {
        Self { alike: true, ..self }
    }

    /// What the clients have in common with a fleet.
    pub(crate) fn clients(self) -> &'static str {
        match self.sorts() {
            Sorts::Alike => "all send the same but for their hardware addresses",
            Sorts::Mixed => MIXED,
        }
    }

    /// Those of clients that ask so: where all are behind a relay, all are alike.
    pub(crate) fn sorts(self) -> Sorts {
        if self.alike || self.relay { Sorts::Alike } else { Sorts::Mixed }
    }

    /// `crowd` as it asks so. Of clients that are mixed some are behind the relay.
    pub(crate) fn by(self, crowd: Crowd) -> Crowd {
        let (way, sorts) = (self.way(), self.sorts());
        let relay = way.relay.or_else(|| (sorts == Sorts::Mixed).then(relay));
        Crowd { way: Way { relay, ..way }, sorts, ..crowd }
    }

    /// What the subnet of such clients says of itself.
    pub(crate) fn subnet(self) -> &'static str {
        if self.qinq { "vlan = [200, 100]\nserver-id = \"10.0.0.1\"" } else { "" }
    }

    /// In words.
    pub(crate) fn words(self) -> String {
        let form = match self.form() {
            Form::Renewing => "RENEWING, unicast",
            Form::Rebinding => "REBINDING",
            Form::InitReboot => "INIT-REBOOT",
        };
        let relay = if self.relay { ", through a relay with option 82" } else { "" };
        let tags = if self.qinq { ", QinQ" } else { "" };
        let sorts = match self.sorts() {
            Sorts::Alike => ", clients that are alike",
            Sorts::Mixed => ", mixed clients (those behind a relay REBINDING)",
        };
        format!("{form}{relay}{tags}{sorts}")
    }
}
