//! Blocked: each descriptor of the daemon takes nothing, or keeps whoever writes waiting, and each connection's client reads
//! nothing. A newcomer, a renewal and `status` are answered meanwhile, or `status` says what is wrong.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use system_tests::faults::{Fault, Faults};
use system_tests::http::connect;
use system_tests::paths::SERVER;
use system_tests::scene::AtWorst::Told;
use system_tests::scene::{Became, KEA_API, METRICS, Scene, get, post};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};

/// Functions that something is written by.
const WRITES: [&str; 9] =
    ["write", "writev", "pwrite64", "send", "sendto", "sendmsg", "sendmmsg", "fdatasync", "fsync"];

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

/// The descriptors of a process, and where they lead.
fn descriptors(pid: i32) -> Result<BTreeMap<String, PathBuf>> {
    let all = fs::read_dir(format!("/proc/{pid}/fd"))?;
    Ok(all
        .flatten()
        // Some are there for a moment only.
        .filter_map(|entry| {
            Some((entry.file_name().to_string_lossy().into_owned(), fs::read_link(entry.path()).ok()?))
        })
        .collect())
}

#[test]
fn each_descriptor_is_blocked() -> Result<()> {
    let lan = Lan::new("blocked", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let mut scene = Scene::new(&lan, &faults.environment())?;
    scene.live()?;
    let all = descriptors(scene.server.pid()?.as_raw())?;
    let leads = |word: &str| all.values().any(|to| to.to_string_lossy().contains(word));
    for word in ["/journal/", "/events/", "/store/", "xdhcpd.log", "pipe:", "socket:"] {
        ensure!(leads(word), "none leads to {word}: {all:?}");
    }
    for (descriptor, leads_to) in &all {
        // A counter of wakings has always room, and nothing is written to who watches descriptors, or to a map.
        if leads_to.to_string_lossy().starts_with("anon_inode:") {
            continue;
        }
        // Those of connections and of an interface that has gone are there no more.
        let pid = scene.server.pid()?.as_raw();
        if fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).ok().as_ref() != Some(leads_to) {
            continue;
        }
        let named = || format!("{descriptor} ({}) takes nothing", leads_to.display());
        let blocked = block(&faults, pid, descriptor).with_context(named)?;
        scene.live().with_context(named)?;
        let became = scene.became().with_context(named)?;
        drop(blocked);
        println!("{}: {became:?}", named());
        ensure!(became.is_allowed(Told), "{}: {became:?}", named());
        scene.recover(Told).with_context(named)?;
    }
    // The manager was told more than it has room for.
    ensure!(scene.server.stats()?.count(&["daemon", "notifications-dropped"])? > 0);
    Ok(())
}

/// What is written beside serving may stand still: nobody waits for it, and `status` says which it is.
#[test]
fn what_stands_still_beside_serving_is_told() -> Result<()> {
    let lan = Lan::new("beside", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let mut scene = Scene::new(&lan, &faults.environment())?;
    let pid = scene.server.pid()?.as_raw();
    // The way to the runner is the pipe that is written to and waits.
    let is_of_runner = |descriptor: &str| {
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}")).unwrap_or_default();
        info.contains("flags:\t02000001")
    };
    for (leads, says) in [
        ("/journal/", "not answered the lease journal"),
        ("/events/", "not answered the event log"),
        ("pipe:", "the process that runs hooks has taken no event"),
    ] {
        scene.newcomer().dora()?;
        let mut all = descriptors(pid)?.into_iter();
        let found = all.find(|(descriptor, to)| {
            to.to_string_lossy().contains(leads) && (leads != "pipe:" || is_of_runner(descriptor))
        });
        let (descriptor, _) = found.with_context(|| format!("none leads to {leads}"))?;
        let blocked = block(&faults, pid, &descriptor)?;
        until(&format!("`status` to say \"{says}\""), 3 * PROMPT, || {
            let newcomer = scene.newcomer();
            newcomer.dora()?;
            let status = scene.server.json(&["status"])?;
            Ok(status["trouble"].as_str().is_some_and(|trouble| trouble.contains(says)).then_some(()))
        })?;
        drop(blocked);
        scene.recover(Told)?;
    }
    Ok(())
}

/// A connection that takes no answer, of each kind: only its own client waits.
#[test]
fn each_connection_is_blocked() -> Result<()> {
    let lan = Lan::new("connections", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let mut scene = Scene::new(&lan, &faults.environment())?;
    scene.live()?;
    let pid = scene.server.pid()?.as_raw();
    let socket = lan.world.dir().join("control.sock");
    let kinds: [(&str, Option<SocketAddr>, String); 7] = [
        ("metrics", Some(METRICS), get("/metrics")),
        ("the page's figures", Some(METRICS), get("/live")),
        ("kea-api", Some(KEA_API), post("config-get")),
        ("status", None, "{\"verb\":\"status\"}\n".to_owned()),
        ("events", None, "{\"verb\":\"events\"}\n".to_owned()),
        ("capture", None, "{\"verb\":\"capture\"}\n".to_owned()),
        ("audit", None, "{\"verb\":\"audit\"}\n".to_owned()),
    ];
    for (name, address, request) in kinds {
        let named = || format!("a client of {name} takes nothing");
        // The daemon closes the connection of who reads nothing for 10 s: on a busy machine that may be too soon.
        until(&format!("all else while {}", named()), 6 * PROMPT, || {
            let before = descriptors(pid)?;
            let mut stream = match address {
                Some(address) => Stream::Tcp(connect(&lan.server, address)?),
                None => Stream::Unix(UnixStream::connect(&socket)?),
            };
            let (descriptor, leads_to) = until("the connection to be accepted", PROMPT, || {
                let sockets = descriptors(pid)?.into_iter();
                let mut new = sockets.filter(|(descriptor, to)| {
                    before.get(descriptor) != Some(to) && to.to_string_lossy().starts_with("socket:")
                });
                Ok(new.next())
            })?;
            let blocked = block(&faults, pid, &descriptor).with_context(named)?;
            stream.write_all(request.as_bytes())?;
            let became = scene.became().with_context(named)?;
            let is_silent = stream.is_silent()?;
            drop(blocked);
            if descriptors(pid)?.get(&descriptor) != Some(&leads_to) {
                return Ok(None);
            }
            println!("{}: {became:?}", named());
            ensure!(became == Became::Served, "{}: {became:?}", named());
            ensure!(is_silent, "{}: it took something", named());
            Ok(Some(()))
        })?;
        scene.recover(Told).with_context(named)?;
    }
    Ok(())
}

/// A client's end of a connection.
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn write_all(&mut self, octets: &[u8]) -> Result<()> {
        Ok(match self {
            Self::Tcp(stream) => stream.write_all(octets),
            Self::Unix(stream) => stream.write_all(octets),
        }?)
    }

    /// Whether nothing has come, or the connection was closed for that.
    fn is_silent(&mut self) -> Result<bool> {
        let mut octets = [0; 16];
        let got = match self {
            Self::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                stream.read(&mut octets)
            }
            Self::Unix(stream) => {
                stream.set_nonblocking(true)?;
                stream.read(&mut octets)
            }
        };
        Ok(got.map_or(true, |octets| octets == 0))
    }
}
