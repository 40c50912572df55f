//! What the daemon gives up once it serves, started by hand with all rights that there are.

use anyhow::{Context, Result, ensure};
use std::fs;
use system_tests::paths::SERVER;
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/16"
pools = ["10.0.0.10 - 10.0.3.250"]
lease-time = "10m"
"#;

/// net_admin, net_raw, perfmon, bpf.
const KEPT: u64 = 1 << 12 | 1 << 13 | 1 << 38 | 1 << 39;

#[test]
fn no_thread_has_more_rights_than_serving_takes() -> Result<()> {
    let lan = Lan::new("privileges", SERVER, 16)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    server.reload()?;
    for task in fs::read_dir(format!("/proc/{}/task", server.pid()?))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
            line.with_context(|| format!("{name} in {status}"))
        };
        for set in ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"] {
            let held = u64::from_str_radix(of(set)?, 16)?;
            ensure!(held & !KEPT == 0, "{} of {}: {held:x}", set, of("Name")?);
        }
        ensure!(of("NoNewPrivs")? == "1" && of("Seccomp")? == "2", "{}: {status}", of("Name")?);
    }
    Ok(())
}
