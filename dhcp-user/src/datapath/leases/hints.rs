//! The maps that lead to slots: they are hints only. The slot decides.

use std::collections::HashMap;

use anyhow::Result;
use dhcp_ebpf::abi::{Link, RunKey};

/// Where slots are found from a request.
pub trait Hints {
    /// Leads requests for a run to its first slot.
    ///
    /// # Errors
    /// When the map is full.
    fn lead_run(&mut self, key: RunKey, first: u32) -> Result<()>;

    /// Leads a question without ciaddr to a slot.
    ///
    /// # Errors
    /// When there is no room for it.
    fn lead_question(&mut self, hash: u64, slot: u32) -> Result<()>;

    /// Removes what leads requests from an interface that is gone.
    fn drop_interface(&mut self, ifindex: u32);

    /// Removes a question that leads to `slot`; whether it was there does not matter.
    fn drop_question(&mut self, hash: u64, slot: u32);
}

/// Hints in ordinary memory, for an instance without a kernel part and for simulation.
#[derive(Debug, Default)]
pub struct HeapHints {
    /// Runs by their key.
    pub runs: HashMap<RunKey, u32>,
    /// Slots by question.
    pub questions: HashMap<u64, u32>,
}

impl Hints for HeapHints {
    fn lead_run(&mut self, key: RunKey, first: u32) -> Result<()> {
        self.runs.insert(key, first);
        Ok(())
    }

    fn lead_question(&mut self, hash: u64, slot: u32) -> Result<()> {
        self.questions.insert(hash, slot);
        Ok(())
    }

    fn drop_interface(&mut self, ifindex: u32) {
        self.runs.retain(|key, _| Link::from_cell(key.link).ifindex != ifindex);
    }

    fn drop_question(&mut self, hash: u64, slot: u32) {
        if self.questions.get(&hash) == Some(&slot) {
            self.questions.remove(&hash);
        }
    }
}
