//! Probes: who uses an address? Asked by ARP on the link, by ICMP echo behind a router.
//!
//! Nothing here waits: while probes are under way the server looks in every [`LOOK`], and takes what they have come to.

mod arp;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::datapath::echo_socket::EchoSocket;
use crate::datapath::packet_socket::{Receiver, Sender, Wanted};
use crate::policy::{Interface, Outcome, Via};

/// How often to look in while probes are under way.
pub const LOOK: Duration = Duration::from_millis(20);

/// How often an address is asked for.
const ATTEMPTS: u8 = 2;
/// How long each attempt waits for an answer. RFC 5227 has hosts wait for seconds in all; a client that waits for its
/// OFFER repeats its DISCOVER after four (RFC 2131 §4.1).
const WAIT: Duration = Duration::from_millis(250);
/// How many frames are heard in one look: a flood of them must not hold up the server.
const HEARD: usize = 4096;

/// A probe that has come to an end.
pub type Found = (Ipv4Addr, Outcome);

/// Carries out probes.
#[derive(Debug)]
pub struct Prober {
    sender: Sender,
    ears: HashMap<u32, Ear>,
    echo: EchoSocket,
    running: HashMap<Ipv4Addr, Running>,
    /// How many probes were begun.
    begun: u64,
}

/// Where the answers to ARP come in.
#[derive(Debug)]
struct Ear {
    socket: Receiver,
    interface: Interface,
}

#[derive(Debug)]
struct Running {
    number: u64,
    via: Via,
    attempts: u8,
    /// Whether anything was sent at all.
    asked: bool,
    due: Instant,
}

impl Prober {
    /// Opens the sockets to probe on these interfaces, and beyond them.
    ///
    /// # Errors
    /// When a socket can't be had (`CAP_NET_RAW` is needed).
    pub fn open<'a>(interfaces: impl IntoIterator<Item = &'a Interface>) -> Result<Self> {
        let ear = |interface: &Interface| {
            let socket = Receiver::open(interface.ifindex, Wanted::Arp)?;
            Ok((interface.ifindex, Ear { socket, interface: interface.clone() }))
        };
        Ok(Self {
            sender: Sender::open()?,
            ears: interfaces.into_iter().map(ear).collect::<Result<_>>()?,
            echo: EchoSocket::open()?,
            running: HashMap::new(),
            begun: 0,
        })
    }

    /// Probes on these interfaces from now on. Where there is no listening, nobody is asked.
    pub fn follow<'a>(&mut self, interfaces: impl IntoIterator<Item = &'a Interface>) {
        let mut former = std::mem::take(&mut self.ears);
        for interface in interfaces {
            let socket = match former.remove(&interface.ifindex) {
                Some(ear) => Ok(ear.socket),
                None => Receiver::open(interface.ifindex, Wanted::Arp),
            };
            match socket {
                Ok(socket) => {
                    self.ears.insert(interface.ifindex, Ear { socket, interface: interface.clone() });
                }
                Err(error) => {
                    tracing::debug!(
                        error = format!("{error:#}"),
                        interface = interface.name,
                        "not probed on"
                    );
                }
            }
        }
    }

    /// Whether no probe is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Begins to probe an address; an earlier probe of it is forgotten.
    pub fn begin(&mut self, address: Ipv4Addr, via: Via) {
        let running = Running { number: self.begun, via, attempts: 0, asked: false, due: Instant::now() };
        self.running.insert(address, running);
        self.begun += 1;
    }

    /// Hears who has answered, asks again where nobody has, and gives what has come to an end: answers first, the rest
    /// in the order in which it was begun.
    pub fn look(&mut self, now: Instant) -> Vec<Found> {
        // What was heard counts before the time that has run out: this may come late.
        let mut found = self.hear();
        let Self { sender, ears, echo, running, .. } = self;
        let mut ended = Vec::new();
        running.retain(|address, probe| {
            if probe.due > now {
                return true;
            }
            let outcome = match own(ears, *address) {
                Some(station) => Outcome::Answered(Some(station)),
                None if probe.attempts < ATTEMPTS => {
                    probe.attempts += 1;
                    probe.asked |= ask(sender, ears, echo, *address, probe.via);
                    probe.due = now + WAIT;
                    return true;
                }
                None if probe.asked => Outcome::Silent,
                None => Outcome::Unknown,
            };
            ended.push((probe.number, (*address, outcome)));
            false
        });
        ended.sort_unstable_by_key(|(number, _)| *number);
        found.extend(ended.into_iter().map(|(_, ended)| ended));
        found
    }

    /// Probes that were answered. What was said before the question doesn't count.
    fn hear(&mut self) -> Vec<Found> {
        let mut found = Vec::new();
        for ear in self.ears.values() {
            for _ in 0..HEARD {
                let frame = match ear.socket.receive() {
                    Ok(Some(frame)) => frame,
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(%error, interface = ear.interface.name, "answers to ARP can't be heard");
                        break;
                    }
                };
                let Some(seen) = arp::read(frame.ifindex, &frame.frame) else { continue };
                let ours = self.ears.values().any(|ear| ear.interface.mac == seen.station);
                let probe = self.running.get(&seen.address);
                if !ours && probe.is_some_and(|probe| probe.asked && probe.via == Via::Arp(seen.link)) {
                    self.running.remove(&seen.address);
                    found.push((seen.address, Outcome::Answered(Some(seen.station))));
                }
            }
        }
        for _ in 0..HEARD {
            let address = match self.echo.answered() {
                Ok(Some(address)) => address,
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "answers to ICMP echo can't be heard");
                    break;
                }
            };
            if self.running.get(&address).is_some_and(|probe| probe.asked && probe.via == Via::Icmp) {
                self.running.remove(&address);
                found.push((address, Outcome::Answered(None)));
            }
        }
        found
    }
}

/// The station of our own that has this address.
fn own(ears: &HashMap<u32, Ear>, address: Ipv4Addr) -> Option<[u8; 6]> {
    let mut interfaces = ears.values().map(|ear| &ear.interface);
    interfaces.find(|interface| interface.addresses.contains(&address)).map(|interface| interface.mac)
}

/// Asks once. `false`: the question could not be sent.
fn ask(sender: &Sender, ears: &HashMap<u32, Ear>, echo: &EchoSocket, address: Ipv4Addr, via: Via) -> bool {
    match via {
        Via::Arp(link) => ears.get(&link.ifindex).is_some_and(|ear| {
            let frame = arp::probe(link, ear.interface.mac, address);
            sender.send(&[(link.ifindex, frame)]) == 0
        }),
        Via::Icmp => match echo.ask(address) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%address, %error, "a probe could not be sent");
                false
            }
        },
    }
}
