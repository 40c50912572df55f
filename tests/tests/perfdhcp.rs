//! Kea's load generator, at a rate any machine can stand: nothing is lost, and renewals are the kernel's.

use anyhow::{Result, ensure};
use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use system_tests::answer::Answer;
use system_tests::packet::{PacketSocket, Sees};
use system_tests::paths::SERVER;
use system_tests::perfdhcp::{self, Load, reported};
use system_tests::server::{Server, Xdp};
use system_tests::topology::{CLIENT_IF, Lan};
use system_tests::wait::PROMPT;
use system_tests::wire::read_request;

/// How often to see whether perfdhcp has ended.
const POLL: Duration = Duration::from_millis(100);

/// perfdhcp poses as a relay: giaddr is its own address, which is in the subnet.
const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/20"
pools = ["10.0.1.0 - 10.0.15.250"]
lease-time = "10m"
options = { routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.53"] }
"#;

/// What a renewal of perfdhcp's may say is not what its REQUEST said: the first of each lease asks something new. The
/// daemon answers that, and from then on the kernel does.
#[test]
fn exchanges_and_renewals_without_loss() -> Result<()> {
    let lan = Lan::new("perfdhcp", SERVER, 20)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let wire = PacketSocket::open(&lan.clients, CLIENT_IF, Sees::Everything)?;
    let load = Load { exchanges: 100, renewals: 50, clients: 100, seconds: 10, patience: PROMPT };
    let mut perfdhcp = perfdhcp::start(&lan, 20, load)?;
    let mut renewals = Renewals::default();
    while perfdhcp.is_running()? {
        while let Some(frame) = wire.receive(Instant::now() + POLL)? {
            renewals.note(&frame)?;
        }
    }
    let report = perfdhcp::finish(&lan, &mut perfdhcp)?;
    let sent = reported(&report, "REQUEST-ACK (renewal)", "sent packets")?;
    let exchanges = reported(&report, "REQUEST-ACK", "received packets")?;
    let stats = server.stats()?;
    let kernel = stats.all_kernel_acked()?;
    let new = stats.count(&["kernel", "punted", "unknown-question"])?;
    let firsts = renewals.firsts;
    println!(
        "{exchanges} exchanges; {sent} renewals: {kernel} in the kernel, {new} of {firsts} first ones above it"
    );
    ensure!(sent > 100 && exchanges > 300, "perfdhcp hardly did anything");
    ensure!(kernel + new == sent, "renewals went up that were not new: {}", stats.0["kernel"]);
    ensure!(new <= firsts, "{new} questions are new, and {firsts} were sent before the lease's first answer");
    ensure!(stats.sum(&["kernel", "dropped"])? == 0, "{}", stats.0["kernel"]);
    Ok(())
}

/// What was seen of the leases that were renewed.
#[derive(Default)]
struct Renewals {
    answered: HashSet<Ipv4Addr>,
    /// How many were sent when no renewal of the lease had been answered yet: more than one of each, where the disk is slow.
    firsts: u64,
}

impl Renewals {
    fn note(&mut self, frame: &[u8]) -> Result<()> {
        if let Some((_, request)) = read_request(frame)? {
            let first = !request.ciaddr.is_unspecified() && !self.answered.contains(&request.ciaddr);
            self.firsts += u64::from(first);
        } else if let Some(answer) = Answer::decode(frame)?
            && !answer.message.ciaddr.is_unspecified()
        {
            self.answered.insert(answer.message.ciaddr);
        }
        Ok(())
    }
}
