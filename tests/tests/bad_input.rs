//! Inputs that broke servers before: each raises a counter of its own by exactly as many as were sent, gets the answer
//! that is due or none, and leaves a server that serves.

use anyhow::{Context, Result, ensure};
use std::cell::Cell;
use std::net::Ipv4Addr;
use system_tests::client::{Client, Lease, Request, append_option};
use system_tests::mangle::{IP, IP_TOTAL, UDP_CHECKSUM, UDP_LENGTH, resealed, with_ip_option, with_word};
use system_tests::paths::SERVER;
use system_tests::server::{Server, Stats, Xdp};
use system_tests::topology::Lan;
use system_tests::wire::{FIXED, Kind, Tag, checksum, options};

const WITNESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/22"
pools = ["10.0.1.0 - 10.0.3.250"]
"#;

/// How often each is sent.
const TIMES: u64 = 3;

/// A counter of `stats`, by its path.
type Counter<'a> = &'a [&'a str];

const NAK: Counter = &["daemon", "sent", "nak"];
const OFFER: Counter = &["daemon", "sent", "offer"];

/// A server, and how its counters move.
struct Counted<'a> {
    lan: &'a Lan,
    server: Server<'a>,
    clients: Cell<u16>,
}

impl<'a> Counted<'a> {
    fn new(lan: &'a Lan) -> Result<Self> {
        let server = Server::start(lan, Xdp::Native, SUBNET)?;
        Ok(Self { lan, server, clients: Cell::new(0) })
    }

    fn client(&self) -> Client<'a> {
        self.clients.set(self.clients.get() + 1);
        self.lan.client(self.clients.get())
    }

    /// Sends what new clients say, and expects each of these counters to go up by as many, all that becomes of a frame
    /// together by no more, and no other answers than these.
    fn expect(
        &self,
        what: &str,
        counters: &[Counter],
        answer: Option<Kind>,
        frame: impl Fn(&Client) -> Result<Vec<u8>>,
    ) -> Result<()> {
        self.expect_all(counters, answer, frame).with_context(|| what.to_owned())
    }

    fn expect_all(
        &self,
        counters: &[Counter],
        answer: Option<Kind>,
        frame: impl Fn(&Client) -> Result<Vec<u8>>,
    ) -> Result<()> {
        let frames = (0..TIMES).map(|_| frame(&self.client())).collect::<Result<Vec<_>>>()?;
        let before = self.server.stats()?;
        let answers = self.lan.client(0).answers_to(&frames, WITNESS)?;
        let kinds: Vec<Kind> = answers.iter().map(|answer| answer.kind).collect();
        let due = answer.map_or_else(Vec::new, |kind| vec![kind; frames.len()]);
        ensure!(kinds == due, "answered by {kinds:?}");
        let after = self.server.stats()?;
        for counter in counters {
            let counted = after.count(counter)? - before.count(counter).unwrap_or(0);
            ensure!(counted == TIMES, "{counter:?} went up by {counted}: {}", after.0);
        }
        // One more is the witness.
        ensure!(outcomes(&after)? - outcomes(&before)? == TIMES + 1, "{} from {}", after.0, before.0);
        ensure!(after.seen()? - before.seen()? == TIMES + 1, "{} from {}", after.0, before.0);
        Ok(())
    }

    /// A malformed message: counted by this name, and dropped.
    fn malformed(&self, what: &str, why: &str, change: impl Fn(&mut Request)) -> Result<()> {
        self.expect(what, &[&["daemon", "dropped", why]], None, |client| {
            let mut request = client.discovering();
            change(&mut request);
            request.frame()
        })
    }

    /// The same for a frame that is changed when it is done.
    fn mangled(&self, what: &str, why: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) -> Result<()> {
        self.expect(what, &[&["daemon", "dropped", why]], None, |client| {
            client.discovering().frame().map(&change)
        })
    }

    /// A frame that the program leaves to the host.
    fn passed(&self, what: &str, why: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) -> Result<()> {
        self.expect(what, &[&["kernel", "passed-why", why]], None, |client| {
            client.discovering().frame().map(&change)
        })
    }

    /// An option area in place of a DISCOVER's.
    fn options(&self, what: &str, why: &str, area: &[u8]) -> Result<()> {
        self.malformed(what, why, |request| request.message.options = area.to_vec())
    }

    /// An option area that is odd, but serves.
    fn served(&self, what: &str, odd: Option<&str>, area: &[u8]) -> Result<()> {
        let odd: Vec<&str> = odd.map_or_else(Vec::new, |odd| vec!["daemon", "odd", odd]);
        let mut counters = vec![OFFER];
        counters.extend((!odd.is_empty()).then_some(&odd[..]));
        self.expect(what, &counters, Some(Kind::Offer), |client| {
            let mut request = client.discovering();
            request.message.options = area.to_vec();
            request.frame()
        })
    }

    /// A client gets a lease, and renews it with the kernel.
    fn still_serves(mut self) -> Result<()> {
        let client = self.client();
        let lease = client.dora()?;
        let before = self.server.stats()?.all_kernel_acked()?;
        client.renew(&lease)?;
        ensure!(self.server.stats()?.all_kernel_acked()? == before + 1 && self.server.is_running()?);
        ensure!(self.server.json(&["audit"])?["consistent"] == true);
        Ok(())
    }
}

