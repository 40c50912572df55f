//! For every reason why a client gets no answer, one `xdhcpd explain` finds it; and the log says once what to mend.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use system_tests::client::{Client, Request, Via};
use system_tests::mangle::{IP, IP_TOTAL, UDP_CHECKSUM, UDP_LENGTH, resealed, with_word};
use system_tests::namespace::spelled;
use system_tests::paths::{AGENT_MAC, SERVER};
use system_tests::process::output;
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wait::{PROMPT, until};
use system_tests::wire::{Tag, options};

const RELAY: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const CIRCUIT: &[u8] = b"\x01\x06port-7";

const SUBNETS: &str = r#"
[[class]]
name = "phones"
match = { vendor-class = "phone" }

[[class]]
name = "banned"
match = { vendor-class = "banned" }
drop = true

[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.11"]
max-leases-per-device = 1
max-leases-per-device-in-use = 1

[[subnet]]
prefix = "10.9.0.0/24"
pools = ["10.9.0.10 - 10.9.0.200"]
relays = ["198.51.100.1"]
max-leases-per-circuit = 1

[[subnet]]
prefix = "10.2.0.0/24"
vlan = 100
server-id = "10.2.0.1"
authoritative = false
pools = [{ range = "10.2.0.10 - 10.2.0.20", allow = "phones" }]
"#;

/// Reasons that take an accident, or a server of another kind. Each is shown in a test of its own, and `explain` finds
/// them like all others (a test of the daemon itself walks through every one).
const ELSEWHERE: [&str; 28] = [
    "another-node",
    "reservation-held",
    "class-cap",
    "no-server-id",
    "nak-limited",
    "probing",
    "probe-unknown",
    "port-in-use",
    "declined-too-often",
    "overtaken",
    "unclear-leasequery",
    "unanswerable",
    "foreign-origin",
    "rate-limited",
    "rate-limited-circuit",
    "rate-limited-leasequery",
    "stale",
    "unknown-interface",
    "reply-too-long",
    "not-committed",
    "not-sent",
    // No socket hands up what is not for port 67.
    "not-dhcp",
    "truncated",
    "too-many-tags",
    "ip-header-length",
    "fragment",
    "ip-length",
    "hardware-address-length",
];

struct Asking<'a> {
    lan: &'a Lan,
    server: &'a Server<'a>,
    number: RefCell<u16>,
    found: RefCell<BTreeSet<String>>,
}

impl<'a> Asking<'a> {
    fn client(&self) -> Client<'a> {
        *self.number.borrow_mut() += 1;
        self.lan.client(*self.number.borrow())
    }

    /// One command tells why `client` got no answer, and where it was heard; by its circuit, too, if it has one.
    fn finds(&self, why: &str, client: &Client) -> Result<Value> {
        let mac = spelled(client.mac);
        let says = |who: &str| -> Result<Option<Value>> {
            let said = self.server.json(&["explain", who]).ok();
            Ok(said.filter(|said| {
                said["why"].as_str().is_some_and(|text| text.starts_with(&format!("{why}: ")))
            }))
        };
        let said = until(&format!("{why} to be told of {mac}"), PROMPT, || says(&mac))
            .with_context(|| format!("{:?}", self.server.json(&["explain", &mac])))?;
        let last = said["messages"].as_array().and_then(|all| all.last()).context("no messages")?.clone();
        ensure!(last["interface"] == "srv0" && last["why"] == said["why"], "{said}");
        let vlan: Vec<_> = client.tags.iter().map(|tag| u64::from(tag.id)).collect();
        let told: Vec<_> = last["vlan"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        ensure!(told == vlan, "{said}");
        if let Via::Relay { address, agent_info: Some(_), .. } = &client.via {
            ensure!(last["relay"] == address.to_string() && last["circuit"] == "port-7", "{said}");
            ensure!(says("port-7")?.is_some_and(|by| by["hw-address"] == mac), "by its circuit: {said}");
        }
        self.found.borrow_mut().insert(why.to_owned());
        Ok(last)
    }

    fn silent(&self, why: &str, client: Client, change: impl Fn(&mut Request)) -> Result<Value> {
        let mut request = client.discovering();
        change(&mut request);
        client.send(&request)?;
        self.finds(why, &client).with_context(|| why.to_owned())
    }

    fn mangled(&self, why: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) -> Result<()> {
        let client = self.client();
        self.lan.socket.send(&change(client.discovering().frame()?))?;
        self.finds(why, &client).with_context(|| why.to_owned()).map(drop)
    }

    fn relayed(&self, address: Ipv4Addr) -> Client<'a> {
        let via = Via::Relay { mac: AGENT_MAC, address, agent_info: Some(CIRCUIT.to_vec()) };
        Client { via, ..self.client() }
    }

    fn on_vlan(&self, id: u16) -> Client<'a> {
        Client { tags: vec![Tag::customer(id)], ..self.client() }
    }
}

