//! Frames that are requests, and frames that are none.

use bytes::Bytes;
use dhcp_ebpf::abi::Link;
use dhcp_ebpf::lease::BootSecs;
use std::net::Ipv4Addr;

use super::options::without;
use super::*;
use crate::policy::tests::wire::{Draft, IFINDEX, SERVER, datagram};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
/// Offsets in an untagged frame.
const IP: usize = 14;
const UDP: usize = IP + 20;
const BOOTP: usize = UDP + 8;

fn read(frame: Vec<u8>) -> Result<Request, Malformed> {
    Request::read(Bytes::from(frame), IFINDEX, BootSecs(1))
}

fn defect(frame: Vec<u8>) -> Option<Malformed> {
    read(frame).err()
}

/// A good frame with these octets at `at` of the BOOTP message, its checksum given up.
fn patched(draft: &Draft, at: usize, octets: &[u8]) -> Vec<u8> {
    let mut frame = draft.frame();
    frame[UDP + 6..UDP + 8].fill(0);
    frame[BOOTP + at..BOOTP + at + octets.len()].copy_from_slice(octets);
    frame
}

/// A good frame around this BOOTP message.
fn around(bootp: &[u8]) -> Vec<u8> {
    let mut frame = Draft::discover(1).frame()[..IP].to_vec();
    frame.extend(datagram(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, bootp));
    frame
}

/// A good frame whose option area is exactly this.
fn with_area(area: &[u8]) -> Vec<u8> {
    let mut bootp = Draft::discover(1).bootp();
    bootp.truncate(240);
    bootp.extend(area);
    around(&bootp)
}

/// The IPv4 header's checksum made right again.
fn resummed(mut frame: Vec<u8>) -> Vec<u8> {
    frame[IP + 10..IP + 12].fill(0);
    let sum =
        frame[IP..UDP].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum::<u32>();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = u16::try_from((folded & 0xffff) + (folded >> 16)).expect("folded");
    frame[IP + 10..IP + 12].copy_from_slice(&(!folded).to_be_bytes());
    frame
}

#[test]
fn a_request_is_read_field_by_field() {
    let draft =
        Draft::renew(7, ADDRESS).id(b"\x01\x02\x00\x00\x00\x01\x07").option(57, &1000u16.to_be_bytes());
    let request = read(draft.frame()).expect("a good frame");
    assert_eq!((request.kind, request.xid, request.ciaddr), (Kind::Request, 7, ADDRESS));
    assert_eq!((request.ip_src, request.ip_dst, request.giaddr), (ADDRESS, SERVER, Ipv4Addr::UNSPECIFIED));
    assert_eq!(request.mac(), Some([2, 0, 0, 0, 1, 7]));
    assert_eq!(request.link, Link { ifindex: IFINDEX, outer: 0, inner: 0 });
    assert_eq!(request.options.client_id.as_deref(), Some(b"\x01\x02\x00\x00\x00\x01\x07".as_slice()));
    assert_eq!(request.options.max_size, 1000);
    assert_eq!(request.area, draft.area());
    assert!(request.plain && request.unicast() && !request.relayed());
}

#[test]
fn tags_tell_the_link_and_a_priority_tag_is_none() {
    for (tags, outer, inner) in
        [(&[100u16][..], 100, 0), (&[200, 100], 200, 100), (&[0xe000], 0, 0), (&[0x2064], 100, 0)]
    {
        let request = read(Draft::discover(1).tagged(tags).frame()).expect("a good frame");
        assert_eq!(request.link, Link { ifindex: IFINDEX, outer, inner }, "{tags:?}");
    }
    assert_eq!(defect(Draft::discover(1).tagged(&[1, 2, 3]).frame()), Some(Malformed::TooManyTags));
}

#[test]
fn a_frame_cut_at_any_octet_is_no_request() {
    let frame = Draft::renew(1, ADDRESS).option(82, b"\x01\x02ab").frame();
    for length in 0..frame.len() {
        assert!(defect(frame[..length].to_vec()).is_some(), "{length}");
    }
}

