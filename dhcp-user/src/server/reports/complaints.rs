//! Warnings in the log about clients without an answer: reasons that the operator can mend, once a minute each, with
//! the number left out.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use dhcp_ebpf::abi::Link;

use super::explain::{Glimpse, Unanswered, circuit, sender};
use crate::config::Vlan;
use crate::control::colon_hex;
use crate::journal::wire_text;
use crate::message::Request;
use crate::policy::Silence;
use crate::server::Server;

/// The pause after a warning for a reason.
const PAUSE: Duration = Duration::from_secs(60);
/// How many relays or VLANs are named at most.
const NAMED: usize = 16;

/// How many places are warned of by themselves for each reason: what one sends is not to hide another's fault.
const PLACES: usize = 4;

/// The latest warnings, by reason, relay and link: at most [`PLACES`] for each reason. What comes from further places counts
/// as left out for the last of these.
#[derive(Debug, Default)]
pub(in crate::server) struct Complaints(BTreeMap<(&'static str, Ipv4Addr, Link), Complaint>);

#[derive(Debug)]
struct Complaint {
    at: Instant,
    why: Unanswered,
    left_out: u64,
    /// The last of those left out.
    last: Glimpse,
}

impl Complaints {
    /// Whether to warn now that this message got no answer. If not it is counted.
    fn is_due(&mut self, why: Unanswered, whose: &Glimpse, now: Instant) -> bool {
        let name = why.name();
        let first = (name, Ipv4Addr::UNSPECIFIED, Link::default());
        let own = (name, whose.relay, whose.link);
        let of_reason = self.0.range(first..).take_while(|((reason, ..), _)| *reason == name);
        let others: Vec<_> = of_reason.map(|(key, _)| *key).collect();
        let key =
            if others.len() < PLACES || others.contains(&own) { Some(own) } else { others.last().copied() };
        let Some(key) = key else { return false };
        match self.0.get_mut(&key) {
            Some(complaint) => {
                complaint.left_out += 1;
                complaint.last = whose.clone();
                false
            }
            None => {
                self.0.insert(key, Complaint { at: now, why, left_out: 0, last: whose.clone() });
                true
            }
        }
    }

    /// The reasons and places whose minute is over, each with the number of messages left out since, and the last of them.
    /// After a minute without one the next warning is logged at once.
    fn over(&mut self, now: Instant) -> Vec<(Unanswered, u64, Glimpse)> {
        let mut over = Vec::new();
        self.0.retain(|_, complaint| {
            if now.saturating_duration_since(complaint.at) < PAUSE {
                return true;
            }
            if complaint.left_out == 0 {
                return false;
            }
            over.push((complaint.why, complaint.left_out, complaint.last.clone()));
            (complaint.at, complaint.left_out) = (now, 0);
            true
        });
        over
    }
}

impl Server {
    /// Says what is to be mended for this request to get an answer, if it is time to.
    pub(in crate::server) fn complain_of(&mut self, request: &Request, why: Unanswered) {
        if !why.is_to_be_mended() {
            return;
        }
        let whose = Glimpse {
            link: request.link,
            relay: request.giaddr,
            client: sender(request),
            about: request.ciaddr,
            circuit: circuit(request).map(Into::into),
        };
        if self.complaints.is_due(why, &whose, Instant::now()) {
            self.complain(why, 0, &whose);
        }
    }

    /// The same of a frame that was not read.
    pub(in crate::server) fn complain_of_frame(&mut self, frame: &[u8], ifindex: u32, why: Unanswered) {
        if why.is_to_be_mended()
            && let Some(glimpse) = Glimpse::of(frame, ifindex)
            && self.complaints.is_due(why, &glimpse, Instant::now())
        {
            self.complain(why, 0, &glimpse);
        }
    }

    /// Says how many were left out, of those reasons and places whose minute is over.
    pub(in crate::server) fn complain_again(&mut self) {
        for (why, left_out, last) in self.complaints.over(Instant::now()) {
            self.complain(why, left_out, &last);
        }
    }

    /// A warning of one message, or of the last of those that were left out.
    fn complain(&self, why: Unanswered, left_out: u64, whose: &Glimpse) {
        let Link { ifindex: _, outer, inner } = whose.link;
        let more =
            if left_out == 0 { String::new() } else { format!(", {left_out} more within the last minute") };
        tracing::warn!(
            reason = why.name(),
            left_out = (left_out != 0).then_some(left_out),
            client = colon_hex(&whose.client),
            interface = self.name_of(whose.link),
            vlan = (outer != 0).then(|| tracing::field::display(tags(Vlan { outer, inner }))),
            relay = (!whose.relay.is_unspecified()).then(|| tracing::field::display(whose.relay)),
            circuit = whose.circuit.as_deref().map(wire_text),
            "no answer{more}: {}{}",
            why.words(),
            self.what_there_is(why, whose)
        );
    }

    /// The known ones among which the right one is missing.
    fn what_there_is(&self, why: Unanswered, whose: &Glimpse) -> String {
        match why {
            Unanswered::Silent(Silence::NoSubnet) if !whose.relay.is_unspecified() => format!(
                ": the giaddr {} is in no subnet and no `relays` lists it; the relays that are listed: {}",
                whose.relay,
                listed(&self.policy.relays())
            ),
            Unanswered::Silent(Silence::NoSubnet | Silence::NoServerId) if whose.relay.is_unspecified() => {
                let here = Vlan { outer: whose.link.outer, inner: whose.link.inner };
                let vlans = self.policy.vlans();
                let on = self.name_of(whose.link).unwrap_or_default();
                if vlans.contains(&here) {
                    let own = self.interfaces.get(&whose.link.ifindex);
                    let own = own.map(|served| listed(&served.facts.addresses)).unwrap_or_default();
                    return format!(
                        ": no subnet for {} has an address of {on} in it (it has: {own}), nor a `server-id` of its own",
                        tags(here)
                    );
                }
                let vlans: Vec<String> = vlans.into_iter().map(tags).collect();
                format!(": {} on {on} has no subnet; there are subnets for: {}", tags(here), listed(&vlans))
            }
            Unanswered::Silent(Silence::RelaySource | Silence::QueryNotAllowed) => {
                let relays: Vec<Ipv4Addr> = match why {
                    Unanswered::Silent(Silence::RelaySource) => self.policy.relays(),
                    _ => self.config.server.leasequery_from.clone(),
                };
                format!(": it came by {}; those that are listed: {}", whose.relay, listed(&relays))
            }
            _ => String::new(),
        }
    }
}

/// The tags of a link, as an operator writes them.
fn tags(vlan: Vlan) -> String {
    match vlan {
        Vlan { outer: 0, .. } => "what is untagged".to_owned(),
        Vlan { outer, inner: 0 } => format!("VLAN {outer}"),
        Vlan { outer, inner } => format!("VLAN [{outer}, {inner}]"),
    }
}

fn listed(all: &[impl Display]) -> String {
    if all.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<String> = all.iter().take(NAMED).map(ToString::to_string).collect();
    let more = all.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(relay: u8, client: u8) -> Glimpse {
        let relay = Ipv4Addr::new(10, 0, 0, relay);
        Glimpse { link: Link::default(), relay, client: [client; 6], about: relay, circuit: None }
    }

    #[test]
    fn each_reason_is_said_once_a_minute_and_what_was_left_out_is_counted() {
        let mut complaints = Complaints::default();
        let [none, full] = [Silence::NoSubnet, Silence::Exhausted].map(Unanswered::Silent);
        let begun = Instant::now();
        assert!(complaints.is_due(none, &from(1, 1), begun));
        assert!(complaints.is_due(full, &from(1, 2), begun));
        for n in 3..9 {
            assert!(!complaints.is_due(none, &from(1, n), begun + Duration::from_secs(59)));
        }
        let over = |complaints: &mut Complaints, at| -> Vec<_> {
            complaints.over(at).into_iter().map(|(why, count, last)| (why, count, last.client)).collect()
        };
        assert!(over(&mut complaints, begun + Duration::from_secs(59)).is_empty());
        assert_eq!(over(&mut complaints, begun + PAUSE), [(none, 6, [8; 6])]);
        // One of them goes on, and was said just now; the other is over.
        assert!(!complaints.is_due(none, &from(1, 9), begun + PAUSE));
        assert!(complaints.is_due(full, &from(1, 9), begun + PAUSE));
        assert_eq!(over(&mut complaints, begun + 2 * PAUSE), [(none, 1, [9; 6])]);
        assert!(over(&mut complaints, begun + 3 * PAUSE).is_empty());
        assert!(complaints.is_due(none, &from(1, 1), begun + 3 * PAUSE));
    }

    /// One relay's messages don't hide another's; but who names ever others is not warned of each time.
    #[test]
    fn each_of_a_few_places_is_said_by_itself() {
        let mut complaints = Complaints::default();
        let none = Unanswered::Silent(Silence::NoSubnet);
        let begun = Instant::now();
        let said = (1..100).filter(|relay| complaints.is_due(none, &from(*relay, *relay), begun)).count();
        assert_eq!(said, PLACES);
        let over = complaints.over(begun + PAUSE);
        assert_eq!(over.iter().map(|(_, left_out, _)| left_out).sum::<u64>(), 99 - PLACES as u64);
    }

    #[test]
    fn a_long_list_is_cut() {
        let relays: Vec<Ipv4Addr> = (0..20).map(|n| Ipv4Addr::new(10, 0, 0, n)).collect();
        assert!(listed(&relays).ends_with("10.0.0.15 and 4 more"));
        assert_eq!(listed(&relays[..1]), "10.0.0.0");
        assert_eq!(listed(&[Ipv4Addr::LOCALHOST; 0]), "none");
    }
}
