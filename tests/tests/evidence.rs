//! Evidence that a host uses an address, and what is none: lost answers, stations that answer for many, clients that
//! decline too much.

use anyhow::{Context, Result, anyhow, ensure};
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{Scope, scope};
use std::time::{Duration, Instant};
use system_tests::arp::{Question, announcement};
use system_tests::client::granted;
use system_tests::namespace::spelled;
use system_tests::packet::{PacketSocket, Sees};
use system_tests::paths::SERVER;
use system_tests::process::output;
use system_tests::server::{Server, Xdp};
use system_tests::topology::{CLIENT_IF, Lan};
use system_tests::wait::{PROMPT, until};
use system_tests::wire::{Kind, Mac};

const ON: &str = "probe = \"auto\"";
const STATION: Mac = [0x02, 0x43, 0, 0, 0, 0x77];

/// More frames than any socket of the daemon's has room for.
const FLOOD: usize = 8000;

fn subnet(last: u8) -> String {
    format!(
        r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.{last}"]
lease-time = "10m"
"#
    )
}

fn host(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

/// Somebody who does `heed` of every ARP request that comes, until the test has ended.
struct Station<'scope>(&'scope AtomicBool);

impl<'scope> Station<'scope> {
    fn start<'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        lan: &Lan,
        told_to_end: &'scope AtomicBool,
        heed: impl Fn(&PacketSocket, Question) -> Result<()> + Send + 'env,
    ) -> Result<Self> {
        let socket = PacketSocket::open(&lan.clients, CLIENT_IF, Sees::Arrivals)?;
        scope.spawn(move || -> Result<()> {
            while !told_to_end.load(Ordering::Relaxed) {
                let frame = socket.receive(Instant::now() + Duration::from_millis(50))?;
                if let Some(question) = frame.and_then(|frame| Question::read(&frame, &[])) {
                    heed(&socket, question)?;
                }
            }
            Ok(())
        });
        Ok(Self(told_to_end))
    }
}

impl Drop for Station<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Answers the question when the daemon can hear nothing: what comes has no room.
fn answer_in_a_flood(server: &Server, socket: &PacketSocket, question: Question) -> Result<()> {
    server.freeze()?;
    let noise = announcement([0x02, 0x43, 0, 0, 0, 0x66], host(222));
    (0..FLOOD).try_for_each(|_| socket.send(&noise))?;
    socket.send(&question.answer(STATION, &[]))?;
    server.thaw()
}

/// RFC 2131 §3.1, SHOULD (probe): an address is checked before it is offered.
#[test]
fn an_answer_that_was_lost_is_asked_for_again() -> Result<()> {
    let lan = Lan::new("evidence", SERVER, 24)?;
    let server = Server::with_settings(&lan, Xdp::Native, ON, &subnet(11))?;
    let (told_to_end, lost) = (AtomicBool::new(false), AtomicU32::new(0));
    scope(|scope| {
        let _station = Station::start(scope, &lan, &told_to_end, |socket, question| {
            if question.address != host(10) {
                return Ok(());
            }
            // As often as it takes a server that knows nothing of losses to think that nobody is there.
            if lost.fetch_add(1, Ordering::Relaxed) < 2 {
                return answer_in_a_flood(&server, socket, question);
            }
            socket.send(&question.answer(STATION, &[]))
        })?;
        ensure!(lan.client(1).dora()?.address == host(11), "an address in use was leased");
        ensure!(lost.load(Ordering::Relaxed) > 2, "it was not asked for again");
        ensure!(server.pool_count("quarantined")? == 1);
        Ok(())
    })
}

