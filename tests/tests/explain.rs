//! `xdhcpd explain`: why a client's last request went up, and in what it differs from those that the kernel knows.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use system_tests::client::{Client, Request, append_option};
use system_tests::namespace::spelled;
use system_tests::paths::SERVER;
use system_tests::process::output;
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};
use system_tests::wire::Kind;

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

/// The kernel knows Ethernet only: what the daemon answers to another hardware type leaves the lease's slot to nobody.
#[test]
fn a_renewal_of_another_hardware_type_is_the_daemons() -> Result<()> {
    let lan = Lan::new("explain", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    // By its identifier it is the same client.
    let client = Client { client_id: Some(vec![0, b'b', b'o', b'x']), ..lan.client(1) };
    let lease = client.dora()?;
    client.renew(&lease)?;
    let mut request = client.renewing(&lease);
    request.message.htype = 6;
    ensure!(client.exchange(&request)?.kind == Kind::Ack);
    let mac = spelled(client.mac);
    for who in [lease.address.to_string(), format!("6/{mac}"), mac] {
        let said = server.json(&["explain", &who])?;
        ensure!(
            says(&said, "daemon", "unusual-header: ", &json!(["hardware type or length"])),
            "{who}: {said}"
        );
    }
    Ok(())
}

#[test]
fn who_was_not_heard_of_is_not_explained() -> Result<()> {
    let lan = Lan::new("explain", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    for who in ["10.0.0.10", "02:00:00:00:00:77", "printer"] {
        let output = output(&mut server.cli(&["explain", who])?)?;
        ensure!(output.status.code() == Some(1) && String::from_utf8(output.stderr)?.contains(who));
    }
    ensure!(output(&mut server.cli(&["explain", "hex:0"])?)?.status.code() == Some(2));
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

/// For each message that got no answer: which it was, where it came in, and why.
#[test]
fn what_got_no_answer_is_explained() -> Result<()> {
    let lan = Lan::new("explain", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let last = |mac: &str| -> Result<Value> {
        let said = server.json(&["explain", mac])?;
        let message = said["messages"].as_array().and_then(|all| all.last()).cloned();
        let message = message.with_context(|| format!("no messages: {said}"))?;
        ensure!(said["decided-by"] == "daemon" && said["why"] == message["why"], "{said}");
        Ok(message)
    };
    let mut number = 10;
    let mut silent = |why: &str, change: &dyn Fn(&mut Request)| -> Result<()> {
        number += 1;
        let client = lan.client(number);
        let mut request = client.discovering();
        change(&mut request);
        client.send(&request)?;
        let mac = spelled(client.mac);
        let said = until(&format!("{why} to be told"), PROMPT, || {
            let said = last(&mac).ok().filter(|said| said["why"].is_string());
            Ok(said)
        })?;
        ensure!(said["why"].as_str().is_some_and(|text| text.starts_with(why)), "{why}: {said}");
        ensure!(said["answered"].is_null() && said["interface"] == "srv0", "{said}");
        Ok(())
    };
    silent("other-server: ", &|request| {
        request.message.options = vec![53, 1, 3, 54, 4, 10, 0, 0, 99, 50, 4, 10, 0, 0, 11, 255];
    })?;
    silent("unknown-client: ", &|request| {
        request.message.options = vec![53, 1, 3, 50, 4, 10, 0, 0, 19, 255];
    })?;
    silent("no-address: ", &|request| request.message.options = vec![53, 1, 3, 255])?;
    silent("no-subnet: ", &|request| request.message.giaddr = [198, 51, 100, 9].into())?;
    silent("option-length: ", &|request| request.message.options = vec![53, 1, 1, 50, 1, 0, 255])?;
    silent("option-truncated: ", &|request| request.message.options = vec![53, 1, 1, 12, 200, b'a'])?;
    Ok(())
}

/// What no option differs in is named too.
#[test]
fn another_order_of_options_is_told() -> Result<()> {
    let lan = Lan::new("explain", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    let mut request = client.renewing(&lease);
    let options = &mut request.message.options;
    ensure!(options.starts_with(&[53, 1, 3]), "{options:?}");
    options.drain(..3);
    options.pop();
    options.extend([53, 1, 3, 255]);
    client.exchange(&request)?;
    let said = server.json(&["explain", &spelled(client.mac)])?;
    ensure!(
        says(&said, "daemon", "unknown-question: ", &json!(["order of options, or padding between them"])),
        "{said}"
    );
    let answered: Vec<_> =
        said["messages"].as_array().context("messages")?.iter().map(|heard| &heard["answered"]).collect();
    ensure!(answered == ["offer", "ack", "ack"], "{said}");
    Ok(())
}

/// What comes behind END, or what should and does not (RFC 2131 §4.1): no option differs then either.
#[test]
fn what_is_wrong_with_the_end_is_told() -> Result<()> {
    let lan = Lan::new("explain", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut request = client.renewing(&lease);
        change(&mut request.message.options);
        request
    };
    let cases = [
        ("octets after END", changed(&|area| area.extend([7, 7]))),
        ("octets after END", changed(&|area| area.extend([0, 0, 0, 1]))),
        ("no END", changed(&|area| area.truncate(area.len() - 1))),
    ];
    for (what, request) in cases {
        let acked = server.stats()?.all_kernel_acked()?;
        client.extend(&request, &lease)?;
        let said = server.json(&["explain", &spelled(client.mac)])?;
        ensure!(says(&said, "daemon", "unknown-question: ", &json!([what])), "{said}");
        ensure!(server.stats()?.all_kernel_acked()? == acked);
        // What it sends otherwise is known still.
        client.renew(&lease)?;
        ensure!(server.stats()?.all_kernel_acked()? == acked + 1, "{what}");
    }
    // One that lacks more than that.
    let mut bare = changed(&|area| area.truncate(area.len() - 1));
    bare.message.options.extend([12, 1, b'x']);
    client.extend(&bare, &lease)?;
    let said = server.json(&["explain", &spelled(client.mac)])?;
    ensure!(says(&said, "daemon", "unknown-question: ", &json!(["option 12", "no END"])), "{said}");
    Ok(())
}

/// Who decided is true right after each answer: within the second, and before the daemon has looked at what the kernel did.
#[test]
fn who_decided_is_true_at_every_instant() -> Result<()> {
    let lan = Lan::new("explain", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let (mac, lease) = (spelled(client.mac), client.dora()?);
    let address = lease.address.to_string();
    // The kernel may have forgotten the usual question for another one, but not twice in a row.
    let by_the_kernel = |round: u8| -> Result<()> {
        client.renew(&lease)?;
        let before = server.stats()?.kernel_acked("renewing")?;
        client.renew(&lease)?;
        ensure!(server.stats()?.kernel_acked("renewing")? == before + 1, "round {round}");
        for who in [&mac, &address] {
            let said = server.json(&["explain", who])?;
            ensure!(says(&said, "kernel", "its last request", &json!([])), "round {round}: {said}");
        }
        Ok(())
    };
    for round in 0..12 {
        by_the_kernel(round)?;
        let mut asked = client.renewing(&lease);
        append_option(&mut asked.message.options, 60, &[b'a' + round]);
        client.extend(&asked, &lease)?;
        for who in [&mac, &address] {
            let said = server.json(&["explain", who])?;
            let told = says(&said, "daemon", "unknown-question: ", &json!(["option 60"]));
            ensure!(told, "round {round}: {said}");
        }
        // What gets no answer is told, until the client is answered: in the same second, too.
        let mut stray = client.releasing(&lease);
        stray.message.options = vec![53, 1, 7, 54, 4, 10, 0, 0, 99, 255];
        client.send(&stray)?;
        until(&format!("the stray of round {round} to be told"), PROMPT, || {
            let said = server.json(&["explain", &mac])?;
            Ok(says(&said, "daemon", "other-server: ", &json!([])).then_some(()))
        })?;
        by_the_kernel(round)?;
    }
    Ok(())
}

/// What somebody asked for is explained by its address, too, though nobody has it.
#[test]
fn an_address_without_a_lease_is_explained_by_who_named_it() -> Result<()> {
    let lan = Lan::new("explain", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    for address in [[10, 0, 0, 19], [192, 0, 2, 7]] {
        let mut request = client.discovering();
        let [a, b, c, d] = address;
        request.message.options = vec![53, 1, 3, 50, 4, a, b, c, d, 54, 4, 10, 0, 0, 99, 255];
        client.send(&request)?;
        let address = std::net::Ipv4Addr::from(address).to_string();
        let said = until("it to be explained", PROMPT, || {
            Ok(server.json(&["explain", &address]).ok().filter(|said| said["messages"][0]["why"].is_string()))
        })?;
        ensure!(said["address"] == address && says(&said, "daemon", "other-server: ", &json!([])), "{said}");
        let last = said["messages"].as_array().and_then(|all| all.last()).context("no messages")?;
        ensure!(last["message"] == "request" && last["address"] == address, "{said}");
        let text = String::from_utf8(output(&mut server.cli(&["explain", &address])?)?.stdout)?;
        let heard = format!("request for {address} on srv0: no answer: other-server: ");
        ensure!(text.lines().any(|line| line.starts_with("heard ") && line.contains(&heard)), "{text}");
    }
    Ok(())
}

/// A message that got no answer is told of until the client is answered, be it by the kernel.
#[test]
fn the_kernels_answer_comes_after_a_message_that_got_none() -> Result<()> {
    let lan = Lan::new("explain", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let mac = spelled(client.mac);
    let lease = client.dora()?;
    let explain = || server.json(&["explain", &mac]);
    let by_the_kernel = || {
        client.renew(&lease)?;
        Ok(says(&explain()?, "kernel", "its last request", &json!([])).then_some(()))
    };
    until("a renewal to be the kernel's", PROMPT, by_the_kernel)?;

    let mut broken = client.discovering();
    broken.message.options = vec![53, 1, 1, 50, 1, 0, 255];
    let mut elsewhere = client.releasing(&lease);
    elsewhere.message.options = vec![53, 1, 7, 54, 4, 10, 0, 0, 99, 255];
    for (why, request) in [("option-length: ", broken), ("other-server: ", elsewhere)] {
        client.send(&request)?;
        until(&format!("{why} to be told"), PROMPT, || {
            Ok(says(&explain()?, "daemon", why, &json!([])).then_some(()))
        })?;
        until("a renewal to be the kernel's again", PROMPT, by_the_kernel)?;
    }

    client.send(&client.releasing(&lease))?;
    until("the release to be told", PROMPT, || {
        let text = String::from_utf8(output(&mut server.cli(&["explain", &mac])?)?.stdout)?;
        let taken = format!("release for {} on srv0: it asks for no answer", lease.address);
        Ok(text.contains(&taken).then_some(()))
    })?;
    Ok(())
}

/// Who answered last outlives the daemon: what it was told of by the kernel, and what happened while it was away.
#[test]
fn who_answered_last_is_true_after_a_restart() -> Result<()> {
    let lan = Lan::new("explain", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNET)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    fn shown(server: &Server, address: std::net::Ipv4Addr) -> Result<Value> {
        server.lease(address)?.context("the lease")
    }
    let last =
        |server: &Server| Ok::<_, anyhow::Error>(shown(server, lease.address)?["last-answered-by"].take());
    for round in 0..6 {
        let renewals = shown(&server, lease.address)?["kernel-renewals"].as_u64();
        until("a renewal to be the kernel's", PROMPT, || {
            client.renew(&lease)?;
            Ok((shown(&server, lease.address)?["kernel-renewals"].as_u64() > renewals).then_some(()))
        })?;
        if round % 2 == 0 {
            server.stop()?;
        } else {
            server.crash()?;
        }
        server.start_again()?;
        for _ in 0..3 {
            ensure!(last(&server)? == "kernel", "round {round}: the kernel answered before the restart");
        }
        let mut asked = client.renewing(&lease);
        append_option(&mut asked.message.options, 60, &[b'a' + round]);
        client.extend(&asked, &lease)?;
        ensure!(last(&server)? == "daemon", "round {round}: the daemon has answered");
        server.crash()?;
        server.start_again()?;
        ensure!(last(&server)? == "daemon", "round {round}: the daemon answered before the restart");
        server.crash()?;
        // The kernel may have forgotten its usual question for that one, but knows this.
        client.extend(&asked.again(), &lease)?;
        server.start_again()?;
        ensure!(last(&server)? == "kernel", "round {round}: the kernel answered while the daemon was away");
        client.renew(&lease)?;
    }
    Ok(())
}

/// Of a lease that ran out, too, as long as its address is in grace.
#[test]
fn who_answered_last_is_true_of_a_lease_that_ran_out() -> Result<()> {
    let lan = Lan::new("explain", SERVER, 24)?;
    let subnet = SUBNET.replace("lease-time = \"10m\"", "lease-time = \"3s\"");
    let mut server = Server::start(&lan, Xdp::Native, &subnet)?;
    let client = lan.client(1);
    let lease = client.dora()?;
    until("a renewal to be the kernel's", PROMPT, || {
        client.renew(&lease)?;
        Ok((server.stats()?.kernel_acked("renewing")? > 0).then_some(()))
    })?;
    until("the lease to run out", PROMPT, || Ok((server.pool_count("grace")? == 1).then_some(())))?;
    for way in ["before a restart", "after one"] {
        let shown = server.lease(lease.address)?.context("the lease")?;
        ensure!(shown["state"] == "grace" && shown["last-answered-by"] == "kernel", "{way}: {shown}");
        server.crash()?;
        server.start_again()?;
    }
    ensure!(client.dora()?.address == lease.address);
    let shown = server.lease(lease.address)?.context("the lease")?;
    ensure!(shown["state"] == "leased" && shown["last-answered-by"] == "daemon", "{shown}");
    Ok(())
}
