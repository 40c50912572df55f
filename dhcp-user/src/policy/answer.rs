//! What a request is answered with: a pure function of the request, the subnet and the terms, not of any clock.

use std::net::Ipv4Addr;

use super::encode::{self, Composed, Room, Value};
use crate::config::{OptionSet, Reservation, Subnet};
use crate::message::Request;
use crate::message::options::code;

/// Octets of an IPv4 header, a UDP header, the BOOTP fields and the cookie.
const BEFORE_OPTIONS: usize = 20 + 8 + 236 + 4;
/// No answer is longer than what an Ethernet frame carries, whatever the client could take.
const LONGEST_DATAGRAM: u16 = 1500;

/// The message types that a server sends (option 53).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Offer = 2,
    Ack = 5,
    Nak = 6,
    LeaseUnassigned = 11,
    LeaseUnknown = 12,
    LeaseActive = 13,
}

/// What an answer says beside the addresses in its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The lease time told (option 51), in seconds; 0 if none is.
    pub lease_time: u32,
    /// The next server (`siaddr`), or 0.0.0.0.
    pub siaddr: Ipv4Addr,
    /// `sname`: a name or overloaded options; `None` for zeros.
    pub sname: Option<Box<[u8; encode::SNAME]>>,
    /// `file`: a name or overloaded options; `None` for zeros.
    pub file: Option<Box<[u8; encode::FILE]>>,
    /// The option area after the cookie, through END.
    pub options: Vec<u8>,
    /// Whether all that should be said found room.
    pub complete: bool,
}

/// What is granted, and by whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    pub(super) subnet: &'a Subnet,
    pub(super) reservation: Option<&'a Reservation>,
    /// The server identifier.
    pub(super) server: Ipv4Addr,
    /// In seconds; `None` for INFORM.
    pub(super) lease_time: Option<u32>,
}

impl<'a> Terms<'a> {
    /// The operator's value of an option: the reservation's, else the subnet's.
    fn configured(&self, code: u8) -> Option<&'a [u8]> {
        let own = self.reservation.and_then(|reservation| reservation.options.get(code));
        own.or_else(|| self.subnet.options.get(code))
    }

    fn configured_codes(&self) -> impl Iterator<Item = u8> {
        let codes = |set: &OptionSet| set.0.keys().copied().collect::<Vec<u8>>();
        let mut all = codes(&self.subnet.options);
        all.extend(self.reservation.map(|reservation| codes(&reservation.options)).unwrap_or_default());
        all.sort_unstable();
        all.dedup();
        all.into_iter()
    }
}

/// The answer to `request` on these terms; `None` if not even what must come back fits in what the client takes.
///
/// OFFER and ACK differ in nothing but the message type (RFC 2131 §4.3.1).
pub(super) fn answer(kind: Type, terms: &Terms<'_>, request: &Request) -> Option<Answer> {
    let subnet = terms.subnet;
    let mut options = Composed { head: head(kind, terms), ..Composed::default() };
    for code in wanted(terms, request) {
        if let Some(value) = value(code, terms).filter(|_| !has(&options, code)) {
            options.rest.push((code, value));
        }
    }
    // RFC 3011 §2 and RFC 6842 §3.
    options.echoes = echoes(&[code::SUBNET_SELECTION, code::CLIENT_IDENTIFIER], request);
    options.agent_information = agent_information(request);
    let room =
        Room { area: area(request), file: subnet.boot_file.is_none(), sname: subnet.server_name.is_none() };
    let written = encode::write(&options, room)?;
    Some(Answer {
        lease_time: terms.lease_time.unwrap_or(0),
        siaddr: subnet.next_server.unwrap_or(Ipv4Addr::UNSPECIFIED),
        sname: field(subnet.server_name.as_deref().map(str::as_bytes), &written.sname),
        file: field(subnet.boot_file.as_deref().map(str::as_bytes), &written.file),
        complete: written.left_out.is_empty(),
        options: written.area,
    })
}

/// A NAK with a message for the log of who looks into it (RFC 2131 table 3: 53, 54, 56, client identifier and relay
/// information, nothing else).
pub(super) fn nak(server: Ipv4Addr, message: &'static str, request: &Request) -> Option<Answer> {
    let options = Composed {
        head: vec![
            (code::MESSAGE_TYPE, Value::Octet([Type::Nak as u8])),
            (code::SERVER_IDENTIFIER, Value::Word(server.octets())),
        ],
        rest: vec![(code::MESSAGE, Value::Text(message.as_bytes()))],
        echoes: echoes(&[code::CLIENT_IDENTIFIER], request),
        agent_information: agent_information(request),
    };
    let written = encode::write(&options, Room { area: area(request), file: false, sname: false })?;
    Some(Answer {
        lease_time: 0,
        siaddr: Ipv4Addr::UNSPECIFIED,
        sname: None,
        file: None,
        complete: written.left_out.is_empty(),
        options: written.area,
    })
}

