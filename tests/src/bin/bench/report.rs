//! The results: numbers with their units and aims, tables and plots, in a form that the terminal, JSON and the page
//! share.

use serde::{Deserialize, Deserializer, Serialize};

use crate::conditions::Conditions;
use crate::unit::Unit;

/// All of a run.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Report {
    pub(crate) conditions: Conditions,
    pub(crate) sections: Vec<Section>,
}

/// A part's findings.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Section {
    /// Its name on the command line.
    pub(crate) name: String,
    pub(crate) title: String,
    /// What was done, in a sentence or two.
    pub(crate) method: String,
    pub(crate) figures: Vec<Figure>,
    pub(crate) tables: Vec<Table>,
    pub(crate) plots: Vec<Plot>,
    /// What was left out and why, and what else a reader must know.
    pub(crate) remarks: Vec<String>,
    /// What was wrong: then the whole run has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
}

/// One number.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Figure {
    pub(crate) what: String,
    /// Not a number if there was nothing to take it from.
    #[serde(deserialize_with = "number")]
    pub(crate) value: f64,
    /// Of several runs, of which `value` is the median, the worst; not a number if one has not found it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_number")]
    pub(crate) worst: Option<f64>,
    pub(crate) unit: Unit,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) goal: Option<Goal>,
}

/// What a number should be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Goal {
    pub(crate) better: Better,
    pub(crate) must: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) aim: Option<f64>,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// How a number stands to its goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Aim,
    Must,
    /// The median of several runs reaches what must be, and the worst does not.
    InTheMedian,
    Missed,
}

/// Numbers side by side.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(title: &str, columns: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>) -> Self {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        Self { title: title.to_owned(), columns, rows: rows.into_iter().collect() }
    }
}

/// A table's cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", untagged)]
pub(crate) enum Cell {
    Text(String),
    Number { value: f64, unit: Unit },
    Nothing,
}

/// A picture of numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) kind: Kind,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
}

/// How points are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Lines,
    /// One horizontal bar for each series, as long as its only point's y.
    Bars,
}

/// An axis.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Axis {
    pub(crate) label: String,
    pub(crate) unit: Unit,
    pub(crate) logarithmic: bool,
}

/// A line or a bar.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Whose it is, which a bar's colour says; lines have a colour each.
    pub(crate) whose: Whose,
    /// What is said behind a bar's value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) remark: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Whose a line or a bar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Whose {
    /// xdhcpd's.
    Ours,
    Others,
    /// Nobody's: what the machine allows.
    Limit,
}

/// JSON has no word for what is not a number.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// The same of what may be missing.
fn some_number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    number(from).map(Some)
}

impl Report {
    /// Every figure that has a goal.
    pub(crate) fn goals(&self) -> impl Iterator<Item = (&Figure, Goal)> {
        self.sections
            .iter()
            .flat_map(|section| &section.figures)
            .filter_map(|figure| Some((figure, figure.goal?)))
    }

    /// Every part in which something was wrong, and what.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&Section, &str)> {
        self.sections.iter().filter_map(|section| Some((section, section.failure.as_deref()?)))
    }
}

impl Section {
    pub(crate) fn new(name: &str, title: &str, method: impl Into<String>) -> Self {
        Self { name: name.to_owned(), title: title.to_owned(), method: method.into(), ..Self::default() }
    }

    pub(crate) fn figure(&mut self, what: impl Into<String>, value: f64, unit: Unit) {
        self.figures.push(Figure { what: what.into(), value, worst: None, unit, goal: None });
    }

    pub(crate) fn goal(&mut self, what: impl Into<String>, value: f64, unit: Unit, goal: Goal) {
        self.figures.push(Figure { what: what.into(), value, worst: None, unit, goal: Some(goal) });
    }

    pub(crate) fn remark(&mut self, remark: impl Into<String>) {
        self.remarks.push(remark.into());
    }
}

impl Figure {
    /// What stands for all runs: the worst of several.
    pub(crate) fn judged(&self) -> f64 {
        self.worst.unwrap_or(self.value)
    }

    /// How it stands to its goal, if it has one.
    pub(crate) fn standing(&self) -> Option<Standing> {
        let goal = self.goal?;
        Some(if goal.aim.is_some_and(|aim| goal.is_reached(aim, self.judged())) {
            Standing::Aim
        } else if goal.is_reached(goal.must, self.judged()) {
            Standing::Must
        } else if goal.is_reached(goal.must, self.value) {
            Standing::InTheMedian
        } else {
            Standing::Missed
        })
    }
}

impl Goal {
    pub(crate) const fn at_least(must: f64, aim: f64) -> Self {
        Self { better: Better::Higher, must, aim: Some(aim) }
    }

    pub(crate) const fn at_most(must: f64, aim: f64) -> Self {
        Self { better: Better::Lower, must, aim: Some(aim) }
    }

    /// No more than that is aimed for.
    pub(crate) const fn must_be_at_least(must: f64) -> Self {
        Self { better: Better::Higher, must, aim: None }
    }

    /// No less than that is aimed for.
    pub(crate) const fn must_be_at_most(must: f64) -> Self {
        Self { better: Better::Lower, must, aim: None }
    }

    fn is_reached(self, goal: f64, value: f64) -> bool {
        match self.better {
            Better::Higher => value >= goal,
            Better::Lower => value <= goal,
        }
    }
}

impl Standing {
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Aim => "aim reached",
            Self::Must => "must reached",
            Self::InTheMedian => "not reached in the worst run",
            Self::Missed => "not reached",
        }
    }
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) const fn number(value: f64, unit: Unit) -> Self {
        if value.is_finite() { Self::Number { value, unit } } else { Self::Nothing }
    }

    /// As a reader sees it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number { value, unit } => unit.shown(*value),
            Self::Nothing => "–".to_owned(),
        }
    }
}

impl Series {
    pub(crate) fn line(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), whose: Whose::Ours, remark: String::new(), points }
    }

    /// A bar.
    pub(crate) fn bar(name: impl Into<String>, whose: Whose, value: f64) -> Self {
        Self { name: name.into(), whose, remark: String::new(), points: vec![(0.0, value)] }
    }
}

impl Plot {
    /// Has each bar of others say how many times as much ours is, and that of what is possible our share of it.
    pub(crate) fn compare(&mut self) {
        let height = |series: &Series| series.points.first().map(|point| point.1);
        let Some(ours) = self.series.iter().find(|series| series.whose == Whose::Ours).and_then(height)
        else {
            return;
        };
        if self.kind != Kind::Bars {
            return;
        }
        for series in &mut self.series {
            let Some(theirs) = height(series) else { continue };
            match series.whose {
                Whose::Ours => {}
                Whose::Others => series.remark = format!("xdhcpd: {}", Unit::Times.shown(ours / theirs)),
                Whose::Limit => series.remark = format!("xdhcpd: {} of it", Unit::Share.shown(ours / theirs)),
            }
        }
    }
}

impl Axis {
    pub(crate) fn linear(label: impl Into<String>, unit: Unit) -> Self {
        Self { label: label.into(), unit, logarithmic: false }
    }

    pub(crate) fn logarithmic(label: impl Into<String>, unit: Unit) -> Self {
        Self { label: label.into(), unit, logarithmic: true }
    }
}
