//! The thread that writes the journal, and its queue.
//!
//! It gets the changes of a commit after that. Changes without room in the queue are left out and counted, and a line
//! has their number and times. While the files can't be written it tries again each second.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dhcp_ebpf::lease::BootSecs;
use jiff::Timestamp;

use super::catch_up::catch_up;
use super::entry::{Entry, Lost, Mark};
use super::files::Files;
use super::ledger::{At, Ledger};
use super::reports::LeaseReports;
use crate::config;
use crate::control::WallClock;
use crate::store::{Change, Record, Standing, StoreId};
use crate::waiting::Waiting;

/// How many changes may wait.
pub(super) const WAITING: usize = 1 << 16;
/// How often it looks at the directory, and tries again to write.
const LOOK: Duration = Duration::from_secs(1);
/// How long the end of the daemon waits for lines that are not written yet.
const PATIENCE: Duration = Duration::from_secs(5);
/// A disk that takes longer is reported as trouble.
const LATE: Duration = Duration::from_secs(5);

/// The committing side's end of the journal.
#[derive(Debug)]
pub struct Journal {
    work: Sender<Batch>,
    shared: Arc<Shared>,
    /// The changes without room since the last batch that had room.
    lost: Option<Lost>,
    ended: Receiver<()>,
}

/// How many lines were written, and how many changes are in none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines.
    pub written: u64,
    /// Changes.
    pub lost: u64,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicUsize,
    written: AtomicU64,
    lost: AtomicU64,
    trouble: Mutex<Option<String>>,
    /// Since when the disk has been asked for something.
    asked: Waiting,
    is_over: AtomicBool,
}

/// The changes of one commit.
#[derive(Debug)]
struct Batch {
    at: BootSecs,
    number: u64,
    changes: Arc<Vec<Change>>,
    reports: LeaseReports,
    lost: Option<Lost>,
}

impl Journal {
    /// Begins to write, from the store's `records`, as of its commit `last`. `start` starts a thread.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn begin<E>(
        settings: config::Journal,
        store: StoreId,
        last: u64,
        records: &[Record],
        start: impl FnOnce(&'static str, Box<dyn FnOnce() + Send>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let leased = records.iter().filter(|record| record.standing == Standing::Leased);
        let leased: Vec<Record> = leased.cloned().collect();
        let (work, taken) = channel();
        let (end, ended) = channel();
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        start(
            "journal",
            Box::new(move || {
                let files = Files::of(settings);
                let mut writer =
                    Writer { files, ledger: Ledger::default(), shared: told, store, is_whole: true };
                if writer.start(&leased, last) {
                    drop(leased);
                    writer.serve(&taken);
                }
                let _ = end.send(());
            }),
        )?;
        Ok(Self { work, shared, lost: None, ended })
    }

    /// Hands over what was committed as the commit of this number.
    pub fn committed(
        &mut self,
        at: BootSecs,
        number: u64,
        changes: &Arc<Vec<Change>>,
        reports: LeaseReports,
    ) {
        let entries = changes.len();
        if self.shared.waiting.load(Ordering::Relaxed).saturating_add(entries) > WAITING {
            return self.lose(entries as u64);
        }
        self.shared.waiting.fetch_add(entries, Ordering::Relaxed);
        let batch = Batch { at, number, changes: Arc::clone(changes), reports, lost: self.lost.take() };
        // Whoever started the thread is told if it ends by a panic.
        let _ = self.work.send(batch);
    }

    fn lose(&mut self, entries: u64) {
        self.shared.lost.fetch_add(entries, Ordering::Relaxed);
        let now = Timestamp::now();
        let lost = self.lost.get_or_insert_with(|| Lost {
            time: now,
            what: "lost".to_owned(),
            entries: 0,
            from: now,
            to: now,
        });
        lost.entries = lost.entries.saturating_add(entries);
        lost.to = now;
    }

    /// How much was written, and how much not.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts { written: of(&self.shared.written), lost: of(&self.shared.lost) }
    }

    /// Why it can't be written, in words for the operator.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let late = || {
            let waits = self.shared.asked.late(LATE)?.as_secs();
            Some(format!(
                "the disk has not answered the lease journal for {waits} s: changes wait, as far as there is room"
            ))
        };
        let trouble = trouble.or_else(late)?;
        match self.counts().lost {
            0 => Some(trouble),
            lost => Some(format!("{trouble} ({lost} changes of leases are not in it)")),
        }
    }

    /// Waits a while until all is written.
    pub fn finish(self) {
        let Self { work, ended, shared, .. } = self;
        shared.is_over.store(true, Ordering::Relaxed);
        drop(work);
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let changes = shared.waiting.load(Ordering::Relaxed);
            tracing::warn!(
                changes,
                "the last of the lease journal is not written; the next start makes good for it"
            );
        }
    }
}

struct Writer {
    files: Files,
    ledger: Ledger,
    shared: Arc<Shared>,
    store: StoreId,
    /// Whether nothing was lost: only then may a line claim to cover all changes up to a commit.
    is_whole: bool,
}

