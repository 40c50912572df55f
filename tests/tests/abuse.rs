//! A sender that poses as another, or wants more than its share, gets nothing and is counted.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use system_tests::client::{Client, Lease, Request, Via, append_option, granted};
use system_tests::paths::{AGENT_MAC, SERVER};
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};
use system_tests::wire::{Kind, options};

const WITNESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);

/// The circuit `port-7` has an address of its own, and a relay outside speaks for the second subnet.
const SUBNETS: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.20"]

[[subnet]]
prefix = "10.9.0.0/24"
pools = ["10.9.0.10 - 10.9.0.20"]
relays = ["198.51.100.1"]

[[subnet.reservation]]
circuit-id = "70:6f:72:74:2d:37"
address = "10.9.0.7"
"#;

const CIRCUIT: &[u8] = b"\x01\x06port-7";

fn lan() -> Result<Lan> {
    Lan::new("abuse", SERVER, 24)
}

fn dropped(server: &Server, why: &str) -> Result<u64> {
    Ok(server.stats()?.count(&["daemon", "dropped", why]).unwrap_or(0))
}

/// Nobody answers, and it is counted by this name.
fn refused(server: &Server, client: &Client, request: &Request, why: &str) -> Result<()> {
    let before = dropped(server, why)?;
    client.expect_silence(request, WITNESS)?;
    ensure!(dropped(server, why)? == before + 1, "not counted as {why}: {}", server.stats()?.0["daemon"]);
    Ok(())
}

#[test]
fn a_release_must_fit_its_lease_in_everything() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    let posing = Client { client_id: Some(b"\0somebody".to_vec()), ..client.clone() };
    let right = || client.releasing(&lease);
    let without_server = |mut request: Request| {
        request.message.options = options(&[(53, &[Kind::Release as u8])]);
        request
    };
    let from = |source: Ipv4Addr, mut request: Request| {
        request.envelope.ip_src = source;
        request
    };
    let of = |address: Ipv4Addr, mut request: Request| {
        request.message.ciaddr = address;
        request
    };
    let elsewhere = Lease { server: Ipv4Addr::new(10, 0, 0, 99), ..lease };
    let to_us = |mut request: Request| {
        request.envelope.ip_dst = SERVER;
        request
    };
    let to_all = |mut request: Request| {
        request.envelope.ip_dst = Ipv4Addr::BROADCAST;
        request.envelope.eth_dst = [0xff; 6];
        request
    };
    let free = Ipv4Addr::new(10, 0, 0, 20);
    let cases = [
        ("another device", "not-owner", lan.client(2).releasing(&lease)),
        ("another identifier", "not-owner", posing.releasing(&lease)),
        ("another server", "other-server", to_us(client.releasing(&elsewhere))),
        ("no server, and sent to all", "no-server", to_all(without_server(right()))),
        ("no server, from another device", "not-owner", without_server(lan.client(2).releasing(&lease))),
        ("another source", "source-mismatch", from(WITNESS, right())),
        ("no address", "no-address", of(Ipv4Addr::UNSPECIFIED, right())),
        ("an address it does not have", "not-owner", from(free, of(free, right()))),
    ];
    for (n, (what, why, request)) in (1..).zip(cases) {
        refused(&server, &client, &request, why).with_context(|| what.to_owned())?;
        client.renew(&lease).with_context(|| format!("{what} has ended the lease"))?;
        ensure!(server.stats()?.kernel_acked("renewing")? == n, "{what} has taken it from the kernel");
    }
    client.expect_silence(&right(), WITNESS)?;
    ensure!(server.lease(lease.address)?.is_none(), "its own RELEASE did nothing");
    Ok(())
}

#[test]
fn relay_information_is_believed_of_relays_only() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    let client = lan.client(1);
    let claiming = |mut request: Request| {
        append_option(&mut request.message.options, 82, CIRCUIT);
        request
    };
    // It is served like anybody (RFC 3046 §2.2: what it sent comes back), and has nobody's reservation.
    let offer = client.exchange(&claiming(client.discovering()))?;
    ensure!(
        offer.message.yiaddr.octets()[..3] == [10, 0, 0] && offer.option(82) == Some(CIRCUIT),
        "{offer:?}"
    );
    let lease = granted(&client.exchange(&claiming(client.selecting(&offer)?))?)?;
    for request in [client.renewing(&lease), client.rebinding(&lease)] {
        client.extend(&claiming(request), &lease)?;
    }
    client.renew(&lease)?;
    let stats = server.stats()?;
    ensure!(stats.count(&["daemon", "odd", "untrusted-agent-information"])? == 2, "{}", stats.0);
    ensure!(stats.kernel_acked("renewing")? == 2 && stats.kernel_acked("rebinding")? == 1, "{}", stats.0);
    let relayed = Client {
        via: Via::Relay {
            mac: AGENT_MAC,
            address: Ipv4Addr::new(198, 51, 100, 1),
            agent_info: Some(CIRCUIT.to_vec()),
        },
        ..lan.client(2)
    };
    ensure!(relayed.dora()?.address == Ipv4Addr::new(10, 9, 0, 7));
    Ok(())
}

