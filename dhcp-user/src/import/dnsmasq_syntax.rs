//! The syntax of dnsmasq's configuration: lines of a key and values with commas between, in files that name others.

use std::path::Path;

use super::origin::{At, Unreadable};

/// How deep files may include each other.
const DEEPEST: usize = 16;

/// Where files are: the caller's disk, or a test's.
pub struct Files<'f> {
    /// Reads a file.
    pub read: &'f dyn Fn(&str) -> Result<Vec<u8>, String>,
    /// The names of the files in a directory.
    pub list: &'f dyn Fn(&str) -> Result<Vec<String>, String>,
}

/// `key=value`, or `key` alone.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) at: At,
    pub(super) key: String,
    pub(super) value: Option<String>,
}

impl Line {
    /// The parts between commas.
    pub(super) fn parts(&self) -> Vec<&str> {
        self.value.as_deref().map(|value| value.split(',').map(str::trim).collect()).unwrap_or_default()
    }

    /// As it is written.
    pub(super) fn shown(&self) -> String {
        match &self.value {
            Some(value) => format!("{}={value}", self.key),
            None => self.key.clone(),
        }
    }
}

/// A line's tags, and the rest of it.
pub(super) struct Wanted<'l> {
    /// Those that a client must have; `!` before one that it must not.
    pub(super) tags: Vec<&'l str>,
    /// Those that are given to it.
    pub(super) sets: Vec<&'l str>,
    pub(super) rest: Vec<&'l str>,
}

impl<'l> Wanted<'l> {
    pub(super) fn of(line: &'l Line) -> Self {
        let mut wanted = Self { tags: Vec::new(), sets: Vec::new(), rest: Vec::new() };
        for part in line.parts() {
            if let Some(tag) = part.strip_prefix("tag:").or_else(|| part.strip_prefix("net:")) {
                wanted.tags.push(tag);
            } else if let Some(set) = part.strip_prefix("set:") {
                wanted.sets.push(set);
            } else {
                wanted.rest.push(part);
            }
        }
        wanted
    }
}

/// Reads a file and those that it names: `conf-file`, `conf-dir`, `dhcp-hostsfile`, `dhcp-optsfile` and their directories.
pub(super) fn parse(file: &str, files: &Files<'_>) -> Result<Vec<Line>, Unreadable> {
    let mut all = Vec::new();
    file_of(&At::start_of(file), file, None, files, 0, &mut all)?;
    Ok(all)
}

fn file_of(
    from: &At,
    file: &str,
    key: Option<&str>,
    files: &Files<'_>,
    depth: usize,
    all: &mut Vec<Line>,
) -> Result<(), Unreadable> {
    if depth > DEEPEST {
        return Err(Unreadable::new(from, "files name each other too deep, or in a circle"));
    }
    let octets =
        (files.read)(file).map_err(|what| Unreadable::new(from, format!("can't read {file}: {what}")))?;
    let text = String::from_utf8_lossy(&octets).into_owned();
    for (number, written) in text.lines().enumerate() {
        let at = At { file: file.into(), line: number.saturating_add(1) };
        let written = without_comment(written);
        if written.is_empty() {
            continue;
        }
        // Each line of the file of a key is a value of that key.
        let line = match (key, written.split_once('=')) {
            (Some(key), _) => Line { at, key: key.to_owned(), value: Some(unquoted(&written)) },
            (None, Some((key, value))) => {
                Line { at, key: key.trim().to_owned(), value: Some(unquoted(value.trim())) }
            }
            (None, None) => Line { at, key: written, value: None },
        };
        let value = line.value.clone().unwrap_or_default();
        let next = depth.saturating_add(1);
        match line.key.as_str() {
            "conf-file" => file_of(&line.at, &value, None, files, next, all)?,
            "dhcp-hostsfile" => directory_or_file(&line.at, &value, "dhcp-host", files, next, all)?,
            "dhcp-optsfile" => directory_or_file(&line.at, &value, "dhcp-option", files, next, all)?,
            "dhcp-hostsdir" => directory(&line.at, &value, Some("dhcp-host"), files, next, all)?,
            "dhcp-optsdir" => directory(&line.at, &value, Some("dhcp-option"), files, next, all)?,
            "conf-dir" => directory(&line.at, &value, None, files, next, all)?,
            _ => all.push(line),
        }
    }
    Ok(())
}

fn directory_or_file(
    at: &At,
    place: &str,
    key: &str,
    files: &Files<'_>,
    depth: usize,
    all: &mut Vec<Line>,
) -> Result<(), Unreadable> {
    if (files.list)(place).is_ok() {
        return directory(at, place, Some(key), files, depth, all);
    }
    file_of(at, place, Some(key), files, depth, all)
}

/// `DIRECTORY[,ENDING…]`: an ending is left out, one with `*` before it is the only kind taken.
fn directory(
    at: &At,
    value: &str,
    key: Option<&str>,
    files: &Files<'_>,
    depth: usize,
    all: &mut Vec<Line>,
) -> Result<(), Unreadable> {
    let mut parts = value.split(',').map(str::trim);
    let place = parts.next().unwrap_or_default();
    let (only, but): (Vec<&str>, Vec<&str>) =
        parts.filter(|end| !end.is_empty()).partition(|end| end.starts_with('*'));
    let mut names =
        (files.list)(place).map_err(|what| Unreadable::new(at, format!("can't list {place}: {what}")))?;
    names.sort();
    for name in names {
        let is_hidden =
            name.ends_with('~') || name.starts_with('.') || (name.starts_with('#') && name.ends_with('#'));
        let is_wanted = only.is_empty() || only.iter().any(|end| name.ends_with(end.trim_start_matches('*')));
        if !is_hidden && is_wanted && !but.iter().any(|end| name.ends_with(end)) {
            file_of(at, &Path::new(place).join(&name).display().to_string(), key, files, depth, all)?;
        }
    }
    Ok(())
}

/// A line without what stands behind `#`, where that isn't in quotes or in a word.
fn without_comment(line: &str) -> String {
    let mut in_quotes = false;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match c {
            '"' if before != '\\' => in_quotes = !in_quotes,
            '#' if !in_quotes && before.is_whitespace() => {
                return line.get(..at).unwrap_or_default().trim().to_owned();
            }
            _ => {}
        }
        before = c;
    }
    line.trim().to_owned()
}

/// Without quotes around parts, and with what a backslash makes of a character.
fn unquoted(value: &str) -> String {
    let (mut text, mut chars) = (String::new(), value.chars());
    while let Some(c) = chars.next() {
        match c {
            '"' => {}
            '\\' => match chars.next() {
                Some('t') => text.push('\t'),
                Some('n') => text.push('\n'),
                Some(c) => text.push(c),
                None => {}
            },
            c => text.push(c),
        }
    }
    text
}
