//! The events after a number in the log, a page at a time.

use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::Path;

use serde::Deserialize;

use super::files::segments;
use crate::files;

/// So many octets of lines are a page.
const PAGE: usize = 64 << 10;
/// A line is shorter.
const LONGEST: usize = 64 << 10;

/// How far somebody has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// All up to this number was read.
    pub reached: u64,
    /// The file, and how far into it.
    at: Option<(u64, u64)>,
}

impl Cursor {
    /// Behind this number.
    #[must_use]
    pub const fn after(reached: u64) -> Self {
        Self { reached, at: None }
    }
}

/// A part of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its lines, each an event as JSON; none at the end of the log.
    pub lines: Vec<String>,
    /// How many events before the first line are not kept any more.
    pub missing: u64,
    /// Where the next page begins.
    pub next: Cursor,
}

#[derive(Deserialize)]
struct Numbered {
    number: u64,
}

/// The page that begins at `from`.
///
/// # Errors
/// When the directory can't be read.
pub(super) fn read(directory: &Path, from: Cursor) -> io::Result<Page> {
    let all = segments(directory)?;
    let wanted = from.reached.saturating_add(1);
    let mut page = Page { lines: Vec::new(), missing: 0, next: from };
    // The file that has the wanted line, if any has: the last that begins no later.
    let begin = all.iter().rposition(|(first, _)| *first <= wanted).unwrap_or(0);
    let mut octets = 0_usize;
    for (first, path) in all.iter().skip(begin) {
        if *first > page.next.reached.saturating_add(1) {
            if !page.lines.is_empty() {
                return Ok(page);
            }
            page.missing = first.saturating_sub(page.next.reached).saturating_sub(1);
            page.next.reached = first.saturating_sub(1);
        }
        let mut file = match files::open(path) {
            Ok(file) => file,
            // It had its time between the look and this.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut offset = match page.next.at {
            Some((of, offset)) if of == *first => offset,
            _ => 0,
        };
        file.seek(SeekFrom::Start(offset))?;
        let mut file = BufReader::new(file);
        loop {
            let mut line = Vec::new();
            let read = std::io::Read::take(&mut file, LONGEST as u64).read_until(b'\n', &mut line)?;
            if !line.ends_with(b"\n") {
                break;
            }
            offset = offset.saturating_add(read as u64);
            page.next.at = Some((*first, offset));
            let Ok(text) = String::from_utf8(line) else { continue };
            let Ok(Numbered { number }) = serde_json::from_str(&text) else { continue };
            if number <= page.next.reached {
                continue;
            }
            page.next.reached = number;
            octets = octets.saturating_add(text.len());
            page.lines.push(text.trim_end().to_owned());
            if octets >= PAGE {
                return Ok(page);
            }
        }
    }
    Ok(page)
}
