//! The swap, stressed: the loaded program answers renewals on every processor, while the daemon's side revokes, gives
//! away, moves horizons and rewrites answers. Each ACK must then be covered by a promise that the revoker knew of.
//!
//! Each answer says its own number in four places, so an answer that is torn or was not in force is seen.

use std::net::Ipv4Addr;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::BootSecs;
use dhcp_ebpf::slot::{CellsMut as _, Destination};
use dhcp_ebpf::verdict::{Dropped, Verdict};
use dhcp_user::clock::BootNanos;
use dhcp_user::datapath::leases::table::Table;
use dhcp_user::policy::{Answer, Basis, Ground, Memo, Publication, Question, Words as _, revoke_anyway};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::chance::Chance;
use crate::parity::draft::{CIADDR, Draft, ones_complement};
use crate::parity::loaded::{Loaded, Runner, TX};
use crate::parity::location::{IFINDEX, OURS};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const NET: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 0);
/// Few, so that both sides meet at each.
const LEASES: usize = 4;
/// The clients that an address goes to in turn.
const CLIENTS: usize = 2;
/// What the kernel promises, in seconds. The daemon promises two at first, so a renewal that a revoker has not seen shows.
const LEASE_TIME: u32 = 3600;
const DAEMONS_OWN: u32 = 2;
const LINK: Link = Link { ifindex: IFINDEX, outer: 0, inner: 0 };
const ELSEWHERE: Link = Link { outer: 100, ..LINK };
/// Where options begin in an untagged frame.
const OPTIONS: usize = 14 + 28 + 240;

const PATIENCE: Duration = Duration::from_secs(120);

/// So many renewals come between reading a word and overwriting it, or so long is waited for them: where no lease may be
/// renewed there are none.
const MEANWHILE: usize = 4 * LEASES * CLIENTS;
const MEANWHILE_AT_MOST: Duration = Duration::from_millis(1);

/// How the daemon's side ends a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoker {
    /// As the daemon does: by compare-and-swap from the word that it judged.
    Compares,
    /// As it must not: it reads the word, lets the kernel renew, and writes another word than it read.
    Overwrites,
}

impl Revoker {
    /// When there is enough of everything.
    const fn enough(self) -> Seen {
        match self {
            Self::Compares => Seen { acks: 300_000, raced: 50, revoked: 10_000 },
            // Every second lease that it ends has a renewal that it does not know of.
            Self::Overwrites => Seen { acks: 1000, raced: 0, revoked: 1000 },
        }
    }
}

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Answers of the program.
    pub acks: usize,
    /// Answers that were written and not sent, since the lease's word had changed.
    pub raced: u64,
    /// Leases that were ended.
    pub revoked: usize,
}

/// An answer of the program.
#[derive(Clone, Copy, Debug)]
struct Ack {
    lease: usize,
    client: usize,
    /// The number of the answer.
    answer: u32,
    /// Boot time before it ran, and after, in nanoseconds.
    ran: (u64, u64),
}

/// One client's time with an address.
#[derive(Debug)]
struct Tenure {
    client: usize,
    /// Boot time before it was published.
    from: u64,
    /// Boot time after it was revoked.
    until: u64,
    /// The last promise that the revoker knew of.
    promised: BootSecs,
    /// The horizons, each with boot time before it was moved there.
    horizons: Vec<(u64, BootSecs)>,
    /// The answers, each with boot time before it was published, and after it was void.
    answers: Vec<(u32, u64, u64)>,
}

