//! What this server wrote once, and what may have become of it: the store's segments, the journal's lines.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::LazyLock;

use dhcp_ebpf::lease::BootSecs;
use dhcp_user::journal::{Question, Span, Whose};
use dhcp_user::store::{
    BootId, Change, Expected, HwAddr, Loss, Memory, MemoryDisk, Record, Standing, Store as _,
};
use jiff::Timestamp;

use crate::chance::Chance;

const SEGMENT: u32 = 16 << 10;
/// Where commits begin in a segment, and at what multiples.
const COMMITS: usize = 4096;
const ALIGNMENT: usize = 64;
/// Octets of a commit before its entries.
const HEAD: usize = 52;
const BOOT: BootId = BootId(1);

/// A store whose segments are otherwise than they were left, as the octets decide: it is refused in words, or opened. Then it
/// takes a commit, and has the same when it is opened again.
pub(super) fn store(octets: &[u8]) {
    static SOUND: LazyLock<(BTreeMap<u32, Vec<u8>>, u128)> = LazyLock::new(sound);
    let (sound, id) = &*SOUND;
    let disk = MemoryDisk::with_segment_size(1, SEGMENT);
    let mut chance = Chance::of(octets);
    let accepts = chance.one_in(2);
    let mut segments = sound.clone();
    while !chance.is_over() && !segments.is_empty() {
        change(&mut chance, &mut segments, *id);
    }
    disk.meddle(|on_disk| *on_disk = segments);
    let loss = if accepts { Loss::Accepted } else { Loss::Refused };
    let expected = Expected { promised: None, loss };
    let Ok(mut opened) = Memory::open_expecting(&disk, BootId(2), BootSecs(5000), expected) else { return };
    let Ok(before) = opened.load() else { return };
    let more = record(250, 3);
    opened.commit(BootSecs(5001), &[Change::Put(more.clone())]).expect("a commit");
    let number = opened.last_commit();
    let mut held = opened.load().expect("what was committed");
    drop(opened);
    let mut again = Memory::open(&disk, BootId(2), BootSecs(5002)).expect("a store that was opened before");
    assert!(again.last_commit() >= number);
    let mut kept = again.load().expect("what was committed");
    kept.sort_by_key(|record| record.address);
    held.sort_by_key(|record| record.address);
    assert_eq!(kept, held);
    assert!(kept.iter().any(|record| record.address == more.address));
    assert!(before.iter().all(|was| kept.iter().any(|record| record.address == was.address)));
}

/// Something becomes of a segment. With its checksums right again it is what a bug might have written, not a disk.
fn change(chance: &mut Chance<'_>, segments: &mut BTreeMap<u32, Vec<u8>>, id: u128) {
    let all: Vec<u32> = segments.keys().copied().collect();
    let sequence = *chance.pick(&all);
    let Some(segment) = segments.get_mut(&sequence) else { return };
    let at = |chance: &mut Chance<'_>, of: usize| match chance.below(3) {
        // Where something is, most likely.
        0 => COMMITS.min(of) + chance.below(of.saturating_sub(COMMITS).min(1024)),
        1 => chance.below(of.min(256)),
        _ => chance.below(of),
    };
    match chance.below(8) {
        0 => segment.truncate(at(chance, segment.len())),
        1 => drop(segments.remove(&sequence)),
        2 => {
            let copy = segment.clone();
            segments.insert(sequence.wrapping_add(1), copy);
        }
        3 => {
            let (from, to, len) = (at(chance, segment.len()), at(chance, segment.len()), chance.below(512));
            let moved: Vec<u8> = segment.iter().skip(from).take(len).copied().collect();
            segment.iter_mut().skip(to).zip(moved).for_each(|(to, from)| *to = from);
        }
        _ => {
            let from = at(chance, segment.len());
            let count = 1 + chance.below(8);
            let octets = chance.octets(count);
            segment.iter_mut().skip(from).zip(octets).for_each(|(to, from)| *to = from);
            if chance.below(4) != 0 {
                seal(segment, sequence, id);
            }
        }
    }
}

