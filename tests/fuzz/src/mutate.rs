//! Inputs made of others, where nothing tells what part of a parser they reach.

use crate::chance::Chance;
use crate::corpus::Input;

/// Numbers that are the last or the first of something.
const EDGES: [u64; 12] = [0, 1, 2, 127, 128, 255, 256, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX];
/// No input gets longer.
const LONGEST: usize = 1 << 16;

/// One of `inputs`, changed in a few places.
#[must_use]
pub fn mutated(chance: &mut Chance<'_>, inputs: &[Input]) -> Vec<u8> {
    if inputs.is_empty() {
        let length = chance.below(600);
        return chance.octets(length);
    }
    let mut octets = chance.pick(inputs).octets.clone();
    for _ in 0..1 + chance.below(6) {
        let other = chance.pick(inputs).octets.clone();
        change(chance, &mut octets, &other);
    }
    octets.truncate(LONGEST);
    octets
}

fn change(chance: &mut Chance<'_>, octets: &mut Vec<u8>, other: &[u8]) {
    let at = chance.below(octets.len() + 1);
    // Pieces are short mostly: what a parser reads as one is.
    let longest = if chance.one_in(4) { 256 } else { 8 };
    let length = chance.below(longest).min(octets.len() - at);
    match chance.below(10) {
        0 => octets.truncate(at),
        1 => drop(octets.drain(at..at + length)),
        2 => {
            let piece = octets[at..at + length].to_vec();
            let to = chance.below(octets.len() + 1);
            octets.splice(to..to, piece);
        }
        3 => {
            let from = chance.below(other.len() + 1);
            let length = chance.below(longest).min(other.len() - from);
            let end = if chance.one_in(2) { at } else { (at + length).min(octets.len()) };
            octets.splice(at..end, other[from..from + length].iter().copied());
        }
        4 => {
            let random = chance.octets(length);
            octets.splice(at..at, random);
        }
        5 => {
            let edge = *chance.pick(&EDGES);
            let width = *chance.pick(&[1, 2, 4, 8]);
            let (big, little) = (edge.to_be_bytes(), edge.to_le_bytes());
            let number = if chance.one_in(2) { &big[8 - width..] } else { &little[..width] };
            octets.iter_mut().skip(at).zip(number).for_each(|(to, from)| *to = *from);
        }
        6 => {
            // A number that somebody wrote out.
            let edge = chance.pick(&EDGES).to_string();
            let end = octets[at..]
                .iter()
                .position(|octet| !octet.is_ascii_digit())
                .map_or(octets.len(), |n| at + n);
            octets.splice(at..end, edge.bytes());
        }
        7 if at < octets.len() => {
            octets[at] = octets[at].wrapping_add(if chance.one_in(2) { 1 } else { 255 });
        }
        8 if at < octets.len() => octets[at] ^= 1 << chance.below(8),
        _ if at < octets.len() => octets[at] = chance.octet(),
        _ => octets.push(chance.octet()),
    }
}
