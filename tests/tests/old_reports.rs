//! The lessons of five old bug reports of other servers: each is a behaviour of ours, seen from the wire.
//!
//! They are Q153161 (leases orphaned by clients that forget), Q159309 (addresses lost on hang-up), Q138222 (refused
//! offers held), Q151387 (expired addresses still in use) and Q162396 (declines after a duplicate).

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use system_tests::answer::Answer;
use system_tests::client::{Client, Lease, Request, append_option, granted};
use system_tests::namespace::spelled;
use system_tests::packet::{PacketSocket, Sees};
use system_tests::paths::SERVER;
use system_tests::process::run;
use system_tests::server::{Server, Xdp, after};
use system_tests::topology::{CLIENT_IF, CLIENT_MAC, Lan, SERVER_MAC};
use system_tests::wait::{PROMPT, until};
use system_tests::wire::{Kind, Mac};

/// An address configured by hand, for an INFORM to tell when the server is done with what came before.
const WITNESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);

const PROBING: &str = "probe = \"auto\"";

fn lan() -> Result<Lan> {
    Lan::new("old-reports", SERVER, 24)
}

/// A subnet with a pool up to this address.
fn pool(last: u8, terms: &str) -> String {
    format!("[[subnet]]\nprefix = \"10.0.0.0/24\"\npools = [\"10.0.0.10 - 10.0.0.{last}\"]\n{terms}\n")
}

