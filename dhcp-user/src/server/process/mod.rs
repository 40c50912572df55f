//! The daemon as a process: its threads beside the deciding one, its signs of life, and its notifications to the
//! service manager.

pub(super) mod awake;
pub(super) mod beside;
mod notifications;
pub(super) mod service;
pub(super) mod watchdog;
