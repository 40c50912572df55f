//! A lane: one kind of request, as a frame to be filled in for each client.
//!
//! Every frame carries 300 octets of BOOTP, and the options begin with 53 and, if it is there, 50: so the places to fill
//! in are the same in all.

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
/// [`FILL`]: option 50.
pub const REQUESTED: u64 = 8;

/// Cells of a [`TURNS`](crate::maps::TURNS) element: the client whose turn it is, the first, and the one after the last.
pub const TURN_NEXT: usize = 0;
/// The first client.
pub const TURN_FIRST: usize = 1;
/// The client after the last.
pub const TURN_END: usize = 2;
/// Cells of the element: a cache line.
pub const TURN_CELLS: usize = 8;