#[test]
fn an_address_that_can_not_be_heard_about_is_neither_offered_nor_put_out_of_use() -> Result<()> {
    let lan = Lan::new("evidence", SERVER, 24)?;
    let server = Server::with_settings(&lan, Xdp::Native, ON, &subnet(10))?;
    let (told_to_end, is_quiet) = (AtomicBool::new(false), AtomicBool::new(false));
    scope(|scope| {
        let _station = Station::start(scope, &lan, &told_to_end, |socket, question| {
            if is_quiet.load(Ordering::Relaxed) {
                return Ok(());
            }
            answer_in_a_flood(&server, socket, question)
        })?;
        let client = lan.client(1);
        let discover = client.discovering();
        client.send(&discover)?;
        until("the server to give up on that probe", PROMPT, || {
            let dropped = server.stats()?.count(&["daemon", "dropped", "probe-unknown"]).unwrap_or(0);
            Ok((dropped > 0).then_some(()))
        })?;
        ensure!(client.answer(&discover, Instant::now())?.is_none(), "offered in spite of what was lost");
        ensure!(server.pool_count("free")? == 1 && server.pool_count("quarantined")? == 0);
        is_quiet.store(true, Ordering::Relaxed);
        let again = client.discovering();
        client.send(&again)?;
        let offer = client.answer(&again, Instant::now() + PROMPT)?.context("no offer when all is quiet")?;
        ensure!(offer.kind == Kind::Offer && offer.message.yiaddr == host(10));
        Ok(())
    })
}

fn quarantined(server: &Server) -> Result<usize> {
    let listed = server.json(&["quarantine"])?;
    Ok(listed.as_array().context("quarantine is no list")?.len())
}

fn trouble(server: &Server) -> Result<String> {
    Ok(server.json(&["status"])?["trouble"].as_str().unwrap_or_default().to_owned())
}

/// A router that does proxy ARP, or a liar: with it on the link, newcomers get leases, and no address is out of use.
#[test]
fn who_answers_for_every_address_proves_nothing() -> Result<()> {
    let lan = Lan::new("evidence", SERVER, 24)?;
    let server = Server::with_settings(&lan, Xdp::Native, ON, &subnet(200))?;
    let told_to_end = AtomicBool::new(false);
    scope(|scope| {
        let _station = Station::start(scope, &lan, &told_to_end, |socket, question| {
            socket.send(&question.answer(STATION, &[]))
        })?;
        for number in 1..=5 {
            lan.client(number).dora()?;
        }
        ensure!(quarantined(&server)? == 0, "on the word of one that answers for everything");
        let trouble = trouble(&server)?;
        ensure!(trouble.contains(&spelled(STATION)), "{trouble}");
        ensure!(server.log().contains("probe-liar"));
        ensure!(server.json(&["audit"])?["consistent"] == true);
        Ok(())
    })
}

/// What a host really uses is found out beside it, however fast the other is.
#[test]
fn a_host_is_heard_beside_one_that_answers_for_every_address() -> Result<()> {
    const HOST: Mac = [0x02, 0x43, 0, 0, 0, 0x88];
    let lan = Lan::new("evidence", SERVER, 24)?;
    let server = Server::with_settings(&lan, Xdp::Off, ON, &subnet(16))?;
    let told_to_end = AtomicBool::new(false);
    scope(|scope| {
        let _station = Station::start(scope, &lan, &told_to_end, |socket, question| {
            socket.send(&question.answer(STATION, &[]))?;
            if question.address == host(15) {
                socket.send(&question.answer(HOST, &[]))?;
            }
            Ok(())
        })?;
        let leased =
            (1..=6).map(|number| Ok(lan.client(number).dora()?.address)).collect::<Result<Vec<_>>>()?;
        ensure!(!leased.contains(&host(15)), "{leased:?}");
        let listed = server.json(&["quarantine"])?;
        ensure!(listed[0]["address"] == "10.0.0.15" && listed[0]["by"] == spelled(HOST), "{listed}");
        Ok(())
    })
}

fn declining(lan: &Lan, number: u16) -> Result<bool> {
    let client = lan.client(number);
    let discover = client.discovering();
    client.send(&discover)?;
    let Some(offer) = client.answer(&discover, Instant::now() + PROMPT)? else { return Ok(false) };
    let lease = granted(&client.select(&offer)?)?;
    client.decline(&lease)?;
    Ok(true)
}

