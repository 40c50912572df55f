//! The output of lists: through a pager on a terminal, plain elsewhere.

use std::env;
use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use nix::libc;

/// A page of output.
pub(super) enum Page {
    /// The reader takes it as it comes.
    Plain(BufWriter<Stdout>),
    /// A program shows it page by page.
    Paged {
        /// The pager's standard input.
        to: BufWriter<ChildStdin>,
        /// The program.
        pager: Child,
    },
}

impl Page {
    /// As git has it: `$PAGER`, else `less`, and none where standard output is no terminal.
    pub(super) fn open() -> Self {
        let pager = if io::stdout().is_terminal() { start() } else { None };
        match pager {
            Some((to, pager)) => Self::Paged { to: BufWriter::new(to), pager },
            None => Self::Plain(BufWriter::new(io::stdout())),
        }
    }

    /// All is written: waits until it was read.
    pub(super) fn close(self) -> io::Result<()> {
        match self {
            Self::Plain(mut to) => to.flush(),
            Self::Paged { mut to, mut pager } => {
                let written = to.flush();
                drop(to);
                pager.wait()?;
                written
            }
        }
    }
}

impl Write for Page {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(to) => to.write(octets),
            Self::Paged { to, .. } => to.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(to) => to.flush(),
            Self::Paged { to, .. } => to.flush(),
        }
    }
}

fn start() -> Option<(ChildStdin, Child)> {
    let wanted = env::var("PAGER").unwrap_or_else(|_| "less".to_owned());
    if wanted.is_empty() || wanted == "cat" {
        return None;
    }
    let mut command = Command::new("sh");
    command.args(["-c", &wanted]).stdin(Stdio::piped());
    // It ends by itself if all fits on the screen, shows colours, and leaves the text there.
    for (name, value) in [("LESS", "FRX"), ("LV", "-c")] {
        if env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    let mut pager = command.spawn().ok()?;
    let to = pager.stdin.take()?;
    Some((to, pager))
}

/// How many columns the terminal has that standard output is; none if it is none.
pub(super) fn width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel writes a `winsize`, which outlives the call.
    let known = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) } == 0;
    Some(if known && size.ws_col > 0 { size.ws_col.into() } else { 80 })
}
