//! Probes: does a host use an address? By ARP on the link, by ICMP echo behind a router.
//!
//! Nothing here waits: while probes are under way the server calls every [`LOOK`], and takes their results.

// What is heard here anybody may have sent.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod arp;
mod question;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

pub use arp::{Sighting, read as read_arp};

use crate::datapath::frames::echo_socket::EchoSocket;
use crate::datapath::frames::packet_socket::{Receiver, Wanted};
use crate::datapath::frames::sender::Sender;
use crate::policy::{Interface, Outcome, Via};
use question::{Asked, Question};

/// How often to look in while probes are under way.
pub const LOOK: Duration = Duration::from_millis(20);

/// How many frames are heard in one look: a flood of them must not hold up the server.
const HEARD: usize = 4096;
/// How many probes are gone on with at a time: a millisecond's work, and some for the clients that wait for them.
const AT_ONCE: usize = 256;

/// A probe that has come to an end.
pub type Found = (Ipv4Addr, Outcome);

/// Carries out probes.
#[derive(Debug)]
pub struct Prober {
    sender: Sender,
    ears: HashMap<u32, ArpListener>,
    echo: EchoSocket,
    echoes: Heard,
    running: HashMap<Ipv4Addr, Running>,
    /// Those that wait for their first question, in the order in which they were begun. Here and below a probe that has
    /// ended, or was forgotten, has another number.
    unasked: Vec<(Ipv4Addr, u64)>,
    /// Those that wait for an answer, with the end of that, earliest first.
    asked: VecDeque<(Instant, Ipv4Addr, u64)>,
    /// Those that the last look found to wait for nothing more.
    due: VecDeque<(Ipv4Addr, u64)>,
    /// How many probes were begun.
    begun: u64,
}

/// Where the answers to ARP come in.
#[derive(Debug)]
struct ArpListener {
    socket: Receiver,
    interface: Interface,
    heard: Heard,
}

/// The answers to a socket that were lost.
#[derive(Debug, Default)]
struct Heard {
    /// The kernel's count of frames without room.
    without_room: u32,
    /// So often something was lost, or may have been.
    gaps: u64,
}

#[derive(Debug)]
struct Running {
    number: u64,
    via: Via,
    /// Stations whose answers don't count.
    except: Arc<[[u8; 6]]>,
    question: Question,
}

