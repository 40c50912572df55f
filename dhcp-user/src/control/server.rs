//! The daemon's end of the control socket.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout};

use super::connections::Connection;
use super::peer::{May, Peer};
use super::query::{No, Query, Reply};
use super::report::Status;
use super::request::{Line, Outcome, Request};
use super::socket::Bound;
use super::startup::Startup;
use crate::logging::Seldom;
use crate::pulse::Pulse;

/// The longest request, in octets.
const LONGEST_REQUEST: usize = 4096;
/// How long a client may take to send its request, or to take in a part of the answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How often a client that waits for an answer gets a sign of life.
pub(super) const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// Without a beat for so long, the thread that decides stands still.
const STUCK: Duration = Duration::from_secs(3);
/// How often it is looked whether the socket is still where it was made.
const LOOK: Duration = Duration::from_secs(2);

/// Serves clients until nobody takes queries any more; `startup` says what there is to say before anybody does.
///
/// Each client is served in a task of its own; the decision loop sees queries only.
///
/// # Errors
/// When the listener can't be waited for.
pub async fn serve(
    listener: StdListener,
    queries: mpsc::Sender<Query>,
    startup: Arc<Startup>,
) -> io::Result<()> {
    serve_at(listener, None, queries, startup).await
}

/// The same. A socket that is `bound`, and removed, is made anew where nothing else is in its place.
///
/// # Errors
/// As there.
pub async fn serve_at(
    listener: StdListener,
    bound: Option<Bound>,
    queries: mpsc::Sender<Query>,
    startup: Arc<Startup>,
) -> io::Result<()> {
    let mut listener = UnixListener::from_std(listener)?;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let connections = startup.connections();
    let mut refused = Seldom::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = queries.closed() => return Ok(()),
            _ = looks.tick() => {
                if let Some(anew) = bound.as_ref().and_then(Bound::anew) {
                    listener = UnixListener::from_std(anew)?;
                }
                continue;
            }
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: they come back, and accepting at once would only spin.
                if let Some(left_out) = refused.is_due(&error.to_string()) {
                    tracing::warn!("can't accept control connections, tried each second: {error}{left_out}");
                }
                tokio::time::sleep(SIGN_OF_LIFE).await;
                continue;
            }
        };
        let (queries, startup) = (queries.clone(), Arc::clone(&startup));
        let place = connections.enter();
        tokio::spawn(async move {
            let has_place = place.is_some();
            let client = Client::new(stream, place, &startup);
            let served = if !has_place {
                client.refuse("too many clients on the control socket: try again later").await
            } else if client.may == May::Nothing {
                client.turn_away(&startup).await
            } else {
                client.serve(&queries, &startup).await
            };
            if let Err(error) = served {
                tracing::debug!("a control connection ended early: {error}");
            }
        });
    }
}

/// A connection and its one request.
pub(super) struct Client {
    peer: io::Result<Peer>,
    may: May,
    from: BufReader<OwnedReadHalf>,
    to: OwnedWriteHalf,
    /// When the client was last sent anything.
    told: Instant,
    /// Whether the thread that decides lives.
    pulse: Arc<Pulse>,
    /// None: it is refused.
    place: Option<Connection>,
}

/// What became of the wait for a request.
enum Asked {
    Line(io::Result<Option<Vec<u8>>>),
    /// No line came in time.
    Nothing,
    /// Another client has the place.
    Displaced,
}

impl Client {
    fn new(stream: UnixStream, place: Option<Connection>, startup: &Startup) -> Self {
        let peer = Peer::of(stream.as_fd());
        let may = startup.admission().may(&peer);
        let (from, to) = stream.into_split();
        let from = BufReader::new(from);
        Self { peer, may, from, to, told: Instant::now(), pulse: startup.pulse(), place }
    }

    /// What the client may ask for.
    pub(super) const fn may(&self) -> May {
        self.may
    }

