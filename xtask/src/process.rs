//! Running other programs, with more rights where that is needed, and finding them.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Runs a command with this terminal as its own.
///
/// # Errors
/// When it can't be started or doesn't end with status 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("can't start {}", name(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", line(command));
    }
    Ok(())
}

/// Runs a command and returns what it wrote to standard output.
///
/// # Errors
/// When it can't be started or doesn't end with status 0; what it wrote to standard error is in the message.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("can't start {}", name(command)))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed ({}): {}", line(command), output.status, complaint.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} did not write text", name(command)))
}

/// A command that runs as root: directly if we are root, else through sudo.
///
/// # Errors
/// When we are not root and there is no sudo.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Result<Command> {
    if nix::unistd::geteuid().is_root() {
        return Ok(Command::new(program));
    }
    let Some(sudo) = find("sudo") else {
        bail!("{} needs root: run this as root, or install sudo", program.as_ref().display());
    };
    let mut command = Command::new(sudo);
    command.arg(program);
    Ok(command)
}

/// The beginning of a command that runs a test program as root: it knows which daemon to start, and finds system tools.
///
/// # Errors
/// As [`as_root`].
pub(crate) fn as_root_with(daemon: &Path) -> Result<Command> {
    let setting = |name: &str, value: &OsStr| {
        let mut setting = OsString::from(name);
        setting.push("=");
        setting.push(value);
        setting
    };
    let path = env::join_paths(search_path()).context("PATH can't be extended")?;
    let mut command = as_root("env")?;
    command.arg(setting("XDHCPD_BIN", daemon.as_os_str())).arg(setting("PATH", &path));
    Ok(command)
}

/// Looks for an executable on `PATH` and where system tools live (a user's `PATH` may leave those out).
pub(crate) fn find(executable: &str) -> Option<PathBuf> {
    search_path().into_iter().map(|dir| dir.join(executable)).find(|file| is_executable(file))
}

fn search_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from)).collect()
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn line(command: &Command) -> String {
    let words: Vec<_> =
        [command.get_program()].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    words.join(" ")
}
