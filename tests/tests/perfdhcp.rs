//! Kea's load generator, at a rate any machine can stand: nothing is lost, and renewals are the kernel's.

use anyhow::{Context, Result, ensure};
use system_tests::paths::SERVER;
use system_tests::process::output;
use system_tests::server::{Server, Xdp};
use system_tests::topology::{CLIENT_IF, Lan};

/// perfdhcp poses as a relay: giaddr is its own address, which is in the subnet.
const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/20"
pools = ["10.0.1.0 - 10.0.15.250"]
lease-time = "10m"
options = { routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.53"] }
"#;

#[test]
fn exchanges_and_renewals_without_loss() -> Result<()> {
    let lan = Lan::new("perfdhcp", SERVER, 20)?;
    lan.clients.ip(&format!("address add 10.0.0.2/20 dev {CLIENT_IF}"))?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    // 100 exchanges and 50 renewals a second, of 400 clients, for ten seconds; a second to wait for the last answers.
    let mut perfdhcp = lan.clients.command("perfdhcp");
    perfdhcp
        .args(["-4", "-r", "100", "-f", "50", "-R", "400", "-p", "10", "-W", "1000000", "-l", "10.0.0.2"]);
    let output = output(perfdhcp.arg(SERVER.to_string()))?;
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{report}{}", String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "perfdhcp: {} (3 means lost exchanges)", output.status);

    let sent = reported(&report, "REQUEST-ACK (renewal)", "sent packets")?;
    let received = reported(&report, "REQUEST-ACK (renewal)", "received packets")?;
    let exchanges = reported(&report, "REQUEST-ACK", "received packets")?;
    let stats = server.stats()?;
    let kernel = stats.all_kernel_acked()?;
    println!("{exchanges} exchanges; {kernel} of {sent} renewals answered in the kernel");
    ensure!(sent > 100 && exchanges > 300, "perfdhcp hardly did anything");
    ensure!(sent == received, "{} renewals were lost", sent - received);
    ensure!(kernel == sent, "{} renewals went up: {}", sent - kernel, stats.0["kernel"]["punted"]);
    Ok(())
}

/// A number from the part of perfdhcp's report that is about one kind of exchange.
fn reported(report: &str, exchange: &str, what: &str) -> Result<u64> {
    let part = report.split("***Statistics for: ").find(|part| {
        part.lines()
            .next()
            .is_some_and(|line| line.starts_with(exchange) && !line[exchange.len()..].starts_with(" ("))
    });
    part.and_then(|part| {
        part.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(": ")?.parse().ok())
    })
    .with_context(|| format!("no {what} of {exchange} in perfdhcp's report:\n{report}"))
}
