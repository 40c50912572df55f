//! What may be other than a real client's about a message: order, lengths, tags, relays, padding, checksums, and any bit.

use std::net::Ipv4Addr;

use super::draft::{CIADDR, Draft, GIADDR, UdpSum, ones_complement};
use crate::chance::Chance;

/// One thing that is otherwise.
#[derive(Clone, Debug)]
pub enum Change {
    /// Two options change places.
    Swap(usize, usize),
    /// An option is left out.
    Leave(usize),
    /// An option comes twice, the second time in another place.
    Repeat(usize, usize),
    /// An option says that it is of another length than it is.
    Length(usize, u8),
    /// An option's value is another: longer, shorter, or with other octets.
    Value(usize, Vec<u8>),
    /// One octet of an option's value is another.
    Octet(usize, usize, u8),
    /// An option more.
    Insert(usize, u8, Vec<u8>),
    /// Zeros between options.
    Pad(usize, usize),
    /// No END, or something behind it.
    End(Option<Vec<u8>>),
    /// Another length of the whole message.
    Least(usize),
    /// Other tags.
    Tags(Vec<(u16, u16)>),
    /// Control bits of a tag beside its id.
    Priority(u16),
    /// Another number of the exchange, seconds, flags, hops.
    Header(u32, u16, u16, u8),
    /// The broadcast flag.
    Broadcast,
    /// One of `ciaddr`, `yiaddr`, `siaddr`, `giaddr`.
    Address(usize, Ipv4Addr),
    /// The source of the datagram.
    Source(Ipv4Addr),
    /// Its destination.
    Destination(Ipv4Addr),
    /// Destination and source stations.
    Stations(Option<[u8; 6]>, Option<[u8; 6]>),
    /// An octet of chaddr or its padding.
    Chaddr(usize, u8),
    /// An octet of `op`, `htype`, `hlen`, `hops`.
    First(usize, u8),
    /// An octet of sname or file.
    Names(usize, u8),
    /// Another cookie.
    Cookie(usize, u8),
    /// Ports.
    Ports(u16, u16),
    /// The UDP checksum.
    Sum(UdpSum),
    /// What no answer depends on in the IP header: service, identification, don't-fragment, time to live.
    Ip(u8, u16, bool, u8),
    /// Version and length, or the fragment field, or the protocol.
    IpShape(u8, u16, u8),
    /// Octets behind the datagram.
    Trailer(Vec<u8>),
    /// Lengths that are not true.
    Lies(i16, i16),
    /// Octets of the written frame; with good checksums afterwards, or without.
    Written(Vec<(usize, u8)>, bool),
    /// The frame ends early.
    Cut(usize),
    /// The frame goes on.
    Longer(usize, u8),
}

/// The longest frame that the kernel has room for in one piece, with something to spare.
const LONGEST: usize = 3400;

/// Addresses that mean something here, to put where they don't belong.
pub type Known<'a> = &'a [Ipv4Addr];

