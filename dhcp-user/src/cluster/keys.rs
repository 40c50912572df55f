//! Where in etcd what stands: names of keys, below the site's prefix.

use std::net::Ipv4Addr;

use super::terms::{Block, Instance};

/// The format of all that stands below the prefix.
#[cfg(any(feature = "etcd", test))]
pub(super) const FORMAT: &str = "format";

/// A key, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// That a node lives, and in which epoch. It goes with the node's etcd lease.
    Node(String),
    /// Who owns a block.
    Block(Block),
    /// What is known of an address.
    Lease(Ipv4Addr),
    /// That the lease of an address has ended, and others may have promised it.
    Ending(Ipv4Addr),
    /// That an instance can promise nothing any more in blocks that it lost.
    Acknowledged(Instance),
    /// The clock and the number of commits of a node.
    Clock(String),
}

impl Key {
    /// The key's name, without the prefix.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Node(name) => format!("node/{name}"),
            Self::Block(block) => format!("block/{}", block.first()),
            Self::Lease(address) => format!("lease/{address}"),
            Self::Ending(address) => format!("ending/{address}"),
            Self::Acknowledged(instance) => format!("acknowledged/{instance}"),
            Self::Clock(name) => format!("clock/{name}"),
        }
    }

    /// The key of this name; none if this version knows no such.
    pub(super) fn read(name: &str) -> Option<Self> {
        let (kind, rest) = name.split_once('/')?;
        match kind {
            "node" => Some(Self::Node(rest.to_owned())),
            "block" => Some(Self::Block(Block::of(rest.parse().ok()?))),
            "lease" => Some(Self::Lease(rest.parse().ok()?)),
            "ending" => Some(Self::Ending(rest.parse().ok()?)),
            "acknowledged" => Some(Self::Acknowledged(Instance(u128::from_str_radix(rest, 16).ok()?))),
            "clock" => Some(Self::Clock(rest.to_owned())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_named() {
        let address = Ipv4Addr::new(192, 0, 2, 7);
        for key in [
            Key::Node("a".into()),
            Key::Block(Block::of(address)),
            Key::Lease(address),
            Key::Ending(address),
            Key::Acknowledged(Instance(7)),
            Key::Clock("b/c".into()),
        ] {
            assert_eq!(Key::read(&key.name()), Some(key));
        }
        assert_eq!(Key::Lease(address).name(), "lease/192.0.2.7");
        for name in ["", "node", "lease/x", "other/1", FORMAT] {
            assert_eq!(Key::read(name), None, "{name}");
        }
    }
}
