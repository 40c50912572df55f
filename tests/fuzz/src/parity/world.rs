//! A server and its clients in one process: policy, the memory that it shares with the program, and the program, if it is loaded.

use std::collections::HashSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use dhcp_ebpf::abi::{NetAddr, RunKey};
use dhcp_ebpf::lease::BootSecs;
use dhcp_ebpf::question::Keys;
use dhcp_ebpf::slot::{CHUNK_CELLS, SLOT_CELLS};
use dhcp_ebpf::verdict::Verdict;
use dhcp_user::clock::BootNanos;
use dhcp_user::datapath::frames::frame;
use dhcp_user::datapath::leases::hints::Hints;
use dhcp_user::datapath::leases::memory::Region;
use dhcp_user::datapath::leases::table::Table;
use dhcp_user::datapath::program::object::Sizes;
use dhcp_user::message::Request;
use dhcp_user::policy::{Action, Event, Granted, Policy, Publication, Reply, Reuse, Words as _};

use super::host::{Leads, Seen};
use super::loaded::{KernelHints, Loaded, differing};
use super::location::{Client, IFINDEX, LOCATIONS, NETS, OURS, SERVERS, config, interface};
use super::shape::{Message, shapes};
use crate::chance::Chance;

/// How much the maps hold.
pub const SIZES: Sizes = Sizes { slots: 256 * NETS.len() as u32, chunks: 4096 };
/// How many clients there are.
const CLIENTS: u8 = 40;
/// When the clock of a world begins whose program is the host's alone.
const BEGINNING: u64 = 1_000_000 * SECOND;
const SECOND: u64 = 1_000_000_000;

/// Something that happens.
#[derive(Clone, PartialEq, Eq)]
pub enum Step {
    /// A frame comes in.
    Frame(Vec<u8>),
    /// One comes in, and where it is not answered the daemon gets it.
    Heard(Vec<u8>),
    /// The operator ends a lease.
    Release(Ipv4Addr),
    /// What was published for a lease is void.
    Forget(Ipv4Addr),
    /// The daemon is not seen alive any more.
    Away,
    /// It is seen alive again.
    Back,
    /// The daemon looks at what the kernel has extended.
    Settle,
    /// Seconds go by. A loaded program has a clock of its own: for it they don't.
    Later(u16),
}

/// What became of a frame.
#[derive(Debug)]
pub struct Met {
    /// What the packet logic said.
    pub verdict: Verdict,
    /// What the daemon said, if it was asked.
    pub told: Option<Told>,
}

/// What the daemon says.
#[derive(Debug)]
pub enum Told {
    /// It offers this address, as this server.
    Offer(Ipv4Addr, Ipv4Addr),
    /// It acknowledges a lease by this frame; of which address, as which server.
    Ack(Vec<u8>, Ipv4Addr, Ipv4Addr),
    /// It refuses, says something else, or nothing: by what is so at the moment, not by what the message is.
    Otherwise(String),
    /// The message is none.
    Malformed(String),
}

/// Hints for the program and for the host.
struct Both {
    leads: Arc<Mutex<Leads>>,
    kernel: Option<KernelHints>,
}

impl Hints for Both {
    fn lead_run(&mut self, key: RunKey, first: u32) -> Result<()> {
        self.leads.lock().unwrap().lead_run(key, first)?;
        self.kernel.as_mut().map_or(Ok(()), |kernel| kernel.lead_run(key, first))
    }

    fn lead_question(&mut self, hash: u64, slot: u32) -> Result<()> {
        let led = self.leads.lock().unwrap().lead_question(hash, slot);
        let kernel = self.kernel.as_mut().map(|kernel| kernel.lead_question(hash, slot));
        assert!(
            kernel.is_none_or(|kernel| kernel.is_ok() == led.is_ok()),
            "there is room for a question here, not there"
        );
        led
    }

    fn drop_interface(&mut self, ifindex: u32) {
        self.leads.lock().unwrap().drop_interface(ifindex);
        self.kernel.iter_mut().for_each(|kernel| kernel.drop_interface(ifindex));
    }

