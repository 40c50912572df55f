//! The question: everything an answer may depend on, as one keyed 64-bit hash.
//!
//! The hash is multilinear: each 32 bits of the question are multiplied by a 64-bit key word of their own
//! position, products are summed mod 2^64, and the upper half of the sum is kept. Two such sums with independent
//! keys make 64 bits; two different questions collide with probability 2^-64 over the choice of keys. (A
//! polynomial mod 2^64 would collide whatever the key.) Zero words add nothing, so padding after END leaves the
//! hash alone, and only that: a published question ends with END, which is not zero.

use crate::abi::{Link, Mac, NetAddr};
use crate::checksum::Sum;
use crate::frame::{Frame, bounded};

/// The longest option area (cookie excluded) that can be a question, in bytes.
pub const MAX_OPTIONS: usize = 512;

/// 64-bit words of a question before its options.
const HEAD: usize = 4;
const OPTION_WORDS: usize = MAX_OPTIONS / 8;

/// The key words: four for each 64-bit word of a question, two for each of its halves.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Keys(pub [[u64; 4]; Keys::POSITIONS]);

impl Keys {
    /// Words that there are keys for. A power of two, so that a masked position needs no bounds check.
    pub const POSITIONS: usize = (HEAD + OPTION_WORDS).next_power_of_two();
}

/// The fields of a question that are not options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Where the request came in.
    pub link: Link,
    /// The client's hardware address.
    pub chaddr: Mac,
    /// The client's address, unspecified in INIT-REBOOT.
    pub ciaddr: NetAddr,
    /// The relay's address, unspecified for a direct client.
    pub giaddr: NetAddr,
    /// The IP source of a relayed request; unspecified for a direct client, whatever it sent.
    pub relay_src: NetAddr,
}

/// A question's hash. Never zero: zero stands for "no question" in a memo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash(pub u64);

/// Hashes a question whose options are the `len` bytes of `frame` from `at`, an even offset, and sums these up for the
/// datagram's checksum on the way.
///
/// `None`: the frame ends before, the options are longer than [`MAX_OPTIONS`], shorter than a word, or the hash is
/// the one value that can't be used.
#[inline(always)]
pub fn hash<F: Frame>(
    keys: &Keys,
    asker: &Asker,
    frame: &mut F,
    at: usize,
    len: usize,
) -> Option<(Hash, Sum)> {
    if !(8..=MAX_OPTIONS).contains(&len) {
        return None;
    }
    let mut sums = Sums::new(keys, asker);
    let mut checksum = Sum::default();
    // The words' order is free. The last, incomplete one goes first: after the loop nothing depends on the
    // length any more, and the verifier need not follow every length to the end of the program.
    let rest = len % 8;
    if rest != 0 {
        // The last bytes come at the top of the word that ends with the options.
        let last = u64::from_le(frame.window::<8>(at + len - 8)?.raw64::<0>());
        let last = last >> (64 - 8 * rest);
        checksum = checksum.raw64(last.to_le());
        sums.word(keys, HEAD + bounded(len / 8, OPTION_WORDS - 1), last);
    }
    let mut word = 0;
    while word < OPTION_WORDS && 8 * word + 8 <= len {
        let raw = frame.window::<8>(at + 8 * word)?.raw64::<0>();
        checksum = checksum.raw64(raw);
        sums.word(keys, HEAD + word, u64::from_le(raw));
        word += 1;
    }
    // How much was summed up bounds the sum: as many ways through the rest of the program as there are lengths.
    let checksum = checksum.forgotten(sums.lower);
    sums.finish().map(|hash| (hash, checksum))
}

/// Hashes a question from its parts, as the daemon does for questions it expects.
#[must_use]
pub fn hash_parts(keys: &Keys, asker: &Asker, options: &[u8]) -> Option<Hash> {
    if options.len() > MAX_OPTIONS {
        return None;
    }
    let mut sums = Sums::new(keys, asker);
    for (word, bytes) in options.chunks(8).enumerate() {
        let mut padded = [0; 8];
        padded[..bytes.len()].copy_from_slice(bytes);
        sums.word(keys, HEAD + word, u64::from_le_bytes(padded));
    }
    sums.finish()
}

struct Sums {
    upper: u64,
    lower: u64,
}

