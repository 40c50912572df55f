//! DHCPLEASEQUERY (RFC 4388): a relay asks which client leases an address. It changes nothing.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::Exchange;
use crate::message::Request;
use crate::message::options::code;
use crate::policy::action::{Action, LeaseStatus, Reply, Silence};
use crate::policy::answer::encode::{self, Composed, Field, Room, Value};
use crate::policy::answer::{self, Answer, Type};
use crate::policy::book::binding::{Binding, FOR_GOOD};
use crate::policy::book::identity::Identity;
use crate::policy::book::state::State;
use crate::policy::site::place::Place;
use crate::policy::site::terms::Terms;
use crate::policy::terms::given::terms_of_lease;
use crate::policy::turn::Turn;
use crate::store::HwAddr;

/// The most addresses in option 92, the last used first: one option holds no more.
const MOST_ASSOCIATED: usize = 63;
/// The options that come from the lease, not the configuration; sent unasked if the query has no parameter list.
const OF_THE_LEASE: [u8; 6] = [
    code::LEASE_TIME,
    code::RENEWAL_TIME,
    code::REBINDING_TIME,
    code::CLIENT_IDENTIFIER,
    code::CLIENT_LAST_TRANSACTION_TIME,
    code::AGENT_INFORMATION,
];

/// The subject of a query: exactly one of three (RFC 4388 §6.2).
#[derive(Clone, Copy, Debug)]
enum Subject<'a> {
    Address(Ipv4Addr),
    Device(HwAddr),
    Client(&'a [u8]),
}

impl<'a> Subject<'a> {
    fn of(request: &'a Request) -> Option<Self> {
        let address = Some(request.ciaddr).filter(|address| !address.is_unspecified());
        let device = Some(request.chaddr).filter(|device| device.octets().iter().any(|octet| *octet != 0));
        match (address, device, request.options.client_id.as_deref()) {
            (Some(address), None, None) => Some(Self::Address(address)),
            (None, Some(device), None) => Some(Self::Device(device)),
            (None, None, Some(id)) => Some(Self::Client(id)),
            _ => None,
        }
    }
}

/// A lease as it stands at this second. Times are in seconds from now, rounded up.
struct Standing {
    /// Until the lease ends.
    remaining: u32,
    /// Since the client was last heard, by the daemon or by the kernel.
    silent: u32,
    /// Until T1 and T2; `None` once they are past.
    renewal: Option<u32>,
    rebinding: Option<u32>,
}

