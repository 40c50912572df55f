//! Derives the option areas of a client's renewals and reboots from those of the messages that got it the lease.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use crate::message::options::{Piece, code, has_end, pieces, without};
use crate::message::{Form, Request};

/// Allowed in a DISCOVER only: rapid commit (RFC 4039) and auto-configuration (RFC 2563).
const RAPID_COMMIT: u8 = 80;
const AUTO_CONFIGURE: u8 = 116;
const REQUEST: u8 = 3;

/// How a client goes on with the lease it has (RFC 2131 §4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Going {
    /// RENEWING or REBINDING: `ciaddr` is the address.
    Renewal,
    /// INIT-REBOOT: option 50 is.
    Reboot,
}

/// The option areas by which a client may go on, as far as something is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Areas {
    pub(super) renewal: Option<Vec<u8>>,
    pub(super) reboot: Option<Vec<u8>>,
}

/// The messages by which a client got its lease of `address`: their option areas, without what a relay adds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Selected<'a> {
    pub(super) select: &'a [u8],
    pub(super) discover: Option<&'a [u8]>,
    pub(super) address: Ipv4Addr,
}

impl Areas {
    /// Made of the area of one REQUEST for `address`, the options that don't belong there left out.
    pub(super) fn of(area: &[u8], address: Ipv4Addr) -> Self {
        let renewal = Self::renewal_of(area);
        // Where option 50 stands among the others only a request that has it tells.
        let names_it = option(area, code::REQUESTED_ADDRESS) == Some(&requested(address));
        let reboot = names_it.then(|| filled(without(area, &[code::SERVER_IDENTIFIER]), area));
        Self { renewal: Some(renewal), reboot }
    }

    /// The area of a renewal: one of a REQUEST without the options that don't belong there.
    fn renewal_of(area: &[u8]) -> Vec<u8> {
        filled(without(area, &[code::REQUESTED_ADDRESS, code::SERVER_IDENTIFIER]), area)
    }

    pub(super) fn get(&self, going: Going) -> Option<&[u8]> {
        match going {
            Going::Renewal => self.renewal.as_deref(),
            Going::Reboot => self.reboot.as_deref(),
        }
    }
}

/// Made of the DISCOVER's area, its type changed; nothing if the REQUEST's area leads to the same.
pub(super) fn after_discover(selected: &Selected<'_>) -> Areas {
    let Selected { select, discover, address } = *selected;
    let Some(discover) = discover else { return Areas::default() };
    let kept = without(discover, &[code::REQUESTED_ADDRESS, RAPID_COMMIT, AUTO_CONFIGURE]);
    let renewal = filled(retyped(kept), discover);
    if Areas::renewal_of(select) == renewal {
        return Areas::default();
    }
    let reboot = with_address_as(select, &renewal, address).map(|area| filled(area, discover));
    Areas { renewal: Some(renewal), reboot }
}

/// `area` with option 50 for `address`, behind the option that it stands behind in `select`.
fn with_address_as(select: &[u8], area: &[u8], address: Ipv4Addr) -> Option<Vec<u8>> {
    let codes = pieces(select).filter_map(|piece| match piece {
        Piece::Option(code::SERVER_IDENTIFIER, _) => None,
        Piece::Option(code, _) => Some(code),
        Piece::Pad => None,
    });
    let before: Vec<u8> = codes.take_while(|code| *code != code::REQUESTED_ADDRESS).collect();
    option(select, code::REQUESTED_ADDRESS)?;
    let mut at = 0;
    if let Some(before) = before.last() {
        let mut end = 0;
        for piece in pieces(area) {
            end += piece.octets();
            if matches!(piece, Piece::Option(code, _) if code == *before) {
                at = end;
            }
        }
        if at == 0 {
            return None;
        }
    }
    let mut out = area.to_vec();
    out.splice(at..at, requested(address));
    Some(out)
}

/// Option 50.
pub(super) fn requested(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [code::REQUESTED_ADDRESS, 4, a, b, c, d]
}

/// The whole of option `option_code`, where it is first.
fn option(area: &[u8], option_code: u8) -> Option<&[u8]> {
    pieces(area).find_map(|piece| match piece {
        Piece::Option(code, whole) if code == option_code => Some(whole),
        _ => None,
    })
}

/// A DISCOVER's area as a REQUEST's.
fn retyped(mut discover: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    let kind = pieces(&discover).find_map(|piece| {
        at += piece.octets();
        matches!(piece, Piece::Option(code::MESSAGE_TYPE, _)).then_some(at)
    });
    // The type is the last octet of the one option that has it.
    if let Some(octet) = kind.and_then(|end| discover.get_mut(end.checked_sub(1)?)) {
        *octet = REQUEST;
    }
    discover
}

/// `area` with zeros before END, up to the length of `like`, which has some there: clients that pad before END pad to
/// a length.
pub(super) fn filled(mut area: Vec<u8>, like: &[u8]) -> Vec<u8> {
    let pads =
        matches!(like, [.., 0, code::END]) && pieces(like).last().is_some_and(|last| last == Piece::Pad);
    if pads && area.len() < like.len() && area.last() == Some(&code::END) {
        area.pop();
        area.resize(like.len() - 1, 0);
        area.push(code::END);
    }
    area
}

