//! Replies that could not be sent: counted by link, reported as trouble where they are many, and noted for `explain`
//! with their clients.

use std::time::{Duration, Instant};

use crate::server::Server;

/// So many within the time that is looked back on are trouble; fewer are what any link may lose in a burst.
const MANY: u64 = 8;
/// For how long is looked back at least, and at most twice as long.
const LATELY: Duration = Duration::from_secs(5);

/// The replies that a link has not taken lately.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::server) struct Unsent {
    /// Replies in the present span of time, and when it began.
    now: u64,
    since: Option<Instant>,
    /// Replies in the one before.
    before: u64,
}

impl Unsent {
    /// Counts replies. Says whether they have become many.
    fn count(&mut self, replies: u64, now: Instant) -> bool {
        let were_many = self.lately(now) >= MANY;
        let since = self.since.filter(|since| now.duration_since(*since) < LATELY);
        if since.is_none() {
            self.before = self.lately(now);
            (self.now, self.since) = (0, Some(now));
        }
        self.now = self.now.saturating_add(replies);
        !were_many && self.lately(now) >= MANY
    }

    /// How many there were lately.
    fn lately(&self, now: Instant) -> u64 {
        match self.since.map(|since| now.duration_since(since)) {
            Some(past) if past < LATELY => self.now.saturating_add(self.before),
            Some(past) if past < 2 * LATELY => self.now,
            _ => 0,
        }
    }
}

impl Server {
    /// Counts what the kernel refused to send since this was done last, by link, and notes whose answers were lost.
    pub(in crate::server) fn count_unsent(&mut self) {
        let Some(unsent) = self.outbox.unsent() else { return };
        for (ifindex, count) in &unsent.links {
            // An interface may be gone by now.
            let Some(served) = self.interfaces.get_mut(ifindex) else {
                self.traffic.not_sent(None, *count);
                continue;
            };
            let interface = &served.facts.name;
            self.traffic.not_sent(Some(interface), *count);
            if served.unsent.count(*count, Instant::now()) {
                tracing::warn!(
                    interface,
                    "replies can't be sent: look at the interface, its carrier and its queue"
                );
            }
        }
        let Self { punts, policy, .. } = self;
        let considered = |link, relay| policy.considered_at(link, relay);
        unsent.answers().for_each(|(client, xid)| punts.unsent(&client, xid, considered));
    }

    /// Interfaces by which replies can't be sent, in words; none when all is well.
    pub(in crate::server) fn loses_replies(&self) -> Option<String> {
        let now = Instant::now();
        let losing = self.interfaces.values().filter_map(|served| {
            let lately = served.unsent.lately(now);
            (lately >= MANY).then(|| {
                let name = &served.facts.name;
                format!(
                    "{lately} replies could not be sent on {name} lately: look at its carrier and its queue"
                )
            })
        });
        let mut losing: Vec<String> = losing.collect();
        losing.sort_unstable();
        (!losing.is_empty()).then(|| losing.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_told_once_and_until_there_are_no_more() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut link = Unsent::default();
        assert_eq!(link.lately(start), 0);
        assert!(!link.count(MANY - 1, at(0)));
        assert!(link.count(1, at(4)), "now they are many");
        assert!(!link.count(1, at(4)), "that was said");
        assert!(!link.count(1, at(6)), "it goes on");
        assert_eq!((link.lately(at(6)), link.lately(at(11)), link.lately(at(16))), (MANY + 2, 1, 0));
        assert!(link.count(MANY, at(60)), "it begins anew");
    }

    #[test]
    fn few_now_and_then_are_no_trouble() {
        let start = Instant::now();
        let mut link = Unsent::default();
        for second in 0..100 {
            assert!(!link.count(1, start + 2 * Duration::from_secs(second)), "after {second} losses");
        }
    }
}
