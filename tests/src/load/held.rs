//! Each client's knowledge of its lease: the address, and the earliest time of its beginning.

use load_ebpf::client::{State, Word, hardware_address};
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Load;
use crate::wire::Mac;

/// A lease as its client knows it: acknowledged, and not given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The client's number.
    pub client: u32,
    /// Its hardware address.
    pub mac: Mac,
    /// Its address.
    pub address: Ipv4Addr,
    /// When it sent what was acknowledged last, on the monotonic clock: the lease runs from then or later. `None` if
    /// this was not timed, or if it has asked for more time since and waits.
    pub asked: Option<Duration>,
}

impl Load<'_> {
    /// The leases of all clients, as of now; nothing should be under way.
    pub fn held(&self) -> impl Iterator<Item = Held> {
        (0..self.crowd.clients).filter_map(|client| {
            let [word, since] = self.client_cells(client);
            let (word, since) = (Word(word.load(Ordering::Acquire)), since.load(Ordering::Acquire));
            let (head, tail) = hardware_address(client);
            let ([a, b, c, d], [e, f]) = (head.to_ne_bytes(), tail.to_ne_bytes());
            word.has_lease().then(|| Held {
                client,
                mac: [a, b, c, d, e, f],
                address: Ipv4Addr::from(word.address().to_ne_bytes()),
                asked: (word.is(State::Bound) && since != 0).then(|| Duration::from_nanos(since)),
            })
        })
    }
}
