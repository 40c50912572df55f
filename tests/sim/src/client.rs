//! Devices: what each knows of its lease, and what it sends next (RFC 2131 §4.4).

use std::net::Ipv4Addr;

use fuzz::parity::draft::{CIADDR, Draft, GIADDR};

use super::reply::{Answer, Kind};
use super::shape::{Device, Message, Shape};
use super::site::{Location, OURS, RELAY, ROUTER};

/// Nanoseconds.
pub const SECOND: u64 = 1_000_000_000;

/// What the transactions of RELEASEs and DECLINEs have beside the client's number.
const FAREWELL: u32 = 0x80_0000;

/// What kind of device it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It keeps to the RFC, and remembers what it has when it is switched off.
    Steady,
    /// It has another client identifier at each start, and gives nothing back.
    Forgetful,
    /// A line of a remote access server: one hardware address, an identifier for each line.
    Line,
}

/// The states of RFC 2131, figure 5, and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Switched off.
    Off,
    /// It is about to begin.
    Init,
    /// It waits for offers.
    Selecting,
    /// It has taken an offer.
    Requesting,
    /// It has its lease.
    Bound,
    /// It asks who gave it.
    Renewing,
    /// It asks everybody.
    Rebinding,
    /// It asks for what it had.
    Rebooting,
}

/// What it has.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// The address.
    pub address: Ipv4Addr,
    /// Who gave it.
    pub server: Ipv4Addr,
    /// When it was got.
    pub from: u64,
    /// When it ends.
    pub until: u64,
}

/// A device.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its number.
    pub number: u8,
    /// What kind it is.
    pub manner: Manner,
    /// Where it is.
    pub place: Location,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// What it is about.
    pub state: State,
    /// When it does something next.
    pub due: u64,
    /// The transaction.
    pub xid: u32,
    /// What it has.
    pub lease: Option<Lease>,
    /// Addresses that ACKs are under way for which it would heed, and until when they hold.
    pub pending: Vec<(Ipv4Addr, u64)>,
    /// Since when it asks in vain.
    wants_since: Option<u64>,
    /// Its lease may be ended: somebody who may has said so.
    pub is_excused: bool,
    /// It was the operator who has ended it: when nobody answers there, it is anybody's.
    pub is_ended: bool,
    /// The server may not know it again: it lost its leases, and goes by what the maps know.
    pub is_unknown: bool,
    /// Nobody need keep its address for it any more.
    pub is_void: bool,
    shape: Shape,
    id: Option<Vec<u8>>,
    starts: u32,
    tries: u32,
    sent: u32,
    sent_at: u64,
    offered: (Ipv4Addr, Ipv4Addr),
    /// Its clock is so many thousandths fast.
    fast: u64,
}

impl Client {
    /// A device that is off.
    #[must_use]
    pub(crate) fn new(number: u8, manner: Manner, place: Location, shape: Shape, fast: u64) -> Self {
        let last = if manner == Manner::Line { 0xee } else { number };
        let mut client = Self {
            number,
            manner,
            place,
            mac: [0x02, 0xc1, 0x1e, 0x27, 0x00, last],
            state: State::Off,
            due: 0,
            xid: u32::from(number) << 24,
            lease: None,
            pending: Vec::new(),
            wants_since: None,
            is_excused: false,
            is_ended: false,
            is_void: false,
            is_unknown: false,
            shape,
            id: None,
            starts: 0,
            tries: 0,
            sent: u32::from(number),
            sent_at: 0,
            offered: (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED),
            fast,
        };
        client.identify();
        client
    }

    fn identify(&mut self) {
        self.id = match self.manner {
            Manner::Steady => None,
            Manner::Forgetful => Some(vec![0, b'f', self.number, self.starts as u8]),
            Manner::Line => Some([b"\x01RAS ".as_slice(), &[self.number]].concat()),
        };
    }

