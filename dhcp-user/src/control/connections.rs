//! Who is served on the control socket: so many clients at a time, and so many followers beside them. When there are more,
//! the one that has kept the daemon waiting longest makes room: with its request, or with reading what it is sent. Who waits
//! for the daemon keeps its place; so does a follower that has read all it was sent.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// How many clients are served at a time, and how many follow.
const MOST: usize = 32;
const FOLLOWERS: usize = 32;
/// A client has this long to ask, and to read, before another may have its place; of a follower it is looked at each second
/// whether it has read.
const A_MOMENT: Duration = Duration::from_millis(250);
const SOME_LOOKS: Duration = Duration::from_secs(3);

/// The clients that are served.
#[derive(Debug, Default)]
pub struct Connections {
    places: Mutex<OpenConnections>,
    left_out: AtomicU64,
}

#[derive(Debug, Default)]
struct OpenConnections {
    /// By their order.
    taken: BTreeMap<u64, Taken>,
    number: u64,
}

/// How long a client stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stay {
    /// Until it has its answer.
    Answer,
    /// For as long as it likes: it follows what happens.
    Follow,
}

impl Stay {
    /// How many may stay so.
    const fn most(self) -> usize {
        match self {
            Self::Answer => MOST,
            Self::Follow => FOLLOWERS,
        }
    }

    /// For how long one is waited for before another may have its place.
    const fn patience(self) -> Duration {
        match self {
            Self::Answer => A_MOMENT,
            Self::Follow => SOME_LOOKS,
        }
    }
}

#[derive(Debug)]
struct Taken {
    stay: Stay,
    /// Since when the daemon has waited for the client; none if the client waits.
    waited_for: Option<Instant>,
    /// Its end says that another has the place.
    _end: oneshot::Sender<Infallible>,
}

/// A client's place, until it is dropped or another has it.
#[derive(Debug)]
pub(super) struct Connection {
    connections: Arc<Connections>,
    number: u64,
    taken: oneshot::Receiver<Infallible>,
    is_lost: bool,
}

impl Connections {
    /// A place for one more client; none where all others wait for the daemon, or have just come.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Connection> {
        self.enter_at(Instant::now())
    }

    fn enter_at(self: &Arc<Self>, now: Instant) -> Option<Connection> {
        let mut places = self.places();
        if !places.has_room(Stay::Answer, now, &self.left_out) {
            return None;
        }
        places.number = places.number.wrapping_add(1);
        let number = places.number;
        let (end, taken) = oneshot::channel();
        places.taken.insert(number, Taken { stay: Stay::Answer, waited_for: Some(now), _end: end });
        Some(Connection { connections: Arc::clone(self), number, taken, is_lost: false })
    }

    /// How many clients were refused for want of a place, or lost theirs since they were waited for.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Relaxed)
    }

    fn places(&self) -> MutexGuard<'_, OpenConnections> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenConnections {
    /// Whether one more has room among those that stay so. One that is waited for makes it.
    fn has_room(&mut self, stay: Stay, now: Instant, left_out: &AtomicU64) -> bool {
        let there = || self.taken.iter().filter(|(_, taken)| taken.stay == stay);
        if there().count() < stay.most() {
            return true;
        }
        left_out.fetch_add(1, Relaxed);
        let longest = there().filter_map(|(number, taken)| Some((taken.waited_for?, *number))).min();
        match longest {
            Some((since, number)) if now.saturating_duration_since(since) >= stay.patience() => {
                self.taken.remove(&number);
                true
            }
            _ => false,
        }
    }
}

impl Connection {
    /// Waits until another has the place.
    pub(super) async fn lost(&mut self) {
        if !self.is_lost {
            // Nothing is ever sent.
            let _ = (&mut self.taken).await;
            self.is_lost = true;
        }
    }

    /// The daemon waits for the client from now on: to ask, to send more, or to read.
    pub(super) fn is_waited_for(&self) {
        self.is_waited_for_at(Instant::now());
    }

    fn is_waited_for_at(&self, now: Instant) {
        if let Some(taken) = self.connections.places().taken.get_mut(&self.number) {
            taken.waited_for.get_or_insert(now);
        }
    }

    /// It has done so, as far as its system goes: it keeps the place for as long as it waits for the daemon. Of a follower that
    /// shows only when it [has read](Self::has_read).
    pub(super) fn waits(&self) {
        if let Some(taken) = self.connections.places().taken.get_mut(&self.number)
            && taken.stay == Stay::Answer
        {
            taken.waited_for = None;
        }
    }

    /// It has read all that it was sent.
    pub(super) fn has_read(&self) {
        if let Some(taken) = self.connections.places().taken.get_mut(&self.number) {
            taken.waited_for = None;
        }
    }

    /// It follows from now on, and leaves its place to others; false if as many do as may.
    pub(super) fn follow(&self) -> bool {
        self.follow_at(Instant::now())
    }

    fn follow_at(&self, now: Instant) -> bool {
        let mut places = self.connections.places();
        let has_room = places.has_room(Stay::Follow, now, &self.connections.left_out);
        if let (true, Some(taken)) = (has_room, places.taken.get_mut(&self.number)) {
            taken.stay = Stay::Follow;
        }
        has_room
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.connections.places().taken.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_lost(place: &mut Connection) -> bool {
        place.taken.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn the_one_waited_for_longest_makes_room_and_none_that_waits() {
        let connections = Arc::<Connections>::default();
        let come = Instant::now();
        let mut places: Vec<Connection> =
            (0..MOST).map(|_| connections.enter_at(come).expect("there is room")).collect();
        places[0].waits();
        assert!(connections.enter_at(come).is_none(), "all have just come");
        let later = come + A_MOMENT;
        let more = connections.enter_at(later).expect("room was made");
        let lost: Vec<bool> = places.iter_mut().skip(1).map(is_lost).collect();
        assert!(lost[0] && lost.iter().skip(1).all(|lost| !lost));
        places.iter().skip(2).for_each(Connection::waits);
        assert!(connections.enter_at(later).is_none(), "the last one has just come");
        more.waits();
        assert!(connections.enter_at(later + A_MOMENT).is_none(), "all wait for the daemon");
        assert_eq!(connections.left_out(), 4);
        // Who has lost its place takes none with it.
        drop(places.remove(1));
        assert!(connections.enter_at(later + A_MOMENT).is_none());
        // Who doesn't read its answer is waited for again.
        more.is_waited_for_at(later);
        drop(connections.enter_at(later + A_MOMENT).expect("room was made"));
        assert!(connections.enter_at(later + A_MOMENT).is_some());
    }

    #[test]
    fn followers_have_room_of_their_own_and_the_one_that_does_not_read_makes_it() {
        let connections = Arc::<Connections>::default();
        let come = Instant::now();
        let mut followers = Vec::new();
        for _ in 0..FOLLOWERS {
            let place = connections.enter_at(come).expect("there is room");
            place.waits();
            assert!(place.follow_at(come));
            followers.push(place);
        }
        let places: Vec<Connection> =
            (0..MOST).map(|_| connections.enter_at(come).expect("there is room")).collect();
        places.iter().for_each(Connection::waits);
        assert!(!places[0].follow_at(come + SOME_LOOKS), "all others read");
        for place in &followers[7..9] {
            place.is_waited_for_at(come);
            place.waits();
        }
        followers[8].has_read();
        assert!(places[0].follow_at(come + SOME_LOOKS));
        assert!(is_lost(&mut followers[7]) && !is_lost(&mut followers[8]));
        assert!(connections.enter_at(come).is_some(), "who follows leaves its place to others");
    }
}
