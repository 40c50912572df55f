//! The files of a configuration: the one that is named, and those that it includes.
//!
//! They are read as one text, one behind the other. An included file has `[[interface]]`, `[[class]]` and `[[subnet]]` in it
//! and no other tables, so that each table's end is where it is in its file.

use std::fs;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::LONGEST;
use super::errors::{ConfigError, Errors, Span};
use super::section::Section;
use crate::files;

/// The tables that an included file may have, beside `include`.
const TABLES: [&str; 3] = ["interface", "class", "subnet"];

/// How deep files may include each other: the one that is named is at the top.
const DEEPEST: usize = 16;

/// No line is longer, in octets.
const LONGEST_LINE: usize = 1 << 20;

/// The texts of some files, one behind the other.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) text: String,
    /// Where each file begins, with its name.
    pub(super) files: Vec<(usize, String)>,
    pub(super) errors: Vec<ConfigError>,
    /// Those that were read, by which none is read twice.
    known: Vec<PathBuf>,
}

impl Sources {
    /// Reads what `octets` of the file `path` include, and keeps all of it.
    pub(super) fn of(path: &Path, octets: &[u8]) -> Self {
        let mut sources = Self::default();
        sources.known.extend(fs::canonicalize(path));
        sources.add(path, octets, 0);
        sources
    }

    /// How many octets more there may be.
    fn left(&self) -> u64 {
        LONGEST.saturating_sub(self.text.len() as u64)
    }

    /// Adds a file that is so deep below the one that is named, and what it includes.
    fn add(&mut self, path: &Path, octets: &[u8], depth: usize) {
        let is_first = depth == 0;
        let file = path.display().to_string();
        let text = match std::str::from_utf8(octets) {
            Ok(text) => text,
            Err(error) => {
                let readable = String::from_utf8_lossy(octets.get(..error.valid_up_to()).unwrap_or_default());
                let errors = Errors::of(&file, &readable);
                errors.syntax(&(readable.len()..readable.len()), "from here on it is not UTF-8 text");
                self.errors.extend(errors.into_sorted());
                return;
            }
        };
        let errors = Errors::of(&file, text);
        if let Some(long) = text.lines().find(|line| line.len() > LONGEST_LINE) {
            let at = long.as_ptr().addr().saturating_sub(text.as_ptr().addr());
            let message = format!(
                "this line is longer than {LONGEST_LINE} octets: break it, or put a list of reservations into a file of its own (reservations-file)"
            );
            errors.refuse(&(at..at), message);
            self.errors.extend(errors.into_sorted());
            return;
        }
        let mut own = text.to_owned();
        let mut patterns = Vec::new();
        // Most configurations are one file, and read once.
        if !is_first || text.contains("include") {
            let (document, not_toml) = DeTable::parse_recoverable(text);
            for error in not_toml.iter().filter(|_| !is_first) {
                errors.syntax(&error.span().unwrap_or_default(), error.message());
            }
            let mut section = Section::new(document.get_ref(), 0..0, "this file".to_owned(), &errors);
            for (key, value) in section.entries() {
                let name = key.get_ref().as_ref();
                let is_tables = TABLES.contains(&name) && value.is_list();
                if !is_first && name != "include" && !is_tables {
                    errors.refuse(&key.span(), format!("`{name}` can't stand in an included file: [[interface]], [[class]] and [[subnet]] can"));
                }
            }
            patterns = section
                .get("include")
                .and_then(|value| {
                    value.each("file names", |name| Some((name.span(), name.text("a file name")?.to_owned())))
                })
                .unwrap_or_default();
            if let Some(value) = section.get("include")
                && !is_first
            {
                blank(&mut own, text, &value.span());
            }
        }
        let broken = self.errors.len();
        let patterns: Vec<(Span, String)> = patterns;
        let included: Vec<PathBuf> =
            patterns.iter().flat_map(|(at, pattern)| matching(&errors, at, path, pattern)).collect();
        self.errors.extend(errors.into_sorted());
        // What stands at the end of a file whose tables are in doubt would be taken for the next one's.
        if is_first || self.errors.len() == broken {
            if !is_first {
                self.text.push('\n');
            }
            self.files.push((self.text.len(), file.clone()));
            self.text.push_str(&own);
        }
        for path in included {
            let canonical = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
            let at = |message: String| ConfigError {
                file: path.display().to_string(),
                line: 1,
                column: 1,
                message,
            };
            if self.known.contains(&canonical) {
                self.errors.push(at(format!(
                    "this file is included twice, the second time from {file}: remove one"
                )));
                continue;
            }
            if depth == DEEPEST {
                self.errors.push(at(format!(
                    "files include each other more than {DEEPEST} deep, from {file} on: include this one from the main file"
                )));
                continue;
            }
            self.known.push(canonical);
            match files::read(&path, self.left()) {
                Ok(octets) => self.add(&path, &octets, depth.saturating_add(1)),
                Err(error) => {
                    self.errors.push(at(format!("can't read it: {error} (it is included from {file})")));
                }
            }
        }
    }
}

/// The files that a name or a pattern beside `path` stands for, in the order of their names.
fn matching(errors: &Errors<'_>, at: &Span, path: &Path, pattern: &str) -> Vec<PathBuf> {
    let beside = path.parent().unwrap_or(Path::new("")).join(pattern);
    let is_pattern = pattern.contains(['*', '?', '[']);
    if !is_pattern {
        return vec![beside];
    }
    match glob::glob(&beside.to_string_lossy()) {
        Ok(paths) => paths
            .filter_map(|found| match found {
                // What else is no regular file is told when it is read.
                Ok(path) => (!path.is_dir()).then_some(path),
                Err(error) => {
                    errors.refuse(at, format!("can't look for what is included: {error}"));
                    None
                }
            })
            .collect(),
        Err(error) => {
            errors.refuse(
                at,
                format!("\"{}\" is no pattern of file names: {}", pattern.escape_default(), error.msg),
            );
            Vec::new()
        }
    }
}

/// Takes a key out of a text, and leaves each line where it is.
fn blank(own: &mut String, text: &str, value: &Span) {
    let from = text.get(..value.start).and_then(|before| before.rfind("include")).unwrap_or(value.start);
    let blanks: String = text
        .get(from..value.end)
        .unwrap_or_default()
        .chars()
        .flat_map(|c| {
            let blank = if c == '\n' { '\n' } else { ' ' };
            std::iter::repeat_n(blank, c.len_utf8())
        })
        .collect();
    own.replace_range(from..value.end, &blanks);
}
