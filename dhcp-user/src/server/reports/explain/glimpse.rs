//! A glimpse of an unreadable frame: where it came from, and which client it seems to be of.
//!
//! For display only. Nothing here is checked, and nothing is decided by it.

use std::net::Ipv4Addr;

use dhcp_ebpf::abi::Link;

const ETHERNET: usize = 14;
const TAG: usize = 4;
const IPV4: u16 = 0x0800;
const VLANS: [u16; 2] = [0x8100, 0x88a8];
const UDP: usize = 8;
const CIADDR: usize = 12;
const GIADDR: usize = 24;
const CHADDR: usize = 28;
const OPTIONS: usize = 240;

const REQUESTED: u8 = 50;
const AGENT: u8 = 82;
const CIRCUIT: u8 = 1;

/// As far as it could be made out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct Glimpse {
    pub(in crate::server) link: Link,
    pub(in crate::server) relay: Ipv4Addr,
    /// Its client's hardware address if that is Ethernet's, else the station that sent it.
    pub(in crate::server) client: [u8; 6],
    /// The address that it is about.
    pub(in crate::server) about: Ipv4Addr,
    pub(in crate::server) circuit: Option<Box<[u8]>>,
}

impl Glimpse {
    /// None if the frame is too short to have a sender.
    pub(in crate::server) fn of(frame: &[u8], ifindex: u32) -> Option<Self> {
        let station: [u8; 6] = frame.get(6..12)?.try_into().ok()?;
        let (link, l3) = link(frame, ifindex);
        let mut glimpse = Self {
            link,
            relay: Ipv4Addr::UNSPECIFIED,
            client: station,
            about: Ipv4Addr::UNSPECIFIED,
            circuit: None,
        };
        if let Some(message) = l3.and_then(|l3| message(frame, l3)) {
            glimpse.look_into(message);
        }
        Some(glimpse)
    }

    fn look_into(&mut self, message: &[u8]) {
        let address = |at: usize| -> Option<Ipv4Addr> {
            Some(Ipv4Addr::from(<[u8; 4]>::try_from(message.get(at..at + 4)?).ok()?))
        };
        self.relay = address(GIADDR).unwrap_or(self.relay);
        self.about = address(CIADDR).unwrap_or(self.about);
        let chaddr = message.get(CHADDR..CHADDR + 6).and_then(|octets| octets.try_into().ok());
        if let (Some([_, 1, 6, ..]), Some(chaddr)) =
            (message.get(..4), chaddr.filter(|octets| *octets != [0; 6]))
        {
            self.client = chaddr;
        }
        let options = message.get(OPTIONS..).unwrap_or_default();
        if self.about.is_unspecified()
            && let Some(Ok(requested)) = value(options, REQUESTED).map(<[u8; 4]>::try_from)
        {
            self.about = requested.into();
        }
        self.circuit = value(options, AGENT).and_then(|agent| value(agent, CIRCUIT)).map(Into::into);
    }
}

/// The link that it came on, and where its IPv4 header begins, if it has one.
fn link(frame: &[u8], ifindex: u32) -> (Link, Option<usize>) {
    let word = |at: usize| Some(u16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?));
    let mut tags = [0; 2];
    let mut at = ETHERNET - 2;
    for tag in &mut tags {
        if !word(at).is_some_and(|kind| VLANS.contains(&kind)) {
            break;
        }
        *tag = word(at + 2).unwrap_or(0) & 0xfff;
        at += TAG;
    }
    let [outer, inner] = tags;
    (Link { ifindex, outer, inner }, (word(at) == Some(IPV4)).then_some(at + 2))
}

/// The message behind the headers of IPv4 and UDP.
fn message(frame: &[u8], l3: usize) -> Option<&[u8]> {
    let header = usize::from(frame.get(l3)? & 0xf) * 4;
    frame.get(l3 + header + UDP..)
}

/// The value of the first option of this code, in a list of them.
fn value(mut list: &[u8], code: u8) -> Option<&[u8]> {
    loop {
        match list {
            [0, rest @ ..] if code == REQUESTED || code == AGENT => list = rest,
            [found, length, rest @ ..] if *found != 255 => {
                let value = rest.get(..usize::from(*length))?;
                if *found == code {
                    return Some(value);
                }
                list = rest.get(value.len()..)?;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::wire::Draft;

    #[test]
    fn what_can_be_made_out_is_and_nothing_else() {
        let agent = [1, 3, b'p', b'-', b'7'];
        let frame = Draft::new(1, 5).option(50, &[192, 0, 2, 9]).option(82, &agent).frame();
        let seen = Glimpse::of(&frame, 7).expect("a sender");
        assert_eq!((seen.link.ifindex, seen.link.outer, seen.about), (7, 0, Ipv4Addr::new(192, 0, 2, 9)));
        assert_eq!(seen.circuit.as_deref(), Some(&b"p-7"[..]));
        let tagged = [&frame[..12], &[0x88, 0xa8, 0, 200, 0x81, 0, 0, 100], &frame[12..]].concat();
        let behind = Glimpse::of(&tagged, 7).expect("a sender");
        assert_eq!((behind.link.outer, behind.link.inner), (200, 100));
        assert_eq!((behind.client, behind.circuit), (seen.client, seen.circuit));
        for length in 0..frame.len() {
            let cut = Glimpse::of(&frame[..length], 7);
            assert_eq!(cut.is_some(), length >= 12, "{length}");
        }
    }
}
