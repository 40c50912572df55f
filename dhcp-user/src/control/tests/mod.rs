//! Clients and a daemon at the two ends of a real socket.

mod pages;
mod slow;

use crate::events::EventRecord;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};

use super::*;
use crate::store::QuarantineCause;

/// A directory that goes when the test is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("xdhcpd-control-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("control.sock")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs `client` in a thread against a daemon that answers with `decide`, until the client is through.
fn with_daemon<T: Send + 'static>(
    decide: impl FnMut(Query),
    client: impl FnOnce(&Path) -> T + Send + 'static,
) -> T {
    let startup = Arc::new(Startup::default());
    startup.serving();
    with_daemon_at(&startup, decide, client)
}

/// The same with a daemon that has come so far.
fn with_daemon_at<T: Send + 'static>(
    startup: &Arc<Startup>,
    mut decide: impl FnMut(Query),
    client: impl FnOnce(&Path) -> T + Send + 'static,
) -> T {
    let scratch = Scratch::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let path = scratch.socket();
        let listener = bind(&path).unwrap();
        let (queries, mut asked) = mpsc::channel(1);
        let serving = tokio::spawn(serve(listener, queries, Arc::clone(startup)));
        let mut client = tokio::task::spawn_blocking(move || client(&path));
        let result = loop {
            tokio::select! {
                Some(query) = asked.recv() => decide(query),
                result = &mut client => break result,
            }
        };
        drop(asked);
        serving.await.unwrap().unwrap();
        result.unwrap()
    })
}

/// A request as a client of ours puts it: the items of the answer, and how it ended.
fn asked(path: &Path, request: &Request) -> (Vec<Value>, Outcome) {
    let mut items = Vec::new();
    let outcome = ask(path, request, |item| {
        items.push(serde_json::from_str(item.get())?);
        Ok(())
    });
    (items, outcome.unwrap())
}

/// A daemon's whole answer to `octets`.
fn raw(path: &Path, octets: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(octets).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn lease(address: Ipv4Addr) -> Lease {
    Lease {
        address,
        hw_address: colon_hex(&[2, 0, 0, 0, 0, 0x1f]),
        client_id: None,
        host_name: Some("laptop".to_owned()),
        state: "leased".into(),
        subnet: "10.0.0.0/8".to_owned(),
        interface: "eth0".to_owned(),
        vlan: Vec::new(),
        relay: None,
        relay_information: None,
        circuit_id: None,
        remote_id: None,
        subscriber_id: None,
        relay_vendor: Vec::new(),
        last_heard: "2026-01-01T00:00:00Z".parse().unwrap(),
        expires: "2026-01-01T01:00:00Z".parse().unwrap(),
        committed_until: "2026-01-01T02:00:00Z".parse().unwrap(),
        last_answered_by: AnsweredBy::Kernel,
        kernel_renewals: 7,
        not_committed: false,
    }
}

/// Leases of `count` addresses from 10.0.0.1 on, as a decision loop would page them.
fn page(count: u32, after: Option<Ipv4Addr>, most: usize) -> Page<Lease> {
    let first = after.map_or(0x0a00_0001, |after| after.to_bits() + 1);
    let end = 0x0a00_0001 + count;
    let items: Vec<_> = (first..end).take(most).map(|address| lease(address.into())).collect();
    let next = items.last().map(|lease| lease.address).filter(|last| last.to_bits() + 1 < end);
    Page { items, next }
}

/// Puts every value of `from` into `into`, table by table.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from.clone(),
    }
}

