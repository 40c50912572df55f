//! What becomes of a frame, and why: each outcome is counted, none is silent.

/// Declares an enum of outcomes that are counters too: a number each, a name each.
macro_rules! outcomes {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name that statistics use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The outcome with this number.
            #[must_use]
            pub fn from_number(number: u8) -> Option<Self> {
                Self::ALL.get(usize::from(number)).copied()
            }
        }
    };
}

outcomes! {
    /// The state of a client whose request was answered (RFC 2131 §4.3.2, table 4).
    Renewal {
        /// Unicast to the server, ciaddr set.
        Renewing = "renewing",
        /// Broadcast, or by a relay, ciaddr set.
        Rebinding = "rebinding",
        /// ciaddr unset, the address in option 50.
        InitReboot = "init-reboot",
    }
}

outcomes! {
    /// Why a frame goes up to the daemon.
    Why {
        /// A DISCOVER.
        Discover = "discover",
        /// A REQUEST without ciaddr whose question is not known: SELECTING, or an INIT-REBOOT never answered before.
        Request = "request",
        /// A DECLINE.
        Decline = "decline",
        /// A RELEASE.
        Release = "release",
        /// An INFORM.
        Inform = "inform",
        /// Another message type, or none within the first options.
        OtherMessage = "other-message",
        /// ciaddr is in no run of slots on this link.
        NoSlot = "no-slot",
        /// The lease was never granted, or revoked.
        NotAlive = "not-alive",
        /// The lease ran out.
        Expired = "expired",
        /// The renewal would promise more than the store knows.
        Horizon = "horizon",
        /// The question was not answered for this lease before.
        UnknownQuestion = "unknown-question",
        /// The slot belongs to another client, link or address.
        OtherIdentity = "other-identity",
        /// Sent to another server address than the lease's.
        OtherServer = "other-server",
        /// Its source is not the client's address.
        ForeignSource = "foreign-source",
        /// The frame can't be made long enough for the answer.
        NoRoom = "no-room",
        // Malformed from here on.
        /// op, htype, hlen, chaddr padding, sname, file or cookie are not a plain client's.
        UnusualHeader = "unusual-header",
        /// The lengths of frame, IP and UDP disagree.
        BadLength = "bad-length",
        /// The IPv4 header's checksum is wrong, or the UDP datagram's.
        BadChecksum = "bad-checksum",
        /// The options are too long or too short to be a question.
        OptionsSize = "options-size",
    }
}

outcomes! {
    /// Why a frame goes to the host's stack untouched.
    Passed {
        /// Not IPv4, or tagged more than twice.
        NotIpv4 = "not-ipv4",
        /// IPv4 with options.
        IpOptions = "ip-options",
        /// Not UDP.
        NotUdp = "not-udp",
        /// A fragment.
        Fragment = "fragment",
        /// Not to port 67.
        NotDhcp = "not-dhcp",
        /// Sent to another station or another host.
        NotForUs = "not-for-us",
        /// The daemon has not been seen alive for some seconds.
        DaemonAway = "daemon-away",
    }
}

outcomes! {
    /// Why a frame is dropped.
    Dropped {
        /// The lease changed while the answer was written over the request; the client repeats.
        Raced = "raced",
        /// The answer was written but the frame could not be cut to it.
        NotTrimmed = "not-trimmed",
        /// The ring of exchanges begun is full.
        BegunFull = "begun-full",
        /// The ring of new exchanges is full.
        FreshFull = "fresh-full",
        /// Too long for a ring record.
        TooLong = "too-long",
    }
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has become the answer: send it back where it came from.
    Reply(Renewal),
    /// It goes to the daemon, unmodified.
    Up(Why),
    /// It goes to the stack, unmodified.
    Pass(Passed),
    /// It is gone.
    Drop(Dropped),
}

/// Which ring a frame goes up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// Exchanges already begun: REQUEST, DECLINE, RELEASE. Drained first.
    Begun,
    /// The rest.
    Fresh,
}

/// What a message that goes up seems to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// DHCPDISCOVER.
    Discover,
    /// DHCPREQUEST.
    Request,
    /// DHCPDECLINE.
    Decline,
    /// DHCPRELEASE.
    Release,
    /// DHCPINFORM.
    Inform,
    /// Another, or none to be seen.
    Other,
}

impl Message {
    /// The message with this number in option 53 (RFC 2132 §9.6).
    #[must_use]
    #[inline(always)]
    pub const fn from_type(number: u8) -> Self {
        match number {
            1 => Self::Discover,
            3 => Self::Request,
            4 => Self::Decline,
            7 => Self::Release,
            8 => Self::Inform,
            _ => Self::Other,
        }
    }

    /// The ring it goes by.
    #[must_use]
    #[inline(always)]
    pub const fn ring(self) -> Ring {
        match self {
            Self::Request | Self::Decline | Self::Release => Ring::Begun,
            Self::Discover | Self::Inform | Self::Other => Ring::Fresh,
        }
    }

    /// Why it goes up, as a number, given the number of why the kernel could not answer it.
    ///
    /// What is no REQUEST goes up whatever else is true of it. That nothing can be seen of its type says less than
    /// that it is malformed.
    #[must_use]
    #[inline(always)]
    pub const fn reason(self, unanswered: usize) -> usize {
        let why = match self {
            Self::Discover => Why::Discover,
            Self::Decline => Why::Decline,
            Self::Release => Why::Release,
            Self::Inform => Why::Inform,
            Self::Other if unanswered < Why::UnusualHeader as usize => Why::OtherMessage,
            Self::Request | Self::Other => return unanswered,
        };
        why as usize
    }
}

const UP_FROM: usize = Renewal::ALL.len();
const PASS_FROM: usize = UP_FROM + Why::ALL.len();
const DROP_FROM: usize = PASS_FROM + Passed::ALL.len();

impl Verdict {
    /// How many counters there are.
    pub const COUNTERS: usize = DROP_FROM + Dropped::ALL.len();

    /// The counter of what went up for the reason with this number.
    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "some dozens of counters")]
    pub const fn up_counter(why: usize) -> u32 {
        (UP_FROM + why) as u32
    }

    /// The counter of this outcome.
    #[must_use]
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "some dozens of counters")]
    pub const fn counter(self) -> u32 {
        (match self {
            Self::Reply(state) => state as usize,
            Self::Up(why) => return Self::up_counter(why as usize),
            Self::Pass(why) => PASS_FROM + why as usize,
            Self::Drop(why) => DROP_FROM + why as usize,
        }) as u32
    }
}
