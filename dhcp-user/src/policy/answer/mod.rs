//! The answer to a request: a pure function of the request and the terms. It knows neither book nor clock.

pub(in crate::policy) mod encode;

use std::borrow::Cow;
use std::net::Ipv4Addr;

use crate::message::Request;
use crate::message::options::code;
use crate::policy::site::terms::Terms;
use encode::{BEFORE_OPTIONS, Composed, Field, Room, Value};

/// Octets of options, END included, that every BOOTP client takes: the vendor area without the cookie (RFC 951 §3).
const BOOTP_AREA: usize = 60;

/// The message types that a server sends (option 53).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Type {
    Offer = 2,
    Ack = 5,
    Nak = 6,
    LeaseUnassigned = 11,
    LeaseUnknown = 12,
    LeaseActive = 13,
}

/// The contents of an answer beside the addresses in its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The lease time in the answer (option 51), in seconds; 0 if there is none.
    pub lease_time: u32,
    /// The next server (`siaddr`), or 0.0.0.0.
    pub siaddr: Ipv4Addr,
    /// `sname`: a name or overloaded options; `None` for zeros.
    pub sname: Option<Box<[u8; encode::SNAME]>>,
    /// `file`: a name or overloaded options; `None` for zeros.
    pub file: Option<Box<[u8; encode::FILE]>>,
    /// The option area after the cookie, through END.
    pub options: Vec<u8>,
    /// Where in it the options begin that come back as they were sent (RFC 3011, RFC 6842, RFC 3046); END alone follows
    /// them.
    pub echoes_at: usize,
    /// Whether all options found room.
    pub complete: bool,
}

impl Answer {
    /// Whether the answer echoes the relay information, as the last option (RFC 3046 §2.2).
    #[must_use]
    pub fn returns(&self, agent_info: &[u8]) -> bool {
        let last = agent_info.chunks(255).next_back().unwrap_or_default();
        self.options.strip_suffix(&[code::END]).is_some_and(|options| options.ends_with(last))
    }
}

/// The answer to `request` on these terms; `None` if not even what must come back fits in what the client takes.
///
/// OFFER and ACK differ in nothing but the message type (RFC 2131 §4.3.1).
pub(in crate::policy) fn answer(kind: Type, terms: &Terms<'_>, request: &Request) -> Option<Answer> {
    let (head, times) = head(kind, terms);
    let mut options = Composed { head, rest: times, ..Composed::default() };
    parameters(terms, request, &mut options);
    if boots_from_the_network(request) {
        // RFC 4578 §2.3.
        options.rest.extend(
            request.options.get(code::CLIENT_MACHINE).map(|id| (code::CLIENT_MACHINE, Value::Text(id))),
        );
    }
    // RFC 3011 §2 and RFC 6842 §3.
    options.echoes = echoes(&[code::SUBNET_SELECTION, code::CLIENT_IDENTIFIER], request);
    options.agent_information = agent_information(request);
    let (file, sname) = (terms.given.boot_file(), terms.given.server_name());
    let free = |text: Option<&str>| if text.is_none() { Field::Options } else { Field::Text };
    let room = Room { area: area(request, terms.longest), file: free(file), sname: free(sname) };
    let written = encode::write(&options, room)?;
    Some(Answer {
        lease_time: terms.lease_time.unwrap_or(0),
        siaddr: terms.given.next_server().unwrap_or(Ipv4Addr::UNSPECIFIED),
        sname: field(sname.map(str::as_bytes), &written.sname),
        file: field(file.map(str::as_bytes), &written.file),
        complete: written.left_out.is_empty(),
        echoes_at: written.echoes_at,
        options: written.area,
    })
}

