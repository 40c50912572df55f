//! `cargo xtask test`: the crates' own tests, then the whole-system tests, and one line that adds them up.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{
    build::{self, Profile},
    dist,
    failures::Failures,
    kernels, process,
    setup::{self, Purpose},
    tally::Tally,
    workspace,
};

/// A daemon of one's own, for [`Part::Kernel`].
const DAEMON: &str = "XDHCPD_BIN";
/// How often the test `kill` kills the daemon, where it is told.
const CYCLES: &str = "XDHCPD_CYCLES";
/// The seed of its random instants, and of the frames in `tests/fuzz`: that of a run that failed repeats it.
const SEED: &str = "XDHCPD_SEED";
/// [`CYCLES`] of a long run.
const LONG: &str = "1000";

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which tests; all when not given
    #[arg(value_enum)]
    part: Option<Part>,
    /// Only tests whose name contains this
    filter: Option<String>,
    /// Kill the daemon a thousand times instead of 120 (or as often as XDHCPD_CYCLES says)
    #[arg(long)]
    long: bool,
    /// Simulate the life that follows from this seed: that of a run that failed repeats it
    #[arg(long)]
    seed: Option<String>,
    /// Simulate so many days, however long it takes
    #[arg(long)]
    days: Option<u32>,
    /// Only try the wrong versions of the code that the simulation must catch, and print what caught each
    #[arg(long)]
    mutations: bool,
}

/// A group of tests with the same needs.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The crates' own tests
    Unit,
    /// Network namespaces, scripted frames and real clients; as root
    Net,
    /// The whole server in a deterministic simulation (`tests/sim`)
    Sim,
    /// The Debian package in a clean Debian; only when it is named
    Package,
    /// Other kernels and real drivers, emulated; only when it is named
    Kernel,
    /// Miri over slots and packets, AddressSanitizer over the daemon and the parsers; only when it is named
    Memory,
}

/// The test target that only [`Part::Package`] runs.
const PACKAGE: &str = "package";
/// The test target that [`Part::Kernel`] runs, and nobody else: it needs NICs.
const DRIVERS: &str = "drivers";
/// Tests of what a kernel lets programs of others call.
const NEIGHBOURS: &str = "neighbours";

/// Runs the tests; the last lines it prints say what failed, and the sum. Fails when a test failed or none ran.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    match args.part {
        Some(Part::Package) => return package(args.filter.as_deref()),
        Some(Part::Kernel) => return kernel(args.filter.as_deref()),
        Some(Part::Memory) => return memory(args.filter.as_deref()),
        // It needs nothing of the machine.
        Some(Part::Sim) => {
            let mut seen = Seen::default();
            simulate(args, &mut seen)?;
            return Ok(seen.told());
        }
        _ => {}
    }
    setup::prepare(Purpose::Test)?;
    let daemon = build::daemon(Profile::Release)?;
    let wanted = |part| args.part.is_none_or(|chosen| chosen == part);
    let filter = args.filter.as_deref();
    let named = filter.as_slice();
    let mut seen = Seen::default();
    if wanted(Part::Unit) {
        let mut cargo = build::cargo();
        cargo.args([
            "test",
            "--no-fail-fast",
            "--workspace",
            "--exclude",
            "system-tests",
            "--exclude",
            "fuzz",
            "--exclude",
            "sim",
        ]);
        run(cargo, &[&["--skip", MILLIONS], named].concat(), &mut seen)?;
        run(optimised(&["dhcp-ebpf", "--test", "cost"]), named, &mut seen)?;
        if filter.is_none_or(|filter| filter.contains(MILLIONS) || filter.contains(COSTS)) {
            // One at a time: what one takes in memory is measured.
            let to_tests = filter.map_or_else(|| vec![MILLIONS, COSTS], |filter| vec![filter]);
            run(
                optimised(&["dhcp-user", "--lib"]),
                &[&["--test-threads=1"], &*to_tests].concat(),
                &mut seen,
            )?;
        }
        run(fuzz(&["--lib", "--test", "host"]), &[&FUZZ, named].concat(), &mut seen)?;
        // Not optimised: sums that don't fit fail there.
        let mut cargo = build::cargo();
        cargo.args(["test", "--no-fail-fast", "--package", "fuzz", "--test", "targets"]);
        run(cargo, &[&FUZZ, named].concat(), &mut seen)?;
    }
    if wanted(Part::Sim) {
        simulate(args, &mut seen)?;
    }
    if wanted(Part::Net) {
        let others: Vec<String> =
            system_tests()?.into_iter().filter(|name| name != PACKAGE && name != DRIVERS).collect();
        build::load_generator()?;
        let mut cargo = system_test_command(&others);
        cargo.arg("--lib").arg("--config").arg(root_runner(&daemon, args.long, &[])?);
        run(cargo, named, &mut seen)?;
        let mut cargo = fuzz(&["--test", "loaded", "--test", "swap"]);
        cargo.arg("--config").arg(root_runner(&daemon, args.long, &[])?);
        run(cargo, &[&FUZZ, named].concat(), &mut seen)?;
    }
    Ok(seen.told())
}

