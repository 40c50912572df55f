//! The network, the driver and the rings: frames on their way, and what is looked at when an answer leaves.

use std::net::Ipv4Addr;

use bytes::Bytes;
use dhcp_ebpf::verdict::{Ring, Verdict};
use dhcp_user::datapath::frames::ring::Arrival;
use dhcp_user::store::Standing;
use fuzz::chance::Chance;
use fuzz::parity::draft::ones_complement;

use crate::client::{SECOND, State, released};
use crate::ledger::{Broken, Invariant};
use crate::reply;
use crate::reply::{Answer, Kind};
use crate::site::{IFINDEX, RESERVED};
use crate::stranger::Strangers;

use super::{TRANSIT, World, owner};

impl World {
    pub(super) fn deliver(&mut self, chance: &mut Chance<'_>) -> Result<(), Broken> {
        let both = self.to_server.len() + self.to_clients.len();
        if both == 0 {
            return Ok(());
        }
        let which = if self.is_rough { chance.below(both) } else { 0 };
        let (lost, twice, spoilt) = match self.is_rough {
            true => (chance.one_in(5), chance.one_in(8), chance.one_in(25)),
            false => (false, false, false),
        };
        let is_up = which < self.to_server.len();
        let (since, mut frame) = match which.checked_sub(self.to_server.len()) {
            None => self.to_server.remove(which),
            Some(which) => self.to_clients.remove(which),
        };
        if lost || self.now - since > TRANSIT {
            return Ok(());
        }
        if twice {
            (if is_up { &mut self.to_server } else { &mut self.to_clients }).push((since, frame.clone()));
        }
        if spoilt && !is_left_open(&frame) {
            // Checksums tell, but for the Ethernet header, which the wire's own has for it.
            let at = 14 + chance.below(frame.len() - 14);
            frame[at] ^= 1 << chance.below(8);
            self.note(|| format!("         octet {at} is spoilt of {frame:02x?}"));
            if !is_up {
                return Ok(());
            }
        }
        if is_up { self.arrive(&frame) } else { self.hear(&frame) }
    }

