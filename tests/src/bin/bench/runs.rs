//! Several runs as one: medians of everything, and the worst of what has a goal.

use crate::report::{Better, Cell, Figure, Plot, Section, Series, Table};
use crate::statistics::spread;

/// What the runs of each part have found, part by part in the order of the first run.
pub(crate) fn as_one(runs: &[Vec<Section>]) -> Vec<Section> {
    let Some(first) = runs.first() else { return Vec::new() };
    let of = |name: &str| -> Vec<&Section> {
        runs.iter().flatten().filter(|section| section.name == name).collect()
    };
    first.iter().filter_map(|section| part(&of(&section.name))).collect()
}

/// One part; `None` of no run.
fn part(runs: &[&Section]) -> Option<Section> {
    let first = runs.first()?;
    let mut remarks: Vec<String> = Vec::new();
    for remark in runs.iter().flat_map(|run| &run.remarks) {
        if !remarks.contains(remark) {
            remarks.push(remark.clone());
        }
    }
    let mut figures: Vec<Figure> = Vec::new();
    for figure in runs.iter().flat_map(|run| &run.figures) {
        if !figures.iter().any(|known| known.what == figure.what) {
            figures.extend(one_figure(runs, figure));
        }
    }
    Some(Section {
        name: first.name.clone(),
        title: first.title.clone(),
        method: first.method.clone(),
        figures,
        tables: places(runs, |run| &run.tables, one_table),
        plots: places(runs, |run| &run.plots, one_plot),
        remarks,
        failure: runs.iter().find_map(|run| run.failure.clone()),
    })
}

/// A figure's median, and the worst if one way is better. What a run has not found counts as the worst there is.
fn one_figure(runs: &[&Section], figure: &Figure) -> Option<Figure> {
    let found = |run: &&Section| run.figures.iter().find(|one| one.what == figure.what).map(|one| one.value);
    let values: Vec<f64> = runs.iter().map(|run| found(run).unwrap_or(f64::NAN)).collect();
    let measured: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let median = spread(&measured).map_or(f64::NAN, |spread| spread.median);
    let is_whole = measured.len() == values.len();
    let worst = figure.goal.filter(|_| values.len() > 1).map(|goal| match (spread(&measured), goal.better) {
        (Some(spread), Better::Higher) if is_whole => spread.least,
        (Some(spread), Better::Lower) if is_whole => spread.most,
        _ => f64::NAN,
    });
    Some(Figure { value: median, worst, ..figure.clone() })
}

/// What stands at the same place in all runs, as one.
fn places<T>(
    runs: &[&Section],
    of: impl Fn(&Section) -> &Vec<T>,
    one: impl Fn(&[&T]) -> Option<T>,
) -> Vec<T> {
    let most = runs.iter().map(|run| of(run).len()).max().unwrap_or(0);
    (0..most)
        .filter_map(|at| one(&runs.iter().filter_map(|run| of(run).get(at)).collect::<Vec<_>>()))
        .collect()
}

/// A table of medians, cell by cell. It has the rows of the first run: later ones may have fewer.
fn one_table(tables: &[&Table]) -> Option<Table> {
    let first = *tables.first()?;
    let same: Vec<&Table> = tables
        .iter()
        .copied()
        .filter(|table| table.title == first.title && table.columns == first.columns)
        .collect();
    let row = |at: usize, cells: &Vec<Cell>| -> Vec<Cell> {
        let rows: Vec<&Vec<Cell>> = same.iter().filter_map(|table| counterpart(table, first, at)).collect();
        let column = |at: usize| rows.iter().filter_map(move |row| row.get(at));
        (0..cells.len()).map(|at| one_cell(column(at))).collect()
    };
    let rows = first.rows.iter().enumerate().map(|(at, cells)| row(at, cells)).collect();
    Some(Table { title: first.title.clone(), columns: first.columns.clone(), rows })
}

/// The row of a table that is about the same as row `at` of another: that many of its name come before it.
fn counterpart<'a>(table: &'a Table, other: &Table, at: usize) -> Option<&'a Vec<Cell>> {
    let name = |row: &Vec<Cell>| row.first().map(Cell::shown);
    let wanted = name(other.rows.get(at)?);
    let before = other.rows.iter().take(at).filter(|row| name(row) == wanted).count();
    table.rows.iter().filter(|row| name(row) == wanted).nth(before)
}

