//! ISC dhcpd.

use anyhow::Result;
use system_tests::process::Process;
use system_tests::topology::SERVER_IF;

use super::{Subject, SubjectSetup};
use crate::site;

pub(super) fn start(place: &SubjectSetup<'_>) -> Result<Process> {
    let config = place.write("dhcpd.conf", &config(place))?;
    let leases = place.write("dhcpd.leases", "")?;
    let pid = place.dir.join("dhcpd.pid").display().to_string();
    place.start(
        Subject::Isc.installed(),
        &["-4", "-f", "-q", "-cf", &config, "-lf", &leases, "-pf", &pid, SERVER_IF],
    )
}

fn config(place: &SubjectSetup<'_>) -> String {
    let (first, last, router) = (site::FIRST, place.last_address(), site::SERVER);
    format!(
        "authoritative;
ddns-update-style none;
ping-check false;
one-lease-per-client false;
delayed-ack 28;
max-ack-delay 2000;
dhcp-cache-threshold 25;
default-lease-time 3600;
max-lease-time 3600;
log-facility local7;
subnet 10.0.0.0 netmask 255.0.0.0 {{
    range {first} {last};
    option routers {router};
    option domain-name-servers 10.0.0.53;
    option domain-name \"example.org\";
}}
"
    )
}
