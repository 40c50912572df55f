//! The addresses there are, the configurations that give them out, and what clients say.

use std::sync::Arc;

use super::super::wire::{Draft, SERVER};
use super::super::*;
use super::Say;
use crate::config::{Admission, ClassSet, DynamicPool, Match, Pattern};

pub(super) const CLIENTS: u8 = 12;
/// Clients from this one on are of one device, each with an identifier of its own.
const DEVICE: u8 = 8;

/// Until when a BOOTP client has what it has.
pub(super) const FOREVER: u32 = u32::MAX;

/// So many addresses are on the server's link; those after them are behind the relay.
const ON_LINK: u8 = 8;
pub(super) const ADDRESSES: u8 = 12;

/// The address of this number.
pub(super) fn address(number: u8) -> Ipv4Addr {
    if number < ON_LINK { host(10 + number) } else { Ipv4Addr::new(10, 9, 0, 10 + number - ON_LINK) }
}

/// On the link addresses from this one on are for the class, or for all others.
const APART: u8 = 14;
const IN_CLASS: &[u8] = b"particular";

/// The class there is.
pub(super) fn class() -> Class {
    let matches = Match { vendor_class: vec![Pattern::Exactly(IN_CLASS.to_vec())], ..Match::default() };
    Class {
        name: "particular".to_owned(),
        matches,
        overrides: Overrides::default(),
        drop: false,
        max_leases: Some(3),
    }
}

/// Whether the client is in it by what it says.
fn in_class(client: u8) -> bool {
    client.is_multiple_of(3)
}

/// A client that is in it by its reservation, which has no address.
fn put_into_class() -> Reservation {
    let mut classes = ClassSet::default();
    classes.insert(0);
    let host_name = Some("named".to_owned());
    Reservation { address: None, host_name, classes, ..reserved(4, host(0)) }
}

/// On the link two pools, one of them for the class, and two reservations, and a pool behind the relay; or smaller ones,
/// one of them for all others, one of the reservations elsewhere, one more behind the relay and one without an address.
pub(super) fn configuration(narrow: bool) -> Vec<Subnet> {
    let (first, second) = if narrow { (12, 13) } else { (10, 5) };
    let mut class = ClassSet::default();
    class.insert(0);
    let (allow, deny) = if narrow { (ClassSet::default(), class) } else { (class, ClassSet::default()) };
    let apart = Pool { first: host(APART), last: host(17) };
    let apart = DynamicPool { admits: Admission { allow, deny }, ..apart.into() };
    let open = Pool { first: host(first), last: host(APART - 1) };
    let mut reservations = vec![reserved(0, host(APART)), reserved(1, host(second))];
    if narrow {
        reservations.push(put_into_class());
    }
    let on_link = Subnet {
        pools: vec![open.into(), apart],
        reservations,
        max_leases_per_device: 2,
        max_leases_per_device_in_use: 3,
        bootp: Bootp::Dynamic,
        ..subnet(0, 0)
    };
    let pool = Pool { first: address(ON_LINK + u8::from(narrow)), last: address(ADDRESSES - 1) };
    let reservations = if narrow { vec![reserved(2, address(ON_LINK + 2))] } else { Vec::new() };
    let relayed = Subnet {
        pools: vec![pool.into()],
        reservations,
        max_leases_per_device: 2,
        max_leases_per_circuit: Some(2),
        ..relayed_subnet()
    };
    vec![on_link, relayed]
}

/// Whether the address is of the link behind the relay.
pub(super) fn is_relayed(address: Ipv4Addr) -> bool {
    address.octets()[0] == 10
}

/// Whether the address is in a pool for the client, or reserved for it.
pub(super) fn is_for(subnets: &[Subnet], client: u8, address: Ipv4Addr) -> bool {
    let all = || subnets.iter().flat_map(|subnet| &subnet.reservations);
    if let Some(reservation) = all().find(|reservation| reservation.address == Some(address)) {
        return reservation.key == ReservationKey::HwAddress(mac(client));
    }
    let here = subnets.iter().find(|subnet| subnet.prefix.contains(address));
    let own = here.into_iter().flat_map(|subnet| &subnet.reservations);
    let mut own = own.filter(|own| own.key == ReservationKey::HwAddress(mac(client)));
    let mut classes = own.next().map(|own| own.classes).unwrap_or_default();
    if in_class(client) {
        classes.insert(0);
    }
    let mut pools = subnets.iter().flat_map(|subnet| &subnet.pools);
    pools.any(|pool| pool.range.contains(address) && pool.admits.admits(classes))
}

/// Which configuration it is.
pub(super) fn is_narrow(subnets: &[Subnet]) -> bool {
    subnets[0].pools[0].range.first != host(10)
}

pub(super) fn mac(client: u8) -> [u8; 6] {
    [2, 0, 0, 0, 1, client.min(DEVICE)]
}

/// Whether it is this client that a memo answers.
pub(super) fn is_known_by(client: u8, chaddr: [u8; 6], memo: &Memo) -> bool {
    let identified = options(&memo.question.options).into_iter().find(|(code, _)| *code == 61);
    chaddr == mac(client) && identified.map(|(_, id)| id) == id(client)
}