/// Stresses the swap until there is enough of everything, and judges each ACK.
///
/// # Errors
/// With the first ACK that nobody knows of, or when there is not enough to see.
pub fn stress(seed: u64, revoker: Revoker) -> Result<Seen> {
    let mut loaded = Loaded::load([SERVER.into()])?;
    let (slots, answers, hints) = loaded.anew()?;
    let mut table = Table::new(slots, answers, Box::new(loaded.keys()), Box::new(hints));
    table.reserve(NET)?;
    loaded.beat(BootNanos::now().0);
    let raced = || loaded.counted(Verdict::Drop(Dropped::Raced));
    let raced_before = raced()?;
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let enough = revoker.enough();
    let processors = thread::available_parallelism().map_or(2, NonZero::get).max(2);
    thread::scope(|scope| {
        let renewing: Vec<_> = (0..processors)
            .map(|number| {
                let runner = loaded.runner()?;
                let (stop, answered) = (&stop, &answered);
                Ok(scope.spawn(move || renew(runner, number, stop, answered)))
            })
            .collect::<Result<_>>()?;
        let begun = Instant::now();
        let mut daemon = Daemon {
            table,
            chance: Chance::seeded(seed),
            revoker,
            answered: &answered,
            next: 0,
            tenures: Default::default(),
        };
        let told = loop {
            daemon.step();
            if daemon.next.is_multiple_of(256) {
                let seen = Seen {
                    acks: answered.load(Ordering::Relaxed),
                    raced: raced()? - raced_before,
                    revoked: daemon.tenures.iter().map(Vec::len).sum(),
                };
                let is_enough =
                    seen.acks >= enough.acks && seen.raced >= enough.raced && seen.revoked >= enough.revoked;
                if is_enough || begun.elapsed() > PATIENCE {
                    break (seen, is_enough);
                }
            }
        };
        daemon.end();
        stop.store(true, Ordering::Relaxed);
        let mut acks = Vec::new();
        for thread in renewing {
            acks.extend(thread.join().unwrap()?);
        }
        for ack in &acks {
            judge(ack, &daemon.tenures[ack.lease]).with_context(|| format!("{ack:?}"))?;
        }
        let (seen, is_enough) = told;
        ensure!(is_enough, "after {PATIENCE:?} there is no more to see than {seen:?}");
        Ok(Seen { acks: acks.len(), ..seen })
    })
}

fn address(lease: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(NET) + 10 + lease as u32)
}

fn chaddr(lease: usize, client: usize) -> [u8; 6] {
    [0x02, 0xc1, 0, 0, lease as u8, client as u8]
}

/// A client's identifier, which comes back (RFC 6842).
fn identifier(lease: usize, client: usize) -> Vec<u8> {
    [&[61, 9, 0, b's', b'w', b'a', b'p'][..], &[lease as u8, client as u8, 0, 0]].concat()
}

fn question(lease: usize, client: usize) -> Vec<u8> {
    [&[53, 1, 3][..], &identifier(lease, client), &[55, 3, 1, 3, 6, 255]].concat()
}

/// A client's renewal.
fn renewal(lease: usize, client: usize) -> Vec<u8> {
    let mut draft = Draft::new(chaddr(lease, client), question(lease, client));
    draft.stations.0 = OURS;
    draft.hosts = (address(lease), SERVER);
    draft.addresses[CIADDR] = address(lease);
    draft.write()
}

/// The options of an answer before those that come back. The two copies of its number are in different chunks.
fn options(number: u32) -> Vec<u8> {
    let number = number.to_be_bytes();
    let time = LEASE_TIME.to_be_bytes();
    let mut options =
        [&[53, 1, 5, 54, 4][..], &SERVER.octets(), &[51, 4], &time, &[224, 4], &number].concat();
    options.extend([225, 160]);
    options.extend(number.repeat(40));
    options.extend([226, 4]);
    options.extend(number);
    options
}

fn answer(number: u32, lease: usize, client: usize) -> Answer {
    let mut options = options(number);
    let echoes_at = options.len();
    options.extend(identifier(lease, client));
    options.push(255);
    Answer {
        lease_time: LEASE_TIME,
        siaddr: Ipv4Addr::from(number),
        sname: None,
        file: None,
        options,
        echoes_at,
        complete: true,
    }
}

