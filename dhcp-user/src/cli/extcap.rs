//! `extcap`: what Wireshark asks of a program in its extcap directory, so that captures are an interface of its own there.
//!
//! Wireshark starts the program once for each question, and once to capture into a FIFO (extcap(4)).

use std::io::{self, Write as _};
use std::path::PathBuf;

use super::Exit;
use super::capture::{Capture, Messages};
use super::daemon::Whom;
use super::output::{complain, finish};

/// The name that Wireshark knows the interface by.
const INTERFACE: &str = "xdhcpd";

/// A question of Wireshark's.
#[derive(Debug, clap::Args)]
pub struct Extcap {
    /// List the interfaces
    #[arg(long)]
    extcap_interfaces: bool,
    /// List the link types of the interface
    #[arg(long)]
    extcap_dlts: bool,
    /// List what can be set for a capture
    #[arg(long)]
    extcap_config: bool,
    /// Capture into the FIFO
    #[arg(long, requires = "fifo")]
    capture: bool,
    /// The interface that a question is about
    #[arg(long, value_name = "NAME")]
    extcap_interface: Option<String>,
    /// Wireshark's version
    #[arg(long, value_name = "VERSION")]
    extcap_version: Option<String>,
    /// A capture filter: there is none but those below
    #[arg(long, value_name = "FILTER")]
    extcap_capture_filter: Option<String>,
    /// Where pcapng is to be written
    #[arg(long, value_name = "FIFO")]
    fifo: Option<PathBuf>,
    #[command(flatten)]
    of: Messages,
    #[command(flatten)]
    whom: Whom,
}

impl Extcap {
    /// Answers on standard output, or captures.
    #[must_use]
    pub fn run(self) -> Exit {
        if self.extcap_interfaces {
            return say(&interfaces());
        }
        if self.extcap_interface.as_deref() != Some(INTERFACE) {
            return complain(Exit::Usage, format_args!("the only interface is {INTERFACE}"));
        }
        if self.extcap_dlts {
            return say("dlt {number=1}{name=EN10MB}{display=Ethernet}\n");
        }
        if self.extcap_config {
            return say(&config());
        }
        if self.extcap_capture_filter.is_some_and(|filter| !filter.is_empty()) {
            return complain(
                Exit::Usage,
                "leave the capture filter empty, and set the interface's options instead",
            );
        }
        match self.fifo.filter(|_| self.capture) {
            Some(fifo) => Capture::into_fifo(fifo, self.of, self.whom).run(),
            None => complain(Exit::Usage, "Wireshark starts this: see docs/capture.md"),
        }
    }
}

fn say(text: &str) -> Exit {
    finish(Exit::Done, io::stdout().write_all(text.as_bytes()))
}

fn interfaces() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "extcap {{version={version}}}\ninterface {{value={INTERFACE}}}{{display=DHCP as xdhcpd answers it, with verdicts}}\n"
    )
}

fn config() -> String {
    let options = [
        ("--mac", "Hardware address", "Only messages of the client with this hardware address"),
        ("--address", "Address", "Only messages about this address"),
        ("--subnet", "Prefix", "Only messages about addresses in this prefix, or by a relay there"),
        ("--relay", "Relay", "Only messages that came through this relay (giaddr)"),
        ("--control", "Control socket", "The daemon's control socket, if it is not found by itself"),
    ];
    let line = |(number, (call, display, tooltip)): (usize, (&str, &str, &str))| {
        format!(
            "arg {{number={number}}}{{call={call}}}{{display={display}}}{{tooltip={tooltip}}}{{type=string}}{{required=false}}\n"
        )
    };
    options.into_iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        extcap: Extcap,
    }

    /// Each option that Wireshark is told of is one that a capture takes.
    #[test]
    fn what_can_be_set_is_understood() {
        for (call, value) in [
            ("--mac", "02:00:00:00:00:01"),
            ("--address", "192.0.2.1"),
            ("--subnet", "192.0.2.0/24"),
            ("--relay", "192.0.2.1"),
            ("--control", "/run/x"),
        ] {
            assert!(config().contains(&format!("{{call={call}}}")), "{call}");
            let words = ["extcap", "--capture", "--extcap-interface", INTERFACE, "--fifo", "f", call, value];
            assert!(Program::try_parse_from(words).is_ok(), "{call}");
        }
        assert_eq!(config().lines().count(), 5);
    }
}
