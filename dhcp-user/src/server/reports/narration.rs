//! Events in the log: a bounded number of lines a second, and the number left out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tracing::Level;

use crate::events::EventRecord;
use crate::logging::NOTICE;
use crate::policy::Weight;
use crate::server::Server;

/// The log target of events, but for those that are worth a notice.
pub(in crate::server) const NARRATOR: &str = "dhcp_user::server";
/// So many lines a second are written of usual events, and as many again of others.
const LINES: u32 = 10;
/// The interval of the lines that report what was left out.
const PAUSE: Duration = Duration::from_secs(10);

/// The lines written lately, and those left out.
#[derive(Debug, Default)]
pub(in crate::server) struct Narration {
    usual: Window,
    unusual: Window,
    left_out: BTreeMap<&'static str, u64>,
    told: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Window {
    began: Option<Instant>,
    lines: u32,
}

impl Window {
    pub(super) fn takes(&mut self, now: Instant) -> bool {
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= Duration::from_secs(1)) {
            *self = Self { began: Some(now), lines: 0 };
        }
        let has_room = self.lines < LINES;
        self.lines += u32::from(has_room);
        has_room
    }
}

impl Narration {
    /// Whether there is a line for an event of this weight; the caller counts an event without one.
    pub(in crate::server) fn has_line(&mut self, weight: Weight, now: Instant) -> bool {
        match weight {
            Weight::Detail => false,
            Weight::Usual => self.usual.takes(now),
            Weight::Notice | Weight::Warning => self.unusual.takes(now),
            Weight::Alarm => true,
        }
    }

    pub(in crate::server) fn leave_out(&mut self, what: &'static str) {
        *self.left_out.entry(what).or_default() += 1;
    }

    /// The line about events left out, when it is due.
    fn due(&mut self, now: Instant) -> Option<String> {
        if self.left_out.is_empty()
            || self.told.is_some_and(|told| now.saturating_duration_since(told) < PAUSE)
        {
            return None;
        }
        self.told = Some(now);
        let all = std::mem::take(&mut self.left_out);
        let all: Vec<String> = all.into_iter().map(|(what, count)| format!("{count} {what}")).collect();
        Some(all.join(", "))
    }
}

/// An event at a level, which the library wants to know beforehand.
macro_rules! say {
    ($level:ident, $target:expr, $told:expr) => {
        tracing::event!(
            target: $target,
            Level::$level,
            address = $told.address.map(tracing::field::display),
            client = $told.hw_address,
            client_id = $told.client_id,
            subnet = $told.subnet,
            interface = $told.interface,
            vlan = (!$told.vlan.is_empty()).then(|| tracing::field::debug(&$told.vlan)),
            relay = $told.relay.map(tracing::field::display),
            relay_information = $told.relay_information,
            detail = $told.detail,
            "{}",
            $told.what
        )
    };
}

impl Server {
    /// Says how many lines were left out, if some were.
    pub(in crate::server) fn narrate_rest(&mut self) {
        if let Some(left_out) = self.narration.due(Instant::now()) {
            tracing::info!(
                "more happened than is written line by line: {left_out} (`xdhcpd events` tells of each)"
            );
        }
    }
}

/// Writes an event into the log.
pub(in crate::server) fn narrate(told: &EventRecord, weight: Weight, has_line: bool) {
    match weight {
        _ if !has_line => say!(DEBUG, NARRATOR, told),
        Weight::Warning | Weight::Alarm => say!(WARN, NARRATOR, told),
        Weight::Notice => say!(INFO, NOTICE, told),
        Weight::Usual | Weight::Detail => say!(INFO, NARRATOR, told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lines_a_second_and_the_rest_is_counted() {
        let mut narration = Narration::default();
        let begun = Instant::now();
        let said = |narration: &mut Narration, weight, at| {
            let lines = (0..100).filter(|_| {
                let has_line = narration.has_line(weight, at);
                if !has_line {
                    narration.leave_out("granted");
                }
                has_line
            });
            lines.count()
        };
        assert_eq!(said(&mut narration, Weight::Usual, begun), LINES as usize);
        assert_eq!(narration.due(begun).as_deref(), Some("90 granted"));
        // What is not usual has its own lines.
        assert_eq!(said(&mut narration, Weight::Warning, begun), LINES as usize);
        // A flood of warnings hides no alarm.
        assert_eq!(said(&mut narration, Weight::Alarm, begun), 100);
        let later = begun + Duration::from_secs(1);
        assert_eq!(said(&mut narration, Weight::Usual, later), LINES as usize);
        assert_eq!(narration.due(later), None);
        assert_eq!(narration.due(begun + PAUSE).as_deref(), Some("180 granted"));
        assert_eq!(narration.due(begun + 2 * PAUSE), None);
    }
}
