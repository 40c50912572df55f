//! A draft of our configuration: each line of it knows its origin.
//!
//! [`Config::parse`] judges the lines, not this code: each line that it refuses becomes a comment with its message,
//! until it refuses nothing.

use std::collections::HashSet;
use std::fmt::Write;

use super::origin::At;
use crate::config::Config;

/// How often a draft is judged: each time something of it is left out.
const ROUNDS: usize = 64;

/// Tables of a configuration, in the order of the text, and the lines without a place in it.
#[derive(Debug, Default)]
pub struct Draft {
    pub(super) blocks: Vec<Block>,
}

/// Whose a line of the text is: the place of a table, and of a key in it if it is one's.
type Owner = Option<(usize, Option<usize>)>;

/// A table: `[[subnet]]` and its lines.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) header: &'static str,
    pub(super) at: At,
    pub(super) items: Vec<Item>,
    pub(super) refused: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Item {
    Key { key: String, value: String, at: At, needed: bool, refused: Option<String> },
    Note { at: At, what: String, holds: bool },
}

impl Block {
    pub(super) fn new(header: &'static str, at: &At) -> Self {
        Self { header, at: at.clone(), items: Vec::new(), refused: None }
    }

    /// A key that the table may lack.
    pub(super) fn key(&mut self, at: &At, key: impl Into<String>, value: impl Into<String>) {
        let (key, value) = (key.into(), value.into());
        self.items.push(Item::Key { key, value, at: at.clone(), needed: false, refused: None });
    }

    /// A key without which the table would mean something else.
    pub(super) fn needed(&mut self, at: &At, key: impl Into<String>, value: impl Into<String>) {
        let (key, value) = (key.into(), value.into());
        self.items.push(Item::Key { key, value, at: at.clone(), needed: true, refused: None });
    }

    /// Notes a line without an equivalent, and its meaning.
    pub(super) fn note(&mut self, at: &At, what: impl Into<String>) {
        self.items.push(Item::Note { at: at.clone(), what: what.into(), holds: false });
    }

    /// Notes a line that says what holds here without a key.
    pub(super) fn holds(&mut self, at: &At, what: impl Into<String>) {
        self.items.push(Item::Note { at: at.clone(), what: what.into(), holds: true });
    }

    pub(super) fn has(&self, wanted: &str) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Key { key, .. } if key == wanted))
    }

    /// The value of a key, as it is written.
    pub(super) fn value(&self, wanted: &str) -> Option<&str> {
        self.items.iter().find_map(|item| match item {
            Item::Key { key, value, .. } if key == wanted => Some(value.as_str()),
            _ => None,
        })
    }

    /// Whether a reservation has anything for its client.
    pub(super) fn gives_more_than_an_identity(&self) -> bool {
        let identities = ["hw-address", "client-id", "circuit-id", "remote-id"];
        self.items
            .iter()
            .any(|item| matches!(item, Item::Key { key, .. } if !identities.contains(&key.as_str())))
    }

    /// Notes all lines of a table that has no place.
    pub(super) fn left_out(&mut self, block: &Self) {
        for item in &block.items {
            match item {
                Item::Key { key, value, at, .. } => {
                    self.note(at, format!("{key} = {value}: in what is left out above"));
                }
                Item::Note { at, what, .. } => self.note(at, what.clone()),
            }
        }
    }

    fn is_child(&self) -> bool {
        self.header.contains('.')
    }
}

/// A configuration that holds together, and how much of the other one is in it.
#[derive(Debug)]
pub struct FinishedDraft {
    /// The text.
    pub text: String,
    /// How many lines of the other one are keys in it.
    pub mapped: usize,
    /// How many lines of it say what holds here without a key.
    pub held: usize,
    /// How many lines of it are comments only.
    pub commented: usize,
    /// The lines that are either.
    pub origins: HashSet<At>,
    /// Why it can't be served from as it is, if so.
    pub wrong: Vec<String>,
}

