//! Kea's DHCPv4 server.

use anyhow::{Context, Result};
use system_tests::process::Process;
use system_tests::topology::SERVER_IF;

use super::{Subject, SubjectSetup};
use crate::site;

pub(super) fn start(place: &SubjectSetup<'_>) -> Result<Process> {
    let config = place.write("kea.conf", &config(place)?)?;
    place.start(Subject::Kea.installed(), &["-c", &config])
}

fn config(place: &SubjectSetup<'_>) -> Result<String> {
    let (first, last, router) = (site::FIRST, place.last_address(), site::SERVER);
    let leases = place.dir.join("leases.csv");
    let leases = leases.display();
    let threads = std::thread::available_parallelism().context("cannot tell how many CPUs there are")?;
    Ok(format!(
        r#"{{ "Dhcp4": {{
    "interfaces-config": {{ "interfaces": ["{SERVER_IF}"], "dhcp-socket-type": "raw" }},
    "lease-database": {{ "type": "memfile", "persist": true, "name": "{leases}", "lfc-interval": 0 }},
    "multi-threading": {{ "enable-multi-threading": true, "thread-pool-size": {threads}, "packet-queue-size": 500 }},
    "host-reservation-identifiers": ["hw-address"],
    "reservations-global": false, "reservations-in-subnet": false,
    "ddns-send-updates": false,
    "valid-lifetime": 3600, "cache-threshold": 0.25,
    "option-data": [
        {{ "name": "routers", "data": "{router}" }},
        {{ "name": "domain-name-servers", "data": "10.0.0.53" }},
        {{ "name": "domain-name", "data": "example.org" }}
    ],
    "subnet4": [{{ "subnet": "10.0.0.0/8", "pools": [{{ "pool": "{first} - {last}" }}] }}],
    "loggers": [{{ "name": "kea-dhcp4", "severity": "ERROR", "output_options": [{{ "output": "stderr" }}] }}]
}} }}"#
    ))
}
