//! Answers as tables for people.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::value::RawValue;

use super::readable;
use super::table::{Table, printable};
use crate::control::{
    AnsweredBy, Audit, Cleared, Explanation, Free, Heard, LeaseDetail, LinkStatus, Orphan, PoolCounts,
    Quarantined, Released, Request, Stage, Stats, Status, Word, Xdp,
};
use crate::events::EventRecord;

/// Adds an item of an answer to its table.
pub(super) type Add = fn(&RawValue, &mut Table) -> serde_json::Result<()>;

/// The table for the answer to `request`, and how it is filled.
pub(super) fn of(request: &Request) -> (Table, Add) {
    match request {
        Request::Status => (Table::of_pairs(), status),
        Request::Stats => (Table::with_heads(&["WHERE", "WHAT", "WHICH", "COUNT"]), stats),
        Request::Pools => (
            Table::with_heads(&[
                "SUBNET",
                "POOL",
                "SIZE",
                "FREE",
                "OFFERED",
                "LEASED",
                "GRACE",
                "QUARANTINED",
                "RESERVED",
            ]),
            pool,
        ),
        // These have columns of their own.
        Request::Leases { .. } => (Table::of_pairs(), object),
        Request::LeaseShow { .. } => (Table::of_pairs(), lease_detail),
        Request::LeaseRelease { .. } => (Table::of_pairs(), released),
        Request::QuarantineClear { .. } => (Table::of_pairs(), cleared),
        Request::Audit => (Table::of_pairs(), audit),
        Request::Orphans => {
            (Table::with_heads(&["HW-ADDRESS", "CAP", "ADDRESS", "LAST-HEARD", "CLIENT-ID"]), orphan)
        }
        Request::Quarantine => (Table::with_heads(&["ADDRESS", "SINCE", "UNTIL", "WHY", "BY"]), quarantined),
        Request::Explain { .. } => (Table::of_pairs(), explained),
        Request::ReservationList => {
            (Table::with_heads(&["SUBNET", "CLIENT", "ADDRESS", "HOST", "ALSO"]), kept)
        }
        Request::Capture { .. }
        | Request::Figures
        | Request::Events { .. }
        | Request::Hello
        | Request::Export
        | Request::Import
        | Request::ReservationAdd { .. }
        | Request::ReservationRemove { .. }
        | Request::Reload => (Table::of_pairs(), object),
    }
}

fn status(item: &RawValue, table: &mut Table) -> serde_json::Result<()> {
    let status: Status = serde_json::from_str(item.get())?;
    table.row([&"version", &status.version]);
    if status.stage == Stage::Starting {
        table.row([&"STARTING", &"it takes over what store and kernel know"]);
    }
    table.row([&"up", &humantime::format_duration(Duration::from_secs(status.uptime_seconds))]);
    for interface in status.interfaces {
        let xdp = match interface.xdp {
            Xdp::Native => "XDP in the driver (native)",
            Xdp::Generic => "XDP in the stack (generic)",
            Xdp::External => "XDP by another's program (external)",
            Xdp::Off => "no XDP",
        };
        let link = match interface.link {
            LinkStatus::Up => "up",
            LinkStatus::Down => "down",
            LinkStatus::Missing => "missing",
        };
        let asked = interface.xdp_configured;
        let driver = interface.driver.map_or_else(String::new, |driver| format!(", driver {driver}"));
        let addresses: Vec<String> = interface.addresses.iter().map(ToString::to_string).collect();
        let addresses = addresses.join(", ");
        let name = interface.name;
        table.row([
            &"interface",
            &format_args!("{name}: {link}{driver}, {xdp}, asked for: {asked}  {addresses}"),
        ]);
        if interface.attaching {
            table.row([&"", &"XDP is being attached, or taken off"]);
        }
        if let Some(why) = interface.xdp_why {
            table.row([&"", &format_args!("XDP so because: {why}")]);
        }
        if let Some(obstacle) = interface.obstacle {
            table.row([&"", &obstacle]);
        }
    }
    table.row([&"store", &status.store]);
    table.row([&"leases", &status.leases]);
    for class in status.classes {
        let full = if class.held >= class.max_leases { ": full" } else { "" };
        let (name, held, most) = (class.name, class.held, class.max_leases);
        table.row([&"class", &format_args!("{name}: {held} of {most} leases{full}")]);
    }
    if let Some(trouble) = status.trouble {
        table.row([&"TROUBLE", &trouble]);
    }
    Ok(())
}

