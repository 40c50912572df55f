//! JSON as Kea takes it: with comments, included files, and superfluous commas; each value knows its line.

use std::path::Path;

use super::origin::{At, Unreadable};

/// How deep values may lie in each other, and files include each other.
const DEEPEST: usize = 64;
const DEEPEST_INCLUDE: usize = 10;

/// How much is read in all, so that files that include each other twice come to an end.
const MOST_TOKENS: usize = 20_000_000;

/// A value and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) value: Json,
}

/// A value. Numbers stay as they are written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Node {
    /// A text, or a number or truth value as it is written.
    pub(super) fn scalar(&self) -> Option<String> {
        match &self.value {
            Json::Text(text) | Json::Number(text) => Some(text.clone()),
            Json::Bool(is) => Some(is.to_string()),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Json::Text(text) = &self.value { Some(text) } else { None }
    }

    pub(super) fn number(&self) -> Option<u64> {
        if let Json::Number(text) = &self.value { text.parse().ok() } else { None }
    }

    pub(super) fn list(&self) -> &[Self] {
        if let Json::List(list) = &self.value { list } else { &[] }
    }

    pub(super) fn entries(&self) -> &[(String, Self)] {
        if let Json::Map(map) = &self.value { map } else { &[] }
    }

    /// The value of a key; the last one counts.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().rev().find_map(|(name, node)| (name == key).then_some(node))
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Mark(u8),
    Text(String),
    /// A number, or one of the three words.
    Word(String),
}

/// Reads a file and those it includes; `read` fetches a file by its name.
pub(super) fn parse(file: &str, read: &dyn Fn(&str) -> Result<Vec<u8>, String>) -> Result<Node, Unreadable> {
    let mut tokens = Vec::new();
    tokens_of(&At::start_of(file), file, read, 0, &mut tokens)?;
    let last = tokens.last().map_or_else(|| At::start_of(file), |(at, _)| at.clone());
    let mut rest = Rest { tokens: tokens.into_iter().peekable(), last };
    let node = rest.value(0)?;
    match rest.tokens.next() {
        None => Ok(node),
        Some((at, _)) => Err(Unreadable::new(&at, "something stands after the end of the configuration")),
    }
}

fn tokens_of(
    from: &At,
    file: &str,
    read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
    depth: usize,
    tokens: &mut Vec<(At, Token)>,
) -> Result<(), Unreadable> {
    if depth > DEEPEST_INCLUDE {
        return Err(Unreadable::new(from, "files include each other more than ten deep"));
    }
    let octets = read(file).map_err(|why| Unreadable::new(from, format!("can't read {file}: {why}")))?;
    let mut at = At::start_of(file);
    let mut rest = octets.as_slice();
    while let Some((first, after)) = rest.split_first() {
        if tokens.len() > MOST_TOKENS {
            return Err(Unreadable::new(&at, "the configuration is too long"));
        }
        match (*first, after.first()) {
            (b'\n', _) => {
                at.line = at.line.saturating_add(1);
                rest = after;
            }
            (b' ' | b'\t' | b'\r', _) => rest = after,
            (b'#', _) | (b'/', Some(b'/')) => rest = from_line_end(rest),
            (b'/', Some(b'*')) => {
                let Some((comment, beyond)) = split_at_end(after, b"*/") else {
                    return Err(Unreadable::new(&at, "this comment doesn't end"));
                };
                at.line = at.line.saturating_add(line_ends(comment));
                rest = beyond;
            }
            (b'<', Some(b'?')) => {
                let Some((inside, beyond)) = split_at_end(after, b"?>") else {
                    return Err(Unreadable::new(&at, "this <? has no ?>"));
                };
                let inside = String::from_utf8_lossy(inside);
                let name = inside.trim_start_matches('?').trim().strip_prefix("include").map(str::trim);
                let name = name.and_then(|name| name.strip_prefix('"')?.strip_suffix('"'));
                let Some(name) = name else {
                    return Err(Unreadable::new(&at, "expected <?include \"FILE\"?>"));
                };
                tokens_of(&at, &beside(file, name), read, depth.saturating_add(1), tokens)?;
                rest = beyond;
            }
            (b'"', _) => {
                let (text, beyond) = text(&at, after)?;
                tokens.push((at.clone(), Token::Text(text)));
                rest = beyond;
            }
            (mark @ (b'{' | b'}' | b'[' | b']' | b',' | b':'), _) => {
                tokens.push((at.clone(), Token::Mark(mark)));
                rest = after;
            }
            (octet, _) if octet.is_ascii_alphanumeric() || b"-.".contains(&octet) => {
                let is_word = |o: &u8| o.is_ascii_alphanumeric() || b"+-._".contains(o);
                let end = rest.iter().position(|o| !is_word(o)).unwrap_or(rest.len());
                let (word, beyond) = rest.split_at_checked(end).unwrap_or((rest, &[]));
                tokens.push((at.clone(), Token::Word(String::from_utf8_lossy(word).into_owned())));
                rest = beyond;
            }
            (octet, _) => {
                let what = format!("'{}' has no place in JSON", octet.escape_ascii());
                return Err(Unreadable::new(&at, what));
            }
        }
    }
    Ok(())
}