#[test]
fn shapes_are_as_documented() {
    let time = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    let a = Ipv4Addr::new(192, 0, 2, 10);
    // More keys may be there.
    let shown = |value: Value, expected: Value| {
        let mut more = value.clone();
        merge(&mut more, &expected);
        assert_eq!(value, more);
    };
    let lease = Lease { client_id: Some(colon_hex(&[1, 2])), ..lease(a) };
    let lease_json = json!({
        "address": "192.0.2.10", "hw-address": "02:00:00:00:00:1f", "client-id": "01:02", "host-name": "laptop",
        "state": "leased", "subnet": "10.0.0.0/8", "interface": "eth0", "expires": "2026-01-01T01:00:00Z",
        "committed-until": "2026-01-01T02:00:00Z", "last-answered-by": "kernel", "kernel-renewals": 7,
    });
    shown(json!(lease), lease_json.clone());
    let memo = Memo {
        giaddr: Ipv4Addr::UNSPECIFIED,
        question: "35".to_owned(),
        lease_time: 9,
        answer: "36".to_owned(),
    };
    let mut detail_json = lease_json;
    detail_json["memos"] = json!([{"giaddr": "0.0.0.0", "question": "35", "lease-time": 9, "answer": "36"}]);
    shown(json!(LeaseDetail { lease, memos: vec![memo] }), detail_json);
    shown(
        json!(PoolCounts {
            subnet: "s".to_owned(),
            pool: "p".to_owned(),
            size: 21,
            free: 1,
            offered: 2,
            leased: 3,
            grace: 4,
            quarantined: 5,
            reserved: 6,
        }),
        json!({"subnet": "s", "pool": "p", "size": 21, "free": 1, "offered": 2, "leased": 3, "grace": 4, "quarantined": 5, "reserved": 6}),
    );
    let stats_json = json!({
        "kernel": {"acked": {"renewing": 1}, "punted": {"horizon": 2}, "passed": 3, "dropped": {"raced": 4}},
        "daemon": {"received": {"discover": 5}, "sent": {"offer": 6}, "dropped": {"not-ours": 7}},
    });
    shown(json!(serde_json::from_value::<Stats>(stats_json.clone()).unwrap()), stats_json);
    shown(
        json!(Quarantined {
            address: a,
            since: time("2026-01-01T00:00:00Z"),
            until: time("2026-01-02T00:00:00Z"),
            why: "probe".into(),
            by: "x".to_owned()
        }),
        json!({"address": "192.0.2.10", "since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z", "why": "probe", "by": "x"}),
    );
    let of_orphan = OrphanLease { address: a, client_id: None, last_heard: time("2026-01-01T00:00:00Z") };
    shown(
        json!(Orphan { hw_address: "02:00".to_owned(), cap: 4, leases: vec![of_orphan] }),
        json!({"hw-address": "02:00", "cap": 4, "leases": [{"address": "192.0.2.10", "client-id": null, "last-heard": "2026-01-01T00:00:00Z"}]}),
    );
    shown(
        json!(Explanation {
            hw_address: None,
            address: a,
            decided_by: AnsweredBy::Daemon,
            why: "w".to_owned(),
            differs: vec!["option 55".to_owned()],
            messages: Vec::new(),
        }),
        json!({"address": "192.0.2.10", "decided-by": "daemon", "why": "w", "differs": ["option 55"], "messages": []}),
    );
    shown(
        json!(Audit { consistent: false, findings: vec![Finding { address: a, what: "w".to_owned() }] }),
        json!({"consistent": false, "findings": [{"address": "192.0.2.10", "what": "w"}]}),
    );
    shown(
        json!(Status {
            classes: Vec::new(),
            version: "1".to_owned(),
            stage: Stage::Serving,
            uptime_seconds: 2,
            interfaces: vec![InterfaceStatus {
                name: "eth0".to_owned(),
                xdp: Xdp::Native,
                link: LinkStatus::Up,
                addresses: vec![a],
                obstacle: None,
                xdp_configured: "auto".into(),
                xdp_why: None,
                attaching: false,
                driver: Some("e".into()),
            }],
            store: "embedded".into(),
            leases: 3,
            trouble: None,
        }),
        json!({"version": "1", "stage": "serving", "uptime-seconds": 2, "interfaces": [{"name": "eth0", "xdp": "native", "xdp-configured": "auto", "driver": "e", "link": "up", "addresses": ["192.0.2.10"]}], "store": "embedded", "leases": 3}),
    );
}

