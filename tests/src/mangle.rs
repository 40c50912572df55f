//! Frames whose headers lie: octets changed after the lengths and checksums were right. They are untagged.

use crate::wire::checksum;

/// Where the IP header begins.
pub const IP: usize = 14;
/// Where IPv4 says how long the packet is.
pub const IP_TOTAL: usize = IP + 2;
/// Where UDP says how long the datagram is.
pub const UDP_LENGTH: usize = IP + 20 + 4;
/// Where the UDP checksum is.
pub const UDP_CHECKSUM: usize = UDP_LENGTH + 2;

/// Sets two octets of a frame.
#[must_use]
pub fn with_word(frame: &[u8], at: usize, value: u16) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
    frame
}

/// Puts right the checksum of an IP header of 20 octets, and leaves out that of UDP.
#[must_use]
pub fn resealed(mut frame: Vec<u8>) -> Vec<u8> {
    let sum_at = IP + 10;
    frame[sum_at..sum_at + 2].fill(0);
    let sum = checksum(&frame[IP..IP + 20]);
    frame[sum_at..sum_at + 2].copy_from_slice(&sum.to_be_bytes());
    frame[UDP_CHECKSUM..UDP_CHECKSUM + 2].fill(0);
    frame
}

/// The frame with an IP option that does nothing, four octets of it.
#[must_use]
pub fn with_ip_option(mut frame: Vec<u8>) -> Vec<u8> {
    frame.splice(IP + 20..IP + 20, [1; 4]);
    frame[IP] = 0x46;
    let total = u16::from_be_bytes([frame[IP_TOTAL], frame[IP_TOTAL + 1]]) + 4;
    let mut frame = with_word(&frame, IP_TOTAL, total);
    frame[IP + 10..IP + 12].fill(0);
    let sum = checksum(&frame[IP..IP + 24]);
    with_word(&frame, IP + 10, sum)
}
