//! Any input is a request or a named defect, and a request holds what the input says.

use bytes::Bytes;
use dhcp_ebpf::lease::BootSecs;
use proptest::collection::vec;
use proptest::prelude::*;
use std::net::Ipv4Addr;

use super::{Malformed, Request};
use crate::policy::tests::wire::{Draft, IFINDEX, datagram};

/// Octets of an untagged Ethernet header.
const ETHERNET: usize = 14;
const FIXED: usize = 240;

fn read(frame: Vec<u8>) -> Result<Request, Malformed> {
    Request::read(Bytes::from(frame), IFINDEX, BootSecs(1))
}

/// A frame whose lengths and checksums are right around this BOOTP message.
fn around(bootp: &[u8]) -> Vec<u8> {
    let mut frame = Draft::discover(1).frame();
    frame.truncate(ETHERNET);
    frame.extend(datagram(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, bootp));
    frame
}

/// Looks at all that others ask of a request.
fn looked_at(request: &Request) {
    let _ = (request.host_name(), request.server_name(), request.agent_info(), request.mac());
    let _ = (request.unicast(), request.relayed(), request.oddities().count());
    assert!(request.area.len() <= request.vendor_area);
    assert_eq!(request.options.names().count() == 0, super::options::list(&request.area).is_empty());
}

/// Options that may be cut, repeated, empty, of any code and of any length.
fn area() -> impl Strategy<Value = Vec<u8>> {
    let codes = prop_oneof![Just(52), Just(53), Just(61), Just(82), Just(255), Just(0), any::<u8>()];
    let option = (codes, vec(any::<u8>(), 0..40), any::<u8>(), 0..20_u8);
    vec(option, 0..12).prop_map(|options| {
        let mut area = Vec::new();
        for (code, value, length, lies) in options {
            let honest = u8::try_from(value.len()).unwrap_or(u8::MAX);
            area.extend([code, if lies == 0 { length } else { honest }]);
            area.extend(value);
        }
        area
    })
}

proptest! {
    #[test]
    fn any_octets_are_read_or_refused(frame in vec(any::<u8>(), 0..700)) {
        let _ = read(frame).map(|request| looked_at(&request));
    }

    #[test]
    fn any_bootp_message_is_read_or_refused(
        mut bootp in vec(any::<u8>(), 0..600),
        request in any::<bool>(),
    ) {
        if let (true, Some(head)) = (request, bootp.get_mut(..3)) {
            head.copy_from_slice(&[1, 1, 6]);
        }
        if let (true, Some(cookie)) = (request, bootp.get_mut(236..FIXED)) {
            cookie.copy_from_slice(&[99, 130, 83, 99]);
        }
        let _ = read(around(&bootp)).map(|request| looked_at(&request));
    }

    #[test]
    fn any_options_are_read_or_refused(area in area(), file in area(), cut in any::<prop::sample::Index>()) {
        let mut bootp = Draft::discover(1).bootp();
        bootp[108..236].iter_mut().zip(&file).for_each(|(to, from)| *to = *from);
        bootp.truncate(FIXED);
        bootp.extend(&area);
        if let Ok(request) = read(around(&bootp)) {
            prop_assert!(area.starts_with(&request.area));
            looked_at(&request);
        }
        bootp.truncate(FIXED + cut.index(area.len() + 1));
        let _ = read(around(&bootp)).map(|request| looked_at(&request));
    }

    /// An area without some of its options reads as before.
    #[test]
    fn an_area_without_some_options_is_read_as_before(area in area(), codes in vec(1..=254_u8, 0..4)) {
        let before = Bytes::from(area);
        let after = Bytes::from(super::options::without(&before, &codes));
        let mut kept = super::options::list(&before);
        if super::options::extent(&before).is_ok() {
            kept.retain(|(code, _)| !codes.contains(code));
            prop_assert_eq!(super::options::list(&after), kept);
        }
    }
}
