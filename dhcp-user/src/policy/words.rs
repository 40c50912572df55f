//! The lease words that policy shares with the kernel, as policy sees them.

use std::net::Ipv4Addr;

use dhcp_ebpf::lease::Word;

/// Access to the lease words. It is passed into every call, like the time: shared memory, no I/O.
///
/// Every address of a pool or a reservation has a word.
pub trait Words {
    /// The word of `address` at this instant.
    fn load(&self, address: Ipv4Addr) -> Word;

    /// Ends the word's promise: swaps `judged` for its revoked successor, and returns that.
    ///
    /// # Errors
    /// The word as it is now, if it isn't `judged` any more; nothing was changed then.
    fn revoke(&self, address: Ipv4Addr, judged: Word) -> Result<Word, Word>;
}

/// Ends the promise of the word of `address`, even if the kernel extends it meanwhile; returns the resulting word.
pub fn revoke_anyway(words: &dyn Words, address: Ipv4Addr) -> Word {
    let mut judged = words.load(address);
    loop {
        match words.revoke(address, judged) {
            Ok(revoked) => return revoked,
            Err(current) => judged = current,
        }
    }
}
