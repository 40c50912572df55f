//! A server's frame, read with every length, checksum and rule verified that a client could verify.

use anyhow::{Result, bail, ensure};
use dhcproto::{Decodable as _, v4};
use std::net::Ipv4Addr;

use crate::wire::{
    CLIENT_PORT, COOKIE, END, Envelope, Kind, Message, SERVER_PORT, SHORTEST_BOOTP, UDP, address, array,
    checksum, link_layer, udp_checksum,
};

/// A frame from a DHCP server that has passed every check that any client may make.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The octets as they arrived.
    pub frame: Vec<u8>,
    /// Where it came from and where it went.
    pub envelope: Envelope,
    /// The fixed fields.
    pub message: Message,
    /// Every option in the order it came in.
    pub options: Vec<(u8, Vec<u8>)>,
    /// What kind of answer it is.
    pub kind: Kind,
}

impl Answer {
    /// Reads a frame. `None` means that it is not from a DHCP server's port.
    ///
    /// # Errors
    /// When it is from there and anything about it is wrong.
    pub fn decode(frame: &[u8]) -> Result<Option<Self>> {
        let answer = Self::decode_neighbours(frame)?;
        if let Some(Self { envelope, .. }) = &answer {
            let headers = 14 + 4 * envelope.tags.len() + 20 + 8;
            let len = frame.len() - headers;
            ensure!(len >= SHORTEST_BOOTP, "only {len} octets of BOOTP");
        }
        Ok(answer)
    }

    /// Reads a frame of another server than ours: not all fill their messages up to 300 octets (RFC 1542 §2.1).
    ///
    /// # Errors
    /// As [`Answer::decode`].
    pub fn decode_neighbours(frame: &[u8]) -> Result<Option<Self>> {
        let Some((tags, ip)) = link_layer(frame) else { return Ok(None) };
        if ip.len() < 28 || ip[0] >> 4 != 4 || ip[9] != UDP {
            return Ok(None);
        }
        let header = usize::from(ip[0] & 0xf) * 4;
        if ip.len() < header + 8 || u16::from_be_bytes(array(ip, header)) != SERVER_PORT {
            return Ok(None);
        }
        let udp = datagram(ip)?;
        let message = Message::decode(&udp[8..])?;
        let options = read_options(&message.options)?;
        let kind = bootp_checks(&udp[8..], &message, &options)?;
        let envelope = Envelope {
            eth_dst: array(frame, 0),
            eth_src: array(frame, 6),
            tags,
            ip_src: address(ip, 12),
            ip_dst: address(ip, 16),
            src_port: SERVER_PORT,
            dst_port: u16::from_be_bytes(array(udp, 2)),
        };
        Ok(Some(Self { frame: frame.to_vec(), envelope, message, options, kind }))
    }

    /// The value of an option, if it is there.
    #[must_use]
    pub fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|(found, _)| *found == code).map(|(_, value)| value.as_slice())
    }

    /// An option of four octets read as an address.
    ///
    /// # Errors
    /// When it is missing or of another length.
    pub fn address_option(&self, code: u8) -> Result<Ipv4Addr> {
        self.number_option(code).map(Ipv4Addr::from_bits)
    }

    /// An option of four octets read as a number.
    ///
    /// # Errors
    /// When it is missing or of another length.
    pub fn number_option(&self, code: u8) -> Result<u32> {
        match self.option(code).map(TryInto::try_into) {
            Some(Ok(octets)) => Ok(u32::from_be_bytes(octets)),
            Some(Err(_)) => bail!("option {code} has not four octets"),
            None => bail!("there is no option {code} in {:?}", self.kind),
        }
    }
}

/// The UDP datagram of an IPv4 packet, everything about both verified.
fn datagram(ip: &[u8]) -> Result<&[u8]> {
    ensure!(ip[0] == 0x45, "IP header begins with {:#x}, not 0x45", ip[0]);
    let total = usize::from(u16::from_be_bytes(array(ip, 2)));
    ensure!(total == ip.len(), "IP total length is {total}, but {} octets came", ip.len());
    ensure!(checksum(&ip[..20]) == 0, "IP checksum is wrong");
    let fragment = u16::from_be_bytes(array(ip, 6));
    ensure!(fragment & !0x4000 == 0, "fragment field is {fragment:#x}");
    ensure!(ip[8] > 0, "time to live is 0");
    let udp = &ip[20..];
    let len = usize::from(u16::from_be_bytes(array(udp, 4)));
    ensure!(len == udp.len(), "UDP length is {len}, but {} octets came", udp.len());
    ensure!(udp[6..8] != [0, 0], "there is no UDP checksum");
    ensure!(udp_checksum(address(ip, 12), address(ip, 16), udp) == 0, "UDP checksum is wrong");
    let port = u16::from_be_bytes(array(udp, 2));
    ensure!(matches!(port, SERVER_PORT | CLIENT_PORT), "answer to UDP port {port}");
    Ok(udp)
}

