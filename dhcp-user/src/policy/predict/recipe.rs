//! A recipe makes an option area from earlier areas: learnt from one client, followed for another.

use super::areas::{Selected, requested};
use crate::message::options::{Piece, code, pieces};

/// The parts of an area, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recipe(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// The option of this code, copied from the REQUEST that selected the offer.
    Selected(u8),
    /// The same of the DISCOVER.
    Discovered(u8),
    /// Option 50, for the leased address.
    Address,
    /// An option that was in neither.
    Constant(Box<[u8]>),
    /// Zeros between options.
    Padding(usize),
    /// Zeros before END: the area has this length.
    Fill(usize),
}

impl Recipe {
    /// How `area` came of `selected`; nothing if it does not end with END, has an option twice, or says of the client
    /// (`mac`) what it did not say before.
    pub(super) fn of(area: &[u8], selected: &Selected<'_>, mac: [u8; 6]) -> Option<Self> {
        if area.last() != Some(&code::END) {
            return None;
        }
        let mut seen = [false; 256];
        let (mut parts, mut zeros) = (Vec::new(), 0);
        for piece in pieces(area) {
            let Piece::Option(code, whole) = piece else {
                zeros += 1;
                continue;
            };
            if seen.get_mut(usize::from(code)).is_none_or(|seen| std::mem::replace(seen, true)) {
                return None;
            }
            if zeros > 0 {
                parts.push(Part::Padding(std::mem::take(&mut zeros)));
            }
            parts.push(if whole == requested(selected.address) {
                Part::Address
            } else if only(selected.select, code) == Some(whole) {
                Part::Selected(code)
            } else if selected.discover.and_then(|discover| only(discover, code)) == Some(whole) {
                Part::Discovered(code)
            } else if whole.windows(mac.len()).any(|octets| octets == mac) {
                return None;
            } else {
                Part::Constant(whole.into())
            });
        }
        if zeros > 0 {
            parts.push(Part::Fill(area.len()));
        }
        Some(Self(parts))
    }

    /// The area that comes of `selected` by this; nothing if an option is not there.
    pub(super) fn follow(&self, selected: &Selected<'_>) -> Option<Vec<u8>> {
        let mut area = Vec::with_capacity(selected.select.len());
        for part in &self.0 {
            match part {
                Part::Selected(code) => area.extend_from_slice(only(selected.select, *code)?),
                Part::Discovered(code) => area.extend_from_slice(only(selected.discover?, *code)?),
                Part::Address => area.extend(requested(selected.address)),
                Part::Constant(whole) => area.extend_from_slice(whole),
                Part::Padding(zeros) => area.resize(area.len() + zeros, 0),
                Part::Fill(length) => area.resize(area.len().max(length - 1), 0),
            }
        }
        area.push(code::END);
        Some(area)
    }
}

/// The whole of an option that is there once.
fn only(area: &[u8], option_code: u8) -> Option<&[u8]> {
    let mut all = pieces(area).filter_map(|piece| match piece {
        Piece::Option(code, whole) if code == option_code => Some(whole),
        _ => None,
    });
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn learnt(select: &[u8], discover: &[u8], asked: &[u8]) -> Option<Recipe> {
        let selected = Selected { select, discover: Some(discover), address: Ipv4Addr::new(10, 0, 0, 1) };
        Recipe::of(asked, &selected, MAC)
    }

    fn select(last: u8, name: u8) -> Vec<u8> {
        vec![53, 1, 3, 12, 1, name, 57, 2, 5, 220, 50, 4, 10, 0, 0, last, 54, 4, 1, 1, 1, 1, 255]
    }

    #[test]
    fn what_one_client_did_another_is_expected_to_do() {
        let asked = [53, 1, 3, 57, 2, 255, 255, 0, 50, 4, 10, 0, 0, 1, 12, 1, b'a', 51, 1, 7, 0, 0, 255];
        let recipe = learnt(&select(1, b'a'), &[53, 1, 1, 51, 1, 7, 255], &asked).expect("a recipe");
        let (second, discover) = (select(2, b'b'), [53, 1, 1, 51, 1, 9, 255]);
        let selected =
            Selected { select: &second, discover: Some(&discover), address: Ipv4Addr::new(10, 0, 0, 2) };
        let made = [53, 1, 3, 57, 2, 255, 255, 0, 50, 4, 10, 0, 0, 2, 12, 1, b'b', 51, 1, 9, 0, 0, 255];
        assert_eq!(recipe.follow(&selected).as_deref(), Some(&made[..]));
        assert_eq!(recipe.follow(&Selected { discover: None, ..selected }), None);
    }

    #[test]
    fn what_tells_of_one_client_alone_is_not_learnt() {
        let select = select(1, b'a');
        let identifier = [&[53, 1, 3, 61, 7, 1][..], &MAC, &[255]].concat();
        assert_eq!(learnt(&select, &[255], &identifier), None, "its hardware address");
        assert_eq!(learnt(&select, &[255], &[53, 1, 3, 12, 1, 1, 12, 1, 2, 255]), None, "an option twice");
        assert_eq!(learnt(&select, &[255], &[53, 1, 3]), None, "no END");
    }
}
