//! Wrong versions of the code, for the simulation to catch: each stands where it could have been written by mistake.
//!
//! [`wrong!`] is `false` in everything but the simulation (the feature `simulation`): the compiler leaves nothing of it.

/// Whether the code is to be wrong at this place.
#[cfg(not(feature = "simulation"))]
macro_rules! wrong {
    ($name:ident) => {
        false
    };
}

/// Whether the code is to be wrong at this place.
#[cfg(feature = "simulation")]
macro_rules! wrong {
    ($name:ident) => {
        $crate::mutation::is($crate::mutation::Mutation::$name)
    };
}

#[cfg(feature = "simulation")]
pub use told::{Mutation, is, tell};

#[cfg(feature = "simulation")]
mod told {
    use std::cell::Cell;

    /// Every wrong version, with what is wrong about it.
    macro_rules! mutations {
        ($($(#[doc = $what:literal])+ $name:ident,)*) => {
            /// One wrong version of the code.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum Mutation {
                $($(#[doc = $what])+ $name,)*
            }

            impl Mutation {
                /// All of them.
                pub const ALL: &[Self] = &[$(Self::$name,)*];

                /// What is wrong.
                #[must_use]
                pub const fn what(self) -> &'static str {
                    match self {
                        $(Self::$name => concat!($($what),+),)*
                    }
                }
            }
        };
    }

    mutations! {
        /// a commit does not wait for the disk
        SkipSync,
        /// a frame is taken for whole without its checksum
        TornFrame,
        /// what follows damage is left out, as if it were a commit cut short
        DamageServed,
        /// a deletion is not taken along, and what it deleted is back
        DeletionForgotten,
        /// a segment is given up with entries in it that are current
        CurrentDropped,
        /// after a failed commit the log goes on from what is in memory
        FailureTrusted,
        /// a failed commit is taken for one that succeeded
        FailureIgnored,
        /// a reboot sets the store's clock ahead: leases have less left than they had
        DowntimeCounts,
        /// what was decided is done without waiting for its commit
        AtOnce,
        /// an ACK leaves before its commit
        AckFirst,
        /// a lease is the kernel's before it is committed
        PublishFirst,
        /// a horizon is moved before its commit
        HorizonFirst,
        /// what a failed commit was for is done
        FailureDone,
        /// what the store did not take is not brought to it again
        UncommittedForgotten,
        /// the kernel is not told of what the store took late
        UncommittedUnpublished,
        /// of two changes to an address the earlier is kept
        OlderUncommitted,
        /// the last change of a batch is left out
        LastDropped,
        /// the changes of a batch are committed in another order
        Reversed,
        /// an ACK leaves though its lease was revoked meanwhile
        OvertakenSent,
        /// an ACK that waited long for its commit promises from when it was decided
        LateAckFromDecision,
        /// a live word that the store does not know is left as it is
        LiveUnknown,
        /// words of addresses that nobody gives out any more live on after a start
        StrangersLive,
        /// a lease is published though its word was revoked meanwhile
        OldGeneration,
        /// an address is given up and its word left alive
        FreeBeforeRevoke,
        /// a lease is published with twice the horizon that was committed
        HorizonIsExpiry,
        /// a promise is rounded down to the second before
        AfterRoundsDown,
        /// a lease ends when the daemon last heard it would, whatever the kernel has promised since
        ExpiryUnasked,
        /// an address whose lease was ended before its time is free though its promise runs
        GraceForgotten,
        /// a lease is committed until half of what its client is told
        NoHorizon,
        /// the daemon foresees more than it commits
        ForeseenAlone,
        /// a lease is ended from anywhere
        OriginUnchecked,
        /// a RELEASE ends the lease of whoever has the address
        ReleaseOfAnother,
        /// a RELEASE is not committed
        ReleaseUnwritten,
        /// whoever asks for an address goes on with its lease
        AnyoneRenews,
        /// an address is given though it was taken from a client that may not know
        PromisedIgnored,
        /// a client that moves leaves its former address free, though its promise runs
        MoveFrees,
        /// an ACK leaves of which nothing is committed
        GrantUnwritten,
        /// an address is given without a probe
        Unprobed,
        /// an address is taken for unused though somebody answered for it
        AnswerUnheard,
        /// nothing looks at an address when its moment comes
        Unarmed,
        /// a start goes by what clients were told by the daemon, and forgets what the kernel may have promised
        PromiseForgotten,
        /// a start forgets who is in grace
        GraceOver,
        /// a start forgets quarantines
        QuarantineOver,
        /// a lease whose pool is gone lives on in the kernel
        WithdrawnLive,
        /// what was promised of an address that no pool has is forgotten
        UnconfiguredForgotten,
        /// a lease of another server is taken over over one of ours
        ImportOver,
        /// a lease of another server is honoured until half of its time
        ImportShort,
    }

    thread_local! {
        static WRONG: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Has the code be wrong in this way, on this thread.
    pub fn tell(which: Option<Mutation>) {
        WRONG.set(which);
    }

    /// Whether the code is to be wrong in this way.
    #[must_use]
    pub fn is(which: Mutation) -> bool {
        WRONG.get() == Some(which)
    }
}
