//! What is particular to a store in a directory: its lock, its permissions, and damage that an operator may do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;

pub(super) fn segments(state: &TempDir) -> Vec<PathBuf> {
    let listed = fs::read_dir(state.path().join("store")).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = listed.filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    segments.sort();
    segments
}

fn open(state: &TempDir) -> Result<Embedded, StoreError> {
    Embedded::open(state.path(), A, BootSecs(100))
}

fn refusal(state: &TempDir) -> StoreError {
    match open(state) {
        Ok(_) => panic!("it opens"),
        Err(error) => error,
    }
}

#[test]
fn one_process_at_a_time() {
    let state = tempfile::tempdir().unwrap();
    let first = open(&state).unwrap();
    let error = refusal(&state);
    let pid = std::process::id();
    assert!(matches!(error, StoreError::Locked { pid: Some(holder), .. } if holder == pid), "{error}");
    assert!(error.to_string().contains(&format!("another xdhcpd (pid {pid}): stop it first")), "{error}");
    drop(first);
    open(&state).unwrap();
}

#[test]
fn nobody_else_can_read_it() {
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().join("store");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    drop(open(&state).unwrap());
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&segments(&state)[0]), 0o600);
}

#[test]
fn a_file_system_without_room_for_a_directory_says_so() {
    let state = tempfile::tempdir().unwrap();
    fs::write(state.path().join("store"), "in the way").unwrap();
    let error = refusal(&state);
    assert!(error.to_string().contains("failed while opening it"), "{error}");
}

#[test]
fn the_next_segment_is_made_while_commits_go_on() {
    let state = tempfile::tempdir().unwrap();
    let mut store = open(&state).unwrap();
    let next = state.path().join("store/next");
    let mut records = 0;
    let mut commit_until = |reached: &dyn Fn() -> bool| {
        while !reached() {
            assert!(records < 200_000, "it doesn't come to that");
            store.commit(BootSecs(100), &puts(records..records + 500)).unwrap();
            records += 500;
        }
    };
    commit_until(&|| next.exists());
    let so_far = segments(&state).len();
    commit_until(&|| segments(&state).len() > so_far);
    let expected: Vec<_> = (0..records).map(leased).collect();
    assert!(store.load().unwrap() == expected);
    drop(store);
    assert!(open(&state).unwrap().load().unwrap() == expected);
    assert!(!next.exists(), "it is left over");
}

#[test]
fn a_missing_segment_is_missed() {
    let state = tempfile::tempdir().unwrap();
    let mut store = open(&state).unwrap();
    for _ in 0..3 {
        store.commit(BootSecs(100), &puts(0..30_000)).unwrap();
    }
    drop(store);
    let segments = segments(&state);
    assert!(segments.len() >= 2, "{segments:?}");
    fs::remove_file(&segments[0]).unwrap();
    let error = refusal(&state);
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("is missing): put a backup in its place"), "{error}");
}

#[test]
fn a_segment_cut_short_is_noticed() {
    let state = tempfile::tempdir().unwrap();
    let mut store = open(&state).unwrap();
    store.commit(BootSecs(100), &puts(0..100)).unwrap();
    drop(store);
    fs::write(&segments(&state)[0], b"xdhcpd\r\n").unwrap();
    // Nothing shows that there ever was a commit, so the file as a whole has to be as a beginning would have left it.
    fs::write(segments(&state)[0].with_file_name("0000000002.log"), [1; 5000]).unwrap();
    let error = refusal(&state);
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn a_newer_format_is_left_alone() {
    let state = tempfile::tempdir().unwrap();
    drop(open(&state).unwrap());
    let segment = &segments(&state)[0];
    let mut octets = fs::read(segment).unwrap();
    octets[8] = 9;
    fs::write(segment, &octets).unwrap();
    let error = refusal(&state);
    assert!(matches!(error, StoreError::Newer { found: 9, known: 1, .. }), "{error}");
    assert_eq!(fs::read(segment).unwrap(), octets);
}

#[test]
fn errors_of_the_system_are_told_apart() {
    let told = |errno: i32| {
        let error = std::io::Error::from_raw_os_error(errno);
        StoreError::from_io("/var/lib/xdhcpd/store".as_ref(), "committing", error)
    };
    for errno in [libc::ENOSPC, libc::EDQUOT] {
        assert!(matches!(told(errno), StoreError::Full { .. }), "{errno}");
    }
    for errno in [libc::EROFS, libc::EACCES, libc::EPERM] {
        assert!(matches!(told(errno), StoreError::ReadOnly { .. }), "{errno}");
    }
    assert_eq!(
        told(libc::EIO).to_string(),
        "the lease store in /var/lib/xdhcpd/store failed while committing: Input/output error (os error 5): \
         look into the disk and the kernel's log"
    );
}
