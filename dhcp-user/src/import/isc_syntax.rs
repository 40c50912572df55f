//! The syntax of ISC dhcpd's configuration: statements of words, some with a body in braces.

use std::path::Path;

use super::leases::octets;
use super::origin::{At, Unreadable};

/// How deep bodies and includes may be inside of each other.
const DEEPEST: usize = 32;

/// Words up to a semicolon, or up to a body.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) at: At,
    pub(super) words: Vec<Word>,
    pub(super) body: Option<Vec<Statement>>,
}

/// A word, a mark, or a text in quotes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) quoted: bool,
}

impl Word {
    /// The octets that it stands for: a text's own, or those in hexadecimal with colons between.
    pub(super) fn octets(&self) -> Option<Vec<u8>> {
        if self.quoted { Some(self.text.as_bytes().to_vec()) } else { octets(&self.text) }
    }
}

impl Statement {
    /// Its words, a text in quotes without them.
    pub(super) fn texts(&self) -> Vec<&str> {
        self.words.iter().map(|word| word.text.as_str()).collect()
    }

    /// As it is written, in one line, without its body.
    pub(super) fn shown(&self) -> String {
        let words: Vec<String> = self.words.iter().map(shown).collect();
        words.join(" ").replace(" ,", ",")
    }

    pub(super) fn body(&self) -> &[Self] {
        self.body.as_deref().unwrap_or_default()
    }
}

fn shown(word: &Word) -> String {
    if word.quoted { format!("\"{}\"", word.text) } else { word.text.clone() }
}

/// Reads a file and those that it includes.
pub(super) fn parse(
    file: &str,
    read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
) -> Result<Vec<Statement>, Unreadable> {
    included(&At::start_of(file), file, read, 0)
}

fn included(
    from: &At,
    file: &str,
    read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
    depth: usize,
) -> Result<Vec<Statement>, Unreadable> {
    if depth > DEEPEST {
        return Err(Unreadable::new(from, "files include each other too deep, or in a circle"));
    }
    // The server takes a relative name from where it was started: here, that or the file beside.
    let beside = Path::new(&*from.file).with_file_name(file).display().to_string();
    let (file, octets) = match (read(file), depth) {
        (Ok(octets), _) => (file.to_owned(), octets),
        (Err(what), 0) => return Err(Unreadable::new(from, format!("can't read {file}: {what}"))),
        (Err(what), _) => {
            let octets = read(&beside);
            (beside, octets.map_err(|_| Unreadable::new(from, format!("can't read {file}: {what}")))?)
        }
    };
    let tokens = tokens(&file, &String::from_utf8_lossy(&octets))?;
    let mut rest = tokens.as_slice();
    let statements = statements(&mut rest, 0)?;
    if let Some((at, _)) = rest.first() {
        return Err(Unreadable::new(at, "this brace closes nothing"));
    }
    let mut all = Vec::new();
    for statement in statements {
        match &statement.words[..] {
            [word, name] if word.text == "include" && statement.body.is_none() => {
                all.extend(included(&statement.at, &name.text, read, depth.saturating_add(1))?);
            }
            _ => all.push(with_includes(statement, read, depth)?),
        }
    }
    Ok(all)
}

/// The same with included files in its body.
fn with_includes(
    mut statement: Statement,
    read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
    depth: usize,
) -> Result<Statement, Unreadable> {
    let Some(body) = statement.body.take() else { return Ok(statement) };
    let mut all = Vec::new();
    for inner in body {
        match &inner.words[..] {
            [word, name] if word.text == "include" && inner.body.is_none() => {
                all.extend(included(&inner.at, &name.text, read, depth.saturating_add(1))?);
            }
            _ => all.push(with_includes(inner, read, depth)?),
        }
    }
    statement.body = Some(all);
    Ok(statement)
}

type Tokens<'t> = &'t [(At, Word)];

/// Statements up to a brace that closes, which stays, or to the end.
fn statements(rest: &mut Tokens<'_>, depth: usize) -> Result<Vec<Statement>, Unreadable> {
    let mut all = Vec::new();
    while let Some(((at, word), _)) = rest.split_first() {
        if is_mark(word, "}") {
            break;
        }
        if depth > DEEPEST {
            return Err(Unreadable::new(at, "braces are too deep in each other"));
        }
        if let Some(statement) = statement(rest, depth)? {
            all.push(statement);
        }
    }
    Ok(all)
}