impl Writer {
    /// Learns what the journal has, and writes what it lacks; tries until it can. `false`: the daemon ends.
    fn start(&mut self, records: &[Record], last: u64) -> bool {
        let mut begun = None;
        loop {
            let at = now();
            let tried = at.and_then(|at| {
                self.files.open(at.time)?;
                let mark = self.mark(last);
                let begun = begun.get_or_insert_with(Instant::now);
                let mut ledger = Ledger::default();
                let mut entries = catch_up(self.files.directory(), &mut ledger, records, &mark, at)?;
                if let Some(entry) = entries.last_mut() {
                    entry.commit = Some(mark);
                }
                self.files.append(at.time, &text(&entries))?;
                Ok((ledger, entries.len(), begun.elapsed()))
            });
            match tried {
                Ok((ledger, lines, took)) => {
                    self.ledger = ledger;
                    self.wrote(lines);
                    if lines > 0 {
                        tracing::info!(lines, seconds = took.as_secs(), "the lease journal has caught up");
                    }
                    return true;
                }
                Err(error) => self.failed(&error),
            }
            if self.is_over() {
                return false;
            }
        }
    }

    /// Waits a second, and says whether the daemon has ended meanwhile.
    fn is_over(&self) -> bool {
        std::thread::sleep(LOOK);
        self.shared.is_over.load(Ordering::Relaxed)
    }

    fn serve(&mut self, work: &Receiver<Batch>) {
        loop {
            match work.recv_timeout(LOOK) {
                Ok(first) => {
                    // What has gathered while the disk was at the last goes together.
                    let mut batches = vec![first];
                    batches.extend(work.try_iter().take(256));
                    self.write(batches);
                }
                Err(RecvTimeoutError::Timeout) => {
                    let shared = Arc::clone(&self.shared);
                    let _asked = shared.asked.begin();
                    let looked = now().and_then(|at| self.files.look(at.time));
                    match looked {
                        Ok(()) => self.wrote(0),
                        Err(error) => self.failed(&error),
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Writes what was committed; tries until it can, or the daemon ends.
    fn write(&mut self, batches: Vec<Batch>) {
        let shared = Arc::clone(&self.shared);
        let _asked = shared.asked.begin();
        let changes = batches.iter().map(|batch| batch.changes.len()).sum::<usize>();
        let (mut lines, mut octets) = (0, Vec::new());
        for batch in batches {
            let entries = self.entries(batch, &mut octets);
            octets.extend(text(&entries));
            lines += entries.len();
        }
        if !octets.is_empty() && !self.put(&octets) {
            return;
        }
        self.wrote(lines);
        self.shared.waiting.fetch_sub(changes, Ordering::Relaxed);
    }

    /// Tries until they are written; `false`: the daemon ends before.
    fn put(&mut self, octets: &[u8]) -> bool {
        loop {
            match now().and_then(|at| self.files.append(at.time, octets)) {
                Ok(()) => return true,
                Err(error) => self.failed(&error),
            }
            if self.is_over() {
                return false;
            }
        }
    }

    fn entries(&mut self, batch: Batch, octets: &mut Vec<u8>) -> Vec<Entry> {
        let Batch { at, number, changes, mut reports, lost } = batch;
        if let Some(lost) = lost {
            self.is_whole = false;
            tracing::warn!(changes = lost.entries, from = %lost.from, to = %lost.to, "changes of leases are not in the journal");
            line(&lost, octets);
        }
        // Only a kernel without a boot clock has none, and no daemon runs there.
        let Ok(clock) = WallClock::read() else { return Vec::new() };
        let at = At { time: clock.at(at), clock };
        let mut entries: Vec<Entry> = Vec::with_capacity(changes.len());
        for change in changes.iter() {
            entries.extend(self.ledger.enter(change, &mut reports, at));
        }
        if let Some(last) = entries.last_mut().filter(|_| self.is_whole) {
            last.commit = Some(self.mark(number));
        }
        entries
    }

    fn mark(&self, number: u64) -> Mark {
        Mark { store: self.store.to_string(), number }
    }

    fn failed(&self, error: &io::Error) {
        let why =
            format!("the lease journal in {} can't be written: {error}", self.files.directory().display());
        let mut trouble = self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.as_ref() != Some(&why) {
            tracing::warn!("{why}: it is tried again each second");
            *trouble = Some(why);
        }
    }

    fn wrote(&self, lines: usize) {
        self.shared.written.fetch_add(lines as u64, Ordering::Relaxed);
        let mut trouble = self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.take().is_some() {
            tracing::info!("the lease journal is written again");
        }
    }
}

fn now() -> io::Result<At> {
    Ok(At {
        time: Timestamp::now().round(jiff::Unit::Second).map_err(io::Error::other)?,
        clock: WallClock::read()?,
    })
}

fn text(entries: &[Entry]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(entries.len().saturating_mul(512));
    entries.iter().for_each(|entry| line(entry, &mut octets));
    octets
}

fn line(what: &impl serde::Serialize, octets: &mut Vec<u8>) {
    // These are numbers and texts, which serde_json can write, and a Vec takes what it is given.
    if serde_json::to_writer(&mut *octets, what).is_ok() {
        octets.push(b'\n');
    }
}
