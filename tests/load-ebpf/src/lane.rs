//! A lane: one kind of request, as a frame to be filled in for each client.
//!
//! Every frame carries 300 octets of BOOTP, and the options begin with 53 and, as far as they are there, 50, 61 and 12: so the
//! places to fill in follow from what is to be filled in.

/// What is sent on a lane. Each but [`Select`](Self::Select) has a program of its name.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// DISCOVERs of clients without a lease.
    Discover,
    /// The REQUESTs that answer OFFERs; sent by the receiving program.
    Select,
    /// Requests to extend a lease.
    Renew,
    /// RELEASEs.
    Release,
    /// DECLINEs.
    Decline,
}

/// How many lanes there are.
pub const LANES: usize = 5;
/// How many sorts of clients there are. Each has a frame of its own on each lane; what all sorts share of a lane is in the
/// cells of the first.
pub const SORTS: usize = 10;

/// The sort of client `number`.
#[must_use]
#[inline(always)]
pub const fn sort(number: u32) -> usize {
    number as usize % SORTS
}

impl Lane {
    /// The name of the lane's program.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Discover => "discover",
            Self::Select => "receive",
            Self::Renew => "renew",
            Self::Release => "release",
            Self::Decline => "decline",
        }
    }
}

/// Room for a frame with two tags, in cells.
pub const FRAME_CELLS: usize = 44;
/// Octets of an untagged frame; each tag adds four.
pub const FRAME: usize = 342;

/// Cell: one's complement sum of the IP header as it is in the frame, whose checksum and, if it is to be filled in,
/// source are zero.
pub const IP_SUM: usize = 44;
/// Cell: the same of UDP with its pseudo header.
pub const UDP_SUM: usize = 45;
/// Cell: octets before the IP header: 14, 18 or 22.
pub const LINK_HEADER: usize = 46;
/// Cell: what is to be filled in, of the constants below.
pub const FILL: usize = 47;
/// Cell: the first of the clients that a shared lane is about.
pub const FIRST: usize = 48;
/// Cell: how many clients it is about.
pub const SPAN: usize = 49;
/// Cell: the least number of bits that can count them, which shuffles them; or [`IN_ORDER`].
pub const BITS: usize = 50;
/// Cell: whether the sending of one client is timed.
pub const TIMED: usize = 51;
/// Cell: what the receiving program does once a client has its lease: 1, it lets the next one begin.
pub const CHAIN: usize = 52;
/// Cell: for how long, in ns, a client must have waited before it may begin anew; 0: it never may.
pub const RETRY: usize = 53;
/// Cell: where in the frame the four octets are by which a relay tells its circuits apart.
pub const CIRCUIT_AT: usize = 54;
/// Cell, on a cache line of its own: the position of the next client of a shared lane.
pub const POSITION: usize = 56;
/// Cells of a lane.
pub const CELLS: usize = 64;

/// [`BITS`]: they take their turns in the order of their numbers.
pub const IN_ORDER: u32 = 0;

/// [`FILL`]: the Ethernet source is the client's.
pub const ETHERNET_SOURCE: u64 = 1;
/// [`FILL`]: the IP source is the client's address.
pub const IP_SOURCE: u64 = 2;
/// [`FILL`]: ciaddr.
pub const CIADDR: u64 = 4;
/// [`FILL`]: option 50, which follows option 53.
pub const REQUESTED: u64 = 8;
/// [`FILL`]: option 61, the client's hardware address; it follows those.
pub const IDENTIFIER: u64 = 16;
/// [`FILL`]: option 12, eight letters; it follows those.
pub const HOST_NAME: u64 = 32;
/// [`FILL`]: the circuit.
pub const CIRCUIT: u64 = 64;

/// Cells of a [`TURNS`](crate::maps::TURNS) element: the client whose turn it is, the first, and the one after the last.
pub const TURN_NEXT: usize = 0;
/// The first client.
pub const TURN_FIRST: usize = 1;
/// The client after the last.
pub const TURN_END: usize = 2;
/// Cells of the element: a cache line.
pub const TURN_CELLS: usize = 8;

/// The letters of client `number`'s host name, as two raw words.
#[must_use]
#[inline(always)]
pub const fn letters(number: u32) -> (u32, u32) {
    (four_letters(number & 0xffff), four_letters(number >> 16))
}

const fn four_letters(sixteen_bits: u32) -> u32 {
    let spread = (sixteen_bits | sixteen_bits << 8) & 0x00ff_00ff;
    let spread = (spread | spread << 4) & 0x0f0f_0f0f;
    spread + 0x6161_6161
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::letters;

    #[test]
    fn host_names_are_letters_and_each_is_another() {
        let octets = |number| [letters(number).0.to_ne_bytes(), letters(number).1.to_ne_bytes()].concat();
        let all: std::collections::BTreeSet<_> = (0..70_000).map(octets).collect();
        assert_eq!(all.len(), 70_000);
        assert!(all.iter().flatten().all(u8::is_ascii_lowercase));
    }
}
