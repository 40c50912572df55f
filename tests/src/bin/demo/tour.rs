//! The tour: what a site has beside one client that renews. Each step says in a line what it does, and in another what was
//! seen; it fails if that was not seen.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use system_tests::client::{Client, Lease, ServerAddress};
use system_tests::kea::Kea;
use system_tests::load::{Count, Crowd, Form, Load, Pace, Sorts, Way};
use system_tests::process::{output, run};
use system_tests::server::{Home, Server, Xdp, cli};
use system_tests::topology::{Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};
use system_tests::wire::Tag;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// Kea's one subnet. So many name servers make its answers as long as the scripted client wants them.
const OF_KEA: &str = r#""id": 1, "subnet": "10.0.0.0/16", "valid-lifetime": 3600, "authoritative": true,
    "pools": [{ "pool": "10.0.0.10 - 10.0.0.99" }],
    "option-data": [{ "name": "domain-name-servers", "data": "10.0.250.53, 10.0.250.54, 10.0.250.55, 10.0.250.56, 10.0.250.57, 10.0.250.58, 10.0.250.59, 10.0.250.60, 10.0.250.61, 10.0.250.62" }],
    "reservations": [{ "hw-address": "02:00:00:00:09:09", "ip-address": "10.0.0.200" }]"#;

/// What the site has beside it: a subnet behind a relay, one on a VLAN, and one on a VLAN in a VLAN.
const MORE: &str = r#"
[[subnet]]
prefix = "10.9.0.0/24"
pools = ["10.9.0.10 - 10.9.0.99"]
options = { routers = ["10.9.0.1"] }
[[subnet]]
prefix = "10.100.0.0/24"
pools = ["10.100.0.10 - 10.100.0.99"]
vlan = 100
server-id = "10.100.0.1"
[[subnet]]
prefix = "10.200.0.0/24"
pools = ["10.200.0.10 - 10.200.0.99"]
vlan = [200, 100]
server-id = "10.200.0.1"
"#;

/// The storm's subnet, and its clients.
const OF_STORM: &str = r#"
[[subnet]]
prefix = "10.0.0.0/16"
pools = ["10.0.1.0 - 10.0.255.250"]
lease-time = "1h"
options = { routers = ["10.0.0.1"], domain-name-servers = ["10.0.250.53"] }
"#;
const STORM: u32 = 50_000;
/// So many of them come back in a second, if the machine makes so many; and how long all of them may take.
const RATE: f64 = 25_000.0;
const BACK: Duration = Duration::from_secs(60);
/// The daemon grants that many leases in much less.
const GRANTED: Duration = Duration::from_secs(300);

/// Leads through it; the first claim that does not hold is the error. Does not return when all hold.
pub(crate) fn guide() -> Result<Infallible> {
    println!("xdhcpd, a tour: each step in namespaces of its own\n");
    let lan = Lan::new("tour", SERVER, 16)?;
    let mut server = switched_from_kea(&lan)?;
    relays(&lan, &server)?;
    vlans(&lan, &server)?;
    declines(&lan, &server)?;
    let audit = server.json(&["audit"])?;
    ensure!(audit["consistent"] == true, "the books don't add up: {audit}");
    server.hush();
    drop(server);
    drop(lan);
    storm()?;
    println!("\nPASSED: each step was seen as it is told.");
    std::process::exit(0)
}

fn step(number: u32, what: &str) {
    println!("{number}. {what}");
}

fn seen(what: &str) {
    println!("   → {what}\n");
}

