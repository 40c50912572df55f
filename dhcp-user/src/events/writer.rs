//! The thread that numbers events, writes them and sends them to followers, and its queue.

use std::io;
use std::mem::take;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::broadcast;

use super::Bounds;
use super::files::Files;
use super::reader::Reader;
use super::record::EventRecord;
use crate::logging::Seldom;
use crate::waiting::Waiting;

/// How many events may wait.
pub(super) const WAITING: usize = 1 << 14;
/// How often it tries again to write, and looks for events that are too old.
const LOOK: Duration = Duration::from_secs(1);
/// How long what was written may be on no disk.
const SYNC: Duration = Duration::from_secs(5);
/// How long the end of the daemon waits for events that are not written yet.
const PATIENCE: Duration = Duration::from_secs(2);
/// A disk that takes longer is reported as trouble.
const LATE: Duration = Duration::from_secs(5);

/// The use of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is written, and sent to followers.
    Kept,
    /// It is sent to followers, and not written.
    Told,
}

type Event<T> = (Timestamp, Use, T);

/// The deciding thread's end of the log. `T` becomes a record on the writing thread.
#[derive(Debug)]
pub struct EventLog<T> {
    work: Sender<Vec<Event<T>>>,
    /// The events to hand over together.
    pending: Vec<Event<T>>,
    reader: Reader,
    shared: Arc<Shared>,
    ended: Receiver<()>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicUsize,
    /// Events without room in the queue since the last report of that.
    dropped: AtomicU64,
    not_kept: AtomicU64,
    last: Arc<AtomicU64>,
    trouble: Mutex<Option<String>>,
    /// Since when the disk has been asked for something.
    asked: Waiting,
}

impl<T: Send + 'static> EventLog<T> {
    /// Begins to write below `directory`, and to send to `listeners`. `record` makes a record of an event, and
    /// `start` starts a thread.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn begin<E>(
        directory: PathBuf,
        bounds: Bounds,
        listeners: broadcast::Sender<EventRecord>,
        record: fn(T) -> EventRecord,
        start: impl Fn(&'static str, Box<dyn FnOnce() + Send>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let shared = Arc::new(Shared::default());
        let reader = Reader::begin(directory.clone(), Arc::clone(&shared.last), &start)?;
        let (work, taken) = channel();
        let (end, ended) = channel();
        let told = Arc::clone(&shared);
        start(
            "events",
            Box::new(move || {
                // Without it every start is as if after a machine that ended without warning: numbers are left out, no more.
                let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
                let files = Files::of(directory, bounds, boot.trim().to_owned());
                let writer = Writer {
                    files,
                    shared: told,
                    listeners,
                    record,
                    lost: None,
                    failed: None,
                    said: Seldom::default(),
                    is_told: false,
                    synced: Instant::now(),
                };
                writer.serve(&taken);
                let _ = end.send(());
            }),
        )?;
        Ok(Self { work, pending: Vec::new(), reader, shared, ended })
    }

    /// Something has happened. It is handed over by the next [`hand_over`](Self::hand_over).
    pub fn happened(&mut self, what: T, which: Use) {
        self.pending.push((Timestamp::now(), which, what));
    }

    /// Hands over the events. Those without room are left out and counted.
    pub fn hand_over(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let events = self.pending.len();
        if self.shared.waiting.load(Ordering::Relaxed).saturating_add(events) > WAITING {
            self.pending.clear();
            self.shared.dropped.fetch_add(events as u64, Ordering::Relaxed);
            self.shared.not_kept.fetch_add(events as u64, Ordering::Relaxed);
            return;
        }
        self.shared.waiting.fetch_add(events, Ordering::Relaxed);
        // Whoever started the thread is told if it ends by a panic.
        let _ = self.work.send(take(&mut self.pending));
    }

    /// For who wants to read what was written.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// How many events are not in the log.
    #[must_use]
    pub fn not_kept(&self) -> u64 {
        self.shared.not_kept.load(Ordering::Relaxed)
    }

    /// Why it can't be written, in words for the operator.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let late = || {
            let waits = self.shared.asked.late(LATE)?.as_secs();
            Some(format!(
                "the disk has not answered the event log for {waits} s: events wait, as far as there is room"
            ))
        };
        let trouble = trouble.or_else(late)?;
        Some(format!("{trouble} ({} events are not in it)", self.not_kept()))
    }

    /// Waits a while until all is written.
    pub fn finish(mut self) {
        self.hand_over();
        let Self { work, ended, .. } = self;
        drop(work);
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the last events are not written: the disk takes its time");
        }
    }
}

struct Writer<T> {
    files: Files,
    shared: Arc<Shared>,
    listeners: broadcast::Sender<EventRecord>,
    record: fn(T) -> EventRecord,
    /// The events not written since the last written one.
    lost: Option<Lost>,
    /// When it was tried last, if in vain.
    failed: Option<Instant>,
    /// The troubles in the log.
    said: Seldom,
    /// Whether the log has the last one, and not yet that it is over.
    is_told: bool,
    synced: Instant,
}

struct Lost {
    events: u64,
    from: Timestamp,
}

