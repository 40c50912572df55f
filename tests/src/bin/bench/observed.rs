//! What it costs to look: log, metrics, journal, hooks and followers, beside new leases.

use std::fs::File;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use system_tests::http;
use system_tests::load::Count;
use system_tests::server::{Home, Server, Xdp};
use system_tests::topology::Lan;

use crate::report::{Cell, Goal, Section, Table};
use crate::site::METRICS;
use crate::statistics::spread;
use crate::unit::Unit;
use crate::{Bench, site, step};

const METHOD: &str = "New leases in a closed loop, 1,024 at a time, without probes, by servers that differ in what they tell and to whom; \
    in turn, each from nothing. Rates are medians; what a lease takes of a CPU is that of all the daemon's threads, and does not \
    depend on what else runs. The kernel's answers cost the same with each: its program always counts.";

/// How many clients are under way.
const WINDOW: u32 = 1024;

/// What is looked at, and by whom.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looks {
    /// Nothing is logged but errors.
    LogOff,
    Default,
    Scraped,
    Followed,
    Journal,
    Hook,
    /// All of it at once.
    All,
}

impl Looks {
    const EACH: [Self; 7] =
        [Self::LogOff, Self::Default, Self::Scraped, Self::Followed, Self::Journal, Self::Hook, Self::All];

    const fn name(self) -> &'static str {
        match self {
            Self::LogOff => "log of errors alone",
            Self::Default => "default",
            Self::Scraped => "default, metrics scraped each second",
            Self::Followed => "default, events followed",
            Self::Journal => "default, journal",
            Self::Hook => "default, a hook for each exhausted pool",
            Self::All => "default, all of these",
        }
    }

    const fn has(self, what: Self) -> bool {
        self as u8 == what as u8 || matches!(self, Self::All)
    }
}

/// What one server did.
struct Found {
    rate: f64,
    /// Seconds of a CPU for one lease.
    each: f64,
}

pub(crate) fn measure(bench: &Bench) -> Result<Section> {
    let mut section = Section::new("observed", "What it costs to look", METHOD);
    let clients = bench.scale.of(20_000, 100_000);
    let rounds = bench.scale.of(3, 5);
    let mut found: Vec<(Looks, Vec<Found>)> = Looks::EACH.map(|looks| (looks, Vec::new())).into();
    for round in 0..rounds {
        for (looks, all) in &mut found {
            step(&format!("observed: {}, {} of {rounds}", looks.name(), round + 1));
            all.push(one(bench, *looks, clients)?);
        }
    }
    let medians = |all: &[Found]| -> Result<(f64, f64)> {
        let rates: Vec<f64> = all.iter().map(|found| found.rate).collect();
        let times: Vec<f64> = all.iter().map(|found| found.each).collect();
        Ok((
            spread(&rates).context("nothing was measured")?.median,
            spread(&times).context("nothing was measured")?.median,
        ))
    };
    let mut rows = Vec::new();
    let of = |looks| found.iter().find(|(its, _)| *its == looks).map(|(_, all)| all.as_slice());
    let (default_rate, default_each) = medians(of(Looks::Default).unwrap_or_default())?;
    for (looks, all) in &found {
        let (rate, each) = medians(all)?;
        rows.push(vec![
            Cell::text(looks.name()),
            Cell::number(rate, Unit::PerSecond),
            Cell::number(rate / default_rate, Unit::Share),
            Cell::number(each, Unit::Seconds),
            Cell::number(each / default_each, Unit::Share),
        ]);
    }
    let columns = ["Told", "New leases", "Of the default", "CPU for one", "Of the default"];
    section.tables.push(Table::new("What is told, and to whom", &columns, rows));
    let (rate, each) = medians(of(Looks::LogOff).unwrap_or_default())?;
    let (faster, cheaper) = (1.0 - default_rate / rate, 1.0 - each / default_each);
    section.goal(
        "speed that the default log costs",
        faster.max(0.0),
        Unit::Share,
        Goal::must_be_at_most(0.03),
    );
    section.figure("CPU time that the default log costs", cheaper.max(0.0), Unit::Share);
    Ok(section)
}

/// New leases by a server that tells so much.
fn one(bench: &Bench, looks: Looks, clients: u32) -> Result<Found> {
    let lan = site::lan("bench-observed")?;
    let load = site::load(&lan, bench.crowd(clients, clients))?;
    let server = start(&lan, looks, clients)?;
    let over = AtomicBool::new(false);
    let _follower = looks.has(Looks::Followed).then(|| Follower::of(&server)).transpose()?;
    thread::scope(|scope| {
        let scraper = looks.has(Looks::Scraped).then(|| scope.spawn(|| scrape(&lan, &over)));
        let before = server.cpu_time()?;
        let report = load.dora(0..clients, WINDOW, site::PATIENCE);
        let took = server.cpu_time()?.saturating_sub(before);
        over.store(true, Ordering::Relaxed);
        if let Some(scraper) = scraper {
            scraper.join().map_err(|_| anyhow::anyhow!("the scraper has panicked"))??;
        }
        Ok(Found { rate: report?.rate(Count::Bound), each: took.as_secs_f64() / f64::from(clients) })
    })
}

fn start<'a>(lan: &'a Lan, looks: Looks, clients: u32) -> Result<Server<'a>> {
    let log = if looks == Looks::LogOff { "error" } else { "" };
    let home = Home { log, ..Home::from(lan).under_load() };
    let mut settings = "probe = \"off\"\n".to_owned();
    if looks.has(Looks::Scraped) {
        settings += &format!("metrics-listen = \"{METRICS}\"\n");
    }
    if looks.has(Looks::Journal) {
        settings += &format!("\n[journal]\ndirectory = \"{}/journal\"\n", home.dir.display());
    }
    if looks.has(Looks::Hook) {
        settings += "\n[[hook]]\nevents = [\"exhausted\"]\ncommand = [\"/bin/true\"]\n";
    }
    Server::with_settings(home, Xdp::Native, &settings, &site::subnet(clients, ""))
}

/// Asks for the metrics each second, as Prometheus may.
fn scrape(lan: &Lan, over: &AtomicBool) -> Result<()> {
    let mut next = Instant::now();
    while !over.load(Ordering::Relaxed) {
        if Instant::now() >= next {
            http::get(&lan.server, METRICS, "/metrics")?;
            next += Duration::from_secs(1);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// `xdhcpd events`, whose output goes nowhere.
struct Follower(Child);

impl Follower {
    fn of(server: &Server<'_>) -> Result<Self> {
        let nowhere = || File::options().write(true).open("/dev/null").map(Stdio::from);
        let mut follower = server.cli(&["events", "--json"])?;
        follower.stdin(Stdio::null()).stdout(nowhere()?).stderr(nowhere()?);
        Ok(Self(follower.spawn().context("cannot start `xdhcpd events`")?))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
