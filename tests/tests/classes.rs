//! Classes, reservations by circuit and shared networks, on the wire: the terms of a client by its identity, and the
//! same terms in the kernel's answers to its renewals.

use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use system_tests::answer::Answer;
use system_tests::client::{Client, Lease, Renewal, Request, Via, append_option, granted};
use system_tests::paths::{AGENT_MAC, SERVER};
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wire::Kind;

const BOOTING: &str = r#"
[[class]]
name = "bios"
match = { vendor-class = "PXEClient*", architecture = 0 }
next-server = "10.0.0.3"
boot-file-name = "undionly.kpxe"
options = { vendor-class-identifier = "PXEClient" }

[[class]]
name = "uefi"
match = { vendor-class = "PXEClient*", architecture = [7, 9] }
next-server = "10.0.0.3"
boot-file-name = "ipxe.efi"
options = { vendor-class-identifier = "PXEClient", vendor-encapsulated-options = { code-6 = 8 } }

[[class]]
name = "ipxe"
match = { user-class = "iPXE" }
boot-file-name = "http://boot.example/menu.ipxe"

[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.99"]
boot-file-name = "none"
"#;

const MACHINE: [u8; 17] = [0, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5, 6];

/// A client that says more of itself than others, in all its messages.
struct Particular<'a> {
    client: Client<'a>,
    says: Vec<(u8, Vec<u8>)>,
}

impl Particular<'_> {
    fn adding(&self, mut request: Request) -> Request {
        for (code, value) in &self.says {
            append_option(&mut request.message.options, *code, value);
        }
        request
    }

    fn discover(&self) -> Result<Answer> {
        self.client.exchange(&self.adding(self.client.discovering()))
    }

    fn dora(&self) -> Result<(Lease, Answer)> {
        let offer = self.discover()?;
        let ack = self.client.exchange(&self.adding(self.client.selecting(&offer)?))?;
        same_but_for_the_type(&offer, &ack)?;
        Ok((granted(&ack)?, ack))
    }

    /// Goes on with the lease in each state, the first time it is asked: the kernel says what the daemon said.
    fn every_state_in_the_kernel(&self, server: &Server, lease: &Lease, told: &Answer) -> Result<()> {
        for state in Renewal::ALL {
            let before = server.stats()?;
            let answer = self.client.extend(&self.adding(self.client.extending(state, lease)), lease)?;
            let after = server.stats()?;
            ensure!(
                after.kernel_acked(state.name())? == before.kernel_acked(state.name())? + 1,
                "{}: not by the kernel: {}",
                state.name(),
                after.0["kernel"]["punted"]
            );
            same_but_for_the_type(told, &answer).context(state.name())?;
        }
        Ok(())
    }
}

/// Options and boot fields. What its relay adds comes back only where it was added.
fn same_but_for_the_type(one: &Answer, other: &Answer) -> Result<()> {
    let options = |answer: &Answer| -> Vec<_> {
        answer.options.iter().filter(|(code, _)| ![53, 82].contains(code)).cloned().collect()
    };
    ensure!(options(one) == options(other), "{:?} and {:?}", one.options, other.options);
    let fields = |answer: &Answer| (answer.message.siaddr, answer.message.file, answer.message.sname);
    ensure!(fields(one) == fields(other), "{:?} and {:?}", one.message, other.message);
    Ok(())
}

fn file(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.message.file).trim_end_matches('\0').to_owned()
}

#[test]
fn firmware_boots_what_is_for_its_architecture() -> Result<()> {
    let lan = Lan::new("classes", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, BOOTING)?;
    let pxe = |n: u16, architecture: u8| Particular {
        client: lan.client(n),
        says: vec![
            (60, format!("PXEClient:Arch:{architecture:05}:UNDI:003016").into_bytes()),
            (93, vec![0, architecture]),
            (97, MACHINE.to_vec()),
            // More of the list of parameters (RFC 3396).
            (55, vec![43, 60, 66, 67]),
        ],
    };
    for (n, architecture, boot_file, menu) in [
        (1, 0, "undionly.kpxe", None),
        (2, 7, "ipxe.efi", Some(&[6, 1, 8][..])),
        (3, 9, "ipxe.efi", Some(&[6, 1, 8][..])),
    ] {
        let client = pxe(n, architecture);
        let (lease, ack) = client.dora()?;
        ensure!(file(&ack) == boot_file && ack.message.siaddr == Ipv4Addr::new(10, 0, 0, 3), "{ack:?}");
        ensure!(ack.option(60) == Some(b"PXEClient") && ack.option(97) == Some(&MACHINE), "{ack:?}");
        ensure!(ack.option(43) == menu, "{ack:?}");
        client.every_state_in_the_kernel(&server, &lease, &ack)?;
    }
    let mut chained = pxe(2, 7);
    chained.says.push((77, b"iPXE".to_vec()));
    let offer = chained.discover()?;
    ensure!(file(&offer) == "http://boot.example/menu.ipxe", "the later class overrides: {offer:?}");
    ensure!(offer.message.siaddr == Ipv4Addr::new(10, 0, 0, 3), "in what it sets: {offer:?}");
    ensure!(file(&lan.client(4).discover()?) == "none", "and who is in no class has the subnet's");
    Ok(())
}

/// The pool of the phones is `allow`ed to their class.
fn phones(allow: &str) -> String {
    format!(
        r#"
[[class]]
name = "phones"
match = {{ hw-address = "02:c1:00:00:01:*" }}

[[class]]
name = "others"
match = {{ vendor-class = "other" }}

[[subnet]]
prefix = "10.0.0.0/24"
pools = [
    {{ range = "10.0.0.10 - 10.0.0.19", deny = "phones" }},
    {{ range = "10.0.0.20 - 10.0.0.20", allow = "{allow}", lease-time = "10m", options = {{ tftp-server-address = "10.0.0.4" }} }},
]
options = {{ domain-name-servers = "10.0.0.53" }}
"#
    )
}

