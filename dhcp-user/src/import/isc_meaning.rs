//! The consequence of a missing equivalent for a statement of ISC dhcpd.

use super::draft::Block;
use super::isc_syntax::Statement;

/// Notes a statement without an equivalent, and each of those inside of it.
pub(super) fn note_all(block: &mut Block, statement: &Statement, meaning: &str) {
    block.note(&statement.at, format!("{}: {meaning}", statement.shown()));
    note_inside(block, statement.body());
}

/// Notes all statements of a body as not converted.
pub(super) fn note_inside(block: &mut Block, body: &[Statement]) {
    for statement in body {
        block.note(&statement.at, format!("{}: in what is left out above", statement.shown()));
        note_inside(block, statement.body());
    }
}

/// The consequence of a missing equivalent.
pub(super) fn meaning(statement: &Statement) -> &'static str {
    let texts = statement.texts();
    match texts.as_slice() {
        [
            "ddns-update-style"
            | "ddns-updates"
            | "ddns-domainname"
            | "ddns-rev-domainname"
            | "ddns-hostname"
            | "ddns-ttl"
            | "update-static-leases"
            | "update-conflict-detection"
            | "update-optimization"
            | "do-forward-updates"
            | "do-reverse-updates"
            | "key"
            | "zone",
            ..,
        ]
        | ["allow" | "deny" | "ignore", "client-updates"] => {
            "names aren't written into the DNS by this server"
        }
        ["log-facility", ..] => "messages go to standard error, and so to the journal",
        ["failover", ..] => "there is no failover protocol; two servers share an etcd store",
        ["omapi-port" | "omapi-key", ..] => {
            "the daemon has a control socket of its own: [server] control-socket"
        }
        [
            "lease-file-name" | "pid-file-name" | "db-time-format" | "authoring-byte-order" | "server-duid",
            ..,
        ] => "it is about the other server's own files",
        ["on", ..] | ["set" | "unset" | "execute" | "log", ..] => {
            "statements that are executed have no equivalent"
        }
        ["allow" | "deny" | "ignore", "unknown-clients" | "known-clients", ..] => {
            "who is served is said by `allow` and `deny` of pools, in classes"
        }
        ["allow" | "deny" | "ignore", "declines" | "leasequery" | "duplicates", ..] => {
            "there is no such switch"
        }
        ["one-lease-per-client" | "limit-addrs-per-ia", ..] => "[[subnet]] has max-leases-per-device",
        ["ping-check" | "ping-timeout", ..] => "addresses are probed as `probe` says",
        [
            "get-lease-hostnames"
            | "infinite-is-reserved"
            | "always-broadcast"
            | "always-reply-rfc1048"
            | "min-secs"
            | "stash-agent-options"
            | "use-lease-addr-for-default-route"
            | "adaptive-lease-time-threshold"
            | "dynamic-bootp-lease-length"
            | "dynamic-bootp-lease-cutoff"
            | "vendor-option-space"
            | "site-option-space"
            | "server-id-check"
            | "dhcp-cache-threshold"
            | "delayed-ack"
            | "max-ack-delay"
            | "local-port"
            | "remote-port"
            | "local-address"
            | "abandon-lease-time",
            ..,
        ] => "there is no such setting here; what it did isn't done",
        ["subnet6" | "pool6" | "range6" | "prefix6" | "option6", ..] => "DHCPv6 is another server's",
        ["if" | "elsif" | "else" | "switch", ..] => {
            "what depends on the client is a [[class]] here, which holds in all subnets"
        }
        ["shared-network" | "subnet" | "host" | "group" | "pool" | "class", ..] => "it can't stand here",
        _ => "it is unknown here, and not looked at",
    }
}
