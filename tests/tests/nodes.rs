//! Two nodes on one link that lease one address space, and agree by etcd: what each grants the other knows, a node's death
//! shortens no promise, and no address is ever promised to two.
//!
//! They need a daemon with the feature `etcd`: `cargo build -p dhcp-user --features etcd`, then
//! `XDHCPD_BIN=target/debug/xdhcpd cargo test -p system-tests --test nodes -- --ignored`.

use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;
use system_tests::answer::Answer;
use system_tests::client::{Client, Lease, Request, append_option, granted};
use system_tests::etcd::Etcd;
use system_tests::segment::Segment;
use system_tests::server::{Server, Xdp};
use system_tests::wait::{PROMPT, until};
use system_tests::wire::Kind;

const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];
/// An address configured by hand, for an INFORM to tell when a server is done with what came before.
const WITNESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
/// Four blocks.
const SUBNET: &str =
    "[[subnet]]\nprefix = \"10.0.0.0/22\"\npools = [\"10.0.0.10 - 10.0.3.200\"]\nlease-time = \"10m\"\n";
/// How long a dead node's key may stay, and its blocks be taken over; many times the five seconds of its etcd lease, since the
/// machine may be busy.
const TAKEN_OVER: Duration = Duration::from_secs(30);

fn settings(etcd: &Etcd, node: &str) -> String {
    format!("store = {{ etcd = [\"{}\"], prefix = \"/xdhcpd/test\", node = \"{node}\" }}", etcd.url())
}

struct Site<'a> {
    segment: &'a Segment,
    /// Who was promised which address.
    promised: BTreeMap<Ipv4Addr, u16>,
}

impl<'a> Site<'a> {
    fn client(&self, n: u16, port: usize) -> Client<'a> {
        self.segment.client(n, port)
    }

    /// What each node says to it. (What they said before, when only one was listened to, is passed over.)
    fn ask(&self, request: &Request) -> Result<[Vec<Answer>; 2]> {
        let mut heard = self.segment.ask(request, WITNESS)?;
        for answers in &mut heard {
            answers.retain(|answer| answer.message.xid == request.message.xid);
        }
        Ok(heard)
    }

    /// What the node at `port` says to it, the other one being dead.
    fn ask_one(&self, port: usize, n: u16, request: &Request) -> Result<Answer> {
        self.client(n, port).exchange(request)
    }

    /// Notes a promise.
    fn promise(&mut self, n: u16, lease: &Lease) -> Result<()> {
        let holder = *self.promised.entry(lease.address).or_insert(n);
        ensure!(holder == n, "{} is promised to {n}, and to {holder}", lease.address);
        Ok(())
    }

    /// Client `n` gets a lease from the node at `port`; both are there.
    fn lease_from(&mut self, port: usize, n: u16) -> Result<Lease> {
        let client = self.client(n, port);
        let offers = self.ask(&client.discovering())?;
        let offer = only(&offers[port], Kind::Offer)?.clone();
        let other = only(&offers[1 - port], Kind::Offer)?;
        ensure!(other.message.yiaddr != offer.message.yiaddr, "both nodes offer {}", offer.message.yiaddr);
        let heard = self.ask(&client.selecting(&offer)?)?;
        ensure!(heard[1 - port].is_empty(), "{heard:?}");
        let lease = granted(only(&heard[port], Kind::Ack)?)?;
        self.promise(n, &lease)?;
        Ok(lease)
    }

    /// Client `n` gets a lease from the only node that is there.
    fn lease_from_only(&mut self, port: usize, n: u16) -> Result<Lease> {
        let client = self.client(n, port);
        let offer = self.ask_one(port, n, &client.discovering())?;
        let lease = granted(&self.ask_one(port, n, &client.selecting(&offer)?)?)?;
        self.promise(n, &lease)?;
        Ok(lease)
    }
}

fn only(answers: &[Answer], kind: Kind) -> Result<&Answer> {
    match answers {
        [answer] if answer.kind == kind => Ok(answer),
        _ => bail!("not one {kind:?}: {answers:?}"),
    }
}

fn has_taken_over(server: &Server, address: Ipv4Addr) -> Result<()> {
    until("the block to be taken over", TAKEN_OVER, || {
        Ok(server.lease(address)?.filter(|lease| lease["state"] == "leased").map(drop))
    })
}

