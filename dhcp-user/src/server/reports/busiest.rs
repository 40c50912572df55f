//! The busiest clients, while somebody watches; else nothing is counted.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::explain::sender;
use crate::control::{Busiest, BusyCircuit, BusyClient, colon_hex};
use crate::message::Request;

/// How many clients, and circuits, are counted at a time.
const COUNTED: usize = 256;
/// How many are reported.
const TOLD: usize = 20;
/// It is counted for so long after somebody wanted to know.
const INTEREST: Duration = Duration::from_secs(10);
/// Counts over at least so long are reported.
const LEAST: Duration = Duration::from_millis(900);

/// The busiest clients.
#[derive(Debug, Default)]
pub(in crate::server) struct Busy(Option<Window>);

#[derive(Debug)]
struct Window {
    begun: Instant,
    /// When somebody wanted to know last.
    wanted: Instant,
    messages: u64,
    clients: HeavyHitters<[u8; 6]>,
    circuits: HeavyHitters<(Ipv4Addr, Bytes)>,
    /// The window before.
    last: Busiest,
}

impl Busy {
    /// A message came.
    pub(in crate::server) fn note(&mut self, request: &Request) {
        let Some(window) = &mut self.0 else { return };
        window.messages += 1;
        window.clients.note(sender(request));
        if let Some(circuit) = request.options.agent.as_ref().and_then(|agent| agent.circuit_id.clone()) {
            window.circuits.note((request.giaddr, circuit));
        }
    }

    /// Somebody wants to know.
    pub(in crate::server) fn told(&mut self, now: Instant) -> Busiest {
        let window = self.0.get_or_insert_with(|| Window::begin(now, Busiest::default()));
        window.wanted = now;
        if now.duration_since(window.begun) >= LEAST {
            let told = window.told(now);
            *window = Window::begin(now, told);
        }
        window.last.clone()
    }

    /// Ends what nobody wants to know any more.
    pub(in crate::server) fn rest(&mut self, now: Instant) {
        if self.0.as_ref().is_some_and(|window| now.duration_since(window.wanted) > INTEREST) {
            self.0 = None;
        }
    }
}

impl Window {
    fn begin(now: Instant, last: Busiest) -> Self {
        Self {
            begun: now,
            wanted: now,
            messages: 0,
            clients: HeavyHitters::default(),
            circuits: HeavyHitters::default(),
            last,
        }
    }

    fn told(&self, now: Instant) -> Busiest {
        let clients = self
            .clients
            .most()
            .into_iter()
            .map(|(mac, messages)| BusyClient { hw_address: colon_hex(mac), messages });
        let circuits = self.circuits.most().into_iter().map(|((relay, circuit), messages)| BusyCircuit {
            relay: *relay,
            circuit: colon_hex(circuit),
            messages,
        });
        let milliseconds = now.duration_since(self.begun).as_millis();
        Busiest {
            milliseconds: u64::try_from(milliseconds).unwrap_or(u64::MAX),
            messages: self.messages,
            clients: clients.collect(),
            circuits: circuits.collect(),
        }
    }
}

/// Those that come often among any number that come (Misra and Gries): bounded memory, and who has come more often than one
/// in [`COUNTED`] times is there.
#[derive(Debug)]
struct HeavyHitters<K>(HashMap<K, u64, ahash::RandomState>);

impl<K> Default for HeavyHitters<K> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<K: Hash + Eq + Ord> HeavyHitters<K> {
    fn note(&mut self, key: K) {
        if let Some(count) = self.0.get_mut(&key) {
            *count += 1;
        } else if self.0.len() < COUNTED {
            self.0.insert(key, 1);
        } else {
            // Each that came before pays for at most one such pass.
            self.0.retain(|_, count| {
                *count -= 1;
                *count > 0
            });
        }
    }

    fn most(&self) -> Vec<(&K, u64)> {
        let mut all: Vec<(&K, u64)> = self.0.iter().map(|(key, count)| (key, *count)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all.truncate(TOLD);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_often_is_found_among_any_number_that_come_once() {
        let mut heavy = HeavyHitters::default();
        for number in 0..100_000_u32 {
            heavy.note(number + 10);
            if number % 20 == 0 {
                heavy.note(1);
            }
            if number % 50 == 0 {
                heavy.note(2);
            }
        }
        let most = heavy.most();
        assert!(heavy.0.len() <= COUNTED);
        assert_eq!((most[0].0, most[1].0), (&1, &2));
        let too_small = 107_000 / COUNTED as u64;
        assert!((5000 - too_small..=5000).contains(&most[0].1), "{}", most[0].1);
    }

    #[test]
    fn it_is_counted_only_while_somebody_wants_to_know() {
        let mut busy = Busy::default();
        let request = crate::policy::tests::wire::Draft::new(1, 1).request(7);
        busy.note(&request);
        let begun = Instant::now();
        assert_eq!(busy.told(begun), Busiest::default());
        busy.note(&request);
        busy.note(&request);
        let later = begun + 2 * LEAST;
        let told = busy.told(later);
        assert_eq!((told.messages, told.clients.len(), told.clients[0].messages), (2, 1, 2));
        // Who asks right behind hears the same.
        assert_eq!(busy.told(later + LEAST / 2), told);
        busy.rest(later + INTEREST);
        assert!(busy.0.is_some());
        busy.rest(later + 2 * INTEREST);
        assert!(busy.0.is_none());
    }
}