fn addresses(leases: &[(Client<'_>, Lease)]) -> String {
    leases.iter().map(|(_, lease)| lease.address.to_string()).collect::<Vec<_>>().join(", ")
}

fn switched_from_kea(lan: &Lan) -> Result<Server<'_>> {
    step(
        1,
        "Kea serves three clients. It is stopped; its configuration and leases are imported; xdhcpd starts; they renew.",
    );
    let mut kea = Kea::start(&Home::from(lan), OF_KEA)?;
    let leases: Vec<(Client<'_>, Lease)> = (1..=3)
        .map(|n| {
            let client = lan.client(n);
            let lease = client.dora()?;
            Ok((client, lease))
        })
        .collect::<Result<_>>()?;
    let (config, file) = kea.files();
    kea.hush();
    kea.stop()?;
    let imported =
        output(cli()?.args(["import-config", "--interface", SERVER_IF, "--from", "kea"]).arg(&config))?;
    ensure!(imported.status.success(), "{imported:?}");
    let text = String::from_utf8(imported.stdout)?;
    let settings = text.strip_prefix("[server]\n").context("no [server]")?;
    let (settings, _) = settings.split_once("[[interface]]").context("no interface")?;
    let subnets = text.find("[[subnet]]").and_then(|at| text.get(at..)).context("no subnet")?;
    let server = Server::with_settings(lan, Xdp::Native, settings, &format!("{subnets}{MORE}"))?;
    run(server.cli(&["import-leases", "--from", "kea"])?.arg(&file))?;
    for (client, lease) in &leases {
        let ack = client.renew(lease)?;
        ensure!(ack.message.yiaddr == lease.address, "{lease:?} became {ack:?}");
    }
    seen(&format!("all three keep their addresses: {}", addresses(&leases)));
    Ok(server)
}

fn relays(lan: &Lan, server: &Server<'_>) -> Result<()> {
    step(
        2,
        "A client behind a relay (giaddr 10.9.0.1) asks for an address, and renews until the driver answers.",
    );
    let client = lan.relayed_client(21);
    let lease = client.dora()?;
    ensure!(lease.address.octets()[..3] == [10, 9, 0], "{} is not of the relay's subnet", lease.address);
    let before = server.stats()?.all_kernel_acked()?;
    until("the driver to answer a client behind a relay", PROMPT, || {
        client.renew(&lease)?;
        Ok((server.stats()?.all_kernel_acked()? > before).then_some(()))
    })?;
    seen(&format!("{} of 10.9.0.0/24, and its renewal is answered in the driver", lease.address));
    Ok(())
}

fn vlans(lan: &Lan, server: &Server<'_>) -> Result<()> {
    step(3, "Clients on VLAN 100, and on VLAN 100 in VLAN 200, ask on the same wire.");
    let mut told = Vec::new();
    for (tags, net) in [(vec![Tag::customer(100)], 100), (vec![Tag::provider(200), Tag::customer(100)], 200)]
    {
        let server_there =
            ServerAddress { ip: Ipv4Addr::new(10, u8::try_from(net)?, 0, 1), ..lan.server_address };
        let client = Client { tags, server: server_there, ..lan.client(31 + net) };
        let lease = client.dora()?;
        ensure!(
            u16::from(lease.address.octets()[1]) == net,
            "{} is not of that VLAN's subnet",
            lease.address
        );
        let shown = server.lease(lease.address)?.context("the lease is not listed")?;
        told.push(format!("{} on VLAN {}", lease.address, shown["vlan"]));
    }
    seen(&told.join(", "));
    Ok(())
}

fn declines(lan: &Lan, server: &Server<'_>) -> Result<()> {
    step(4, "A client finds its address in use and declines it (DHCPDECLINE). It asks again.");
    let client = lan.client(41);
    let declined = client.dora()?;
    client.decline(&declined)?;
    until("the address to be in quarantine", PROMPT, || {
        let kept = server.json(&["quarantine"])?;
        let all = kept.as_array().into_iter().flatten();
        Ok(all.into_iter().any(|one| one["address"] == declined.address.to_string()).then_some(()))
    })?;
    let lease = client.dora()?;
    ensure!(lease.address != declined.address, "{} is given again", declined.address);
    seen(&format!("{} is in quarantine; the client has {}", declined.address, lease.address));
    Ok(())
}

fn storm() -> Result<()> {
    step(
        5,
        "50,000 clients get leases. The power fails; all come back at once (INIT-REBOOT), 25,000 a second.",
    );
    let lan = Lan::new("storm", SERVER, 16)?;
    let crowd = Crowd {
        clients: STORM,
        first_address: Ipv4Addr::new(10, 0, 1, 0),
        addresses: 0xff00,
        way: Way::default(),
        sorts: Sorts::Alike,
    };
    let load = Load::new(&lan, crowd)?;
    let mut server = Server::start(Home::from(&lan).under_load(), Xdp::Native, OF_STORM)?;
    let granted = load.dora(0..STORM, 64, GRANTED)?;
    ensure!(granted.counts.of(Count::Bound) == u64::from(STORM), "not all have a lease: {granted:?}");
    load.renew_by(Form::InitReboot)?;
    let asked = server.stats()?.received("request")?;
    let (before, began) = (load.counts().of(Count::Renewed), Instant::now());
    let (report, all_back) = load.renew_while(STORM, Pace::Rate(RATE), || {
        until("all to have an answer", BACK, || {
            let answered = load.counts().of(Count::Renewed) - before;
            Ok((answered >= u64::from(STORM)).then(|| began.elapsed()))
        })
    })?;
    let all_back = all_back?;
    let (renewed, lost) = (report.renewed(), report.lost_renewals());
    ensure!(lost * 1000 <= renewed, "{lost} got no answer, and {renewed} did: {report:?}");
    let stats = server.stats()?;
    let in_driver = stats.kernel_acked("init-reboot")?;
    seen(&format!(
        "all have their addresses after {:.1} s: {in_driver} answers by the driver, {} by the daemon, {lost} lost",
        all_back.as_secs_f64(),
        stats.received("request")? - asked
    ));
    server.hush();
    Ok(())
}