fn area(list: &[(u8, &[u8])]) -> Vec<u8> {
    options(list)
}

#[test]
fn one_command_finds_each_reason() -> Result<()> {
    let lan = Lan::new("reasons", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Off, SUBNETS)?;
    let asking = Asking {
        lan: &lan,
        server: &server,
        number: RefCell::new(100),
        found: RefCell::new(BTreeSet::new()),
    };
    whence(&asking)?;
    who_and_what(&asking)?;
    unreadable(&asking)?;

    let page = include_str!("../../dhcp-user/docs/explain.md");
    let names = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let all: BTreeSet<String> = names.map(str::to_owned).collect();
    let elsewhere: BTreeSet<String> = ELSEWHERE.iter().map(|name| (*name).to_owned()).collect();
    let found = asking.found.borrow();
    let both: Vec<_> = found.intersection(&elsewhere).collect();
    ensure!(both.is_empty(), "these are found here: {both:?}");
    let here: BTreeSet<String> = found.union(&elsewhere).cloned().collect();
    ensure!(here == all, "{:?}", all.symmetric_difference(&here).collect::<Vec<_>>());
    Ok(())
}

/// Where a message came from.
fn whence(asking: &Asking) -> Result<()> {
    let far = Ipv4Addr::new(203, 0, 113, 1);
    let nowhere = asking.silent("no-subnet", asking.relayed(far), |_| {})?;
    ensure!(nowhere.get("subnets").is_none(), "none was considered: {nowhere}");
    asking.silent("no-subnet", asking.on_vlan(77), |_| {})?;
    asking.silent("relay-is-us", asking.relayed(SERVER), |_| {})?;
    let posing = asking.silent("relay-source", asking.relayed(Ipv4Addr::new(10, 9, 0, 10)), |_| {})?;
    ensure!(posing["subnets"][0] == "10.9.0.0/24", "{posing}");
    asking.silent("source-mismatch", asking.client(), |request| request.envelope.ip_src = SERVER)?;
    for address in [Ipv4Addr::new(10, 0, 0, 255), Ipv4Addr::new(10, 0, 0, 0)] {
        let wrong = asking.client();
        wrong.send(&wrong.informing(address))?;
        asking.finds("impossible-address", &wrong)?;
    }
    asking.silent("impossible-address", asking.client(), |request| {
        request.message.ciaddr = SERVER;
        request.message.options = area(&[(53, &[3]), (54, &SERVER.octets()), (50, &[10, 0, 0, 10])]);
    })?;
    let router = asking.client();
    let mut through = router.renewing(&system_tests::client::Lease {
        address: Ipv4Addr::new(172, 16, 0, 9),
        server: SERVER,
        seconds: 1,
    });
    through.message.ciaddr = Ipv4Addr::UNSPECIFIED;
    through.message.options = area(&[(53, &[1])]);
    router.send(&through)?;
    asking.finds("not-on-link", &router)?;
    let away = asking.client();
    let mut request = away.informing(Ipv4Addr::new(10, 0, 0, 5));
    request.envelope.ip_dst = Ipv4Addr::new(10, 0, 0, 99);
    away.send(&request)?;
    asking.finds("not-for-us", &away)?;
    Ok(())
}

