//! What an operator or another program writes: configurations, requests at the control socket, leases to be imported.

use dhcp_ebpf::lease::BootSecs;
use dhcp_user::config::Config;
use dhcp_user::control::{Portable, Request, WallClock};
use dhcp_user::import::{self, Draft, Files, Found, Unreadable};
use dhcp_user::store::Record;

/// A moment in 2024, as other servers' files have it.
const NOW: i64 = 1_717_243_200;

/// A configuration: what is taken can be looked at, what is refused has its place in the text.
pub(super) fn config(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    match Config::parse(&text, "f") {
        Ok(config) => {
            let own = [("eth0", [192, 0, 2, 10].into()), ("lo", [127, 0, 0, 1].into())];
            let _ = (config.hosts(), config.warnings_beside(own), config.unreachable_beside(&[]));
            for (_, times) in config.lease_times() {
                assert!(times.renew < times.rebind && times.rebind < times.lease);
                let given = [0, 1, u32::MAX].map(|wish| times.for_new_lease(Some(wish), 1, 1));
                assert!(given.into_iter().all(|time| (times.shortest()..=times.max).contains(&time)));
            }
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            let lines = text.split('\n').count();
            assert!(errors.iter().all(|error| (1..=lines).contains(&error.line) && error.column > 0));
        }
    }
}

/// A line at the control socket: what is understood is understood alike when it is written down again.
pub(super) fn control(octets: &[u8]) {
    if let Ok(request) = serde_json::from_slice::<Request>(octets) {
        let written = serde_json::to_vec(&request).unwrap();
        assert_eq!(serde_json::from_slice::<Request>(&written).unwrap(), request);
        let _ = request.changes();
        if let Request::Capture { filter } = request {
            let _ = filter.takes("eth0", octets);
        }
    }
}

/// A lease of another server of this kind: what is taken can be given on.
pub(super) fn lease(octets: &[u8]) {
    if let Ok(lease) = serde_json::from_slice::<Portable>(octets) {
        taken(&lease);
    }
}

fn taken(lease: &Portable) {
    let now = BootSecs(1_000_000);
    let Ok(record) = lease.record(now) else { return };
    let wall = WallClock::read().unwrap();
    let again = Portable::of(&record, now, wall).record(now).expect("what we give on ourselves");
    // Moments are rounded so that each promise is kept.
    assert!(again.expiry >= record.expiry && again.committed_until >= record.committed_until);
    let Record { standing, expiry, committed_until, last_heard, .. } = record.clone();
    assert_eq!(Record { standing, expiry, committed_until, last_heard, ..again }, record);
}

/// Kea's configuration: ours is made of it, and it is good, or it says what is wrong.
pub(super) fn kea_config(octets: &[u8]) {
    let read = only(octets);
    let _ = import::SubnetIds::read(FILE, &read);
    settle(import::kea_config(FILE, &[], &read));
}

/// ISC dhcpd's likewise.
pub(super) fn isc_config(octets: &[u8]) {
    settle(import::isc_config(FILE, &["eth1".to_owned()], &only(octets)));
}

/// dnsmasq's likewise.
pub(super) fn dnsmasq_config(octets: &[u8]) {
    let files = Files { read: &only(octets), list: &|_| Ok(vec![FILE.to_owned()]) };
    settle(import::dnsmasq_config(FILE, &[], &files));
}

/// What the one file is called that there is.
const FILE: &str = "f";

/// Reads that file. It may name itself.
fn only(octets: &[u8]) -> impl Fn(&str) -> Result<Vec<u8>, String> {
    |name| if name == FILE { Ok(octets.to_vec()) } else { Err("not there".to_owned()) }
}

fn settle(draft: Result<Draft, Unreadable>) {
    let Ok(settled) = draft.map(Draft::finish) else { return };
    assert_eq!(Config::parse(&settled.text, "x").is_ok(), settled.wrong.is_empty(), "{}", settled.text);
}

/// Kea's lease file.
pub(super) fn kea_leases(octets: &[u8]) {
    let mut found = Found::default();
    let _ = import::kea_leases("k", octets, &mut found);
    bring(found);
}

/// ISC dhcpd's lease file.
pub(super) fn isc_leases(octets: &[u8]) {
    let mut found = Found::default();
    let _ = import::isc_leases("i", octets, &mut found);
    bring(found);
}

/// dnsmasq's lease file.
pub(super) fn dnsmasq_leases(octets: &[u8]) {
    let mut found = Found::default();
    import::dnsmasq_leases("d", octets, &mut found);
    bring(found);
}

/// Each address once, and each lease one that this server takes.
fn bring(found: Found) {
    let (leases, _) = found.at(NOW);
    assert!(leases.windows(2).all(|pair| pair[0].1.address < pair[1].1.address));
    for (_, lease) in &leases {
        let written = serde_json::to_vec(lease).unwrap();
        assert!(lease.record(BootSecs(1)).is_ok(), "{}", String::from_utf8_lossy(&written));
        self::lease(&written);
    }
}
