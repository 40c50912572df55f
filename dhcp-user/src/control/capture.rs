//! A capture on its way to a client: the frames that it asks for, with the names of their interfaces and wall time.

use std::collections::HashMap;
use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use nix::net::if_::if_indextoname;

use crate::capture::{CaptureEvent, Filter, Item, Packet};
use crate::clock::BootNanos;

/// The items of a capture for one client.
pub(super) struct CaptureStream<'a> {
    filter: &'a Filter,
    /// Wall time at boot time zero, as it was when the capture began.
    boot: Timestamp,
    names: HashMap<u32, String>,
}

impl<'a> CaptureStream<'a> {
    /// Of the frames that `filter` takes.
    pub(super) fn of(filter: &'a Filter) -> Self {
        let boot = Timestamp::now().saturating_sub(since_boot(BootNanos::now()));
        Self { filter, boot: boot.unwrap_or(Timestamp::UNIX_EPOCH), names: HashMap::new() }
    }

    /// The item for the client; `None` if its filter doesn't fit.
    pub(super) fn item(&mut self, told: CaptureEvent) -> Option<Item> {
        let captured = match told {
            CaptureEvent::Frame(captured) => captured,
            CaptureEvent::Begun => return Some(Item::Begun { without_kernel: None }),
            CaptureEvent::WithoutKernel(why) => return Some(Item::Begun { without_kernel: Some(why) }),
            CaptureEvent::Missed(missed) => return Some(Item::Missed(missed)),
        };
        let index = captured.ifindex;
        let interface = self.names.entry(index).or_insert_with(|| named(index));
        if !self.filter.takes(interface, &captured.frame) {
            return None;
        }
        Some(Item::Packet(Packet {
            at: self.boot.saturating_add(since_boot(captured.at)).unwrap_or(self.boot),
            interface: interface.clone(),
            direction: captured.direction,
            comment: captured.comment,
            len: captured.len,
            frame: hex(&captured.frame),
        }))
    }
}

fn since_boot(at: BootNanos) -> SignedDuration {
    SignedDuration::from_nanos(i64::try_from(at.0).unwrap_or(i64::MAX))
}

fn named(index: u32) -> String {
    if_indextoname(index).ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| index.to_string())
}

fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len().saturating_mul(2));
    for octet in octets {
        // A string takes all that is written.
        let _ = write!(text, "{octet:02x}");
    }
    text
}