/// How many frames have found their end: answered, dropped, or passed on.
fn outcomes(stats: &Stats) -> Result<u64> {
    let groups: [Counter; 4] =
        [&["kernel", "acked"], &["kernel", "dropped"], &["daemon", "sent"], &["daemon", "dropped"]];
    let all = groups.iter().map(|group| stats.sum(group)).sum::<Result<u64>>()?;
    Ok(all + stats.count(&["kernel", "passed"])?)
}

fn lan() -> Result<Lan> {
    Lan::new("bad-input", SERVER, 22)
}

#[test]
fn headers_that_lie_or_are_not_for_us() -> Result<()> {
    let lan = lan()?;
    let counted = Counted::new(&lan)?;
    for length in [0, 7, 8, 299, 309, 0xffff] {
        counted.mangled(&format!("UDP length {length}"), "udp-length", |frame| {
            resealed(with_word(&frame, UDP_LENGTH, length))
        })?;
    }
    counted.mangled("IP length beyond the frame", "ip-length", |frame| {
        resealed(with_word(&frame, IP_TOTAL, 1400))
    })?;
    counted.mangled("IP checksum", "ip-checksum", |frame| with_word(&frame, IP + 10, 0x1234))?;
    counted.mangled("UDP checksum", "udp-checksum", |frame| with_word(&frame, UDP_CHECKSUM, 0x1234))?;
    for source in [Ipv4Addr::new(224, 0, 0, 1), Ipv4Addr::BROADCAST, Ipv4Addr::LOCALHOST] {
        let what = format!("from {source}");
        counted.malformed(&what, "ip-source", |request| request.envelope.ip_src = source)?;
    }
    counted.passed("an IP option", "ip-options", with_ip_option)?;
    for (what, field) in [("a first fragment", 0x2000), ("a later fragment", 0x0010)] {
        counted.passed(what, "fragment", |frame| resealed(with_word(&frame, IP + 6, field)))?;
    }
    let tagged = |tags: &[Tag], client: &Client| {
        let mut request = client.discovering();
        request.envelope.tags = tags.to_vec();
        request.frame()
    };
    let no_subnet: Counter = &["daemon", "dropped", "no-subnet"];
    counted.expect("a VLAN not served", &[no_subnet], None, |client| tagged(&[Tag::customer(77)], client))?;
    let two = [Tag::provider(7), Tag::customer(77)];
    counted.expect("QinQ not served", &[no_subnet], None, |client| tagged(&two, client))?;
    let three = [Tag::provider(7), Tag::customer(7), Tag::customer(7)];
    counted.expect("three tags", &[&["kernel", "passed-why", "not-ipv4"]], None, |client| {
        tagged(&three, client)
    })?;
    counted.still_serves()
}