/// Octets of options that the client takes (option 57), END included.
pub(super) fn area(request: &Request) -> usize {
    usize::from(request.options.max_size.min(LONGEST_DATAGRAM)) - BEFORE_OPTIONS
}

/// What every answer begins with, asked for or not.
fn head<'a>(kind: Type, terms: &Terms<'a>) -> Vec<(u8, Value<'a>)> {
    let mut head = Vec::with_capacity(6);
    head.push((code::MESSAGE_TYPE, Value::Octet([kind as u8])));
    let mut put = |code: u8, value: [u8; 4]| head.push((code, Value::Word(value)));
    put(code::SERVER_IDENTIFIER, terms.server.octets());
    if let Some(lease_time) = terms.lease_time {
        let subnet = terms.subnet;
        put(code::LEASE_TIME, lease_time.to_be_bytes());
        put(code::RENEWAL_TIME, share(lease_time, subnet.renew_time, subnet.lease_time).to_be_bytes());
        put(code::REBINDING_TIME, share(lease_time, subnet.rebind_time, subnet.lease_time).to_be_bytes());
    }
    head.push((code::SUBNET_MASK, subnet_mask(terms)));
    head
}

/// The operator's, else that of the prefix.
pub(super) fn subnet_mask<'a>(terms: &Terms<'a>) -> Value<'a> {
    let configured = terms.configured(code::SUBNET_MASK).map(Value::Text);
    configured.unwrap_or_else(|| Value::Word(terms.subnet.prefix.netmask().octets()))
}

/// T1 or T2 of a lease of `lease_time`, if it is `part` of a lease of `whole`.
pub(super) fn share(lease_time: u32, part: u32, whole: u32) -> u32 {
    let scaled = u64::from(lease_time) * u64::from(part) / u64::from(whole.max(1));
    u32::try_from(scaled).unwrap_or(u32::MAX)
}

/// The codes to be sent beyond the head: those asked for, in the client's order (RFC 2132 §9.8); else all there are.
pub(super) fn wanted(terms: &Terms<'_>, request: &Request) -> Vec<u8> {
    match &request.options.parameters {
        Some(list) => list.to_vec(),
        // Option 108 is for who asks for it alone (RFC 8925 §3.3).
        None => std::iter::once(code::HOST_NAME)
            .chain(terms.configured_codes().filter(|code| *code != code::IPV6_ONLY_PREFERRED))
            .collect(),
    }
}

pub(super) fn value<'a>(code: u8, terms: &Terms<'a>) -> Option<Value<'a>> {
    let reserved_name = || terms.reservation.and_then(|reservation| reservation.host_name.as_deref());
    match code {
        // These are the protocol's own, whatever the configuration says.
        code::PAD | code::END | code::AGENT_INFORMATION | code::SUBNET_SELECTION => None,
        code::REQUESTED_ADDRESS..=code::MAX_MESSAGE_SIZE | code::CLIENT_IDENTIFIER => None,
        code::RENEWAL_TIME | code::REBINDING_TIME => None,
        code::HOST_NAME if reserved_name().is_some() => {
            reserved_name().map(|name| Value::Text(name.as_bytes()))
        }
        _ => terms.configured(code).map(Value::Text),
    }
}

/// Those of `codes` that the request has.
pub(super) fn echoes<'a>(codes: &[u8], request: &'a Request) -> Vec<(u8, &'a [u8])> {
    codes.iter().filter_map(|code| Some((*code, request.options.get(*code)?.as_ref()))).collect()
}

fn agent_information(request: &Request) -> Option<&[u8]> {
    request.agent_info().map(AsRef::as_ref)
}

pub(super) fn has(options: &Composed<'_>, code: u8) -> bool {
    options.head.iter().chain(&options.rest).any(|(there, _)| *there == code)
}

/// A header field of `N` octets: the operator's text with its final zero, else overloaded options, else nothing.
pub(super) fn field<const N: usize>(text: Option<&[u8]>, options: &[u8]) -> Option<Box<[u8; N]>> {
    let content = match text {
        Some(text) => text.get(..N - 1).unwrap_or(text),
        None => options,
    };
    let mut field = Box::new([0; N]);
    field.iter_mut().zip(content).for_each(|(to, from)| *to = *from);
    (!content.is_empty()).then_some(field)
}