    fn drop_question(&mut self, hash: u64, slot: u32) {
        self.leads.lock().unwrap().drop_question(hash, slot);
        self.kernel.iter_mut().for_each(|kernel| kernel.drop_question(hash, slot));
    }
}

/// All of it.
pub struct World<'k> {
    policy: Policy,
    table: Table,
    leads: Arc<Mutex<Leads>>,
    keys: Keys,
    ours: HashSet<NetAddr>,
    /// The clients.
    pub(crate) clients: Vec<Client>,
    /// The clock, where it is ours.
    clock: u64,
    is_away: bool,
    loaded: Option<&'k mut Loaded>,
}

impl<'k> World<'k> {
    /// A world that follows from its seed: its clients have their leases.
    ///
    /// # Errors
    /// When something is different already, or the kernel refuses.
    pub fn new(seed: u64, mut loaded: Option<&'k mut Loaded>) -> Result<Self> {
        let (slots, answers, kernel) = match &mut loaded {
            Some(loaded) => {
                let (slots, answers, hints) = loaded.anew()?;
                (slots, answers, Some(hints))
            }
            None => {
                let Sizes { slots, chunks } = SIZES;
                let heap = |count: u32, cells| Region::heap(count as usize * cells);
                (heap(slots, SLOT_CELLS), heap(chunks, CHUNK_CELLS), None)
            }
        };
        let mut chance = Chance::seeded(seed);
        let keys = match &loaded {
            Some(loaded) => loaded.keys(),
            None => Keys(std::array::from_fn(|_| std::array::from_fn(|_| chance.any()))),
        };
        let runs = kernel.as_ref().map_or_else(Default::default, KernelHints::runs);
        let leads = Arc::new(Mutex::new(Leads::new(SIZES.slots, runs)));
        let hints = Both { leads: Arc::clone(&leads), kernel };
        let mut table = Table::new(slots, answers, Box::new(keys), Box::new(hints));
        for net in NETS {
            table.reserve(net)?;
        }
        // Not of the chance that keys were drawn by: a loaded program has its own, and the same clients.
        let mut chance = Chance::seeded(seed);
        let shapes = shapes();
        let client = |number| {
            Client::new(
                number,
                chance.pick(&shapes).clone(),
                LOCATIONS[usize::from(number) % LOCATIONS.len()],
            )
        };
        let mut this = Self {
            policy: Policy::new(&config(), vec![interface()], seed),
            table,
            leads,
            keys,
            ours: ours(),
            clients: (0..CLIENTS).map(client).collect(),
            clock: BEGINNING,
            is_away: false,
            loaded,
        };
        for client in 0..this.clients.len() {
            this.begin(client).with_context(|| format!("client {client}, at the beginning"))?;
        }
        Ok(this)
    }

    /// A client gets its lease.
    fn begin(&mut self, client: usize) -> Result<()> {
        for message in [Message::Discover, Message::Select] {
            let frame = self.clients[client].message(message).write();
            let met = self.meet(&frame, true)?;
            let (Some(Told::Offer(address, server)) | Some(Told::Ack(_, address, server))) = met.told else {
                bail!("{message:?} is answered by {met:?}");
            };
            let device = &mut self.clients[client].device;
            (device.address, device.server) = (address, server);
            device.sent += 1;
        }
        Ok(())
    }

    fn now(&self) -> u64 {
        if self.loaded.is_some() { BootNanos::now().0 } else { self.clock }
    }

    /// Does a step. Of a frame, what became of it.
    ///
    /// # Errors
    /// With what was different between the loaded program, the host's build and the daemon.
    pub fn step(&mut self, step: &Step) -> Result<Option<Met>> {
        match step {
            Step::Frame(frame) => return self.meet(frame, false).map(Some),
            Step::Heard(frame) => return self.meet_twice(frame).map(Some),
            Step::Release(address) => {
                let event = Event::OperatorRelease { address: *address, reuse: Reuse::AtOnce };
                self.decide(event);
            }
            Step::Forget(address) => self.table.forget_answers(*address),
            Step::Away => self.is_away = true,
            Step::Back => self.is_away = false,
            Step::Settle => self.settle(),
            Step::Later(secs) => {
                self.settle();
                self.clock += u64::from(*secs) * SECOND;
                self.decide(Event::Tick);
            }
        }
        Ok(None)
    }