impl Sums {
    #[inline(always)]
    fn new(keys: &Keys, asker: &Asker) -> Self {
        let mut sums = Self { upper: 0, lower: 0 };
        sums.word(keys, 0, asker.link.cell());
        sums.word(keys, 1, asker.chaddr.cell());
        sums.word(keys, 2, u64::from(asker.ciaddr.0) | u64::from(asker.giaddr.0) << 32);
        // The constant 1 makes the sum strongly universal: its key word is the additive one.
        sums.word(keys, 3, u64::from(asker.relay_src.0) | 1 << 32);
        sums
    }

    /// Adds the two halves of the word at `position`.
    #[inline(always)]
    fn word(&mut self, keys: &Keys, position: usize, word: u64) {
        let (low, high) = (word & 0xffff_ffff, word >> 32);
        let key = &keys.0[position % Keys::POSITIONS];
        self.upper =
            self.upper.wrapping_add(low.wrapping_mul(key[0])).wrapping_add(high.wrapping_mul(key[1]));
        self.lower =
            self.lower.wrapping_add(low.wrapping_mul(key[2])).wrapping_add(high.wrapping_mul(key[3]));
    }

    #[inline(always)]
    fn finish(self) -> Option<Hash> {
        match (self.upper & !0xffff_ffff) | (self.lower >> 32) {
            0 => None,
            hash => Some(Hash(hash)),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::frame::HostFrame;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn keys() -> Keys {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        Keys(core::array::from_fn(|_| core::array::from_fn(|_| next())))
    }

    fn asker() -> Asker {
        Asker {
            link: Link { ifindex: 3, outer: 100, inner: 0 },
            chaddr: Mac::from([2, 0, 0, 0, 0, 1]),
            ciaddr: NetAddr(0x0100_00c0),
            giaddr: NetAddr::UNSPECIFIED,
            relay_src: NetAddr::UNSPECIFIED,
        }
    }

    fn in_frame(options: &[u8]) -> Option<Hash> {
        let mut bytes = Vec::from([0xaa; 282]);
        bytes.extend_from_slice(options);
        let len = bytes.len();
        let frame = &mut HostFrame::new(&mut bytes, len);
        hash(&keys(), &asker(), frame, 282, options.len()).map(|(hash, _)| hash)
    }

    proptest! {
        #[test]
        fn a_question_in_a_frame_hashes_like_its_parts(options in prop::collection::vec(any::<u8>(), 8..=MAX_OPTIONS)) {
            prop_assert_eq!(in_frame(&options), hash_parts(&keys(), &asker(), &options));
        }

        #[test]
        fn padding_after_the_end_changes_nothing(options in prop::collection::vec(any::<u8>(), 8..400), zeros in 0usize..100) {
            let padded: Vec<u8> = options.iter().copied().chain(core::iter::repeat_n(0, zeros)).collect();
            prop_assert_eq!(in_frame(&options), in_frame(&padded));
        }

        #[test]
        fn any_other_byte_changes_the_hash(options in prop::collection::vec(any::<u8>(), 8..=MAX_OPTIONS), at in any::<prop::sample::Index>(), flip in 1u8..) {
            let mut other = options.clone();
            let at = at.index(other.len());
            other[at] ^= flip;
            prop_assert_ne!(in_frame(&options), in_frame(&other));
        }
    }

    #[test]
    fn every_field_of_the_asker_counts() {
        let base = asker();
        let others = [
            Asker { link: Link { ifindex: 4, ..base.link }, ..base },
            Asker { link: Link { outer: 0, ..base.link }, ..base },
            Asker { link: Link { inner: 100, ..base.link }, ..base },
            Asker { chaddr: Mac::from([2, 0, 0, 0, 0, 2]), ..base },
            Asker { ciaddr: NetAddr::UNSPECIFIED, ..base },
            Asker { giaddr: NetAddr(1), ..base },
            Asker { relay_src: NetAddr(1), ..base },
        ];
        let options = [53, 1, 3, 55, 2, 1, 3, 255];
        for other in others {
            assert_ne!(
                hash_parts(&keys(), &base, &options),
                hash_parts(&keys(), &other, &options),
                "{other:?}"
            );
        }
    }

    #[test]
    fn what_is_too_short_or_too_long_is_no_question() {
        assert_eq!(in_frame(&[53, 1, 3, 255]), None);
        assert_eq!(in_frame(&[1; MAX_OPTIONS + 1]), None);
        assert_eq!(hash_parts(&keys(), &asker(), &[1; MAX_OPTIONS + 1]), None);
    }
}
