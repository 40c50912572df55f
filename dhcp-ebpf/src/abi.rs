//! What the program and the daemon must agree on: names, layouts and the version of the shared maps.

use core::net::Ipv4Addr;

/// Raised with every change to a layout, a name or a meaning in this file, `slot`, `question` or `verdict`.
pub const VERSION: u32 = 7;

/// Names of the maps; pins carry the same names.
pub mod maps {
    /// Array, mmapable: the slots of all leases, [`SLOT_CELLS`](crate::slot::SLOT_CELLS) cells each.
    pub const SLOTS: &str = "SLOTS";
    /// Array, mmapable: chunks of answers. Leases that are answered alike share theirs.
    pub const CHUNKS: &str = "CHUNKS";
    /// Hash map from [`RunKey`](super::RunKey) to the first of a run of 256 slots.
    pub const RUNS: &str = "RUNS";
    /// Array, mmapable: lines of [`leads`](crate::leads), from questions without ciaddr to slots.
    pub const QUESTIONS: &str = "QUESTIONS";
    /// Array of one: the [`Keys`](crate::question::Keys) that questions are hashed with.
    pub const KEYS: &str = "KEYS";
    /// Array of one, mmapable: the [`Control`](super::Control) cells.
    pub const CONTROL: &str = "CONTROL";
    /// Hash map from interface index to [`Mac`](super::Mac).
    pub const INTERFACES: &str = "INTERFACES";
    /// Array from interface index, below [`STATIONS`](super::STATIONS), to the [`Mac`](super::Mac) that `INTERFACES` has
    /// for it; zero for none. A look there costs a tenth.
    pub const STATIONS: &str = "STATIONS";
    /// Hash map from [`NetAddr`](super::NetAddr): the addresses at which frames are for us.
    pub const ADDRESSES: &str = "ADDRESSES";
    /// Per-CPU array of counters, one for each [`Verdict`](crate::verdict::Verdict).
    pub const COUNTERS: &str = "COUNTERS";
    /// Ring of exchanges already begun: REQUEST, DECLINE, RELEASE.
    pub const BEGUN: &str = "BEGUN";
    /// Ring of everything else.
    pub const FRESH: &str = "FRESH";
    /// Array, mmapable, not pinned: the frames of a call, as [`live`](super::live) has them.
    pub const OUTGOING: &str = "OUTGOING";
    /// Array of one, mmapable, not pinned: the cells of a [`Call`](super::live::Call).
    pub const CALL: &str = "CALL";
    /// Ring, not pinned: what is captured, as [`capture`](super::capture) has it.
    pub const CAPTURED: &str = "CAPTURED";
    /// Per-CPU array of one, not pinned: how many frames that ring had no room for.
    pub const UNCAPTURED: &str = "UNCAPTURED";
    /// Program array of one, pinned where another's program calls ours: the program that answers.
    pub const ENTRY: &str = "ENTRY";
    /// Per-CPU array from interface index, below [`STATIONS`](super::STATIONS), pinned with it: how many frames came so.
    pub const CALLED: &str = "CALLED";
    /// Program array of one, pinned where ours calls another's program: that one.
    pub const NEXT: &str = "NEXT";
}

/// Copies of frames, which the program makes that takes the DHCP program's place while somebody captures. Its ring lives as
/// long as that; what is laid out here is no part of [`VERSION`].
pub mod capture {
    /// [`Header::direction`] of a frame that came.
    pub const CAME: u8 = 0;
    /// [`Header::direction`] of an answer that leaves.
    pub const LEFT: u8 = 1;

    /// What precedes a frame. At most [`RECORD_LARGE`](super::RECORD_LARGE) octets of it follow.
    #[repr(C)]
    #[derive(Clone, Copy, Debug)]
    pub struct Header {
        /// Boot time in nanoseconds at which the frame came, or that which was answered.
        pub at: u64,
        /// The interface.
        pub ifindex: u32,
        /// Octets of the frame; more than follow if it is a long one.
        pub len: u16,
        /// The counter of what became of the frame.
        pub counter: u8,
        /// [`CAME`] or [`LEFT`].
        pub direction: u8,
    }

    const _: () = assert!(size_of::<Header>() == 16);
}

