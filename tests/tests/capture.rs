//! `xdhcpd capture`: frames that came and left, the kernel's answers included, as pcapng that others read.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use system_tests::client::{Client, append_option};
use system_tests::load::{Crowd, Load, Pace, Sorts, Way};
use system_tests::namespace::spelled;
use system_tests::paths::SERVER;
use system_tests::picture;
use system_tests::process::{Process, output};
use system_tests::program::{Timed, attached};
use system_tests::pty::OnTerminal;
use system_tests::server::{Home, Server, Xdp, binary};
use system_tests::topology::{Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};

/// Clients that renew while somebody captures.
const CLIENTS: u32 = 500;
/// Renewals a second.
const RATE: Pace = Pace::Rate(50_000.0);

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.20"]
lease-time = "10m"
options = { routers = ["10.0.0.1"] }
"#;

/// A capture under way, into this file.
fn begun(server: &Server<'_>, lan: &Lan, arguments: &[&str]) -> Result<Process> {
    let mut command = server.cli(&["capture"])?;
    command.args(arguments);
    let capture = Process::start("capture", command, &lan.world.dir().join("capture.log"))?;
    until("the capture to begin", PROMPT, || Ok(capture.log().contains("capturing").then_some(())))?;
    ensure!(!capture.log().contains("without"), "{}", capture.log());
    Ok(capture)
}

/// What tshark reads in a file: message type, direction and comment of each packet.
fn read(file: &Path) -> Result<Vec<[String; 3]>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(file).args(["-T", "fields", "-E", "separator=|"]);
    for field in ["dhcp.option.dhcp", "frame.packet_flags_direction", "frame.comment"] {
        command.args(["-e", field]);
    }
    let output = output(&mut command)?;
    ensure!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout)?;
    let packet = |line: &str| {
        let mut fields = line.splitn(3, '|').map(str::to_owned);
        std::array::from_fn(|_| fields.next().unwrap_or_default())
    };
    Ok(lines.lines().map(packet).collect())
}

/// A lease, one renewal by the daemon and one by the kernel.
fn lease_and_renewals(client: &Client<'_>) -> Result<()> {
    let lease = client.dora()?;
    let mut unknown = client.renewing(&lease);
    append_option(&mut unknown.message.options, 12, b"printer");
    client.exchange(&unknown)?;
    client.exchange(&client.renewing(&lease))?;
    Ok(())
}

fn number_of_program(lan: &Lan) -> Result<u32> {
    Ok(attached(&lan.server, SERVER_IF)?.id())
}

fn ways(lan: &str, xdp: Xdp) -> Result<()> {
    let lan = Lan::new(lan, SERVER, 24)?;
    let server = Server::start(&lan, xdp, SUBNET)?;
    let plain = number_of_program(&lan)?;
    let file = lan.world.dir().join("capture.pcapng");
    let path = file.to_str().context("an odd path")?;
    let capture = begun(&server, &lan, &["-w", path])?;
    ensure!(number_of_program(&lan)? != plain, "the plain program is still there");

    lease_and_renewals(&lan.client(1))?;
    let expected = [
        ["1", "1", "answered by the daemon: offer (not by the kernel: discover)"],
        ["2", "2", "the daemon's answer: offer"],
        ["3", "1", "answered by the daemon: ack (not by the kernel: request)"],
        ["5", "2", "the daemon's answer: ack"],
        ["3", "1", "answered by the daemon: ack (not by the kernel: unknown-question)"],
        ["5", "2", "the daemon's answer: ack"],
        ["3", "1", "answered by the kernel: renewing"],
        ["5", "2", "the kernel's answer: renewing"],
    ];
    let packets = until("the packets to be captured", PROMPT, || {
        let packets = read(&file)?;
        Ok((packets.len() >= expected.len()).then_some(packets))
    })?;
    let same = |(packet, expected): (&[String; 3], &[&str; 3])| {
        packet[0] == expected[0] && packet[1].ends_with(expected[1]) && packet[2] == expected[2]
    };
    ensure!(packets.len() == expected.len() && packets.iter().zip(&expected).all(same), "{packets:#?}");

    capture.signal(Signal::SIGINT)?;
    until("the plain program to be back", PROMPT, || Ok((number_of_program(&lan)? == plain).then_some(())))?;
    lan.client(2).dora()?;
    Ok(())
}

