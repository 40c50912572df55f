//! The daemon's end of the control socket.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout};

use super::capture::CaptureStream;
use super::crowd::Place;
use super::filter::LeaseFilter;
use super::peer::{May, Peer};
use super::portable::Portable;
use super::query::{Export, No, Page, Query, Reply, ReservationEdit};
use super::report::{Audit, Status};
use super::request::{Line, Outcome, Request};
use super::startup::Startup;
use super::verbs::Hello;
use crate::capture::{CaptureEvent, Filter, Item};
use crate::config::Prefix;
use crate::pulse::Pulse;
use crate::store::QuarantineCause;

/// The longest request, in octets.
const LONGEST_REQUEST: usize = 4096;
/// The longest line of a lease to be imported, in octets: identifiers of 255 octets and all that a relay can say.
pub const LONGEST_LEASE: usize = 16 * 1024;
/// How long a client may take to send its request, or to take in a part of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a client that waits for an answer gets a sign of life.
pub(super) const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// Without a beat for so long, the thread that decides stands still.
const STUCK: Duration = Duration::from_secs(3);
/// How many leases are asked of the decision loop, or brought to it, at a time.
pub(super) const PAGE: usize = 256;
/// How many addresses are audited at a time, those included that nobody has: a millisecond's work or two.
const AUDITED: usize = 2048;

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
    let listener = UnixListener::from_std(listener)?;
    let crowd = startup.crowd();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = queries.closed() => return Ok(()),
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: they come back, and accepting at once would only spin.
                tracing::warn!("can't accept a control connection: {error}");
                tokio::time::sleep(SIGN_OF_LIFE).await;
                continue;
            }
        };
        let (queries, startup) = (queries.clone(), Arc::clone(&startup));
        let place = crowd.enter();
        tokio::spawn(async move {
            let client = Client::new(stream, &startup);
            let served = match place {
                None => client.refuse("too many clients on the control socket: try again later").await,
                Some(place) if client.may == May::Nothing => client.turn_away(place, &startup).await,
                Some(place) => client.serve(place, &queries, &startup).await,
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
    fn new(stream: UnixStream, startup: &Startup) -> Self {
        let peer = Peer::of(stream.as_fd());
        let may = startup.admission().may(&peer);
        let (from, to) = stream.into_split();
        Self { peer, may, from: BufReader::new(from), to, told: Instant::now(), pulse: startup.pulse() }
    }

    async fn serve(
        mut self,
        mut place: Place,
        queries: &mpsc::Sender<Query>,
        startup: &Startup,
    ) -> io::Result<()> {
        let line = match self.wait_for_request(&mut place).await {
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
    async fn wait_for_request(&mut self, place: &mut Place) -> Asked {
        tokio::select! {
            biased;
            line = timeout(PATIENCE, read_line(&mut self.from)) => {
                place.keep();
                line.map_or(Asked::Nothing, Asked::Line)
            }
            () = place.lost() => Asked::Displaced,
        }
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
    async fn turn_away(mut self, mut place: Place, startup: &Startup) -> io::Result<()> {
        let (uid, pid) = self.who();
        if startup.admission().is_told() {
            tracing::warn!(
                ?uid,
                ?pid,
                "refused on the control socket: in neither control-group nor control-read-group"
            );
        }
        // What he asks for is of no interest, but for him to hear the answer his request must have gone.
        let _ = self.wait_for_request(&mut place).await;
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

    async fn answer(&mut self, request: Request, queries: &mpsc::Sender<Query>) -> io::Result<()> {
        let outcome = match request {
            Request::Hello => {
                let access = if self.may == May::Change { "change" } else { "read" };
                self.items([Hello::to(access)]).await?
            }
            Request::Status => self.one(queries, Query::Status).await?,
            Request::Stats => self.one(queries, Query::Stats).await?,
            Request::Figures => self.one(queries, Query::Figures).await?,
            Request::Pools => self.list(queries, Query::Pools).await?,
            Request::Leases { filter } => self.leases(queries, filter).await?,
            Request::LeaseShow { address } => {
                self.one(queries, |reply| Query::LeaseShow(address, reply)).await?
            }
            Request::LeaseRelease { address, now } => {
                self.one(queries, |reply| Query::LeaseRelease { address, now, reply }).await?
            }
            Request::Audit => self.audit(queries).await?,
            Request::Orphans => {
                self.pages(queries, |after, reply| Query::Orphans { after, most: PAGE, reply }).await?
            }
            Request::Quarantine => self.list(queries, Query::Quarantine).await?,
            Request::QuarantineClear { address, len, why } => {
                let why = why.map(QuarantineCause::from);
                match Prefix::of(address, len) {
                    Some(prefix) => {
                        self.one(queries, |reply| Query::QuarantineClear { prefix, why, reply }).await?
                    }
                    None => Outcome::Refused(format!("{address}/{len} is no prefix")),
                }
            }
            Request::Explain { client } => self.one(queries, |reply| Query::Explain(client, reply)).await?,
            Request::Events { since, follow } => match self.ask(queries, Query::Events).await? {
                Ok(happening) => self.happening(happening, since, follow).await?,
                Err(outcome) => outcome,
            },
            Request::Capture { filter } => match self.ask(queries, Query::Capture).await? {
                Ok(frames) => self.capture(&filter, frames).await?,
                Err(outcome) => outcome,
            },
            Request::Export => self.export(queries).await?,
            Request::Import => self.import(queries).await?,
            Request::ReservationList => self.list(queries, Query::ReservationList).await?,
            Request::ReservationAdd { reservation } => {
                let edit = ReservationEdit::Add(reservation);
                self.one(queries, |reply| Query::ReservationEdit(edit, reply)).await?
            }
            Request::ReservationRemove { client, subnet } => {
                let edit = ReservationEdit::Remove { client, subnet };
                self.one(queries, |reply| Query::ReservationEdit(edit, reply)).await?
            }
            Request::Reload => self.one(queries, Query::Reload).await?,
        };
        self.end(outcome).await
    }

    /// An answer of one item.
    async fn one<T: Serialize>(
        &mut self,
        queries: &mpsc::Sender<Query>,
        query: impl FnOnce(Reply<T>) -> Query,
    ) -> io::Result<Outcome> {
        match self.ask(queries, query).await? {
            Ok(item) => self.items([item]).await,
            Err(outcome) => Ok(outcome),
        }
    }

    /// An answer of items that come at once.
    async fn list<T: Serialize>(
        &mut self,
        queries: &mpsc::Sender<Query>,
        query: impl FnOnce(Reply<Vec<T>>) -> Query,
    ) -> io::Result<Outcome> {
        match self.ask(queries, query).await? {
            Ok(items) => self.items(items).await,
            Err(outcome) => Ok(outcome),
        }
    }

    /// Items page by page: the next is asked for when the client has taken in the last.
    async fn pages<T: Serialize>(
        &mut self,
        queries: &mpsc::Sender<Query>,
        query: impl Fn(Option<Ipv4Addr>, Reply<Page<T>>) -> Query,
    ) -> io::Result<Outcome> {
        let mut after = None;
        loop {
            match self.ask(queries, |reply| query(after, reply)).await? {
                Ok(page) => {
                    self.items(page.items).await?;
                    after = page.next;
                }
                Err(outcome) => return Ok(outcome),
            }
            if after.is_none() {
                return Ok(Outcome::Done);
            }
        }
    }

    /// Leases page by page, until as many have gone out as were asked for.
    async fn leases(&mut self, queries: &mpsc::Sender<Query>, filter: LeaseFilter) -> io::Result<Outcome> {
        let mut left = filter.limit.unwrap_or(u64::MAX);
        let filter = Arc::new(filter);
        let mut after = None;
        while left > 0 {
            let query = |reply| Query::Leases { after, most: PAGE, filter: Arc::clone(&filter), reply };
            match self.ask(queries, query).await? {
                Ok(page) => {
                    let most = usize::try_from(left).unwrap_or(usize::MAX);
                    left = left.saturating_sub(page.items.len() as u64);
                    self.items(page.items.into_iter().take(most)).await?;
                    after = page.next;
                }
                Err(outcome) => return Ok(outcome),
            }
            if after.is_none() {
                break;
            }
        }
        Ok(Outcome::Done)
    }

    /// The differences, found page by page, so that no packet waits for all of them.
    async fn audit(&mut self, queries: &mpsc::Sender<Query>) -> io::Result<Outcome> {
        let mut findings = Vec::new();
        let mut after = None;
        loop {
            match self.ask(queries, |reply| Query::Audit { after, most: AUDITED, reply }).await? {
                Ok(page) => {
                    findings.extend(page.items);
                    after = page.next;
                }
                Err(outcome) => return Ok(outcome),
            }
            if after.is_none() {
                return self.items([Audit { consistent: findings.is_empty(), findings }]).await;
            }
        }
    }

    /// The leases for another server, page by page. The export is under way for as long as it is held here.
    async fn export(&mut self, queries: &mpsc::Sender<Query>) -> io::Result<Outcome> {
        let export = Arc::new(Export::default());
        loop {
            let page = |reply| Query::Export { export: Arc::clone(&export), most: PAGE, reply };
            match self.ask(queries, page).await? {
                Ok((items, more)) => {
                    self.items(items).await?;
                    if !more {
                        return Ok(Outcome::Done);
                    }
                }
                Err(outcome) => return Ok(outcome),
            }
        }
    }

    /// Leases of another server, part by part, until the client has no more.
    async fn import(&mut self, queries: &mpsc::Sender<Query>) -> io::Result<Outcome> {
        loop {
            let part = match timeout(PATIENCE, read_part(&mut self.from)).await {
                Ok(part) => part?,
                Err(_) => return Ok(Outcome::Refused("no leases came in time".to_owned())),
            };
            match part {
                Ok(leases) if leases.is_empty() => return Ok(Outcome::Done),
                Ok(leases) => match self.ask(queries, |reply| Query::Import(leases, reply)).await? {
                    Ok(imported) => self.items([imported]).await?,
                    Err(outcome) => return Ok(outcome),
                },
                Err(why) => return Ok(Outcome::Refused(why)),
            };
        }
    }

    /// Frames as they come and leave, until the client leaves or the daemon ends.
    async fn capture(
        &mut self,
        filter: &Filter,
        mut frames: broadcast::Receiver<CaptureEvent>,
    ) -> io::Result<Outcome> {
        let mut signs = interval(SIGN_OF_LIFE);
        let mut telling = CaptureStream::of(filter);
        loop {
            tokio::select! {
                told = frames.recv() => {
                    let item = match told {
                        Ok(told) => telling.item(told),
                        Err(RecvError::Lagged(missed)) => Some(Item::Missed(missed)),
                        Err(RecvError::Closed) => return Ok(Outcome::Done),
                    };
                    if let Some(item) = item {
                        self.items([item]).await?;
                    }
                }
                _ = signs.tick() => {
                    if let Some(stuck) = self.stuck() {
                        return Ok(stuck);
                    }
                    self.send(b"\n").await?;
                }
            }
        }
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
    async fn ask<T>(
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

    async fn end(&mut self, outcome: Outcome) -> io::Result<()> {
        let mut line = Vec::new();
        push_line(&mut line, &Line::<()>::End(outcome))?;
        self.send(&line).await?;
        self.to.shutdown().await
    }

    pub(super) async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.told = Instant::now();
        match timeout(PATIENCE, self.to.write_all(octets)).await {
            Ok(sent) => sent,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client doesn't read")),
        }
    }
}

/// A line of at most so many octets, its end included; empty at the end.
async fn line_of(most: usize, from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    from.take(most as u64).read_until(b'\n', &mut line).await?;
    Ok(line)
}

/// The request's line; none if it is too long, or doesn't end.
pub(super) async fn read_line(from: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let line = line_of(LONGEST_REQUEST, from).await?;
    Ok(line.ends_with(b"\n").then_some(line))
}

/// Leases up to an empty line; none at the end.
pub(super) async fn read_part(
    from: &mut (impl AsyncBufRead + Unpin),
) -> io::Result<Result<Vec<Portable>, String>> {
    let mut leases = Vec::new();
    loop {
        let line = line_of(LONGEST_LEASE, from).await?;
        if line.is_empty() && leases.is_empty() || line == b"\n" {
            return Ok(Ok(leases));
        }
        if !line.ends_with(b"\n") {
            return Ok(Err(format!("a lease is a line of at most {LONGEST_LEASE} octets")));
        }
        match serde_json::from_slice(&line) {
            Ok(lease) if leases.len() < PAGE => leases.push(lease),
            Ok(_) => return Ok(Err(format!("an empty line is due after {PAGE} leases"))),
            Err(error) => return Ok(Err(format!("this daemon doesn't know the lease: {error}"))),
        }
    }
}

fn push_line<T: Serialize>(lines: &mut Vec<u8>, line: &Line<T>) -> io::Result<()> {
    serde_json::to_writer(&mut *lines, line)?;
    lines.push(b'\n');
    Ok(())
}
