//! What the program and the daemon must agree on: names, layouts and the version of the shared maps.

/// The place a frame came from, and the only place its answer may go: an interface and the VLAN ids on the frame.
///
/// A priority tag (VLAN id 0) counts as no tag, as IEEE 802.1Q has it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// Interface index, host byte order.
    pub ifindex: u32,
    /// Outer VLAN id, host byte order; 0 when the frame is untagged.
    pub outer: u16,
    /// Inner VLAN id, host byte order; 0 unless the frame carries two tags.
    pub inner: u16,
}
