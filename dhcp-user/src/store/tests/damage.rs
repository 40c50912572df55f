//! Files of a closed store that lose octets, or have others: never a panic, and never a missing record without a
//! report.

use std::collections::BTreeMap;

use proptest::sample::Index;

use super::*;

/// The octets of all files, the marker's under the number 0.
type Files = BTreeMap<u32, Vec<u8>>;

const SEGMENT: u32 = 8192;

/// A store of some commits, closed properly, and its contents.
fn closed(commits: &[Vec<(u32, bool)>]) -> (MemoryDisk, Vec<Record>) {
    let disk = MemoryDisk::with_segment_size(1, SEGMENT);
    let mut store = Memory::open(&disk, A, BootSecs(100)).unwrap();
    for (number, drawn) in (0..).zip(commits) {
        let changes = drawn.iter().map(|&(i, is_kept)| match is_kept {
            true => Change::Put(Record { kernel_renewals: number, ..leased(i) }),
            false => Change::Delete(address(i)),
        });
        store.commit(BootSecs(100), &changes.collect::<Vec<_>>()).unwrap();
    }
    let records = store.load().unwrap();
    drop(store);
    (disk, records)
}

fn any_commits() -> impl Strategy<Value = Vec<Vec<(u32, bool)>>> {
    vec(vec((0..60u32, prop::bool::weighted(0.8)), 0..25), 1..60)
}

/// A closed store is sound, or reports its faults; and the daemon can go on with its sound part.
fn all_or_told(disk: &MemoryDisk, records: &[Record]) {
    let mut damaged = Files::new();
    disk.meddle(|files| damaged = files.clone());
    match Memory::open(disk, A, BootSecs(100)) {
        Ok(mut store) => assert!(store.load().unwrap() == records, "less than there was, and not a word"),
        Err(StoreError::Damaged { damages, .. }) => {
            assert!(!damages.is_empty());
            disk.meddle(|files| *files = damaged);
            let accepting = Expected { loss: Loss::Accepted, ..Expected::default() };
            let mut store = Memory::open_expecting(disk, A, BootSecs(100), accepting).unwrap();
            let kept = store.load().unwrap();
            store.commit(BootSecs(100), &puts([7])).unwrap();
            drop(store);
            let mut store = Memory::open(disk, A, BootSecs(100)).unwrap();
            assert!(store.load().unwrap().len() >= kept.len());
        }
        Err(error) => panic!("{error}"),
    }
}

/// One of the files, and a place in it.
fn place(files: &Files, file: Index, at: Index) -> Option<(u32, usize)> {
    let (sequence, octets) = files.iter().nth(file.index(files.len()))?;
    (!octets.is_empty()).then(|| (*sequence, at.index(octets.len())))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_file_cut_short_anywhere(commits in any_commits(), file: Index, at: Index) {
        let (disk, records) = closed(&commits);
        disk.meddle(|files| {
            if let Some((sequence, at)) = place(files, file, at) {
                files.get_mut(&sequence).unwrap().truncate(at);
            }
        });
        all_or_told(&disk, &records);
    }

    #[test]
    fn a_bit_turned_over_anywhere(commits in any_commits(), file: Index, at: Index, bit in 0..8u32) {
        let (disk, records) = closed(&commits);
        disk.meddle(|files| {
            if let Some((sequence, at)) = place(files, file, at) {
                files.get_mut(&sequence).unwrap()[at] ^= 1u8 << bit;
            }
        });
        all_or_told(&disk, &records);
    }

    #[test]
    fn a_file_removed(commits in any_commits(), file: Index) {
        let (disk, records) = closed(&commits);
        disk.meddle(|files| {
            let sequence = *files.keys().nth(file.index(files.len())).unwrap();
            files.remove(&sequence);
        });
        all_or_told(&disk, &records);
    }

    #[test]
    fn a_piece_put_elsewhere(commits in any_commits(), from: [Index; 2], to: [Index; 2], length in 1..9000usize) {
        let (disk, records) = closed(&commits);
        disk.meddle(|files| {
            let (Some((from, at)), Some((to, there))) =
                (place(files, from[0], from[1]), place(files, to[0], to[1])) else { return };
            let piece: Vec<u8> = files[&from][at..].iter().copied().take(length).collect();
            let into = &mut files.get_mut(&to).unwrap()[there..];
            let length = piece.len().min(into.len());
            into[..length].copy_from_slice(&piece[..length]);
        });
        all_or_told(&disk, &records);
    }

    #[test]
    fn any_octets_in_place_of_a_file(commits in any_commits(), file: Index, octets in vec(any::<u8>(), 0..20_000)) {
        let (disk, records) = closed(&commits);
        disk.meddle(|files| {
            if let Some((sequence, _)) = place(files, file, file) {
                files.insert(sequence, octets);
            }
        });
        all_or_told(&disk, &records);
    }
}

/// Every place of the newest segment at which a file system may have ended it.
#[test]
fn the_newest_segment_cut_short_at_every_place() {
    let commits: Vec<_> = (0..30u32).map(|n| vec![(n, true), (n / 2, n % 3 > 0)]).collect();
    let (disk, records) = closed(&commits);
    let mut whole = Files::new();
    disk.meddle(|files| whole = files.clone());
    let newest = *whole.keys().last().unwrap();
    // Each octet of the header and of the first commits, then of those at which a frame or a page may begin or end.
    for length in (0..whole[&newest].len()).filter(|at| *at < 80 || (4096..4300).contains(at) || at % 32 < 2)
    {
        disk.meddle(|files| {
            *files = whole.clone();
            files.get_mut(&newest).unwrap().truncate(length);
        });
        match Memory::open(&disk, A, BootSecs(100)) {
            Err(StoreError::Damaged { .. }) => {}
            Err(error) => panic!("at {length}: {error}"),
            Ok(_) => panic!(
                "at {length} of {} octets nothing is told; {} records",
                whole[&newest].len(),
                records.len()
            ),
        }
    }
}
