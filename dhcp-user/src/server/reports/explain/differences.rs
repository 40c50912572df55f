//! How a request differs from the questions that the kernel knows, down to the option.

use bytes::Bytes;
use dhcp_ebpf::verdict::Why;

use crate::message::{Request, options};
use crate::policy::Question;

/// How `request`, which went up for this reason, differs from a question that the kernel can know, and from the
/// nearest one that it knew.
pub(super) fn of(request: &Request, why: Option<Why>, known: Option<&[Question]>) -> Vec<String> {
    match why {
        Some(Why::UnknownQuestion | Why::Request) => {
            let mut found = known.map(|known| nearest(request, known)).unwrap_or_default();
            found.extend(about_the_end(request));
            found
        }
        Some(Why::UnusualHeader) => unusual(request),
        _ => Vec::new(),
    }
}

/// In what `request` differs from the nearest of the questions known.
fn nearest(request: &Request, known: &[Question]) -> Vec<String> {
    let all = known.iter().map(|known| differences(request, known));
    all.min_by_key(Vec::len).unwrap_or_default()
}

fn differences(request: &Request, known: &Question) -> Vec<String> {
    let mut found = Vec::new();
    let fields = [
        ("ciaddr", request.ciaddr != known.ciaddr),
        ("giaddr", request.giaddr != known.giaddr),
        ("relay's source address", request.relayed() && request.ip_src != known.relay_src),
    ];
    found.extend(fields.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field.to_owned()));
    let asked = options::list(&request.area);
    let known_options = options::list(&Bytes::copy_from_slice(&known.options));
    let mut codes: Vec<u8> = asked.iter().chain(&known_options).map(|(code, _)| *code).collect();
    codes.sort_unstable();
    codes.dedup();
    let values = |list: &[(u8, Bytes)], code: u8| -> Vec<Bytes> {
        list.iter().filter(|(there, _)| *there == code).map(|(_, value)| value.clone()).collect()
    };
    let changed = codes.into_iter().filter(|code| values(&asked, *code) != values(&known_options, *code));
    let before = found.len();
    found.extend(changed.map(|code| format!("option {code}")));
    let end = if options::has_end(&request.area) { &[][..] } else { &[options::code::END] };
    if found.len() == before && [&request.area, end].concat() != known.options {
        found.push("order of options, or padding between them".to_owned());
    }
    found
}

/// Option areas and header fields are slices of the frame: where this one begins there.
fn offset(request: &Request, field: &Bytes) -> Option<usize> {
    (field.as_ptr() as usize)
        .checked_sub(request.frame.as_ptr() as usize)
        .filter(|at| *at <= request.frame.len())
}

fn about_the_end(request: &Request) -> Option<String> {
    if !options::has_end(&request.area) {
        return Some("no END".to_owned());
    }
    let end = offset(request, &request.area)? + request.area.len();
    let rest = request.frame.get(end..)?;
    // What fills an Ethernet frame up is no part of the datagram, and is zero.
    (!request.plain && rest.iter().any(|octet| *octet != 0)).then(|| "octets after END".to_owned())
}

/// Which fields of the BOOTP header are not as those of a plain client.
fn unusual(request: &Request) -> Vec<String> {
    const SNAME: usize = 64;
    const FILE: usize = 128;
    let Some(at) = offset(request, &request.sname) else { return Vec::new() };
    let file = request.frame.get(at + SNAME..at + SNAME + FILE).unwrap_or_default();
    let chaddr = at.checked_sub(10).and_then(|padding| request.frame.get(padding..at)).unwrap_or_default();
    let is_set = |field: &[u8]| field.iter().any(|octet| *octet != 0);
    let ethernet = request.mac().is_some();
    [
        ("hardware type or length", !ethernet),
        ("padding of chaddr", ethernet && is_set(chaddr)),
        ("sname", is_set(&request.sname)),
        ("file", is_set(file)),
    ]
    .into_iter()
    .filter(|(_, differs)| *differs)
    .map(|(field, _)| field.to_owned())
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::wire::{Draft, IFINDEX};
    use dhcp_ebpf::lease::BootSecs;
    use std::net::Ipv4Addr;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
    const BOOTP: usize = 14 + 20 + 8;

    /// A renewal, changed on its way; its UDP checksum given up.
    fn renewal(draft: &Draft, change: impl Fn(&mut Vec<u8>)) -> Request {
        let mut frame = draft.frame();
        frame[40..42].fill(0);
        change(&mut frame);
        Request::read(frame.into(), IFINDEX, BootSecs(1)).expect("a good frame")
    }

    fn known() -> Question {
        let area = Draft::renew(1, ADDRESS).option(12, b"a").option(55, &[1, 3]).area();
        let unspecified = Ipv4Addr::UNSPECIFIED;
        Question { ciaddr: ADDRESS, giaddr: unspecified, relay_src: unspecified, options: area }
    }

    #[test]
    fn what_is_no_option_is_named_too() {
        let plain = Draft::renew(1, ADDRESS).option(12, b"a").option(55, &[1, 3]);
        let unknown = |request: &Request| of(request, Some(Why::UnknownQuestion), Some(&[known()]));
        assert_eq!(
            unknown(&renewal(&plain, |frame| *frame.last_mut().expect("octets") = 1)),
            ["octets after END"]
        );
        let moved = Draft::renew(1, ADDRESS).option(55, &[1, 3]).option(12, b"a");
        assert_eq!(unknown(&renewal(&moved, |_| {})), ["order of options, or padding between them"]);
        assert_eq!(unknown(&renewal(&plain, |_| {})), [""; 0]);
        let without_end = |draft: &Draft| {
            let at = BOOTP + 240 + draft.area().len() - 1;
            renewal(draft, |frame| frame[at] = 0)
        };
        assert_eq!(unknown(&without_end(&plain)), ["no END"]);
        assert_eq!(unknown(&without_end(&moved)), ["order of options, or padding between them", "no END"]);

        let header = |request: &Request| of(request, Some(Why::UnusualHeader), None);
        for (at, value, field) in [
            (1, 6, "hardware type or length"),
            (28 + 6, 1, "padding of chaddr"),
            (44, b'x', "sname"),
            (108, b'x', "file"),
        ] {
            let request = renewal(&plain, |frame| frame[BOOTP + at] = value);
            assert_eq!(header(&request), [field]);
        }
    }
}