#[test]
fn a_message_cut_at_any_octet_is_no_request_before_its_end() {
    let draft = Draft::renew(1, ADDRESS).id(b"\x00me");
    let end = 240 + draft.area().len();
    // Between two options nothing tells that there were more.
    let whole = [240, 243, end - 1];
    for length in 0..end {
        let defect = defect(around(&draft.bootp()[..length]));
        assert_eq!(defect.is_none(), whole.contains(&length), "{length}: {defect:?}");
    }
    assert!(read(around(&draft.bootp()[..end])).is_ok(), "BOOTP's 300 octets are not asked for");
}

#[test]
fn no_single_wrong_octet_breaks_the_reader() {
    let frame = Draft::select(1, SERVER, ADDRESS).id(b"\x00me").option(55, &[1, 3]).frame();
    for at in 0..frame.len() {
        for value in [0, 1, 52, 82, 127, 128, 254, 255] {
            let mut broken = frame.clone();
            broken[at] = value;
            // Checksums hide what lies behind them.
            broken[UDP + 6..UDP + 8].fill(0);
            drop(read(resummed(broken)));
        }
    }
}

#[test]
fn ethernet_padding_is_not_part_of_the_message() {
    let mut frame = Draft::discover(1).frame();
    frame.extend([0xaa; 20]);
    assert!(read(frame).expect("a good frame").plain);
}

#[test]
fn each_defect_has_its_name() {
    let good = Draft::discover(1);
    let at = |at: usize, octets: &[u8]| {
        let mut frame = good.frame();
        frame[at..at + octets.len()].copy_from_slice(octets);
        frame
    };
    let bootp = |offset: usize, octets: &[u8]| patched(&good, offset, octets);
    let cases: Vec<(Malformed, Vec<u8>)> = vec![
        (Malformed::NotDhcp, at(12, &[0x86, 0xdd])),
        (Malformed::NotDhcp, at(UDP + 2, &[0, 68])),
        (Malformed::NotDhcp, at(IP + 9, &[6])),
        (Malformed::IpHeaderLength, at(IP, &[0x46])),
        (Malformed::IpHeaderLength, at(IP, &[0x44])),
        (Malformed::IpLength, resummed(at(IP + 2, &[0xff, 0xff]))),
        (Malformed::IpLength, resummed(at(IP + 2, &[0, 10]))),
        (Malformed::Fragment, resummed(at(IP + 6, &[0x20, 0]))),
        (Malformed::Fragment, resummed(at(IP + 6, &[0, 1]))),
        (Malformed::IpChecksum, at(IP + 10, &[1, 1])),
        (Malformed::IpSource, resummed(at(IP + 12, &[224, 0, 0, 1]))),
        (Malformed::UdpLength, at(UDP + 4, &[0, 8])),
        (Malformed::UdpLength, at(UDP + 4, &[0xff, 0xff])),
        (Malformed::UdpChecksum, at(UDP + 6, &[0x12, 0x34])),
        (Malformed::Short, around(&good.bootp()[..239])),
        (Malformed::NotRequest, bootp(0, &[2])),
        (Malformed::HardwareAddressLength, bootp(2, &[17])),
        (Malformed::HardwareAddressLength, bootp(2, &[255])),
        (Malformed::NoIdentity, bootp(2, &[0])),
        (Malformed::Cookie, bootp(236, &[99, 130, 83, 100])),
        (Malformed::RelayAddress, bootp(24, &[224, 0, 0, 5])),
        (Malformed::RelayAddress, bootp(24, &[255; 4])),
        (Malformed::RelayAddress, bootp(24, &[127, 0, 0, 1])),
        (Malformed::ClientAddress, bootp(12, &[255; 4])),
        (Malformed::OptionTruncated, with_area(&[53, 1, 1, 12, 9, b'x', 255])),
        (Malformed::OptionTruncated, with_area(&[53, 1, 1, 12])),
        (Malformed::OptionTruncated, with_area(&[53, 1, 1, 0, 0, 12])),
        (Malformed::MessageType, with_area(&[53, 1, 1, 53, 1, 3, 255])),
        (Malformed::MessageType, with_area(&[53, 0, 255])),
        (Malformed::MessageType, with_area(&[53, 1, 0, 255])),
        (Malformed::MessageType, with_area(&[53, 1, 99, 255])),
        (Malformed::ServerMessage, with_area(&[53, 1, 5, 255])),
        (Malformed::Overload, with_area(&[53, 1, 1, 52, 1, 4, 255])),
        (Malformed::Overload, with_area(&[53, 1, 1, 52, 2, 1, 2, 255])),
        (Malformed::OptionLength(50), good.clone().option(50, &[1, 2, 3]).frame()),
        (Malformed::OptionLength(54), good.clone().option(54, &[1, 2, 3, 4, 5]).frame()),
        (
            Malformed::OptionLength(50),
            good.clone().address(50, SERVER).address(50, [10, 0, 0, 9].into()).frame(),
        ),
        (Malformed::OptionLength(118), good.clone().option(118, &[]).frame()),
        (Malformed::ClientIdentifier, good.clone().id(b"").frame()),
        (Malformed::ClientIdentifier, good.clone().id(b"\x01").frame()),
        (Malformed::ClientIdentifier, good.clone().id(&[7; 255]).id(&[7]).frame()),
    ];
    for (expected, frame) in cases {
        assert_eq!(defect(frame), Some(expected), "{}", expected.name());
    }
}