/// Those that decline what they get drain no pool: most of it is back in minutes, and at once for who finds nothing else.
#[test]
fn a_flood_of_declines_drains_no_pool() -> Result<()> {
    let lan = Lan::new("evidence", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, &subnet(49))?;
    for number in 1..=60 {
        ensure!(declining(&lan, number)?, "the {number}th client got nothing");
    }
    let client = lan.client(100);
    client.dora().context("a newcomer finds the pool drained")?;
    let listed = server.json(&["quarantine"])?;
    let listed = listed.as_array().context("quarantine is no list")?;
    ensure!(listed.len() == 39, "{} of 40", listed.len());
    let trouble = trouble(&server)?;
    ensure!(trouble.contains("DECLINE"), "{trouble}");
    let log = server.log();
    ensure!(log.lines().any(|line| line.contains("WARN") && line.contains("many-declines")), "{log}");
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// RFC 2131 §4.3.1: an expired address may be given to another when there is no better one.
#[test]
fn grace_gives_way_to_need() -> Result<()> {
    for probe in ["probe = \"auto\"", "probe = \"off\""] {
        let lan = Lan::new("evidence", SERVER, 24)?;
        let terms = "lease-time = \"3s\"\ngrace = \"5m\"";
        let subnet = subnet(11).replace("lease-time = \"10m\"", terms);
        let server = Server::with_settings(&lan, Xdp::Native, probe, &subnet)?;
        let first = lan.client(1).dora()?.address;
        lan.client(2).dora()?;
        until("both leases to run out", PROMPT, || Ok((server.pool_count("grace")? == 2).then_some(())))?;
        ensure!(lan.client(3).dora()?.address == first, "not the one that expired first");
        ensure!(server.json(&["audit"])?["consistent"] == true);
    }
    Ok(())
}

/// The one that ran out first is asked after first, and what somebody still uses is nobody else's.
#[test]
fn what_is_in_grace_is_probed_before_it_is_given_the_oldest_first() -> Result<()> {
    for in_use in [&[][..], &[10], &[10, 11]] {
        let lan = Lan::new("evidence", SERVER, 24)?;
        let terms = "lease-time = \"3s\"\ngrace = \"5m\"";
        let subnet = subnet(12).replace("lease-time = \"10m\"", terms);
        let server = Server::with_settings(&lan, Xdp::Native, ON, &subnet)?;
        let leased = (1..=3).map(|n| Ok(lan.client(n).dora()?.address)).collect::<Result<Vec<_>>>()?;
        ensure!(leased == [host(10), host(11), host(12)], "{leased:?}");
        until("all leases to run out", PROMPT, || Ok((server.pool_count("grace")? == 3).then_some(())))?;

        let (told_to_end, asked_for) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        let is_used = |address: Ipv4Addr| in_use.contains(&address.octets()[3]);
        scope(|scope| {
            let _station = Station::start(scope, &lan, &told_to_end, |socket, question| {
                let mut asked_for = asked_for.lock().map_err(|_| anyhow!("a test has failed"))?;
                if asked_for.last() != Some(&question.address) {
                    asked_for.push(question.address);
                }
                if is_used(question.address) { socket.send(&question.answer(STATION, &[])) } else { Ok(()) }
            })?;
            let given = lan.client(9).dora()?.address;
            let order = asked_for.lock().map_err(|_| anyhow!("a test has failed"))?.clone();
            let due = host(10 + u8::try_from(in_use.len())?);
            ensure!(given == due, "{given} was given, with {in_use:?} in use");
            let until_given: Vec<_> = (10..=due.octets()[3]).map(host).collect();
            ensure!(order == until_given, "{order:?} were asked for, with {in_use:?} in use");
            ensure!(quarantined(&server)? == in_use.len(), "{:?}", server.json(&["quarantine"])?);
            ensure!(server.json(&["audit"])?["consistent"] == true);
            Ok(())
        })?;
    }
    Ok(())
}

/// RFC 2131 §4.3.4: what is released is available again, an offer of it included.
#[test]
fn a_release_gives_back_what_is_offered_as_well() -> Result<()> {
    let lan = Lan::new("evidence", SERVER, 24)?;
    let _server = Server::start(&lan, Xdp::Native, &subnet(10))?;
    let client = lan.client(1);
    let lease = client.dora()?;
    ensure!(client.discover()?.message.yiaddr == lease.address);
    client.release(&lease)?;
    ensure!(lan.client(2).dora()?.address == lease.address);
    Ok(())
}

/// RFC 2131 §4.3.2: the client of a lease that has ended gets a NAK. Nobody answers for its address, so that is free.
#[test]
fn a_lease_that_the_operator_ends_is_over_and_its_address_free_after_a_clean_probe() -> Result<()> {
    let lan = Lan::new("evidence", SERVER, 24)?;
    let server = Server::with_settings(&lan, Xdp::Native, ON, &subnet(10))?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    let said = server.json(&["lease", "release", "10.0.0.10"])?;
    ensure!(said["free"] == "after-a-clean-probe" && said["until"].is_string(), "{said}");
    ensure!(client.exchange(&client.renewing(&lease))?.kind == Kind::Nak);
    until("a clean probe", PROMPT, || Ok((server.pool_count("free")? == 1).then_some(())))?;
    ensure!(client.exchange(&client.rebooting(lease.address))?.kind == Kind::Nak);
    ensure!(lan.client(2).dora()?.address == lease.address);
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

#[test]
fn a_lease_that_the_operator_ends_is_anybodys_at_once_if_he_says_so() -> Result<()> {
    let lan = Lan::new("evidence", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, &subnet(10))?;
    let client = lan.client(1);
    let lease = client.dora()?;
    let said = output(&mut server.cli(&["lease", "release", "10.0.0.10", "--now"])?)?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    ensure!(said.status.success() && text.contains("the address is free"), "{text}");
    ensure!(client.exchange(&client.renewing(&lease))?.kind == Kind::Nak);
    ensure!(lan.client(2).dora()?.address == lease.address);
    let said = server.json(&["lease", "release", "10.0.0.10"])?;
    ensure!(said["free"] == "at-the-end-of-its-promise" && said["until"].is_string(), "{said}");
    ensure!(server.pool_count("grace")? == 1 && server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

#[test]
fn quarantines_are_ended_by_prefix_and_reason() -> Result<()> {
    let lan = Lan::new("evidence", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Off, &subnet(30))?;
    for number in 1..=5 {
        ensure!(declining(&lan, number)?);
    }
    until("the last DECLINE", PROMPT, || Ok((quarantined(&server)? == 5).then_some(())))?;
    let clear = |words: &[&str]| output(&mut server.cli(&[&["quarantine", "clear"], words].concat())?);
    ensure!(clear(&["10.0.0.0/24", "--why", "probe"])?.status.code() == Some(1), "none is in for that");
    ensure!(clear(&["10.0.0.1/24"])?.status.code() == Some(2), "no prefix");
    let said = server.json(&["quarantine", "clear", "10.0.0.10"])?;
    ensure!(said["address"] == "10.0.0.10" && said["what"] == "cleared" && said["count"] == 1, "{said}");
    let said = server.json(&["quarantine", "clear", "10.0.0.0/24", "--why", "declined"])?;
    ensure!(said["prefix"] == "10.0.0.0/24" && said["count"] == 4, "{said}");
    ensure!(quarantined(&server)? == 0 && server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// The narrowest says whether addresses are probed.
#[test]
fn a_subnet_may_be_probed_where_the_server_probes_none() -> Result<()> {
    let lan = Lan::new("evidence", SERVER, 24)?;
    lan.occupy(host(10), CLIENT_IF)?;
    let probed = format!("{}probe = \"auto\"\n", subnet(11));
    let _server = Server::with_settings(&lan, Xdp::Off, "probe = \"off\"", &probed)?;
    ensure!(lan.client(1).dora()?.address == host(11));
    Ok(())
}

/// The server's own address, the router's and the name server's lie in the pool.
#[test]
fn no_client_is_given_what_the_server_or_the_router_has() -> Result<()> {
    const TERMS: &str = "pools = [\"10.0.0.1 - 10.0.0.4\"]\noptions = { routers = [\"10.0.0.2\"], domain-name-servers = [\"10.0.0.3\"] }";
    let lan = Lan::new("evidence", SERVER, 24)?;
    let subnet = subnet(10).replace("pools = [\"10.0.0.10 - 10.0.0.10\"]", TERMS);
    let server = Server::start(&lan, Xdp::Native, &subnet)?;
    ensure!(server.pool_count("reserved")? == 3 && server.pool_count("free")? == 1);
    ensure!(lan.client(1).dora()?.address == host(4));
    let late = lan.client(2);
    let discover = late.discovering();
    late.send(&discover)?;
    until("the pool to be exhausted", PROMPT, || {
        let dropped = server.stats()?.count(&["daemon", "dropped", "exhausted"]).unwrap_or(0);
        Ok((dropped > 0).then_some(()))
    })?;
    ensure!(late.answer(&discover, Instant::now())?.is_none());
    ensure!(server.json(&["audit"])?["consistent"] == true);

    let file = lan.world.dir().join("xdhcpd.toml");
    let checked = output(lan.server.command(&std::env::var("XDHCPD_BIN")?).arg("check-config").arg(&file))?;
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    ensure!(checked.status.success(), "{said}");
    for what in ["10.0.0.1 is the server's own on srv0", "10.0.0.2 is in the pool", "10.0.0.3 is in the pool"]
    {
        ensure!(said.lines().any(|line| line.contains(what) && line.contains("xdhcpd.toml:")), "{said}");
    }
    ensure!(server.log().contains("10.0.0.2 is in the pool"));
    // The server has another address from now on: that is nobody's, and the former one is free.
    lan.server.ip("address add 10.0.0.9/24 dev srv0")?;
    lan.server.ip("address del 10.0.0.1/24 dev srv0")?;
    until("its former address to be free", PROMPT, || Ok((server.pool_count("free")? == 1).then_some(())))
}

/// What the host has on an interface that is not served is in the pool, and given back later.
#[test]
fn no_client_is_given_what_the_host_has_elsewhere() -> Result<()> {
    let lan = Lan::new("evidence", SERVER, 24)?;
    lan.server.ip("address add 10.0.0.10/32 dev lo")?;
    let subnet = subnet(10).replace("10.0.0.10 - 10.0.0.10", "10.0.0.10 - 10.0.0.12");
    let server = Server::start(&lan, Xdp::Native, &subnet)?;
    ensure!(server.pool_count("reserved")? == 1);
    let client = lan.client(1);
    let lease = client.dora()?;
    ensure!(lease.address == host(11), "{}", lease.address);
    client.renew(&lease)?;
    client.renew(&lease)?;
    let acked = server.stats()?.all_kernel_acked()?;
    ensure!(acked > 0);
    ensure!(server.log().matches("an address of this host is in a pool").count() == 1, "{}", server.log());

    // A moment later the host has what the client has: the kernel goes on no more.
    lan.server.ip("address add 10.0.0.11/32 dev lo")?;
    until("the address to be known", PROMPT, || {
        let log = server.log();
        Ok((log.matches("an address of this host is in a pool").count() == 2).then_some(()))
    })?;
    until("the kernel to forget the lease", PROMPT, || {
        let answer = client.exchange(&client.renewing(&lease))?;
        Ok((answer.kind == Kind::Nak).then_some(()))
    })?;
    ensure!(client.dora()?.address == host(12));
    ensure!(server.json(&["audit"])?["consistent"] == true);
    server.reload()?;
    ensure!(lan.client(1).dora()?.address == host(12));

    lan.server.ip("address del 10.0.0.10/32 dev lo")?;
    until("it to be free", PROMPT, || Ok((server.pool_count("free")? == 1).then_some(())))?;
    ensure!(lan.client(2).dora()?.address == host(10));
    ensure!(server.log().matches("an address of this host is in a pool").count() == 2, "{}", server.log());
    Ok(())
}
