//! Kea's load generator, `perfdhcp`, on the clients' side. It poses as a relay: giaddr is its own address on the link.

use anyhow::Result;
use std::net::Ipv4Addr;

use crate::process::Process;
use crate::topology::{CLIENT_IF, Lan};

/// Its address.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// What it is to do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Exchanges a second.
    pub exchanges: u32,
    /// Renewals a second.
    pub renewals: u32,
    /// Clients it poses as.
    pub clients: u32,
    /// Seconds it goes on; one more is for the last answers.
    pub seconds: u32,
}

/// Starts it on a link whose prefix has `len` bits. It ends by itself, by an error if an exchange was lost.
///
/// # Errors
/// When it cannot be started.
pub fn start(lan: &Lan, len: u8, load: Load) -> Result<Process> {
    lan.clients.ip(&format!("address add {ADDRESS}/{len} dev {CLIENT_IF}"))?;
    let mut command = lan.clients.command("perfdhcp");
    command.args(["-4", "-W", "1000000", "-l", &ADDRESS.to_string()]);
    let Load { exchanges, renewals, clients, seconds } = load;
    for (option, number) in [("-r", exchanges), ("-f", renewals), ("-R", clients), ("-p", seconds)] {
        command.arg(option).arg(number.to_string());
    }
    command.arg(lan.server_address.ip.to_string());
    Process::start("perfdhcp", command, &lan.world.dir().join("perfdhcp.log"))
}