#[test]
fn a_daemon_that_starts_says_so_and_answers_the_rest_when_it_serves() {
    let startup = Arc::new(Startup::default());
    let starts = Arc::clone(&startup);
    let decide = {
        let startup = Arc::clone(&startup);
        move |query| match query {
            Query::Pools(reply) if startup.status().is_none() => reply.give(Vec::new()),
            other => panic!("{other:?} came to a daemon that doesn't serve yet"),
        }
    };
    with_daemon_at(&startup, decide, move |path| {
        starts.restored(7);
        let (said, outcome) = asked(path, &Request::Status);
        assert_eq!((&said[0]["stage"], &said[0]["leases"]), (&json!("starting"), &json!(7)));
        assert!(matches!(outcome, Outcome::No(why) if why.contains("starting")));
        starts.serving();
        assert_eq!(asked(path, &Request::Pools), (Vec::new(), Outcome::Done));
    });
}

#[test]
fn requests_read_back_as_they_were_written() {
    let address = Ipv4Addr::new(192, 0, 2, 10);
    let requests = [
        (Request::Leases { filter: LeaseFilter::default() }, json!({"verb": "leases"})),
        (
            Request::Leases {
                filter: LeaseFilter { mac: Some("02:".to_owned()), limit: Some(3), ..LeaseFilter::default() },
            },
            json!({"verb": "leases", "filter": {"mac": "02:", "limit": 3}}),
        ),
        (Request::LeaseShow { address }, json!({"verb": "lease-show", "address": "192.0.2.10"})),
        (
            Request::Explain { client: Subject::HwAddress([2, 0, 0, 0, 0, 1]) },
            json!({"verb": "explain", "client": {"hw-address": [2, 0, 0, 0, 0, 1]}}),
        ),
    ];
    for (request, written) in requests {
        assert_eq!(json!(request), written);
        assert_eq!(serde_json::from_value::<Request>(written).unwrap(), request);
    }
}

#[test]
fn an_answer_comes_back_whole() {
    let (items, outcome) = with_daemon(
        |query| match query {
            Query::Pools(reply) => reply.give(vec![]),
            other => panic!("{other:?}"),
        },
        |path| asked(path, &Request::Pools),
    );
    assert_eq!((items, outcome), (vec![], Outcome::Done));
}

#[test]
fn no_is_an_answer_and_says_why() {
    let address = Ipv4Addr::new(192, 0, 2, 10);
    let release = move |path: &Path| asked(path, &Request::LeaseRelease { address, now: true });
    let answered = with_daemon(
        |query| match query {
            Query::LeaseRelease { address, reply, .. } => reply.no(format!("{address} is not leased")),
            other => panic!("{other:?}"),
        },
        release,
    );
    assert_eq!(answered, (vec![], Outcome::No("192.0.2.10 is not leased".to_owned())));
    let answered = with_daemon(
        |query| match query {
            Query::LeaseRelease { address, now: true, reply } => {
                reply.give(Released { address, what: "released".into(), free: Free::AtOnce, until: None });
            }
            other => panic!("{other:?}"),
        },
        release,
    );
    let done = json!({"address": "192.0.2.10", "what": "released", "free": "at-once", "until": null});
    assert_eq!(answered, (vec![done], Outcome::Done));
}

/// An address is a prefix, too; one with host bits is refused.
#[test]
fn a_prefix_is_cleared_as_it_was_written() {
    let clear = |address: [u8; 4], len| {
        let request = Request::QuarantineClear { address: address.into(), len, why: Some(Cause::Declined) };
        with_daemon(
            |query| match query {
                Query::QuarantineClear { prefix, why: Some(QuarantineCause::Declined), reply } => {
                    let (address, what) = (None, "cleared".into());
                    reply.give(Cleared { address, prefix: prefix.to_string(), what, count: 3 });
                }
                other => panic!("{other:?}"),
            },
            move |path| asked(path, &request),
        )
    };
    let done = json!({"prefix": "192.0.2.0/24", "what": "cleared", "count": 3});
    assert_eq!(clear([192, 0, 2, 0], 24), (vec![done], Outcome::Done));
    assert!(matches!(clear([192, 0, 2, 1], 24), (_, Outcome::Refused(_))));
}

