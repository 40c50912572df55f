//! Two servers on one link, their pools split and nothing shared: neither refuses or frees what is the other's.

use anyhow::{Context, Result, bail, ensure};
use std::net::Ipv4Addr;
use system_tests::answer::Answer;
use system_tests::client::{Client, Lease, Renewal, Request, append_option, granted};
use system_tests::echo;
use system_tests::kea::Kea;
use system_tests::segment::Segment;
use system_tests::server::{Server, Xdp};
use system_tests::wire::{BROADCAST, Kind};

const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];

/// An address configured by hand, for an INFORM to tell when a server is done with what came before.
const WITNESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);

/// Each server's share of the net: so few addresses that none can get lost unnoticed.
const POOLS: [&str; 2] = ["10.0.0.10 - 10.0.0.13", "10.0.0.110 - 10.0.0.113"];
const SIZE: u64 = 4;

fn subnet(port: usize, terms: &str) -> String {
    let pool = POOLS[port];
    format!("[[subnet]]\nprefix = \"10.0.0.0/24\"\npools = [\"{pool}\"]\nlease-time = \"10m\"\n{terms}\n")
}

fn segment() -> Result<Segment> {
    Segment::new("two-servers", ADDRESSES, 24)
}

/// One of ours, beside a neighbour at the other port.
#[derive(Clone, Copy)]
struct Ours<'a, 's> {
    segment: &'a Segment,
    server: &'s Server<'a>,
    port: usize,
}

impl<'a> Ours<'a, '_> {
    fn theirs(self) -> usize {
        1 - self.port
    }

    /// What we and what they say to a request, in this order.
    fn ask(self, request: &Request) -> Result<[Vec<Answer>; 2]> {
        let mut heard = self.segment.ask(request, WITNESS)?;
        heard.rotate_left(self.port);
        for answer in heard[0].iter().filter(|answer| answer.message.xid == request.message.xid) {
            echo::check(request, answer)?;
        }
        Ok(heard)
    }

    /// The offers that a client gets, ours and theirs.
    fn offers(self, client: &Client) -> Result<[Answer; 2]> {
        let [ours, theirs] = self.ask(&client.discovering())?;
        Ok([only(&ours, Kind::Offer)?.clone(), only(&theirs, Kind::Offer)?.clone()])
    }

    /// A client, and the lease that it takes from the server at `port`; the other one has nothing to say to that.
    fn client_of(self, port: usize, n: u16) -> Result<(Client<'a>, Lease)> {
        let client = self.segment.client(n, port);
        let [ours, theirs] = self.offers(&client)?;
        let offer = if port == self.port { ours } else { theirs };
        let heard = self.segment.ask(&client.selecting(&offer)?, WITNESS)?;
        let lease = granted(only(&heard[port], Kind::Ack)?)?;
        ensure!(lease.address == offer.message.yiaddr && lease.server == ADDRESSES[port], "{lease:?}");
        ensure!(heard[1 - port].is_empty(), "a REQUEST to one server is answered by the other");
        Ok((client, lease))
    }

    /// We alone extend a lease of ours, whatever its client says to go on with it.
    fn extends(self, client: &Client, lease: &Lease, states: &[Renewal]) -> Result<()> {
        for state in states {
            let [ours, theirs] = self.ask(&client.extending(*state, lease))?;
            ensure!(granted(only(&ours, Kind::Ack)?)? == *lease, "{state:?}: {ours:?}");
            ensure!(theirs.is_empty(), "{state:?}: {theirs:?}");
        }
        Ok(())
    }

    /// They alone extend a lease of theirs. What we hear of it we count as an unknown client's, and leave it at that.
    fn leaves_alone(self, client: &Client, lease: &Lease, states: &[Renewal]) -> Result<()> {
        for state in states {
            let unanswered = self.unanswered()?;
            let [ours, theirs] = self.ask(&client.extending(*state, lease))?;
            ensure!(ours.is_empty(), "{state:?}: we answer another's client {ours:?}");
            ensure!(granted(only(&theirs, Kind::Ack)?)? == *lease, "{state:?}: {theirs:?}");
            // RENEWING is not even sent to us.
            let heard = u64::from(*state != Renewal::Renewing);
            self.has_counted("unknown-client", heard, &unanswered).with_context(|| format!("{state:?}"))?;
        }
        Ok(())
    }

    /// Nobody answers, and we count it as another server's.
    fn ignores(self, request: &Request) -> Result<()> {
        let unanswered = self.unanswered()?;
        let [ours, theirs] = self.ask(request)?;
        ensure!(ours.is_empty() && theirs.is_empty(), "{request:?} is answered: {ours:?} {theirs:?}");
        self.has_counted("other-server", 1, &unanswered)
    }

    /// The counters of what we did not answer.
    fn unanswered(self) -> Result<Unanswered> {
        let stats = self.server.stats()?;
        Ok(stats.0["daemon"]["dropped"].as_object().context("no counters")?.clone())
    }

    /// This counter, and no other of its kind, has gone up since, by so many.
    fn has_counted(self, why: &str, count: u64, before: &Unanswered) -> Result<()> {
        let mut expected = before.clone();
        if count > 0 {
            let was = before.get(why).and_then(serde_json::Value::as_u64).unwrap_or(0);
            expected.insert(why.to_owned(), (was + count).into());
        }
        let now = self.unanswered()?;
        ensure!(now == expected, "counted {now:?}, not {expected:?}");
        Ok(())
    }

    /// Leased are the addresses of these leases, the rest of the pool is free, and nobody was ever told no.
    fn has_leased(self, leases: &[Lease]) -> Result<()> {
        let listed = self.server.json(&["leases"])?;
        let listed = listed.as_array().context("`leases` is not a list")?;
        let held: Vec<Ipv4Addr> = listed
            .iter()
            .filter(|lease| lease["state"] == "leased")
            .map(|lease| Ok(lease["address"].as_str().context("no address")?.parse()?))
            .collect::<Result<_>>()?;
        let expected = addresses(leases);
        ensure!(held == expected, "leased are {held:?}, not {expected:?}");
        let pools = self.server.json(&["pools"])?;
        ensure!(pools[0]["free"] == SIZE - expected.len() as u64, "{pools}");
        ensure!(self.server.json(&["audit"])?["consistent"] == true);
        ensure!(self.server.stats()?.sent("nak")? == 0, "we sent a NAK");
        Ok(())
    }
}

