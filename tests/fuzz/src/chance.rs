//! What a case is drawn from: a seed, or the octets that a fuzzer has made up.

/// A sequence of decisions, always the same for the same source.
#[derive(Clone, Debug)]
pub struct Chance<'a>(Source<'a>);

#[derive(Clone, Debug)]
enum Source<'a> {
    Seed(u64),
    Octets(&'a [u8]),
}

impl<'a> Chance<'a> {
    /// Decisions without end that look random.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self(Source::Seed(seed))
    }

    /// Decisions that these octets make. When they are used up, the first choice is taken always.
    #[must_use]
    pub const fn of(octets: &'a [u8]) -> Self {
        Self(Source::Octets(octets))
    }

    /// Whether there is nothing more to decide by.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.0, Source::Octets([]))
    }

    /// A number of `octets` octets, eight at most.
    fn number(&mut self, octets: usize) -> u64 {
        match &mut self.0 {
            // splitmix64
            Source::Seed(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                (mixed ^ (mixed >> 31)) >> (64 - 8 * octets)
            }
            Source::Octets(left) => {
                let (taken, rest) = left.split_at(octets.min(left.len()));
                *left = rest;
                taken.iter().fold(0, |number, octet| number << 8 | u64::from(*octet))
            }
        }
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.number(8)
    }

    /// Any octet.
    pub fn octet(&mut self) -> u8 {
        self.number(1) as u8
    }

    /// Any two octets as a number.
    pub fn word(&mut self) -> u16 {
        self.number(2) as u16
    }

    /// A number below `count`; zero if that is zero.
    pub fn below(&mut self, count: usize) -> usize {
        if count < 2 {
            return 0;
        }
        let number = self.number(if count <= 256 { 2 } else { 4 });
        number as usize % count
    }

    /// Whether something is to be that comes once in `count` times.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == count - 1
    }

    /// One of these.
    pub fn pick<'b, T>(&mut self, of: &'b [T]) -> &'b T {
        &of[self.below(of.len())]
    }

    /// So many octets.
    pub fn octets(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.octet()).collect()
    }
}
