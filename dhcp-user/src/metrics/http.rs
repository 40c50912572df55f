//! Which path is what, and what is refused.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};

use super::site::{Outcome, Site};
use super::{families, host, kea};

/// What is sent back.
pub(super) type Body = Full<Bytes>;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";
const SAME_ORIGIN: (HeaderName, HeaderValue) =
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));

/// Answers a request. Its body is not looked at: nothing here takes one.
pub(super) async fn answer<B>(site: Arc<Site>, request: Request<B>) -> Result<Response<Body>, Infallible> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal =
            text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD: nothing can be changed here\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(refusal);
    }
    if !is_meant_for_us(&site, &request) {
        return Ok(text(
            StatusCode::MISDIRECTED_REQUEST,
            "this host is not known here: use the address, or the name that `hostname` prints\n",
        ));
    }
    Ok(match request.uri().path() {
        "/metrics" => metrics(&site).await,
        "/metrics/kea" => metrics_of_kea(&site).await,
        _ => text(StatusCode::NOT_FOUND, "there is /metrics, and /metrics/kea\n"),
    })
}

/// A browser is told by whatever page it shows whom to ask, and by the name in the request whom it took us for.
///
/// Figures alone are told by any name where others than this machine's own may ask in any case: Prometheus may know this
/// machine by many names.
fn is_meant_for_us<B>(site: &Site, request: &Request<B>) -> bool {
    let is_figures = request.uri().path().starts_with("/metrics");
    if is_figures && !site.listens_on.ip().is_loopback() {
        return true;
    }
    let mut named = request.headers().get_all(HOST).iter();
    match (named.next(), named.next()) {
        (Some(host), None) => host.to_str().is_ok_and(|host| host::is_ours(host, &site.machine)),
        // HTTP/1.0 names none, and a browser speaks 1.1.
        (None, _) => request.version() == hyper::Version::HTTP_10,
        (Some(_), Some(_)) => false,
    }
}

async fn metrics(site: &Site) -> Response<Body> {
    match site.source.snapshot(site.served()).await {
        Ok(snapshot) => match families::encoded(&snapshot) {
            Ok(page) => with_type(page, OPEN_METRICS),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        },
        Err(why) => no_answer(site, &why),
    }
}

async fn metrics_of_kea(site: &Site) -> Response<Body> {
    match site.source.snapshot(site.served()).await {
        Ok(snapshot) => match kea::encoded(&snapshot) {
            Ok(page) => with_type(page, PROMETHEUS),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        },
        Err(why) => no_answer(site, &why),
    }
}

fn no_answer(site: &Site, why: &str) -> Response<Body> {
    site.count(Outcome::Unanswered);
    text(StatusCode::SERVICE_UNAVAILABLE, &format!("{why}\n"))
}

fn text(status: StatusCode, words: &str) -> Response<Body> {
    let mut response = with_type(words.to_owned(), PLAIN);
    *response.status_mut() = status;
    response
}

fn with_type(body: impl Into<Bytes>, kind: &'static str) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(SAME_ORIGIN.0, SAME_ORIGIN.1);
    response
}