fn host(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

fn counted(server: &Server, what: &str, expected: u64, within: Duration) -> Result<()> {
    until(&format!("`pools` to count {expected} {what}"), within, || {
        Ok((server.pool_count(what)? == expected).then_some(()))
    })
}

fn dropped(server: &Server, why: &str) -> Result<u64> {
    Ok(server.stats()?.count(&["daemon", "dropped", why]).unwrap_or(0))
}

fn consistent(server: &Server) -> Result<()> {
    let audit = server.json(&["audit"])?;
    ensure!(audit == json!({"consistent": true, "findings": []}), "{audit}");
    Ok(())
}

/// The answer to `request` that comes before anything else could have happened.
fn at_once(client: &Client, request: &Request) -> Result<Answer> {
    let answers = client.answers_to(&[request.frame()?], WITNESS)?;
    let own = answers.into_iter().find(|answer| answer.message.xid == request.message.xid);
    own.with_context(|| format!("{request:?} is not answered at once"))
}

/// The REQUEST by which the client takes the offer of another server.
fn going_elsewhere(client: &Client, offer: &Answer) -> Result<Request> {
    let mut elsewhere = offer.clone();
    elsewhere.options.iter_mut().filter(|(code, _)| *code == 54).for_each(|(_, value)| value[3] = 99);
    client.selecting(&elsewhere)
}

// Q138222: a client takes another server's offer, and ours stays reserved.

fn the_only_address_is_the_next_clients_once_our_offer_is_refused(settings: &str) -> Result<()> {
    let lan = lan()?;
    let server = Server::with_settings(&lan, Xdp::Native, settings, &pool(10, ""))?;
    for n in 0..3 {
        let (refuser, next) = (lan.client(10 * n), lan.client(10 * n + 1));
        let offer = refuser.discover()?;
        ensure!(offer.message.yiaddr == host(10) && server.pool_count("offered")? == 1);
        next.expect_silence(&next.discovering(), WITNESS)?;
        refuser.send(&going_elsewhere(&refuser, &offer)?)?;
        let offer = at_once(&next, &next.discovering())?;
        ensure!(offer.kind == Kind::Offer && offer.message.yiaddr == host(10), "{offer:?}");
        let lease = granted(&next.select(&offer)?)?;
        next.release(&lease)?;
        counted(&server, "free", 1, PROMPT)?;
    }
    ensure!(dropped(&server, "other-server")? == 3);
    consistent(&server)
}

#[test]
fn the_only_address_is_the_next_clients_at_once_when_our_offer_is_refused() -> Result<()> {
    the_only_address_is_the_next_clients_once_our_offer_is_refused("")
}

#[test]
fn a_probed_address_is_the_next_clients_at_once_when_our_offer_is_refused() -> Result<()> {
    the_only_address_is_the_next_clients_once_our_offer_is_refused(PROBING)
}

// Q162396: a client declines an address that somebody else uses.

/// The entry of `quarantine` for an address.
fn quarantined(server: &Server, address: Ipv4Addr) -> Result<Value> {
    let listed = server.json(&["quarantine"])?;
    let entry = listed.as_array().and_then(|all| all.iter().find(|it| it["address"] == address.to_string()));
    entry.cloned().with_context(|| format!("{address} is not in quarantine: {listed}"))
}

/// Nobody answers a renewal, though the kernel answers that of another lease behind it.
fn not_renewed_by_the_kernel(lost: (&Client, &Lease), kept: (&Client, &Lease)) -> Result<()> {
    let request = lost.0.renewing(lost.1);
    lost.0.send(&request)?;
    kept.0.renew(kept.1).context("the witness of the kernel's silence")?;
    ensure!(lost.0.answer(&request, Instant::now())?.is_none(), "a declined lease was extended");
    Ok(())
}

#[test]
fn a_decline_ends_the_lease_at_once_in_policy_store_and_kernel() -> Result<()> {
    let lan = lan()?;
    let mut server = Server::start(&lan, Xdp::Native, &pool(12, "lease-time = \"10m\""))?;
    let (client, other) = (lan.client(1), lan.client(2));
    let (lease, kept) = (client.dora()?, other.dora()?);
    client.renew(&lease)?;
    ensure!(server.stats()?.kernel_acked("renewing")? == 1);

    client.expect_silence(&client.declining(&lease), WITNESS)?;
    ensure!(client.exchange(&client.renewing(&lease))?.kind == Kind::Nak);
    ensure!(server.stats()?.kernel_acked("renewing")? == 1, "the kernel extended a declined lease");
    ensure!(server.pool_count("quarantined")? == 1 && server.lease(lease.address)?.is_none());
    let entry = quarantined(&server, lease.address)?;
    ensure!(entry["why"] == "declined" && entry["by"] == spelled(client.mac), "{entry}");

    server.crash()?;
    not_renewed_by_the_kernel((&client, &lease), (&other, &kept)).context("with the daemon gone")?;
    server.start_again()?;
    ensure!(quarantined(&server, lease.address)? == entry, "{}", server.json(&["quarantine"])?);
    ensure!(client.exchange(&client.renewing(&lease))?.kind == Kind::Nak);
    ensure!(client.dora()?.address != lease.address, "the declined address was given out again");
    consistent(&server)
}

#[test]
fn a_decline_from_anybody_but_the_owner_is_counted_and_ignored() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &pool(12, ""))?;
    let (client, thief) = (lan.client(1), lan.client(2));
    let lease = client.dora()?;
    let posing = Client { client_id: Some(b"\0somebody".to_vec()), ..client.clone() };
    let elsewhere = Lease { server: host(99), ..lease };
    let free = Lease { address: host(12), ..lease };
    let cases = [
        ("another device", "not-owner", thief.declining(&lease)),
        ("another identifier", "not-owner", posing.declining(&lease)),
        ("another address", "not-owner", client.declining(&free)),
        ("an address of no pool", "not-owner", client.declining(&Lease { address: host(200), ..lease })),
        ("another server", "other-server", client.declining(&elsewhere)),
    ];
    for (what, why, request) in cases {
        let before = dropped(&server, why)?;
        client.expect_silence(&request, WITNESS).context(what)?;
        ensure!(dropped(&server, why)? == before + 1, "{what} is not counted as {why}");
        ensure!(server.pool_count("quarantined")? == 0 && server.pool_count("leased")? == 1, "{what}");
        client.renew(&lease).context(what)?;
    }
    ensure!(server.stats()?.kernel_acked("renewing")? == 5, "the lease did not stay with the kernel");
    consistent(&server)
}

