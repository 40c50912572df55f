//! Metrics by HTTP: a real Prometheus reads them all, dashboard and rules ask for existing series, and no connection
//! to that socket holds up a DHCP client.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use system_tests::browser::browser;
use system_tests::client::{Client, Lease};
use system_tests::http::{Answer, ask, connect, escaped, get, read};
use system_tests::paths::SERVER;
use system_tests::process::{Process, output, run};
use system_tests::server::{Launch, Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/16"
pools = ["10.0.0.10 - 10.0.0.250", "10.0.1.0 - 10.0.1.255"]
lease-time = "10m"
"#;

const LISTEN: &str = "metrics-listen = \"127.0.0.1:19067\"";

fn address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 19067).into()
}

fn start<'a>(lan: &'a Lan, xdp: Xdp) -> Result<Server<'a>> {
    Server::with_settings(lan, xdp, LISTEN, SUBNET)
}

fn metrics(lan: &Lan) -> Result<Answer> {
    get(&lan.server, address(), "/metrics")
}

/// The value of a series, as a scrape has it.
fn value(page: &str, series: &str) -> Result<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("no {series} in {page}"))?.parse()?)
}

fn dashboards() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dhcp-user/packaging/dashboards")
}

/// A lease that the kernel renews.
fn renewed<'a>(lan: &'a Lan) -> Result<(Client<'a>, Lease)> {
    let client = lan.client(1);
    let lease = client.dora()?;
    client.renew(&lease)?;
    Ok((client, lease))
}

#[test]
fn what_happened_is_told_in_figures() -> Result<()> {
    let lan = Lan::new("metrics", SERVER, 16)?;
    let server = start(&lan, Xdp::Native)?;
    let (client, lease) = renewed(&lan)?;
    lan.client(2).discover()?;
    // For a server that it names, and that is not this one.
    let mut foreign = lan.client(3).rebooting(Ipv4Addr::new(10, 0, 0, 20));
    system_tests::client::append_option(&mut foreign.message.options, 54, &[10, 0, 0, 99]);
    client.send(&foreign)?;
    let counted = until("the message to be counted", PROMPT, || {
        let page = metrics(&lan)?;
        Ok(page.body.contains("xdhcpd_unanswered_total{reason=\"other-server\"} 1").then_some(page))
    })?;
    ensure!(
        counted.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text"))
    );
    let page = counted.body;
    ensure!(page.ends_with("# EOF\n"), "{page}");
    for (series, expected) in [
        ("xdhcpd_leases", 1.0),
        ("xdhcpd_trouble", 0.0),
        ("xdhcpd_kernel_answered_total{state=\"renewing\"}", 1.0),
        ("xdhcpd_kernel_dropped_total{reason=\"fresh-full\"}", 0.0),
        ("xdhcpd_received_total{message=\"discover\"}", 2.0),
        ("xdhcpd_sent_total{message=\"offer\"}", 2.0),
        ("xdhcpd_sent_total{message=\"ack\"}", 1.0),
        ("xdhcpd_renewals_received_total", 0.0),
        ("xdhcpd_ring_size_bytes{ring=\"begun\"}", f64::from(4 << 20)),
        ("xdhcpd_ring_waiting_bytes{ring=\"fresh\"}", 0.0),
        ("xdhcpd_interface_up{interface=\"srv0\"}", 1.0),
        ("xdhcpd_interface_attached{interface=\"srv0\",xdp=\"native\"}", 1.0),
        ("xdhcpd_driver_answers_total{interface=\"srv0\",outcome=\"failed\"}", 0.0),
        ("xdhcpd_store_records", 1.0),
        ("xdhcpd_commits_failed_total", 0.0),
    ] {
        ensure!(value(&page, series)? == expected, "{series} is not {expected}: {page}");
    }
    let pool = |state: &str| {
        let of = "subnet=\"10.0.0.0/16\",pool=\"10.0.0.10 - 10.0.0.250\"";
        value(&page, &format!("xdhcpd_pool_addresses{{{of},state=\"{state}\"}}"))
    };
    ensure!(pool("leased")? == 1.0 && pool("offered")? == 1.0 && pool("free")? == 239.0, "{page}");
    ensure!(value(&page, "xdhcpd_commit_seconds_count")? >= 1.0);
    ensure!(value(&page, "xdhcpd_commit_changes_sum")? >= 1.0);
    ensure!(value(&page, "xdhcpd_decision_seconds_count")? >= 4.0, "each message is measured");
    ensure!(value(&page, "xdhcpd_decision_seconds_bucket{le=\"+Inf\"}")? >= 4.0);
    let deciding = page.lines().filter(|line| line.starts_with("xdhcpd_stages_total{stage=\"deciding\""));
    let deciding = deciding.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    ensure!(deciding.sum::<f64>() >= 4.0, "what the thread is at is timed: {page}");
    ensure!(value(&page, "xdhcpd_store_bytes")? >= f64::from(4 << 20));
    // It can be asked for by a relay's question in the daemon.
    client.release(&lease)?;
    until("the release to be told", PROMPT, || {
        Ok((value(&metrics(&lan)?.body, "xdhcpd_leases")? == 0.0).then_some(()))
    })?;

    let kea = get(&lan.server, address(), "/metrics/kea")?;
    for (series, expected) in [
        ("kea_dhcp4_packets_received_total{operation=\"discover\"}", 2.0),
        // One that selects, one that renews in the kernel, one for another server.
        ("kea_dhcp4_packets_received_total{operation=\"request\"}", 3.0),
        ("kea_dhcp4_packets_received_total{operation=\"drop\"}", 1.0),
        ("kea_dhcp4_packets_sent_total{operation=\"ack\"}", 2.0),
    ] {
        ensure!(value(&kea.body, series)? == expected, "{series} is not {expected}: {}", kea.body);
    }
    let subnet = "{subnet=\"10.0.0.0/16\",subnet_id=\"1\",prefix=\"10.0.0.0/16\"}";
    ensure!(value(&kea.body, &format!("kea_dhcp4_addresses_total{subnet}"))? == 241.0 + 256.0);
    drop(server);
    Ok(())
}

