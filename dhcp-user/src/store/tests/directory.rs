//! A store in a directory: its lock, its permissions, and damage that an operator may do.

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
fn a_lock_that_is_removed_lets_no_other_in_and_is_made_again() {
    let state = tempfile::tempdir().unwrap();
    let lock = state.path().join("store/lock");
    let mut first = open(&state).unwrap();
    first.commit(BootSecs(100), &puts(0..3)).unwrap();
    fs::remove_file(&lock).unwrap();
    let error = refusal(&state);
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    first.commit(BootSecs(100), &puts(3..6)).unwrap();
    assert!(fs::read_to_string(&lock).unwrap().trim() == std::process::id().to_string());
    fs::remove_file(&lock).unwrap();
    fs::write(&lock, "").unwrap();
    first.look().unwrap();
    assert!(matches!(refusal(&state), StoreError::Locked { pid: Some(_), .. }));
    drop(first);
    assert_eq!(open(&state).unwrap().load().unwrap().len(), 6);
}

/// As on a file system that locks no directories: the files' locks are the only ones.
#[test]
fn nothing_is_written_where_another_has_taken_the_lock() {
    let state = tempfile::tempdir().unwrap();
    let lock = state.path().join("store/lock");
    let mut first = open(&state).unwrap();
    first.commit(BootSecs(100), &puts(0..3)).unwrap();
    let before = fs::read(&segments(&state)[0]).unwrap();
    fs::remove_file(&lock).unwrap();
    let another = fs::File::create(&lock).unwrap();
    another.try_lock().unwrap();
    let error = first.commit(BootSecs(100), &puts(3..6)).unwrap_err();
    assert!(error.to_string().contains("another xdhcpd has made one"), "{error}");
    assert!(fs::read(&segments(&state)[0]).unwrap() == before, "it has written beside another");
    drop(another);
    first.commit(BootSecs(100), &puts(3..6)).unwrap();
    drop(first);
    assert_eq!(open(&state).unwrap().load().unwrap().len(), 6);
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
    let expected = "is damaged (0000000001.log at octet 0: it is missing): put a backup in its place, or start with `xdhcpd run --accept-loss`";
    assert!(error.to_string().contains(expected), "{error}");
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
    let sum = header::sum_of_newer(9, &octets[16..56]);
    octets[12..16].copy_from_slice(&sum.to_le_bytes());
    fs::write(segment, &octets).unwrap();
    let error = refusal(&state);
    assert!(matches!(error, StoreError::Newer { found: 9, known: 2, .. }), "{error}");
    assert_eq!(fs::read(segment).unwrap(), octets);
}

/// Of a header that does not check nothing is believed, its format least of all: a start that accepts losses would be
/// refused for ever.
#[test]
fn a_damaged_format_is_damage_and_no_newer_one() {
    for (at, bit) in (8..12).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let state = tempfile::tempdir().unwrap();
        let mut store = open(&state).unwrap();
        store.commit(BootSecs(100), &puts(0..10)).unwrap();
        drop(store);
        let segment = &segments(&state)[0];
        let mut octets = fs::read(segment).unwrap();
        octets[at] ^= 1 << bit;
        fs::write(segment, &octets).unwrap();
        let error = refusal(&state);
        assert!(matches!(error, StoreError::Damaged { .. }), "bit {bit} of octet {at}: {error}");
    }
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

fn damages(state: &TempDir) -> Vec<String> {
    match refusal(state) {
        StoreError::Damaged { damages, .. } => damages.iter().map(ToString::to_string).collect(),
        error => panic!("{error}"),
    }
}

fn accepting() -> Expected {
    Expected { loss: Loss::Accepted, ..Expected::default() }
}

/// A store of two segments whose last commit is of one record, closed.
fn closed(state: &TempDir) -> Vec<Record> {
    let mut store = open(state).unwrap();
    for _ in 0..3 {
        store.commit(BootSecs(100), &puts(0..30_000)).unwrap();
    }
    store.commit(BootSecs(100), &puts([40_000])).unwrap();
    store.load().unwrap()
}

