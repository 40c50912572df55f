//! ARP probes as frames, and the users of addresses that ARP frames show (RFC 826, RFC 5227).

use std::net::Ipv4Addr;

use bytes::Bytes;
use dhcp_ebpf::abi::Link;

const ARP: u16 = 0x0806;
const CUSTOMER_TAG: u16 = 0x8100;
const PROVIDER_TAG: u16 = 0x88a8;
/// Ethernet and IPv4 addresses, of 6 and 4 octets.
const ADDRESSES: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;
/// The shortest Ethernet frame, its check sequence left out.
const SHORTEST: usize = 60;

/// Somebody on a link was heard to use an address, or to be about to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The link.
    pub link: Link,
    /// The address.
    pub address: Ipv4Addr,
    /// The hardware address of its user.
    pub station: [u8; 6],
}

/// An ARP probe for `address` (RFC 5227 §2.1.1). Two tags are a provider's and a customer's (IEEE 802.1ad).
pub(super) fn probe(link: Link, ours: [u8; 6], address: Ipv4Addr) -> Bytes {
    let mut frame = Vec::with_capacity(SHORTEST);
    frame.extend_from_slice(&[0xff; 6]);
    frame.extend_from_slice(&ours);
    let outer = if link.inner == 0 { CUSTOMER_TAG } else { PROVIDER_TAG };
    for (protocol, id) in [(outer, link.outer), (CUSTOMER_TAG, link.inner)] {
        if id != 0 {
            frame.extend_from_slice(&protocol.to_be_bytes());
            frame.extend_from_slice(&id.to_be_bytes());
        }
    }
    frame.extend_from_slice(&ARP.to_be_bytes());
    frame.extend_from_slice(&ADDRESSES);
    frame.extend_from_slice(&REQUEST.to_be_bytes());
    frame.extend_from_slice(&ours);
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(&[0; 6]);
    frame.extend_from_slice(&address.octets());
    frame.resize(frame.len().max(SHORTEST), 0);
    frame.into()
}

/// The address in a frame from interface `ifindex`: its sender's own, or the one that it probes itself.
#[must_use]
pub fn read(ifindex: u32, frame: &[u8]) -> Option<Sighting> {
    let mut rest = frame.get(12..)?;
    let mut ids = Vec::with_capacity(2);
    let arp = loop {
        let (protocol, after) = rest.split_first_chunk()?;
        match u16::from_be_bytes(*protocol) {
            ARP => break after,
            CUSTOMER_TAG | PROVIDER_TAG if ids.len() < 2 => {
                let (control, after) = after.split_first_chunk()?;
                ids.push(u16::from_be_bytes(*control) & 0x0fff);
                rest = after;
            }
            _ => return None,
        }
    };
    // A priority tag is no tag.
    ids.retain(|id| *id != 0);
    let link = Link {
        ifindex,
        outer: ids.first().copied().unwrap_or_default(),
        inner: ids.get(1).copied().unwrap_or_default(),
    };
    let arp = arp.strip_prefix(&ADDRESSES)?;
    let (operation, arp) = arp.split_first_chunk()?;
    let (station, arp) = arp.split_first_chunk()?;
    let (sender, arp) = arp.split_first_chunk::<4>()?;
    let target: [u8; 4] = *arp.get(6..)?.first_chunk()?;
    let (sender, target) = (Ipv4Addr::from(*sender), Ipv4Addr::from(target));
    let address = match u16::from_be_bytes(*operation) {
        REQUEST if sender.is_unspecified() => target,
        REQUEST | REPLY => sender,
        _ => return None,
    };
    Some(Sighting { link, address, station: *station })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 9];
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

    fn link(outer: u16, inner: u16) -> Link {
        Link { ifindex: 7, outer, inner }
    }

    fn sighting(link: Link) -> Sighting {
        Sighting { link, address: ADDRESS, station: THEIRS }
    }

    #[test]
    fn a_probe_asks_everybody_and_claims_nothing() {
        let frame = probe(link(0, 0), OURS, ADDRESS);
        assert_eq!(frame.len(), 60);
        assert_eq!(frame[..14], *b"\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\x01\x08\x06");
        assert_eq!(frame[14..28], *b"\0\x01\x08\0\x06\x04\0\x01\x02\0\0\0\0\x01");
        assert_eq!(frame[28..42], *b"\0\0\0\0\0\0\0\0\0\0\xc0\0\x02\x0a");
    }

    #[test]
    fn tags_are_written_and_read() {
        for link in [link(0, 0), link(100, 0), link(200, 100)] {
            let frame = probe(link, THEIRS, ADDRESS);
            assert_eq!(read(7, &frame), Some(sighting(link)), "another's probe for the address");
        }
        let tagged = probe(link(200, 100), OURS, ADDRESS);
        assert_eq!(tagged[12..22], *b"\x88\xa8\0\xc8\x81\0\0\x64\x08\x06");
    }

    #[test]
    fn a_priority_tag_is_no_tag() {
        let mut frame = probe(link(0, 0), THEIRS, ADDRESS).to_vec();
        frame.splice(12..12, *b"\x81\0\xe0\0");
        assert_eq!(read(7, &frame), Some(sighting(link(0, 0))));
    }

    #[test]
    fn answers_and_announcements_name_the_senders_own_address() {
        for operation in [REQUEST, REPLY] {
            let mut frame = probe(link(0, 0), THEIRS, Ipv4Addr::new(192, 0, 2, 1)).to_vec();
            frame[20..22].copy_from_slice(&operation.to_be_bytes());
            frame[28..32].copy_from_slice(&ADDRESS.octets());
            assert_eq!(read(7, &frame), Some(sighting(link(0, 0))));
        }
    }

    #[test]
    fn nothing_is_made_of_frames_that_are_no_arp_or_cut_short() {
        let frame = probe(link(200, 100), THEIRS, ADDRESS);
        for len in 0..14 + 8 + 28 {
            assert_eq!(read(7, &frame[..len]), None, "{len}");
        }
        let mut other = frame.to_vec();
        other[21] = 0;
        assert_eq!(read(7, &other), None);
        let mut thrice = frame.to_vec();
        thrice.splice(12..12, *b"\x81\0\0\x05");
        assert_eq!(read(7, &thrice), None);
    }
}
