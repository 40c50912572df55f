//! Others' XDP programs on the interface: one that calls ours, whoever loads it, and one that ours calls. The programs and commands
//! are those of `docs/neighbours.md`.

use std::ffi::CString;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;
use system_tests::paths::SERVER;
use system_tests::pinned::PinnedArray;
use system_tests::process::{Process, output, run};
use system_tests::program::{attached, named};
use system_tests::server::{Home, Launch, Server, Xdp};
use system_tests::topology::{CLIENT_IF, Lan, SERVER_IF};
use system_tests::wait::{PROMPT, until};

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.200"]
lease-time = "10m"
"#;

/// A host on the clients' side.
const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);

/// A block of the page, and what it is.
enum Block {
    /// A program, for the file that its first line names.
    Program(String),
    Commands(String),
}

/// The programs and commands under a heading of the page, for the test's own interface.
fn page(heading: &str) -> Result<Vec<Block>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dhcp-user/docs/neighbours.md");
    let page = fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    let part = page.split("\n## ").find(|part| part.starts_with(heading)).context("no such heading")?;
    let fenced = part.split("\n```").skip(1).step_by(2);
    let blocks = fenced.filter_map(|block| {
        let (language, text) = block.split_once('\n')?;
        match language {
            "c" => Some(Block::Program(text.to_owned())),
            "sh" => Some(Block::Commands(text.replace("eth0", SERVER_IF))),
            _ => None,
        }
    });
    Ok(blocks.collect())
}

/// Does what the page says; what the last command printed.
fn follow(lan: &Lan, blocks: &[Block]) -> Result<String> {
    let mut printed = String::new();
    for block in blocks {
        match block {
            Block::Program(text) => {
                let name = text.strip_prefix("/* ").and_then(|text| text.split_once(" */"));
                lan.world.write(name.context("a program without a name")?.0, text)?;
            }
            Block::Commands(text) => {
                let mut shell = lan.server.command("sh");
                printed = run(shell.args(["-e", "-c", text]).current_dir(lan.world.dir()))?;
            }
        }
    }
    Ok(printed)
}

/// Where the page has programs and maps pinned.
const BPF: &str = "/sys/fs/bpf";

/// A link in a world whose BPF file system is where the page has it, and a daemon's home there.
fn lan(name: &str) -> Result<Lan> {
    let lan = Lan::new(name, SERVER, 24)?;
    mount(Some("bpf"), BPF, Some("bpf"), MsFlags::empty(), Some("mode=0700"))
        .context("cannot mount a bpffs")?;
    Ok(lan)
}

fn home(lan: &Lan) -> Home<'_> {
    Home { pins: Path::new(BPF).join("xdhcpd"), ..Home::from(lan) }
}

/// What a program of the page has counted.
fn counted(map: &str) -> Result<u64> {
    let octets = PinnedArray(Path::new(BPF).join(map)).read(0)?;
    Ok(u64::from_ne_bytes(octets.as_slice().try_into()?))
}

fn kernel_renewals(server: &Server<'_>) -> Result<u64> {
    server.stats()?.all_kernel_acked()
}

