//! The daemon's reports to an operator: the shapes of its answers in JSON.
//!
//! Keys may be added, and are never taken away or given another meaning. Times are wall time, for display only.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::hooks::HookCounts;

/// A word of a fixed vocabulary: a state, a reason.
pub type Word = Cow<'static, str>;

/// The daemon itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Whether it serves.
    pub stage: Stage,
    /// For how long it has been running.
    pub uptime_seconds: u64,
    /// Its interfaces.
    pub interfaces: Vec<InterfaceStatus>,
    /// The kind of its store.
    pub store: Word,
    /// How many addresses are leased, as far as it knows yet.
    pub leases: u64,
    /// How full the classes are that have `max-leases`, in the order of the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassFill>,
    /// Why the daemon can't grant leases, or its clients get no answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A class with `max-leases`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClassFill {
    /// Its name.
    pub name: String,
    /// How many leases its clients hold, offers included.
    pub held: u32,
    /// How many they may hold.
    pub max_leases: u32,
}

/// How far the daemon has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It takes over what store and kernel know. The kernel answers renewals meanwhile.
    Starting,
    /// It serves.
    Serving,
}

/// An interface that is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct InterfaceStatus {
    /// The kernel's name of it.
    pub name: String,
    /// How the XDP program is attached to it.
    pub xdp: Xdp,
    /// How it is to be attached: `xdp` in the configuration.
    #[serde(default)]
    pub xdp_configured: Word,
    /// Why it is attached so, where that was to be chosen or is not what is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xdp_why: Option<String>,
    /// The name of its driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Whether it is there, and frames pass.
    pub link: LinkStatus,
    /// Its IPv4 addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// The obstacle to the program, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
    /// The program is being put on it, or taken off it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub attaching: bool,
}

/// Whether an interface can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkStatus {
    /// It is up and has a carrier.
    Up,
    /// It is there.
    Down,
    /// It is not there; it is served when it comes.
    Missing,
}

/// How the XDP program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Xdp {
    /// In the driver.
    Native,
    /// In the stack.
    Generic,
    /// Not: another's program calls it.
    External,
    /// Not at all.
    Off,
}

/// Counters since the maps (kernel) or the daemon began. Every counter is there, also while it is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stats {
    /// The counters of the XDP program.
    pub kernel: KernelStats,
    /// The counters of the daemon.
    pub daemon: TrafficStats,
    /// The results of the programs that run for events, in the order of the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookCounts>,
}

/// The verdicts on frames in the XDP program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct KernelStats {
    /// Answered, by the client's state.
    pub acked: BTreeMap<Word, u64>,
    /// Sent up to the daemon, by reason.
    pub punted: BTreeMap<Word, u64>,
    /// Left to the host's stack.
    pub passed: u64,
    /// Left to the host's stack, by reason.
    #[serde(default)]
    pub passed_why: BTreeMap<Word, u64>,
    /// Dropped, by reason.
    pub dropped: BTreeMap<Word, u64>,
}

/// Messages of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrafficStats {
    /// Received, by message type.
    pub received: BTreeMap<Word, u64>,
    /// Sent, by message type.
    pub sent: BTreeMap<Word, u64>,
    /// Not answered, by reason.
    pub dropped: BTreeMap<Word, u64>,
    /// Messages that were served in spite of a fault, by fault.
    #[serde(default)]
    pub odd: BTreeMap<Word, u64>,
    /// Replies that could not be sent, by interface; their sum is in `dropped`.
    #[serde(default)]
    pub not_sent: BTreeMap<String, u64>,
    /// Lines of the log that were left out, because nobody took them.
    #[serde(default)]
    pub log_lines_dropped: u64,
    /// Notifications that the service manager did not take.
    #[serde(default)]
    pub notifications_dropped: u64,
    /// Clients of the control socket that were refused since there were too many, or made room since they asked for nothing.
    #[serde(default)]
    pub control_clients_left_out: u64,
    /// Events that are not in the event log, because its thread or its disk took them not in time.
    #[serde(default)]
    pub events_not_kept: u64,
}

