//! An operator's end of the control socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::report::Imported;
use super::request::{Line, Outcome, Request};
use super::socket;

/// A daemon without a sign of life for so long counts as gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody is there, or nobody that we may speak to.
    #[error("can't reach xdhcpd at {}: {source}{}", path.display(), advice(source))]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Somebody let us in and said nothing at all, not even that he is at it.
    #[error("xdhcpd at {} has not answered: {}", path.display(), unanswered(source))]
    Unanswered {
        /// The socket.
        path: PathBuf,
        /// How that showed.
        source: io::Error,
    },
    /// The connection broke, or fell silent, in the middle of an answer.
    #[error("xdhcpd broke off its answer: {}", broken(.0))]
    BrokenOff(io::Error),
    /// The answer can't be put where it should go.
    #[error("can't write the answer: {0}")]
    Output(io::Error),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => " (run this as root, or as a member of the socket's group)",
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            " (is it running? --control names another socket)"
        }
        _ => "",
    }
}

fn unanswered(error: &io::Error) -> String {
    if is_silence(error) {
        return format!(
            "no sign of life came for {} s. It is stopped, or has no file descriptors left for another client, or something              else listens there",
            PATIENCE.as_secs()
        );
    }
    let ended = matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    );
    if ended {
        "it closed the connection before it said anything, as a daemon does that ends: ask again".to_owned()
    } else {
        error.to_string()
    }
}

fn broken(error: &io::Error) -> String {
    match error.kind() {
        _ if is_silence(error) => format!("nothing more came for {} s", PATIENCE.as_secs()),
        io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        _ => error.to_string(),
    }
}

/// Whether that is how the system says that nothing came in time.
fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Asks the daemon whose socket is at `path`; `item` gets each item of the answer as it comes, as JSON.
///
/// # Errors
/// If there is no whole answer, or `item` fails.
pub fn ask(
    path: &Path,
    request: &Request,
    mut item: impl FnMut(&RawValue) -> io::Result<()>,
) -> Result<Outcome, ClientError> {
    let stream = connect(path, request)
        .map_err(|source| ClientError::Unreachable { path: path.to_owned(), source })?;
    let mut from = BufReader::new(stream);
    let mut line = String::new();
    let mut is_answered = false;
    loop {
        line.clear();
        let without = |source, is_answered| match is_answered {
            true => ClientError::BrokenOff(source),
            false => ClientError::Unanswered { path: path.to_owned(), source },
        };
        from.read_line(&mut line).map_err(|error| without(error, is_answered || !line.is_empty()))?;
        if !line.ends_with('\n') {
            return Err(without(io::ErrorKind::UnexpectedEof.into(), is_answered || !line.is_empty()));
        }
        is_answered = true;
        if line == "\n" {
            continue;
        }
        match serde_json::from_str::<Line<&RawValue>>(&line) {
            Ok(Line::Item(value)) => item(value).map_err(ClientError::Output)?,
            Ok(Line::End(outcome)) => return Ok(outcome),
            Err(error) => return Err(ClientError::BrokenOff(error.into())),
        }
    }
}

/// Has the daemon whose socket is at `path` honour `leases` of another server. `told` gets the result of each part,
/// in order; a part has at most `part` leases.
///
/// # Errors
/// If there is no whole answer; parts that were answered are honoured.
pub fn import(
    path: &Path,
    leases: &[&str],
    part: usize,
    mut told: impl FnMut(&[&str], Imported),
) -> Result<Outcome, ClientError> {
    let mut to = connect(path, &Request::Import)
        .map_err(|source| ClientError::Unreachable { path: path.to_owned(), source })?;
    let mut from = BufReader::new(to.try_clone().map_err(ClientError::BrokenOff)?);
    let mut is_answered = false;
    let without = |error: ClientError, is_answered: bool| match error {
        ClientError::BrokenOff(source) if !is_answered => {
            ClientError::Unanswered { path: path.to_owned(), source }
        }
        error => error,
    };
    for part in leases.chunks(part.max(1)) {
        let mut lines = part.join("\n");
        lines.push_str("\n\n");
        // If the daemon has refused, its reason waits to be read.
        let _ = to.write_all(lines.as_bytes());
        match answered(&mut from).map_err(|error| without(error, is_answered))? {
            Line::Item(imported) => told(part, imported),
            Line::End(outcome) => return Ok(outcome),
        }
        is_answered = true;
    }
    to.shutdown(std::net::Shutdown::Write).map_err(ClientError::BrokenOff)?;
    match answered::<Imported>(&mut from)? {
        Line::End(outcome) => Ok(outcome),
        Line::Item(_) => Err(ClientError::BrokenOff(io::ErrorKind::InvalidData.into())),
    }
}

/// The next line of an answer that says something.
fn answered<T: DeserializeOwned>(from: &mut impl BufRead) -> Result<Line<T>, ClientError> {
    let mut line = String::new();
    loop {
        line.clear();
        from.read_line(&mut line).map_err(ClientError::BrokenOff)?;
        if line == "\n" {
            continue;
        }
        if !line.ends_with('\n') {
            return Err(ClientError::BrokenOff(io::ErrorKind::UnexpectedEof.into()));
        }
        return serde_json::from_str(&line).map_err(|error| ClientError::BrokenOff(error.into()));
    }
}

fn connect(path: &Path, request: &Request) -> io::Result<UnixStream> {
    let mut stream = socket::connect(path, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let line = request.line()?;
    match stream.write_all(&line) {
        // The daemon refused before it read; its reason waits to be read.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(stream),
        written => written.map(|()| stream),
    }
}
