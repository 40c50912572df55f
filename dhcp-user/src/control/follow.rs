//! Followers of events: from where they stopped, without a gap or a repetition, then as events happen.

use std::io;

use serde_json::value::RawValue;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::interval;

use super::query::Happening;
use super::request::Outcome;
use super::server::{Client, SIGN_OF_LIFE};
use crate::events::EventRecord;
use crate::events::{Cursor, Reader};

impl Client {
    /// The events after a number, and those to come.
    pub(super) async fn happening(
        &mut self,
        happening: Happening,
        since: Option<u64>,
        follow: bool,
    ) -> io::Result<Outcome> {
        let Happening { events, log } = happening;
        let Some((reader, last)) = log else {
            if since.is_some() {
                let why = "no events are kept: set `event-log` in [server] to a size, and restart";
                return Ok(Outcome::No(why.to_owned()));
            }
            return self.follow(events).await;
        };
        let mut reached = Cursor::after(since.unwrap_or(last));
        if reached.reached > last {
            return Ok(Outcome::No(format!(
                "the event log comes to number {last}: {} is of another log",
                reached.reached
            )));
        }
        if since.is_some()
            && let Some(ended) = self.catch_up(&reader, &mut reached).await?
        {
            return Ok(ended);
        }
        if follow { self.follow_log(events, &reader, reached).await } else { Ok(Outcome::Done) }
    }

    /// Sends all that the log has so far; returns the end of the request, if it can't go on.
    async fn catch_up(&mut self, reader: &Reader, reached: &mut Cursor) -> io::Result<Option<Outcome>> {
        loop {
            let page = match reader.page(*reached).await {
                Ok(page) => page,
                Err(why) => return Ok(Some(Outcome::No(why))),
            };
            if page.missing > 0 {
                self.items([missed(page.missing, "are not kept any more")]).await?;
            }
            *reached = page.next;
            if page.lines.is_empty() {
                return Ok(None);
            }
            let lines: Vec<Box<RawValue>> =
                page.lines.into_iter().filter_map(|line| RawValue::from_string(line).ok()).collect();
            self.items(lines).await?;
        }
    }

    /// Sends events as they happen, until the client leaves or the daemon ends. Events that came faster than the
    /// client read are read from the log.
    async fn follow_log(
        &mut self,
        mut events: broadcast::Receiver<EventRecord>,
        reader: &Reader,
        mut reached: Cursor,
    ) -> io::Result<Outcome> {
        let mut signs = interval(SIGN_OF_LIFE);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Ok(event) => match event.number {
                        Some(number) if number <= reached.reached => {}
                        Some(number) => {
                            reached = Cursor::after(number);
                            self.items([event]).await?;
                        }
                        None => drop(self.items([event]).await?),
                    },
                    Err(RecvError::Lagged(_)) => {
                        if let Some(ended) = self.catch_up(reader, &mut reached).await? {
                            return Ok(ended);
                        }
                    }
                    Err(RecvError::Closed) => return Ok(Outcome::Done),
                },
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

    /// The same without a log: events that came faster than the client read are lost to it.
    async fn follow(&mut self, mut events: broadcast::Receiver<EventRecord>) -> io::Result<Outcome> {
        let mut signs = interval(SIGN_OF_LIFE);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Ok(event) => drop(self.items([event]).await?),
                    Err(RecvError::Lagged(count)) => {
                        self.items([missed(count, "came faster than they were read")]).await?;
                    },
                    Err(RecvError::Closed) => return Ok(Outcome::Done),
                },
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

/// The record in place of events that can't be sent.
fn missed(count: u64, why: &str) -> EventRecord {
    EventRecord {
        count: Some(count),
        detail: Some(format!("{count} events {why}")),
        ..EventRecord::now("missed")
    }
}
