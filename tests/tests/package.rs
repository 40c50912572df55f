//! The Debian package, in a clean Debian with its own systemd: installed, started, upgraded while it serves, purged.
//!
//! `cargo xtask test package` makes the package and the Debian, and says where they are.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use system_tests::paths::SERVER;
use system_tests::process::{Process, output, run};
use system_tests::topology::{Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};

/// A boot, or what dpkg does on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const CONFIG: &str = "/etc/xdhcpd/xdhcpd.toml";
/// What the hook writes.
const HOOKED: &str = "/run/xdhcpd/hooked";

/// A booted Debian in the server's network namespace.
struct Debian {
    container: Process,
    root: PathBuf,
}

impl Debian {
    /// Boots a copy of the clean Debian.
    fn boot(lan: &Lan) -> Result<Self> {
        let clean = env::var("XDHCPD_DEBIAN").context("run this as `cargo xtask test package`")?;
        let root = lan.world.dir().join("debian");
        run(Command::new("cp").args(["--archive", "--reflink=auto", &clean]).arg(&root))?;
        let mut nspawn = lan.server.command("systemd-nspawn");
        nspawn.env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "1");
        nspawn.args(["--quiet", "--boot", "--register=no", "--keep-unit", "--console=read-only"]);
        nspawn.args(["--capability=all", "--system-call-filter=bpf perf_event_open"]);
        nspawn.arg(format!("--bind={}:/sys/fs/bpf", lan.world.bpf().display()));
        nspawn.arg("--directory").arg(&root);
        let container = Process::start("systemd-nspawn", nspawn, &lan.world.dir().join("nspawn.log"))?;
        let debian = Self { container, root };
        until("Debian to boot", PATIENCE, || {
            let state = debian.try_sh("systemctl is-system-running");
            Ok(state.is_ok_and(|said| said.contains("running") || said.contains("degraded")).then_some(()))
        })
        .with_context(|| debian.container.log())?;
        Ok(debian)
    }

    /// The process that is number one in there.
    fn init(&self) -> Result<String> {
        let nspawn = self.container.pid()?;
        let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children"))?;
        Ok(children.split_whitespace().next().context("it has not started yet")?.to_owned())
    }

    /// What a command prints, whatever its status is.
    fn try_sh(&self, script: &str) -> Result<String> {
        let mut shell = Command::new("nsenter");
        shell.args(["--mount", "--uts", "--ipc", "--pid", "--net", "--root", "--target", &self.init()?]);
        let ended = output(shell.args(["/bin/sh", "-c", &format!("exec 2>&1\n{script}")]))?;
        Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
    }

    /// What a script prints; it must end well.
    fn sh(&self, script: &str) -> Result<String> {
        let said = self.try_sh(&format!("set -e\n( {script} )\necho well-ended"))?;
        let printed = said.trim_end().strip_suffix("well-ended");
        printed.map(str::to_owned).with_context(|| format!("{script}: {said}\n{}", self.journal()))
    }

    /// What the service has logged.
    fn journal(&self) -> String {
        self.try_sh("journalctl --no-pager --lines=40 --output=cat --unit=xdhcpd").unwrap_or_default()
    }

    /// Puts a package into the file system, by its path in there.
    fn bring(&self, package: &Path) -> Result<String> {
        let name = package.file_name().context("a package has a name")?;
        fs::copy(package, self.root.join("opt").join(name))?;
        Ok(format!("/opt/{}", name.display()))
    }

    fn kernel_renewals(&self) -> Result<u64> {
        let stats = self.sh("xdhcpd stats --json")?;
        let stats: serde_json::Value = serde_json::from_str(&stats).context("stats")?;
        stats["kernel"]["acked"]["renewing"].as_u64().context("no count of renewals")
    }
}

/// The package again, as its next version.
fn next_version(lan: &Lan, package: &Path) -> Result<PathBuf> {
    let tree = lan.world.dir().join("next");
    run(Command::new("dpkg-deb").arg("--raw-extract").arg(package).arg(&tree))?;
    let control = tree.join("DEBIAN/control");
    let text = fs::read_to_string(&control)?;
    let raised: Vec<_> = text
        .lines()
        .map(|line| if line.starts_with("Version: ") { format!("{line}+next") } else { line.to_owned() })
        .collect();
    fs::write(&control, raised.join("\n") + "\n")?;
    let next = lan.world.dir().join("next.deb");
    run(Command::new("dpkg-deb").args(["--build", "--root-owner-group", "-Znone"]).arg(&tree).arg(&next))?;
    Ok(next)
}

