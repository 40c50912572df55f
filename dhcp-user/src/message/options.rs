//! The options of a request: walked strictly, joined (RFC 3396), and typed as far as policy needs them.

use std::net::Ipv4Addr;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use dhcproto::v4::OptionCode;

use super::agent::AgentInformation;
use super::malformed::Malformed;
use super::tlv::value_at;

/// The option codes that have a meaning to the server.
pub mod code {
    #![allow(missing_docs, reason = "each is named as in the IANA registry")]
    pub const PAD: u8 = 0;
    pub const SUBNET_MASK: u8 = 1;
    pub const ROUTERS: u8 = 3;
    pub const HOST_NAME: u8 = 12;
    pub const REQUESTED_ADDRESS: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const OVERLOAD: u8 = 52;
    pub const MESSAGE_TYPE: u8 = 53;
    pub const SERVER_IDENTIFIER: u8 = 54;
    pub const PARAMETER_REQUEST_LIST: u8 = 55;
    pub const MESSAGE: u8 = 56;
    pub const MAX_MESSAGE_SIZE: u8 = 57;
    pub const RENEWAL_TIME: u8 = 58;
    pub const REBINDING_TIME: u8 = 59;
    pub const VENDOR_CLASS: u8 = 60;
    pub const CLIENT_IDENTIFIER: u8 = 61;
    pub const USER_CLASS: u8 = 77;
    pub const FQDN: u8 = 81;
    pub const AGENT_INFORMATION: u8 = 82;
    pub const AUTHENTICATION: u8 = 90;
    pub const CLIENT_LAST_TRANSACTION_TIME: u8 = 91;
    pub const ASSOCIATED_IP: u8 = 92;
    pub const CLIENT_SYSTEM: u8 = 93;
    pub const CLIENT_MACHINE: u8 = 97;
    pub const IPV6_ONLY_PREFERRED: u8 = 108;
    pub const SUBNET_SELECTION: u8 = 118;
    pub const MUD_URL: u8 = 161;
    pub const END: u8 = 255;
}

/// The smallest maximum message size that a client can have (RFC 2132 §9.10), and the size without option 57.
pub const MIN_MESSAGE_SIZE: u16 = 576;

/// The options of one request.
#[derive(Clone, Debug)]
pub struct Options {
    /// Code and whole value of each option, in the order of their first appearance.
    list: Vec<(u8, Bytes)>,
    /// Option 50: the address the client asks for.
    pub requested: Option<Ipv4Addr>,
    /// Option 51: the lease time the client asks for, in seconds.
    pub lease_time: Option<u32>,
    /// Option 54: the server the client speaks to.
    pub server: Option<Ipv4Addr>,
    /// Option 55: the codes the client wants, in the order it wants them.
    pub parameters: Option<Bytes>,
    /// Option 57: the longest IP datagram the client takes; at least [`MIN_MESSAGE_SIZE`].
    pub max_size: u16,
    /// Whether option 57 had less than any client can mean.
    pub small_max_size: bool,
    /// Option 61: the client identifier, 2 to 255 octets.
    pub client_id: Option<Bytes>,
    /// Option 82: the relay information.
    pub agent: Option<AgentInformation>,
    /// Option 118: the subnet the client wants an address of (RFC 3011).
    pub subnet: Option<Ipv4Addr>,
    /// Whether option 51 or 57 has a length that it can't have: it counts as absent.
    pub odd_length: bool,
    /// Whether options were found in sname or file (option 52).
    pub overloaded: bool,
    /// Whether each field of options has an END of its own (RFC 2131 §4.1). Some stacks send none, and where the last
    /// option ends is then where the field does, or where nothing but zeros follows.
    pub ended: bool,
}

impl Options {
    /// Reads the option area of a message that came through the relay `giaddr`, and `file` and `sname` where option 52
    /// says so (RFC 2131 §4.1).
    pub(super) fn read(
        area: &Bytes,
        file: &Bytes,
        sname: &Bytes,
        giaddr: Ipv4Addr,
    ) -> Result<Self, Malformed> {
        let mut list = Vec::with_capacity(12);
        // A message may have nothing to say (RFC 951 §3).
        let mut ended = area.is_empty() || collect(area, &mut list)?;
        let overload = find(&list, code::OVERLOAD).map(one_octet).transpose()?;
        // RFC 3396 §5 joins in this order: options, file, sname.
        let (in_file, in_sname) = match overload {
            None => (false, false),
            Some(1) => (true, false),
            Some(2) => (false, true),
            Some(3) => (true, true),
            Some(_) => return Err(Malformed::Overload),
        };
        let own = list.len();
        for field in [in_file.then_some(file), in_sname.then_some(sname)].into_iter().flatten() {
            ended &= collect(field, &mut list)?;
        }
        if list.iter().skip(own).any(|(code, _)| *code == code::OVERLOAD) {
            return Err(Malformed::Overload);
        }
        let overloaded = overload.is_some();
        Ok(Self { overloaded, ended, ..Self::typed(joined(list), giaddr)? })
    }

