//! The benchmark behind `cargo xtask bench`: what the server does under load, beside the most that is possible on the
//! machine and beside other servers, all in one run and one report.

mod asking;
mod capacity;
mod churn;
mod conditions;
mod dora;
mod elsewhere;
mod latency;
mod memory;
mod observed;
mod overload;
mod page;
mod pass;
mod pcap;
mod peers;
mod perfdhcp;
mod progress;
mod publish;
mod renew;
mod report;
mod runs;
mod scale;
mod site;
mod start;
mod statistics;
mod subject;
mod svg;
mod terminal;
mod unable;
mod unit;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use system_tests::confine;
use system_tests::load::Crowd;

use asking::Asking;
use capacity::Best;
use conditions::Conditions;
use elsewhere::Elsewhere;
use pcap::Streams;
use progress::step;
use report::{Report, Section};
use site::Site;
use subject::Subject;
use unable::Unable;

/// Measures xdhcpd under load and writes a report.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Args {
    /// What to measure; everything when not given
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Fewer sizes, fewer repetitions: five minutes in all
    #[arg(long)]
    quick: bool,
    /// Measure all of it so often; what is reported is the median, and the worst of what has a goal
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Measure the DHCP server at the other end of this NIC's cable instead of one started here (tests/NIC.md): renew,
    /// dora, overload and latency
    #[arg(long, value_name = "IF")]
    iface: Option<String>,
    /// With --iface: for how many clients that server has addresses [default: 1000000]; for `pcap`: how many there are
    /// [default: 100000]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(2..=16_000_000))]
    clients: Option<u32>,
    #[command(flatten)]
    asking: Asking,
    #[command(flatten)]
    streams: Streams,
    /// Where the report goes, and what `pcap` writes
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    results: PathBuf,
}

/// A part of the benchmark.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Renewals at full rate, beside a reflector of the same frames
    Renew,
    /// New leases, each ACK after its commit
    Dora,
    /// More newcomers than can be served, while others renew
    Overload,
    /// How long an answer takes
    Latency,
    /// What renewals and new leases cost as leases and pools grow
    Scale,
    /// Down and up again with all leases
    Start,
    /// What a lease takes in memory
    Memory,
    /// Leases taken, renewed, released and declined at once
    Churn,
    /// What the program costs frames that aren't DHCP
    Pass,
    /// What log, metrics, journal, hooks and followers cost new leases
    Observed,
    /// Kea, ISC dhcpd and dnsmasq under the same load
    Peers,
    /// Measure nothing; write request streams for generators on other machines (tests/NIC.md)
    Pcap,
    /// Measure nothing; put what the last run found into README.md and tests/figures
    Publish,
}

impl Part {
    /// Those that measure something.
    const MEASURED: [Self; 11] = [
        Self::Renew,
        Self::Dora,
        Self::Overload,
        Self::Latency,
        Self::Scale,
        Self::Start,
        Self::Memory,
        Self::Churn,
        Self::Pass,
        Self::Observed,
        Self::Peers,
    ];

    /// Those that see nothing of a server but its answers.
    const ELSEWHERE: [Self; 4] = [Self::Renew, Self::Dora, Self::Overload, Self::Latency];

    /// Those that are measured in the first run alone: they have no goal, or find the same each time.
    const ONCE: [Self; 4] = [Self::Start, Self::Memory, Self::Churn, Self::Observed];

    /// As the command line has it.
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// What was found, if that is what the part is for.
    fn measure(self, bench: &mut Bench, args: &Args) -> Result<Option<Section>> {
        if bench.elsewhere.is_some() && !Self::ELSEWHERE.contains(&self) {
            bail!(Unable(
                "it starts servers or looks into them, and with --iface the server is another machine's"
                    .into()
            ));
        }
        Ok(Some(match self {
            Self::Renew => renew::measure(bench)?,
            Self::Dora => dora::measure(bench)?,
            Self::Overload => overload::measure(bench)?,
            Self::Latency => latency::measure(bench)?,
            Self::Scale => scale::measure(bench)?,
            Self::Start => start::measure(bench)?,
            Self::Memory => memory::measure(bench)?,
            Self::Churn => churn::measure(bench)?,
            Self::Pass => pass::measure(bench)?,
            Self::Observed => observed::measure(bench)?,
            Self::Peers => peers::measure(bench)?,
            Self::Pcap => {
                pcap::write(&args.streams, args.clients.unwrap_or(100_000), args.asking, &args.results)?;
                return Ok(None);
            }
            Self::Publish => {
                publish::publish(&args.results)?;
                return Ok(None);
            }
        }))
    }
}

