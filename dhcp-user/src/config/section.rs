//! One TOML table, read key by key; keys that were not read are refused.

use toml::Spanned;
use toml::de::{DeString, DeTable};

use super::errors::{Errors, Span};
use super::keys;
use super::value::Value;

/// A table that is being read.
pub(super) struct Section<'t> {
    table: &'t DeTable<'t>,
    span: Span,
    name: String,
    errors: &'t Errors<'t>,
    known: Vec<&'static str>,
}

impl<'t> Value<'t> {
    /// The tables of an array of tables, `[[name]]`, each read; nothing if any was refused (all are looked at).
    pub(super) fn each_section<T>(
        self,
        name: &str,
        mut read: impl FnMut(Section<'t>) -> Option<T>,
    ) -> Option<Vec<T>> {
        if self.is_table() {
            return self.refuse(format!("there may be several of these: write [[{name}]] with two brackets"));
        }
        self.each("tables", |value| read(value.section(&format!("[[{name}]]"))?))
    }

    /// A table; `name` is how messages call it.
    pub(super) fn section(self, name: &str) -> Option<Section<'t>> {
        let table = self.table(name)?;
        Some(Section::new(table, self.span(), name.to_owned(), self.errors()))
    }
}

impl<'t> Section<'t> {
    pub(super) fn new(table: &'t DeTable<'t>, span: Span, name: String, errors: &'t Errors<'t>) -> Self {
        Self { table, span, name, errors, known: Vec::new() }
    }

    /// The value of `key`, if it is set.
    pub(super) fn get(&mut self, key: &'static str) -> Option<Value<'t>> {
        self.known.push(key);
        self.table.get(key).map(|node| Value::new(node, self.errors))
    }

    /// The value of `key`, by `read`; `default` if it isn't set.
    pub(super) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(Value<'t>) -> Option<T>,
    ) -> Option<T> {
        self.get(key).map_or(Some(default), read)
    }

    /// The value of `key`, by `read`, if it is set.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(Value<'t>) -> Option<T>,
    ) -> Option<Option<T>> {
        self.get(key).map_or(Some(None), |value| read(value).map(Some))
    }

    /// The value of `key`, by `read`, which must be set; `example` shows how.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl FnOnce(Value<'t>) -> Option<T>,
    ) -> Option<T> {
        let value = self.get(key);
        if value.is_none() {
            self.missing(format!("{} lacks `{key}`: add {key} = {example}", self.name));
        }
        value.and_then(read)
    }

    /// Every key and its value in the order of the text, for tables whose keys are names; nothing is unknown then.
    pub(super) fn entries(&self) -> Vec<(&'t Spanned<DeString<'t>>, Value<'t>)> {
        let mut entries: Vec<_> =
            self.table.iter().map(|(key, node)| (key, Value::new(node, self.errors))).collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
    }

    /// Where the first of `keys` that is set stands; where the table begins if none is.
    pub(super) fn place(&self, keys: &[&str]) -> Span {
        keys.iter().find_map(|key| self.table.get(*key)).map_or_else(|| self.span.clone(), Spanned::span)
    }

    pub(super) fn errors(&self) -> &'t Errors<'t> {
        self.errors
    }

    pub(super) fn refuse(&self, span: &Span, message: impl Into<String>) {
        self.errors.refuse(span, message);
    }

    pub(super) fn missing(&self, message: impl Into<String>) {
        self.errors.missing(&self.span, message);
    }

    /// Refuses every key that was not asked for.
    pub(super) fn finish(self) {
        #[cfg(test)]
        for key in &self.known {
            assert!(
                keys::is_known(&self.name, key),
                "`{key}` of {} is to be added to keys/table.rs",
                self.name
            );
        }
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if !self.known.contains(&name) {
                let elsewhere = keys::allowed_in(name);
                let advice = match nearest(name, self.known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if !elsewhere.is_empty() => format!("it belongs in {}", elsewhere.join(", or ")),
                    None => format!("known are {}", self.known.join(", ")),
                };
                self.refuse(&key.span(), format!("unknown key `{name}` in {}: {advice}", self.name));
            }
        }
    }
}

/// The name that `wrong` was probably meant to be: at most a third of it needs changing.
pub(super) fn nearest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let limit = (wrong.len() / 3).clamp(1, 5);
    names
        .into_iter()
        .map(|name| (strsim::levenshtein(wrong, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        let names = ["lease-time", "renew-time", "pools", "prefix"];
        assert_eq!(nearest("lease_time", names), Some("lease-time"));
        assert_eq!(nearest("pool", names), Some("pools"));
        assert_eq!(nearest("colour", names), None);
    }
}
