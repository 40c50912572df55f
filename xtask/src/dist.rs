//! `cargo xtask dist`: a Debian package, an RPM package and a tarball, of the same tree of files.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use crate::{
    build::{self, Profile},
    process, sbom,
    setup::{self, Purpose},
    workspace,
};

/// Where the packages' own files are kept.
const PACKAGING: &str = "dhcp-user/packaging";

/// Files that are installed as they are: from the workspace's directory, and to where.
const FILES: [(&str, &str); 9] = [
    ("dhcp-user/systemd/xdhcpd.service", "usr/lib/systemd/system/xdhcpd.service"),
    ("dhcp-user/systemd/sysusers.conf", "usr/lib/sysusers.d/xdhcpd.conf"),
    ("dhcp-user/systemd/tmpfiles.conf", "usr/lib/tmpfiles.d/xdhcpd.conf"),
    ("dhcp-user/packaging/xdhcpd.toml.example", "usr/share/xdhcpd/xdhcpd.toml.example"),
    ("LICENSE-APACHE", "usr/share/doc/xdhcpd/LICENSE-APACHE"),
    ("LICENSE-MIT", "usr/share/doc/xdhcpd/LICENSE-MIT"),
    ("README.md", "usr/share/doc/xdhcpd/README.md"),
    ("Cargo.lock", "usr/share/doc/xdhcpd/Cargo.lock"),
    ("dhcp-ebpf/object/xdhcpd.toml", "usr/share/doc/xdhcpd/bpf-object.toml"),
];

/// Folders that are installed whole, where they are there.
const FOLDERS: [(&str, &str); 4] = [
    ("dhcp-user/docs", "usr/share/doc/xdhcpd/docs"),
    ("dhcp-user/packaging/dashboards", "usr/share/doc/xdhcpd/dashboards"),
    ("dhcp-user/hooks", "usr/share/doc/xdhcpd/hooks"),
    ("dhcp-user/packaging/wireshark", "usr/share/xdhcpd/wireshark"),
];

/// Scripts of shells, by the name that the daemon knows each by.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/xdhcpd"),
    ("zsh", "usr/share/zsh/vendor-completions/_xdhcpd"),
    ("fish", "usr/share/fish/vendor_completions.d/xdhcpd.fish"),
];

/// Arguments of `cargo xtask dist`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Pack a daemon that is not optimised: to try the packages
    #[arg(long)]
    dev: bool,
}

/// Builds the daemon, then the packages, and says where they are.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let profile = if args.dev { Profile::Dev } else { Profile::Release };
    setup::prepare(Purpose::Dist)?;
    for (package, _) in packages(&build::daemon(profile)?)? {
        println!("packed {} ({} kB)", package.display(), package.metadata()?.len() / 1000);
    }
    Ok(ExitCode::SUCCESS)
}

/// Packs a daemon: the packages, and what each is.
///
/// # Errors
/// When a file is missing, or a tool.
pub(crate) fn packages(daemon: &Path) -> Result<[(PathBuf, &'static str); 3]> {
    let dist = workspace::target_dir().join("dist");
    let tree = dist.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("can't empty {}", tree.display()))?;
    }
    install(daemon, &tree)?;
    let version = env!("CARGO_PKG_VERSION");
    let architecture = process::output(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned();
    let tarball = dist.join(format!("xdhcpd-{version}-{}.tar.gz", std::env::consts::ARCH));
    let mut tar = Command::new("tar");
    // The same tree makes the same octets.
    tar.args([
        "--create",
        "--gzip",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mtime=@0",
        "--file",
    ]);
    process::run(tar.arg(&tarball).arg("--directory").arg(&tree).arg("."))?;
    let rpm = rpm(&tree, &dist, version)?;
    let deb = dist.join(format!("xdhcpd_{version}_{architecture}.deb"));
    describe(&tree, version, &architecture)?;
    let mut dpkg = Command::new("dpkg-deb");
    dpkg.args(["--build", "--root-owner-group", "-Zxz"])
        .arg(&tree)
        .arg(&deb)
        .stdout(std::process::Stdio::null());
    process::run(&mut dpkg)?;
    Ok([(deb, "Debian package"), (rpm, "RPM package"), (tarball, "tarball")])
}

/// The directory of a Debian that has systemd and little else, made once.
///
/// # Errors
/// When no mirror is reachable.
pub(crate) fn clean_debian() -> Result<PathBuf> {
    let root = workspace::target_dir().join("dist/debian");
    if root.join("etc/debian_version").exists() {
        return Ok(root);
    }
    println!("making a clean Debian in {}", root.display());
    let mut mmdebstrap = process::as_root("mmdebstrap")?;
    mmdebstrap.args([
        "--quiet",
        "--variant=minbase",
        "--include=systemd,systemd-sysv,dbus,procps,libgcc-s1",
        "bookworm",
    ]);
    process::run(mmdebstrap.arg(&root).arg("http://deb.debian.org/debian"))?;
    Ok(root)
}