#[test]
fn a_relay_that_nobody_listed_is_not_served() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    let through = |address: Ipv4Addr, n: u16| Client {
        via: Via::Relay { mac: AGENT_MAC, address, agent_info: None },
        ..lan.client(n)
    };
    let direct = lan.client(9);
    for last in [2, 254] {
        let client = through(Ipv4Addr::new(198, 51, 100, last), 1);
        refused(&server, &direct, &client.discovering(), "no-subnet")?;
    }
    refused(&server, &direct, &through(SERVER, 1).discovering(), "relay-is-us")?;
    // A lease got through a relay that is listed cannot be had through one that is not.
    let lease = through(Ipv4Addr::new(198, 51, 100, 1), 2).dora()?;
    ensure!(lease.address.octets()[..3] == [10, 9, 0], "{lease:?}");
    let spoofed = through(Ipv4Addr::new(198, 51, 100, 77), 2).rebinding(&lease);
    refused(&server, &direct, &spoofed, "no-subnet")?;
    ensure!(server.lease(lease.address)?.is_some());
    Ok(())
}

#[test]
fn who_speaks_for_many_others_is_told_of() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    for n in 0..5 {
        let client = lan.client(n);
        let mut request = client.discovering();
        request.envelope.eth_src = lan.client(100).mac;
        client.answers_to(&[request.frame()?], WITNESS)?;
    }
    ensure!(server.stats()?.count(&["daemon", "odd", "sent-for-another"])? == 5);
    Ok(())
}

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path).with_context(|| path.display().to_string())?.permissions().mode() & 0o7777)
}

/// Who can write to a pinned map decides what gateway and name servers clients get.
#[test]
fn nobody_else_can_open_what_the_server_keeps() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    lan.client(1).dora()?;
    let pins = lan.world.bpf().join("xdhcpd");
    ensure!(mode(&pins)? == 0o700, "the pins' directory is {:o}", mode(&pins)?);
    let mut seen = 0;
    for pin in fs::read_dir(&pins)? {
        let pin = pin?.path();
        ensure!(mode(&pin)? == 0o600, "{} is {:o}", pin.display(), mode(&pin)?);
        seen += 1;
    }
    ensure!(seen > 10, "only {seen} pins");
    let store = lan.world.dir().join("state/store");
    ensure!(mode(&store)? == 0o700, "the store's directory is {:o}", mode(&store)?);
    let socket = lan.world.dir().join("control.sock");
    ensure!(fs::metadata(&socket)?.file_type().is_socket() && mode(&socket)? == 0o660);
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

#[test]
fn a_flooded_control_socket_holds_up_no_client() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    let path = lan.world.dir().join("control.sock");
    let said = |request: &[u8]| -> Result<String> {
        let mut stream = UnixStream::connect(&path)?;
        stream.write_all(request)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    for request in
        [&[&[b'['; 4000][..], b"\n"].concat()[..], b"{\"verb\":\"lease-show\",\"address\":\"/etc\"}\n"]
    {
        ensure!(said(request)?.contains("refused"), "{request:02x?}");
    }
    let silent: Vec<UnixStream> = (0..64).map(|_| UnixStream::connect(&path)).collect::<Result<_, _>>()?;
    for n in 0..20 {
        let client = lan.client(n % 10);
        let lease = client.dora()?;
        client.renew(&lease)?;
    }
    // Clients that ask for nothing keep nobody out who does: the one silent longest makes room.
    let left_out = || {
        until("the clients that were left out", PROMPT, || {
            Ok(server.stats().ok().map(|stats| stats.count(&["daemon", "control-clients-left-out"])))
        })?
    };
    let before = left_out()?;
    let more = silent.iter().map(|_| UnixStream::connect(&path)).collect::<Result<Vec<_>, _>>()?;
    until("a command to be answered beside silent clients", PROMPT, || Ok(server.json(&["status"]).ok()))?;
    let after = left_out()?;
    ensure!(after > before, "{before}, then {after}");
    // Who has asked keeps the place, however many come: it is followed on.
    let mut follower = until("a follower to be let in", PROMPT, || {
        let mut stream = BufReader::new(UnixStream::connect(&path)?);
        stream.get_mut().set_read_timeout(Some(PROMPT))?;
        stream.get_mut().write_all(b"{\"verb\":\"events\"}\n")?;
        let mut first = String::new();
        stream.read_line(&mut first)?;
        Ok((!first.contains("too many clients")).then_some(stream))
    })?;
    let crowd = (0..64).map(|_| UnixStream::connect(&path)).collect::<Result<Vec<_>, _>>()?;
    until("a command to be answered beside silent clients", PROMPT, || Ok(server.json(&["status"]).ok()))?;
    // More signs of life than had come before.
    for _ in 0..3 {
        let mut line = String::new();
        ensure!(follower.read_line(&mut line)? > 0, "a client that had asked lost its place");
    }
    drop((silent, more, crowd));
    Ok(())
}

/// Operators that ask for much and never read an octet of it, and those that never end their line.
#[test]
fn operators_that_do_not_read_hold_up_nobody() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, &SUBNETS.replace("10.0.0.20", "10.0.0.250"))?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    for n in 10..200 {
        lan.client(n).dora()?;
    }
    let path = lan.world.dir().join("control.sock");
    let mut deaf = Vec::new();
    for request in [r#"{"verb":"leases"}"#, r#"{"verb":"events"}"#, r#"{"verb":"audit"}"#, r#"{"verb":"#] {
        for _ in 0..6 {
            let mut stream = UnixStream::connect(&path)?;
            stream.write_all(request.as_bytes())?;
            if request.ends_with('}') {
                stream.write_all(b"\n")?;
            }
            deaf.push(stream);
        }
    }
    // What is to be followed is more than the followers' buffers hold.
    for n in 10..100 {
        let one = lan.client(n);
        let lease = one.dora()?;
        one.release(&lease)?;
    }
    client.renew(&lease)?;
    ensure!(server.json(&["status"])?.get("trouble").is_none());
    ensure!(server.json(&["audit"])?["consistent"] == true);
    drop(deaf);
    Ok(())
}