#[test]
#[ignore = "needs a daemon with the feature `etcd`"]
fn a_dead_nodes_leases_are_renewed_by_another_and_its_addresses_given_to_nobody_else() -> Result<()> {
    let segment = Segment::new("nodes", ADDRESSES, 22)?;
    let etcd = Etcd::start(&segment.ports[1].namespace, ADDRESSES[1], &segment.world.dir().join("etcd"))?;
    let mut a = Server::with_settings(segment.home(0), Xdp::Native, &settings(&etcd, "a"), SUBNET)?;
    let b = Server::with_settings(segment.home(1), Xdp::Native, &settings(&etcd, "b"), SUBNET)?;
    let mut site = Site { segment: &segment, promised: BTreeMap::new() };

    let (first, second) = (site.lease_from(0, 1)?, site.lease_from(1, 2)?);
    ensure!(first.address.octets()[2] != second.address.octets()[2], "two nodes grant in one block");
    let released = site.lease_from(0, 3)?;
    for lease in [&first, &second, &released] {
        let key = format!("/xdhcpd/test/lease/{}", lease.address);
        ensure!(etcd.keys(&key)? == [key], "{lease:?} was acknowledged, and is not in etcd");
    }
    // The other node says nothing of a lease that is not its own.
    let heard = site.ask(&site.client(1, 0).rebinding(&first))?;
    ensure!(granted(only(&heard[0], Kind::Ack)?)? == first && heard[1].is_empty(), "{heard:?}");
    let answered = a.stats()?.all_kernel_acked()?;

    a.crash()?;
    // Its kernel goes on, and the promise with it.
    let ack = site.ask_one(0, 1, &site.client(1, 0).rebinding(&first))?;
    ensure!(granted(&ack)? == first);
    has_taken_over(&b, first.address)?;
    has_taken_over(&b, released.address)?;

    // Where the dead node's kernel is not heard, the other node answers.
    segment.ports[0].namespace.ip("link set srv0 down")?;
    let ack = granted(&site.ask_one(1, 1, &site.client(1, 1).rebinding(&first))?)?;
    ensure!(ack.address == first.address && ack.server == ADDRESSES[1], "{ack:?}");
    site.promise(1, &ack)?;
    let ack = granted(&site.ask_one(1, 3, &site.client(3, 1).rebinding(&released))?)?;

    // It is given back to the one node, and the other's kernel may still promise it: nobody else gets it.
    site.client(3, 1).release(&ack)?;
    until("the RELEASE to be taken", PROMPT, || {
        Ok(b.lease(released.address)?.is_none_or(|lease| lease["state"] != "leased").then_some(()))
    })?;
    site.promised.insert(released.address, 3);
    let mut wish = site.client(9, 1).discovering();
    append_option(&mut wish.message.options, 50, &released.address.octets());
    let offer = site.ask_one(1, 9, &wish)?;
    ensure!(offer.message.yiaddr != released.address, "it is offered {}", released.address);
    for n in 10..30 {
        site.lease_from_only(1, n)?;
    }
    ensure!(b.json(&["audit"])?["consistent"] == true, "{}", b.json(&["audit"])?);

    // The dead node comes back: what was its own is another's, and its kernel says no more.
    segment.ports[0].namespace.ip("link set srv0 up")?;
    a.start_again()?;
    let heard = site.ask(&site.client(1, 0).rebinding(&first))?;
    ensure!(heard[0].is_empty(), "{heard:?}");
    ensure!(granted(only(&heard[1], Kind::Ack)?)?.address == first.address);
    ensure!(a.json(&["audit"])?["consistent"] == true, "{}", a.json(&["audit"])?);
    site.lease_from(0, 40)?;
    site.lease_from(1, 41)?;
    println!(
        "renewals in the kernel of a before its death: {answered}; promised {} addresses",
        site.promised.len()
    );
    Ok(())
}

