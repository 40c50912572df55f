//! The keys that a configuration has written in its files, each with its line, and which of them another server has.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A key, as it is written.
#[derive(Debug)]
struct Entry {
    /// The table that it is in, and which of that kind: a subnet's prefix, a class's name.
    table: &'static str,
    name: String,
    key: String,
    value: String,
    file: Arc<str>,
    line: usize,
    is_used: Cell<bool>,
}

/// All keys of the files of a configuration, in the order of the text.
#[derive(Debug, Default)]
pub(super) struct Written(Vec<Entry>);

/// Tables in which keys are looked for, and the key that tells one from another.
const TABLES: [(&str, &str); 4] =
    [("interface", "name"), ("class", "name"), ("subnet", "prefix"), ("hook", "command")];

impl Written {
    /// Those of a file; what is no TOML has none.
    pub(super) fn add(&mut self, path: &Path, text: &str) {
        let Ok(document) = DeTable::parse(text) else { return };
        let file: Arc<str> = path.display().to_string().into();
        let ends = text.match_indices('\n').map(|(at, _)| at).collect();
        let mut reader = Reader { all: &mut self.0, text, ends, file };
        for (key, value) in document.get_ref().iter() {
            let name = key.get_ref().as_ref();
            match (TABLES.iter().find(|(table, _)| *table == name), value.get_ref()) {
                (Some((table, identity)), DeValue::Array(tables)) => {
                    for table_value in tables.iter() {
                        let DeValue::Table(inner) = table_value.get_ref() else { continue };
                        let identity = text_of(inner, identity).unwrap_or_default();
                        reader.table(table, &identity, inner);
                    }
                }
                (None, DeValue::Table(inner)) if name == "server" => reader.table("server", "", inner),
                (None, DeValue::Table(inner)) if name == "journal" => reader.table("journal", "", inner),
                // What an included file has stands there.
                _ if name == "include" => {}
                _ => reader.key("", "", name, key, value),
            }
        }
    }

    /// The other server has this key of this table.
    pub(super) fn has(&self, table: &str, name: &str, key: &str) {
        let dotted = format!("{key}.");
        for entry in self.0.iter().filter(|entry| entry.table == table && is_same(&entry.name, name)) {
            if entry.key == key || entry.key.starts_with(&dotted) {
                entry.is_used.set(true);
            }
        }
    }

    /// The keys that the other server has not, with file and line: as many comments.
    pub(super) fn lost(&self, meaning: impl Fn(&str, &str) -> &'static str) -> Vec<String> {
        let mut lost: Vec<&Entry> = self.0.iter().filter(|entry| !entry.is_used.get()).collect();
        lost.sort_by_key(|entry| (Arc::clone(&entry.file), entry.line));
        let lost = lost.into_iter();
        lost.map(|entry| {
            let Entry { table, name, key, value, file, line, .. } = entry;
            let place = if name.is_empty() { format!("[{table}]") } else { format!("{table} {name}") };
            one_line(&format!("{file}:{line}: {place}: {key} = {value}: {}", meaning(table, key)))
        })
        .collect()
    }
}

/// Whatever a file's name or text holds, a comment is one line.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Ranges are the same however they are spaced.
fn is_same(written: &str, name: &str) -> bool {
    let plain = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    plain(written) == plain(name)
}

fn text_of(table: &DeTable<'_>, key: &str) -> Option<String> {
    match table.get(key)?.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        _ => None,
    }
}

struct Reader<'r> {
    all: &'r mut Vec<Entry>,
    text: &'r str,
    /// Where its lines end.
    ends: Vec<usize>,
    file: Arc<str>,
}

impl Reader<'_> {
    fn table(&mut self, table: &'static str, name: &str, inner: &DeTable<'_>) {
        for (key, value) in inner.iter() {
            let word = key.get_ref().as_ref();
            match (word, value.get_ref()) {
                ("options", DeValue::Table(options)) => {
                    for (option, value) in options.iter() {
                        let whole = format!("options.{}", option.get_ref());
                        self.key(table, name, &whole, option, value);
                    }
                }
                ("pools", DeValue::Array(pools)) => self.pools(key, value, pools),
                ("reservation", DeValue::Array(own)) if table == "subnet" => {
                    // By their places: they stand before those of files.
                    for (one, place) in own.iter().zip(1_u32..) {
                        let DeValue::Table(one) = one.get_ref() else { continue };
                        self.table("reservation", &format!("{place} of {name}"), one);
                    }
                }
                _ => self.key(table, name, word, key, value),
            }
        }
    }

    fn pools(
        &mut self,
        key: &Spanned<toml::de::DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
        pools: &toml::de::DeArray<'_>,
    ) {
        for pool in pools.iter() {
            match pool.get_ref() {
                DeValue::Table(pool) => {
                    let range = text_of(pool, "range").unwrap_or_default();
                    self.table("pool", &range, pool);
                }
                DeValue::String(range) => self.entry("pool", range, "range", value.span().start, pool),
                _ => self.key("pool", "", "pools", key, value),
            }
        }
    }

    fn key(
        &mut self,
        table: &'static str,
        name: &str,
        word: &str,
        key: &Spanned<toml::de::DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        self.entry(table, name, word, key.span().start, value);
    }

    fn entry(&mut self, table: &'static str, name: &str, key: &str, at: usize, value: &Spanned<DeValue<'_>>) {
        let line = self.ends.partition_point(|end| *end < at).saturating_add(1);
        self.all.push(Entry {
            table,
            name: name.to_owned(),
            key: key.to_owned(),
            value: self.text.get(value.span()).unwrap_or_default().to_owned(),
            file: Arc::clone(&self.file),
            line,
            is_used: Cell::new(false),
        });
    }
}
