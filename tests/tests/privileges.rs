//! The rights that the daemon gives up once it serves, started by hand with all rights; and those that it needs.

use anyhow::{Context, Result, ensure};
use nix::unistd::{Uid, chown};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use system_tests::faults::Faults;
use system_tests::paths::SERVER;
use system_tests::process::output;
use system_tests::server::{Launch, Server, Xdp, cli};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};

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

/// What serving never needs is refused to whoever takes the daemon over, as an error that the caller sees; what serving needs
/// is not. Without arguments each of these fails otherwise (`EFAULT`, `EINVAL`, `ESRCH`), or succeeds, where there is no filter.
#[test]
fn a_call_that_serving_never_makes_is_refused_inside_the_daemon() -> Result<()> {
    let lan = Lan::new("filter", SERVER, 16)?;
    let faults = Faults::new(lan.world.dir())?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    server.stop()?;
    server.start_again_with(&Launch { environment: &faults.environment(), ..Launch::default() })?;
    let client = lan.client(1);
    let lease = client.dora()?;
    let refused = [
        ("execve", libc::SYS_execve),
        ("execveat", libc::SYS_execveat),
        ("ptrace", libc::SYS_ptrace),
        ("process_vm_readv", libc::SYS_process_vm_readv),
        ("unshare", libc::SYS_unshare),
        ("setns", libc::SYS_setns),
        ("mount", libc::SYS_mount),
        ("userfaultfd", libc::SYS_userfaultfd),
    ];
    for (name, number) in refused {
        let met = faults.try_call(number)?;
        ensure!(met == libc::EPERM, "{name} met {met}, not EPERM");
    }
    for (name, number) in [("getpid", libc::SYS_getpid), ("gettid", libc::SYS_gettid)] {
        ensure!(faults.try_call(number)? == 0, "{name} is refused");
    }
    // It is refused, and that is all: nobody is ended for it.
    client.renew(&lease)?;
    lan.client(2).dora()?;
    server.stop()
}

const ROOT: u32 = 0;
const NOBODY: u32 = 65_534;

/// Root may do anything as long as it has all its capabilities: what the daemon could not do later, it does not start without.
#[test]
fn what_would_be_closed_to_the_daemon_is_found_at_the_start() -> Result<()> {
    let lan = Lan::new("places", SERVER, 16)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let lease = lan.client(1).dora()?;
    server.stop()?;
    server.detach()?;
    let config = lan.world.dir().join("xdhcpd.toml").display().to_string();
    let cases = [
        ("state", NOBODY, 0o700, "state-dir"),
        ("state/store", NOBODY, 0o700, "the store"),
        ("state/store", ROOT, 0o500, "the store"),
        ("state/store/reached", NOBODY, 0o600, "the store's file"),
        ("xdhcpd.toml", ROOT, 0o000, "the configuration"),
        ("xdhcpd.toml", NOBODY, 0o600, "the configuration"),
    ];
    for (name, owner, mode, said) in cases {
        let path = lan.world.dir().join(name);
        let was = fs::metadata(&path)?;
        chown(&path, Some(Uid::from_raw(owner)), None)?;
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        let checked = output(cli()?.args(["check-config", &config]))?;
        let before = server.log().len();
        server.launch_again(&Launch::default())?;
        until("the start to be refused", PROMPT, || Ok((!server.is_running()?).then_some(())))?;
        let log = server.log().split_off(before);
        chown(&path, Some(Uid::from_raw(was.uid())), None)?;
        fs::set_permissions(&path, was.permissions())?;

        let line = format!("{said} {} can't be", path.display());
        ensure!(log.contains(&line) && log.contains("Permission denied"), "{name}: {log}");
        ensure!(!log.contains("interface served"), "{log}");
        // Another user may be the one that serves: of what is not ours a check knows nothing.
        let warned = String::from_utf8_lossy(&checked.stderr).contains(&line);
        ensure!(checked.status.success() && warned == (owner == ROOT), "{name}: {checked:?}");
    }
    server.start_again()?;
    lan.client(1).renew(&lease)?;
    Ok(())
}
