//! The operations that the log needs from the place of its segments.

use std::io;
use std::path::Path;

/// A place for segments: files of a fixed size, each known by its sequence number.
///
/// Making, renaming and removing a segment is durable when it returns. Written octets are durable after the next
/// successful [`sync`](Disk::sync) of that segment; a loss of power before may leave any of its sectors old or new.
pub trait Disk: Send {
    /// The operator's name of the place.
    fn path(&self) -> &Path;

    /// The size that segments usually have, in octets.
    fn segment_size(&self) -> u32;

    /// The segments there are, in ascending order.
    ///
    /// # Errors
    /// As the system says.
    fn list(&mut self) -> io::Result<Vec<u32>>;

    /// Makes the segment `sequence` of `size` zero octets, its space allocated.
    ///
    /// # Errors
    /// As the system says; no part of it is left then.
    fn create(&mut self, sequence: u32, size: u32) -> io::Result<()>;

    /// A segment of the usual size is likely to be made soon: the slow part may be done meanwhile.
    fn prepare(&mut self) {}

    /// Makes the segment `from` the segment `to`; its contents stay.
    ///
    /// # Errors
    /// As the system says.
    fn rename(&mut self, from: u32, to: u32) -> io::Result<()>;

    /// Removes a segment.
    ///
    /// # Errors
    /// As the system says.
    fn remove(&mut self, sequence: u32) -> io::Result<()>;

    /// The size of a segment, in octets.
    ///
    /// # Errors
    /// As the system says.
    fn size(&mut self, sequence: u32) -> io::Result<u64>;

    /// Reads all of `octets` from `offset` on.
    ///
    /// # Errors
    /// As the system says, and where the segment ends before.
    fn read(&mut self, sequence: u32, offset: u32, octets: &mut [u8]) -> io::Result<()>;

    /// Writes all of `octets` from `offset` on.
    ///
    /// # Errors
    /// As the system says.
    fn write(&mut self, sequence: u32, offset: u32, octets: &[u8]) -> io::Result<()>;

    /// The operator's name of a segment, or with the number 0 of the marker.
    fn file_name(&self, sequence: u32) -> String;

    /// Whether there is a marker: a file like a segment, with the number 0, and not listed.
    ///
    /// # Errors
    /// As the system says.
    fn has_marker(&mut self) -> io::Result<bool>;

    /// Whether a store was here before, even if little is left of it.
    fn was_used(&self) -> bool {
        false
    }

    /// A store is here now.
    ///
    /// # Errors
    /// As the system says.
    fn opened(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// The part that is no longer where it was, in words for the operator: octets written to the segment could not be
    /// found again.
    ///
    /// # Errors
    /// As the system says, when that can't be checked.
    fn misplaced(&mut self, _sequence: Option<u32>) -> io::Result<Option<String>> {
        Ok(None)
    }

    /// Makes a segment none, and keeps what is in it.
    ///
    /// # Errors
    /// As the system says.
    fn set_aside(&mut self, sequence: u32) -> io::Result<()>;

    /// Returns when all octets written to the segment are durable.
    ///
    /// # Errors
    /// As the system says; then no octet written since the last success is certain.
    fn sync(&mut self, sequence: u32) -> io::Result<()>;
}
