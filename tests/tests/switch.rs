//! Another server is switched for this one, and back: its clients renew, keep their addresses, and notice nothing else.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use system_tests::client::{Client, Lease, WANTED};
use system_tests::kea::Kea;
use system_tests::paths::SERVER;
use system_tests::process::{Process, output, run};
use system_tests::server::{Home, Server, Xdp, cli};
use system_tests::topology::{Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};
use system_tests::wire::options;

/// How many clients there are; the last one declines what it is given.
const CLIENTS: u16 = 4;
/// A client's host name (RFC 2132 §3.14).
const HOST_NAME: u8 = 12;
/// So many that an answer has the 300 octets that the scripted client wants.
const NAME_SERVERS: &str = "10.0.0.53, 10.0.0.54, 10.0.0.55, 10.0.0.56, 10.0.0.57, 10.0.0.58, 10.0.0.59, 10.0.0.60, 10.0.0.61, 10.0.0.62";
/// A server that says nothing for so long says nothing: another server has no witness to ask.
const SHORT: Duration = Duration::from_secs(4);

fn lan() -> Result<Lan> {
    Lan::new("switch", SERVER, 24)
}

/// What the clients of another server have. The scripted client takes no answer of less than 300 octets, and not each
/// server pads what it sends: the name servers make up for it.
fn leases<'l>(lan: &'l Lan, client_id: Option<&[u8]>) -> Result<Vec<(Client<'l>, Lease)>> {
    (1..=CLIENTS)
        .map(|n| {
            let client =
                Client { client_id: client_id.filter(|_| n == 2).map(<[u8]>::to_vec), ..lan.client(n) };
            let lease = client.dora().with_context(|| format!("client {n}"))?;
            Ok((client, lease))
        })
        .collect()
}