#[test]
fn a_pool_is_for_its_class_alone() -> Result<()> {
    let lan = Lan::new("classes", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, &phones("phones"))?;
    let wants = || vec![(55, vec![150])];
    let phone = Particular { client: lan.client(0x0101), says: wants() };
    let (lease, ack) = phone.dora()?;
    ensure!(lease.address == Ipv4Addr::new(10, 0, 0, 20) && lease.seconds == 600, "{lease:?}");
    ensure!(ack.option(150) == Some(&[10, 0, 0, 4]) && ack.option(6) == Some(&[10, 0, 0, 53]), "{ack:?}");
    phone.every_state_in_the_kernel(&server, &lease, &ack)?;

    let second = lan.client(0x0102);
    second.expect_silence(&second.discovering(), Ipv4Addr::new(10, 0, 0, 200))?;
    let computer = Particular { client: lan.client(2), says: wants() };
    let (other, ack) = computer.dora()?;
    ensure!(other.address == Ipv4Addr::new(10, 0, 0, 10) && ack.option(150).is_none(), "{ack:?}");

    // The phones' pool is theirs no more: what the kernel knew is forgotten, and the client hears of it.
    server.rewrite(&lan, Xdp::Native, &phones("others"))?;
    server.reload()?;
    let nak = phone.client.exchange(&phone.adding(phone.client.renewing(&lease)))?;
    ensure!(nak.kind == Kind::Nak, "{nak:?}");
    computer.client.extend(&computer.adding(computer.client.renewing(&other)), &other)?;
    Ok(())
}

const LINES: &str = r#"
[[class]]
name = "olt"
match = { remote-id = "olt-7" }
options = { domain-name = "lines.example" }

[[subnet]]
prefix = "10.1.0.0/24"
pools = [{ range = "10.1.0.10 - 10.1.0.20", deny = "olt" }]

[[subnet.reservation]]
circuit-id = "port-1"
address = "10.1.0.7"

[[subnet.reservation]]
circuit-id = "port-1"
remote-id = "olt-7"
address = "10.1.0.15"
host-name = "line-one"
boot-file-name = "line-one.cfg"
options = { domain-name-servers = "10.0.0.53" }
"#;

#[test]
fn a_line_behind_a_relay_has_its_address_whoever_is_on_it() -> Result<()> {
    let lan = Lan::new("classes", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, LINES)?;
    let on_line = |n: u16, circuit: &str, remote: &str| {
        let part =
            |code: u8, value: &str| [&[code, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat();
        let agent_info = Some([part(1, circuit), part(2, remote)].concat());
        let via = Via::Relay { mac: AGENT_MAC, address: Ipv4Addr::new(10, 1, 0, 1), agent_info };
        Particular { client: Client { via, ..lan.client(n) }, says: Vec::new() }
    };
    let line = on_line(1, "port-1", "olt-7");
    let (lease, ack) = line.dora()?;
    ensure!(lease.address == Ipv4Addr::new(10, 1, 0, 15), "{lease:?}");
    ensure!(file(&ack) == "line-one.cfg" && ack.option(6) == Some(&[10, 0, 0, 53]), "{ack:?}");
    ensure!(ack.option(15) == Some(b"lines.example"), "the class of the relay is told too: {ack:?}");
    // RENEWING goes past the relay, which then says nothing of the line.
    line.every_state_in_the_kernel(&server, &lease, &ack)?;

    let (other, _) = on_line(2, "port-1", "olt-8").dora()?;
    ensure!(other.address == Ipv4Addr::new(10, 1, 0, 7), "{other:?}");
    line.client.release(&lease)?;
    let replaced = on_line(3, "port-1", "olt-7");
    let (same, _) = replaced.dora()?;
    ensure!(same.address == lease.address, "{same:?}");
    let nak = line.client.exchange(&line.client.renewing(&lease))?;
    ensure!(nak.kind == Kind::Nak, "its line is another's now: {nak:?}");
    Ok(())
}

const FLOOR: &str = r#"
[[subnet]]
prefix = "10.0.0.0/24"
shared-network = "floor"
pools = ["10.0.0.10 - 10.0.0.10"]

[[subnet]]
prefix = "10.7.0.0/24"
shared-network = "floor"
pools = ["10.7.0.10 - 10.7.0.10"]
options = { routers = "10.7.0.1" }
"#;

#[test]
fn a_shared_network_goes_on_in_its_next_subnet() -> Result<()> {
    let lan = Lan::new("classes", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, FLOOR)?;
    let addresses = [Ipv4Addr::new(10, 0, 0, 10), Ipv4Addr::new(10, 7, 0, 10)];
    for (n, address) in (1..).zip(addresses) {
        let client = Particular { client: lan.client(n), says: Vec::new() };
        let (lease, ack) = client.dora()?;
        ensure!(lease.address == address && lease.server == SERVER, "{lease:?}");
        client.every_state_in_the_kernel(&server, &lease, &ack)?;
    }
    let third = lan.client(3);
    third.expect_silence(&third.discovering(), Ipv4Addr::new(10, 0, 0, 200))?;
    let elsewhere = third.exchange(&third.rebooting(Ipv4Addr::new(10, 8, 0, 10)))?;
    ensure!(elsewhere.kind == Kind::Nak, "{elsewhere:?}");
    let anothers = third.exchange(&third.rebooting(addresses[1]))?;
    ensure!(anothers.kind == Kind::Nak, "{anothers:?}");
    Ok(())
}