#[test]
fn a_dropped_reply_is_no_silence() {
    let (items, outcome) = with_daemon(drop, |path| asked(path, &Request::Audit));
    assert_eq!(items, Vec::<Value>::new());
    assert!(matches!(outcome, Outcome::Refused(why) if why.contains("doesn't answer that")));
}

#[test]
fn what_is_no_request_is_refused() {
    for (octets, part) in [
        (&b"{\"verb\":\"leases\"}"[..], "one line of at most 4096 octets"),
        (b"", "one line"),
        (&[b'x'; 5000], "one line"),
        (b"leases\n", "doesn't know the request"),
        (b"{\"verb\":\"shutdown\"}\n", "unknown variant `shutdown`"),
        (b"{\"verb\":\"lease-show\"}\n", "missing field `address`"),
        (b"{\"verb\":\"lease-show\",\"address\":\"../../etc\"}\n", "doesn't know the request"),
        (b"{\"verb\":\"lease-show\",\"address\":\"10.0.0.1\",\"path\":\"/\"}\n", "unknown field `path`"),
        (b"{\"verb\":\"\xff\"}\n", "doesn't know the request"),
        (&[&[b'['; 4000][..], b"\n"].concat(), "doesn't know the request"),
    ] {
        let answer = with_daemon(|query| panic!("{query:?}"), {
            let octets = octets.to_vec();
            move |path| raw(path, &octets)
        });
        assert!(answer.starts_with("{\"end\":{\"refused\":") && answer.contains(part), "{answer}");
    }
}

#[test]
fn too_many_clients_are_told_so() {
    let (answers, outcome) = with_daemon(
        |query| match query {
            Query::Pools(reply) => reply.give(vec![]),
            other => panic!("{other:?}"),
        },
        |path| {
            // Clients that take a place and say nothing yet; the daemon takes connections in their order.
            let waiting: Vec<_> = (0..40).map(|_| UnixStream::connect(path).unwrap()).collect();
            let answers: Vec<String> = waiting
                .into_iter()
                .rev()
                .take(8)
                .map(|mut stream| {
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).unwrap();
                    answer
                })
                .collect();
            // All have left by now, but the daemon may not have seen it yet.
            let outcome = loop {
                match asked(path, &Request::Pools).1 {
                    Outcome::Refused(why) if why.contains("too many") => thread::yield_now(),
                    outcome => break outcome,
                }
            };
            (answers, outcome)
        },
    );
    assert_eq!(outcome, Outcome::Done);
    assert!(answers.iter().all(|answer| answer.contains("too many clients")), "{answers:?}");
}

#[test]
fn events_come_as_they_happen() {
    let (events, _) = broadcast::channel(4);
    let source = events.clone();
    let event = |what: &'static str| EventRecord {
        time: "2026-01-01T00:00:00Z".parse().unwrap(),
        address: Some(Ipv4Addr::new(10, 0, 0, 1)),
        ..EventRecord::now(what)
    };
    let mut source = Some(source);
    let seen = with_daemon(
        move |query| {
            let (Query::Events(reply), Some(source)) = (query, source.take()) else {
                panic!("one query was sent")
            };
            let listening = source.subscribe();
            // More than the channel holds: the oldest are lost, and that is said.
            for what in ["granted", "granted", "renewed", "released", "expired", "declined"] {
                source.send(event(what)).unwrap();
            }
            reply.give(Happening { events: listening, log: None });
        },
        move |path| {
            drop(events);
            let (items, outcome) = asked(path, &Request::Events { since: None, follow: true });
            assert_eq!(outcome, Outcome::Done);
            items
        },
    );
    assert_eq!(seen[0]["what"], "missed");
    assert_eq!(seen[0]["detail"], "2 events came faster than they were read");
    assert_eq!(seen[1], json!({"time": "2026-01-01T00:00:00Z", "what": "renewed", "address": "10.0.0.1"}));
    assert_eq!(
        seen.iter().skip(1).map(|event| event["what"].clone()).collect::<Vec<_>>(),
        ["renewed", "released", "expired", "declined"]
    );
}

