//! A million leases: what they take, and that the last is as quick as the first.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::wire::{Draft, SERVER};
use super::*;

const LEASES: u32 = 1 << 20;

#[test]
#[cfg_attr(debug_assertions, ignore = "slow unless optimised: `cargo xtask test unit` runs it so")]
fn a_million_leases_take_less_than_224_octets_each() {
    let first = Ipv4Addr::new(11, 0, 0, 0);
    let prefix = Prefix { network: first, len: 8 };
    let pool = Pool { first, last: Ipv4Addr::from_bits(first.to_bits() + LEASES - 1) };
    let before = resident();
    let mut bench = Bench::new(vec![Subnet {
        prefix,
        pools: vec![pool.into()],
        server_id: Some(SERVER),
        relays: vec![RELAY],
        ..subnet(0, 0)
    }]);
    let empty = resident();
    let mut spent = Vec::new();
    let mut out = Vec::new();
    for round in 0..16 {
        let began = worked();
        for client in round * LEASES / 16..(round + 1) * LEASES / 16 {
            let [_, a, b, c] = client.to_be_bytes();
            let mac = [2, 0, 0, a, b, c];
            let id = [1, 2, 0, 0, a, b, c];
            let address = Ipv4Addr::from_bits(first.to_bits() + client);
            for draft in [Draft::discover(0), Draft::select(0, SERVER, address)] {
                let draft = Draft { mac, ..draft }.id(&id).via(RELAY);
                let now = BootSecs(bench.now);
                bench.policy.handle(now, &bench.words, Event::Message(draft.request(bench.now)), &mut out);
                let reply = out.iter().find_map(|action| match action {
                    Action::Reply { reply, .. } => Some(Response::Reply(reply.clone())),
                    _ => None,
                });
                let reply = reply.expect("a reply");
                assert_eq!(reply.offered().or(reply.acked()), Some(address));
                out.clear();
            }
        }
        spent.push(worked() - began);
    }
    let each = (resident() - before) / LEASES as usize;
    println!("{} octets per address, {each} per lease", (empty - before) / LEASES as usize);
    println!("{spent:?} for each 16th");
    assert!(each < 224, "{each} octets");
    assert!(
        spent[12..].iter().min() < spent[..4].iter().min().map(|first| *first * 3).as_ref(),
        "the last are slower"
    );
    let tallied = bench.policy.pools().next().expect("a pool").tally;
    assert_eq!(tallied.of(State::Leased), LEASES);
}

/// So many /24 with 98 addresses each, of which the first few are leased, or reserved for whom they are leased to.
fn large(subnets: u32, addresses: u32, reserved: bool) -> (Vec<Subnet>, Vec<(Ipv4Addr, [u8; 6])>) {
    let first = Ipv4Addr::new(10, 0, 0, 0).to_bits();
    let leased: Vec<_> = (0..subnets * addresses)
        .map(|n| {
            let [_, a, b, c] = n.to_be_bytes();
            (Ipv4Addr::from_bits(first + 256 * (n / addresses) + 2 + n % addresses), [2, 0, 0, a, b, c])
        })
        .collect();
    let one = |n: u32| {
        let at = |last: u32| Ipv4Addr::from_bits(first + 256 * n + last);
        let own = leased.iter().skip((n * addresses) as usize).take(addresses as usize);
        let reservation = |(address, mac): &(Ipv4Addr, [u8; 6])| Reservation {
            key: ReservationKey::HwAddress(*mac),
            ..super::reserved(0, *address)
        };
        Subnet {
            prefix: Prefix { network: at(0), len: 24 },
            pools: vec![Pool { first: at(2), last: at(99) }.into()],
            server_id: Some(at(1)),
            relays: vec![at(254)],
            reservations: if reserved { own.map(reservation).collect() } else { Vec::new() },
            ..subnet(0, 0)
        }
    };
    ((0..subnets).map(one).collect(), leased)
}

