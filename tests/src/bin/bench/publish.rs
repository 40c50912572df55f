//! Puts what the last run found where readers look first: into the README, with its picture and the whole report beside it.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::conditions::{Conditions, VETH};
use crate::report::{Cell, Report, Section, Standing, Table};
use crate::{page, svg};

/// Between these lines of the README stands what is written here, and nothing else.
const BEGIN: &str = "<!-- measured: `cargo xtask bench publish` writes what stands here -->";
const END: &str = "<!-- measured: end -->";

/// The workspace's own directory.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Where pictures are, from there.
const FIGURES: &str = "tests/figures";

/// Publishes the report in `results`.
///
/// # Errors
/// When there is none, when it failed, or when a file can't be read or written.
pub(crate) fn publish(results: &Path) -> Result<()> {
    let report = read(&results.join("report.json"))?;
    let failed: Vec<&str> = report.failures().map(|(section, _)| section.name.as_str()).collect();
    ensure!(failed.is_empty(), "that run failed ({}): there is nothing to publish", failed.join(", "));
    ensure!(
        report.conditions.link == VETH,
        "that run measured another machine: its report is for whoever has such"
    );
    let figures = Path::new(ROOT).join(FIGURES);
    fs::create_dir_all(&figures).with_context(|| format!("cannot make {}", figures.display()))?;
    let peers = report.sections.iter().find(|section| section.name == "peers");
    if let Some(peers) = peers {
        save(&figures.join("servers.svg"), &svg::picture(&peers.plots, &report.conditions.in_short()))?;
    }
    save(&figures.join("report.html"), &page::write(&report))?;
    let readme = Path::new(ROOT).join("README.md");
    let text = fs::read_to_string(&readme).with_context(|| format!("cannot read {}", readme.display()))?;
    save(&readme, &replaced(&text, &findings(&report, peers))?)
}

/// The report that a run has left.
fn read(path: &Path) -> Result<Report> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read {}: `cargo xtask bench` writes it", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is of another version", path.display()))
}

fn save(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

/// `text` with something else between the two lines.
fn replaced(text: &str, findings: &str) -> Result<String> {
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("README.md has no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("README.md has no line {END}"))?;
    Ok(format!("{before}{BEGIN}\n\n{findings}\n{END}{after}"))
}

/// The picture, the servers side by side, and every goal.
fn findings(report: &Report, peers: Option<&Section>) -> String {
    let mut text = String::new();
    if let Some(peers) = peers {
        let _ = writeln!(
            text,
            "![Renewals and new leases per second, beside other servers]({FIGURES}/servers.svg)\n"
        );
        peers.tables.iter().take(1).for_each(|table| write_table(&mut text, table));
    }
    write_table(&mut text, &goals(report));
    let Conditions { command, .. } = &report.conditions;
    let _ = writeln!(text, "{}\n", about(&report.conditions));
    let _ = writeln!(
        text,
        "`{command}`, {}. The [whole report]({FIGURES}/report.html) has the conditions, the settings of every server, and the plots.",
        report.conditions.in_short()
    );
    text
}

/// What holds for all the figures.
fn about(conditions: &Conditions) -> String {
    let Conditions { clients, settings, runs, .. } = conditions;
    let runs = match runs {
        1 => "One run.".to_owned(),
        _ => format!(
            "Medians of {runs} runs; what has a goal is judged by its worst run, and what is not reached is said to be."
        ),
    };
    format!("Clients: {clients}. Settings: {settings}. {runs}")
}

fn goals(report: &Report) -> Table {
    let has_worst = report.conditions.runs > 1;
    let rows = report.goals().map(|(figure, goal)| {
        let number = |value| Cell::number(value, figure.unit);
        let aim = goal.aim.map_or_else(|| Cell::text(""), number);
        let standing = Cell::text(figure.standing().map_or("", Standing::words));
        let worst = has_worst.then(|| number(figure.judged()));
        let front = [Cell::text(&figure.what), number(figure.value)];
        front.into_iter().chain(worst).chain([number(goal.must), aim, standing]).collect()
    });
    let front = if has_worst { &["What", "Median", "Worst run"][..] } else { &["What", "Measured"] };
    let columns: Vec<&str> = front.iter().chain(&["Must", "Aim", ""]).copied().collect();
    Table::new("", &columns, rows)
}

fn write_table(text: &mut String, table: &Table) {
    let mut row = |cells: &mut dyn Iterator<Item = String>| {
        let cells: Vec<String> = cells.map(|cell| cell.replace('|', "\\|")).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    };
    row(&mut table.columns.iter().cloned());
    row(&mut table.columns.iter().map(|_| "---".to_owned()));
    table.rows.iter().for_each(|cells| row(&mut cells.iter().map(Cell::shown)));
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Goal;
    use crate::unit::Unit;

    #[test]
    fn only_what_stands_between_the_lines_is_replaced() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = replaced(&text, "new\n").expect("both lines are there");
        assert_eq!(new, format!("before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"));
        assert_eq!(replaced(&new, "new\n").expect("both lines are there"), new);
        assert!(replaced("nothing\n", "new").is_err());
    }

    fn report(runs: u32, worst: Option<f64>) -> Report {
        let mut section = Section::new("renew", "Renewals", "");
        section.goal("share of the floor's rate", 0.86, Unit::Share, Goal::at_least(0.85, 0.95));
        section.goal("times the disk's fdatasync", 2.0, Unit::Times, Goal::must_be_at_most(2.5));
        section.figures[0].worst = worst;
        let text = String::new;
        let conditions = Conditions {
            date: "2026-11-30 12:00 UTC".to_owned(),
            command: "cargo xtask bench".to_owned(),
            processor: "a processor".to_owned(),
            cpus: 2,
            memory: text(),
            kernel: "6.18".to_owned(),
            disk: text(),
            link: VETH.to_owned(),
            versions: Vec::new(),
            clients: "all are alike".to_owned(),
            settings: "as by default".to_owned(),
            runs,
            load_before: text(),
        };
        Report { conditions, sections: vec![section] }
    }

    #[test]
    fn what_is_not_reached_is_said_to_be() {
        let text = findings(&report(3, Some(0.5)), None);
        assert!(text.contains("| What | Median | Worst run | Must | Aim |  |"), "{text}");
        assert!(text.contains("| 86 % | 50 % | 85 % | 95 % | not reached in the worst run |"), "{text}");
        assert!(text.contains("| 2 × | 2 × | 2.5 × |  | must reached |"), "{text}");
        assert!(
            text.contains("Clients: all are alike. Settings: as by default. Medians of 3 runs"),
            "{text}"
        );
        let text = findings(&report(1, None), None);
        assert!(text.contains("| 86 % | 85 % | 95 % | must reached |"), "{text}");
        assert!(text.contains("One run."), "{text}");
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let written = report(3, Some(f64::NAN));
        let json = serde_json::to_string(&written).expect("a report is written");
        let read: Report = serde_json::from_str(&json).expect("and read");
        let figure = &read.sections[0].figures[0];
        assert!(figure.worst.is_some_and(f64::is_nan), "{figure:?}");
        assert_eq!(read.sections[0].figures[1].worst, None);
        assert_eq!(findings(&read, None), findings(&written, None));
    }

    #[test]
    fn the_readme_has_room_for_what_is_measured() {
        let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).expect("a README");
        assert!(replaced(&readme, "").is_ok());
    }
}
