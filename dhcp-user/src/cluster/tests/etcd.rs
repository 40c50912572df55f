//! A model of etcd: revisions, transactions, a log that watches read. It is never wrong, and loses nothing.

use std::collections::BTreeMap;

use crate::cluster::{Condition, Outcome, Transaction, Watched, Write};

/// The state, and how it came about.
#[derive(Debug, Default)]
pub(super) struct Etcd {
    revision: i64,
    keys: BTreeMap<String, Value>,
    pub(super) log: Vec<Watched>,
}

#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) octets: Vec<u8>,
    created: i64,
    modified: i64,
    /// When it was written, in true seconds.
    pub(super) at: f64,
}

impl Etcd {
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.keys.get(key)
    }

    pub(super) fn all(&self) -> Vec<Watched> {
        let seen = |(key, value): (&String, &Value)| Watched {
            key: key.clone(),
            value: Some(value.octets.clone()),
            created: value.created,
            revision: value.modified,
        };
        self.keys.iter().map(seen).collect()
    }

    pub(super) fn put(&mut self, at: f64, key: &str, octets: Vec<u8>) -> i64 {
        self.revision += 1;
        self.write(at, &Write::Put(key.into(), octets));
        self.revision
    }

    pub(super) fn delete(&mut self, at: f64, key: &str) {
        if self.keys.contains_key(key) {
            self.revision += 1;
            self.write(at, &Write::Delete(key.into()));
        }
    }

    pub(super) fn transact(&mut self, at: f64, transaction: &Transaction) -> Outcome {
        let holds = |condition: &Condition| match condition {
            Condition::Created(key, revision) => {
                self.keys.get(key).map_or(0, |value| value.created) == *revision
            }
            Condition::Modified(key, revision) => {
                self.keys.get(key).map_or(0, |value| value.modified) == *revision
            }
        };
        if !transaction.when.iter().all(holds) {
            return Outcome::Refused;
        }
        self.revision += 1;
        for write in &transaction.then {
            self.write(at, write);
        }
        Outcome::Done(self.revision)
    }

    fn write(&mut self, at: f64, write: &Write) {
        let (key, value) = match write {
            Write::Put(key, octets) => {
                let created = self.keys.get(key).map_or(self.revision, |value| value.created);
                let value = Value { octets: octets.clone(), created, modified: self.revision, at };
                self.keys.insert(key.clone(), value);
                (key, Some((octets.clone(), created)))
            }
            Write::Delete(key) => {
                if self.keys.remove(key).is_none() {
                    return;
                }
                (key, None)
            }
        };
        let created = value.as_ref().map_or(0, |(_, created)| *created);
        self.log.push(Watched {
            key: key.clone(),
            value: value.map(|(octets, _)| octets),
            created,
            revision: self.revision,
        });
    }
}
