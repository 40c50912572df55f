//! A server with all that it can have beside it (a journal, hooks, metrics, Kea's API, a service manager), to be put on trial:
//! what becomes of it while something fails, and whether all is as before when that is over.

use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::{Duration, Instant};

use crate::client::{Client, Lease};
use crate::http::ask;
use crate::process::output;
use crate::server::{Launch, Server, Xdp};
use crate::topology::{Lan, SERVER_IF};
use crate::wait::{PROMPT, until};
use crate::wire::Kind;

/// An interface that comes and goes.
const SECOND_IF: &str = "srv1";
/// Where metrics are served, in the server's namespace.
pub const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 19067);
/// Where Kea's API is served.
pub const KEA_API: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 18000);

const SUBNET: &str = r#"
[[subnet]]
prefix = "10.0.0.0/16"
pools = ["10.0.0.10 - 10.0.3.250", "10.0.128.0 - 10.0.174.255"]
lease-time = "10m"
"#;

/// What may become of the daemon at worst while a call fails each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtWorst {
    /// A newcomer, a renewal and `status` are answered, or `status` says what is wrong.
    Told,
    /// A newcomer gets a lease. No command is answered, `status` neither: the control socket itself needs the call.
    Unheard,
    /// It ends, and says why: a process without memory for a thread that it has just started, or for what it has begun, can't go
    /// on in order.
    Ended,
}
/// What the daemon did while something failed. The kernel renewed in each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// A newcomer got a lease, and `status` was answered.
    Served,
    /// `status` was answered, and said what was wrong.
    Told,
    /// A newcomer got a lease; commands came to no answer, and said so.
    Unheard,
    /// It ended, and said why.
    Ended,
}

impl Became {
    /// Whether that is no worse.
    #[must_use]
    pub fn is_allowed(self, at_worst: AtWorst) -> bool {
        match self {
            Self::Served | Self::Told => true,
            Self::Unheard => at_worst == AtWorst::Unheard,
            Self::Ended => at_worst == AtWorst::Ended,
        }
    }
}

/// A link, a server on it with all that it can have beside it, and a client whose lease the kernel renews.
#[derive(Debug)]
pub struct Scene<'a> {
    /// Its link.
    pub lan: &'a Lan,
    /// Itself.
    pub server: Server<'a>,
    owner: Client<'a>,
    lease: Lease,
    newcomers: u16,
    mtu: u16,
    rounds: u32,
    /// A service manager that never reads what it is told.
    _manager: UnixDatagram,
    environment: Vec<(String, String)>,
}

impl<'a> Scene<'a> {
    /// Starts it with this in its environment.
    ///
    /// # Errors
    /// When it does not serve.
    pub fn new(lan: &'a Lan, environment: &[(&str, &str)]) -> Result<Self> {
        let dir = lan.world.dir();
        let hook = dir.join("hook");
        fs::write(&hook, "#!/bin/sh\n")?;
        fs::set_permissions(&hook, Permissions::from_mode(0o755))?;
        let config = format!(
            "{SUBNET}[journal]\ndirectory = \"{0}/journal\"\n\
             [[hook]]\nevents = [\"all\"]\ncommand = [\"{0}/hook\"]\n\
             [[interface]]\nname = \"{SECOND_IF}\"\nxdp = \"off\"\n",
            dir.display()
        );
        let settings = format!("metrics-listen = \"{METRICS}\"\nkea-api-listen = \"{KEA_API}\"");
        let mut server = Server::with_settings(lan, Xdp::Native, &settings, &config)?;
        server.stop()?;
        let manager = UnixDatagram::bind(dir.join("notify.sock"))?;
        let notify = ("NOTIFY_SOCKET", dir.join("notify.sock").display().to_string());
        let others = environment.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let environment: Vec<_> =
            others.chain([notify]).map(|(name, value)| (name.to_owned(), value)).collect();
        start_in(&mut server, &environment)?;
        let owner = lan.client(1);
        let lease = owner.dora()?;
        owner.renew(&lease)?;
        Ok(Self {
            lan,
            server,
            owner,
            lease,
            newcomers: 1,
            mtu: 1500,
            rounds: 0,
            _manager: manager,
            environment,
        })
    }