#[test]
fn a_checksum_may_be_absent_whole_or_the_pseudo_headers_alone() {
    let mut frame = Draft::discover(1).frame();
    assert!(read(frame.clone()).is_ok());
    let length = u32::from(u16::from_be_bytes([frame[UDP + 4], frame[UDP + 5]]));
    let pseudo = 0xffff + 0xffff + 17 + length;
    let folded = u16::try_from((pseudo & 0xffff) + (pseudo >> 16)).expect("folded");
    frame[UDP + 6..UDP + 8].copy_from_slice(&folded.to_be_bytes());
    assert!(read(frame.clone()).is_ok());
    frame[UDP + 6..UDP + 8].fill(0);
    assert!(read(frame).is_ok());
}

/// RFC 2132 §9.10, stated (max-size-legal): less than 576 octets is not believed.
#[test]
fn long_identifiers_and_small_sizes_are_taken() {
    let request =
        read(Draft::discover(1).id(&[7; 255]).option(57, &100u16.to_be_bytes()).frame()).expect("good");
    assert_eq!(request.options.client_id.as_ref().map(Bytes::len), Some(255));
    assert_eq!(request.options.max_size, 576);
}

#[test]
fn a_client_without_a_hardware_address_is_known_by_its_identifier() {
    let request = read(patched(&Draft::discover(1).id(b"\x00me"), 2, &[0])).expect("a good frame");
    assert_eq!((request.mac(), request.chaddr.octets()), (None, [].as_slice()));
}

/// RFC 2131 §4.1, MUST (overload-order): option area, file, sname.
/// RFC 3396 §7, MUST (several-are-one): what comes in parts is joined.
/// RFC 3396 §7, MUST NOT (not-apart): a part is nothing by itself.
#[test]
fn options_that_come_in_parts_are_joined_across_fields() {
    let mut bootp = Draft::discover(1).option(60, b"ab").option(60, b"cd").option(52, &[3]).bootp();
    bootp[44..50].copy_from_slice(&[60, 2, b'g', b'h', 255, 0]);
    bootp[108..116].copy_from_slice(&[60, 2, b'e', b'f', 50, 0, 255, 0]);
    assert_eq!(defect(around(&bootp)), Some(Malformed::OptionLength(50)));
    bootp[112..116].copy_from_slice(&[255, 0, 0, 0]);
    let request = read(around(&bootp)).expect("a good frame");
    assert_eq!(request.options.get(60).map(Bytes::as_ref), Some(b"abcdefgh".as_slice()));
    assert!(request.options.overloaded && !request.plain);
    bootp[108..112].copy_from_slice(&[52, 1, 1, 255]);
    assert_eq!(defect(around(&bootp)), Some(Malformed::Overload), "no overload inside overload");
}

#[test]
fn what_stands_after_end_makes_a_request_unusual() {
    let mut bootp = Draft::discover(1).bootp();
    let last = bootp.len() - 1;
    bootp[last] = 9;
    assert!(!read(around(&bootp)).expect("a good frame").plain);
}

