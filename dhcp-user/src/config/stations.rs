//! A `hw-address-file` of a class: hardware addresses by the hundred thousand, one a line.
//!
//! ```text
//! # what follows a hash is not read
//! 02:00:00:00:00:01
//! 02:00:5e:*
//! ```

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use super::errors::ConfigError;
use super::value::{Value, from_hex};
use crate::files::{self, ShortLines};

/// After so many errors no more are reported: the file is the wrong one.
const ERRORS: usize = 100;
/// A longer file is no file of addresses.
const LONGEST: u64 = 256 << 20;
/// Nor is a longer line one of an address, whatever follows its hash.
const LONGEST_LINE: usize = 64 * 1024;

/// The contents of a file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Stations {
    /// Whole addresses, in order, each once.
    pub(super) whole: Vec<[u8; 6]>,
    /// The beginnings of addresses.
    pub(super) beginnings: Vec<Vec<u8>>,
}

/// The contents of the file that `value` names, relative to the file that has the value.
pub(super) fn read(value: Value<'_>, files: &mut Vec<PathBuf>) -> Option<Stations> {
    let text = value.text("the name of a file")?;
    let path = value.errors().directory(&value.span()).join(text);
    files.push(path.clone());
    let file = match files::open_within(&path, LONGEST) {
        Ok(file) => BufReader::new(ShortLines::of(file, LONGEST_LINE)),
        Err(error) => return value.refuse(format!("can't read {}: {error}", path.display())),
    };
    let mut stations = Stations::default();
    let mut wrong = 0_usize;
    for (line, text) in (1_usize..).zip(file.lines()) {
        let Err(message) =
            text.map_err(|error| format!("can't be read: {error}")).and_then(|text| stations.add(&text))
        else {
            continue;
        };
        wrong = wrong.saturating_add(1);
        let more = if wrong == ERRORS { ", and perhaps more below, which is not looked at" } else { "" };
        let message = format!("{message}{more}");
        value.errors().refuse_at(ConfigError { file: path.display().to_string(), line, column: 1, message });
        if wrong == ERRORS {
            break;
        }
    }
    stations.whole.sort_unstable();
    stations.whole.dedup();
    (wrong == 0).then_some(stations)
}

impl Stations {
    fn add(&mut self, line: &str) -> Result<(), String> {
        let written = line.split('#').next().unwrap_or_default().trim();
        if written.is_empty() {
            return Ok(());
        }
        let (part, begins) = written.strip_suffix('*').map_or((written, false), |part| (part, true));
        let octets = from_hex(part.trim_end_matches([':', '-'])).filter(|octets| !octets.is_empty());
        match octets {
            Some(octets) if begins && octets.len() < 6 => self.beginnings.push(octets),
            Some(octets) if !begins && octets.len() == 6 => {
                self.whole.push(octets.try_into().unwrap_or_default());
            }
            _ => {
                return Err(format!(
                    "\"{}\" is not an Ethernet address, such as \"02:00:00:00:00:01\" (or \"02:00:5e:*\")",
                    written.escape_default()
                ));
            }
        }
        Ok(())
    }
}