    /// What the daemon has answered is answered alike when it comes again, whoever answers.
    fn meet_twice(&mut self, frame: &[u8]) -> Result<Met> {
        let first = self.meet(frame, true)?;
        if let (Verdict::Up(_), Some(Told::Ack(before, ..))) = (first.verdict, &first.told) {
            let again = self.meet(frame, false).context("when it comes again")?;
            if let (Verdict::Reply(_), Some(Told::Ack(after, ..))) = (again.verdict, &again.told) {
                ensure!(before == after, "the answer to the same is another: {}", differing(before, after));
            }
        }
        Ok(first)
    }

    /// A frame comes in, and is answered by the loaded program and the host's build, or by neither; and by the daemon if it
    /// is answered, or if that is to hear what they don't answer.
    fn meet(&mut self, frame: &[u8], heard: bool) -> Result<Met> {
        let now = self.now();
        let heartbeat = if self.is_away { now - 60 * SECOND } else { now };
        let leads = self.leads.lock().unwrap();
        let (table, keys, ours) = (&self.table, &self.keys, &self.ours);
        let seen = Seen { table, leads: &leads, keys, ours, heartbeat };
        let (fate, promise) = seen.judge(frame, now);
        if let Some(loaded) = &mut self.loaded {
            // A frame of less than an Ethernet header comes from no driver.
            if frame.len() >= 14 {
                loaded.beat(heartbeat);
                loaded.run(frame, &fate).with_context(|| {
                    format!("the host's build says {:?}, the loaded program something else", fate.verdict)
                })?;
                ensure!(
                    promise.is_none_or(|promise| promise.is_made()),
                    "the loaded program promises something else"
                );
            }
        } else {
            let (other, _) = seen.judge_in(frame, (1500, 0), now);
            ensure!(
                other.verdict == fate.verdict,
                "without room behind {:?} becomes {:?}",
                fate.verdict,
                other.verdict
            );
            ensure!(
                other.frame == fate.frame,
                "without room behind: {}",
                differing(&fate.frame, &other.frame)
            );
            if let Some(promise) = promise {
                promise.make();
            }
        }
        drop(leads);
        let verdict = fate.verdict;
        if let Verdict::Reply(_) = verdict {
            let told = self.ask(frame, now);
            match &told {
                Told::Ack(by_daemon, ..) if *by_daemon == fate.frame => {}
                Told::Ack(by_daemon, ..) => {
                    bail!(
                        "the daemon's answer is another than the kernel's: {}",
                        differing(&fate.frame, by_daemon)
                    )
                }
                // An answer holds until what was published is void, or the lease ends.
                Told::Otherwise(_) => {}
                Told::Offer(..) | Told::Malformed(_) => {
                    bail!("the kernel answers what the daemon doesn't: {told:?}")
                }
            }
            return Ok(Met { verdict, told: Some(told) });
        }
        ensure!(fate.frame == frame, "{verdict:?}, and changed: {}", differing(frame, &fate.frame));
        let told = (heard && matches!(verdict, Verdict::Up(_))).then(|| self.ask(frame, now));
        Ok(Met { verdict, told })
    }

    /// What the daemon says to a frame.
    fn ask(&mut self, frame: &[u8], now: u64) -> Told {
        let read = Request::read(Bytes::copy_from_slice(frame), IFINDEX, BootSecs::floor(now));
        let request = match read {
            Ok(request) => self.policy.judge_agent(request),
            Err(malformed) => return Told::Malformed(format!("{malformed:?}")),
        };
        let word = Some(self.table.load(request.ciaddr));
        let request = Arc::new(Request { word, ..request });
        let mut told = Told::Otherwise("not a word".into());
        for action in self.decide(Event::Message(Arc::clone(&request))) {
            match action {
                Action::Reply { request: to, reply, granted } if Arc::ptr_eq(&to, &request) => {
                    told = self.leaves(&request, &reply, granted);
                }
                Action::Silence { request: to, why } if Arc::ptr_eq(&to, &request) => {
                    told = Told::Otherwise(why.name().into());
                }
                _ => {}
            }
        }
        told
    }

