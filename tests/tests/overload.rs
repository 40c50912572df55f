//! More newcomers than the daemon can serve: what was begun is finished all the same.

use anyhow::{Result, ensure};
use std::net::Ipv4Addr;
use system_tests::load::{Count, Crowd, Load, Pace, Sorts, Stream, Way};
use system_tests::server::{Home, Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const NEWCOMERS: u32 = (1 << 20) - LATECOMERS;
/// Who comes when the flood is over.
const LATECOMERS: u32 = 100;

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/8"
pools = ["10.16.0.0 - 10.31.255.255"]
lease-time = "1h"
"#;

#[test]
fn a_flood_of_newcomers_keeps_no_exchange_from_its_end() -> Result<()> {
    let lan = Lan::new("overload", SERVER, 8)?;
    let crowd = Crowd {
        clients: NEWCOMERS + LATECOMERS,
        first_address: Ipv4Addr::new(10, 16, 0, 0),
        addresses: NEWCOMERS + LATECOMERS,
        way: Way::default(),
        sorts: Sorts::Alike,
    };
    let load = Load::new(&lan, crowd)?;
    let server = Server::start(Home::from(&lan).under_load(), Xdp::Native, SUBNET)?;

    let flood = Stream::newcomers(0..NEWCOMERS, Pace::Rate(400_000.0));
    // Many more are refused than the ring holds: the daemon has gone on under the flood for a while.
    let flooded = || {
        until("newcomers to be refused", 2 * PROMPT, || {
            Ok((server.stats()?.count(&["kernel", "dropped", "fresh-full"])? > 100_000).then_some(()))
        })
    };
    let (report, was_flooded) = load.run(&[flood], flooded)?;
    was_flooded?;

    let stats = server.stats()?;
    ensure!(stats.count(&["kernel", "dropped", "begun-full"])? == 0, "{:?} {}", report.counts, stats.0);
    ensure!(stats.count(&["kernel", "passed-why", "daemon-away"])? == 0, "{:?} {}", report.counts, stats.0);
    let (offers, bound) = (report.counts.of(Count::Offers), report.counts.of(Count::Bound));
    ensure!(bound * 10 >= offers * 9, "of {offers} offers only {bound} became leases: {}", stats.0);

    let refused = |server: &Server| server.stats()?.count(&["kernel", "dropped", "fresh-full"]);
    let before = refused(&server)?;
    load.dora(NEWCOMERS..NEWCOMERS + LATECOMERS, 10, PROMPT)?;
    ensure!(refused(&server)? == before, "nobody is refused for long");
    Ok(())
}