#[test]
fn one_client_cannot_drain_the_pool_by_declining() -> Result<()> {
    const PUT_ASIDE: u64 = 4;
    const TIMES: u8 = 12;
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &pool(19, ""))?;
    for n in 0..TIMES {
        // The same card under a new name each time.
        let client = Client { client_id: Some(vec![0, n, 1]), ..lan.client(1) };
        let lease = client.dora()?;
        client.expect_silence(&client.declining(&lease), WITNESS)?;
        ensure!(client.exchange(&client.renewing(&lease))?.kind == Kind::Nak, "a declined lease goes on");
    }
    ensure!(server.pool_count("quarantined")? == PUT_ASIDE, "{}", server.json(&["pools"])?);
    ensure!(server.pool_count("free")? == 10 - PUT_ASIDE, "{}", server.json(&["pools"])?);
    ensure!(dropped(&server, "declined-too-often")? == u64::from(TIMES) - PUT_ASIDE);
    for n in 2..8 {
        lan.client(n).dora().context("there is no address left for others")?;
    }
    consistent(&server)
}

// Q151387: a client goes on using an address when its lease is over.

/// A client that gets the lease it wishes for, of so many seconds.
fn leased_for(client: &Client, seconds: u32) -> Result<Lease> {
    let wish = |mut request: Request| {
        append_option(&mut request.message.options, 51, &seconds.to_be_bytes());
        request
    };
    let offer = client.exchange(&wish(client.discovering()))?;
    let lease = granted(&client.exchange(&wish(client.selecting(&offer)?))?)?;
    ensure!(lease.seconds == seconds, "{lease:?}");
    Ok(lease)
}

#[test]
fn an_expired_address_is_kept_for_its_owner_and_then_reused_oldest_first() -> Result<()> {
    let lan = lan()?;
    let terms = "lease-time = \"10m\"\nmin-lease-time = \"3s\"\ngrace = \"8s\"";
    let server = Server::start(&lan, Xdp::Native, &pool(14, terms))?;
    let leases = [(1, 5), (2, 3), (3, 6), (4, 4)]
        .map(|(n, seconds)| leased_for(&lan.client(n), seconds).map(|lease| lease.address));
    let [first, second, third, fourth] = leases;
    let (first, second, third, fourth) = (first?, second?, third?, fourth?);

    counted(&server, "grace", 4, after(6))?;
    let other = lan.client(5).dora()?.address;
    ensure!(![first, second, third, fourth].contains(&other), "another's, while there is choice");
    ensure!(lan.client(3).dora()?.address == third, "its owner did not get it back");

    counted(&server, "free", 3, after(8))?;
    ensure!(lan.client(1).dora()?.address == first, "its last owner did not get it back");
    // What is left ran out after three and after four seconds.
    ensure!(lan.client(6).dora()?.address == second && lan.client(7).dora()?.address == fourth);
    consistent(&server)
}

/// What the server sends to find out whether an address is in use.
#[derive(Debug, PartialEq, Eq)]
enum Probe {
    Arp { from: Mac, sender: Ipv4Addr, target: Ipv4Addr },
    Echo { target: Ipv4Addr },
}

impl Probe {
    fn read(frame: &[u8]) -> Option<Self> {
        let address = |at: usize| -> Option<Ipv4Addr> {
            let octets: [u8; 4] = frame.get(at..at + 4)?.try_into().ok()?;
            Some(octets.into())
        };
        match frame.get(12..)? {
            [8, 6, 0, 1, 8, 0, 6, 4, 0, 1, ..] => {
                let from = frame.get(22..28)?.try_into().ok()?;
                Some(Self::Arp { from, sender: address(28)?, target: address(38)? })
            }
            [8, 0, 0x45, _, _, _, _, _, _, _, _, 1, ..] if frame.get(34) == Some(&8) => {
                Some(Self::Echo { target: address(30)? })
            }
            _ => None,
        }
    }

    fn target(&self) -> Ipv4Addr {
        match self {
            Self::Arp { target, .. } | Self::Echo { target } => *target,
        }
    }
}

