//! After a restart: merges the store, the words and the promises made meanwhile.

use std::net::Ipv4Addr;

use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::BootSecs;

use crate::policy::Policy;
use crate::policy::action::Action;
use crate::policy::book::binding::{AnsweredBy, Binding, Particulars, Station};
use crate::policy::book::state::State;
use crate::policy::book::transitions::Restored;
use crate::policy::site::place::Place;
use crate::policy::terms::reserved::is_reserved_for_another;
use crate::policy::turn::Turn;
use crate::policy::words::Words;
use crate::store::{Change, HwAddr, Record};

/// A lease that the kernel's maps have and the store may not: the contents of its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// Its address.
    pub address: Ipv4Addr,
    /// The link its client is reached on.
    pub link: Link,
    /// Its client's Ethernet address.
    pub chaddr: [u8; 6],
    /// The address of ours that the client talks to.
    pub server: Ipv4Addr,
    /// How far the kernel may promise.
    pub horizon: BootSecs,
    /// The lease time of its memos, in seconds.
    pub lease_time: u32,
}

impl Policy {
    /// Takes over `records` of the store and live leases of the kernel's maps. To be called before any event; records
    /// may come in parts, those that expire first coming first, and the leases of the maps after all of them.
    ///
    /// A live word is believed: the kernel may have promised more than the store knows. A lease that the store has
    /// and whose word is dead gets one until the end of all that may have been promised for it. A live word that
    /// the store does not know is kept, and committed.
    pub fn restore(
        &mut self,
        now: BootSecs,
        words: &dyn Words,
        records: Vec<Record>,
        adopted: &[Adopted],
        out: &mut Vec<Action>,
    ) {
        let turn = &mut Turn { now, words, out };
        for record in records {
            match self.book.find(record.address) {
                Some(place) => self.tenure().restore_one(turn, place, &record),
                None => self.unconfigured.add(turn, record),
            }
        }
        for lease in adopted {
            if let Some(place) = self.book.find(lease.address) {
                self.adopt(turn, place, lease);
            }
        }
    }

    /// Whether a promise for this address is kept in mind though it is of no pool and no reservation.
    #[must_use]
    pub fn is_unconfigured(&self, address: Ipv4Addr) -> bool {
        self.unconfigured.holds(address)
    }

    /// A live word without a record.
    fn adopt(&mut self, turn: &mut Turn<'_>, place: Place, lease: &Adopted) {
        let word = turn.words.load(lease.address);
        if self.book.state(place) == State::Leased || !word.alive() {
            return;
        }
        let owner = Binding {
            particulars: Particulars::new(HwAddr::ethernet(lease.chaddr), None, None, None),
            adopted: true,
            shortened: false,
            station: Station::Unknown,
            ended_by: None,
            answered_by: AnsweredBy::Kernel,
            link: lease.link,
            giaddr: Ipv4Addr::UNSPECIFIED,
            server: lease.server,
            lease_time: lease.lease_time,
            expiry: word.expiry(),
            granted_until: word.expiry(),
            former_promise: BootSecs(0),
            committed_until: lease.horizon.max(word.expiry()),
            last_heard: BootSecs(word.expiry().0.saturating_sub(lease.lease_time)).min(turn.now),
            kernel_renewals: 0,
            counted_in: Box::default(),
        };
        if is_reserved_for_another(&self.site, &self.book, place, &owner) {
            self.tenure().withdraw_from(turn, place, owner, None);
        } else {
            self.tenure().rebind(turn, place, owner, None, Restored::Leased);
            turn.out.push(Action::Commit(Change::Put(self.book.record(&self.site, place))));
        }
        self.tenure().settle(turn, place);
        self.inquiry().rearm(place);
    }
}