impl<T> Writer<T> {
    fn serve(mut self, work: &Receiver<Vec<Event<T>>>) {
        let shared = Arc::clone(&self.shared);
        self.write(Vec::new());
        let mut looked = Instant::now();
        loop {
            match work.recv_timeout(LOOK) {
                Ok(mut first) => {
                    // What has gathered while the disk was at the last goes together.
                    work.try_iter().take(256).for_each(|mut more| first.append(&mut more));
                    let events = first.len();
                    let asked = shared.asked.begin();
                    self.write(first);
                    drop(asked);
                    self.shared.waiting.fetch_sub(events, Ordering::Relaxed);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                let _asked = shared.asked.begin();
                self.look();
            }
        }
        if let Err(error) = self.files.sync() {
            self.in_trouble(&error);
        }
    }

    /// Writes, and sends to followers: written events with numbers, others without.
    fn write(&mut self, events: Vec<Event<T>>) {
        let make = self.record;
        let mut records: Vec<(Use, EventRecord)> = events
            .into_iter()
            .map(|(time, which, what)| (which, EventRecord { time, ..make(what) }))
            .collect();
        if let Err(error) = self.put(&mut records) {
            self.in_trouble(&error);
            self.lose(records.iter().filter(|(which, _)| *which == Use::Kept).count() as u64);
        }
        if self.listeners.receiver_count() > 0 {
            for (_, record) in records {
                let _ = self.listeners.send(record);
            }
        }
    }

    /// Numbers and writes them, behind a line that says what was lost before.
    fn put(&mut self, records: &mut Vec<(Use, EventRecord)>) -> io::Result<()> {
        if self.failed.is_some_and(|failed| failed.elapsed() < LOOK) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let skipped = self.files.open()?;
        if let Some(numbers) = skipped {
            self.tell_skipped(numbers);
        }
        self.reached();
        let dropped = self.shared.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let from = records.first().map_or_else(Timestamp::now, |(_, record)| record.time);
            self.lost.get_or_insert(Lost { events: 0, from }).events += dropped;
        }
        let has_lines = records.iter().any(|(which, _)| *which == Use::Kept);
        if !has_lines && self.lost.is_none() {
            self.out_of_trouble();
            return Ok(());
        }
        let mut octets = Vec::with_capacity(records.len().saturating_mul(256));
        let mut next = self.files.next().ok_or(io::ErrorKind::NotFound)?;
        let mut lines = 0_u64;
        let mut line = |record: &mut EventRecord| -> io::Result<()> {
            record.number = Some(next);
            serde_json::to_writer(&mut octets, record)?;
            octets.push(b'\n');
            (next, lines) = (next.saturating_add(1), lines.saturating_add(1));
            Ok(())
        };
        let mut lost = self.lost.as_ref().map(Lost::record);
        if let Some(lost) = &mut lost {
            line(lost)?;
        }
        for (which, record) in records.iter_mut() {
            if *which == Use::Kept {
                line(record)?;
            }
        }
        if let Err(error) = self.files.append(&octets, lines) {
            records.iter_mut().for_each(|(_, record)| record.number = None);
            return Err(error);
        }
        self.lost = None;
        records.splice(..0, lost.map(|record| (Use::Kept, record)));
        self.reached();
        self.out_of_trouble();
        Ok(())
    }

    fn reached(&self) {
        let last = self.files.next().map_or(0, |next| next.saturating_sub(1));
        self.shared.last.store(last, Ordering::Release);
    }

    fn tell_skipped(&mut self, numbers: u64) {
        let detail = format!(
            "the machine ended without warning: what happened last before may not be here, and {numbers} numbers are left out"
        );
        let mut told = EventRecord { detail: Some(detail), ..EventRecord::now("lost") };
        told.number = self.files.next();
        let written = serde_json::to_vec(&told).map_err(io::Error::from).and_then(|mut octets| {
            octets.push(b'\n');
            self.files.append(&octets, 1)
        });
        if let Err(error) = written {
            self.in_trouble(&error);
        }
    }

    /// Writes what was lost, has what was written on disk, and removes what is too old.
    fn look(&mut self) {
        self.write(Vec::new());
        if self.failed.is_some() {
            return;
        }
        let mut done = self.files.forget();
        if done.is_ok() && self.synced.elapsed() >= SYNC {
            self.synced = Instant::now();
            done = self.files.sync();
        }
        match done {
            Ok(()) => self.out_of_trouble(),
            Err(error) => self.in_trouble(&error),
        }
    }

    fn lose(&mut self, events: u64) {
        if events > 0 {
            self.shared.not_kept.fetch_add(events, Ordering::Relaxed);
            self.lost.get_or_insert_with(|| Lost { events: 0, from: Timestamp::now() }).events += events;
        }
    }

    fn in_trouble(&mut self, error: &io::Error) {
        if error.kind() == io::ErrorKind::WouldBlock && self.failed.is_some() {
            return;
        }
        self.failed = Some(Instant::now());
        let why = format!("the event log in {} can't be written: {error}", self.files.directory().display());
        let mut trouble = self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.as_ref() != Some(&why) {
            if let Some(left_out) = self.said.is_due(&why) {
                self.is_told = true;
                tracing::warn!(
                    "{why}: it is tried again each second, and who follows is told without numbers{left_out}"
                );
            }
            *trouble = Some(why);
        }
    }

    fn out_of_trouble(&mut self) {
        if self.failed.take().is_some() {
            *self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
            if std::mem::take(&mut self.is_told) {
                tracing::info!("the event log is written again");
            }
        }
    }
}

impl Lost {
    fn record(&self) -> EventRecord {
        let detail = format!("{} events since {} are not in the log", self.events, self.from);
        EventRecord { count: Some(self.events), detail: Some(detail), ..EventRecord::now("lost") }
    }
}
