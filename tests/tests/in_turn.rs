//! In turn: each system call that the daemon makes fails with each error it may fail with, and each descriptor it has
//! takes nothing. If the daemon can't go on serving, `status` says so, or the daemon ends with a reason; afterwards
//! everything is as before.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use system_tests::client::{Client, Lease};
use system_tests::faults::{Fault, Faults};
use system_tests::inject::Injection;
use system_tests::paths::SERVER;
use system_tests::process::output;
use system_tests::server::{Launch, Server, Xdp};
use system_tests::topology::{Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};
use system_tests::wire::Kind;

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/16"
pools = ["10.0.0.10 - 10.0.3.250"]
lease-time = "10m"
"#;

/// A call, the errors that it fails with, and the file that it concerns where only that is meant, in the world's directory.
struct Row(&'static str, &'static [&'static str], Option<&'static str>);

/// What each call fails with. A write or read of no file here is one of the runtime's own counters (`eventfd`), which the
/// kernel never refuses.
const TABLE: [Row; 17] = [
    Row("bpf", &["ENOMEM", "EPERM", "E2BIG"], None),
    Row("sendmmsg", &["ENOBUFS", "EAGAIN", "EPERM"], None),
    Row("sendto", &["ENOBUFS", "EPERM"], None),
    Row("recvfrom", &["ENOMEM"], None),
    Row("fdatasync", &["EIO", "ENOSPC"], None),
    Row("pwrite64", &["EIO", "EDQUOT"], None),
    Row("pread64", &["EIO"], None),
    Row("statx", &["EIO", "EACCES"], None),
    Row("openat", &["EMFILE", "ENOMEM", "EACCES"], None),
    Row("readlink", &["EACCES", "EIO"], None),
    Row("read", &["EIO"], Some("xdhcpd.toml")),
    Row("write", &["EIO", "ENOSPC", "EPIPE", "EAGAIN"], Some("xdhcpd.log")),
    Row("socket", &["EMFILE", "EPERM"], None),
    Row("getsockopt", &["ENOMEM"], None),
    Row("accept4", &["ENFILE", "ECONNABORTED"], None),
    Row("ioctl", &["ENOMEM", "EPERM", "ENODEV"], None),
    Row("epoll_ctl", &["ENOMEM"], None),
];

/// Calls of memory, which end the process with a reason if anything, and those that are made so seldom that other tests have them
/// fail: a segment that is full (`disk_full.rs`, `hostile.rs`), a thread that can't be had (`hostile.rs`), an interface that
/// is attached to (`life.rs`) or listened on (`hostile.rs`), a service manager that is told (`outputs.rs`).
const ELSEWHERE: [&str; 19] = [
    "bind",
    "clone3",
    "connect",
    "fallocate",
    "fstat",
    "fsync",
    "ftruncate",
    "getdents64",
    "lseek",
    "mmap",
    "mprotect",
    "newfstatat",
    "poll",
    "recvmsg",
    "rename",
    "sendmsg",
    "setsockopt",
    "unlink",
    "unlinkat",
];

/// Calls that fail for no reason outside the program, or only where they give something back. (`fcntl`: an unoptimised build looks
/// whether a descriptor is open before it closes it.)
const NEVER: [&str; 34] = [
    "brk",
    "capget",
    "capset",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "epoll_pwait",
    "epoll_wait",
    "exit",
    "fcntl",
    "futex",
    "getcpu",
    "geteuid",
    "getpid",
    "getrandom",
    "getsockname",
    "gettid",
    "getuid",
    "madvise",
    "membarrier",
    "munmap",
    "nanosleep",
    "prctl",
    "restart_syscall",
    "rseq",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_yield",
    "set_robust_list",
    "shutdown",
    "sigaltstack",
    "tgkill",
    "uname",
];

/// What the daemon did while something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Became {
    /// A newcomer got a lease, and all else its answer.
    Served,
    /// `status`, or each command, said what was wrong.
    Told,
    /// A newcomer got a lease, and what operators ask came to no answer, which their commands say.
    Unheard,
    /// It ended, and said why.
    Ended,
}

/// A link, a server on it, and a client whose lease the kernel renews.
struct Scene<'a> {
    lan: &'a Lan,
    server: Server<'a>,
    owner: Client<'a>,
    lease: Lease,
    newcomers: u16,
    mtu: u16,
}

