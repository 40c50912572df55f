//! The destinations of answers, and the server's address: RFC 2131 §4.1.

use anyhow::{Result, ensure};
use std::net::Ipv4Addr;
use system_tests::client::{Renewal, granted};
use system_tests::paths::SERVER;
use system_tests::topology::SERVER_IF;
use system_tests::wire::{BROADCAST, BROADCAST_FLAG, Kind};

use crate::site::{ORDINARY, RELAY, on_both_paths, prepared, two_subnets, with};

/// RFC 2131 §4.1, stated (to-all, to-hardware): to a client that has no address yet.
/// RFC 2131 §4.1, SHOULD (broadcast-bit, unicast-else): as the bit says, on the link as in IP.
#[test]
fn a_client_without_an_address_hears_as_its_broadcast_bit_says() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        for (n, flags) in [(1, 0), (2, BROADCAST_FLAG)] {
            let client = site.client(n);
            let flagged = |mut request: system_tests::client::Request| {
                request.message.flags = flags;
                request
            };
            let offer = client.exchange(&flagged(client.discovering()))?;
            let ack = client.exchange(&flagged(client.selecting(&offer)?))?;
            let lease = granted(&ack)?;
            let reboot = flagged(client.extending(Renewal::InitReboot, &lease));
            for answer in [offer, ack, site.extended_by(&client, &reboot)?] {
                let to = &answer.envelope;
                let expected =
                    if flags == 0 { (client.mac, lease.address) } else { (BROADCAST, Ipv4Addr::BROADCAST) };
                ensure!((to.eth_dst, to.ip_dst, to.dst_port) == (expected.0, expected.1, 68), "{to:?}");
            }
        }
        Ok(())
    })
}

/// RFC 2131 §4.1, stated (to-ciaddr, to-relay): to a client that has one, and to one behind a relay, bit or no bit.
/// RFC 2131 §4.3.2, stated (renewing-ciaddr): ciaddr is where the answer goes.
#[test]
fn ciaddr_and_giaddr_go_before_the_broadcast_bit() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        let (client, behind) = (site.client(1), site.relayed(2, None));
        let (lease, far) = (client.dora()?, behind.dora()?);
        for flags in [0, BROADCAST_FLAG] {
            for state in [Renewal::Renewing, Renewal::Rebinding] {
                let mut request = client.extending(state, &lease);
                request.message.flags = flags;
                let to = site.extended_by(&client, &request)?.envelope;
                ensure!((to.eth_dst, to.ip_dst, to.dst_port) == (client.mac, lease.address, 68), "{to:?}");
            }
            for state in [Renewal::Rebinding, Renewal::InitReboot] {
                let mut request = behind.extending(state, &far);
                request.message.flags = flags;
                let to = site.extended_by(&behind, &request)?.envelope;
                ensure!((to.ip_dst, to.dst_port) == (RELAY, 67), "{to:?}");
            }
        }
        Ok(())
    })
}

/// RFC 2131 §4.1, MUST (reachable-identifier): clients are told an address that they can reach.
/// RFC 2131 §4.1, SHOULD (identifier-on-link): on the link, the server's own there.
/// RFC 2131 §4.1, SHOULD (identifier-of-interface): through a relay, one of the interface that it came in by.
/// RFC 2131 §4.1, MUST (any-address): by any of its addresses the server is meant.
#[test]
fn the_server_is_known_by_its_addresses() -> Result<()> {
    const SECOND: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
    let ready = |lan: &system_tests::topology::Lan| {
        lan.server.ip(&format!("address add {SECOND}/24 dev {SERVER_IF}")).map(drop)
    };
    prepared(ready, &two_subnets(ORDINARY), |site| {
        for client in [site.client(1), site.relayed(2, None)] {
            let offer = client.discover()?;
            ensure!(offer.address_option(54)? == SERVER && offer.envelope.ip_src == SERVER);
            let select = with(client.selecting(&offer)?, &[(54, &SECOND.octets())]);
            let ack = client.exchange(&select)?;
            ensure!(ack.kind == Kind::Ack && ack.message.yiaddr == offer.message.yiaddr, "{ack:?}");
        }
        Ok(())
    })
}

/// RFC 3011 §2, MUST (reply-address): the option changes where the address is from, not where the answer goes.
#[test]
fn an_answer_with_a_selected_subnet_goes_where_any_goes() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        let client = site.client(1);
        let offer = client.exchange(&with(client.discovering(), &[(118, &[10, 1, 0, 0])]))?;
        let to = &offer.envelope;
        ensure!((to.eth_dst, to.ip_dst, to.dst_port) == (client.mac, offer.message.yiaddr, 68), "{to:?}");
        let behind = site.relayed(2, None);
        let offer = behind.exchange(&with(behind.discovering(), &[(118, &[10, 0, 0, 0])]))?;
        ensure!((offer.envelope.ip_dst, offer.envelope.dst_port) == (RELAY, 67), "{:?}", offer.envelope);
        Ok(())
    })
}
