//! Killed at random instants, under load, while it starts, with its maps kept or gone: no lease is lost or given twice.

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::time::{ClockId, clock_gettime};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use system_tests::load::{Count, Crowd, Held, Lane, Load, Pace, Sorts, Stream, Target, Way};
use system_tests::process::output;
use system_tests::real::{Program, RealClient};
use system_tests::server::{Home, Launch, Server, Xdp};
use system_tests::topology::{CLIENT_IF, Lan};
use system_tests::wait::PROMPT;
use system_tests::wire::Mac;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// How often the daemon is killed, unless the environment says otherwise (`cargo xtask test --long` does).
const CYCLES: u32 = 120;
const CYCLES_WANTED: &str = "XDHCPD_CYCLES";
/// A seed that was printed, to have the same again.
const SEED: &str = "XDHCPD_SEED";

const CLIENTS: u32 = 1500;
const TERM: Duration = Duration::from_secs(60);
/// Times are listed to the second, and what boot time is called in wall time may be off by half of one, each time.
const SLACK: Duration = Duration::from_secs(2);

/// The generator's clients have leases short enough for the horizon to move all the time. Real ones renew every three
/// seconds: dhcpcd takes no lease under twenty, and dhclient can't be told to renew. (udhcpc knows no T1 but half of
/// its lease, and misses unicast answers that come within microseconds: they reach the socket that it asks by.)
const SUBNET: &str = r#"
[[class]]
name = "real"
match = { hw-address = ["02:43:*"] }
lease-time = "40s"
renew-time = "3s"
rebind-time = "20s"

[[subnet]]
prefix = "10.0.0.0/16"
pools = [
    { range = "10.0.0.10 - 10.0.0.20", allow = "real" },
    { range = "10.0.1.0 - 10.0.15.255", deny = "real" },
]
lease-time = "60s"
options = { routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.53"] }
"#;

#[test]
fn killed_at_any_instant_it_loses_no_lease_and_gives_none_twice() -> Result<()> {
    let cycles: u32 = setting(CYCLES_WANTED)?.unwrap_or(CYCLES);
    let seed = setting(SEED)?.map_or_else(drawn, Ok)?;
    println!("{cycles} cycles; the same again: {SEED}={seed}");

    let lan = Lan::new("kill", SERVER, 16)?;
    let crowd = Crowd {
        clients: CLIENTS,
        first_address: Ipv4Addr::new(10, 0, 1, 0),
        addresses: 0xf00,
        way: Way::default(),
        sorts: Sorts::Alike,
    };
    let load = Load::new(&lan, crowd)?;
    let server = Server::start(Home::from(&lan).under_load(), Xdp::Native, SUBNET)?;
    load.dora(0..CLIENTS, 64, PROMPT * 3)?;

    let began = Instant::now();
    let boots = Boots::of(&lan)?;
    let mut ordeal = Ordeal {
        load: &load,
        server,
        boots,
        chance: Chance(seed),
        book: Book::open()?,
        seen: Seen::default(),
    };
    for (turn, program) in (0..).zip(Program::ALL) {
        let share = cycles * turn / 3..cycles * (turn + 1) / 3;
        ordeal.with_a_real_client(&lan, program, share).with_context(|| format!("{SEED}={seed}"))?;
    }
    let Seen { doomed, wiped, renewed, bound, released, checked } = ordeal.seen;
    println!(
        "killed {cycles} times and {doomed} times more while starting, {wiped} times with the maps gone, in {:.0?}: \
         {renewed} renewals, {bound} new leases, {released} released; {checked} leases looked at, none lost, none \
         given twice",
        began.elapsed()
    );
    ensure!(renewed > u64::from(cycles) && bound > u64::from(cycles), "there was no load to speak of");
    Ok(())
}

/// A number from the environment.
fn setting<T: std::str::FromStr>(name: &str) -> Result<Option<T>> {
    let Some(text) = std::env::var_os(name) else { return Ok(None) };
    let number = text.to_str().and_then(|text| text.parse().ok());
    number.map(Some).with_context(|| format!("{name} is no number that makes sense here: {}", text.display()))
}

fn drawn() -> Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}