impl Change {
    /// A change of a message.
    #[must_use]
    pub fn draw(chance: &mut Chance<'_>, draft: &Draft, known: Known<'_>) -> Self {
        let options = options(&draft.area).len();
        let address = |chance: &mut Chance<'_>| match chance.below(8) {
            0 => Ipv4Addr::UNSPECIFIED,
            1 => Ipv4Addr::BROADCAST,
            2 => Ipv4Addr::from(chance.any() as u32),
            3 => Ipv4Addr::new(127, 0, 0, 1),
            _ => *chance.pick(known),
        };
        let value = |chance: &mut Chance<'_>| {
            let long = chance.one_in(6);
            let octets = chance.below(if long { 256 } else { 17 });
            chance.octets(octets)
        };
        match chance.below(39) {
            0 | 1 => Self::Swap(chance.below(options), chance.below(options)),
            2 | 3 => Self::Leave(chance.below(options)),
            4 => Self::Repeat(chance.below(options), chance.below(options)),
            5 => Self::Length(chance.below(options), chance.octet()),
            6 => Self::Value(chance.below(options), value(chance)),
            7 => Self::Octet(chance.below(options), chance.below(16), chance.octet()),
            8 | 9 => {
                let at = chance.below(options + 1);
                let likely = [12, 43, 50, 51, 52, 53, 54, 55, 57, 60, 61, 77, 80, 82, 90, 116, 118, 0, 255];
                let code = if chance.one_in(4) { chance.octet() } else { *chance.pick(&likely) };
                Self::Insert(at, code, value(chance))
            }
            10 => Self::Pad(chance.below(options + 1), 1 + chance.below(9)),
            11 => Self::End(if chance.one_in(3) { None } else { Some(value(chance)) }),
            12 | 13 => {
                let least = [0, 236, 240, 241, 248, 300, 301, 304, 308, 312, 400, 548, 576, 752, 753, 760];
                Self::Least(if chance.one_in(3) { chance.below(1500) } else { *chance.pick(&least) })
            }
            14 => Self::Tags(tags(chance)),
            15 => Self::Priority(chance.word()),
            16 | 17 => Self::Header(chance.any() as u32, chance.word(), chance.word(), chance.octet()),
            18 => Self::Broadcast,
            19 | 20 => Self::Address(*chance.pick(&[CIADDR, CIADDR, 1, 2, GIADDR]), address(chance)),
            21 => Self::Source(address(chance)),
            22 => Self::Destination(address(chance)),
            23 => {
                let station = |chance: &mut Chance<'_>| {
                    let all = [[0xff; 6], super::location::OURS, super::location::ROUTER, [0; 6]];
                    if chance.one_in(3) { None } else { Some(*chance.pick(&all)) }
                };
                Self::Stations(station(chance), station(chance))
            }
            24 => Self::Chaddr(chance.below(16), chance.octet()),
            25 => Self::First(chance.below(4), chance.octet()),
            26 => Self::Names(chance.below(192), chance.octet()),
            27 => Self::Cookie(chance.below(4), chance.octet()),
            28 => Self::Ports(chance.word(), if chance.one_in(2) { 67 } else { chance.word() }),
            29 | 30 => Self::Sum(match chance.below(4) {
                0 => UdpSum::Absent,
                1 => UdpSum::Partial,
                _ => UdpSum::Off(1 << chance.below(16)),
            }),
            31 => Self::Ip(chance.octet(), chance.word(), chance.one_in(2), chance.octet()),
            32 => {
                let fragment = *chance.pick(&[0, 0x4000, 0x8000, 0x2000, 1, 0x1fff]);
                let first = *chance.pick(&[0x45, 0x46, 0x44, 0x65, 0x4f]);
                Self::IpShape(first, fragment, *chance.pick(&[17, 17, 6, 1]))
            }
            33 => {
                let octets = chance.below(64);
                Self::Trailer(chance.octets(octets))
            }
            34 => {
                let lie = |chance: &mut Chance<'_>| *chance.pick(&[0, 1, -1, 2, -2, 8, -8, 300, -300, 1500]);
                let both = lie(chance);
                if chance.one_in(2) { Self::Lies(both, both) } else { Self::Lies(both, lie(chance)) }
            }
            35 | 36 => {
                let octets = 1 + chance.below(3);
                let octet = |chance: &mut Chance<'_>| (chance.below(700), chance.octet());
                let octets = (0..octets).map(|_| octet(chance)).collect();
                Self::Written(octets, chance.one_in(2))
            }
            37 => Self::Cut(chance.below(700)),
            _ => {
                let most = if chance.one_in(8) { 3000 } else { 64 };
                Self::Longer(chance.below(most), chance.octet())
            }
        }
    }

    /// Makes a draft otherwise, if that is where the change is.
    fn apply(&self, draft: &mut Draft) {
        match self {
            Self::Swap(..)
            | Self::Leave(_)
            | Self::Repeat(..)
            | Self::Length(..)
            | Self::Value(..)
            | Self::Octet(..)
            | Self::Insert(..)
            | Self::Pad(..)
            | Self::End(_) => self.rewrite(&mut draft.area),
            Self::Least(octets) => draft.least = *octets,
            Self::Tags(tags) => draft.tags.clone_from(tags),
            Self::Priority(bits) => draft.tags.iter_mut().for_each(|tag| tag.1 ^= bits & 0xf000),
            Self::Header(xid, secs, flags, hops) => {
                (draft.xid, draft.secs, draft.flags, draft.first[3]) = (*xid, *secs, *flags, *hops);
            }
            Self::Broadcast => draft.flags ^= 0x8000,
            Self::Address(which, address) => draft.addresses[*which] = *address,
            Self::Source(address) => draft.hosts.0 = *address,
            Self::Destination(address) => draft.hosts.1 = *address,
            Self::Stations(to, from) => {
                draft.stations.0 = to.unwrap_or(draft.stations.0);
                draft.stations.1 = from.unwrap_or(draft.stations.1);
            }
            Self::Chaddr(at, octet) => draft.chaddr[*at] = *octet,
            Self::First(at, octet) => draft.first[*at] = *octet,
            Self::Names(at, octet) => draft.names[*at] = *octet,
            Self::Cookie(at, octet) => draft.cookie[*at] = *octet,
            Self::Ports(source, destination) => draft.ports = (*source, *destination),
            Self::Sum(sum) => draft.sum = *sum,
            Self::Ip(service, id, whole, ttl) => {
                (draft.ip_first[1], draft.ip_middle[0], draft.ttl) = (*service, *id, *ttl);
                draft.ip_middle[1] = if *whole { 0x4000 } else { 0 };
            }
            Self::IpShape(first, fragment, protocol) => {
                (draft.ip_first[0], draft.ip_middle[1], draft.protocol) = (*first, *fragment, *protocol);
            }
            Self::Trailer(octets) => draft.trailer.clone_from(octets),
            Self::Lies(ip, udp) => draft.lies = (*ip, *udp),
            Self::Written(..) | Self::Cut(_) | Self::Longer(..) => {}
        }
    }

    /// Makes an option area otherwise.
    fn rewrite(&self, area: &mut Vec<u8>) {
        let mut all = options(area);
        let count = all.len();
        let tail = area.split_off(all.iter().map(Vec::len).sum());
        match self {
            Self::Swap(one, other) if (*one).max(*other) < count => all.swap(*one, *other),
            Self::Leave(at) if *at < count => drop(all.remove(*at)),
            Self::Repeat(from, to) if (*from).max(*to) < count => all.insert(*to, all[*from].clone()),
            Self::Length(at, length) if *at < count && all[*at].len() > 1 => all[*at][1] = *length,
            Self::Value(at, value) if *at < count => {
                let code = all[*at][0];
                all[*at] = option(code, value);
            }
            Self::Octet(at, which, octet) if *at < count && all[*at].len() > 2 => {
                let values = all[*at].len() - 2;
                all[*at][2 + which % values] = *octet;
            }
            Self::Insert(at, code, value) => all.insert(at % (count + 1), option(*code, value)),
            Self::Pad(at, zeros) => all.insert(at % (count + 1), vec![0; *zeros]),
            _ => {}
        }
        *area = all.concat();
        match self {
            Self::End(None) => {}
            Self::End(Some(behind)) => {
                area.extend(&tail);
                area.extend(behind);
            }
            _ => area.extend(&tail),
        }
    }

    /// Makes a written frame otherwise, if that is where the change is.
    fn apply_written(&self, frame: &mut Vec<u8>) {
        match self {
            Self::Written(octets, mend) => {
                for (at, octet) in octets {
                    if let Some(there) = frame.get_mut(*at) {
                        *there = *octet;
                    }
                }
                if *mend {
                    mend_sums(frame);
                }
            }
            Self::Cut(octets) => frame.truncate((*octets).max(14)),
            Self::Longer(octets, octet) => frame.resize((frame.len() + octets).min(LONGEST), *octet),
            _ => {}
        }
    }
}