impl<'a> Scene<'a> {
    fn new(lan: &'a Lan, launch: &Launch<'_>) -> Result<Self> {
        let mut server = Server::start(lan, Xdp::Native, SUBNET)?;
        server.stop()?;
        server.start_again_with(launch)?;
        let owner = lan.client(1);
        let lease = owner.dora()?;
        owner.renew(&lease)?;
        Ok(Self { lan, server, owner, lease, newcomers: 1, mtu: 1500 })
    }

    fn newcomer(&mut self) -> Client<'a> {
        self.newcomers += 1;
        self.lan.client(self.newcomers)
    }

    /// Whether this command ends within a time that a person waits, however it ends; and what it says.
    fn command(&self, words: &[&str]) -> Result<(Option<i32>, String)> {
        let asked = Instant::now();
        let said = output(&mut self.server.cli(words)?)?;
        ensure!(asked.elapsed() < 3 * PROMPT, "{words:?} took {:?}", asked.elapsed());
        let text =
            format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        Ok((said.status.code(), text))
    }

    /// All that a daemon does in its life, as far as it does it now.
    fn live(&mut self) -> Result<()> {
        let passing = self.newcomer();
        let discover = passing.discovering();
        passing.send(&discover)?;
        let wait = Instant::now() + Duration::from_millis(300);
        if let Some(offer) = passing.answer(&discover, wait)?.filter(|answer| answer.kind == Kind::Offer) {
            let selecting = passing.selecting(&offer)?;
            passing.send(&selecting)?;
            let wait = Instant::now() + Duration::from_millis(300);
            if let Some(ack) = passing.answer(&selecting, wait)? {
                passing.release(&system_tests::client::granted(&ack)?)?;
            }
        }
        for words in [&["reload"][..], &["audit"], &["leases"], &["stats"]] {
            self.command(words)?;
        }
        // Interfaces are looked at, and what drivers count.
        self.mtu = if self.mtu == 1500 { 1400 } else { 1500 };
        self.lan.server.ip(&format!("link set {SERVER_IF} mtu {}", self.mtu)).map(drop)
    }

    /// What becomes of the daemon while something fails.
    fn became(&mut self) -> Result<Became> {
        self.live()?;
        self.owner.renew(&self.lease).context("the kernel goes on")?;
        until("the daemon to serve, to say what is wrong, or to end", 3 * PROMPT, || {
            if !self.server.is_running()? {
                let log = self.server.log();
                ensure!(
                    !log.lines().rev().take(200).any(|line| line.contains("panicked at")),
                    "it panicked: {log}"
                );
                let reason = ["ERROR", "xdhcpd: ", "memory allocation"];
                let last =
                    log.lines().rev().take(40).any(|line| reason.iter().any(|word| line.contains(word)));
                ensure!(last, "it ended without a word");
                return Ok(Some(Became::Ended));
            }
            let newcomer = self.newcomer();
            let discover = newcomer.discovering();
            newcomer.send(&discover)?;
            let wait = Instant::now() + Duration::from_millis(200);
            let offer = newcomer.answer(&discover, wait)?;
            let (status, said) = self.command(&["status", "--json"])?;
            if said.contains("\"trouble\"") || status == Some(3) && said.contains("stands still") {
                return Ok(Some(Became::Told));
            }
            let Some(offer) = offer else { return Ok(None) };
            let selecting = newcomer.selecting(&offer)?;
            newcomer.send(&selecting)?;
            let wait = Instant::now() + Duration::from_millis(500);
            let granted = newcomer.answer(&selecting, wait)?.is_some();
            Ok(match status {
                Some(0) if granted => Some(Became::Served),
                Some(3) if granted && !said.is_empty() => Some(Became::Unheard),
                _ => None,
            })
        })
    }

    /// When it is over all is as it was, of itself or with another daemon.
    fn recover(&mut self, launch: &Launch<'_>, became: Became) -> Result<()> {
        if became == Became::Ended || !self.server.is_running()? {
            self.server.start_again_with(launch)?;
        }
        until("all to be well again", 4 * PROMPT, || {
            if !self.server.is_running()? {
                // What failed was found out late.
                self.server.start_again_with(launch)?;
            }
            let (status, said) = self.command(&["status", "--json"])?;
            Ok((status == Some(0) && !said.contains("\"trouble\"")).then_some(()))
        })?;
        self.newcomer().dora()?;
        self.owner.renew(&self.lease)?;
        self.server.reload()?;
        let audit = self.server.json(&["audit"])?;
        ensure!(audit["consistent"] == true, "{audit}");
        Ok(())
    }
}