#[test]
fn fixed_fields_no_client_has() -> Result<()> {
    let lan = lan()?;
    let counted = Counted::new(&lan)?;
    for op in [0, 2, 255] {
        counted.malformed(&format!("op {op}"), "not-request", |request| request.message.op = op)?;
    }
    for hlen in [17, 255] {
        let what = format!("hlen {hlen}");
        counted.malformed(&what, "hardware-address-length", |request| request.message.hlen = hlen)?;
    }
    counted.malformed("hlen 0, no identifier", "no-identity", |request| request.message.hlen = 0)?;
    for cookie in [[0; 4], [99, 130, 83, 100]] {
        counted.malformed("another cookie", "cookie", |request| request.message.cookie = cookie)?;
    }
    for giaddr in [Ipv4Addr::new(224, 0, 0, 1), Ipv4Addr::BROADCAST, Ipv4Addr::LOCALHOST] {
        let what = format!("giaddr {giaddr}");
        counted.malformed(&what, "relay-address", |request| request.message.giaddr = giaddr)?;
    }
    counted.malformed("giaddr is ours", "relay-is-us", |request| request.message.giaddr = SERVER)?;
    counted.malformed("giaddr of nobody", "no-subnet", |request| {
        request.message.giaddr = Ipv4Addr::new(203, 0, 113, 1);
    })?;
    for ciaddr in [Ipv4Addr::new(224, 0, 0, 1), Ipv4Addr::BROADCAST, Ipv4Addr::LOCALHOST] {
        let what = format!("ciaddr {ciaddr}");
        counted.malformed(&what, "client-address", |request| request.message.ciaddr = ciaddr)?;
    }
    counted.still_serves()
}

/// The headers are right about what there is; there is not all of it.
#[test]
fn a_message_cut_at_every_octet() -> Result<()> {
    let lan = lan()?;
    let counted = Counted::new(&lan)?;
    let request = lan.client(1).discovering();
    let whole = FIXED + request.message.options.len();
    for len in 0..whole {
        // The last octet is END; before it, the last option is cut from its second octet on.
        let why = match len {
            ..FIXED => "short",
            // Nothing tells that there was more.
            FIXED => "bootp",
            _ if ends_between_options(&request.message.options[..len - FIXED]) => "no-end",
            _ => "option-truncated",
        };
        let served = why == "no-end";
        let counter: Counter = if served { &["daemon", "odd", why] } else { &["daemon", "dropped", why] };
        counted.expect(&format!("cut to {len}"), &[counter], served.then_some(Kind::Offer), |client| {
            let request = client.discovering();
            request.envelope.frame(&request.message.encode()[..len])
        })?;
    }
    counted.still_serves()
}

/// Whether what is left of an option area ends where an option does.
fn ends_between_options(mut area: &[u8]) -> bool {
    while let [_, len, rest @ ..] = area {
        let Some(rest) = rest.get(usize::from(*len)..) else { return false };
        area = rest;
    }
    area.is_empty()
}

#[test]
fn options_that_make_no_sense() -> Result<()> {
    let lan = lan()?;
    let counted = Counted::new(&lan)?;
    let long = [b'x'; 255];
    let kind: (u8, &[u8]) = (53, &[1]);
    let with = |code: u8, value: &[u8]| options(&[kind, (code, value)]);
    counted.options("no message type", "bootp", &options(&[(55, &[1, 3])]))?;
    counted.options("no option at all", "bootp", &[255])?;
    for (what, value) in [("none", &[][..]), ("two octets", &[1, 3]), ("0", &[0]), ("255", &[255])] {
        counted.options(&format!("message type {what}"), "message-type", &options(&[(53, value)]))?;
    }
    counted.options("two message types", "message-type", &options(&[kind, (55, &[1]), (53, &[3])]))?;
    for server in [2, 5, 6] {
        let what = format!("message type {server}");
        counted.options(&what, "server-message", &options(&[(53, &[server])]))?;
    }
    for (what, id) in [("no", &[][..]), ("one", &[1])] {
        counted.options(&format!("an identifier of {what} octets"), "client-identifier", &with(61, id))?;
    }
    let twice = options(&[kind, (61, &long), (61, &long)]);
    counted.options("an identifier of 510 octets", "client-identifier", &twice)?;
    for code in [50, 54, 118] {
        for value in [&[][..], &[10, 0, 1], &[10, 0, 1, 2, 3]] {
            let what = format!("option {code} of {} octets", value.len());
            counted.options(&what, "option-length", &with(code, value))?;
        }
    }
    counted.options("an option that runs over", "option-truncated", &[53, 1, 1, 12, 200, b'a', 255])?;
    for value in [&[0][..], &[4], &[1, 2]] {
        counted.options(&format!("overload {value:?}"), "overload", &with(52, value))?;
    }
    counted.malformed("overload within the overloaded", "overload", |request| {
        request.message.options = with(52, &[1]);
        request.message.file[..4].copy_from_slice(&[52, 1, 2, 255]);
    })?;
    counted.still_serves()
}

