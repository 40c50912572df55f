//! A world on the host: the maps in ordinary memory, a daemon that fills them, and the frames that come and go.
//!
//! Nothing here uses the packet logic but to publish: what a request and its answer look like is said by plain code.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]
#![allow(clippy::cast_possible_truncation, reason = "frames are short")]

pub(crate) mod expected;
pub(crate) mod maps;
pub(crate) mod sent;

use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::BootSecs;
use dhcp_ebpf::slot::{Echo, Run};
use sent::Sent;
use std::net::Ipv4Addr;

pub(crate) const IFINDEX: u32 = 7;
pub(crate) const OURS: [u8; 6] = [0x02, 0xaa, 0, 0, 0, 0x01];
pub(crate) const CLIENT: [u8; 6] = [0x02, 0xc1, 0x1e, 0x27, 0xff, 0x80];
pub(crate) const ROUTER: [u8; 6] = [0x02, 0x40, 0x73, 0, 0, 0xfe];
pub(crate) const BROADCAST: [u8; 6] = [0xff; 6];
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const GIADDR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub(crate) const RELAY_SRC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

pub(crate) const SECOND: u64 = 1_000_000_000;
/// When requests arrive, unless a test says otherwise: half a second past a full one.
pub(crate) const NOW: u64 = 5_000 * SECOND + SECOND / 2;
pub(crate) const LEASE_TIME: u32 = 3600;
/// What an ACK at [`NOW`] promises: the second it is in counts whole, and the clock may be a second behind.
pub(crate) const PROMISE: BootSecs = BootSecs(5_002 + LEASE_TIME);

/// A lease as the daemon publishes it.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) link: Link,
    pub(crate) chaddr: [u8; 6],
    pub(crate) address: Ipv4Addr,
    pub(crate) server: Ipv4Addr,
    pub(crate) expiry: BootSecs,
    pub(crate) horizon: BootSecs,
}

impl Lease {
    /// The client's, on the untagged link, good for an hour more and allowed two.
    pub(crate) fn new() -> Self {
        Self {
            link: Link { ifindex: IFINDEX, outer: 0, inner: 0 },
            chaddr: CLIENT,
            address: ADDRESS,
            server: SERVER,
            expiry: BootSecs(5_000 + 1_800),
            horizon: BootSecs(5_000 + 2 * LEASE_TIME),
        }
    }
}

/// What the daemon answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) lease_time: u32,
    pub(crate) siaddr: Ipv4Addr,
    /// sname and file, when they are used.
    pub(crate) names: Option<Box<([u8; 64], [u8; 128])>>,
    /// The option area through END and its padding.
    pub(crate) options: Vec<u8>,
}

impl Answer {
    /// An ACK whose option area has `len` bytes: at least 40, or the options don't fit.
    pub(crate) fn of_len(len: usize) -> Self {
        let mut options = vec![53, 1, 5, 54, 4, 192, 0, 2, 1, 51, 4, 0, 0, 14, 16];
        let tail = [61, 7, 1, 2, 0xc1, 0x1e, 0x27, 0xff, 0x80, 82, 6, 1, 4, b'e', b't', b'h', b'9', 255];
        while options.len() + tail.len() + 4 <= len {
            let value = (len - options.len() - tail.len() - 2).min(255);
            options.extend([224, value as u8]);
            options.extend((0..value).map(|i| (i * 7 + len) as u8 | 1));
        }
        options.extend(tail);
        assert!(options.len() <= len, "no room for the options in {len}");
        options.resize(len, 0);
        Self { lease_time: LEASE_TIME, siaddr: Ipv4Addr::UNSPECIFIED, names: None, options }
    }

    /// The answer that says `head` and sends back what the client and its relay said of themselves, END and padding to whole
    /// words behind it.
    pub(crate) fn echoing(head: &[u8], sent: &Sent) -> Self {
        let echoes = [61, 82].into_iter().filter_map(|code| option(&sent.options, code)).flatten();
        let mut options: Vec<u8> = head.iter().chain(echoes).copied().chain([255]).collect();
        options.resize(options.len().next_multiple_of(4).max(60), 0);
        Self { lease_time: LEASE_TIME, siaddr: Ipv4Addr::UNSPECIFIED, names: None, options }
    }

    /// What of this answer to `sent` the kernel is to copy: where it goes among the options, and where in the question it is.
    fn echoes(&self, sent: &Sent) -> (usize, Echo) {
        let stands =
            |option: &[u8], area: &[u8]| area.windows(option.len()).position(|found| found == option);
        let both = [61, 82]
            .map(|code| option(&sent.options, code).filter(|option| (8..=64).contains(&option.len())));
        let run = |option: &[u8]| Run { at: stands(option, &sent.options).unwrap(), len: option.len() };
        let pair = both[0].zip(both[1]).map(|(id, agent)| ([id, agent].concat(), [run(id), run(agent)]));
        let alone = both.into_iter().flatten().map(|option| (option.to_vec(), [run(option), Run::default()]));
        let found = pair
            .into_iter()
            .chain(alone)
            .find_map(|(octets, runs)| Some((stands(&octets, &self.options)?, runs)));
        found.map_or((0, Echo::NONE), |(at, runs)| (at, Echo::of(runs).unwrap()))
    }

    /// The same with a boot server, its name and a boot file.
    pub(crate) fn with_names(self) -> Self {
        let sname = std::array::from_fn(|i| if i < 60 { b'a' + (i % 26) as u8 } else { 0 });
        let file = std::array::from_fn(|i| if i < 100 { b'A' + (i % 26) as u8 } else { 0 });
        Self { siaddr: Ipv4Addr::new(192, 0, 2, 69), names: Some(Box::new((sname, file))), ..self }
    }

    /// Where in the BOOTP message the answer begins, and its bytes from there.
    pub(crate) fn body(&self) -> (usize, Vec<u8>) {
        match &self.names {
            None => (240, self.options.clone()),
            Some(names) => (44, [&names.0[..], &names.1[..], &[99, 130, 83, 99], &self.options[..]].concat()),
        }
    }
}

/// The option of this code with its code and length, if an area has it.
fn option(mut area: &[u8], wanted: u8) -> Option<&[u8]> {
    while let [code, length, ..] = *area {
        let (option, rest) = match code {
            0 => area.split_at(1),
            _ => area.split_at_checked(2 + usize::from(length))?,
        };
        if code == wanted {
            return Some(option);
        }
        area = rest;
    }
    None
}