    /// A client that was not there before.
    pub fn newcomer(&mut self) -> Client<'a> {
        self.newcomers += 1;
        self.lan.client(self.newcomers)
    }

    /// Whether this command ends within a time that a person waits, however it ends; and what it says.
    fn command(&self, words: &[&str]) -> Result<(Option<i32>, String)> {
        let asked = Instant::now();
        let said = output(&mut self.server.cli(words)?)?;
        ensure!(asked.elapsed() < 3 * PROMPT, "{words:?} took {:?}", asked.elapsed());
        let text =
            format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        Ok((said.status.code(), text))
    }

    /// All that a daemon does in its life, as far as it does it now.
    ///
    /// # Errors
    /// When a command takes too long, or the machine refuses what the test does.
    pub fn live(&mut self) -> Result<()> {
        let passing = self.newcomer();
        let discover = passing.discovering();
        passing.send(&discover)?;
        let wait = Instant::now() + Duration::from_millis(300);
        if let Some(offer) = passing.answer(&discover, wait)?.filter(|answer| answer.kind == Kind::Offer) {
            let selecting = passing.selecting(&offer)?;
            passing.send(&selecting)?;
            let wait = Instant::now() + Duration::from_millis(300);
            if let Some(ack) = passing.answer(&selecting, wait)? {
                passing.release(&crate::client::granted(&ack)?)?;
            }
        }
        let reserved = ["--hw-address", "02:00:00:00:00:99", "--address", "10.0.9.9"];
        for words in [
            &["reload"][..],
            &["audit"],
            &["leases"],
            &["stats"],
            &["events", "--no-follow"],
            &["reservation", "add", reserved[0], reserved[1], reserved[2], reserved[3]],
            &["reservation", "remove", reserved[0], reserved[1]],
        ] {
            // The others would not reach the daemon either.
            if self.command(words)?.0 == Some(3) {
                break;
            }
        }
        // Interfaces are looked at, and what drivers count; one goes, and comes back as another.
        self.mtu = if self.mtu == 1500 { 1400 } else { 1500 };
        self.lan.server.ip(&format!("link set {SERVER_IF} mtu {}", self.mtu))?;
        // At first there is none.
        let _ = self.lan.server.ip(&format!("link del {SECOND_IF}"));
        self.lan.server.ip(&format!("link add {SECOND_IF} type veth peer name far1"))?;
        self.lan.server.ip(&format!("link set {SECOND_IF} up")).map(drop)
    }

    /// What a daemon does now and then: the next segment of its store, a capture, what is asked by HTTP.
    ///
    /// # Errors
    /// As [`live`](Self::live).
    pub fn live_long(&mut self) -> Result<()> {
        for (address, request) in
            [(METRICS, get("/metrics")), (METRICS, get("/")), (KEA_API, post("config-get"))]
        {
            // It may not be let in.
            let _ = ask(&self.lan.server, address, &request);
        }
        self.capture()?;
        self.rounds += 1;
        let file = self.lan.world.write("leases.jsonl", &segment_of_leases(self.rounds)?)?;
        self.command(&["import", &file.display().to_string()])?;
        self.live()
    }

    /// Has renewals captured that the kernel answers, unless a capture is refused. The daemon looks for such packets, and then
    /// waits for more: when it shows those of a second renewal, it has waited.
    fn capture(&self) -> Result<()> {
        let mut socket = UnixStream::connect(self.lan.world.dir().join("control.sock"))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        socket.write_all(b"{\"verb\":\"capture\"}\n")?;
        let mut items = BufReader::new(socket);
        let deadline = Instant::now() + PROMPT;
        for _renewal in 0..2 {
            loop {
                let mut item = String::new();
                match items.read_line(&mut item) {
                    Ok(_) if item.contains("\"packet\"") => break,
                    Ok(0) => return Ok(()),
                    Ok(_) if item.contains("\"error\"") => return Ok(()),
                    Ok(_) => {}
                    // Nothing yet. A renewal that came before the capture began is not in it.
                    Err(_) if Instant::now() < deadline => drop(self.owner.renew(&self.lease)),
                    Err(_) => return Ok(()),
                }
            }
            // The rest of the same renewal.
            while items.read_line(&mut String::new()).is_ok_and(|octets| octets > 0) {}
        }
        Ok(())
    }

    /// What becomes of the daemon while something fails.
    ///
    /// # Errors
    /// When it is none of these, the kernel does not renew, or the daemon has ended without a word.
    pub fn became(&mut self) -> Result<Became> {
        self.owner.renew(&self.lease).context("the kernel goes on")?;
        until("the daemon to serve, to say what is wrong, or to end", 3 * PROMPT, || {
            if !self.server.is_running()? {
                self.ended_with_a_reason()?;
                return Ok(Some(Became::Ended));
            }
            let newcomer = self.newcomer();
            let discover = newcomer.discovering();
            newcomer.send(&discover)?;
            let wait = Instant::now() + Duration::from_millis(200);
            let offer = newcomer.answer(&discover, wait)?;
            let (status, said) = self.command(&["status", "--json"])?;
            if status == Some(0) && said.contains("\"trouble\"") {
                return Ok(Some(Became::Told));
            }
            let Some(offer) = offer else { return Ok(None) };
            let selecting = newcomer.selecting(&offer)?;
            newcomer.send(&selecting)?;
            let wait = Instant::now() + Duration::from_millis(500);
            let granted = newcomer.answer(&selecting, wait)?.is_some_and(|answer| answer.kind == Kind::Ack);
            Ok(match status {
                Some(0) if granted => Some(Became::Served),
                Some(3) if granted && !said.is_empty() => Some(Became::Unheard),
                _ => None,
            })
        })
    }

    /// Of a daemon that has ended.
    fn ended_with_a_reason(&self) -> Result<()> {
        let log = self.server.log();
        let last: Vec<&str> = log.lines().rev().take(200).collect();
        // What the standard library does when a new thread gets no memory.
        let is_allowed = |line: &&str| line.contains("Cannot allocate memory");
        let panicked = last.iter().any(|line| line.contains("panicked at"));
        ensure!(!panicked || last.iter().any(is_allowed), "it panicked: {log}");
        let reason = ["ERROR", "xdhcpd: ", "memory allocation"];
        let is_told = last.iter().take(40).any(|line| reason.iter().any(|word| line.contains(word)));
        ensure!(is_told, "it ended without a word");
        Ok(())
    }

    /// When it is over all is as it was: of itself, or, where the daemon may end, with another.
    ///
    /// # Errors
    /// When it is not, or it has ended where it may not.
    pub fn recover(&mut self, at_worst: AtWorst) -> Result<()> {
        until("all to be well again", 4 * PROMPT, || {
            if !self.server.is_running()? {
                ensure!(at_worst == AtWorst::Ended, "it ended: {}", self.server.log());
                self.ended_with_a_reason()?;
                start_in(&mut self.server, &self.environment)?;
            }
            let (status, said) = self.command(&["status", "--json"])?;
            Ok((status == Some(0) && !said.contains("\"trouble\"")).then_some(()))
        })?;
        self.newcomer().dora()?;
        self.owner.renew(&self.lease)?;
        self.server.reload()?;
        let audit = self.server.json(&["audit"])?;
        ensure!(audit["consistent"] == true, "{audit}");
        Ok(())
    }
}

