//! One's complement sums (RFC 1071), in raw byte order: the sum of byte-swapped words is the byte-swapped sum.

use crate::frame::forget;

/// A one's complement sum under way; carries are folded in at the end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Goes on from a sum that was folded to 16 bits before.
    #[must_use]
    #[inline(always)]
    pub const fn from_folded(folded: u16) -> Self {
        Self(folded as u64)
    }

    /// Adds two raw bytes from an even offset.
    #[must_use]
    #[inline(always)]
    pub const fn raw16(self, value: u16) -> Self {
        Self(self.0 + value as u64)
    }

    /// Adds four raw bytes from an even offset.
    #[must_use]
    #[inline(always)]
    pub const fn raw32(self, value: u32) -> Self {
        Self(self.0 + value as u64)
    }

    /// Adds eight raw bytes from an even offset.
    #[must_use]
    #[inline(always)]
    pub const fn raw64(self, value: u64) -> Self {
        Self(self.0 + (value & 0xffff_ffff) + (value >> 32))
    }

    /// The sum of the same bytes from this offset: from an odd one they are the other halves of their words (RFC 1071 §2(B)).
    #[must_use]
    #[inline(always)]
    pub const fn from_offset(self, at: usize) -> Self {
        Self(self.0 << (8 * (at & 1)))
    }

    /// Adds what another sum has under way.
    #[must_use]
    #[inline(always)]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The same, of which the verifier knows nothing from here on, as [`frame::forget`](crate::frame::forget) has it.
    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "64 bits wherever it matters")]
    pub fn forgotten(self, noise: u64) -> Self {
        Self(forget(self.0 as usize, noise) as u64)
    }

    /// The sum in 16 bits, not complemented. At most 2^28 values may have been added.
    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "folded until 16 bits are left")]
    pub const fn folded(self) -> u16 {
        let sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        let sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        sum as u16
    }

    /// The checksum field that makes the whole sum up to all ones.
    #[must_use]
    #[inline(always)]
    pub const fn checksum(self) -> u16 {
        !self.folded()
    }

    /// As [`checksum`](Self::checksum), with 0 written as all ones: in UDP, 0 means "none" (RFC 768).
    #[must_use]
    #[inline(always)]
    pub const fn udp_checksum(self) -> u16 {
        match self.checksum() {
            0 => 0xffff,
            sum => sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;

    fn reference(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).unwrap()
    }

    #[test]
    fn sums_of_any_width_agree_with_the_textbook() {
        let bytes: [u8; 256] = core::array::from_fn(|i| u8::try_from(i * 37 % 251).unwrap() | 0x80);
        let by64 = bytes
            .chunks(8)
            .fold(Sum::default(), |sum, c| sum.raw64(u64::from_ne_bytes(c.try_into().unwrap())));
        let by32 = bytes
            .chunks(4)
            .fold(Sum::default(), |sum, c| sum.raw32(u32::from_ne_bytes(c.try_into().unwrap())));
        let by16 = bytes
            .chunks(2)
            .fold(Sum::default(), |sum, c| sum.raw16(u16::from_ne_bytes(c.try_into().unwrap())));
        for sum in [by64, by32, by16] {
            assert_eq!(u16::from_be(sum.folded()), reference(&bytes));
        }
    }

    #[test]
    fn the_largest_words_fold_without_losing_a_carry() {
        let sum = (0..1000).fold(Sum::default(), |sum, _| sum.raw64(u64::MAX));
        assert_eq!(sum.folded(), 0xffff);
        assert_eq!(sum.checksum(), 0);
        assert_eq!(sum.udp_checksum(), 0xffff);
    }
}
