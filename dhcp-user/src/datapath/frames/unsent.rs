//! Frames that could not be sent: how many of each link, and the last of them, until they are read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use dhcp_ebpf::wire::{bootp, eth};

use super::departure::Outgoing;

/// So many frames are kept; of more only the number is.
const KEPT: usize = 1024;

/// Frames that could not be sent, recorded by the sending thread.
#[derive(Debug, Default)]
pub struct Unsent {
    /// Whether there are any: a frequent reader need not wait for the recording thread.
    any: AtomicBool,
    inner: Mutex<Taken>,
}

/// The frames that could not be sent since the last reading.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// How many frames, by the index of the interface.
    pub links: BTreeMap<u32, u64>,
    /// The last of them.
    frames: VecDeque<Bytes>,
}

impl Unsent {
    /// Puts these frames down.
    pub fn add(&self, frames: Vec<Outgoing>) {
        if frames.is_empty() {
            return;
        }
        let mut taken = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for (ifindex, frame) in frames {
            *taken.links.entry(ifindex).or_default() += 1;
            if taken.frames.len() == KEPT {
                taken.frames.pop_front();
            }
            taken.frames.push_back(frame);
        }
        drop(taken);
        self.any.store(true, Ordering::Release);
    }

    /// The frames recorded since the last call; none if there are none.
    pub fn take(&self) -> Option<Taken> {
        let any = self.any.swap(false, Ordering::Acquire);
        any.then(|| std::mem::take(&mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Taken {
    /// The clients of the kept frames: hardware address and xid.
    pub fn answers(&self) -> impl Iterator<Item = ([u8; 6], u32)> {
        self.frames.iter().filter_map(|frame| answered(frame))
    }
}

/// The client that a reply is for, and the number of its exchange (xid).
fn answered(frame: &[u8]) -> Option<([u8; 6], u32)> {
    let mut l3 = eth::HEADER;
    let is_tag = |ethertype: [u8; 2]| matches!(u16::from_be_bytes(ethertype), eth::DOT1Q | eth::DOT1AD);
    while is_tag(*frame.get(l3 - 2..)?.first_chunk()?) {
        l3 += eth::TAG;
    }
    let packet = frame.get(l3..)?;
    let client = packet.get(bootp::CHADDR..)?.first_chunk()?;
    let xid = packet.get(bootp::XID..)?.first_chunk()?;
    (packet.get(bootp::HLEN) == Some(&6)).then_some((*client, u32::from_be_bytes(*xid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_by_link_and_the_last_are_kept() {
        let unsent = Unsent::default();
        assert_eq!(unsent.take(), None);
        unsent.add(Vec::new());
        assert_eq!(unsent.take(), None);
        for number in 0..2 * KEPT {
            let link = if number == 0 { 7 } else { 3 };
            unsent.add(vec![(link, Bytes::from(number.to_be_bytes().to_vec()))]);
        }
        let taken = unsent.take().expect("some");
        assert_eq!(taken.links, BTreeMap::from([(3, 2 * KEPT as u64 - 1), (7, 1)]));
        assert_eq!(taken.frames.len(), KEPT);
        assert_eq!(taken.frames.back(), Some(&Bytes::from((2 * KEPT - 1).to_be_bytes().to_vec())));
        assert_eq!(taken.answers().count(), 0, "these are no frames");
        assert_eq!(unsent.take(), None);
    }
}
