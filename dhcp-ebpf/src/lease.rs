//! The lease word: all that kernel and daemon may both change about a lease, in 64 bits.
//!
//! ```text
//!  63     62 ─────── 48 47 ──── 32 31 ──────────────── 0
//! ┌───────┬────────────┬──────────┬─────────────────────┐
//! │ alive │ generation │ changes  │ expiry (boot secs)  │
//! └───────┴────────────┴──────────┴─────────────────────┘
//! ```
//!
//! Neither side changes it but by compare-and-swap from the value it judged, and every ACK of the kernel's counts as a
//! change, even one that promises no more than the word did: what the daemon judged before it, such as a RELEASE that
//! arrived within the same second, then no longer holds. The expiry of an address never goes back while the maps live
//! (a revoked word keeps the last promise), so a word can take an earlier value again only within one second, by
//! 2^16 changes or 2^15 generations: not while one frame is answered.

use crate::abi::CLOCK_LAG;

/// A moment in whole seconds of `CLOCK_BOOTTIME`, the clock that promises are made in.
///
/// It runs on through suspend, never steps, and starts anew at each boot.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootSecs(pub u32);

impl BootSecs {
    /// The end of the clock, which no clock reaches: of what has no end.
    pub const NEVER: Self = Self(u32::MAX);

    /// The second that `nanos` of boot time lies in, for judging whether a moment has come.
    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "136 years of uptime")]
    pub const fn floor(nanos: u64) -> Self {
        Self((nanos / 1_000_000_000) as u32)
    }

    /// The first whole second not before `nanos` of boot time, for making promises from.
    #[must_use]
    #[inline(always)]
    pub const fn ceil(nanos: u64) -> Self {
        Self::floor(nanos + 999_999_999)
    }

    /// This moment and `secs` seconds; saturates at the end of the clock.
    #[must_use]
    #[inline(always)]
    pub const fn plus(self, secs: u32) -> Self {
        Self(self.0.saturating_add(secs))
    }
}

/// A moment as it is judged by and promised from. Made once for many frames: to divide takes longer than to load a line.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds of boot time.
    pub nanos: u64,
    /// The second it lies in: leases that end no later have ended.
    pub second: BootSecs,
    /// Where promises begin: the first whole second that is no earlier, were the clock [behind](CLOCK_LAG).
    pub promised_from: BootSecs,
}

impl Now {
    /// This moment of boot time in nanoseconds.
    #[must_use]
    #[inline(always)]
    pub const fn at(nanos: u64) -> Self {
        Self { nanos, second: BootSecs::floor(nanos), promised_from: BootSecs::ceil(nanos + CLOCK_LAG) }
    }
}

const ALIVE: u64 = 1 << 63;
const GENERATION_SHIFT: u32 = 48;
const GENERATION_MASK: u64 = 0x7fff;
const CHANGES_SHIFT: u32 = 32;
const CHANGES_MASK: u64 = 0xffff;
const EXPIRY_MASK: u64 = 0xffff_ffff;

/// The 64-bit word of a lease. All zero (a fresh map) is a dead word of generation 0.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Word(pub u64);

impl Word {
    /// Whether the kernel may answer for this lease (until its expiry).
    #[must_use]
    #[inline(always)]
    pub const fn alive(self) -> bool {
        self.0 & ALIVE != 0
    }

    /// How often this address was revoked since the maps were made, modulo 2^15.
    #[must_use]
    #[inline(always)]
    pub const fn generation(self) -> u16 {
        ((self.0 >> GENERATION_SHIFT) & GENERATION_MASK) as u16
    }

    /// How often this word was changed within its generation, modulo 2^16.
    #[must_use]
    #[inline(always)]
    pub const fn changes(self) -> u16 {
        ((self.0 >> CHANGES_SHIFT) & CHANGES_MASK) as u16
    }

    /// The first moment at which the lease no longer holds.
    #[must_use]
    #[inline(always)]
    pub const fn expiry(self) -> BootSecs {
        BootSecs((self.0 & EXPIRY_MASK) as u32)
    }

    /// Alive and not expired at `now` (rounded down).
    #[must_use]
    #[inline(always)]
    pub const fn holds(self, now: BootSecs) -> bool {
        self.alive() && now.0 < self.expiry().0
    }

    /// The live word that promises until `expiry`, or until this word's own expiry if that is later. So the kernel leaves
    /// it when it ACKs, and always as another word.
    #[must_use]
    #[inline(always)]
    pub const fn granted(self, expiry: BootSecs) -> Self {
        let later = if expiry.0 > self.expiry().0 { expiry } else { self.expiry() };
        Self((self.moved().0 & !EXPIRY_MASK) | ALIVE | later.0 as u64)
    }

    /// This word as the daemon leaves it when it moves the expiry ahead: what promises nothing new changes nothing.
    #[must_use]
    #[inline(always)]
    pub const fn extended(self, expiry: BootSecs) -> Self {
        if expiry.0 > self.expiry().0 { self.granted(expiry) } else { self }
    }

    /// This word with one more change counted: whoever judged the old one loses its swap.
    #[must_use]
    #[inline(always)]
    pub const fn moved(self) -> Self {
        let changes = (self.0 >> CHANGES_SHIFT).wrapping_add(1) & CHANGES_MASK;
        Self((self.0 & !(CHANGES_MASK << CHANGES_SHIFT)) | (changes << CHANGES_SHIFT))
    }

    /// The dead word of the same generation: the lease goes on, but not in the kernel.
    #[must_use]
    #[inline(always)]
    pub const fn suspended(self) -> Self {
        Self(self.moved().0 & !ALIVE)
    }

    /// The dead word of the next generation. It keeps the expiry: the last promise made for the address.
    #[must_use]
    #[inline(always)]
    pub const fn revoked(self) -> Self {
        let generation = (self.0 >> GENERATION_SHIFT).wrapping_add(1) & GENERATION_MASK;
        Self((generation << GENERATION_SHIFT) | (self.0 & EXPIRY_MASK))
    }
}
