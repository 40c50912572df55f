//! The stored form of a record: a format number, then its fields in postcard's encoding, times in the store's own.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::clock::{Clock, StoreSecs};
use super::record::{HwAddr, QuarantineCause, Record, Standing};

/// The newest format that this version reads.
pub(super) const FORMAT: u8 = 5;
/// What is written of a lease that is in no count, so that the version before reads it.
const WITHOUT_CLASSES: u8 = 4;

/// The lease was found only in the kernel's maps.
const ADOPTED: u8 = 1;
/// The lease would be longer, had there been more room in its pool.
const SHORTENED: u8 = 2;

/// Why stored octets are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// A later version wrote them.
    #[error("record format {0} is newer than this version's {FORMAT}")]
    Newer(u8),
    /// They were never written as a record.
    #[error("a record is not well-formed: {0}")]
    Malformed(&'static str),
}

/// Format 1 of a record, and 2, in which the operator may have ended the lease. In format 3 an octet follows: whether it was
/// [adopted](ADOPTED); in format 4 it may be [shortened](SHORTENED), too; and in format 5 the names of the classes in whose count
/// it is stand behind that. Fields are written in this order: a change of any kind is a new format.
#[derive(Serialize, Deserialize)]
struct Format1<'a> {
    standing: Standing1<'a>,
    recurrences: u32,
    #[serde(borrow)]
    client_id: Option<&'a [u8]>,
    htype: u8,
    chaddr: &'a [u8],
    interface: &'a str,
    vlan: (u16, u16),
    giaddr: u32,
    server: u32,
    host_name: Option<&'a str>,
    lease_time: u32,
    expiry: StoreSecs,
    committed_until: StoreSecs,
    kernel_renewals: u64,
    last_heard: StoreSecs,
    agent_info: Option<&'a [u8]>,
}

#[derive(Serialize, Deserialize)]
enum Standing1<'a> {
    Leased,
    Free,
    Grace,
    Quarantined {
        since: StoreSecs,
        until: StoreSecs,
        why: QuarantineCause,
        by: &'a str,
    },
    /// From format 2 on.
    Ended,
}

/// Appends the stored form of `record` to `out`. The address is the key it is stored under, and not in it.
pub(crate) fn encode(record: &Record, clock: &Clock, out: &mut Vec<u8>) {
    let standing = match &record.standing {
        Standing::Leased => Standing1::Leased,
        Standing::Free => Standing1::Free,
        Standing::Grace => Standing1::Grace,
        Standing::Ended => Standing1::Ended,
        Standing::Quarantined { since, until, why, by } => Standing1::Quarantined {
            since: clock.to_store(*since),
            until: clock.to_store(*until),
            why: *why,
            by,
        },
    };
    let fields = Format1 {
        standing,
        recurrences: record.recurrences,
        client_id: record.client_id.as_deref(),
        htype: record.chaddr.htype(),
        chaddr: record.chaddr.octets(),
        interface: &record.interface,
        vlan: record.vlan,
        giaddr: record.giaddr.to_bits(),
        server: record.server.to_bits(),
        host_name: record.host_name.as_deref(),
        lease_time: record.lease_time,
        expiry: clock.to_store(record.expiry),
        committed_until: clock.to_store(record.committed_until),
        kernel_renewals: record.kernel_renewals,
        last_heard: clock.to_store(record.last_heard),
        agent_info: record.agent_info.as_deref(),
    };
    out.push(if record.classes.is_empty() { WITHOUT_CLASSES } else { FORMAT });
    let written = postcard::to_extend(&fields, std::mem::take(out)).and_then(|mut written| {
        let flag = |bit, is_set| if is_set { bit } else { 0 };
        written.push(flag(ADOPTED, record.adopted) | flag(SHORTENED, record.shortened));
        if record.classes.is_empty() { Ok(written) } else { postcard::to_extend(&record.classes, written) }
    });
    match written {
        Ok(written) => *out = written,
        Err(error) => unreachable!("a Vec takes what it is given: {error}"),
    }
}

