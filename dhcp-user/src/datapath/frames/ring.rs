//! The records that the program sends up by the two rings.

use aya::maps::{MapData, RingBuf};
use bytes::Bytes;
use dhcp_ebpf::abi::RecordHeader;
use dhcp_ebpf::lease::Word;
use dhcp_ebpf::verdict::Why;

/// A frame that the program sent up.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The frame, as it came in.
    pub frame: Bytes,
    /// The interface.
    pub ifindex: u32,
    /// Boot time of arrival in nanoseconds.
    pub at: u64,
    /// Why it was not answered in the kernel; `None` when no program saw it.
    pub why: Option<Why>,
    /// The word of the lease that a RELEASE is about, as it was on arrival; `None` when it isn't known.
    pub word: Option<Word>,
}

/// Takes the next record out of a ring. `None`: it is empty. A record that makes no sense gives `Some(None)`.
pub fn next(ring: &mut RingBuf<MapData>) -> Option<Option<Arrival>> {
    ring.next().map(|record| read(&record))
}

fn read(record: &[u8]) -> Option<Arrival> {
    let (header, frame) = record.split_at_checked(size_of::<RecordHeader>())?;
    let arrival = u64::from_ne_bytes(*header.first_chunk()?);
    let ifindex = u32::from_ne_bytes(*header.get(8..)?.first_chunk()?);
    let len = u16::from_ne_bytes(*header.get(12..)?.first_chunk()?);
    let why = Why::from_number(*header.get(14)?);
    let word = u64::from_ne_bytes(*header.get(16..)?.first_chunk()?);
    let word = Some(Word(word)).filter(|word| word.0 != 0);
    let frame = Bytes::copy_from_slice(frame.get(..usize::from(len))?);
    Some(Arrival { frame, ifindex, at: arrival, why, word })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_the_program_writes_it() {
        let header = RecordHeader {
            arrival: 0x0102_0304_0506_0708,
            ifindex: 9,
            len: 3,
            why: Why::Expired as u8,
            zero: 0,
            word: 0x8001_0002_0000_0003,
        };
        let mut record = Vec::new();
        record.extend_from_slice(&header.arrival.to_ne_bytes());
        record.extend_from_slice(&header.ifindex.to_ne_bytes());
        record.extend_from_slice(&header.len.to_ne_bytes());
        record.extend_from_slice(&[header.why, 0]);
        record.extend_from_slice(&header.word.to_ne_bytes());
        assert_eq!(std::mem::offset_of!(RecordHeader, why), 14);
        record.extend_from_slice(b"abcold content of the ring");
        let arrival = read(&record).unwrap();
        assert_eq!((&arrival.frame[..], arrival.ifindex, arrival.at), (&b"abc"[..], 9, header.arrival));
        assert_eq!(arrival.why, Some(Why::Expired));
        assert_eq!(arrival.word, Some(Word(header.word)));
    }

    #[test]
    fn a_record_that_is_cut_short_makes_no_sense() {
        assert!(read(&[0; 23]).is_none());
        let mut record = vec![0; 24];
        record[12] = 10;
        assert!(read(&record).is_none());
    }
}
