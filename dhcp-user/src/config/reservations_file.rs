//! A `reservations-file`: reservations by the hundred thousand, a line each, as CSV or as JSON.
//!
//! The columns of CSV are named by its first line: `hw-address`, `client-id`, `circuit-id`, `remote-id`, `address`,
//! `host-name` and `class`, in any order; an empty field isn't set. A line of JSON is an object with the keys of a
//! `[[subnet.reservation]]`.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};
use toml::de::DeTable;

use super::class_names::ClassNames;
use super::errors::{ConfigError, Errors};
use super::overrides::Overrides;
use super::reservation::{Fields, Reservation};
use super::section::Section;
use super::value::Value;
use crate::files::{self, ShortLines};

/// After so many errors no more are reported: the file is the wrong one, or its generator is faulty.
const ERRORS: usize = 100;
/// No line is longer.
const LONGEST_LINE: usize = 64 * 1024;

/// The file, relative to the one that names it.
pub(super) fn path(value: Value<'_>) -> Option<PathBuf> {
    let text = value.text("the name of a file")?;
    let path = value.errors().directory(&value.span()).join(text);
    match path.extension().and_then(|end| end.to_str()) {
        Some("csv" | "jsonl") => Some(path),
        _ => value.refuse("the file's name must end with .csv or .jsonl, which says what its lines are"),
    }
}

/// Reads the file line by line; `each` says what is wrong with one beside the others.
pub(super) fn read(
    value: Value<'_>,
    path: &Path,
    classes: &ClassNames,
    mut each: impl FnMut(usize, Reservation) -> Result<(), String>,
) -> Option<()> {
    let file = match files::open_within(path, files::LIST) {
        Ok(file) => BufReader::new(file),
        Err(error) => return value.refuse(format!("can't read {}: {error}", path.display())),
    };
    let mut wrong = 0_usize;
    let mut take = |line: usize, read: Result<Reservation, String>| {
        let Err(message) = read.and_then(|reservation| each(line, reservation)) else { return true };
        wrong = wrong.saturating_add(1);
        let more = if wrong == ERRORS { ", and perhaps more below, which is not looked at" } else { "" };
        let message = format!("{message}{more}");
        value.errors().refuse_at(ConfigError { file: path.display().to_string(), line, column: 1, message });
        wrong < ERRORS
    };
    if path.extension().is_some_and(|end| end == "csv") {
        csv(ShortLines::of(file, LONGEST_LINE), classes, &mut take);
    } else {
        json(file, classes, &mut take);
    }
    (wrong == 0).then_some(())
}

fn csv(
    file: impl Read,
    classes: &ClassNames,
    take: &mut dyn FnMut(usize, Result<Reservation, String>) -> bool,
) {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
    let mut columns: [Option<usize>; 7] = [None; 7];
    let names = ["hw-address", "client-id", "circuit-id", "remote-id", "address", "host-name", "class"];
    let head = match reader.headers() {
        Ok(head) => head.clone(),
        Err(error) => {
            take(1, Err(format!("the first line names no columns: {error}")));
            return;
        }
    };
    for (place, name) in head.iter().enumerate() {
        match names.iter().zip(&mut columns).find(|(known, _)| **known == name) {
            Some((_, column)) => *column = Some(place),
            None => {
                take(
                    1,
                    Err(format!(
                        "no column is named \"{}\": there are {}",
                        name.escape_default(),
                        names.join(", ")
                    )),
                );
                return;
            }
        }
    }
    let mut record = csv::StringRecord::new();
    loop {
        let read = reader.read_record(&mut record);
        let line =
            record.position().map_or(0, |position| usize::try_from(position.line()).unwrap_or(usize::MAX));
        let taken = match read {
            Ok(false) => return,
            Ok(true) => {
                let field = |column: Option<usize>| {
                    column.and_then(|at| record.get(at)).filter(|text| !text.is_empty())
                };
                let [hw_address, client_id, circuit_id, remote_id, address, host_name, class] =
                    columns.map(field);
                let own = class.into_iter().collect();
                let fields =
                    Fields { hw_address, client_id, circuit_id, remote_id, address, host_name, classes: own };
                take(line, fields.reservation(Overrides::default(), classes))
            }
            Err(error) => {
                let line =
                    error.position().map_or(line, |at| usize::try_from(at.line()).unwrap_or(usize::MAX));
                take(line, Err(format!("this line can't be read: {error}"))) && !error.is_io_error()
            }
        };
        if !taken {
            return;
        }
    }
}

