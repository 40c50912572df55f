//! Why the kernel leaves a message to the daemon: each reason there is comes about, is counted, and is told by `explain`.

use anyhow::{Context, Result, ensure};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use system_tests::client::{Client, Lease, Request, WANTED};
use system_tests::mangle::{IP, UDP_LENGTH, with_word};
use system_tests::namespace::spelled;
use system_tests::paths::SERVER;
use system_tests::server::{Server, Xdp};
use system_tests::topology::{Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};
use system_tests::wire::{Kind, options};

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.99"]
lease-time = "10m"
"#;

/// The server's other address on the link.
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const WITNESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);

struct Up<'a> {
    lan: &'a Lan,
    server: &'a Server<'a>,
    clients: RefCell<std::ops::RangeFrom<u16>>,
    found: &'a RefCell<BTreeSet<&'static str>>,
}

impl<'a> Up<'a> {
    fn client(&self) -> Result<Client<'a>> {
        Ok(self.lan.client(self.clients.borrow_mut().next().context("no more clients")?))
    }

    fn with_lease(&self) -> Result<(Client<'a>, Lease)> {
        let client = self.client()?;
        let lease = client.dora()?;
        Ok((client, lease))
    }

    fn counted(&self, why: &str) -> Result<u64> {
        self.server.stats()?.count(&["kernel", "punted", why])
    }

    /// What `act` sends goes up for this reason, once, and `explain` says of the client that `told` begins its last message.
    fn goes_up(
        &self,
        why: &'static str,
        client: &Client,
        told: &str,
        act: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let before = self.counted(why)?;
        act().with_context(|| why.to_owned())?;
        let said = until(&format!("{why} to be told"), PROMPT, || {
            let said = self.server.json(&["explain", &spelled(client.mac)]).ok();
            Ok(said.filter(|said| said["why"].as_str().is_some_and(|text| text.starts_with(told))))
        })
        .with_context(|| format!("{:?}", self.server.json(&["explain", &spelled(client.mac)])))?;
        ensure!(said["decided-by"] == "daemon", "{said}");
        let counted = self.counted(why)? - before;
        ensure!(counted == 1, "{why}: counted {counted} times: {}", self.server.stats()?.0);
        self.found.borrow_mut().insert(why);
        Ok(())
    }

    /// A REQUEST is answered by the daemon, and why not by the kernel is told by this name.
    fn answered(&self, why: &'static str, client: &Client, request: &Request, answer: Kind) -> Result<()> {
        self.goes_up(why, client, &format!("{why}: "), || {
            let kind = client.exchange(request)?.kind;
            ensure!(kind == answer, "{kind:?}");
            Ok(())
        })
    }

    /// What went up for this reason while the daemon looked away is answered, and told; nothing if it did not go up.
    fn answered_late(
        &self,
        why: &'static str,
        before: u64,
        client: &Client,
        request: &Request,
    ) -> Result<Option<()>> {
        if self.counted(why)? == before {
            return Ok(None);
        }
        let ack =
            client.answer(request, Instant::now() + PROMPT)?.with_context(|| format!("{why}: no answer"))?;
        ensure!(ack.kind == Kind::Ack, "{ack:?}");
        let said = self.server.json(&["explain", &spelled(client.mac)])?;
        let told = said["why"].as_str().is_some_and(|text| text.starts_with(&format!("{why}: ")));
        ensure!(told && said["decided-by"] == "daemon", "{said}");
        self.found.borrow_mut().insert(why);
        Ok(Some(()))
    }

    /// A message is given up: that is why it gets no answer, too.
    fn given_up(&self, why: &'static str, told: &str, client: &Client, frame: &[u8]) -> Result<()> {
        self.goes_up(why, client, told, || {
            let answers = self.lan.client(0xfff).answers_to(&[frame.to_vec()], WITNESS)?;
            ensure!(answers.is_empty(), "{answers:?}");
            Ok(())
        })
    }
}

fn with_options(mut request: Request, list: &[(u8, &[u8])]) -> Request {
    request.message.options = options(list);
    request
}

#[test]
fn each_reason_comes_about_and_is_told() -> Result<()> {
    let found = RefCell::default();
    let all = of_messages(&found)?;
    of_times(&found)?;
    of_room(&found)?;
    let found = found.borrow();
    let missing: Vec<_> = all.iter().filter(|why| !found.contains(why.as_str())).collect();
    ensure!(missing.is_empty() && all.len() == found.len(), "{missing:?}: {found:?}");
    Ok(())
}

/// Returns all reasons that there are.
fn of_messages(found: &RefCell<BTreeSet<&'static str>>) -> Result<Vec<String>> {
    let lan = Lan::new("up", SERVER, 24)?;
    lan.server.ip(&format!("address add {SECOND}/24 dev {SERVER_IF}"))?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let up = Up { lan: &lan, server: &server, clients: RefCell::new(1..), found };
    leases(&up)?;
    messages(&up)?;
    shapes(&up)?;
    let all = server.stats()?.0["kernel"]["punted"].as_object().context("no reasons")?.clone();
    Ok(all.keys().cloned().collect())
}

