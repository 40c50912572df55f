//! `xdhcpd top` on a real terminal: what it shows, and that it leaves the terminal as it was.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use nix::sys::signal::Signal;
use system_tests::client::{Client, Lease};
use system_tests::paths::SERVER;
use system_tests::picture;
use system_tests::process::output;
use system_tests::pty::OnTerminal;
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.17"]
lease-time = "10m"
"#;

/// A way to end it.
type Way = fn(&mut OnTerminal) -> Result<()>;

fn start(server: &Server<'_>) -> Result<OnTerminal> {
    let mut command = server.cli(&["top", "--every", "1"])?;
    command.env("TERM", "xterm-256color");
    OnTerminal::start(command, 80, 24)
}

#[test]
fn it_shows_what_happens_and_who_is_busy() -> Result<()> {
    let lan = Lan::new("top", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let top = start(&server)?;
    for shown in ["srv0 (native)", "no trouble", "10.0.0.0/24", "all were answered", "begun", "none yet"] {
        top.shows(shown)?;
    }
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    // Blanks between words are not written, but gone over.
    for shown in ["granted", "10.0.0.10", "02:c1:00:00:00:01", "100.0"] {
        top.shows(shown)?;
    }
    // Another that has just begun shows no events yet, but who is busy.
    let second = start(&server)?;
    second.shows("busiest")?;
    until("a client to be busy", PROMPT, || {
        client.discover()?;
        // No more often than a client may.
        std::thread::sleep(Duration::from_millis(250));
        Ok(second.written().contains("02:c1:00:00:00:01").then_some(()))
    })?;
    server.stop()?;
    top.shows("no answer: can't reach xdhcpd")?;
    Ok(())
}

#[test]
fn it_leaves_the_terminal_as_it_was() -> Result<()> {
    let lan = Lan::new("top", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Off, SUBNET)?;
    let ways: [Way; 5] = [
        |top| top.press(b"q"),
        |top| top.press(b"\x03"),
        |top| top.press(b"\x1b"),
        |top| top.signal(Signal::SIGTERM),
        |top| top.signal(Signal::SIGHUP),
    ];
    for (number, end) in ways.iter().enumerate() {
        let mut top = start(&server)?;
        top.shows("no program is attached")?;
        ensure!(!top.is_as_it_was()? && top.written().contains("\x1b[?1049h"), "it has a screen of its own");
        end(&mut top)?;
        ensure!(top.ended()?.success(), "way {number}");
        ensure!(top.is_as_it_was()?, "way {number}");
        top.shows("\x1b[?1049l")?;
        top.shows("\x1b[?25h")?;
    }
    Ok(())
}

#[test]
fn without_a_terminal_or_a_daemon_it_says_so() -> Result<()> {
    let lan = Lan::new("top", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Off, SUBNET)?;
    let refused = output(&mut server.cli(&["top"])?)?;
    ensure!(refused.status.code() == Some(2), "{refused:?}");
    ensure!(String::from_utf8_lossy(&refused.stderr).contains("needs a terminal"), "{refused:?}");
    server.stop()?;
    let mut top = start(&server)?;
    ensure!(top.ended()?.code() == Some(3));
    top.shows("can't reach xdhcpd")?;
    ensure!(!top.written().contains("\x1b[?1049h"), "what was said stays on the screen");
    Ok(())
}

/// The picture in the documents: `XDHCPD_PICTURES=dhcp-user/docs/images cargo test -p system-tests --test top -- --ignored`.
#[test]
#[ignore = "it writes a document"]
fn a_picture_of_top() -> Result<()> {
    let Ok(dir) = std::env::var("XDHCPD_PICTURES") else { bail!("XDHCPD_PICTURES says where it is to go") };
    let lan = Lan::new("top", SERVER, 16)?;
    let subnets = SUBNET.replace("10.0.0.0/24", "10.0.0.0/16").replace("10.0.0.17", "10.0.0.250");
    let server = Server::start(&lan, Xdp::Native, &subnets)?;
    let clients: Vec<Client> = (1..60).map(|number| lan.client(number)).collect();
    let leases = clients.iter().map(Client::dora).collect::<Result<Vec<Lease>>>()?;
    let top = start(&server)?;
    top.shows("busiest")?;
    // Some samples' worth of renewals, of newcomers, and of one that gets no answer.
    for round in 60..300 {
        for (client, lease) in clients.iter().zip(&leases).take(20) {
            client.renew(lease)?;
        }
        let newcomer = lan.client(round);
        newcomer.release(&newcomer.dora()?)?;
    }
    std::fs::write(Path::new(&dir).join("top.svg"), picture::svg(&top.written(), 80, 24))?;
    Ok(())
}
