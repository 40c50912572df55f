//! The turn: the context of a decision, beside the state, and what the decision leads to.

use std::net::Ipv4Addr;
use std::sync::Arc;

use dhcp_ebpf::lease::BootSecs;

use super::action::{Action, Silence};
use super::book::Book;
use super::event::{Client, Happened, LeaseEvent};
use super::site::Site;
use super::site::place::Place;
use super::words::Words;
use crate::message::Request;

/// The context of a decision, beside the state.
pub(super) struct Turn<'a> {
    /// The present second, rounded down.
    pub(super) now: BootSecs,
    pub(super) words: &'a dyn Words,
    pub(super) out: &'a mut Vec<Action>,
}

impl Turn<'_> {
    /// The moment `secs` from now, from which rounding never takes away.
    pub(super) fn after(&self, secs: u32) -> BootSecs {
        self.now.plus(u32::from(!wrong!(AfterRoundsDown))).plus(secs)
    }

    pub(super) fn silence(&mut self, request: &Arc<Request>, why: Silence) {
        self.out.push(Action::Silence { request: Arc::clone(request), why });
    }

    pub(super) fn tell(&mut self, address: Ipv4Addr, what: Happened, client: Option<Client>) {
        self.out.push(Action::Event(LeaseEvent::Lease { address, what, client }));
    }

    /// Tells when the pool of the address has become fuller than an alarm allows.
    pub(super) fn watch_fullness(&mut self, site: &Site, book: &mut Book, place: Place) {
        let Some((subnet, pool, percent)) = book.alarm(place) else { return };
        let subnet = site.subnets.get(subnet).prefix;
        self.out.push(Action::Event(LeaseEvent::PoolFull { subnet, pool, percent }));
    }
}
