//! A client: what follows from its number, and the word that says how far it has come.

/// The first two octets of every hardware address here: locally administered, and ours to recognise.
const MARK: u32 = u32::from_ne_bytes([0x06, 0x4c, 0, 0]);
const MARK_MASK: u32 = u32::from_ne_bytes([0xff, 0xff, 0, 0]);

/// The hardware address of client `number`, as its raw first four and last two bytes.
#[must_use]
#[inline(always)]
pub const fn hardware_address(number: u32) -> (u32, u16) {
    let [a, b, c, d] = number.to_be_bytes();
    let [mark, kind, ..] = MARK.to_ne_bytes();
    (u32::from_ne_bytes([mark, kind, a, b]), u16::from_ne_bytes([c, d]))
}

/// The number of the client with this raw hardware address, if it is one of ours.
#[must_use]
#[inline(always)]
pub const fn number(head: u32, tail: u16) -> Option<u32> {
    if head & MARK_MASK != MARK {
        return None;
    }
    let ([_, _, a, b], [c, d]) = (head.to_ne_bytes(), tail.to_ne_bytes());
    Some(u32::from_be_bytes([a, b, c, d]))
}

/// The transaction id of a client's request number `turn`, raw: the client's own 24 bits, and the turn.
#[must_use]
#[inline(always)]
pub const fn xid(number: u32, turn: u8) -> u32 {
    (number.wrapping_mul(0x9e37_79b1) & !0xff) | turn as u32
}

/// A permutation of the numbers below 2^`bits` (at most 31), so that neighbours in time are not neighbours in number.
#[must_use]
#[inline(always)]
pub const fn shuffled(position: u32, bits: u32) -> u32 {
    let mask = (1 << bits) - 1;
    let half = bits.div_ceil(2);
    let mut number = position & mask;
    number = number.wrapping_mul(0x9e37_79b1) & mask;
    number ^= number >> half;
    number = number.wrapping_mul(0x85eb_ca6b) & mask;
    number ^= number >> half;
    number.wrapping_mul(0xc2b2_ae35) & mask
}

/// How far a client has come.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Has no address and asks for none.
    Idle = 0,
    /// Waits for an OFFER.
    Selecting = 1,
    /// Waits for the ACK of what it was offered.
    Requesting = 2,
    /// Has a lease.
    Bound = 3,
    /// Has a lease and waits for the ACK that extends it.
    Renewing = 4,
}

/// Address, turn and state of a client in one 64-bit cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(pub u64);

impl Word {
    /// The word of a client with this raw address.
    #[must_use]
    #[inline(always)]
    pub const fn new(address: u32, turn: u8, state: State) -> Self {
        Self(address as u64 | (turn as u64) << 32 | (state as u64) << 40)
    }

    /// The address it holds, was offered or last had, raw.
    #[must_use]
    #[inline(always)]
    pub const fn address(self) -> u32 {
        self.0 as u32
    }

    /// The number of its latest request, modulo 256.
    #[must_use]
    #[inline(always)]
    pub const fn turn(self) -> u8 {
        (self.0 >> 32) as u8
    }

    /// Whether this is its state.
    #[must_use]
    #[inline(always)]
    pub const fn is(self, state: State) -> bool {
        self.0 >> 40 == state as u64
    }

    /// Whether it has a lease.
    #[must_use]
    #[inline(always)]
    pub const fn has_lease(self) -> bool {
        self.0 >> 40 >= State::Bound as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_back_from_the_hardware_address() {
        for number_ in [0, 1, 255, 256, 0x0102_0304, u32::MAX] {
            let (head, tail) = hardware_address(number_);
            assert_eq!(number(head, tail), Some(number_));
        }
        assert_eq!(number(u32::from_ne_bytes([2, 0x4c, 0, 0]), 0), None);
    }

    #[test]
    fn shuffling_leaves_nobody_out() {
        for bits in [1, 2, 3, 8, 13] {
            let mut seen = [false; 1 << 13];
            for position in 0..1 << bits {
                seen[shuffled(position, bits) as usize] = true;
            }
            assert!(seen[..1 << bits].iter().all(|seen| *seen), "{bits} bits");
        }
    }

    #[test]
    fn a_word_keeps_its_parts() {
        let word = Word::new(0x0102_0304, 200, State::Requesting);
        assert_eq!((word.address(), word.turn()), (0x0102_0304, 200));
        assert!(word.is(State::Requesting) && !word.is(State::Idle) && !word.has_lease());
        assert!(Word::new(1, 2, State::Renewing).has_lease());
    }
}