#[test]
fn another_s_program_has_ours_look_at_frames_and_the_kernel_answers() -> Result<()> {
    let lan = lan("external")?;
    let mut server = Server::start(home(&lan), Xdp::External, SUBNET)?;
    let status = server.interface(SERVER_IF)?;
    let obstacle = status["obstacle"].as_str().context("nobody says that nothing is attached")?;
    ensure!(status["xdp"] == "external" && obstacle.contains("no XDP program is attached"), "{status}");
    // Without the other's program the daemon answers, and the kernel nothing.
    let lease = lan.client(1).dora()?;
    lan.client(1).renew(&lease)?;
    ensure!(kernel_renewals(&server)? == 0);

    follow(&lan, &page("Another's program calls ours")?)?;
    let other = attached(&lan.server, SERVER_IF)?.id();
    let client = lan.client(2);
    let lease = client.dora()?;
    client.renew(&lease)?;
    ensure!(kernel_renewals(&server)? == 1, "the first renewal was not the kernel's: {:?}", server.stats()?);
    ensure!(counted("before_frames")? >= 3, "DISCOVER, REQUEST and a renewal were not all counted");
    let status = until("the other's program to be seen", PROMPT, || {
        let status = server.interface(SERVER_IF)?;
        Ok(status["xdp-why"].as_str().is_some_and(|why| why.contains("has called it for")).then_some(status))
    })?;
    ensure!(status["xdp"] == "external" && status.get("obstacle").is_none(), "{status}");

    // A capture sees what the kernel answers, and leaves no trace.
    let file = lan.world.dir().join("capture.pcapng");
    let mut command = server.cli(&["capture"])?;
    command.arg("-w").arg(&file);
    let capture = Process::start("capture", command, &lan.world.dir().join("capture.log"))?;
    until("the capture to begin", PROMPT, || Ok(capture.log().contains("capturing").then_some(())))?;
    client.renew(&lease)?;
    until("the kernel's answer to be captured", PROMPT, || {
        let captured = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
        Ok(captured.contains("the kernel's answer: renewing").then_some(()))
    })?;
    capture.signal(Signal::SIGINT)?;
    until("the program that captures to be gone", PROMPT, || Ok(named("capturing").is_err().then_some(())))?;
    ensure!(kernel_renewals(&server)? == 2);

    // The kernel goes on without a daemon, and with the next one, whose program is another.
    server.crash()?;
    client.renew(&lease)?;
    server.start_again()?;
    let status = server.interface(SERVER_IF)?;
    ensure!(status["xdp-why"].as_str().is_some_and(|why| why.contains("program before")), "{status}");
    client.renew(&lease)?;
    ensure!(kernel_renewals(&server)? == 4, "{:?}", server.stats()?);
    lan.client(3).dora()?;
    ensure!(attached(&lan.server, SERVER_IF)?.id() == other, "the other's program is not there any more");

    // Nothing of ours is left, and the other's program goes on.
    server.stop()?;
    server.detach()?;
    ensure!(!Path::new(BPF).join("xdhcpd").exists());
    let before = counted("before_frames")?;
    client.send(&client.renewing(&lease))?;
    until("the other's program to go on", PROMPT, || Ok((counted("before_frames")? > before).then_some(())))?;
    Ok(())
}

/// Pins removed under the daemon: the other program still calls ours, and what it calls is pinned again, the same as before.
#[test]
fn what_others_programs_call_outlives_its_pins() -> Result<()> {
    let lan = lan("external-pins")?;
    let mut server = Server::start(home(&lan), Xdp::External, SUBNET)?;
    follow(&lan, &page("Another's program calls ours")?)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    ensure!(kernel_renewals(&server)? == 1, "{:?}", server.stats()?);
    let pins = Path::new(BPF).join("xdhcpd");
    let count = || std::fs::read_dir(&pins).map(Iterator::count).unwrap_or_default();
    let all = count();
    std::fs::remove_dir_all(&pins)?;
    client.renew(&lease)?;
    until("all to be pinned again", PROMPT, || Ok((count() == all).then_some(())))?;
    client.renew(&lease)?;
    ensure!(kernel_renewals(&server)? == 3, "ours is not called any more: {:?}", server.stats()?);
    server.crash()?;
    server.start_again()?;
    client.renew(&lease)?;
    ensure!(kernel_renewals(&server)? == 4, "ours is not called after a restart: {:?}", server.stats()?);
    server.stop()?;
    server.detach()
}

/// Loads a program that lets each frame pass as those do that know no attach type, and pins it.
fn pin_without_attach_type(pin: &str) -> Result<()> {
    const LOAD: libc::c_long = 5;
    const PIN: libc::c_long = 6;
    #[repr(C)]
    struct Program {
        of_type: u32,
        count: u32,
        instructions: u64,
        license: u64,
    }
    #[repr(C)]
    struct Object {
        path: u64,
        fd: u32,
        flags: u32,
    }
    // r0 = XDP_PASS; exit
    let instructions = [0x0000_0002_0000_00b7_u64, 0x95];
    let (license, path) = (c"GPL", CString::new(pin)?);
    let program = Program {
        of_type: 6,
        count: 2,
        instructions: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
    };
    // SAFETY: the kernel reads the leading part of `union bpf_attr` of that size, and what it points to, which outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, LOAD, &raw const program, size_of::<Program>()) };
    ensure!(fd >= 0, "loading: {}", std::io::Error::last_os_error());
    let object = Object { path: path.as_ptr() as u64, fd: u32::try_from(fd)?, flags: 0 };
    // SAFETY: as above.
    let done = unsafe { libc::syscall(libc::SYS_bpf, PIN, &raw const object, size_of::<Object>()) };
    ensure!(done == 0, "pinning: {}", std::io::Error::last_os_error());
    Ok(())
}