/// Counters by their names.
type Unanswered = serde_json::Map<String, serde_json::Value>;

/// The one answer there is, and what it must be.
fn only(answers: &[Answer], kind: Kind) -> Result<&Answer> {
    match answers {
        [answer] if answer.kind == kind => Ok(answer),
        _ => bail!("not one {kind:?}: {answers:?}"),
    }
}

fn addresses(leases: &[Lease]) -> Vec<Ipv4Addr> {
    let mut all: Vec<Ipv4Addr> = leases.iter().map(|lease| lease.address).collect();
    all.sort_unstable();
    all
}

/// The message as everybody hears it: some clients broadcast what they could send to one server alone.
fn broadcast(mut request: Request) -> Request {
    request.envelope.eth_dst = BROADCAST;
    request.envelope.ip_dst = Ipv4Addr::BROADCAST;
    request
}

/// SELECTING: what we offered is free as soon as the client has taken their offer, and can be offered to the next.
/// Returns the lease they gave, and the one we gave.
fn the_offer_not_taken_is_free(ours: Ours, n: u16) -> Result<[Lease; 2]> {
    let client = ours.segment.client(n, ours.theirs());
    let free = ours.server.pool_count("free")?;
    let [declined, taken] = ours.offers(&client)?;
    ensure!(ours.server.pool_count("offered")? == 1 && ours.server.pool_count("free")? == free - 1);
    let unanswered = ours.unanswered()?;
    let [silence, ack] = ours.ask(&client.selecting(&taken)?)?;
    ensure!(silence.is_empty(), "we answer a REQUEST to them: {silence:?}");
    let lease = granted(only(&ack, Kind::Ack)?)?;
    ours.has_counted("other-server", 1, &unanswered)?;
    ensure!(ours.server.pool_count("offered")? == 0 && ours.server.pool_count("free")? == free);

    let next = ours.segment.client(n + 1, ours.port);
    let mut wish = next.discovering();
    append_option(&mut wish.message.options, 50, &declined.message.yiaddr.octets());
    let [offer, _] = ours.ask(&wish)?;
    let offer = only(&offer, Kind::Offer)?;
    ensure!(offer.message.yiaddr == declined.message.yiaddr, "{offer:?}");
    let [ack, silence] = ours.ask(&next.selecting(offer)?)?;
    ensure!(silence.is_empty(), "they answer a REQUEST to us: {silence:?}");
    Ok([lease, granted(only(&ack, Kind::Ack)?)?])
}