/// The BOOTREPLY to `request` on these terms: no option of DHCP's own, and no more octets than its vendor area has
/// (RFC 1534 §2). The mask comes before the routers (RFC 1497, subnet mask field).
pub(in crate::policy) fn bootp(terms: &Terms<'_>, request: &Request) -> Option<Answer> {
    let mut options = Composed::default();
    parameters(terms, request, &mut options);
    options.agent_information = agent_information(request);
    let area = request.vendor_area.max(BOOTP_AREA).min(terms.longest.saturating_sub(BEFORE_OPTIONS));
    let (file, sname) = (terms.given.boot_file(), terms.given.server_name());
    let told = |text: Option<&str>| if text.is_none() { Field::Nothing } else { Field::Text };
    let written = encode::write(&options, Room { area, file: told(file), sname: told(sname) })?;
    Some(Answer {
        lease_time: 0,
        // RFC 951 §3: where the boot file is, which is here unless somebody says otherwise.
        siaddr: terms.given.next_server().unwrap_or(terms.server),
        sname: field(sname.map(str::as_bytes), &[]),
        file: field(file.map(str::as_bytes), &[]),
        complete: written.left_out.is_empty(),
        echoes_at: written.echoes_at,
        options: written.area,
    })
}

/// A NAK with a message for logs (RFC 2131 table 3: 53, 54, 56, client identifier and relay information, nothing
/// else). The link takes datagrams of up to `longest` octets.
pub(in crate::policy) fn nak(
    server: Ipv4Addr,
    message: &'static str,
    request: &Request,
    longest: usize,
) -> Option<Answer> {
    let options = Composed {
        head: vec![
            (code::MESSAGE_TYPE, Value::Octet([Type::Nak as u8])),
            (code::SERVER_IDENTIFIER, Value::Word(server.octets())),
        ],
        rest: vec![(code::MESSAGE, Value::Text(message.as_bytes()))],
        echoes: echoes(&[code::CLIENT_IDENTIFIER], request),
        agent_information: agent_information(request),
    };
    let room = Room { area: area(request, longest), file: Field::Nothing, sname: Field::Nothing };
    let written = encode::write(&options, room)?;
    Some(Answer {
        lease_time: 0,
        siaddr: Ipv4Addr::UNSPECIFIED,
        sname: None,
        file: None,
        complete: written.left_out.is_empty(),
        echoes_at: written.echoes_at,
        options: written.area,
    })
}

/// Octets of options, END included, that the client takes (option 57) by datagrams of up to `longest` octets.
pub(in crate::policy) fn area(request: &Request, longest: usize) -> usize {
    usize::from(request.options.max_size).min(longest).saturating_sub(BEFORE_OPTIONS)
}

/// So many options an answer seldom has more of.
const USUAL: usize = 12;

/// Options in the order they go out.
type Listed<'a> = Vec<(u8, Value<'a>)>;

/// The options at the beginning of every answer, asked for or not; and the times that follow them if there is room.
fn head<'a>(kind: Type, terms: &Terms<'a>) -> (Listed<'a>, Listed<'a>) {
    let mut head = Vec::with_capacity(3);
    head.extend([
        (code::MESSAGE_TYPE, Value::Octet([kind as u8])),
        (code::SERVER_IDENTIFIER, Value::Word(terms.server.octets())),
    ]);
    // What follows is put behind the times: with room for what is usual.
    let mut rest = Vec::with_capacity(USUAL);
    if let Some(lease_time) = terms.lease_time {
        head.push((code::LEASE_TIME, Value::Word(lease_time.to_be_bytes())));
        let times = terms.given.times();
        let part = |part: u32| Value::Word(share(lease_time, part, times.lease).to_be_bytes());
        rest.extend([(code::RENEWAL_TIME, part(times.renew)), (code::REBINDING_TIME, part(times.rebind))]);
    }
    (head, rest)
}