/// An area of `request` as the client sent it, without what a relay or a switch added.
pub(super) fn past_relay<'a>(area: &'a [u8], request: &Request) -> Cow<'a, [u8]> {
    match request.agent_info() {
        Some(_) => Cow::Owned(without(area, &[code::AGENT_INFORMATION])),
        None => Cow::Borrowed(area),
    }
}

/// An area with the relay information of `request`, as the last option (RFC 3046 §2.1).
pub(super) fn through_relay(mut area: Vec<u8>, request: &Request) -> Vec<u8> {
    let Some(agent_info) = request.agent_info() else { return area };
    let end = has_end(&area).then(|| area.pop()).flatten();
    for part in agent_info.chunks(255) {
        #[expect(clippy::cast_possible_truncation, reason = "chunks are of 255 octets at most")]
        area.extend([code::AGENT_INFORMATION, part.len() as u8]);
        area.extend_from_slice(part);
    }
    area.extend(end);
    area
}

/// A message straight from a client that has, or had, `ciaddr`.
pub(super) fn direct(area: Vec<u8>, ciaddr: Ipv4Addr) -> Form {
    let unspecified = Ipv4Addr::UNSPECIFIED;
    Form { ciaddr, giaddr: unspecified, ip_src: ciaddr, ip_dst: Ipv4Addr::BROADCAST, area }
}

/// One that comes through the relay that `request` came through.
pub(super) fn relayed(request: &Request, area: Vec<u8>, ciaddr: Ipv4Addr) -> Form {
    let Request { giaddr, ip_src, ip_dst, .. } = *request;
    Form { ciaddr, giaddr, ip_src, ip_dst, area }
}

/// The very one that came.
pub(super) fn came(request: &Request) -> Form {
    let area = request.area.to_vec();
    if request.relayed() { relayed(request, area, request.ciaddr) } else { direct(area, request.ciaddr) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);

    fn after(select: &[u8], discover: &[u8]) -> Areas {
        after_discover(&Selected { select, discover: Some(discover), address: ADDRESS })
    }

    #[test]
    fn what_a_discover_tells_is_what_the_request_leaves_out() {
        let discover = [53, 1, 1, 80, 0, 12, 1, b'a', 51, 1, 7, 116, 1, 1, 255];
        let select = [53, 1, 3, 12, 1, b'a', 54, 4, 1, 1, 1, 1, 50, 4, 10, 0, 0, 9, 255];
        let areas = after(&select, &discover);
        assert_eq!(areas.renewal, Some(vec![53, 1, 3, 12, 1, b'a', 51, 1, 7, 255]));
        let reboot = vec![53, 1, 3, 12, 1, b'a', 50, 4, 10, 0, 0, 9, 51, 1, 7, 255];
        assert_eq!(areas.reboot, Some(reboot), "option 50 stands behind option 12, as in the REQUEST");
    }

    #[test]
    fn a_discover_that_says_what_the_request_does_tells_nothing() {
        let discover = [53, 1, 1, 50, 4, 10, 0, 0, 7, 12, 1, b'a', 255];
        let select = [53, 1, 3, 50, 4, 10, 0, 0, 9, 54, 4, 1, 1, 1, 1, 12, 1, b'a', 255];
        assert_eq!(after(&select, &discover), Areas::default());
    }

    /// RFC 2131 §4.1 wants an END; where there is none, the last octet is an option's.
    #[test]
    fn what_a_relay_says_comes_last_with_an_end_and_without() {
        let draft = crate::policy::tests::wire::Draft::discover(1).via(ADDRESS).option(82, b"\x01\x01p");
        let request = draft.request(1);
        for (area, due) in [
            (&[53, 1, 3, 255][..], &[53, 1, 3, 82, 3, 1, 1, b'p', 255][..]),
            (&[53, 1, 3, 12, 1, 255], &[53, 1, 3, 12, 1, 255, 82, 3, 1, 1, b'p']),
        ] {
            assert_eq!(through_relay(area.to_vec(), &request), due);
        }
    }

    #[test]
    fn who_pads_before_the_end_pads_to_a_length() {
        let select = [53, 1, 3, 54, 4, 1, 1, 1, 1, 50, 4, 10, 0, 0, 9, 0, 0, 255];
        let areas = Areas::of(&select, ADDRESS);
        let length = |going| areas.get(going).map(<[u8]>::len);
        assert_eq!((length(Going::Renewal), length(Going::Reboot)), (Some(18), Some(18)));
        let value = [53, 1, 3, 50, 4, 10, 0, 0, 9, 43, 1, 0, 255];
        let renewal = Areas::of(&value, ADDRESS).renewal.expect("one");
        assert_eq!(renewal, [53, 1, 3, 43, 1, 0, 255], "the zero is a value");
    }
}
