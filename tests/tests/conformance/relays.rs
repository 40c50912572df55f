//! Relay information: RFC 3046, 3527, 5010, 5107.

use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use system_tests::client::{Renewal, granted};
use system_tests::wire::Kind;

use crate::site::{ORDINARY, RELAY, WITNESS, on_both_paths, two_subnets, with};

/// RFC 3527 §3, MUST (on-link): the address is of the subnet that the relay names.
#[test]
fn the_link_is_what_the_relay_selects() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        let selecting = site.relayed(1, Some(&[5, 4, 10, 0, 0, 0]));
        let (offer, ack) = site.exchange_with(&selecting, &[])?;
        for answer in [offer, ack] {
            ensure!(answer.message.yiaddr.octets()[..3] == [10, 0, 0], "{answer:?}");
            ensure!(answer.envelope.ip_dst == RELAY && answer.message.giaddr == RELAY, "{answer:?}");
        }
        let nowhere = site.relayed(2, Some(&[5, 4, 10, 9, 0, 0]));
        let answers = site.client(3).answers_to(&[nowhere.discovering().frame()?], WITNESS)?;
        ensure!(answers.is_empty(), "{answers:?}");
        Ok(())
    })
}

/// RFC 5107 §4, MUST (override): the server goes by the relay's address.
/// RFC 5107 §4, stated (accept): and is meant by it.
#[test]
fn a_relay_may_be_taken_for_the_server() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        let info = [&[11, 4][..], &RELAY.octets()].concat();
        let client = site.relayed(1, Some(&info));
        let offer = client.discover()?;
        ensure!(offer.address_option(54)? == RELAY, "{offer:?}");
        let ack = client.select(&offer)?;
        ensure!(ack.kind == Kind::Ack && ack.address_option(54)? == RELAY, "{ack:?}");
        // What is not the relay's word is another server's.
        let other = site.relayed(2, None);
        let elsewhere = with(other.selecting(&other.discover()?)?, &[(54, &RELAY.octets())]);
        let answers = site.client(3).answers_to(&[elsewhere.frame()?], WITNESS)?;
        ensure!(answers.is_empty(), "{answers:?}");
        Ok(())
    })
}

/// RFC 5010 §5, stated (unicast-bit): a renewal that the relay took in for the server alone gets a NAK where one for all
/// servers gets silence.
#[test]
fn the_relay_tells_renewing_from_rebinding() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        let mut strange = site.relayed(9, None).dora()?;
        strange.address = Ipv4Addr::new(10, 1, 0, 200);
        let renewing = site.relayed(1, Some(&[10, 1, 0x80]));
        let nak = renewing.exchange(&renewing.rebinding(&strange))?;
        ensure!(nak.kind == Kind::Nak, "{nak:?}");
        let rebinding = site.relayed(2, Some(&[10, 1, 0]));
        let answers = site.client(3).answers_to(&[rebinding.rebinding(&strange).frame()?], WITNESS)?;
        ensure!(answers.is_empty(), "{answers:?}");
        Ok(())
    })
}

/// RFC 3046 §2.2, SHALL (echo): what the relay said comes back in every answer.
/// RFC 3046 §2.2, MUST NOT (not-expected): a client that renews past its relay is served without it.
/// RFC 6842 §3, MUST (returned): so does the client identifier.
/// RFC 6842 §3, MUST NOT (not-invented): if there was one.
/// RFC 2131 §3.2, stated (reboot-ack): INIT-REBOOT gets an ACK.
/// RFC 2131 §4.3.2, stated (renewing-ack): RENEWING too, early as it is.
#[test]
fn what_identifies_the_client_comes_back() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        let info: &[u8] = b"\x01\x06port-7\x02\x08building\x09\x02xy";
        for (n, id) in [(1, None), (2, Some(b"\xff\0\0\0\x01\0\x02duid".to_vec()))] {
            let mut client = site.relayed(n, Some(info));
            client.client_id.clone_from(&id);
            let (offer, ack) = site.exchange_with(&client, &[])?;
            let lease = granted(&ack)?;
            let mut all = vec![offer, ack];
            for state in [Renewal::Rebinding, Renewal::InitReboot] {
                all.push(site.extended(&client, state, &lease)?);
            }
            for answer in all {
                ensure!(answer.option(82) == Some(info), "{answer:?}");
                ensure!(answer.option(61) == id.as_deref(), "{answer:?}");
            }
            let renewed = site.extended(&client, Renewal::Renewing, &lease)?;
            ensure!(renewed.option(82).is_none() && renewed.option(61) == id.as_deref(), "{renewed:?}");
        }
        Ok(())
    })
}

/// RFC 3046 §3.1, SHOULD (circuit-reported): the circuit is told with the lease and in the log.
/// RFC 3046 §3.2, SHOULD (remote-reported): so is the remote end.
#[test]
fn what_the_relay_says_is_reported() -> Result<()> {
    on_both_paths(&two_subnets(ORDINARY), |site| {
        let client = site.relayed(1, Some(b"\x01\x06port-7\x02\x08building"));
        let lease = client.dora()?;
        let shown = site.server.lease(lease.address)?.context("the lease is not listed")?;
        let expected = "01:06:70:6f:72:74:2d:37:02:08:62:75:69:6c:64:69:6e:67";
        ensure!(shown["relay"] == RELAY.to_string(), "{shown}");
        ensure!(shown["relay-information"] == expected, "{shown}");
        ensure!(site.server.log().contains(expected), "not in the log");
        Ok(())
    })
}
