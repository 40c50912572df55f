//! A server on a link, with the XDP program attached or without it, and whether kernel or daemon answers there.

use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use system_tests::answer::Answer;
use system_tests::client::{Client, Lease, Renewal, Request, Via, append_option, granted};
use system_tests::paths::{AGENT_MAC, SERVER};
use system_tests::server::{Server, Xdp};
use system_tests::topology::Lan;
use system_tests::wire::Kind;

/// An address configured by hand, for an INFORM to tell when the server is done with what came before.
pub(crate) const WITNESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
/// A relay, and the address by which it is known.
pub(crate) const RELAY: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);

/// A subnet on the link and one behind a relay, both with `terms`.
pub(crate) fn two_subnets(terms: &str) -> String {
    let subnet = |place: u8| {
        format!(
            r#"
[[subnet]]
prefix = "10.{place}.0.0/24"
pools = ["10.{place}.0.10 - 10.{place}.0.40"]
lease-time = "10m"
{terms}
"#
        )
    };
    subnet(0) + &subnet(1)
}

/// What most of these tests ask for.
pub(crate) const ORDINARY: &str = r#"options = { routers = ["10.0.0.1"], domain-name-servers = ["10.0.0.53"], domain-name = "example.org" }"#;

/// A server and its link.
pub(crate) struct Site<'a> {
    pub(crate) lan: &'a Lan,
    pub(crate) server: Server<'a>,
    xdp: Xdp,
}

/// Does this where the program answers what it can, and where there is no program.
pub(crate) fn on_both_paths(subnets: &str, check: impl Fn(&Site) -> Result<()>) -> Result<()> {
    prepared(|_| Ok(()), subnets, check)
}

/// The same on a link that is made ready before the server starts.
pub(crate) fn prepared(
    ready: impl Fn(&Lan) -> Result<()>,
    subnets: &str,
    check: impl Fn(&Site) -> Result<()>,
) -> Result<()> {
    for xdp in [Xdp::Native, Xdp::Off] {
        let lan = Lan::new("conform", SERVER, 24)?;
        ready(&lan)?;
        let server = Server::start(&lan, xdp, subnets)?;
        check(&Site { lan: &lan, server, xdp }).with_context(|| format!("{xdp:?}"))?;
    }
    Ok(())
}

impl Site<'_> {
    /// The scripted client number `n` on the link.
    pub(crate) fn client(&self, n: u16) -> Client<'_> {
        self.lan.client(n)
    }

    /// The scripted client number `n` behind the relay, which says this of it.
    pub(crate) fn relayed(&self, n: u16, agent_info: Option<&[u8]>) -> Client<'_> {
        let agent_info = agent_info.map(<[u8]>::to_vec);
        Client { via: Via::Relay { mac: AGENT_MAC, address: RELAY, agent_info }, ..self.client(n) }
    }

    /// What a client in this state is answered; by the kernel, where there is the program.
    pub(crate) fn extended(&self, client: &Client, state: Renewal, lease: &Lease) -> Result<Answer> {
        self.extended_by(client, &client.extending(state, lease)).with_context(|| state.name().to_owned())
    }

    /// What a request to go on with a lease is answered when it is asked for the second time: by the kernel, where
    /// there is the program.
    pub(crate) fn extended_by(&self, client: &Client, request: &Request) -> Result<Answer> {
        let first = client.exchange(request)?;
        ensure!(first.kind == Kind::Ack, "{:?}", first.kind);
        let before = self.server.stats()?;
        let answer = client.exchange(&request.again())?;
        let after = self.server.stats()?;
        let kernel = after.all_kernel_acked()? - before.all_kernel_acked()?;
        let daemon = after.received("request")? - before.received("request")?;
        let expected = if self.xdp == Xdp::Off { (0, 1) } else { (1, 0) };
        ensure!(
            (kernel, daemon) == expected,
            "the kernel answered {kernel}, the daemon {daemon}; sent up: {} and then {}",
            before.0["kernel"]["punted"],
            after.0["kernel"]["punted"]
        );
        ensure!(answer.options == first.options, "{:?} and then {:?}", first.options, answer.options);
        Ok(answer)
    }

    /// OFFER and ACK, where each message of the client's has these options too.
    pub(crate) fn exchange_with(&self, client: &Client, more: &[(u8, &[u8])]) -> Result<(Answer, Answer)> {
        let offer = client.exchange(&with(client.discovering(), more))?;
        ensure!(offer.kind == Kind::Offer, "{:?}", offer.kind);
        let ack = client.exchange(&with(client.selecting(&offer)?, more))?;
        granted(&ack)?;
        Ok((offer, ack))
    }

    /// OFFER, ACK, and what each way to go on with the lease is answered, where each message of the client's has these
    /// options too.
    pub(crate) fn all_answers_to(&self, client: &Client, more: &[(u8, &[u8])]) -> Result<Vec<Answer>> {
        let (offer, ack) = self.exchange_with(client, more)?;
        let lease = granted(&ack)?;
        let mut all = vec![offer, ack];
        for state in Renewal::ALL {
            let request = with(client.extending(state, &lease), more);
            all.push(self.extended_by(client, &request).with_context(|| state.name().to_owned())?);
        }
        Ok(all)
    }
}

/// The request with these options too, behind its own but for option 82; an option that it has gets this value.
pub(crate) fn with(mut request: Request, more: &[(u8, &[u8])]) -> Request {
    let area = &mut request.message.options;
    let agent_info = taken(area, 82);
    for (code, value) in more {
        taken(area, *code);
        append_option(area, *code, value);
    }
    if let Some(info) = agent_info {
        append_option(area, 82, &info);
    }
    request
}

/// Takes an option out of an area that ends with END.
fn taken(area: &mut Vec<u8>, code: u8) -> Option<Vec<u8>> {
    let mut at = 0;
    while let [found, len, rest @ ..] = area.get(at..)? {
        let end = at + 2 + usize::from(*len);
        if *found == code {
            let value = rest.get(..usize::from(*len)).map(<[u8]>::to_vec);
            area.drain(at..end);
            return value;
        }
        at = end;
    }
    None
}

/// The codes of an answer's options, in order.
pub(crate) fn codes(answer: &Answer) -> Vec<u8> {
    answer.options.iter().map(|(code, _)| *code).collect()
}
