//! Where several nodes lease one address space: which addresses are this node's to give.
//!
//! An address of a block that another node owns is nobody's here, and what its client says is left to that node. An address
//! that another node may have promised, of a block that this one has taken over, is given to nobody but the client that has it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::cluster::Block;
use crate::policy::Policy;
use crate::policy::book::state::{Apart, State};
use crate::policy::site::place::Place;

/// What this node may give.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Shares {
    owned: BTreeSet<Block>,
    promised: BTreeSet<Ipv4Addr>,
}

impl Policy {
    /// This node may give what is in the blocks `owned`, but for what others may have promised.
    pub fn share(&mut self, owned: BTreeSet<Block>, promised: BTreeSet<Ipv4Addr>) {
        self.share_as(Shares { owned, promised });
    }

    pub(in crate::policy) fn share_as(&mut self, shares: Shares) {
        self.shares = Some(shares);
        self.book.share();
        for place in self.book.places() {
            self.set_one_apart(place);
        }
    }

    /// This node may give what is in the block, too, but for what others may have promised.
    pub fn take_over(&mut self, block: Block, promised: &[Ipv4Addr]) {
        let Some(shares) = &mut self.shares else { return };
        shares.owned.insert(block);
        shares.promised.extend(promised);
        let first = block.first().to_bits();
        for place in (first..=first | 0xff)
            .filter_map(|bits| self.book.find(Ipv4Addr::from_bits(bits)))
            .collect::<Vec<_>>()
        {
            self.set_one_apart(place);
        }
    }

    /// Nobody else can have promised these addresses any more.
    pub fn cleared(&mut self, addresses: &[Ipv4Addr]) {
        for address in addresses {
            if let Some(shares) = &mut self.shares {
                shares.promised.remove(address);
            }
            if let Some(place) = self.book.find(*address) {
                self.set_one_apart(place);
            }
        }
    }

    /// Whether the address is another node's to give, or nobody's yet.
    #[must_use]
    pub fn is_elsewhere(&self, address: Ipv4Addr) -> bool {
        self.shares.as_ref().is_some_and(|shares| !shares.owned.contains(&Block::of(address)))
    }

    fn set_one_apart(&mut self, place: Place) {
        let Some(shares) = &self.shares else { return };
        let address = self.book.address(place);
        let apart = match () {
            () if !shares.owned.contains(&Block::of(address)) => Apart::Elsewhere,
            () if shares.promised.contains(&address) => Apart::Promised,
            () => Apart::No,
        };
        if apart == self.book.apart(place) {
            return;
        }
        if apart != Apart::No && self.book.state(place) == State::Free {
            self.let_nobody_have(place);
        }
        self.book.set_apart(place, apart);
        self.inquiry().rearm(place);
    }
}
