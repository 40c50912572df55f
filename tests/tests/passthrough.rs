//! Frames that are not DHCP to a server go through the attached interface as if nothing were attached.

use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Instant;
use system_tests::client::Client;
use system_tests::namespace::Namespace;
use system_tests::packet::{PacketSocket, Sees};
use system_tests::paths::SERVER;
use system_tests::server::{Server, Xdp};
use system_tests::topology::{CLIENT_IF, Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};
use system_tests::wire::{CLIENT_PORT, Envelope, SERVER_PORT, Tag, checksum};

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.250"]
"#;

/// Enough for windows to open and segments of every size to be seen.
const TRANSFER: usize = 8 << 20;

/// A link whose client has an address and IPv6.
fn lan() -> Result<Lan> {
    let lan = Lan::new("pass", SERVER, 24)?;
    for (namespace, interface, addresses) in [
        (&lan.server, SERVER_IF, vec!["fd00::1/64"]),
        (&lan.clients, CLIENT_IF, vec!["10.0.0.2/24", "fd00::2/64"]),
    ] {
        namespace.set(&format!("net/ipv6/conf/{interface}/disable_ipv6"), "0")?;
        for address in addresses {
            let nodad = if address.contains(':') { "nodad" } else { "" };
            namespace.ip(&format!("address add {address} dev {interface} {nodad}"))?;
        }
    }
    Ok(lan)
}

/// Octets in which a lost, doubled or moved segment shows.
fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut octets = Vec::with_capacity(len);
    while octets.len() < len {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        octets.extend(state.to_le_bytes());
    }
    octets
}

/// Sends a few megabytes there and back.
fn transfer(from: &Namespace, to: &Namespace, address: IpAddr) -> Result<()> {
    let listener = to.enter(|| TcpListener::bind(SocketAddr::new(address, 0)))??;
    let peer = listener.local_addr()?;
    let echo = thread::spawn(move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut all = vec![0; TRANSFER];
        stream.read_exact(&mut all)?;
        stream.write_all(&all)?;
        Ok(())
    });
    let mut stream = from.enter(|| TcpStream::connect_timeout(&peer, PROMPT))?.context("cannot connect")?;
    stream.set_read_timeout(Some(PROMPT))?;
    let sent = pattern(TRANSFER);
    stream.write_all(&sent)?;
    let mut back = vec![0; TRANSFER];
    stream.read_exact(&mut back).context("the transfer broke off")?;
    echo.join().map_err(|_| anyhow::anyhow!("the far end panicked"))??;
    ensure!(sent == back, "what came back is not what was sent");
    Ok(())
}

#[test]
fn a_transfer_over_tcp_comes_through_whole() -> Result<()> {
    for xdp in [Xdp::Native, Xdp::Generic] {
        let lan = lan()?;
        let server = Server::start(&lan, xdp, SUBNET)?;
        transfer(&lan.clients, &lan.server, SERVER.into()).with_context(|| format!("{xdp:?}, over IPv4"))?;
        transfer(&lan.clients, &lan.server, SERVER_V6.into())
            .with_context(|| format!("{xdp:?}, over IPv6"))?;
        transfer(&lan.server, &lan.clients, CLIENT.into()).with_context(|| format!("{xdp:?}, backwards"))?;
        // Leases are had as ever. The wire's first socket is full of the transfers and has lost the rest.
        let socket = PacketSocket::open(&lan.clients, CLIENT_IF, Sees::Arrivals)?;
        Client { socket: &socket, ..lan.client(1) }.dora()?;
        ensure!(server.stats()?.count(&["kernel", "passed"])? > 0, "nothing was seen to pass");
    }
    Ok(())
}

#[test]
fn address_resolution_works_anew() -> Result<()> {
    let lan = lan()?;
    let _server = Server::start(&lan, Xdp::Native, SUBNET)?;
    lan.clients.ip(&format!("neigh flush dev {CLIENT_IF}"))?;
    lan.server.ip(&format!("neigh flush dev {SERVER_IF}"))?;
    for (to, protocol) in [(IpAddr::from(SERVER), "ARP"), (SERVER_V6.into(), "neighbour discovery")] {
        let (far, near) = udp_pair(&lan, SocketAddr::new(to, 9999))?;
        near.send_to(b"hello", far.local_addr()?)?;
        let mut octets = [0; 16];
        let (len, _) = far.recv_from(&mut octets).with_context(|| format!("{protocol} failed"))?;
        ensure!(&octets[..len] == b"hello");
    }
    Ok(())
}