    /// What leaves when policy has decided on a reply.
    fn leaves(&self, request: &Request, reply: &Reply, granted: Option<Granted>) -> Told {
        let is_void = |lease: Granted| self.table.load(lease.address).generation() != lease.generation;
        if granted.is_some_and(is_void) {
            return Told::Otherwise("overtaken".into());
        }
        let frame = frame::write(request, reply, OURS);
        match (reply, frame) {
            (_, None) => Told::Otherwise("longer than a frame".into()),
            (Reply::Offer { yiaddr, server, .. }, Some(_)) => Told::Offer(*yiaddr, *server),
            (Reply::Ack { yiaddr, server, .. }, Some(frame)) => Told::Ack(frame.to_vec(), *yiaddr, *server),
            (Reply::Nak { .. }, Some(_)) => Told::Otherwise("nak".into()),
            (_, Some(_)) => Told::Otherwise("something else".into()),
        }
    }

    /// Has policy decide, and does what is to be done in memory. What was decided.
    fn decide(&mut self, event: Event) -> Vec<Action> {
        let now = BootSecs::floor(self.now());
        let mut actions = Vec::new();
        self.policy.handle(now, &self.table, event, &mut actions);
        for action in &actions {
            match action {
                Action::Publish(lease) => {
                    // What comes too late is not published; the lease's address says nothing else then.
                    let _ = self.table.publish(&odd(lease.clone(), now));
                }
                Action::Horizon { address, generation, until } => {
                    self.table.move_horizon(*address, *generation, *until);
                }
                _ => {}
            }
        }
        self.table.tidy();
        actions
    }

    /// The daemon is told what the kernel has extended.
    fn settle(&mut self) {
        for extended in self.table.extended(0, self.table.in_use()) {
            self.decide(Event::Extended {
                address: extended.address,
                word: extended.word,
                renewals: extended.unreported.renewals,
                is_last_answer: true,
            });
        }
    }
}

/// Addresses that frames for us go to.
pub fn ours() -> HashSet<NetAddr> {
    let broadcasts = NETS.map(|net| Ipv4Addr::from(u32::from(net) | 0xff));
    SERVERS.into_iter().chain(broadcasts).map(NetAddr::from).collect()
}

/// Some clients' leases have run out as far as the kernel knows, and some may not be promised for long.
fn odd(mut lease: Publication, now: BootSecs) -> Publication {
    match lease.chaddr[5] % 16 {
        14 => lease.expiry = BootSecs(now.0.saturating_sub(100)),
        15 => lease.horizon = now.plus(100),
        _ => {}
    }
    lease
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
        match self {
            Self::Frame(frame) => write!(f, "frame {}", hex(frame)),
            Self::Heard(frame) => write!(f, "heard {}", hex(frame)),
            Self::Release(address) => write!(f, "release {address}"),
            Self::Forget(address) => write!(f, "forget {address}"),
            Self::Away => f.write_str("away"),
            Self::Back => f.write_str("back"),
            Self::Settle => f.write_str("settle"),
            Self::Later(secs) => write!(f, "later {secs}"),
        }
    }
}

impl std::str::FromStr for Step {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        let octets = |hex: &str| -> Result<Vec<u8>> {
            ensure!(hex.is_ascii() && hex.len().is_multiple_of(2), "not octets: {hex}");
            (0..hex.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&hex[at..at + 2], 16)?)).collect()
        };
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Ok(match word {
            "frame" => Self::Frame(octets(rest)?),
            "heard" => Self::Heard(octets(rest)?),
            "release" => Self::Release(rest.parse()?),
            "forget" => Self::Forget(rest.parse()?),
            "away" => Self::Away,
            "back" => Self::Back,
            "settle" => Self::Settle,
            "later" => Self::Later(rest.parse()?),
            _ => bail!("no step: {line}"),
        })
    }
}
