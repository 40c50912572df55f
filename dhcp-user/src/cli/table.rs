//! Aligned columns.

use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal as _, Write};

use crate::logging::has_colours;

/// Blanks between columns.
const BETWEEN: usize = 2;
/// No column is made narrower.
const NARROWEST: usize = 4;

/// Rows of cells. A column of numbers is aligned to the right, any other to the left.
pub(super) struct Table {
    heads: Vec<&'static str>,
    /// The cells of each row with tabs between: a list of leases may be long.
    rows: Vec<String>,
    columns: Vec<Column>,
}

struct Column {
    width: usize,
    numeric: bool,
}

impl Table {
    /// A table under these heads.
    pub(super) fn with_heads(heads: &[&'static str]) -> Self {
        let heads = heads.to_vec();
        let columns = heads.iter().map(|head| Column { width: head.len(), numeric: true }).collect();
        Self { heads, rows: Vec::new(), columns }
    }

    /// Names and values, without heads.
    pub(super) fn of_pairs() -> Self {
        let columns = (0..2).map(|_| Column { width: 0, numeric: true }).collect();
        Self { heads: Vec::new(), rows: Vec::new(), columns }
    }

    /// Adds a row, as wide as the table.
    pub(super) fn row<const N: usize>(&mut self, cells: [&dyn Display; N]) {
        self.row_of(cells.iter().map(ToString::to_string));
    }

    /// The same, of as many cells as the table has columns.
    pub(super) fn row_of(&mut self, cells: impl Iterator<Item = String>) {
        let mut row = String::new();
        for (i, (cell, column)) in cells.zip(&mut self.columns).enumerate() {
            let cell = printable(&cell);
            column.width = column.width.max(cell.chars().count());
            column.numeric &= cell.bytes().all(|c| c.is_ascii_digit());
            if i > 0 {
                row.push('\t');
            }
            row.push_str(&cell);
        }
        self.rows.push(row);
    }

    /// Takes so much of the column at `at` that a line has at most `width` columns, as far as that goes.
    pub(super) fn fit(&mut self, at: usize, width: usize) {
        let needed: usize = self.columns.iter().map(|column| column.width + BETWEEN).sum();
        let excess = needed.saturating_sub(BETWEEN).saturating_sub(width);
        if let Some(column) = self.columns.get_mut(at) {
            column.width = column.width.saturating_sub(excess).max(NARROWEST.min(column.width));
        }
    }

    /// Writes it; on a terminal with its heads in bold, and the column of states at `state` in the colours that they have.
    pub(super) fn write(&self, to: &mut impl Write, state: Option<usize>) -> io::Result<()> {
        let colours = has_colours(io::stdout().is_terminal());
        if !self.heads.is_empty() {
            let line = self.line(self.heads.iter().copied(), None);
            if colours { writeln!(to, "\u{1b}[1m{line}\u{1b}[0m")? } else { writeln!(to, "{line}")? }
        }
        let state = state.filter(|_| colours);
        self.rows.iter().try_for_each(|row| writeln!(to, "{}", self.line(row.split('\t'), state)))
    }

    fn line<'c>(&self, cells: impl Iterator<Item = &'c str>, state: Option<usize>) -> String {
        let mut line = String::new();
        for (i, (cell, Column { width, numeric })) in cells.zip(&self.columns).enumerate() {
            let cut: String;
            let cell = if cell.chars().count() > *width {
                cut = cell.chars().take(width.saturating_sub(1)).chain(['…']).collect();
                &cut
            } else {
                cell
            };
            let colour = colour(cell).filter(|_| state == Some(i));
            let (on, off) = colour.map_or(("", ""), |colour| (colour, "\u{1b}[0m"));
            // Writing to a string can't fail.
            let _ = if *numeric {
                write!(line, "{on}{cell:>width$}{off}  ")
            } else {
                write!(line, "{on}{cell:<width$}{off}  ")
            };
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// The colour of a state.
fn colour(state: &str) -> Option<&'static str> {
    match state {
        "leased" => Some("\u{1b}[32m"),
        "grace" => Some("\u{1b}[33m"),
        _ => None,
    }
}

/// Text without control characters: much of it was sent by clients, and a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(table: &Table) -> String {
        let mut text = Vec::new();
        table.write(&mut text, None).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn columns_are_aligned_and_numbers_to_the_right() {
        let mut table = Table::with_heads(&["NAME", "COUNT", "MORE"]);
        table.row([&"ä", &5, &""]);
        table.row([&"longer", &12_345_678, &"x"]);
        assert_eq!(written(&table), "NAME       COUNT  MORE\nä              5\nlonger  12345678  x\n");
    }

    #[test]
    fn a_column_gives_way_where_a_line_has_no_room() {
        let mut table = Table::with_heads(&["HOST", "STATE"]);
        table.row([&"a-rather-long-name", &"leased"]);
        table.fit(0, 16);
        assert_eq!(written(&table), "HOST      STATE\na-rathe…  leased\n");
        table.fit(0, 3);
        assert_eq!(written(&table), "HOST  STATE\na-r…  leased\n");
    }

    #[test]
    fn what_clients_send_does_not_reach_the_terminal_raw() {
        let mut table = Table::of_pairs();
        table.row([&"host-name", &"\u{1b}[2J\t\u{9b}x"]);
        assert_eq!(written(&table), "host-name  \\u{1b}[2J\\t\\u{9b}x\n");
    }
}
