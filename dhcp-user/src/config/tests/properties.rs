//! Any file is a configuration, or is refused with places in it.

use proptest::collection::vec;
use proptest::prelude::*;

use super::DOCUMENTED;
use crate::config::Config;
use crate::damaged::{damaged, damaged_octets};

/// A file that uses about every key.
const LAVISH: &str = r#"
[server]
leasequery-from = ["198.51.100.1"]
leasequery-rate-limit = 7
keep-cpus-awake = "never"
offer-hold = "2m"
horizon = 2.5
options = { time-offset = -3600, domain-search = ["a.example.org", "example.org"] }

[[interface]]
name = "eth0"
rate-limit = 2000
circuit-rate-limit = 20

[[class]]
name = "pxe"
match.vendor-class = "PXEClient*"
match.hw-address = ["00:1b:21:*", "02:00:00:00:00:01"]
match.architecture = [7, 9, 0x10]
next-server = "10.0.0.2"
boot-file-name = "grubx64.efi"
lease-time = "10m"
lease-time-when-full = "1m"

[[subnet]]
prefix = "10.0.0.0/8"
vlan = 100
pools = ["10.0.0.10 - 10.0.0.200", { range = "10.0.1.1 - 10.0.1.9", allow = ["pxe"] }]
lease-time = "1h"
renew-time = "20m"
rebind-time = "50m"
options = { routers = ["10.0.0.1"], classless-static-route = ["198.51.100.0/24 - 10.0.0.2"], code-224 = "hex:0102" }

[[subnet.reservation]]
client-id = "01:02"
address = "10.0.0.5"
host-name = "printer"
options.interface-mtu = 1400
"#;

fn good() -> Vec<String> {
    vec![LAVISH.to_owned(), DOCUMENTED.to_owned()]
}

/// A configuration that holds together, or at least one error, each at a place in the text.
fn check(octets: &[u8]) -> Result<(), TestCaseError> {
    match Config::read(octets, std::path::Path::new("f"), crate::config::kept_reservations::Beside::Nothing) {
        Ok(config) => {
            prop_assert!(!config.interfaces.is_empty() && !config.subnets.is_empty());
            for subnet in &config.subnets {
                for pool in &subnet.pools {
                    let (first, last) = (pool.range.first, pool.range.last);
                    prop_assert!(
                        first <= last && subnet.prefix.contains(first) && subnet.prefix.contains(last)
                    );
                }
            }
            for (name, times) in config.lease_times() {
                prop_assert!(times.renew <= times.rebind && times.rebind <= times.lease, "{name}: {times:?}");
            }
        }
        Err(errors) => {
            prop_assert!(!errors.is_empty());
            let text = String::from_utf8_lossy(octets);
            let lines: Vec<&str> = text.split('\n').collect();
            for error in errors {
                let line = error.line.checked_sub(1).and_then(|at| lines.get(at));
                let columns = line.map(|line| line.chars().count() + 1);
                prop_assert!(columns.is_some_and(|last| (1..=last).contains(&error.column)), "{}", error);
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_damaged_is_good_at_first() {
    for text in good() {
        Config::parse(&text, "f").unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_file_with_damaged_tokens_is_taken_or_refused_at_a_line(text in damaged(good())) {
        check(text.as_bytes())?;
    }

    #[test]
    fn a_file_with_damaged_octets_is_taken_or_refused_at_a_line(octets in damaged_octets(good())) {
        check(&octets)?;
    }

    #[test]
    fn any_octets_are_taken_or_refused_at_a_line(octets in vec(any::<u8>(), 0..200)) {
        check(&octets)?;
    }
}