/// Who asks, and for what.
fn who_and_what(asking: &Asking) -> Result<()> {
    let named: &[u8] = &[10, 0, 0, 99];
    let set = |list: &'static [(u8, &'static [u8])]| {
        move |request: &mut Request| request.message.options = area(list)
    };
    asking.silent("other-server", asking.client(), |request| {
        request.message.options = area(&[(53, &[3]), (54, named), (50, &[10, 0, 0, 11])]);
    })?;
    asking.silent("unknown-client", asking.client(), set(&[(53, &[3]), (50, &[10, 0, 0, 77])]))?;
    asking.silent("no-address", asking.client(), set(&[(53, &[3])]))?;
    asking.silent("no-server", asking.client(), set(&[(53, &[4]), (50, &[10, 0, 0, 11])]))?;
    asking.silent("not-authoritative", asking.on_vlan(100), set(&[(53, &[3]), (50, &[192, 0, 2, 1])]))?;
    let phone = asking.silent("no-pool", asking.on_vlan(100), |_| {})?;
    ensure!(phone["subnets"] == serde_json::json!(["10.2.0.0/24"]), "{phone}");
    asking.silent("class-drop", asking.client(), set(&[(53, &[1]), (60, b"banned")]))?;
    asking.silent("bootp", asking.client(), set(&[(55, &[1])]))?;
    asking.silent("leasequery-not-allowed", asking.relayed(RELAY), |request| {
        request.message.options = area(&[(53, &[10]), (82, CIRCUIT)]);
        request.message.ciaddr = Ipv4Addr::new(10, 9, 0, 10);
    })?;

    let owner = asking.client();
    let lease = owner.dora()?;
    let thief = asking.client();
    let mut request = thief.releasing(&lease);
    request.envelope.eth_src = owner.mac;
    thief.send(&request)?;
    asking.finds("not-owner", &thief)?;
    let second = Client { client_id: Some(b"\0two".to_vec()), ..owner.clone() };
    second.send(&second.discovering())?;
    asking.finds("device-cap", &second)?;
    asking.client().dora()?;
    asking.silent("exhausted", asking.client(), |_| {})?;
    asking.relayed(RELAY).dora()?;
    asking.silent("circuit-cap", asking.relayed(RELAY), |_| {})?;

    let eager = asking.client();
    for _ in 0..60 {
        eager.send(&eager.discovering().again())?;
    }
    asking.finds("rate-limited-client", &eager).map(drop)
}

/// What can't be read.
fn unreadable(asking: &Asking) -> Result<()> {
    let (group, local) = (Ipv4Addr::new(224, 0, 0, 1), Ipv4Addr::LOCALHOST);
    let with = |why: &str, list: &[(u8, &[u8])]| {
        asking.silent(why, asking.client(), |request| request.message.options = area(list)).map(drop)
    };
    let changed =
        |why: &str, change: &dyn Fn(&mut Request)| asking.silent(why, asking.client(), change).map(drop);
    asking.mangled("ip-checksum", |frame| with_word(&frame, IP + 10, 0x1234))?;
    asking.mangled("udp-length", |frame| resealed(with_word(&frame, UDP_LENGTH, 8)))?;
    asking.mangled("udp-checksum", |frame| with_word(&frame, UDP_CHECKSUM, 0x1234))?;
    asking.mangled("short", |frame| {
        let short = resealed(with_word(&frame, IP_TOTAL, 20 + 8 + 100));
        resealed(with_word(&short, UDP_LENGTH, 8 + 100))
    })?;
    changed("ip-source", &|request| request.envelope.ip_src = group)?;
    changed("not-request", &|request| request.message.op = 2)?;
    changed("cookie", &|request| request.message.cookie = [0; 4])?;
    changed("relay-address", &|request| request.message.giaddr = local)?;
    changed("client-address", &|request| request.message.ciaddr = local)?;
    changed("no-identity", &|request| request.message.hlen = 0)?;
    changed("option-truncated", &|request| request.message.options = vec![53, 1, 1, 12, 200, b'a', 255])?;
    with("overload", &[(53, &[1]), (52, &[4])])?;
    with("option-length", &[(53, &[1]), (50, &[0])])?;
    with("message-type", &[(53, &[0])])?;
    with("server-message", &[(53, &[5])])?;
    with("client-identifier", &[(53, &[1]), (61, &[1])])?;
    Ok(())
}

