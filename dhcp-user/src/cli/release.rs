//! `lease release`: one lease, several, or all that fit a filter.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::Ipv4Addr;

use super::Exit;
use super::daemon::Daemon;
use super::leases::Which;
use super::output::{Output, complain, ended, finish, remark};
use crate::control::{self, Lease, Outcome, Request};

/// The end of leases.
#[derive(Debug, clap::Args)]
pub struct Release {
    /// The leased addresses
    #[arg(value_name = "ADDRESS")]
    addresses: Vec<Ipv4Addr>,
    #[command(flatten)]
    which: Which,
    /// Their addresses are free at once: two may use one if its client is still there
    #[arg(long)]
    now: bool,
    /// Don't ask whether all that fit are meant
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    daemon: Daemon,
}

impl Release {
    /// Ends them one by one: exit status 1 if any could not be ended.
    pub(super) fn run(self) -> Exit {
        let filter = self.which.filter();
        match (self.addresses.is_empty(), filter.selects()) {
            (true, false) => {
                return complain(
                    Exit::Usage,
                    "say which: addresses, or what the leases are like (--subnet, --mac, …)",
                );
            }
            (false, true) => {
                return complain(
                    Exit::Usage,
                    "say which by addresses, or by what the leases are like: not both",
                );
            }
            _ => {}
        }
        let socket = match self.daemon.socket() {
            Ok(socket) => socket,
            Err(why) => return complain(Exit::Unreachable, why),
        };
        let mut addresses = self.addresses.clone();
        if filter.selects() {
            let answer = control::ask(&socket, &Request::Leases { filter }, |item| {
                let lease: Lease = serde_json::from_str(item.get())?;
                addresses.extend(Some(lease.address).filter(|_| lease.state == "leased"));
                Ok(())
            });
            if let Some(exit) = ended(answer) {
                return exit;
            }
            if addresses.is_empty() {
                return complain(Exit::No, "no lease is like this");
            }
            if !self.yes && !is_meant(&addresses) {
                return Exit::No;
            }
        }
        let mut output = Output::of_several(
            &Request::LeaseRelease { address: Ipv4Addr::UNSPECIFIED, now: self.now },
            self.daemon.json,
            addresses.len(),
        );
        let mut exit = Exit::Done;
        for address in addresses {
            let request = Request::LeaseRelease { address, now: self.now };
            match control::ask(&socket, &request, |item| output.item(item)) {
                Ok(Outcome::No(why)) => {
                    remark(format_args!("xdhcpd: {why}"));
                    exit = Exit::No;
                }
                answer => {
                    if let Some(exit) = ended(answer) {
                        return finish(exit, output.end());
                    }
                }
            }
        }
        finish(exit, output.end())
    }
}

/// Asks who is at the terminal. Where there is none nobody can say yes.
fn is_meant(addresses: &[Ipv4Addr]) -> bool {
    let count = addresses.len();
    if !io::stdin().is_terminal() {
        remark(format_args!("xdhcpd: {count} leases are like this: add --yes to end them all"));
        return false;
    }
    let shown: Vec<String> = addresses.iter().take(5).map(ToString::to_string).collect();
    let more = if count > 5 { ", …" } else { "" };
    let _ = write!(io::stderr(), "End {count} leases ({}{more})? [y/N] ", shown.join(", "));
    let mut said = String::new();
    io::stdin().read_line(&mut said).is_ok() && matches!(said.trim(), "y" | "Y" | "yes")
}
