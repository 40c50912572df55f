//! The answer to a client in each state: RFC 2131 §3 and §4.3.

use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use system_tests::client::{Client, Lease, Renewal, granted};
use system_tests::paths::SERVER;
use system_tests::wire::Kind;

use crate::site::{ORDINARY, WITNESS, on_both_paths, two_subnets, with};

fn offered(client: &Client, asking: Option<Ipv4Addr>) -> Result<Ipv4Addr> {
    let octets = asking.map(|address| address.octets());
    let more: Vec<(u8, &[u8])> = octets.iter().map(|address| (50, address.as_slice())).collect();
    let offer = client.exchange(&with(client.discovering(), &more))?;
    ensure!(offer.kind == Kind::Offer, "{offer:?}");
    Ok(offer.message.yiaddr)
}

/// RFC 2131 §4.3.1, SHOULD (first-choice): what the client has.
/// RFC 2131 §4.3.1, SHOULD (third-choice): else what it asks for.
/// RFC 2131 §4.3.1, SHOULD (fourth-choice): else any address of its link.
/// RFC 2131 §4.3.1, SHOULD NOT (offer-kept): none that is offered to another.
#[test]
fn an_address_is_chosen_in_this_order() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        let wish = Ipv4Addr::new(10, 0, 0, 30);
        let (first, second, third) = (site.client(1), site.client(2), site.client(3));
        let lease = first.dora()?;
        ensure!(offered(&first, Some(wish))? == lease.address, "it has one");
        ensure!(offered(&second, Some(wish))? == wish);
        let other = offered(&third, Some(wish))?;
        ensure!(other != wish && other != lease.address && other.octets()[..3] == [10, 0, 0], "{other}");
        ensure!(offered(&site.relayed(4, None), None)?.octets()[..3] == [10, 1, 0], "its own link");
        ensure!(offered(&site.relayed(5, None), Some(wish))?.octets()[..3] == [10, 1, 0], "and no other");
        Ok(())
    })
}

/// RFC 2131 §4.2, MUST (client-id): a client is known by its identifier.
/// RFC 4361 §6.3, MUST (client-id): whatever its hardware address.
/// RFC 2131 §4.2, MUST (chaddr): else by that.
#[test]
fn a_client_is_known_by_its_identifier_or_its_address() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        let named = |n, id: &[u8]| Client { client_id: Some(id.to_vec()), ..site.client(n) };
        let lease = named(1, b"\0one").dora()?;
        ensure!(named(2, b"\0one").dora()? == lease, "another card, the same client");
        ensure!(named(2, b"\0two").dora()?.address != lease.address, "the same card, another client");
        let plain = site.client(3).dora()?;
        ensure!(site.client(3).dora()? == plain && site.client(4).dora()?.address != plain.address);
        Ok(())
    })
}

/// RFC 2131 §3.1, SHOULD (cannot-satisfy): the server that is selected says no.
/// RFC 2131 §3.5, SHOULD (invalid-address): also to what nobody could have.
#[test]
fn who_selects_what_it_cannot_have_gets_a_nak() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        let taken = site.client(1).dora()?.address;
        let client = site.client(2);
        let offer = client.discover()?;
        for wish in [taken, Ipv4Addr::new(10, 0, 0, 200), Ipv4Addr::new(172, 16, 0, 1)] {
            let select = with(client.selecting(&offer)?, &[(50, &wish.octets())]);
            ensure!(client.exchange(&select)?.kind == Kind::Nak, "{wish}");
        }
        Ok(())
    })
}

/// RFC 2131 §4.3.2, stated (answers-offer): with a server identifier it takes an offer, without one it verifies a lease.
/// RFC 2131 §4.3.2, MUST (reboot-unknown): there is none, so that the server remains silent.
#[test]
fn a_server_identifier_tells_selecting_from_rebooting() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        let client = site.client(1);
        let offer = client.discover()?;
        client.expect_silence(&client.rebooting(offer.message.yiaddr), WITNESS)?;
        let lease = granted(&client.select(&offer)?)?;
        ensure!(client.exchange(&client.rebooting(lease.address))?.kind == Kind::Ack);
        Ok(())
    })
}