/// Brings the leases in `file` along.
fn import_leases(server: &Server, from: &str, file: &Path) -> Result<Value> {
    let output = output(server.cli(&["import-leases", "--from", from, "--json"])?.arg(file))?;
    ensure!(output.status.success(), "{output:?}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// All of them are honoured, by the daemon and by the kernel, and nobody else is given their addresses.
fn are_kept(lan: &Lan, server: &Server, leases: &[(Client<'_>, Lease)]) -> Result<()> {
    for (client, lease) in leases {
        let ack = client.renew(lease).with_context(|| format!("{lease:?} is not honoured"))?;
        ensure!(ack.message.yiaddr == lease.address, "{lease:?} became {ack:?}");
    }
    let before = server.stats()?.kernel_acked("renewing")?;
    until("the kernel to answer a renewal", PROMPT, || {
        let (client, lease) = leases.first().context("no lease")?;
        client.renew(lease)?;
        Ok((server.stats()?.kernel_acked("renewing")? > before).then_some(()))
    })?;
    let taken: Vec<Ipv4Addr> = leases.iter().map(|(_, lease)| lease.address).collect();
    for n in 100..103 {
        let fresh = lan.client(n).dora()?;
        ensure!(!taken.contains(&fresh.address), "{fresh:?} is given twice");
    }
    let audit = server.json(&["audit"])?;
    ensure!(audit["consistent"] == true, "{audit}");
    Ok(())
}

/// A server with another one's configuration, in which there is a comment that has this in it.
fn server_of<'l>(lan: &'l Lan, from: &str, config: &Path, comment: &str) -> Result<Server<'l>> {
    let imported =
        output(cli()?.args(["import-config", "--interface", SERVER_IF, "--from", from]).arg(config))?;
    ensure!(imported.status.success(), "{imported:?}");
    let imported = String::from_utf8(imported.stdout)?;
    let good = lan.world.write("imported.toml", &imported)?;
    run(cli()?.arg("check-config").arg(&good)).with_context(|| imported.clone())?;
    ensure!(imported.contains(comment), "what has no equivalent is lost:\n{imported}");
    let (settings, subnets) = parts(&imported)?;
    Server::with_settings(lan, Xdp::Native, &settings, &subnets)
}

/// The parts of an imported configuration that the harness doesn't write itself: what stands in `[server]`, and the
/// tables behind the interfaces, classes first.
fn parts(config: &str) -> Result<(String, String)> {
    let server = config.strip_prefix("[server]\n").context("it doesn't begin with [server]")?;
    let (server, rest) = server.split_once("[[interface]]").context("it has no interface")?;
    ensure!(rest.contains(&format!("name = \"{SERVER_IF}\"")), "the interface is lost:\n{config}");
    let subnets = rest.find("[[class]]").or_else(|| rest.find("[[subnet]]")).context("it has no subnet")?;
    Ok((server.to_owned(), rest[subnets..].to_owned()))
}

#[test]
fn kea_is_switched_for_xdhcpd_and_back() -> Result<()> {
    let lan = lan()?;
    let subnet = r#""id": 1, "subnet": "10.0.0.0/24", "valid-lifetime": 600, "authoritative": true,
           "pools": [{ "pool": "10.0.0.10 - 10.0.0.20" }],
           "option-data": [{ "name": "routers", "data": "10.0.0.1" }, { "name": "domain-name-servers", "data": "10.0.0.53, 10.0.0.54, 10.0.0.55, 10.0.0.56, 10.0.0.57, 10.0.0.58, 10.0.0.59, 10.0.0.60, 10.0.0.61, 10.0.0.62" }],
           "reservations": [{ "hw-address": "02:00:00:00:09:09", "ip-address": "10.0.0.99" }]"#;
    let kea = Kea::start(&Home::from(&lan), subnet)?;
    let mut leases = leases(&lan, Some(b"\x00two"))?;
    let (decliner, declined) = leases.pop().context("no client")?;
    decliner.decline(&declined)?;
    until("Kea to note the declined address", PROMPT, || {
        Ok((!kea.leased()?.contains(&declined.address)).then_some(()))
    })?;
    let (config, file) = kea.files();
    kea.stop()?;

    let mut server = server_of(&lan, "kea", &config, ": loggers: ")?;

    let told = import_leases(&server, "kea", &file)?;
    ensure!(told["imported"] == CLIENTS, "{told}");
    are_kept(&lan, &server, &leases)?;
    let quarantine = server.json(&["quarantine"])?;
    ensure!(quarantine[0]["address"] == declined.address.to_string(), "{quarantine}");

    fs::write(
        &file,
        leases_for(&lan, &mut server, &["kea", "--kea-config", &config.display().to_string()])?,
    )?;
    let kea = Kea::start(&Home::from(&lan), subnet)?;
    ensure!(kea.log().contains("DHCPSRV_MEMFILE_LEASE_FILE_LOAD"), "{}", kea.log());
    are_kept_there(&lan, &leases, &[declined.address])?;
    kea.stop()
}

/// Stops the server and the program in the kernel, and returns the leases in another server's form.
fn leases_for(lan: &Lan, server: &mut Server<'_>, to: &[&str]) -> Result<String> {
    let config = lan.world.dir().join("xdhcpd.toml");
    server.stop()?;
    server.detach()?;
    run(cli()?.args(["export", "--config"]).arg(config).arg("--to").args(to))
}

/// The other server has its clients back: they renew, and nobody else is given their addresses, nor one that was declined.
fn are_kept_there(lan: &Lan, leases: &[(Client<'_>, Lease)], declined: &[Ipv4Addr]) -> Result<()> {
    for (client, lease) in leases {
        // The scripted client is asked for its hardware address, which dhcpd's socket needs, and doesn't answer.
        let (mac, address) =
            (client.mac.map(|octet| format!("{octet:02x}")).join(":"), lease.address.to_string());
        run(lan.server.command("ip").args(["neigh", "replace", &address, "lladdr", &mac, "dev", SERVER_IF]))?;
        let ack = client.renew(lease).with_context(|| format!("{lease:?} is not honoured"))?;
        ensure!(ack.message.yiaddr == lease.address, "{lease:?} became {ack:?}");
    }
    let fresh = lan.client(200).dora()?;
    let taken = leases.iter().map(|(_, lease)| lease.address).chain(declined.iter().copied());
    ensure!(!taken.into_iter().any(|address| address == fresh.address), "{fresh:?} is given twice");
    Ok(())
}

/// Runs another server, from a copy: Debian's AppArmor profiles confine the installed paths to the system's own directories.
fn start(lan: &Lan, installed: &str, arguments: &[&str]) -> Result<Process> {
    let program: PathBuf = lan.world.dir().join("other-server");
    fs::copy(installed, &program).with_context(|| format!("{installed} is not installed"))?;
    let mut command: Command = lan.server.command(&program.display().to_string());
    command.args(arguments);
    command.envs(["KEA_PIDFILE_DIR", "KEA_LOCKFILE_DIR"].map(|name| (name, lan.world.dir())));
    let log = lan.world.dir().join("other-server.log");
    // What it said when it ran before would be taken for its word now.
    let _ = fs::remove_file(&log);
    Process::start(installed, command, &log)
}

/// Another server, as it is started, and its files.
struct Other<'a> {
    from: &'a str,
    installed: &'a str,
    arguments: &'a [&'a str],
    config: &'a Path,
    leases: &'a Path,
}

impl Other<'_> {
    fn start(&self, lan: &Lan) -> Result<Process> {
        let mut other = start(lan, self.installed, self.arguments)?;
        until("the other server to listen", PROMPT, || {
            ensure!(other.is_running()?, "it ended at once:\n{}", other.log());
            let listens = ["Server starting service", "sockets bound"];
            Ok(listens.iter().any(|said| other.log().contains(said)).then_some(()))
        })?;
        Ok(other)
    }

    /// Switches it, and back.
    fn switched(&self, lan: &Lan) -> Result<()> {
        let mut other = self.start(lan)?;
        // Neither returns the client identifier (RFC 6842), which the scripted client insists on.
        let leases = leases(lan, None)?;
        other.kill()?;
        let mut server = server_of(lan, self.from, self.config, ": ")?;
        let told = import_leases(&server, self.from, self.leases)?;
        ensure!(told["imported"] == CLIENTS, "{told}\n{}", fs::read_to_string(self.leases)?);
        are_kept(lan, &server, &leases)?;

        fs::write(self.leases, leases_for(lan, &mut server, &[self.from])?)?;
        let mut other = self.start(lan)?;
        are_kept_there(lan, &leases, &[]).with_context(|| other.log())?;
        other.kill()
    }
}

#[test]
fn isc_dhcpd_is_switched_for_xdhcpd_and_back() -> Result<()> {
    let lan = lan()?;
    let config = "authoritative; ping-check false; ddns-update-style none; default-lease-time 600; max-lease-time 600;\n\
                  subnet 10.0.0.0 netmask 255.255.255.0 { range 10.0.0.10 10.0.0.20;\n\
                  option domain-name-servers 10.0.0.53, 10.0.0.54, 10.0.0.55, 10.0.0.56, 10.0.0.57, 10.0.0.58, 10.0.0.59, 10.0.0.60, 10.0.0.61, 10.0.0.62; }\n";
    let config = lan.world.write("dhcpd.conf", config)?.display().to_string();
    let file = lan.world.write("dhcpd.leases", "")?;
    let (leases, pid) = (file.display().to_string(), lan.world.dir().join("dhcpd.pid").display().to_string());
    let arguments = ["-4", "-f", "-d", "-cf", &config, "-lf", &leases, "-pf", &pid, SERVER_IF];
    let (installed, config, leases) = ("/usr/sbin/dhcpd", Path::new(&config), Path::new(&leases));
    Other { from: "isc", installed, arguments: &arguments, config, leases }.switched(&lan)
}

#[test]
fn dnsmasq_is_switched_for_xdhcpd_and_back() -> Result<()> {
    let lan = lan()?;
    let leases = lan.world.dir().join("dnsmasq.leases").display().to_string();
    let settings = format!(
        "user=root\nport=0\ninterface={SERVER_IF}\nbind-interfaces\nno-ping\ndhcp-authoritative\nlog-facility=-\n\
         dhcp-range=10.0.0.10,10.0.0.20,255.255.255.0,10m\ndhcp-option=option:router,10.0.0.1\n\
         dhcp-option=option:dns-server,10.0.0.53,10.0.0.54,10.0.0.55,10.0.0.56,10.0.0.57,10.0.0.58,10.0.0.59,10.0.0.60,10.0.0.61,10.0.0.62\n\
         dhcp-leasefile={leases}\n"
    );
    let config = lan.world.write("dnsmasq.conf", &settings)?.display().to_string();
    let arguments = ["--keep-in-foreground", &format!("--conf-file={config}"), "--pid-file="];
    let (installed, config, leases) = ("/usr/sbin/dnsmasq", Path::new(&config), Path::new(&leases));
    Other { from: "dnsmasq", installed, arguments: &arguments, config, leases }.switched(&lan)
}

/// How a client is served: its address and its host name, or not at all.
type Served = Option<(Ipv4Addr, Option<String>)>;

/// How the clients are served, one after the other. None of them takes the address: a server that serves all offers them
/// the same ones again.
fn served(clients: &[Client<'_>]) -> Result<Vec<Served>> {
    let wanted = [&WANTED[..], &[HOST_NAME]].concat();
    let each = |client: &Client<'_>| {
        let mut request = client.discovering();
        request.message.options = options(&[(53, &[1]), (55, &wanted)]);
        client.send(&request)?;
        let Some(offer) = client.answer(&request, Instant::now() + SHORT)? else { return Ok(None) };
        let name = offer.options.iter().find(|(code, _)| *code == HOST_NAME);
        let name = name.map(|(_, name)| String::from_utf8_lossy(name).into_owned());
        Ok(Some((offer.message.yiaddr, name)))
    };
    clients.iter().map(each).collect()
}

/// Who is served by another server, and with which name, is served here as well: of four clients the first has a reservation
/// without an address, the second none, the third is dropped, and the fourth has a reservation and nothing in it.
fn are_served_alike(lan: &Lan, from: &str, other: Process, config: &Path, due: [bool; 4]) -> Result<()> {
    let clients: Vec<Client<'_>> = (1..=4).map(|n| lan.client(n)).collect();
    let mut other = other;
    let there = served(&clients).with_context(|| other.log())?;
    ensure!(there.iter().map(Option::is_some).eq(due), "{there:?}\n{}", other.log());
    ensure!(there[0].as_ref().is_some_and(|(_, name)| name.as_deref() == Some("printer")), "{there:?}");
    other.kill()?;
    let server = server_of(lan, from, config, ": ")?;
    let here = served(&clients)?;
    for (number, (there, here)) in there.iter().zip(&here).enumerate() {
        let name = |served: &Served| served.as_ref().map(|(_, name)| name.clone());
        // Which address of a pool it is, is each server's own choice.
        let pool = |served: &Served| served.as_ref().map(|(address, _)| address.octets()[3] / 10);
        ensure!(
            name(there) == name(here) && pool(there) == pool(here),
            "client {}: {there:?} there, {here:?} here\n{}",
            number + 1,
            fs::read_to_string(lan.world.dir().join("imported.toml"))?
        );
    }
    let dropped = server.stats()?.count(&["daemon", "dropped", "class-drop"])?;
    ensure!(dropped >= 1, "{}", server.stats()?.0);
    Ok(())
}

/// The macs of the clients, as configurations have them.
fn macs(lan: &Lan) -> [String; 4] {
    [1, 2, 3, 4].map(|n| lan.client(n).mac.map(|octet| format!("{octet:02x}")).join(":"))
}

#[test]
fn clients_that_kea_knows_or_drops_are_known_or_dropped() -> Result<()> {
    let lan = lan()?;
    let [named, _, dropped, bare] = macs(&lan);
    let config = format!(
        r#"{{ "Dhcp4": {{ "interfaces-config": {{ "interfaces": ["{SERVER_IF}"] }},
    "lease-database": {{ "type": "memfile", "persist": false }}, "valid-lifetime": 600, "reservations-global": true,
    "client-classes": [{{ "name": "DROP", "test": "pkt4.mac == 0x{}" }}],
    "reservations": [{{ "hw-address": "{named}", "hostname": "printer" }}, {{ "hw-address": "{bare}", "hostname": "other" }}],
    "option-data": [{{ "name": "domain-name-servers", "data": "{NAME_SERVERS}" }}],
    "subnet4": [{{ "id": 1, "subnet": "10.0.0.0/24", "pools": [
        {{ "pool": "10.0.0.10 - 10.0.0.19", "client-class": "UNKNOWN" }}, {{ "pool": "10.0.0.20 - 10.0.0.29", "client-class": "KNOWN" }}] }}],
    "loggers": [{{ "name": "kea-dhcp4", "severity": "INFO", "output_options": [{{ "output": "stdout" }}] }}] }} }}"#,
        dropped.replace(':', "")
    );
    let config = lan.world.write("kea.conf", &config)?;
    let mut kea = start(&lan, "/usr/sbin/kea-dhcp4", &["-c", &config.display().to_string()])?;
    until("Kea to come up", PROMPT, || {
        ensure!(kea.is_running()?, "it ended at once:\n{}", kea.log());
        Ok(kea.log().contains("DHCP4_STARTED").then_some(()))
    })?;
    are_served_alike(&lan, "kea", kea, &config, [true, true, false, true])
}