/// A record from its stored form, and the time it expires at, by which records are put in order.
pub(crate) fn decode(
    address: Ipv4Addr,
    stored: &[u8],
    clock: &Clock,
) -> Result<(StoreSecs, Record), DecodeError> {
    let format = stored.first().copied();
    let fields = match stored {
        [] => return Err(DecodeError::Malformed("it is empty")),
        [1..=FORMAT, fields @ ..] => fields,
        [0, ..] => return Err(DecodeError::Malformed("format 0 was never written")),
        [newer, ..] => return Err(DecodeError::Newer(*newer)),
    };
    let (fields, rest) = postcard::take_from_bytes::<Format1>(fields)
        .map_err(|_| DecodeError::Malformed("its fields do not decode"))?;
    let (flags, classes) = match (format, rest) {
        (Some(1 | 2), []) => (0, Vec::new()),
        (Some(3), [flags]) if flags & !ADOPTED == 0 => (*flags, Vec::new()),
        (Some(WITHOUT_CLASSES), [flags]) if flags & !(ADOPTED | SHORTENED) == 0 => (*flags, Vec::new()),
        (Some(FORMAT), [flags, classes @ ..]) if flags & !(ADOPTED | SHORTENED) == 0 => {
            match postcard::take_from_bytes(classes) {
                Ok((classes, [])) => (*flags, classes),
                _ => return Err(DecodeError::Malformed("its classes do not decode")),
            }
        }
        _ => return Err(DecodeError::Malformed("there is more or less than its fields")),
    };
    let record = Record {
        address,
        standing: match fields.standing {
            Standing1::Leased => Standing::Leased,
            Standing1::Free => Standing::Free,
            Standing1::Grace => Standing::Grace,
            Standing1::Ended => Standing::Ended,
            Standing1::Quarantined { since, until, why, by } => Standing::Quarantined {
                since: clock.to_boot(since),
                until: clock.to_boot(until),
                why,
                by: by.to_owned(),
            },
        },
        recurrences: fields.recurrences,
        client_id: fields.client_id.map(<[u8]>::to_vec),
        chaddr: HwAddr::new(fields.htype, fields.chaddr)
            .ok_or(DecodeError::Malformed("a hardware address of more than 16 octets"))?,
        interface: fields.interface.to_owned(),
        vlan: fields.vlan,
        giaddr: Ipv4Addr::from_bits(fields.giaddr),
        server: Ipv4Addr::from_bits(fields.server),
        host_name: fields.host_name.map(str::to_owned),
        lease_time: fields.lease_time,
        expiry: clock.to_boot(fields.expiry),
        committed_until: clock.to_boot(fields.committed_until),
        kernel_renewals: fields.kernel_renewals,
        last_heard: clock.to_boot(fields.last_heard),
        agent_info: fields.agent_info.map(<[u8]>::to_vec),
        adopted: flags & ADOPTED != 0,
        shortened: flags & SHORTENED != 0,
        classes,
    };
    Ok((fields.expiry, record))
}

#[cfg(test)]
mod tests {
    use super::super::clock::BootId;
    use super::super::tests::{any_record, leased};
    use super::*;
    use dhcp_ebpf::lease::BootSecs;
    use proptest::prelude::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 7);

    fn clock() -> Clock {
        Clock::resume(None, BootId(1), BootSecs(0))
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(record in any_record()) {
            let mut stored = Vec::new();
            encode(&record, &clock(), &mut stored);
            let (expiry, read) = decode(record.address, &stored, &clock()).unwrap();
            prop_assert_eq!(expiry, clock().to_store(record.expiry));
            prop_assert_eq!(read, record);
        }

        #[test]
        fn a_record_cut_short_is_malformed(record in any_record(), cut: prop::sample::Index) {
            let mut stored = Vec::new();
            encode(&record, &clock(), &mut stored);
            stored.truncate(cut.index(stored.len()));
            prop_assert!(matches!(decode(ADDRESS, &stored, &clock()), Err(DecodeError::Malformed(_))));
        }

        #[test]
        fn any_octets_decode_or_say_why(stored in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok((_, record)) = decode(ADDRESS, &stored, &clock()) {
                prop_assert!((1..=FORMAT).contains(&stored[0]));
                prop_assert!(record.chaddr.octets().len() <= HwAddr::MAX);
            }
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        let error = decode(ADDRESS, &[FORMAT + 1, 0, 0], &clock()).unwrap_err();
        assert_eq!(error, DecodeError::Newer(FORMAT + 1));
        assert_eq!(error.to_string(), "record format 6 is newer than this version's 5");
    }

    #[test]
    fn what_follows_a_record_is_not_ignored() {
        let mut stored = Vec::new();
        encode(&leased(7), &clock(), &mut stored);
        stored.push(0);
        assert!(matches!(decode(ADDRESS, &stored, &clock()), Err(DecodeError::Malformed(_))));
    }

    /// A record as the first release stored it, which is to be read for as long as format 1 is.
    #[test]
    fn format_1_stays_readable() {
        let stored: Vec<u8> = (0..FIRST_RELEASE.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&FIRST_RELEASE[i..i + 2], 16).unwrap())
            .collect();
        let record = leased(7);
        assert_eq!(decode(record.address, &stored, &clock()), Ok((StoreSecs(3_700), record)));
    }

    /// Formats 1 and 2 are the same, less an octet.
    #[test]
    fn format_2_stays_readable() {
        let record = Record { standing: Standing::Ended, ..leased(7) };
        let mut stored = Vec::new();
        encode(&record, &clock(), &mut stored);
        assert_eq!((stored[0], stored.pop()), (WITHOUT_CLASSES, Some(0)));
        stored[0] = 2;
        assert_eq!(decode(record.address, &stored, &clock()), Ok((StoreSecs(3_700), record)));
    }

    /// Format 3 knows one flag.
    #[test]
    fn format_3_stays_readable() {
        let record = Record { adopted: true, ..leased(7) };
        let mut stored = Vec::new();
        encode(&record, &clock(), &mut stored);
        stored[0] = 3;
        assert_eq!(decode(record.address, &stored, &clock()), Ok((StoreSecs(3_700), record)));
        let last = stored.len() - 1;
        stored[last] |= SHORTENED;
        assert!(matches!(decode(ADDRESS, &stored, &clock()), Err(DecodeError::Malformed(_))));
    }

    const FIRST_RELEASE: &str =
        "01000001070102000000000701060200000000070465746830000000feffff570106686f73742d37901cf41c8439006400";
}
