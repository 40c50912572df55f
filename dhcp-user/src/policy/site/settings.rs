//! Settings for all subnets.

use crate::config::{Probe, Server};

/// Durations are in seconds.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Settings {
    pub(in crate::policy) offer_hold: u32,
    pub(in crate::policy) probe: Probe,
    pub(in crate::policy) quarantine: u32,
    horizon: f64,
}

impl Settings {
    pub(super) fn new(server: &Server) -> Self {
        let Server { offer_hold, probe, quarantine, horizon, .. } = *server;
        Self { offer_hold, probe, quarantine, horizon }
    }

    /// How far ahead of an ACK the store commits, in seconds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a saturating cast is what is meant"
    )]
    pub(in crate::policy) fn horizon(&self, lease_time: u32) -> u32 {
        ((self.horizon * f64::from(lease_time)).ceil() as u32).max(lease_time)
    }
}
