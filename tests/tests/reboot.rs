//! The machine boots anew: the maps are gone, boot time is another, and no promise is shorter for it.

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};
use std::net::Ipv4Addr;
use std::time::SystemTime;
use system_tests::paths::SERVER;
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.250"]
lease-time = "10m"
"#;

/// From now on, for all that runs in this world, the kernel has booted another time.
fn boot_anew(lan: &Lan, number: u32) -> Result<()> {
    let file =
        lan.world.write(&format!("boot-{number}"), &format!("00000000-0000-4000-8000-{number:012}\n"))?;
    mount(Some(&file), BOOT_ID, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .context("cannot replace the boot id")
}

fn time(server: &Server, address: Ipv4Addr, key: &str) -> Result<SystemTime> {
    let lease = server.lease(address)?.context("the lease is forgotten")?;
    ensure!(lease["state"] == "leased", "{lease}");
    humantime::parse_rfc3339(lease[key].as_str().context("no time")?).with_context(|| format!("{lease}"))
}

#[test]
fn no_chain_of_reboots_shortens_a_promise() -> Result<()> {
    let lan = Lan::new("reboot", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    let promised = time(&server, lease.address, "committed-until")?;
    for boot in 1..=4 {
        server.crash()?;
        server.detach()?;
        boot_anew(&lan, boot)?;
        server.start_again()?;
        // Without the maps all that they may have promised is what holds.
        ensure!(time(&server, lease.address, "expires")? >= promised, "shorter after boot {boot}");
        let other = lan.client(100 + u16::try_from(boot)?).dora()?;
        ensure!(other.address != lease.address, "promised twice after boot {boot}");
        let audit = server.json(&["audit"])?;
        ensure!(audit["consistent"] == true, "{audit}");
    }
    client.renew(&lease)?;
    let before = server.stats()?.kernel_acked("renewing")?;
    client.renew(&lease)?;
    ensure!(server.stats()?.kernel_acked("renewing")? == before + 1, "the kernel answers again");
    Ok(())
}