    fn typed(list: Vec<(u8, Bytes)>, giaddr: Ipv4Addr) -> Result<Self, Malformed> {
        let client_id = find(&list, code::CLIENT_IDENTIFIER).cloned();
        if client_id.as_ref().is_some_and(|id| !(2..=255).contains(&id.len())) {
            return Err(Malformed::ClientIdentifier);
        }
        // These two are wishes: who can't spell one has none.
        let max_size = find(&list, code::MAX_MESSAGE_SIZE).and_then(fixed).map(u16::from_be_bytes);
        let lease_time = find(&list, code::LEASE_TIME).and_then(fixed).map(u32::from_be_bytes);
        let is_misspelt = |code: u8, is_read: bool| find(&list, code).is_some() && !is_read;
        let odd_length = is_misspelt(code::MAX_MESSAGE_SIZE, max_size.is_some())
            || is_misspelt(code::LEASE_TIME, lease_time.is_some());
        let max_size = max_size.unwrap_or(MIN_MESSAGE_SIZE);
        Ok(Self {
            requested: address(&list, code::REQUESTED_ADDRESS)?,
            lease_time,
            odd_length,
            server: address(&list, code::SERVER_IDENTIFIER)?,
            parameters: find(&list, code::PARAMETER_REQUEST_LIST).cloned(),
            max_size: max_size.max(MIN_MESSAGE_SIZE),
            small_max_size: max_size < MIN_MESSAGE_SIZE,
            client_id,
            agent: agent(&list, giaddr),
            subnet: address(&list, code::SUBNET_SELECTION)?,
            overloaded: false,
            ended: true,
            list,
        })
    }

    /// The whole value of option `code`.
    #[must_use]
    pub fn get(&self, code: u8) -> Option<&Bytes> {
        find(&self.list, code)
    }

    /// Each option there is, by the name dhcproto has for it, for a log line.
    pub fn names(&self) -> impl Iterator<Item = OptionCode> + '_ {
        self.list.iter().map(|(code, _)| OptionCode::from(*code))
    }
}

/// The information of the relay `giaddr`. A switch that is no relay may use a form of its own: then the option is
/// echoed as it was sent (RFC 3046 §2.2), and used for nothing.
fn agent(list: &[(u8, Bytes)], giaddr: Ipv4Addr) -> Option<AgentInformation> {
    let agent = AgentInformation::read(find(list, code::AGENT_INFORMATION)?.clone());
    Some(agent).filter(|agent| agent.whole || !giaddr.is_unspecified())
}

/// How far the options of a field go.
struct Extent {
    /// Through END; without one, through the last option.
    octets: usize,
    /// Whether there is an END.
    ended: bool,
}

/// One field of options, each by its code and where its value is. A field without END is whole if its last option is,
/// and nothing but padding follows.
///
/// # Errors
/// [`Malformed::OptionTruncated`] if an option runs past the field.
fn walk(field: &[u8], mut found: impl FnMut(u8, Range<usize>)) -> Result<Extent, Malformed> {
    let (mut at, mut octets) = (0_usize, 0);
    while let Some(code) = field.get(at) {
        match *code {
            code::PAD => at = at.saturating_add(1),
            code::END => return Ok(Extent { octets: at.saturating_add(1), ended: true }),
            code => {
                let value = value_at(field, at).ok_or(Malformed::OptionTruncated)?;
                if value.end > field.len() {
                    return Err(Malformed::OptionTruncated);
                }
                at = value.end;
                octets = at;
                found(code, value);
            }
        }
    }
    Ok(Extent { octets, ended: false })
}

/// The options of one field, code and value, as they come; whether it has an END.
///
/// # Errors
/// As [`walk`]; the options before a defect are there.
fn collect(field: &Bytes, into: &mut Vec<(u8, Bytes)>) -> Result<bool, Malformed> {
    walk(field, |code, value| into.push((code, field.slice(value)))).map(|extent| extent.ended)
}