#[test]
#[ignore = "needs a daemon with the feature `etcd`"]
fn a_node_that_wakes_when_it_was_taken_for_dead_grants_nothing() -> Result<()> {
    let segment = Segment::new("nodes-paused", ADDRESSES, 22)?;
    let etcd = Etcd::start(&segment.ports[1].namespace, ADDRESSES[1], &segment.world.dir().join("etcd"))?;
    let mut a = Server::with_settings(segment.home(0), Xdp::Off, &settings(&etcd, "a"), SUBNET)?;
    let b = Server::with_settings(segment.home(1), Xdp::Off, &settings(&etcd, "b"), SUBNET)?;
    let mut site = Site { segment: &segment, promised: BTreeMap::new() };
    let lease = site.lease_from(0, 1)?;
    let client = site.client(2, 0);
    let offers = site.ask(&client.discovering())?;
    let offer = only(&offers[0], Kind::Offer)?.clone();
    a.freeze()?;
    has_taken_over(&b, lease.address)?;
    // It wakes with a REQUEST at hand that it would grant.
    segment.socket.send(&client.selecting(&offer)?.frame()?)?;
    a.thaw()?;
    until("the daemon to end", PROMPT, || Ok((!a.is_running()?).then_some(())))?;
    let said = a.log();
    ensure!(said.contains("taken over") || said.contains("taken for dead"), "{said}");
    ensure!(
        !etcd.keys("/xdhcpd/test/lease/")?.contains(&format!("/xdhcpd/test/lease/{}", offer.message.yiaddr))
    );
    a.start_again()?;
    site.lease_from(0, 3)?;
    Ok(())
}

#[test]
#[ignore = "needs a daemon with the feature `etcd`"]
fn without_etcd_nothing_is_granted_and_status_says_so() -> Result<()> {
    let segment = Segment::new("nodes-without", ADDRESSES, 22)?;
    let etcd = Etcd::start(&segment.ports[0].namespace, ADDRESSES[0], &segment.world.dir().join("etcd"))?;
    let a = Server::with_settings(segment.home(0), Xdp::Native, &settings(&etcd, "a"), SUBNET)?;
    let mut site = Site { segment: &segment, promised: BTreeMap::new() };
    let lease = site.lease_from_only(0, 1)?;
    let client = site.client(2, 0);
    let offer = client.exchange(&client.discovering())?;
    etcd.process.signal(nix::sys::signal::Signal::SIGSTOP)?;
    client.send(&client.selecting(&offer)?)?;
    until("trouble in `status`", TAKEN_OVER, || {
        Ok(a.json(&["status"])?["trouble"].as_str().filter(|said| said.contains("etcd")).map(drop))
    })?;
    // What was promised is renewed all the same.
    let acked = a.stats()?.all_kernel_acked()?;
    ensure!(granted(&site.client(1, 0).renew(&lease)?)? == lease);
    ensure!(a.stats()?.all_kernel_acked()? == acked + 1, "not by the kernel");
    ensure!(a.stats()?.sent("ack")? == 1, "{:?}", a.stats()?.0);
    etcd.process.signal(nix::sys::signal::Signal::SIGCONT)?;
    until("the lease", TAKEN_OVER, || {
        Ok(a.lease(offer.message.yiaddr)?.filter(|lease| lease["not-committed"] != true).map(drop))
    })?;
    Ok(())
}

#[test]
#[ignore = "needs a daemon with the feature `etcd`"]
fn a_second_node_of_the_name_and_a_later_format_are_refused() -> Result<()> {
    let segment = Segment::new("nodes-refused", ADDRESSES, 22)?;
    let etcd = Etcd::start(&segment.ports[0].namespace, ADDRESSES[0], &segment.world.dir().join("etcd"))?;
    let _a = Server::with_settings(segment.home(0), Xdp::Off, &settings(&etcd, "a"), SUBNET)?;
    let refused = |settings: &str| -> Result<String> {
        let started = Server::with_settings(segment.home(1), Xdp::Off, settings, SUBNET);
        Ok(format!("{:#}", started.err().context("it starts")?))
    };
    let said = refused(&settings(&etcd, "a"))?;
    ensure!(said.contains("another xdhcpd serves as node \"a\""), "{said}");
    etcd.put("/xdhcpd/later/format", "2")?;
    let said = refused(&settings(&etcd, "b").replace("/xdhcpd/test", "/xdhcpd/later"))?;
    ensure!(said.contains("says format \"2\""), "{said}");
    Ok(())
}