    async fn serve(mut self, queries: &mpsc::Sender<Query>, startup: &Startup) -> io::Result<()> {
        let line = match self.wait_for_request().await {
            Asked::Line(line) => line?,
            Asked::Nothing => return self.refuse("no request came in time").await,
            Asked::Displaced => {
                return self.refuse("no request came, and others were waiting for this place").await;
            }
        };
        let Some(line) = line else {
            return self.refuse(&format!("a request is one line of at most {LONGEST_REQUEST} octets")).await;
        };
        match Request::read(&line) {
            Ok(request) if request.takes_change() && self.may != May::Change => {
                self.turn_away_change(&request, startup).await
            }
            Ok(request) => {
                self.log(&request);
                match startup.status().filter(|_| request == Request::Status) {
                    Some(status) => self.starting(status).await,
                    None => self.answer(request, queries).await,
                }
            }
            Err(why) => self.refuse(&why).await,
        }
    }

    /// The first line, which has its time; where others wait for the place that time may be short.
    async fn wait_for_request(&mut self) -> Asked {
        match within(&mut self.place, read_line(&mut self.from)).await {
            Waited::Done(line) => Asked::Line(line),
            Waited::TooLong => Asked::Nothing,
            Waited::Displaced => Asked::Displaced,
        }
    }

    /// The client follows from now on; false if as many do as may.
    pub(super) fn follows(&self) -> bool {
        self.place.as_ref().is_none_or(Connection::follow)
    }

    /// Looks whether a follower has read what it was sent so far: what the system holds for it is no sign of that.
    pub(super) fn note_reading(&self) {
        let mut unread: libc::c_int = 0;
        let socket = self.to.as_ref().as_raw_fd();
        // SAFETY: the kernel writes one integer, which outlives the call.
        let is_known = unsafe { libc::ioctl(socket, libc::TIOCOUTQ, &raw mut unread) } == 0;
        if let Some(place) = self.place.as_ref().filter(|_| is_known && unread == 0) {
            place.has_read();
        }
    }

    /// The place among others, and where what it sends is read.
    pub(super) const fn waited_for(&mut self) -> (&mut Option<Connection>, &mut BufReader<OwnedReadHalf>) {
        (&mut self.place, &mut self.from)
    }

    fn log(&self, request: &Request) {
        let (uid, pid) = self.who();
        if request.changes() {
            tracing::info!(?uid, ?pid, ?request, "operator's request");
        } else {
            tracing::debug!(?uid, ?pid, ?request, "operator's request");
        }
    }

    fn who(&self) -> (Option<u32>, Option<i32>) {
        match &self.peer {
            Ok(peer) => (Some(peer.uid), Some(peer.pid)),
            Err(_) => (None, None),
        }
    }

    /// Refuses a user who may ask for nothing.
    async fn turn_away(mut self, startup: &Startup) -> io::Result<()> {
        let (uid, pid) = self.who();
        if startup.admission().is_told() {
            tracing::warn!(
                ?uid,
                ?pid,
                "refused on the control socket: in neither control-group nor control-read-group"
            );
        }
        // What he asks for is of no interest, but for him to hear the answer his request must have gone.
        let _ = self.wait_for_request().await;
        self.end(Outcome::No(
            "you are in neither group that may use this daemon (control-group, control-read-group)".into(),
        ))
        .await
    }

    /// Refuses a change to a user who may only read.
    async fn turn_away_change(mut self, request: &Request, startup: &Startup) -> io::Result<()> {
        let (uid, pid) = self.who();
        if startup.admission().is_told() {
            tracing::warn!(?uid, ?pid, ?request, "refused on the control socket: it is for control-group");
        }
        self.end(Outcome::No("you may read only: this is for root and the group of control-group".into()))
            .await
    }

    /// The daemon doesn't serve yet, and says so itself only when it does.
    async fn starting(&mut self, status: Status) -> io::Result<()> {
        self.items([status]).await?;
        self.end(Outcome::No("it is starting: the kernel answers renewals meanwhile".to_owned())).await
    }

    /// How a request ends when the thread that decides stands still. A sign of life must come from the one that must live.
    pub(super) fn stuck(&self) -> Option<Outcome> {
        let late = self.pulse.late();
        (late >= STUCK).then(|| {
            Outcome::Stuck(format!(
                "the daemon stands still: for {} s its deciding thread has been at: {}. No new lease is granted; the kernel \
                 goes on answering renewals. If it lasts the daemon ends by itself",
                late.as_secs(),
                self.pulse.stage().name()
            ))
        })
    }

