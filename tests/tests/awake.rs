//! While clients come fast the CPUs are kept from sleeping, and no longer.

use anyhow::{Context as _, Result, ensure};
use std::fs::{self, File};
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::path::Path;
use system_tests::load::{Crowd, Load, Pace, Sorts, Stream, Way};
use system_tests::server::{Home, Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const NEWCOMERS: u32 = 1 << 20;
/// Where the kernel is asked for a latency, and says which one holds.
const DEVICE: &str = "/dev/cpu_dma_latency";
/// Only what this is about: a line for each lease would be most of the load.
const LOG: &str = "warn,dhcp_user::server::process::awake=info";

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/8"
pools = ["10.16.0.0 - 10.31.255.255"]
lease-time = "1h"
"#;

fn load<'a>(lan: &'a Lan) -> Result<Load<'a>> {
    let crowd = Crowd {
        clients: NEWCOMERS,
        first_address: Ipv4Addr::new(10, 16, 0, 0),
        addresses: NEWCOMERS,
        way: Way::default(),
        sorts: Sorts::Alike,
    };
    Load::new(lan, crowd)
}

/// Whether the daemon has asked for something.
fn asks(server: &Server<'_>) -> Result<bool> {
    let open = format!("/proc/{}/fd", server.pid()?);
    for entry in fs::read_dir(&open).with_context(|| format!("cannot read {open}"))? {
        // One that is closed meanwhile is not open.
        if fs::read_link(entry?.path()).is_ok_and(|to| to == Path::new(DEVICE)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The latency that holds, in µs.
fn holds() -> Result<i32> {
    let mut octets = [0; 4];
    File::open(DEVICE)?.read_exact(&mut octets)?;
    Ok(i32::from_ne_bytes(octets))
}

#[test]
fn a_load_keeps_the_cpus_awake_until_it_is_over() -> Result<()> {
    let lan = Lan::new("awake", SERVER, 16)?;
    let load = load(&lan)?;
    let server = Server::start(Home { log: LOG, ..Home::from(&lan) }, Xdp::Native, SUBNET)?;
    ensure!(!asks(&server)?, "nobody has come yet");

    let newcomers = Stream::newcomers(0..NEWCOMERS, Pace::Rate(10_000.0));
    if !Path::new(DEVICE).exists() {
        println!("this kernel takes no requests: the daemon must say so");
        let told = || until("the daemon to say so", PROMPT, || Ok(says(&server, "can't be kept awake")));
        return load.run(&[newcomers], told)?.1;
    }
    let held = || until("the CPUs to be kept awake", PROMPT, || Ok(asks(&server)?.then(holds)));
    let latency = load.run(&[newcomers], held)?.1??;
    ensure!(latency == 0, "{latency} µs");
    until("them to be let go", PROMPT, || Ok(says(&server, "may sleep again")))?;
    ensure!(!asks(&server)? && says(&server, "are kept awake").is_some());
    Ok(())
}

#[test]
fn nothing_keeps_them_awake_when_the_operator_says_so() -> Result<()> {
    let lan = Lan::new("awake-never", SERVER, 16)?;
    let load = load(&lan)?;
    let never = "keep-cpus-awake = \"never\"";
    let home = Home::from(&lan).under_load();
    let server = Server::with_settings(home, Xdp::Native, never, SUBNET)?;
    let newcomers = Stream::newcomers(0..NEWCOMERS, Pace::Rate(10_000.0));
    // Some eight beats of a load: in the first of them it would have been asked for.
    let served = || {
        until("clients to be served", 2 * PROMPT, || {
            ensure!(!asks(&server)?, "the CPUs are kept awake");
            Ok((server.stats()?.received("request")? > 20_000).then_some(()))
        })
    };
    load.run(&[newcomers], served)?.1
}

/// Whether the daemon's log has this.
fn says(server: &Server<'_>, what: &str) -> Option<()> {
    server.log().contains(what).then_some(())
}
