//! `cargo xtask setup`: installs the missing tools for a purpose.

use std::{path::Path, process::ExitCode};

use anyhow::Result;
use clap::ValueEnum;

use crate::{
    machine,
    packages::{Apt, Tool},
    process,
    toolchain::{self, BpfToolchain},
};

/// Arguments of `cargo xtask setup`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What is to be done afterwards
    #[arg(long = "for", value_enum, default_value_t = Purpose::Test)]
    purpose: Purpose,
    /// Compiler and linker for BPF too, for whoever changes the programs in the kernel
    #[arg(long)]
    rebuild: bool,
}

/// What the machine is to be made ready for; up to the tests each can do what the ones before it can.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Purpose {
    /// Compile, and serve on a NIC
    Build,
    /// Two namespaces and one real client
    Demo,
    /// The same and another server
    Tour,
    /// Every real client, a load generator, and a server to stand beside
    Test,
    /// Packages
    Dist,
    /// A clean Debian to install the package into
    Package,
    /// An emulated machine for other kernels
    Kernel,
    /// Other servers to compare with
    Bench,
}

const fn tool(executable: &'static str, package: &'static str) -> Tool {
    Tool { executable, package }
}

const DEMO_TOOLS: &[Tool] = &[
    tool("ip", "iproute2"),
    tool("ethtool", "ethtool"),
    tool("tcpdump", "tcpdump"),
    tool("tshark", "tshark"),
    // Of the clients there are, the one that renews a lease of seconds by its own timer.
    tool("dhclient", "isc-dhcp-client"),
];

const TOUR_TOOLS: &[Tool] = &[
    // A server to come from.
    tool("kea-dhcp4", "kea-dhcp4-server"),
];

const TEST_TOOLS: &[Tool] = &[
    tool("udhcpc", "udhcpc"),
    tool("dhcpcd", "dhcpcd-base"),
    tool("NetworkManager", "network-manager"),
    tool("connmand", "connman"),
    // The system bus that these two can't do without; theirs is a private one.
    tool("dbus-daemon", "dbus-daemon"),
    tool("perfdhcp", "kea-admin"),
    tool("dnsmasq", "dnsmasq-base"),
    tool("dhcpd", "isc-dhcp-server"),
    tool("valgrind", "valgrind"),
    // Brings systemd-networkd, too.
    tool("systemd-analyze", "systemd"),
    tool("setpriv", "util-linux"),
    // System calls that fail on demand are a library that a test compiles.
    tool("cc", "gcc"),
    // And those of a program that runs fail by a tracer.
    tool("strace", "strace"),
    tool("prometheus", "prometheus"),
    tool("promtool", "prometheus"),
    tool("chromium", "chromium"),
    tool("named", "bind9"),
    tool("nsupdate", "bind9-dnsutils"),
    tool("kea-shell", "kea-ctrl-agent"),
    // To change a map behind the server's back, and to load others' programs.
    tool("bpftool", "bpftool"),
    tool("clang", "clang"),
    tool("/usr/include/bpf/bpf_helpers.h", "libbpf-dev"),
    tool("xdp-loader", "xdp-tools"),
    tool("ping", "iputils-ping"),
];

const DIST_TOOLS: &[Tool] = &[tool("strip", "binutils"), tool("rpmbuild", "rpm")];

const PACKAGE_TOOLS: &[Tool] =
    &[tool("mmdebstrap", "mmdebstrap"), tool("systemd-nspawn", "systemd-container")];

const KERNEL_TOOLS: &[Tool] =
    &[tool("qemu-system-x86_64", "qemu-system-x86"), tool("cpio", "cpio"), tool("depmod", "kmod")];

/// Sets up for one purpose and says so when there was nothing to do.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    prepare(args.purpose)?;
    if args.rebuild {
        let toolchain = bpf_toolchain()?;
        println!(
            "setup: BPF programs are built by Rust {} and {}",
            toolchain.rust.release,
            toolchain.linker.display()
        );
    }
    println!("setup: ready");
    Ok(ExitCode::SUCCESS)
}

/// Makes sure that the machine has what a purpose needs. Says what it installs; silent when there is nothing to do.
///
/// # Errors
/// Names what is missing and how to get it.
pub(crate) fn prepare(purpose: Purpose) -> Result<()> {
    machine::check()?;
    let mut apt = Apt::default();
    let missing = missing_packages(purpose);
    if !missing.is_empty() {
        apt.install(&missing)?;
    }
    Ok(())
}

/// Compiler and linker for BPF, found or installed. Only who changes the XDP program needs them.
///
/// # Errors
/// When neither can be had: says why, and what to install by hand.
pub(crate) fn bpf_toolchain() -> Result<BpfToolchain> {
    toolchain::find().map_or_else(|| toolchain::install(&mut Apt::default()), Ok)
}

fn missing_packages(purpose: Purpose) -> Vec<&'static str> {
    let mut tools = Vec::new();
    if purpose >= Purpose::Demo {
        tools.extend(DEMO_TOOLS);
    }
    if purpose >= Purpose::Tour {
        tools.extend(TOUR_TOOLS);
    }
    if purpose >= Purpose::Test {
        tools.extend(TEST_TOOLS);
    }
    if matches!(purpose, Purpose::Dist | Purpose::Package) {
        tools.extend(DIST_TOOLS);
    }
    if purpose == Purpose::Package {
        tools.extend(PACKAGE_TOOLS);
    }
    if purpose == Purpose::Kernel {
        tools.extend(KERNEL_TOOLS);
    }
    tools.into_iter().filter(|tool| !is_there(tool)).map(|tool| tool.package).collect()
}

fn is_there(tool: &Tool) -> bool {
    let named = Path::new(tool.executable);
    if named.is_absolute() { named.exists() } else { process::find(tool.executable).is_some() }
}