#[test]
fn a_next_program_that_ours_cannot_call_is_refused_with_the_reason() -> Result<()> {
    let lan = lan("next-refused")?;
    let refused = |settings: &str| -> Result<String> {
        let refused = Server::with_settings(home(&lan), Xdp::Native, settings, SUBNET);
        Ok(format!("{:#}", refused.err().context("it started")?))
    };
    let untyped = format!("{BPF}/untyped");
    pin_without_attach_type(&untyped)?;
    let said = refused(&format!("next-program = \"{untyped}\""))?;
    ensure!(said.contains("an XDP program") && said.contains("`expected_attach_type` has to be"), "{said}");
    let map = format!("{BPF}/a_map");
    run(Command::new("bpftool").args([
        "map", "create", &map, "type", "array", "key", "4", "value", "8", "entries", "4", "name", "foreign",
    ]))?;
    let said = refused(&format!("next-program = \"{map}\""))?;
    ensure!(said.contains("is a map (id") && said.contains("pin an XDP program there"), "{said}");
    Ok(())
}

#[test]
fn another_s_program_gets_what_is_not_dhcp() -> Result<()> {
    let lan = lan("next")?;
    lan.clients.ip(&format!("address add {HOST}/24 dev {CLIENT_IF}"))?;
    let ping = || -> Result<bool> {
        let mut ping = lan.clients.command("ping");
        Ok(output(ping.args(["-c", "1", "-W", "2", &SERVER.to_string()]))?.status.success())
    };
    let blocks = page("Ours calls another's program")?;
    let [program, load, exchange] = blocks.as_slice() else { bail!("the page has other blocks") };
    let settings = format!("next-program = \"{BPF}/after\"");

    // Nothing is pinned yet: no start, and no frame that nobody looked at.
    let refused =
        Server::with_settings(home(&lan), Xdp::Native, &settings, SUBNET).err().context("it started")?;
    ensure!(format!("{refused:#}").contains("pin it there first"), "{refused:#}");
    let mut server = Server::start(home(&lan), Xdp::Native, SUBNET)?;
    ensure!(ping()?, "the host can't be reached");
    ensure!(attached(&lan.server, SERVER_IF)?.name_as_str() == Some("xdhcpd"));
    server.stop()?;

    follow(&lan, std::slice::from_ref(program))?;
    follow(&lan, std::slice::from_ref(load))?;
    server.rewrite_with(&settings, Xdp::Native, SUBNET)?;
    server.start_again_with(&Launch::default())?;
    ensure!(attached(&lan.server, SERVER_IF)?.name_as_str() == Some("xdhcpd_next"));
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    ensure!(kernel_renewals(&server)? == 1, "{:?}", server.stats()?);
    ensure!(!ping()?, "the other's program was not asked");
    let asked = counted("after-maps/frames")?;
    ensure!(asked > 0);
    client.renew(&lease)?;
    lan.client(2).dora()?;
    ensure!(kernel_renewals(&server)? == 2, "{:?}", server.stats()?);

    // Another program takes its place, with maps of its own.
    follow(&lan, std::slice::from_ref(exchange))?;
    ensure!(!ping()?);
    ensure!(counted("newer-maps/frames")? > 0);
    server.crash()?;
    server.start_again()?;
    ensure!(!ping()?, "the program that is pinned under the name is not in place after a restart");

    // And without the key everything is as before.
    server.stop()?;
    server.rewrite_with("", Xdp::Native, SUBNET)?;
    server.start_again()?;
    ensure!(ping()?, "the other's program is asked still");
    client.renew(&lease)?;
    Ok(())
}

#[test]
fn a_program_that_libxdp_loads_calls_ours() -> Result<()> {
    let lan = lan("libxdp")?;
    let server = Server::start(home(&lan), Xdp::External, SUBNET)?;
    let programs = page("Another's program calls ours")?;
    let [program, ..] = programs.as_slice() else { bail!("the page has no program") };
    let commands = page("Beside libxdp")?;
    follow(&lan, std::slice::from_ref(program))?;
    let shown = follow(&lan, &commands)?;
    ensure!(shown.contains("before"), "xdp-loader does not name the program: {shown}");
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    ensure!(kernel_renewals(&server)? == 1, "the first renewal was not the kernel's: {:?}", server.stats()?);
    Ok(())
}
