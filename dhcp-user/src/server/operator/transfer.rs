//! Leases on their way to another server, and from another.

use std::io;
use std::sync::{Arc, Weak};

use anyhow::{Context as _, Result, ensure};

use crate::clock::BootNanos;
use crate::config::{Config, StoreChoice};
use crate::control::{Export, Imported, Portable, RefusedLease, Reply, WallClock};
use crate::policy::Words as _;
use crate::server::Server;
use crate::server::equipment;
use crate::store::{Change, Expected, Record, Standing};

/// The exports that are under way.
#[derive(Debug, Default)]
pub(in crate::server) struct Exports(Vec<Weak<Export>>);

impl Exports {
    /// Follows an export for as long as somebody has it.
    fn follow(&mut self, export: &Arc<Export>) {
        self.0.retain(|other| other.strong_count() > 0);
        if !self.0.iter().any(|other| other.as_ptr() == Arc::as_ptr(export)) {
            self.0.push(Arc::downgrade(export));
        }
    }

    /// These changes are committed.
    pub(in crate::server) fn note(&self, changes: &[Change]) {
        for export in self.0.iter().filter_map(Weak::upgrade) {
            changes.iter().for_each(|change| export.changed(change.address()));
        }
    }
}

impl Server {
    /// The next page of an export, and whether more is to come.
    pub(in crate::server) fn export(&mut self, export: &Arc<Export>, most: usize) -> (Vec<Portable>, bool) {
        self.exports.follow(export);
        if let Some(after) = export.after() {
            let (records, next) = self.policy.records_after(after, most);
            export.went_on(next);
            return (records.iter().map(|record| self.portable(record)).collect(), true);
        }
        let (again, is_all) = export.again(most);
        let records = again.into_iter().filter_map(|address| self.policy.record(address));
        (records.map(|record| self.portable(&record)).collect(), !is_all)
    }

    /// A record with the kernel's present promise.
    fn portable(&self, record: &Record) -> Portable {
        let word = self.table.load(record.address);
        let lives = record.standing == Standing::Leased && word.alive();
        let expiry = if lives { record.expiry.max(word.expiry()) } else { record.expiry };
        Portable::of(&Record { expiry, ..record.clone() }, BootNanos::now().floor(), self.wall)
    }

    /// Honours leases of another server from now on, as far as nothing of ours is in the way; all in one commit. That is
    /// answered when it is on disk.
    pub(in crate::server) fn import(&mut self, leases: &[Portable], reply: Reply<Imported>) {
        let now = BootNanos::now().floor();
        let mut actions = Vec::new();
        let mut refused = Vec::new();
        for (number, lease) in (0..).zip(leases) {
            let done = lease.record(now).and_then(|record| {
                let done = self.policy.import(now, &self.table, &record, &mut actions);
                done.map_err(|error| error.to_string())
            });
            if let Err(why) = done {
                refused.push(RefusedLease { number, why });
            }
        }
        self.queue(actions);
        let imported = (leases.len() - refused.len()) as u64;
        self.when_on_disk(move |committed| {
            if committed.is_ok() {
                tracing::info!(imported, refused = refused.len(), "leases of another server imported");
            }
            reply.done(committed.map(|()| Imported { imported, refused }));
        });
    }
}

/// Gives `each` the records of the store of a server that doesn't run, for another server. Returns the last result of
/// `each`: after an error it gives no more.
///
/// # Errors
/// When there is no such store, it can't be read, or a server has it open.
pub fn export_stopped(
    config: &Config,
    mut each: impl FnMut(Portable) -> io::Result<()>,
) -> Result<io::Result<()>> {
    if config.server.store == StoreChoice::Embedded {
        let dir = &config.server.state_dir;
        ensure!(dir.join("store").is_dir(), "there is no lease store in {}", dir.display());
    }
    let records = equipment::open_store(config, Expected::default())?.load().context("loading the leases")?;
    let (now, wall) = (BootNanos::now().floor(), WallClock::read().context("reading the clocks")?);
    Ok(records.iter().try_for_each(|record| each(Portable::of(record, now, wall))))
}
