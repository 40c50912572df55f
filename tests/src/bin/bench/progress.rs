//! Tells on standard error what is going on, for runs that take minutes.

use std::io::{IsTerminal, Write, stderr};

/// Says what is measured now. On a terminal, the next such line takes its place.
pub(crate) fn step(what: &str) {
    let mut out = stderr();
    // Nobody to tell is no reason to stop.
    let _ = if out.is_terminal() { write!(out, "\r\x1b[K{what}") } else { writeln!(out, "{what}") };
    let _ = out.flush();
}

/// Takes the last line away again, before results are printed.
pub(crate) fn clear() {
    let mut out = stderr();
    if out.is_terminal() {
        let _ = write!(out, "\r\x1b[K");
        let _ = out.flush();
    }
}
