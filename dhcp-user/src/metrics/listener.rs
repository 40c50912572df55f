//! Connections, and their limit: a connection beyond it, or one that takes too long, is refused or closed, and
//! counted.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use super::http;
use super::kea_api;
use super::patience::Patient;
use super::site::{Outcome, Site};
use super::snapshot::Source;
use crate::control::Query;
use crate::logging::Seldom;
use crate::pulse::Pulse;

/// How many connections are served at a time, and how many more get a refusal.
const MOST: usize = 32;
const MOST_REFUSED: usize = 32;
/// How long a client may take to send a request's head, or to take in a part of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection lasts at most, even if it is busy; and one with a page's live updates.
const LIFE: Duration = Duration::from_secs(60);
const LIFE_OF_A_PAGE: Duration = Duration::from_secs(60 * 60);
/// How long who is refused may take to hear of it.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long until connections are accepted again after that failed.
const AGAIN: Duration = Duration::from_secs(1);
/// The most octets of a request's head.
const HEAD: usize = 16 * 1024;
const HEADERS: usize = 64;

const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Retry-After: 1\r\nConnection: close\r\nContent-Length: 21\r\n\r\ntoo many connections\n";

/// Begins to listen.
///
/// # Errors
/// When the address can't be used.
pub fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves connections, until nobody takes queries any more.
///
/// # Errors
/// When the listener can't be waited for.
pub async fn serve(listener: StdListener, queries: mpsc::Sender<Query>, pulse: Arc<Pulse>) -> io::Result<()> {
    accept(listener, queries, pulse, Service::Metrics).await
}

/// The same with the read commands of Kea's API instead of metrics.
///
/// # Errors
/// As [`serve`].
pub async fn serve_kea_api(
    listener: StdListener,
    queries: mpsc::Sender<Query>,
    pulse: Arc<Pulse>,
) -> io::Result<()> {
    accept(listener, queries, pulse, Service::KeaApi).await
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Metrics,
    KeaApi,
}

async fn accept(
    listener: StdListener,
    queries: mpsc::Sender<Query>,
    pulse: Arc<Pulse>,
    service: Service,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let site = Arc::new(Site::new(Source::new(queries, pulse), listener.local_addr()?));
    let (places, refusals) = (Arc::new(Semaphore::new(MOST)), Arc::new(Semaphore::new(MOST_REFUSED)));
    let sampled = Arc::clone(&site);
    // Here and not in a task of its own, which could end unseen.
    let mut sampling = pin!(async {
        match service {
            Service::Metrics => sampled.keep_samples().await,
            Service::KeaApi => std::future::pending().await,
        }
    });
    let what = match service {
        Service::Metrics => "metrics",
        Service::KeaApi => "Kea's API",
    };
    let mut refused = Seldom::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            never = &mut sampling => match never {},
            () = site.source.ended() => return Ok(()),
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: they come back, and accepting at once would only spin.
                if let Some(left_out) = refused.is_due(&error.to_string()) {
                    tracing::warn!(
                        "can't accept connections for {what}, tried each second: {error}{left_out}"
                    );
                }
                sleep(AGAIN).await;
                continue;
            }
        };
        let site = Arc::clone(&site);
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                tokio::spawn(async move {
                    connection(stream, site, service).await;
                    drop(place);
                });
            }
            Err(_) => {
                site.count(Outcome::Refused);
                // Who is more than that finds the connection closed.
                if let Ok(place) = Arc::clone(&refusals).try_acquire_owned() {
                    tokio::spawn(async move {
                        let _ = timeout(FAREWELL, refuse(stream)).await;
                        drop(place);
                    });
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, site: Arc<Site>, service: Service) {
    let of = Arc::clone(&site);
    let (is_page, was_answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (page, answered) = (Arc::clone(&is_page), Arc::clone(&was_answered));
    let service = service_fn(move |request: Request<Incoming>| {
        let (site, answered) = (Arc::clone(&of), Arc::clone(&answered));
        page.store(http::is_for_a_page(&request), Ordering::Relaxed);
        async move {
            let answer = match service {
                Service::Metrics => http::answer(Arc::clone(&site), request).await,
                Service::KeaApi if http::is_meant_for_us(&site, &request) => {
                    Ok(kea_api::answer(&site, request).await)
                }
                Service::KeaApi => Ok(http::misdirected()),
            };
            site.count(Outcome::Answered);
            answered.store(true, Ordering::Relaxed);
            answer
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        .half_close(false)
        .serve_connection(TokioIo::new(Patient::new(stream, PATIENCE)), service);
    let mut served = pin!(served);
    let mut ended = timeout(LIFE, served.as_mut()).await;
    if ended.is_err() && is_page.load(Ordering::Relaxed) {
        ended = timeout(LIFE_OF_A_PAGE, served.as_mut()).await;
    }
    let ended = match ended {
        Ok(Ok(())) => true,
        // Who has had an answer and asks for nothing more is left without being put down to.
        Ok(Err(error)) => error.is_timeout() && was_answered.load(Ordering::Relaxed),
        Err(_) => {
            // Between two requests it ends at once, else after the answer under way.
            served.as_mut().graceful_shutdown();
            matches!(timeout(PATIENCE, served).await, Ok(Ok(())))
        }
    };
    if !ended {
        site.count(Outcome::BrokenOff);
    }
}

/// Answers that there are too many, and reads the client's request to its end: closing a connection with unread
/// octets would destroy the answer.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(REFUSAL).await?;
    stream.shutdown().await?;
    let mut heard = [0; 1024];
    for _ in 0..HEAD / heard.len() {
        if stream.read(&mut heard).await? == 0 {
            break;
        }
    }
    Ok(())
}
