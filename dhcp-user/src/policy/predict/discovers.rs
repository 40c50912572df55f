//! The last DISCOVERs that got an offer: predictions need their options once more, when the offer is taken.

use super::LONGEST_AREA;
use super::areas::past_relay;
use crate::message::Request;

/// How many are kept: one that came later takes the place of one that came before. A power of two.
const PLACES: usize = 4096;

/// Option areas by the client's hardware address.
#[derive(Debug, Default)]
pub(super) struct Discovers {
    /// Empty until there is something to keep.
    kept: Vec<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    mac: [u8; 6],
    area: Box<[u8]>,
}

impl Discovers {
    pub(super) fn note(&mut self, discover: &Request) {
        let Some(mac) = discover.mac().filter(|_| discover.area.len() <= LONGEST_AREA) else { return };
        if self.kept.is_empty() {
            self.kept.resize_with(PLACES, || None);
        }
        if let Some(kept) = self.kept.get_mut(place(mac)) {
            *kept = Some(Kept { mac, area: past_relay(&discover.area, discover).into() });
        }
    }

    /// The option area of the DISCOVER of the client that sent `request`, without relay information.
    pub(super) fn take(&mut self, request: &Request) -> Option<Box<[u8]>> {
        let mac = request.mac()?;
        let kept = self.kept.get_mut(place(mac))?;
        kept.take_if(|kept| kept.mac == mac).map(|kept| kept.area)
    }
}

/// Neighbours among addresses get places of their own.
fn place(mac: [u8; 6]) -> usize {
    let [_, _, a, b, c, d] = mac.map(usize::from);
    let mixed = (a << 24 | b << 16 | c << 8 | d) ^ (a << 5 | b << 3);
    (mixed ^ mixed >> 12) % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::wire::Draft;

    #[test]
    fn a_discover_is_remembered_once_and_by_its_own_client() {
        let mut discovers = Discovers::default();
        let sent = |mac| Draft::discover(mac).request(1);
        discovers.note(&sent(1));
        assert!(discovers.take(&sent(2)).is_none());
        assert_eq!(discovers.take(&sent(1)).as_deref(), Some(&[53, 1, 1, 255][..]));
        assert!(discovers.take(&sent(1)).is_none());
    }
}
