//! The read commands of Kea's control API, by HTTP as Kea's control agent takes them, so that a reader of Kea can
//! read this server. The API can change nothing.
//!
//! A command is an object that is POSTed, the answer a list with one object: `result` 0 (done), 1 (error), 2 (no such
//! command here), 3 (nothing found).

use std::collections::BTreeMap;
use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body as HttpBody;
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};

use super::http::{Body, JSON, with_type};
use super::site::{Outcome, Site};
use crate::control::{Lease, PoolCounts, Query, Word};

/// The longest command, in octets.
const LONGEST: usize = 64 << 10;
/// How long it may take to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest page of leases.
const MOST_LEASES: u64 = 10_000;
/// So many addresses are looked at by one query, and so long is waited between two.
const PAGE: usize = 256;
const BREATH: Duration = Duration::from_millis(1);

/// All commands there are.
const COMMANDS: [&str; 7] = [
    "config-get",
    "lease4-get",
    "lease4-get-page",
    "list-commands",
    "statistic-get-all",
    "status-get",
    "version-get",
];

/// A command.
#[derive(Debug, Deserialize)]
struct Command {
    command: String,
    #[serde(default)]
    service: Vec<String>,
    #[serde(default)]
    arguments: Map<String, Value>,
}

/// The result of a command.
#[derive(Debug, PartialEq)]
struct Done {
    result: u8,
    text: Option<String>,
    arguments: Option<Value>,
}

impl Done {
    fn with(arguments: Value) -> Self {
        Self { result: 0, text: None, arguments: Some(arguments) }
    }

    fn error(why: impl Into<String>) -> Self {
        Self { result: 1, text: Some(why.into()), arguments: None }
    }

    fn saying(self, text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..self }
    }

    fn json(self) -> Value {
        let mut answer = Map::new();
        answer.insert("result".to_owned(), self.result.into());
        answer.extend(self.text.map(|text| ("text".to_owned(), Value::from(text))));
        answer.extend(self.arguments.map(|arguments| ("arguments".to_owned(), arguments)));
        Value::Object(answer)
    }
}

/// Answers a request.
pub(super) async fn answer<B>(site: &Site, request: Request<B>) -> Response<Body>
where
    B: HttpBody,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    if request.method() != Method::POST {
        return bad("commands are POSTed here");
    }
    let body = Limited::new(request.into_body(), LONGEST).collect();
    let Ok(Ok(body)) = timeout(PATIENCE, body).await else {
        return bad("no command came, or a longer one than 64 KiB");
    };
    match serde_json::from_slice::<Command>(&body.to_bytes()) {
        Ok(command) => {
            let done: Vec<Value> = match command.service.as_slice() {
                [] => vec![run(site, &command).await.json()],
                services => {
                    let mut all = Vec::new();
                    for service in services.iter().take(4) {
                        all.push(match service.as_str() {
                            "dhcp4" => run(site, &command).await.json(),
                            other => {
                                Done::error(format!("there is no {other} here: this is a DHCPv4 server"))
                                    .json()
                            }
                        });
                    }
                    all
                }
            };
            with_type(Value::Array(done).to_string(), JSON)
        }
        Err(error) => bad(&format!("no command: {error}")),
    }
}