#[test]
fn a_lease_and_its_renewals_are_captured_with_what_became_of_each_packet() -> Result<()> {
    ways("capture", Xdp::Native)
}

#[test]
fn the_stack_is_no_other_way() -> Result<()> {
    ways("capgen", Xdp::Generic)
}

#[test]
fn only_what_is_asked_for_is_captured_and_silence_has_its_reason() -> Result<()> {
    let lan = Lan::new("capture", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Off, SUBNET)?;
    let wanted = lan.client(1);
    let capture = begun(&server, &lan, &["--mac", &spelled(wanted.mac)])?;
    lan.client(2).dora()?;
    let lease = wanted.dora()?;
    wanted.release(&lease)?;
    // Given back a second time.
    wanted.send(&wanted.releasing(&lease))?;
    let nobody = lan.client(3).dora()?;
    wanted.send(&wanted.rebooting("10.0.0.19".parse()?))?;
    lan.client(3).release(&nobody)?;
    until("the silence to be told of", PROMPT, || {
        Ok(capture.log().contains("no answer: unknown-client").then_some(()))
    })?;
    let log = capture.log();
    let comments: Vec<&str> =
        log.lines().filter_map(|line| line.split_once("octets: ")).map(|(_, c)| c).collect();
    let expected = [
        "answered by the daemon: offer",
        "the daemon's answer: offer",
        "answered by the daemon: ack",
        "the daemon's answer: ack",
        "taken by the daemon",
        "no answer: not-owner",
        "no answer: unknown-client",
    ];
    ensure!(comments == expected, "{log}");
    Ok(())
}