    /// Puts a query to the decision loop and waits for its answer, or for how the request ends without one.
    pub(super) async fn ask<T>(
        &mut self,
        queries: &mpsc::Sender<Query>,
        query: impl FnOnce(Reply<T>) -> Query,
    ) -> io::Result<Result<T, Outcome>> {
        let (reply, mut answer) = Reply::channel();
        let gone = || Err(Outcome::Refused("this daemon doesn't answer that, or is ending".to_owned()));
        let mut sending = std::pin::pin!(queries.send(query(reply)));
        let mut sent = false;
        // The last pages may have been empty.
        let mut signs = interval_at(self.told.checked_add(SIGN_OF_LIFE).unwrap_or(self.told), SIGN_OF_LIFE);
        signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = signs.tick() => {
                    if let Some(stuck) = self.stuck() {
                        return Ok(Err(stuck));
                    }
                    self.send(b"\n").await?;
                }
                put = &mut sending, if !sent => match put {
                    Ok(()) => sent = true,
                    Err(_) => return Ok(gone()),
                },
                answer = &mut answer, if sent => return Ok(match answer {
                    Ok(Ok(answer)) => Ok(answer),
                    Ok(Err(No(why))) => Err(Outcome::No(why)),
                    Err(_) => gone(),
                }),
            }
        }
    }

    pub(super) async fn items<T: Serialize>(
        &mut self,
        items: impl IntoIterator<Item = T>,
    ) -> io::Result<Outcome> {
        let mut lines = Vec::new();
        for item in items {
            push_line(&mut lines, &Line::Item(item))?;
        }
        if !lines.is_empty() {
            self.send(&lines).await?;
        }
        Ok(Outcome::Done)
    }

    async fn refuse(mut self, why: &str) -> io::Result<()> {
        self.end(Outcome::Refused(why.to_owned())).await
    }

    pub(super) async fn end(&mut self, outcome: Outcome) -> io::Result<()> {
        let mut line = Vec::new();
        push_line(&mut line, &Line::<()>::End(outcome))?;
        self.send(&line).await?;
        self.to.shutdown().await
    }

    pub(super) async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.told = Instant::now();
        match within(&mut self.place, self.to.write_all(octets)).await {
            Waited::Done(sent) => sent,
            Waited::TooLong => Err(io::Error::new(io::ErrorKind::TimedOut, "the client doesn't read")),
            Waited::Displaced => {
                let why = "the client doesn't read, and others were waiting for its place";
                Err(io::Error::new(io::ErrorKind::TimedOut, why))
            }
        }
    }
}

/// What became of a wait for the client.
pub(super) enum Waited<T> {
    Done(T),
    /// It took too long.
    TooLong,
    /// Another client has the place.
    Displaced,
}

/// Waits for what the client is to do, which has its time; where others wait for the place that time may be short.
pub(super) async fn within<T>(place: &mut Option<Connection>, done: impl Future<Output = T>) -> Waited<T> {
    let Some(place) = place else {
        return timeout(PATIENCE, done).await.map_or(Waited::TooLong, Waited::Done);
    };
    place.is_waited_for();
    let waited = tokio::select! {
        biased;
        done = timeout(PATIENCE, done) => done.map_or(Waited::TooLong, Waited::Done),
        () = place.lost() => Waited::Displaced,
    };
    place.waits();
    waited
}

/// A line of at most so many octets, its end included; empty at the end.
pub(super) async fn line_of(most: usize, from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    from.take(most as u64).read_until(b'\n', &mut line).await?;
    Ok(line)
}

/// The request's line; none if it is too long, or doesn't end.
pub(super) async fn read_line(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let line = line_of(LONGEST_REQUEST, from).await?;
    Ok(line.ends_with(b"\n").then_some(line))
}

fn push_line<T: Serialize>(lines: &mut Vec<u8>, line: &Line<T>) -> io::Result<()> {
    serde_json::to_writer(&mut *lines, line)?;
    lines.push(b'\n');
    Ok(())
}