#[test]
fn what_is_absent_is_told_with_its_file_and_refused() {
    type Damage = fn(&TempDir);
    let cases: [(Damage, &str); 7] = [
        (|state| fs::remove_file(&segments(state)[0]).unwrap(), "0000000001.log at octet 0: it is missing"),
        (
            |state| fs::remove_file(segments(state).last().unwrap()).unwrap(),
            "0000000002.log at octet 0: it is missing",
        ),
        (
            |state| fs::write(&segments(state)[0], "").unwrap(),
            "0000000001.log at octet 0: it has lost its header",
        ),
        (
            |state| fs::File::create(segments(state).last().unwrap()).unwrap().set_len(9_000).unwrap(),
            "0000000002.log at octet 0: it has lost its header",
        ),
        (
            |state| {
                let newest = segments(state).pop().unwrap();
                fs::OpenOptions::new().write(true).open(newest).unwrap().set_len(100_000).unwrap();
            },
            "0000000002.log at octet 100000: it ends here, and was written with 4194304 octets",
        ),
        (
            |state| segments(state).iter().for_each(|segment| fs::remove_file(segment).unwrap()),
            "reached at octet 0: segments up to 2 were begun",
        ),
        (
            |state| fs::remove_file(state.path().join("store/reached")).unwrap(),
            "reached at octet 0: what told how far the store had come is not there",
        ),
    ];
    for (damage, told) in cases {
        let state = tempfile::tempdir().unwrap();
        closed(&state);
        damage(&state);
        let found = damages(&state);
        assert!(found.iter().any(|found| found.starts_with(told)), "{told}: {found:?}");
        let checked = check(state.path()).unwrap().damages;
        assert_eq!(checked.iter().map(ToString::to_string).collect::<Vec<_>>(), found);
        let mut store = Embedded::open_expecting(state.path(), A, BootSecs(100), accepting()).unwrap();
        let records = store.load().unwrap();
        drop(store);
        // From then on it is a sound store like any other.
        assert_eq!(open(&state).unwrap().load().unwrap(), records, "{told}");
        assert_eq!(check(state.path()).unwrap().damages, []);
    }
}

#[test]
fn a_lock_alone_is_what_is_left_of_a_store() {
    let state = tempfile::tempdir().unwrap();
    let id = open(&state).unwrap().id();
    for file in fs::read_dir(state.path().join("store")).unwrap().map(|entry| entry.unwrap().path()) {
        if file.file_name().unwrap() != "lock" {
            fs::remove_file(file).unwrap();
        }
    }
    assert_eq!(damages(&state), ["there is the lock of a store, and nothing else of it"]);
    let store = Embedded::open_expecting(state.path(), A, BootSecs(100), accepting()).unwrap();
    assert_ne!(store.id(), id);
}

#[test]
fn a_start_that_came_to_nothing_leaves_no_store() {
    let state = tempfile::tempdir().unwrap();
    fs::create_dir(state.path().join("store")).unwrap();
    fs::write(state.path().join("store/lock"), "").unwrap();
    drop(open(&state).unwrap());
}

