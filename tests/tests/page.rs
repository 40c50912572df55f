//! The page at `metrics-listen`, in a real browser: it shows what there is, finds clients, and runs nothing that a client
//! has named itself.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Instant;
use system_tests::browser::browser;
use system_tests::client::{Client, Lease, Via, append_option, granted};
use system_tests::http::{ask, connect, escaped, get};
use system_tests::namespace::spelled;
use system_tests::paths::SERVER;
use system_tests::process::run;
use system_tests::server::{Server, Xdp};
use system_tests::topology::{AGENT_MAC, Lan};
use system_tests::wait::{PROMPT, until};

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/16"
pools = ["10.0.0.10 - 10.0.0.41", "10.0.1.0 - 10.0.1.255"]
lease-time = "10m"

[[subnet]]
prefix = "10.9.0.0/24"
pools = ["10.9.0.10 - 10.9.0.99"]
"#;

/// What a client may call itself, and what a relay may call a port, to have a browser do something.
const HOSTILE: &str = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">";

fn address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 19067).into()
}

fn start(lan: &Lan) -> Result<Server<'_>> {
    Server::with_settings(lan, Xdp::Native, "metrics-listen = \"127.0.0.1:19067\"", SUBNET)
}

/// A lease of a client that calls itself so.
fn named(client: &Client<'_>, name: &str) -> Result<Lease> {
    let mut selecting = client.selecting(&client.discover()?)?;
    append_option(&mut selecting.message.options, 12, name.as_bytes());
    client.send(&selecting)?;
    granted(&client.answer(&selecting, Instant::now() + PROMPT)?.context("an ACK")?)
}

#[test]
fn a_browser_shows_what_there_is_and_runs_nothing_of_a_clients_name() -> Result<()> {
    let lan = Lan::new("page", SERVER, 16)?;
    let _server = start(&lan)?;
    let printer = lan.client(1);
    let lease = named(&printer, "printer-2")?;
    printer.renew(&lease)?;
    let hostile = Client {
        client_id: Some([b"\0", HOSTILE.as_bytes()].concat()),
        via: Via::Relay {
            mac: AGENT_MAC,
            address: Ipv4Addr::new(10, 9, 0, 1),
            agent_info: Some([&[1, u8::try_from(HOSTILE.len())?][..], HOSTILE.as_bytes()].concat()),
        },
        ..lan.client(2)
    };
    let got = named(&hostile, HOSTILE)?;
    for number in 3..21 {
        lan.client(number).dora()?;
    }
    let found = |what: &str| {
        let url = format!("http://127.0.0.1:19067/?still#{}", escaped(what));
        run(&mut browser(&lan, &url, &["--dump-dom"]))
    };
    let shown = found(&spelled(printer.mac))?;
    for expected in [
        "<title>xdhcpd</title>",
        "srv0 (up, xdp native)",
        "10.0.0.10 - 10.0.0.41",
        "13 of 32 free",
        // What `explain` and `leases` say of the client.
        "its last request was answered in the kernel",
        &format!("<td>{}</td>", lease.address),
        "<td>printer-2</td>",
    ] {
        ensure!(shown.contains(expected), "no {expected:?} in {shown}");
    }
    for what in [HOSTILE.to_owned(), spelled(hostile.mac), got.address.to_string()] {
        let shown = found(&what)?;
        ensure!(shown.contains(&format!("<td>{}</td>", got.address)), "{what}: {shown}");
        ensure!(!shown.contains("<img") && shown.contains("<title>xdhcpd</title>"), "{what}: {shown}");
        ensure!(shown.matches("<script").count() == 1, "{what}: {shown}");
    }
    Ok(())
}

/// The next message of a kind that a page is told.
fn next(lines: &mut impl BufRead, kind: &str) -> Result<Value> {
    let mut line = String::new();
    let mut is_next = false;
    loop {
        line.clear();
        ensure!(lines.read_line(&mut line)? > 0, "the stream has ended");
        match line.trim_end().strip_prefix("data: ") {
            Some(data) if is_next => return Ok(serde_json::from_str(data)?),
            _ => is_next |= line.trim_end() == format!("event: {kind}"),
        }
    }
}