#[test]
fn clients_that_isc_dhcpd_denies_are_denied() -> Result<()> {
    let lan = lan()?;
    let [named, _, closed, bare] = macs(&lan);
    let config = format!(
        "ping-check false; ddns-update-style none; default-lease-time 600; max-lease-time 600;\n\
         option domain-name-servers {NAME_SERVERS};\n\
         subnet 10.0.0.0 netmask 255.255.255.0 {{ pool {{ deny unknown-clients; range 10.0.0.20 10.0.0.29; }} }}\n\
         host named {{ hardware ethernet {named}; option host-name \"printer\"; }}\n\
         host closed {{ hardware ethernet {closed}; ignore booting; }}\n\
         host bare {{ hardware ethernet {bare}; }}\n"
    );
    let config = lan.world.write("dhcpd.conf", &config)?;
    let file = lan.world.write("dhcpd.leases", "")?.display().to_string();
    let (path, pid) = (config.display().to_string(), lan.world.dir().join("dhcpd.pid").display().to_string());
    let arguments = ["-4", "-f", "-d", "-cf", &path, "-lf", &file, "-pf", &pid, SERVER_IF];
    let isc = Other {
        from: "isc",
        installed: "/usr/sbin/dhcpd",
        arguments: &arguments,
        config: &config,
        leases: Path::new(&file),
    };
    are_served_alike(&lan, "isc", isc.start(&lan)?, &config, [true, false, false, true])
}

