//! `xdhcpd explain`: why a client's last request went up, and in what it differs from those that the kernel knows.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use system_tests::client::append_option;
use system_tests::namespace::spelled;
use system_tests::paths::SERVER;
use system_tests::process::output;
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.20"]
lease-time = "10m"
options = { routers = ["10.0.0.1"] }
"#;

fn says(explanation: &Value, by: &str, why: &str, differs: &Value) -> bool {
    explanation["decided-by"] == by
        && explanation["why"].as_str().is_some_and(|text| text.starts_with(why))
        && explanation["differs"] == *differs
}

#[test]
fn the_last_request_is_explained() -> Result<()> {
    let lan = Lan::new("explain", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let mac = spelled(client.mac);
    let lease = client.dora()?;
    let address = lease.address.to_string();
    let explain = |who: &str| server.json(&["explain", who]);

    let selecting = explain(&mac)?;
    ensure!(
        selecting["address"] == address && says(&selecting, "daemon", "request: ", &json!([])),
        "{selecting}"
    );
    until("a renewal to be the kernel's", PROMPT, || {
        client.renew(&lease)?;
        Ok(says(&explain(&address)?, "kernel", "its last request", &json!([])).then_some(()))
    })?;

    let mut named = client.renewing(&lease);
    append_option(&mut named.message.options, 12, b"printer");
    let cases: [(_, _); 2] = [(named, json!(["option 12"])), {
        let mut wishes = client.renewing(&lease);
        let at =
            wishes.message.options.windows(2).position(|pair| pair == [55, 6]).context("no option 55")?;
        wishes.message.options[at + 2] = 42;
        (wishes, json!(["option 55"]))
    }];
    for (request, differs) in cases {
        client.exchange(&request)?;
        for who in [&mac, &address] {
            let said = explain(who)?;
            ensure!(says(&said, "daemon", "unknown-question: ", &differs), "{said}");
        }
        // The kernel's renewals of the same second leave no trace.
        until("a repeated request to be the kernel's", PROMPT, || {
            client.exchange(&request)?;
            Ok(says(&explain(&mac)?, "kernel", "its last request", &json!([])).then_some(()))
        })?;
    }
    Ok(())
}

#[test]
fn who_was_not_heard_of_is_not_explained() -> Result<()> {
    let lan = Lan::new("explain", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    for who in ["10.0.0.10", "02:00:00:00:00:77"] {
        let output = output(&mut server.cli(&["explain", who])?)?;
        ensure!(output.status.code() == Some(1) && String::from_utf8(output.stderr)?.contains(who));
    }
    ensure!(output(&mut server.cli(&["explain", "printer"])?)?.status.code() == Some(2));
    Ok(())
}

/// Who answered last is told as it is, whenever it is asked for: between two answers, and whether or not the daemon has come
/// to look at what the kernel did.
#[test]
fn who_answered_last_is_true_at_every_instant() -> Result<()> {
    let lan = Lan::new("explain", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    let last = || {
        Ok::<_, anyhow::Error>(server.lease(lease.address)?.context("the lease")?["last-answered-by"].take())
    };
    client.renew(&lease)?;
    for round in 0..12 {
        let before = server.stats()?.kernel_acked("renewing")?;
        client.renew(&lease)?;
        ensure!(
            server.stats()?.kernel_acked("renewing")? == before + 1,
            "round {round}: the kernel forgot it"
        );
        ensure!(last()? == "kernel", "round {round}: the kernel has answered");
        let mut asked = client.renewing(&lease);
        append_option(&mut asked.message.options, 60, &[b'a' + round]);
        client.extend(&asked, &lease)?;
        for _ in 0..3 {
            ensure!(last()? == "daemon", "round {round}: the daemon has answered");
        }
        // The kernel's memo of the usual question may have given way to this one.
        client.renew(&lease)?;
    }
    Ok(())
}