impl Draft {
    /// Comments out what the configuration can't have, and returns what is left.
    #[must_use]
    pub fn finish(mut self) -> FinishedDraft {
        let mut wrong = Vec::new();
        for _ in 0..ROUNDS {
            let (text, owners) = self.text();
            let Err(errors) = Config::parse(&text, "xdhcpd.toml") else {
                wrong.clear();
                break;
            };
            wrong = errors.iter().map(ToString::to_string).collect();
            let owned =
                |line: usize| line.checked_sub(1).and_then(|line| owners.get(line)).copied().flatten();
            let mut changed = false;
            // A subnet may be wrong only because of what is wrong in it: that goes first.
            for whole in [false, true] {
                if whole && changed {
                    break;
                }
                for error in &errors {
                    let Some((block, item)) = owned(error.line) else { continue };
                    if self.takes_a_subnet(block, item) == whole {
                        changed |= self.refuse(block, item, &error.message);
                    }
                }
            }
            if !changed {
                break;
            }
        }
        let (mut in_it, mut held, mut all) = (HashSet::new(), HashSet::new(), HashSet::new());
        for block in &self.blocks {
            for item in &block.items {
                let (Item::Key { at, .. } | Item::Note { at, .. }) = item;
                all.insert(at.clone());
                if block.refused.is_none() && matches!(item, Item::Key { refused: None, .. }) {
                    in_it.insert(at.clone());
                }
                if matches!(item, Item::Note { holds: true, .. }) {
                    held.insert(at.clone());
                }
            }
        }
        let (mapped, held) = (in_it.len(), held.difference(&in_it).count());
        let commented = all.len().saturating_sub(mapped).saturating_sub(held);
        FinishedDraft { text: self.text().0, mapped, held, commented, origins: all, wrong }
    }

    /// Whether to leave this out is to leave out a whole table with others in it.
    fn takes_a_subnet(&self, at: usize, item: Option<usize>) -> bool {
        let Some(block) = self.blocks.get(at) else { return false };
        let item = item.and_then(|item| block.items.get(item));
        !block.is_child() && !matches!(item, Some(Item::Key { needed: false, .. }))
    }

    /// Leaves out a line, or the table that it is needed in.
    fn refuse(&mut self, at: usize, item: Option<usize>, why: &str) -> bool {
        let Some(block) = self.blocks.get_mut(at) else { return false };
        let item = item.and_then(|item| block.items.get_mut(item));
        if let Some(Item::Key { needed: false, refused, .. }) = item {
            *refused = Some(why.to_owned());
            return true;
        }
        if block.header == "[server]" || block.refused.is_some() {
            return false;
        }
        block.refused = Some(why.to_owned());
        let has_children = !block.is_child();
        let rest = self.blocks.iter_mut().skip(at.saturating_add(1));
        for child in rest.take_while(|block| has_children && block.is_child()) {
            child.refused = Some("the subnet that it is in is left out".to_owned());
        }
        true
    }

    /// The text, and for each line of it the table and the key that stands there.
    fn text(&self) -> (String, Vec<Owner>) {
        let (mut text, mut owners) = (String::new(), Vec::new());
        let mut line = |owner, line: String| {
            text.push_str(&line);
            text.push('\n');
            owners.push(owner);
        };
        for (number, block) in self.blocks.iter().enumerate() {
            if number > 0 {
                line(None, String::new());
            }
            match &block.refused {
                None => line(Some((number, None)), block.header.to_owned()),
                Some(why) => {
                    let left_out = format!("{} is left out: {why}", block.header);
                    line(None, comment(&block.at, &left_out));
                }
            }
            for (place, item) in block.items.iter().enumerate() {
                match item {
                    Item::Note { at, what, .. } => line(None, comment(at, what)),
                    Item::Key { key, value, at, refused, .. } => match (refused, &block.refused) {
                        (None, None) => line(Some((number, Some(place))), format!("{key} = {value}")),
                        (Some(why), _) => {
                            line(None, comment(at, &format!("{key} = {value} is left out: {why}")));
                        }
                        (None, Some(_)) => line(None, comment(at, &format!("{key} = {value}"))),
                    },
                }
            }
        }
        (text, owners)
    }
}

fn comment(at: &At, what: &str) -> String {
    let mut line = String::from("# ");
    // Whatever a file's name or text holds, a comment is one line.
    for c in format!("{at}: {what}").chars() {
        let _ = if c.is_control() { write!(line, "{}", c.escape_default()) } else { line.write_char(c) };
    }
    line
}

/// A string of TOML.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        let _ = match c {
            '"' | '\\' => write!(quoted, "\\{c}"),
            c if c.is_control() => write!(quoted, "\\u{:04X}", u32::from(c)),
            c => quoted.write_char(c),
        };
    }
    quoted.push('"');
    quoted
}

/// A list of strings.
pub(super) fn list<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(quoted).collect();
    format!("[{}]", texts.join(", "))
}

/// So many seconds.
pub(super) fn seconds(seconds: u64) -> String {
    quoted(&format!("{seconds}s"))
}