/// Who listens and lets nobody in keeps nobody waiting for ever.
#[test]
fn a_socket_whose_queue_is_full_is_in_use_and_not_waited_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("control.sock");
    let _listener = bind(&path).expect("the place is free");
    let connected = |_| super::socket::connect(&path, Duration::ZERO);
    let waiting: Vec<_> = (0..1000).map(connected).take_while(Result::is_ok).collect();
    assert!(waiting.len() < 1000, "the queue has an end");
    let asked = std::time::Instant::now();
    let refused = super::socket::connect(&path, Duration::from_millis(50)).expect_err("nobody is let in");
    assert_eq!(refused.kind(), std::io::ErrorKind::WouldBlock);
    assert!(asked.elapsed() >= Duration::from_millis(50), "it has waited as long as it was told to");
    assert!(matches!(bind(&path), Err(BindError::InUse(_))));
}

/// Another daemon's socket in the place of ours stays.
#[test]
fn only_a_socket_of_our_own_is_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("control.sock");
    let _ours = bind(&path).expect("the place is free");
    let bound = Bound::at(&path, Audience::Group);
    std::fs::remove_file(&path).expect("ours is there");
    // Made before the other's, so that it gets no number that has become free.
    std::fs::write(dir.path().join("between"), "").expect("a file");
    let _others = bind(&path).expect("the place is free again");
    bound.remove();
    assert!(path.exists(), "it is another's");
    Bound::at(&path, Audience::Group).remove();
    assert!(!path.exists());
}

#[test]
fn the_socket_is_for_owner_and_group() {
    let scratch = Scratch::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let path = scratch.0.join("made/for/it/control.sock");
    let listener = bind(&path).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o660);
    assert_eq!(mode(path.parent().unwrap()) & 0o007, 0, "others can't reach it");

    assert!(matches!(bind(&path), Err(BindError::InUse(_))));
    drop(listener);
    assert!(path.exists(), "a daemon leaves it behind");
    drop(bind(&path).unwrap());

    let file = scratch.0.join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(matches!(bind(&file), Err(BindError::NotASocket(_))));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    assert!(matches!(bind(&scratch.0.join("x".repeat(200))), Err(BindError::System { .. })));
}

#[test]
fn a_daemon_that_is_gone_is_told_from_an_answer() {
    let scratch = Scratch::new();
    let path = scratch.socket();
    let nobody = |path: &Path| ask(path, &Request::Status, |_| Ok(())).unwrap_err();
    assert!(matches!(nobody(&path), ClientError::Unreachable { .. }));

    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let dies = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 18];
        stream.read_exact(&mut request).unwrap();
        stream.write_all(b"{\"item\":{}}\n{\"end\":\"do").unwrap();
    });
    let mut items = 0;
    let error = ask(&path, &Request::Status, |_| {
        items += 1;
        Ok(())
    });
    dies.join().unwrap();
    assert!(matches!(error, Err(ClientError::BrokenOff(_))), "{error:?}");
    assert_eq!(items, 1);
    std::fs::remove_file(&path).unwrap();

    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let ends = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 18]).unwrap();
    });
    let error = nobody(&path);
    ends.join().unwrap();
    assert!(matches!(error, ClientError::Unanswered { .. }), "{error:?}");
    assert!(error.to_string().contains("it closed the connection before it said anything"), "{error}");
    let silent =
        ClientError::Unanswered { path: path.clone(), source: std::io::ErrorKind::WouldBlock.into() };
    assert!(silent.to_string().contains("no sign of life came for 10 s"), "{silent}");
    let silent = ClientError::BrokenOff(std::io::ErrorKind::WouldBlock.into());
    assert_eq!(silent.to_string(), "xdhcpd broke off its answer: nothing more came for 10 s");
    assert!(matches!(nobody(&path), ClientError::Unreachable { .. }));
}
