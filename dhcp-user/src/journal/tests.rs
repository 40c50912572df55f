//! The journal without a daemon: its files, its queue, and its lines for commits.

use std::fs;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;
use jiff::{SignedDuration, Timestamp};

use super::files::{Files, parts};
use super::writer::WAITING;
use super::*;
use crate::clock::BootNanos;
use crate::config;
use crate::store::{Change, HwAddr, Record, Standing, StoreId};

fn settings(directory: &Path) -> config::Journal {
    config::Journal {
        directory: directory.join("journal"),
        keep: 10_000,
        max_file_size: 1 << 20,
        rotate: 100,
    }
}

fn record(client: u8, standing: Standing) -> Record {
    let now = BootNanos::now().floor();
    Record {
        address: Ipv4Addr::new(192, 0, 2, 7),
        standing,
        recurrences: 0,
        client_id: None,
        chaddr: HwAddr::ethernet([2, 0, 0, 0, 0, client]),
        interface: "eth0".to_owned(),
        vlan: (200, 100),
        giaddr: Ipv4Addr::new(198, 51, 100, 1),
        server: Ipv4Addr::new(192, 0, 2, 1),
        host_name: Some("a \"quoted\" \u{1b} name".to_owned()),
        lease_time: 3600,
        expiry: now.plus(3600),
        committed_until: now.plus(7200),
        kernel_renewals: 0,
        last_heard: now,
        agent_info: Some(b"\x01\x03a b\x02\x02\x00\x04".to_vec()),
        adopted: false,
        shortened: false,
        classes: Vec::new(),
    }
}

fn begin(settings: &config::Journal, last: u64, records: &[Record]) -> Journal {
    Journal::begin(settings.clone(), StoreId(1), last, records, |_, work| {
        thread::Builder::new().spawn(work).map(drop)
    })
    .expect("a thread")
}

fn commit(journal: &mut Journal, number: u64, changes: Vec<Change>, reports: LeaseReports) {
    journal.committed(BootNanos::now().floor(), number, &Arc::new(changes), reports);
}

fn ask(settings: &config::Journal, whose: Whose) -> Answer {
    let span = Span { from: Timestamp::MIN, to: Timestamp::MAX };
    Question { whose: vec![whose], span }.answer(&settings.directory).expect("the files")
}

fn address() -> Whose {
    Whose::Address(Ipv4Addr::new(192, 0, 2, 7))
}

#[test]
fn what_commits_hold_is_told_with_all_that_is_known() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = settings(dir.path());
    let mut journal = begin(&settings, 0, &[]);
    let mut granted = record(1, Standing::Leased);
    let said = Fingerprint {
        parameter_list: vec![1, 3, 6],
        vendor_class: Some("MSFT 5.0".to_owned()),
        mud_url: Some("https://example.com/lamp.json".to_owned()),
    };
    let mut heard = LeaseReports::default();
    heard.heard(granted.address, said.clone());
    commit(&mut journal, 1, vec![Change::Put(granted.clone())], heard);
    granted.kernel_renewals = 3;
    granted.expiry = granted.expiry.plus(1000);
    commit(&mut journal, 2, vec![Change::Put(granted)], LeaseReports::default());
    let mut reports = LeaseReports::default();
    reports.note(Ipv4Addr::new(192, 0, 2, 7), LeaseReport::Ended(End::Reclaimed));
    commit(&mut journal, 3, vec![Change::Put(record(1, Standing::Free))], reports);
    // Of the end of the next nothing is told: somebody else has it.
    commit(&mut journal, 4, vec![Change::Put(record(2, Standing::Leased))], LeaseReports::default());
    commit(&mut journal, 5, vec![Change::Put(record(3, Standing::Leased))], LeaseReports::default());
    journal.finish();
    let [first, second, third] = ask(&settings, address()).holdings.try_into().expect("three");
    assert_eq!((first.hw_address.as_str(), first.kernel_renewals), ("02:00:00:00:00:01", 3));
    assert_eq!((first.circuit_id.as_deref(), first.remote_id.as_deref()), (Some("a b"), Some("hex:00:04")));
    assert_eq!(first.fingerprint, said, "also after a renewal by the kernel, which reads no option");
    assert!(second.fingerprint.is_empty());
    assert_eq!((first.vlan, first.why), (vec![200, 100], Some(End::Reclaimed)));
    assert_eq!(first.host_name.as_deref(), Some("a \"quoted\" \u{1b} name"));
    assert_eq!((second.why, third.why, third.to), (Some(End::Reassigned), None, None));
    assert_eq!(ask(&settings, Whose::HwAddress("02:00:00:00:00:02".to_owned())).holdings, [second]);
    assert_eq!(ask(&settings, Whose::Circuit("a b".to_owned())).holdings.len(), 3);
}

