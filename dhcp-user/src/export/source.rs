//! What another server's configuration is made of, and what becomes of the keys that it has not.

use super::written::Written;
use crate::config::{Class, ClassSet, Config, LeaseTimes, Match, Pattern};

/// What another server's configuration is made of.
pub(super) struct Source<'c> {
    pub(super) config: &'c Config,
    /// The keys, as they are marked when the other server has them.
    pub(super) written: Written,
}

impl Source<'_> {
    /// The comments for what the other server has not.
    pub(super) fn lost(&self) -> Vec<String> {
        self.written.lost(meaning)
    }

    /// Marks the keys of lease times, of which the other server has some.
    pub(super) fn has_times(&self, table: &str, name: &str, keys: &[&str]) {
        keys.iter().for_each(|key| self.written.has(table, name, key));
    }
}

/// Whether T1 and T2 are those that follow from the lease time.
pub(super) fn follows(times: &LeaseTimes) -> bool {
    times.renew == times.lease / 2 && u64::from(times.rebind) == u64::from(times.lease).saturating_mul(7) / 8
}

/// Whether all classes of `set` are there.
pub(super) fn all_there(classes: &[Class], set: ClassSet, is_there: impl Fn(&Class) -> bool) -> bool {
    set.last_first().filter_map(|place| classes.get(place)).all(is_there)
}

/// What a class asks, if it asks only whether its clients have a reservation.
pub(super) fn only_known(matches: &Match) -> Option<bool> {
    let known = matches.known?;
    (*matches == Match { known: Some(known), ..Match::default() }).then_some(known)
}

/// The consequence of a key that the other server has not.
fn meaning(table: &str, key: &str) -> &'static str {
    match (table, key) {
        (
            "server",
            "state-dir" | "control-socket" | "control-group" | "control-read-group" | "pin-dir" | "store"
            | "horizon" | "keep-cpus-awake",
        ) => "it is about this daemon's own files and work",
        ("server", "event-log" | "event-log-keep" | "metrics-listen" | "kea-api-listen")
        | ("journal" | "hook", _) => "what is told of leases is set up otherwise there",
        ("server", "leasequery-from" | "leasequery-rate-limit") => {
            "leasequery is set up otherwise there, if there is any"
        }
        ("interface", "xdp") => "no answers come from the driver there",
        (_, "rate-limit" | "circuit-rate-limit") => "nothing limits messages there",
        (_, "probe") => "whether addresses are probed is set up otherwise there",
        ("subnet", "vlan") => "give the server the interface of that VLAN",
        ("subnet", "grace") => "an expired address may go to somebody else at once there",
        (_, "lease-time-when-full") => "lease times don't depend on how full a pool is there",
        (_, "renew-time" | "rebind-time" | "lease-time" | "min-lease-time" | "max-lease-time") => {
            "the other server has no such time in this place"
        }
        (
            _,
            "max-leases"
            | "max-leases-per-device"
            | "max-leases-per-ras-device"
            | "max-leases-per-device-in-use"
            | "max-leases-per-circuit",
        ) => "nobody counts such leases there",
        (_, "trust-agent-information") => "option 82 is taken as it comes there",
        ("class", _) => "the class has no such form there: what is for its clients alone isn't there",
        ("reservation", _) => "the reservation has no such form there",
        _ => "there is no such setting there",
    }
}

/// No more hardware addresses than these in one condition.
const MOST_LISTED: usize = 1000;

/// The hardware addresses of a class's condition, those of its list included. A list of none fits nobody. `None`: they are more
/// than anybody wants in one condition.
pub(super) fn hardware(patterns: &[Pattern], listed: Option<&[[u8; 6]]>) -> Option<Vec<Pattern>> {
    let mut hardware = patterns.to_vec();
    let Some(listed) = listed else { return Some(hardware) };
    if listed.len() > MOST_LISTED {
        return None;
    }
    hardware.extend(listed.iter().map(|mac| Pattern::Exactly(mac.to_vec())));
    if hardware.is_empty() {
        hardware.push(Pattern::Exactly(vec![0xff; 6]));
    }
    Some(hardware)
}
