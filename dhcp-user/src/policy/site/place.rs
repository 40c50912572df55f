//! A number for each address that the configuration gives to clients.

/// An address that policy answers for, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::policy) struct Place(pub(in crate::policy) u32);

impl Place {
    pub(in crate::policy) const NONE: Self = Self(u32::MAX);
    /// No place is before it.
    pub(in crate::policy) const FIRST: Self = Self(0);

    pub(in crate::policy) fn at(self) -> usize {
        self.0 as usize
    }
}