/// What is killed, and what is done to it besides.
struct Ordeal<'a> {
    load: &'a Load<'a>,
    server: Server<'a>,
    boots: Boots,
    chance: Chance,
    book: Book,
    seen: Seen,
}

/// What has been done so far, to be told in the end.
#[derive(Default)]
struct Seen {
    doomed: u32,
    wiped: u32,
    renewed: u64,
    bound: u64,
    released: u64,
    checked: usize,
}

impl Ordeal<'_> {
    /// Some of the cycles, while a real client renews its lease.
    fn with_a_real_client(&mut self, lan: &Lan, program: Program, cycles: Range<u32>) -> Result<()> {
        let mut real = RealClient::new(lan, program)?;
        real.start()?;
        let address = real.expect(real.bound(), PROMPT * 2)?;
        let (before, began) = (real.events()?.len(), Instant::now());
        for cycle in cycles {
            self.cycle().with_context(|| format!("in cycle {cycle}"))?;
        }
        let events = real.events()?;
        let events = &events[before..];
        ensure!(
            events.iter().all(|event| event.address == Some(address)),
            "{} did not keep {address}: {events:?}",
            program.name()
        );
        println!("{}: {} renewals, always {address}", program.name(), events.len());
        let due = began.elapsed().as_secs() / 40;
        ensure!(events.len() as u64 >= due, "{} has hardly renewed: {events:?}", program.name());
        real.unplug()?;
        lan.clients.ip(&format!("address flush dev {CLIENT_IF}")).map(drop)
    }

    /// Kills the daemon in the midst of its work, perhaps again before it is up, and looks whether all leases are there.
    fn cycle(&mut self) -> Result<()> {
        let after = self.chance.between(50, 600);
        let wipe = self.chance.one_in(8);
        let reboot = wipe && self.chance.one_in(2);
        let doomed = if self.chance.one_in(4) { 1 + self.chance.below(3) } else { 0 };
        let dead_after: Vec<_> = (0..doomed).map(|_| self.chance.between(0, 150)).collect();
        let Self { load, server, boots, .. } = self;
        let (report, done) = load.run(&streams(), || -> Result<()> {
            thread::sleep(after);
            server.crash()?;
            if wipe {
                server.detach()?;
            }
            if reboot {
                boots.another()?;
            }
            for time in dead_after {
                server.launch_again(&Launch::default())?;
                thread::sleep(time);
                server.crash()?;
            }
            server.start_again()
        })?;
        done?;
        self.seen.doomed += u32::try_from(doomed)?;
        self.seen.wiped += u32::from(wipe);
        self.seen.renewed += report.counts.of(Count::Renewed);
        self.seen.bound += report.counts.of(Count::Bound);
        self.seen.released += report.counts.of(Count::Releases);
        let how = || {
            format!(
                "killed after {after:?}, maps gone {wipe}, rebooted {reboot}, {doomed} starts cut short: {report:?}"
            )
        };
        self.seen.checked += self.book.check(&self.server, self.load.held()).with_context(how)?;
        consistent(&self.server).with_context(how)
    }
}

/// Renewals, new leases and releases of the same clients, side by side.
fn streams() -> [Stream; 3] {
    [(Lane::Renew, 5000.0), (Lane::Discover, 400.0), (Lane::Release, 300.0)].map(|(lane, rate)| Stream {
        lane,
        target: Target::Server,
        clients: 0..CLIENTS,
        turn: 0,
        pace: Pace::Rate(rate),
        again_after: Some(Duration::from_millis(200)),
        timed: true,
    })
}

/// What clients have been promised.
struct Book {
    /// When it was last looked at, on the monotonic clock.
    read: Duration,
    /// Each client's address, and when it asked for what it was promised last.
    promised: HashMap<u32, (Ipv4Addr, Duration)>,
}

