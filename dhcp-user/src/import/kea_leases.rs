//! Kea's lease files: `kea-leases4.csv` and the files of its clean-up.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::leases::{Entry, Found, Use, Why, hw_address, octets};
use super::origin::{At, Unreadable};

/// A valid lifetime that has no end.
const FOR_EVER: u32 = u32::MAX;

/// The files that Kea would read for `file`, in its order: the result of its clean-up, or else the clean-up's input;
/// then the file itself.
#[must_use]
pub fn kea_files(file: &Path) -> Vec<PathBuf> {
    let beside = |suffix: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let completed = beside(".completed");
    let before = if completed.exists() { vec![completed] } else { vec![beside(".2"), beside(".1")] };
    before.into_iter().filter(|file| file.exists()).chain([file.to_owned()]).collect()
}

/// Reads one file, and adds to the leases `found` in those before.
///
/// # Errors
/// [`Unreadable`] if it has no line of columns at its head, or lacks one that a lease can't do without.
pub fn kea_leases(file: &str, octets: &[u8], found: &mut Found) -> Result<(), Unreadable> {
    let mut at = At::start_of(file);
    let mut lines = octets.split(|octet| *octet == b'\n');
    let head = lines.next().map(String::from_utf8_lossy).unwrap_or_default();
    let columns: Vec<String> = head.trim().split(',').map(str::to_owned).collect();
    for needed in ["address", "hwaddr", "client_id", "valid_lifetime", "expire"] {
        if !columns.iter().any(|column| column == needed) {
            return Err(Unreadable::new(&at, format!("the first line names no column \"{needed}\"")));
        }
    }
    for line in lines {
        at.line = at.line.saturating_add(1);
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let fields: Vec<&str> = line.split(',').collect();
        let field = |name: &str| {
            let column = columns.iter().position(|column| column == name)?;
            fields.get(column).copied().filter(|field| !field.is_empty())
        };
        let address = field("address").and_then(|text| text.parse().ok());
        match entry(&at, address, field) {
            Ok(entry) => found.add(entry),
            Err(what) => found.skip(&at, address, Why::Unreadable(what)),
        }
    }
    Ok(())
}

fn entry<'l>(
    at: &At,
    address: Option<Ipv4Addr>,
    field: impl Fn(&str) -> Option<&'l str>,
) -> Result<Entry, String> {
    let lifetime: u32 =
        field("valid_lifetime").and_then(|text| text.parse().ok()).ok_or("valid_lifetime is no number")?;
    let expires: i64 = field("expire").and_then(|text| text.parse().ok()).ok_or("expire is no number")?;
    let read = |name: &str, text: Option<&str>| match text {
        Some(text) => octets(text).map(Some).ok_or_else(|| format!("{name} is no octets")),
        None => Ok(None),
    };
    read("hwaddr", field("hwaddr"))?;
    let use_of_it = match field("state").unwrap_or("0") {
        // A deleted lease is written with no lifetime.
        "0" if lifetime == 0 => Use::None,
        "0" => Use::Leased,
        "1" if lifetime == 0 => Use::None,
        "1" => Use::Declined,
        _ => Use::None,
    };
    Ok(Entry {
        at: at.clone(),
        address: address.ok_or("the address is none")?,
        use_of_it,
        hw_address: field("hwaddr").and_then(hw_address),
        client_id: read("client_id", field("client_id"))?,
        host_name: field("hostname").map(|name| name.replace("&#x2c", ",").trim_end_matches('.').to_owned()),
        expires: (lifetime != FOR_EVER).then_some(expires),
        lease_time: Some(lifetime),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Treated;

    const HEAD: &str = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context";

    #[test]
    fn the_last_line_of_an_address_counts_and_the_state_is_told() {
        let text = format!(
            "{HEAD}\n192.0.2.1,02:00:00:00:00:01,01:02,600,1500,1,0,0,a&#x2cb.,0,\n\
             192.0.2.2,02:00:00:00:00:02,,600,1500,1,0,0,,0,\n\
             192.0.2.2,02:00:00:00:00:02,,0,1000,1,0,0,,0,\n\
             192.0.2.3,,,86400,9000,1,0,0,,1,\n192.0.2.4,02:00:00:00:00:04,,600,900,1,0,0,,0,\n\
             192.0.2.5,02:00:00:00:00:05,,4294967295,1,1,0,0,,0,\nnonsense\n"
        );
        let mut found = Found::default();
        kea_leases("k.csv", text.as_bytes(), &mut found).unwrap();
        assert_eq!(found.superseded(), 1);
        let (leases, not_taken) = found.at(1000);
        let told: Vec<_> =
            leases.iter().map(|(_, l)| (l.address.octets()[3], l.state, l.expires_in)).collect();
        let expected =
            [(1, Treated::Leased, 500), (3, Treated::Quarantined, 8000), (5, Treated::Leased, u32::MAX)];
        assert_eq!(told, expected);
        assert_eq!(leases[0].1.host_name.as_deref(), Some("a,b"));
        assert_eq!(leases[0].1.last_heard_ago, 100);
        let why: Vec<_> = not_taken.iter().map(|no| (no.at.line, no.why.to_string())).collect();
        assert_eq!(why[0], (4, "not in use".to_owned()));
        assert_eq!(why[1], (6, "expired".to_owned()));
        assert!(why[2].0 == 8 && why[2].1.contains("can't be read"), "{why:?}");
    }

    #[test]
    fn kea_s_order_of_files_is_ours() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("l.csv");
        let touch = |suffix: &str| std::fs::write(dir.path().join(format!("l.csv{suffix}")), "").unwrap();
        let names = || -> Vec<String> {
            let files = kea_files(&file);
            files.iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names(), ["l.csv"]);
        touch(".1");
        touch(".2");
        assert_eq!(names(), ["l.csv.2", "l.csv.1", "l.csv"]);
        touch(".completed");
        assert_eq!(names(), ["l.csv.completed", "l.csv"]);
    }
}
