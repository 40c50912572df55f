//! The limit on NAKs to clients that renew an unknown lease, or come back for an address that is another's. Each is a
//! broadcast, whoever caused it, and from wherever.

use std::collections::HashMap;

use ahash::RandomState;
use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::BootSecs;

use crate::policy::site::arrival::Way;

/// NAKs a second on a link, to clients on it or behind a relay: enough for all clients of a server that lost its
/// leases, after a while.
const A_SECOND: u32 = 100;
/// And to clients behind routers, which a broadcast doesn't even reach.
const A_SECOND_ROUTED: u32 = 10;
/// On so many links (tags are what a sender makes them).
const LINKS: usize = 4096;

/// Those of the present second.
#[derive(Debug, Default)]
pub(in crate::policy) struct Naks {
    second: BootSecs,
    sent: HashMap<(Link, bool), u32, RandomState>,
}

impl Naks {
    /// Whether one more may be sent on `link` to a client that came by this `way`; it counts as sent.
    pub(super) fn take(&mut self, now: BootSecs, link: Link, way: Way) -> bool {
        if self.second != now {
            self.second = now;
            self.sent.clear();
        }
        let routed = way == Way::Router;
        if self.sent.len() >= LINKS && !self.sent.contains_key(&(link, routed)) {
            return false;
        }
        let sent = self.sent.entry((link, routed)).or_insert(0);
        let passes = *sent < if routed { A_SECOND_ROUTED } else { A_SECOND };
        *sent += u32::from(passes);
        passes
    }
}