#[test]
fn what_has_no_room_is_counted_and_told_and_the_next_start_makes_good_for_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = settings(dir.path());
    // Nothing can be written where a file is in the way.
    fs::write(&settings.directory, "").expect("a file");
    let mut journal = begin(&settings, 0, &[]);
    commit(&mut journal, 1, vec![Change::Delete(Ipv4Addr::LOCALHOST); WAITING], LeaseReports::default());
    commit(&mut journal, 2, vec![Change::Put(record(1, Standing::Leased))], LeaseReports::default());
    assert_eq!(journal.counts().lost, 1);
    let told = Instant::now() + Duration::from_secs(10);
    while journal.trouble().is_none() {
        assert!(Instant::now() < told, "no trouble");
        thread::yield_now();
    }
    assert!(
        journal.trouble().is_some_and(|trouble| trouble.contains("1 changes")),
        "{:?}",
        journal.trouble()
    );
    fs::remove_file(&settings.directory).expect("the file");
    while journal.trouble().is_some() {
        assert!(Instant::now() < told, "{:?}", journal.trouble());
        thread::yield_now();
    }
    let mut another = record(9, Standing::Leased);
    another.address = Ipv4Addr::new(192, 0, 2, 9);
    // As soon as there is room.
    while journal.counts().written == 0 {
        assert!(Instant::now() < told, "nothing is written");
        commit(&mut journal, 3, vec![Change::Put(another.clone())], LeaseReports::default());
        thread::yield_now();
    }
    journal.finish();
    let answer = ask(&settings, address());
    assert!(answer.holdings.is_empty() && answer.lost.iter().map(|(changes, ..)| changes).sum::<u64>() > 0);

    begin(&settings, 3, &[record(1, Standing::Leased), another]).finish();
    let [holding] = ask(&settings, address()).holdings.try_into().expect("one");
    assert!(holding.recovered && holding.hw_address == "02:00:00:00:00:01");
}

#[test]
fn files_are_followed_compressed_and_removed_and_half_a_line_is_cut_off() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = settings(dir.path());
    let at = |seconds: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_000_000 + seconds);
    let mut files = Files::of(settings.clone());
    files.append(at(0), b"one\n").expect("written");
    files.append(at(50), b"two\n").expect("written");
    drop(files);
    let newest = || parts(&settings.directory).expect("files").pop().expect("one").path;
    let torn = fs::read(newest()).expect("read");
    fs::write(newest(), [torn.as_slice(), b"thr"].concat()).expect("written");
    let mut files = Files::of(settings.clone());
    files.append(at(60), b"three\n").expect("written");
    assert_eq!(fs::read(newest()).expect("read"), b"one\ntwo\nthree\n");

    files.append(at(150), b"four\n").expect("written");
    let all = parts(&settings.directory).expect("files");
    assert_eq!((all.len(), all[0].begun), (2, at(0)));
    let mut text = String::new();
    let compressed = fs::File::open(&all[0].path).expect("there");
    MultiGzDecoder::new(compressed).read_to_string(&mut text).expect("compressed");
    assert_eq!(text, "one\ntwo\nthree\n");
    let mut lines = Vec::new();
    for part in &all {
        part.lines(|line| lines.push(line.to_owned())).expect("read");
    }
    assert_eq!(lines, ["one", "two", "three", "four"]);

    // What the second has is still to be kept when the first is too old.
    files.append(at(10_200), b"five\n").expect("written");
    let begun: Vec<_> = parts(&settings.directory).expect("files").iter().map(|part| part.begun).collect();
    assert_eq!(begun, [at(150), at(10_200)]);
}

#[test]
fn any_octets_are_text_or_hexadecimal_and_no_two_look_the_same() {
    assert_eq!(wire_text(b"eth 0/1"), "eth 0/1");
    assert_eq!(wire_text(b"hex:00"), "hex:68:65:78:3a:30:30");
    assert_eq!(wire_text(b"\x00\x04"), "hex:00:04");
    assert_eq!(wire_text(b""), "hex:");
    assert_eq!(wire_text("é".as_bytes()), "hex:c3:a9");
}