/// A client of both, as one that they have moved: what it says to them changes nothing of what it has from us.
/// Returns the lease they gave, and the one we gave.
fn what_is_said_to_them_ends_no_lease_of_ours(ours: Ours, n: u16) -> Result<[Lease; 2]> {
    let (client, lease) = ours.client_of(ours.port, n)?;
    let (there, elsewhere) = ours.client_of(ours.theirs(), n)?;
    ours.leaves_alone(&there, &elsewhere, &Renewal::ALL)?;
    let misdirected = Lease { server: ADDRESSES[ours.theirs()], ..lease };
    ours.ignores(&broadcast(client.releasing(&misdirected)))?;
    ours.ignores(&broadcast(client.declining(&misdirected)))?;
    let [ack, _] = ours.ask(&client.renewing(&lease))?;
    ensure!(granted(only(&ack, Kind::Ack)?)? == lease);
    Ok([elsewhere, lease])
}

/// A client of theirs that everybody hears give its lease back, and another decline it.
fn what_is_given_back_to_them_is_theirs(ours: Ours, n: u16) -> Result<()> {
    let (released, first) = ours.client_of(ours.theirs(), n)?;
    ours.ignores(&broadcast(released.releasing(&first)))?;
    let (declined, second) = ours.client_of(ours.theirs(), n + 1)?;
    ours.ignores(&broadcast(declined.declining(&second)))
}

fn a_pair_of_ours(xdp: Xdp) -> Result<()> {
    let segment = segment()?;
    // One tells clients no where it may, one never does: to the other's clients both say nothing.
    let terms = ["", "authoritative = false"];
    let [first, second] =
        [0, 1].map(|port| Server::start(segment.home(port), xdp, &subnet(port, terms[port])));
    let servers = [first?, second?];
    let both = [0, 1].map(|port| Ours { segment: &segment, server: &servers[port], port });
    let mut held = [Vec::new(), Vec::new()];
    for (ours, n) in both.into_iter().zip([10, 20]) {
        let (client, lease) = ours.client_of(ours.theirs(), n)?;
        ours.leaves_alone(&client, &lease, &Renewal::ALL)?;
        let [theirs, own] = the_offer_not_taken_is_free(ours, n + 1)?;
        held[ours.theirs()].extend([lease, theirs]);
        held[ours.port].push(own);
    }
    for ours in both {
        ours.has_leased(&held[ours.port])?;
    }
    let answered = servers[0].stats()?.all_kernel_acked()? + servers[1].stats()?.all_kernel_acked()?;
    let expected = if xdp == Xdp::Off { 0 } else { 6 };
    ensure!(answered == expected, "{answered} of 6 requests were answered in the kernel");
    Ok(())
}

#[test]
fn each_of_ours_leaves_the_others_clients_alone_with_the_program_in_the_driver() -> Result<()> {
    a_pair_of_ours(Xdp::Native)
}

#[test]
fn each_of_ours_leaves_the_others_clients_alone_without_the_program() -> Result<()> {
    a_pair_of_ours(Xdp::Off)
}

