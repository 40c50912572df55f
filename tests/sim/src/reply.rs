//! What is read of an answer: as little as a client needs.

use std::net::Ipv4Addr;

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its type.
    pub kind: Kind,
    /// The transaction.
    pub xid: u32,
    /// The address.
    pub yiaddr: Ipv4Addr,
    /// Whose it is.
    pub mac: [u8; 6],
    /// The server.
    pub server: Ipv4Addr,
    /// The lease time in seconds.
    pub time: u32,
}

/// The types there are for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// DHCPOFFER
    Offer,
    /// DHCPACK of a lease
    Ack,
    /// DHCPNAK
    Nak,
    /// Anything else.
    Other,
}

/// Reads a frame. `None`: it is no answer.
#[must_use]
pub fn read(frame: &[u8]) -> Option<Answer> {
    let mut at = 12;
    while matches!(frame.get(at..at + 2)?, [0x81, 0x00] | [0x88, 0xa8]) {
        at += 4;
    }
    if frame.get(at..at + 2)? != [8, 0] {
        return None;
    }
    let bootp = frame.get(at + 2 + 28..)?;
    if *bootp.first()? != 2 {
        return None;
    }
    let address =
        |at: usize| -> Option<Ipv4Addr> { Some(Ipv4Addr::from(*bootp.get(at..)?.first_chunk::<4>()?)) };
    let mut answer = Answer {
        kind: Kind::Other,
        xid: u32::from_be_bytes(*bootp.get(4..)?.first_chunk()?),
        yiaddr: address(16)?,
        mac: *bootp.get(28..)?.first_chunk()?,
        server: Ipv4Addr::UNSPECIFIED,
        time: 0,
    };
    let mut options = bootp.get(240..)?;
    while let [code, rest @ ..] = options {
        options = rest;
        if *code == 0 {
            continue;
        }
        if *code == 255 {
            break;
        }
        let (len, rest) = options.split_first()?;
        let value = rest.get(..usize::from(*len))?;
        options = &rest[usize::from(*len)..];
        match (code, value) {
            (53, [2]) => answer.kind = Kind::Offer,
            (53, [5]) => answer.kind = Kind::Ack,
            (53, [6]) => answer.kind = Kind::Nak,
            (51, [a, b, c, d]) => answer.time = u32::from_be_bytes([*a, *b, *c, *d]),
            (54, [a, b, c, d]) => answer.server = Ipv4Addr::new(*a, *b, *c, *d),
            _ => {}
        }
    }
    if answer.kind == Kind::Ack && answer.time == 0 {
        answer.kind = Kind::Other;
    }
    Some(answer)
}