/// The name of an included file: one without a directory of its own is as seen from where the server is started, most
/// often the directory of the file that includes it.
fn beside(file: &str, name: &str) -> String {
    if Path::new(name).is_absolute() {
        return name.to_owned();
    }
    Path::new(file).parent().map_or_else(|| name.to_owned(), |dir| dir.join(name).display().to_string())
}

fn from_line_end(rest: &[u8]) -> &[u8] {
    let end = rest.iter().position(|octet| *octet == b'\n').unwrap_or(rest.len());
    rest.get(end..).unwrap_or_default()
}

fn split_at_end<'t>(rest: &'t [u8], end: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    // What opens has a second octet that may not be the first of what closes.
    let found = rest.windows(end.len()).skip(1).position(|window| window == end)?.checked_add(1)?;
    Some((rest.get(..found)?, rest.get(found.checked_add(end.len())?..)?))
}

fn line_ends(text: &[u8]) -> usize {
    text.iter().filter(|octet| **octet == b'\n').count()
}

/// A text after its opening quote, and the rest after its closing one.
fn text<'t>(at: &At, rest: &'t [u8]) -> Result<(String, &'t [u8]), Unreadable> {
    let mut octets = Vec::new();
    let mut rest = rest.iter();
    loop {
        match rest.next() {
            Some(b'"') => break,
            None | Some(b'\n') => return Err(Unreadable::new(at, "this text has no closing quote")),
            Some(b'\\') => {
                let escaped = match rest.next() {
                    Some(b'n') => '\n',
                    Some(b't') => '\t',
                    Some(b'r') => '\r',
                    Some(b'b') => '\u{8}',
                    Some(b'f') => '\u{c}',
                    Some(c @ (b'"' | b'\\' | b'/')) => char::from(*c),
                    Some(b'u') => {
                        let digits: String = rest.by_ref().take(4).map(|o| char::from(*o)).collect();
                        let code = u32::from_str_radix(&digits, 16).ok();
                        code.and_then(char::from_u32)
                            .ok_or_else(|| Unreadable::new(at, "\\u stands before four digits"))?
                    }
                    _ => return Err(Unreadable::new(at, "unknown escape in this text")),
                };
                octets.extend(escaped.encode_utf8(&mut [0; 4]).bytes());
            }
            Some(octet) => octets.push(*octet),
        }
    }
    let text = String::from_utf8(octets).map_err(|_| Unreadable::new(at, "this text is not UTF-8"))?;
    Ok((text, rest.as_slice()))
}

struct Rest {
    tokens: std::iter::Peekable<std::vec::IntoIter<(At, Token)>>,
    last: At,
}