/// How the daemon has the kernel send frames: it writes them into a map and runs the DHCP program that often, each time on a
/// blank frame that carries [`MARK`](live::MARK) octets of metadata, as no driver's does. These maps live as long as the
/// daemon; what is laid out here is no part of [`VERSION`].
pub mod live {
    /// Octets of metadata on a blank frame.
    pub const MARK: usize = 28;
    /// Frames of a call.
    pub const FRAMES: u32 = 512;
    /// Octets of the longest frame.
    pub const LONGEST: usize = 8 * (CELLS - FRAME);
    /// Cell of a frame: how many octets it has.
    pub const LEN: usize = 0;
    /// Cell of a frame: its last eight octets.
    pub const LAST: usize = 1;
    /// The first of the cells that a frame's octets fill, from its beginning.
    pub const FRAME: usize = 2;
    /// Cells of a frame.
    pub const CELLS: usize = 192;

    /// Cells that tell of a call, each a `u64`.
    pub struct Call;

    impl Call {
        /// How many frames there are to send; zero when none is to be sent, and a mark means nothing.
        pub const COUNT: usize = 0;
        /// The number of the frame that is next.
        pub const NEXT: usize = 1;
        /// The thread that calls, as the kernel knows it.
        pub const THREAD: usize = 2;
        /// How many notes there are, or would be if there were room.
        pub const NOTES: usize = 3;
        /// The first note: how many of the frames that follow those of the note before the driver has taken, in the lower
        /// half, and how many after them it has not.
        pub const FIRST_NOTE: usize = 8;
        /// How many notes there is room for. Drivers get up to 16 frames at a time.
        pub const MOST_NOTES: usize = 64;
        /// How many cells there are.
        pub const CELLS: usize = Self::FIRST_NOTE + Self::MOST_NOTES;
    }
}

/// Constants of the program that the loader sets.
pub mod constants {
    /// How many lines `QUESTIONS` has.
    pub const QUESTION_LINES: &str = "QUESTION_LINES";
}

/// The program that answers, the one that watches what drivers take, and the one that passes everything (for the far end of a
/// veth pair).
pub mod programs {
    /// The DHCP program.
    pub const XDHCPD: &str = "xdhcpd";
    /// Does the same, and hands what goes to the host's stack to another's program.
    pub const XDHCPD_NEXT: &str = "xdhcpd_next";
    /// What another's program calls, to go on with the DHCP program.
    pub const ENTRY: &str = "xdhcpd_entry";
    /// Does what the DHCP program does and copies frames: takes its place while somebody captures.
    pub const CAPTURING: &str = "capturing";
    /// The same for `XDHCPD_NEXT`.
    pub const CAPTURING_NEXT: &str = "capturing_next";
    /// Notes how many of the frames that the daemon has sent drivers have taken: a raw tracepoint program.
    pub const TAKEN: &str = "taken";
    /// Where it runs; besides, the thread that calls runs it on a context of zeros, by which it makes itself known.
    pub const TAKEN_AT: &str = "xdp_devmap_xmit";
    /// Passes every frame.
    pub const PASS: &str = "pass";
}

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

impl Link {
    /// The link as one 64-bit cell.
    #[must_use]
    #[inline(always)]
    pub const fn cell(self) -> u64 {
        self.ifindex as u64 | (self.outer as u64) << 32 | (self.inner as u64) << 48
    }

    /// The link that [`cell`](Self::cell) packed.
    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "unpacks the parts")]
    pub const fn from_cell(cell: u64) -> Self {
        Self { ifindex: cell as u32, outer: (cell >> 32) as u16, inner: (cell >> 48) as u16 }
    }
}

/// An IPv4 address in network byte order, as it lies in a frame.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NetAddr(pub u32);

impl NetAddr {
    /// 0.0.0.0
    pub const UNSPECIFIED: Self = Self(0);
    /// 255.255.255.255
    pub const BROADCAST: Self = Self(u32::MAX);

    /// The address's last octet: its place in its run of slots.
    #[must_use]
    #[inline(always)]
    pub const fn last_octet(self) -> u32 {
        u32::from_be(self.0) & 0xff
    }

    /// Whether this is 0.0.0.0.
    #[must_use]
    #[inline(always)]
    pub const fn is_unspecified(self) -> bool {
        self.0 == 0
    }

    /// Whether this is 255.255.255.255.
    #[must_use]
    #[inline(always)]
    pub const fn is_broadcast(self) -> bool {
        self.0 == u32::MAX
    }
}

impl From<Ipv4Addr> for NetAddr {
    fn from(address: Ipv4Addr) -> Self {
        Self(u32::from_ne_bytes(address.octets()))
    }
}

impl From<NetAddr> for Ipv4Addr {
    fn from(address: NetAddr) -> Self {
        Self::from(address.0.to_ne_bytes())
    }
}

