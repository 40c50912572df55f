//! In turn: each system call that the daemon makes fails with each error it may fail with. If the daemon can't go on serving,
//! `status` says so, or, where the table allows it, the daemon ends with a reason; afterwards everything is as before.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use system_tests::inject::Injection;
use system_tests::paths::SERVER;
use system_tests::scene::AtWorst::{self, Ended, Told, Unheard};
use system_tests::scene::{Became, Scene};
use system_tests::topology::{Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};

/// A call, the errors that it fails with, the file that it concerns where only that is meant, in the world's directory, and
/// what may become of the daemon at worst.
struct Row(&'static str, &'static [&'static str], Option<&'static str>, AtWorst);

/// What each call fails with. A write or read of no file here is one of the runtime's own counters (`eventfd`), which the
/// kernel never refuses.
const TABLE: [Row; 21] = [
    Row("bpf", &["ENOMEM", "EPERM", "E2BIG"], None, Told),
    Row("sendmmsg", &["ENOBUFS", "EAGAIN", "EPERM"], None, Told),
    Row("sendto", &["ENOBUFS", "EPERM"], None, Unheard),
    Row("recvfrom", &["ENOMEM"], None, Unheard),
    Row("fdatasync", &["EIO", "ENOSPC"], None, Told),
    Row("pwrite64", &["EIO", "EDQUOT"], None, Told),
    Row("pread64", &["EIO"], None, Told),
    Row("statx", &["EIO", "EACCES"], None, Told),
    Row("openat", &["EMFILE", "ENOMEM", "EACCES"], None, Told),
    Row("fstatfs", &["EIO"], None, Told),
    Row("readlink", &["EACCES", "EIO"], None, Told),
    Row("read", &["EIO"], Some("xdhcpd.toml"), Told),
    Row("write", &["EIO", "ENOSPC", "EPIPE", "EAGAIN"], Some("xdhcpd.log"), Told),
    Row("socket", &["EMFILE", "EPERM"], None, Told),
    Row("getsockopt", &["ENOMEM"], None, Told),
    Row("accept4", &["ENFILE", "ECONNABORTED"], None, Unheard),
    Row("ioctl", &["ENOMEM", "EPERM", "ENODEV"], None, Told),
    Row("epoll_ctl", &["ENOMEM"], None, Unheard),
    Row("bind", &["ENOMEM", "EADDRINUSE"], None, Told),
    Row("connect", &["ENOMEM", "EACCES"], None, Told),
    Row("setsockopt", &["ENOMEM"], None, Told),
];

/// The same of calls that it makes only now and then: for a new segment of the store, a capture, an interface that is gone.
const SELDOM: [Row; 10] = [
    Row("clone3", &["EAGAIN"], None, Told),
    Row("fallocate", &["ENOSPC", "EIO"], None, Told),
    Row("fsync", &["EIO"], None, Told),
    Row("getdents64", &["EIO"], None, Told),
    Row("mmap", &["ENOMEM"], None, Ended),
    Row("mprotect", &["ENOMEM"], None, Ended),
    Row("newfstatat", &["EIO", "EACCES"], None, Told),
    Row("poll", &["ENOMEM"], None, Told),
    Row("rename", &["EIO", "ENOSPC"], None, Told),
    Row("unlink", &["EPERM"], None, Told),
];

/// Calls that another test has fail, since this server has no use for them: the call, the test, and what in the test says so.
const ELSEWHERE: [(&str, &str, &str, &str); 1] =
    [("recvmsg", "hostile", "a_socket_that_fails_is_opened_again", "recvmsg")];

/// Calls that fail for no reason outside the program, or only where they give something back. (`fcntl`: an unoptimised build looks
/// whether a descriptor is open before it closes it; `prlimit64`: the process asks for its own limits.)
const NEVER: [&str; 35] = [
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
    "prlimit64",
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

/// Has each of these calls fail while the server does all that `live` has it do.
fn each_fails<'a>(scene: &mut Scene<'a>, rows: &[Row], live: fn(&mut Scene<'a>) -> Result<()>) -> Result<()> {
    let dir = scene.lan.world.dir();
    let mut outcomes = Vec::new();
    for Row(call, errors, file, at_worst) in rows {
        let path: Option<PathBuf> = file.map(|file| dir.join(file));
        for error in *errors {
            let named = || format!("{call} fails with {error}");
            let failing = Injection::fail(scene.server.pid()?, dir, call, error, path.as_deref())?;
            until("the call to be made", 3 * PROMPT, || {
                live(scene)?;
                Ok((!scene.server.is_running()? || failing.failed()? > 0).then_some(()))
            })
            .with_context(named)?;
            let became = scene.became().with_context(named)?;
            drop(failing);
            println!("{}: {became:?}", named());
            ensure!(became.is_allowed(*at_worst), "{}: {became:?}", named());
            outcomes.push(became);
            scene.recover(*at_worst).with_context(named)?;
        }
    }
    ensure!([Became::Served, Became::Told].iter().all(|became| outcomes.contains(became)), "{outcomes:?}");
    Ok(())
}

#[test]
fn each_call_that_can_fail_does() -> Result<()> {
    let lan = Lan::new("in-turn", SERVER, 16)?;
    each_fails(&mut Scene::new(&lan, &[])?, &TABLE, Scene::live)
}

#[test]
fn each_call_that_is_made_seldom_fails() -> Result<()> {
    let lan = Lan::new("seldom", SERVER, 16)?;
    each_fails(&mut Scene::new(&lan, &[])?, &SELDOM, Scene::live_long)
}

/// A call that is new here needs a row, and a test that is named has to be there, and to say what it fails.
#[test]
fn the_table_has_each_call_that_is_made() -> Result<()> {
    let lan = Lan::new("calls", SERVER, 16)?;
    let mut scene = Scene::new(&lan, &[])?;
    let watching = Injection::watch(scene.server.pid()?, lan.world.dir())?;
    scene.live()?;
    for (state, shown) in [("down", "down"), ("up", "up")] {
        lan.server.ip(&format!("link set {SERVER_IF} {state}"))?;
        until("the link to be followed", PROMPT, || {
            Ok((scene.server.interface(SERVER_IF)?["link"] == shown).then_some(()))
        })?;
    }
    scene.live()?;
    scene.live_long()?;
    scene.live_long()?;
    let made = watching.calls()?;
    let rows = || TABLE.iter().chain(&SELDOM).map(|Row(call, ..)| *call);
    let known: BTreeSet<&str> = rows().chain(ELSEWHERE.iter().map(|(call, ..)| *call)).chain(NEVER).collect();
    let unknown: Vec<&String> = made.iter().filter(|call| !known.contains(call.as_str())).collect();
    ensure!(made.contains("bpf") && made.contains("fdatasync"), "{made:?}");
    ensure!(unknown.is_empty(), "no row for {unknown:?}");
    let idle: Vec<&str> = rows().filter(|call| !made.contains(*call)).collect();
    ensure!(idle.is_empty(), "rows that fail nothing: {idle:?}");
    for (call, file, test, says) in ELSEWHERE {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{file}.rs"));
        let text = fs::read_to_string(&path)?;
        let from = text.find(&format!("#[test]\nfn {test}()"));
        let body = from.and_then(|from| text[from..].split("\n}\n").next());
        ensure!(body.is_some_and(|body| body.contains(says)), "{call}: no {test} in {file}.rs with {says}");
    }
    Ok(())
}