    /// What it relies on at `now`, or may when it hears: addresses and until when.
    pub fn relies(&self, now: u64) -> impl Iterator<Item = (Ipv4Addr, u64)> + '_ {
        let lease = self.lease.filter(|_| !self.is_void).map(|lease| (lease.address, lease.until));
        lease.into_iter().chain(self.pending.iter().copied()).filter(move |(_, until)| *until > now)
    }

    /// Whether it uses the address at this moment, and answers for it.
    #[must_use]
    pub fn uses(&self, address: Ipv4Addr, now: u64) -> bool {
        self.state != State::Off
            && self.lease.is_some_and(|lease| lease.address == address && lease.until > now)
    }

    /// Whether it waits for an ACK.
    #[must_use]
    pub const fn awaits_ack(&self) -> bool {
        matches!(self.state, State::Requesting | State::Renewing | State::Rebinding | State::Rebooting)
    }

    /// An address is its own no more, whatever it has heard of it or may hear: as it has said, or the operator.
    pub fn has_no_more(&mut self, address: Ipv4Addr) {
        self.pending.retain(|(pending, _)| *pending != address);
        if self.lease.is_some_and(|lease| lease.address == address) {
            (self.is_void, self.is_excused) = (true, true);
        }
    }

    fn begin(&mut self, state: State) {
        self.starts += 1;
        self.xid = u32::from(self.number) << 24 | (self.starts & 0xff_ffff);
        self.pending.clear();
        (self.state, self.tries) = (state, 0);
    }

    /// It is switched off; what it remembers is its own affair.
    pub fn switch_off(&mut self, until: u64) {
        self.begin(State::Off);
        self.wants_since = None;
        self.due = until;
        if self.manner != Manner::Steady {
            self.forget();
        }
    }

    /// It gives its address back as it goes down, and comes up at once asking for it again: what goes down and what comes up know
    /// nothing of each other.
    pub fn bounce(&mut self, until: u64) -> Option<Vec<u8>> {
        let lease = self.lease?;
        let frame = self.farewell(7, lease.address, lease.server);
        self.switch_off(until);
        Some(frame)
    }

    /// It gives its address back, and is switched off.
    pub fn release(&mut self, until: u64) -> Option<Vec<u8>> {
        let lease = self.lease?;
        let frame = self.farewell(7, lease.address, lease.server);
        self.lease = None;
        self.switch_off(until);
        Some(frame)
    }

    fn forget(&mut self) {
        self.lease = None;
        (self.is_void, self.is_excused, self.is_ended) = (false, false, false);
    }

    fn lose(&mut self, now: u64, wait: u64) {
        self.forget();
        self.begin(State::Init);
        self.due = now + wait * SECOND;
    }

    /// For how long it has asked for a lease in vain.
    #[must_use]
    pub fn without(&self, now: u64) -> u64 {
        self.wants_since.map_or(0, |since| now - since)
    }

    /// Does what is due. What it sends.
    pub fn act(&mut self, now: u64) -> Option<Vec<u8>> {
        let has = self.lease.is_some_and(|lease| lease.until > now);
        match self.wants_since {
            Some(_) if has => self.wants_since = None,
            None if !has => self.wants_since = Some(now),
            _ => {}
        }
        let lease = self.lease.filter(|lease| lease.until > now);
        if self.lease.is_some() && lease.is_none() {
            self.forget();
            if matches!(self.state, State::Bound | State::Renewing | State::Rebinding) {
                self.begin(State::Init);
            }
        }
        self.tries += 1;
        match (self.state, lease) {
            (State::Off, Some(_)) if self.shape.reboots() => self.begin(State::Rebooting),
            (State::Off | State::Init, _) => {
                self.forget();
                self.begin(State::Selecting);
                self.is_unknown = false;
                self.identify();
            }
            (State::Selecting, _) if self.tries > 4 => self.begin(State::Selecting),
            (State::Requesting, _) if self.tries > 4 => {
                self.begin(State::Init);
                self.due = now + SECOND;
                return None;
            }
            (State::Rebooting, Some(lease)) if self.tries > 3 => {
                self.begin(State::Bound);
                self.due = t1(&lease).max(now);
                return None;
            }
            (State::Rebooting, None) => {
                self.begin(State::Init);
                self.due = now;
                return None;
            }
            (State::Bound, Some(lease)) if now >= t2(&lease) => self.begin(State::Rebinding),
            (State::Bound, Some(_)) => self.begin(State::Renewing),
            (State::Renewing, Some(lease)) if now >= t2(&lease) => self.begin(State::Rebinding),
            (State::Bound | State::Renewing | State::Rebinding, None) => {
                self.lose(now, 0);
                return None;
            }
            _ => {}
        }
        let backoff = |tries: u32| (4 * SECOND) << tries.min(4);
        let message = match self.state {
            State::Selecting => Message::Discover,
            State::Requesting => Message::Select,
            State::Rebooting => Message::Reboot,
            State::Renewing => Message::Renew,
            State::Rebinding => Message::Rebind,
            State::Off | State::Init | State::Bound => return None,
        };
        self.due = match (self.state, lease) {
            (State::Renewing, Some(lease)) => {
                (now + ((t2(&lease) - now.min(t2(&lease))) / 2).max(60 * SECOND)).min(lease.until)
            }
            (State::Rebinding, Some(lease)) => {
                (now + ((lease.until - now) / 2).max(60 * SECOND)).min(lease.until)
            }
            _ => now + backoff(self.tries),
        };
        self.sent_at = now;
        self.sent += 1;
        Some(self.message(message))
    }

    /// An answer comes in. `is_taken`: somebody else answers for the address. What it sends then.
    pub fn hear(&mut self, answer: &Answer, now: u64, is_taken: bool) -> Option<Vec<u8>> {
        if answer.xid != self.xid || answer.mac != self.mac {
            return None;
        }
        match (answer.kind, self.state) {
            (Kind::Offer, State::Selecting) => {
                self.offered = (answer.yiaddr, answer.server);
                (self.state, self.tries, self.due) = (State::Requesting, 0, now);
                None
            }
            (Kind::Ack, _) if self.awaits_ack() => {
                let first = matches!(self.state, State::Requesting | State::Rebooting);
                if first && is_taken {
                    let frame = self.farewell(4, answer.yiaddr, answer.server);
                    self.lose(now, 10);
                    return Some(frame);
                }
                let secs = u64::from(answer.time);
                let until = self.sent_at + secs * SECOND - secs * SECOND * self.fast / 1000;
                if until <= now {
                    return None;
                }
                self.pending.clear();
                let lease =
                    Lease { address: answer.yiaddr, server: answer.server, from: self.sent_at, until };
                self.lease = Some(lease);
                (self.state, self.due) = (State::Bound, t1(&lease).max(now));
                self.wants_since = None;
                None
            }
            (Kind::Nak, _) if self.awaits_ack() => {
                self.lose(now, 2);
                None
            }
            _ => None,
        }
    }

    fn device(&self) -> Device {
        let lease = self.lease.map(|lease| (lease.address, lease.server));
        let (address, server) = match self.state {
            State::Requesting => self.offered,
            _ => lease.unwrap_or((Ipv4Addr::UNSPECIFIED, self.place.server())),
        };
        Device { mac: self.mac, address, server, sent: self.sent }
    }

    fn message(&self, message: Message) -> Vec<u8> {
        let device = self.device();
        let mut area = self.shape.area(message, &device);
        if let Some(id) = &self.id {
            let end = area.len() - 1;
            area.splice(end..end, [&[61, id.len() as u8], id.as_slice()].concat());
        }
        let mut draft = Draft::new(self.mac, area);
        draft.xid = self.xid;
        let bound = matches!(message, Message::Renew | Message::Rebind);
        if bound {
            draft.hosts.0 = device.address;
            if !self.shape.without_ciaddr {
                draft.addresses[CIADDR] = device.address;
            }
        }
        let unicast = message == Message::Renew && !self.shape.broadcasts;
        self.send(draft, unicast.then_some(device.server))
    }

    /// RELEASE (7) or DECLINE (4).
    fn farewell(&self, kind: u8, address: Ipv4Addr, server: Ipv4Addr) -> Vec<u8> {
        let mut area = vec![53, 1, kind, 54, 4];
        area.extend(server.octets());
        if kind == 4 {
            area.extend([50, 4]);
            area.extend(address.octets());
        }
        area.extend(self.identifier());
        area.push(255);
        let mut draft = Draft::new(self.mac, area);
        draft.xid = self.xid ^ FAREWELL;
        if kind == 7 {
            draft.hosts.0 = address;
            draft.addresses[CIADDR] = address;
        }
        self.send(draft, (kind == 7).then_some(server))
    }

    /// The client identifier that it sends, as an option.
    #[must_use]
    pub fn identifier(&self) -> Vec<u8> {
        if let Some(id) = &self.id {
            return [&[61, id.len() as u8], id.as_slice()].concat();
        }
        let area = self.shape.area(Message::Discover, &self.device());
        let mut options = area.as_slice();
        while let [code, rest @ ..] = options {
            match (code, rest) {
                (0, _) => options = rest,
                (255, _) | (_, []) => break,
                (_, [len, value @ ..]) => {
                    let (value, more) = value.split_at(usize::from(*len));
                    if *code == 61 {
                        return [&[61, *len], value].concat();
                    }
                    options = more;
                }
            }
        }
        Vec::new()
    }

    /// By the way that there is from its place: to one server, or to all.
    fn send(&self, mut draft: Draft, to: Option<Ipv4Addr>) -> Vec<u8> {
        draft.tags = self.place.tags().to_vec();
        match (self.place, to) {
            (Location::Relay, None) => {
                draft.stations = (OURS, ROUTER);
                draft.hosts = (RELAY, self.place.server());
                draft.ports.0 = 67;
                draft.first[3] = 1;
                draft.addresses[GIADDR] = RELAY;
                let end = draft.area.len() - 1;
                draft.area.splice(end..end, [82, 6, 1, 4, b'e', b't', b'h', b'0' + self.number % 10]);
            }
            (Location::Relay, Some(server)) => {
                draft.stations = (OURS, ROUTER);
                draft.hosts.1 = server;
            }
            (_, Some(server)) => {
                draft.stations.0 = OURS;
                draft.hosts.1 = server;
            }
            (_, None) => {}
        }
        draft.write()
    }
}

fn t1(lease: &Lease) -> u64 {
    lease.from + (lease.until - lease.from) / 2
}

fn t2(lease: &Lease) -> u64 {
    lease.from + (lease.until - lease.from) / 8 * 7
}

/// Which client gives which address back by a frame, if it is the RELEASE of one that does so itself.
#[must_use]
pub fn released(frame: &[u8]) -> Option<(u8, Ipv4Addr)> {
    let mut at = 12;
    while frame.get(at..at + 2)? == [0x81, 0x00] {
        at += 4;
    }
    let bootp = frame.get(at + 2 + 28..)?;
    let xid = u32::from_be_bytes(*bootp.get(4..)?.first_chunk()?);
    let ciaddr = *bootp.get(12..)?.first_chunk::<4>()?;
    let is_it = xid & FAREWELL != 0 && bootp.get(240..243)? == [53, 1, 7];
    is_it.then_some(((xid >> 24) as u8, Ipv4Addr::from(ciaddr)))
}
