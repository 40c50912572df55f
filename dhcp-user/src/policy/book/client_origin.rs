//! Where a client sends from: a station on a link, or a circuit of a relay.

use std::net::Ipv4Addr;

use dhcp_ebpf::abi::Link;

use crate::message::Request;
use crate::policy::site::digest::digest;

/// Where a client sends from, as far as a message shows it. A sender elsewhere has another origin, whichever identity
/// it claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::policy) enum ClientOrigin {
    /// A station on a link.
    Station(Link, [u8; 6]),
    /// A relay, and the circuit that it names (a number that stands for it).
    Circuit(Ipv4Addr, u64),
}

impl ClientOrigin {
    /// Where `request` was sent.
    pub(in crate::policy) fn of(request: &Request) -> Self {
        if request.relayed() {
            Self::Circuit(request.giaddr, circuit_of(request))
        } else {
            Self::Station(request.link, request.eth_src)
        }
    }
}

fn circuit_of(request: &Request) -> u64 {
    let agent = request.options.agent.as_ref();
    digest(&agent.and_then(|agent| agent.circuit_id.as_deref()))
}
