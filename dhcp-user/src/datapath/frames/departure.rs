//! The way by which frames leave: many of one interface from the kernel, where it can; all others, and those that the
//! kernel has not sent, by a packet socket.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// A frame, with the index of the interface it leaves by.
pub type Outgoing = (u32, Bytes);

/// Fewer frames than this leave by a packet socket: a call from the kernel costs as much as several frames.
const MANY: usize = 8;
/// For how long an interface is taken to be served from the kernel before it is looked at again.
const SETTLED: Duration = Duration::from_secs(1);
/// For how long one is let alone that took no frame at all.
const LET_ALONE: Duration = Duration::from_secs(10);

/// Sends from the kernel.
pub trait Live {
    /// Whether frames can be sent from the kernel on this interface.
    fn serves(&self, ifindex: u32) -> bool;

    /// Whether it can send this frame.
    fn takes(&self, frame: &[u8]) -> bool;

    /// How many it can send at once.
    fn most(&self) -> usize;

    /// Sends frames, all on the interface with that index, in order. Gives the places of those that have not left for certain;
    /// where it isn't known some of them may have.
    fn send(&mut self, ifindex: u32, frames: &[Outgoing]) -> Vec<usize>;
}

/// Sends by a packet socket; gives the frames that were refused.
pub type BySocket = dyn Fn(&[Outgoing]) -> Vec<Outgoing> + Send + Sync;

/// The ways out, and which interfaces are served from the kernel.
pub struct Departure {
    live: Option<Box<dyn Live + Send>>,
    /// Of interfaces that were looked at: whether they are served from the kernel, and until when that holds.
    judged: HashMap<u32, (bool, Instant)>,
}

impl Departure {
    /// With a way from the kernel, if there is one.
    pub fn new(live: Option<Box<dyn Live + Send>>) -> Self {
        Self { live, judged: HashMap::new() }
    }

    /// Sends frames; returns those that were refused.
    ///
    /// Frames of one interface leave in their order, with one exception: if the driver takes some and not others, the
    /// latter leave later. If it isn't known which those are, some leave twice. A client must accept either from any
    /// network.
    pub fn send(&mut self, mut batch: Vec<Outgoing>, socket: &BySocket, now: Instant) -> Vec<Outgoing> {
        if self.live.is_none() || batch.len() < MANY {
            return socket(&batch);
        }
        batch.sort_by_key(|(ifindex, _)| *ifindex);
        batch
            .chunk_by(|one, next| one.0 == next.0)
            .flat_map(|frames| self.send_on(frames, socket, now))
            .collect()
    }

    /// Sends frames of one interface.
    fn send_on(&mut self, frames: &[Outgoing], socket: &BySocket, now: Instant) -> Vec<Outgoing> {
        let Some((ifindex, _)) = frames.first() else { return Vec::new() };
        let most = self.live.as_ref().map_or(usize::MAX, |live| live.most());
        frames.chunks(most).flat_map(|frames| self.send_some(*ifindex, frames, socket, now)).collect()
    }

    fn send_some(
        &mut self,
        ifindex: u32,
        frames: &[Outgoing],
        socket: &BySocket,
        now: Instant,
    ) -> Vec<Outgoing> {
        let Some(live) = self.live.as_mut().filter(|live| {
            frames.len() >= MANY
                && frames.iter().all(|(_, frame)| live.takes(frame))
                && is_served(&mut self.judged, live.as_ref(), ifindex, now)
        }) else {
            return socket(frames);
        };
        let left = live.send(ifindex, frames);
        if left.is_empty() {
            return Vec::new();
        }
        if left.len() == frames.len() {
            tracing::debug!(
                ifindex,
                "the driver takes no frames from the kernel now: they go by a packet socket"
            );
            self.judged.insert(ifindex, (false, now + LET_ALONE));
            return socket(frames);
        }
        socket(&left.into_iter().filter_map(|at| frames.get(at).cloned()).collect::<Vec<_>>())
    }
}

