//! The daemon to ask: the one that was named, or the only one that runs.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use super::Exit;
use super::output::{Output, complain, ended, finish};
use crate::config::{Config, DEFAULT_CONTROL_SOCKET};
use crate::control::{self, Audit, Outcome, Request};

/// The variable that names a control socket.
const VARIABLE: &str = "XDHCPD_CONTROL";

/// Which daemon to ask.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Whom {
    /// The daemon's control socket [default: that of --config, else $XDHCPD_CONTROL, else /run/xdhcpd/control.sock, else that of
    /// the one daemon that runs]
    #[arg(long = "control", value_name = "SOCKET")]
    control: Option<PathBuf>,
    /// The configuration that names the control socket
    #[arg(long, value_name = "FILE", conflicts_with = "control")]
    config: Option<PathBuf>,
}

impl Whom {
    /// The control socket.
    ///
    /// # Errors
    /// Why it is not known, in words.
    pub(super) fn socket(&self) -> Result<PathBuf, String> {
        if let Some(socket) = &self.control {
            return Ok(socket.clone());
        }
        if let Some(file) = &self.config {
            let config = Config::load(file).map_err(|error| error.to_string())?;
            return Ok(config.server.control_socket);
        }
        default_socket()
    }
}

/// Which daemon to ask, and how to show its answer.
#[derive(Debug, clap::Args)]
pub struct Daemon {
    #[command(flatten)]
    whom: Whom,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Daemon {
    pub(super) fn socket(&self) -> Result<PathBuf, String> {
        self.whom.socket()
    }

    /// Asks, and prints the answer.
    pub(super) fn ask(&self, request: &Request) -> Exit {
        let socket = match self.socket() {
            Ok(socket) => socket,
            Err(why) => return complain(Exit::Unreachable, why),
        };
        let mut output = Output::new(request, self.json);
        let mut exit = Exit::Done;
        let answer = control::ask(&socket, request, |item| {
            if *request == Request::Audit && !serde_json::from_str::<Audit>(item.get())?.consistent {
                exit = Exit::No;
            }
            output.item(item)
        });
        // What there is to say of a daemon that starts is said all the same.
        if *request == Request::Status && matches!(answer, Ok(Outcome::No(_))) {
            finish(Exit::No, output.end());
            return ended(answer).unwrap_or(Exit::No);
        }
        match ended(answer) {
            None => finish(exit, output.end()),
            Some(exit) => exit,
        }
    }
}

/// The control socket where none was named.
pub(super) fn default_socket() -> Result<PathBuf, String> {
    if let Some(socket) = env::var_os(VARIABLE).filter(|socket| !socket.is_empty()) {
        return Ok(socket.into());
    }
    let usual = PathBuf::from(DEFAULT_CONTROL_SOCKET);
    // One that may not be looked for is there, perhaps: whoever asks is told so.
    if !matches!(usual.try_exists(), Ok(false)) {
        return Ok(usual);
    }
    let mut found = running();
    match (found.pop(), found.is_empty()) {
        (None, _) => Ok(usual),
        (Some(only), true) => Ok(only),
        (Some(one), false) => {
            found.push(one);
            let all: Vec<String> = found.iter().map(|socket| socket.display().to_string()).collect();
            Err(format!("several daemons run: name one by --control: {}", all.join(", ")))
        }
    }
}

/// The control sockets of the daemons that run, as far as they can be seen.
fn running() -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut sockets: Vec<PathBuf> = processes.filter_map(|process| socket_of(&process.path())).collect();
    sockets.sort();
    sockets.dedup();
    sockets
}

/// The control socket of a process, if it is a daemon: by the configuration that it was started with.
fn socket_of(process: &Path) -> Option<PathBuf> {
    // The first thread may have been given another name.
    let words = fs::read(process.join("cmdline")).ok()?;
    let mut words = words.split(|octet| *octet == 0).map(|word| OsString::from_vec(word.to_vec()));
    let program = PathBuf::from(words.next()?);
    if program.file_name()? != "xdhcpd" || words.next()? != "run" {
        return None;
    }
    let words: Vec<OsString> = words.collect();
    let after = words.windows(2).find_map(|pair| match pair {
        [flag, file] if flag == "--config" => Some(file.clone()),
        _ => None,
    });
    let joined =
        || words.iter().find_map(|word| word.to_str()?.strip_prefix("--config=").map(OsString::from));
    let file = after.or_else(joined)?;
    // It may have been named from where the daemon was started.
    let directory = fs::read_link(process.join("cwd")).unwrap_or_else(|_| "/".into());
    let socket = Config::load(&directory.join(file)).ok()?.server.control_socket;
    socket.exists().then_some(socket)
}