/// So many leases of another server that their records fill a segment of the store.
fn segment_of_leases(round: u32) -> Result<String> {
    let mut lines = String::new();
    let (id, name, expires) = ("5a:".repeat(250), "n".repeat(60), 1000 + 100 * round);
    for n in 0..12_000_u32 {
        let [_, _, high, low] = (0x0a00_8000 + n).to_be_bytes();
        writeln!(
            lines,
            r#"{{"address":"10.0.{high}.{low}","state":"leased","hw-address":"02:aa:00:00:{high:02x}:{low:02x}","client-id":"{id}{high:02x}:{low:02x}","host-name":"{name}","expires-in":{expires},"committed-for":{expires}}}"#
        )?;
    }
    Ok(lines)
}

/// A request for what is at `path`, of metrics.
#[must_use]
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {METRICS}\r\nConnection: close\r\n\r\n")
}

/// A command of Kea's API.
#[must_use]
pub fn post(command: &str) -> String {
    let body = format!("{{\"command\":\"{command}\",\"service\":[\"dhcp4\"]}}");
    let length = body.len();
    format!(
        "POST / HTTP/1.1\r\nHost: {KEA_API}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

fn start_in(server: &mut Server<'_>, environment: &[(String, String)]) -> Result<()> {
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    server.start_again_with(&Launch { environment: &environment, ..Launch::default() })
}