fn statement(rest: &mut Tokens<'_>, depth: usize) -> Result<Option<Statement>, Unreadable> {
    let Some((at, _)) = rest.first().cloned() else { return Ok(None) };
    let mut words: Vec<Word> = Vec::new();
    while let Some(((here, word), after)) = rest.split_first() {
        *rest = after;
        if is_mark(word, ";") {
            return Ok((!words.is_empty()).then_some(Statement { at, words, body: None }));
        }
        if is_mark(word, "}") {
            return Err(Unreadable::new(here, "a semicolon is missing before this brace"));
        }
        // The braces of a definition are part of it: option NAME code N = { TYPE, TYPE };
        let is_definition = words.first().is_some_and(|first| first.text == "option")
            && words.iter().any(|word| is_mark(word, "="));
        if is_mark(word, "{") && !is_definition {
            let body = statements(rest, depth.saturating_add(1))?;
            let Some((_, after)) = rest.split_first() else {
                return Err(Unreadable::new(here, "this brace isn't closed"));
            };
            *rest = after;
            return Ok(Some(Statement { at, words, body: Some(body) }));
        }
        words.push(word.clone());
        if is_mark(word, "{") {
            while let Some(((_, word), after)) = rest.split_first() {
                *rest = after;
                words.push(word.clone());
                if is_mark(word, "}") {
                    break;
                }
            }
        }
    }
    Err(Unreadable::new(&at, "this statement doesn't end: a semicolon is missing"))
}

fn is_mark(word: &Word, mark: &str) -> bool {
    !word.quoted && word.text == mark
}

fn tokens(file: &str, text: &str) -> Result<Vec<(At, Word)>, Unreadable> {
    let mut at = At::start_of(file);
    let (mut tokens, mut chars) = (Vec::new(), text.chars().peekable());
    while let Some(c) = chars.next() {
        let here = at.clone();
        match c {
            '\n' => at.line = at.line.saturating_add(1),
            c if c.is_whitespace() => {}
            '#' => while chars.next_if(|c| *c != '\n').is_some() {},
            '"' => {
                let text = quoted(&mut chars, &mut at).ok_or_else(|| {
                    Unreadable::new(&here, "the text that begins here has no quote at its end")
                })?;
                tokens.push((here, Word { text, quoted: true }));
            }
            '{' | '}' | ';' | ',' | '(' | ')' | '=' => {
                tokens.push((here, Word { text: c.to_string(), quoted: false }));
            }
            c => {
                let mut text = String::from(c);
                while let Some(c) = chars.next_if(|c| !c.is_whitespace() && !"{};,()=\"#".contains(*c)) {
                    text.push(c);
                }
                // `!=` and `~=` are each one mark.
                if matches!(text.as_str(), "!" | "~") && chars.next_if_eq(&'=').is_some() {
                    text.push('=');
                }
                tokens.push((here, Word { text, quoted: false }));
            }
        }
    }
    Ok(tokens)
}

/// The text up to the closing quote.
fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, at: &mut At) -> Option<String> {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Some(text),
            '\n' => {
                at.line = at.line.saturating_add(1);
                text.push(c);
            }
            '\\' => text.push(match chars.next()? {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                'b' => '\u{8}',
                'x' => digits(chars, 16, 2, 0)?,
                digit @ '0'..='7' => digits(chars, 8, 2, digit.to_digit(8)?)?,
                other => other,
            }),
            c => text.push(c),
        }
    }
    None
}

/// The character whose number's digits follow, `most` of them; `begun` is what was read of it.
fn digits(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    base: u32,
    most: usize,
    begun: u32,
) -> Option<char> {
    let mut number = begun;
    for _ in 0..most {
        let Some(digit) = chars.peek().and_then(|c| c.to_digit(base)) else { break };
        chars.next();
        number = number.saturating_mul(base).saturating_add(digit);
    }
    char::from_u32(number & 0xff)
}
