//! Leases of another server: honoured here, unless that would break a promise made here.

use super::wire::{Draft, SERVER};
use super::*;

impl Bench {
    /// Has this server honour what `other` knows of `address`, both at the same second.
    fn import(&mut self, record: &Record) -> Result<(), ImportError> {
        let mut out = Vec::new();
        let done = self.policy.import(BootSecs(self.now), &self.words, record, &mut out);
        self.carry_out(out);
        done
    }
}

/// What another server has of the client `mac`, which has leased the first address of its pool.
fn elsewhere(mac: u8) -> (Ipv4Addr, Record) {
    let mut other = Bench::new(vec![subnet(10, 20)]);
    let address = other.lease(mac);
    (address, other.policy.record(address).expect("an address of its own"))
}

#[test]
fn an_imported_lease_is_its_clients_and_nobody_elses() {
    let mut bench = Bench::new(vec![subnet(10, 11)]);
    let (address, record) = elsewhere(1);
    assert_eq!(bench.import(&record), Ok(()));
    assert_eq!(bench.store[&address].committed_until, record.committed_until);
    assert_eq!(bench.words.load(address).expiry(), record.committed_until, "all that may be promised");
    assert_ne!(bench.lease(2), address);
    assert_eq!(bench.send(&Draft::discover(3)), Response::Silence(Silence::Exhausted));
    assert_eq!(bench.send(&Draft::renew(1, address)).acked(), Some(address));
    assert_eq!(bench.send(&Draft::discover(1)).offered(), Some(address));
}

#[test]
fn an_imported_lease_runs_out_and_is_kept_over_a_restart() {
    let mut bench = Bench::new(vec![subnet(10, 11)]);
    let (address, record) = elsewhere(1);
    assert_eq!(bench.import(&record), Ok(()));
    for maps in [true, false] {
        bench.restart(maps);
        assert_eq!(bench.state(address), State::Leased, "maps {maps}");
    }
    bench.pass(2 * LEASE_TIME + 2);
    assert_eq!(bench.state(address), State::Grace);
}

#[test]
fn what_the_word_says_of_an_imported_lease_is_committed() {
    let mut bench = Bench::new(vec![subnet(10, 11)]);
    let address = bench.lease(2);
    bench.send(&Draft::release(2, address));
    let (same, record) = elsewhere(1);
    assert_eq!(same, address);
    let before = bench.words.load(address).expiry();
    let short = BootSecs(START + 60);
    assert_eq!(bench.import(&Record { expiry: short, committed_until: short, ..record }), Ok(()));
    let word = bench.words.load(address);
    assert!(word.alive() && word.expiry() >= before, "no word goes back");
    assert!(bench.store[&address].committed_until >= word.expiry(), "{:?}", bench.store[&address]);
}

#[test]
fn what_its_client_has_here_is_moved_ahead_and_never_back() {
    let mut bench = Bench::new(vec![subnet(10, 11)]);
    let address = bench.lease(1);
    let (same, record) = elsewhere(1);
    assert_eq!(same, address);
    let shorter =
        Record { expiry: BootSecs(START + 5), committed_until: BootSecs(START + 6), ..record.clone() };
    let before = bench.words.load(address).expiry();
    assert_eq!(bench.import(&shorter), Ok(()));
    assert_eq!(bench.words.load(address).expiry(), before);
    let longer = BootSecs(START + 50 * LEASE_TIME);
    assert_eq!(bench.import(&Record { committed_until: longer, ..record }), Ok(()));
    assert_eq!((bench.words.load(address).expiry(), bench.store[&address].committed_until), (longer, longer));
}

#[test]
fn a_promise_made_here_is_in_the_way() {
    let (address, record) = elsewhere(1);
    let mut bench = Bench::new(vec![subnet(10, 10)]);
    bench.lease(2);
    assert!(
        matches!(bench.import(&record), Err(ImportError::Leased(client)) if client.chaddr.octets()[5] == 2)
    );
    let actions = bench.handle(Event::OperatorRelease { address, reuse: Reuse::WhenClean });
    bench.carry_out(actions);
    assert!(matches!(bench.import(&record), Err(ImportError::Promised(_))), "its client may not know");
    bench.pass(LEASE_TIME + 1);
    assert_eq!(bench.import(&record), Ok(()), "grace is no promise");
    assert_eq!(bench.state(address), State::Leased);
}

#[test]
fn an_offer_made_here_gives_way() {
    let (address, record) = elsewhere(1);
    let mut bench = Bench::new(vec![subnet(10, 11)]);
    assert_eq!(bench.send(&Draft::discover(2)).offered(), Some(address));
    assert_eq!(bench.import(&record), Ok(()));
    assert_ne!(bench.send(&Draft::select(2, SERVER, address)).acked(), Some(address));
    assert_eq!(bench.state(address), State::Leased);
}

