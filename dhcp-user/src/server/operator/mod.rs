//! Operators' orders about addresses: the end of a lease, of quarantines. An order is reported as done when it is on
//! disk.

pub(super) mod admission;
pub(super) mod audit;
pub(super) mod transfer;

use std::net::Ipv4Addr;

use dhcp_ebpf::lease::BootSecs;

use super::Server;
use crate::clock::BootNanos;
use crate::config::Prefix;
use crate::control::{Cleared, Free, Released, Reply};
use crate::policy::{Event, Reuse, State, Words as _};
use crate::store::QuarantineCause;

impl Server {
    pub(super) fn release(&mut self, address: Ipv4Addr, now: bool, reply: Reply<Released>) {
        let lease = self.policy.lease(address);
        let lease = match lease.as_ref().map(|lease| lease.state) {
            Some(State::Leased) => lease,
            Some(State::Grace) if now => lease,
            Some(State::Grace) => {
                return reply.no(format!(
                    "{address} is not leased any more, but its client may come back for it: with --now it is free at once"
                ));
            }
            _ => None,
        };
        let Some(lease) = lease else { return reply.no(format!("{address} is not leased")) };
        // What was given for good can't be waited for: its client has as long as others have to come back.
        let told = match lease.expires {
            BootSecs::NEVER => BootNanos::now().floor().plus(self.policy.grace_of(address)),
            expires => expires,
        };
        let promised = self.wall.at(told.max(self.table.load(address).expiry()));
        let (reuse, free) = if now {
            (Reuse::AtOnce, Free::AtOnce)
        } else if self.policy.probes_when_vacated(address) {
            (Reuse::WhenClean, Free::AfterACleanProbe)
        } else {
            (Reuse::WhenClean, Free::AtTheEndOfItsPromise)
        };
        let until = Some(promised).filter(|_| free != Free::AtOnce);
        let done = Released { address, what: "released".into(), free, until };
        let order = Event::OperatorRelease { address, reuse };
        self.order(order, |committed| reply.done(committed.map(|()| done)));
    }

    pub(super) fn clear(&mut self, prefix: Prefix, why: Option<QuarantineCause>, reply: Reply<Cleared>) {
        let range = prefix.pool();
        let count = self.policy.count_quarantined(range, why);
        let address = Some(prefix.network).filter(|_| prefix.len == 32);
        if count == 0 {
            return reply.no(match address {
                Some(address) => format!("{address} is not in quarantine"),
                None => format!("no address of {prefix} is in quarantine"),
            });
        }
        let done = Cleared { address, prefix: prefix.to_string(), what: "cleared".into(), count };
        let order = Event::QuarantineClear { range, why };
        self.order(order, |committed| reply.done(committed.map(|()| done)));
    }
}