#[test]
fn options_that_are_odd_and_serve() -> Result<()> {
    let lan = lan()?;
    let counted = Counted::new(&lan)?;
    let long = [b'x'; 255];
    let kind: (u8, &[u8]) = (53, &[1]);
    let with = |code: u8, value: &[u8]| options(&[kind, (code, value)]);
    let label = [b'x'; 64];
    for (what, name) in [
        ("none", &[][..]),
        ("255 octets", &long),
        ("a label of 64", &label),
        ("no ASCII", &[0xc3, 0x28]),
        ("%n", b"%n"),
    ] {
        counted.served(&format!("host name: {what}"), Some("unusable-host-name"), &with(12, name))?;
    }
    counted.served("no END", Some("no-end"), &[53, 1, 1])?;
    counted.served("zeros in the place of END", Some("no-end"), &[53, 1, 1, 0, 0, 0])?;
    for fields in [1, 2, 3] {
        counted.served("nothing in an overloaded field", Some("no-end"), &with(52, &[fields]))?;
    }
    let in_wire_form = [&[4, 0, 0, 64][..], &label].concat();
    for (what, name) in [
        ("none", &[][..]),
        ("no name's place", &[0, 0]),
        ("255 octets", &long),
        ("a label of 64", &in_wire_form),
        ("a label cut off", &[4, 0, 0, 9, b'a']),
        ("no ASCII", &[0, 0, 0, 0xc3, 0x28]),
        ("%n", b"\0\0\0%n"),
    ] {
        counted.served(&format!("FQDN: {what}"), Some("unusable-fqdn"), &with(81, name))?;
    }
    for size in [0_u16, 575] {
        let what = format!("maximum size {size}");
        counted.served(&what, Some("small-maximum-size"), &with(57, &size.to_be_bytes()))?;
    }
    counted.served("an FQDN as it should be", None, &with(81, b"\x04\0\0\x04host\x07example\0"))?;
    let id = [&[0][..], &[b'x'; 254]].concat();
    counted.expect("an identifier of 255 octets", &[OFFER], Some(Kind::Offer), |client| {
        let mut request = client.discovering();
        let own = [&request.message.chaddr[..6], &id[6..]].concat();
        append_option(&mut request.message.options, 61, &own);
        request.frame()
    })?;
    let split = options(&[kind, (55, &[1, 3]), (55, &[6, 15])]);
    counted.served("a list of wishes in two parts", None, &split)?;
    let late = options(&[(43, &long), (43, &long), kind]);
    counted.served("the message type far behind", None, &late)?;
    counted.served("padding first", None, &[&[0; 40][..], &options(&[kind])].concat())?;
    counted.expect("options in file and sname", &[OFFER], Some(Kind::Offer), |client| {
        let mut request = client.discovering();
        request.message.options = with(52, &[3]);
        request.message.file[..5].copy_from_slice(&[55, 2, 1, 3, 255]);
        request.message.sname[..5].copy_from_slice(&[55, 2, 6, 15, 255]);
        request.frame()
    })?;
    counted.still_serves()
}

#[test]
fn requests_for_what_is_not_the_clients() -> Result<()> {
    let lan = lan()?;
    let counted = Counted::new(&lan)?;
    let nobodys = Lease { address: Ipv4Addr::new(10, 0, 2, 200), server: SERVER, seconds: 600 };
    let abroad = Ipv4Addr::new(172, 16, 0, 1);
    let nak = Some(Kind::Nak);
    counted.expect("a lease there is not", &[NAK], nak, |client| client.renewing(&nobodys).frame())?;
    counted.expect("an address of another net", &[NAK], nak, |client| client.rebooting(abroad).frame())?;
    let relayed = |client: &Client, giaddr: Ipv4Addr| {
        let mut request = client.rebooting(abroad);
        request.message.giaddr = giaddr;
        request.frame()
    };
    counted.expect("of no subnet of ours", &[&["daemon", "dropped", "no-subnet"]], None, |client| {
        relayed(client, Ipv4Addr::new(203, 0, 113, 1))
    })?;
    let owner = counted.client();
    let lease = owner.dora()?;
    let mismatch: Counter = &["daemon", "dropped", "source-mismatch"];
    let foreign: Counter = &["kernel", "punted", "foreign-source"];
    counted.expect("from another source", &[mismatch, foreign], None, |_| {
        let mut request = owner.renewing(&lease);
        request.envelope.ip_src = WITNESS;
        request.frame()
    })?;
    counted.expect("another client's lease", &[NAK], nak, |client| client.renewing(&lease).frame())?;
    owner.renew(&lease).context("the owner's lease did not outlive that")?;
    counted.still_serves()
}