/// The options of an area in order; after END there may only be zeros.
fn read_options(area: &[u8]) -> Result<Vec<(u8, Vec<u8>)>> {
    let mut list = Vec::new();
    let mut rest = area;
    loop {
        match rest {
            [END, padding @ ..] => {
                ensure!(padding.iter().all(|octet| *octet == 0), "something follows the END option");
                return Ok(list);
            }
            [0, after @ ..] => rest = after,
            [code, len, after @ ..] if after.len() >= usize::from(*len) => {
                let (value, after) = after.split_at(usize::from(*len));
                list.push((*code, value.to_vec()));
                rest = after;
            }
            [code, ..] => bail!("option {code} is cut off"),
            [] => bail!("there is no END option"),
        }
    }
}

fn bootp_checks(octets: &[u8], message: &Message, options: &[(u8, Vec<u8>)]) -> Result<Kind> {
    ensure!(message.op == 2, "op is {}", message.op);
    ensure!(message.cookie == COOKIE, "wrong cookie");
    let kinds: Vec<&[u8]> =
        options.iter().filter(|(code, _)| *code == 53).map(|(_, value)| value.as_slice()).collect();
    let kind = match kinds[..] {
        [] => Kind::Bootp,
        [[2]] => Kind::Offer,
        [[5]] => Kind::Ack,
        [[6]] => Kind::Nak,
        [[11]] => Kind::LeaseUnassigned,
        [[12]] => Kind::LeaseUnknown,
        [[13]] => Kind::LeaseActive,
        _ => bail!("message type {kinds:?}"),
    };
    let named = options.iter().any(|(code, value)| *code == 54 && value.len() == 4);
    ensure!(named != (kind == Kind::Bootp), "a server identifier in DHCP, and in nothing else");
    // A decoder that others wrote has to read the same out of it.
    let second = v4::Message::from_bytes(octets)?;
    let expected = Some(kind).filter(|kind| *kind != Kind::Bootp);
    let agreed = second.opts().msg_type() == expected.map(|kind| v4::MessageType::from(kind as u8))
        && second.xid() == message.xid
        && second.yiaddr() == message.yiaddr;
    ensure!(agreed, "dhcproto reads another message: {second:?}");
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{CLIENT_PORT, Tag, options};

    #[test]
    fn a_broken_answer_is_refused_wherever_it_is_broken() {
        let mut message =
            Message::from_client([2, 0, 0, 0, 0, 1], 7, options(&[(53, &[5]), (54, &[192, 0, 2, 1])]));
        message.op = 2;
        let envelope = Envelope {
            eth_src: [2, 0, 0, 0, 0, 2],
            eth_dst: [2, 0, 0, 0, 0, 1],
            tags: vec![Tag::provider(200), Tag::customer(100)],
            ip_src: Ipv4Addr::new(192, 0, 2, 1),
            ip_dst: Ipv4Addr::new(192, 0, 2, 9),
            src_port: SERVER_PORT,
            dst_port: CLIENT_PORT,
        };
        let frame = envelope.frame(&message.encode()).unwrap();
        let answer = Answer::decode(&frame).unwrap().unwrap();
        assert_eq!(answer.kind, Kind::Ack);
        assert_eq!(answer.envelope, envelope);

        // From the IP source address on, every octet is under a checksum.
        let ip = 14 + 8;
        for at in (ip + 12..frame.len()).filter(|at| !(ip + 20..ip + 22).contains(at)) {
            let mut broken = frame.clone();
            broken[at] ^= 0x10;
            assert!(Answer::decode(&broken).is_err(), "octet {at} changed unnoticed");
        }
        for len in ip + 28..frame.len() {
            assert!(Answer::decode(&frame[..len]).is_err(), "cut to {len} unnoticed");
        }
    }
}
