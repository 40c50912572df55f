//! The answer to each request: its items, asked of the decision loop one or a page at a time.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde::Serialize;
use tokio::io::AsyncBufRead;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::time::interval;

use super::capture::CaptureStream;
use super::filter::LeaseFilter;
use super::peer::May;
use super::portable::Portable;
use super::query::{Export, Page, Query, Reply, ReservationEdit};
use super::report::Audit;
use super::request::{Outcome, Request};
use super::server::{Client, SIGN_OF_LIFE, Waited, line_of, within};
use super::verbs::Hello;
use crate::capture::{CaptureEvent, Filter, Item};
use crate::config::Prefix;
use crate::store::QuarantineCause;

/// The longest line of a lease to be imported, in octets: identifiers of 255 octets and all that a relay can say.
pub const LONGEST_LEASE: usize = 16 * 1024;
/// How many leases are asked of the decision loop, or brought to it, at a time.
pub(super) const PAGE: usize = 256;
/// How many addresses are audited at a time, those included that nobody has: a millisecond's work or two.
const AUDITED: usize = 2048;

impl Client {
    pub(super) async fn answer(&mut self, request: Request, queries: &mpsc::Sender<Query>) -> io::Result<()> {
        let outcome = match request {
            Request::Hello => {
                let access = if self.may() == May::Change { "change" } else { "read" };
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
            Request::Events { follow: true, .. } | Request::Capture { .. } if !self.follows() => {
                Outcome::No("as many clients follow events or capture as may: end one of them".to_owned())
            }
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
            let (place, from) = self.waited_for();
            let part = match within(place, read_part(from)).await {
                Waited::Done(part) => part?,
                Waited::TooLong => return Ok(Outcome::Refused("no leases came in time".to_owned())),
                Waited::Displaced => {
                    let why = "no leases came, and others were waiting for this place";
                    return Ok(Outcome::Refused(why.to_owned()));
                }
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
                    self.note_reading();
                    self.send(b"\n").await?;
                }
            }
        }
    }
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
