//! Whether the kernel's answers leave: watches the drivers' counters, and reports losses.
//!
//! A driver that can't send a program's answers drops them in silence (`datapath/program/transmission.rs`). If the
//! daemon itself chose the way of attaching, it then attaches in the stack instead, where answers leave like any
//! other frame.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::XdpMode;
use crate::control::Xdp;
use crate::datapath::interfaces::netlink::{Attached, LinkState};
use crate::datapath::program::transmission::Counts;
use crate::events::EventRecord;
use crate::server::Server;

/// How often drivers are asked what they have counted.
pub(in crate::server) const LOOK: Duration = Duration::from_secs(1);
/// So many answers lost since it was attached, and at least as many as have left, and a driver is not one for `auto`.
///
/// One that sends, but is given more than it can, loses some as well: that is no reason to burden it with more work.
const TOO_MANY: u64 = 8;

/// The drivers' counts, by the index of the interface.
pub(in crate::server) type Counted = BTreeMap<u32, Counts>;

/// The fate of an interface's answers since the program was attached.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::server) struct Transmission {
    /// The driver's counts at that time.
    at_first: Counts,
    /// Its counts at the last reading.
    last: Counts,
    /// Answers were lost, and none has left since.
    loses: bool,
}

impl Transmission {
    /// The account of an interface that was attached when its driver had counted so much.
    pub(in crate::server) fn after(sent: Counts) -> Self {
        Self { at_first: sent, last: sent, loses: false }
    }

    /// Takes a look into account. Gives how many answers were lost since the one before.
    fn look(&mut self, now: Counts) -> u64 {
        let Counts { taken, failed } = now.since(self.last);
        if failed > 0 || taken > 0 {
            self.loses = failed > 0;
        }
        self.last = now;
        failed
    }

    /// Whether this driver can't be relied upon.
    fn is_hopeless(&self) -> bool {
        let Counts { taken, failed } = self.last.since(self.at_first);
        failed >= TOO_MANY && failed >= taken
    }
}

/// Which interfaces have a program in their driver, by index and name.
pub(in crate::server) fn native(links: &[LinkState]) -> Vec<(u32, String)> {
    let native = links.iter().filter(|link| link.xdp.is_some_and(|xdp| xdp.attached == Attached::Native));
    native.map(|link| (link.facts.ifindex, link.facts.name.clone())).collect()
}

/// The counts of these interfaces' drivers. A driver may take its time.
pub(in crate::server) fn counted(interfaces: &[(u32, String)]) -> Counted {
    interfaces.iter().filter_map(|(ifindex, name)| Some((*ifindex, Counts::of(name).ok()?))).collect()
}

/// Whether our program's answers leave by a driver. What another's program sends, which calls ours, counts as well.
const fn is_watched(xdp: Xdp) -> bool {
    matches!(xdp, Xdp::Native | Xdp::External)
}

impl Server {
    /// Tells of answers that did not leave, and attaches another way where that was left to us.
    pub(in crate::server) fn judge_transmission(&mut self, counts: &Counted) {
        let mut hopeless = Vec::new();
        for (ifindex, now) in counts {
            let Some(served) = self.interfaces.get_mut(ifindex).filter(|served| is_watched(served.xdp))
            else {
                continue;
            };
            let lost = served.transmission.look(*now);
            if lost == 0 {
                continue;
            }
            let name = served.facts.name.clone();
            tracing::warn!(
                interface = name,
                lost,
                "answers of the kernel did not leave by the driver; over veth the far end needs an XDP program, or set \
                 `xdp = \"generic\"`"
            );
            let is_hopeless = served.transmission.is_hopeless();
            let told = EventRecord {
                interface: Some(name.clone()),
                detail: Some(format!("{lost} answers of the kernel did not leave by the driver")),
                ..EventRecord::now("answers-lost")
            };
            self.events.tell(told);
            let configured = self.config.interfaces.iter().find(|configured| configured.name == name);
            if is_hopeless && configured.is_some_and(|configured| configured.xdp == XdpMode::Auto) {
                hopeless.push((*ifindex, name));
            }
        }
        for (ifindex, name) in hopeless {
            self.have_attached_in_the_stack(&name, ifindex);
        }
    }

    /// Interfaces whose driver loses what the kernel answers, in words; none when all is well.
    pub(in crate::server) fn loses_answers(&self) -> Option<String> {
        let losing =
            self.interfaces.values().filter(|served| served.transmission.loses && is_watched(served.xdp));
        let mut losing: Vec<String> = losing
            .map(|served| {
                let lost = served.transmission.last.since(served.transmission.at_first).failed;
                let (name, driver) = (&served.facts.name, served.driver.as_deref().unwrap_or("unknown"));
                format!(
                    "{lost} answers of the kernel did not leave {name} (driver {driver}): over veth the far end needs an \
                     XDP program, or set `xdp = \"generic\"`"
                )
            })
            .collect();
        losing.sort_unstable();
        (!losing.is_empty()).then(|| losing.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_that_sends_nothing_is_hopeless_and_one_that_is_given_too_much_is_not() {
        let mut none = Transmission::default();
        assert_eq!(none.look(Counts { taken: 0, failed: 7 }), 7);
        assert!(none.loses && !none.is_hopeless());
        assert_eq!(none.look(Counts { taken: 0, failed: 8 }), 1);
        assert!(none.is_hopeless());

        let mut busy = Transmission::default();
        assert_eq!(busy.look(Counts { taken: 1_000_000, failed: 900 }), 900);
        assert!(busy.loses && !busy.is_hopeless());
    }

    #[test]
    fn trouble_ends_when_answers_leave_again() {
        let mut link = Transmission::default();
        link.look(Counts { taken: 0, failed: 3 });
        link.look(Counts { taken: 0, failed: 3 });
        assert!(link.loses, "nothing has left since");
        link.look(Counts { taken: 1, failed: 3 });
        assert!(!link.loses);
    }
}