/// A socket of the server's host, and one of the client's to send from.
fn udp_pair(lan: &Lan, far: SocketAddr) -> Result<(UdpSocket, UdpSocket)> {
    let near = SocketAddr::new(
        if far.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() },
        0,
    );
    let far = lan.server.enter(|| UdpSocket::bind(far))??;
    far.set_read_timeout(Some(PROMPT))?;
    let near = lan.clients.enter(|| UdpSocket::bind(near))??;
    Ok((far, near))
}

/// The server's host may be somebody's DHCP client itself.
#[test]
fn what_is_sent_to_a_dhcp_client_on_the_server_arrives() -> Result<()> {
    let lan = lan()?;
    let _server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let (far, near) = udp_pair(&lan, SocketAddr::new(SERVER.into(), CLIENT_PORT))?;
    let answer = lan.client(1).discovering().message.encode();
    near.send_to(&answer, far.local_addr()?)?;
    let mut octets = [0; 1500];
    let (len, _) = far.recv_from(&mut octets).context("nothing came to port 68")?;
    ensure!(octets[..len] == answer[..]);
    Ok(())
}

/// Frames the program has no business with reach the stack octet for octet, and are counted.
#[test]
fn foreign_frames_pass_unchanged() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let far = PacketSocket::open(&lan.server, SERVER_IF, Sees::Arrivals)?;
    let client = lan.client(1);
    let mut envelope = client.renewing(&client.dora()?).envelope;
    let message = client.discovering().message.encode();
    let mut frames = vec![
        ("LLDP", [envelope.link_header(0x88cc), vec![2; 60]].concat()),
        ("spanning tree", [envelope.link_header(38), vec![0x42; 60]].concat()),
        ("a bare header", envelope.link_header(0x0800)),
        ("IPv6 to port 67", [envelope.link_header(0x86dd), vec![0x60; 100]].concat()),
    ];
    let plain = envelope.frame(&message)?;
    let mut fragment = plain.clone();
    fragment[20] = 0x20;
    reseal(&mut fragment);
    frames.push(("a fragment", fragment));
    let mut options = plain.clone();
    options.splice(34..34, [1; 4]);
    options[14] = 0x46;
    frames.push(("IP options", options));
    let mut tcp = plain.clone();
    tcp[23] = 6;
    reseal(&mut tcp);
    frames.push(("TCP to port 67", tcp));
    let mut stranger = plain.clone();
    stranger[..6].copy_from_slice(&[2, 0, 0, 0, 0, 0x77]);
    frames.push(("another station's", stranger));
    envelope.tags = vec![Tag::customer(1); 3];
    frames.push(("three tags", envelope.frame(&message)?));
    envelope.tags = vec![];
    envelope.dst_port = SERVER_PORT + 1;
    frames.push(("UDP to port 68", envelope.frame(&message)?));

    for (what, frame) in &frames {
        let before = server.stats()?.count(&["kernel", "passed"])?;
        lan.socket.send(frame)?;
        arrives(&far, frame).with_context(|| format!("{what} did not pass unchanged"))?;
        until("the frame to be counted", PROMPT, || {
            Ok((server.stats()?.count(&["kernel", "passed"])? > before).then_some(()))
        })?;
    }
    Ok(())
}

fn arrives(socket: &PacketSocket, frame: &[u8]) -> Result<()> {
    let deadline = Instant::now() + PROMPT;
    while let Some(found) = socket.receive(deadline)? {
        if found == frame {
            return Ok(());
        }
    }
    anyhow::bail!("it did not arrive")
}

/// Puts a right checksum into the IP header of an untagged frame.
fn reseal(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let sum = checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

/// Not even the envelope type matters: an `Envelope` to port 67 of somebody else's address is none of ours.
#[test]
fn requests_to_another_server_pass() -> Result<()> {
    let lan = lan()?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let far = PacketSocket::open(&lan.server, SERVER_IF, Sees::Arrivals)?;
    let client = lan.client(1);
    let request = client.discovering();
    let envelope = Envelope {
        eth_dst: client.server.mac,
        ip_dst: Ipv4Addr::new(10, 99, 0, 1),
        ..request.envelope.clone()
    };
    let before = server.stats()?;
    let frame = envelope.frame(&request.message.encode())?;
    lan.socket.send(&frame)?;
    arrives(&far, &frame)?;
    let after = server.stats()?;
    ensure!(after.received("discover")? == before.received("discover")?, "the daemon took it");
    Ok(())
}
