//! Memory for the leases to come, allocated before anybody waits for it.

use libmimalloc_sys::{mi_collect, mi_option_set, mi_option_t};

/// Octets that the daemon's memory grows by with a lease.
pub(in crate::server) const LEASE: usize = 256;
/// Octets that are allocated beforehand, at most: for the next 262,144 leases.
const MOST: usize = 64 << 20;
/// Octets that are asked for at a time.
const PIECE: usize = 16 << 10;
/// `mi_option_purge_delay` of mimalloc.h: after how many milliseconds unused memory goes back to the system; negative for
/// never.
const PURGE_DELAY: mi_option_t = 15;

/// Has the allocator hold memory for so many leases, up to [`MOST`], and keep freed memory from now on: the next
/// burst takes the memory of the last one again.
///
/// Memory that the system gives anew is cleared when it is touched first, in pieces of 2 MiB. Each piece holds up the
/// deciding thread, on a virtual machine for milliseconds; after a power cut that would happen when all clients come
/// at once.
pub(in crate::server) fn make(leases: usize) {
    // What the start took, records of all leases, is not needed again.
    // SAFETY: it gives back memory that is in nobody's hands, and may be called by any thread.
    unsafe { mi_collect(true) };
    // SAFETY: it stores an aligned number in the allocator's table of options. Another thread that frees memory meanwhile
    // reads the old one or the new, and either will do.
    unsafe { mi_option_set(PURGE_DELAY, -1) };
    let octets = leases.saturating_mul(LEASE).min(MOST);
    // Zeros would not be touched: the system's memory is zero.
    let pieces: Vec<Vec<u8>> = (0..octets / PIECE).map(|_| vec![1; PIECE]).collect();
    drop(std::hint::black_box(pieces));
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    #[test]
    fn the_option_is_the_one_that_it_is_taken_for() {
        // SAFETY: it reads a number from the allocator's table of options, which no test writes.
        let milliseconds = unsafe { mi_option_get(super::PURGE_DELAY) };
        assert_eq!(milliseconds, 1000, "the allocator's own, which no other option has");
    }
}
