//! What is counted, per CPU: each a cell of [`COUNTS`](crate::maps::COUNTS).

/// A cell of the counters.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// DISCOVERs sent.
    Discovers,
    /// REQUESTs sent in answer to an OFFER.
    Requests,
    /// Requests to extend a lease sent.
    Renewals,
    /// RELEASEs sent.
    Releases,
    /// DECLINEs sent.
    Declines,
    /// Frames not sent, since nobody was there to send one.
    Nobody,
    /// Right OFFERs received in time.
    Offers,
    /// Right ACKs of new leases received in time.
    Bound,
    /// Right ACKs of renewals received in time.
    Renewed,
    /// Requests to extend a lease that came back as they were sent.
    Reflected,
    /// NAKs received.
    Refused,
    /// Right answers to an earlier request of a client that has asked again since.
    Late,
    /// Right answers to what was answered before.
    Repeated,
    /// Frames for somebody else, passed on.
    Foreign,
    /// Replies that were checked to their last octet: UDP checksum and all options.
    Inspected,
    /// Frames that never left, as far as that is traced.
    Unsent,
    /// Wrong: the IP header's checksum.
    WrongHeader,
    /// Wrong: lengths that do not agree.
    WrongLength,
    /// Wrong: UDP checksum.
    WrongChecksum,
    /// Wrong: a hardware address that never asked.
    WrongClient,
    /// Wrong: a transaction id that this client never used.
    WrongXid,
    /// Wrong: cookie or message type.
    WrongType,
    /// Wrong: another address than the client's.
    WrongAddress,
    /// Wrong: an address that another client holds.
    TwiceGiven,
    /// Wrong: options without server identifier, lease time or END.
    WrongOptions,
}

/// Cells per CPU: whole cache lines.
pub const CELLS: usize = 32;

impl Count {
    /// All of them, in the order of their cells.
    pub const ALL: [Self; 25] = [
        Self::Discovers,
        Self::Requests,
        Self::Renewals,
        Self::Releases,
        Self::Declines,
        Self::Nobody,
        Self::Offers,
        Self::Bound,
        Self::Renewed,
        Self::Reflected,
        Self::Refused,
        Self::Late,
        Self::Repeated,
        Self::Foreign,
        Self::Inspected,
        Self::Unsent,
        Self::WrongHeader,
        Self::WrongLength,
        Self::WrongChecksum,
        Self::WrongClient,
        Self::WrongXid,
        Self::WrongType,
        Self::WrongAddress,
        Self::TwiceGiven,
        Self::WrongOptions,
    ];

    /// Whether this counts replies that failed a check.
    #[must_use]
    pub const fn is_wrong(self) -> bool {
        self as u32 >= Self::WrongHeader as u32
    }
}
