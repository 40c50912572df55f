//! Many replies at once: they leave from the kernel where that is known to arrive, by a packet socket where it is not, and
//! every one comes, whole and in its client's order.

use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use std::time::Instant;
use system_tests::answer::Answer;
use system_tests::client::{Client, Request, ServerAddress};
use system_tests::echo;
use system_tests::packet::{PacketSocket, Sees};
use system_tests::server::{Home, Launch, Server, Xdp};
use system_tests::topology::{Lan, SERVER_IF};
use system_tests::wait::PROMPT;
use system_tests::wire::{Kind, Tag};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// Clients, each of which asks twice: several batches of answers.
const CLIENTS: u16 = 300;

fn subnet(more: &str) -> String {
    format!(
        r#"
[[subnet]]
prefix = "10.0.0.0/16"
pools = ["10.0.1.0 - 10.0.255.250"]
lease-time = "1h"
{more}
options = {{ routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.53"], domain-name = "a-net.example.org" }}
"#
    )
}

/// Clients whose identifiers make answers of many lengths.
fn crowd<'a>(wire: &'a PacketSocket, server: ServerAddress, tags: &[Tag]) -> Vec<Client<'a>> {
    let client = |number: u16| {
        let [high, low] = number.to_be_bytes();
        let id = [vec![0, high, low], vec![b'c'; usize::from(number % 90)]].concat();
        Client {
            client_id: Some(id),
            tags: tags.to_vec(),
            ..Client::new(wire, [0x02, 0xc1, 0, 0, high, low], server)
        }
    };
    (0..CLIENTS).map(client).collect()
}

/// Has every client ask twice while the server is stopped, so that it finds all of that at once.
fn asked_at_once(server: &Server<'_>, clients: &[Client<'_>]) -> Result<Vec<Request>> {
    let first: Vec<Request> = clients.iter().map(Client::discovering).collect();
    let again: Vec<Request> = first.iter().map(Request::again).collect();
    let requests = [first, again].concat();
    server.freeze()?;
    for (request, client) in requests.iter().zip(clients.iter().cycle()) {
        client.send(request)?;
    }
    server.thaw()?;
    Ok(requests)
}

/// Each request must get its OFFER, and each client its OFFERs in the order that it asked in.
fn all_are_answered(wire: &PacketSocket, mut open: Vec<Request>) -> Result<()> {
    let deadline = Instant::now() + PROMPT;
    while !open.is_empty() {
        let frame = wire.receive(deadline)?;
        let frame = frame.with_context(|| format!("{} DISCOVERs were not answered", open.len()))?;
        let Some(offer) = Answer::decode(&frame)? else { continue };
        ensure!(offer.kind == Kind::Offer, "a DISCOVER got {:?}", offer.kind);
        let next = open.iter().position(|request| request.message.chaddr == offer.message.chaddr);
        let next = open.remove(next.context("nobody waits for this OFFER")?);
        ensure!(next.message.xid == offer.message.xid, "an OFFER overtook that of {next:?}");
        echo::check(&next, &offer)?;
    }
    Ok(())
}

/// How many replies have left by a packet socket: what leaves from the kernel isn't seen there.
fn by_socket(leaving: &PacketSocket) -> Result<usize> {
    let mut seen = 0;
    while let Some(frame) = leaving.receive(Instant::now())? {
        seen += usize::from(Answer::decode(&frame)?.is_some());
    }
    Ok(seen)
}

fn from_the_kernel(name: &str, tags: &[Tag], settings: &str, launch: &Launch<'_>) -> Result<()> {
    let lan = Lan::new(name, SERVER, 16)?;
    let mut server = Server::start(&lan, Xdp::Native, &subnet(settings))?;
    server.stop()?;
    server.start_again_with(launch)?;
    let leaving = PacketSocket::open(&lan.server, SERVER_IF, Sees::Everything)?;
    let requests = asked_at_once(&server, &crowd(&lan.socket, lan.server_address, tags))?;
    let all = requests.len();
    all_are_answered(&lan.socket, requests)?;

    let by_socket = by_socket(&leaving)?;
    println!("{by_socket} of {all} by the packet socket");
    ensure!(by_socket < all / 2, "{by_socket} of {all} replies left by a packet socket");
    ensure!(server.stats()?.count(&["daemon", "dropped", "not-sent"]).unwrap_or(0) == 0);
    Ok(())
}

#[test]
fn many_replies_leave_from_the_kernel() -> Result<()> {
    from_the_kernel("bursts", &[], "", &Launch::default())
}

#[test]
fn the_capabilities_of_a_service_are_enough_for_it() -> Result<()> {
    let under = [
        "setpriv",
        "--bounding-set=-all,+net_admin,+net_raw,+bpf,+perfmon",
        "--inh-caps=-all",
        "--no-new-privs",
    ];
    from_the_kernel("bursts-service", &[], "", &Launch { under: &under, ..Launch::default() })
}

#[test]
fn so_they_do_on_a_vlan_in_a_vlan() -> Result<()> {
    let tags = [Tag::provider(200), Tag::customer(100)];
    from_the_kernel("bursts-qinq", &tags, "vlan = [200, 100]\nserver-id = \"10.0.0.1\"", &Launch::default())
}

/// Without a program at the far end of a veth pair nothing that is sent from the kernel arrives.
#[test]
fn where_nothing_would_arrive_from_the_kernel_all_leave_by_a_packet_socket() -> Result<()> {
    let lan = Lan::new("bursts-alone", SERVER, 16)?;
    drop(lan.pass);
    let home = Home::at(&lan.server, lan.world.dir().to_owned(), lan.world.bpf().join("xdhcpd"));
    let server = Server::start(home, Xdp::Native, &subnet(""))?;
    let leaving = PacketSocket::open(&lan.server, SERVER_IF, Sees::Everything)?;
    let requests = asked_at_once(&server, &crowd(&lan.socket, lan.server_address, &[]))?;
    let all = requests.len();
    all_are_answered(&lan.socket, requests)?;
    ensure!(by_socket(&leaving)? == all, "each once, and by a packet socket");
    ensure!(server.stats()?.count(&["daemon", "dropped", "not-sent"]).unwrap_or(0) == 0);
    Ok(())
}
