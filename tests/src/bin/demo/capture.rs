//! What tcpdump sees on the client's side, one line per packet.

use anyhow::Result;
use std::time::Duration;
use system_tests::process::Process;
use system_tests::topology::{CLIENT_IF, Lan};
use system_tests::wait::{PROMPT, until};

/// The fields shown, as tcpdump names them.
const FIELDS: [&str; 5] = ["Client-IP", "Your-IP", "Requested-IP", "Server-ID", "Lease-Time"];

/// A running tcpdump, and how much of what it said has been shown.
pub(crate) struct Capture {
    tcpdump: Process,
    shown: usize,
}

impl Capture {
    /// Starts to look at DHCP on the client's interface.
    ///
    /// # Errors
    /// When tcpdump does not start.
    pub(crate) fn start(lan: &Lan) -> Result<Self> {
        let mut command = lan.clients.command("tcpdump");
        command.args(["-i", CLIENT_IF, "-n", "-v", "-l", "--immediate-mode"]);
        command.args("udp and (port 67 or port 68)".split(' '));
        let tcpdump = Process::start("tcpdump", command, &lan.world.dir().join("tcpdump.txt"))?;
        until("tcpdump to listen", PROMPT, || Ok(tcpdump.log().contains("listening on").then_some(())))?;
        Ok(Self { tcpdump, shown: 0 })
    }

    /// Prints the packets since the last time; the newest of them must be, or become, a whole ACK.
    ///
    /// # Errors
    /// When no ACK comes in time.
    pub(crate) fn show_through_ack(&mut self, within: Duration) -> Result<()> {
        let seen = until("tcpdump to show an ACK", within, || {
            let seen = packets(&self.tcpdump.log());
            let whole = seen[self.shown..]
                .last()
                .is_some_and(|last| last.contains("ACK") && last.contains("Lease-Time"));
            Ok(whole.then_some(seen))
        })?;
        seen[self.shown..].iter().for_each(|packet| println!("      {packet}"));
        self.shown = seen.len();
        Ok(())
    }
}

/// One line per packet of tcpdump's verbose output, where each begins with its time at the left margin.
fn packets(log: &str) -> Vec<String> {
    let mut packets: Vec<Vec<&str>> = Vec::new();
    for line in log.lines() {
        if line.starts_with(|c: char| c.is_ascii_digit()) && line.contains(" IP ") {
            packets.push(vec![line]);
        } else if let Some(packet) = packets.last_mut() {
            packet.push(line.trim());
        }
    }
    packets.iter().map(|lines| summary(lines)).collect()
}

fn summary(lines: &[&str]) -> String {
    let time = lines[0].split(' ').next().unwrap_or_default();
    let way = lines.get(1).and_then(|line| line.split(": ").next()).unwrap_or_default();
    let kind = lines.iter().find_map(|line| value(line, "DHCP-Message")).unwrap_or_default();
    let mut summary = format!("{time}  {way:<40}  {kind:<8}");
    for field in FIELDS {
        if let Some(value) = lines.iter().find_map(|line| value(line, field)) {
            summary += &format!("  {field} {value}");
        }
    }
    summary
}

/// `120` of `Lease-Time (51), length 4: 120`, `192.0.2.10` of `Your-IP 192.0.2.10`.
fn value<'a>(line: &'a str, field: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(field)?;
    Some(rest.rsplit_once(": ").map_or(rest, |(_, value)| value).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_become_lines() {
        let log = "tcpdump: listening on cli0, link-type EN10MB (Ethernet), snapshot length 262144 bytes\n\
            13:47:18.583506 IP (tos 0x0, ttl 64, id 0, offset 0, flags [none], proto UDP (17), length 328)\n    \
            192.0.2.10.68 > 192.0.2.1.67: BOOTP/DHCP, Request from 02:43:00:00:00:01, length 300, xid 0x45b21c1a\n\t  \
            Client-IP 192.0.2.10\n\t    \
            DHCP-Message (53), length 1: Request\n\
            13:47:18.584105 IP (tos 0xc0, ttl 64, id 24372, offset 0, flags [none], proto UDP (17), length 328)\n    \
            192.0.2.1.67 > 192.0.2.10.68: BOOTP/DHCP, Reply, length 300, xid 0x45b21c1a, Flags [none]\n\t  \
            Your-IP 192.0.2.10\n\t    \
            DHCP-Message (53), length 1: ACK\n\t    \
            Lease-Time (51), length 4: 12\n";
        let seen = packets(log);
        assert_eq!(seen.len(), 2);
        assert!(seen[0].starts_with("13:47:18.583506  192.0.2.10.68 > 192.0.2.1.67 "), "{}", seen[0]);
        assert!(seen[0].ends_with("Request   Client-IP 192.0.2.10"), "{}", seen[0]);
        assert!(seen[1].ends_with("ACK       Your-IP 192.0.2.10  Lease-Time 12"), "{}", seen[1]);
    }
}
