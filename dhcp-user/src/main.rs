//! The `xdhcpd` binary.

use std::process::ExitCode;

use clap::Parser;
use dhcp_user::cli::{Cli, Verb};
use libmimalloc_sys::{mi_option_set, mi_option_t};
use mimalloc::MiMalloc;

/// Messages come and go by the million, in pieces of a few hundred octets: the C library's takes a quarter of the time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// `mi_option_purge_delay` of mimalloc.h: after how many milliseconds unused memory goes back to the system; negative for
/// never.
const PURGE_DELAY: mi_option_t = 15;

fn main() -> ExitCode {
    // What a burst took the next one takes again, and memory that is had anew has to be cleared while clients wait.
    // SAFETY: it stores a number in the allocator's table of options, which is read each time it matters.
    unsafe { mi_option_set(PURGE_DELAY, -1) };
    match Cli::parse().verb {
        Verb::Run(run) => run.run().into(),
        Verb::Attach(attach) => attach.run().into(),
        Verb::Detach(detach) => detach.run().into(),
        Verb::CheckConfig(check) => check.run().into(),
        Verb::Export(export) => export.run().into(),
        Verb::Import(import) => import.run().into(),
        Verb::Ask(ask) => ask.run().into(),
    }
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    #[test]
    fn the_option_is_the_one_that_it_is_taken_for() {
        // SAFETY: it reads a number from the allocator's table of options.
        let milliseconds = unsafe { mi_option_get(super::PURGE_DELAY) };
        assert_eq!(milliseconds, 1000, "the allocator's own, which no other option has");
    }
}