/// How many addresses of a pool are in which state; the states add up to the size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PoolCounts {
    /// The subnet's prefix.
    pub subnet: String,
    /// The pool, `FIRST - LAST`.
    pub pool: String,
    /// All its addresses.
    pub size: u32,
    /// Free for any client.
    pub free: u32,
    /// Offered, and not yet requested.
    pub offered: u32,
    /// Leased.
    pub leased: u32,
    /// Expired, and kept for the last owner.
    pub grace: u32,
    /// Declined, or seen in use.
    pub quarantined: u32,
    /// Reserved for a client that has no lease of it now.
    pub reserved: u32,
}

/// The lease of an address, or what is left of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lease {
    /// The address.
    pub address: Ipv4Addr,
    /// The owner's hardware address, octets in hexadecimal with colons.
    pub hw_address: String,
    /// The owner's client identifier, octets in hexadecimal with colons.
    pub client_id: Option<String>,
    /// The host name the owner gave, or was given.
    pub host_name: Option<String>,
    /// The address's state.
    pub state: Word,
    /// The prefix of its subnet.
    pub subnet: String,
    /// The interface that the owner is reached on.
    pub interface: String,
    /// The VLAN ids it is reached with, outer first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vlan: Vec<u16>,
    /// The relay it is reached through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Ipv4Addr>,
    /// Its relay information (option 82), octets in hexadecimal with colons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay_information: Option<String>,
    /// The circuit in that, as text, or `hex:` and its octets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit_id: Option<String>,
    /// The remote id in that, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_id: Option<String>,
    /// The subscriber id in that, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscriber_id: Option<String>,
    /// What vendors' relays say in that: each an enterprise number, a slash, and text, or `hex:` and octets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relay_vendor: Vec<String>,
    /// When the owner was last heard, as far as the daemon has come to look.
    #[serde(default)]
    pub last_heard: Timestamp,
    /// The end of the lease.
    pub expires: Timestamp,
    /// The store's own promise: no expiry that the owner got is later.
    pub committed_until: Timestamp,
    /// The sender of the answer to the owner's last request.
    pub last_answered_by: AnsweredBy,
    /// How many renewals the kernel has answered.
    pub kernel_renewals: u64,
    /// Whether this state is decided, and not known to be on disk: nothing more is promised before it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_committed: bool,
}

/// The sender of an answer: kernel or daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnsweredBy {
    /// The XDP program.
    Kernel,
    /// The daemon.
    Daemon,
}

/// A lease, and the questions that the kernel can answer for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LeaseDetail {
    /// The lease.
    #[serde(flatten)]
    pub lease: Lease,
    /// The questions the kernel answers itself.
    pub memos: Vec<Memo>,
}

/// A question that the kernel answers, and the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Memo {
    /// The keyed hash that the question is recognised by, in hexadecimal.
    pub question: String,
    /// The relay's address in the question, or 0.0.0.0.
    pub giaddr: Ipv4Addr,
    /// The lease time of the answer, in seconds.
    pub lease_time: u32,
    /// The answer's options (after sname, file and cookie, where it has these), raw, in hexadecimal.
    pub answer: String,
}

/// The findings of an audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Audit {
    /// Whether policy, store and kernel agree.
    pub consistent: bool,
    /// Where they don't.
    pub findings: Vec<Finding>,
}

/// A difference between policy, store and kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// The address it is about.
    pub address: Ipv4Addr,
    /// The difference, in words.
    pub what: String,
}

/// A device that holds more than one lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Orphan {
    /// The device's hardware address.
    pub hw_address: String,
    /// How many leases it may hold.
    pub cap: u32,
    /// Those it holds.
    pub leases: Vec<OrphanLease>,
}

