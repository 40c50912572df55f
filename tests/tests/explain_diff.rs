//! What `check-config --explain-diff` says of a reload is what the reload does.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::Path;
use system_tests::client::{Client, Lease, Request, WANTED};
use system_tests::paths::SERVER;
use system_tests::process::{output, run};
use system_tests::server::{Server, Xdp, cli};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};
use system_tests::wire::{Kind, options};

/// The MTU of the interface (RFC 2132 §5.1).
const MTU: u8 = 26;

fn mac(client: &Client<'_>) -> String {
    client.mac.map(|octet| format!("{octet:02x}")).join(":")
}

fn reserved(client: &Client<'_>, address: u8, more: &str) -> String {
    format!(
        "[[subnet.reservation]]\nhw-address = \"{}\"\naddress = \"10.0.0.{address}\"\n{more}\n",
        mac(client)
    )
}

fn config(pools: &str, reservations: &[String]) -> String {
    format!(
        "[[subnet]]\nprefix = \"10.0.0.0/24\"\nlease-time = \"1h\"\npools = [{pools}]\noptions = {{ routers = [\"10.0.0.1\"] }}\n{}",
        reservations.concat()
    )
}

/// The REQUEST of RENEWING by which a client asks for the MTU as well.
fn renewing(client: &Client<'_>, lease: &Lease) -> Request {
    let mut request = client.renewing(lease);
    request.message.options = options(&[(53, &[3]), (55, &[&WANTED[..], &[MTU]].concat())]);
    request
}

fn explained(old: &Path, new: &Path, more: &[&str]) -> Result<Value> {
    let printed =
        run(cli()?.args(["check-config", "--json", "--explain-diff"]).arg(old).arg(new).args(more))?;
    serde_json::from_str(&printed).context(printed)
}

/// The leases of which the same is said.
fn of<'v>(leases: &'v Value, fate: &str) -> Vec<(&'v Value, Vec<&'v str>)> {
    let all = leases["fates"].as_array().into_iter().flatten().filter(|told| told["fate"] == fate);
    let addresses =
        |told: &'v Value| told["addresses"].as_array().into_iter().flatten().filter_map(Value::as_str);
    all.map(|told| (&told["changes"], addresses(told).collect())).collect()
}

#[test]
fn a_reload_does_what_was_said_of_it() -> Result<()> {
    let lan = Lan::new("explain-diff", SERVER, 24)?;
    let clients: Vec<Client<'_>> = (1..=5).map(|n| lan.client(n)).collect();
    let [gone, longer, taken, same, _] = &clients[..] else { unreachable!() };
    let other = lan.client(9);
    let before = config(
        "\"10.0.0.50 - 10.0.0.59\"",
        &[
            reserved(gone, 101, ""),
            reserved(longer, 102, ""),
            reserved(taken, 103, ""),
            reserved(same, 104, ""),
        ],
    );
    let after = config(
        "{ range = \"10.0.0.50 - 10.0.0.59\", options = { interface-mtu = 1400 } }, \"10.0.0.60 - 10.0.0.69\"",
        &[reserved(longer, 102, "lease-time = \"2h\""), reserved(&other, 103, ""), reserved(same, 104, "")],
    );
    let server = Server::start(&lan, Xdp::Native, &before)?;
    let leases: Vec<Lease> = clients.iter().map(Client::dora).collect::<Result<_>>()?;
    for (client, lease) in clients.iter().zip(&leases) {
        let acked = server.stats()?.kernel_acked("renewing")?;
        until("the kernel to answer a renewal", PROMPT, || {
            client.extend(&renewing(client, lease), lease)?;
            Ok((server.stats()?.kernel_acked("renewing")? > acked).then_some(()))
        })?;
    }

    let new = lan.world.dir().join("xdhcpd.toml");
    let old = lan.world.write("old.toml", &std::fs::read_to_string(&new)?)?;
    server.rewrite(&lan, Xdp::Native, &after)?;
    let told = explained(&old, &new, &[])?;
    ensure!(told["restart-needed"] == json!([]) && told["addresses-lost"] == json!(["10.0.0.101"]), "{told}");
    let said: Vec<String> = told["differences"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| format!("{} {} {}", one["table"], one["name"], one["change"]).replace('"', ""))
        .collect();
    let due = [
        "pool 10.0.0.50 - 10.0.0.59 changed".to_owned(),
        "pool 10.0.0.60 - 10.0.0.69 added".to_owned(),
        format!("reservation hw-address {} removed", mac(gone)),
        format!("reservation hw-address {} removed", mac(taken)),
        format!("reservation hw-address {} changed", mac(longer)),
        format!("reservation hw-address {} added", mac(&other)),
    ];
    ensure!(due.iter().all(|one| said.contains(one)) && said.len() == due.len(), "{said:?}\n{told}");
    let will = &told["leases"];
    ensure!(of(will, "ends") == [(&json!([]), vec!["10.0.0.101", "10.0.0.103"])], "{told}");
    ensure!(of(will, "same") == [(&json!([]), vec!["10.0.0.104"])], "{told}");
    let changed = of(will, "changed");
    let of_pool = json!([{ "key": "interface-mtu", "from": null, "to": "1400" }]);
    let pooled_address = leases[4].address.to_string();
    ensure!(changed.contains(&(&of_pool, vec![&pooled_address])), "{told}");
    let time = json!({ "key": "lease-time", "from": "3600s", "to": "7200s" });
    let has_time = |(changes, all): &(&Value, Vec<&str>)| {
        *all == ["10.0.0.102"] && changes.as_array().is_some_and(|changes| changes.contains(&time))
    };
    ensure!(changed.iter().any(has_time) && changed.len() == 2, "{told}");

    let done = server.json(&["reload"])?;
    let count = |value: &Value| value.as_u64().with_context(|| format!("{done} {told}"));
    ensure!(count(&done["revoked"])? == count(&will["ended"])?, "{done} {told}");
    // A lease that ends may be among those that the kernel has forgotten first.
    let least = count(&will["asked-anew"])?;
    let forgotten = count(&done["rewritten"])?;
    ensure!((least..=least + count(&will["ended"])?).contains(&forgotten), "{done} {told}");
    for (number, (client, lease)) in clients.iter().zip(&leases).enumerate() {
        let answer = client.exchange(&renewing(client, lease))?;
        let mtu = answer.option(MTU).map(<[u8]>::to_vec);
        let seconds = answer.option(51).map(<[u8]>::to_vec);
        let due = match number {
            0 | 2 => (Kind::Nak, None, None),
            1 => (Kind::Ack, Some(7200), None),
            3 => (Kind::Ack, Some(3600), None),
            _ => (Kind::Ack, Some(3600), Some(1400_u16)),
        };
        ensure!(
            (answer.kind, seconds, mtu)
                == (
                    due.0,
                    due.1.map(|secs: u32| secs.to_be_bytes().to_vec()),
                    due.2.map(|mtu| mtu.to_be_bytes().to_vec())
                ),
            "client {number}: {answer:?}"
        );
    }
    ensure!(server.json(&["audit"])?["consistent"] == true);
    Ok(())
}

