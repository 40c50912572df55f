//! Kea's load generator, `perfdhcp`, on the clients' side. It poses as a relay: giaddr is its own address on the link.

use anyhow::{Context, Result, bail, ensure};
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::process::{Process, run};
use crate::topology::{CLIENT_IF, Lan};
use crate::wait::PROMPT;

/// Its address.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// What it is to do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Exchanges a second.
    pub exchanges: u32,
    /// Renewals a second.
    pub renewals: u32,
    /// Clients it poses as.
    pub clients: u32,
    /// Seconds it goes on; one more is for the last answers.
    pub seconds: u32,
    /// After so long an answer counts as lost.
    pub patience: Duration,
}

/// Its exit status when an exchange was lost.
const LOST: i32 = 3;

/// Starts it on a link whose prefix has `len` bits. It ends by itself, by an error if an exchange was lost.
///
/// # Errors
/// When it cannot be started.
pub fn start(lan: &Lan, len: u8, load: Load) -> Result<Process> {
    lan.clients.ip(&format!("address add {ADDRESS}/{len} dev {CLIENT_IF}"))?;
    let mut command = lan.clients.command("perfdhcp");
    command.args(["-4", "-W", "1000000", "-l", &ADDRESS.to_string()]);
    let Load { exchanges, renewals, clients, seconds, patience } = load;
    command.arg("-d").arg(patience.as_secs_f64().to_string());
    let options = [("-r", exchanges), ("-f", renewals), ("-R", clients), ("-p", seconds)];
    // It takes no zeros: what is not to be done is not said.
    for (option, number) in options.into_iter().filter(|(_, number)| *number > 0) {
        command.arg(option).arg(number.to_string());
    }
    command.arg(lan.server_address.ip.to_string());
    Process::start("perfdhcp", command, &lan.world.dir().join("perfdhcp.log"))
}

/// Waits for its end and gives its report.
///
/// Some fifty frames fill its socket, since each takes a page of memory behind a program on a veth: what comes after a pause of
/// the disk is too much for it. Whatever else was lost is an error.
///
/// # Errors
/// When it does not end soon, fails, or lost what its socket had room for.
pub fn finish(lan: &Lan, perfdhcp: &mut Process) -> Result<String> {
    let status = perfdhcp.wait(PROMPT)?;
    let report = perfdhcp.log();
    let drops = report.lines().filter_map(|line| line.strip_prefix("drops: "));
    let lost: u64 = drops.map(str::parse::<u64>).sum::<Result<_, _>>()?;
    ensure!(status.code() == Some(if lost > 0 { LOST } else { 0 }), "perfdhcp: {status}, {lost} lost");
    let overflowed = overflowed(lan)?;
    ensure!(
        lost <= overflowed,
        "{lost} answers were lost, and only {overflowed} by perfdhcp's socket:\n{report}"
    );
    Ok(report)
}

/// How many datagrams found a full socket on the clients' side.
///
/// # Errors
/// When the kernel does not tell.
pub fn overflowed(lan: &Lan) -> Result<u64> {
    let said = run(lan.clients.command("cat").arg("/proc/net/snmp"))?;
    let mut udp = said.lines().filter_map(|line| line.strip_prefix("Udp: ")).map(str::split_whitespace);
    let (Some(names), Some(numbers)) = (udp.next(), udp.next()) else { bail!("no UDP in {said}") };
    let found = names.zip(numbers).find(|(name, _)| *name == "RcvbufErrors");
    found.and_then(|(_, number)| number.parse().ok()).with_context(|| format!("no RcvbufErrors in {said}"))
}

/// A number from the part of its report that is about one kind of exchange.
///
/// # Errors
/// When it is not there.
pub fn reported(report: &str, exchange: &str, what: &str) -> Result<u64> {
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
