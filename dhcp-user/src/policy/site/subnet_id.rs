//! The number of a subnet in the configuration.

/// A subnet of the configuration, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubnetId(pub u32);

impl SubnetId {
    pub(in crate::policy) fn at(self) -> usize {
        self.0 as usize
    }
}
