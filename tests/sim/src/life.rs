//! Lives: steps drawn from a seed, each taken as it is drawn. What fails is taken again with fewer steps, and printed.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use fuzz::chance::Chance;

use super::client::SECOND;
use super::ledger::{Broken, Invariant};
use super::world::{Step, Tally, World};

/// Nanoseconds of a day.
pub const DAY: u64 = 24 * 3600 * SECOND;
/// So many lines of what happened are printed: the last.
const TOLD: usize = 200;
/// How often a failure is tried with less.
const TRIES: usize = 400;

/// A life that broke an invariant.
#[derive(Debug)]
pub struct Failure {
    /// What the world was made from.
    pub seed: u64,
    /// What does not hold.
    pub broken: Broken,
    /// How many steps it took.
    pub steps: usize,
    /// The least of them that show it, and what happened.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.broken)?;
        writeln!(
            f,
            "after {} steps of the life of seed {:#x}; the least of them, seconds before each:",
            self.steps, self.seed
        )?;
        self.trace.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// What may happen, and how often.
fn draw(chance: &mut Chance<'_>, world: &World, mood: &mut Mood) -> Step {
    if world.now >= mood.calm_at {
        mood.calm_at += DAY;
        mood.is_rough = false;
        return Step::Calm;
    }
    if world.server.is_none() {
        return match chance.below(40) {
            0..=19 => Step::Start(chance.any()),
            20 => Step::Damage(chance.any()),
            21 => Step::PowerCut(chance.any()),
            22..=28 => Step::Deliver(chance.any()),
            29..=33 => Step::Promise,
            _ => Step::Pass(500 + chance.below(60_000) as u32),
        };
    }
    if let Some(accident) = accident(chance, mood) {
        return accident;
    }
    if world.is_busy() {
        return under_way(chance, world);
    }
    match world.next_due() {
        Some((due, number)) if due <= world.now => Step::Client(number),
        Some(_) if chance.one_in(3) => Step::Beat,
        Some((due, _)) => {
            let millis = ((due - world.now) / 1_000_000 + 1).min(600_000) as u32;
            Step::Pass(if chance.one_in(4) { 1 + millis / 2 } else { millis })
        }
        None => Step::Beat,
    }
}

/// One of the things that can go on, of those that are under way.
fn under_way(chance: &mut Chance<'_>, world: &World) -> Step {
    let waits = world.server.as_ref().is_some_and(|server| !server.is_idle());
    let due = world.next_due().filter(|(due, _)| *due <= world.now);
    let weights = [
        (3, true),
        (1, true),
        (5, !world.to_server.is_empty() || !world.to_clients.is_empty()),
        (3, !world.at_driver.is_empty()),
        (4, world.rings.iter().any(|ring| !ring.is_empty())),
        (4, waits),
        (3, waits),
        (2, !world.probes.is_empty()),
        (2, due.is_some()),
    ];
    let may = weights.iter().enumerate().filter(|(_, (_, can))| *can);
    let kinds: Vec<usize> = may.flat_map(|(kind, (weight, _))| std::iter::repeat_n(kind, *weight)).collect();
    match chance.pick(&kinds) {
        0 => Step::Settle(chance.any()),
        1 => Step::Pass(1 + chance.below(400) as u32),
        2 => Step::Deliver(chance.any()),
        3 => Step::Promise,
        4 => Step::Take,
        5 => Step::Disk(chance.any()),
        6 => Step::Hear,
        7 => Step::Probe(chance.any()),
        _ => due.map_or(Step::Beat, |(_, number)| Step::Client(number)),
    }
}

/// How a life goes at present.
#[derive(Clone, Copy, Debug)]
struct Mood {
    calm_at: u64,
    is_rough: bool,
    is_full: bool,
}

/// Something out of the ordinary, now and then.
fn accident(chance: &mut Chance<'_>, mood: &mut Mood) -> Option<Step> {
    Some(match chance.below(1500) {
        0..=2 => Step::Kill(chance.any()),
        3 => Step::PowerCut(chance.any()),
        4..=6 => Step::Reload(chance.any()),
        7..=10 => Step::Release(chance.any()),
        11 => Step::Clear,
        15..=22 => Step::Squat(chance.any()),
        23..=28 => {
            mood.is_rough = !mood.is_rough;
            Step::Network(mood.is_rough)
        }
        29 => {
            mood.is_full = !mood.is_full;
            Step::Full(mood.is_full)
        }
        30..=32 if mood.is_full => {
            mood.is_full = false;
            Step::Full(false)
        }
        33..=35 => Step::FailSyncs(1 + chance.below(3) as u8),
        36 => Step::SetWall(chance.word() as i16),
        37..=90 => Step::Whim(1 + chance.below(24) as u8, chance.any()),
        91..=150 => Step::Stranger(chance.any()),
        12..=14 | 151..=156 => Step::Import(chance.any()),
        // The disk, or the machine, holds up what is under way.
        157..=162 => Step::Pass(chance.below(200_000) as u32),
        _ => return None,
    })
}

thread_local! {
    static IN_LIFE: Cell<bool> = const { Cell::new(false) };
}

/// A panic in a life is a failure, which is printed as such.
fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !IN_LIFE.get() {
                before(panic);
            }
        }));
    });
}

