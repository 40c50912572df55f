//! Any input from a client is a request, a part of an import, or is refused in words.

use dhcp_ebpf::lease::BootSecs;
use proptest::collection::vec;
use proptest::prelude::*;

use super::Portable;
use super::answering::{PAGE, read_part};
use super::request::Request;
use super::server::read_line;
use crate::damaged::damaged_octets;

fn requests() -> Vec<String> {
    let texts = [
        r#"{"verb":"status"}"#,
        r#"{"verb":"lease-show","address":"192.0.2.10"}"#,
        r#"{"verb":"explain","client":{"hw-address":[2,0,0,0,0,1]}}"#,
        r#"{"verb":"explain","client":{"address":"192.0.2.10"}}"#,
        r#"{"verb":"import"}"#,
    ];
    texts.map(|text| format!("{text}\n")).to_vec()
}

pub(crate) fn leases() -> Vec<String> {
    let texts = [
        r#"{"address":"192.0.2.10","state":"leased","hw-address":"02:00:00:00:00:01","client-id":"01:02","host-name":"a","interface":"eth0","vlan":[200,100],"relay":"198.51.100.1","relay-information":"01:01:09","server":"192.0.2.1","lease-time":600,"expires-in":500,"committed-for":1100,"last-heard-ago":99,"kernel-renewals":7,"quarantines":2,"expires":"2026-01-01T00:00:00Z"}"#,
        r#"{"address":"192.0.2.11","state":"quarantined","quarantine":{"since-ago":10,"ends-in":3600,"why":"probe","by":"02:00:00:00:00:09"}}"#,
        r#"{"address":"192.0.2.12","state":"free","hw-address":"6/02:10:20"}"#,
    ];
    texts.map(|text| format!("{text}\n")).to_vec()
}

/// A client's input, read to its end.
fn wait<T>(reading: impl Future<Output = std::io::Result<T>>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(reading).unwrap()
}

fn check_request(sent: &[u8]) -> Result<(), TestCaseError> {
    let line = wait(read_line(&mut &*sent));
    prop_assert_eq!(line.is_some(), sent.iter().take(4096).any(|octet| *octet == b'\n'));
    match line.as_deref().map(Request::read) {
        Some(Ok(request)) => {
            let again = serde_json::to_vec(&request).unwrap();
            prop_assert_eq!(Request::read(&again), Ok(request));
        }
        Some(Err(why)) => prop_assert!(!why.is_empty()),
        None => {}
    }
    Ok(())
}

fn check_part(sent: &[u8]) -> Result<(), TestCaseError> {
    match wait(read_part(&mut &*sent)) {
        Ok(leases) => {
            prop_assert!(leases.len() <= PAGE);
            for (lease, now) in
                leases.iter().flat_map(|lease| [(lease, BootSecs(0)), (lease, BootSecs(4_000_000_000))])
            {
                check_lease(lease, now)?;
            }
        }
        Err(why) => prop_assert!(!why.is_empty()),
    }
    Ok(())
}

/// A lease makes a record, or is refused in words; an import never shortens a promise.
fn check_lease(lease: &Portable, now: BootSecs) -> Result<(), TestCaseError> {
    match lease.record(now) {
        Ok(record) => {
            prop_assert_eq!(record.address, lease.address);
            prop_assert!(record.committed_until >= record.expiry);
            if lease.state == super::Treated::Leased {
                prop_assert!(record.expiry > now.plus(lease.expires_in) || record.expiry == BootSecs::NEVER);
            }
        }
        Err(why) => prop_assert!(!why.is_empty()),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_octets_are_a_request_or_refused(sent in vec(any::<u8>(), 0..200)) {
        check_request(&sent)?;
    }

    #[test]
    fn a_damaged_request_is_read_or_refused(sent in damaged_octets(requests())) {
        check_request(&sent)?;
    }

    /// Deep, long, and without an end.
    #[test]
    fn a_request_of_any_size_is_read_or_refused(piece in prop::sample::select(vec!["[", "{\"verb\":", " ", "\"", "9"]), count in 0..6000_usize) {
        check_request(format!("{}\n", piece.repeat(count)).as_bytes())?;
    }

    #[test]
    fn a_damaged_part_of_an_import_is_read_or_refused(
        parts in vec(damaged_octets(leases()), 0..4),
        end in prop::sample::select(vec!["", "\n", "\n\n"]),
    ) {
        let mut sent = parts.concat();
        sent.extend(end.bytes());
        check_part(&sent)?;
    }
}

#[test]
fn what_is_damaged_is_good_at_first() {
    assert!(requests().iter().all(|text| Request::read(text.as_bytes()).is_ok()));
    let sent = leases().concat() + "\n";
    assert_eq!(wait(read_part(&mut sent.as_bytes())).map(|leases| leases.len()), Ok(leases().len()));
}
