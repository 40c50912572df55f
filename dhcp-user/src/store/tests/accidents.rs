//! Losses of power, kills, failing and full disks at any point of any sequence of commits; and damage.

use std::collections::BTreeMap;

use proptest::sample::Index;

use super::*;

/// The contents of a store, by address.
type Contents = BTreeMap<Ipv4Addr, Record>;

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(u32, Option<u64>)>),
    /// The process ends, and another opens the store.
    Kill,
    /// The power comes back, and the store is opened.
    LosePower,
    CutPowerAfter(u32),
    FailSyncs(u32),
    Fill(bool),
    Load,
}

fn any_changes() -> impl Strategy<Value = Vec<(u32, Option<u64>)>> {
    vec((0..40u32, option::weighted(0.8, any::<u64>())), 0..30)
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => any_changes().prop_map(Step::Commit),
        1 => Just(Step::Kill),
        1 => Just(Step::LosePower),
        2 => (0..8u32).prop_map(Step::CutPowerAfter),
        1 => (1..3u32).prop_map(Step::FailSyncs),
        1 => any::<bool>().prop_map(Step::Fill),
        1 => Just(Step::Load),
    ]
}

fn changes(drawn: &[(u32, Option<u64>)]) -> Vec<Change> {
    drawn
        .iter()
        .map(|&(i, renewals)| match renewals {
            Some(kernel_renewals) => Change::Put(Record { kernel_renewals, ..leased(i) }),
            None => Change::Delete(address(i)),
        })
        .collect()
}

fn with(contents: &Contents, changes: &[Change]) -> Contents {
    let mut contents = contents.clone();
    for change in changes {
        match change {
            Change::Put(record) => contents.insert(record.address, record.clone()),
            Change::Delete(address) => contents.remove(address),
        };
    }
    contents
}

fn loaded(store: &mut dyn Store) -> Result<Contents, StoreError> {
    Ok(store.load()?.into_iter().map(|record| (record.address, record)).collect())
}

/// How many contents are kept in mind after commits that failed, before the store has to say which it is.
const MOST_POSSIBLE: usize = 8;

/// A store, and everything that it may hold by what it has returned so far.
struct Run {
    disk: MemoryDisk,
    store: Option<Memory>,
    possible: Vec<Contents>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let disk = MemoryDisk::with_segment_size(seed, 8192);
        Self { disk, store: None, possible: vec![Contents::new()] }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Commit(drawn) => self.commit(&changes(&drawn)),
            Step::Kill => self.store = None,
            Step::LosePower => {
                self.store = None;
                self.disk.restore_power();
            }
            Step::CutPowerAfter(operations) => self.disk.cut_power_after(operations),
            Step::FailSyncs(count) => self.disk.fail_syncs(count),
            Step::Fill(is_full) => self.disk.set_full(is_full),
            Step::Load => self.check(),
        }
    }

    fn store(&mut self) -> Option<&mut Memory> {
        if self.store.is_none() {
            self.store = permitted(Memory::open(&self.disk, A, BootSecs(100)));
        }
        self.store.as_mut()
    }

    fn commit(&mut self, changes: &[Change]) {
        if self.possible.len() > MOST_POSSIBLE {
            self.check();
        }
        if self.possible.len() > MOST_POSSIBLE {
            return;
        }
        let Some(store) = self.store() else { return };
        let committed = permitted(store.commit(BootSecs(100), changes));
        let changed: Vec<_> = self.possible.iter().map(|contents| with(contents, changes)).collect();
        match committed {
            Some(()) => self.possible = changed,
            None => self.possible.extend(changed),
        }
    }

    fn check(&mut self) {
        let Some(found) = self.store().and_then(|store| permitted(loaded(store))) else { return };
        assert!(self.possible.contains(&found), "neither old nor new: {found:#?}");
        self.possible = vec![found];
    }
}

/// A result, or `None` for an error that these accidents may cause: never damage.
fn permitted<T>(result: Result<T, StoreError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(StoreError::Io { .. } | StoreError::Full { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// After any fault at any time, a store holds every commit that returned, and of one that failed all or nothing.
    #[test]
    fn a_commit_that_returned_is_never_lost_and_none_is_halved(seed: u64, steps in vec(any_step(), 1..150)) {
        let mut run = Run::new(seed);
        for step in steps {
            run.step(step);
        }
        run.disk.set_full(false);
        run.disk.fail_syncs(0);
        run.step(Step::LosePower);
        run.check();
        prop_assert_eq!(run.possible.len(), 1, "the store opens again once the obstacles are gone");
    }

    /// A bit that turns over on the disk is noticed, or is none that counts, or was in the last commit, where it
    /// cannot be told from a loss of power.
    #[test]
    fn damage_is_never_taken_for_less_than_it_is(commits in vec(any_changes(), 1..100), at: Index) {
        let disk = MemoryDisk::with_segment_size(1, 8192);
        let mut store = Memory::open(&disk, A, BootSecs(100)).unwrap();
        let (mut before, mut after) = (Contents::new(), Contents::new());
        for drawn in &commits {
            store.commit(BootSecs(100), &changes(drawn)).unwrap();
            before = after;
            after = with(&before, &changes(drawn));
        }
        drop(store);
        disk.damage(at.index(disk.len()));
        match Memory::open(&disk, A, BootSecs(100)) {
            Ok(mut store) => {
                let found = loaded(&mut store).unwrap();
                prop_assert!(found == after || found == before, "lost more than the last commit: {found:#?}");
            }
            Err(StoreError::Damaged { .. }) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}

#[test]
fn a_full_disk_is_reported_and_once_it_has_room_all_goes_on() {
    let disk = MemoryDisk::with_segment_size(1, 8192);
    let mut store = Memory::open(&disk, A, BootSecs(100)).unwrap();
    disk.set_full(true);
    let mut committed = 0;
    let error = loop {
        match store.commit(BootSecs(100), &puts([committed])) {
            Ok(()) => committed += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(committed > 10);
    disk.set_full(false);
    store.commit(BootSecs(100), &puts([committed])).unwrap();
    assert_eq!(store.load().unwrap(), (0..=committed).map(leased).collect::<Vec<_>>());
}

#[test]
fn a_commit_that_could_not_be_made_durable_is_not_believed_later() {
    let disk = MemoryDisk::with_segment_size(7, 8192);
    let mut store = Memory::open(&disk, A, BootSecs(100)).unwrap();
    disk.fail_syncs(1);
    let error = store.commit(BootSecs(100), &puts([1])).unwrap_err();
    assert!(matches!(error, StoreError::Io { doing: "committing", .. }), "{error}");
    // The system still shows what it failed to write; the next commit must not be built on it.
    store.commit(BootSecs(100), &puts([2])).unwrap();
    let before = store.load().unwrap();
    drop(store);
    disk.restore_power();
    assert_eq!(Memory::open(&disk, A, BootSecs(100)).unwrap().load().unwrap(), before);
}
