//! The right answer to a request, written out from the RFCs, and a second opinion on any answer.

use super::sent::{Sent, ones_complement};
use super::*;
use etherparse::{LinkExtSlice, LinkSlice, NetSlice, SlicedPacket, TransportSlice};

/// The whole frame that answers `request`: the client's or relay's address as RFC 2131 §4.1 has it, the fields as its
/// table 3.
pub(crate) fn reply(request: &[u8], lease: &Lease, answer: &Answer) -> Vec<u8> {
    let mut l3 = 12;
    while request[l3..l3 + 2] != [0x08, 0x00] {
        l3 += 4;
    }
    l3 += 2;
    let asked = &request[l3 + 28..];
    let (xid, flags, ciaddr, giaddr, chaddr) =
        (&asked[4..8], &asked[10..12], &asked[12..16], &asked[24..28], &asked[28..34]);
    let asker = &request[6..12];
    let (eth_dst, ip_dst, port): (&[u8], &[u8], u16) = if giaddr != [0; 4] {
        (asker, giaddr, 67)
    } else if ciaddr != [0; 4] {
        (asker, ciaddr, 68)
    } else if flags[0] & 0x80 != 0 {
        (&BROADCAST, &[255; 4], 68)
    } else {
        (chaddr, &lease.address.octets(), 68)
    };

    let mut bootp = vec![2, 1, 6, 0];
    bootp.extend(xid);
    bootp.extend([0, 0]);
    bootp.extend(flags);
    bootp.extend(ciaddr);
    bootp.extend(lease.address.octets());
    bootp.extend(answer.siaddr.octets());
    bootp.extend(giaddr);
    bootp.extend(chaddr);
    bootp.extend([0; 10]);
    match &answer.names {
        Some(names) => bootp.extend([&names.0[..], &names.1[..]].concat()),
        None => bootp.extend([0; 192]),
    }
    bootp.extend([99, 130, 83, 99]);
    bootp.extend(&answer.options);

    let udp_len = (8 + bootp.len() as u16).to_be_bytes();
    let mut ip = vec![0x45, 0];
    ip.extend((28 + bootp.len() as u16).to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    ip.extend(lease.server.octets());
    ip.extend(ip_dst);
    let sum = !ones_complement(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut udp = [&67u16.to_be_bytes()[..], &port.to_be_bytes(), &udp_len, &[0, 0], &bootp].concat();
    let sum = !ones_complement(&[&ip[12..20], &[0, 17], &udp_len, &udp].concat());
    udp[6..8].copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
    [eth_dst, &OURS, &request[12..l3], &ip, &udp].concat()
}

/// Whether the kernel has to answer `frame` when `asked` was answered before and the lease holds: said by plain code,
/// without a hash.
pub(crate) fn is_known(frame: &[u8], asked: &Sent) -> bool {
    plain(frame).is_some_and(|question| Some(question) == plain(&asked.frame()))
}

/// All that an answer may depend on.
#[derive(Debug, PartialEq, Eq)]
struct Plain<'a> {
    vlans: (u16, u16),
    ciaddr: &'a [u8],
    giaddr: &'a [u8],
    chaddr: &'a [u8],
    /// The IP source, if relayed.
    relay: Option<&'a [u8]>,
    /// The option area without the zeros at its end.
    options: &'a [u8],
}

/// The question in a frame, if it is for us and a plain client's in every way.
fn plain(frame: &[u8]) -> Option<Plain<'_>> {
    let word = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
    let mut l3 = 14;
    let mut ids = [0, 0];
    for id in &mut ids {
        if matches!(word(l3 - 2)?, 0x8100 | 0x88a8) {
            *id = word(l3)? & 0xfff;
            l3 += 4;
        }
    }
    let ip = frame.get(l3..l3 + 20)?;
    let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    let is_ipv4 = word(l3 - 2)? == 0x0800 && ip[0] == 0x45 && ones_complement(ip) == 0xffff;
    let is_whole = u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff == 0;
    let udp = frame.get(l3 + 20..l3 + total)?;
    let udp_len = usize::from(u16::from_be_bytes([*udp.get(4)?, *udp.get(5)?]));
    let is_dhcp = ip[9] == 17 && udp[2..4] == [0, 67] && udp_len == udp.len();
    let bootp = udp.get(8..)?;
    let options = bootp.get(240..)?;
    let is_request = bootp[..3] == [1, 1, 6] && bootp[236..240] == [99, 130, 83, 99];
    let is_empty = bootp[34..236].iter().all(|byte| *byte == 0);
    let (ip_src, ip_dst) = (&ip[12..16], &ip[16..20]);
    let (ciaddr, giaddr) = (&bootp[12..16], &bootp[24..28]);
    let (is_direct, is_broadcast) = (giaddr == [0; 4], ip_dst == [255; 4]);
    let is_own = ip_src == [0; 4] || ip_src == ADDRESS.octets();
    let is_for_us = (frame[..6] == OURS || frame[..6] == BROADCAST)
        && (ip_dst == SERVER.octets() || is_broadcast)
        && (!is_direct || is_own && (is_broadcast || ip_src == ciaddr));
    let is_question = (8..=512).contains(&options.len());
    let pseudo = [&ip[12..20], &[0, 17], &udp[4..6]].concat();
    let checksum = u16::from_be_bytes([udp[6], udp[7]]);
    let is_summed = checksum == 0
        || checksum == ones_complement(&pseudo)
        || ones_complement(&[&pseudo[..], udp].concat()) == 0xffff;
    let plain =
        is_ipv4 && is_whole && is_dhcp && is_request && is_empty && is_for_us && is_question && is_summed;
    let end = options.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    plain.then_some(Plain {
        vlans: (ids[0], ids[1]),
        ciaddr,
        giaddr,
        chaddr: &bootp[28..34],
        relay: (!is_direct).then_some(ip_src),
        options: &options[..end],
    })
}

