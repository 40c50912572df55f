//! The classes of a client: a function of its request, its relay's information and the configuration alone.
//!
//! A relay adds its information to messages that it forwards, and a client that renews sends past it. The lease keeps
//! the relay information of its beginning, which stands in for the present one. If the relay's information changes,
//! the lease's slot is written anew (`Exchange::extends`). So every question has one answer for as long as the kernel
//! knows it.

use crate::config::{Class, ClassSet, Match, Pattern};
use crate::message::options::code;
use crate::message::{AgentInformation, Request, vendors};
use crate::policy::site::digest::digest;
use crate::store::HwAddr;

/// The classes of the configuration.
#[derive(Debug, Default)]
pub(in crate::policy) struct Classes {
    all: Vec<Class>,
    /// Whether any of them asks what the relay says.
    pub(in crate::policy) by_relay: bool,
    /// Whether any of them asks whether a client has a reservation.
    pub(in crate::policy) by_known: bool,
    /// Those whose clients get no answer.
    dropping: ClassSet,
    /// Those that limit how many leases their clients hold.
    limiting: ClassSet,
    /// Those that ask for the hardware address.
    by_hardware: ClassSet,
    /// A digest of all classes and their terms, without lists of hardware addresses.
    digest: u64,
}

impl Classes {
    pub(in crate::policy) fn new(classes: &[Class]) -> Self {
        let meant = |class: &Class| {
            // What was got before there was a limit is counted as it is renewed: by the daemon.
            let counted = class.max_leases.is_some().then(|| class.name.clone());
            digest(&(class.matches.but_hardware(), &class.overrides, class.drop, counted))
        };
        let meant: Vec<u64> = classes.iter().map(meant).collect();
        Self {
            all: classes.to_vec(),
            by_relay: classes.iter().any(|class| class.matches.asks_relay()),
            by_known: classes.iter().any(|class| class.matches.known.is_some()),
            dropping: those(classes, |class| class.drop),
            limiting: those(classes, |class| class.max_leases.is_some()),
            by_hardware: those(classes, |class| class.matches.asks_hardware()),
            digest: digest(&meant),
        }
    }

    /// Those of `set` that limit how many leases their clients hold.
    pub(in crate::policy) fn limiting(&self, set: ClassSet) -> ClassSet {
        set.common(self.limiting)
    }

    /// Whether any class does.
    pub(in crate::policy) fn any_limits(&self) -> bool {
        !self.limiting.is_empty()
    }

    /// How many leases the clients of the class at this place may hold, and what it is called.
    pub(in crate::policy) fn limit(&self, class: usize) -> Option<(&str, u32)> {
        let class = self.all.get(class)?;
        Some((&class.name, class.max_leases?))
    }

    /// Whether any class drops its clients.
    pub(in crate::policy) fn any_drops(&self) -> bool {
        !self.dropping.is_empty()
    }

    /// Whether a client that is in these classes gets no answer.
    pub(in crate::policy) fn drop(&self, set: ClassSet) -> bool {
        self.dropping.meets(set)
    }

    /// The classes that ask for a hardware address, and for this one among others.
    pub(in crate::policy) fn of_hardware(&self, chaddr: HwAddr) -> ClassSet {
        let mut set = ClassSet::default();
        let fits = |place: &usize| {
            self.all.get(*place).is_some_and(|class| class.matches.fits_hardware(chaddr.octets()))
        };
        self.by_hardware.last_first().filter(fits).for_each(|place| set.insert(place));
        set
    }

    /// A number that stands for them.
    pub(in crate::policy) fn digest(&self) -> u64 {
        self.digest
    }

    /// The classes of the client that sent `request`, by its options, its relay's information (`agent`), and whether
    /// it is `known`.
    pub(in crate::policy) fn of(
        &self,
        request: &Request,
        agent: Option<&AgentInformation>,
        known: bool,
    ) -> ClassSet {
        let mut set = ClassSet::default();
        let fits = |class: &Class| {
            class.matches.known.is_none_or(|asked| asked == known) && fits(&class.matches, request, agent)
        };
        let fitting = self.all.iter().enumerate().filter(|(_, class)| fits(class));
        fitting.for_each(|(place, _)| set.insert(place));
        set
    }

    /// Those of `set`, the one that overrides all others first.
    pub(in crate::policy) fn overriding(&self, set: ClassSet) -> impl Iterator<Item = &Class> {
        set.last_first().filter_map(|place| self.all.get(place))
    }
}

/// The places of the classes that are so.
fn those(classes: &[Class], are_so: impl Fn(&Class) -> bool) -> ClassSet {
    let mut set = ClassSet::default();
    let those = classes.iter().enumerate().filter(|(_, class)| are_so(class));
    those.for_each(|(place, _)| set.insert(place));
    set
}

/// Whether all conditions of `asked` fit the client's options and its relay's information.
fn fits(asked: &Match, request: &Request, agent: Option<&AgentInformation>) -> bool {
    let option = |code| request.options.get(code).map(AsRef::as_ref);
    let circuit = agent.and_then(|agent| agent.circuit_id.as_deref());
    let remote = agent.and_then(|agent| agent.remote_id.as_deref());
    any_fits(&asked.vendor_class, option(code::VENDOR_CLASS))
        && user_class_fits(&asked.user_class, option(code::USER_CLASS))
        && asked.fits_hardware(request.chaddr.octets())
        && any_fits(&asked.client_id, request.options.client_id.as_deref())
        && any_fits(&asked.circuit_id, circuit)
        && any_fits(&asked.remote_id, remote)
        && any_fits(&asked.subscriber_id, agent.and_then(|agent| agent.subscriber_id.as_deref()))
        && vendor_fits(&asked.relay_vendor, agent.and_then(|agent| agent.vendor_information.as_deref()))
        && architecture_fits(&asked.architecture, option(code::CLIENT_SYSTEM))
}

fn any_fits(patterns: &[Pattern], value: Option<&[u8]>) -> bool {
    let fits = |value| patterns.iter().any(|pattern| pattern.fits(value));
    patterns.is_empty() || value.is_some_and(fits)
}

fn vendor_fits(asked: &[(u32, Pattern)], value: Option<&[u8]>) -> bool {
    let fits = |(number, said): (u32, &[u8])| {
        asked.iter().any(|(enterprise, pattern)| *enterprise == number && pattern.fits(said))
    };
    asked.is_empty() || value.is_some_and(|value| vendors(value).any(fits))
}

/// RFC 3004 has instances, each with its length before it; many clients send one name and no length.
fn user_class_fits(patterns: &[Pattern], value: Option<&[u8]>) -> bool {
    any_fits(patterns, value)
        || value.and_then(instances).is_some_and(|mut all| all.any(|one| any_fits(patterns, Some(one))))
}

/// The instances of a user class option; `None` if it is not made of such.
fn instances(value: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let mut rest = value;
    while next_instance(&mut rest).is_some() {}
    let mut left = value;
    rest.is_empty().then(|| std::iter::from_fn(move || next_instance(&mut left)))
}

fn next_instance<'v>(rest: &mut &'v [u8]) -> Option<&'v [u8]> {
    let (length, tail) = rest.split_first()?;
    let (one, tail) = tail.split_at_checked(usize::from(*length))?;
    *rest = tail;
    Some(one)
}

fn architecture_fits(asked: &[u16], value: Option<&[u8]>) -> bool {
    let (named, _) = value.unwrap_or_default().as_chunks();
    asked.is_empty() || named.iter().any(|octets| asked.contains(&u16::from_be_bytes(*octets)))
}