#[test]
fn a_segment_of_another_store_is_none_of_this() {
    let [state, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    closed(&state);
    closed(&other);
    for at in [1, 2] {
        let name = format!("store/{:010}.log", at + 1);
        fs::copy(other.path().join("store/0000000002.log"), state.path().join(name)).unwrap();
        let found = damages(&state);
        assert!(
            found
                .iter()
                .any(|found| found.contains("belongs to another store") || found.contains("lost its header")),
            "{found:?}"
        );
    }
}

#[test]
fn what_is_sound_is_kept_and_what_was_damaged_is_set_aside() {
    let state = tempfile::tempdir().unwrap();
    let all = closed(&state);
    let newest = segments(&state).pop().unwrap();
    // The last commit alone is cut off.
    let mut octets = fs::read(&newest).unwrap();
    let end = octets.iter().rposition(|octet| *octet != 0).unwrap();
    octets[end] ^= 1;
    fs::write(&newest, octets).unwrap();
    let checked = check(state.path()).unwrap();
    assert_eq!(checked.records, 30_000);
    let mut store = Embedded::open_expecting(state.path(), A, BootSecs(100), accepting()).unwrap();
    assert!(store.load().unwrap() == all[..30_000]);
    assert!(newest.with_extension("damaged").exists());
    assert!(store.last_commit() > checked.last_commit);
}

#[test]
fn an_older_copy_is_told_from_the_store_that_maps_rest_upon() {
    let state = tempfile::tempdir().unwrap();
    let mut store = open(&state).unwrap();
    store.commit(BootSecs(100), &puts([1])).unwrap();
    let (id, number) = (store.id(), store.last_commit());
    drop(store);
    let resting_on = |number, loss| {
        let promised = Some(Promised { store: id, number });
        Embedded::open_expecting(state.path(), A, BootSecs(100), Expected { promised, loss })
    };
    for _ in 0..5 {
        // However often it is tried: a start that is refused commits nothing.
        let Err(error) = resting_on(number + 3, Loss::Refused) else { panic!("it opens") };
        assert!(
            matches!(error, StoreError::Older { last, promised, .. } if last == number && promised == number + 3)
        );
        assert!(error.to_string().contains("--accept-loss"), "{error}");
    }
    drop(resting_on(number, Loss::Refused).unwrap());
    let mut store = resting_on(number + 3, Loss::Accepted).unwrap();
    assert!(store.last_commit() > number + 3 && store.load().unwrap() == [leased(1)]);
    drop(store);
    drop(resting_on(number + 3, Loss::Refused).unwrap());
}

#[test]
fn a_store_that_is_removed_or_replaced_while_it_is_open_takes_no_more_commits() {
    type Removal = fn(&std::path::Path);
    let removals: [Removal; 4] = [
        |dir| fs::remove_dir_all(dir).unwrap(),
        |dir| fs::rename(dir, dir.with_extension("elsewhere")).unwrap(),
        |dir| {
            fs::rename(dir, dir.with_extension("elsewhere")).unwrap();
            fs::create_dir(dir).unwrap();
        },
        |dir| fs::remove_file(dir.join("0000000001.log")).unwrap(),
    ];
    for remove in removals {
        let state = tempfile::tempdir().unwrap();
        let dir = state.path().join("store");
        let mut store = open(&state).unwrap();
        store.commit(BootSecs(100), &puts([1])).unwrap();
        remove(&dir);
        for _ in 0..2 {
            let error = store.commit(BootSecs(100), &puts([2])).unwrap_err();
            assert!(matches!(error, StoreError::Gone { .. } | StoreError::Damaged { .. }), "{error}");
        }
        let elsewhere = dir.with_extension("elsewhere");
        if elsewhere.exists() {
            let _ = fs::remove_dir(&dir);
            fs::rename(elsewhere, dir).unwrap();
            store.commit(BootSecs(100), &puts([2])).unwrap();
            assert_eq!(store.load().unwrap(), [leased(1), leased(2)]);
        }
    }
}

#[test]
fn a_file_that_was_removed_is_taken_from_a_copy_if_that_is_the_same() {
    for name in ["reached", "0000000001.log"] {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("store").join(name);
        let mut store = open(&state).unwrap();
        store.commit(BootSecs(100), &puts([1])).unwrap();
        let older = fs::read(&file).unwrap();
        store.commit(BootSecs(100), &puts([2])).unwrap();
        let same = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        store.look().unwrap_err();
        for _ in 0..2 {
            store.commit(BootSecs(100), &puts([3])).unwrap_err();
        }
        fs::write(&file, older).unwrap();
        if name != "reached" {
            store.commit(BootSecs(100), &puts([3])).unwrap_err();
        }
        fs::write(&file, same).unwrap();
        store.commit(BootSecs(100), &puts([3])).unwrap();
        assert_eq!(store.load().unwrap(), [leased(1), leased(2), leased(3)], "{name}");
        drop(store);
        assert_eq!(open(&state).unwrap().load().unwrap(), [leased(1), leased(2), leased(3)], "{name}");
    }
}

/// Each is done to the files in their places: no name, no inode changes.
#[test]
fn what_is_cut_or_overwritten_in_its_place_is_told_by_a_look_and_takes_no_more_commits() {
    fn put(path: &std::path::Path, at: u64, octets: &[u8]) {
        use std::os::unix::fs::FileExt as _;
        fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(octets, at).unwrap();
    }
    fn cut(path: &std::path::Path, length: u64) {
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
    }
    type Harm = fn(&TempDir);
    let cases: [(Harm, &str); 9] = [
        (|state| cut(segments(state).last().unwrap(), 0), "0000000002.log at octet 0: it ends here"),
        (|state| cut(segments(state).last().unwrap(), 5_000), "0000000002.log at octet 5000: it ends here"),
        (
            |state| cut(segments(state).last().unwrap(), 4_000_000),
            "0000000002.log at octet 4000000: it ends here",
        ),
        (|state| put(segments(state).last().unwrap(), 20, &[7]), "0000000002.log at octet 0: "),
        (
            |state| {
                let newest = segments(state).pop().unwrap();
                let end = fs::read(&newest).unwrap().iter().rposition(|octet| *octet != 0).unwrap();
                put(&newest, end as u64, &[0xff]);
            },
            "0000000002.log at octet ",
        ),
        (|state| put(&segments(state)[0], 100_000, &[0; 9_000]), "0000000001.log at octet "),
        (|state| cut(&segments(state)[0], 3_000_000), "0000000001.log at octet 3000000: it ends here"),
        (|state| put(&segments(state)[0], 0, &[0; 9_000]), "0000000001.log at octet 0: "),
        (|state| cut(&state.path().join("store/reached"), 100), "reached at octet 100: it ends here"),
    ];
    for (harm, told) in cases {
        let state = tempfile::tempdir().unwrap();
        let mut store = open(&state).unwrap();
        for _ in 0..3 {
            store.commit(BootSecs(100), &puts(0..30_000)).unwrap();
        }
        store.commit(BootSecs(100), &puts([40_000])).unwrap();
        assert_eq!(segments(&state).len(), 2);
        (0..5).for_each(|_| store.look().unwrap());
        harm(&state);
        let found = (0..60).find_map(|_| store.look().err()).expect(told).to_string();
        assert!(found.contains(told), "{told}: {found}");
        for _ in 0..2 {
            let error = store.commit(BootSecs(100), &puts([2])).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        }
    }
}

#[test]
fn a_segment_cut_in_its_place_is_never_written_on() {
    let state = tempfile::tempdir().unwrap();
    let mut store = open(&state).unwrap();
    store.commit(BootSecs(100), &puts([1])).unwrap();
    let segment = &segments(&state)[0];
    fs::OpenOptions::new().write(true).open(segment).unwrap().set_len(4096).unwrap();
    let error = store.commit(BootSecs(100), &puts([2])).unwrap_err();
    assert!(error.to_string().contains("0000000001.log at octet 4096: it ends here"), "{error}");
    assert_eq!(fs::metadata(segment).unwrap().len(), 4096);
}

/// `cp backup/* store/` writes into the files that are there: all of it is sound, and older.
#[test]
fn an_older_copy_written_over_the_open_store_is_told() {
    let state = tempfile::tempdir().unwrap();
    let mut store = open(&state).unwrap();
    store.commit(BootSecs(100), &puts([1])).unwrap();
    let files = [segments(&state)[0].clone(), state.path().join("store/reached")];
    let copies = files.clone().map(|file| fs::read(file).unwrap());
    store.commit(BootSecs(100), &puts([2])).unwrap();
    let later = files.clone().map(|file| fs::read(file).unwrap());
    let number = store.last_commit();
    files.iter().zip(copies).for_each(|(file, copy)| fs::write(file, copy).unwrap());
    assert!(store.look().is_err());
    for _ in 0..2 {
        let error = store.commit(BootSecs(100), &puts([3])).unwrap_err();
        assert!(
            matches!(error, StoreError::Older { last, promised, .. } if last + 1 == number && promised == number),
            "{error}"
        );
    }
    files.iter().zip(later).for_each(|(file, octets)| fs::write(file, octets).unwrap());
    store.commit(BootSecs(100), &puts([3])).unwrap();
    assert_eq!(store.load().unwrap(), [leased(1), leased(2), leased(3)]);
}

#[test]
fn a_check_beside_a_running_daemon_changes_nothing_and_says_so() {
    let state = tempfile::tempdir().unwrap();
    let mut store = open(&state).unwrap();
    store.commit(BootSecs(100), &puts(0..10)).unwrap();
    let before = fs::read(&segments(&state)[0]).unwrap();
    for dir in [state.path().to_owned(), state.path().join("store")] {
        let checked = check(&dir).unwrap();
        assert_eq!(checked.held_by, Some(std::process::id()));
        assert_eq!((checked.store, checked.records), (Some(store.id()), 10));
        assert_eq!((checked.last_commit, checked.damages), (store.last_commit(), Vec::new()));
    }
    assert!(before == fs::read(&segments(&state)[0]).unwrap());
    assert!(check(&state.path().join("nowhere")).is_err());
}

/// A path that leads to itself stands for a directory that may not be entered: root may enter any.
#[test]
fn a_store_that_can_not_be_looked_at_is_not_said_to_be_removed() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("store");
    let mut store = open(&state).unwrap();
    store.commit(BootSecs(100), &puts([1])).unwrap();
    let elsewhere = dir.with_extension("elsewhere");
    fs::rename(&dir, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&dir, &dir).unwrap();
    let error = store.commit(BootSecs(100), &puts([2])).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    fs::remove_file(&dir).unwrap();
    fs::rename(elsewhere, dir).unwrap();
    store.commit(BootSecs(100), &puts([2])).unwrap();
}