/// Packs a daemon, makes a clean Debian, and tests the one in the other.
fn package(filter: Option<&str>) -> Result<ExitCode> {
    setup::prepare(Purpose::Package)?;
    let daemon = build::daemon(Profile::Dev)?;
    let [(deb, _), (rpm, _), _] = dist::packages(&daemon)?;
    let debian = dist::clean_debian()?;
    let mut cargo = system_test_command(&[PACKAGE.to_owned()]);
    let more = [
        ("XDHCPD_PACKAGE", deb.as_path()),
        ("XDHCPD_RPM", rpm.as_path()),
        ("XDHCPD_DEBIAN", debian.as_path()),
    ];
    cargo.arg("--config").arg(root_runner(&daemon, false, &more)?);
    let mut seen = Seen::default();
    run(cargo, filter.as_slice(), &mut seen)?;
    Ok(seen.told())
}

/// Boots other kernels, and tries real drivers on each. Prints a table of what real drivers did.
fn kernel(filter: Option<&str>) -> Result<ExitCode> {
    setup::prepare(Purpose::Kernel)?;
    let daemon = match env::var_os(DAEMON) {
        Some(path) => fs::canonicalize(&path).with_context(|| format!("{DAEMON}={}", path.display()))?,
        None => build::daemon(Profile::Release)?,
    };
    let tests = [built(DRIVERS)?, built(NEIGHBOURS)?];
    let lacking = kernels::lacking()?;
    let script = kernels::script(&daemon, &tests, filter, &lacking);
    let mut seen = Seen::default();
    let mut table = Vec::new();
    for kernel in kernels::kernels()? {
        println!("booting Linux {}", kernel.version);
        let mut has_result = false;
        let ended = kernel.run(&script, |line| {
            print!("{line}");
            has_result |= line.starts_with("test result: ");
            table.extend(line.trim().strip_prefix("driver: ").map(str::to_owned));
            seen.tally.count(line);
            seen.failures.read(line);
        });
        if let Err(error) = ended {
            println!("{error:#}: counted as failed");
            seen.tally.failed += 1;
        } else if !has_result {
            println!("the tests ended without a result: counted as failed");
            seen.tally.failed += 1;
        }
    }
    println!("| kernel | driver | queues | MTU | attached | remarks | instructions verified |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    table.iter().for_each(|row| println!("| {row} |"));
    for driver in lacking {
        println!(
            "| | {driver} | | | not tried | this qemu has no such NIC (igb: from 8.0 on, in bookworm-backports) | |"
        );
    }
    Ok(seen.told())
}

/// Has each access to memory checked: by an interpreter (Miri), and by checks that the compiler adds (AddressSanitizer).
fn memory(filter: Option<&str>) -> Result<ExitCode> {
    let filter = filter.as_slice();
    let mut seen = Seen::default();
    if process::output(&mut rustup_nightly(&["cargo", "miri", "--version"])).is_err() {
        println!("getting Rust's nightly toolchain, which has Miri");
        let mut rustup = Command::new("rustup");
        rustup.args([
            "toolchain",
            "install",
            "nightly",
            "--profile",
            "minimal",
            "--component",
            "miri,rust-src",
        ]);
        process::run(&mut rustup).context("Miri comes with Rust's nightly toolchain alone, by rustup")?;
    }
    let mut miri = rustup_nightly(&["cargo", "miri", "test", "--no-fail-fast", "--package", "dhcp-ebpf"]);
    miri.arg("--target-dir").arg(workspace::target_dir().join("miri")).current_dir(workspace::root());
    miri.args(INTERPRETED.iter().flat_map(|target| ["--test", target])).arg("--lib");
    // It takes a thousand times as long: two random cases of each kind are as many minutes.
    miri.env("PROPTEST_CASES", "2").env("MIRIFLAGS", "-Zmiri-disable-isolation");
    let mut began = Instant::now();
    let mut timed = |what: &str| {
        println!("memory: {what} took {:.1} minutes", began.elapsed().as_secs_f64() / 60.0);
        began = Instant::now();
    };
    run(miri, &[&TOO_LONG, filter].concat(), &mut seen)?;
    timed("Miri");
    for targets in [&["dhcp-user", "--lib"][..], &["fuzz", "--test", "targets"]] {
        let mut cargo = build::cargo();
        cargo.args(["test", "--no-fail-fast", "--package"]).args(targets);
        // Where a platform is named, programs that only the build runs are compiled without the checks.
        cargo.args(["--target", &workspace::platform()?]);
        cargo.arg("--target-dir").arg(workspace::target_dir().join("memory"));
        cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address");
        run(cargo, &[&["--skip", MILLIONS], filter].concat(), &mut seen)?;
        timed(&format!("AddressSanitizer over {}", targets.join(" ")));
    }
    Ok(seen.told())
}

/// What Miri is not given: a test of a hundred thousand questions, and those that go through every outcome's case once more.
/// Others have fewer cases there.
const TOO_LONG: [&str; 4] = ["--skip", "as_many_questions", "--skip", "every_outcome"];

/// The test targets of the packet library that Miri is given. Not: those of interleavings, whose threads are loom's, with stacks
/// that Miri does not know; those that count instructions; `mangled` and `question`, which are nothing but many cases.
const INTERPRETED: [&str; 4] = ["outcomes", "publish", "renewal", "reply"];

/// A command of Rust's nightly toolchain.
fn rustup_nightly(words: &[&str]) -> Command {
    let mut rustup = Command::new("rustup");
    rustup.args(["run", "nightly"]).args(words);
    rustup
}

/// Builds a whole-system test target. Gives its program.
fn built(target: &str) -> Result<PathBuf> {
    let mut cargo = system_test_command(&[target.to_owned()]);
    cargo.args(["--no-run", "--message-format=json-render-diagnostics"]).stderr(Stdio::inherit());
    let said = process::output(&mut cargo).context("the tests don't build")?;
    let mut messages = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let program = messages.find_map(|message| {
        let is_it = message["target"]["name"] == target;
        message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
    });
    program.with_context(|| format!("cargo names no program for {target}"))
}

/// What test runners have printed so far.
#[derive(Default)]
struct Seen {
    tally: Tally,
    failures: Failures,
}

impl Seen {
    /// Says what failed, and the sum.
    fn told(&self) -> ExitCode {
        print!("{}", self.failures);
        println!("{}", self.tally);
        if self.tally.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// What the names of tests that need optimised code to end in time have in common.
const MILLIONS: &str = "million";
/// And of those that count instructions of optimised code.
const COSTS: &str = "cost::";

/// Tests of a crate, some targets of it, in optimised code.
fn optimised(targets: &[&str]) -> Command {
    let mut cargo = build::cargo();
    cargo.args(["test", "--release", "--no-fail-fast", "--package"]).args(targets);
    cargo
}

/// Tests of `tests/fuzz`, `targets` of them, in optimised code.
fn fuzz(targets: &[&str]) -> Command {
    let mut cargo = build::cargo();
    cargo.args(["test", "--release", "--no-fail-fast", "--package", "fuzz"]).args(targets);
    cargo
}

/// The simulation: days by the thousand and all wrong versions of the code, or what is asked for.
fn simulate(args: &Args, seen: &mut Seen) -> Result<()> {
    let mut cargo = build::cargo();
    cargo.args(["test", "--release", "--no-fail-fast", "--package", "sim", "--features", "simulation"]);
    if args.mutations {
        cargo.args(["--test", "mutations"]);
    } else if args.seed.is_some() || args.days.is_some() {
        cargo.args(["--test", "days"]);
    }
    cargo.envs(args.seed.iter().map(|seed| (SEED, seed)));
    cargo.envs(args.days.iter().map(|days| ("XDHCPD_DAYS", days.to_string())));
    // Daemons come and go by the thousand: what one gives back the next one takes.
    cargo.env("MIMALLOC_PURGE_DELAY", "-1");
    run(cargo, &[&FUZZ, args.filter.as_deref().as_slice()].concat(), seen)
}

/// What these are told: each takes all processors, and prints its seed and what it saw.
const FUZZ: [&str; 2] = ["--test-threads=1", "--show-output"];

/// The names of the whole-system test targets, as cargo finds them.
fn system_tests() -> Result<Vec<String>> {
    let dir = workspace::root().join("tests/tests");
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("can't read {}", dir.display()))? {
        let path = entry?.path();
        let is_target =
            path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").exists();
        if let (true, Some(name)) = (is_target, path.file_stem()) {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn system_test_command(targets: &[String]) -> Command {
    let mut cargo = build::cargo();
    cargo.args(["test", "--no-fail-fast", "--package", "system-tests"]);
    for target in targets {
        cargo.args(["--test", target]);
    }
    cargo
}

/// A cargo setting that runs test binaries as root, each told which daemon to test.
///
/// Cargo itself stays what it is, so that it leaves no file of root's in the target directory.
fn root_runner(daemon: &Path, long: bool, places: &[(&str, &Path)]) -> Result<OsString> {
    let mut command = process::as_root_with(daemon)?;
    // sudo hands no variables on.
    let cycles = env::var(CYCLES).ok().or_else(|| long.then(|| LONG.to_owned()));
    for (name, value) in [(CYCLES, cycles), (SEED, env::var(SEED).ok())] {
        command.args(value.map(|value| format!("{name}={value}")));
    }
    command.args(places.iter().map(|(name, place)| format!("{name}={}", place.display())));
    let words: Vec<String> = [command.get_program()]
        .into_iter()
        .chain(command.get_args())
        .map(|word| word.to_str().map(|word| format!("{word:?}")))
        .collect::<Option<_>>()
        .context("PATH or the target directory is not UTF-8")?;
    Ok(format!("target.'cfg(all())'.runner = [{}]", words.join(", ")).into())
}

/// Runs one `cargo test`, shows what it prints and notes its results.
///
/// `to_tests` is told to the test binaries: which tests.
fn run(mut cargo: Command, to_tests: &[&str], seen: &mut Seen) -> Result<()> {
    cargo.arg("--").args(to_tests);
    let mut child = cargo.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("can't start cargo")?;
    let mut stdout = BufReader::new(child.stdout.take().context("cargo has no output")?);
    let failed_before = seen.tally.failed;
    let mut line = Vec::new();
    while stdout.read_until(b'\n', &mut line).context("can't read cargo's output")? > 0 {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        seen.tally.count(&text);
        seen.failures.read(&text);
        line.clear();
    }
    let status = child.wait().context("can't wait for cargo")?;
    if !status.success() && seen.tally.failed == failed_before {
        // It did not compile, or a test took its whole run with it: that is no result, and no success either.
        println!("a test run ended without a result ({status}): counted as failed");
        seen.tally.failed += 1;
    }
    Ok(())
}