/// A renewal that was garbled on its way is nobody's: what the daemon would not answer, the kernel does not.
#[test]
fn a_known_question_with_a_wrong_udp_checksum_is_answered_by_nobody() -> Result<()> {
    let lan = Lan::new("input", SERVER, 22)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    let frame = || client.renewing(&lease).frame();
    // As relays write it, and no part of the question (RFC 1542 §4.1.1): its checksum is that of the whole all the same.
    let with_hops = |hops: u8| {
        let mut request = client.renewing(&lease);
        request.message.hops = hops;
        request.frame()
    };
    for hops in [1, 7, 255] {
        let answers = lan.client(0).answers_to(&[with_hops(hops)?], WITNESS)?;
        ensure!(answers.len() == 1 && answers[0].kind == Kind::Ack, "{hops} hops: {answers:?}");
    }
    ensure!(server.stats()?.kernel_acked("renewing")? == 3, "{}", server.stats()?.0);
    let none = with_word(&frame()?, UDP_CHECKSUM, 0);
    let pseudo = pseudo_header_sum(&frame()?);
    let partial = with_word(&frame()?, UDP_CHECKSUM, pseudo);
    for (what, frame) in [("none", none), ("the pseudo-header's", partial)] {
        let answers = lan.client(0).answers_to(&[frame], WITNESS)?;
        ensure!(answers.len() == 1, "{what}: {} answers", answers.len());
    }
    let before = server.stats()?;
    ensure!(before.kernel_acked("renewing")? == 5, "{}", before.0);

    // An octet each of the checksum, hops, xid, secs, flags, yiaddr and siaddr.
    let bootp = UDP_CHECKSUM + 2;
    let octets = [UDP_CHECKSUM, bootp + 3, bootp + 4, bootp + 8, bootp + 10, bootp + 16, bootp + 20];
    let mut garbled = Vec::new();
    for at in octets {
        let mut frame = frame()?;
        frame[at] ^= 0x81;
        garbled.push(frame);
    }
    // A relay that counts a hop and forgets the checksum, and one that puts right what it has not changed.
    for (hops, counted) in [(1, 0), (0, 1)] {
        let mut request = client.renewing(&lease);
        let mut sums = Vec::new();
        for hops in [counted, hops] {
            request.message.hops = hops;
            let frame = request.frame()?;
            sums.push(u16::from_be_bytes([frame[UDP_CHECKSUM], frame[UDP_CHECKSUM + 1]]));
        }
        garbled.push(with_word(&request.frame()?, UDP_CHECKSUM, sums[0]));
    }
    let answers = lan.client(0).answers_to(&garbled, WITNESS)?;
    ensure!(answers.is_empty(), "{answers:?}");
    let after = server.stats()?;
    ensure!(after.all_kernel_acked()? == before.all_kernel_acked()?, "{}", after.0);
    let dropped = after.count(&["daemon", "dropped", "udp-checksum"])?;
    ensure!(dropped == garbled.len() as u64, "{dropped} of {} counted: {}", garbled.len(), after.0);
    client.renew(&lease)?;
    ensure!(server.stats()?.kernel_acked("renewing")? == 6);
    Ok(())
}

/// What a local socket leaves in the checksum field for a card to go on from.
fn pseudo_header_sum(frame: &[u8]) -> u16 {
    let pseudo = [&frame[IP + 12..IP + 20], &[0, 17], &frame[UDP_LENGTH..UDP_LENGTH + 2]].concat();
    !checksum(&pseudo)
}