/// A lease among several of one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OrphanLease {
    /// The address.
    pub address: Ipv4Addr,
    /// The client identifier it was requested with.
    pub client_id: Option<String>,
    /// When its client was last heard.
    pub last_heard: Timestamp,
}

/// An address in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Quarantined {
    /// The address.
    pub address: Ipv4Addr,
    /// Since when.
    pub since: Timestamp,
    /// When its probation ends.
    pub until: Timestamp,
    /// `declined` or `probe`.
    pub why: Word,
    /// The client that declined it, or the station that answered the probe.
    pub by: String,
}

/// Whether kernel or daemon decided a client's last request, and why not the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Explanation {
    /// The client's address.
    pub address: Ipv4Addr,
    /// The client's hardware address, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hw_address: Option<String>,
    /// Kernel or daemon.
    pub decided_by: AnsweredBy,
    /// Why.
    pub why: String,
    /// In what the request differs from the nearest that the kernel knows.
    pub differs: Vec<String>,
    /// The client's last messages that the daemon got, the latest last.
    #[serde(default)]
    pub messages: Vec<Heard>,
}

/// A message that the daemon got, and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Heard {
    /// When it came.
    pub time: Timestamp,
    /// Its type: `discover`, `request`, …; `unread` if it could not be read.
    pub message: Word,
    /// The address it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// Where it came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Its VLAN ids, the outer first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vlan: Vec<u16>,
    /// The relay it came through (giaddr).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Ipv4Addr>,
    /// The circuit that the relay names: the id as text, or `hex:` and its octets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit: Option<String>,
    /// The subscriber that the relay names, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscriber: Option<String>,
    /// What vendors' relays say: each an enterprise number, a slash, and text, or `hex:` and octets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relay_vendor: Vec<String>,
    /// The prefixes of the subnets that were considered, if it got no answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<String>,
    /// The type of the answer, if it got one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Word>,
    /// Why it got none, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The result of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reloaded {
    /// How many live leases may have new answers: the next renewal of each is answered by the daemon.
    pub rewritten: u64,
    /// How many leases were revoked because their subnet, pool or reservation is gone.
    pub revoked: u64,
}

/// A lease that has ended at the operator's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Released {
    /// Its address.
    pub address: Ipv4Addr,
    /// `released`.
    pub what: Word,
    /// When the address is free.
    pub free: Free,
    /// It is free by then, whatever the probes find: no promise goes beyond.
    pub until: Option<Timestamp>,
}

/// When an address is free whose lease has ended at the operator's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Free {
    /// Now.
    AtOnce,
    /// When nobody is found to use it.
    AfterACleanProbe,
    /// When what its client was promised is over: its addresses are not probed.
    AtTheEndOfItsPromise,
}

/// Addresses that are in quarantine no longer, at the operator's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cleared {
    /// The only address that was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub address: Option<Ipv4Addr>,
    /// All that was asked for.
    pub prefix: String,
    /// `cleared`.
    pub what: Word,
    /// How many they were.
    pub count: usize,
}

/// The result of a part of an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Imported {
    /// How many leases are honoured from now on; that is on disk.
    pub imported: u64,
    /// Those that are not.
    pub refused: Vec<RefusedLease>,
}

/// A lease of another server that is not honoured here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RefusedLease {
    /// Which of those that were sent together, from 0.
    pub number: u64,
    /// Why not.
    pub why: String,
}

/// The octets that [`colon_hex`] shows so.
#[must_use]
pub fn from_colon_hex(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let octet = |digits: &str| {
        let are_digits = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        are_digits.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
    };
    text.split(':').map(octet).collect()
}

/// Octets in hexadecimal with colons between, as identifiers are shown.
#[must_use]
pub fn colon_hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len().saturating_mul(3));
    for (i, octet) in octets.iter().enumerate() {
        if i > 0 {
            text.push(':');
        }
        text.extend(
            [octet >> 4, octet & 15].into_iter().filter_map(|digit| char::from_digit(digit.into(), 16)),
        );
    }
    text
}
