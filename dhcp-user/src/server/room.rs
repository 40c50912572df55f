//! Memory for the leases to come, had before anybody waits for it.

/// Octets that the daemon's memory grows by with a lease.
const LEASE: usize = 256;
/// Octets that are had beforehand, at most: those of the next 262,144 leases.
const MOST: usize = 64 << 20;
/// Octets that are asked for at a time.
const PIECE: usize = 16 << 10;

/// Has the allocator hold memory for so many leases, if it keeps what it is given back, as `main` has it do.
///
/// Memory that the system gives anew is cleared when it is touched first, in pieces of 2 MiB, each of which holds up the
/// thread that decides for milliseconds. After a power cut that would be when everybody comes at once.
pub(super) fn make(leases: usize) {
    let octets = leases.saturating_mul(LEASE).min(MOST);
    // Zeros would not be touched: the system's memory is zero.
    let pieces: Vec<Vec<u8>> = (0..octets / PIECE).map(|_| vec![1; PIECE]).collect();
    drop(std::hint::black_box(pieces));
}
