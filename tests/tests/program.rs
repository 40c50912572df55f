//! The cost of the BPF programs in the kernel: the verifier's work, and the machine code, so that neither grows
//! unnoticed. The first bounds how far a program may still grow, the second its share of the processor's instruction
//! cache.

use anyhow::{Context, Result, ensure};
use aya::programs::ProgramInfo;
use system_tests::paths::SERVER;
use system_tests::program::{attached, named};
use system_tests::server::{Server, Xdp};
use system_tests::topology::{Lan, SERVER_IF};

/// Instructions that the verifier goes through, every path of the program counted (Linux 6.18), and octets of machine code
/// (x86-64): of the XDP program, 4,000 and 600 of them for sending what the daemon has for it to send,
const XDHCPD: (u32, u32) = (217_300, 16_470);
/// and of the program that watches what drivers take.
const TAKEN: (u32, u32) = (51, 217);
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
    as_written_down(&attached(&lan.server, SERVER_IF)?, XDHCPD)?;
    as_written_down(&named("taken")?, TAKEN)
}

fn as_written_down(program: &ProgramInfo, (verified, jited): (u32, u32)) -> Result<()> {
    let found = program.verified_instruction_count().context("the kernel does not say what it verified")?;
    let octets = program.size_jitted();
    println!("{found} instructions verified, {octets} octets of machine code");
    ensure!(octets > 0, "the kernel does not compile BPF programs here (net.core.bpf_jit_enable)");
    within("instructions verified", found, verified)?;
    within("octets of machine code", octets, jited)
}

fn within(what: &str, found: u32, expected: u32) -> Result<()> {
    let share = f64::from(found) / f64::from(expected);
    ensure!(
        (share - 1.0).abs() <= TOLERANCE,
        "{found} {what}, {expected} are written down: find out why, or write down the new number"
    );
    Ok(())
}
