//! The clients that an event reported lately as getting no address: each is reported now and then, however often it
//! asks.

use std::collections::BTreeMap;

use dhcp_ebpf::lease::BootSecs;

/// A client is reported again after so many seconds.
const TELL_AGAIN: u32 = 300;
/// Of no more than this at a time.
const MOST: usize = 256;

/// When each client was last reported.
#[derive(Debug)]
pub(in crate::policy) struct Notices<K>(BTreeMap<K, BootSecs>);

impl<K> Default for Notices<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Notices<K> {
    /// Whether to report `whom` now: now and then, and a bounded number of clients.
    pub(super) fn is_to_be_told(&mut self, now: BootSecs, whom: K) -> bool {
        self.0.retain(|_, told| now < told.plus(TELL_AGAIN));
        let tell = self.0.len() < MOST && !self.0.contains_key(&whom);
        if tell {
            self.0.insert(whom, now);
        }
        tell
    }
}
