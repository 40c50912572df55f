//! Lease words without a kernel, and what becomes of them by policy's actions.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::Ipv4Addr;

use dhcp_ebpf::lease::Word;

use crate::policy::{Action, Words};

/// The words of all addresses; those that nobody asked for are blank.
#[derive(Debug, Default)]
pub(super) struct Memory(RefCell<HashMap<Ipv4Addr, Word>>);

impl Words for Memory {
    fn load(&self, address: Ipv4Addr) -> Word {
        self.0.borrow().get(&address).copied().unwrap_or_default()
    }

    fn revoke(&self, address: Ipv4Addr, judged: Word) -> Result<Word, Word> {
        let current = self.load(address);
        if current != judged {
            return Err(current);
        }
        self.0.borrow_mut().insert(address, judged.revoked());
        Ok(judged.revoked())
    }
}

impl Memory {
    /// Publishes what is to be published.
    pub(super) fn carry_out(&self, actions: &[Action]) {
        for action in actions {
            if let Action::Publish(publication) = action {
                let word = self.load(publication.address);
                if word.generation() == publication.generation {
                    self.0.borrow_mut().insert(publication.address, word.granted(publication.expiry));
                }
            }
        }
    }
}
