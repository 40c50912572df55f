//! Who a client is (RFC 2131 §4.2): by its client identifier, else by its hardware address.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::message::Request;
use crate::store::HwAddr;

/// Octets that the client identifiers of a Microsoft RAS begin with: hardware type 1 and `RAS `.
const RAS: &[u8] = b"\x01RAS ";

/// What a client is known by. The two kinds are never equal, whatever their octets.
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
#[derive(Clone, Copy, Debug)]
pub(super) struct Keyed(u64, u64);

impl Keyed {
    pub(super) fn new(seed: u64) -> Self {
        // Two different words of key from one seed (the constant is the golden ratio's).
        Self(seed, seed.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(super) fn hash(self, value: &impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.0, self.1).hash(&mut hasher);
        value.hash(&mut hasher);
        hasher.finish()
    }
}