/// Counters that count something; those at 0 only where they say how well the fast path does.
fn stats(item: &RawValue, table: &mut Table) -> serde_json::Result<()> {
    let Stats { kernel, daemon, hooks } = serde_json::from_str(item.get())?;
    kernel.acked.iter().for_each(|(which, count)| table.row([&"kernel", &"acked", which, count]));
    counters(table, "kernel", "punted", &kernel.punted);
    table.row([&"kernel", &"passed", &"", &kernel.passed]);
    counters(table, "kernel", "dropped", &kernel.dropped);
    counters(table, "daemon", "received", &daemon.received);
    counters(table, "daemon", "sent", &daemon.sent);
    counters(table, "daemon", "dropped", &daemon.dropped);
    counters(table, "daemon", "odd", &daemon.odd);
    for (interface, count) in daemon.not_sent.iter().filter(|(_, count)| **count > 0) {
        table.row([&"daemon", &"not-sent", &printable(interface), count]);
    }
    let unheard = [
        ("log-lines-dropped", daemon.log_lines_dropped),
        ("notifications-dropped", daemon.notifications_dropped),
        ("events-not-kept", daemon.events_not_kept),
        ("control-clients-left-out", daemon.control_clients_left_out),
    ];
    for hook in hooks {
        let counts = [
            ("done", hook.done),
            ("failed", hook.failed),
            ("timed-out", hook.timed_out),
            ("not-started", hook.not_started),
            ("dropped", hook.dropped),
            ("missed", hook.missed),
            ("left-behind", hook.left_behind),
        ];
        for (what, count) in counts.into_iter().filter(|(what, count)| *what == "done" || *count > 0) {
            table.row([&"hook", &what, &printable(&hook.program), &count]);
        }
    }
    for (what, count) in unheard.into_iter().filter(|(_, count)| *count > 0) {
        table.row([&"daemon", &what, &"", &count]);
    }
    Ok(())
}

fn counters(table: &mut Table, place: &str, what: &str, counters: &BTreeMap<Word, u64>) {
    for (which, count) in counters.iter().filter(|(_, count)| **count > 0) {
        table.row([&place, &what, which, count]);
    }
}

fn pool(item: &RawValue, table: &mut Table) -> serde_json::Result<()> {
    let p: PoolCounts = serde_json::from_str(item.get())?;
    table.row([
        &p.subnet,
        &p.pool,
        &p.size,
        &p.free,
        &p.offered,
        &p.leased,
        &p.grace,
        &p.quarantined,
        &p.reserved,
    ]);
    Ok(())
}

