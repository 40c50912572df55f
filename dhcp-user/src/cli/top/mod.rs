//! `top`: the server's present work, on a terminal.
//!
//! Two threads ask the daemon, for figures again and again, and for events as they come; one waits for signals. This
//! one draws, and restores the terminal however it ends.

mod screen;
#[cfg(test)]
mod tests;
mod view;

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, KeyCode, KeyEventKind, KeyModifiers};

use super::Exit;
use super::daemon::Whom;
use super::output::complain;
use crate::control::{self, ClientError, Figures, Outcome, Request};
use crate::events::EventRecord;
use crate::reason;
use view::View;

/// How long a key may wait for this.
const LOOK: Duration = Duration::from_millis(100);
/// How long until events are asked for again after the daemon has broken off.
const AGAIN: Duration = Duration::from_secs(2);

/// What to show, and how often.
#[derive(Debug, clap::Args)]
pub struct Top {
    #[command(flatten)]
    whom: Whom,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=60))]
    every: u16,
}

/// Something that the screen has to do with.
enum Input {
    Figures(Box<Figures>),
    Event(Box<EventRecord>),
    /// The daemon doesn't answer, and why.
    Silent(String),
    /// A signal says that it is enough.
    End,
}

impl Top {
    /// Shows until somebody has seen enough.
    #[must_use]
    pub fn run(self) -> Exit {
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return complain(Exit::Usage, "top needs a terminal: see `xdhcpd stats`, `pools` and `events`");
        }
        // What is wrong from the start is said where it can be read afterwards.
        let socket = match self.whom.socket() {
            Ok(socket) => socket,
            Err(why) => return complain(Exit::Unreachable, why),
        };
        let first = match figures(&socket) {
            Ok(first) => first,
            Err((exit, why)) => return complain(exit, why),
        };
        match self.show(first, &socket) {
            Ok(()) => Exit::Done,
            Err(error) => complain(Exit::Usage, reason::told(&error)),
        }
    }

    fn show(&self, first: Box<Figures>, socket: &Path) -> Result<()> {
        let (to, told) = channel();
        watch_signals(to.clone())?;
        self.ask(to, socket)?;
        let mut terminal = ratatui::try_init().context("taking over the terminal")?;
        let shown = run(&mut terminal, View::new(first, Instant::now()), &told);
        ratatui::try_restore().context("putting the terminal back")?;
        shown
    }

    /// Asks for figures and events, each in a thread of its own, until the process ends.
    fn ask(&self, to: Sender<Input>, socket: &Path) -> Result<()> {
        let (place, every) = (socket.to_owned(), Duration::from_secs(self.every.into()));
        let of_figures = to.clone();
        let figures = move || {
            loop {
                thread::sleep(every);
                let told = match figures(&place) {
                    Ok(figures) => Input::Figures(figures),
                    Err((_, why)) => Input::Silent(why),
                };
                if of_figures.send(told).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("figures".into()).spawn(figures).context("starting a thread")?;
        let socket = socket.to_owned();
        let events = move || {
            loop {
                let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
                let ended = control::ask(&socket, &Request::Events { since: None, follow: true }, |item| {
                    let event = serde_json::from_str(item.get())?;
                    to.send(Input::Event(event)).map_err(|_| gone())
                });
                if matches!(ended, Err(ClientError::Output(_))) {
                    return;
                }
                // That it does not answer is found by who asks for figures.
                thread::sleep(AGAIN);
            }
        };
        thread::Builder::new().name("events".into()).spawn(events).context("starting a thread")?;
        Ok(())
    }
}

/// Has a thread wait for the signals that end this; no thread that is started later gets them.
fn watch_signals(to: Sender<Input>) -> Result<()> {
    let ends = SigSet::from_iter([Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT]);
    ends.thread_block().context("holding back signals")?;
    let watch = move || {
        // A wait that fails ends it as well: nothing else could.
        let _ = ends.wait();
        let _ = to.send(Input::End);
    };
    thread::Builder::new().name("signals".into()).spawn(watch).context("starting a thread")?;
    Ok(())
}

fn run(terminal: &mut DefaultTerminal, mut view: View, told: &Receiver<Input>) -> Result<()> {
    loop {
        terminal.draw(|frame| screen::draw(frame, &view)).context("drawing")?;
        if event::poll(LOOK).context("waiting for a key")?
            && is_enough(&event::read().context("reading a key")?)
        {
            return Ok(());
        }
        for told in told.try_iter() {
            match told {
                Input::Figures(figures) => view.figures(figures, Instant::now()),
                Input::Event(event) => view.event(*event),
                Input::Silent(why) => view.silent(why),
                Input::End => return Ok(()),
            }
        }
    }
}

/// Whether somebody has seen enough.
fn is_enough(event: &event::Event) -> bool {
    let event::Event::Key(key) = event else { return false };
    let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
}

/// The figures of this moment.
///
/// # Errors
/// Why there are none, and how the command would end for it.
fn figures(socket: &Path) -> Result<Box<Figures>, (Exit, String)> {
    let mut figures = None;
    let asked = control::ask(socket, &Request::Figures, |item| {
        figures = Some(serde_json::from_str(item.get())?);
        Ok(())
    });
    match asked {
        Ok(Outcome::Done) => {
            figures.ok_or_else(|| (Exit::Unreachable, "xdhcpd has answered with nothing".to_owned()))
        }
        Ok(Outcome::No(why)) => Err((Exit::No, why)),
        Ok(Outcome::Refused(why)) => Err((Exit::Usage, why)),
        Ok(Outcome::Stuck(why)) => Err((Exit::Unreachable, why)),
        Err(error) => Err((Exit::Unreachable, error.to_string())),
    }
}
