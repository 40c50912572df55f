//! Real clients that manage the network of a host: systemd-networkd, NetworkManager and ConnMan, as Debian packages them.
//!
//! They call no script of ours, so what they do is seen from outside: by the address on the interface, and by what the server
//! counts. Each runs in a mount and a UTS namespace of its own inside its world: `/sys` is read-only, so that none waits for
//! udev; the system bus is its own; and the names of the machine are not changed.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::namespace::spelled;
use crate::process::Process;
use crate::topology::{CLIENT_IF, Lan};
use crate::wait::{PROMPT, until};
use crate::wire::Mac;

/// A program that manages the network of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resident {
    /// systemd's, from `systemd`.
    Networkd,
    /// GNOME's, with the DHCP client that it brings, from `network-manager`.
    NetworkManager,
    /// Intel's, from `connman`.
    Connman,
}

impl Resident {
    /// Its file name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Networkd => "systemd-networkd",
            Self::NetworkManager => "NetworkManager",
            Self::Connman => "connmand",
        }
    }

    /// Whether it gives its lease back when it ends. NetworkManager leaves the interface as it is.
    #[must_use]
    pub fn releases(self) -> bool {
        self != Self::NetworkManager
    }
}

/// A host on the client side of a link, managed by one of them.
#[derive(Debug)]
pub struct Host<'a> {
    lan: &'a Lan,
    resident: Resident,
    process: Option<Process>,
    /// Its system bus, which has to outlive it.
    _bus: Option<Process>,
}

impl<'a> Host<'a> {
    /// A host that has never been on.
    ///
    /// # Errors
    /// When its files cannot be written, or its system bus not be started.
    pub fn new(lan: &'a Lan, resident: Resident) -> Result<Self> {
        let bus = match resident {
            Resident::Networkd => {
                fs::create_dir_all("/run/systemd/network")?;
                fs::write("/run/systemd/network/10-clients.network", NETWORKD)?;
                None
            }
            Resident::NetworkManager => {
                lan.world.write("NetworkManager.conf", &network_manager(lan.world.dir()))?;
                let profile = lan.world.dir().join("profiles/wired.nmconnection");
                fs::create_dir(lan.world.dir().join("profiles"))?;
                fs::write(&profile, PROFILE)?;
                fs::set_permissions(&profile, fs::Permissions::from_mode(0o600))?;
                Some(bus(lan)?)
            }
            Resident::Connman => {
                lan.world.write("connman.conf", CONNMAN)?;
                Some(bus(lan)?)
            }
        };
        Ok(Self { lan, resident, process: None, _bus: bus })
    }