/// The only address of a pool is taken by one client and then wished for by another, but the first goes on using it on
/// `interface` when its lease is over. It is found there by `probe`, and said to be in use by `by`.
fn an_expired_address_in_use(
    lan: &Lan,
    subnet: &str,
    clients: [Client; 2],
    interface: &str,
    probe: &Probe,
    by: &str,
) -> Result<()> {
    let server = Server::with_settings(lan, Xdp::Native, PROBING, subnet)?;
    let [first, second] = clients;
    let address = first.dora()?.address;
    lan.occupy(address, interface)?;
    let wire = PacketSocket::open(&lan.clients, CLIENT_IF, Sees::Arrivals)?;
    counted(&server, "leased", 0, after(3))?;

    let request = second.discovering();
    second.send(&request)?;
    counted(&server, "quarantined", 1, PROMPT)?;
    lan.client(9).answers_to(&[second.discovering().frame()?], WITNESS)?;
    ensure!(second.answer(&request, Instant::now())?.is_none(), "an address in use was offered");
    let entry = quarantined(&server, address)?;
    ensure!(entry["why"] == "probe" && entry["by"] == by, "{entry}");
    let mut seen = Vec::new();
    while let Some(frame) = wire.receive(Instant::now())? {
        seen.extend(Probe::read(&frame).filter(|probe| probe.target() == address));
    }
    ensure!(!seen.is_empty() && seen.iter().all(|seen| seen == probe), "{seen:?}");

    lan.leave(address, interface)?;
    run(&mut server.cli(&["quarantine", "clear", &address.to_string()])?)?;
    ensure!(second.dora()?.address == address);
    consistent(&server)
}

const SHORT: &str = "lease-time = \"3s\"\ngrace = \"0s\"";

#[test]
fn an_expired_address_that_answers_arp_is_quarantined_and_not_given_to_another() -> Result<()> {
    let lan = lan()?;
    let clients = [lan.client(1), lan.client(2)];
    // RFC 5227 §2.1.1: a probe has no sender address, lest it put a wrong one into anybody's cache.
    let probe = Probe::Arp { from: SERVER_MAC, sender: Ipv4Addr::UNSPECIFIED, target: host(10) };
    let by = spelled(CLIENT_MAC);
    an_expired_address_in_use(&lan, &pool(10, SHORT), clients, CLIENT_IF, &probe, &by)
}

#[test]
fn an_expired_address_that_answers_echo_behind_a_relay_is_quarantined_and_not_given_to_another() -> Result<()>
{
    let lan = lan()?;
    lan.route_behind_relay()?;
    let clients = [lan.relayed_client(1), lan.relayed_client(2)];
    let subnets = pool(10, SHORT).replace("10.0.0.", "10.9.0.") + &pool(10, "");
    let probe = Probe::Echo { target: Ipv4Addr::new(10, 9, 0, 10) };
    an_expired_address_in_use(&lan, &subnets, clients, "lo", &probe, "")
}

// Q153161: a client that forgets its leases takes new ones at every start.

/// A device under another name at each start, as one that forgets what it was called.
fn started<'a>(lan: &'a Lan, start: u8) -> Client<'a> {
    Client { client_id: Some(vec![0, b'#', start]), ..lan.client(1) }
}

/// The leases that `orphans` lists for the one device it shows, the one that was silent longest first.
fn orphans(server: &Server, cap: u64) -> Result<Vec<(String, String)>> {
    let listed = server.json(&["orphans"])?;
    let devices = listed.as_array().context("`orphans` is not a list")?;
    ensure!(devices.len() == 1, "{listed}");
    ensure!(devices[0]["hw-address"] == "02:c1:00:00:00:01" && devices[0]["cap"] == cap, "{listed}");
    let leases = devices[0]["leases"].as_array().context("no leases")?;
    let text =
        |value: &Value| value.as_str().map(str::to_owned).with_context(|| format!("no text: {listed}"));
    leases.iter().map(|lease| Ok((text(&lease["address"])?, text(&lease["last-heard"])?))).collect()
}

