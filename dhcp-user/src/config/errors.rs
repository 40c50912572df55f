//! The errors of a configuration, with their places.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

/// One thing that is wrong with a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct ConfigError {
    /// The file as the caller named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The fault, and what to do.
    pub message: String,
}

/// A place in the text, in octets.
pub(super) type Span = Range<usize>;

/// The errors found so far in one text.
pub(super) struct Errors<'t> {
    /// Where in the text each file begins, with its name.
    files: Vec<(usize, &'t str)>,
    text: &'t str,
    /// Where each line begins after the first.
    line_starts: Vec<usize>,
    /// Lines whose syntax is broken: their values are a guess.
    broken: RefCell<BTreeSet<usize>>,
    found: RefCell<Vec<ConfigError>>,
    /// How many more were found than are told.
    more: Cell<usize>,
    warned: RefCell<Vec<ConfigError>>,
}

/// After so many errors no more are told: the file is the wrong one.
const MOST: usize = 1000;

impl<'t> Errors<'t> {
    pub(super) fn of(file: &'t str, text: &'t str) -> Self {
        Self::of_files(vec![(0, file)], text)
    }

    /// Of several files whose texts are one behind the other; there is one.
    pub(super) fn of_files(files: Vec<(usize, &'t str)>, text: &'t str) -> Self {
        let line_starts = text.match_indices('\n').map(|(at, _)| at.saturating_add(1)).collect();
        Self {
            files,
            text,
            line_starts,
            broken: RefCell::default(),
            found: RefCell::default(),
            more: Cell::new(0),
            warned: RefCell::default(),
        }
    }

    /// The text is not TOML at `span`. Only the first such error of a line is kept: the others follow from it.
    pub(super) fn syntax(&self, span: &Span, message: &str) {
        if self.broken.borrow_mut().insert(self.line(span)) {
            self.push(span, format!("not valid TOML: {message}"));
        }
    }

    /// Refuses the text at `span`.
    pub(super) fn refuse(&self, span: &Span, message: impl Into<String>) {
        if !self.broken.borrow().contains(&self.line(span)) {
            self.push(span, message.into());
        }
    }

    /// Something is missing in the text at `span`. (Not reported for broken text: it may be there, unread.)
    pub(super) fn missing(&self, span: &Span, message: impl Into<String>) {
        if self.broken.borrow().is_empty() {
            self.push(span, message.into());
        }
    }

    /// The line on which `span` begins, of all the text, from 1.
    fn line(&self, span: &Span) -> usize {
        self.lines_before(span).saturating_add(1)
    }

    /// The file that `span` is in: where it begins, and its name.
    fn file(&self, span: &Span) -> (usize, &'t str) {
        let after = self.files.partition_point(|(begin, _)| *begin <= span.start);
        after.checked_sub(1).and_then(|at| self.files.get(at)).copied().unwrap_or_default()
    }

    /// The directory that names in the file with `span` are relative to.
    pub(super) fn directory(&self, span: &Span) -> &'t Path {
        Path::new(self.file(span).1).parent().unwrap_or(Path::new(""))
    }

    /// Where `earlier` is, for a message about `later`: the line, and the file if it is another one.
    pub(super) fn where_is(&self, earlier: &Span, later: &Span) -> String {
        let there = self.at(earlier, String::new());
        if self.file(earlier) == self.file(later) {
            format!("line {}", there.line)
        } else {
            format!("line {} of {}", there.line, there.file)
        }
    }

    fn lines_before(&self, span: &Span) -> usize {
        self.line_starts.partition_point(|start| *start <= span.start)
    }

    /// Warns of the text at `span`, which is accepted and may be a mistake.
    pub(super) fn warn(&self, span: &Span, message: String) {
        self.warned.borrow_mut().push(self.at(span, message));
    }

    /// The same of a place that was looked up before.
    pub(super) fn warn_at(&self, warning: ConfigError) {
        self.warned.borrow_mut().push(warning);
    }

    /// The warnings, in the order of the text.
    pub(super) fn warnings(&self) -> Vec<ConfigError> {
        let mut warned = self.warned.borrow().clone();
        warned.sort();
        warned.dedup();
        warned
    }

    /// Something that is wrong elsewhere.
    pub(super) fn refuse_at(&self, error: ConfigError) {
        self.keep(|| error);
    }

    fn keep(&self, error: impl FnOnce() -> ConfigError) {
        if self.found.borrow().len() < MOST {
            let error = error();
            self.found.borrow_mut().push(error);
        } else {
            self.more.set(self.more.get().saturating_add(1));
        }
    }

    /// All errors, in the order of the text.
    pub(super) fn into_sorted(self) -> Vec<ConfigError> {
        let mut found = self.found.into_inner();
        let place = |file: &str| self.files.iter().position(|(_, name)| *name == file);
        found.sort_by(|a, b| (place(&a.file), a).cmp(&(place(&b.file), b)));
        found.dedup();
        if let (more @ 1.., Some(last)) = (self.more.get(), found.last_mut()) {
            last.message.push_str(&format!(" (and {more} more errors, which are not told)"));
        }
        found
    }

    fn push(&self, span: &Span, message: String) {
        self.keep(|| self.at(span, message));
    }

    /// A message about the text at `span`.
    pub(super) fn at(&self, span: &Span, message: String) -> ConfigError {
        let starts = self.line_starts.get(..self.lines_before(span)).and_then(<[usize]>::last);
        let before = self.text.get(starts.copied().unwrap_or(0)..span.start).unwrap_or_default();
        let (begin, file) = self.file(span);
        ConfigError {
            file: file.to_owned(),
            line: self.line(span).saturating_sub(self.lines_before(&(begin..begin))),
            column: before.chars().count().saturating_add(1),
            message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_lines_and_characters() {
        let errors = Errors::of("f", "a\nßä = 1\n");
        errors.refuse(&(7..8), "x");
        errors.refuse(&(0..0), "y");
        let found: Vec<_> = errors.into_sorted().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["f:1:1: y", "f:2:4: x"]);
    }

    #[test]
    fn so_many_are_told_and_the_others_counted() {
        let errors = Errors::of("f", "a = 1\n");
        (0..MOST + 5).for_each(|n| errors.refuse(&(0..0), n.to_string()));
        let found = errors.into_sorted();
        assert_eq!(found.len(), MOST);
        assert!(
            found
                .last()
                .is_some_and(|last| last.message.ends_with("(and 5 more errors, which are not told)"))
        );
    }

    #[test]
    fn broken_lines_report_once_and_nothing_is_called_missing() {
        let errors = Errors::of("f", "a = b c\nd = 1\n");
        errors.syntax(&(4..5), "first");
        errors.syntax(&(6..7), "second");
        errors.refuse(&(4..5), "guess");
        errors.missing(&(8..9), "gone");
        errors.refuse(&(8..9), "real");
        let found: Vec<_> = errors.into_sorted().into_iter().map(|e| e.message).collect();
        assert_eq!(found, ["not valid TOML: first", "real"]);
    }
}
