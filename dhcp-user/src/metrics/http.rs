//! The paths, and the requests that are refused.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};

use super::live::{self, Lines};
use super::search::search;
use super::site::{Outcome, Site};
use super::{families, host, kea};

/// The body of an answer.
pub(super) type Body = Either<Full<Bytes>, Lines>;

/// The page. Where a nonce belongs, it has this word.
const PAGE: &str = include_str!("page.html");
const NONCE: &str = "@NONCE@";
/// The longest text that is looked for, in octets.
const LONGEST_SEARCH: usize = 200;

const HTML: &str = "text/html; charset=utf-8";
pub(super) const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// The path of a page's live updates.
const LIVE: &str = "/live";

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
        return Ok(misdirected());
    }
    Ok(match request.uri().path() {
        "/metrics" => metrics(&site).await,
        "/metrics/kea" => metrics_of_kea(&site).await,
        "/" => page(),
        LIVE if request.method() == Method::GET => told(&site),
        "/search" => found(&site, request.uri().query().unwrap_or_default()).await,
        _ => text(StatusCode::NOT_FOUND, "there is a page at /, and /metrics, and /metrics/kea\n"),
    })
}

/// The answer to a request for another host.
pub(super) fn misdirected() -> Response<Body> {
    text(
        StatusCode::MISDIRECTED_REQUEST,
        "this host is not known here: use the address, or the name that `hostname` prints\n",
    )
}

/// Whether a page asks for live updates.
pub(super) fn is_for_a_page<B>(request: &Request<B>) -> bool {
    request.uri().path() == LIVE
}

/// The page, with a nonce of its own: an injected script would not run.
fn page() -> Response<Body> {
    let nonce = match nonce() {
        Ok(nonce) => nonce,
        Err(error) => {
            return text(StatusCode::INTERNAL_SERVER_ERROR, &format!("no random number: {error}\n"));
        }
    };
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    );
    let mut response = with_type(PAGE.replace(NONCE, &nonce), HTML);
    let headers = response.headers_mut();
    match HeaderValue::from_str(&policy) {
        Ok(policy) => headers.insert(CONTENT_SECURITY_POLICY, policy),
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    };
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn nonce() -> io::Result<String> {
    let mut octets = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut octets)?;
    Ok(octets.iter().map(|octet| format!("{octet:02x}")).collect())
}

fn told(site: &Arc<Site>) -> Response<Body> {
    match Arc::clone(&site.pages).try_acquire_owned() {
        Ok(place) => {
            let lines = live::begin(Arc::clone(site), place);
            with_type(Bytes::new(), EVENTS).map(|_| Either::Right(lines))
        }
        Err(_) => {
            site.count(Outcome::Refused);
            text(StatusCode::SERVICE_UNAVAILABLE, "too many pages are open\n")
        }
    }
}

async fn found(site: &Site, query: &str) -> Response<Body> {
    let wanted = query.split('&').find_map(|pair| pair.strip_prefix("q=")).and_then(unescaped);
    let Some(wanted) = wanted.filter(|text| !text.trim().is_empty() && text.len() <= LONGEST_SEARCH) else {
        return text(StatusCode::BAD_REQUEST, "say what to look for: /search?q=…, of at most 200 octets\n");
    };
    let Ok(_place) = site.searches.try_acquire() else {
        site.count(Outcome::Refused);
        return text(StatusCode::SERVICE_UNAVAILABLE, "others are looking: try again\n");
    };
    match search(site, &wanted).await {
        Ok(found) => match serde_json::to_vec(&found) {
            Ok(found) => with_type(found, JSON),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        },
        Err(why) => no_answer(site, &why),
    }
}

/// The text that stands in a query (percent-encoding, RFC 3986 §2.1); nothing if it is none.
fn unescaped(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        octets.push(match octet {
            b'%' => u8::try_from(digit()? * 16 + digit()?).ok()?,
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(octets).ok()
}

/// Whether the request names us. The page that a browser shows decides which host the browser asks, and the request
/// has the name of that host.
///
/// Figures alone are served under any name on an address that other machines may reach: Prometheus may know this machine
/// by many names.
pub(super) fn is_meant_for_us<B>(site: &Site, request: &Request<B>) -> bool {
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

pub(super) fn with_type(body: impl Into<Bytes>, kind: &'static str) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body.into())));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(SAME_ORIGIN.0, SAME_ORIGIN.1);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_query_is_read_or_refused() {
        assert_eq!(unescaped("eth%2f1%20a+b").as_deref(), Some("eth/1 a b"));
        assert_eq!(unescaped("").as_deref(), Some(""));
        for wrong in ["%", "%2", "%zz", "%ff", "a%c3"] {
            assert_eq!(unescaped(wrong), None, "{wrong}");
        }
    }

    /// All that runs or gives looks stands under the nonce, and the page loads nothing from elsewhere.
    #[test]
    fn the_page_is_whole_and_has_nothing_that_its_policy_forbids() {
        assert_eq!(PAGE.matches("<script").count(), PAGE.matches("<script nonce=\"@NONCE@\">").count());
        assert_eq!(PAGE.matches("<style").count(), PAGE.matches("<style nonce=\"@NONCE@\">").count());
        for forbidden in [
            " style=",
            "onclick=",
            "onload=",
            "onerror=\"",
            "javascript:",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "src=",
            "https:",
            "@import",
            "url(",
        ] {
            assert!(!PAGE.contains(forbidden), "{forbidden}");
        }
        assert_ne!(nonce().expect("a nonce"), nonce().expect("another"));
    }
}