impl Rest {
    fn next(&mut self) -> Result<(At, Token), Unreadable> {
        self.tokens.next().ok_or_else(|| Unreadable::new(&self.last, "the configuration ends in the middle"))
    }

    /// Whether this mark comes next; it is taken then.
    fn takes(&mut self, mark: u8) -> bool {
        self.tokens.next_if(|(_, token)| *token == Token::Mark(mark)).is_some()
    }

    fn value(&mut self, depth: usize) -> Result<Node, Unreadable> {
        let (at, token) = self.next()?;
        if depth > DEEPEST {
            return Err(Unreadable::new(&at, "values lie too deep in each other"));
        }
        let deeper = depth.saturating_add(1);
        let value = match token {
            Token::Text(text) => Json::Text(text),
            Token::Word(word) => match word.as_str() {
                "null" => Json::Null,
                "true" => Json::Bool(true),
                "false" => Json::Bool(false),
                _ if word.parse::<f64>().is_ok_and(f64::is_finite) => Json::Number(word),
                _ => return Err(Unreadable::new(&at, format!("{word} is no value"))),
            },
            Token::Mark(b'[') => {
                let mut list = Vec::new();
                while !self.takes(b']') {
                    list.push(self.value(deeper)?);
                    self.between(b']')?;
                }
                Json::List(list)
            }
            Token::Mark(b'{') => {
                let mut map = Vec::new();
                while !self.takes(b'}') {
                    let (at, token) = self.next()?;
                    let Token::Text(key) = token else {
                        return Err(Unreadable::new(&at, "expected a key in quotes"));
                    };
                    if !self.takes(b':') {
                        return Err(Unreadable::new(&at, format!("no colon follows \"{key}\"")));
                    }
                    let node = self.value(deeper)?;
                    // The line of the key is where an operator looks.
                    map.push((key, Node { at, ..node }));
                    self.between(b'}')?;
                }
                Json::Map(map)
            }
            Token::Mark(mark) => {
                return Err(Unreadable::new(
                    &at,
                    format!("'{}' stands where a value should", char::from(mark)),
                ));
            }
        };
        Ok(Node { at, value })
    }

    /// Commas, or the end that is not taken.
    fn between(&mut self, end: u8) -> Result<(), Unreadable> {
        if self.takes(b',') {
            while self.takes(b',') {}
            return Ok(());
        }
        match self.tokens.peek() {
            Some((_, Token::Mark(mark))) if *mark == end => Ok(()),
            Some((at, _)) => Err(Unreadable::new(at, "a comma is missing before this")),
            None => self.next().map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Node, Unreadable> {
        parse("a.conf", &|name| match name {
            "a.conf" => Ok(text.as_bytes().to_vec()),
            "more" => Ok(b"\"b\": [7, 8,], // more\n".to_vec()),
            "loop" => Ok(b"<?include \"loop\"?>".to_vec()),
            _ => Err("not there".to_owned()),
        })
    }

    #[test]
    fn comments_includes_and_commas_too_many_are_taken() {
        let text = "{ # one\n \"a\": \"x\\\"\\u0041\", /* two\n lines */ <?include \"more\"?>\n\"c\": {},}";
        let node = read(text).unwrap();
        assert_eq!(node.get("a").unwrap().text(), Some("x\"A"));
        assert_eq!(node.get("b").unwrap().list().len(), 2);
        assert_eq!(node.get("b").unwrap().at.to_string(), "more:1");
        assert_eq!(node.get("c").unwrap().at.to_string(), "a.conf:4");
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_line() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "{",
            "{\n\"a\" 1}",
            "[1 2]",
            "\"\n\"",
            "{}{}",
            "/*",
            "<?include \"loop\"?>",
            "\0",
            "[1e999]",
            &deep,
        ] {
            assert!(!read(text).unwrap_err().what.is_empty(), "{text:.20}");
        }
        assert_eq!(read("{\n\"a\" 1}").unwrap_err().at.line, 2);
    }
}