/// Gives each commit the checksum that fits it.
fn seal(segment: &mut [u8], sequence: u32, id: u128) {
    let mut at = COMMITS;
    while let Some(head) = segment.get(at..).and_then(|rest| rest.get(4..8)) {
        let length = u32::from_le_bytes(head.try_into().unwrap()) as usize;
        let end = length.saturating_add(HEAD).saturating_add(at);
        let Some(sealed) = segment.get(at + 4..end) else { return };
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&id.to_le_bytes());
        hasher.update(&sequence.to_le_bytes());
        hasher.update(sealed);
        let sum = hasher.finalize();
        segment[at..at + 4].copy_from_slice(&sum.to_le_bytes());
        at = end.next_multiple_of(ALIGNMENT);
    }
}

/// A store of a few commits, in more than one segment, as it is on disk; and its number.
fn sound() -> (BTreeMap<u32, Vec<u8>>, u128) {
    let disk = MemoryDisk::with_segment_size(1, SEGMENT);
    let mut store = Memory::open(&disk, BOOT, BootSecs(1000)).unwrap();
    for commit in 0..80_u8 {
        let changes: Vec<Change> = (0..3).map(|n| Change::Put(record(commit % 40, n))).collect();
        let gone = Change::Delete(record(commit / 2, 1).address);
        let now = BootSecs(1000 + u32::from(commit));
        store.commit(now, &[changes, vec![gone]].concat()).unwrap();
    }
    let id = store.id().0;
    store.close().unwrap();
    drop(store);
    let mut segments = BTreeMap::new();
    disk.meddle(|on_disk| segments.clone_from(on_disk));
    assert!(segments.len() > 2, "{:?}", segments.keys());
    (segments, id)
}

fn record(last: u8, net: u8) -> Record {
    let quarantined = Standing::Quarantined {
        since: BootSecs(900),
        until: BootSecs(9000),
        why: dhcp_user::store::QuarantineCause::Declined,
        by: "02:00:00:00:00:01".to_owned(),
    };
    Record {
        address: Ipv4Addr::new(10, 0, net, last),
        standing: if last.is_multiple_of(7) { quarantined } else { Standing::Leased },
        recurrences: 0,
        client_id: Some(vec![1, 2, 0, 0, 0, net, last]),
        chaddr: HwAddr::new(1, &[2, 0, 0, 0, net, last]).unwrap(),
        interface: "eth0".to_owned(),
        vlan: (0, 0),
        giaddr: Ipv4Addr::UNSPECIFIED,
        server: Ipv4Addr::new(10, 0, 0, 1),
        host_name: Some("host".to_owned()),
        lease_time: 3600,
        expiry: BootSecs(4600),
        committed_until: BootSecs(6400),
        kernel_renewals: 2,
        last_heard: BootSecs(1000),
        agent_info: None,
        adopted: false,
        shortened: false,
        classes: Vec::new(),
    }
}

/// A file of the journal: what can't be read in it is passed over.
pub(super) fn journal(octets: &[u8]) {
    static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
        let directory = std::env::temp_dir().join(format!("xdhcpd-fuzz-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        directory
    });
    let [plain, packed] = ["00000001-20240601T000000Z.jsonl", "00000002-20240602T000000Z.jsonl.gz"]
        .map(|name| DIRECTORY.join(name));
    match octets {
        [1, compressed @ ..] => {
            let _ = fs::remove_file(&plain);
            fs::write(&packed, compressed).unwrap();
        }
        _ => {
            let _ = fs::remove_file(&packed);
            fs::write(&plain, octets).unwrap();
        }
    }
    for whose in [
        Vec::new(),
        vec![Whose::Address(Ipv4Addr::new(192, 0, 2, 10))],
        vec![Whose::HwAddress("02:00:00:00:00:01".to_owned()), Whose::Circuit("port-7".to_owned())],
    ] {
        let question = Question { whose, span: Span { from: Timestamp::MIN, to: Timestamp::MAX } };
        let answer = question.answer(&DIRECTORY).unwrap();
        assert!(answer.holdings.iter().all(|had| had.to.is_none_or(|to| had.from <= to)), "{answer:?}");
    }
}
