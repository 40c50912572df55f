//! The options that a client gets, and their order.

use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use system_tests::answer::Answer;
use system_tests::client::{Client, Renewal};
use system_tests::wire::Kind;

use crate::site::{ORDINARY, codes, on_both_paths, two_subnets, with};

/// RFC 2131 §4.3.1, MUST (configured, only-once): what is asked for and there is told, once.
/// RFC 2131 §4.3.1, MUST NOT (not-configured): what is not there isn't.
/// RFC 2132 §9.8, MUST (order-asked): in the client's order.
/// RFC 2132 §3.3, MUST (mask-first): but the mask before the routers.
#[test]
fn parameters_come_as_they_are_asked_for() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        for answer in site.all_answers_to(&site.client(1), &[(55, &[15, 3, 42, 77, 3, 6, 1])])? {
            ensure!(codes(&answer) == [53, 54, 51, 58, 59, 15, 1, 3, 6], "{:?}", codes(&answer));
        }
        for answer in site.all_answers_to(&site.client(2), &[(55, &[15, 6, 1, 3])])? {
            ensure!(codes(&answer) == [53, 54, 51, 58, 59, 15, 6, 1, 3], "{:?}", codes(&answer));
        }
        Ok(())
    })
}

/// RFC 2131 §3.1, SHOULD NOT (ack-agrees): the ACK says what the OFFER said.
#[test]
fn an_ack_agrees_with_its_offer() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        for client in [site.client(1), site.relayed(2, Some(b"\x01\x02ab"))] {
            let (offer, ack) = site.exchange_with(&client, &[(55, &[3, 6, 15, 51])])?;
            let but_for_the_type = |answer: &Answer| answer.options[1..].to_vec();
            ensure!(but_for_the_type(&offer) == but_for_the_type(&ack), "{offer:?}\n{ack:?}");
            ensure!(offer.message.yiaddr == ack.message.yiaddr);
        }
        Ok(())
    })
}

/// RFC 2131 §4.3.1, MUST (client-own): what is set for this client.
/// RFC 2131 §4.3.1, MUST (subnet-own): else what is set for its subnet.
#[test]
fn parameters_are_the_clients_own_or_its_subnets() -> Result<()> {
    let subnets = r#"
[[subnet]]
prefix = "10.0.0.0/24"
pools = ["10.0.0.10 - 10.0.0.40"]
options = { domain-name = "here", domain-name-servers = ["10.0.0.53"] }

[[subnet.reservation]]
hw-address = "02:c1:00:00:00:07"
address = "10.0.0.7"
host-name = "seven"
options = { domain-name = "its.own" }

[[subnet]]
prefix = "10.1.0.0/24"
pools = ["10.1.0.10 - 10.1.0.40"]
options = { domain-name = "there" }
"#;
    on_both_paths(subnets, |site| {
        let list: &[(u8, &[u8])] = &[(55, &[12, 15, 6])];
        let told = |client: &Client| -> Result<Vec<Answer>> { site.all_answers_to(client, list) };
        for answer in told(&site.client(7))? {
            ensure!(
                answer.option(12) == Some(b"seven") && answer.option(15) == Some(b"its.own"),
                "{answer:?}"
            );
            ensure!(answer.option(6) == Some([10, 0, 0, 53].as_slice()), "{answer:?}");
        }
        for answer in told(&site.client(8))? {
            ensure!(answer.option(12).is_none() && answer.option(15) == Some(b"here"), "{answer:?}");
        }
        for answer in told(&site.relayed(9, None))? {
            ensure!(answer.option(6).is_none() && answer.option(15) == Some(b"there"), "{answer:?}");
        }
        Ok(())
    })
}

/// RFC 8925 §3.3, MUST NOT (only-if-asked): option 108 is for who asks for it.
/// RFC 8925 §3.3, stated (if-asked): who does, gets it.
/// RFC 8925 §3.3, SHOULD (no-address): and is offered 0.0.0.0.
/// RFC 8925 §3.3, SHOULD NOT (not-reserved): nothing is kept for it.
#[test]
fn ipv6_only_is_preferred_by_who_asks_for_it() -> Result<()> {
    on_both_paths(&two_subnets("options = { v6-only-preferred = 1800 }"), |site| {
        for answer in site.all_answers_to(&site.client(2), &[(55, &[1, 3, 6])])? {
            ensure!(answer.option(108).is_none(), "{answer:?}");
        }
        let (client, asks): (_, &[(u8, &[u8])]) = (site.client(1), &[(55, &[1, 3, 108])]);
        let offer = client.exchange(&with(client.discovering(), asks))?;
        ensure!(offer.kind == Kind::Offer && offer.message.yiaddr.is_unspecified(), "{offer:?}");
        ensure!(offer.option(108) == Some(&[0, 0, 7, 8]), "{offer:?}");
        ensure!(site.server.pool_count("offered")? == 0, "an address is kept");
        // It may ask for one all the same.
        let lease = client.dora()?;
        for state in Renewal::ALL {
            let answer = site.extended_by(&client, &with(client.extending(state, &lease), asks))?;
            ensure!(answer.option(108) == Some(&[0, 0, 7, 8]), "{answer:?}");
        }
        Ok(())
    })
}

/// RFC 3011 §2, MUST (copy): option 118 comes back as it was sent.
/// RFC 3011 §2, MUST NOT (on-subnet): the address is of that subnet.
#[test]
fn a_subnet_may_be_selected() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        let there = Ipv4Addr::new(10, 1, 0, 0);
        // What it has is not of its own link, so that it goes on with it through its relay.
        let client = site.relayed(1, None);
        for answer in site.all_answers_to(&client, &[(118, &there.octets())])? {
            ensure!(answer.option(118) == Some(there.octets().as_slice()), "{answer:?}");
        }
        let direct = site.client(2);
        let (offer, ack) = site.exchange_with(&direct, &[(118, &there.octets())])?;
        for answer in [offer, ack] {
            ensure!(answer.message.yiaddr.octets()[..3] == [10, 1, 0], "{answer:?}");
            ensure!(answer.option(118) == Some(there.octets().as_slice()), "{answer:?}");
        }
        // A subnet of nobody's: no address at all.
        let nowhere = with(site.client(3).discovering(), &[(118, &[10, 9, 0, 0])]);
        site.client(3).expect_silence(&nowhere, crate::site::WITNESS)
    })
}

/// RFC 3396 §7, MUST (several-are-one): parts in option area, file and sname, in this order.
/// RFC 3396 §7, MUST NOT (not-apart): none counts by itself.
/// RFC 2131 §4.1, MUST (overload-order): option area, file, sname.
#[test]
fn options_that_come_in_parts_are_one() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        let client = site.client(1);
        let mut request = with(client.discovering(), &[(55, &[15])]);
        let area = &mut request.message.options;
        area.pop();
        area.extend([61, 2, 0, b'a', 61, 2, b'b', b'c', 52, 1, 3, 255]);
        request.message.file[..6].copy_from_slice(&[55, 1, 3, 61, 1, b'd']);
        request.message.file[6] = 255;
        request.message.sname[..7].copy_from_slice(&[55, 1, 6, 61, 1, b'e', 255]);
        let answers = client.answers_to(&[request.frame()?], crate::site::WITNESS)?;
        let offer = answers.first().context("no offer")?;
        ensure!(offer.kind == Kind::Offer && offer.option(61) == Some(b"\0abcde"), "{offer:?}");
        ensure!(codes(offer) == [53, 54, 51, 58, 59, 1, 15, 3, 6, 61], "{:?}", codes(offer));
        Ok(())
    })
}
