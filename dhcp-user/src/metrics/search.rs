//! Finds a client by address, name or circuit: its `explain` report, and its leases.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::site::Site;
use crate::control::{Explanation, Lease, Query, Subject, colon_hex, from_colon_hex};

/// How many leases are shown.
const MOST: usize = 50;
/// So many leases are asked of the deciding thread at a time.
const PAGE: usize = 256;
/// The longest search, and the pause between two pages: the deciding thread has other work.
const PATIENCE: Duration = Duration::from_secs(10);
const BREATH: Duration = Duration::from_millis(1);

/// The findings.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Found {
    explanation: Option<Explanation>,
    leases: Vec<Lease>,
    /// A remark on them.
    note: Option<String>,
}

/// Searches for an operator's text.
///
/// # Errors
/// Why the search is impossible, in words.
pub(super) async fn search(site: &Site, text: &str) -> Result<Found, String> {
    let wanted = Wanted::read(text);
    let subject = match &wanted {
        Wanted::Address(address) => Subject::Address(*address),
        Wanted::HwAddress(mac) => Subject::HwAddress(*mac),
        Wanted::Text(_) => Subject::Circuit(text.trim().to_owned()),
    };
    let (explanation, mut note) = match site.source.ask(|reply| Query::Explain(subject, reply)).await {
        Ok(explanation) => (Some(explanation), None),
        // That nothing is known of a client is an answer, too; a text may be no circuit's.
        Err(why) => (None, Some(why).filter(|_| !matches!(wanted, Wanted::Text(_)))),
    };
    let leases = match &wanted {
        Wanted::Address(address) => {
            let lease = site.source.ask(|reply| Query::LeaseShow(*address, reply)).await;
            lease.map(|detail| detail.lease).into_iter().collect()
        }
        other => {
            let (leases, left) = scan(site, other).await?;
            if let Some(left) = left {
                note = Some(left.to_owned());
            } else if leases.is_empty() && note.is_none() && explanation.is_none() {
                note = Some("nobody who is known by that has a lease".to_owned());
            }
            leases
        }
    };
    Ok(Found { explanation, leases, note })
}

/// Goes through all leases; says, too, why it did not come to their end.
async fn scan(site: &Site, wanted: &Wanted) -> Result<(Vec<Lease>, Option<&'static str>), String> {
    let begun = Instant::now();
    let (mut leases, mut after) = (Vec::new(), None);
    loop {
        let page = site
            .source
            .ask(|reply| Query::Leases { after, most: PAGE, filter: Arc::default(), reply })
            .await?;
        leases.extend(page.items.into_iter().filter(|lease| wanted.is(lease)));
        if leases.len() > MOST {
            leases.truncate(MOST);
            return Ok((leases, Some("there are more: see `xdhcpd leases`")));
        }
        after = page.next;
        if after.is_none() {
            return Ok((leases, None));
        }
        if begun.elapsed() > PATIENCE {
            return Ok((leases, Some("not all leases were looked at within 10 s: see `xdhcpd leases`")));
        }
        sleep(BREATH).await;
    }
}

/// The object of a search.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Address(Ipv4Addr),
    HwAddress([u8; 6]),
    /// A host name or a part of it, or a text in a client's identifier or relay information.
    Text(String),
}

impl Wanted {
    fn read(text: &str) -> Self {
        let text = text.trim();
        let mac = || from_colon_hex(&text.replace('-', ":")).and_then(|octets| octets.try_into().ok());
        match text.parse() {
            Ok(address) => Self::Address(address),
            Err(_) => mac().map_or_else(|| Self::Text(text.to_ascii_lowercase()), Self::HwAddress),
        }
    }

    fn is(&self, lease: &Lease) -> bool {
        match self {
            Self::Address(address) => lease.address == *address,
            Self::HwAddress(mac) => lease.hw_address == colon_hex(mac),
            Self::Text(text) => {
                let host = lease.host_name.as_deref().unwrap_or_default().to_ascii_lowercase();
                let said = [lease.client_id.as_deref(), lease.relay_information.as_deref()];
                host.contains(text.as_str()) || said.into_iter().flatten().any(|hex| has(hex, text))
            }
        }
    }
}

/// Whether octets, in hexadecimal, have a text in them, or octets that are written alike.
fn has(hex: &str, text: &str) -> bool {
    let said: Vec<u8> = from_colon_hex(hex).unwrap_or_default().to_ascii_lowercase();
    let is_in = |part: &[u8]| !part.is_empty() && said.windows(part.len()).any(|window| window == part);
    is_in(text.as_bytes()) || from_colon_hex(text).is_some_and(|octets| is_in(&octets.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_an_address_a_hardware_address_or_any_text() {
        assert_eq!(Wanted::read(" 192.0.2.1 "), Wanted::Address(Ipv4Addr::new(192, 0, 2, 1)));
        for mac in ["02:00:00:00:00:0a", "02-00-00-00-00-0A"] {
            assert_eq!(Wanted::read(mac), Wanted::HwAddress([2, 0, 0, 0, 0, 10]), "{mac}");
        }
        assert_eq!(Wanted::read("Printer-2"), Wanted::Text("printer-2".into()));
        assert_eq!(Wanted::read("02:00"), Wanted::Text("02:00".into()));
    }

    #[test]
    fn a_circuit_is_found_by_its_text_and_by_its_octets() {
        let said = colon_hex(b"\x01\x07Eth-0/1\x02\x01x");
        assert!(has(&said, "eth-0/1") && has(&said, &colon_hex(b"Eth-0/1")));
        assert!(!has(&said, "eth-0/2") && !has(&said, "") && !has("", "x"));
    }
}
