//! Probing: is a host using an unpromised address, or nobody using a promised one?
//!
//! draw.rs and reclaim.rs decide which address is probed, and for which client; witnesses.rs decides which stations'
//! answers prove nothing. A client that waits for a probe holds up nobody else. An address whose last owner asks for
//! it again needs no probe.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ahash::{HashMap, RandomState};
use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::{BootSecs, Word};

use crate::message::Request;
use crate::policy::action::Via;
use crate::policy::book::offers::OwnedIdentity;
use crate::policy::book::state::Stock;
use crate::policy::evidence::vacating::Vacating;
use crate::policy::site::place::Place;
use crate::policy::site::subnet_id::SubnetId;

/// A probe without a reported outcome is given up after so many seconds.
pub const PATIENCE: u32 = 5;

/// How long a clean probe is good for, in seconds.
pub(super) const CLEAN_FOR: u32 = 120;
/// How long an orphan that answered is left alone, or an address that its last owner still uses, in seconds.
pub(super) const ALIVE_FOR: u32 = 60;
/// How many probes may be under way.
pub(super) const MOST_PROBES: usize = 32_768;
/// How many addresses are probed, one after the other, for one message of a client.
const MOST_TRIES: u8 = 4;

/// Probes under way, and the results of earlier ones.
#[derive(Debug, Default)]
pub(in crate::policy) struct Probes {
    /// Whether there is somebody who carries probes out.
    pub(super) carried_out: bool,
    pub(super) running: HashMap<Place, Running>,
    /// Which probe a client waits for.
    pub(super) waiting: hashbrown::HashMap<(SubnetId, OwnedIdentity), Place, RandomState>,
    /// When the addresses that are in stock were found unused.
    pub(super) clean: HashMap<Place, BootSecs>,
    /// Until when an address is left alone whose last owner gave it back, and still answers for it.
    pub(super) lingering: HashMap<Place, BootSecs>,
    /// When a host was found to use an address that has an owner: a lease that may be an orphan, or one in grace.
    alive: BTreeMap<Place, Alive>,
    /// The link that clients of a subnet were heard on, where no address of ours shows it.
    pub(super) heard_on: BTreeMap<SubnetId, Link>,
    /// Whose clients are asked again whether they are gone.
    pub(in crate::policy) vacating: Vacating,
    /// Clients whose waiting is over.
    pub(super) again: VecDeque<Waiter>,
    /// For how many probes the client has waited whose message is dealt with.
    pub(super) tries: u8,
}

impl Probes {
    /// Clients that wait for probes of a former configuration ask anew, by the present one, with the next event.
    pub(in crate::policy) fn hear_those_of(&mut self, former: &mut Self) {
        former.waiting.clear();
        self.again.append(&mut former.again);
        self.again.extend(former.running.drain().filter_map(|(_, running)| running.waiter));
    }

    /// The message of the next client whose waiting is over; it is the message that is dealt with from now on.
    pub(in crate::policy) fn next_to_hear(&mut self) -> Option<Arc<Request>> {
        let next = self.again.pop_front();
        self.tries = next.as_ref().map_or(0, |waiter| waiter.tries);
        next.map(|waiter| waiter.request)
    }

    /// Whether there is somebody whose waiting is over and who was not heard yet.
    pub(in crate::policy) fn has_to_hear_again(&self) -> bool {
        !self.again.is_empty()
    }
}

#[derive(Debug)]
struct Alive {
    since: BootSecs,
    sign: Sign,
}

/// The evidence by which an address counts as in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Sign {
    /// It answered, or was extended.
    Seen,
    /// Nobody could be asked.
    Presumed,
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) purpose: Purpose,
    pub(super) via: Via,
    pub(super) until: BootSecs,
    pub(super) waiter: Option<Waiter>,
}

/// A client that waits for a probe.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) request: Arc<Request>,
    /// How many probes this message has waited for, with this one.
    pub(super) tries: u8,
}

/// How good the evidence is that an address is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Proof {
    /// It is believed.
    Good,
    /// The link has more answers than its credit: they may be false.
    Weak,
}

