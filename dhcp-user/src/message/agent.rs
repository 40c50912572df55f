//! Relay agent information (option 82, RFC 3046): a relay's data on the client behind it.

use std::net::Ipv4Addr;

use bytes::Bytes;

use super::host;
use super::tlv::value_at;

const CIRCUIT_ID: u8 = 1;
const REMOTE_ID: u8 = 2;
const LINK_SELECTION: u8 = 5;
const SUBSCRIBER_ID: u8 = 6;
const VENDOR_INFORMATION: u8 = 9;
const FLAGS: u8 = 10;
const SERVER_OVERRIDE: u8 = 11;
const SOURCE_PORT: u8 = 19;

/// The flag of [`FLAGS`] that says how the client sent its message.
const UNICAST: u8 = 0x80;

/// Option 82 as it came, and the sub-options that policy looks at.
#[derive(Clone, Debug)]
pub struct AgentInformation {
    /// The whole value, to be echoed verbatim.
    pub raw: Bytes,
    /// Sub-option 1: the circuit the client is on.
    pub circuit_id: Option<Bytes>,
    /// Sub-option 2: the remote end of the circuit.
    pub remote_id: Option<Bytes>,
    /// Sub-option 6: who the client is to the network's operator (RFC 3993).
    pub subscriber_id: Option<Bytes>,
    /// Sub-option 9: what vendors' relays say (RFC 4243); see [`vendors`].
    pub vendor_information: Option<Bytes>,
    /// Sub-option 5: an address of the link the client is on (RFC 3527).
    pub link_selection: Option<Ipv4Addr>,
    /// Sub-option 10: whether the client sent to one host, not to all (RFC 5010).
    pub unicast: Option<bool>,
    /// Sub-option 11: the server identifier to answer with (RFC 5107).
    pub server_override: Option<Ipv4Addr>,
    /// Whether the relay sends from another port than 67 (sub-option 19, RFC 8357).
    pub source_port: bool,
    /// Whether all of it is a list of sub-options, each of a length that it can have.
    pub whole: bool,
}

impl AgentInformation {
    /// Reads the value of option 82. Sub-options have neither padding nor END (RFC 3046 §2.0); but some relays fill up or end
    /// the option so, or write a text into it. What comes before that counts, and the rest is only echoed. No RFC has a sub-option
    /// twice: with one value it counts once, and one that contradicts itself says nothing.
    #[must_use]
    pub fn read(raw: Bytes) -> Self {
        let mut agent = Self {
            raw: raw.clone(),
            circuit_id: None,
            remote_id: None,
            subscriber_id: None,
            vendor_information: None,
            link_selection: None,
            unicast: None,
            server_override: None,
            source_port: false,
            whole: true,
        };
        let mut at = 0;
        let mut said: Vec<(u8, Bytes)> = Vec::new();
        while let Some(sub_option) = raw.get(at).copied() {
            let Some(value) = value_at(&raw, at).filter(|value| value.end <= raw.len()) else {
                agent.whole = false;
                break;
            };
            at = value.end;
            let value = raw.slice(value);
            let has_its_length = match sub_option {
                LINK_SELECTION | SERVER_OVERRIDE => value.len() == 4,
                FLAGS => value.len() == 1,
                _ => true,
            };
            let contradicts = said.iter().any(|(code, other)| *code == sub_option && *other != value);
            agent.whole &= has_its_length && !contradicts;
            said.push((sub_option, value.clone()));
            let value = Some(value).filter(|_| !contradicts);
            match sub_option {
                CIRCUIT_ID => agent.circuit_id = value,
                REMOTE_ID => agent.remote_id = value,
                SUBSCRIBER_ID => agent.subscriber_id = value,
                VENDOR_INFORMATION => agent.vendor_information = value,
                LINK_SELECTION => agent.link_selection = value.as_ref().and_then(address),
                FLAGS => agent.unicast = value.as_ref().and_then(flags).map(|flags| flags & UNICAST != 0),
                SERVER_OVERRIDE => agent.server_override = value.as_ref().and_then(address),
                SOURCE_PORT => agent.source_port = true,
                _ => {}
            }
        }
        agent
    }
}

/// What vendors' relays say, each by its enterprise number, in sub-option 9 (RFC 4243 §4): the number, a length, the data. What
/// is cut short is left out.
pub fn vendors(value: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = value;
    std::iter::from_fn(move || {
        let (number, tail) = rest.split_first_chunk::<4>()?;
        let (length, tail) = tail.split_first()?;
        let (data, tail) = tail.split_at_checked(usize::from(*length))?;
        rest = tail;
        Some((u32::from_be_bytes(*number), data))
    })
}

fn flags(value: &Bytes) -> Option<u8> {
    if let [flags] = value.as_ref() { Some(*flags) } else { None }
}

/// The address of a host. A relay that fills in none, or what no host can have, names none.
fn address(value: &Bytes) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = value.as_ref().try_into().ok()?;
    Some(Ipv4Addr::from(octets)).filter(|address| !address.is_unspecified() && host(*address))
}
