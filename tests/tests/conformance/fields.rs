//! Fields and options of the answers: RFC 2131 §4.3.1, table 3.

use anyhow::{Context, Result, ensure};
use std::net::Ipv4Addr;
use system_tests::client::{Renewal, granted};
use system_tests::wire::{BROADCAST_FLAG, Kind};

use crate::site::{ORDINARY, RELAY, codes, on_both_paths, two_subnets, with};

const BOOT: &str = r#"
next-server = "10.0.0.9"
server-hostname = "boot"
boot-file-name = "images/first.img"
options = { routers = ["10.0.0.1"] }
"#;

/// The text of a field, which is zero behind it.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|octet| *octet == 0).unwrap_or(field.len());
    &field[..end]
}

/// RFC 2131 §3, stated (message-type, cookie): without these it would be no DHCP message.
/// RFC 2131 §4.1, stated (end-last, ports): nor without these.
/// RFC 2131 §4.3.1, stated (t3-fixed, t3-copied, t3-flags, t3-ciaddr, t3-yiaddr, t3-siaddr, t3-boot): the fields.
/// RFC 2131 §4.3.1, MUST NOT (t3-no-requested, t3-no-list, t3-no-max-size): what is the client's is not repeated.
/// RFC 2131 §4.3.1, MUST (t3-lease-time, t3-server-id): what must be told is.
#[test]
fn every_answer_has_the_fields_of_table_3() -> Result<()> {
    on_both_paths(&two_subnets(BOOT), |site| {
        for client in [site.client(1), site.relayed(2, Some(b"\x01\x02ab"))] {
            let relay =
                if client.tags.is_empty() && client.mac[5] == 2 { RELAY } else { Ipv4Addr::UNSPECIFIED };
            let flags = BROADCAST_FLAG | 0x1234;
            let odd = |mut request: system_tests::client::Request| {
                request.message.secs = 77;
                request.message.flags = flags;
                with(request, &[(57, &1500_u16.to_be_bytes())])
            };
            let offer = client.exchange(&odd(client.discovering()))?;
            let select = odd(client.selecting(&offer)?);
            let ack = client.exchange(&select)?;
            let lease = granted(&ack)?;
            let mut all = vec![(offer, Ipv4Addr::UNSPECIFIED, relay), (ack, Ipv4Addr::UNSPECIFIED, relay)];
            for state in Renewal::ALL {
                let request = odd(client.extending(state, &lease));
                let (ciaddr, giaddr) = (request.message.ciaddr, request.message.giaddr);
                all.push((site.extended_by(&client, &request).context(state.name())?, ciaddr, giaddr));
            }
            for (answer, ciaddr, giaddr) in all {
                let message = &answer.message;
                ensure!((message.op, message.htype, message.hlen) == (2, 1, 6), "{message:?}");
                ensure!((message.hops, message.secs, message.flags) == (0, 0, flags), "{message:?}");
                ensure!((message.ciaddr, message.giaddr) == (ciaddr, giaddr), "{message:?}");
                ensure!(message.chaddr[..6] == client.mac && message.chaddr[6..] == [0; 10], "{message:?}");
                ensure!(message.yiaddr == lease.address, "{message:?}");
                ensure!(message.siaddr == Ipv4Addr::new(10, 0, 0, 9), "{message:?}");
                ensure!(text(&message.sname) == b"boot" && text(&message.file) == b"images/first.img");
                for never in [50, 55, 57] {
                    ensure!(answer.option(never).is_none(), "option {never} in {:?}", answer.kind);
                }
                ensure!(answer.number_option(51)? == 600 && answer.address_option(54)? == lease.server);
            }
        }
        Ok(())
    })
}

/// RFC 2131 §4.3.1, SHOULD (t3-message): a NAK says why.
/// RFC 2131 §4.3.1, MUST NOT (t3-nak-no-more, t3-no-lease-time, t3-nak-overload): it says no more.
/// RFC 2131 §4.3.1, stated (t3-ciaddr, t3-yiaddr, t3-siaddr, t3-boot): its fields are empty.
/// RFC 6842 §3, MUST (returned): the client identifier comes back.
/// RFC 6842 §3, MUST NOT (not-invented): if there was one.
/// RFC 3046 §2.2, SHALL (echo): so does what the relay said.
#[test]
fn a_nak_says_why_and_nothing_else() -> Result<()> {
    on_both_paths(&two_subnets(BOOT), |site| {
        let far = Ipv4Addr::new(172, 16, 0, 1);
        let mut identified = site.relayed(2, Some(b"\x01\x02ab"));
        identified.client_id = Some(b"\0me".to_vec());
        for (client, expected) in [(site.client(1), vec![53, 54, 56]), (identified, vec![53, 54, 56, 61, 82])]
        {
            let lease = client.dora()?;
            let mut moved = lease;
            moved.address = far;
            for request in [client.rebooting(far), client.rebinding(&moved)] {
                let nak = client.exchange(&with(request, &[(118, &[10, 0, 0, 0])]))?;
                ensure!(
                    nak.kind == Kind::Nak && codes(&nak) == expected,
                    "{:?}: {:?}",
                    nak.kind,
                    codes(&nak)
                );
                let message = &nak.message;
                let addresses = [message.ciaddr, message.yiaddr, message.siaddr];
                ensure!(addresses.iter().all(Ipv4Addr::is_unspecified), "{message:?}");
                ensure!(message.sname == [0; 64] && message.file == [0; 128], "{message:?}");
            }
        }
        Ok(())
    })
}

/// RFC 2131 §4.3.1, stated (time-default, time-asked): the time that is configured, or one that was asked for.
/// RFC 2131 §4.3.1, MUST (tells-address): with the address.
/// RFC 2131 §4.4.5, MUST (times-in-order): T1, then T2, then the end.
/// RFC 2131 §4.4.5, SHOULD (times-told): they are told.
/// RFC 2131 §3.3, stated (relative-times): in seconds from now, so that they are the same each time.
#[test]
fn times_are_told_from_now_on() -> Result<()> {
    let terms = format!("min-lease-time = \"1m\"\nmax-lease-time = \"20m\"\n{ORDINARY}");
    on_both_paths(&two_subnets(&terms), |site| {
        for (n, (wish, expected)) in
            (1..).zip([(None, 600), (Some(300_u32), 300), (Some(5), 60), (Some(u32::MAX), 1200)])
        {
            let asked = wish.map(u32::to_be_bytes);
            let more: Vec<(u8, &[u8])> = asked.iter().map(|secs| (51, secs.as_slice())).collect();
            for answer in site.all_answers_to(&site.client(n), &more)? {
                let times = [51, 58, 59].map(|code| answer.number_option(code).unwrap_or(0));
                ensure!(times == [expected, expected / 2, expected * 7 / 8], "{wish:?}: {times:?}");
            }
        }
        Ok(())
    })
}
