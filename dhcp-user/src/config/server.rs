//! The `[server]` table.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use super::options::{self, OptionSet};
use super::overrides::Boot;
use super::probe::Probe;
use super::section::Section;
use super::subnet::relays;
use super::value::Value;
use crate::events::Bounds;

/// A relay that has lost its table asks for a few thousand leases: it has them within seconds.
const LEASEQUERY_RATE: NonZeroU32 = NonZeroU32::new(500).expect("500");

const DAY: u32 = 24 * 60 * 60;
const MIB: u64 = 1 << 20;

/// The settings of the daemon as a whole. Durations are in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Directory of the embedded store.
    pub state_dir: PathBuf,
    /// Unix socket that the management commands connect to.
    pub control_socket: PathBuf,
    /// The group that may change something by that socket; none: everybody who may use it.
    pub control_group: Option<String>,
    /// The group that may read by it.
    pub control_read_group: Option<String>,
    /// The bounds of the event log, if there is one.
    pub event_log: Option<Bounds>,
    /// Where to serve Prometheus metrics, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Where to serve the read commands of Kea's API, if anywhere.
    pub kea_api_listen: Option<SocketAddr>,
    /// How long an unanswered OFFER keeps its address.
    pub offer_hold: u32,
    /// Whether addresses are probed for conflicts before they are offered.
    pub probe: Probe,
    /// The first probation of an address that was declined or seen in use.
    pub quarantine: u32,
    /// Where leases are committed.
    pub store: StoreChoice,
    /// Directory on a bpffs where program, link and maps are pinned.
    pub pin_dir: PathBuf,
    /// The pin of a program that gets what would go to the host's stack.
    pub next_program: Option<PathBuf>,
    /// How many lease times ahead of the last ACK the store commits; at least 1 + T1 / lease time of each subnet.
    pub horizon: f64,
    /// When the CPUs are kept from sleeping.
    pub keep_cpus_awake: KeepAwake,
    /// Relays that may ask about leases (RFC 4388): the addresses they name as giaddr, and send from.
    pub leasequery_from: Vec<Ipv4Addr>,
    /// How many such questions a second each of them may ask.
    pub leasequery_rate_limit: NonZeroU32,
    /// Options of every answer, unless a subnet or reservation overrides them.
    pub options: OptionSet,
    /// Header fields of every answer, unless something more particular sets them.
    pub boot: Boot,
}

/// When the CPUs are kept from sleeping, for shorter waits at the cost of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAwake {
    /// Never.
    Never,
    /// While thousands of messages a second come to the daemon.
    UnderLoad,
    /// For as long as the daemon runs.
    Always,
}

/// Where leases are committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreChoice {
    /// The store inside the daemon, under `state-dir`.
    Embedded,
    /// An etcd cluster, which several nodes share.
    Etcd(Etcd),
}

/// An etcd cluster, and this node's place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Etcd {
    /// The members' URLs.
    pub endpoints: Vec<String>,
    /// What the keys of this site begin with.
    pub prefix: String,
    /// The node's name; none: the host's.
    pub node: Option<String>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            state_dir: PathBuf::from("/var/lib/xdhcpd"),
            control_socket: PathBuf::from(super::DEFAULT_CONTROL_SOCKET),
            control_group: None,
            control_read_group: None,
            event_log: Some(Bounds { size: 16 * MIB, keep: 30 * DAY }),
            metrics_listen: None,
            kea_api_listen: None,
            offer_hold: 10,
            probe: Probe::Auto,
            quarantine: 24 * 60 * 60,
            store: StoreChoice::Embedded,
            pin_dir: PathBuf::from("/sys/fs/bpf/xdhcpd"),
            next_program: None,
            horizon: 2.0,
            keep_cpus_awake: KeepAwake::UnderLoad,
            leasequery_from: Vec::new(),
            leasequery_rate_limit: LEASEQUERY_RATE,
            options: OptionSet::default(),
            boot: Boot::default(),
        }
    }
}

impl Server {
    pub(super) fn read(mut section: Section<'_>) -> Option<Self> {
        let default = Self::default();
        let state_dir = section.or("state-dir", default.state_dir, absolute_path);
        let control_socket = section.or("control-socket", default.control_socket, socket_path);
        let control_group = section.optional("control-group", group);
        let control_read_group = section.optional("control-read-group", group);
        let event_log_size = section.or("event-log", Some(16 * MIB), |value| {
            if value.is_text() && value.text("a size") == Some("off") {
                Some(None)
            } else {
                value.size().map(Some)
            }
        });
        let event_log_keep = section.or("event-log-keep", 30 * DAY, Value::some_seconds);
        let metrics_listen = section.optional("metrics-listen", listen_address);
        let kea_api_listen = section.optional("kea-api-listen", listen_address);
        let offer_hold = section.or("offer-hold", default.offer_hold, Value::some_seconds);
        let probe = section.or("probe", default.probe, Probe::read);
        let quarantine = section.or("quarantine", default.quarantine, Value::some_seconds);
        let store = section.or("store", default.store, store_choice);
        let pin_dir = section.or("pin-dir", default.pin_dir, absolute_path);
        let next_program = section.optional("next-program", absolute_path);
        let horizon = section.or("horizon", default.horizon, |v| v.number(1.0..=10.0));
        let keep_cpus_awake = section.or("keep-cpus-awake", default.keep_cpus_awake, keep_awake);
        let leasequery_from = section.or("leasequery-from", default.leasequery_from, relays);
        let leasequery_rate_limit =
            section.or("leasequery-rate-limit", default.leasequery_rate_limit, Value::rate);
        let options = section.or("options", default.options, options::read);
        let boot = Boot::read(&mut section);
        section.finish();
        Some(Self {
            state_dir: state_dir?,
            control_socket: control_socket?,
            control_group: control_group?,
            control_read_group: control_read_group?,
            event_log: event_log_size?.zip(event_log_keep).map(|(size, keep)| Bounds { size, keep }),
            metrics_listen: metrics_listen?,
            kea_api_listen: kea_api_listen?,
            offer_hold: offer_hold?,
            probe: probe?,
            quarantine: quarantine?,
            store: store?,
            pin_dir: pin_dir?,
            next_program: next_program?,
            horizon: horizon?,
            keep_cpus_awake: keep_cpus_awake?,
            leasequery_from: leasequery_from?,
            leasequery_rate_limit: leasequery_rate_limit?,
            options: options?,
            boot: boot?,
        })
    }
}

