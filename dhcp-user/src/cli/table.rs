//! Aligned columns.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};

/// Rows of cells. A column of numbers is aligned to the right, any other to the left.
pub(super) struct Table {
    heads: &'static [&'static str],
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
    pub(super) fn with_heads(heads: &'static [&'static str]) -> Self {
        let columns = heads.iter().map(|head| Column { width: head.len(), numeric: true }).collect();
        Self { heads, rows: Vec::new(), columns }
    }

    /// Names and what belongs to them, without heads.
    pub(super) fn of_pairs() -> Self {
        let columns = (0..2).map(|_| Column { width: 0, numeric: true }).collect();
        Self { heads: &[], rows: Vec::new(), columns }
    }

    /// Adds a row, as wide as the table.
    pub(super) fn row<const N: usize>(&mut self, cells: [&dyn Display; N]) {
        let mut row = String::new();
        for (i, (cell, column)) in cells.iter().zip(&mut self.columns).enumerate() {
            let cell = printable(&cell.to_string());
            column.width = column.width.max(cell.chars().count());
            column.numeric &= cell.bytes().all(|c| c.is_ascii_digit());
            if i > 0 {
                row.push('\t');
            }
            row.push_str(&cell);
        }
        self.rows.push(row);
    }

    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        if !self.heads.is_empty() {
            self.write_row(to, self.heads.iter().copied())?;
        }
        self.rows.iter().try_for_each(|row| self.write_row(to, row.split('\t')))
    }

    fn write_row<'c>(&self, to: &mut impl Write, cells: impl Iterator<Item = &'c str>) -> io::Result<()> {
        let mut line = String::new();
        for (cell, Column { width, numeric }) in cells.zip(&self.columns) {
            // Writing to a string can't fail.
            let _ =
                if *numeric { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
        }
        writeln!(to, "{}", line.trim_end())
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
        table.write(&mut text).unwrap();
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
    fn what_clients_send_does_not_reach_the_terminal_raw() {
        let mut table = Table::of_pairs();
        table.row([&"host-name", &"\u{1b}[2J\t\u{9b}x"]);
        assert_eq!(written(&table), "host-name  \\u{1b}[2J\\t\\u{9b}x\n");
    }
}
