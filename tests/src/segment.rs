//! One link with two servers on it, each in a namespace of its own, and a switch that shows what each of them sends.
//!
//! ```text
//!   first server                switch                  clients
//!   ┌──────────┐      ┌──────────────────────┐        ┌──────┐
//!   │     srv0 ╪═veth═╪ port0 ┐              │        │      │
//!   └──────────┘      │       ├ bridge ─ out ╪══veth══╪ cli0 │
//!   ┌──────────┐      │       │              │        │      │
//!   │     srv0 ╪═veth═╪ port1 ┘              │        └──────┘
//!   └──────────┘      └──────────────────────┘
//!   second server
//! ```

use anyhow::{Context, Result, bail};
use std::net::Ipv4Addr;

use crate::answer::Answer;
use crate::client::{Client, Request, ServerAddress};
use crate::namespace::{End, Namespace};
use crate::packet::{PacketSocket, Sees};
use crate::pass::Pass;
use crate::server::Home;
use crate::topology::{CLIENT_IF, CLIENT_MAC, SERVER_IF};
use crate::wait::{PROMPT, deadline};
use crate::wire::Mac;
use crate::world::World;

/// The switch's ports to the servers.
const PORTS: [&str; 2] = ["port0", "port1"];
/// Its port to the clients.
const OUT: &str = "out";

/// A server's side of the link.
#[derive(Debug)]
pub struct Port {
    /// How clients address the server.
    pub address: ServerAddress,
    /// Where it runs.
    pub namespace: Namespace,
    name: &'static str,
    /// What leaves it.
    leaves: PacketSocket,
    _pass: Pass,
}

/// Two servers and the clients of both.
#[derive(Debug)]
pub struct Segment {
    /// Where scripted clients speak.
    pub socket: PacketSocket,
    /// The servers' sides.
    pub ports: [Port; 2],
    _clients: Namespace,
    _switch: Namespace,
    /// Last, because everything else lives in it.
    pub world: World,
}

impl Segment {
    /// A link on which the servers have these addresses in a prefix of `len` bits.
    ///
    /// # Errors
    /// Without root's rights, or when the kernel refuses.
    pub fn new(name: &str, addresses: [Ipv4Addr; 2], len: u8) -> Result<Self> {
        let world = World::new(name)?;
        let switch = Namespace::new()?;
        switch.ip("link add bridge type bridge mcast_snooping 0")?;
        let clients = Namespace::new()?;
        let far = End { name: CLIENT_IF, mac: CLIENT_MAC, address: None };
        switch.join(&End { name: OUT, mac: mac(9), address: None }, &clients, &far)?;
        switch.ip(&format!("link set {OUT} master bridge"))?;
        let ports = [0, 1].map(|number: u8| {
            let at = usize::from(number);
            Port::new(&switch, PORTS[at], number, (addresses[at], len))
        });
        let [first, second] = ports;
        let ports = [first?, second?];
        switch.ip("link set bridge up")?;
        let socket = PacketSocket::open(&clients, CLIENT_IF, Sees::Arrivals)?;
        Ok(Self { socket, ports, _clients: clients, _switch: switch, world })
    }

    /// Where an `xdhcpd` at one of the ports runs and keeps its files.
    #[must_use]
    pub fn home(&self, port: usize) -> Home<'_> {
        let Port { namespace, name, .. } = &self.ports[port];
        Home::at(namespace, self.world.dir().join(name), self.world.bpf().join(name))
    }

    /// The scripted client number `n`; what it sends to one server alone goes to the one at `port`.
    #[must_use]
    pub fn client(&self, n: u16, port: usize) -> Client<'_> {
        let [high, low] = n.to_be_bytes();
        Client::new(&self.socket, [0x02, 0xc1, 0, 0, high, low], self.ports[port].address)
    }

    /// Sends a request, and returns what each server has to say to it: what it sends until it has answered what came
    /// next, an INFORM from a host at `witness`.
    ///
    /// # Errors
    /// As [`Segment::ask_before`].
    pub fn ask(&self, request: &Request, witness: Ipv4Addr) -> Result<[Vec<Answer>; 2]> {
        self.ask_before(request, &[0, 1].map(|port| self.stranger(port).informing(witness)))
    }

    /// Sends a request and after it a last one to each server, and returns what each sends before it answers that.
    ///
    /// # Errors
    /// When a last one is not answered, or a server's frame is wrong in itself.
    pub fn ask_before(&self, request: &Request, last: &[Request; 2]) -> Result<[Vec<Answer>; 2]> {
        self.socket.send(&request.frame()?)?;
        for last in last {
            self.socket.send(&last.frame()?)?;
        }
        let [first, second] = [0, 1].map(|port| self.ports[port].hear_until(&last[port]));
        Ok([first.context("the first server")?, second.context("the second server")?])
    }

    /// A client that was never heard before: nobody is sent away for having asked too often.
    fn stranger(&self, port: usize) -> Client<'_> {
        let client = self.client(0, port);
        let [.., a, b] = client.discovering().message.xid.to_be_bytes();
        Client { mac: [0x02, 0xee, 0, 0, a, b], ..client }
    }
}

impl Port {
    fn new(switch: &Namespace, name: &'static str, number: u8, address: (Ipv4Addr, u8)) -> Result<Self> {
        let namespace = Namespace::new()?;
        let server = mac(0x10 + number);
        let here = End { name, mac: mac(number), address: None };
        switch.join(&here, &namespace, &End { name: SERVER_IF, mac: server, address: Some(address) })?;
        switch.ip(&format!("link set {name} master bridge"))?;
        let pass = Pass::attach(switch, name)?;
        let leaves = PacketSocket::open(switch, name, Sees::Arrivals)?;
        let address = ServerAddress { mac: server, ip: address.0 };
        Ok(Self { address, namespace, name, leaves, _pass: pass })
    }

    /// The answers that leave the server until the one to `last`.
    fn hear_until(&self, last: &Request) -> Result<Vec<Answer>> {
        let deadline = deadline(PROMPT);
        let mut heard = Vec::new();
        while let Some(frame) = self.leaves.receive(deadline)? {
            let Some(answer) = Answer::decode_neighbours(&frame)? else { continue };
            if answer.message.xid == last.message.xid {
                return Ok(heard);
            }
            heard.push(answer);
        }
        bail!("did not answer {:?} within {PROMPT:?}", last.message)
    }
}

fn mac(number: u8) -> Mac {
    [0x02, 0x53, 0, 0, 1, number]
}
