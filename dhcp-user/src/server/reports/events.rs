//! Sends events to followers: through the event log, if there is one, in the order of that.

use std::time::Instant;

use anyhow::Result;
use dhcp_ebpf::abi::Link;
use tokio::sync::broadcast;

use super::narration::Window;
use crate::config::Config;
use crate::control::{Happening, colon_hex};
use crate::events::{EventLog, EventRecord, Use};
use crate::policy::{Client, Happened, LeaseEvent, Weight};
use crate::server::process::beside::Beside;
use crate::store::QuarantineCause;

/// How many events a slow listener may lag behind.
const LAG: usize = 4096;
/// Where the log is, below the state directory.
const DIRECTORY: &str = "events";

/// The receivers of events.
#[derive(Debug)]
pub(in crate::server) struct Events {
    listeners: broadcast::Sender<EventRecord>,
    /// `None`: the configuration wants none.
    log: Option<EventLog<PendingEvent>>,
    details: Window,
}

/// An event before it becomes a record, on a thread that has the time for it.
#[derive(Debug)]
enum PendingEvent {
    Record(Box<EventRecord>),
    Lease(LeaseEvent, Option<String>),
}

impl Events {
    /// # Errors
    /// When the process may have no more threads.
    pub(in crate::server) fn begin(config: &Config, beside: &Beside) -> Result<Self> {
        let (listeners, _) = broadcast::channel(LAG);
        let log = config.server.event_log.map(|bounds| {
            let directory = config.server.state_dir.join(DIRECTORY);
            let start = |name, work: Box<dyn FnOnce() + Send>| beside.thread(name, work);
            EventLog::begin(directory, bounds, listeners.clone(), record_of, start)
        });
        Ok(Self { listeners, log: log.transpose()?, details: Window::default() })
    }

    /// Tells that the daemon serves.
    pub(in crate::server) fn started(&mut self) {
        let detail = Some(env!("CARGO_PKG_VERSION").to_owned());
        self.tell(EventRecord { detail, ..EventRecord::now("started") });
        self.hand_over();
    }

    /// The use of an event of this weight. Of events about clients without an answer, which anybody can cause, only
    /// so many are kept that they crowd out no others.
    pub(in crate::server) fn use_of(&mut self, weight: Weight) -> Use {
        match weight {
            _ if self.log.is_none() => Use::Told,
            Weight::Detail if !self.details.takes(Instant::now()) => Use::Told,
            _ => Use::Kept,
        }
    }

    /// Whether anything is done with an event.
    pub(in crate::server) fn is_wanted(&self, which: Use) -> bool {
        which == Use::Kept || self.listeners.receiver_count() > 0
    }

    /// Tells of something that happened to leases; `interface` is the name of the interface that it has to do with.
    pub(in crate::server) fn happened(&mut self, event: LeaseEvent, interface: Option<String>, which: Use) {
        self.put(PendingEvent::Lease(event, interface), which);
    }

    /// Sends an event.
    pub(in crate::server) fn tell(&mut self, record: EventRecord) {
        self.tell_as(record, Use::Kept);
    }

    pub(in crate::server) fn tell_as(&mut self, record: EventRecord, which: Use) {
        self.put(PendingEvent::Record(Box::new(record)), which);
    }

    fn put(&mut self, told: PendingEvent, which: Use) {
        match &mut self.log {
            Some(log) => log.happened(told, which),
            // Nobody may be listening.
            None => drop(self.listeners.send(record_of(told))),
        }
    }

    /// Hands over the events since the last time.
    pub(in crate::server) fn hand_over(&mut self) {
        if let Some(log) = &mut self.log {
            log.hand_over();
        }
    }

    /// The events from now on.
    pub(in crate::server) fn listen(&self) -> Happening {
        let reader = self.log.as_ref().map(EventLog::reader);
        let log = reader.map(|reader| (reader.last(), reader)).map(|(last, reader)| (reader, last));
        Happening { events: self.listeners.subscribe(), log }
    }

    /// How many are not in the log.
    pub(in crate::server) fn not_kept(&self) -> u64 {
        self.log.as_ref().map_or(0, EventLog::not_kept)
    }

