//! Pictures of a terminal's screen, for the documents.

use std::fmt::Write as _;
use std::num::NonZeroU16;

use vt100::{Cell, Color, Parser, Screen};

/// The size of a cell, in the picture's own units.
const WIDTH: f32 = 8.4;
const HEIGHT: f32 = 18.0;
const BACKGROUND: &str = "#14181d";
const FOREGROUND: &str = "#d7dce2";
/// The first sixteen colours of a terminal.
const COLOURS: [&str; 16] = [
    "#14181d", "#e0626a", "#7bc47f", "#e3b567", "#6ba7e8", "#b98fe0", "#63c3c9", "#d7dce2", "#7d8793",
    "#ee7f86", "#93d697", "#f0c981", "#8bbcf2", "#cba7ee", "#83d6db", "#ffffff",
];

/// What `written` leaves on a screen of this size, as an SVG: text as text, so that it can be read, searched and scaled.
///
/// # Panics
/// On a screen without columns or rows.
#[must_use]
pub fn svg(written: &str, columns: u16, rows: u16) -> String {
    let size = |number| NonZeroU16::new(number).expect("a screen has columns and rows");
    let mut parser = Parser::new(size(rows), size(columns), 0);
    parser.process(written.as_bytes());
    let screen = parser.screen();
    let (width, height) = (f32::from(columns) * WIDTH + 16.0, f32::from(rows) * HEIGHT + 16.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"monospace\" font-size=\"14\">\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"{BACKGROUND}\"/>\n"
    );
    for row in 0..rows {
        for (start, text, cell) in runs(screen, row, columns) {
            let (x, y) = (f32::from(start) * WIDTH + 8.0, f32::from(row) * HEIGHT + 8.0);
            let length = f32::from(u16::try_from(text.chars().count()).unwrap_or(columns)) * WIDTH;
            let (front, back) = (colour(cell.fgcolor(), FOREGROUND), colour(cell.bgcolor(), BACKGROUND));
            let (front, back) = if cell.inverse() { (back, front) } else { (front, back) };
            if back != BACKGROUND {
                let _ = writeln!(
                    out,
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{length}\" height=\"{HEIGHT}\" fill=\"{back}\"/>"
                );
            }
            if !text.trim().is_empty() {
                let weight = if cell.bold() { " font-weight=\"bold\"" } else { "" };
                let text = text.replace('&', "&amp;").replace('<', "&lt;");
                let y = y + 13.5;
                let _ = writeln!(
                    out,
                    "<text x=\"{x}\" y=\"{y}\" fill=\"{front}\"{weight} xml:space=\"preserve\" textLength=\"{length}\" \
                     lengthAdjust=\"spacingAndGlyphs\">{text}</text>"
                );
            }
        }
    }
    out + "</svg>\n"
}

/// Cells of a row that look alike, side by side: where they begin, what they say, and one of them.
fn runs(screen: &Screen, row: u16, columns: u16) -> Vec<(u16, String, Cell)> {
    let mut runs: Vec<(u16, String, Cell)> = Vec::new();
    for column in 0..columns {
        let Some(cell) = screen.cell(row, column).cloned() else { continue };
        let text = if cell.contents().is_empty() { " ".to_owned() } else { cell.contents().to_string() };
        match runs.last_mut() {
            Some((_, said, like)) if looks_like(like, &cell) => said.push_str(&text),
            _ => runs.push((column, text, cell)),
        }
    }
    runs
}

fn looks_like(one: &Cell, other: &Cell) -> bool {
    let look = |cell: &Cell| (cell.fgcolor(), cell.bgcolor(), cell.bold(), cell.inverse());
    look(one) == look(other)
}

fn colour(colour: Color, otherwise: &str) -> String {
    match colour {
        Color::Default => otherwise.to_owned(),
        Color::Idx(number) => {
            COLOURS.get(usize::from(number)).map_or_else(|| otherwise.to_owned(), ToString::to_string)
        }
        Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_on_the_screen_stands_in_the_picture() {
        let picture = svg("plain \x1b[1;32m<green>\x1b[0m\r\n\x1b[44mblue\x1b[0m", 20, 2);
        for part in
            [">plain <", "fill=\"#7bc47f\" font-weight=\"bold\"", "&lt;green>", "fill=\"#6ba7e8\"", ">blue<"]
        {
            assert!(picture.contains(part), "{part}: {picture}");
        }
    }
}