/// Each option of an area that was read before, code and value, as they come.
#[must_use]
pub fn list(area: &Bytes) -> Vec<(u8, Bytes)> {
    let mut list = Vec::new();
    // What comes before a defect is what there is; an area that was read has none.
    let _ = collect(area, &mut list);
    list
}

/// How many octets of an option area count: through END, or through the last option if there is none.
pub(super) fn extent(area: &[u8]) -> Result<usize, Malformed> {
    walk(area, |_, _| {}).map(|extent| extent.octets)
}

/// A piece of an option area, END not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// One octet of padding.
    Pad,
    /// An option: its code, and the whole of it, code and length included.
    Option(u8, &'a [u8]),
}

impl Piece<'_> {
    /// How many octets it takes.
    #[must_use]
    pub const fn octets(&self) -> usize {
        match self {
            Self::Pad => 1,
            Self::Option(_, whole) => whole.len(),
        }
    }
}

/// The pieces of an area that was read before, as they come.
pub fn pieces(area: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = area;
    std::iter::from_fn(move || {
        let (piece, next) = match *rest {
            [code::PAD, ..] => (Piece::Pad, 1),
            [code, length, ..] if code != code::END => {
                let octets = 2 + usize::from(length);
                (Piece::Option(code, rest.get(..octets)?), octets)
            }
            _ => return None,
        };
        rest = rest.get(next..)?;
        Some(piece)
    })
}

/// Whether an area that was read before, up to its last octet that counts, has an END.
#[must_use]
pub fn has_end(area: &[u8]) -> bool {
    pieces(area).map(|piece| piece.octets()).sum::<usize>() < area.len()
}

/// An option area (through END) without the options of these codes, all else as it was.
#[must_use]
pub fn without(area: &[u8], codes: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(area.len());
    let mut rest = area;
    while let [code, tail @ ..] = rest {
        let length = match (*code, tail) {
            (code::PAD, _) => 1,
            (code::END, _) | (_, []) => rest.len(),
            (_, [length, ..]) => (2 + usize::from(*length)).min(rest.len()),
        };
        let (option, next) = rest.split_at(length);
        if matches!(*code, code::PAD | code::END) || !codes.contains(code) {
            kept.extend_from_slice(option);
        }
        rest = next;
    }
    kept
}

/// Options of the same code joined into one (RFC 3396 §7), at the place of the first.
fn joined(list: Vec<(u8, Bytes)>) -> Vec<(u8, Bytes)> {
    let mut seen = [false; 256];
    let mut again =
        |code: u8| seen.get_mut(usize::from(code)).is_some_and(|seen| std::mem::replace(seen, true));
    if !list.iter().any(|(code, _)| again(*code)) {
        return list;
    }
    let mut out: Vec<(u8, Bytes)> = Vec::with_capacity(list.len());
    for (code, value) in list {
        match out.iter_mut().find(|(there, _)| *there == code) {
            Some((_, whole)) => {
                let mut both = BytesMut::with_capacity(whole.len().saturating_add(value.len()));
                both.extend_from_slice(whole);
                both.extend_from_slice(&value);
                *whole = both.freeze();
            }
            None => out.push((code, value)),
        }
    }
    out
}

fn find(list: &[(u8, Bytes)], code: u8) -> Option<&Bytes> {
    list.iter().find(|(there, _)| *there == code).map(|(_, value)| value)
}

/// The address in option `code`, if it names one: some stacks fill in 0.0.0.0 for none, as in the header.
fn address(list: &[(u8, Bytes)], code: u8) -> Result<Option<Ipv4Addr>, Malformed> {
    let said = find(list, code).map(|value| exactly::<4>(code, value).map(Ipv4Addr::from)).transpose()?;
    Ok(said.filter(|address| !address.is_unspecified()))
}

fn exactly<const N: usize>(code: u8, value: &Bytes) -> Result<[u8; N], Malformed> {
    fixed(value).ok_or(Malformed::OptionLength(code))
}

/// The octet that a value is, be it said once or several times.
pub(super) fn same_octet(value: &Bytes) -> Option<u8> {
    fixed::<1>(value).map(|[octet]| octet)
}

/// A value of fixed length. An option that is there twice was joined (RFC 3396 §5); where it says the same each time it says
/// that.
fn fixed<const N: usize>(value: &Bytes) -> Option<[u8; N]> {
    let (first, rest) = value.split_first_chunk::<N>()?;
    let same = rest.chunks(N).all(|again| again == first);
    same.then_some(*first)
}

fn one_octet(value: &Bytes) -> Result<u8, Malformed> {
    fixed::<1>(value).map(|[octet]| octet).ok_or(Malformed::Overload)
}
