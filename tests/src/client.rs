//! A scripted DHCP client: says any message of RFC 2131 in any way it may travel, and judges what comes back.

use anyhow::{Context, Result, bail, ensure};
use std::net::Ipv4Addr;
use std::time::Instant;

use crate::answer::Answer;
use crate::echo;
use crate::packet::PacketSocket;
use crate::request::next_xid;
use crate::wait::{PROMPT, deadline};
use crate::wire::{BROADCAST, CLIENT_PORT, Envelope, Kind, Mac, Message, SERVER_PORT, Tag, options};

pub use crate::request::Request;

const EVERYBODY: Ipv4Addr = Ipv4Addr::BROADCAST;
const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// What the scripted client asks for: mask, router, name servers, domain, T1 and T2.
pub const WANTED: [u8; 6] = [1, 3, 6, 15, 58, 59];

/// How a client's messages come to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// The client is on the server's link.
    Link,
    /// Unicasts come through a router; broadcasts are not heard.
    Router {
        /// The router's address on the server's link.
        mac: Mac,
    },
    /// Everything comes through a relay agent.
    Relay {
        /// The relay's hardware address on the server's link.
        mac: Mac,
        /// giaddr: also the address the relay sends from.
        address: Ipv4Addr,
        /// Relay agent information (option 82) it appends.
        agent_info: Option<Vec<u8>>,
    },
}

/// The server as seen from the client: what it has to be addressed by.
#[derive(Clone, Copy, Debug)]
pub struct ServerAddress {
    /// Hardware address of its interface.
    pub mac: Mac,
    /// IP address of its interface.
    pub ip: Ipv4Addr,
}

/// A client with a hardware address, a way to the server, and nothing remembered.
#[derive(Clone, Debug)]
pub struct Client<'a> {
    /// The wire it speaks on.
    pub socket: &'a PacketSocket,
    /// Its hardware address.
    pub mac: Mac,
    /// Its client identifier (option 61), if it sends one.
    pub client_id: Option<Vec<u8>>,
    /// VLAN tags its frames carry when they reach the server, outermost first.
    pub tags: Vec<Tag>,
    /// How its messages get there.
    pub via: Via,
    /// Whom it speaks to.
    pub server: ServerAddress,
}

/// The state in which a client asks to go on with its lease (RFC 2131 §4.3.2, table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Unicast to the server.
    Renewing,
    /// Broadcast.
    Rebinding,
    /// Broadcast by a client that has just started and knows its old address.
    InitReboot,
}

impl Renewal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Renewing, Self::Rebinding, Self::InitReboot];

    /// The server's name for it in its counters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Renewing => "renewing",
            Self::Rebinding => "rebinding",
            Self::InitReboot => "init-reboot",
        }
    }
}

/// What a client keeps of an ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address leased.
    pub address: Ipv4Addr,
    /// The server identifier.
    pub server: Ipv4Addr,
    /// Lease time in seconds.
    pub seconds: u32,
}

impl<'a> Client<'a> {
    /// A client on the server's own link that sends no client identifier.
    #[must_use]
    pub fn new(socket: &'a PacketSocket, mac: Mac, server: ServerAddress) -> Self {
        Self { socket, mac, client_id: None, tags: Vec::new(), via: Via::Link, server }
    }

    /// DISCOVER, OFFER, REQUEST, ACK.
    ///
    /// # Errors
    /// When an answer is missing, wrong, or a NAK.
    pub fn dora(&self) -> Result<Lease> {
        let offer = self.discover()?;
        ensure!(offer.kind == Kind::Offer, "a DISCOVER got {:?}", offer.kind);
        granted(&self.select(&offer)?)
    }

    /// A DISCOVER, and the answer to it.
    ///
    /// # Errors
    /// As [`Client::exchange`].
    pub fn discover(&self) -> Result<Answer> {
        self.exchange(&self.discovering())
    }

    /// A REQUEST that selects `offer`, and the answer to it.
    ///
    /// # Errors
    /// As [`Client::exchange`].
    pub fn select(&self, offer: &Answer) -> Result<Answer> {
        self.exchange(&self.selecting(offer)?)
    }

    /// A unicast REQUEST in the state RENEWING, and what it got.
    ///
    /// # Errors
    /// As [`Client::exchange`], and when the answer is not an ACK of the same address.
    pub fn renew(&self, lease: &Lease) -> Result<Answer> {
        self.extend(&self.renewing(lease), lease)
    }

    /// A broadcast REQUEST in the state REBINDING, and what it got.
    ///
    /// # Errors
    /// As [`Client::exchange`], and when the answer is not an ACK of the same address.
    pub fn rebind(&self, lease: &Lease) -> Result<Answer> {
        self.extend(&self.rebinding(lease), lease)
    }

    /// A REQUEST in the state INIT-REBOOT, and what it got.
    ///
    /// # Errors
    /// As [`Client::exchange`], and when the answer is not an ACK of the same address.
    pub fn reboot(&self, lease: &Lease) -> Result<Answer> {
        self.extend(&self.rebooting(lease.address), lease)
    }

