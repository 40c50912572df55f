//! The unit of a number, and its display: three digits, with a prefix where one helps.

use serde::{Deserialize, Serialize};

/// A unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    PerSecond,
    Seconds,
    Bytes,
    BytesPerSecond,
    /// How many times something else.
    Times,
    /// A part of one.
    Share,
    /// Whatever can be counted.
    Count,
}

impl Unit {
    /// A number of this unit as a reader sees it.
    pub(crate) fn shown(self, value: f64) -> String {
        if !value.is_finite() {
            return "–".to_owned();
        }
        match self {
            Self::PerSecond => scaled(value, "/s"),
            Self::Count => scaled(value, "").trim_end().to_owned(),
            Self::Seconds => seconds(value),
            Self::Bytes => bytes(value),
            Self::BytesPerSecond => format!("{}/s", bytes(value)),
            Self::Times => format!("{} ×", digits(value)),
            Self::Share => format!("{} %", digits(value * 100.0)),
        }
    }
}

fn scaled(value: f64, unit: &str) -> String {
    let (divisor, prefix) = match value.abs() {
        size if size >= 1e9 => (1e9, "G"),
        size if size >= 1e6 => (1e6, "M"),
        size if size >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    format!("{} {prefix}{unit}", digits(value / divisor))
}

fn seconds(value: f64) -> String {
    let (factor, unit) = match value.abs() {
        size if size >= 1.0 => (1.0, "s"),
        size if size >= 1e-3 => (1e3, "ms"),
        size if size >= 1e-6 => (1e6, "µs"),
        _ => (1e9, "ns"),
    };
    format!("{} {unit}", digits(value * factor))
}

fn bytes(value: f64) -> String {
    let (divisor, unit) = match value.abs() {
        size if size >= 1e9 => (1e9, "GB"),
        size if size >= 1e6 => (1e6, "MB"),
        size if size >= 1e4 => (1e3, "kB"),
        _ => (1.0, "B"),
    };
    format!("{} {unit}", digits(value / divisor))
}

/// Three digits that count, all those before the point included.
fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_three_digits() {
        assert_eq!(Unit::PerSecond.shown(1_834_567.0), "1.83 M/s");
        assert_eq!(Unit::PerSecond.shown(9_876.0), "9876 /s");
        assert_eq!(Unit::Seconds.shown(0.000_045_3), "45.3 µs");
        assert_eq!(Unit::Bytes.shown(512.0), "512 B");
        assert_eq!(Unit::Times.shown(312.4), "312 ×");
        assert_eq!(Unit::Share.shown(0.004), "0.4 %");
        assert_eq!(Unit::Share.shown(0.6472), "64.7 %");
        assert_eq!(Unit::Share.shown(0.0), "0 %");
        assert_eq!(Unit::Count.shown(1_000_000.0), "1 M");
    }
}
