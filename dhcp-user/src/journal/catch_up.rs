//! At a start: adds what the store has and the journal lacks, since the daemon ended between a commit and its lines,
//! or lines were lost.
//!
//! The journal's last line names its commit. If the store has later ones, the running leases are compared with the
//! newest files. The differences are written, marked as recovered.

use std::collections::hash_map;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use ahash::{HashMap, HashSet};

use super::entry::{Client, End, Entry, LOST, MARKED, Mark, What};
use super::files::{Part, parts};
use super::ledger::{At, Ledger};
use super::reports::LeaseReports;
use crate::store::{Change, Record};

/// Learns what the journal has, and finds the lines that it lacks, given the records of the leases that run.
///
/// # Errors
/// When its files can't be read.
pub(super) fn catch_up(
    directory: &Path,
    ledger: &mut Ledger,
    records: &[Record],
    last: &Mark,
    at: At,
) -> io::Result<Vec<Entry>> {
    let parts = parts(directory)?;
    if last_mark(&parts)?.as_ref() == Some(last) {
        records.iter().for_each(|record| ledger.know(record, at.clock));
        return Ok(Vec::new());
    }
    for (address, client) in running(&parts, records)? {
        ledger.know_client(address, &client);
    }
    let mut entries = Vec::new();
    for record in records {
        if ledger.has(record, at.clock) {
            ledger.know(record, at.clock);
        } else {
            entries.extend(ledger.enter(&Change::Put(record.clone()), &mut LeaseReports::default(), at));
        }
    }
    let running: HashSet<Ipv4Addr> = records.iter().map(|record| record.address).collect();
    let ended: Vec<Ipv4Addr> = ledger.addresses().filter(|address| !running.contains(address)).collect();
    entries.extend(ended.into_iter().filter_map(|address| ledger.end(address, None, End::NotTold, at)));
    entries.iter_mut().for_each(|entry| entry.recovered = true);
    Ok(entries)
}

/// The last commit in the journal.
fn last_mark(parts: &[Part]) -> io::Result<Option<Mark>> {
    for part in parts.iter().rev() {
        let mut last = None;
        part.lines(|line| {
            if line.contains(MARKED) {
                last =
                    serde_json::from_str::<Entry>(line).ok().and_then(|entry| entry.commit).or(last.take());
            }
        })?;
        if last.is_some() {
            return Ok(last);
        }
    }
    Ok(None)
}

/// The running leases by the newest files: as many files as it takes to find those of the store. A lease in none of
/// these was not renewed for so long that its promise has expired.
fn running(parts: &[Part], records: &[Record]) -> io::Result<Vec<(Ipv4Addr, Client)>> {
    let mut wanted: HashSet<Ipv4Addr> = records.iter().map(|record| record.address).collect();
    let mut known: HashMap<Ipv4Addr, Option<Client>> = HashMap::default();
    for part in parts.iter().rev() {
        let mut here: HashMap<Ipv4Addr, Option<Client>> = HashMap::default();
        part.lines(|line| {
            if !line.contains(LOST)
                && let Ok(entry) = serde_json::from_str::<Entry>(line)
            {
                let runs = entry.client.filter(|_| entry.what != What::Ended);
                here.insert(entry.address, runs);
            }
        })?;
        for (address, client) in here {
            wanted.remove(&address);
            if let hash_map::Entry::Vacant(unknown) = known.entry(address) {
                unknown.insert(client);
            }
        }
        if wanted.is_empty() {
            break;
        }
    }
    Ok(known.into_iter().filter_map(|(address, client)| Some((address, client?))).collect())
}
