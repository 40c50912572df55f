//! Slow clients, and a slow daemon: the effect on the other end.

use super::*;

#[test]
fn who_waits_for_a_daemon_that_is_busy_is_told_that_it_lives() {
    let scratch = Scratch::new();
    let (queries, mut waiting) = mpsc::channel(1);
    let listener = bind(&scratch.socket()).unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(serve(listener, queries, Arc::new(Startup::default())))
    });
    let mut stream = UnixStream::connect(scratch.socket()).unwrap();
    stream.write_all(b"{\"verb\":\"pools\"}\n").unwrap();
    let mut sign = [0];
    // Nobody takes the query, and this thread runs nothing but what stands here.
    stream.read_exact(&mut sign).unwrap();
    assert_eq!(&sign, b"\n");
    let Some(Query::Pools(reply)) = waiting.blocking_recv() else { panic!("another query") };
    reply.give(Vec::new());
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest.trim(), r#"{"end":"done"}"#);
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody() {
    let outcome = with_daemon(
        |query| match query {
            Query::Leases { after, most, reply, .. } => reply.give(page(1_000_000, after, most)),
            Query::Pools(reply) => reply.give(vec![]),
            other => panic!("{other:?}"),
        },
        |path| {
            let mut deaf = UnixStream::connect(path).unwrap();
            deaf.write_all(b"{\"verb\":\"leases\"}\n").unwrap();
            let mut first = [0];
            deaf.read_exact(&mut first).unwrap();
            let (_, outcome) = asked(path, &Request::Pools);
            drop(deaf);
            outcome
        },
    );
    assert_eq!(outcome, Outcome::Done);
}

#[test]
fn a_long_answer_is_heralded_by_signs_of_life() {
    let (seen, is_seen) = std::sync::mpsc::channel();
    let mut is_seen = Some(is_seen);
    let answer = with_daemon(
        move |query| {
            let (Query::Pools(reply), Some(is_seen)) = (query, is_seen.take()) else {
                panic!("one query was sent")
            };
            thread::spawn(move || {
                is_seen.recv().unwrap();
                reply.give(vec![]);
            });
        },
        move |path| {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(b"{\"verb\":\"pools\"}\n").unwrap();
            let mut first = [0];
            stream.read_exact(&mut first).unwrap();
            seen.send(()).unwrap();
            let mut rest = String::new();
            stream.read_to_string(&mut rest).unwrap();
            (first, rest)
        },
    );
    assert_eq!(answer.0, [b'\n']);
    assert_eq!(answer.1.trim_start(), "{\"end\":\"done\"}\n");
}

#[test]
fn pages_with_nothing_in_them_are_heralded_by_signs_of_life() {
    for verb in ["leases", "orphans", "audit", "export"] {
        let (seen, is_seen) = std::sync::mpsc::channel::<()>();
        let more = move || {
            thread::sleep(std::time::Duration::from_millis(1));
            is_seen.try_recv().is_err()
        };
        let next = move |more: bool| more.then_some(Ipv4Addr::new(10, 0, 0, 1));
        let answer = with_daemon(
            move |query| match query {
                Query::Leases { reply, .. } => reply.give(Page { items: vec![], next: next(more()) }),
                Query::Orphans { reply, .. } => reply.give(Page { items: vec![], next: next(more()) }),
                Query::Audit { reply, .. } => reply.give(Page { items: vec![], next: next(more()) }),
                Query::Export { reply, .. } => reply.give((vec![], more())),
                _ => panic!("pages were asked for"),
            },
            move |path| {
                let mut stream = UnixStream::connect(path).unwrap();
                stream.write_all(format!("{{\"verb\":\"{verb}\"}}\n").as_bytes()).unwrap();
                let mut first = [0];
                stream.read_exact(&mut first).unwrap();
                seen.send(()).unwrap();
                let mut rest = String::new();
                stream.read_to_string(&mut rest).unwrap();
                (first, rest)
            },
        );
        assert_eq!(answer.0, [b'\n'], "{verb}");
        assert!(answer.1.ends_with("{\"end\":\"done\"}\n"), "{verb}: {}", answer.1);
    }
}