#[test]
fn clients_that_dnsmasq_ignores_are_ignored() -> Result<()> {
    let lan = lan()?;
    let [named, _, ignored, bare] = macs(&lan);
    let leases = lan.world.dir().join("dnsmasq.leases").display().to_string();
    let settings = format!(
        "user=root\nport=0\ninterface={SERVER_IF}\nbind-interfaces\nno-ping\nlog-facility=-\n\
         dhcp-range=10.0.0.20,10.0.0.29,255.255.255.0,10m\ndhcp-option=option:dns-server,{NAME_SERVERS}\n\
         dhcp-host={named},printer\ndhcp-host={ignored},ignore\ndhcp-host={bare},set:bare\ndhcp-ignore=tag:!known\n\
         dhcp-leasefile={leases}\n"
    );
    let config = lan.world.write("dnsmasq.conf", &settings)?;
    let arguments = ["--keep-in-foreground", &format!("--conf-file={}", config.display()), "--pid-file="];
    let dnsmasq = Other {
        from: "dnsmasq",
        installed: "/usr/sbin/dnsmasq",
        arguments: &arguments,
        config: &config,
        leases: Path::new(&leases),
    };
    are_served_alike(&lan, "dnsmasq", dnsmasq.start(&lan)?, &config, [true, false, false, true])
}

