//! A terminal for a program that wants one: what it writes is kept, and keys can be pressed.

use anyhow::{Context, Result, ensure};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::wait::{PROMPT, until};

/// A program on a terminal of its own.
#[derive(Debug)]
pub struct OnTerminal {
    child: Child,
    keys: File,
    /// Keeps the terminal there when the program has ended.
    screen: OwnedFd,
    written: Arc<Mutex<Vec<u8>>>,
}

impl OnTerminal {
    /// Starts `command` on a terminal of this many columns and lines.
    ///
    /// # Errors
    /// When there can be no terminal, or the program can't be started.
    pub fn start(mut command: Command, columns: u16, lines: u16) -> Result<Self> {
        let (mut far, mut near) = (-1, -1);
        let mut size = libc::winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the descriptors and the size outlive the call; no name and no settings are asked for.
        let opened =
            unsafe { libc::openpty(&raw mut far, &raw mut near, null_mut(), null_mut(), &raw mut size) };
        ensure!(opened == 0, "no terminal is to be had: {}", std::io::Error::last_os_error());
        // SAFETY: both are new, open and nobody else's.
        let (keys, screen) = unsafe { (File::from_raw_fd(far), OwnedFd::from_raw_fd(near)) };
        let end = || screen.try_clone().context("passing on a terminal");
        command.stdin(end()?).stdout(end()?).stderr(end()?);
        // SAFETY: the closure runs in the forked child and makes system calls only, which are async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                prctl::set_pdeathsig(Signal::SIGKILL)?;
                // A session of its own, whose terminal this is.
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            })
        };
        let child = command.spawn().context("starting a program on a terminal")?;
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut from, kept) = (keys.try_clone()?, Arc::clone(&written));
        thread::spawn(move || {
            let mut octets = [0; 4096];
            while let Ok(count) = from.read(&mut octets) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&octets[..count]);
            }
        });
        Ok(Self { child, keys, screen, written })
    }

    /// All that was written so far.
    #[must_use]
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Waits until this is among what was written.
    ///
    /// # Errors
    /// When it isn't in time.
    pub fn shows(&self, text: &str) -> Result<()> {
        let found = until(&format!("{text:?} on the terminal"), PROMPT, || {
            Ok(self.written().contains(text).then_some(()))
        });
        found.with_context(|| self.written())
    }

    /// Presses keys.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn press(&mut self, keys: &[u8]) -> Result<()> {
        self.keys.write_all(keys).context("pressing keys")
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the program is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), signal).context("sending a signal")
    }

    /// Waits until the program has ended.
    ///
    /// # Errors
    /// When it goes on.
    pub fn ended(&mut self) -> Result<ExitStatus> {
        until("a program on a terminal to end", PROMPT, || Ok(self.child.try_wait()?))
    }

    /// Whether lines are edited and echoed, as they are for a shell.
    ///
    /// # Errors
    /// When the terminal can't be asked.
    pub fn is_as_it_was(&self) -> Result<bool> {
        // SAFETY: all zero is a value of this struct of integers.
        let mut settings: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: the settings outlive the call.
        let asked = unsafe { libc::tcgetattr(self.screen.as_raw_fd(), &raw mut settings) };
        ensure!(asked == 0, "{}", std::io::Error::last_os_error());
        let wanted = libc::ICANON | libc::ECHO | libc::ISIG;
        Ok(settings.c_lflag & wanted == wanted)
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
