//! Requests as clients and relays send them: frames built field by field.

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use dhcp_ebpf::lease::BootSecs;

use crate::message::Request;

pub(crate) const IFINDEX: u32 = 2;
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];

/// A request to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) mac: [u8; 6],
    /// The station that sends it, if it isn't `mac`.
    pub(crate) station: Option<[u8; 6]>,
    pub(crate) ifindex: u32,
    pub(crate) tags: Vec<u16>,
    pub(crate) eth_dst: [u8; 6],
    pub(crate) ip_src: Ipv4Addr,
    pub(crate) ip_dst: Ipv4Addr,
    pub(crate) xid: u32,
    pub(crate) ciaddr: Ipv4Addr,
    pub(crate) giaddr: Ipv4Addr,
    pub(crate) options: Vec<(u8, Vec<u8>)>,
}

impl Draft {
    /// A broadcast message of this type from a client that has no address.
    pub(crate) fn new(kind: u8, mac: u8) -> Self {
        Self {
            mac: [2, 0, 0, 0, 1, mac],
            station: None,
            ifindex: IFINDEX,
            tags: Vec::new(),
            eth_dst: [0xff; 6],
            ip_src: Ipv4Addr::UNSPECIFIED,
            ip_dst: Ipv4Addr::BROADCAST,
            xid: u32::from(mac),
            ciaddr: Ipv4Addr::UNSPECIFIED,
            giaddr: Ipv4Addr::UNSPECIFIED,
            options: vec![(53, vec![kind])],
        }
    }

    pub(crate) fn discover(mac: u8) -> Self {
        Self::new(1, mac)
    }

    /// SELECTING.
    pub(crate) fn select(mac: u8, server: Ipv4Addr, address: Ipv4Addr) -> Self {
        Self::new(3, mac).address(54, server).address(50, address)
    }

    pub(crate) fn reboot(mac: u8, address: Ipv4Addr) -> Self {
        Self::new(3, mac).address(50, address)
    }

    pub(crate) fn renew(mac: u8, address: Ipv4Addr) -> Self {
        Self::new(3, mac).unicast(address)
    }

    pub(crate) fn rebind(mac: u8, address: Ipv4Addr) -> Self {
        Self { ciaddr: address, ip_src: address, ..Self::new(3, mac) }
    }

    pub(crate) fn decline(mac: u8, address: Ipv4Addr) -> Self {
        Self::new(4, mac).address(54, SERVER).address(50, address)
    }

    pub(crate) fn release(mac: u8, address: Ipv4Addr) -> Self {
        Self::new(7, mac).unicast(address).address(54, SERVER)
    }

    pub(crate) fn inform(mac: u8, address: Ipv4Addr) -> Self {
        Self::new(8, mac).unicast(address)
    }

    /// BOOTP's only message, without any option.
    pub(crate) fn bootrequest(mac: u8) -> Self {
        Self { options: Vec::new(), ..Self::new(0, mac) }
    }

    /// Sent to the server alone by a client that has `address`.
    pub(crate) fn unicast(self, address: Ipv4Addr) -> Self {
        Self { ciaddr: address, ip_src: address, ip_dst: SERVER, eth_dst: SERVER_MAC, ..self }
    }

    pub(crate) fn via(self, relay: Ipv4Addr) -> Self {
        Self { giaddr: relay, ip_src: relay, ip_dst: SERVER, eth_dst: SERVER_MAC, ..self }
    }

    /// Sent by another station than chaddr says.
    pub(crate) fn by(self, station: u8) -> Self {
        Self { station: Some([2, 0, 0, 0, 1, station]), ..self }
    }

    pub(crate) fn tagged(self, tags: &[u16]) -> Self {
        Self { tags: tags.to_vec(), ..self }
    }

    /// Come in by this interface.
    pub(crate) fn on(self, ifindex: u32) -> Self {
        Self { ifindex, ..self }
    }

    pub(crate) fn option(mut self, code: u8, value: &[u8]) -> Self {
        self.options.push((code, value.to_vec()));
        self
    }

    pub(crate) fn address(self, code: u8, value: Ipv4Addr) -> Self {
        self.option(code, &value.octets())
    }

    pub(crate) fn id(self, id: &[u8]) -> Self {
        self.option(61, id)
    }

    /// The option area, through END.
    pub(crate) fn area(&self) -> Vec<u8> {
        let mut area = Vec::new();
        for (code, value) in &self.options {
            area.extend([*code, u8::try_from(value.len()).expect("short")]);
            area.extend(value);
        }
        area.push(255);
        area
    }

    pub(crate) fn bootp(&self) -> Vec<u8> {
        let mut out = vec![0; 240];
        (out[0], out[1], out[2]) = (1, 1, 6);
        out[3] = u8::from(!self.giaddr.is_unspecified());
        out[4..8].copy_from_slice(&self.xid.to_be_bytes());
        out[12..16].copy_from_slice(&self.ciaddr.octets());
        out[24..28].copy_from_slice(&self.giaddr.octets());
        out[28..34].copy_from_slice(&self.mac);
        out[236..240].copy_from_slice(&[99, 130, 83, 99]);
        out.extend(self.area());
        out.resize(out.len().max(300), 0);
        out
    }

    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut out = self.eth_dst.to_vec();
        out.extend(self.station.unwrap_or(self.mac));
        for tag in &self.tags {
            out.extend([0x81, 0x00]);
            out.extend(tag.to_be_bytes());
        }
        out.extend([0x08, 0x00]);
        out.extend(datagram(self.ip_src, self.ip_dst, &self.bootp()));
        out
    }

    pub(crate) fn request(&self, arrival: u32) -> Arc<Request> {
        let request = Request::read(Bytes::from(self.frame()), self.ifindex, BootSecs(arrival));
        Arc::new(request.expect("a good frame"))
    }
}

/// An IPv4 datagram with a UDP one inside, checksums right.
pub(crate) fn datagram(src: Ipv4Addr, dst: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let udp_length = u16::try_from(8 + payload.len()).expect("short");
    let mut ip = vec![0x45, 0];
    ip.extend((20 + udp_length).to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    ip.extend(src.octets());
    ip.extend(dst.octets());
    let checksum = !sum(&ip);
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    let mut udp = vec![0, 68, 0, 67];
    udp.extend(udp_length.to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    let mut pseudo = [src.octets(), dst.octets()].concat();
    pseudo.extend([0, 17]);
    pseudo.extend(udp_length.to_be_bytes());
    pseudo.extend(&udp);
    let checksum = !sum(&pseudo);
    udp[6..8].copy_from_slice(&checksum.to_be_bytes());
    ip.extend(udp);
    ip
}

fn sum(bytes: &[u8]) -> u16 {
    let mut sum = bytes.chunks(2).fold(0u32, |sum, pair| {
        sum + u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))
    });
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).expect("folded")
}
