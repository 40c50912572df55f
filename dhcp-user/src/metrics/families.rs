//! The metrics: one table, from which the answer to a scrape and the list in docs/metrics.md are made.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use super::snapshot::Snapshot;
use crate::control::{Histogram, LinkStatus, PoolCounts, Word, Xdp};

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    const fn of_crate(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
            Self::Histogram => MetricType::Histogram,
        }
    }
}

/// The values of a metric at one moment.
pub(super) enum Values {
    /// The only one.
    One(u64),
    /// The values of the labels, in their order, and the value.
    Many(Vec<(Vec<String>, u64)>),
    Histogram(Histogram),
}

/// A metric.
pub(super) struct Family {
    /// Without the `_total` of a counter.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    pub(super) values: fn(&Snapshot) -> Values,
}

const fn family(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
    values: fn(&Snapshot) -> Values,
) -> Family {
    Family { name, kind, labels, help, values }
}

use Kind::{Counter, Gauge};

/// In the order of the answer.
pub(super) const FAMILIES: &[Family] = &[
    family("xdhcpd_build_info", Gauge, &["version"], "The version that runs; always 1.", |s| {
        Values::Many(vec![(vec![s.measured.status.version.clone()], 1)])
    }),
    family("xdhcpd_uptime_seconds", Gauge, &[], "For how long the daemon has been running.", |s| {
        Values::One(s.measured.status.uptime_seconds)
    }),
    family("xdhcpd_trouble", Gauge, &[], "1 while `status` tells of trouble, else 0.", |s| {
        Values::One(s.measured.status.trouble.is_some().into())
    }),
    family("xdhcpd_leases", Gauge, &[], "Addresses that are leased.", |s| {
        Values::One(s.measured.status.leases)
    }),
    family(
        "xdhcpd_pool_addresses",
        Gauge,
        &["subnet", "pool", "state"],
        "Addresses of a pool by state. The states of a pool add up to its size. After 1,000 pools the rest are one, `others`.",
        pools,
    ),
    family(
        "xdhcpd_quarantined_addresses",
        Gauge,
        &[],
        "Addresses in quarantine, those that are in no pool included.",
        |s| Values::One(s.measured.quarantined),
    ),
    family(
        "xdhcpd_kernel_answered",
        Counter,
        &["state"],
        "Requests answered by the XDP program, by the client's state (RFC 2131 table 4).",
        |s| by_word(&s.measured.stats.kernel.acked),
    ),
    family(
        "xdhcpd_kernel_sent_up",
        Counter,
        &["reason"],
        "Frames that the XDP program sent up to the daemon, by reason.",
        |s| by_word(&s.measured.stats.kernel.punted),
    ),
    family(
        "xdhcpd_kernel_passed",
        Counter,
        &["reason"],
        "Frames that the XDP program left to the host's stack, by reason.",
        |s| by_word(&s.measured.stats.kernel.passed_why),
    ),
    family(
        "xdhcpd_kernel_dropped",
        Counter,
        &["reason"],
        "Frames that the XDP program dropped, by reason: `begun-full` and `fresh-full` found no room in a ring.",
        |s| by_word(&s.measured.stats.kernel.dropped),
    ),
    family(
        "xdhcpd_ring_size_bytes",
        Gauge,
        &["ring"],
        "What a ring between XDP program and daemon holds at most.",
        |s| Values::Many(s.measured.rings.iter().map(|of| (vec![of.ring.to_owned()], of.size)).collect()),
    ),
    family(
        "xdhcpd_ring_waiting_bytes",
        Gauge,
        &["ring"],
        "What waits in a ring to be read by the daemon.",
        |s| Values::Many(s.measured.rings.iter().map(|of| (vec![of.ring.to_owned()], of.waiting)).collect()),
    ),
    family("xdhcpd_received", Counter, &["message"], "Messages that came to the daemon, by type.", |s| {
        by_word(&s.measured.stats.daemon.received)
    }),
    family("xdhcpd_sent", Counter, &["message"], "Messages that the daemon sent, by type.", |s| {
        by_word(&s.measured.stats.daemon.sent)
    }),
    family(
        "xdhcpd_unanswered",
        Counter,
        &["reason"],
        "Messages that the daemon did not answer, and what else it lost, by reason. Each reason stands in [explain](explain.md).",
        |s| by_word(&s.measured.stats.daemon.dropped),
    ),
    family(
        "xdhcpd_odd",
        Counter,
        &["what"],
        "Messages served in spite of something wrong with them, by what that is.",
        |s| by_word(&s.measured.stats.daemon.odd),
    ),
    family(
        "xdhcpd_renewals_received",
        Counter,
        &[],
        "REQUESTs with ciaddr that came to the daemon: renewals that the XDP program did not answer.",
        |s| Values::One(s.measured.renewals_received),
    ),
    family(
        "xdhcpd_decision_seconds",
        Kind::Histogram,
        &[],
        "How long after its arrival a message that came to the daemon was decided, and answered if that needs no disk.",
        |s| Values::Histogram(s.measured.decision_seconds.clone()),
    ),
    family(
        "xdhcpd_stages",
        Counter,
        &["stage", "at_most"],
        "How often the thread that decides was at something for how long at a time: no longer than that, and longer than the time before.",
        |s| {
            let all = s.measured.spells.iter();
            Values::Many(
                all.map(|(stage, most, count)| (vec![(*stage).into(), (*most).into()], *count)).collect(),
            )
        },
    ),
    family("xdhcpd_commit_seconds", Kind::Histogram, &[], "How long commits to the store took.", |s| {
        Values::Histogram(s.measured.commit_seconds.clone())
    }),
    family("xdhcpd_commit_changes", Kind::Histogram, &[], "How many changes a commit had.", |s| {
        Values::Histogram(s.measured.commit_changes.clone())
    }),
    family("xdhcpd_commits_failed", Counter, &[], "Commits that failed.", |s| {
        Values::One(s.measured.commits_failed)
    }),
    family("xdhcpd_decided_waiting", Gauge, &[], "Decided actions that wait for the disk.", |s| {
        Values::One(s.measured.undone)
    }),
    family("xdhcpd_store_bytes", Gauge, &[], "What the store takes of the disk.", |s| {
        Values::One(s.measured.store_octets)
    }),
    family("xdhcpd_store_records", Gauge, &[], "Addresses that the store knows something of.", |s| {
        Values::One(s.measured.store_records)
    }),
    family("xdhcpd_log_lines_dropped", Counter, &[], "Lines of the log that nobody took in time.", |s| {
        Values::One(s.measured.stats.daemon.log_lines_dropped)
    }),
    family("xdhcpd_events_not_kept", Counter, &[], "Events that are not in the event log.", |s| {
        Values::One(s.measured.stats.daemon.events_not_kept)
    }),
    family(
        "xdhcpd_notifications_dropped",
        Counter,
        &[],
        "Notifications that the service manager did not take in time.",
        |s| Values::One(s.measured.stats.daemon.notifications_dropped),
    ),
    family(
        "xdhcpd_control_clients_left_out",
        Counter,
        &[],
        "Clients of the control socket that were refused for want of room, or made room since they asked for nothing.",
        |s| Values::One(s.measured.stats.daemon.control_clients_left_out),
    ),
    family(
        "xdhcpd_interface_up",
        Gauge,
        &["interface"],
        "1 while an interface is there and frames pass.",
        |s| {
            let up = |status| u64::from(status == LinkStatus::Up);
            let all = s.measured.status.interfaces.iter();
            Values::Many(all.map(|of| (vec![of.name.clone()], up(of.link))).collect())
        },
    ),
    family(
        "xdhcpd_interface_attached",
        Gauge,
        &["interface", "xdp"],
        "1 for the way in which the XDP program is attached: `native`, `generic`, `external` or `off`.",
        attached,
    ),
    family(
        "xdhcpd_interface_lost",
        Counter,
        &["interface", "counter"],
        "What the kernel counts of an interface beside what the XDP program sees (`ip -s -s link`): frames lost before it, and errors.",
        |s| {
            let each = s.losses.iter().flat_map(|of| {
                of.counters.iter().map(|(name, lost)| (vec![of.interface.clone(), (*name).to_owned()], *lost))
            });
            Values::Many(each.collect())
        },
    ),
    family(
        "xdhcpd_driver_answers",
        Counter,
        &["interface", "outcome"],
        "Answers that the XDP program gave its driver, where the driver counts them: `taken`, or `failed` (dropped instead of sent).",
        |s| {
            let each = s.drivers.iter().flat_map(|(name, counts)| {
                let outcomes = [("taken", counts.taken), ("failed", counts.failed)];
                outcomes.map(|(outcome, count)| (vec![name.clone(), outcome.to_owned()], count))
            });
            Values::Many(each.collect())
        },
    ),
    family(
        "xdhcpd_driver_exceptions",
        Counter,
        &["interface"],
        "Frames that a driver lost because of the XDP program, where it counts them (aborted, invalid, errors).",
        |s| Values::Many(s.exceptions.iter().map(|(name, lost)| (vec![name.clone()], *lost)).collect()),
    ),
    family(
        "xdhcpd_not_sent",
        Counter,
        &["interface"],
        "Replies of the daemon that an interface did not take.",
        |s| {
            let all = s.measured.stats.daemon.not_sent.iter();
            Values::Many(all.map(|(name, lost)| (vec![name.clone()], *lost)).collect())
        },
    ),
    family(
        "xdhcpd_metrics_requests",
        Counter,
        &["outcome"],
        "Requests to this page: `answered`; `refused`, since there were too many connections; `broken-off`, not read or not sent in time; `unanswered` by the deciding thread.",
        |s| {
            let of = s.served;
            let outcomes = [
                ("answered", of.answered),
                ("refused", of.refused),
                ("broken-off", of.broken_off),
                ("unanswered", of.unanswered),
            ];
            Values::Many(outcomes.map(|(outcome, count)| (vec![outcome.to_owned()], count)).into())
        },
    ),
];