#[test]
fn each_call_that_can_fail_does() -> Result<()> {
    let lan = Lan::new("in-turn", SERVER, 16)?;
    let launch = Launch::default();
    let mut scene = Scene::new(&lan, &launch)?;
    let mut outcomes = Vec::new();
    for Row(call, errors, file) in TABLE {
        let path: Option<PathBuf> = file.map(|file| lan.world.dir().join(file));
        for error in errors {
            let named = || format!("{call} fails with {error}");
            let failing =
                Injection::fail(scene.server.pid()?, lan.world.dir(), call, error, path.as_deref())?;
            let became = scene.became().with_context(named)?;
            until("the call to be made", 2 * PROMPT, || {
                Ok((became == Became::Ended || failing.failed()? > 0).then_some(()))
            })
            .with_context(named)?;
            drop(failing);
            println!("{}: {became:?}", named());
            outcomes.push(became);
            scene.recover(&launch, became).with_context(named)?;
        }
    }
    ensure!([Became::Served, Became::Told].iter().all(|became| outcomes.contains(became)));
    Ok(())
}

/// A call that is new here needs a row.
#[test]
fn the_table_has_each_call_that_is_made() -> Result<()> {
    let lan = Lan::new("calls", SERVER, 16)?;
    let mut scene = Scene::new(&lan, &Launch::default())?;
    let watching = Injection::watch(scene.server.pid()?, lan.world.dir())?;
    scene.live()?;
    for (state, shown) in [("down", "down"), ("up", "up")] {
        lan.server.ip(&format!("link set {SERVER_IF} {state}"))?;
        until("the link to be followed", PROMPT, || {
            Ok((scene.server.interface(SERVER_IF)?["link"] == shown).then_some(()))
        })?;
    }
    scene.live()?;
    let made = watching.calls()?;
    let known: BTreeSet<&str> =
        TABLE.iter().map(|Row(call, ..)| *call).chain(ELSEWHERE).chain(NEVER).collect();
    let unknown: Vec<&String> = made.iter().filter(|call| !known.contains(call.as_str())).collect();
    ensure!(made.contains("bpf") && made.contains("fdatasync"), "{made:?}");
    ensure!(unknown.is_empty(), "no row for {unknown:?}");
    let made: BTreeSet<&str> = made.iter().map(String::as_str).collect();
    let idle: Vec<&str> =
        TABLE.iter().map(|Row(call, ..)| *call).filter(|call| !made.contains(call)).collect();
    ensure!(idle.is_empty(), "rows that fail nothing: {idle:?}");
    Ok(())
}

/// Functions that something is written by.
const WRITES: [&str; 6] = ["write", "pwrite64", "sendto", "sendmsg", "sendmmsg", "fdatasync"];

/// What stands still there: a descriptor that waits for nobody says that it is full, any other keeps whoever writes waiting.
fn block(faults: &Faults, pid: i32, descriptor: &str) -> Result<Vec<Fault>> {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}"))?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).context("its flags")?;
    let waits_for_nobody = i32::from_str_radix(flags.trim(), 8)? & libc::O_NONBLOCK != 0;
    let block = |function: &&str| {
        let name = format!("{function}.{descriptor}");
        if waits_for_nobody { faults.fail(&name, libc::EAGAIN) } else { faults.wait(&name) }
    };
    WRITES.iter().map(block).collect()
}

#[test]
fn each_descriptor_is_blocked() -> Result<()> {
    let lan = Lan::new("blocked", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let environment = faults.environment();
    let launch = Launch { environment: &environment, ..Launch::default() };
    let mut scene = Scene::new(&lan, &launch)?;
    let descriptors: Vec<String> = fs::read_dir(format!("/proc/{}/fd", scene.server.pid()?))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    ensure!(descriptors.len() > 10, "{descriptors:?}");
    for descriptor in &descriptors {
        let pid = scene.server.pid()?.as_raw();
        // A daemon that was started again may not have it.
        let Ok(leads_to) = fs::read_link(format!("/proc/{pid}/fd/{descriptor}")) else { continue };
        // A counter of wakings has always room, and nothing is written to who watches descriptors, or to a map.
        if leads_to.to_string_lossy().starts_with("anon_inode:") {
            continue;
        }
        let named = || format!("{descriptor} ({}) takes nothing", leads_to.display());
        let blocked = block(&faults, pid, descriptor).with_context(named)?;
        let became = scene.became().with_context(named)?;
        drop(blocked);
        println!("{}: {became:?}", named());
        scene.recover(&launch, became).with_context(named)?;
    }
    Ok(())
}
