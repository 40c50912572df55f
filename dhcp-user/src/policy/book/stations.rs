//! The stations that got leases under another station's hardware address.

use std::collections::HashMap;

use ahash::RandomState;

use crate::policy::site::place::Place;

/// The stations that got leases in another station's name, or in the name of none: a bridge that stands for its hosts, or
/// somebody who poses as another.
#[derive(Debug, Default)]
pub(super) struct Stations(HashMap<Place, [u8; 6], RandomState>);

impl Stations {
    /// The station that got the lease of `place`, if it isn't the one that its chaddr names.
    pub(super) fn at(&self, place: Place) -> Option<[u8; 6]> {
        self.0.get(&place).copied()
    }

    pub(super) fn set(&mut self, place: Place, station: Option<[u8; 6]>) {
        match station {
            Some(station) => self.0.insert(place, station),
            None => self.0.remove(&place),
        };
    }
}