/// The question that a probe decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Purpose {
    /// Whether a free address may be offered. It came from this stock.
    Candidate(Stock),
    /// Whether an address may be offered that is kept for nobody in particular any more, nothing else being left.
    Need,
    /// Whether the client of a lease that the operator has ended is gone.
    Vacated,
    /// Whether an address may leave quarantine.
    Parole,
    /// Whether a lease is an orphan. If its word has changed meanwhile, it isn't.
    Reclaim { judged: Word },
}

impl Purpose {
    /// Whether it is asked if the owner, or last owner, uses its address still.
    pub(super) fn asks_holder(self) -> bool {
        match self {
            Self::Need | Self::Vacated | Self::Reclaim { .. } => true,
            Self::Candidate(_) | Self::Parole => false,
        }
    }
}

impl Probes {
    /// From now on there is.
    pub(in crate::policy) fn carry_out(&mut self) {
        self.carried_out = true;
    }

    pub(in crate::policy) fn is_carried_out(&self) -> bool {
        self.carried_out
    }

    /// Whether a probe of the address is under way.
    pub(in crate::policy) fn is_running(&self, place: Place) -> bool {
        self.running.contains_key(&place)
    }

    /// Whether no more is probed for the message that is dealt with.
    pub(in crate::policy) fn has_tried_enough(&self) -> bool {
        self.tries >= MOST_TRIES
    }

    /// Whether it is dealt with for the first time.
    pub(in crate::policy) fn is_first_try(&self) -> bool {
        self.tries == 0
    }

    /// Whether somebody was found to use the address lately.
    pub(in crate::policy) fn is_alive(&self, place: Place) -> bool {
        self.alive.contains_key(&place)
    }

    /// Forgets who was found alive too long ago.
    pub(in crate::policy) fn forget_alive(&mut self, now: BootSecs) {
        self.alive.retain(|_, alive| now < alive.since.plus(ALIVE_FOR));
    }

    /// Whether somebody was seen to use the address lately.
    pub(in crate::policy) fn is_in_use(&self, place: Place, now: BootSecs) -> bool {
        let lately = |alive: &Alive| alive.sign == Sign::Seen && now < alive.since.plus(ALIVE_FOR);
        self.alive.get(&place).is_some_and(lately)
    }

    /// Somebody uses the address, or is taken to.
    pub(in crate::policy) fn note_alive(&mut self, place: Place, now: BootSecs, sign: Sign) {
        self.alive.insert(place, Alive { since: now, sign });
    }

    /// Interfaces have other indices.
    pub(in crate::policy) fn relink(&mut self, now: impl Fn(u32) -> u32) {
        self.heard_on.values_mut().for_each(|link| link.ifindex = now(link.ifindex));
    }

    /// When the probe of this address is given up.
    pub(in crate::policy) fn until(&self, place: Place) -> Option<BootSecs> {
        self.running.get(&place).map(|running| running.until)
    }

    /// An earlier clean probe of the address counts no longer.
    pub(in crate::policy) fn forget_clean(&mut self, place: Place) {
        self.clean.remove(&place);
    }

    /// The address has another owner: of this one nothing is known yet.
    pub(in crate::policy) fn changes_hands(&mut self, place: Place) {
        self.alive.remove(&place);
    }

    /// Whether a free address in `stock` is probed as its stock says.
    pub(in crate::policy) fn agree(&self, place: Place, stock: Stock) -> bool {
        let running = self.running.get(&place);
        let candidate = running.filter(|running| matches!(running.purpose, Purpose::Candidate(_)));
        match stock {
            Stock::Probing => candidate.is_some_and(|running| running.waiter.is_none()),
            Stock::Awaited => candidate.is_some_and(|running| running.waiter.is_some()),
            Stock::Probed => candidate.is_none() && self.clean.contains_key(&place),
            Stock::Lingering => candidate.is_none() && self.lingering.contains_key(&place),
            Stock::Fresh | Stock::Freed | Stock::Expired => candidate.is_none(),
        }
    }

    /// Until when the address is left alone.
    pub(in crate::policy) fn lingers_until(&self, place: Place) -> Option<BootSecs> {
        self.lingering.get(&place).copied()
    }

    pub(in crate::policy) fn claimed(&self, place: Place) -> bool {
        self.running.get(&place).is_some_and(|running| running.waiter.is_some())
    }
}

/// Where a client that sends a request waits for a probe already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Waiting {
    /// Where the request comes from.
    Here,
    /// Somewhere else, or another waits by its name.
    Elsewhere,
}
