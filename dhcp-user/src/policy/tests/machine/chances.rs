//! What may happen, and how often each of it does.

use super::clients::{ADDRESSES, CLIENTS};
use super::{Say, Step};

/// A random number that choices are taken from. One number is a step: strategies in strategies would take more time than
/// all that is tested.
pub(super) struct Chances(pub(super) u64);

impl Chances {
    fn below(&mut self, limit: u32) -> u32 {
        let chosen = self.0 % u64::from(limit);
        self.0 /= u64::from(limit);
        u32::try_from(chosen).expect("less than the limit")
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(u32::try_from(all.len()).expect("a few")) as usize]
    }

    fn number(&mut self, limit: u8) -> u8 {
        u8::try_from(self.below(limit.into())).expect("less than the limit")
    }

    fn client(&mut self) -> u8 {
        self.number(CLIENTS)
    }

    fn address(&mut self) -> u8 {
        self.number(ADDRESSES)
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 1
    }

    /// A lease time to ask for, one time in ten.
    fn wish(&mut self) -> Option<u32> {
        (self.below(10) == 0).then(|| self.one_of(&[1, 60, 300, 999, 1500, u32::MAX]))
    }

    pub(super) fn step(&mut self) -> Step {
        match self.below(102) {
            0..30 => Step::Send(self.client(), self.say()),
            30..36 => Step::Queue(self.client(), self.say()),
            36..42 => Step::Arrive,
            42..48 => Step::KernelRenews(self.client()),
            48..52 => Step::Beat,
            52..60 => {
                let longest = self.one_of(&[3, 20, 700, 3000]);
                Step::Pass(1 + self.below(longest))
            }
            60..68 => Step::EndBatch,
            68..72 => Step::EndHalf,
            72..73 => Step::Forget(self.client()),
            73..75 => Step::Move(self.client()),
            75..76 => Step::Squat(self.address(), self.coin()),
            76..82 => Step::Probe,
            82..84 => Step::OperatorRelease(self.address()),
            84..86 => Step::QuarantineClear(self.address()),
            86..88 => Step::Reload,
            88..100 => Step::Advance(1 + self.number(60)),
            _ => Step::Crash { committed: self.coin(), maps: self.coin() },
        }
    }

    fn say(&mut self) -> Say {
        match self.below(21) {
            0..4 => Say::Discover { asking: (self.below(5) == 0).then(|| self.address()), wish: self.wish() },
            4..11 => Say::Select { wish: self.wish() },
            11..12 => Say::SelectElsewhere,
            12..14 => Say::Renew,
            14..15 => Say::Rebind,
            15..16 => Say::Reboot,
            16..17 => Say::Release { met: self.coin() },
            17..18 => Say::Decline,
            18..19 => Say::Inform,
            19..20 => Say::Bootp,
            _ => Say::Forge(self.number(6), self.address()),
        }
    }
}