/// What the parts have in common.
struct Bench {
    scale: Scale,
    asking: Asking,
    /// The server at the other end of a NIC's cable, if that is what is measured.
    elsewhere: Option<Elsewhere>,
    /// Which run it is of those that the report is made of.
    run: u32,
    /// What was found already, for parts that measure in relation to it.
    new_leases: BTreeMap<Subject, Rc<Best>>,
}

impl Bench {
    /// The best rate of new leases of a server, measured when it is first asked for.
    fn new_leases(&mut self, subject: Subject) -> Result<Rc<Best>> {
        if let Some(best) = self.new_leases.get(&subject) {
            return Ok(Rc::clone(best));
        }
        let best = Rc::new(capacity::new_leases(subject, self)?);
        self.new_leases.insert(subject, Rc::clone(&best));
        Ok(best)
    }

    /// Clients as they are in every part.
    fn crowd(&self, clients: u32, addresses: u32) -> Crowd {
        self.asking.as_any().by(site::crowd(clients, addresses))
    }

    /// Where a part is measured, by this name.
    fn site(&self, name: &str) -> Result<Site<'_>> {
        match &self.elsewhere {
            Some(elsewhere) => Ok(Site::Elsewhere(elsewhere)),
            None => Ok(Site::Made(Box::new(site::lan(name)?))),
        }
    }

    /// Whether what is measured once is to be measured: other servers than Kea, and what has no goal.
    fn is_first_run(&self) -> bool {
        self.run == 1
    }

    /// The server that all is about.
    fn subject(&self) -> Subject {
        if self.elsewhere.is_some() { Subject::Elsewhere } else { Subject::Xdhcpd }
    }

    /// Those that are measured beside it.
    fn peers(&self) -> &'static [Subject] {
        if self.elsewhere.is_some() { &[] } else { &Subject::PEERS }
    }

    /// Remembers how fast the server has leased addresses, if it is to have them back.
    fn has_leased(&self, rate: f64) {
        if let Some(elsewhere) = &self.elsewhere {
            elsewhere.has_leased(rate);
        }
    }

    /// So many clients, or as many as a server elsewhere has addresses for.
    fn at_most(&self, wanted: u32) -> u32 {
        self.elsewhere.as_ref().map_or(wanted, |elsewhere| wanted.min(elsewhere.clients()))
    }

    /// So many clients that each get a lease, or as many as a server elsewhere has addresses for and serves in a few
    /// seconds.
    fn newcomers(&self, wanted: u32) -> u32 {
        self.elsewhere.as_ref().map_or(wanted, |elsewhere| wanted.min(elsewhere.a_few(self.scale)))
    }

    /// So much time, or as much as a server elsewhere has addresses for when so many clients come per second.
    ///
    /// # Errors
    /// [`Unable`] when nothing can be measured in what is left.
    fn time_for(&self, clients_per_second: f64, wanted: Duration) -> Result<Duration> {
        let Some(elsewhere) = &self.elsewhere else { return Ok(wanted) };
        let least = wanted / 5;
        // Some clients beside them may have leases already.
        let most = Duration::from_secs_f64(0.9 * f64::from(elsewhere.clients()) / clients_per_second);
        ensure!(
            most >= least,
            Unable(format!(
                "this takes {:.0} clients: give --clients, if the server has so many addresses",
                clients_per_second * least.as_secs_f64() / 0.9
            ))
        );
        Ok(wanted.min(most))
    }
}