/// The options configured for the client, in the order of its parameter request list (RFC 2132 §9.8). The mask comes
/// asked for or not, and before the routers (RFC 2132 §3.3).
fn parameters<'a>(terms: &Terms<'a>, request: &Request, options: &mut Composed<'a>) {
    let mask = (code::SUBNET_MASK, subnet_mask(terms));
    let wanted = wanted(terms, request);
    if !wanted.contains(&code::SUBNET_MASK) {
        options.rest.push(mask);
    }
    for code in wanted.iter().copied() {
        if has(options, code) {
            continue;
        }
        match value(code, terms) {
            _ if code == code::SUBNET_MASK => options.rest.push(mask),
            Some(routers) if code == code::ROUTERS => {
                if !has(options, code::SUBNET_MASK) {
                    options.rest.push(mask);
                }
                options.rest.push((code, routers));
            }
            value => options.rest.extend(value.map(|value| (code, value))),
        }
    }
}

/// The operator's, else that of the prefix.
pub(in crate::policy) fn subnet_mask<'a>(terms: &Terms<'a>) -> Value<'a> {
    let configured = terms.given.configured(code::SUBNET_MASK).map(Value::Text);
    configured.unwrap_or_else(|| Value::Word(terms.given.netmask().octets()))
}

/// T1 or T2 of a lease of `lease_time`, if it is `part` of a lease of `whole`.
pub(in crate::policy) fn share(lease_time: u32, part: u32, whole: u32) -> u32 {
    let scaled = u64::from(lease_time) * u64::from(part) / u64::from(whole.max(1));
    u32::try_from(scaled).unwrap_or(u32::MAX)
}

/// The codes to be sent beyond the head: those asked for, in the client's order (RFC 2132 §9.8); else all there are.
pub(in crate::policy) fn wanted<'a>(terms: &Terms<'_>, request: &'a Request) -> Cow<'a, [u8]> {
    match &request.options.parameters {
        Some(list) => Cow::Borrowed(list),
        // Option 108 is for who asks for it alone (RFC 8925 §3.3).
        None => std::iter::once(code::HOST_NAME)
            .chain(terms.given.configured_codes().filter(|code| *code != code::IPV6_ONLY_PREFERRED))
            .collect(),
    }
}

pub(in crate::policy) fn value<'a>(code: u8, terms: &Terms<'a>) -> Option<Value<'a>> {
    match code {
        // These are the protocol's own, whatever the configuration says.
        code::PAD | code::END | code::AGENT_INFORMATION | code::SUBNET_SELECTION | code::CLIENT_MACHINE => {
            None
        }
        code::REQUESTED_ADDRESS..=code::MAX_MESSAGE_SIZE | code::CLIENT_IDENTIFIER => None,
        code::RENEWAL_TIME | code::REBINDING_TIME => None,
        _ => terms.given.configured(code).map(Value::Text),
    }
}

/// Whether the client is firmware that boots by PXE, or by HTTP in the same way.
fn boots_from_the_network(request: &Request) -> bool {
    let vendor = request.options.get(code::VENDOR_CLASS);
    vendor.is_some_and(|class| class.starts_with(b"PXEClient") || class.starts_with(b"HTTPClient"))
}

/// Those of `codes` that the request has.
pub(in crate::policy) fn echoes<'a>(codes: &[u8], request: &'a Request) -> Vec<(u8, &'a [u8])> {
    codes.iter().filter_map(|code| Some((*code, request.options.get(*code)?.as_ref()))).collect()
}

fn agent_information(request: &Request) -> Option<&[u8]> {
    request.agent_info().map(AsRef::as_ref)
}

pub(in crate::policy) fn has(options: &Composed<'_>, code: u8) -> bool {
    options.head.iter().chain(&options.rest).any(|(there, _)| *there == code)
}

/// A header field of `N` octets: the operator's text with its final zero, else overloaded options, else nothing.
pub(in crate::policy) fn field<const N: usize>(text: Option<&[u8]>, options: &[u8]) -> Option<Box<[u8; N]>> {
    let content = match text {
        Some(text) => text.get(..N - 1).unwrap_or(text),
        None => options,
    };
    if content.is_empty() {
        return None;
    }
    let mut field = Box::new([0; N]);
    field.iter_mut().zip(content).for_each(|(to, from)| *to = *from);
    Some(field)
}