/// A Prometheus in the server's namespace that scrapes both pages each second.
fn prometheus(lan: &Lan) -> Result<Process> {
    let dir = lan.world.dir();
    let rules = dashboards().join("xdhcpd.rules.yml");
    let config = lan.world.write(
        "prometheus.yml",
        &format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [\"{}\"]\nscrape_configs:\n\
             - {{ job_name: xdhcpd, static_configs: [{{ targets: [\"127.0.0.1:19067\"] }}] }}\n\
             - {{ job_name: kea, metrics_path: /metrics/kea, static_configs: [{{ targets: [\"127.0.0.1:19067\"] }}] }}\n",
            rules.display()
        ),
    )?;
    run(Command::new("promtool").args(["check", "config"]).arg(&config))?;
    let mut command = lan.server.command("prometheus");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("prometheus").display()))
        .arg("--web.listen-address=127.0.0.1:19090");
    let mut prometheus = Process::start("prometheus", command, &dir.join("prometheus.log"))?;
    prometheus.hush();
    Ok(prometheus)
}

/// What Prometheus answers.
fn asked(lan: &Lan, path: &str) -> Result<Value> {
    let answer = get(&lan.server, (Ipv4Addr::LOCALHOST, 19090).into(), path)?;
    let said: Value =
        serde_json::from_str(&answer.body).with_context(|| format!("{path}: {}", answer.body))?;
    ensure!(said["status"] == "success", "{path}: {said}");
    Ok(said["data"].clone())
}

