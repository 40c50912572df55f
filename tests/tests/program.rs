//! What the kernel makes of the XDP program: how much its verifier has to look at, and how much machine code comes of it,
//! so that neither grows unnoticed. The first bounds how far the program may still grow, the second what it takes of the
//! processor's instruction cache.

use anyhow::{Context, Result, ensure};
use system_tests::paths::SERVER;
use system_tests::program::attached;
use system_tests::server::{Server, Xdp};
use system_tests::topology::{Lan, SERVER_IF};

/// Instructions that the verifier goes through, every path of the program counted (Linux 6.18).
const VERIFIED: u32 = 306_700;
/// Octets of machine code (x86-64).
const JITED: u32 = 10_240;
/// How far either may be from the number written down: other kernels and compilers differ by as much.
const TOLERANCE: f64 = 0.10;

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.20"]
"#;

#[test]
fn the_program_takes_no_more_to_verify_and_is_no_longer_than_it_was() -> Result<()> {
    let lan = Lan::new("program", SERVER, 24)?;
    let _server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let program = attached(&lan.server, SERVER_IF)?;
    let verified =
        program.verified_instruction_count().context("the kernel does not say what it verified")?;
    let jited = program.size_jitted();
    println!("{verified} instructions verified, {jited} octets of machine code");
    ensure!(jited > 0, "the kernel does not compile BPF programs here (net.core.bpf_jit_enable)");
    as_written_down("instructions verified", verified, VERIFIED)?;
    as_written_down("octets of machine code", jited, JITED)
}

fn as_written_down(what: &str, found: u32, expected: u32) -> Result<()> {
    let share = f64::from(found) / f64::from(expected);
    ensure!(
        (share - 1.0).abs() <= TOLERANCE,
        "{found} {what}, {expected} are written down: find out why, or write down the new number"
    );
    Ok(())
}
