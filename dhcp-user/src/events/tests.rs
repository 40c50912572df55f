//! The log in a directory of a test's own: numbers, files, and pages.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::broadcast;

use super::files::{Files, segments};
use super::page::{Cursor, read};
use super::{Bounds, EventLog, EventRecord, Use};

const SETTINGS: Bounds = Bounds { size: 64 << 10, keep: 3600 };

fn files(directory: &Path, boot: &str) -> Files {
    Files::of(directory.to_owned(), SETTINGS, boot.to_owned())
}

fn line(number: u64, what: &'static str) -> Vec<u8> {
    let record =
        EventRecord { number: Some(number), detail: Some("x".repeat(100)), ..EventRecord::now(what) };
    let mut octets = serde_json::to_vec(&record).unwrap();
    octets.push(b'\n');
    octets
}

fn write(files: &mut Files, events: u64) {
    for _ in 0..events {
        let number = files.next().unwrap();
        files.append(&line(number, "granted"), 1).unwrap();
    }
}

/// The numbers of all that is kept behind one, and how many are not kept.
fn numbers(directory: &Path, after: u64) -> (u64, Vec<u64>) {
    let (mut missing, mut all, mut cursor) = (0, Vec::new(), Cursor::after(after));
    loop {
        let page = read(directory, cursor).unwrap();
        missing += page.missing;
        if page.lines.is_empty() {
            return (missing, all);
        }
        all.extend(
            page.lines.iter().map(|line| serde_json::from_str::<EventRecord>(line).unwrap().number.unwrap()),
        );
        cursor = page.next;
    }
}

#[test]
fn numbers_go_on_where_they_were_whatever_the_last_line_is() {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path().join("events");
    let mut first = files(&at, "a");
    assert_eq!(first.open().unwrap(), None);
    assert_eq!(first.next(), Some(1));
    write(&mut first, 3);
    let (_, path) = segments(&at).unwrap().pop().unwrap();
    let whole = line(4, "granted");
    for torn in [1, whole.len() / 2, whole.len() - 1] {
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&whole[..torn]).unwrap();
        assert_eq!(numbers(&at, 0), (0, vec![1, 2, 3]), "{torn} octets of a line");
        let mut again = files(&at, "a");
        assert_eq!(again.open().unwrap(), None);
        assert_eq!(again.next(), Some(4), "{torn} octets of a line");
    }
    let mut again = files(&at, "a");
    again.open().unwrap();
    write(&mut again, 2);
    assert_eq!(numbers(&at, 0), (0, vec![1, 2, 3, 4, 5]));
    assert_eq!(numbers(&at, 3), (0, vec![4, 5]));
    assert_eq!(numbers(&at, 5), (0, vec![]));
}

#[test]
fn after_a_machine_that_ended_without_warning_no_number_is_given_again() {
    let scratch = tempfile::tempdir().unwrap();
    let mut first = files(scratch.path(), "a");
    first.open().unwrap();
    write(&mut first, 2);
    let mut other = files(scratch.path(), "b");
    let skipped = other.open().unwrap().expect("numbers are left out");
    assert_eq!(other.next(), Some(3 + skipped));
    let number = other.next().unwrap();
    other.append(&line(number, "stopped"), 1).unwrap();
    // What ended in order has given no number that is not there.
    let mut third = files(scratch.path(), "c");
    assert_eq!(third.open().unwrap(), None);
    assert_eq!(third.next(), Some(number + 1));
}

#[test]
fn there_is_never_more_than_was_allowed_and_what_is_missing_is_counted() {
    let scratch = tempfile::tempdir().unwrap();
    let mut files = files(scratch.path(), "a");
    files.open().unwrap();
    for _ in 0..20 {
        write(&mut files, 100);
        let all = segments(scratch.path()).unwrap();
        let octets: u64 = all.iter().map(|(_, path)| fs::metadata(path).unwrap().len()).sum();
        assert!(octets <= SETTINGS.size, "{octets} octets");
    }
    let (missing, kept) = numbers(scratch.path(), 7);
    assert!(missing > 0 && kept.len() > 100, "{missing} missing, {} kept", kept.len());
    assert_eq!(kept, (8 + missing..=2000).collect::<Vec<_>>());
}

#[test]
fn what_is_no_event_is_passed_over() {
    let scratch = tempfile::tempdir().unwrap();
    let mut files = files(scratch.path(), "a");
    files.open().unwrap();
    write(&mut files, 1);
    files.append(b"\0\0{\"number\":\xff}\n[]\n\n", 0).unwrap();
    write(&mut files, 1);
    assert_eq!(numbers(scratch.path(), 0), (0, vec![1, 2]));
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn begin(directory: &Path, listeners: broadcast::Sender<EventRecord>) -> EventLog<&'static str> {
    EventLog::begin(
        directory.to_owned(),
        SETTINGS,
        listeners,
        |what: &'static str| EventRecord::now(what),
        |_, work| thread::Builder::new().spawn(work).map(drop),
    )
    .unwrap()
}

#[test]
fn without_its_directory_events_are_told_without_numbers_and_a_line_says_what_is_lost() {
    let scratch = tempfile::tempdir().unwrap();
    let (at, aside) = (scratch.path().join("events"), scratch.path().join("aside"));
    let (listeners, mut heard) = broadcast::channel(64);
    let mut log = begin(&at, listeners);
    let mut tell = |log: &mut EventLog<_>, which| {
        log.happened("granted", which);
        log.hand_over();
        loop {
            let record = heard.blocking_recv().unwrap();
            if record.what != "lost" {
                return record.number;
            }
        }
    };
    assert_eq!(tell(&mut log, Use::Kept), Some(1));
    assert_eq!(tell(&mut log, Use::Told), None);
    assert_eq!(tell(&mut log, Use::Kept), Some(2));
    fs::rename(&at, &aside).unwrap();
    assert_eq!(tell(&mut log, Use::Kept), None);
    assert_eq!(tell(&mut log, Use::Kept), None);
    assert!(log.trouble().is_some_and(|why| why.contains("2 events")), "{:?}", log.trouble());
    assert!(!at.exists(), "nothing is made in its place");
    fs::rename(&aside, &at).unwrap();
    until("recovery", || log.trouble().is_none());
    assert_eq!(tell(&mut log, Use::Kept), Some(4));
    assert_eq!(log.not_kept(), 2);
    log.finish();
    let page = read(&at, Cursor::after(0)).unwrap();
    let all: Vec<EventRecord> = page.lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = all.iter().map(|event| (event.number.unwrap(), &*event.what, event.count)).collect();
    let expected = [(1, "granted", None), (2, "granted", None), (3, "lost", Some(2)), (4, "granted", None)];
    assert_eq!(told, expected);
}
