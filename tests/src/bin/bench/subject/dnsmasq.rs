//! dnsmasq.

use anyhow::Result;
use system_tests::process::Process;
use system_tests::topology::SERVER_IF;

use super::{Subject, SubjectSetup};
use crate::site;

pub(super) fn start(place: &SubjectSetup<'_>) -> Result<Process> {
    let empty = place.write("dnsmasq.conf", "")?;
    let pool = format!("--dhcp-range={},{},255.0.0.0,1h", site::FIRST, place.last_address());
    let leases = format!("--dhcp-leasefile={}", place.dir.join("leases").display());
    let most = format!("--dhcp-lease-max={}", place.addresses);
    let log = format!("--log-facility={}", place.dir.join("dnsmasq.log").display());
    let conf = format!("--conf-file={empty}");
    let interface = format!("--interface={SERVER_IF}");
    let router = format!("--dhcp-option=option:router,{}", site::SERVER);
    place.start(
        Subject::Dnsmasq.installed(),
        &[
            "--keep-in-foreground",
            &conf,
            "--user=root",
            "--pid-file=",
            "--port=0",
            &interface,
            "--bind-interfaces",
            "--no-ping",
            "--dhcp-authoritative",
            "--quiet-dhcp",
            &log,
            &pool,
            &leases,
            &most,
            &router,
            "--dhcp-option=option:dns-server,10.0.0.53",
            "--dhcp-option=option:domain-name,example.org",
        ],
    )
}
