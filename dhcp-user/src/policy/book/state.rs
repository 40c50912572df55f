//! The states of an address, how it became free, and the counts by state.

/// The state of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Anybody may have it.
    Free,
    /// Kept for a client that was offered it.
    Offered,
    /// Promised to a client.
    Leased,
    /// Expired, and kept for its last owner a while.
    Grace,
    /// Seen in use by somebody it was not promised to.
    Quarantined,
    /// Kept for a client by the configuration, which has not taken it.
    Reserved,
}

impl State {
    /// All there are.
    pub const ALL: [Self; 6] =
        [Self::Free, Self::Offered, Self::Leased, Self::Grace, Self::Quarantined, Self::Reserved];

    /// Its name in the command line's output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Offered => "offered",
            Self::Leased => "leased",
            Self::Grace => "grace",
            Self::Quarantined => "quarantined",
            Self::Reserved => "reserved",
        }
    }
}

/// How an address became free. The order is the one they are used in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::policy) enum Stock {
    /// It never had an owner, lowest first.
    Fresh,
    /// It was given back, oldest first.
    Freed,
    /// It expired and its grace is over, oldest first.
    Expired,
    /// It is being probed, before anybody asked for it.
    Probing,
    /// It is being probed for a client that waits for it.
    Awaited,
    /// Nobody answered when it was probed, longest ago first.
    Probed,
    /// It was given back, and who gave it back still answers for it: it is left alone for a while.
    Lingering,
}

/// How many addresses of a pool are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([u32; State::ALL.len()]);

impl Tally {
    /// How many are in `state`.
    #[must_use]
    #[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "there is one count for each state"))]
    pub fn of(&self, state: State) -> u32 {
        self.0[state as usize]
    }

    /// One more or less is in `state`.
    #[cfg_attr(not(test), expect(clippy::indexing_slicing, reason = "as in `of`"))]
    pub(super) fn count(&mut self, state: State, by: i32) {
        let count = &mut self.0[state as usize];
        *count = count.saturating_add_signed(by);
    }

    /// How many there are in all.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.0.iter().sum()
    }
}

/// Whether other nodes have a say in an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::policy) enum Apart {
    /// It is this node's alone.
    #[default]
    No,
    /// It is in a block that this node doesn't own.
    Elsewhere,
    /// Another node may have promised it: nobody gets it but the client that has it.
    Promised,
}