#[test]
fn a_package_is_installed_upgraded_while_it_serves_and_purged() -> Result<()> {
    let package =
        PathBuf::from(env::var("XDHCPD_PACKAGE").context("run this as `cargo xtask test package`")?);
    let lan = Lan::new("package", SERVER, 24)?;
    lan.server.ip(&format!("route add default via 10.0.0.254 dev {SERVER_IF}"))?;
    let debian = Debian::boot(&lan)?;

    // Installed, with a configuration of its NIC, and not started: somebody is to look at that first.
    let there = debian.bring(&package)?;
    debian.sh(&format!("dpkg --install {there}"))?;
    let derived = debian.sh(&format!("cat {CONFIG}; xdhcpd check-config {CONFIG}"))?;
    ensure!(
        derived.contains(&format!("name = \"{SERVER_IF}\"")) && derived.contains("10.0.0.0/24"),
        "{derived}"
    );
    ensure!(
        debian
            .try_sh("systemctl is-active xdhcpd; systemctl is-enabled xdhcpd")?
            .starts_with("inactive\ndisabled")
    );
    debian.sh("systemd-analyze verify /usr/lib/systemd/system/xdhcpd.service")?;
    let exposed =
        debian.sh("systemd-analyze security --offline=true --threshold=20 xdhcpd.service | tail -1")?;
    let exposure = exposed.split_whitespace().find_map(|word| word.parse::<f64>().ok());
    ensure!(exposure.is_some_and(|exposure| exposure <= 2.0), "{exposed}");

    // It serves under a user of its own, and the kernel renews. A hook runs as the unit lets it.
    let hook = format!(
        "[[hook]]\nevents = [\"granted\"]\ncommand = [\"/bin/sh\", \"-c\", \"cat >> {HOOKED}; id -un >> {HOOKED}\"]\n"
    );
    debian.sh(&format!("cat >> {CONFIG} <<'END'\n{hook}END\nxdhcpd check-config {CONFIG}"))?;
    debian.sh("systemctl enable --now xdhcpd")?;
    let owner = debian.sh("ps -o user= -C xdhcpd; stat --format=%U /sys/fs/bpf/xdhcpd /var/lib/xdhcpd")?;
    ensure!(owner.split_whitespace().all(|user| user == "xdhcpd"), "{owner}");
    let client = lan.client(1);
    let lease = client.dora().with_context(|| debian.journal())?;
    until("the hook to have run", PROMPT, || {
        let hooked = debian.try_sh(&format!("cat {HOOKED}"))?;
        Ok((hooked.contains(&lease.address.to_string()) && hooked.ends_with("\nxdhcpd\n")).then_some(()))
    })
    .with_context(|| debian.journal())?;
    until("the kernel to renew", PROMPT, || {
        client.renew(&lease)?;
        Ok((debian.kernel_renewals()? > 0).then_some(()))
    })?;

    // Upgraded: not one renewal is missed, and another process serves afterwards.
    let pid = "systemctl show --property=MainPID --value xdhcpd";
    let before = debian.sh(pid)?;
    let next = debian.bring(&next_version(&lan, &package)?)?;
    let mut shell = Command::new("nsenter");
    shell.args(["--mount", "--uts", "--ipc", "--pid", "--net", "--root", "--target", &debian.init()?]);
    shell.args(["dpkg", "--install", &next]);
    let mut upgrade = Process::start("dpkg", shell, &lan.world.dir().join("upgrade.log"))?;
    let mut renewed = 0;
    while upgrade.is_running()? {
        client.renew(&lease).with_context(|| format!("after {renewed} renewals during the upgrade"))?;
        renewed += 1;
    }
    ensure!(upgrade.wait(PATIENCE)?.success(), "{}", upgrade.log());
    ensure!(renewed > 0);
    ensure!(debian.sh(pid)? != before, "the old daemon still serves: {}", upgrade.log());
    ensure!(debian.sh("dpkg-query --show --showformat='${Version}' xdhcpd")?.contains("+next"));
    let held = debian.sh("xdhcpd leases --json; xdhcpd audit")?;
    ensure!(held.contains(&lease.address.to_string()), "{held}");

    // Purged: nothing answers, and nothing is left but the user.
    debian.sh("dpkg --purge xdhcpd")?;
    ensure!(
        !lan.server.ip(&format!("link show {SERVER_IF}"))?.contains("xdp"),
        "the program is still attached"
    );
    let left = debian
        .sh("ls -d /etc/xdhcpd /var/lib/xdhcpd /sys/fs/bpf/xdhcpd /usr/bin/xdhcpd 2>/dev/null || true")?;
    ensure!(left.trim().is_empty(), "left: {left}");
    Ok(())
}