impl Book {
    fn open() -> Result<Self> {
        Ok(Self { read: monotonic()?, promised: HashMap::new() })
    }

    /// Looks whether the server still knows what each client knows; how many were looked at.
    fn check(&mut self, server: &Server, held: impl Iterator<Item = Held>) -> Result<usize> {
        let held: Vec<Held> = held.collect();
        let (read, wall) = (monotonic()?, SystemTime::now());
        let listed = listed(server)?;
        let mut promised = HashMap::new();
        for lease in held {
            let Held { client, mac, address, asked } = lease;
            // Its last question got no answer: what it was told at the latest when last looked at still holds.
            let earlier = self.promised.get(&client).filter(|(former, _)| *former == address);
            let since = asked.or(earlier.map(|(_, since)| *since)).unwrap_or(self.read);
            let until = wall - read.saturating_sub(since) + TERM;
            let known = listed.get(&address).with_context(|| format!("{lease:?} is forgotten"))?;
            ensure!(known.state == "leased" && known.mac == mac, "{lease:?} is {known:?}");
            ensure!(known.expires + SLACK >= until, "{lease:?}, promised until {until:?}, is {known:?}");
            promised.insert(client, (address, since));
        }
        let checked = promised.len();
        *self = Self { read, promised };
        Ok(checked)
    }
}

fn monotonic() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}

/// A lease as the server lists it.
#[derive(Debug)]
struct Known {
    mac: Mac,
    state: String,
    expires: SystemTime,
}

/// All that the server lists, by address; no address may come twice.
fn listed(server: &Server) -> Result<HashMap<Ipv4Addr, Known>> {
    let leases = server.json(&["leases"])?;
    let mut all = HashMap::new();
    for lease in leases.as_array().context("`leases` is not a list")? {
        let (address, known) = read(lease).with_context(|| format!("{lease}"))?;
        ensure!(all.insert(address, known).is_none(), "{address} is listed twice");
    }
    Ok(all)
}

fn read(lease: &Value) -> Result<(Ipv4Addr, Known)> {
    let text = |key: &str| lease[key].as_str().with_context(|| format!("no {key}"));
    let octets: Result<Vec<u8>, _> =
        text("hw-address")?.split(':').map(|octet| u8::from_str_radix(octet, 16)).collect();
    let mac = Mac::try_from(octets?.as_slice())?;
    let (state, expires) = (text("state")?.to_owned(), humantime::parse_rfc3339(text("expires")?)?);
    Ok((text("address")?.parse()?, Known { mac, state, expires }))
}

fn consistent(server: &Server) -> Result<()> {
    let said = output(server.cli(&["audit"])?.arg("--json"))?;
    let audit: Value = serde_json::from_slice(&said.stdout).with_context(|| format!("{said:?}"))?;
    ensure!(audit["consistent"] == true, "{audit}");
    Ok(())
}

/// The boot id that everything in a world is told.
struct Boots {
    file: std::path::PathBuf,
    number: u32,
}

impl Boots {
    /// The first boot, from the next start of the daemon on.
    fn of(lan: &Lan) -> Result<Self> {
        let file = lan.world.write("boot", &fs::read_to_string(BOOT_ID)?)?;
        mount(Some(&file), BOOT_ID, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .context("cannot replace the boot id")?;
        Ok(Self { file, number: 0 })
    }

    /// The kernel boots another time.
    fn another(&mut self) -> Result<()> {
        self.number += 1;
        Ok(fs::write(&self.file, format!("00000000-0000-4000-8000-{:012}\n", self.number))?)
    }
}

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A sequence of numbers that looks like chance and follows from its seed (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn between(&mut self, least: u64, most_millis: u64) -> Duration {
        Duration::from_micros(1000 * least + self.below(1000 * (most_millis - least)))
    }
}
