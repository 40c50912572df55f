//! At size: what operators ask of very many addresses comes to an answer, although long stretches of them are empty or the disk
//! is slow; and a reload of very many reservations leaves no client without an answer.

use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use system_tests::faults::Faults;
use system_tests::http::get;
use system_tests::paths::SERVER;
use system_tests::process::output;
use system_tests::server::{Home, Launch, Server, Xdp};
use system_tests::topology::Lan;

/// Beside these addresses there are some for clients, 10.0.0.10 to 10.0.63.250.
fn subnet(pool: &str) -> String {
    format!(
        "[[subnet]]\nprefix = \"10.0.0.0/8\"\npools = [\"10.0.0.10 - 10.0.63.250\", \"{pool}\"]\nlease-time = \"1h\"\n"
    )
}

/// What walks over all addresses: no exit status 3, which is what a client ends with to whom nothing comes for 10 s.
const WALKS: [&str; 5] = ["audit", "leases", "orphans", "export", "status"];

fn all_walks_end(server: &Server<'_>) -> Result<()> {
    for verb in WALKS {
        let begun = Instant::now();
        let said = output(&mut server.cli(&[verb])?)?;
        println!("{verb}: {:.1?}", begun.elapsed());
        ensure!(said.status.code() == Some(0), "{verb} ended with {:?}", said.status.code());
    }
    Ok(())
}

/// A million addresses and one lease. An unoptimised daemon takes about as long for them as an optimised one for the four
/// million of the report that this stands for: pages without an item are no silence.
#[test]
fn a_walk_over_a_million_empty_addresses_comes_to_its_end() -> Result<()> {
    let lan = Lan::new("empty", SERVER, 8)?;
    let server =
        Server::start(Home::from(&lan).under_load(), Xdp::Native, &subnet("10.16.0.0 - 10.31.255.255"))?;
    let client = lan.client(1);
    let lease = client.dora()?;
    all_walks_end(&server)?;
    client.renew(&lease).map(drop)
}

/// Commits that take their time are always under way, and each page of an audit waits for one: 64 pages here, a fifth of a second
/// each, which stands for the 512 pages of a million addresses at 50 ms. In all that is longer than a client waits for a sign.
#[test]
fn a_walk_beside_slow_commits_comes_to_its_end() -> Result<()> {
    let lan = Lan::new("slow", SERVER, 8)?;
    let faults = Faults::new(lan.world.dir())?;
    let config = subnet("10.16.0.0 - 10.17.255.255");
    let mut server = Server::start(Home::from(&lan).under_load(), Xdp::Native, &config)?;
    server.stop()?;
    server.start_again_with(&Launch { environment: &faults.environment(), ..Launch::default() })?;
    let _slow = faults.slow("fdatasync", Duration::from_millis(200))?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut newcomers = (1..).map(|n| lan.client(n));
            let mut served = 0;
            while !is_over.load(Ordering::Relaxed) {
                newcomers.next().context("clients without end")?.dora()?;
                served += 1;
            }
            Ok::<u32, anyhow::Error>(served)
        });
        let walked = all_walks_end(&server);
        is_over.store(true, Ordering::Relaxed);
        let served = load.join().ok().context("the load")??;
        walked?;
        ensure!(served > 10, "{served} newcomers are no load");
        Ok(())
    })
}

/// Each of these is another client's; by another `shift` all have other addresses, of the same.
fn reservations(shift: u32) -> Result<String> {
    const ALL: u32 = 100_000;
    let mut lines = "hw-address,address\n".to_owned();
    for n in 0..ALL {
        let ([_, a, b, c], address) = (n.to_be_bytes(), 0x0a40_0000 + (n + shift) % ALL);
        writeln!(lines, "02:ee:00:{a:02x}:{b:02x}:{c:02x},{}", Ipv4Addr::from(address))?;
    }
    Ok(lines)
}

/// How often the deciding thread was at something for so long at a time, by its own count.
fn stages(lan: &Lan) -> Result<Vec<String>> {
    let listens: SocketAddr = (Ipv4Addr::LOCALHOST, 19067).into();
    let page = get(&lan.server, listens, "/metrics")?.body;
    let all = page.lines().filter(|line| line.starts_with("xdhcpd_stages_total") && !line.ends_with(" 0"));
    Ok(all
        .filter(|line| line.contains("reloading") || line.contains("deciding"))
        .map(str::to_owned)
        .collect())
}

/// No DISCOVER or REQUEST is repeated here: one that is not answered fails the test.
#[test]
fn a_reload_of_a_hundred_thousand_reservations_leaves_nobody_without_an_answer() -> Result<()> {
    let lan = Lan::new("reserved", SERVER, 8)?;
    let file = lan.world.dir().join("many.csv");
    fs::write(&file, reservations(0)?)?;
    // There is room for them from the start: a reload makes no larger maps.
    let without = subnet("10.64.0.0 - 10.65.255.255");
    let config = format!("{without}reservations-file = \"many.csv\"\n");
    let listen = "metrics-listen = \"127.0.0.1:19067\"";
    let mut server = Server::with_settings(Home::from(&lan).under_load(), Xdp::Native, listen, &without)?;
    let owner = lan.client(1);
    let lease = owner.dora()?;
    owner.renew(&lease)?;
    server.rewrite_with(listen, Xdp::Native, &config)?;
    let mut newcomers = (2..).map(|n| lan.client(n));
    // All are new, then all have moved, then all are gone.
    for what in ["new", "moved", "gone"] {
        match what {
            "moved" => fs::write(&file, reservations(50_000)?)?,
            "gone" => server.rewrite_with(listen, Xdp::Native, &without)?,
            _ => {}
        }
        let begun = Instant::now();
        let mut reload = server.cli(&["reload"])?.stdout(Stdio::null()).spawn()?;
        let mut served = 0;
        let ended = loop {
            newcomers.next().context("clients without end")?.dora().with_context(|| what.to_owned())?;
            served += 1;
            if let Some(ended) = reload.try_wait()? {
                break ended;
            }
        };
        println!("{what}: {served} newcomers in {:.1?}", begun.elapsed());
        ensure!(ended.success(), "{what}: the reload ended with {ended}");
        ensure!(served > 3, "{what}: nobody came while it was reloaded");
        owner.renew(&lease)?;
    }
    println!("{}", stages(&lan)?.join("\n"));
    ensure!(server.is_running()?);
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}
