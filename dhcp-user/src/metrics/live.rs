//! Live updates of an open page: figures each two seconds, and events (server-sent events).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde::Serialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::samples::Sample;
use super::site::Site;
use crate::control::{PoolCounts, Query, Status};
use crate::events::EventRecord;

/// How often figures are sent.
const FIGURES: Duration = Duration::from_secs(2);
/// How often it is looked for events. Nobody is woken for each of them, however many there are.
const LOOK: Duration = Duration::from_millis(250);
/// So many events are sent at a time; beyond that only a note that there were more.
const EVENTS: usize = 50;
/// How many pools are sent: the fullest.
const POOLS: usize = 100;
/// The most lines that wait for a slow page.
const WAITING: usize = 16;

/// The lines for a page, as they come.
#[derive(Debug)]
pub(super) struct Lines(mpsc::Receiver<Bytes>);

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.get_mut().0.poll_recv(context).map(|octets| octets.map(|octets| Ok(Frame::data(octets))))
    }
}

/// The figures that a page shows.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Figures<'a> {
    status: &'a Status,
    pools: Vec<&'a PoolCounts>,
    more_pools: usize,
    quarantined: u64,
    sample: Sample,
}

/// Begins to send to a page; `place` is kept for as long as it listens.
pub(super) fn begin(site: Arc<Site>, place: OwnedSemaphorePermit) -> Lines {
    let (to, lines) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        tell(&site, &to).await;
        drop(place);
    });
    Lines(lines)
}

/// Tells until nobody listens: then what is sent comes back.
async fn tell(site: &Site, to: &mpsc::Sender<Bytes>) -> Option<()> {
    let mut events = site.source.ask(Query::Events).await.ok().map(|happening| happening.events);
    send(to, "history", &site.samples()).await?;
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next = Instant::now();
    loop {
        look.tick().await;
        for event in events.as_mut().map(happened).unwrap_or_default() {
            send(to, "happened", &event).await?;
        }
        if Instant::now() < next {
            continue;
        }
        next = Instant::now() + FIGURES;
        match site.source.snapshot(site.served()).await {
            Ok(snapshot) => {
                let measured = &snapshot.measured;
                let mut pools: Vec<&PoolCounts> = measured.pools.iter().collect();
                let left = |pool: &&PoolCounts| u64::from(pool.free) * 1000 / u64::from(pool.size.max(1));
                pools.sort_by_key(left);
                let more_pools = pools.len().saturating_sub(POOLS);
                pools.truncate(POOLS);
                let (quarantined, sample) = (measured.quarantined, Sample::of(&snapshot));
                let status = &measured.status;
                send(to, "figures", &Figures { status, pools, more_pools, quarantined, sample }).await?;
            }
            Err(why) => send(to, "silent", &why).await?,
        }
    }
}

/// The events since the last call.
fn happened(events: &mut Receiver<EventRecord>) -> Vec<EventRecord> {
    let mut told = Vec::new();
    let mut missed = 0;
    loop {
        match events.try_recv() {
            Ok(event) if told.len() < EVENTS => told.push(event),
            Ok(_) => missed += 1,
            Err(TryRecvError::Lagged(more)) => missed += more,
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
    if missed > 0 {
        let detail = Some(format!("{missed} more events than can be shown"));
        told.push(EventRecord { count: Some(missed), detail, ..EventRecord::now("missed") });
    }
    told
}

/// Sends a message of this kind. JSON has no line breaks of its own, so it is one line.
async fn send(to: &mpsc::Sender<Bytes>, kind: &str, what: &impl Serialize) -> Option<()> {
    let data = serde_json::to_string(what).ok()?;
    to.send(Bytes::from(format!("event: {kind}\ndata: {data}\n\n"))).await.ok()
}
