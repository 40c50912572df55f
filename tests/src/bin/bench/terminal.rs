//! The report as text.

use crate::report::{Report, Section, Standing, Table};

pub(crate) fn print(section: &Section) {
    println!("\n{}\n", section.title);
    for figure in &section.figures {
        let goal = figure.goal.zip(figure.standing()).map_or_else(String::new, |(goal, standing)| {
            let must = figure.unit.shown(goal.must);
            let aim = goal.aim.map_or_else(String::new, |aim| format!(", aim {}", figure.unit.shown(aim)));
            format!("must {must}{aim}: {}", standing.words())
        });
        println!("  {:<76}{:>12}   {goal}", figure.what, figure.unit.shown(figure.value));
    }
    section.tables.iter().for_each(print_table);
    for remark in &section.remarks {
        println!("  {remark}");
    }
    if let Some(failure) = &section.failure {
        println!("  FAILED: {failure}");
    }
}

fn print_table(table: &Table) {
    let rows: Vec<Vec<String>> =
        table.rows.iter().map(|row| row.iter().map(crate::report::Cell::shown).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([table.columns[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..table.columns.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(
                |(at, (cell, width))| {
                    if at == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        println!("  {}", padded.join("   ").trim_end());
    };
    println!("\n  {}", table.title);
    line(&table.columns);
    rows.iter().for_each(|row| line(row));
}

/// The goals of the whole run, once more and together.
pub(crate) fn print_goals(report: &Report) {
    if report.goals().next().is_none() {
        return;
    }
    println!("\nGoals\n");
    println!("  {:<76}{:>12}{:>12}", "", "median", "worst");
    for (figure, _) in report.goals() {
        println!(
            "  {:<76}{:>12}{:>12}   {}",
            figure.what,
            figure.unit.shown(figure.value),
            figure.unit.shown(figure.judged()),
            figure.standing().map_or("", Standing::words)
        );
    }
}