fn lease_detail(item: &RawValue, table: &mut Table) -> serde_json::Result<()> {
    let LeaseDetail { lease, memos } = serde_json::from_str(item.get())?;
    table.row([&"address", &lease.address]);
    table.row([&"state", &lease.state]);
    table.row([&"hw-address", &lease.hw_address]);
    table
        .row([&"client-id", &lease.client_id.as_deref().map_or_else(|| "-".to_owned(), readable::client_id)]);
    table.row([&"host-name", &lease.host_name.as_deref().unwrap_or("-")]);
    table.row([&"subnet", &lease.subnet]);
    table.row([&"interface", &lease.interface]);
    if !lease.vlan.is_empty() {
        let vlan: Vec<_> = lease.vlan.iter().map(ToString::to_string).collect();
        table.row([&"vlan", &vlan.join(", ")]);
    }
    if let Some(relay) = lease.relay {
        table.row([&"relay", &relay]);
    }
    let by_relay =
        [("circuit", &lease.circuit_id), ("remote", &lease.remote_id), ("subscriber", &lease.subscriber_id)];
    for (name, id) in by_relay {
        if let Some(id) = id {
            table.row([&name, id]);
        }
    }
    for vendor in &lease.relay_vendor {
        table.row([&"relay-vendor", vendor]);
    }
    table.row([&"last-heard", &lease.last_heard]);
    table.row([&"expires", &lease.expires]);
    table.row([&"committed-until", &lease.committed_until]);
    table.row([&"last-answered-by", &answered_by(lease.last_answered_by)]);
    table.row([&"kernel-renewals", &lease.kernel_renewals]);
    if lease.not_committed {
        table.row([&"not-committed", &"decided, and not on disk yet"]);
    }
    for memo in memos {
        let through =
            if memo.giaddr.is_unspecified() { String::new() } else { format!(" through {}", memo.giaddr) };
        table.row([&"question", &format_args!("{}{through}", memo.question)]);
        table.row([&"  answer", &format_args!("for {} seconds", memo.lease_time)]);
        for (name, value) in readable::options(&memo.answer) {
            table.row([&format_args!("    {name}"), &value]);
        }
    }
    Ok(())
}

fn answered_by(who: AnsweredBy) -> &'static str {
    match who {
        AnsweredBy::Kernel => "kernel",
        AnsweredBy::Daemon => "daemon",
    }
}

fn released(item: &RawValue, table: &mut Table) -> serde_json::Result<()> {
    let Released { address, free, until, .. } = serde_json::from_str(item.get())?;
    let by = until.map(|until| until.to_string()).unwrap_or_default();
    let free = match free {
        Free::AtOnce => "the address is free".to_owned(),
        Free::AfterACleanProbe => {
            format!("the address is free when a probe finds nobody using it, by {by} at the latest")
        }
        Free::AtTheEndOfItsPromise => {
            format!(
                "addresses are not probed here: it is free when its promise ends, {by} (`--now`: at once)"
            )
        }
    };
    table.row([&address, &format!("released; {free}")]);
    Ok(())
}

fn cleared(item: &RawValue, table: &mut Table) -> serde_json::Result<()> {
    let cleared: Cleared = serde_json::from_str(item.get())?;
    match cleared.address {
        Some(address) => table.row([&address, &"cleared"]),
        None => table.row([&cleared.prefix, &format!("{} cleared", cleared.count)]),
    }
    Ok(())
}

fn audit(item: &RawValue, table: &mut Table) -> serde_json::Result<()> {
    let audit: Audit = serde_json::from_str(item.get())?;
    if audit.consistent {
        table.row([&"consistent", &"policy, store and kernel agree"]);
    }
    audit.findings.iter().for_each(|finding| table.row([&finding.address, &finding.what]));
    Ok(())
}

fn orphan(item: &RawValue, table: &mut Table) -> serde_json::Result<()> {
    let device: Orphan = serde_json::from_str(item.get())?;
    for lease in device.leases {
        let client_id = lease.client_id.as_deref().unwrap_or("-");
        table.row([&device.hw_address, &device.cap, &lease.address, &lease.last_heard, &client_id]);
    }
    Ok(())
}

fn quarantined(item: &RawValue, table: &mut Table) -> serde_json::Result<()> {
    let q: Quarantined = serde_json::from_str(item.get())?;
    table.row([&q.address, &q.since, &q.until, &q.why, &q.by]);
    Ok(())
}

/// Any object, key by key.
fn object(item: &RawValue, table: &mut Table) -> serde_json::Result<()> {
    let object: BTreeMap<String, serde_json::Value> = serde_json::from_str(item.get())?;
    for (key, value) in &object {
        match value {
            serde_json::Value::String(text) => table.row([key, text]),
            other => table.row([key, other]),
        }
    }
    Ok(())
}