/// Without a daemon, from its store, the same is said; without leases it is said which end; and what needs a restart is refused.
#[test]
fn it_is_told_from_the_store_and_without_leases_as_well() -> Result<()> {
    let lan = Lan::new("explain-diff", SERVER, 24)?;
    let client = lan.client(1);
    let before = config("\"10.0.0.50 - 10.0.0.59\"", &[reserved(&client, 101, "")]);
    let mut server = Server::start(&lan, Xdp::Native, &before)?;
    client.dora()?;
    let new = lan.world.dir().join("xdhcpd.toml");
    let text = std::fs::read_to_string(&new)?;
    let old = lan.world.write("old.toml", &text)?;
    let export = server.cli(&["export"])?.output()?;
    let exported = lan.world.write("leases.jsonl", &String::from_utf8(export.stdout)?)?;
    let stale = format!("{}\nmetrics-listen = \"127.0.0.1:19999\"", "[server]");
    let changed = text.replacen("[server]", &stale, 1).replace("10.0.0.101", "10.0.0.102");
    ensure!(changed.contains("metrics-listen"), "{changed}");
    std::fs::write(&new, changed)?;
    let running = explained(&old, &new, &[])?;
    ensure!(running["leases"]["ended"] == 1, "{running}");
    let refusal = server.cli(&["reload"])?.output()?;
    ensure!(refusal.status.code() == Some(1), "{refusal:?}");
    let why = running["restart-needed"][0].as_str().context("no refusal")?.to_owned();
    ensure!(String::from_utf8_lossy(&refusal.stderr).contains(&why), "{why}: {refusal:?}");
    let from_file = explained(&old, &new, &["--leases", &exported.display().to_string()])?;
    ensure!(from_file == running, "{from_file} {running}");

    server.stop()?;
    ensure!(explained(&old, &new, &["--stored"])? == running);
    let unknown = explained(&old, &new, &[])?;
    ensure!(
        unknown["leases"]["unknown"].is_string() && unknown["addresses-lost"] == json!(["10.0.0.101"]),
        "{unknown}"
    );
    let said = output(cli()?.args(["check-config", "--explain-diff"]).arg(&old).arg(&new))?;
    let said = String::from_utf8(said.stdout)?;
    ensure!(said.contains("leases in 10.0.0.101 end"), "{said}");
    Ok(())
}
