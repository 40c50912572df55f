//! The steps of the deciding thread, and the time in each: whether a pause was its own.

use anyhow::{Context, Result, ensure};
use system_tests::http;
use system_tests::topology::Lan;

use crate::report::{Cell, Table};
use crate::site::METRICS;
use crate::unit::Unit;

const FAMILY: &str = "xdhcpd_stages_total{stage=\"";

/// The counts of the server on this link since it began: a row for each stage.
pub(super) fn of(lan: &Lan) -> Result<Table> {
    let page = http::get(&lan.server, METRICS, "/metrics")?.body;
    let mut columns = vec!["At".to_owned()];
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for line in page.lines().filter_map(|line| line.strip_prefix(FAMILY)) {
        let (stage, most, count) = read(line).with_context(|| format!("the metrics say {line}"))?;
        if !columns.contains(&most) {
            columns.push(most);
        }
        let count = Cell::number(count, Unit::Count);
        match rows.iter_mut().find(|row| row.first().is_some_and(|name| name.shown() == stage)) {
            Some(row) => row.push(count),
            None => rows.push(vec![Cell::text(stage), count]),
        }
    }
    ensure!(!rows.is_empty(), "the server does not tell what it was at");
    rows.retain(|row| row.first().is_some_and(|stage| stage.shown() != "waiting"));
    Ok(Table {
        title: "What the deciding thread was at, and for how long at a time at most".to_owned(),
        columns,
        rows,
    })
}

/// Stage, bound and count of the rest of a line.
fn read(line: &str) -> Option<(String, String, f64)> {
    let (stage, rest) = line.split_once("\",at_most=\"")?;
    let (most, count) = rest.split_once("\"} ")?;
    Some((stage.to_owned(), most.to_owned(), count.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_line_says_stage_bound_and_count() {
        let line = "deciding\",at_most=\"0.1 ms\"} 42";
        assert_eq!(read(line), Some(("deciding".to_owned(), "0.1 ms".to_owned(), 42.0)));
        assert_eq!(read("deciding"), None);
    }
}
