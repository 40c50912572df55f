//! A service of systemd: the notifications to the manager, and that the unit's few capabilities are enough.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use system_tests::http::get;
use system_tests::paths::SERVER;
use system_tests::process::output;
use system_tests::server::{Launch, Server, Xdp};
use system_tests::topology::{Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.250"]
lease-time = "10m"
"#;

fn unit() -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dhcp-user/systemd/xdhcpd.service");
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// The manager's end of the notification socket.
struct Manager(UnixDatagram);

impl Manager {
    fn listen(path: &Path) -> Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_read_timeout(Some(PROMPT))?;
        Ok(Self(socket))
    }

    /// The next message that has a line which begins so; what comes before is dropped.
    fn told(&self, line: &str) -> Result<String> {
        until(&format!("the manager to be told {line}"), PROMPT, || {
            let mut octets = [0; 4096];
            let length = self.0.recv(&mut octets).with_context(|| format!("not told {line}"))?;
            let message = String::from_utf8_lossy(&octets[..length]).into_owned();
            Ok(message.lines().any(|there| there.starts_with(line)).then_some(message))
        })
    }
}

#[test]
fn the_manager_is_told_of_every_state() -> Result<()> {
    let lan = Lan::new("systemd", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    server.stop()?;
    let path = lan.world.dir().join("notify.sock");
    let manager = Manager::listen(&path)?;
    let socket = path.display().to_string();
    let environment = [("NOTIFY_SOCKET", socket.as_str())];
    server.start_again_with(&Launch { environment: &environment, ..Launch::default() })?;

    manager.told("STATUS=starting")?;
    let ready = manager.told("READY=1")?;
    ensure!(ready.contains(&format!("STATUS=serving {SERVER_IF}")), "{ready}");
    for _ in 0..3 {
        manager.told("WATCHDOG=1")?;
    }

    server.reload()?;
    let reloading = manager.told("RELOADING=1")?;
    let since = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    let since: u64 = since.with_context(|| format!("without a time: {reloading}"))?.parse()?;
    ensure!(since > 0);
    manager.told("READY=1")?;
    server.rewrite(&lan, Xdp::Native, "[[subnet]]\nprefix = \"nonsense\"\n")?;
    ensure!(server.reload().is_err());
    manager.told("RELOADING=1")?;
    manager.told("READY=1").context("a reload that fails ends, too")?;

    lan.server.ip(&format!("link set {SERVER_IF} down"))?;
    lan.server.ip(&format!("link set {SERVER_IF} name other0"))?;
    manager.told(&format!("STATUS=serving ; missing: {SERVER_IF}"))?;
    server.stop()?;
    manager.told("STOPPING=1")?;
    Ok(())
}

/// A daemon that hangs gives no sign of life: the manager replaces it.
#[test]
fn a_daemon_that_hangs_is_silent() -> Result<()> {
    let lan = Lan::new("systemd", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Off, SUBNET)?;
    server.stop()?;
    let path = lan.world.dir().join("notify.sock");
    let manager = Manager::listen(&path)?;
    let socket = path.display().to_string();
    let environment = [("NOTIFY_SOCKET", socket.as_str())];
    server.start_again_with(&Launch { environment: &environment, ..Launch::default() })?;
    manager.told("WATCHDOG=1")?;
    server.freeze()?;
    // What was said before may wait to be read.
    manager.0.set_read_timeout(Some(std::time::Duration::from_secs(2)))?;
    let mut octets = [0; 4096];
    while manager.0.recv(&mut octets).is_ok() {}
    server.thaw()?;
    manager.0.set_read_timeout(Some(PROMPT))?;
    manager.told("WATCHDOG=1").context("it was the freeze that silenced it")?;
    Ok(())
}

#[test]
fn the_units_capabilities_are_enough() -> Result<()> {
    let unit = unit()?;
    let line = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let names = line.context("the unit bounds no capabilities")?.split_whitespace();
    let kept: Vec<String> = names
        .filter_map(|name| name.strip_prefix("CAP_"))
        .map(|name| format!("+{}", name.to_lowercase()))
        .collect();
    ensure!(!kept.is_empty());
    let bounding = format!("--bounding-set=-all,{}", kept.join(","));

    let lan = Lan::new("systemd", SERVER, 24)?;
    let listen = "metrics-listen = \"127.0.0.1:19067\"";
    let subnet = format!("{SUBNET}authoritative = true\n");
    let mut server = Server::with_settings(&lan, Xdp::Native, listen, &subnet)?;
    server.stop()?;
    server.detach()?;
    let under = ["setpriv", bounding.as_str(), "--inh-caps=-all", "--no-new-privs"];
    server.start_again_with(&Launch { under: &under, ..Launch::default() })?;
    ensure!(server.interface(SERVER_IF)?["xdp"] == "native");
    let client = lan.client(1);
    let lease = client.dora()?;
    until("the kernel to answer", PROMPT, || {
        client.renew(&lease)?;
        Ok((server.stats()?.kernel_acked("renewing")? > 0).then_some(()))
    })?;
    server.reload()?;
    let address = (Ipv4Addr::LOCALHOST, 19067).into();
    ensure!(get(&lan.server, address, "/metrics")?.body.contains("xdhcpd_driver_answers_total"));
    // And it adopts what it has pinned.
    server.crash()?;
    server.start_again_with(&Launch { under: &under, ..Launch::default() })?;
    client.renew(&lease)?;
    server.stop()
}

/// The unit is what systemd understands, every line of it.
#[test]
fn the_unit_is_valid() -> Result<()> {
    let lan = Lan::new("systemd", SERVER, 24)?;
    // Only what is there can be verified: any program will do for the one that is to be installed.
    let unit = lan.world.write("xdhcpd.service", &unit()?.replace("/usr/bin/xdhcpd", "/bin/true"))?;
    let verified = output(std::process::Command::new("systemd-analyze").arg("verify").arg(&unit))?;
    ensure!(verified.status.success() && verified.stderr.is_empty(), "{verified:?}");
    Ok(())
}
