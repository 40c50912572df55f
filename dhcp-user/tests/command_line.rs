//! The binary's command line: what it prints and how it ends, against a daemon's end of the socket.

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Output};
    use std::sync::Arc;

    use dhcp_user::control::{
        self, AnsweredBy, Finding, Free, Happening, Lease, LeaseDetail, Memo, Page, Query, Released, Startup,
        Stats,
    };
    use dhcp_user::events::EventRecord;
    use serde_json::{Value, json};
    use tokio::sync::{broadcast, mpsc};

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("xdhcpd-cli-{}-{name}", std::process::id()));
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn xdhcpd(words: &[&str], socket: Option<&Path>) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xdhcpd"));
        command.args(words);
        if let Some(socket) = socket {
            command.arg("--control").arg(socket);
        }
        command.output().unwrap()
    }

    fn stdout(output: &Output) -> &str {
        std::str::from_utf8(&output.stdout).unwrap()
    }

    fn stderr(output: &Output) -> &str {
        std::str::from_utf8(&output.stderr).unwrap()
    }

    fn json_of(output: &Output) -> Value {
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stdout(output)))
    }

    /// Runs commands against a daemon with two leases, 192.0.2.10 and .11.
    fn with_daemon<T: Send + 'static>(name: &str, commands: impl FnOnce(&Path) -> T + Send + 'static) -> T {
        let scratch = Scratch::new(name);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let path = scratch.0.join("control.sock");
            let listener = control::bind(&path).unwrap();
            let (queries, mut asked) = mpsc::channel(1);
            let startup = Arc::new(Startup::default());
            startup.serving();
            let serving = tokio::spawn(control::serve(listener, queries, startup));
            let mut commands = tokio::task::spawn_blocking(move || commands(&path));
            let result = loop {
                tokio::select! {
                    Some(query) = asked.recv() => decide(query),
                    result = &mut commands => break result,
                }
            };
            drop(asked);
            serving.await.unwrap().unwrap();
            result.unwrap()
        })
    }

    fn decide(query: Query) {
        match query {
            Query::Leases { after, reply, .. } => {
                let last = after.map_or(9, |after| after.octets()[3]);
                let next = (last < 10).then(|| Ipv4Addr::new(192, 0, 2, last + 1));
                reply.give(Page { items: vec![lease(last + 1)], next });
            }
            Query::LeaseShow(address, reply) if address.octets()[3] == 10 => {
                let memo = Memo {
                    giaddr: Ipv4Addr::UNSPECIFIED,
                    question: "0123456789abcdef".to_owned(),
                    lease_time: 3600,
                    answer: "35:01:05:ff".to_owned(),
                };
                reply.give(LeaseDetail { lease: lease(10), memos: vec![memo] });
            }
            Query::LeaseShow(address, reply) => reply.no(format!("{address} is not leased")),
            Query::LeaseRelease { address, reply, .. } => {
                reply.give(Released { address, what: "released".into(), free: Free::AtOnce, until: None });
            }
            Query::Pools(reply) => reply.give(vec![]),
            Query::Stats(reply) => {
                let mut stats = Stats::default();
                stats.kernel.acked = [("renewing".into(), 12), ("rebinding".into(), 0)].into();
                stats.daemon.received = [("discover".into(), 3), ("inform".into(), 0)].into();
                reply.give(stats);
            }
            Query::Audit { reply, .. } => {
                let what = "the store has it leased, policy has not".to_owned();
                let finding = Finding { address: Ipv4Addr::new(192, 0, 2, 12), what };
                reply.give(Page { items: vec![finding], next: None });
            }
            Query::Quarantine(reply) => reply.give(vec![]),
            Query::QuarantineClear { prefix, reply, .. } => {
                reply.no(format!("{} is not in quarantine", prefix.network));
            }
            Query::Events(reply) => {
                let (events, listening) = broadcast::channel(2);
                let address = Some(Ipv4Addr::new(192, 0, 2, 12));
                let time = "2026-01-01T00:00:00Z".parse().unwrap();
                let relay = Some(Ipv4Addr::new(198, 51, 100, 1));
                events
                    .send(EventRecord {
                        time,
                        address,
                        relay,
                        vlan: vec![200, 100],
                        ..EventRecord::now("granted")
                    })
                    .unwrap();
                reply.give(Happening { events: listening, log: None });
            }
            other => drop(other),
        }
    }

    fn lease(last: u8) -> Lease {
        Lease {
            address: Ipv4Addr::new(192, 0, 2, last),
            hw_address: "02:00:00:00:00:01".to_owned(),
            client_id: None,
            host_name: Some("\u{1b}[31mred".to_owned()),
            state: "leased".into(),
            subnet: "192.0.2.0/24".to_owned(),
            interface: "eth0".to_owned(),
            vlan: vec![],
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

    #[test]
    fn check_config_takes_a_good_file() {
        let scratch = Scratch::new("good");
        let file = scratch.0.join("x.toml");
        std::fs::write(
            &file,
            "[[interface]]\nname = 'e'\n[[subnet]]\nprefix = '192.0.2.0/24'\npools = ['192.0.2.10 - 192.0.2.20']\n",
        )
        .unwrap();
        let file = file.to_str().unwrap();
        let output = xdhcpd(&["check-config", file], None);
        assert_eq!(output.status.code(), Some(0));
        let expected =
            format!("{file}: good: 1 interface, 1 subnet, 11 addresses in pools, 0 reservations; takes ");
        assert!(stdout(&output).starts_with(&expected), "{}", stdout(&output));
        assert!(stdout(&output).ends_with("MiB when all addresses are leased\n"), "{}", stdout(&output));
        assert_eq!(stderr(&output), "");
        let output = xdhcpd(&["check-config", file, "--json"], None);
        let found = json_of(&output);
        assert_eq!((&found["valid"], &found["errors"]), (&json!(true), &json!([])));
        let octets = |what: &str| found["memory"][what].as_u64().unwrap();
        assert!((1..1 << 28).contains(&octets("at-start")) && octets("at-start") < octets("at-most"));
    }

    #[test]
    fn check_config_refuses_what_the_machine_can_not_hold() {
        let scratch = Scratch::new("huge");
        let file = scratch.0.join("x.toml");
        let subnets: String = (1..65)
            .map(|net| {
                format!(
                    "[[subnet]]\nprefix = '{net}.0.0.0/8'\npools = ['{net}.0.0.10 - {net}.255.255.200']\n"
                )
            })
            .collect();
        std::fs::write(&file, format!("[[interface]]\nname = 'e'\n{subnets}")).unwrap();
        let output = xdhcpd(&["check-config", file.to_str().unwrap()], None);
        assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
        assert!(stderr(&output).contains("make pools smaller"), "{}", stderr(&output));
        let output = xdhcpd(&["run", "--config", file.to_str().unwrap()], None);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("make pools smaller"), "{}", stderr(&output));
    }

    #[test]
    fn check_config_tells_every_error_and_its_line() {
        let scratch = Scratch::new("bad");
        let file = scratch.0.join("x.toml");
        std::fs::write(&file, "[[interface]]\nxdp = 'x'\n").unwrap();
        let file = file.to_str().unwrap();
        let output = xdhcpd(&["check-config", file], None);
        assert_eq!(output.status.code(), Some(1));
        // Below each stands the line of the file that it is about.
        let lines: Vec<_> = stderr(&output).lines().filter(|line| line.starts_with(file)).collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[1].starts_with(&format!("{file}:1:1: there is no [[subnet]]")));
        assert!(lines[0].starts_with(&format!("{file}:1:1: [[interface]] lacks `name`")));
        assert!(lines[2].starts_with(&format!("{file}:2:7: \"x\" is none of")));
        let output = xdhcpd(&["check-config", file, "--json"], None);
        let found = json_of(&output);
        assert_eq!((output.status.code(), found["valid"].as_bool()), (Some(1), Some(false)));
        assert_eq!(
            (found["errors"][2]["line"].as_u64(), found["errors"][2]["column"].as_u64()),
            (Some(2), Some(7))
        );

        let output = xdhcpd(&["check-config", "/nowhere/x.toml"], None);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("can't read /nowhere/x.toml"));
    }

    /// RFC 2132 §5.8: the default route is no static route.
    #[test]
    fn check_config_refuses_a_static_route_to_everywhere() {
        let scratch = Scratch::new("routes");
        let file = scratch.0.join("x.toml");
        let config = |routes: &str| {
            format!(
                "[[interface]]\nname = 'lo'\n[[subnet]]\nprefix = '192.0.2.0/24'\nserver-id = '192.0.2.1'\n\
                 pools = ['192.0.2.10 - 192.0.2.20']\n[subnet.options]\nstatic-routes = {routes}\n"
            )
        };
        let path = file.to_str().unwrap();
        let wrong = ["['0.0.0.0', '192.0.2.1']", "['198.51.100.1', '192.0.2.1', '0.0.0.0', '192.0.2.1']"];
        for routes in wrong {
            std::fs::write(&file, config(routes)).unwrap();
            let output = xdhcpd(&["check-config", path], None);
            assert_eq!(output.status.code(), Some(1), "{routes}: {}", stderr(&output));
            let said = stderr(&output).lines().find(|line| line.contains("0.0.0.0")).unwrap();
            assert!(said.starts_with(&format!("{path}:8:")), "{said}");
        }
        std::fs::write(&file, config("['198.51.100.1', '192.0.2.1']")).unwrap();
        let output = xdhcpd(&["check-config", path], None);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }

    #[test]
    fn the_shell_is_told_how_it_went() {
        let nowhere = xdhcpd(&["status"], Some(Path::new("/nowhere/control.sock")));
        assert_eq!(nowhere.status.code(), Some(3));
        assert!(stderr(&nowhere).starts_with("xdhcpd: can't reach xdhcpd at /nowhere/control.sock"));
        for words in [&["frobnicate"][..], &["lease", "show", "x"], &["lease"], &["check-config"], &[]] {
            assert_eq!(xdhcpd(words, None).status.code(), Some(2), "{words:?}");
        }
        let (no, unanswered) = with_daemon("status", |socket| {
            (xdhcpd(&["lease", "show", "192.0.2.99"], Some(socket)), xdhcpd(&["status"], Some(socket)))
        });
        assert_eq!(
            (no.status.code(), stdout(&no), stderr(&no)),
            (Some(1), "", "xdhcpd: 192.0.2.99 is not leased\n")
        );
        assert_eq!((unanswered.status.code(), stdout(&unanswered)), (Some(2), ""));
    }

    #[test]
    fn answers_in_json_are_whole() {
        let [leases, none, one, released] = with_daemon("json", |socket| {
            [
                &["leases", "--json"][..],
                &["pools", "--json"],
                &["lease", "show", "192.0.2.10", "--json"],
                &["lease", "release", "192.0.2.10", "--json"],
            ]
            .map(|words| xdhcpd(words, Some(socket)))
        });
        assert_eq!(json_of(&leases), json!([lease(10), lease(11)]));
        assert_eq!(json_of(&none), json!([]));
        assert_eq!(
            (json_of(&one)["kernel-renewals"].as_u64(), json_of(&one)["memos"][0]["lease-time"].as_u64()),
            (Some(7), Some(3600))
        );
        assert_eq!(
            json_of(&released),
            json!({"address": "192.0.2.10", "what": "released", "free": "at-once", "until": null})
        );
        assert!([leases, none, one, released].iter().all(|output| output.status.success()));
    }

    #[test]
    fn answers_for_people_are_tables() {
        let [leases, stats, released] = with_daemon("text", |socket| {
            [&["leases"][..], &["stats"], &["lease", "release", "192.0.2.10"]]
                .map(|words| xdhcpd(words, Some(socket)))
        });
        assert_eq!(
            stdout(&leases),
            "ADDRESS     MAC                HOST           STATE   EXPIRES\n\
             192.0.2.10  02:00:00:00:00:01  \\u{1b}[31mred  leased  2026-01-01T01:00:00Z\n\
             192.0.2.11  02:00:00:00:00:01  \\u{1b}[31mred  leased  2026-01-01T01:00:00Z\n"
        );
        assert_eq!(
            stdout(&stats),
            "WHERE   WHAT      WHICH      COUNT\n\
             kernel  acked     rebinding      0\n\
             kernel  acked     renewing      12\n\
             kernel  passed                   0\n\
             daemon  received  discover       3\n"
        );
        assert_eq!(stdout(&released), "192.0.2.10  released; the address is free\n");
    }

    #[test]
    fn an_audit_that_finds_something_says_no() {
        let [text, json] = with_daemon("audit", |socket| {
            [&["audit"][..], &["audit", "--json"]].map(|words| xdhcpd(words, Some(socket)))
        });
        assert_eq!((text.status.code(), json.status.code()), (Some(1), Some(1)));
        assert_eq!(stdout(&text), "192.0.2.12  the store has it leased, policy has not\n");
        assert_eq!(json_of(&json)["consistent"], false);
    }

    #[test]
    fn quarantine_is_listed_and_cleared() {
        let [list, clear] = with_daemon("quarantine", |socket| {
            [&["quarantine", "--json"][..], &["quarantine", "clear", "192.0.2.12"]]
                .map(|words| xdhcpd(words, Some(socket)))
        });
        assert_eq!((list.status.code(), json_of(&list)), (Some(0), json!([])));
        assert_eq!(
            (clear.status.code(), stderr(&clear)),
            (Some(1), "xdhcpd: 192.0.2.12 is not in quarantine\n")
        );
    }

    #[test]
    fn events_are_lines() {
        let [text, json] = with_daemon("events", |socket| {
            [&["events"][..], &["events", "--json"]].map(|words| xdhcpd(words, Some(socket)))
        });
        assert_eq!(
            stdout(&text),
            "2026-01-01T00:00:00.000Z granted 192.0.2.12 vlan 200, 100 through 198.51.100.1\n"
        );
        assert_eq!(json_of(&json)["what"], "granted");
    }

    /// A reader that has seen enough is no failure.
    #[test]
    fn output_may_be_cut_short() {
        let status = with_daemon("pipe", |socket| {
            let line =
                format!("\"$0\" leases --control {} | true; exit ${{PIPESTATUS[0]}}", socket.display());
            Command::new("bash").args(["-c", &line, env!("CARGO_BIN_EXE_xdhcpd")]).output().unwrap()
        });
        assert_eq!((status.status.code(), stderr(&status)), (Some(0), ""));
    }
}