impl Exchange<'_> {
    pub(super) fn lease_query(&mut self, turn: &mut Turn<'_>, request: &Arc<Request>) {
        match self.query(turn, request) {
            Ok(reply) => {
                turn.out.push(Action::Reply { request: Arc::clone(request), reply, granted: None });
            }
            Err(why) => turn.silence(request, why),
        }
    }

    fn query(&mut self, turn: &mut Turn<'_>, request: &Request) -> Result<Reply, Silence> {
        self.check_requester(request)?;
        let subject = Subject::of(request).ok_or(Silence::UnclearQuery)?;
        let server = self.asked_at(request).ok_or(Silence::NoServerId)?;
        let leases = self.leases_of(turn, subject);
        match leases.first() {
            Some(place) => self.active(turn, request, subject, server, *place, &leases),
            None => self.not_active(request, subject, server),
        }
    }

    /// The answer goes to `giaddr`, and reveals which client has which address: both `giaddr` and the sender must be
    /// listed (RFC 4388 §6.3, §7).
    fn check_requester(&self, request: &Request) -> Result<(), Silence> {
        let listed =
            [request.giaddr, request.ip_src].iter().all(|address| self.site.requesters.contains(address));
        if !request.relayed() || !listed {
            return Err(Silence::QueryNotAllowed);
        }
        match request.options.server {
            Some(server) if !self.site.subnets.is_ours(server) => Err(Silence::OtherServer),
            _ => Ok(()),
        }
    }

    /// The address of ours that the relay asked, else the first of the interface that it asked on.
    fn asked_at(&self, request: &Request) -> Option<Ipv4Addr> {
        if self.site.subnets.is_ours(request.ip_dst) {
            return Some(request.ip_dst);
        }
        self.site.subnets.interface(request.link.ifindex)?.addresses.first().copied()
    }

    /// The leases that run, the one whose client was heard last first (RFC 4388 §6.4.1).
    fn leases_of(&mut self, turn: &mut Turn<'_>, subject: Subject<'_>) -> Vec<Place> {
        let mut places: Vec<Place> = match subject {
            Subject::Address(address) => self.book.find(address).into_iter().collect(),
            Subject::Device(device) => self
                .site
                .subnets
                .ids()
                .flat_map(|subnet| self.book.leased_to_device(subnet, device))
                .collect(),
            Subject::Client(id) => {
                let who = Identity::ClientId(id);
                self.site.subnets.ids().filter_map(|subnet| self.book.owned(subnet, who)).collect()
            }
        };
        places.iter().for_each(|place| self.tenure().settle(turn, *place));
        places.retain(|place| self.book.state(*place) == State::Leased);
        places.sort_by_key(|place| (self.standing(turn, *place).map(|lease| lease.silent), *place));
        places
    }

    fn standing(&self, turn: &Turn<'_>, place: Place) -> Option<Standing> {
        let binding = self.book.binding(place)?;
        let word = turn.words.load(self.book.address(place));
        if binding.is_for_good() {
            let silent = turn.now.0.saturating_sub(binding.last_heard.0);
            return Some(Standing { remaining: FOR_GOOD, silent, renewal: None, rebinding: None });
        }
        let lease_time = binding.lease_time;
        // What the kernel promised since the daemon looked is in the word alone.
        let expiry = binding.expiry.max(word.expiry());
        // An earlier owner's promise may lie behind this one's, but nobody was told of more than a lease time.
        let remaining = expiry.0.saturating_sub(turn.now.0).min(lease_time);
        let elapsed = lease_time - remaining;
        let times = terms_of_lease(self.site, self.book, place, binding, binding.server).given.times();
        let until = |part| answer::share(lease_time, part, times.lease).checked_sub(elapsed);
        Some(Standing {
            remaining,
            silent: turn.now.0.saturating_sub(binding.heard(word, turn.now).0),
            renewal: until(times.renew).filter(|left| *left > 0),
            rebinding: until(times.rebind).filter(|left| *left > 0),
        })
    }

    /// DHCPLEASEACTIVE for the lease at `place`; `all` are the leases that the question is about.
    fn active(
        &self,
        turn: &Turn<'_>,
        request: &Request,
        subject: Subject<'_>,
        server: Ipv4Addr,
        place: Place,
        all: &[Place],
    ) -> Result<Reply, Silence> {
        let (Some(owner), Some(lease)) = (self.book.binding(place), self.standing(turn, place)) else {
            return Err(Silence::Unanswerable);
        };
        let terms = terms_of_lease(self.site, self.book, place, owner, server);
        let mut options = Composed { head: head(Type::LeaseActive, server), ..Composed::default() };
        let others: Vec<u8> =
            all.iter().take(MOST_ASSOCIATED).flat_map(|place| self.book.address(*place).octets()).collect();
        // Told whether it was asked for or not; a question about an address has one lease.
        if all.len() > 1 {
            options.rest.push((code::ASSOCIATED_IP, Value::Text(&others)));
        }
        let wanted = parameters(&terms, request);
        for code in &wanted {
            let told = tell(*code, &lease, owner, &terms).filter(|_| !answer::has(&options, *code));
            options.rest.extend(told.map(|value| (*code, value)));
        }
        if let (Subject::Client(id), false) = (subject, answer::has(&options, code::CLIENT_IDENTIFIER)) {
            options.echoes.push((code::CLIENT_IDENTIFIER, id));
        }
        if wanted.contains(&code::AGENT_INFORMATION) {
            options.agent_information = owner.agent_info();
        }
        let longest = self.site.subnets.longest_datagram(request.link);
        Ok(Reply::Lease {
            status: LeaseStatus::Active,
            ciaddr: self.book.address(place),
            chaddr: owner.chaddr(),
            server,
            answer: written(&options, request, longest)?,
        })
    }

    /// DHCPLEASEUNASSIGNED for an address that is ours to give, DHCPLEASEUNKNOWN for all else. Both repeat the question.
    fn not_active(
        &self,
        request: &Request,
        subject: Subject<'_>,
        server: Ipv4Addr,
    ) -> Result<Reply, Silence> {
        let (status, kind) = match subject {
            Subject::Address(address) if self.book.find(address).is_some() => {
                (LeaseStatus::Unassigned, Type::LeaseUnassigned)
            }
            _ => (LeaseStatus::Unknown, Type::LeaseUnknown),
        };
        let options = Composed {
            head: head(kind, server),
            echoes: answer::echoes(&[code::CLIENT_IDENTIFIER], request),
            ..Composed::default()
        };
        let answer = written(&options, request, self.site.subnets.longest_datagram(request.link))?;
        Ok(Reply::Lease { status, ciaddr: request.ciaddr, chaddr: request.chaddr, server, answer })
    }
}

fn head(kind: Type, server: Ipv4Addr) -> Vec<(u8, Value<'static>)> {
    vec![
        (code::MESSAGE_TYPE, Value::Octet([kind as u8])),
        (code::SERVER_IDENTIFIER, Value::Word(server.octets())),
    ]
}

/// The options that the relay asks for; all options if it has no list (RFC 4388 §6.4.2).
fn parameters(terms: &Terms<'_>, request: &Request) -> Vec<u8> {
    let configured = answer::wanted(terms, request);
    match request.options.parameters {
        Some(_) => configured.into_owned(),
        None => {
            OF_THE_LEASE.into_iter().chain([code::SUBNET_MASK]).chain(configured.iter().copied()).collect()
        }
    }
}

/// The value of an option: from the lease, else from its client's terms.
fn tell<'a>(code: u8, lease: &Standing, owner: &'a Binding, terms: &Terms<'a>) -> Option<Value<'a>> {
    let seconds = |seconds: u32| Value::Word(seconds.to_be_bytes());
    match code {
        code::LEASE_TIME => Some(seconds(lease.remaining)),
        code::RENEWAL_TIME => lease.renewal.map(seconds),
        code::REBINDING_TIME => lease.rebinding.map(seconds),
        code::CLIENT_LAST_TRANSACTION_TIME => Some(seconds(lease.silent)),
        code::CLIENT_IDENTIFIER => owner.client_id().map(Value::Text),
        code::SUBNET_MASK => Some(answer::subnet_mask(terms)),
        _ => answer::value(code, terms),
    }
}

fn written(options: &Composed<'_>, request: &Request, longest: usize) -> Result<Answer, Silence> {
    let area = answer::area(request, longest);
    let room = Room { area, file: Field::Options, sname: Field::Options };
    let written = encode::write(options, room).ok_or(Silence::Unanswerable)?;
    Ok(Answer {
        lease_time: 0,
        siaddr: Ipv4Addr::UNSPECIFIED,
        sname: answer::field(None, &written.sname),
        file: answer::field(None, &written.file),
        complete: written.left_out.is_empty(),
        echoes_at: written.echoes_at,
        options: written.area,
    })
}