/// What a command prints about an RPM package.
fn asked(rpm: &Path, what: &[&str]) -> Result<String> {
    run(Command::new("rpm").args(["--query", "--package"]).args(what).arg(rpm))
}

/// RPM's own words: the same files as in the Debian package, and scripts that do the same. No machine with RPM is booted: it is
/// installed into the clean Debian, and removed, by RPM itself.
#[test]
fn an_rpm_package_has_the_same_files_and_does_the_same() -> Result<()> {
    let named =
        |name: &str| env::var(name).with_context(|| "run this as `cargo xtask test package`".to_owned());
    let (rpm, deb) = (PathBuf::from(named("XDHCPD_RPM")?), PathBuf::from(named("XDHCPD_PACKAGE")?));
    let lan = Lan::new("rpm", SERVER, 24)?;

    let listed = asked(&rpm, &["--list"])?;
    let files: BTreeSet<&str> = listed.lines().collect();
    let tree = lan.world.dir().join("tree");
    run(Command::new("dpkg-deb").arg("--extract").arg(&deb).arg(&tree))?;
    let found = run(Command::new("find").args([".", "-type", "f"]).current_dir(&tree))?;
    let shells = |file: &str| file.replace("zsh/vendor-completions", "zsh/site-functions");
    let expected: Vec<String> = found.lines().map(|file| shells(file.trim_start_matches('.'))).collect();
    let is_there = |file: &str| {
        let packed = format!("{file}.gz");
        files.contains(file) || files.contains(packed.as_str())
    };
    let missing: Vec<&String> = expected.iter().filter(|file| !is_there(file)).collect();
    ensure!(
        expected.len() > 40 && missing.is_empty(),
        "of {} files these are missing: {missing:?}",
        expected.len()
    );

    let scripts = asked(&rpm, &["--scripts"])?;
    for word in ["systemd-sysusers", "systemd-tmpfiles", "derive-config", "try-restart", "xdhcpd detach"] {
        ensure!(scripts.contains(word), "no {word} in {scripts}");
    }
    ensure!(
        !scripts.contains("systemctl start") && !scripts.contains("systemctl enable --now xdhcpd.service")
    );
    let needs = asked(&rpm, &["--requires"])?;
    ensure!(needs.contains("libc.so.6(GLIBC_") && needs.contains("systemd"), "{needs}");
    ensure!(!needs.contains("python") && !needs.contains("bash"), "an example needs something: {needs}");

    let debian = lan.world.dir().join("debian");
    run(Command::new("cp").args(["--archive", "--reflink=auto", &named("XDHCPD_DEBIAN")?]).arg(&debian))?;
    let root = debian.display().to_string();
    // What the scripts need is there; what it is called, only RPM's data base of Fedora would know.
    run(Command::new("rpm").args(["--root", &root, "--install", "--nodeps"]).arg(&rpm))?;
    let users = fs::read_to_string(debian.join("etc/passwd"))?;
    ensure!(users.contains("xdhcpd:"), "no user of its own: {users}");
    run(Command::new("chroot").args([&root, "xdhcpd", "check-config", CONFIG]))?;
    ensure!(
        !debian.join("etc/systemd/system/multi-user.target.wants/xdhcpd.service").exists(),
        "it is enabled"
    );
    run(Command::new("rpm").args(["--root", &root, "--erase", "xdhcpd"]))?;
    ensure!(!debian.join("usr/bin/xdhcpd").exists());
    ensure!(debian.join(&CONFIG[1..]).exists(), "a removal takes the configuration away");
    Ok(())
}
