//! The benchmark, run as an operator would: its failures, its messages, and cases that are no failure.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use system_tests::namespace::{End, Namespace};
use system_tests::pass::Pass;
use system_tests::process::{Process, output};
use system_tests::server::{Home, Server, Xdp};
use system_tests::topology::{CLIENT_MAC, SERVER_IF, SERVER_MAC};
use system_tests::wait::{PROMPT, until};
use system_tests::world::World;

/// Runs it, with its results in `dir`.
fn bench(dir: &Path, words: &[&str], setting: (&str, &Path)) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.arg("--results").arg(dir).arg("--quick").args(words).env(setting.0, setting.1);
    output(&mut command)
}

/// A server that leases addresses that are not in the pool it was told of.
fn server_that_is_wrong(dir: &Path) -> Result<PathBuf> {
    let right = std::env::var("XDHCPD_BIN").context("XDHCPD_BIN does not name the xdhcpd to test")?;
    let path = dir.join("wrong");
    let script = format!(
        r#"#!/bin/sh
for word; do
    case "$word" in *.toml) [ "$1" = run ] && sed -i 's/"10\.0\.1\.0 - 10\.0/"10.100.1.0 - 10.100/' "$word" ;; esac
done
exec {right} "$@"
"#
    );
    fs::write(&path, script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// The report names what was wrong, the exit status says no, and nobody can publish it.
#[test]
fn a_wrong_reply_fails_the_whole_run() -> Result<()> {
    let world = World::new("bench-wrong")?;
    let wrong = server_that_is_wrong(world.dir())?;
    let done = bench(world.dir(), &["memory"], ("XDHCPD_BIN", &wrong))?;
    ensure!(!done.status.success(), "a run with wrong replies is no success");
    let report =
        fs::read_to_string(world.dir().join("report.json")).context("a run that fails has a report")?;
    let report: Value = serde_json::from_str(&report)?;
    let failure = report["sections"][0]["failure"].as_str().unwrap_or_default();
    ensure!(failure.contains("wrong replies"), "{report}");
    let page = fs::read_to_string(world.dir().join("report.html"))?;
    ensure!(page.contains("This run has failed"), "the page does not say so");

    let refused = bench(world.dir(), &["publish"], ("XDHCPD_BIN", &wrong))?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(!refused.status.success() && said.contains("nothing to publish"), "{said}");
    Ok(())
}

/// Two runs are one report: the median, and the worst, of what both have found.
#[test]
fn what_passes_the_program_is_measured_and_two_runs_are_one_report() -> Result<()> {
    let world = World::new("bench-pass")?;
    let right = std::env::var("XDHCPD_BIN").context("XDHCPD_BIN does not name the xdhcpd to test")?;
    let done = bench(world.dir(), &["--runs", "2", "pass"], ("XDHCPD_BIN", Path::new(&right)))?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let report: Value = serde_json::from_str(&fs::read_to_string(world.dir().join("report.json"))?)?;
    let pass = section(&report, "pass")?;
    let cost = pass["figures"].as_array().into_iter().flatten().find(|figure| figure["goal"].is_object());
    let cost = cost.with_context(|| format!("nothing to be reached: {pass}"))?;
    let [median, worst] = ["value", "worst"].map(|which| cost[which].as_f64());
    ensure!(median.is_some() && worst >= median, "{cost}");
    ensure!(figure(pass, "TCP throughput with the program, of that without any")? > 0.0, "{pass}");
    ensure!(pass["tables"][0]["rows"].as_array().is_some_and(|rows| rows.len() == 3), "{pass}");
    ensure!(report["conditions"]["runs"] == 2, "{report}");
    ensure!(report["conditions"]["clients"].as_str().is_some_and(|who| who.contains("six")), "{report}");
    Ok(())
}

#[test]
fn where_nothing_can_be_measured_it_says_so_at_once() -> Result<()> {
    let world = World::new("bench-unable")?;
    let done = bench(world.dir(), &["memory"], ("XDHCPD_LOAD_OBJECT", Path::new("/nowhere")))?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(!done.status.success(), "that is no success");
    ensure!(said.contains("nothing can be measured here") && said.contains("/nowhere"), "{said}");
    ensure!(!world.dir().join("report.json").exists(), "there is nothing to report");
    Ok(())
}

/// The interface that is measured over.
const NIC: &str = "nic0";

/// Two machines and a cable between them, as far as the benchmark can tell.
struct Cable {
    here: Namespace,
    there: Namespace,
    world: World,
}

impl Cable {
    fn new(name: &str) -> Result<Self> {
        let world = World::new(name)?;
        let (here, there) = (Namespace::new()?, Namespace::new()?);
        let near = End { name: NIC, mac: CLIENT_MAC, address: None };
        let far = End { name: SERVER_IF, mac: SERVER_MAC, address: Some(([10, 0, 0, 1].into(), 8)) };
        let queues = std::thread::available_parallelism()?.get();
        here.join_by(queues, &near, &there, &far)?;
        Ok(Self { here, there, world })
    }

    /// A server that has addresses for this many clients.
    fn serve(&self, clients: u32, keys: &str) -> Result<Server<'_>> {
        self.serve_by(Xdp::Native, clients, keys)
    }

    fn serve_by(&self, xdp: Xdp, clients: u32, keys: &str) -> Result<Server<'_>> {
        let home = Home::at(&self.there, self.world.dir().join("server"), self.world.bpf().join("xdhcpd"));
        let last = std::net::Ipv4Addr::from_bits(0x0a00_0100 + clients - 1);
        let subnet = format!(
            "[[subnet]]\nprefix = \"10.0.0.0/8\"\npools = [\"10.0.1.0 - {last}\"]\nlease-time = \"1h\"\n{keys}\n"
        );
        Server::start(home.under_load(), xdp, &subnet)
    }

    fn bench(&self, words: &[&str]) -> Command {
        self.bench_over(NIC, words)
    }

    fn bench_over(&self, interface: &str, words: &[&str]) -> Command {
        let mut command = self.here.command(env!("CARGO_BIN_EXE_bench"));
        command.args(["--quick", "--iface", interface, "--results"]).arg(self.world.dir()).args(words);
        command
    }

    /// What it finds.
    fn report(&self, words: &[&str]) -> Result<Value> {
        let done = output(&mut self.bench(words))?;
        println!("{}", String::from_utf8_lossy(&done.stdout));
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Ok(serde_json::from_str(&fs::read_to_string(self.world.dir().join("report.json"))?)?)
    }

    /// What it says before it ends by an error.
    fn complaint(&self, interface: &str, words: &[&str]) -> Result<String> {
        let done = output(&mut self.bench_over(interface, words))?;
        ensure!(!done.status.success(), "that is no success");
        Ok(String::from_utf8_lossy(&done.stderr).into_owned())
    }

    fn nic(&self) -> Result<Value> {
        let said: Value =
            serde_json::from_str(&self.here.ip(&format!("-json -details link show dev {NIC}"))?)?;
        Ok(said[0].clone())
    }

    /// The NIC is as it was.
    fn check_nic_left_alone(&self) -> Result<()> {
        until("the NIC to be as it was", PROMPT, || {
            let nic = self.nic()?;
            Ok((nic.get("xdp").is_none() && nic["promiscuity"] == 0).then_some(()))
        })
    }
}

