//! Several nodes on a slow etcd, under crashes, pauses and partitions, each with clocks of its own.
//!
//! Nothing is ever lost by etcd here, and everything else may come late: a transaction before it is carried out, its answer
//! (or it never comes), what the watch tells, while transactions go on. A node's key goes whenever chance has it, also while the
//! node lives: the timing of etcd's leases proves nothing. Kernels go on answering renewals when their daemon has died.
//!
//! Checked at each promise: nobody else holds a promise of that address, and what etcd has would keep it from others for as
//! long.

mod etcd;
mod world;

use world::World;

/// What the code is told to do wrong, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// A block is free for everything when its owner's etcd lease has run out.
    DeadPromiseNothing,
    /// What a node said before it lost a block counts for that block.
    OldAcknowledgement,
    /// Transactions compare neither epoch nor owner.
    Unfenced,
}

const WORLDS: u64 = 400;
const STEPS: usize = 2_000;
/// What is wrong shows in so many worlds at least, so that it would show after a change of the worlds too.
const ENOUGH: usize = 20;

#[test]
fn no_address_is_promised_to_two_and_no_promise_is_forgotten() {
    let mut seen = world::Tally::default();
    for seed in 0..WORLDS {
        let mut world = World::new(seed, None);
        if let Err(what) = world.run(STEPS) {
            panic!("seed {seed}: {what}\n{}", world.told());
        }
        seen.add(&world.tally);
    }
    // Worlds in which little happens prove little.
    println!("{seen:?}");
    assert!(seen.granted > 2_000 && seen.renewed > 2_000 && seen.taken_over > 500, "{seen:?}");
    assert!(seen.renewed_without_daemon > 200 && seen.fenced > 200 && seen.cleared > 100, "{seen:?}");
}

#[test]
fn what_is_wrong_is_found() {
    for wrong in [Wrong::DeadPromiseNothing, Wrong::OldAcknowledgement, Wrong::Unfenced] {
        let mut seen = world::Tally::default();
        let mut found = 0;
        for seed in 0..WORLDS {
            let mut world = World::new(seed, Some(wrong));
            found += usize::from(world.run(STEPS).is_err());
            seen.add(&world.tally);
        }
        println!("{wrong:?}: found in {found} of {WORLDS} worlds, {seen:?}");
        assert!(found >= ENOUGH, "{wrong:?} is found in {found} of {WORLDS} worlds only");
    }
}