/// Takes a step, and has a panic be a failure like any other.
fn take(world: &mut World, step: Step) -> Result<(), Broken> {
    IN_LIFE.set(true);
    let outcome = take_it(world, step);
    IN_LIFE.set(false);
    outcome
}

fn take_it(world: &mut World, step: Step) -> Result<(), Broken> {
    match catch_unwind(AssertUnwindSafe(|| world.step(step))) {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Broken::because(Invariant::Panic, text.unwrap_or_default())
        }
    }
}

/// One life, of so many nanoseconds.
///
/// # Errors
/// With what was broken; shrunk if `shrinks`.
pub fn one(seed: u64, length: u64, shrinks: bool) -> Result<Tally, Box<Failure>> {
    keep_panics_quiet();
    let mut chance = Chance::seeded(seed ^ 0x11fe);
    let mut world = World::new(seed);
    let begin = world.now;
    let mut mood = Mood { calm_at: begin + DAY - 4 * 3600 * SECOND, is_rough: false, is_full: false };
    let mut steps = Vec::new();
    while world.now < begin + length {
        let step = draw(&mut chance, &world, &mut mood);
        steps.push(step);
        if let Err(broken) = take(&mut world, step) {
            drop(world);
            return Err(Box::new(shrunk(seed, steps, broken, shrinks)));
        }
    }
    world.tally.time = world.now - begin;
    Ok(world.tally)
}

/// Takes these steps in a world of this seed. What breaks, and after how many.
fn again(seed: u64, steps: &[Step], trace: bool) -> (World, Option<(usize, Broken)>) {
    let mut world = World::new(seed);
    if trace {
        world.trace = Some(Vec::new());
    }
    let broken =
        steps.iter().enumerate().find_map(|(at, step)| Some((at + 1, take(&mut world, *step).err()?)));
    (world, broken)
}

/// The least of these steps that break the same invariant.
fn shrunk(seed: u64, mut steps: Vec<Step>, mut broken: Broken, shrinks: bool) -> Failure {
    let taken = steps.len();
    let mut tries = if shrinks { TRIES } else { 0 };
    let mut piece = steps.len() / 2;
    while piece > 0 && tries > 0 {
        let mut from = 0;
        while from < steps.len() && tries > 0 {
            let to = (from + piece).min(steps.len());
            let less = [&steps[..from], &steps[to..]].concat();
            tries -= 1;
            match again(seed, &less, false).1 {
                Some((count, other)) if other.invariant == broken.invariant => {
                    (steps, broken) = (less, other);
                    steps.truncate(count);
                }
                _ => from = to,
            }
        }
        piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
    }
    let mut trace = if shrinks { again(seed, &steps, true).0.trace.unwrap_or_default() } else { Vec::new() };
    trace.drain(..trace.len().saturating_sub(TOLD));
    Failure { seed, broken, steps: taken, trace }
}

/// What happens in a life, folded into a number: the same for the same seed.
///
/// # Panics
/// When the life breaks an invariant.
#[must_use]
pub fn digest(seed: u64, length: u64) -> String {
    let tally = one(seed, length, false).unwrap();
    format!("{tally:?}")
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.time += other.time;
        self.by_kernel += other.by_kernel;
        self.by_daemon += other.by_daemon;
        self.naks += other.naks;
        self.commits += other.commits;
        self.raced += other.raced;
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.reloads += other.reloads;
        self.damages += other.damages;
        self.imports += other.imports;
        self.answered += other.answered;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} server-days, {} steps: {} renewals by the kernel ({} raced), {} ACKs by the daemon, {} NAKs, {} commits, {} daemons killed, \
             {} losses of power, {} reloads, {} imports, {} damaged stores told of, {} probes answered",
            self.time as f64 / DAY as f64,
            self.steps,
            self.by_kernel,
            self.raced,
            self.by_daemon,
            self.naks,
            self.commits,
            self.kills,
            self.power_cuts,
            self.reloads,
            self.imports,
            self.damages,
            self.answered
        )
    }
}