/// How long the longest step of each kind takes in a reload, and how many addresses come along in one at most. Wall time is
/// told and not judged.
fn longest_steps(name: &str, (subnets, leased): (Vec<Subnet>, Vec<(Ipv4Addr, [u8; 6])>)) {
    let mut bench = Bench::new(subnets.clone());
    let records = leased.iter().map(|(address, mac)| Record {
        address: *address,
        standing: Standing::Leased,
        recurrences: 0,
        client_id: Some([&[1], mac.as_slice()].concat()),
        chaddr: HwAddr::ethernet(*mac),
        interface: "eth0".to_owned(),
        vlan: (0, 0),
        giaddr: RELAY,
        server: SERVER,
        host_name: Some("host".to_owned()),
        lease_time: LEASE_TIME,
        expiry: BootSecs(START + LEASE_TIME),
        committed_until: BootSecs(START + LEASE_TIME),
        kernel_renewals: 0,
        last_heard: BootSecs(START),
        agent_info: Some(vec![1, 2, 0, 7]),
        adopted: false,
        shortened: false,
        classes: Vec::new(),
    });
    let mut out = Vec::new();
    for (address, _) in &leased {
        bench.words.set(*address, Word::default().granted(BootSecs(START + LEASE_TIME)));
    }
    bench.policy.restore(BootSecs(START), &bench.words, records.collect(), &[], &mut out);
    assert!(out.is_empty(), "all is as the words say");
    let mut longest = [Duration::ZERO; 4];
    let mut timed = |kind: usize, began: Duration| longest[kind] = longest[kind].max(worked() - began);
    // Every second subnet is gone.
    let rest: Vec<Subnet> = subnets.iter().step_by(2).cloned().collect();
    let mut going = bench.begin_reload(rest);
    let mut steps = 0;
    loop {
        let began = worked();
        let is_over = bench.bring_along(&mut going, STEP);
        timed(0, began);
        steps += 1;
        if is_over {
            break;
        }
    }
    let began = worked();
    bench.policy.change_over(going.1);
    timed(1, began);
    let began = worked();
    bench.policy.relink(interfaces(), &[]);
    timed(2, began);
    let done = loop {
        let began = worked();
        let settled = bench.policy.settle_some(BootSecs(START), &bench.words, STEP, &mut out);
        timed(3, began);
        let ended = out.drain(..).filter(|action| matches!(action, Action::Commit(_))).count();
        assert!(ended <= STEP / 16 + 1, "a step ends too many leases: {ended}");
        if let ChangeoverProgress::All(done, _) = settled {
            break done;
        }
    };
    println!(
        "{name}: {steps} steps; at most {:?} for one that brings along, {:?} to go over, {:?} to go on with interfaces, {:?} \
         for one that ends leases",
        longest[0], longest[1], longest[2], longest[3]
    );
    assert!(steps >= leased.len() * 16 / STEP, "a step brings too much along");
    assert_eq!(done.kept + done.withdrawn, leased.len() as u64);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "slow unless optimised: `cargo xtask test unit` runs it so")]
fn a_reload_of_a_tenth_of_a_million_leases_takes_many_short_steps() {
    longest_steps("100,000 leases that are reserved, in 1,024 subnets", large(1024, 98, true));
    longest_steps("100,000 leases in 10,240 subnets", large(10_240, 10, false));
}

/// What it takes to go over to other interfaces with so many subnets of one shared network, each with a relay.
fn relinked(subnets: u32) -> Duration {
    let first = Ipv4Addr::new(10, 0, 0, 0).to_bits();
    let numbered = |n: u32| {
        let at = |last: u32| Ipv4Addr::from_bits(first + 256 * n + last);
        Subnet {
            prefix: Prefix { network: at(0), len: 24 },
            pools: vec![Pool { first: at(10), last: at(11) }.into()],
            server_id: Some(at(1)),
            relays: vec![Ipv4Addr::from_bits(Ipv4Addr::new(172, 16, 0, 1).to_bits() + n)],
            shared_network: Some("all".into()),
            ..subnet(0, 0)
        }
    };
    let mut bench = Bench::new((0..subnets).map(numbered).collect());
    let spent = (0..3).map(|_| {
        let began = worked();
        bench.policy.relink(interfaces(), &[]);
        worked() - began
    });
    spent.min().expect("three times")
}

#[test]
fn many_subnets_of_a_shared_network_take_no_more_than_their_number() {
    let (few, many) = (relinked(100), relinked(800));
    println!("a change of interfaces: {few:?} for 100 subnets of a shared network, {many:?} for 800");
    // Eight times the subnets have 64 times the pairs.
    assert!(many < few * 24, "{few:?} for 100, {many:?} for 800");
}

/// How long this thread has been at work: what else the machine does is no matter.
fn worked() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock").into()
}

/// Octets of this process in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("procfs");
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}