fn section<'a>(report: &'a Value, name: &str) -> Result<&'a Value> {
    let mut sections = report["sections"].as_array().into_iter().flatten();
    sections.find(|section| section["name"] == name).with_context(|| format!("no {name} in {report}"))
}

/// The figure whose name begins so.
fn figure(section: &Value, what: &str) -> Result<f64> {
    let mut figures = section["figures"].as_array().into_iter().flatten();
    let found = figures.find(|figure| figure["what"].as_str().is_some_and(|name| name.starts_with(what)));
    found.and_then(|figure| figure["value"].as_f64()).with_context(|| format!("no {what} in {section}"))
}

#[test]
fn renewals_of_a_server_behind_a_nic_are_measured_and_it_gets_its_leases_back() -> Result<()> {
    let cable = Cable::new("bench-iface")?;
    let server = cable.serve(5_000, "")?;
    let report = cable.report(&["--clients", "5000", "renew", "start"])?;

    let renew = section(&report, "renew")?;
    ensure!(figure(renew, "renewals answered at full rate")? > 1_000.0, "{renew}");
    ensure!(figure(renew, "renewals answered, at most 1 % not")? > 1_000.0, "{renew}");
    let left_out = &section(&report, "start")?["remarks"][0];
    ensure!(left_out.as_str().is_some_and(|why| why.starts_with("left out")), "{left_out}");
    ensure!(report["conditions"]["link"].as_str().is_some_and(|link| link.starts_with(NIC)), "{report}");

    ensure!(server.pool_count("leased")? == 0, "{}", server.json(&["pools"])?);
    ensure!(server.stats()?.all_kernel_acked()? > 1_000, "{}", server.stats()?.0);
    cable.check_nic_left_alone()
}