/// Renews all leases as fast as can be, as each of the clients, and notes what is answered.
fn renew(mut runner: Runner, number: usize, stop: &AtomicBool, answered: &AtomicUsize) -> Result<Vec<Ack>> {
    let mut processor = CpuSet::new();
    processor.set(number).context("no such processor")?;
    // With one processor there is no second to go to: the threads interrupt each other instead.
    let _ = sched_setaffinity(Pid::from_raw(0), &processor);
    let all: Vec<(usize, usize)> =
        (0..LEASES).flat_map(|lease| (0..CLIENTS).map(move |client| (lease, client))).collect();
    let frames: Vec<Vec<u8>> = all.iter().map(|(lease, client)| renewal(*lease, *client)).collect();
    let mut acks = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for ((lease, client), frame) in all.iter().zip(&frames) {
            let from = BootNanos::now().0;
            let (action, left) = runner.run(frame)?;
            if action == TX {
                let answer = number_in(left, *lease, *client)?;
                acks.push(Ack { lease: *lease, client: *client, answer, ran: (from, BootNanos::now().0) });
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    Ok(acks)
}

/// The number of the answer in a frame, which must be whole.
fn number_in(frame: &[u8], lease: usize, client: usize) -> Result<u32> {
    let siaddr: [u8; 4] =
        frame.get(62..66).and_then(|siaddr| siaddr.try_into().ok()).context("a short ACK")?;
    let number = u32::from_be_bytes(siaddr);
    let due = [options(number), identifier(lease, client), vec![255]].concat();
    let is = &frame[OPTIONS..];
    ensure!(is.starts_with(&due), "an ACK of two answers: {}", is.escape_ascii());
    ensure!(frame[58..62] == address(lease).octets(), "an ACK of another address");
    ensure!(frame[70..76] == chaddr(lease, client), "an ACK for another client");
    let packet = &frame[14..];
    let pseudo = ones_complement(0, &packet[12..20]);
    let pseudo = ones_complement(pseudo, &[0, packet[9]]);
    let pseudo = ones_complement(pseudo, &packet[24..26]);
    ensure!(ones_complement(pseudo, &packet[20..]) == 0xffff, "the datagram's checksum is wrong");
    Ok(number)
}

/// The daemon's side: one thread, as in the daemon.
struct Daemon<'a> {
    table: Table,
    chance: Chance<'static>,
    revoker: Revoker,
    /// How many renewals the program has answered.
    answered: &'a AtomicUsize,
    /// The next answer's number.
    next: u32,
    tenures: [Vec<Tenure>; LEASES],
}

impl Daemon<'_> {
    /// Does one thing to one lease.
    fn step(&mut self) {
        self.next += 1;
        let lease = self.chance.below(LEASES);
        if self.tenures[lease].is_empty() {
            return self.grant(lease, 0);
        }
        match self.chance.below(12) {
            0..=4 => {
                self.revoke(lease);
                self.table.tidy();
                let client = self.chance.below(CLIENTS);
                self.grant(lease, client);
            }
            5..=6 => self.move_horizon(lease),
            7..=8 => self.answer_otherwise(lease, LINK),
            9 => {
                self.table.rest_on(address(lease), Basis(self.next));
                self.void(lease);
                self.answer_otherwise(lease, LINK);
            }
            10 => {
                self.answer_otherwise(lease, ELSEWHERE);
                self.answer_otherwise(lease, LINK);
            }
            _ => drop(self.table.extended(0, self.table.in_use())),
        }
    }

    /// Revokes all.
    fn end(&mut self) {
        (0..LEASES).for_each(|lease| self.revoke(lease));
    }

    fn grant(&mut self, lease: usize, client: usize) {
        let from = BootNanos::now().0;
        let horizon = BootSecs::floor(from).plus(*self.chance.pick(&[DAEMONS_OWN, 2 * LEASE_TIME]));
        self.tenures[lease].push(Tenure {
            client,
            from,
            until: u64::MAX,
            promised: BootSecs(u32::MAX),
            horizons: vec![(from, horizon)],
            answers: Vec::new(),
        });
        self.answer_otherwise(lease, LINK);
    }

    /// Publishes another answer for the lease.
    fn answer_otherwise(&mut self, lease: usize, link: Link) {
        self.next += 1;
        let (number, from) = (self.next, BootNanos::now().0);
        let generation = self.table.load(address(lease)).generation();
        let basis = self.table.live(address(lease)).map_or(Basis(0), |(_, basis)| basis);
        let tenure = self.tenures[lease].last_mut().unwrap();
        let question = Question {
            ciaddr: address(lease),
            giaddr: Ipv4Addr::UNSPECIFIED,
            relay_src: Ipv4Addr::UNSPECIFIED,
            options: question(lease, tenure.client),
        };
        let answer = answer(number, lease, tenure.client);
        let publication = Publication {
            address: address(lease),
            link,
            chaddr: chaddr(lease, tenure.client),
            server: SERVER,
            generation,
            expiry: BootSecs::floor(from).plus(DAEMONS_OWN),
            horizon: tenure.horizons.last().unwrap().1,
            basis,
            memos: vec![Memo { question, answer, to: Destination::Any, ground: Ground::Asked }],
        };
        tenure.answers.push((number, from, u64::MAX));
        let published = self.table.publish(&publication).unwrap();
        assert_eq!(published.without_room, 0, "the maps have room for a few leases");
        self.void(lease);
    }

    /// Of the lease's answers none but the last is in force.
    fn void(&mut self, lease: usize) {
        let now = BootNanos::now().0;
        let answers = &mut self.tenures[lease].last_mut().unwrap().answers;
        let before = answers.len() - 1;
        answers[..before].iter_mut().for_each(|(_, _, until)| *until = now.min(*until));
    }

    fn move_horizon(&mut self, lease: usize) {
        let from = BootNanos::now().0;
        let until = BootSecs::floor(from).plus(2 * LEASE_TIME);
        self.tenures[lease].last_mut().unwrap().horizons.push((from, until));
        let generation = self.table.load(address(lease)).generation();
        self.table.move_horizon(address(lease), generation, until);
    }

    fn revoke(&mut self, lease: usize) {
        let promised = match self.revoker {
            Revoker::Compares => revoke_anyway(&self.table, address(lease)).expiry(),
            Revoker::Overwrites => {
                let word = self.table.load(address(lease));
                self.move_horizon(lease);
                let (before, begun) = (self.answered.load(Ordering::Relaxed), Instant::now());
                while self.answered.load(Ordering::Relaxed) - before < MEANWHILE
                    && begun.elapsed() < MEANWHILE_AT_MOST
                {
                    thread::yield_now();
                }
                let (_, slot) = self.table.slot(address(lease)).unwrap();
                slot.0.store(0, word.revoked().0);
                word.expiry()
            }
        };
        let tenure = self.tenures[lease].last_mut().unwrap();
        tenure.promised = promised;
        tenure.until = BootNanos::now().0;
    }
}

