//! Build and operations tasks of xdhcpd: see `cargo xtask --help`.

mod bench;
mod build;
mod conformance;
mod demo;
mod dist;
mod failures;
mod fuzz;
mod kernels;
mod machine;
mod object;
mod packages;
mod process;
mod sbom;
mod serve;
mod setup;
mod tally;
mod test;
mod tidy;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Sets up, builds, runs, demonstrates, tests and measures xdhcpd.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what a build, the demo or the tests need; says what it does, does nothing twice
    Setup(setup::Args),
    /// Build the BPF object and the binary around it
    Build(build::Args),
    /// Show a real client's renewal answered in the driver, in namespaces of its own
    Demo(demo::Args),
    /// Build, attach to a NIC and serve in the foreground
    Run(serve::Args),
    /// Build, and attach the XDP program to a NIC without serving
    Attach(serve::Args),
    /// Take the XDP program off a NIC
    Detach(serve::Args),
    /// Write tests/CONFORMANCE.md: which test shows which requirement of which RFC
    Conformance,
    /// Check what no compiler does: circles between files, what heads files, links and keys in the documentation
    Tidy,
    /// Build packages into target/dist: .deb and tarball
    Dist(dist::Args),
    /// Run the tests, all or a part; the last line is the sum
    Test(test::Args),
    /// Look for inputs that harm a parser, or that kernel and daemon answer differently, until stopped
    Fuzz(fuzz::Args),
    /// Measure under load, beside a reflector and beside other servers; `bench --help` has the parts
    #[command(disable_help_flag = true)]
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Setup(args) => setup::main(&args),
        Task::Build(args) => build::main(&args),
        Task::Demo(args) => demo::main(&args),
        Task::Run(args) => serve::run(&args),
        Task::Attach(args) => serve::attach(&args),
        Task::Detach(args) => serve::detach(&args),
        Task::Conformance => conformance::main(),
        Task::Tidy => tidy::main(),
        Task::Dist(args) => dist::main(&args),
        Task::Test(args) => test::main(&args),
        Task::Fuzz(args) => fuzz::main(&args),
        Task::Bench(args) => bench::main(&args),
    };
    match done {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