impl Prober {
    /// Opens the sockets to probe on these interfaces, and beyond them.
    ///
    /// # Errors
    /// When a socket can't be opened (`CAP_NET_RAW` is needed).
    pub fn open<'a>(interfaces: impl IntoIterator<Item = &'a Interface>) -> Result<Self> {
        let ear = |interface: &Interface| {
            let socket = Receiver::open(interface.ifindex, Wanted::Arp)?;
            let heard = Heard::default();
            Ok((interface.ifindex, ArpListener { socket, interface: interface.clone(), heard }))
        };
        Ok(Self {
            sender: Sender::open()?,
            ears: interfaces.into_iter().map(ear).collect::<Result<_>>()?,
            echo: EchoSocket::open()?,
            echoes: Heard::default(),
            running: HashMap::new(),
            unasked: Vec::new(),
            asked: VecDeque::new(),
            due: VecDeque::new(),
            begun: 0,
        })
    }

    /// Probes on these interfaces from now on. Where there is no listening, nobody is asked.
    pub fn follow<'a>(&mut self, interfaces: impl IntoIterator<Item = &'a Interface>) {
        let mut former = std::mem::take(&mut self.ears);
        let mut followed = Vec::new();
        for interface in interfaces {
            followed.push(interface.ifindex);
            let socket = match former.remove(&interface.ifindex) {
                Some(ear) => Ok((ear.socket, ear.heard)),
                None => Receiver::open(interface.ifindex, Wanted::Arp).map(|new| (new, Heard::default())),
            };
            match socket {
                Ok((socket, heard)) => {
                    let ear = ArpListener { socket, interface: interface.clone(), heard };
                    self.ears.insert(interface.ifindex, ear);
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
        self.sender.keep_only(&followed);
    }

    /// Whether no probe is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Begins to probe an address; an earlier probe of it is forgotten. Answers of the stations in `except` don't
    /// count.
    pub fn begin(&mut self, address: Ipv4Addr, via: Via, except: Arc<[[u8; 6]]>) {
        self.begun += 1;
        let running = Running { number: self.begun, via, except, question: Question::default() };
        self.running.insert(address, running);
        self.unasked.push((address, self.begun));
    }

    /// Hears who has answered, and begins to ask again where nobody has. Gives what has come to an end: answers first, the
    /// rest in the order in which it was asked.
    pub fn look(&mut self, now: Instant) -> Vec<Found> {
        // What was heard counts before the time that has run out: this may come late.
        let mut found = self.hear();
        while let Some((until, address, number)) = self.asked.front().copied()
            && until <= now
        {
            self.asked.pop_front();
            self.due.push_back((address, number));
        }
        self.due.extend(self.unasked.drain(..));
        found.extend(self.go_on(now));
        found
    }

    /// Whether the last look is not dealt with to its end: [`go_on`](Self::go_on) is to be called.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        !self.due.is_empty()
    }

    /// Deals with a part of what the last look found.
    pub fn go_on(&mut self, now: Instant) -> Vec<Found> {
        let mut found = Vec::new();
        let mut part: Vec<_> = self.due.drain(..AT_ONCE.min(self.due.len())).collect();
        part.retain(|(address, number)| match self.step(*address, *number) {
            Step::Ask => true,
            Step::Over(outcome) => {
                self.running.remove(address);
                found.push((*address, outcome));
                false
            }
            Step::Gone => false,
        });
        self.ask(&part, now + question::WAIT);
        found
    }

    /// What is next for the probe of that number, which waits for no answer any more.
    fn step(&mut self, address: Ipv4Addr, number: u64) -> Step {
        let gaps = |via| self.gaps(via);
        let Some(probe) = self.running.get(&address).filter(|probe| probe.number == number) else {
            return Step::Gone;
        };
        let gaps = gaps(probe.via);
        let is_ours = own(&self.ears, address).map(|station| Outcome::Answered(Some(station)));
        let outcome = is_ours.or_else(|| self.running.get_mut(&address)?.question.unanswered(gaps));
        outcome.map_or(Step::Ask, Step::Over)
    }

    /// How often answers that come this way may have been lost.
    fn gaps(&self, via: Via) -> u64 {
        match via {
            Via::Arp(link) => self.ears.get(&link.ifindex).map_or(0, |ear| ear.heard.gaps),
            Via::Icmp => self.echoes.gaps,
        }
    }

    /// Puts the question to each of these addresses; answers are waited for `until` then.
    fn ask(&mut self, part: &[(Ipv4Addr, u64)], until: Instant) {
        let mut asked: Vec<(Ipv4Addr, Asked)> = Vec::with_capacity(part.len());
        let (mut by_arp, mut frames) = (Vec::new(), Vec::new());
        for (address, _) in part {
            match self.running.get(address).map(|probe| probe.via) {
                Some(Via::Arp(link)) => match self.ears.get(&link.ifindex) {
                    Some(ear) => {
                        by_arp.push(*address);
                        frames.push((link.ifindex, arp::probe(link, ear.interface.mac, *address)));
                    }
                    None => asked.push((*address, Asked::Unreachable)),
                },
                Some(Via::Icmp) => asked.push((*address, told(*address, self.echo.ask(*address)))),
                None => {}
            }
        }
        for (address, sent) in by_arp.into_iter().zip(self.sender.send_each(&frames)) {
            asked.push((address, told(address, sent)));
        }
        for (address, asked) in asked {
            let Some(via) = self.running.get(&address).map(|probe| probe.via) else { continue };
            let gaps = self.gaps(via);
            if let Some(probe) = self.running.get_mut(&address) {
                probe.question.asked(asked, gaps);
            }
        }
        self.asked.extend(part.iter().map(|(address, number)| (until, *address, *number)));
    }

    /// Probes that were answered. Frames from before the question don't count.
    fn hear(&mut self) -> Vec<Found> {
        let mut found = Vec::new();
        let ours: Vec<[u8; 6]> = self.ears.values().map(|ear| ear.interface.mac).collect();
        for ear in self.ears.values_mut() {
            let heard = (0..HEARD).try_for_each(|_| {
                let Some(frame) = ear.socket.receive()? else { return Err(End::Nothing) };
                let Some(seen) = arp::read(frame.ifindex, &frame.frame) else { return Ok(()) };
                let probe = self.running.get(&seen.address);
                let answers = |probe: &Running| {
                    probe.question.is_asked()
                        && probe.via == Via::Arp(seen.link)
                        && !probe.except.contains(&seen.station)
                };
                if !ours.contains(&seen.station) && probe.is_some_and(answers) {
                    self.running.remove(&seen.address);
                    found.push((seen.address, Outcome::Answered(Some(seen.station))));
                }
                Ok(())
            });
            ear.heard.note(heard, ear.socket.lost(), &ear.interface.name);
        }
        let heard = (0..HEARD).try_for_each(|_| {
            let Some(address) = self.echo.answered()? else { return Err(End::Nothing) };
            let answers = |probe: &Running| probe.question.is_asked() && probe.via == Via::Icmp;
            if self.running.get(&address).is_some_and(answers) {
                self.running.remove(&address);
                found.push((address, Outcome::Answered(None)));
            }
            Ok(())
        });
        self.echoes.note(heard, self.echo.lost(), "ICMP echo");
        found
    }
}

/// What is next for a probe.
enum Step {
    /// It is asked, once more.
    Ask,
    Over(Outcome),
    /// It was answered, or another has taken its place.
    Gone,
}

/// Why no more answers can be read now.
enum End {
    /// There was nothing more.
    Nothing,
    Failed(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Heard {
    /// `heard` is how listening ended: all right if there may be more.
    fn note(&mut self, heard: Result<(), End>, without_room: io::Result<u32>, what: &str) {
        if let Err(End::Failed(error)) = &heard {
            tracing::debug!(%error, what, "answers to probes can't be heard");
        }
        let all = matches!(heard, Err(End::Nothing));
        let without_room = without_room.unwrap_or_else(|_| self.without_room.wrapping_add(1));
        if !all || without_room != self.without_room {
            self.without_room = without_room;
            self.gaps += 1;
        }
    }
}

/// The station of our own that has this address.
fn own(ears: &HashMap<u32, ArpListener>, address: Ipv4Addr) -> Option<[u8; 6]> {
    let mut interfaces = ears.values().map(|ear| &ear.interface);
    interfaces.find(|interface| interface.addresses.contains(&address)).map(|interface| interface.mac)
}

/// The result of asking once.
fn told(address: Ipv4Addr, sent: io::Result<()>) -> Asked {
    if let Err(error) = &sent {
        tracing::debug!(%address, %error, "a probe could not be sent");
    }
    Asked::from(sent)
}
