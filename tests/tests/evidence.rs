//! What is evidence that somebody uses an address, and what is not: lost answers, liars, and who declines too much.

use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{Scope, scope};
use std::time::{Duration, Instant};
use system_tests::arp::{Question, announcement};
use system_tests::packet::{PacketSocket, Sees};
use system_tests::paths::SERVER;
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