/// An Ethernet address as its raw first four and last two bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mac {
    /// The first four bytes, raw.
    pub head: u32,
    /// The last two bytes, raw.
    pub tail: u16,
    /// Zero, so that no byte of a map's value is undefined.
    pub zero: u16,
}

impl Mac {
    /// ff:ff:ff:ff:ff:ff
    pub const BROADCAST: Self = Self::from_raw(u32::MAX, u16::MAX);

    /// Whether this is no station's address: all zero.
    #[must_use]
    #[inline(always)]
    pub const fn is_unset(self) -> bool {
        self.cell() == 0
    }

    /// The address with these raw bytes.
    #[must_use]
    #[inline(always)]
    pub const fn from_raw(head: u32, tail: u16) -> Self {
        Self { head, tail, zero: 0 }
    }

    /// The address as one 64-bit cell, its top 16 bits zero.
    #[must_use]
    #[inline(always)]
    pub const fn cell(self) -> u64 {
        self.head as u64 | (self.tail as u64) << 32
    }

    /// The address that [`cell`](Self::cell) packed.
    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "unpacks the parts")]
    pub const fn from_cell(cell: u64) -> Self {
        Self::from_raw(cell as u32, (cell >> 32) as u16)
    }

    /// The six bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; 6] {
        let ([a, b, c, d], [e, f]) = (self.head.to_ne_bytes(), self.tail.to_ne_bytes());
        [a, b, c, d, e, f]
    }
}

impl From<[u8; 6]> for Mac {
    fn from([a, b, c, d, e, f]: [u8; 6]) -> Self {
        Self::from_raw(u32::from_ne_bytes([a, b, c, d]), u16::from_ne_bytes([e, f]))
    }
}

/// Key of the hash map that leads to slots: a link and the upper 24 bits of an address.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RunKey {
    /// The link as a cell.
    pub link: u64,
    /// The address in host byte order without its last octet.
    pub net: u32,
    /// Zero, so that no byte of the key is undefined.
    pub zero: u32,
}

impl RunKey {
    /// The run that the lease of `address` on `link` lies in.
    #[must_use]
    #[inline(always)]
    pub const fn new(link: Link, address: NetAddr) -> Self {
        Self { link: link.cell(), net: u32::from_be(address.0) >> 8, zero: 0 }
    }
}

/// Interfaces with an index below this are found in an array.
pub const STATIONS: u32 = 1024;

/// Slots in a run: one for each value of an address's last octet.
pub const RUN: u32 = 256;

/// Cells of the control map, each a `u64`.
pub struct Control;

impl Control {
    /// [`VERSION`] of the program that the maps were made for; zero until all that it is to find in them is there.
    pub const VERSION: usize = 0;
    /// The store's id, two cells.
    pub const STORE: usize = 1;
    /// Boot time in nanoseconds at which the daemon was last seen alive.
    pub const HEARTBEAT: usize = 3;
    /// The number of the store's last commit that what is promised rests upon; zero before any was told.
    pub const COMMIT: usize = 4;
    /// How many cells there are.
    pub const CELLS: usize = 8;
}

/// For how long, in nanoseconds, a daemon may be silent before DHCP frames go to the host's stack.
pub const HEARTBEAT_PATIENCE: u64 = 5_000_000_000;

/// How far, in nanoseconds, the program's clock may be behind: that of the kernel's tick, which comes late where a
/// hypervisor lets a CPU wait. A promise is made so much longer, which costs nothing but the time until the address may
/// be another client's.
pub const CLOCK_LAG: u64 = 1_000_000_000;

/// What precedes a frame in a ring record. The frame follows at once, `len` bytes of it meaningful.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RecordHeader {
    /// Boot time of arrival in nanoseconds.
    pub arrival: u64,
    /// The interface the frame came in on.
    pub ifindex: u32,
    /// Bytes of the frame.
    pub len: u16,
    /// Why it went up: [`Why`](crate::verdict::Why) as a number.
    pub why: u8,
    /// Zero.
    pub zero: u8,
    /// The lease word of a RELEASE's ciaddr as it was on arrival: what the client knew of when it released. Zero for
    /// anything else, and where no slot belongs to the ciaddr.
    pub word: u64,
}

/// Room for a frame in a ring record of the smaller kind.
pub const RECORD_SMALL: usize = 624;
/// Room for a frame in a ring record of the larger kind: an Ethernet frame of full size with two tags.
pub const RECORD_LARGE: usize = 1528;

const _: () = assert!(size_of::<Link>() == 8 && size_of::<Mac>() == 8);
const _: () = assert!(size_of::<RunKey>() == 16 && size_of::<RecordHeader>() == 24);
