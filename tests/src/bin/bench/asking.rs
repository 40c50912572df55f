//! How clients ask, as the command line says: in which state, through a relay or not, tagged or not.

use std::net::Ipv4Addr;

use clap::Args;
use system_tests::load::{Form, Relay, Way};
use system_tests::paths::{AGENT_INFO, AGENT_MAC};
use system_tests::wire::Tag;

/// The relay's address, in the subnet that it brings clients to.
const RELAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// How clients extend their leases where `renew` measures it; unicast and untagged when nothing is given.
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
}

impl Asking {
    pub(crate) fn form(self) -> Form {
        match self {
            Self { reboot: true, .. } => Form::InitReboot,
            Self { rebind: true, .. } | Self { relay: true, .. } => Form::Rebinding,
            _ => Form::Renewing,
        }
    }

    pub(crate) fn way(self) -> Way {
        let relay = Relay { mac: AGENT_MAC, address: RELAY, agent_info: Some(AGENT_INFO.to_vec()) };
        let tags = if self.qinq { vec![Tag::provider(200), Tag::customer(100)] } else { Vec::new() };
        Way { tags, relay: self.relay.then_some(relay) }
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
        format!("{form}{relay}{tags}")
    }
}