pub(super) fn absolute_path(value: Value<'_>) -> Option<PathBuf> {
    let text = value.text("a path")?;
    if text.starts_with('/') && !text.contains('\0') {
        Some(PathBuf::from(text))
    } else {
        value.refuse(format!("\"{}\" is not an absolute path: begin it with /", text.escape_default()))
    }
}

/// A group's name or number. Whether there is such a group is looked at when it is needed.
fn group(value: Value<'_>) -> Option<String> {
    let text = value.text("a group's name or number")?;
    let is_name =
        !text.is_empty() && text.len() <= 64 && text.chars().all(|c| c.is_ascii_graphic() && c != ':');
    if is_name {
        Some(text.to_owned())
    } else {
        value.refuse(format!("\"{}\" is no group's name or number", text.escape_default()))
    }
}

/// A path that fits into a socket address (`sun_path`, 108 octets with the final zero).
fn socket_path(value: Value<'_>) -> Option<PathBuf> {
    let path = absolute_path(value)?;
    match path.as_os_str().len() {
        0..=107 => Some(path),
        len => value.refuse(format!("this path has {len} octets, a socket's at most 107: use a shorter one")),
    }
}

fn listen_address(value: Value<'_>) -> Option<SocketAddr> {
    let form = "an address and port, such as \"127.0.0.1:19067\" or \"[::1]:19067\"";
    let text = value.text(form)?;
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Some(address),
        Ok(_) => value.refuse("port 0 would be a different port at every start: write the port"),
        Err(_) => value.refuse(format!("\"{text}\" is not {form}")),
    }
}

fn keep_awake(value: Value<'_>) -> Option<KeepAwake> {
    value.one_of([
        ("never", KeepAwake::Never),
        ("under-load", KeepAwake::UnderLoad),
        ("always", KeepAwake::Always),
    ])
}

fn store_choice(value: Value<'_>) -> Option<StoreChoice> {
    if !value.is_table() {
        let form = "\"embedded\" or { etcd = [\"http://127.0.0.1:2379\"] }";
        return match value.text(form)? {
            "embedded" => Some(StoreChoice::Embedded),
            other => value.refuse(format!("\"{other}\" is not a store: write {form}")),
        };
    }
    let mut section = value.section("store")?;
    let endpoints = section.required("etcd", "[\"http://127.0.0.1:2379\"]", |v| {
        let endpoints = v.each("URLs", endpoint)?;
        if endpoints.is_empty() {
            v.refuse("name at least one endpoint of the etcd cluster")
        } else {
            Some(endpoints)
        }
    });
    let prefix = section.or("prefix", "/xdhcpd".to_owned(), key_prefix);
    let node = section.optional("node", node_name);
    section.finish();
    if cfg!(not(any(feature = "etcd", test))) {
        return value.refuse(
            "this xdhcpd was built without etcd: take the package, or build with `--features etcd` (needs protoc)",
        );
    }
    Some(StoreChoice::Etcd(Etcd { endpoints: endpoints?, prefix: prefix?, node: node? }))
}

/// What keys in etcd begin with, before a slash.
fn key_prefix(value: Value<'_>) -> Option<String> {
    let text = value.text("a prefix of keys")?;
    let is_one = text.starts_with('/') && !text.ends_with('/') && text.chars().all(|c| c.is_ascii_graphic());
    if is_one {
        Some(text.to_owned())
    } else {
        value.refuse(format!(
            "\"{}\" is no prefix, such as \"/xdhcpd/site\": begin it with /, and end it without",
            text.escape_default()
        ))
    }
}

fn node_name(value: Value<'_>) -> Option<String> {
    let text = value.text("a node's name")?;
    let is_one = (1..=64).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    if is_one {
        Some(text.to_owned())
    } else {
        value.refuse(format!(
            "\"{}\" is no node's name: letters, digits, -, . and _, 64 at most",
            text.escape_default()
        ))
    }
}

fn endpoint(value: Value<'_>) -> Option<String> {
    let text = value.text("a URL")?;
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    match host {
        Some(_) if text.starts_with("https://") => value.refuse(
            "etcd is spoken to without TLS so far: write http://, and keep the way there to yourself",
        ),
        Some(host) if !host.is_empty() && !host.contains(char::is_whitespace) => Some(text.to_owned()),
        _ => value.refuse(format!("\"{text}\" is not a URL, such as \"http://127.0.0.1:2379\"")),
    }
}