    /// Why the log can't be written, in words for the operator.
    pub(in crate::server) fn trouble(&self) -> Option<String> {
        self.log.as_ref().and_then(EventLog::trouble)
    }

    /// Tells of the end, and waits a while until all is written.
    pub(in crate::server) fn finish(&mut self) {
        self.tell(EventRecord::now("stopped"));
        if let Some(log) = self.log.take() {
            log.finish();
        }
        // Nobody hears of more.
        self.listeners = broadcast::channel(1).0;
    }
}

fn record_of(told: PendingEvent) -> EventRecord {
    match told {
        PendingEvent::Record(record) => *record,
        PendingEvent::Lease(event, interface) => event_record(&event, |_| interface.clone()),
    }
}

fn vlan(link: Link) -> Vec<u16> {
    [link.outer, link.inner].into_iter().filter(|id| *id != 0).collect()
}

/// An event as followers get it.
pub(in crate::server) fn event_record(
    event: &LeaseEvent,
    name_of: impl Fn(Link) -> Option<String>,
) -> EventRecord {
    let of = |told: EventRecord, client: &Client| EventRecord {
        hw_address: Some(client.chaddr.to_string()),
        client_id: client.client_id.as_deref().map(colon_hex),
        host_name: client.host_name.clone(),
        interface: name_of(client.link),
        vlan: vlan(client.link),
        relay: Some(client.giaddr).filter(|relay| !relay.is_unspecified()),
        relay_information: client.agent_info.as_deref().map(colon_hex),
        ..told
    };
    match event {
        LeaseEvent::Lease { address, what, client } => {
            let detail = match what {
                Happened::Quarantined(QuarantineCause::Declined) => Some("a client declined it"),
                Happened::Quarantined(QuarantineCause::Probe) => Some("somebody answered a probe for it"),
                _ => None,
            };
            let told = EventRecord {
                address: Some(*address),
                detail: detail.map(str::to_owned),
                ..EventRecord::now(Happened::kind(*what))
            };
            match client {
                Some(client) => of(told, client),
                None => told,
            }
        }
        LeaseEvent::PoolFull { subnet, pool, percent } => EventRecord {
            subnet: Some(subnet.to_string()),
            detail: Some(format!("{pool} is {percent} % full")),
            ..EventRecord::now(if *percent < 100 { "pool-filling" } else { "pool-full" })
        },
        LeaseEvent::Exhausted { subnet, client } => of(
            EventRecord {
                subnet: Some(subnet.to_string()),
                ..EventRecord::now("exhausted")
            },
            client,
        ),
        LeaseEvent::ProbeLiar { link, station, addresses } => {
            let those: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            EventRecord {
                hw_address: Some(colon_hex(station)),
                interface: name_of(*link),
                vlan: vlan(*link),
                detail: Some(format!(
                    "it answers for {}, which are nobody's: what it says proves nothing",
                    those.join(", ")
                )),
                ..EventRecord::now("probe-liar")
            }
        }
        LeaseEvent::ManyAnswers { link, station } => EventRecord {
            hw_address: Some(colon_hex(station)),
            interface: name_of(*link),
            vlan: vlan(*link),
            detail: Some(
                "very many stations answer for addresses that are nobody's: they put them out of use for minutes only".into(),
            ),
            ..EventRecord::now("many-answers")
        },
        LeaseEvent::ManyDeclines { subnet, client } => of(
            EventRecord {
                subnet: Some(subnet.to_string()),
                detail: Some(
                    "so many DECLINEs came from there that they put addresses out of use for minutes only"
                        .into(),
                ),
                ..EventRecord::now("many-declines")
            },
            client,
        ),
        LeaseEvent::PortInUse { address, client } => of(
            EventRecord {
                address: Some(*address),
                detail: Some("another device has the address of its port, and answers".to_owned()),
                ..EventRecord::now("port-in-use")
            },
            client,
        ),
        LeaseEvent::DeviceCap { subnet, client, cap } => of(
            EventRecord {
                subnet: Some(subnet.to_string()),
                detail: Some(format!("the device may hold {cap}")),
                ..EventRecord::now("device-cap")
            },
            client,
        ),
        LeaseEvent::CircuitCap { subnet, client, cap } => of(
            EventRecord {
                subnet: Some(subnet.to_string()),
                detail: Some(format!("the clients of its circuit may hold {cap}")),
                ..EventRecord::now("circuit-cap")
            },
            client,
        ),
        LeaseEvent::ClassCap { class, client, cap } => of(
            EventRecord {
                detail: Some(format!("the clients of class \"{class}\" may hold {cap}")),
                ..EventRecord::now("class-cap")
            },
            client,
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    use super::*;
    use crate::events::EVENT_KINDS;
    use crate::store::HwAddr;

    fn every_event() -> Vec<LeaseEvent> {
        let address = Ipv4Addr::new(192, 0, 2, 9);
        let subnet = crate::config::Prefix::of(Ipv4Addr::new(192, 0, 2, 0), 24).expect("a prefix");
        let link = Link { ifindex: 1, outer: 7, inner: 0 };
        let station = [2, 0, 0, 0, 0, 1];
        let client = Client {
            client_id: Some(b"me".to_vec()),
            chaddr: HwAddr::new(1, &station).expect("a hardware address"),
            host_name: Some("printer".to_owned()),
            link,
            giaddr: Ipv4Addr::new(192, 0, 2, 1),
            agent_info: Some(vec![1, 1, b'x']),
        };
        let causes = [QuarantineCause::Declined, QuarantineCause::Probe].map(Happened::Quarantined);
        let others = [
            Happened::Granted,
            Happened::Renewed,
            Happened::Released,
            Happened::ReleasedByOperator,
            Happened::Expired,
            Happened::Moved,
            Happened::Declined,
            Happened::QuarantineOver,
            Happened::Reclaimed,
            Happened::Withdrawn,
        ];
        let mut all: Vec<LeaseEvent> = causes
            .into_iter()
            .chain(others)
            .flat_map(|what| {
                [None, Some(client.clone())].map(|client| LeaseEvent::Lease { address, what, client })
            })
            .collect();
        let full = |percent| LeaseEvent::PoolFull { subnet, pool: subnet.pool(), percent };
        all.extend([
            full(80),
            full(100),
            LeaseEvent::Exhausted { subnet, client: client.clone() },
            LeaseEvent::ProbeLiar { link, station, addresses: vec![address] },
            LeaseEvent::ManyAnswers { link, station },
            LeaseEvent::ManyDeclines { subnet, client: client.clone() },
            LeaseEvent::PortInUse { address, client: client.clone() },
            LeaseEvent::DeviceCap { subnet, client: client.clone(), cap: 4 },
            LeaseEvent::CircuitCap { subnet, client: client.clone(), cap: 4 },
            LeaseEvent::ClassCap { class: "phones".to_owned(), client, cap: 4 },
        ]);
        all
    }

    /// What is told of each event has the fields that the page promises, and no others.
    #[test]
    fn every_event_is_as_the_schema_says() {
        let mut seen = BTreeSet::new();
        for event in every_event() {
            let record = event_record(&event, |_| Some("eth0".to_owned()));
            let told = serde_json::to_value(record).expect("JSON");
            let kind = EVENT_KINDS.iter().find(|kind| kind.name == event.kind());
            let kind = kind.unwrap_or_else(|| panic!("{} is not in the list", event.kind()));
            assert_eq!(told["what"], kind.name);
            seen.insert(kind.name);
            let fields: BTreeSet<&str> =
                told.as_object().expect("an object").keys().map(String::as_str).collect();
            assert!(kind.always.iter().all(|field| fields.contains(field)), "{told}");
            let known = |field: &&str| {
                ["time", "what"].contains(field) || kind.always.contains(field) || kind.maybe.contains(field)
            };
            assert!(fields.iter().all(known), "{told}");
        }
        // These tell of no lease.
        let others = ["answers-lost", "xdp-changed", "started", "stopped", "lost", "missed"];
        let all: BTreeSet<&str> = EVENT_KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(all, seen.into_iter().chain(others).collect());
    }
}
