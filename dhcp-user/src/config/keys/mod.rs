//! Every key that a configuration may have: one table, from which checks, reference page, manual and schema are made.
//!
//! ```text
//! table.rs    the keys
//! page.rs     the part of docs/configuration.md that lists them
//! manual.rs   xdhcpd.toml(5)
//! schema.rs   a JSON schema, for editors
//! ```

mod manual;
mod page;
mod schema;
mod table;

#[cfg(test)]
mod tests;

pub use manual::manual;
pub use page::with_keys;
pub use schema::schema;

use table::KEYS;

/// Where keys stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    File,
    Server,
    Store,
    Journal,
    Hook,
    Interface,
    Subnet,
    Pool,
    Reservation,
    Class,
    Match,
    Route,
}

/// All of them, in the order in which they are described.
const TABLES: [Table; 12] = [
    Table::File,
    Table::Server,
    Table::Store,
    Table::Journal,
    Table::Hook,
    Table::Interface,
    Table::Subnet,
    Table::Pool,
    Table::Reservation,
    Table::Class,
    Table::Match,
    Table::Route,
];

/// The kind of a key's value.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Boolean,
    /// A whole number, between these.
    Integer(u64, u64),
    /// Any number, between these.
    Number(f64, f64),
    /// Text that is a duration.
    Duration,
    Text,
    /// An IPv4 address.
    Address,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One of these words, or true or false.
    ChoiceOrBoolean(&'static [&'static str]),
    /// A value or a list of them.
    OneOrMore(&'static Self),
    List(&'static Self),
    /// A table, or one of these words.
    TableOr(Table, &'static [&'static str]),
    /// A table.
    Table(Table),
    /// Tables, one or more: `[[name]]`.
    Tables(Table),
    /// A list of texts and tables.
    TextsOrTables(Table),
    /// Options by name.
    Options,
}

/// Whether a key may be left out, and its default then.
#[derive(Clone, Copy, Debug)]
enum Default {
    Required,
    /// None: the key has no effect, or the next more general scope decides.
    None,
    /// As the file would have it.
    Is(&'static str),
    /// In words.
    InWords(&'static str),
}

/// One key, wherever it is allowed.
#[derive(Debug)]
struct Key {
    name: &'static str,
    tables: &'static [Table],
    kind: Kind,
    default: Default,
    /// The first version that knows it.
    since: &'static str,
    /// Its effect, in a sentence without a full stop.
    what: &'static str,
}

impl Table {
    /// The name in messages: that of its section.
    fn name(self) -> &'static str {
        match self {
            Self::File => "this file",
            Self::Server => "[server]",
            Self::Store => "store",
            Self::Journal => "[journal]",
            Self::Hook => "[[hook]]",
            Self::Interface => "[[interface]]",
            Self::Subnet => "[[subnet]]",
            Self::Pool => "a pool",
            Self::Reservation => "[[subnet.reservation]]",
            Self::Class => "[[class]]",
            Self::Match => "match",
            Self::Route => "route",
        }
    }

    /// The name in headings.
    fn heading(self) -> &'static str {
        match self {
            Self::File => "At the top",
            Self::Server => "`[server]`",
            Self::Store => "`store` as a table",
            Self::Journal => "`[journal]`",
            Self::Hook => "`[[hook]]`",
            Self::Interface => "`[[interface]]`",
            Self::Subnet => "`[[subnet]]`",
            Self::Pool => "A pool as a table",
            Self::Reservation => "`[[subnet.reservation]]`",
            Self::Class => "`[[class]]`",
            Self::Match => "`match` of a class",
            Self::Route => "A route of `static-routes`",
        }
    }

    fn keys(self) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(move |key| key.tables.contains(&self))
    }
}

impl Kind {
    /// The kind of the value, in words.
    fn described(self) -> String {
        match self {
            Self::Boolean => "true or false".into(),
            Self::Integer(_, u64::MAX) => "a number".into(),
            Self::Integer(least, most) => format!("{least} to {most}"),
            Self::Number(least, most) => format!("{least:?} to {most:?}"),
            Self::Duration => "a duration".into(),
            Self::Text => "text".into(),
            Self::Address => "an address".into(),
            Self::Choice(words) => quoted(words),
            Self::ChoiceOrBoolean(words) => format!("true, false, {}", quoted(words)),
            Self::OneOrMore(kind) => format!("{}, or a list", kind.described()),
            Self::List(kind) => format!("a list: {}", kind.described()),
            Self::TableOr(_, words) => format!("{}, or a table", quoted(words)),
            Self::Table(_) => "a table".into(),
            Self::Tables(_) => "tables".into(),
            Self::TextsOrTables(_) => "a list: text, or tables".into(),
            Self::Options => "options by name".into(),
        }
    }
}

impl Default {
    fn described(self) -> String {
        match self {
            Self::Required => "required".into(),
            Self::None => "none".into(),
            Self::Is(value) => format!("`{value}`"),
            Self::InWords(words) => words.into(),
        }
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

/// The tables, as messages call them, that may have a key.
pub(super) fn allowed_in(key: &str) -> Vec<&'static str> {
    let tables = KEYS.iter().filter(|known| known.name == key).flat_map(|known| known.tables);
    tables.map(|table| table.name()).collect()
}

/// Whether the section that messages call `section` may have a key. Sections whose keys are names are not in the table.
#[cfg(test)]
pub(super) fn is_known(section: &str, key: &str) -> bool {
    let table = TABLES.into_iter().find(|table| table.name() == section);
    table.is_none_or(|table| table.keys().any(|known| known.name == key))
}