/// What is known of the lease that is asked for.
fn leases(up: &Up) -> Result<()> {
    let nobodys = Lease { address: Ipv4Addr::new(10, 0, 0, 77), server: SERVER, seconds: 600 };
    let client = up.client()?;
    up.answered("no-slot", &client, &client.renewing(&nobodys), Kind::Nak)?;
    let (owner, lease) = up.with_lease()?;
    up.answered("not-alive", &client, &client.renewing(&nobodys), Kind::Nak)?;
    let thief = up.client()?;
    up.answered("other-identity", &thief, &thief.renewing(&lease), Kind::Nak)?;

    let asked = with_options(owner.renewing(&lease), &[(53, &[3]), (55, &WANTED), (60, b"new")]);
    up.answered("unknown-question", &owner, &asked, Kind::Ack)?;
    let mut elsewhere = owner.renewing(&lease);
    elsewhere.envelope.ip_dst = SECOND;
    up.answered("other-server", &owner, &elsewhere, Kind::Ack)?;
    let mut strange = owner.rebinding(&lease);
    strange.envelope.ip_src = WITNESS;
    up.answered("foreign-source", &owner, &strange, Kind::Ack)?;
    owner.renew(&lease).map(drop)
}

/// What the daemon decides in any case.
fn messages(up: &Up) -> Result<()> {
    let (client, told) = (up.client()?, "the daemon decides all messages but ");
    up.goes_up("discover", &client, told, || client.discover().map(drop))?;
    let offer = client.discover()?;
    up.answered("request", &client, &client.selecting(&offer)?, Kind::Ack)?;
    let informing = up.client()?;
    up.goes_up("inform", &informing, told, || informing.inform(WITNESS).map(drop))?;
    // Nobody declines or gives back what it has: that is refused, and told.
    let (thief, (_, lease)) = (up.client()?, up.with_lease()?);
    up.given_up("decline", "not-owner: ", &thief, &thief.declining(&lease).frame()?)?;
    up.given_up("release", "not-owner: ", &thief, &thief.releasing(&lease).frame()?)
}

/// What a message looks like.
fn shapes(up: &Up) -> Result<()> {
    let (client, lease) = up.with_lease()?;
    let mut named = client.renewing(&lease);
    named.message.sname[..2].copy_from_slice(b"us");
    up.answered("unusual-header", &client, &named, Kind::Ack)?;
    let long = [b'x'; 200];
    let mut late = client.renewing(&lease);
    late.message.options.splice(..0, [0; 16]);
    up.answered("other-message", &client, &late, Kind::Ack)?;
    let longer = with_options(client.renewing(&lease), &[(53, &[3]), (43, &long), (43, &long), (43, &long)]);
    up.answered("options-size", &client, &longer, Kind::Ack)?;

    let frame = client.renewing(&lease).frame()?;
    up.given_up("bad-length", "udp-length: ", &client, &with_word(&frame, UDP_LENGTH, 300))?;
    up.given_up("bad-checksum", "ip-checksum: ", &client, &with_word(&frame, IP + 10, 0x1234))
}

/// What was promised has run out, or is all that may be promised by now.
fn of_times(found: &RefCell<BTreeSet<&'static str>>) -> Result<()> {
    let lan = Lan::new("up", SERVER, 24)?;
    let short = SUBNET.replace("10m", "3s");
    let server = Server::with_settings(&lan, Xdp::Native, "horizon = 1.4", &short)?;
    let up = Up { lan: &lan, server: &server, clients: RefCell::new(1..), found };
    // A daemon that looks away foresees no more, and ends no lease; if it does so for too long, on a busy machine, nothing goes up
    // to it any more: another time.
    until("a renewal beyond the horizon", 6 * PROMPT, || {
        let (busy, lease) = up.with_lease()?;
        let before = up.counted("horizon")?;
        server.freeze()?;
        let beyond = until("renewals to end at the horizon", PROMPT, || {
            let renewing = busy.renewing(&lease);
            busy.send(&renewing)?;
            let answer = busy.answer(&renewing, Instant::now() + Duration::from_millis(500))?;
            Ok(answer.is_none().then_some(renewing))
        })?;
        server.thaw()?;
        up.answered_late("horizon", before, &busy, &beyond)
    })?;
    until("a renewal of a lease that has run out", 6 * PROMPT, || {
        let (idle, lease) = up.with_lease()?;
        let granted_at = Instant::now();
        let before = up.counted("expired")?;
        server.freeze()?;
        // Seconds count from the next one on.
        let over = granted_at + Duration::from_secs(u64::from(lease.seconds) + 1);
        until("the lease to be over", PROMPT, || Ok((Instant::now() > over).then_some(())))?;
        let late = idle.renewing(&lease);
        idle.send(&late)?;
        server.thaw()?;
        up.answered_late("expired", before, &idle, &late)
    })
}

/// The answer is so much longer than the question that its frame can't be made as long.
fn of_room(found: &RefCell<BTreeSet<&'static str>>) -> Result<()> {
    let servers = ["10.0.0.53"; 60].map(|server| format!("\"{server}\"")).join(", ");
    let wordy = format!(
        "{SUBNET}options = {{ domain-name-servers = [{servers}], domain-name = \"{}of.org\" }}\n",
        "a.rather.long.domain.name.".repeat(9)
    );
    for xdp in [Xdp::Native, Xdp::Generic] {
        let lan = Lan::new("up", SERVER, 24)?;
        let server = Server::start(&lan, xdp, &wordy)?;
        let up = Up { lan: &lan, server: &server, clients: RefCell::new(1..), found };
        let (client, lease) = up.with_lease()?;
        let asking = with_options(client.renewing(&lease), &[(53, &[3]), (55, &WANTED), (57, &[5, 220])]);
        client.extend(&asking, &lease)?;
        let before = server.stats()?.all_kernel_acked()?;
        client.extend(&asking.again(), &lease)?;
        if server.stats()?.all_kernel_acked()? == before {
            return up.answered("no-room", &client, &asking.again(), Kind::Ack);
        }
    }
    Ok(())
}