#[test]
fn what_is_said_to_one_of_ours_ends_no_lease_of_the_other() -> Result<()> {
    let segment = segment()?;
    let [first, second] =
        [0, 1].map(|port| Server::start(segment.home(port), Xdp::Native, &subnet(port, "")));
    let servers = [first?, second?];
    let [ours, theirs] = [0, 1].map(|port| Ours { segment: &segment, server: &servers[port], port });
    let [elsewhere, lease] = what_is_said_to_them_ends_no_lease_of_ours(ours, 10)?;
    what_is_given_back_to_them_is_theirs(ours, 20)?;
    ours.has_leased(&[lease])?;
    let pools = theirs.server.json(&["pools"])?;
    ensure!(pools[0]["leased"] == 1 && pools[0]["quarantined"] == 1 && pools[0]["free"] == 2, "{pools}");
    ensure!(theirs.server.lease(elsewhere.address)?.is_some());
    Ok(())
}

/// What the program does by itself is no more than what it did with the daemon there.
#[test]
fn a_program_without_its_daemon_leaves_the_others_clients_alone() -> Result<()> {
    let segment = segment()?;
    let mut gone = Server::start(segment.home(0), Xdp::Native, &subnet(0, ""))?;
    let there = Server::start(segment.home(1), Xdp::Native, &subnet(1, ""))?;
    let ours = Ours { segment: &segment, server: &gone, port: 0 };
    let (own, lease) = ours.client_of(0, 10)?;
    let (client, elsewhere) = ours.client_of(1, 11)?;
    gone.crash()?;
    for state in [Renewal::Rebinding, Renewal::InitReboot] {
        // Each server's program answers a renewal of its own: by then it has answered all else that it would.
        let last = [own.renewing(&lease), client.renewing(&elsewhere)];
        let [silence, ack] = segment.ask_before(&client.extending(state, &elsewhere), &last)?;
        ensure!(silence.is_empty(), "{state:?}: {silence:?}");
        ensure!(granted(only(&ack, Kind::Ack)?)? == elsewhere, "{state:?}: {ack:?}");
    }
    ensure!(there.stats()?.kernel_acked("renewing")? == 2);
    gone.start_again()?;
    Ours { segment: &segment, server: &gone, port: 0 }.has_leased(&[lease])
}

/// Beside Kea at the second port. Returns what Kea says when a client of ours reboots.
fn beside_kea(authoritative: bool) -> Result<Vec<Answer>> {
    let segment = segment()?;
    let server = Server::start(segment.home(0), Xdp::Native, &subnet(0, ""))?;
    let pool = POOLS[1];
    let terms = format!(
        r#""subnet": "10.0.0.0/24", "pools": [{{ "pool": "{pool}" }}], "valid-lifetime": 600, "authoritative": {authoritative}"#
    );
    let kea = Kea::start(&segment.home(1), &terms)?;
    let ours = Ours { segment: &segment, server: &server, port: 0 };

    let (client, kept) = ours.client_of(1, 10)?;
    ours.leaves_alone(&client, &kept, &Renewal::ALL)?;
    let [taken, given] = the_offer_not_taken_is_free(ours, 11)?;
    let [elsewhere, lease] = what_is_said_to_them_ends_no_lease_of_ours(ours, 13)?;
    ours.has_leased(&[given, lease])?;
    let held = kea.leased()?;
    ensure!(held == addresses(&[kept, taken, elsewhere]), "Kea has leased {held:?}");

    let (own, more) = ours.client_of(0, 14)?;
    ours.extends(&own, &more, &[Renewal::Renewing, Renewal::Rebinding])?;
    let [ack, kea_says] = ours.ask(&own.rebooting(more.address))?;
    ensure!(granted(only(&ack, Kind::Ack)?)? == more);
    ours.has_leased(&[given, lease, more])?;
    ensure!(kea.leased()? == held, "Kea's leases changed by what was said to us");
    Ok(kea_says)
}

#[test]
fn kea_and_ours_leave_each_others_clients_alone() -> Result<()> {
    let said = beside_kea(false)?;
    ensure!(said.is_empty(), "Kea answers a client of ours: {said:?}");
    Ok(())
}

/// An authoritative Kea holds that it knows every client there is, and refuses one of ours that reboots. Nobody but its
/// operator can keep it from that; we have answered all the same, and it frees nothing of ours.
#[test]
fn beside_an_authoritative_kea_ours_leaves_its_clients_alone() -> Result<()> {
    let said = beside_kea(true)?;
    only(&said, Kind::Nak).map(drop)
}