#[test]
fn an_open_page_is_told_what_happens() -> Result<()> {
    let lan = Lan::new("page", SERVER, 16)?;
    let _server = start(&lan)?;
    let mut stream = connect(&lan.server, address())?;
    stream.write_all(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut lines = BufReader::new(stream);
    ensure!(next(&mut lines, "history")?.is_array());
    let figures = next(&mut lines, "figures")?;
    ensure!(
        figures["status"]["leases"] == 0 && figures["pools"].as_array().is_some_and(|all| all.len() == 3),
        "{figures}"
    );
    let client = lan.client(1);
    let lease = client.dora()?;
    let mut event = next(&mut lines, "happened")?;
    // The thread that writes events may come to the daemon's own start after the page has opened.
    if event["what"] == "started" {
        event = next(&mut lines, "happened")?;
    }
    ensure!(event["what"] == "granted" && event["address"] == lease.address.to_string(), "{event}");
    until("the lease to be among the figures", PROMPT, || {
        let figures = next(&mut lines, "figures")?;
        Ok((figures["status"]["leases"] == 1 && figures["sample"][4] == 2).then_some(()))
    })
}

#[test]
fn a_client_is_found_by_what_is_known_of_it() -> Result<()> {
    let lan = Lan::new("page", SERVER, 16)?;
    let _server = start(&lan)?;
    let printer = lan.client(1);
    let lease = named(&printer, "Printer-2")?;
    let behind = Client {
        via: Via::Relay {
            mac: AGENT_MAC,
            address: Ipv4Addr::new(10, 9, 0, 1),
            agent_info: Some(b"\x01\x08Eth-0/12".to_vec()),
        },
        ..lan.client(2)
    };
    let relayed = behind.dora()?;
    let search = |text: &str| -> Result<Value> {
        let answer = get(&lan.server, address(), &format!("/search?q={}", escaped(text)))?;
        ensure!(answer.status == 200, "{text}: {answer:?}");
        Ok(serde_json::from_str(&answer.body)?)
    };
    let mac = spelled(printer.mac);
    for text in [mac.as_str(), &mac.replace(':', "-"), "printer", &lease.address.to_string()] {
        let found = search(text)?;
        ensure!(found["leases"][0]["address"] == lease.address.to_string(), "{text}: {found}");
        ensure!(found["leases"].as_array().is_some_and(|leases| leases.len() == 1), "{text}: {found}");
    }
    ensure!(search(&mac)?["explanation"]["messages"].as_array().is_some_and(|heard| heard.len() == 2));
    for text in ["eth-0/12", "45:74:68:2d:30:2f:31:32"] {
        let found = search(text)?;
        ensure!(found["leases"][0]["address"] == relayed.address.to_string(), "{text}: {found}");
    }
    ensure!(search("nobody")?["note"].is_string());
    for wrong in ["/search", "/search?q=", "/search?q=%zz", &format!("/search?q={}", "x".repeat(201))] {
        ensure!(get(&lan.server, address(), wrong)?.status == 400, "{wrong}");
    }
    Ok(())
}

#[test]
fn the_page_is_for_those_who_are_meant_and_runs_nothing_else() -> Result<()> {
    let lan = Lan::new("page", SERVER, 16)?;
    let _server = start(&lan)?;
    let page = get(&lan.server, address(), "/")?;
    let policy = page.header("content-security-policy").context("a policy")?;
    ensure!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe") && !policy.contains('*'),
        "{policy}"
    );
    let nonce = policy.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).context("a nonce")?;
    ensure!(nonce.len() == 32 && page.body.contains(&format!("<script nonce=\"{nonce}\">")));
    let again = get(&lan.server, address(), "/")?;
    ensure!(!again.body.contains(nonce), "each page has its own");
    ensure!(page.header("set-cookie").is_none() && page.header("x-frame-options") == Some("DENY"));
    for path in ["/", "/live", "/search?q=x"] {
        let foreign = format!("GET {path} HTTP/1.1\r\nHost: evil.example:19067\r\nConnection: close\r\n\r\n");
        ensure!(ask(&lan.server, address(), &foreign)?.status == 421, "{path}");
        let post = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        ensure!(ask(&lan.server, address(), &post)?.status == 405, "{path}");
    }
    // Pages that are open and read nothing take the places of pages, and no others.
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut stream = connect(&lan.server, address())?;
        stream.write_all(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut first = String::new();
        BufReader::new(stream.try_clone()?).read_line(&mut first)?;
        ensure!(first.contains("200"), "{first}");
        open.push(stream);
    }
    let refused = get(&lan.server, address(), "/live")?;
    ensure!(refused.status == 503 && refused.body.contains("too many pages"), "{refused:?}");
    ensure!(get(&lan.server, address(), "/metrics")?.status == 200);
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    drop(open);
    until("a place for a page", 2 * PROMPT, || {
        let mut stream = connect(&lan.server, address())?;
        stream.write_all(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut first = String::new();
        BufReader::new(stream).read_line(&mut first)?;
        Ok(first.contains("200").then_some(()))
    })
}

/// The picture in the documents: `XDHCPD_PICTURES=dhcp-user/docs/images cargo test -p system-tests --test page -- --ignored`.
#[test]
#[ignore = "it writes a document"]
fn a_picture_of_the_page() -> Result<()> {
    let Ok(dir) = std::env::var("XDHCPD_PICTURES") else { bail!("XDHCPD_PICTURES says where it is to go") };
    let lan = Lan::new("page", SERVER, 16)?;
    let _server = start(&lan)?;
    let client = lan.client(1);
    let lease = named(&client, "printer-2.example.org")?;
    for number in 2..30 {
        lan.client(number).dora()?;
    }
    let mut picture = {
        let path = Path::new(&dir).join("page.png");
        let url = format!("http://127.0.0.1:19067/?still#{}", spelled(client.mac));
        let picture = format!("--screenshot={}", path.display());
        browser(&lan, &url, &[&picture, "--window-size=900,860", "--hide-scrollbars"])
    };
    // Some samples' worth of renewals, and newcomers, who go on while the picture is taken.
    let (begun, mut number, mut taking) = (Instant::now(), 30, None);
    loop {
        client.renew(&lease)?;
        number += 1;
        if number % 40 == 0 {
            let newcomer = lan.client(number);
            newcomer.release(&newcomer.dora()?)?;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        if taking.is_none() && begun.elapsed().as_secs() > 100 {
            taking = Some(picture.spawn()?);
        }
        if let Some(browser) = &mut taking
            && let Some(ended) = browser.try_wait()?
        {
            ensure!(ended.success());
            return Ok(());
        }
    }
}
