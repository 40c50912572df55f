//! Steps by the million, and what becomes of a difference: shrunk, and printed as a case.

use std::fmt;
use std::net::Ipv4Addr;

use anyhow::{Result, anyhow};
use dhcp_ebpf::verdict::Verdict;

use super::case::Case;
use super::change::{Change, frame};
use super::draft::Draft;
use super::loaded::Loaded;
use super::location::SERVERS;
use super::world::{Step, Told, World};
use crate::chance::Chance;

/// Frames that a world sees before the next one begins.
const FRAMES_OF_A_WORLD: u64 = 4000;
/// How often a failure is tried with less.
const TRIES: usize = 3000;

/// What became of how many frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// All.
    pub frames: u64,
    /// Answered, by program and daemon alike.
    pub answered: u64,
    /// Gone up.
    pub up: u64,
    /// Passed on.
    pub passed: u64,
    /// Dropped.
    pub dropped: u64,
    /// Told the daemon, though the kernel did not answer them.
    pub heard: u64,
    /// Unchanged real clients' frames.
    pub plain: u64,
    /// Answered by what was published, where the daemon would refuse by now.
    pub outlived: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frames, answered, up, passed, dropped, heard, plain, outlived } = self;
        write!(
            f,
            "{frames} frames, {plain} of them as clients send them: {answered} answered ({outlived} after the daemon changed its mind), {up} up ({heard} heard by the daemon), \
             {passed} passed, {dropped} dropped"
        )
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.frames += other.frames;
        self.answered += other.answered;
        self.up += other.up;
        self.passed += other.passed;
        self.dropped += other.dropped;
        self.heard += other.heard;
        self.plain += other.plain;
        self.outlived += other.outlived;
    }
}

/// A step that is drawn: a frame as the draft that it was made of, so that less of it can be made.
#[derive(Clone, Debug)]
enum Drawn {
    Frame { draft: Box<Draft>, changes: Vec<Change>, heard: bool },
    Other(Step),
}

impl Drawn {
    fn step(&self) -> Step {
        match self {
            Self::Frame { draft, changes, heard: true } => Step::Heard(frame(draft, changes)),
            Self::Frame { draft, changes, heard: false } => Step::Frame(frame(draft, changes)),
            Self::Other(step) => step.clone(),
        }
    }
}

fn draw(chance: &mut Chance<'_>, world: &World<'_>, known: &[Ipv4Addr]) -> Drawn {
    let client = chance.pick(&world.clients);
    let address = client.device.address;
    match chance.below(400) {
        0 => return Drawn::Other(Step::Release(address)),
        1 | 2 => return Drawn::Other(Step::Forget(address)),
        3 => return Drawn::Other(Step::Away),
        4..=7 => return Drawn::Other(Step::Back),
        8..=10 => return Drawn::Other(Step::Settle),
        11 | 12 => return Drawn::Other(Step::Later(1 + chance.word() % 1500)),
        _ => {}
    }
    let draft = client.any(chance);
    let count = match chance.below(8) {
        0..=2 => 0,
        3..=5 => 1,
        6 => 2,
        _ => 1 + chance.below(6),
    };
    let changes = (0..count).map(|_| Change::draw(chance, &draft, known)).collect();
    Drawn::Frame { draft: Box::new(draft), changes, heard: chance.one_in(4) }
}

/// A difference.
#[derive(Debug)]
pub struct Failure {
    /// What is different.
    pub what: String,
    /// The least that shows it.
    pub case: Case,
    /// What was otherwise about its last frame.
    pub changes: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, case, changes } = self;
        write!(
            f,
            "{what}\nits last frame is a client's, otherwise in {changes}\nas a case, to be kept in tests/fuzz/cases/NAME.case when it is mended:\n\n{case}"
        )
    }
}

impl std::error::Error for Failure {}

/// Has `frames` frames come in, in one world after another; the worlds and all that happens in them follow from the seed.
///
/// # Errors
/// With the first difference, shrunk; or when the kernel refuses.
pub fn run(seed: u64, frames: u64, mut loaded: Option<&mut Loaded>) -> Result<Tally> {
    let mut chance = Chance::seeded(seed);
    let mut tally = Tally::default();
    while tally.frames < frames {
        let world = chance.any();
        let left = (frames - tally.frames).min(FRAMES_OF_A_WORLD);
        tally += one_world(world, &mut chance, left, loaded.as_deref_mut())?;
    }
    Ok(tally)
}

