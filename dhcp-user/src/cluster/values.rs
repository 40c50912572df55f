//! What stands in etcd: a format number, then postcard.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::terms::Instance;

/// The format that this version writes, and the newest that it reads.
pub(super) const FORMAT: u8 = 1;

/// Why octets from etcd can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    /// A later version wrote them.
    #[error("it was written by a newer xdhcpd (format {0}; this one knows up to {FORMAT})")]
    Newer(u8),
    /// Nothing of ours.
    #[error("it was not written by xdhcpd")]
    Malformed,
}

/// That a node lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Living {
    pub(super) instance: Instance,
}

/// Who owns a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    pub(super) node: String,
    pub(super) epoch: i64,
}

/// Whom an address is promised to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    /// The hardware type and address; nothing behind the type if it isn't known.
    pub(super) hardware: Vec<u8>,
    /// The client identifier, if it is known.
    pub(super) client_id: Option<Vec<u8>>,
}

impl Holder {
    /// Whether it is the same device or client: of one whose lease was found in a kernel's maps only the device is known, and
    /// another network card may go on with a client's lease.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.hardware.len() > 1 && self.hardware == other.hardware
            || self.client_id.is_some() && self.client_id == other.client_id
    }
}

/// What is known of an address. Durations are from the transaction that wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    /// Whose maps may promise it.
    pub(super) instance: Instance,
    /// The client that it is leased to, if it is.
    pub(super) client: Option<Holder>,
    /// No promise lasts longer, by whomever.
    pub(super) lasts: u32,
    /// Other instances that may have promised it to this client.
    pub(super) others: Vec<Instance>,
    /// No promise of theirs lasts longer.
    pub(super) others_last: u32,
    /// The clock of the node that wrote it, in the store's form.
    pub(super) clock: Vec<u8>,
    /// The record, in the store's form by that clock.
    pub(super) record: Vec<u8>,
}

/// A lease that has ended while others may have promised it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ending {
    pub(super) client: Holder,
    pub(super) others: Vec<Instance>,
    pub(super) others_last: u32,
}

/// What an instance says of itself: in blocks that it doesn't own at the revision it can promise nothing any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Acknowledged {
    pub(super) revision: i64,
    /// What it promised there lasts no longer.
    pub(super) lasts: u32,
}

/// The clock of a node at its last commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Clocked {
    pub(super) clock: Vec<u8>,
    pub(super) commits: u64,
    /// Which store the node's maps rest upon.
    pub(super) store: u128,
}

/// The octets of a value.
pub(super) fn write(value: &impl Serialize) -> Vec<u8> {
    match postcard::to_extend(value, vec![FORMAT]) {
        Ok(octets) => octets,
        Err(error) => unreachable!("a Vec takes what it is given: {error}"),
    }
}

/// The value of these octets.
pub(super) fn read<T: DeserializeOwned>(octets: &[u8]) -> Result<T, BadValue> {
    match octets {
        [FORMAT, rest @ ..] => match postcard::take_from_bytes(rest) {
            Ok((value, [])) => Ok(value),
            _ => Err(BadValue::Malformed),
        },
        [newer, ..] if *newer > FORMAT => Err(BadValue::Newer(*newer)),
        _ => Err(BadValue::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_version_does_not_know_is_told_apart() {
        let owner = Owner { node: "a".into(), epoch: 7 };
        let mut octets = write(&owner);
        assert_eq!(read(&octets), Ok(owner));
        octets.push(0);
        assert_eq!(read::<Owner>(&octets), Err(BadValue::Malformed));
        octets[0] = FORMAT + 1;
        assert_eq!(read::<Owner>(&octets), Err(BadValue::Newer(2)));
        assert_eq!(read::<Owner>(&[]), Err(BadValue::Malformed));
    }
}
