//! The `xdhcpd` binary.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use dhcp_user::cli::{self, Cli, Verb};
use dhcp_user::process_limits;
use mimalloc::MiMalloc;

/// Messages come and go by the million, in pieces of a few hundred octets: the C library's takes a quarter of the time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Whether standard output was closed when the process was started. The language's runtime then opens `/dev/null` in its
/// place, and whatever is printed would count as written.
static STDOUT_IS_CLOSED: AtomicBool = AtomicBool::new(false);

#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_THE_RUNTIME: extern "C" fn() = look_around;

extern "C" fn look_around() {
    process_limits::look_before_the_runtime();
    // SAFETY: this takes numbers, and touches no memory.
    let is_closed = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) } < 0;
    STDOUT_IS_CLOSED.store(is_closed, Ordering::Relaxed);
}

fn main() -> ExitCode {
    if STDOUT_IS_CLOSED.load(Ordering::Relaxed) {
        cli::without_stdout();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return cli::explain(&usage).into(),
    };
    match cli.verb {
        Verb::Run(run) => run.run().into(),
        Verb::Attach(attach) => attach.run().into(),
        Verb::Detach(detach) => detach.run().into(),
        Verb::CheckConfig(check) => check.run().into(),
        Verb::DeriveConfig(derive) => derive.run().into(),
        Verb::Completions(completions) => completions.run().into(),
        Verb::Man(man) => man.run().into(),
        Verb::Reference(reference) => reference.run().into(),
        Verb::HookRunner => cli::run_hooks().into(),
        Verb::Capture(capture) => capture.run().into(),
        Verb::Extcap(extcap) => extcap.run().into(),
        Verb::Export(export) => export.run().into(),
        Verb::Import(import) => import.run().into(),
        Verb::ImportConfig(import) => import.run().into(),
        Verb::ImportLeases(import) => import.run().into(),
        Verb::WhoHad(who_had) => who_had.run().into(),
        Verb::Store(store) => store.run().into(),
        Verb::Top(top) => top.run().into(),
        Verb::Ask(ask) => ask.run().into(),
    }
}
