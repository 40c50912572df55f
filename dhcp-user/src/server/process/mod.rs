//! The daemon as a process: its threads beside the one that decides, its signs of life, and what the service manager is told.

pub(super) mod awake;
pub(super) mod beside;
mod notifications;
pub(super) mod service;
pub(super) mod watchdog;
