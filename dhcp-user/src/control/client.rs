//! An operator's end of the control socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::value::RawValue;

use super::request::{Line, Outcome, Request};

/// A daemon that gives no sign of life for so long is as good as gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody is there, or nobody that we may speak to.
    #[error("can't reach xdhcpd at {}: {source}{}", path.display(), advice(source))]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The connection broke, or fell silent, in the middle of an answer.
    #[error("xdhcpd broke off its answer: {0}")]
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
    loop {
        line.clear();
        from.read_line(&mut line).map_err(ClientError::BrokenOff)?;
        if line == "\n" {
            continue;
        }
        if !line.ends_with('\n') {
            return Err(ClientError::BrokenOff(io::ErrorKind::UnexpectedEof.into()));
        }
        match serde_json::from_str::<Line<&RawValue>>(&line) {
            Ok(Line::Item(value)) => item(value).map_err(ClientError::Output)?,
            Ok(Line::End(outcome)) => return Ok(outcome),
            Err(error) => return Err(ClientError::BrokenOff(error.into())),
        }
    }
}

fn connect(path: &Path, request: &Request) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    match stream.write_all(&line) {
        // The daemon refused before it read; its reason waits to be read.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(stream),
        written => written.map(|()| stream),
    }
}