/// RFC 2132 §2, MUST (nul-deleted): a NUL at the end is no part of a name.
/// RFC 2132 §2, MUST NOT (nul-not-wanted): nor is it missed.
#[test]
fn only_host_names_that_can_be_shown_are_kept() {
    let name = |raw: &[u8]| {
        read(Draft::discover(1).option(12, raw).frame()).expect("good").host_name().map(str::to_owned)
    };
    assert_eq!(name(b"printer-2.example"), Some("printer-2.example".to_owned()));
    assert_eq!(name(b"zero\0"), Some("zero".to_owned()));
    for raw in [b"".as_slice(), b"%n", b"a..b", "müller".as_bytes(), &[b'x'; 64], &[0xff; 3], &[b'a'; 255]] {
        assert_eq!(name(raw), None, "{raw:?}");
    }
}

#[test]
fn options_are_taken_out_and_the_rest_left_as_it_was() {
    let area = [0, 53, 1, 3, 54, 4, 1, 2, 3, 4, 0, 50, 4, 5, 6, 7, 8, 12, 0, 255];
    assert_eq!(without(&area, &[50, 54]), [0, 53, 1, 3, 0, 12, 0, 255]);
    assert_eq!(without(&area, &[]), area);
    assert_eq!(without(&[53, 9, 1], &[54]), [53, 9, 1], "also what is broken");
}

#[test]
fn what_is_odd_but_harmless_has_a_name_too() {
    let odd = |draft: &Draft| read(draft.frame()).expect("a good frame").oddities().collect::<Vec<_>>();
    let plain = Draft::discover(1);
    assert_eq!(odd(&plain.clone().option(12, b"me")), [""; 0]);
    assert_eq!(odd(&plain.clone().option(12, b"")), ["unusable-host-name"]);
    assert_eq!(odd(&plain.clone().option(57, &[0, 100])), ["small-maximum-size"]);
    for fqdn in [&b""[..], b"\0\0", b"\0\0\0a..b", b"\x04\0\0\x09a", b"\x04\0\0\0a", b"\0\0\0\xff"] {
        assert_eq!(odd(&plain.clone().option(81, fqdn)), ["unusable-fqdn"], "{fqdn:02x?}");
    }
    for fqdn in [&b"\0\0\0"[..], b"\0\0\0me.example.", b"\x04\0\0\x02me", b"\x04\0\0\x02me\x01x\0"] {
        assert_eq!(odd(&plain.clone().option(81, fqdn)), [""; 0], "{fqdn:02x?}");
    }
    for unreadable in [&[1][..], &[1, 9, 1], &[5, 3, 1, 2, 3]] {
        let draft = plain.clone().option(82, unreadable);
        let request = read(draft.frame()).expect("a good frame");
        assert_eq!(request.agent_info().map(AsRef::as_ref), Some(unreadable), "echoed as it came");
        assert_eq!(odd(&draft), ["untrusted-agent-information"]);
    }
    // A relay serves many clients: it is heard, as far as it can be understood.
    let circuit = |information: &[u8]| {
        let draft = plain.clone().via(SERVER).option(82, information);
        let request = read(draft.frame()).expect("a good frame");
        assert_eq!(request.agent_info().map(AsRef::as_ref), Some(information), "echoed as it came");
        let agent = request.options.agent.clone().expect("a relay's");
        assert_eq!((agent.link_selection, agent.server_override, agent.unicast), (None, None, None));
        (agent.circuit_id.map(|id| id.to_vec()), odd(&draft))
    };
    for unusable in
        [&[1][..], &[1, 9, 1], b"eth 0/1/2:100", &[5, 3, 1, 2, 3], &[11, 5, 1, 2, 3, 4, 5], &[10, 2, 0, 0]]
    {
        assert_eq!(circuit(unusable), (None, vec!["unusable-agent-information"]), "{unusable:02x?}");
    }
    for filled in [&[1, 1, b'p', 255][..], &[1, 1, b'p', 0], &[1, 1, b'p', 0, 0, 0], &[10, 0, 1, 1, b'p']] {
        assert_eq!(
            circuit(filled),
            (Some(b"p".to_vec()), vec!["unusable-agent-information"]),
            "{filled:02x?}"
        );
    }
    for nowhere in [
        &[5, 4, 0, 0, 0, 0][..],
        &[11, 4, 0, 0, 0, 0],
        &[11, 4, 255, 255, 255, 255],
        &[5, 4, 127, 0, 0, 1],
        &[],
    ] {
        assert_eq!(circuit(nowhere), (None, vec![]), "{nowhere:02x?}");
    }
    let from_elsewhere = |draft: &Draft| {
        let mut frame = draft.frame();
        frame[6..12].copy_from_slice(&[2, 9, 9, 9, 9, 9]);
        read(frame).expect("a good frame").oddities().collect::<Vec<_>>()
    };
    assert_eq!(from_elsewhere(&plain), ["sent-for-another"]);
    assert_eq!(from_elsewhere(&plain.via(SERVER)), [""; 0], "as a relay does");
    assert_eq!(from_elsewhere(&Draft::renew(1, ADDRESS)), [""; 0], "as a router does");
}