fn by_word(counters: &BTreeMap<Word, u64>) -> Values {
    Values::Many(counters.iter().map(|(word, count)| (vec![word.clone().into_owned()], *count)).collect())
}

fn pools(s: &Snapshot) -> Values {
    let states = |pool: &PoolCounts| {
        let states = [
            ("free", pool.free),
            ("offered", pool.offered),
            ("leased", pool.leased),
            ("grace", pool.grace),
            ("quarantined", pool.quarantined),
            ("reserved", pool.reserved),
        ];
        let (subnet, range) = (pool.subnet.clone(), pool.pool.clone());
        states.map(|(state, count)| (vec![subnet.clone(), range.clone(), state.to_owned()], count.into()))
    };
    Values::Many(s.measured.pools.iter().chain(&s.measured.other_pools).flat_map(states).collect())
}

fn attached(s: &Snapshot) -> Values {
    let xdp = |xdp| match xdp {
        Xdp::Native => "native",
        Xdp::Generic => "generic",
        Xdp::External => "external",
        Xdp::Off => "off",
    };
    let all = s.measured.status.interfaces.iter();
    Values::Many(all.map(|of| (vec![of.name.clone(), xdp(of.xdp).to_owned()], 1)).collect())
}

/// The answer to a scrape, as OpenMetrics has it.
pub(super) fn encoded(snapshot: &Arc<Snapshot>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(Arc::clone(snapshot))));
    let mut answer = String::new();
    text::encode(&mut answer, &registry)?;
    Ok(answer)
}

#[derive(Debug)]
struct Scrape(Arc<Snapshot>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in FAMILIES {
            let metric = encoder.encode_descriptor(family.name, family.help, None, family.kind.of_crate())?;
            encode(family, (family.values)(&self.0), metric)?;
        }
        Ok(())
    }
}

fn encode(family: &Family, values: Values, mut metric: MetricEncoder<'_>) -> fmt::Result {
    let number = |mut metric: MetricEncoder<'_>, number: u64| match family.kind {
        Kind::Counter => metric.encode_counter(&number, None::<&Exemplar<NoLabelSet, f64>>),
        Kind::Gauge | Kind::Histogram => metric.encode_gauge(&number),
    };
    match values {
        Values::One(value) => number(metric, value),
        Values::Many(values) => {
            for (said, value) in values {
                let labels: Vec<(&str, String)> = family.labels.iter().copied().zip(said).collect();
                number(metric.encode_family(&labels)?, value)?;
            }
            Ok(())
        }
        Values::Histogram(histogram) => {
            let buckets: Vec<(f64, u64)> = histogram.buckets().collect();
            metric.encode_histogram::<NoLabelSet>(histogram.sum(), histogram.total(), &buckets, None)
        }
    }
}
