//! Buckets of a histogram of times: 32 to each power of two, so that none is wider than 3 % of what it holds.

/// What a time is of.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From a renewal to its ACK.
    Renewal,
    /// From a DISCOVER to its OFFER.
    Offer,
    /// From a DISCOVER to the ACK.
    Exchange,
}

/// How many kinds there are.
pub const KINDS: usize = 3;

const SUB_BITS: u32 = 5;
const SUBS: u64 = 1 << SUB_BITS;
/// The largest exponent of its own: what takes 2^37 ns (more than two minutes) or longer is in the last bucket.
const TOP: u32 = 36;

/// Buckets of one kind.
pub const BUCKETS: usize = ((TOP - SUB_BITS + 2) as usize) << SUB_BITS;

/// The bucket of a time in nanoseconds.
#[must_use]
#[inline(always)]
pub fn bucket(nanoseconds: u64) -> u32 {
    if nanoseconds < SUBS {
        return nanoseconds as u32;
    }
    let mut exponent = 0;
    let mut rest = nanoseconds;
    // Written out: the target has no instruction that counts leading zeros.
    for step in [32, 16, 8, 4, 2, 1] {
        if rest >> step != 0 {
            rest >>= step;
            exponent += step;
        }
    }
    if exponent > TOP {
        return BUCKETS as u32 - 1;
    }
    let sub = (nanoseconds >> (exponent - SUB_BITS)) & (SUBS - 1);
    ((exponent - SUB_BITS + 1) << SUB_BITS) + sub as u32
}

/// The least time in nanoseconds that belongs to a bucket.
#[must_use]
pub const fn least(bucket: u32) -> u64 {
    let (row, sub) = (bucket >> SUB_BITS, bucket as u64 & (SUBS - 1));
    match row {
        0 => sub,
        row => (SUBS + sub) << (row - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_begins_where_the_one_before_it_ends() {
        for at in 1..BUCKETS as u32 {
            assert_eq!(bucket(least(at)), at);
            assert_eq!(bucket(least(at) - 1), at - 1);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS as u32 - 1);
    }
}