#[test]
fn new_leases_of_a_server_behind_a_nic_are_measured() -> Result<()> {
    let cable = Cable::new("bench-iface-dora")?;
    let _server = cable.serve(1_000_000, "")?;
    let report = cable.report(&["dora", "overload", "latency"])?;

    ensure!(figure(section(&report, "dora")?, "new leases/s, closed or open loop")? > 10.0, "{report}");
    ensure!(figure(section(&report, "overload")?, "goodput at 10 times")? > 0.0, "{report}");
    ensure!(figure(section(&report, "latency")?, "renewal p99")? > 0.0, "{report}");
    ensure!(figure(section(&report, "latency")?, "DISCOVER to ACK p50")? > 0.0, "{report}");
    cable.check_nic_left_alone()
}

#[test]
fn clients_of_a_nic_ask_through_a_relay_and_in_a_vlan_in_a_vlan() -> Result<()> {
    let cable = Cable::new("bench-iface-ways")?;
    let server = cable.serve(2_000, "vlan = [200, 100]\nserver-id = \"10.0.0.1\"")?;
    cable.report(&["--clients", "2000", "--qinq", "--relay", "renew"])?;
    ensure!(server.stats()?.kernel_acked("rebinding")? > 1_000, "{}", server.stats()?.0);
    Ok(())
}

#[test]
fn a_nic_that_cannot_be_measured_over_is_refused_with_the_reason() -> Result<()> {
    let cable = Cable::new("bench-iface-refused")?;
    let said = cable.complaint("nowhere", &["renew"])?;
    ensure!(said.contains("there is no interface nowhere here"), "{said}");
    let said = cable.complaint("lo", &["renew"])?;
    ensure!(said.contains("the driver of lo does not take an XDP program"), "{said}");
    let said = cable.complaint(NIC, &["renew"])?;
    ensure!(said.contains("no DHCP server answers a DISCOVER"), "{said}");
    let occupied = Pass::attach(&cable.here, NIC)?;
    let said = cable.complaint(NIC, &["renew"])?;
    ensure!(said.contains("has an XDP program already"), "{said}");
    drop(occupied);
    cable.here.ip(&format!("link set {NIC} down"))?;
    let said = cable.complaint(NIC, &["renew"])?;
    ensure!(said.contains("is down or has no carrier"), "{said}");
    cable.check_nic_left_alone()
}

#[test]
fn a_server_with_too_few_addresses_is_told_from_one_that_is_slow() -> Result<()> {
    let cable = Cable::new("bench-iface-few")?;
    let server = cable.serve(200, "")?;
    let said = cable.complaint(NIC, &["renew"])?;
    ensure!(said.contains("not all get a lease") && said.contains("--clients"), "{said}");
    ensure!(server.pool_count("leased")? == 0, "{}", server.json(&["pools"])?);
    Ok(())
}

/// Over veth nothing that a program sends arrives where no program is.
#[test]
fn a_driver_that_does_not_send_for_programs_is_found_out() -> Result<()> {
    let cable = Cable::new("bench-iface-unsent")?;
    let _server = cable.serve_by(Xdp::Off, 2_000, "")?;
    let said = cable.complaint(NIC, &["--clients", "2000", "renew"])?;
    ensure!(said.contains("the driver does not send what a program does"), "{said}");
    cable.check_nic_left_alone()
}

#[test]
fn interrupted_it_leaves_the_nic_as_it_was() -> Result<()> {
    let cable = Cable::new("bench-iface-interrupted")?;
    let _server = cable.serve(20_000, "")?;
    let mut bench = Process::start(
        "bench",
        cable.bench(&["--clients", "20000", "renew"]),
        &cable.world.dir().join("log"),
    )?;
    until("renewals to be measured", PROMPT, || Ok(bench.log().contains("run 1 of").then_some(())))?;
    let nic = cable.nic()?;
    ensure!(nic.get("xdp").is_some() && nic["promiscuity"] != 0, "{nic}");
    bench.signal(Signal::SIGINT)?;
    let status = bench.wait(PROMPT)?;
    ensure!(!status.success() && bench.log().contains("Interrupted"), "{status}: {}", bench.log());
    cable.check_nic_left_alone()
}