    /// A frame reaches the driver: the program looks at it, if it is there.
    pub(super) fn arrive(&mut self, frame: &[u8]) -> Result<(), Broken> {
        // From here on the server may do as it is told; what it promises after this counts again.
        if let Some((number, address)) = released(frame)
            && let Some(client) = self.clients.get_mut(usize::from(number).wrapping_sub(1))
        {
            client.has_no_more(address);
        }
        let now = self.boot_time();
        let Some(maps) = &self.maps else { return Ok(()) };
        let judged = maps.judge(frame, now);
        match (judged.verdict, judged.up) {
            (Verdict::Reply(_), _) => self.at_driver.push_back(judged),
            (_, Some((ring, why, word))) => {
                let arrival = Arrival {
                    frame: Bytes::copy_from_slice(frame),
                    ifindex: IFINDEX,
                    at: now,
                    why: Some(why),
                    word: Some(word).filter(|word| word.0 != 0),
                };
                let ring = &mut self.rings[usize::from(ring == Ring::Fresh)];
                if ring.len() < 256 {
                    ring.push_back(arrival);
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn promise(&mut self) -> Result<(), Broken> {
        let Some(judged) = self.at_driver.pop_front() else { return Ok(()) };
        let Some(maps) = &self.maps else { return Ok(()) };
        if maps.promise(&judged) {
            self.tally.by_kernel += 1;
            self.leaves(judged.frame, true)
        } else {
            self.tally.raced += 1;
            Ok(())
        }
    }

    /// An answer reaches its client.
    pub(super) fn hear(&mut self, frame: &[u8]) -> Result<(), Broken> {
        let Some(answer) = reply::read(frame) else { return Ok(()) };
        let number = (answer.xid >> 24) as u8;
        if number == Strangers::NUMBER {
            let frames = self.strangers.hear(&answer, self.now);
            self.to_server.extend(frames.into_iter().map(|frame| (self.now, frame)));
            return Ok(());
        }
        let now = self.now;
        let is_taken = self.is_used(answer.yiaddr, Some(number));
        if let Some(client) = self.clients.get_mut(usize::from(number).wrapping_sub(1)) {
            let frame = client.hear(&answer, now, is_taken);
            self.to_server.extend(frame.map(|frame| (self.now, frame)));
        }
        Ok(())
    }

    /// An answer leaves: the invariants about promises are looked at here.
    pub(super) fn leaves(&mut self, frame: Vec<u8>, by_kernel: bool) -> Result<(), Broken> {
        let Some(answer) = reply::read(&frame) else { return Ok(()) };
        let number = (answer.xid >> 24) as u8;
        match answer.kind {
            Kind::Ack => self.acknowledged(&answer, number, by_kernel)?,
            Kind::Nak => self.refused(&answer, number)?,
            Kind::Offer => {
                let before = self.offered.insert(answer.yiaddr, (answer.mac, self.now));
                let again = before.is_some_and(|(mac, at)| mac == answer.mac && self.now - at < 90 * SECOND);
                if !by_kernel
                    && self.squatters.get(&answer.yiaddr).is_some_and(|since| self.now - since > 130 * SECOND)
                {
                    // An offer that was made before a reload may leave after it: of what was reserved, or given, until then.
                    let reserved = answer.yiaddr == RESERVED;
                    let is_given = self.version.gives(answer.yiaddr);
                    let on_link = !answer.yiaddr.octets().starts_with(&[10, 9]) && !reserved && is_given;
                    if on_link && !self.had(answer.yiaddr, answer.mac) && !again {
                        return Broken::because(
                            Invariant::InUse,
                            format!("{} is offered to {number}, and somebody uses it", answer.yiaddr),
                        );
                    }
                }
            }
            Kind::Other => {}
        }
        self.to_clients.push((self.now, frame));
        Ok(())
    }

    /// Whether the address is the client's, or was last.
    pub(super) fn had(&self, address: Ipv4Addr, mac: [u8; 6]) -> bool {
        let lease = self.server.as_ref().and_then(|server| server.policy().record(address));
        lease.is_some_and(|lease| lease.chaddr.octets() == mac)
    }

    pub(super) fn acknowledged(
        &mut self,
        answer: &Answer,
        number: u8,
        by_kernel: bool,
    ) -> Result<(), Broken> {
        let now = self.now;
        let who = match self.clients.get(usize::from(number).wrapping_sub(1)) {
            Some(client) => owner(client.mac, client.number),
            None => owner(answer.mac, Strangers::NUMBER),
        };
        let by = if by_kernel { "the kernel" } else { "the daemon" };
        self.note(|| {
            format!("         {by} acknowledges {} to {number} for {} s", answer.yiaddr, answer.time)
        });
        // Strangers may pose as a client, and have what is its own.
        let posed = number == Strangers::NUMBER && !Strangers::are(answer.mac);
        let is_other = |other: &[u8; 7]| *other != who && !(posed && other.starts_with(&answer.mac));
        let other =
            self.promises(now).find(|(other, address, _)| *address == answer.yiaddr && is_other(other));
        if let Some((other, address, until)) = other {
            return Broken::because(
                Invariant::OneOwner,
                format!(
                    "{address} is acknowledged to {number} by {by}, and {} relies on it for {} s more",
                    other[6],
                    (until - now) / SECOND
                ),
            );
        }
        let until = self.boot_secs().plus(answer.time);
        let covered = self.on_disk.contents().records.get(&answer.yiaddr).is_some_and(|record| {
            record.standing == Standing::Leased
                && record.chaddr.octets() == answer.mac
                && record.committed_until >= until
        });
        if !covered {
            let contents = self.on_disk.contents().records.get(&answer.yiaddr).cloned();
            return Broken::because(
                Invariant::Covered,
                format!(
                    "{} is acknowledged to {number} by {by} until {until:?}, and committed is {contents:?}",
                    answer.yiaddr
                ),
            );
        }
        self.tally.by_daemon += u64::from(!by_kernel);
        let until = now + u64::from(answer.time) * SECOND;
        match self.clients.get_mut(usize::from(number).wrapping_sub(1)) {
            Some(client) if client.xid == answer.xid && client.awaits_ack() => {
                // While a reload settles, what was promised until now is renewed until it is ended.
                let may_end = !self.version.grants(answer.yiaddr, client.place, client.number);
                (client.is_void, client.is_ended) = (false, false);
                client.is_excused = client.is_unknown || may_end;
                client.pending.push((answer.yiaddr, until));
            }
            Some(_) => {}
            None if posed => {}
            None => self.strangers.acknowledged(answer, until),
        }
        Ok(())
    }

    pub(super) fn refused(&mut self, answer: &Answer, number: u8) -> Result<(), Broken> {
        self.tally.naks += 1;
        let now = self.now;
        let Some(client) = self.clients.get(usize::from(number).wrapping_sub(1)) else { return Ok(()) };
        let goes_on = matches!(client.state, State::Renewing | State::Rebinding | State::Rebooting);
        let relies =
            client.lease.is_some_and(|lease| lease.until > now) && !client.is_void && !client.is_excused;
        // What is reserved for it, another has had until now.
        let moves = self.version.reserves(client.place, number);
        if client.xid == answer.xid && goes_on && relies && !moves {
            let known = client.lease.map(|lease| self.known(lease.address));
            let what = format!(
                "{number} ({:?}) is refused what it has: {:?}; {known:?}",
                client.state, client.lease
            );
            return Broken::because(Invariant::Refused, what);
        }
        Ok(())
    }
}

/// Whether the UDP checksum reads as one that a network card has yet to make: the sum of the pseudo-header alone. Such a
/// frame is never on a cable. One in 65,536 that is summed up looks the same, and nobody would see that it is spoilt.
fn is_left_open(frame: &[u8]) -> bool {
    let mut at = 12;
    while matches!(frame.get(at..at + 2), Some([0x81, 0x00] | [0x88, 0xa8])) {
        at += 4;
    }
    let Some(packet) = frame.get(at + 2..at + 2 + 28) else { return false };
    let length = [0, 17, packet[24], packet[25]];
    ones_complement(ones_complement(0, &length), &packet[12..20]).to_be_bytes() == packet[26..28]
}