#[test]
fn the_orphans_of_a_device_that_forgets_are_probed_and_reclaimed() -> Result<()> {
    let lan = lan()?;
    let server = Server::with_settings(&lan, Xdp::Native, PROBING, &pool(30, "max-leases-per-device = 2"))?;
    let [one, two, three] = [1, 2, 3].map(|start| started(&lan, start));
    let (orphan, kept) = (one.dora()?, two.dora()?);
    // The second is heard of later than the first, and as last heard of is told in seconds, that takes one.
    let order = until("the second lease to be heard of later", after(3), || {
        two.renew(&kept)?;
        let listed = orphans(&server, 2)?;
        Ok((listed.len() == 2 && listed[0].1 < listed[1].1).then_some(listed))
    })?;
    ensure!(order[0].0 == orphan.address.to_string() && order[1].0 == kept.address.to_string(), "{order:?}");

    let wire = PacketSocket::open(&lan.clients, CLIENT_IF, Sees::Arrivals)?;
    let new = three.dora()?;
    let mut probed = false;
    while let Some(frame) = wire.receive(Instant::now())? {
        probed |= Probe::read(&frame).is_some_and(|probe| probe.target() == orphan.address);
    }
    ensure!(probed, "a lease was taken from a device without asking whether it is in use");
    ensure!(one.exchange(&one.renewing(&orphan))?.kind == Kind::Nak);
    two.renew(&kept)?;
    ensure!(server.pool_count("leased")? == 2);
    let listed: Vec<String> = orphans(&server, 2)?.into_iter().map(|(address, _)| address).collect();
    ensure!(listed.contains(&new.address.to_string()) && listed.contains(&kept.address.to_string()));
    consistent(&server)
}

#[test]
fn a_device_at_its_cap_keeps_the_leases_that_answer() -> Result<()> {
    let lan = lan()?;
    let terms = "max-leases-per-device = 2\nmax-leases-per-device-in-use = 3";
    let server = Server::with_settings(&lan, Xdp::Native, PROBING, &pool(30, terms))?;
    // The third finds the device at its cap, and is served since the first two answer.
    let held: Vec<(Client, Lease)> = [1, 2, 3]
        .into_iter()
        .map(|start| {
            let client = started(&lan, start);
            let lease = client.dora()?;
            lan.occupy(lease.address, CLIENT_IF)?;
            Ok((client, lease))
        })
        .collect::<Result<_>>()?;
    let fourth = started(&lan, 4);
    until("each lease to be found in use", PROMPT, || {
        fourth.expect_silence(&fourth.discovering(), WITNESS)?;
        Ok((dropped(&server, "device-cap")? > 0).then_some(()))
    })?;
    let explained = server.json(&["explain", "02:c1:00:00:00:01"])?;
    ensure!(explained.to_string().contains("max-leases-per-device-in-use"), "{explained}");
    for (client, lease) in held {
        client.renew(&lease)?;
    }
    ensure!(server.pool_count("leased")? == 3);
    // Another device is nothing to do with that.
    lan.client(2).dora()?;
    consistent(&server)
}

#[test]
fn a_ras_holds_as_many_leases_as_its_own_cap_allows_and_gets_them_back() -> Result<()> {
    let lan = lan()?;
    let terms = "max-leases-per-device = 2\nmax-leases-per-ras-device = 10";
    let mut server = Server::start(&lan, Xdp::Native, &pool(60, terms))?;
    // What a Windows RAS calls its lines: type 1, `RAS `, its address, the number of the line.
    let line = |n: u8| Client {
        client_id: Some([&b"\x01RAS "[..], &[2, 0xc1, 0, 0, 0, 1, n, 0, 0, 0]].concat()),
        ..lan.client(1)
    };
    let held: Vec<Lease> = (0..10).map(|n| line(n).dora()).collect::<Result<_>>()?;
    ensure!(orphans(&server, 10)?.len() == 10 && server.pool_count("leased")? == 10);
    line(10).expect_silence(&line(10).discovering(), WITNESS)?;
    ensure!(dropped(&server, "device-cap")? == 1);
    // Client and server start anew, and the client has forgotten everything.
    server.crash()?;
    server.start_again()?;
    for (n, lease) in (0..).zip(&held) {
        ensure!(line(n).dora()?.address == lease.address, "line {n} was given another address");
    }
    ensure!(server.pool_count("leased")? == 10);
    consistent(&server)
}