#[test]
fn a_full_disk_and_a_closed_pipe_end_it_and_a_killed_daemon_leaves_no_trace() -> Result<()> {
    let lan = Lan::new("capture", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let plain = number_of_program(&lan)?;

    // The first octets, the section's header, find no room.
    let full = output(&mut server.cli(&["capture", "-w", "/dev/full"])?)?;
    ensure!(full.status.code() == Some(2), "{full:?}");
    ensure!(String::from_utf8(full.stderr)?.contains("No space left"));

    let mut command = server.cli(&["capture", "-w", "-"])?;
    let log = lan.world.dir().join("pipe.log");
    command.stdout(Stdio::piped()).stderr(File::create(&log)?);
    let mut piped = command.spawn()?;
    until("the capture to begin", PROMPT, || {
        Ok(std::fs::read_to_string(&log)?.contains("capturing").then_some(()))
    })?;
    drop(piped.stdout.take());
    lan.client(1).dora()?;
    let status = until("it to end with its reader", PROMPT, || Ok(piped.try_wait()?))?;
    ensure!(status.success(), "{status}");
    until("the plain program to be back", PROMPT, || Ok((number_of_program(&lan)? == plain).then_some(())))?;

    let file = lan.world.dir().join("killed.pcapng");
    let _capture = begun(&server, &lan, &["-w", file.to_str().context("an odd path")?])?;
    server.crash()?;
    server.start_again()?;
    let started = attached(&lan.server, SERVER_IF)?;
    ensure!(started.name_as_str() == Some("xdhcpd"), "{:?} answers", started.name_as_str());
    lease_and_renewals(&lan.client(2))
}

#[test]
fn under_load_no_renewal_is_lost_for_a_capture() -> Result<()> {
    let lan = Lan::new("capture", SERVER, 16)?;
    let crowd = Crowd {
        clients: CLIENTS,
        first_address: "10.0.1.0".parse()?,
        addresses: 0xff00,
        way: Way::default(),
        sorts: Sorts::Alike,
    };
    let load = Load::new(&lan, crowd)?;
    let pool = SUBNET.replace("/24", "/16").replace("10.0.0.10 - 10.0.0.20", "10.0.1.0 - 10.0.255.250");
    let server = Server::start(Home { log: "info", ..Home::from(&lan) }, Xdp::Native, &pool)?;
    load.dora(0..CLIENTS, 64, PROMPT * 6)?;
    let timed = Timed::begin()?;
    let renew = || -> Result<_> {
        let mut report = None;
        let each = timed.each(&lan.server, SERVER_IF, || {
            report = Some(load.renew(CLIENTS, RATE, Duration::from_secs(2))?);
            Ok(())
        })?;
        Ok((report.context("no report")?, each))
    };
    let (without, plain) = renew()?;
    let capture = begun(&server, &lan, &["--mac", "02:ff:00:00:00:00"])?;
    let (with, capturing) = renew()?;
    println!("a run takes {plain:?}, and {capturing:?} while somebody captures");
    println!(
        "{:.0} renewals/s without, {:.0}/s with; {}",
        without.renewal_rate(),
        with.renewal_rate(),
        capture.log()
    );
    let lost = with.lost_renewals() * 1000;
    ensure!(lost <= without.lost_renewals() * 1000 + with.renewed(), "{with:?}\n{without:?}");
    capture.signal(Signal::SIGINT)
}

/// Wireshark finds the program in its extcap directory, and captures as from any interface; here `tshark` does.
#[test]
fn wireshark_captures_from_an_interface_of_its_own() -> Result<()> {
    let lan = Lan::new("capture", SERVER, 24)?;
    let _server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let other = lan.client(2);
    let lease = client.dora()?;
    let elsewhere = other.dora()?;
    client.renew(&lease)?;
    let extcap = lan.world.dir().join("extcap");
    fs::create_dir(&extcap)?;
    let script = include_str!("../../dhcp-user/packaging/wireshark/xdhcpd");
    let script = script.replace("exec xdhcpd", &format!("exec {}", binary()?));
    let program = extcap.join("xdhcpd");
    fs::write(&program, script)?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    let folders = String::from_utf8(output(Command::new("tshark").args(["-G", "folders"]))?.stdout)?;
    let theirs =
        folders.lines().find_map(|line| line.strip_prefix("Extcap path:")).context(folders.clone())?;
    let theirs = theirs.trim().to_owned();
    let socket = Home::from(&lan).dir.join("control.sock");
    let tshark = |arguments: &[&str]| {
        // The directory is the system's: it has this one mounted over it where nobody else sees that.
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "sh",
            "-c",
            r#"mount --bind "$1" "$2" && shift 2 && exec tshark "$@""#,
            "sh",
        ]);
        command.arg(&extcap).arg(&theirs).args(arguments).env("XDHCPD_CONTROL", &socket);
        command
    };
    let listed = String::from_utf8(output(&mut tshark(&["-D"]))?.stdout)?;
    ensure!(listed.contains("xdhcpd (DHCP as xdhcpd answers it"), "{listed}");
    let filter = format!("extcap.xdhcpd.mac:{}", spelled(client.mac));
    let fields = ["-T", "fields", "-E", "separator=|", "-e", "dhcp.option.dhcp", "-e", "frame.comment"];
    let arguments = [&["-l", "-i", "xdhcpd", "-o", &filter, "-c", "2"][..], &fields].concat();
    let log = lan.world.dir().join("tshark.log");
    let mut capture = Process::start("tshark", tshark(&arguments), &log)?;
    until("the renewal and its answer to be seen", PROMPT, || {
        other.renew(&elsewhere)?;
        client.renew(&lease)?;
        Ok((!capture.is_running()?).then_some(()))
    })?;
    let seen = capture.log();
    ensure!(
        seen.contains("3|answered by the kernel: renewing")
            && seen.contains("5|the kernel's answer: renewing"),
        "{seen}"
    );
    ensure!(!seen.contains(&spelled(other.mac)), "{seen}");
    Ok(())
}

/// The picture in the documents: `XDHCPD_PICTURES=dhcp-user/docs/images cargo test -p system-tests --test capture -- --ignored`.
#[test]
#[ignore = "it writes a document"]
fn a_picture_of_a_capture() -> Result<()> {
    let Ok(dir) = std::env::var("XDHCPD_PICTURES") else { bail!("XDHCPD_PICTURES says where it is to go") };
    let lan = Lan::new("capture", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let capture = OnTerminal::start(server.cli(&["capture"])?, 132, 17)?;
    capture.shows("capturing")?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    client.rebind(&lease)?;
    let mut named = client.renewing(&lease);
    append_option(&mut named.message.options, 12, b"printer");
    client.exchange(&named)?;
    lan.client(2).send(&lan.client(2).renewing(&lease))?;
    lan.client(2).send(&lan.client(2).releasing(&lease))?;
    client.release(&lease)?;
    capture.shows("no answer: not-owner")?;
    capture.shows("taken by the daemon")?;
    capture.shows("the kernel's answer: rebinding")?;
    fs::write(Path::new(&dir).join("capture.svg"), picture::svg(&capture.written(), 132, 17))?;
    Ok(())
}