/// RFC 2131 §4.3.2, SHOULD (reboot-wrong-address): what the client has is another address.
/// RFC 2131 §4.3.2, SHOULD (reboot-wrong-net): of another net than it is on.
/// RFC 2131 §4.3.2, stated (reboot-net-of-relay): which is the relay's, if there is one.
/// RFC 2131 §3.2, SHOULD (invalid-nak): it is told so.
/// RFC 2131 §4.3.2, MUST (nak-broadcast, nak-broadcast-bit): where it can hear it.
/// RFC 2131 §3.2, MUST (nak-to-relay): or its relay.
#[test]
fn a_client_that_reboots_with_a_wrong_address_gets_a_nak() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        for (client, own, other) in [(site.client(1), 0, 1), (site.relayed(2, None), 1, 0)] {
            client.dora()?;
            for wrong in [Ipv4Addr::new(10, own, 0, 39), Ipv4Addr::new(10, other, 0, 39)] {
                let nak = client.exchange(&client.rebooting(wrong))?;
                ensure!(nak.kind == Kind::Nak, "{wrong}: {:?}", nak.kind);
                let to = (nak.envelope.ip_dst, nak.envelope.dst_port, nak.message.flags);
                let relayed = !nak.message.giaddr.is_unspecified();
                let expected = (nak.message.giaddr, 67, 0x8000);
                ensure!(if relayed { to == expected } else { to.0.is_broadcast() && to.1 == 68 }, "{to:?}");
            }
        }
        Ok(())
    })
}

/// RFC 2131 §4.3.2, SHOULD (rebinding-check): ciaddr has to be the client's.
/// RFC 2131 §3.2, SHOULD NOT (uncertain-silence): of another server's lease nothing is said.
#[test]
fn who_rebinds_another_clients_address_gets_a_nak() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        let (owner, other) = (site.client(1), site.client(2));
        let lease = owner.dora()?;
        site.extended(&owner, Renewal::Rebinding, &lease)?;
        ensure!(other.exchange(&other.rebinding(&lease))?.kind == Kind::Nak);
        let elsewhere = Lease { address: Ipv4Addr::new(10, 0, 0, 200), ..lease };
        other.expect_silence(&other.rebinding(&elsewhere), WITNESS)?;
        site.extended(&owner, Renewal::Rebinding, &lease)?;
        Ok(())
    })
}

/// RFC 2131 §3.4, SHOULD (inform-consistent): an INFORM has to come from the address that it is about.
/// RFC 2131 §3.4, MUST NOT (inform-no-lookup): whose that is, is no matter.
/// RFC 2131 §3.4, SHOULD (inform-unicast): the answer goes there.
/// RFC 2131 §4.3.5, stated (inform-direct, inform-parameters): with what the client asks for.
/// RFC 2131 §4.3.5, MUST NOT (inform-no-time): without a lease time.
/// RFC 2131 §4.3.5, SHOULD NOT (inform-no-yiaddr): or an address.
/// RFC 2131 §4.3.1, MUST NOT (t3-no-lease-time): nor T1 and T2.
#[test]
fn an_inform_is_answered_whoever_has_the_address() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        let leased = site.client(1).dora()?.address;
        let client = site.client(2);
        for address in [WITNESS, leased] {
            let ack = client.inform(address)?;
            ensure!(ack.kind == Kind::Ack && ack.message.yiaddr.is_unspecified(), "{ack:?}");
            let to = &ack.envelope;
            ensure!((to.eth_dst, to.ip_dst, to.dst_port) == (client.mac, address, 68), "{to:?}");
            ensure!([51, 58, 59].iter().all(|code| ack.option(*code).is_none()), "{ack:?}");
            ensure!(ack.option(15) == Some(b"example.org") && ack.address_option(54)? == SERVER, "{ack:?}");
        }
        let mut forged = client.informing(WITNESS);
        forged.envelope.ip_src = Ipv4Addr::new(10, 0, 0, 6);
        client.expect_silence(&forged, WITNESS)?;
        let listed = site.server.json(&["leases"])?;
        ensure!(listed.as_array().map(Vec::len) == Some(1), "{listed}");
        Ok(())
    })
}

/// RFC 2131 §4.3.3, MUST (declined): the address is out of use.
/// RFC 2131 §4.3.3, SHOULD (decline-told): and the administrator knows.
#[test]
fn a_declined_address_is_reported() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        let client = site.client(1);
        let lease = client.dora()?;
        client.decline(&lease)?;
        ensure!(client.dora()?.address != lease.address);
        let listed = site.server.json(&["quarantine"])?;
        let entry = listed.get(0).context("nothing is in quarantine")?;
        ensure!(entry["address"] == lease.address.to_string() && entry["why"] == "declined", "{entry}");
        ensure!(entry["by"] == "02:c1:00:00:00:01", "{entry}");
        let told = site
            .server
            .log()
            .lines()
            .any(|line| line.contains("declined") && line.contains(&lease.address.to_string()));
        ensure!(told, "not in the log");
        Ok(())
    })
}