/// As Kea's control agent says that it has not understood.
fn bad(why: &str) -> Response<Body> {
    let text = json!({"result": 400, "text": format!("Bad Request: {why}")}).to_string();
    let mut response = with_type(text, JSON);
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

async fn run(site: &Site, command: &Command) -> Done {
    let done = match command.command.as_str() {
        "list-commands" => Ok(Done::with(json!(COMMANDS))),
        "version-get" => Ok(version()),
        "status-get" => status(site).await,
        "statistic-get-all" => statistics(site).await,
        "config-get" => configuration(site).await,
        "lease4-get" => lease(site, &command.arguments).await,
        "lease4-get-page" => leases(site, &command.arguments).await,
        other => {
            Ok(Done { result: 2, text: Some(format!("'{other}' command not supported.")), arguments: None })
        }
    };
    done.unwrap_or_else(|why| {
        site.count(Outcome::Unanswered);
        Done::error(why)
    })
}

fn version() -> Done {
    let version = env!("CARGO_PKG_VERSION");
    Done::with(json!({"extended": format!("xdhcpd {version}, which answers read commands of Kea's API")}))
        .saying(version)
}

async fn status(site: &Site) -> Result<Done, String> {
    let status = site.source.ask(Query::Status).await?;
    let mut arguments = json!({
        "pid": std::process::id(),
        "uptime": status.uptime_seconds,
        "reload": status.uptime_seconds,
        "multi-threading-enabled": false,
        "sockets": {"status": if status.interfaces.is_empty() { "failed" } else { "ready" }},
    });
    if let (Some(arguments), Some(trouble)) = (arguments.as_object_mut(), status.trouble) {
        arguments.insert("trouble".to_owned(), trouble.into());
    }
    Ok(Done::with(arguments))
}

/// The numbers of subnets: their places in the configuration.
fn numbered(pools: Vec<PoolCounts>) -> Vec<(usize, String, Vec<PoolCounts>)> {
    let mut subnets: Vec<(usize, String, Vec<PoolCounts>)> = Vec::new();
    for pool in pools {
        match subnets.last_mut().filter(|(_, prefix, _)| *prefix == pool.subnet) {
            Some((_, _, pools)) => pools.push(pool),
            None => subnets.push((subnets.len() + 1, pool.subnet.clone(), vec![pool])),
        }
    }
    subnets
}

async fn statistics(site: &Site) -> Result<Done, String> {
    let stats = site.source.ask(Query::Stats).await?;
    let quarantined = site.source.ask(Query::Quarantine).await?.len() as u64;
    let in_kernel: u64 = stats.kernel.acked.values().sum();
    let of = |counters: &BTreeMap<Word, u64>, name: &str| counters.get(name).copied().unwrap_or(0);
    let sum = |counters: &BTreeMap<Word, u64>| counters.values().sum::<u64>();
    let (received, sent) = (&stats.daemon.received, &stats.daemon.sent);
    let mut all = vec![
        ("pkt4-received".to_owned(), sum(received).saturating_add(in_kernel)),
        ("pkt4-sent".to_owned(), sum(sent).saturating_add(in_kernel)),
        ("pkt4-request-received".to_owned(), of(received, "request").saturating_add(in_kernel)),
        ("pkt4-ack-sent".to_owned(), of(sent, "ack").saturating_add(in_kernel)),
        (
            "pkt4-receive-drop".to_owned(),
            sum(&stats.daemon.dropped).saturating_add(sum(&stats.kernel.dropped)),
        ),
        ("declined-addresses".to_owned(), quarantined),
    ];
    for kind in ["discover", "release", "decline", "inform"] {
        all.push((format!("pkt4-{kind}-received"), of(received, kind)));
    }
    for kind in ["offer", "nak"] {
        all.push((format!("pkt4-{kind}-sent"), of(sent, kind)));
    }
    for (number, _, pools) in numbered(site.source.ask(Query::Pools).await?) {
        let sum = |of: fn(&PoolCounts) -> u32| pools.iter().map(|pool| u64::from(of(pool))).sum::<u64>();
        all.push((format!("subnet[{number}].total-addresses"), sum(|pool| pool.size)));
        all.push((format!("subnet[{number}].assigned-addresses"), sum(|pool| pool.leased)));
        all.push((format!("subnet[{number}].declined-addresses"), sum(|pool| pool.quarantined)));
    }
    let now = Timestamp::now().strftime("%Y-%m-%d %H:%M:%S.%6f").to_string();
    let all: Map<String, Value> =
        all.into_iter().map(|(name, value)| (name, json!([[value, now]]))).collect();
    Ok(Done::with(Value::Object(all)))
}

async fn configuration(site: &Site) -> Result<Done, String> {
    let status = site.source.ask(Query::Status).await?;
    let interfaces: Vec<&str> = status.interfaces.iter().map(|interface| interface.name.as_str()).collect();
    let subnets: Vec<Value> = numbered(site.source.ask(Query::Pools).await?)
        .into_iter()
        .map(|(number, prefix, pools)| {
            let pools: Vec<Value> =
                pools.iter().map(|pool| json!({"pool": pool.pool.replace(' ', "")})).collect();
            json!({"id": number, "subnet": prefix, "pools": pools})
        })
        .collect();
    Ok(Done::with(json!({"Dhcp4": {
        "interfaces-config": {"interfaces": interfaces},
        "lease-database": {"type": "memfile", "persist": true},
        "subnet4": subnets,
    }})))
}

/// A lease in Kea's words.
fn described(lease: &Lease, subnets: &BTreeMap<String, usize>) -> Value {
    let since = lease.last_heard.as_second();
    let lasts = u32::try_from(lease.expires.as_second().saturating_sub(since)).unwrap_or(u32::MAX);
    let mut told = json!({
        "ip-address": lease.address,
        "hw-address": lease.hw_address,
        "hostname": lease.host_name.clone().unwrap_or_default(),
        "subnet-id": subnets.get(&lease.subnet).copied().unwrap_or(0),
        "cltt": since,
        "valid-lft": lasts,
        // 2 is what has ended and is kept for its client.
        "state": if lease.state == "leased" { 0 } else { 2 },
        "fqdn-fwd": false,
        "fqdn-rev": false,
    });
    if let (Some(told), Some(id)) = (told.as_object_mut(), &lease.client_id) {
        told.insert("client-id".to_owned(), id.clone().into());
    }
    told
}

async fn subnets(site: &Site) -> Result<BTreeMap<String, usize>, String> {
    let all = numbered(site.source.ask(Query::Pools).await?);
    Ok(all.into_iter().map(|(number, prefix, _)| (prefix, number)).collect())
}

async fn lease(site: &Site, arguments: &Map<String, Value>) -> Result<Done, String> {
    let Some(address) =
        arguments.get("ip-address").and_then(Value::as_str).and_then(|text| text.parse().ok())
    else {
        return Ok(Done::error(
            "'ip-address' is missing, or no IPv4 address; leases are looked up by nothing else here",
        ));
    };
    let subnets = subnets(site).await?;
    // Who is not leased is told so by the same way as what goes wrong: both have words.
    match site.source.ask(|reply| Query::LeaseShow(address, reply)).await {
        Ok(found) => Ok(Done::with(described(&found.lease, &subnets)).saying("IPv4 lease found.")),
        Err(why) if why.starts_with("no lease") => {
            Ok(Done { result: 3, text: Some("Lease not found.".to_owned()), arguments: None })
        }
        Err(why) => Err(why),
    }
}

async fn leases(site: &Site, arguments: &Map<String, Value>) -> Result<Done, String> {
    let mut after: Option<Ipv4Addr> = match arguments.get("from").and_then(Value::as_str) {
        None => return Ok(Done::error("'from' parameter not specified")),
        Some("start") => None,
        Some(text) => match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                return Ok(Done::error(
                    "'from' parameter value is neither 'start' keyword nor a valid IPv4 address",
                ));
            }
        },
    };
    let limit = match arguments.get("limit").map(Value::as_u64) {
        None => return Ok(Done::error("'limit' parameter not specified")),
        Some(Some(limit)) if (1..=MOST_LEASES).contains(&limit) => {
            usize::try_from(limit).unwrap_or(usize::MAX)
        }
        Some(_) => return Ok(Done::error(format!("'limit' must be a number from 1 to {MOST_LEASES}"))),
    };
    let Ok(_place) = site.searches.try_acquire() else {
        site.count(Outcome::Refused);
        return Ok(Done::error("others are reading leases: try again"));
    };
    let subnets = subnets(site).await?;
    let mut found: Vec<Value> = Vec::new();
    loop {
        let query = |reply| Query::Leases { after, most: PAGE, filter: Arc::default(), reply };
        let page = site.source.ask(query).await?;
        let room = limit.saturating_sub(found.len());
        found.extend(page.items.iter().take(room).map(|lease| described(lease, &subnets)));
        after = page.next;
        if found.len() >= limit || after.is_none() {
            break;
        }
        sleep(BREATH).await;
    }
    let (count, result) = (found.len(), if found.is_empty() { 3 } else { 0 });
    let arguments = json!({"leases": found, "count": count});
    Ok(Done { result, text: Some(format!("{count} IPv4 lease(s) found.")), arguments: Some(arguments) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(subnet: &str, pool: &str) -> PoolCounts {
        PoolCounts {
            subnet: subnet.to_owned(),
            pool: pool.to_owned(),
            size: 1,
            free: 1,
            offered: 0,
            leased: 0,
            grace: 0,
            quarantined: 0,
            reserved: 0,
        }
    }

    #[test]
    fn subnets_have_the_numbers_of_their_places() {
        let all = numbered(vec![pool("a", "1"), pool("a", "2"), pool("b", "1")]);
        let seen: Vec<_> =
            all.iter().map(|(number, prefix, pools)| (*number, prefix.as_str(), pools.len())).collect();
        assert_eq!(seen, [(1, "a", 2), (2, "b", 1)]);
    }

    #[test]
    fn an_answer_has_what_it_has_to_say_and_no_more() {
        assert_eq!(Done::error("no").json(), json!({"result": 1, "text": "no"}));
        assert_eq!(
            Done::with(json!(1)).saying("x").json(),
            json!({"result": 0, "text": "x", "arguments": 1})
        );
    }
}