/// The median of numbers; else what was said first.
fn one_cell<'a>(cells: impl Iterator<Item = &'a Cell>) -> Cell {
    let said: Vec<&Cell> = cells.filter(|cell| !matches!(cell, Cell::Nothing)).collect();
    let numbers: Vec<f64> = said
        .iter()
        .filter_map(|cell| if let Cell::Number { value, .. } = cell { Some(*value) } else { None })
        .collect();
    match (said.first(), spread(&numbers)) {
        (Some(Cell::Number { unit, .. }), Some(spread)) => Cell::number(spread.median, *unit),
        (Some(cell), _) => (*cell).clone(),
        (None, _) => Cell::Nothing,
    }
}

/// The series of the first run, each as medians of the runs that have it with points at the same places.
fn one_plot(plots: &[&Plot]) -> Option<Plot> {
    let first = *plots.first()?;
    let places = |series: &Series| -> Vec<f64> { series.points.iter().map(|point| point.0).collect() };
    let one = |series: &Series| -> Series {
        let all = plots.iter().filter(|plot| plot.title == first.title).flat_map(|plot| &plot.series);
        let same: Vec<&Series> =
            all.filter(|other| other.name == series.name && places(other) == places(series)).collect();
        let height = |at: usize| {
            let heights: Vec<f64> = same.iter().filter_map(|series| Some(series.points.get(at)?.1)).collect();
            spread(&heights).map(|spread| spread.median)
        };
        let points = series.points.iter().enumerate();
        let points = points.filter_map(|(at, point)| Some((point.0, height(at)?))).collect();
        Series { points, ..series.clone() }
    };
    let mut plot = Plot { series: first.series.iter().map(one).collect(), ..first.clone() };
    plot.compare();
    Some(plot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Goal, Standing};
    use crate::unit::Unit;

    fn run(share: Option<f64>) -> Section {
        let mut section = Section::new("renew", "Renewals", "");
        if let Some(share) = share {
            section.goal("share", share, Unit::Share, Goal::at_least(0.5, 0.9));
        }
        section.remark("said by all");
        let row = vec![Cell::text("leases"), Cell::number(share.unwrap_or(f64::NAN), Unit::Share)];
        section.tables.push(Table::new("", &["What", "Share"], [row]));
        section
    }

    fn of(shares: &[Option<f64>]) -> Section {
        let runs: Vec<Vec<Section>> = shares.iter().map(|share| vec![run(*share)]).collect();
        let mut all = as_one(&runs);
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    #[test]
    fn of_several_runs_the_median_is_shown_and_the_worst_is_judged() {
        let section = of(&[Some(0.95), Some(0.6), Some(0.7)]);
        let figure = &section.figures[0];
        assert_eq!((figure.value, figure.worst), (0.7, Some(0.6)));
        assert_eq!(figure.standing(), Some(Standing::Must));
        assert_eq!(section.remarks, ["said by all"]);
        assert_eq!(section.tables[0].rows[0][1].shown(), "70 %");
        assert_eq!(
            of(&[Some(0.95), Some(0.4), Some(0.7)]).figures[0].standing(),
            Some(Standing::InTheMedian)
        );
        assert_eq!(of(&[Some(0.95), Some(0.4), Some(0.3)]).figures[0].standing(), Some(Standing::Missed));
    }

    #[test]
    fn what_one_run_could_not_measure_is_not_reached() {
        let section = of(&[Some(0.95), None, Some(0.93)]);
        let figure = &section.figures[0];
        assert!(figure.worst.is_some_and(f64::is_nan), "{figure:?}");
        assert_eq!(figure.standing(), Some(Standing::InTheMedian));
    }

    #[test]
    fn one_run_is_its_own_worst() {
        let section = of(&[Some(0.95)]);
        assert_eq!((section.figures[0].value, section.figures[0].worst), (0.95, None));
        assert_eq!(section.figures[0].standing(), Some(Standing::Aim));
    }
}