/// All expressions of the dashboard, for one server.
fn panels() -> Result<Vec<String>> {
    let board: Value = serde_json::from_str(&fs::read_to_string(dashboards().join("xdhcpd.json"))?)?;
    let panels = board["panels"].as_array().context("a dashboard has panels")?.iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions = targets.filter_map(|target| target["expr"].as_str());
    Ok(expressions.map(|text| text.replace("$__rate_interval", "10s").replace("$instance", ".*")).collect())
}

#[test]
fn a_prometheus_reads_all_of_it_and_dashboard_and_rules_find_what_they_ask_for() -> Result<()> {
    let lan = Lan::new("metrics", SERVER, 16)?;
    let _server = start(&lan, Xdp::Native)?;
    let (client, lease) = renewed(&lan)?;
    let _prometheus = prometheus(&lan)?;
    until("both pages to be scraped", 4 * PROMPT, || {
        let Ok(targets) = asked(&lan, "/api/v1/targets") else { return Ok(None) };
        let targets = targets["activeTargets"].as_array().context("targets")?.clone();
        if targets.len() < 2 || targets.iter().any(|target| target["health"] == "unknown") {
            return Ok(None);
        }
        let fine = targets.iter().all(|target| target["health"] == "up" && target["lastError"] == "");
        ensure!(fine, "{targets:?}");
        Ok(Some(()))
    })?;
    // A rate needs two scrapes, and something that happens between them.
    until("the share in the kernel to be told", 4 * PROMPT, || {
        client.renew(&lease)?;
        let share = asked(&lan, "/api/v1/query?query=xdhcpd%3Arenewals_in_kernel%3Aratio5m")?;
        Ok((share["result"][0]["value"][1] == "1").then_some(()))
    })?;
    let page = metrics(&lan)?.body;
    let kept: BTreeSet<String> = asked(&lan, "/api/v1/label/__name__/values")?
        .as_array()
        .context("names")?
        .iter()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    let told =
        page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next());
    for name in told {
        ensure!(kept.contains(name), "Prometheus has no {name}: {kept:?}");
    }
    ensure!(kept.contains("kea_dhcp4_addresses_assigned_total"), "{kept:?}");

    let mut without = Vec::new();
    for expression in panels()? {
        let found = asked(&lan, &format!("/api/v1/query?query={}", escaped(&expression)))?;
        if found["result"].as_array().is_none_or(Vec::is_empty) {
            without.push(expression);
        }
    }
    // What nothing was lost or refused for shows nothing.
    let quiet = |text: &String| {
        ["_unanswered_", "_interface_lost_", "_sent_up_"].iter().any(|what| text.contains(what))
    };
    ensure!(without.iter().all(quiet), "panels without anything to show: {without:#?}");

    let rules = until("the rules to be looked at", 4 * PROMPT, || {
        let groups = asked(&lan, "/api/v1/rules")?;
        let rules = groups["groups"][0]["rules"].as_array().context("rules")?.clone();
        Ok(rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules))
    })?;
    ensure!(rules.len() > 10 && rules.iter().all(|rule| rule["health"] == "ok"), "{rules:?}");
    let firing: Vec<&Value> = rules.iter().filter(|rule| rule["state"] == "firing").collect();
    ensure!(firing.is_empty(), "nothing is wrong here: {firing:?}");
    Ok(())
}

