//! An interface without the program is listened on by a packet socket; so is one where another's program may call it, or not.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::super::Server;
use super::super::process::beside::Backoff;
use crate::clock::BootNanos;
use crate::control::Xdp;
use crate::datapath::frames::packet_socket::{Receiver, Wanted};
use crate::datapath::frames::ring::Arrival;
use crate::datapath::frames::watch::watched;

/// A task that brings the frames of an interface; it ends with this.
#[derive(Debug)]
pub(super) struct Listener {
    task: AbortHandle,
    /// Why it hears nothing at present.
    failure: ListenFailure,
}

/// Why an interface can't be listened on at present.
type ListenFailure = Arc<Mutex<Option<String>>>;

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether frames of an interface come, or may come, past the program.
pub(super) const fn is_listened_on(xdp: Xdp) -> bool {
    matches!(xdp, Xdp::Off | Xdp::External)
}

impl Listener {
    /// Why nothing is heard at present.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Server {
    fn listen_on(&self, ifindex: u32) -> Result<Listener> {
        let receiver = Receiver::open(ifindex, Wanted::Dhcp)?;
        let failure = Arc::default();
        let hearing = listen(receiver, ifindex, self.arrivals.clone(), Arc::clone(&failure));
        Ok(Listener { task: self.beside.task("listen", hearing), failure })
    }

    /// Listens on an interface without a program; if that fails it tries again with each reading, and reports trouble
    /// meanwhile.
    pub(super) fn listen_again(&mut self, ifindex: u32) {
        let listener = self.listen_on(ifindex);
        let Some(served) = self.interfaces.get_mut(&ifindex) else { return };
        let interface = &served.facts.name;
        match listener.map_err(|error| format!("{error:#}")) {
            // Attached again meanwhile.
            _ if !is_listened_on(served.xdp) => served.unheard = None,
            Ok(listener) => {
                if served.unheard.take().is_some() {
                    tracing::info!(interface, "listened on again");
                }
                served.listener = Some(listener);
            }
            Err(why) => {
                if served.unheard.is_none() {
                    tracing::warn!(interface, error = why, "can't be listened on; it is tried again");
                }
                served.unheard = Some(why);
            }
        }
    }
}

/// Brings frames of one interface to the server. A socket that fails is opened anew, again and again; `failure` says meanwhile
/// why nothing is heard.
async fn listen(receiver: Receiver, ifindex: u32, arrivals: mpsc::Sender<Arrival>, failure: ListenFailure) {
    let mut backoff = Backoff::new();
    let mut receiver = Ok(receiver);
    loop {
        let opened = Instant::now();
        let ended = match receiver {
            Ok(receiver) => {
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
                hear(receiver, &arrivals).await
            }
            Err(error) => Err(error),
        };
        let Err(error) = ended else { return };
        let why = format!("{error:#}");
        tracing::warn!(ifindex, why, "an interface can't be listened on; it is tried again and again");
        *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        let wait = backoff.next();
        tokio::time::sleep(wait).await;
        if opened.elapsed() > 4 * wait {
            backoff = Backoff::new();
        }
        receiver = Receiver::open(ifindex, Wanted::Dhcp);
    }
}

/// Brings frames of one packet socket to the server, until nobody wants them any more.
///
/// # Errors
/// When the socket fails.
async fn hear(receiver: Receiver, arrivals: &mpsc::Sender<Arrival>) -> Result<()> {
    let socket = watched(receiver)?;
    loop {
        let mut guard = socket.readable().await?;
        match guard.get_inner().receive() {
            Ok(Some(frame)) => {
                let arrival = Arrival {
                    frame: frame.frame,
                    ifindex: frame.ifindex,
                    at: BootNanos::now().0,
                    why: None,
                    word: None,
                };
                if arrivals.send(arrival).await.is_err() {
                    return Ok(());
                }
            }
            Ok(None) => guard.clear_ready(),
            // Told once; when the link is up again, so is the socket.
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