/// Lengths, checksums, ports and addresses of a frame as etherparse sees them. Panics where they are not in order.
pub(crate) fn inspect(frame: &[u8]) -> Inspected {
    let packet = SlicedPacket::from_ethernet(frame).expect("a frame that can be parsed");
    let Some(LinkSlice::Ethernet2(eth)) = packet.link else { panic!("no Ethernet header") };
    let Some(NetSlice::Ipv4(ipv4)) = packet.net else { panic!("no IPv4 header") };
    let Some(TransportSlice::Udp(udp)) = packet.transport else { panic!("no UDP header") };
    let ip = ipv4.header().to_header();
    assert_eq!(ip.header_checksum, ip.calc_header_checksum(), "IP checksum");
    assert_eq!(
        frame.len(),
        frame_offset(frame, udp.slice()) + udp.slice().len(),
        "bytes behind the datagram"
    );
    assert_eq!(usize::from(ip.total_len), 20 + udp.slice().len(), "IP length");
    assert_eq!(usize::from(udp.length()), udp.slice().len(), "UDP length");
    assert_ne!(udp.checksum(), 0, "no UDP checksum");
    let sum = udp.to_header().calc_checksum_ipv4(&ip, udp.payload()).expect("a datagram of sane length");
    assert_eq!(udp.checksum(), sum, "UDP checksum");
    assert!(udp.payload().len() >= 300, "BOOTP of {} octets", udp.payload().len());
    let vlan = |ext: &LinkExtSlice<'_>| match ext {
        LinkExtSlice::Vlan(tag) => tag.vlan_identifier().value(),
        LinkExtSlice::Macsec(_) => panic!("MACsec"),
    };
    Inspected {
        eth_src: eth.source(),
        eth_dst: eth.destination(),
        vlans: packet.link_exts.iter().map(vlan).collect(),
        ip_src: ip.source.into(),
        ip_dst: ip.destination.into(),
        ports: (udp.source_port(), udp.destination_port()),
        bootp: udp.payload().to_vec(),
    }
}

fn frame_offset(frame: &[u8], inner: &[u8]) -> usize {
    inner.as_ptr() as usize - frame.as_ptr() as usize
}

/// A frame taken apart.
#[derive(Debug)]
pub(crate) struct Inspected {
    pub(crate) eth_src: [u8; 6],
    pub(crate) eth_dst: [u8; 6],
    pub(crate) vlans: Vec<u16>,
    pub(crate) ip_src: Ipv4Addr,
    pub(crate) ip_dst: Ipv4Addr,
    pub(crate) ports: (u16, u16),
    pub(crate) bootp: Vec<u8>,
}

impl Inspected {
    /// The four bytes of BOOTP from `at` as an address.
    pub(crate) fn address(&self, at: usize) -> Ipv4Addr {
        let bytes: [u8; 4] = self.bootp[at..at + 4].try_into().unwrap();
        bytes.into()
    }

    /// The options as (code, value), in order; panics unless END and padding finish them.
    pub(crate) fn options(&self) -> Vec<(u8, Vec<u8>)> {
        let mut rest = &self.bootp[240..];
        let mut options = Vec::new();
        loop {
            match *rest {
                [255, ref padding @ ..] => {
                    assert!(padding.iter().all(|byte| *byte == 0), "something behind END");
                    return options;
                }
                [0, ..] => rest = &rest[1..],
                [code, len, ..] => {
                    options.push((code, rest[2..2 + usize::from(len)].to_vec()));
                    rest = &rest[2 + usize::from(len)..];
                }
                _ => panic!("no END"),
            }
        }
    }
}