/// The frame of a draft with these changes.
#[must_use]
pub fn frame(draft: &Draft, changes: &[Change]) -> Vec<u8> {
    let mut draft = draft.clone();
    changes.iter().for_each(|change| change.apply(&mut draft));
    let mut frame = draft.write();
    changes.iter().for_each(|change| change.apply_written(&mut frame));
    frame
}

fn tags(chance: &mut Chance<'_>) -> Vec<(u16, u16)> {
    let count = chance.below(4);
    let protocols = [0x8100, 0x8100, 0x88a8, 0x9100, 0x0800];
    let ids = [0, 100, 200, 0xfff];
    let tag = |chance: &mut Chance<'_>| {
        (*chance.pick(&protocols), *chance.pick(&ids) | u16::from(chance.octet()) << 12)
    };
    (0..count).map(|_| tag(chance)).collect()
}

/// The options of an area one by one, through the last that is whole; PAD is one, END none.
fn options(area: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut left = area;
    loop {
        let octets = match left {
            [0, ..] => 1,
            [255, ..] | [] | [_] => return all,
            [_, length, ..] => 2 + usize::from(*length),
        };
        let Some((option, rest)) = left.split_at_checked(octets) else { return all };
        all.push(option.to_vec());
        left = rest;
    }
}

fn option(code: u8, value: &[u8]) -> Vec<u8> {
    let value = &value[..value.len().min(255)];
    [&[code, value.len() as u8], value].concat()
}

/// Makes both checksums of a frame right, as far as there is anything to sum up.
fn mend_sums(frame: &mut [u8]) {
    let mut l3 = 14;
    while let Some([0x81 | 0x88, 0x00 | 0xa8]) = frame.get(l3 - 2..l3) {
        l3 += 4;
    }
    let Some(packet) = frame.get_mut(l3..).filter(|packet| packet.len() >= 28) else { return };
    packet[10..12].fill(0);
    let sum = !ones_complement(0, &packet[..20]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    if !(28..=packet.len()).contains(&total) {
        return;
    }
    packet[26..28].fill(0);
    let pseudo = ones_complement(ones_complement(0, &packet[12..20]), &[0, 17]);
    let pseudo = ones_complement(pseudo, &packet[24..26]);
    let sum = match !ones_complement(pseudo, &packet[20..total]) {
        0 => 0xffff,
        sum => sum,
    };
    packet[26..28].copy_from_slice(&sum.to_be_bytes());
}
