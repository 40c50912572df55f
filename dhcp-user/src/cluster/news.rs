//! What the server hears of the agreement.

use std::net::Ipv4Addr;

use super::terms::Block;
use crate::store::Record;

/// News for the server.
#[derive(Debug)]
pub enum News {
    /// The block is this node's own. What is known of its addresses, and those that others may have promised.
    Owned(Block, Vec<Record>, Vec<Ipv4Addr>),
    /// Nobody else can have promised these any more.
    Cleared(Vec<Ipv4Addr>),
}
