//! The renewal that a lease's client may send, and what policy answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use dhcp_ebpf::lease::BootSecs;

use super::words::Memory;
use crate::config::Config;
use crate::message::options::code;
use crate::message::{Form, Request};
use crate::policy::{Action, Answer, Event, LeaseView, Policy, Reply};

/// What a renewal comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// An ACK with these contents.
    Ack(Contents),
    /// A NAK: the client begins anew.
    Nak,
    /// No answer, and why not.
    Silence(&'static str),
}

/// The contents of an ACK: options by code, and fields of the header by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) options: BTreeMap<u8, Vec<u8>>,
    pub(super) fields: BTreeMap<&'static str, String>,
}

/// All options that either configuration sets somewhere: what the client asks for.
pub(super) fn wanted(old: &Config, new: &Config) -> Vec<u8> {
    let mut codes = BTreeSet::from([
        code::SUBNET_MASK,
        code::ROUTERS,
        code::HOST_NAME,
        code::RENEWAL_TIME,
        code::REBINDING_TIME,
    ]);
    for config in [old, new] {
        for subnet in &config.subnets {
            codes.extend(subnet.options.0.keys());
            codes.extend(subnet.pools.iter().flat_map(|pool| pool.overrides.options.0.keys()));
            codes.extend(subnet.reservations.iter().flat_map(|own| own.overrides.options.0.keys()));
        }
        codes.extend(config.classes.iter().flat_map(|class| class.overrides.options.0.keys()));
    }
    codes.into_iter().take(255).collect()
}

/// Asks `policy` to renew the lease, as its client would that asks for all that `wanted` has.
pub(super) fn asked(
    policy: &mut Policy,
    words: &Memory,
    now: BootSecs,
    lease: &LeaseView,
    wanted: &[u8],
) -> Option<Answered> {
    let mut area = vec![code::MESSAGE_TYPE, 1, 3];
    let mut option = |code: u8, value: &[u8]| {
        if let Ok(length) = u8::try_from(value.len())
            && length > 0
        {
            area.extend([code, length]);
            area.extend(value);
        }
    };
    option(code::PARAMETER_REQUEST_LIST, wanted);
    option(code::MAX_MESSAGE_SIZE, &1500_u16.to_be_bytes());
    option(code::CLIENT_IDENTIFIER, lease.client_id.as_deref().unwrap_or_default());
    area.push(code::END);
    // RENEWING, where it is known whom the client talks to, else REBINDING.
    let server = policy.record(lease.address).map(|record| record.server);
    let ip_dst = server.filter(|server| !server.is_unspecified()).unwrap_or(Ipv4Addr::BROADCAST);
    let form =
        Form { ciaddr: lease.address, giaddr: Ipv4Addr::UNSPECIFIED, ip_src: lease.address, ip_dst, area };
    let request = Arc::new(Request::expected(lease.link, lease.chaddr, form).ok()?);
    let mut actions = Vec::new();
    policy.handle(now, words, Event::Message(request), &mut actions);
    words.carry_out(&actions);
    actions.into_iter().find_map(|action| match action {
        Action::Reply { reply: Reply::Ack { yiaddr, answer, .. }, .. } if yiaddr == lease.address => {
            Some(Answered::Ack(contents(&answer)))
        }
        Action::Reply { .. } => Some(Answered::Nak),
        Action::Silence { why, .. } => Some(Answered::Silence(why.name())),
        _ => None,
    })
}

fn contents(answer: &Answer) -> Contents {
    let mut all = Contents::default();
    add(&mut all.options, &answer.options);
    let overloaded =
        all.options.remove(&code::OVERLOAD).and_then(|value| value.first().copied()).unwrap_or(0);
    let fields = [
        ("server-hostname", 2, answer.sname.as_ref().map(|field| &field[..])),
        ("boot-file-name", 1, answer.file.as_ref().map(|field| &field[..])),
    ];
    for (name, bit, field) in fields {
        match field {
            Some(field) if overloaded & bit != 0 => add(&mut all.options, field),
            Some(field) => {
                let end = field.iter().position(|octet| *octet == 0).unwrap_or(field.len());
                let text = String::from_utf8_lossy(field.get(..end).unwrap_or(field)).into_owned();
                all.fields.insert(name, text);
            }
            None => {}
        }
    }
    if !answer.siaddr.is_unspecified() {
        all.fields.insert("next-server", answer.siaddr.to_string());
    }
    all
}

fn add(options: &mut BTreeMap<u8, Vec<u8>>, area: &[u8]) {
    let mut rest = area;
    while let [code, after @ ..] = rest {
        match (*code, after) {
            (code::END, _) => return,
            (0, after) => rest = after,
            (code, [length, after @ ..]) => {
                let (value, after) = after.split_at_checked((*length).into()).unwrap_or((after, &[]));
                options.entry(code).or_default().extend(value);
                rest = after;
            }
            (_, []) => return,
        }
    }
}