/// A reservation that the daemon keeps.
fn kept(item: &RawValue, table: &mut Table) -> serde_json::Result<()> {
    let mut object: BTreeMap<String, serde_json::Value> = serde_json::from_str(item.get())?;
    let mut take = |key: &str| match object.remove(key) {
        Some(serde_json::Value::String(text)) => Some(text),
        Some(other) => Some(other.to_string()),
        None => None,
    };
    let given = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let (subnet, address, host) = (given(take("subnet")), given(take("address")), given(take("host-name")));
    let keys = ["hw-address", "client-id", "circuit-id", "remote-id"];
    let client: Vec<String> = keys.iter().filter_map(|key| Some(format!("{key} {}", take(key)?))).collect();
    let also: Vec<String> = object.iter().map(|(key, value)| format!("{key} {value}")).collect();
    table.row([&subnet, &client.join(" "), &address, &host, &also.join(" ")]);
    Ok(())
}

/// Whether kernel or daemon decided, why, and each of the last messages on a line.
fn explained(item: &RawValue, table: &mut Table) -> serde_json::Result<()> {
    let Explanation { address, hw_address, decided_by, why, differs, messages } =
        serde_json::from_str(item.get())?;
    table.row([&"address", &address]);
    if let Some(client) = hw_address {
        table.row([&"client", &client]);
    }
    table.row([&"decided-by", &answered_by(decided_by)]);
    table.row([&"why", &why]);
    table.row([&"differs", &differs.join(", ")]);
    for heard in messages {
        let Heard { time, message, address, interface, vlan, relay, circuit, subscriber, .. } = heard;
        let Heard { relay_vendor, subnets, answered, why, .. } = heard;
        let vlan: Vec<_> = vlan.iter().map(ToString::to_string).collect();
        let became = match (answered, why) {
            (Some(answer), _) => format!("answered by {answer}"),
            (None, Some(why)) => format!("no answer: {why}"),
            (None, None) if matches!(&*message, "release" | "decline") => "it asks for no answer".to_owned(),
            (None, None) => "not answered yet".to_owned(),
        };
        let told: String = [
            ("for ", address.map(|address| address.to_string())),
            ("on ", interface),
            ("vlan ", Some(vlan.join(", ")).filter(|ids| !ids.is_empty())),
            ("through ", relay.map(|relay| relay.to_string())),
            ("circuit ", circuit),
            ("subscriber ", subscriber),
            ("relay-vendor ", Some(relay_vendor.join(", ")).filter(|said| !said.is_empty())),
        ]
        .into_iter()
        .filter_map(|(name, detail)| Some(format!(" {name}{}", detail?)))
        .collect();
        let is_silent = became.starts_with("no answer");
        table.row([&"heard", &format!("{time} {message}{told}: {became}")]);
        if is_silent {
            let subnets = if subnets.is_empty() { "none".to_owned() } else { subnets.join(", ") };
            table.row([&"", &format!("  subnets considered: {subnets}")]);
        }
    }
    Ok(())
}

/// An event on a line: time, kind, and its other fields.
pub(super) fn event(item: &RawValue) -> serde_json::Result<String> {
    let event: EventRecord = serde_json::from_str(item.get())?;
    let vlan: Vec<_> = event.vlan.iter().map(ToString::to_string).collect();
    let details = [
        ("", event.address.map(|address| address.to_string())),
        ("", event.hw_address),
        ("client-id ", event.client_id),
        ("host ", event.host_name),
        ("subnet ", event.subnet),
        ("on ", event.interface),
        ("vlan ", Some(vlan.join(", ")).filter(|ids| !ids.is_empty())),
        ("through ", event.relay.map(|relay| relay.to_string())),
        ("relay-information ", event.relay_information),
        ("", event.detail),
    ];
    let number = event.number.map(|number| format!("{number} ")).unwrap_or_default();
    let mut line = format!("{number}{} {}", event.time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ"), event.what);
    for (name, detail) in details {
        if let Some(detail) = detail {
            line.extend([" ", name, &detail]);
        }
    }
    Ok(printable(&line))
}
