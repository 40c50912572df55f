//! A thread of its own reads all interfaces, when netlink reports a change and now and then in any case.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::super::process::beside::{Backoff, Beside};
use super::{tagged, transmission};
use crate::datapath;
use crate::datapath::frames::watch::watched;
use crate::datapath::interfaces::netlink::{self, Changes, LinkState, Namespace};
use crate::waiting::Waiting;

/// Changes come in bursts: the outcome is looked at when one is over.
const SETTLED: Duration = Duration::from_millis(50);
/// The time until interfaces are read without any report.
const NOW_AND_THEN: Duration = Duration::from_secs(20);

/// The names of drivers, by the index of the interface.
pub(in crate::server) type Drivers = BTreeMap<u32, String>;

/// All interfaces at one moment, or why they can't be looked at.
pub(in crate::server) type Look = Result<Found, String>;

/// All interfaces at one moment.
pub(in crate::server) struct Found {
    /// When this look began.
    pub(super) began: Instant,
    pub(super) here: Namespace,
    /// The drivers' counts of frames that programs on them sent, by interface.
    pub(super) counts: transmission::Counted,
    pub(super) drivers: Drivers,
    /// The offloads by which drivers take tags off before the program, by interface.
    pub(super) tag_takers: tagged::TagTakers,
    /// Indices of those that have just been moved into another network namespace.
    pub(super) moved: Vec<u32>,
}

/// Begins to look at all interfaces, whenever something has changed and now and then.
///
/// # Errors
/// When changes can't be listened for, or there can be no thread.
pub(in crate::server) fn watch(beside: &Beside, found: mpsc::Sender<Look>, waiting: Waiting) -> Result<()> {
    let changes = Changes::listen().context("listening for changes of interfaces")?;
    beside.runtime("links", move || look(changes, found, waiting))
}

/// Reads all interfaces as long as the server runs. Each second it also reads the drivers' counts of the program's
/// answers, and whether the interfaces are as they were: nothing reports that a program was taken off. It asks the
/// kernel and drivers itself, and nobody waits for it; `waiting` tells since when it waits for them.
async fn look(changes: Changes, found: mpsc::Sender<Look>, waiting: Waiting) -> io::Result<()> {
    let changes = watched(changes)?;
    let mut moved = Vec::new();
    let mut asked = BTreeMap::new();
    let mut backoff = Backoff::new();
    loop {
        let asked_all = waiting.begin();
        moved.extend(changes.get_ref().take().unwrap_or_default());
        let began = Instant::now();
        let here = match netlink::namespace() {
            Ok(here) => here,
            Err(error) => {
                drop(asked_all);
                if found.send(Err(format!("{error:#}"))).await.is_err() {
                    return Ok(());
                }
                sleep(backoff.next()).await;
                continue;
            }
        };
        backoff = Backoff::new();
        let native = transmission::native(&here.links);
        let counts = transmission::counted(&native);
        let drivers = drivers(&here.links, &mut asked);
        let tag_takers = tagged::tag_takers(&here.links);
        // What has changed while it looked may be in what was found, or not.
        let more = changes.get_ref().take();
        drop(asked_all);
        let is_over = more.is_none();
        moved.extend(more.unwrap_or_default());
        let moved = std::mem::take(&mut moved);
        let look = Found {
            began,
            here: here.clone(),
            counts: counts.clone(),
            drivers,
            tag_takers: tag_takers.clone(),
            moved,
        };
        if found.send(Ok(look)).await.is_err() {
            return Ok(());
        }
        if !is_over {
            sleep(SETTLED).await;
            continue;
        }
        let looked = Instant::now();
        while looked.elapsed() < NOW_AND_THEN {
            match timeout(transmission::LOOK, changes.readable()).await {
                Ok(Ok(mut guard)) => {
                    sleep(SETTLED).await;
                    guard.clear_ready();
                    break;
                }
                // Without being told it looks now and then.
                Ok(Err(_)) => sleep(transmission::LOOK).await,
                Err(_) => {}
            }
            let asked_again = waiting.begin();
            let is_as_it_was = transmission::counted(&native) == counts
                && netlink::namespace().is_ok_and(|now| now == here)
                && tagged::tag_takers(&here.links) == tag_takers;
            drop(asked_again);
            if !is_as_it_was {
                break;
            }
        }
    }
}

/// The drivers of `links`, each of which is asked once.
fn drivers(links: &[LinkState], asked: &mut BTreeMap<(u32, String), Option<String>>) -> Drivers {
    let known = std::mem::take(asked);
    *asked = links
        .iter()
        .map(|link| {
            let which = (link.facts.ifindex, link.facts.name.clone());
            let driver = known.get(&which).cloned();
            let driver = driver.unwrap_or_else(|| datapath::program::transmission::driver(&which.1).ok());
            (which, driver)
        })
        .collect();
    asked.iter().filter_map(|((ifindex, _), driver)| Some((*ifindex, driver.clone()?))).collect()
}
