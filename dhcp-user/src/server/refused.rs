//! Why a message gets no answer, in words.

/// What the counter of this name means to whoever asks after a client, as far as more is to be said.
pub(super) fn in_words(counter: &str) -> &'static str {
    match counter {
        "no-subnet" => {
            "no subnet is served there: is its giaddr in `relays`, or the interface's address in the subnet?"
        }
        "relay-is-us" => "its giaddr is an address of ours",
        "relay-source" => "it came by a relay that has an address of a pool, or ours: list it in `relays`",
        "source-mismatch" => "its source is not the address that it says it has",
        "not-on-link" => {
            "it was unicast from elsewhere: a client that is not on the link needs a relay to begin"
        }
        "foreign-origin" => {
            "it did not come the way the lease was got: another link, relay, circuit or station"
        }
        "not-owner" => "the lease is not of this hardware address and identifier",
        "other-server" => "it is for another server",
        "device-cap" => {
            "the device holds as many leases as it may: `max-leases-per-device`, or `max-leases-per-device-in-use` if each answers its probes"
        }
        "nak-limited" => "as many NAKs as are broadcast in a second were",
        "rate-limited-client" => "it said more than 20 messages in a row or 5 a second",
        "rate-limited-circuit" => "its port began more than `circuit-rate-limit` allows",
        "declined-too-often" => "the device keeps as many addresses out of use as it may",
        "overtaken" => "the lease was extended after it was sent",
        "exhausted" => "no address is free",
        "probing" => "the addresses that are free are being probed: it gets one when it asks again",
        "unknown-client" => "nothing is known of the client, and another server may know it",
        "not-authoritative" => "a NAK was due, and the subnet is not `authoritative`",
        _ => "see the counters of `xdhcpd stats`",
    }
}
