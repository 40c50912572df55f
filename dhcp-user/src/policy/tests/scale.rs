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
                    Action::Reply { reply, .. } => Some(Told::Reply(reply.clone())),
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

/// How long this thread has been at work: what else the machine does is no matter.
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
fn many_subnets_of_a_shared_network_take_no_more_than_their_pairs() {
    let (few, many) = (relinked(60), relinked(480));
    // Eight times the subnets have 64 times the pairs; if each pair looked at all others it would be 512 times as much.
    assert!(many < few * 200, "{few:?} for 60, {many:?} for 480");
}

fn worked() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock").into()
}

/// Octets of this process in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("procfs");
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}