/// One world, and what happens there by chance.
///
/// # Errors
/// As [`run`].
pub fn one_world(
    seed: u64,
    chance: &mut Chance<'_>,
    frames: u64,
    mut loaded: Option<&mut Loaded>,
) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut history: Vec<Drawn> = Vec::new();
    let mut world = World::new(seed, loaded.as_deref_mut())?;
    let known: Vec<Ipv4Addr> = known(&world);
    while tally.frames < frames && !chance.is_over() {
        let drawn = draw(chance, &world, &known);
        let step = drawn.step();
        history.push(drawn);
        match world.step(&step) {
            Ok(None) => {}
            Ok(Some(met)) => {
                tally.frames += 1;
                let of = match met.verdict {
                    Verdict::Reply(_) => &mut tally.answered,
                    Verdict::Up(_) => &mut tally.up,
                    Verdict::Pass(_) => &mut tally.passed,
                    Verdict::Drop(_) => &mut tally.dropped,
                };
                *of += 1;
                let is_answer = matches!(met.verdict, Verdict::Reply(_));
                tally.heard += u64::from(met.told.is_some() && !is_answer);
                tally.outlived += u64::from(is_answer && matches!(met.told, Some(Told::Otherwise(_))));
                let is_plain =
                    matches!(history.last(), Some(Drawn::Frame { changes, .. }) if changes.is_empty());
                tally.plain += u64::from(is_plain);
            }
            Err(what) => {
                drop(world);
                return Err(shrunk(seed, history, &what, loaded).into());
            }
        }
    }
    Ok(tally)
}

/// Addresses that mean something: ours, the clients', and their neighbours'.
fn known(world: &World<'_>) -> Vec<Ipv4Addr> {
    let clients = world.clients.iter().map(|client| client.device.address);
    clients.chain(SERVERS).chain([Ipv4Addr::new(10, 8, 0, 1), Ipv4Addr::new(10, 8, 1, 1)]).collect()
}

/// The least of what happened that shows a difference still.
fn shrunk(
    seed: u64,
    mut history: Vec<Drawn>,
    what: &anyhow::Error,
    mut loaded: Option<&mut Loaded>,
) -> Failure {
    let mut tries = TRIES;
    let mut last = format!("{what:#}");
    let mut fails = |steps: &[Drawn]| -> bool {
        tries = tries.saturating_sub(1);
        if tries == 0 {
            return false;
        }
        let case = Case { seed, steps: steps.iter().map(Drawn::step).collect() };
        case.run(loaded.as_deref_mut()).map_err(|what| last = format!("{what:#}")).is_err()
    };
    // What came before, in pieces that get smaller.
    let mut piece = history.len();
    while piece > 0 {
        let mut from = 0;
        while from + 1 < history.len() {
            let to = (from + piece).min(history.len() - 1);
            let less = [&history[..from], &history[to..]].concat();
            if fails(&less) {
                history = less;
            } else {
                from = to;
            }
        }
        piece /= 2;
    }
    // What is otherwise about each frame.
    for at in 0..history.len() {
        let mut change = 0;
        while let Drawn::Frame { changes, .. } = &history[at] {
            if change >= changes.len() {
                break;
            }
            let mut less = history.clone();
            if let Drawn::Frame { changes, .. } = &mut less[at] {
                changes.remove(change);
            }
            if fails(&less) {
                history = less;
            } else {
                change += 1;
            }
        }
    }
    let changes = match history.last() {
        Some(Drawn::Frame { changes, .. }) => format!("{changes:?}"),
        _ => "nothing".into(),
    };
    Failure { what: last, case: Case { seed, steps: history.iter().map(Drawn::step).collect() }, changes }
}

/// Runs on several threads at once, each with a seed of its own and its share of the frames.
///
/// # Errors
/// With the first difference of any of them.
pub fn spread(
    seed: u64,
    frames: u64,
    threads: u64,
    one: impl Fn(u64, u64) -> Result<Tally> + Sync,
) -> Result<Tally> {
    let mut seeds = Chance::seeded(seed);
    let seeds: Vec<u64> = (0..threads).map(|_| seeds.any()).collect();
    std::thread::scope(|scope| {
        let running: Vec<_> =
            seeds.iter().map(|seed| scope.spawn(|| one(*seed, frames.div_ceil(threads)))).collect();
        let mut tally = Tally::default();
        for thread in running {
            tally += thread.join().map_err(|_| anyhow!("a thread panicked"))??;
        }
        Ok(tally)
    })
}