/// A configuration with most of what there is.
const MOST: &str = r#"
[server]
quarantine = "2h"
options = { domain-name-servers = ["10.0.0.53"], domain-name = "example.org", code-224 = "hex:0a", domain-search = ["example.org"] }
[[interface]]
name = "srv0"
[[class]]
name = "phones"
match = { vendor-class = "Acme*" }
max-leases = 20
options = { tftp-server-address = ["10.0.0.4"] }
[[class]]
name = "efi"
match = { architecture = [7, 9], user-class = ["hex:01*", "iPXE"] }
boot-file-name = "a.efi"
next-server = "10.0.0.5"
[[class]]
name = "lines"
match = { circuit-id = ["port 1", "01:02:*"], remote-id = "sw1", subscriber-id = "gold*", relay-vendor = "3561/hex:0102" }
[[class]]
name = "known"
match = { known = true }
[[class]]
name = "strangers"
match = { known = false, hw-address = "02:00:5e:*" }
drop = true
[[class]]
name = "banned"
match = { hw-address = ["02:00:00:00:00:66", "02:00:00:00:00:67"], client-id = "01:02:03" }
drop = true
[[subnet]]
prefix = "10.0.0.0/24"
lease-time = "2h"
max-lease-time = "4h"
bootp = "dynamic"
server-id = "10.0.0.1"
relays = ["10.0.0.2"]
options = { routers = ["10.0.0.1"], interface-mtu = 1400, ip-forwarding = true, time-offset = -3600, static-routes = ["10.9.9.9", "10.0.0.1"], root-path = "/a \"b\",c" }
pools = [
  { range = "10.0.0.10 - 10.0.0.19", allow = ["phones", "known"], deny = "efi", lease-time = "30m", options = { routers = ["10.0.0.3"] } },
  { range = "10.0.0.20 - 10.0.0.29", deny = "known" },
  "10.0.0.30 - 10.0.0.39",
]
[[subnet.reservation]]
hw-address = "02:00:00:00:00:01"
address = "10.0.0.5"
host-name = "printer"
class = "phones"
boot-file-name = "b.0"
options = { log-servers = ["10.0.0.7"] }
[[subnet.reservation]]
client-id = "01:02:03:04"
host-name = "anywhere"
[[subnet.reservation]]
circuit-id = "port 7"
address = "10.0.0.7"
[[subnet]]
prefix = "10.0.1.0/24"
shared-network = "floor 1"
authoritative = false
pools = ["10.0.1.10 - 10.0.1.19"]
[[subnet]]
prefix = "10.0.2.0/24"
shared-network = "floor 1"
authoritative = false
"#;

