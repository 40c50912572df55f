//! The identity of a client (RFC 2131 §4.2): its client identifier, else its hardware address.

use std::hash::Hash;

use ahash::RandomState;

use crate::message::Request;
use crate::store::HwAddr;

/// Octets that the client identifiers of a Microsoft RAS begin with: hardware type 1 and `RAS `.
const RAS: &[u8] = b"\x01RAS ";

/// The identity of a client. The two kinds are never equal, whatever their octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Identity<'a> {
    /// Option 61.
    ClientId(&'a [u8]),
    /// htype and chaddr.
    Hardware(HwAddr),
}

impl<'a> Identity<'a> {
    /// The identity of a client with this identifier, if any, and this hardware address.
    #[must_use]
    pub fn new(client_id: Option<&'a [u8]>, chaddr: HwAddr) -> Self {
        client_id.map_or(Self::Hardware(chaddr), Self::ClientId)
    }

    /// The identity of the client that sent `request`.
    #[must_use]
    pub fn of(request: &'a Request) -> Self {
        Self::new(request.options.client_id.as_deref(), request.chaddr)
    }

    /// Whether this is one of the clients that a remote access server poses as.
    #[must_use]
    pub fn is_ras(&self) -> bool {
        matches!(self, Self::ClientId(id) if id.starts_with(RAS))
    }
}

/// A keyed hash: nobody who does not know the key can choose identities that collide.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Keyed(RandomState);

impl Keyed {
    pub(in crate::policy) fn new(seed: u64) -> Self {
        // Different words of key from one seed (the constant is the golden ratio's).
        let word = |by: u32| seed.rotate_left(by) ^ 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(by.into());
        Self(RandomState::with_seeds(word(0), word(16), word(32), word(48)))
    }

    pub(in crate::policy) fn hash(&self, value: &impl Hash) -> u64 {
        self.0.hash_one(value)
    }
}