/// How much is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    Quick,
    Full,
}

impl Scale {
    /// One of two sizes.
    fn of<T>(self, quick: T, full: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = if arguments.first().is_some_and(|first| first == confine::INSIDE) {
        let own = std::iter::once(OsString::from("bench")).chain(arguments.into_iter().skip(1));
        confine::settle_in().and_then(|()| run(&Args::parse_from(own))).map(|()| ExitCode::SUCCESS)
    } else {
        // Wrong arguments are told before anything is set up.
        let _ = Args::parse();
        confine::run_inside(&arguments)
    };
    done.unwrap_or_else(|error| {
        eprintln!("\nerror: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(args: &Args) -> Result<()> {
    let scale = if args.quick { Scale::Quick } else { Scale::Full };
    let parts = if args.parts.is_empty() { &Part::MEASURED[..] } else { &args.parts };
    let elsewhere = match &args.iface {
        Some(interface) if parts.iter().any(|part| Part::MEASURED.contains(part)) => {
            Some(Elsewhere::open(interface, args.clients.unwrap_or(1_000_000), args.asking)?)
        }
        _ if parts.iter().any(|part| *part != Part::Publish) => {
            site::try_out()?;
            None
        }
        _ => None,
    };
    let conditions = Conditions::now(elsewhere.as_ref(), args.asking, args.runs)?;
    let mut bench = Bench { scale, asking: args.asking, elsewhere, run: 1, new_leases: BTreeMap::new() };
    let mut report = Report { conditions, sections: Vec::new() };
    let mut runs = Vec::new();
    for number in 1..=args.runs {
        if args.runs > 1 {
            println!("\nRun {number} of {}", args.runs);
        }
        // What was found in one run is no measure of the next.
        bench.new_leases.clear();
        bench.run = number;
        let parts: Vec<Part> =
            parts.iter().copied().filter(|part| number == 1 || !Part::ONCE.contains(part)).collect();
        runs.push(one_run(&parts, &mut bench, args)?);
        report.sections = runs::as_one(&runs);
        if report.sections.is_empty() {
            return Ok(());
        }
        // Ratios to others say most, whatever the machine; they are measured last, in relation to the rest.
        report.sections.sort_by_key(|section| section.name != "peers");
        save(&report, &args.results)?;
    }
    terminal::print_goals(&report);
    let failed: Vec<&str> = report.failures().map(|(section, _)| section.name.as_str()).collect();
    if !failed.is_empty() {
        bail!("failed: {}; why stands in the report", failed.join(", "));
    }
    Ok(())
}

/// What each part finds.
fn one_run(parts: &[Part], bench: &mut Bench, args: &Args) -> Result<Vec<Section>> {
    let mut sections = Vec::new();
    for part in parts {
        let mut section = match part.measure(bench, args) {
            Ok(Some(section)) => section,
            Ok(None) => continue,
            Err(error) if !Part::MEASURED.contains(part) => return Err(error),
            // One part that failed is no reason to be silent about the others.
            Err(error) => without_findings(*part, &error),
        };
        if let Some(elsewhere) = &bench.elsewhere {
            section.remarks.extend(elsewhere.lacks().map(str::to_owned));
            section.remarks.extend(elsewhere.aftermath());
        }
        progress::clear();
        terminal::print(&section);
        sections.push(section);
    }
    Ok(sections)
}

/// A part that could not be measured, or that found something wrong.
fn without_findings(part: Part, error: &anyhow::Error) -> Section {
    let name = part.name();
    let mut section = Section::new(&name, &name, "");
    if error.is::<Unable>() {
        section.remark(format!("left out: {error:#}"));
    } else {
        section.failure = Some(format!("{error:#}"));
    }
    section
}

fn save(report: &Report, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let write = |name: &str, content: String| {
        let path = dir.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        anyhow::Ok(path)
    };
    let json = write("report.json", serde_json::to_string_pretty(report)? + "\n")?;
    let page = write("report.html", page::write(report))?;
    println!("\nreport: {} and {}", page.display(), json.display());
    Ok(())
}
