//! A message of a scripted client in the envelope it is sent in.

use anyhow::Result;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::wire::{Envelope, Message};

/// Ids differ even between clients that share a wire, so that no answer is taken for another's.
static NEXT_XID: AtomicU32 = AtomicU32::new(0x5eed_0001);

/// A message and the envelope it is sent in; a test may change either before it goes out.
#[derive(Clone, Debug)]
pub struct Request {
    /// Addresses and tags.
    pub envelope: Envelope,
    /// The message.
    pub message: Message,
}

impl Request {
    /// The frame as it is sent.
    ///
    /// # Errors
    /// When the message is too long for one packet.
    pub fn frame(&self) -> Result<Vec<u8>> {
        self.envelope.frame(&self.message.encode())
    }

    /// The same request with another transaction id, as a client that asks again would send it.
    #[must_use]
    pub fn again(&self) -> Self {
        let mut request = self.clone();
        request.message.xid = next_xid();
        request
    }
}

/// A transaction id that no other request of this process has.
pub(crate) fn next_xid() -> u32 {
    NEXT_XID.fetch_add(1, Ordering::Relaxed)
}
