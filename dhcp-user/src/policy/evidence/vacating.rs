//! The schedule of probes for addresses whose lease the operator ended: whether the client still uses them.

use ahash::{HashMap, HashMapExt as _};
use dhcp_ebpf::lease::BootSecs;

use crate::policy::site::place::Place;

/// It is asked again after so many seconds.
const AGAIN: u32 = 60;

/// The addresses concerned.
#[derive(Debug)]
pub(in crate::policy) struct Vacating(HashMap<Place, BootSecs>);

impl Default for Vacating {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl Vacating {
    pub(in crate::policy) fn ask_again(&mut self, place: Place, now: BootSecs) {
        self.0.insert(place, now.plus(AGAIN));
    }

    pub(in crate::policy) fn due(&self, place: Place) -> Option<BootSecs> {
        self.0.get(&place).copied()
    }

    pub(in crate::policy) fn remove(&mut self, place: Place) {
        self.0.remove(&place);
    }
}
