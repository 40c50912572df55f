//! The daemon's HTTP service (`metrics-listen`): metrics for Prometheus, the same under the names of Stork's
//! dashboard for Kea, and a page.
//!
//! Owns the listening socket and a thread's runtime. It asks the deciding thread by queries, one at a time, as an
//! operator does, and changes nothing. Invariant: no connection holds up anybody else; each takes bounded memory, and
//! is answered, refused or closed, and counted.
//!
//! ```text
//! snapshot.rs   all figures at one moment, shared by all who ask within a moment
//! families.rs   the metrics: name, type, labels, where the value comes from
//! kea.rs        the same under Kea's names
//! kea_api.rs    the read commands of Kea's API, on a listener of their own (`kea-api-listen`)
//! page.html     the page;  live.rs  what it is told as it happens;  samples.rs  the last hour;  search.rs  its search
//! host.rs       whom a browser may take us for
//! patience.rs   a connection that takes nothing is given up
//! site.rs       what all connections share
//! http.rs       which path is what
//! listener.rs   connections, and how many
//! reference.rs  the part of docs/metrics.md that lists all metrics
//! ```

// What comes over the socket is for whoever wrote it to get right, and never ends the daemon.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod families;
mod host;
mod http;
mod kea;
mod kea_api;
mod listener;
mod live;
mod patience;
mod reference;
mod samples;
mod search;
mod site;
mod snapshot;

pub use listener::{bind, serve, serve_kea_api};
pub use reference::with_metrics;
