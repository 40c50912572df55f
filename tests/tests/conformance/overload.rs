//! Options that don't fit: overloaded fields, long values, and how much a client takes. RFC 2131 §4.1, RFC 3396.

use anyhow::{Context, Result, ensure};
use system_tests::answer::Answer;
use system_tests::wire::Kind;

use crate::site::{codes, on_both_paths, two_subnets, with};

/// 120, 100 and 50 octets: too much for the 308 that a client takes that says nothing, with what is always told.
fn wordy() -> String {
    let value = |len: usize, octet: &str| format!("\"hex:{}\"", octet.repeat(len));
    let terms = format!(
        "options = {{ code-224 = {}, code-225 = {}, code-226 = {}, routers = [\"10.0.0.1\"] }}",
        value(180, "e0"),
        value(110, "e1"),
        value(50, "e2")
    );
    two_subnets(&terms)
}

/// What makes a request so long that the driver need not make much room for its answer.
const LONG_REQUEST: (u8, &[u8]) = (43, &[7; 240]);

/// The options of a field, which must begin at its beginning and end with END and zeros.
fn field(octets: &[u8]) -> Result<Vec<(u8, Vec<u8>)>> {
    let mut list = Vec::new();
    let mut rest = octets;
    loop {
        match rest {
            [255, padding @ ..] => {
                ensure!(padding.iter().all(|octet| *octet == 0), "something follows END");
                return Ok(list);
            }
            [code, len, after @ ..] if *code != 0 && after.len() >= usize::from(*len) => {
                let (value, after) = after.split_at(usize::from(*len));
                list.push((*code, value.to_vec()));
                rest = after;
            }
            _ => anyhow::bail!("no whole options: {octets:02x?}"),
        }
    }
}

/// All options of an answer in the order of RFC 3396 §5: option area, file, sname.
fn in_all_fields(answer: &Answer) -> Result<Vec<(u8, Vec<u8>)>> {
    let overload = match answer.option(52) {
        None => 0,
        Some([which @ 1..=3]) => *which,
        other => anyhow::bail!("option 52 is {other:?}"),
    };
    let mut all = answer.options.clone();
    let message = &answer.message;
    for (bit, octets) in [(1, &message.file[..]), (2, &message.sname[..])] {
        if overload & bit != 0 {
            all.extend(field(octets)?);
        } else {
            ensure!(octets.iter().all(|octet| *octet == 0), "a field that is not told of: {octets:02x?}");
        }
    }
    Ok(all)
}

/// Octets of the datagram.
fn datagram(answer: &Answer) -> usize {
    answer.frame.len() - 14
}

/// RFC 2131 §4.1, MUST (overload-told, overload-end, overload-field, option-whole): fields with options are as they
/// have to be.
/// RFC 2132 §9.3, stated (overload): option 52 says which they are.
/// RFC 2132 §9.10, stated (max-size): the answer is no longer than the client takes.
/// RFC 3396 §5, MUST NOT (within-field): no option goes from one into the next.
/// RFC 3046 §2.2, SHALL NOT (not-overloaded): what the relay said stays in the option area.
/// RFC 3046 §2.2, SHALL (echo): and comes back.
/// RFC 3046 §2.2, SHOULD (last): as the last there.
#[test]
fn what_has_no_room_goes_into_the_fields() -> Result<()> {
    on_both_paths(&wordy(), |site| {
        for client in [site.client(1), site.relayed(2, Some(b"\x01\x06port-7"))] {
            for answer in site.all_answers_to(&client, &[(55, &[3, 224, 225, 226]), LONG_REQUEST])? {
                ensure!(datagram(&answer) <= 576, "{} octets", datagram(&answer));
                ensure!(answer.option(52).is_some(), "{answer:?}");
                let all = in_all_fields(&answer)?;
                for (code, len) in [(224, 180), (225, 110), (226, 50)] {
                    let found = all.iter().find(|(found, _)| *found == code).map(|(_, value)| value);
                    ensure!(found == Some(&vec![code; len]), "option {code} is {found:?}");
                }
                let last = codes(&answer).last().copied();
                ensure!(answer.option(82).is_none() || last == Some(82), "{last:?}");
            }
        }
        Ok(())
    })
}

/// RFC 2132 §9.10, stated (max-size): who takes more is not sent options in other fields.
/// RFC 2132 §9.10, stated (max-size-legal): nobody takes less than 576 octets.
#[test]
fn an_answer_is_as_long_as_the_client_takes() -> Result<()> {
    on_both_paths(&wordy(), |site| {
        for (n, size, overloaded) in [(1, 1500_u16, false), (2, 576, true), (3, 100, true)] {
            let more: &[(u8, &[u8])] = &[(55, &[3, 224, 225, 226]), (57, &size.to_be_bytes()), LONG_REQUEST];
            for answer in site.all_answers_to(&site.client(n), more)? {
                ensure!(answer.option(52).is_some() == overloaded, "{size}: {answer:?}");
                ensure!(datagram(&answer) <= usize::from(size.max(576)), "{} octets", datagram(&answer));
                ensure!(in_all_fields(&answer)?.iter().any(|(code, _)| *code == 226), "{answer:?}");
            }
        }
        Ok(())
    })
}

/// RFC 3396 §4, MUST (split): an option of more than 255 octets comes in parts.
/// RFC 3396 §6, MUST (in-order, lengths): which are the whole, from first to last.
#[test]
fn a_long_option_comes_in_parts() -> Result<()> {
    let value: Vec<u8> = (0..=255).chain(0..=99).collect();
    let hex: String = value.iter().map(|octet| format!("{octet:02x}")).collect();
    on_both_paths(&two_subnets(&format!("options = {{ code-224 = \"hex:{hex}\" }}")), |site| {
        let more: &[(u8, &[u8])] = &[(55, &[224]), (57, &1500_u16.to_be_bytes()), LONG_REQUEST];
        for answer in site.all_answers_to(&site.client(1), more)? {
            let parts: Vec<Vec<u8>> = answer
                .options
                .iter()
                .filter(|(code, _)| *code == 224)
                .map(|(_, part)| part.clone())
                .collect();
            ensure!(parts.len() == 2 && parts.concat() == value, "{parts:?}");
        }
        Ok(())
    })
}

/// RFC 3046 §2.2, SHALL (no-room): without room for all that the relay said, nothing of it comes back.
/// RFC 3046 §2.2, SHOULD (no-room-counted): that is counted.
#[test]
fn relay_information_without_room_is_left_out_and_counted() -> Result<()> {
    on_both_paths(&wordy(), |site| {
        let info = [&[2, 248][..], &[7; 248]].concat();
        let mut client = site.relayed(1, Some(&info));
        client.client_id = Some(vec![9; 40]);
        let request = client.discovering();
        let answers = site.client(2).answers_to(&[request.frame()?], crate::site::WITNESS)?;
        let offer = answers.first().context("no offer")?;
        ensure!(offer.kind == Kind::Offer && offer.option(82).is_none(), "{offer:?}");
        let counted = |name: &str| site.server.stats()?.count(&["daemon", "odd", name]);
        ensure!(counted("relay-information-without-room")? == 1, "{}", site.server.stats()?.0);
        let larger = with(client.discovering(), &[(57, &1500_u16.to_be_bytes())]);
        ensure!(client.exchange(&larger)?.option(82) == Some(&info[..]));
        ensure!(counted("relay-information-without-room")? == 1);
        Ok(())
    })
}