fn json(
    mut file: impl BufRead,
    classes: &ClassNames,
    take: &mut dyn FnMut(usize, Result<Reservation, String>) -> bool,
) {
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let most = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX);
        let read = file.by_ref().take(most).read_until(b'\n', &mut text);
        let taken = match read {
            Ok(0) => return,
            Ok(LONGEST_LINE) => {
                take(line, Err(format!("this line is longer than {LONGEST_LINE} octets")));
                return;
            }
            Ok(_) if text.trim_ascii().is_empty() => true,
            Ok(_) => take(line, object(&text, classes)),
            Err(error) => {
                take(line, Err(format!("this line can't be read: {error}")));
                return;
            }
        };
        if !taken {
            return;
        }
    }
}

fn object(text: &[u8], classes: &ClassNames) -> Result<Reservation, String> {
    of_object(serde_json::from_slice(text).map_err(|error| format!("no object of JSON: {error}"))?, classes)
}

/// The reservation that an object says.
pub(super) fn of_object(mut object: Map<String, Json>, classes: &ClassNames) -> Result<Reservation, String> {
    let mut text = |key: &str| match object.remove(key) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("`{key}` must be a string, and is {other}")),
    };
    let [hw_address, client_id, circuit_id, remote_id, address, host_name] = [
        text("hw-address")?,
        text("client-id")?,
        text("circuit-id")?,
        text("remote-id")?,
        text("address")?,
        text("host-name")?,
    ];
    let own = match object.remove("class") {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::String(name)) => vec![name],
        Some(Json::Array(names)) => {
            let names: Option<_> = names.iter().map(|name| name.as_str().map(str::to_owned)).collect();
            names.ok_or("`class` must be the name of a class, or a list of names")?
        }
        Some(other) => return Err(format!("`class` must be the name of a class, and is {other}")),
    };
    let overrides = if object.is_empty() { Overrides::default() } else { overrides(&object)? };
    let fields = Fields {
        hw_address: hw_address.as_deref(),
        client_id: client_id.as_deref(),
        circuit_id: circuit_id.as_deref(),
        remote_id: remote_id.as_deref(),
        address: address.as_deref(),
        host_name: host_name.as_deref(),
        classes: own.iter().map(String::as_str).collect(),
    };
    fields.reservation(overrides, classes)
}

/// The other settings of a line, read like those of the table.
fn overrides(object: &Map<String, Json>) -> Result<Overrides, String> {
    let lines: Option<Vec<String>> =
        object.iter().map(|(key, value)| Some(format!("{} = {}\n", quoted(key), inline(value)?))).collect();
    let text = lines.ok_or("null is no value")?.concat();
    let errors = Errors::of("", &text);
    let (document, not_toml) = DeTable::parse_recoverable(&text);
    for error in &not_toml {
        errors.syntax(&error.span().unwrap_or_default(), error.message());
    }
    let mut section = Section::new(document.get_ref(), 0..0, "[[subnet.reservation]]".to_owned(), &errors);
    let read = Overrides::read(&mut section);
    section.finish();
    let found = errors.into_sorted();
    match (read, found.first()) {
        (Some(overrides), None) => Ok(overrides),
        (_, error) => Err(error.map(|error| error.message.clone()).unwrap_or_default()),
    }
}

/// A value of JSON as one of TOML.
fn inline(value: &Json) -> Option<String> {
    Some(match value {
        Json::Null => return None,
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => number.to_string(),
        Json::String(text) => quoted(text),
        Json::Array(values) => {
            format!("[{}]", values.iter().map(inline).collect::<Option<Vec<_>>>()?.join(", "))
        }
        Json::Object(entries) => {
            let entries =
                entries.iter().map(|(key, value)| Some(format!("{} = {}", quoted(key), inline(value)?)));
            format!("{{ {} }}", entries.collect::<Option<Vec<_>>>()?.join(", "))
        }
    })
}

fn quoted(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}