/// What is exported is taken by the server that it is for, and a good configuration again when it comes back.
#[test]
fn an_exported_configuration_is_good_for_its_server() -> Result<()> {
    let lan = lan()?;
    let ours = lan.world.write("ours.toml", MOST)?;
    let dir = lan.world.dir();
    for (to, installed, arguments) in [
        ("kea", "/usr/sbin/kea-dhcp4", &["-t"][..]),
        ("isc", "/usr/sbin/dhcpd", &["-4", "-t", "-cf"][..]),
        ("dnsmasq", "/usr/sbin/dnsmasq", &["--test", "-C"][..]),
    ] {
        let text = run(cli()?.args(["export", "--configuration", "--to", to, "--config"]).arg(&ours))?;
        let file = lan.world.write(&format!("{to}.conf"), &text)?;
        let program = dir.join("checker");
        fs::copy(installed, &program).with_context(|| format!("{installed} is not installed"))?;
        let mut command = lan.server.command(&program.display().to_string());
        command.args(arguments).arg(&file);
        command.envs(["KEA_PIDFILE_DIR", "KEA_LOCKFILE_DIR"].map(|name| (name, dir)));
        let checked = output(&mut command)?;
        ensure!(checked.status.success(), "{to}: {checked:?}\n{text}");
        let back = run(cli()?.args(["import-config", "--interface", SERVER_IF, "--from", to]).arg(&file))
            .with_context(|| format!("{to}: {text}"))?;
        let back = lan.world.write("back.toml", &back)?;
        run(cli()?.arg("check-config").arg(&back))?;
    }
    Ok(())
}