    /// Sends a request to go on with `lease`, and returns what it got.
    ///
    /// # Errors
    /// As [`Client::exchange`], and when the answer is not an ACK of the same lease.
    pub fn extend(&self, request: &Request, lease: &Lease) -> Result<Answer> {
        let answer = self.exchange(request)?;
        let extended = granted(&answer)?;
        ensure!(extended == *lease, "{lease:?} was extended as {extended:?}");
        Ok(answer)
    }

    /// An INFORM from an address configured by hand, and the answer to it.
    ///
    /// # Errors
    /// As [`Client::exchange`].
    pub fn inform(&self, address: Ipv4Addr) -> Result<Answer> {
        self.exchange(&self.informing(address))
    }

    /// Sends a RELEASE. Nothing answers it.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn release(&self, lease: &Lease) -> Result<()> {
        self.send(&self.releasing(lease))
    }

    /// Sends a DECLINE. Nothing answers it.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn decline(&self, lease: &Lease) -> Result<()> {
        self.send(&self.declining(lease))
    }

    /// The message of state INIT.
    #[must_use]
    pub fn discovering(&self) -> Request {
        self.broadcast(Kind::Discover, &[(55, &WANTED)])
    }

    /// The message of state SELECTING.
    ///
    /// # Errors
    /// When the offer has no server identifier.
    pub fn selecting(&self, offer: &Answer) -> Result<Request> {
        let server = offer.address_option(54)?.octets();
        let wanted = offer.message.yiaddr.octets();
        Ok(self.broadcast(Kind::Request, &[(54, &server), (50, &wanted), (55, &WANTED)]))
    }

    /// The message by which a client in this state asks to go on with its lease.
    #[must_use]
    pub fn extending(&self, state: Renewal, lease: &Lease) -> Request {
        match state {
            Renewal::Renewing => self.renewing(lease),
            Renewal::Rebinding => self.rebinding(lease),
            Renewal::InitReboot => self.rebooting(lease.address),
        }
    }

    /// The message of state RENEWING: unicast, so never through a relay.
    #[must_use]
    pub fn renewing(&self, lease: &Lease) -> Request {
        let mut request = self.unicast(Kind::Request, lease.address, lease.server, &[(55, &WANTED)]);
        request.message.ciaddr = lease.address;
        request
    }

    /// The message of state REBINDING: broadcast, through the relay if there is one.
    #[must_use]
    pub fn rebinding(&self, lease: &Lease) -> Request {
        let mut request = self.broadcast(Kind::Request, &[(55, &WANTED)]);
        request.message.ciaddr = lease.address;
        if !matches!(self.via, Via::Relay { .. }) {
            request.envelope.ip_src = lease.address;
        }
        request
    }

    /// The message of state INIT-REBOOT.
    #[must_use]
    pub fn rebooting(&self, address: Ipv4Addr) -> Request {
        self.broadcast(Kind::Request, &[(50, &address.octets()), (55, &WANTED)])
    }

    /// An INFORM, unicast to the server.
    #[must_use]
    pub fn informing(&self, address: Ipv4Addr) -> Request {
        let mut request = self.unicast(Kind::Inform, address, self.server.ip, &[(55, &WANTED)]);
        request.message.ciaddr = address;
        request
    }

    /// A RELEASE, unicast to the server.
    #[must_use]
    pub fn releasing(&self, lease: &Lease) -> Request {
        let server = lease.server.octets();
        let mut request = self.unicast(Kind::Release, lease.address, lease.server, &[(54, &server)]);
        request.message.ciaddr = lease.address;
        request
    }

    /// A DECLINE, broadcast.
    #[must_use]
    pub fn declining(&self, lease: &Lease) -> Request {
        let declined = lease.address.octets();
        self.broadcast(Kind::Decline, &[(50, &declined), (54, &lease.server.octets())])
    }

    /// A message that everybody on the client's link hears, the relay included.
    fn broadcast(&self, kind: Kind, list: &[(u8, &[u8])]) -> Request {
        let mut message = self.message(kind, list);
        let mut envelope = self.envelope(self.mac, BROADCAST, NOBODY, EVERYBODY);
        if let Via::Relay { mac, address, agent_info } = &self.via {
            message.giaddr = *address;
            message.hops = 1;
            if let Some(info) = agent_info {
                append_option(&mut message.options, 82, info);
            }
            envelope = self.envelope(*mac, self.server.mac, *address, self.server.ip);
            envelope.src_port = SERVER_PORT;
        }
        Request { envelope, message }
    }

    /// A message from the client's own address to the server's: routed, where the client is not on the link.
    fn unicast(&self, kind: Kind, from: Ipv4Addr, to: Ipv4Addr, list: &[(u8, &[u8])]) -> Request {
        let sender = match &self.via {
            Via::Link => self.mac,
            Via::Router { mac } | Via::Relay { mac, .. } => *mac,
        };
        Request {
            envelope: self.envelope(sender, self.server.mac, from, to),
            message: self.message(kind, list),
        }
    }

    fn message(&self, kind: Kind, list: &[(u8, &[u8])]) -> Message {
        let kind = [kind as u8];
        let mut all: Vec<(u8, &[u8])> = vec![(53, &kind)];
        if let Some(id) = &self.client_id {
            all.push((61, id));
        }
        all.extend_from_slice(list);
        Message::from_client(self.mac, next_xid(), options(&all))
    }

    fn envelope(&self, eth_src: Mac, eth_dst: Mac, ip_src: Ipv4Addr, ip_dst: Ipv4Addr) -> Envelope {
        let tags = self.tags.clone();
        Envelope { eth_src, eth_dst, tags, ip_src, ip_dst, src_port: CLIENT_PORT, dst_port: SERVER_PORT }
    }

    /// Sends a request and waits for the answer to it, which must be right in every respect a client can judge.
    ///
    /// # Errors
    /// When no answer comes, or a wrong one.
    pub fn exchange(&self, request: &Request) -> Result<Answer> {
        self.send(request)?;
        match self.answer(request, deadline(PROMPT))? {
            Some(answer) => Ok(answer),
            None => bail!("no answer within {PROMPT:?} to {request:?}"),
        }
    }

    /// Sends frames, then an INFORM, and returns what the server sent until it had answered that.
    ///
    /// The server takes its messages in order, those of exchanges already begun before all others: whatever it has to
    /// say to the frames it has said before it answers the INFORM. That one is another client's, a new one's each time:
    /// nobody is sent away for having asked too often.
    ///
    /// # Errors
    /// When the INFORM is not answered, or a DHCP frame arrives that is wrong.
    pub fn answers_to(&self, frames: &[Vec<u8>], address: Ipv4Addr) -> Result<Vec<Answer>> {
        for frame in frames {
            self.socket.send(frame)?;
        }
        let [.., a, b] = next_xid().to_be_bytes();
        let last = Self { mac: [0x02, 0xee, 0, 0, a, b], ..self.clone() }.informing(address);
        self.send(&last)?;
        let deadline = deadline(PROMPT);
        let mut answers = Vec::new();
        while let Some(frame) = self.socket.receive(deadline)? {
            let Some(answer) = Answer::decode(&frame).with_context(|| wrong(&frame))? else { continue };
            if answer.message.xid == last.message.xid {
                return Ok(answers);
            }
            answers.push(answer);
        }
        bail!("the server did not answer an INFORM within {PROMPT:?}")
    }

    /// Sends a request that must not be answered; see [`Client::answers_to`] for how that is known.
    ///
    /// # Errors
    /// When it is answered.
    pub fn expect_silence(&self, request: &Request, witness: Ipv4Addr) -> Result<()> {
        let answers = self.answers_to(&[request.frame()?], witness)?;
        let answered = answers.iter().find(|answer| answer.message.xid == request.message.xid);
        ensure!(
            answered.is_none(),
            "{:?} was sent where there should be silence",
            answered.map(|answer| answer.kind)
        );
        Ok(())
    }

    /// Sends a request and leaves it at that.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn send(&self, request: &Request) -> Result<()> {
        self.socket.send(&request.frame()?)
    }

    /// The answer to `request`, if one arrives before `deadline`. Answers to others are passed over.
    ///
    /// # Errors
    /// When a DHCP frame arrives that is wrong.
    pub fn answer(&self, request: &Request, deadline: Instant) -> Result<Option<Answer>> {
        while let Some(frame) = self.socket.receive(deadline)? {
            if let Some(answer) = Answer::decode(&frame).with_context(|| wrong(&frame))?
                && answer.message.xid == request.message.xid
            {
                echo::check(request, &answer).with_context(|| wrong(&frame))?;
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }
}

/// What an ACK grants.
///
/// # Errors
/// When the answer is not an ACK, or its times make no sense.
pub fn granted(ack: &Answer) -> Result<Lease> {
    ensure!(ack.kind == Kind::Ack, "the server sent {:?}, not an ACK", ack.kind);
    let seconds = ack.number_option(51)?;
    if let (Ok(renew), Ok(rebind)) = (ack.number_option(58), ack.number_option(59)) {
        ensure!(renew <= rebind && rebind <= seconds, "T1 {renew}, T2 {rebind}, lease {seconds}");
    }
    Ok(Lease { address: ack.message.yiaddr, server: ack.address_option(54)?, seconds })
}

/// Adds an option to an area that ends with END.
pub fn append_option(area: &mut Vec<u8>, code: u8, value: &[u8]) {
    area.pop();
    area.extend_from_slice(&options(&[(code, value)]));
}

fn wrong(frame: &[u8]) -> String {
    let octets: String = frame.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("a server's frame is wrong: {octets}")
}