    /// Starts the program, with what it remembers from its last run.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self) -> Result<()> {
        let log = self.lan.world.dir().join("resident.log");
        self.process = Some(Process::start(self.resident.name(), self.command(), &log)?);
        Ok(())
    }

    fn command(&self) -> Command {
        let dir = self.lan.world.dir();
        let mut command = self.lan.clients.command("unshare");
        command.args(["--mount", "--uts", "sh", "-ec", FURNISH, "sh"]);
        match self.resident {
            // It takes the rights of this user by itself.
            Resident::Networkd => command.arg("/lib/systemd/systemd-networkd"),
            Resident::NetworkManager => command
                .args(["NetworkManager", "--no-daemon", "--pid-file=/run/NetworkManager.pid", "--config"])
                .arg(dir.join("NetworkManager.conf"))
                .arg("--config-dir")
                .arg(dir.join("none"))
                .arg("--system-config-dir")
                .arg(dir.join("none")),
            Resident::Connman => command
                .args(["connmand", "--nodaemon", "--nodnsproxy", "--device", CLIENT_IF, "--config"])
                .arg(dir.join("connman.conf")),
        };
        command
    }

    /// The address that its interface has.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn address(&self) -> Result<Option<Ipv4Addr>> {
        let shown = self.lan.clients.ip(&format!("-4 -oneline address show dev {CLIENT_IF} scope global"))?;
        let mut words = shown.split_whitespace().skip_while(|word| *word != "inet").skip(1);
        words.next().and_then(|word| word.split('/').next()).map(|word| Ok(word.parse()?)).transpose()
    }

    /// Waits until its interface has an address.
    ///
    /// # Errors
    /// When it gets none in time.
    pub fn expect_address(&self, within: Duration) -> Result<Ipv4Addr> {
        until(&format!("an address by {}", self.resident.name()), within, || self.address())
    }

    /// Has it ask again for the address it had, by INIT-REBOOT.
    ///
    /// systemd-networkd begins with a DISCOVER when it starts, but not when the link comes back. The others do so when they
    /// start after an end without warning.
    ///
    /// # Errors
    /// When it is not running, or keeps the address without a link.
    pub fn reboot(&mut self) -> Result<()> {
        if self.resident == Resident::Networkd {
            self.lan.clients.ip(&format!("link set {CLIENT_IF} down"))?;
            until("the address to be taken away", PROMPT, || Ok(self.address()?.is_none().then_some(())))?;
            return self.lan.clients.ip(&format!("link set {CLIENT_IF} up")).map(drop);
        }
        self.process.take().context("it is not running")?.kill()?;
        self.start()
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// When it goes on.
    pub fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it is not running")?;
        process.signal(Signal::SIGTERM)?;
        process.wait(PROMPT).map(drop)
    }

    /// Makes it another host of the same kind, with this hardware address: nothing of the one before is remembered.
    ///
    /// # Errors
    /// When it is running.
    pub fn become_another(&self, mac: Mac) -> Result<()> {
        ensure!(self.process.is_none(), "{} is running", self.resident.name());
        for memory in ["/var/lib/NetworkManager", "/run/NetworkManager", "/var/lib/connman"] {
            if Path::new(memory).is_dir() {
                for entry in fs::read_dir(memory)? {
                    let path = entry?.path();
                    if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
                }
            }
        }
        let ip = |words: &str| self.lan.clients.ip(words).map(drop);
        ip(&format!("address flush dev {CLIENT_IF}"))?;
        ip(&format!("link set {CLIENT_IF} down"))?;
        ip(&format!("link set {CLIENT_IF} address {}", spelled(mac)))?;
        ip(&format!("link set {CLIENT_IF} up"))
    }
}

/// A system bus on which everybody may do everything, where such programs look for it.
fn bus(lan: &Lan) -> Result<Process> {
    let config = lan.world.write("bus.conf", BUS)?;
    fs::create_dir_all("/run/dbus")?;
    let mut command = lan.clients.command("dbus-daemon");
    command.args(["--nofork", "--nopidfile", "--config-file"]).arg(config);
    let bus = Process::start("dbus-daemon", command, &lan.world.dir().join("bus.log"))?;
    until("the system bus", PROMPT, || Ok(Path::new(BUS_SOCKET).exists().then_some(())))?;
    Ok(bus)
}

/// What the program finds where it runs. The directories are those that its service would have made.
const FURNISH: &str = "\
mount -t sysfs -o ro sysfs /sys
mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
chown -R systemd-network: /run/systemd/netif
exec \"$@\"
";

const NETWORKD: &str = "\
[Match]
Name=cli0
[Network]
DHCP=ipv4
IPv6AcceptRA=no
LinkLocalAddressing=no
";

fn network_manager(dir: &Path) -> String {
    format!(
        "[main]\ndhcp=internal\nplugins=keyfile\ndns=none\nrc-manager=unmanaged\nhostname-mode=none\n\
         no-auto-default=*\n[keyfile]\npath={}\n",
        dir.join("profiles").display()
    )
}

const PROFILE: &str = "\
[connection]
id=wired
uuid=5a1c3f5e-0000-4000-8000-000000000001
type=ethernet
interface-name=cli0
[ipv4]
method=auto
[ipv6]
method=disabled
";

const CONNMAN: &str = "\
[General]
AllowHostnameUpdates=false
AllowDomainnameUpdates=false
EnableOnlineCheck=false
";

const BUS_SOCKET: &str = "/run/dbus/system_bus_socket";
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="signal"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
  </policy>
</busconfig>
"#;