/// RFC 2131 §4.1 wants an END in each field. Where the options end all the same, they are whole.
#[test]
fn options_without_an_end_are_whole_where_the_last_one_is() {
    for area in [&[53, 1, 1][..], &[53, 1, 1, 0, 0, 0], &[0, 53, 1, 1, 12, 2, b'm', 0]] {
        let request = read(with_area(area)).expect("whole");
        assert_eq!(request.kind, Kind::Discover);
        assert_eq!(request.area, area.strip_suffix(&[0, 0, 0]).unwrap_or(area), "through the last option");
        assert_eq!((request.options.ended, request.plain), (false, true));
        assert_eq!(request.oddities().collect::<Vec<_>>(), ["no-end"]);
    }
    assert_eq!(read(with_area(&[])).expect("nothing to say").kind, Kind::Bootp);
    assert!(read(with_area(&[53, 1, 1, 255])).expect("whole").options.ended);
}

/// RFC 2132 §9.3: option 52 says that there are options in `file` or `sname`. Some say so and put none there.
#[test]
fn an_empty_overloaded_field_holds_no_options() {
    for fields in [1, 2, 3] {
        let draft = Draft::discover(1).option(52, &[fields]).option(12, b"me");
        let request = read(draft.frame()).expect("whole");
        assert_eq!((request.kind, request.host_name()), (Kind::Discover, Some("me")));
        assert!(request.options.overloaded && !request.options.ended);
    }
    let mut bootp = Draft::discover(1).option(52, &[3]).bootp();
    bootp[108..112].copy_from_slice(&[12, 2, b'm', b'e']);
    assert_eq!(read(around(&bootp)).expect("whole").host_name(), Some("me"), "no END in `file`");
    bootp[44] = 12;
    bootp[45..108].fill(0xff);
    assert_eq!(defect(around(&bootp)), Some(Malformed::OptionTruncated));
}

/// RFC 951 §3: a client of before the cookie, and one that has nothing to say after it.
#[test]
fn an_empty_vendor_area_is_bootps() {
    let good = Draft::bootrequest(1);
    for area in [&[0; 64][..], &[99, 130, 83, 99]] {
        let mut blank = [0; 64];
        blank[..area.len()].copy_from_slice(area);
        let request = read(patched(&good, 236, &blank)).expect("a good frame");
        assert_eq!((request.kind, request.vendor_area, request.area.len()), (Kind::Bootp, 60, 0));
    }
    let mut said = [0; 64];
    said[10] = 1;
    assert_eq!(defect(patched(&good, 236, &said)), Some(Malformed::Cookie), "not ours to read");
}

/// RFC 2131 §4.1 lets an option appear once. Some stacks say it twice, and others can't spell a wish: both are served elsewhere.
#[test]
fn what_is_said_twice_alike_is_said_and_a_misspelt_wish_is_none() {
    let address = Ipv4Addr::new(192, 0, 2, 9);
    let twice = Draft::new(3, 1).address(50, address).address(54, SERVER);
    let twice = twice
        .address(50, address)
        .address(54, SERVER)
        .option(53, &[3])
        .option(57, &[5, 0])
        .option(57, &[5, 0]);
    let request = twice.request(1);
    let options = &request.options;
    assert_eq!(
        (request.kind, options.requested, options.server),
        (Kind::Request, Some(address), Some(SERVER))
    );
    assert_eq!((options.max_size, request.oddities().next()), (1280, None));
    for (code, value) in [(51, &[1, 2, 3][..]), (51, &[]), (57, &[9]), (57, &[1, 2, 3, 4])] {
        let request = Draft::discover(1).option(code, value).request(1);
        assert_eq!((request.options.lease_time, request.options.max_size), (None, 576), "{code}");
        assert_eq!(request.oddities().collect::<Vec<_>>(), ["wish-of-wrong-length"], "{code}");
    }
}