/// The picture in the documents: `XDHCPD_PICTURES=dhcp-user/docs/images cargo test -p system-tests --test metrics -- --ignored`.
#[test]
#[ignore = "it writes a document"]
fn a_picture_of_the_figures_in_prometheus() -> Result<()> {
    let Ok(dir) = std::env::var("XDHCPD_PICTURES") else { bail!("XDHCPD_PICTURES says where it is to go") };
    let lan = Lan::new("metrics", SERVER, 16)?;
    let _server = start(&lan, Xdp::Native)?;
    let (client, lease) = renewed(&lan)?;
    let _prometheus = prometheus(&lan)?;
    // Panels of the dashboard.
    let shown = ["xdhcpd_kernel_answered_total", "xdhcpd_received_total"];
    let all = panels()?;
    let mut url = "http://127.0.0.1:19090/graph?".to_owned();
    for (number, name) in shown.iter().enumerate() {
        let by = |panel: &&String| panel.starts_with("sum by") && panel.contains(name);
        let panel = all.iter().find(by).with_context(|| format!("no panel of {name}"))?;
        url += &format!("g{number}.expr={}&g{number}.tab=0&g{number}.range_input=2m&", escaped(panel));
    }
    let picture = format!("--screenshot={}", Path::new(&dir).join("prometheus.png").display());
    let mut picture = browser(&lan, &url, &[&picture, "--window-size=1000,1700", "--hide-scrollbars"]);
    // Renewals at two rates, and newcomers, who go on while the picture is taken.
    let (begun, mut number, mut taking) = (Instant::now(), 1, None);
    loop {
        client.renew(&lease)?;
        number += 1;
        if number % 50 == 0 {
            lan.client(number / 50 + 1).dora()?;
        }
        let is_busy = begun.elapsed().as_secs() / 20 % 2 == 0;
        std::thread::sleep(Duration::from_millis(if is_busy { 10 } else { 25 }));
        if taking.is_none() && begun.elapsed().as_secs() > 120 {
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

/// What the figures look like when something is wrong, and whom that wakes.
const WRONG: &str = r#"
rule_files: [RULES]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - { series: 'xdhcpd_trouble{instance="a"}', values: '0x10 1x30' }
      - { series: 'xdhcpd_commits_failed_total{instance="a"}', values: '0x10 1+1x30' }
      - { series: 'xdhcpd_pool_addresses{instance="a",subnet="s",pool="p",state="free"}', values: '20x10 0x30' }
      - { series: 'xdhcpd_pool_addresses{instance="a",subnet="s",pool="p",state="leased"}', values: '80x10 100x30' }
      - { series: 'xdhcpd_kernel_dropped_total{instance="a",reason="fresh-full"}', values: '0x10 60+60x30' }
      - { series: 'xdhcpd_driver_answers_total{instance="a",interface="eth0",outcome="failed"}', values: '0x10 60+60x30' }
      - { series: 'up{job="xdhcpd",instance="b"}', values: '1x10 0x30' }
    alert_rule_test:
      - { alertname: DhcpTrouble, eval_time: 9m, exp_alerts: [] }
      - { alertname: DhcpPoolFull, eval_time: 9m, exp_alerts: [] }
      - { alertname: DhcpRingsFull, eval_time: 9m, exp_alerts: [] }
      - { alertname: DhcpDown, eval_time: 9m, exp_alerts: [] }
    promql_expr_test:
      - expr: 'count by (alertname) (ALERTS{alertstate="firing"})'
        eval_time: 30m
        exp_samples:
          - { labels: '{alertname="DhcpTrouble"}', value: 1 }
          - { labels: '{alertname="DhcpCommitsFail"}', value: 1 }
          - { labels: '{alertname="DhcpPoolFull"}', value: 1 }
          - { labels: '{alertname="DhcpPoolNearlyFull"}', value: 1 }
          - { labels: '{alertname="DhcpRingsFull"}', value: 1 }
          - { labels: '{alertname="DhcpAnswersLost"}', value: 1 }
          - { labels: '{alertname="DhcpDown"}', value: 1 }
"#;

#[test]
fn what_is_wrong_wakes_somebody_and_what_is_not_does_not() -> Result<()> {
    let lan = Lan::new("metrics", SERVER, 16)?;
    let rules = dashboards().join("xdhcpd.rules.yml").canonicalize()?;
    let test = lan.world.write("test.yml", &WRONG.replace("RULES", &format!("\"{}\"", rules.display())))?;
    run(Command::new("promtool").args(["test", "rules"]).arg(test))?;
    Ok(())
}

/// However many pools there are, the page does not grow beyond a bound, and its sums are right.
#[test]
fn of_very_many_pools_the_rest_are_told_as_one() -> Result<()> {
    let lan = Lan::new("metrics", SERVER, 16)?;
    let subnet = |number: u32| {
        let [.., high, low] = number.to_be_bytes();
        format!(
            "[[subnet]]\nprefix = \"11.{high}.{low}.0/24\"\npools = [\"11.{high}.{low}.10 - 11.{high}.{low}.19\"]\n"
        )
    };
    let many: String = (0..1200).map(subnet).collect();
    let _server = Server::with_settings(&lan, Xdp::Off, LISTEN, &format!("{SUBNET}{many}"))?;
    let page = metrics(&lan)?.body;
    let others = "xdhcpd_pool_addresses{subnet=\"others\",pool=\"others\",state=\"free\"}";
    // Two of the first subnet, and 998 more, stand for themselves.
    ensure!(value(&page, others)? == 2020.0, "{page}");
    ensure!(page.lines().filter(|line| line.starts_with("xdhcpd_pool_addresses{")).count() == 6 * 1001);
    Ok(())
}

#[test]
fn what_is_asked_otherwise_is_refused() -> Result<()> {
    let lan = Lan::new("metrics", SERVER, 16)?;
    let _server = start(&lan, Xdp::Off)?;
    let status = |request: &str| Ok::<u16, anyhow::Error>(ask(&lan.server, address(), request)?.status);
    let host = "Host: 127.0.0.1:19067\r\nConnection: close\r\n\r\n";
    ensure!(status(&format!("GET /metrics HTTP/1.1\r\n{host}"))? == 200);
    ensure!(status(&format!("GET /nothing HTTP/1.1\r\n{host}"))? == 404);
    ensure!(status(&format!("GET /metrics/../etc/passwd HTTP/1.1\r\n{host}"))? == 404);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        ensure!(status(&format!("{method} /metrics HTTP/1.1\r\n{host}"))? == 405, "{method}");
    }
    let head = ask(&lan.server, address(), &format!("HEAD /metrics HTTP/1.1\r\n{host}"))?;
    ensure!(head.status == 200 && head.body.is_empty(), "{head:?}");
    // A page whose name leads here, by mistake or on purpose.
    for foreign in ["evil.example", "evil.example:19067", "localhost.evil.example", ""] {
        let refused =
            status(&format!("GET /metrics HTTP/1.1\r\nHost: {foreign}\r\nConnection: close\r\n\r\n"))?;
        ensure!(refused == 421, "{foreign}: {refused}");
    }
    let twice = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    ensure!(status(twice)? == 421);
    ensure!(status("GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n")? == 421, "HTTP/1.1 asks for a host");
    Ok(())
}

/// A newcomer gets a lease, a renewal is answered, and `status` works.
fn serves(server: &Server<'_>, lan: &Lan, known: &(Client<'_>, Lease), newcomer: u16) -> Result<()> {
    known.0.renew(&known.1).context("a renewal")?;
    lan.client(newcomer).dora().with_context(|| format!("the newcomer {newcomer}"))?;
    ensure!(output(&mut server.cli(&["status"])?)?.status.success(), "`status` is answered");
    Ok(())
}

#[test]
fn whatever_comes_by_that_socket_holds_up_no_client() -> Result<()> {
    let lan = Lan::new("metrics", SERVER, 16)?;
    let mut server = start(&lan, Xdp::Native)?;
    let known = renewed(&lan)?;
    let open = |count: usize| (0..count).map(|_| connect(&lan.server, address())).collect::<Result<Vec<_>>>();

    // Who asks for a thousand pages and reads none.
    let mut silent = open(20)?;
    let many = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(1000);
    for stream in &mut silent {
        stream.set_nonblocking(true)?;
        let _ = stream.write(many.as_bytes());
    }
    serves(&server, &lan, &known, 10).context("scrapers that read nothing")?;
    // Who sends a request for ever.
    let mut slow = open(20)?;
    for stream in &mut slow {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")?;
    }
    serves(&server, &lan, &known, 11).context("requests that do not end")?;
    // All places are taken.
    let refused = until("a connection to be refused", PROMPT, || {
        let answer = metrics(&lan);
        Ok(answer.ok().filter(|answer| answer.status == 503))
    })?;
    ensure!(
        refused.body == "too many connections\n" && refused.header("retry-after").is_some(),
        "{refused:?}"
    );
    for (number, stream) in slow.iter_mut().enumerate() {
        let _ = stream.write_all(&[b'a' + u8::try_from(number)?]);
    }
    serves(&server, &lan, &known, 12)?;
    // A thousand scrapes at once.
    let crowd: Vec<TcpStream> = (0..1000).filter_map(|_| connect(&lan.server, address()).ok()).collect();
    ensure!(crowd.len() > 900, "{} could connect", crowd.len());
    for mut stream in &crowd {
        let _ = stream.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    }
    serves(&server, &lan, &known, 13).context("a thousand scrapes")?;
    drop((crowd, slow, silent));

    // They are gone, or were given up.
    let page = until("metrics to be told again", 4 * PROMPT, || {
        let answer = metrics(&lan);
        Ok(answer.ok().filter(|answer| answer.status == 200))
    })?;
    let of =
        |outcome: &str| value(&page.body, &format!("xdhcpd_metrics_requests_total{{outcome=\"{outcome}\"}}"));
    ensure!(of("refused")? > 100.0, "{}", page.body);
    // What is no HTTP.
    let garbage = [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        &[0; 4096],
        &[0xff; 100_000],
        b"GET",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for octets in garbage {
        let mut stream = connect(&lan.server, address())?;
        let _ = stream.write_all(octets);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        ensure!(!heard.starts_with(b"HTTP/1.1 5"), "{:?}", String::from_utf8_lossy(&heard));
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "a".repeat(100_000));
    let mut stream = connect(&lan.server, address())?;
    let _ = stream.write_all(long.as_bytes());
    if let Ok(answer) = read(&mut stream) {
        ensure!((400..500).contains(&answer.status), "{answer:?}");
    }
    serves(&server, &lan, &known, 14).context("garbage")?;
    ensure!(metrics(&lan)?.status == 200 && server.is_running()?);
    Ok(())
}

/// Who reads nothing is given up after a while, and who does not come to the end of a request.
#[test]
fn who_takes_too_long_loses_the_place() -> Result<()> {
    let lan = Lan::new("metrics", SERVER, 16)?;
    let _server = start(&lan, Xdp::Off)?;
    let mut places: Vec<TcpStream> =
        (0..32).map(|_| connect(&lan.server, address())).collect::<Result<_>>()?;
    let many = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(4000);
    for (number, stream) in places.iter_mut().enumerate() {
        stream.set_nonblocking(true)?;
        let part = if number % 2 == 0 { many.as_bytes() } else { b"GET /met" };
        let _ = stream.write(part);
    }
    until("places to be free though nobody has left", 6 * PROMPT, || {
        let Ok(answer) = metrics(&lan) else { return Ok(None) };
        let broken_off = value(&answer.body, "xdhcpd_metrics_requests_total{outcome=\"broken-off\"}");
        Ok(broken_off.is_ok_and(|count| count >= 32.0).then_some(()))
    })?;
    drop(places);
    Ok(())
}

/// Who asks again only after a while, as Prometheus does, has done nothing wrong.
#[test]
fn who_has_had_an_answer_and_is_silent_is_left_and_not_blamed() -> Result<()> {
    let lan = Lan::new("metrics", SERVER, 16)?;
    let _server = start(&lan, Xdp::Off)?;
    let mut stream = connect(&lan.server, address())?;
    stream.set_read_timeout(Some(3 * PROMPT))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")?;
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).context("the connection ends by itself")?;
    ensure!(heard.starts_with(b"HTTP/1.1 200 OK"));
    let page = metrics(&lan)?.body;
    ensure!(value(&page, "xdhcpd_metrics_requests_total{outcome=\"broken-off\"}")? == 0.0, "{page}");
    Ok(())
}

fn threads(server: &Server<'_>) -> Result<BTreeSet<String>> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid()?))?;
    let name = |task: std::io::Result<fs::DirEntry>| fs::read_to_string(task?.path().join("comm"));
    Ok(tasks.filter_map(|task| name(task).ok()).map(|name| name.trim().to_owned()).collect())
}

#[test]
fn without_the_key_nothing_listens_and_a_change_of_it_needs_a_restart() -> Result<()> {
    let lan = Lan::new("metrics", SERVER, 16)?;
    let mut server = Server::start(&lan, Xdp::Off, SUBNET)?;
    ensure!(!threads(&server)?.contains("metrics"));
    ensure!(connect(&lan.server, address()).is_err(), "nothing listens");
    let file = lan.world.dir().join("xdhcpd.toml");
    let text = fs::read_to_string(&file)?;
    fs::write(&file, text.replace("[server]", &format!("[server]\n{LISTEN}")))?;
    let refused = output(&mut server.cli(&["reload"])?)?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(
        refused.status.code() == Some(1) && said.contains("metrics-listen") && said.contains("restart"),
        "{said}"
    );
    server.stop()?;
    server.start_again()?;
    ensure!(threads(&server)?.contains("metrics") && metrics(&lan)?.status == 200);

    // Somebody else has the port.
    server.stop()?;
    let taken = lan.server.enter(|| std::net::TcpListener::bind(address()))??;
    ensure!(server.start_again().is_err());
    ensure!(server.log().contains("listening on 127.0.0.1:19067 (metrics-listen)"), "{}", server.log());
    drop(taken);
    server.start_again()?;
    Ok(())
}

/// The port is had before rights are given up; nothing that is kept is needed to serve it.
#[test]
fn a_port_that_takes_rights_is_had_and_the_rights_are_given_up() -> Result<()> {
    let lan = Lan::new("metrics", SERVER, 16)?;
    let server = Server::with_settings(&lan, Xdp::Native, "metrics-listen = \"10.0.0.1:80\"", SUBNET)?;
    let address: SocketAddr = (SERVER, 80).into();
    ensure!(get(&lan.server, address, "/metrics")?.status == 200);
    // Not the loopback: Prometheus may know this machine by any name.
    let by_name = "GET /metrics HTTP/1.1\r\nHost: dhcp.example.org\r\nConnection: close\r\n\r\n";
    ensure!(ask(&lan.server, address, by_name)?.status == 200);
    for task in fs::read_dir(format!("/proc/{}/task", server.pid()?))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        ensure!(status.contains("Seccomp:\t2"), "{status}");
    }
    Ok(())
}

/// While nobody decides, a scrape is answered with that.
#[test]
fn a_daemon_that_stands_still_is_told_of() -> Result<()> {
    let lan = Lan::new("metrics", SERVER, 16)?;
    let faults = system_tests::faults::Faults::new(lan.world.dir())?;
    let mut server = start(&lan, Xdp::Native)?;
    server.stop()?;
    server.start_again_with(&Launch { environment: &faults.environment(), ..Launch::default() })?;
    let known = renewed(&lan)?;
    let standing = faults.wait("sendmmsg")?;
    let newcomer = lan.client(2);
    newcomer.send(&newcomer.discovering())?;
    let refused = until("a scrape to find that nobody decides", 4 * PROMPT, || {
        let answer = metrics(&lan)?;
        Ok((answer.status == 503).then_some(answer))
    })?;
    ensure!(refused.body.contains("sending replies"), "{refused:?}");
    known.0.renew(&known.1).context("the kernel goes on")?;
    drop(standing);
    until("metrics to be told again", PROMPT, || Ok((metrics(&lan)?.status == 200).then_some(())))?;
    Ok(())
}