/// Puts all files where they belong below `tree`.
fn install(daemon: &Path, tree: &Path) -> Result<()> {
    let root = workspace::root();
    let binary = tree.join("usr/bin/xdhcpd");
    copy(daemon, &binary, 0o755)?;
    // The BPF object inside is data: nothing is taken out of that.
    process::run(Command::new("strip").arg(&binary)).context("can't strip the daemon")?;
    for (from, to) in FILES {
        copy(&root.join(from), &tree.join(to), 0o644)?;
    }
    for (from, to) in FOLDERS {
        if root.join(from).exists() {
            copy_folder(&root.join(from), &tree.join(to))?;
        }
    }
    write(&tree.join("usr/share/doc/xdhcpd/sbom.cdx.json"), sbom::cyclonedx()?, 0o644)?;
    for (shell, to) in COMPLETIONS {
        let script = process::output(Command::new(&binary).args(["completions", shell]))?;
        write(&tree.join(to), &script, 0o644)?;
    }
    let manual = tree.join("usr/share/man/man8");
    fs::create_dir_all(&manual)?;
    process::run(Command::new(&binary).arg("man").arg(&manual))?;
    let formats = tree.join("usr/share/man/man5");
    fs::create_dir_all(&formats)?;
    fs::rename(manual.join("xdhcpd.toml.5"), formats.join("xdhcpd.toml.5"))?;
    Ok(())
}

/// Packs a tree for distributions that have RPM, by RPM's own tool. It writes down which libraries the daemon needs, and of
/// which version.
fn rpm(tree: &Path, dist: &Path, version: &str) -> Result<PathBuf> {
    let architecture = std::env::consts::ARCH;
    let top = dist.join("rpmbuild");
    let mut rpmbuild = Command::new("rpmbuild");
    rpmbuild.arg("-bb").arg("--quiet").env("SOURCE_DATE_EPOCH", "0");
    // The same tree makes the same octets.
    let constant =
        ["_buildhost xdhcpd", "use_source_date_epoch_as_buildtime 1", "clamp_mtime_to_source_date_epoch 1"];
    let own = [
        format!("version {version}"),
        format!("arch {architecture}"),
        format!("tree {}", tree.display()),
        format!("_topdir {}", top.display()),
        format!("_rpmdir {}", dist.display()),
        "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm".to_owned(),
    ];
    for definition in constant.map(str::to_owned).iter().chain(&own) {
        rpmbuild.arg("--define").arg(definition);
    }
    process::run(rpmbuild.arg(workspace::root().join(PACKAGING).join("rpm.spec")))
        .context("can't make the RPM package (`apt-get install rpm` brings rpmbuild)")?;
    let _ = fs::remove_dir_all(&top);
    let rpm = dist.join(format!("xdhcpd-{version}-1.{architecture}.rpm"));
    if !rpm.exists() {
        bail!("rpmbuild has not made {}", rpm.display());
    }
    Ok(rpm)
}

/// What makes a Debian package of a tree.
fn describe(tree: &Path, version: &str, architecture: &str) -> Result<()> {
    let dir = workspace::root().join(PACKAGING).join("debian");
    let libc = process::output(Command::new("getconf").arg("GNU_LIBC_VERSION"))?;
    let Some(libc) = libc.trim().strip_prefix("glibc ") else {
        bail!("{libc:?} is not the GNU C library that Debian has");
    };
    let size = process::output(Command::new("du").args(["--summarize", "--apparent-size", "-k"]).arg(tree))?;
    let size = size.split_whitespace().next().unwrap_or("0").to_owned();
    let control = fs::read_to_string(dir.join("control")).context("can't read the package's description")?;
    let facts = [
        ("@VERSION@", version),
        ("@ARCHITECTURE@", architecture),
        ("@LIBC@", libc),
        ("@SIZE@", size.as_str()),
    ];
    let control = facts.iter().fold(control, |text, (name, value)| text.replace(name, value));
    write(&tree.join("DEBIAN/control"), &control, 0o644)?;
    for script in ["postinst", "prerm", "postrm"] {
        copy(&dir.join(script), &tree.join("DEBIAN").join(script), 0o755)?;
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("can't read {}", from.display()))? {
        let (path, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            copy(&path, &target, path.metadata()?.permissions().mode() & 0o755 | 0o644)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    write(to, fs::read(from).with_context(|| format!("can't read {}", from.display()))?, mode)
}

fn write(path: &Path, content: impl AsRef<[u8]>, mode: u32) -> Result<()> {
    let dir = path.parent().context("a file's place has no directory")?;
    fs::create_dir_all(dir)
        .and_then(|()| fs::write(path, content))
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .with_context(|| format!("can't write {}", path.display()))
}
