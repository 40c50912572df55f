//! The items of `xdhcpd capture`: frames in and out, each with its outcome and the reason, and the filter on them.

// What is looked at here anybody may have sent.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

use std::net::Ipv4Addr;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::BootNanos;

/// Which way a frame went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// It came.
    In,
    /// It left.
    Out,
}

/// A frame that was captured.
#[derive(Clone, Debug)]
pub struct Captured {
    /// When it came, or left.
    pub at: BootNanos,
    /// The interface's index.
    pub ifindex: u32,
    /// Which way it went.
    pub direction: Direction,
    /// Its outcome, and the reason.
    pub comment: String,
    /// The frame, as far as it was copied.
    pub frame: Bytes,
    /// How many octets it had.
    pub len: usize,
}

/// An input of a capture.
#[derive(Clone, Debug)]
pub enum CaptureEvent {
    /// A frame.
    Frame(Captured),
    /// From now on all that is asked for is captured.
    Begun,
    /// The kernel's answers are not captured, and why.
    WithoutKernel(String),
    /// So many frames could not be copied in the kernel.
    Missed(u64),
}

/// An item for the operator's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Item {
    /// A frame.
    Packet(Packet),
    /// All that is asked for is captured now; without the kernel's answers if there is a reason.
    Begun {
        /// Why the kernel's answers are left out.
        without_kernel: Option<String>,
    },
    /// So many frames are left out: they came faster than they could be copied or were read.
    Missed(u64),
}

/// A frame on its way to the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Packet {
    /// When it came or left.
    pub at: Timestamp,
    /// The interface, by its name or, once it is gone, its index.
    pub interface: String,
    /// Which way it went.
    pub direction: Direction,
    /// Its outcome, and the reason.
    pub comment: String,
    /// How many octets it had.
    pub len: usize,
    /// The octets that were copied, in hexadecimal.
    pub frame: String,
}

/// The wanted frames: those that fit all given conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Filter {
    /// The client's hardware address (chaddr).
    pub hw_address: Option<[u8; 6]>,
    /// The client's address, in ciaddr, yiaddr or as the requested one (option 50).
    pub address: Option<Ipv4Addr>,
    /// The first address and the length of a prefix that one of ciaddr, yiaddr, giaddr and the requested one is in.
    pub subnet: Option<(Ipv4Addr, u8)>,
    /// The relay (giaddr).
    pub relay: Option<Ipv4Addr>,
    /// The interface's name.
    pub interface: Option<String>,
}

impl Filter {
    /// Whether a frame of this interface is asked for. One that no message can be found in is, unless the message matters.
    #[must_use]
    pub fn takes(&self, interface: &str, frame: &[u8]) -> bool {
        if self.interface.as_deref().is_some_and(|wanted| wanted != interface) {
            return false;
        }
        if (self.hw_address, self.address, self.subnet, self.relay) == (None, None, None, None) {
            return true;
        }
        let Some(message) = message(frame) else { return false };
        let field = |at: usize| message.get(at..)?.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets));
        let is = |wanted: Ipv4Addr, found: Option<Ipv4Addr>| found == Some(wanted);
        let (ciaddr, yiaddr, giaddr, requested) = (field(12), field(16), field(24), requested(message));
        let within = |(network, len): (Ipv4Addr, u8)| {
            let mask = u32::MAX.checked_shl(32 - u32::from(len.min(32))).unwrap_or(0);
            let mut found = [ciaddr, yiaddr, giaddr, requested].into_iter().flatten();
            found.any(|address| u32::from(address) & mask == u32::from(network) & mask)
        };
        self.hw_address.is_none_or(|mac| message.get(28..34) == Some(mac.as_slice()))
            && self.address.is_none_or(|a| is(a, ciaddr) || is(a, yiaddr) || is(a, requested))
            && self.relay.is_none_or(|relay| is(relay, giaddr))
            && self.subnet.is_none_or(within)
    }
}

/// The BOOTP message in a frame with any number of tags.
fn message(frame: &[u8]) -> Option<&[u8]> {
    let mut rest = frame.get(12..)?;
    while let [0x81, 0, ..] | [0x88, 0xa8, ..] = rest {
        rest = rest.get(4..)?;
    }
    let [8, 0, ip @ ..] = rest else { return None };
    ip.get(usize::from(ip.first()? & 15) * 4 + 8..)
}

/// The address in option 50.
fn requested(message: &[u8]) -> Option<Ipv4Addr> {
    let mut options = message.get(240..)?;
    loop {
        match *options {
            [0, ref rest @ ..] => options = rest,
            [50, 4, a, b, c, d, ..] => return Some(Ipv4Addr::new(a, b, c, d)),
            [255, ..] | [] | [_] => return None,
            [_, len, ref rest @ ..] => options = rest.get(usize::from(len)..)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request of 02:00:00:00:00:01 for 10.0.0.7 through 10.1.0.1, behind these tags.
    fn request(tags: &[u8]) -> Vec<u8> {
        let mut message = [0; 240];
        message[24..28].copy_from_slice(&[10, 1, 0, 1]);
        message[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        let mut ip = [0; 28];
        ip[0] = 0x45;
        [&[0; 12], tags, &[8, 0], &ip, &message, &[53, 1, 3, 50, 4, 10, 0, 0, 7, 255]].concat()
    }

    #[test]
    fn a_frame_is_taken_that_fits_all_that_is_said() {
        let filters = [
            Filter::default(),
            Filter { hw_address: Some([2, 0, 0, 0, 0, 1]), ..Filter::default() },
            Filter { address: Some([10, 0, 0, 7].into()), ..Filter::default() },
            Filter { relay: Some([10, 1, 0, 1].into()), ..Filter::default() },
            Filter { subnet: Some(([10, 0, 0, 0].into(), 24)), ..Filter::default() },
            Filter { interface: Some("eth0".to_owned()), ..Filter::default() },
        ];
        let others = [
            Filter { hw_address: Some([2, 0, 0, 0, 0, 2]), ..Filter::default() },
            Filter { address: Some([10, 0, 0, 8].into()), ..Filter::default() },
            Filter { relay: Some([10, 1, 0, 2].into()), ..Filter::default() },
            Filter { subnet: Some(([10, 0, 1, 0].into(), 24)), ..Filter::default() },
            Filter { interface: Some("eth1".to_owned()), ..Filter::default() },
        ];
        for frame in [request(&[]), request(&[0x81, 0, 0, 5]), request(&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6])] {
            assert!(filters.iter().all(|filter| filter.takes("eth0", &frame)));
            assert!(!others.iter().any(|filter| filter.takes("eth0", &frame)));
        }
    }

    #[test]
    fn frames_cut_anywhere_are_looked_at_without_harm() {
        let whole = request(&[0x81, 0, 0, 5]);
        let filter = Filter { address: Some([10, 0, 0, 7].into()), ..Filter::default() };
        for len in 0..whole.len() {
            let _ = filter.takes("eth0", &whole[..len]);
        }
        assert!(Filter::default().takes("eth0", &[]));
    }
}
