//! The report as one HTML page that needs nothing else.

use std::fmt::Write;

use crate::report::{Cell, Report, Section, Standing, Table};
use crate::svg::{self, escaped};

const STYLE: &str = "
:root { --ink: #1c2327; --soft: #5c6a72; --line: #dde3e6; --back: #ffffff; --card: #f4f7f8; --good: #2d6a4f; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaec; --soft: #9fadb5; --line: #34414a; --back: #12181c; --card: #1b242a; --good: #74c69d; --bad: #f28b82; }
}
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--back); max-width: 860px; margin: 0 auto; padding: 2rem 1.2rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.35rem; margin: 2.8rem 0 .4rem; padding-top: 1.2rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.6rem 0 .3rem; }
p, li { max-width: 46rem; } .soft { color: var(--soft); }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.4rem 0; }
.card { background: var(--card); border-radius: 6px; padding: .8rem 1rem; flex: 1 1 11rem; }
.card b { display: block; font-size: 1.6rem; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; margin: .6rem 0 1.2rem; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child, td:first-child, td.words, th.words { text-align: left; } th { color: var(--soft); font-weight: 600; }
.scroll { overflow-x: auto; } .good { color: var(--good); } .bad { color: var(--bad); }
svg { width: 100%; height: auto; } svg .grid { stroke: var(--line); } svg .label { fill: var(--soft); font: 12.5px system-ui, sans-serif; } svg .value { fill: var(--ink); }
code { background: var(--card); padding: .1rem .3rem; border-radius: 3px; }
";

/// The page.
pub(crate) fn write(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>xdhcpd under load</title>\
         <style>{STYLE}</style></head><body>\n<h1>xdhcpd under load</h1>\n\
         <p class=\"soft\">Measured with <code>{}</code> on {}. Every reply was checked in the kernel as it came: type, \
         transaction, client, address, lengths, checksums, and that no address was given to two.</p>\n",
        escaped(&report.conditions.command),
        escaped(&report.conditions.date)
    );
    failures(&mut page, report);
    cards(&mut page, report);
    goals(&mut page, report);
    report.sections.iter().for_each(|section| write_section(&mut page, section));
    conditions(&mut page, report);
    page + "</body></html>\n"
}

/// What makes the run worth nothing, before all else.
fn failures(page: &mut String, report: &Report) {
    for (section, why) in report.failures() {
        let _ = writeln!(
            page,
            "<p class=\"bad\"><b>This run has failed.</b> {}: {}</p>",
            escaped(&section.name),
            escaped(why)
        );
    }
}

/// The numbers that a reader came for: ratios first, as they say the same on any machine.
fn cards(page: &mut String, report: &Report) {
    page.push_str("<div class=\"cards\">");
    for (figure, _) in report.goals().take(6) {
        let _ = write!(
            page,
            "<div class=\"card\"><b>{}</b>{}</div>",
            escaped(&figure.unit.shown(figure.value)),
            escaped(&figure.what)
        );
    }
    page.push_str("</div>\n");
}

fn goals(page: &mut String, report: &Report) {
    if report.goals().next().is_none() {
        return;
    }
    page.push_str("<h2>Goals</h2>\n<div class=\"scroll\"><table><tr><th>What</th><th>Median</th><th>Worst</th><th>Must</th><th>Aim</th><th></th></tr>");
    for (figure, goal) in report.goals() {
        let Some(standing) = figure.standing() else { continue };
        let class = if matches!(standing, Standing::Aim | Standing::Must) { "good" } else { "bad" };
        let _ = write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"words {class}\">{}</td></tr>",
            escaped(&figure.what),
            escaped(&figure.unit.shown(figure.value)),
            escaped(&figure.unit.shown(figure.judged())),
            escaped(&figure.unit.shown(goal.must)),
            escaped(&goal.aim.map_or_else(String::new, |aim| figure.unit.shown(aim))),
            standing.words()
        );
    }
    page.push_str("</table></div>\n");
}

fn write_section(page: &mut String, section: &Section) {
    let _ = write!(
        page,
        "<h2 id=\"{}\">{}</h2>\n<p>{}</p>\n",
        section.name,
        escaped(&section.title),
        escaped(&section.method)
    );
    for plot in &section.plots {
        if let Some(drawn) = svg::draw(plot) {
            let _ = write!(page, "<h3>{}</h3>\n{drawn}\n", escaped(&plot.title));
        }
    }
    section.tables.iter().for_each(|table| write_table(page, table));
    // Those with a goal stand in the table of goals.
    let others = section.figures.iter().filter(|figure| figure.goal.is_none());
    let rows: Vec<_> = others
        .map(|figure| vec![Cell::text(&figure.what), Cell::number(figure.value, figure.unit)])
        .collect();
    if !rows.is_empty() {
        let columns = vec!["Besides".to_owned(), "Measured".to_owned()];
        write_table(page, &Table { title: String::new(), columns, rows });
    }
    if !section.remarks.is_empty() {
        page.push_str("<ul>");
        section.remarks.iter().for_each(|remark| {
            let _ = write!(page, "<li>{}</li>", escaped(remark));
        });
        page.push_str("</ul>\n");
    }
}

fn write_table(page: &mut String, table: &Table) {
    if !table.title.is_empty() {
        let _ = writeln!(page, "<h3>{}</h3>", escaped(&table.title));
    }
    page.push_str("<div class=\"scroll\"><table><tr>");
    for (at, column) in table.columns.iter().enumerate() {
        let words = table.rows.first().is_some_and(|row| matches!(row.get(at), Some(Cell::Text(_))));
        let class = if words { " class=\"words\"" } else { "" };
        let _ = write!(page, "<th{class}>{}</th>", escaped(column));
    }
    page.push_str("</tr>");
    for row in &table.rows {
        page.push_str("<tr>");
        for cell in row {
            let class = if matches!(cell, Cell::Text(_)) { " class=\"words\"" } else { "" };
            let _ = write!(page, "<td{class}>{}</td>", escaped(&cell.shown()));
        }
        page.push_str("</tr>");
    }
    page.push_str("</table></div>\n");
}

fn conditions(page: &mut String, report: &Report) {
    page.push_str("<h2>Conditions</h2>\n<div class=\"scroll\"><table>");
    for (name, value) in report.conditions.lines() {
        let _ = write!(page, "<tr><td>{name}</td><td class=\"words\">{}</td></tr>", escaped(&value));
    }
    page.push_str("</table></div>\n");
}