/// Whether an interface is served from the kernel, as far as is known or by a look.
fn is_served(
    judged: &mut HashMap<u32, (bool, Instant)>,
    live: &dyn Live,
    ifindex: u32,
    now: Instant,
) -> bool {
    match judged.get(&ifindex) {
        Some((served, until)) if now < *until => *served,
        _ => {
            let served = live.serves(ifindex);
            judged.insert(ifindex, (served, now + SETTLED));
            served
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Interfaces below this are served from the kernel.
    const SERVED: u32 = 10;
    /// How many frames leave from the kernel at once.
    const MOST: usize = 64;
    /// A frame as long as this isn't taken.
    const TOO_LONG: usize = 100;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Way {
        Kernel,
        Socket,
    }

    /// The frames that left, by which way, in which order: interface and first octet of each.
    type Left = Arc<Mutex<Vec<(Way, u32, u8)>>>;

    fn noted(left: &Left, way: Way, frames: &[Outgoing]) {
        let frames = frames.iter().map(|(ifindex, frame)| (way, *ifindex, frame[0]));
        left.lock().expect("nobody panics").extend(frames);
    }

    /// A kernel that takes all frames but those at `refused` of each call.
    struct Kernel {
        left: Left,
        refused: Vec<usize>,
        looks: Arc<Mutex<u32>>,
    }

    impl Live for Kernel {
        fn serves(&self, ifindex: u32) -> bool {
            *self.looks.lock().expect("nobody panics") += 1;
            ifindex < SERVED
        }

        fn takes(&self, frame: &[u8]) -> bool {
            frame.len() < TOO_LONG
        }

        fn most(&self) -> usize {
            MOST
        }

        fn send(&mut self, ifindex: u32, frames: &[Outgoing]) -> Vec<usize> {
            assert!(frames.iter().all(|frame| frame.0 == ifindex));
            let taken: Vec<_> =
                frames.iter().enumerate().filter(|(at, _)| !self.refused.contains(at)).collect();
            noted(
                &self.left,
                Way::Kernel,
                &taken.iter().map(|(_, frame)| (*frame).clone()).collect::<Vec<_>>(),
            );
            (0..frames.len()).filter(|at| self.refused.contains(at)).collect()
        }
    }

    /// The ways out, which record the frames that leave by them.
    struct Ways {
        departure: Departure,
        left: Left,
        looks: Arc<Mutex<u32>>,
        began: Instant,
    }

    impl Ways {
        fn new(refused: impl IntoIterator<Item = usize>) -> Self {
            let (left, looks) = (Left::default(), Arc::<Mutex<u32>>::default());
            let kernel =
                Kernel { left: left.clone(), refused: refused.into_iter().collect(), looks: looks.clone() };
            Self { departure: Departure::new(Some(Box::new(kernel))), left, looks, began: Instant::now() }
        }

        fn looks(&self) -> u32 {
            *self.looks.lock().expect("nobody panics")
        }

        /// Sends frames after some time; returns those that left.
        fn send(&mut self, after: Duration, batch: Vec<Outgoing>) -> Vec<(Way, u32, u8)> {
            let left = self.left.clone();
            let socket = move |frames: &[Outgoing]| {
                noted(&left, Way::Socket, frames);
                Vec::new()
            };
            assert_eq!(self.departure.send(batch, &socket, self.began + after), []);
            std::mem::take(&mut *self.left.lock().expect("nobody panics"))
        }
    }

    fn frame(ifindex: u32, number: u8) -> Outgoing {
        (ifindex, Bytes::from(vec![number; 60]))
    }

    fn frames(ifindex: u32, count: u8) -> Vec<Outgoing> {
        (0..count).map(|number| frame(ifindex, number)).collect()
    }

    fn all(way: Way, ifindex: u32, count: u8) -> Vec<(Way, u32, u8)> {
        (0..count).map(|number| (way, ifindex, number)).collect()
    }

    #[test]
    fn many_leave_from_the_kernel_and_few_by_the_socket() {
        let mut ways = Ways::new([]);
        assert_eq!(ways.send(Duration::ZERO, frames(1, 8)), all(Way::Kernel, 1, 8));
        assert_eq!(ways.send(Duration::ZERO, frames(1, 7)), all(Way::Socket, 1, 7));
        assert_eq!(ways.send(Duration::ZERO, frames(SERVED, 60)), all(Way::Socket, SERVED, 60));
    }

    #[test]
    fn what_is_more_than_a_call_follows_in_order() {
        let mut ways = Ways::new([]);
        let left = ways.send(Duration::ZERO, frames(1, 195));
        assert_eq!(left.iter().map(|left| left.2).collect::<Vec<_>>(), (0..195).collect::<Vec<_>>());
        assert_eq!(left.iter().filter(|left| left.0 == Way::Kernel).count(), 3 * MOST);
    }

    #[test]
    fn each_interface_goes_its_way_in_its_order() {
        let mut ways = Ways::new([]);
        let mixed = (0..40).flat_map(|number| [frame(SERVED, number), frame(1, number), frame(2, number)]);
        let left = ways.send(Duration::ZERO, mixed.filter(|frame| frame.0 != 2 || frame.1[0] < 3).collect());
        let expected =
            [all(Way::Kernel, 1, 40), all(Way::Socket, 2, 3), all(Way::Socket, SERVED, 40)].concat();
        assert_eq!(left, expected);
    }

    #[test]
    fn what_the_driver_does_not_take_follows_by_the_socket() {
        let mut ways = Ways::new([3, 5]);
        let left = ways.send(Duration::ZERO, frames(1, 40));
        assert_eq!(left.len(), 40);
        assert_eq!(left[38..], [(Way::Socket, 1, 3), (Way::Socket, 1, 5)]);
        assert_eq!(ways.send(Duration::ZERO, frames(1, 40)).len(), 40, "and it is tried again");
        assert_eq!(ways.looks(), 1);
    }

    #[test]
    fn an_interface_that_takes_nothing_is_let_alone_for_a_while() {
        let mut ways = Ways::new(0..MOST);
        for after in [Duration::ZERO, SETTLED, LET_ALONE - SETTLED] {
            assert_eq!(ways.send(after, frames(1, 40)), all(Way::Socket, 1, 40));
            assert_eq!(ways.looks(), 1);
        }
        ways.send(LET_ALONE, frames(1, 40));
        assert_eq!(ways.looks(), 2);
    }

    #[test]
    fn an_interface_is_looked_at_again_now_and_then() {
        let mut ways = Ways::new([]);
        for after in [Duration::ZERO, SETTLED / 2, SETTLED, 2 * SETTLED] {
            ways.send(after, frames(1, 40));
        }
        assert_eq!(ways.looks(), 3);
    }

    #[test]
    fn a_frame_that_the_kernel_can_not_send_takes_its_batch_along() {
        let mut ways = Ways::new([]);
        let mut batch = frames(1, 40);
        batch[20].1 = Bytes::from(vec![20; TOO_LONG]);
        assert_eq!(ways.send(Duration::ZERO, batch), all(Way::Socket, 1, 40));
    }

    #[test]
    fn without_a_way_from_the_kernel_all_leave_by_the_socket_and_are_counted_if_refused() {
        let mut departure = Departure::new(None);
        let refused = departure.send(frames(1, 200), &|frames: &[Outgoing]| frames.to_vec(), Instant::now());
        assert_eq!(refused, frames(1, 200));
        let left = Left::default();
        let kernel = Kernel { left, refused: (0..20).collect(), looks: Arc::default() };
        let mut departure = Departure::new(Some(Box::new(kernel)));
        let refused = departure.send(frames(1, 40), &|frames: &[Outgoing]| frames.to_vec(), Instant::now());
        assert_eq!(refused, frames(1, 20), "what neither way took");
    }
}