#[test]
fn what_cant_be_kept_is_refused_and_why_is_said() {
    let (address, record) = elsewhere(1);
    let mut bench = Bench::new(vec![subnet(11, 20)]);
    assert_eq!(bench.import(&record), Err(ImportError::NotServed));

    let mut bench = Bench::new(vec![Subnet { reservations: vec![reserved(9, address)], ..subnet(10, 20) }]);
    assert_eq!(bench.import(&record), Err(ImportError::Reserved));

    let mut bench = Bench::new(vec![subnet(10, 20)]);
    let mine = bench.send(&Draft::select(1, SERVER, host(15))).acked().expect("an ACK");
    assert_eq!(bench.import(&record), Err(ImportError::HasAnother(mine)));

    let mut bench = Bench::new(vec![subnet(10, 20)]);
    assert_eq!(bench.lease(4), address);
    bench.send(&Draft::decline(4, address));
    assert_eq!(bench.import(&record), Err(ImportError::Quarantined));
    let nobodys = Record { chaddr: HwAddr::default(), client_id: None, ..record };
    assert_eq!(bench.import(&nobodys), Err(ImportError::Nobody));
}

#[test]
fn a_quarantine_is_taken_over_and_lasts() {
    let mut other = Bench::new(vec![subnet(10, 20)]);
    let address = other.lease(4);
    other.send(&Draft::decline(4, address));
    let record = other.policy.record(address).expect("an address of its own");
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    assert_eq!(bench.import(&record), Ok(()));
    assert_eq!(bench.state(address), State::Quarantined);
    let confined = |bench: &Bench| bench.policy.quarantined().next().expect("one in quarantine");
    assert_eq!(confined(&bench), confined(&other));
    bench.restart(false);
    assert_eq!(confined(&bench), confined(&other));
    assert_eq!(bench.import(&record), Ok(()), "a second time it changes nothing");

    let mut bench = Bench::new(vec![subnet(10, 20)]);
    bench.lease(1);
    assert!(matches!(bench.import(&record), Err(ImportError::Leased(_))), "a promise goes before");
}

#[test]
fn who_had_an_address_is_remembered_where_nobody_else_is() {
    let mut other = Bench::new(vec![subnet(10, 20)]);
    let (released, expired) = (other.lease(1), other.lease(2));
    other.send(&Draft::release(1, released));
    other.pass(LEASE_TIME + 1);
    let kept = |address| other.policy.record(address).expect("an address of its own");
    let mut bench = Bench::new(vec![subnet(10, 20)]);
    bench.now = other.now;
    assert_eq!(bench.import(&kept(released)), Ok(()));
    assert_eq!(bench.import(&kept(expired)), Ok(()));
    assert_eq!((bench.state(released), bench.state(expired)), (State::Free, State::Grace));
    assert_eq!(bench.send(&Draft::discover(2)).offered(), Some(expired));
    assert_eq!(bench.send(&Draft::discover(1)).offered(), Some(released));

    let mut bench = Bench::new(vec![subnet(10, 20)]);
    bench.now = other.now;
    assert_eq!(bench.lease(3), released);
    assert_eq!(bench.import(&kept(released)), Err(ImportError::Forgotten));
}

#[test]
fn an_imported_lease_is_on_the_vlan_of_its_subnet() {
    let vlan = Vlan { outer: 7, inner: 0 };
    let mut bench = Bench::new(vec![Subnet { vlan, ..subnet(10, 20) }]);
    let (address, record) = elsewhere(1);
    assert_eq!(bench.import(&Record { interface: String::new(), ..record }), Ok(()));
    assert_eq!(bench.send(&Draft::release(1, address).tagged(&[7])), Response::Done);
    assert_eq!(bench.state(address), State::Free);
}

/// Of a lease behind a relay that another server gave it isn't known where its client is: it is answered where it speaks from.
#[test]
fn the_client_of_an_imported_lease_behind_a_relay_rebinds_there() {
    let subnets = || vec![subnet(10, 11), relayed_subnet()];
    let mut other = Bench::new(subnets());
    let mac = 1;
    let address = other.send(&Draft::discover(mac).via(RELAY)).offered().expect("an offer");
    assert_eq!(other.send(&Draft::select(mac, SERVER, address).via(RELAY)).acked(), Some(address));
    let record = other.policy.record(address).expect("a lease");
    let unknown =
        Record { interface: String::new(), giaddr: Ipv4Addr::UNSPECIFIED, agent_info: None, ..record };
    let mut bench = Bench::new(subnets());
    assert_eq!(bench.import(&unknown), Ok(()));
    let rebind = Draft::rebind(mac, address).via(RELAY);
    assert_eq!(bench.send(&rebind).acked(), Some(address));
    assert_eq!(bench.policy.record(address).map(|record| record.giaddr), Some(RELAY));
}
