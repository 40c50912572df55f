//! Answers on standard output: as JSON as they come, or as a table when all is there.

use std::fmt::Display;
use std::io::{self, BufWriter, Stdout, Write};
use std::os::unix::net::UnixDatagram;

use nix::unistd::dup2_stdout;
use serde_json::value::RawValue;

use super::Exit;
use super::page::Page;
use super::table::Table;
use super::text::{self, Add};
use crate::control::{ClientError, Outcome, Request};

/// Where the items of an answer go.
pub(super) enum Output {
    /// One object.
    Object(BufWriter<Stdout>),
    /// A list of objects, each on a line.
    List { to: BufWriter<Stdout>, begun: bool },
    /// Events, each on a line at once.
    Events { to: Stdout, json: bool },
    /// A table.
    Text { table: Table, add: Add },
}

impl Output {
    pub(super) fn new(request: &Request, json: bool) -> Self {
        if matches!(request, Request::Events { .. }) {
            return Self::Events { to: io::stdout(), json };
        }
        let to = BufWriter::new(io::stdout());
        if !json {
            let (table, add) = text::of(request);
            return Self::Text { table, add };
        }
        match request {
            Request::Leases { .. }
            | Request::Pools
            | Request::Orphans
            | Request::Quarantine
            | Request::ReservationList => Self::List { to, begun: false },
            _ => Self::Object(to),
        }
    }

    /// For the answers to several requests like this.
    pub(super) fn of_several(request: &Request, json: bool, count: usize) -> Self {
        match Self::new(request, json) {
            Self::Object(to) if count != 1 => Self::List { to, begun: false },
            other => other,
        }
    }

    pub(super) fn item(&mut self, item: &RawValue) -> io::Result<()> {
        match self {
            Self::Object(to) => writeln!(to, "{item}"),
            Self::List { to, begun } => {
                let before = if std::mem::replace(begun, true) { ",\n" } else { "[\n" };
                write!(to, "{before}{item}")
            }
            Self::Events { to, json } => {
                if *json {
                    writeln!(to, "{item}")?;
                } else {
                    writeln!(to, "{}", text::event(item)?)?;
                }
                to.flush()
            }
            Self::Text { table, add } => Ok(add(item, table)?),
        }
    }

    pub(super) fn end(self) -> io::Result<()> {
        match self {
            Self::Object(mut to) => to.flush(),
            Self::Events { .. } => Ok(()),
            Self::List { mut to, begun } => {
                to.write_all(if begun { b"\n]\n" } else { b"[]\n" })?;
                to.flush()
            }
            Self::Text { table, .. } => {
                let mut page = Page::open();
                table.write(&mut page, None)?;
                page.close()
            }
        }
    }
}

/// The exit of a command whose request was not done as asked, after it printed the reason; none if it was done.
pub(super) fn ended(answer: Result<Outcome, ClientError>) -> Option<Exit> {
    Some(match answer {
        Ok(Outcome::Done) => return None,
        Ok(Outcome::No(why)) => complain(Exit::No, why),
        Ok(Outcome::Refused(why)) => complain(Exit::Usage, why),
        Ok(Outcome::Stuck(why)) => complain(Exit::Unreachable, why),
        Err(ClientError::Output(error)) => finish(Exit::Done, Err(error)),
        Err(
            error @ (ClientError::Unreachable { .. }
            | ClientError::Unanswered { .. }
            | ClientError::BrokenOff(_)),
        ) => complain(Exit::Unreachable, error),
    })
}

/// The end of a command that has printed: a reader that went away (`| head`) is none of its failures.
pub(super) fn finish(exit: Exit, printed: io::Result<()>) -> Exit {
    match printed {
        Ok(()) => exit,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit,
        // A socket without a peer is there in its place.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            complain(Exit::Usage, "can't write the answer: standard output is closed")
        }
        Err(error) => complain(Exit::Usage, format_args!("can't write the answer: {error}")),
    }
}

/// Standard output was closed when the process was started: whatever is written to it fails from here on, as it does
/// where a disk is full.
pub fn without_stdout() {
    let nobody = UnixDatagram::unbound().map(dup2_stdout);
    if !matches!(nobody, Ok(Ok(()))) {
        remark("xdhcpd: standard output is closed");
    }
}

/// The end of a command that has a reason to give. If nobody can read it the exit status says it all the same.
pub(super) fn complain(exit: Exit, why: impl Display) -> Exit {
    remark(format_args!("xdhcpd: {why}"));
    exit
}

/// Prints a remark beside the answer, on standard error.
pub(super) fn remark(what: impl Display) {
    let _ = writeln!(io::stderr(), "{what}");
}
