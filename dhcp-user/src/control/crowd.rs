//! Who is served on the control socket: so many clients at a time. When there are more, the one that has been silent
//! longest, without having asked for anything, makes room.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// How many clients are served at a time.
const MOST: usize = 32;
/// A client that has just come has this long to ask before it counts as silent.
const JUST_COME: Duration = Duration::from_millis(250);

/// The clients that are served.
#[derive(Debug, Default)]
pub struct Crowd {
    places: Mutex<Places>,
    left_out: AtomicU64,
}

#[derive(Debug, Default)]
struct Places {
    /// By their order; `None` for those that have asked for something.
    taken: BTreeMap<u64, Option<Silent>>,
    number: u64,
}

#[derive(Debug)]
struct Silent {
    since: Instant,
    /// Its end says that another has the place.
    _stay: oneshot::Sender<Infallible>,
}

/// A client's place, until it is dropped or another has it.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    number: u64,
    taken: oneshot::Receiver<Infallible>,
}

impl Crowd {
    /// A place for one more client; none where all others have asked for something, or have just come.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        self.enter_at(Instant::now())
    }

    fn enter_at(self: &Arc<Self>, now: Instant) -> Option<Place> {
        let mut places = self.places();
        if places.taken.len() >= MOST {
            self.left_out.fetch_add(1, Relaxed);
            let mut silent =
                places.taken.iter().filter_map(|(number, silent)| Some((*number, silent.as_ref()?)));
            // Those who came first come first.
            let (longest, silent) = silent.next()?;
            if now.saturating_duration_since(silent.since) < JUST_COME {
                return None;
            }
            places.taken.remove(&longest);
        }
        places.number = places.number.wrapping_add(1);
        let number = places.number;
        let (stay, taken) = oneshot::channel();
        places.taken.insert(number, Some(Silent { since: now, _stay: stay }));
        Some(Place { crowd: Arc::clone(self), number, taken })
    }

    /// How many clients were refused for want of a place, or lost theirs since they were silent.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Relaxed)
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until another has the place.
    pub(super) async fn lost(&mut self) {
        // Nothing is ever sent.
        let _ = (&mut self.taken).await;
    }

    /// The client has asked for something: it keeps the place until it has its answer.
    pub(super) fn keep(&self) {
        if let Some(silent) = self.crowd.places().taken.get_mut(&self.number) {
            *silent = None;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.places().taken.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_lost(place: &mut Place) -> bool {
        place.taken.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn the_one_silent_longest_makes_room_and_none_that_has_asked() {
        let crowd = Arc::<Crowd>::default();
        let come = Instant::now();
        let mut places: Vec<Place> =
            (0..MOST).map(|_| crowd.enter_at(come).expect("there is room")).collect();
        places[0].keep();
        assert!(crowd.enter_at(come).is_none(), "all have just come");
        let later = come + JUST_COME;
        let more = crowd.enter_at(later).expect("room was made");
        let lost: Vec<bool> = places.iter_mut().skip(1).map(is_lost).collect();
        assert!(lost[0] && lost.iter().skip(1).all(|lost| !lost));
        places.iter().skip(2).for_each(Place::keep);
        assert!(crowd.enter_at(later).is_none(), "the last one has just come");
        more.keep();
        assert!(crowd.enter_at(later + JUST_COME).is_none(), "all have asked for something");
        assert_eq!(crowd.left_out(), 4);
        // Who has lost its place takes none with it.
        drop(places.remove(1));
        assert!(crowd.enter_at(later + JUST_COME).is_none());
        drop(more);
        assert!(crowd.enter_at(later + JUST_COME).is_some());
    }
}