/// Of each reason that an operator should see to, a line of the log says what is missing; and only one, however many
/// messages come.
#[test]
fn what_is_to_be_mended_is_said_once() -> Result<()> {
    let lan = Lan::new("reasons", SERVER, 24)?;
    let server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    let asking =
        Asking { lan: &lan, server: &server, number: RefCell::new(0), found: RefCell::new(BTreeSet::new()) };
    let far = Ipv4Addr::new(203, 0, 113, 1);
    for _ in 0..5 {
        asking.silent("no-subnet", asking.relayed(far), |_| {})?;
        asking.silent("relay-source", asking.relayed(Ipv4Addr::new(10, 9, 0, 10)), |_| {})?;
    }
    let warned = |reason: &str| -> Vec<String> {
        let log = server.log();
        let of_it = |line: &&str| line.contains("WARN") && line.contains(&format!("no answer: {reason}: "));
        log.lines().filter(of_it).map(str::to_owned).collect()
    };
    let line = until("the log to say so", PROMPT, || Ok(warned("no-subnet").pop()))?;
    ensure!(line.contains("203.0.113.1") && line.contains("relays that are listed: 198.51.100.1"), "{line}");
    ensure!(line.contains("port-7") && line.contains("srv0"), "{line}");
    ensure!(warned("no-subnet").len() == 1 && warned("relay-source").len() == 1, "{}", server.log());
    Ok(())
}

/// A subnet to which nothing leads is told of, when it is checked and when it is served.
#[test]
fn a_subnet_that_nothing_leads_to_is_told_of() -> Result<()> {
    let lan = Lan::new("reasons", SERVER, 24)?;
    let lost =
        format!("{SUBNETS}\n[[subnet]]\nprefix = \"10.7.0.0/24\"\npools = [\"10.7.0.10 - 10.7.0.20\"]\n");
    let server = Server::start(&lan, Xdp::Off, &lost)?;
    let said = "nothing leads to 10.7.0.0/24";
    until("the log to say so", PROMPT, || Ok(server.log().contains(said).then_some(())))?;
    ensure!(!server.log().contains("leads to 10.9.0.0/24"), "{}", server.log());
    let config = lan.world.dir().join("xdhcpd.toml");
    let mut check = lan.server.command(system_tests::server::cli()?.get_program().to_str().context("text")?);
    let checked = output(check.arg("check-config").arg(&config))?;
    ensure!(checked.status.success(), "{checked:?}");
    ensure!(String::from_utf8_lossy(&checked.stderr).contains(said), "{checked:?}");
    Ok(())
}

/// What becomes of frames in the kernel is said in names.
#[test]
fn a_diagnosis_speaks_in_names() -> Result<()> {
    let lan = Lan::new("reasons", SERVER, 24)?;
    let mut server = Server::start(&lan, Xdp::Native, SUBNETS)?;
    server.stop()?;
    server.detach()?;
    let launch = system_tests::server::Launch {
        arguments: &["--diagnose"],
        environment: &[("RUST_LOG", "")],
        ..Default::default()
    };
    server.start_again_with(&launch)?;
    lan.client(1).dora()?;
    until("the log to say what became of it", PROMPT, || {
        Ok(server.log().contains("a frame on srv0 is sent up to the daemon: discover").then_some(()))
    })
}
