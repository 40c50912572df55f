//! The kernel's answer is, octet for octet, the daemon's answer to the same request.

use anyhow::{Context, Result, ensure};
use system_tests::answer::Answer;
use system_tests::client::{Client, Renewal, Request, append_option};
use system_tests::paths::{self, SERVER};
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wire::BROADCAST_FLAG;

/// The ways in which two clients at the same place may differ.
fn variants<'a>(client: &Client<'a>) -> Vec<Client<'a>> {
    let identified = Client { client_id: Some(b"\xffidentified".to_vec()), ..client.clone() };
    vec![client.clone(), identified]
}

/// Who answered a request.
#[derive(Debug, PartialEq, Eq)]
enum By {
    Kernel,
    Daemon,
}

fn exchange(server: &Server, client: &Client, request: &Request) -> Result<(By, Answer)> {
    let before = server.stats()?;
    let answer = client.exchange(request)?;
    let after = server.stats()?;
    let kernel = after.all_kernel_acked()? - before.all_kernel_acked()?;
    let daemon = after.received("request")? - before.received("request")?;
    match (kernel, daemon) {
        (1, 0) => Ok((By::Kernel, answer)),
        (0, 1) => Ok((By::Daemon, answer)),
        _ => anyhow::bail!(
            "one request was counted {kernel} times by the kernel, {daemon} times by the daemon"
        ),
    }
}

fn same(kernel: &Answer, daemon: &Answer) -> Result<()> {
    let differs = kernel.frame.iter().zip(&daemon.frame).position(|(a, b)| a != b);
    ensure!(
        kernel.frame == daemon.frame,
        "frames of {} and {} octets differ from octet {differs:?} on:\nkernel {kernel:?}\ndaemon {daemon:?}",
        kernel.frame.len(),
        daemon.frame.len()
    );
    Ok(())
}

/// A question nobody could predict is answered by the daemon, and the very same one next by the kernel.
#[test]
fn a_question_learnt_is_answered_alike() -> Result<()> {
    let lan = Lan::new("parity", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, &paths::subnets(""))?;
    let mut number = 0;
    for path in paths::all() {
        for state in Renewal::ALL {
            for flags in [0, BROADCAST_FLAG] {
                for mut client in variants(&path.client(&lan, 0)) {
                    number += 1;
                    client.mac[4..].copy_from_slice(&u16::to_be_bytes(number));
                    let context = || format!("{}, {}, flags {flags:#x}", path.name, state.name());
                    learn(&server, &client, state, flags).with_context(context)?;
                }
            }
        }
    }
    Ok(())
}

fn learn(server: &Server, client: &Client, state: Renewal, flags: u16) -> Result<Answer> {
    let lease = client.dora()?;
    let mut request = client.extending(state, &lease);
    request.message.flags = flags;
    // Behind option 82 too: what counts is that it was not in the message that got the lease.
    // And what is unheard of of its own: what another of its kind has said already would be expected of it.
    let own = [b"unheard of: ", &client.mac[4..]].concat();
    append_option(&mut request.message.options, 60, &own);
    let (first, daemon) = exchange(server, client, &request)?;
    ensure!(first == By::Daemon, "the kernel answered a question that was never asked");
    let (second, kernel) = exchange(server, client, &request)?;
    ensure!(second == By::Kernel, "the kernel did not learn: {}", server.stats()?.0);
    same(&kernel, &daemon)?;
    Ok(kernel)
}

/// A question predicted from the first ACK is answered as a daemon without any kernel path answers it.
///
/// RFC 2131 §4.1, stated (to-relay, to-ciaddr, to-hardware): on every path, to where it has to go.
/// RFC 2131 §4.3.1, stated (t3-copied, t3-flags): with the fields that come back.
/// RFC 3046 §2.2, SHALL (echo): and what the relay said.
#[test]
fn a_question_predicted_is_answered_alike() -> Result<()> {
    let lan = Lan::new("parity", SERVER, 24)?;
    let subnets = paths::subnets("");
    let mut server = Server::start(&lan, Xdp::Native, &subnets)?;
    let mut asked = Vec::new();
    let mut number = 0;
    for path in paths::all() {
        for mut client in variants(&path.client(&lan, 0)) {
            number += 1;
            client.mac[4..].copy_from_slice(&u16::to_be_bytes(number));
            let lease = client.dora()?;
            for state in Renewal::ALL {
                let context = format!("{}, {}", path.name, state.name());
                let request = client.extending(state, &lease);
                let (by, answer) = exchange(&server, &client, &request).with_context(|| context.clone())?;
                ensure!(by == By::Kernel, "{context}: not predicted: {}", server.stats()?.0);
                asked.push((context, client.clone(), request, answer));
            }
        }
    }

    server.stop()?;
    server.detach()?;
    server.rewrite(&lan, Xdp::Off, &subnets)?;
    server.start_again()?;
    for (context, client, request, kernel) in asked {
        let (by, daemon) = exchange(&server, &client, &request).with_context(|| context.clone())?;
        ensure!(by == By::Daemon, "{context}: no kernel should be there");
        same(&kernel, &daemon).context(context)?;
    }
    Ok(())
}

/// Answers that use more of the message than its fixed fields and its options, or more than there was room for.
#[test]
fn unusual_answers_are_alike() -> Result<()> {
    let boot = r#"
next-server = "10.0.0.9"
server-hostname = "boot"
boot-file-name = "images/first.img"
options = { routers = ["10.0.0.1"] }
"#;
    let servers: Vec<String> = (1..=58).map(|n| format!("\"10.0.0.{n}\"")).collect();
    // Too much for 576 octets, unless `file` holds options too.
    let overloaded = format!(
        "options = {{ domain-name-servers = [{}], domain-name = \"{}\" }}",
        servers.join(", "),
        "a.domain.name.".repeat(8)
    );
    let long = format!("options = {{ domain-name = \"{}\" }}", "a.domain.name.".repeat(12));
    let cases =
        [("boot fields", boot), ("options in `file`", &overloaded), ("longer than the request", &long)];
    for (what, terms) in cases {
        let lan = Lan::new("parity", SERVER, 24)?;
        let subnet =
            format!("[[subnet]]\nprefix = \"10.0.0.0/24\"\npools = [\"10.0.0.100 - 10.0.0.250\"]\n{terms}");
        let server = Server::start(&lan, Xdp::Native, &subnet)?;
        for (n, state) in (1..).zip(Renewal::ALL) {
            learn(&server, &lan.client(n), state, 0).with_context(|| format!("{what}, {}", state.name()))?;
        }
    }
    Ok(())
}