/// An ACK stands in somebody's tenure, says what was in force then, and promises no more than its revoker knew of, nor
/// than was committed.
fn judge(ack: &Ack, tenures: &[Tenure]) -> Result<()> {
    let (from, until) = ack.ran;
    let relied_on = BootSecs::floor(from).plus(LEASE_TIME);
    let first = tenures.partition_point(|tenure| tenure.until < from);
    let mut of_client = tenures[first..]
        .iter()
        .take_while(|tenure| tenure.from <= until)
        .filter(|tenure| tenure.client == ack.client)
        .peekable();
    ensure!(of_client.peek().is_some(), "the client had no lease then");
    let mut said = of_client
        .filter(|tenure| {
            tenure
                .answers
                .iter()
                .any(|(number, begun, over)| *number == ack.answer && *begun <= until && *over >= from)
        })
        .peekable();
    let Some(tenure) = said.peek() else { bail!("this answer was not in force then") };
    ensure!(tenure.promised >= relied_on, "its revoker knew of a promise until {:?} only", tenure.promised);
    let horizon =
        tenure.horizons.iter().filter(|(moved, _)| *moved <= until).map(|(_, horizon)| *horizon).max();
    ensure!(horizon >= Some(relied_on), "the horizon was {horizon:?}");
    Ok(())
}