/// Whether it is this client that has the lease.
pub(super) fn is_had_by(client: u8, lease: &LeaseView) -> bool {
    lease.state == State::Leased && lease.chaddr.octets() == mac(client) && lease.client_id == id(client)
}

/// The client identifier that the client sends, if it sends one.
fn id(client: u8) -> Option<Vec<u8>> {
    (client >= DEVICE).then(|| vec![0, client])
}

/// All clients, beginning with this one.
pub(super) fn from(client: u8) -> impl Iterator<Item = u8> {
    (client..CLIENTS).chain(0..client)
}

/// Who sent a message.
pub(super) fn sender(request: &Request) -> u8 {
    request.options.client_id.as_ref().map_or(request.chaddr.octets()[5], |id| id[1])
}

/// What a client knows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Belief {
    /// The address it was offered, and until when nobody else is.
    pub(super) offered: Option<(Ipv4Addr, u32)>,
    /// Its address, and until when.
    pub(super) lease: Option<(Ipv4Addr, u32)>,
    /// The address it had or selected last, whatever became of it.
    pub(super) last: Option<Ipv4Addr>,
    /// It is on the link behind the relay.
    pub(super) relayed: bool,
    /// The transaction id of what it says: another one when it has begun anew. It heeds no answers to the former.
    pub(super) xid: u32,
}

impl Belief {
    /// The address that the client may rightly use at `now`.
    pub(super) fn holds(&self, now: u32) -> Option<Ipv4Addr> {
        self.lease.filter(|(_, until)| now < *until).map(|(address, _)| address)
    }

    /// The address that is kept for it, as it was offered, at `now`.
    pub(super) fn awaits(&self, now: u32) -> Option<Ipv4Addr> {
        self.offered.filter(|(_, until)| now < *until).map(|(address, _)| address)
    }

    /// It has an address by BOOTP.
    pub(super) fn has_for_good(&self) -> bool {
        self.lease.is_some_and(|(_, until)| until == FOREVER)
    }

    /// It has `address` until then, and no other.
    pub(super) fn obtain(&mut self, address: Ipv4Addr, until: u32) {
        *self = Self { offered: None, lease: Some((address, until)), last: Some(address), ..*self };
    }

    /// It has nothing any more, and begins anew.
    pub(super) fn forget(&mut self) {
        *self = Self { offered: None, lease: None, xid: self.xid + 1, ..*self };
    }
}

/// What a client that believes this sends at `now`, if it can say such a thing at all.
pub(super) fn draft(client: u8, belief: &Belief, say: Say, now: u32) -> Option<Draft> {
    let lease = belief.holds(now);
    let last = belief.last;
    let offered = belief.offered.map(|(address, _)| address);
    let wishing = |draft: Draft, wish: Option<u32>| match wish {
        Some(secs) => draft.option(51, &secs.to_be_bytes()),
        None => draft,
    };
    let draft = match say {
        Say::Discover { asking: None, wish } => wishing(Draft::discover(client), wish),
        Say::Discover { asking: Some(number), wish } => {
            wishing(Draft::discover(client).address(50, address(number)), wish)
        }
        Say::Select { wish } => wishing(Draft::select(client, SERVER, offered?), wish),
        Say::SelectElsewhere => Draft::select(client, host(2), host(77)),
        Say::Renew => Draft::renew(client, last?),
        Say::Rebind => Draft::rebind(client, last?),
        Say::Reboot => Draft::reboot(client, last?),
        Say::Release { .. } => Draft::release(client, lease?),
        Say::Decline => Draft::decline(client, lease.or(offered)?),
        Say::Inform => Draft::inform(client, host(99)),
        Say::Bootp => Draft::bootrequest(client),
        Say::Forge(kind, number) if last != Some(address(number)) => forged(client, kind, address(number)),
        Say::Forge(..) => return None,
    };
    let draft = Draft { mac: mac(client), xid: belief.xid, ..draft };
    let draft = if in_class(client) { draft.option(60, IN_CLASS) } else { draft };
    let draft = match id(client) {
        Some(id) => draft.id(&id),
        None => draft,
    };
    // What is for the server alone goes through the router.
    let heard_by_the_relay = belief.relayed && draft.ip_dst.is_broadcast();
    // The relay has two ports.
    let circuit = [1, 1, client % 2];
    Some(if heard_by_the_relay { draft.via(RELAY).option(82, &circuit) } else { draft })
}

fn forged(client: u8, kind: u8, address: Ipv4Addr) -> Draft {
    match kind {
        0 => Draft::renew(client, address),
        1 => Draft::rebind(client, address),
        2 => Draft::reboot(client, address),
        3 => Draft::release(client, address),
        4 => Draft::decline(client, address),
        _ => Draft::select(client, SERVER, address),
    }
}

/// The message as the driver hands it up, with the word it saw.
pub(super) fn request(draft: &Draft, now: u32, word: Option<Word>) -> Arc<Request> {
    let request = draft.request(now);
    if word.is_none() { request } else { Arc::new(Request { word, ..(*request).clone() }) }
}
