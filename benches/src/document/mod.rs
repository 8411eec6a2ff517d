//! What measurements produce: sections of plots and tables, which are printed as text, as JSON or as a page.

mod figures;
mod text;

pub use figures::{duration, entries, ratio};

use crate::{environment::Environment, measure::Summary};
use serde::{Deserialize, Serialize};

/// Everything that one run of the program produced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Where, when and with what it was measured.
    pub environment: Environment,
    /// What was measured.
    pub sections: Vec<Section>,
    /// What could not be measured, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
}

/// Something that could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What it was.
    pub name: String,
    /// Why not.
    pub reason: String,
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// By what name it is asked for.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// What is measured and how to read it. Blank lines separate paragraphs, backquotes surround code.
    pub about: String,
    /// What to type to measure it again.
    pub command: String,
    /// What else a reader should know of this run.
    pub notes: Vec<String>,
    /// The pictures.
    pub plots: Vec<Plot>,
    /// The figures.
    pub tables: Vec<Table>,
}

/// Figures in rows and columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// The names of the columns.
    pub columns: Vec<String>,
    /// As many cells per row as there are columns.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub fn new<C: Into<String>>(title: impl Into<String>, columns: impl IntoIterator<Item = C>) -> Self {
        Self { title: title.into(), columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether a column holds figures, which are aligned by their last digit, and no words.
    pub fn is_numeric(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().filter_map(|row| row.get(column)).peekable();
        cells.peek().is_some() && cells.all(|cell| !matches!(cell, Cell::Text(_)))
    }
}

/// One cell of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    /// Words.
    Text(String),
    /// A figure that is exact, or was taken once.
    Figure {
        /// The figure.
        value: f64,
        /// What it counts.
        unit: Unit,
    },
    /// A figure that was measured in several rounds.
    Spread {
        /// The rounds' figures.
        summary: Summary,
        /// What they count.
        unit: Unit,
    },
    /// How two contenders compare, round by round; shown by [`ratio`].
    Ratio(Summary),
    /// Not measured.
    Missing,
}

impl Cell {
    /// A figure that is exact, or was taken once.
    pub fn figure(value: f64, unit: Unit) -> Self {
        Self::Figure { value, unit }
    }

    /// A figure that was measured in several rounds.
    pub fn spread(summary: Summary, unit: Unit) -> Self {
        Self::Spread { summary, unit }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nanoseconds.
    Nanoseconds,
    /// Operations per second.
    OperationsPerSecond,
    /// Bytes.
    Bytes,
    /// Bytes per entry of a map.
    BytesPerEntry,
    /// Things.
    Count,
    /// Nothing.
    Plain,
    /// A share: 0.05 is shown as 5 %.
    Percent,
    /// How many times another figure it is.
    Ratio,
}

/// One picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// How it is drawn.
    pub kind: PlotKind,
    /// What is drawn: usually one line per map, named like the map.
    pub lines: Vec<Line>,
}

/// How points are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlotKind {
    /// Joined by straight lines.
    Lines,
    /// Joined by stairs: a value holds until the next point.
    Steps,
    /// Each by itself, for thousands of them.
    Points,
    /// As bars, one per category and line.
    Bars,
}

/// One axis of a plot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// What it shows, without the unit.
    pub label: String,
    /// How values are placed on it.
    pub scale: Scale,
    /// What the values count.
    pub unit: Unit,
}

impl Axis {
    /// An axis.
    pub fn new(label: impl Into<String>, scale: Scale, unit: Unit) -> Self {
        Self { label: label.into(), scale, unit }
    }
}

/// How values are placed on an axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// In proportion; begins at zero.
    Linear,
    /// By their logarithm; they must be positive.
    Log,
    /// Shares from 0 to 1, by the logarithm of what remains: 0.9, 0.99 and 0.999 are equally far apart. The share 1,
    /// that is the maximum, is at the end.
    Percentile,
    /// Values 0, 1, 2, ... stand for these.
    Category(Vec<String>),
}

/// Points that belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// What they belong to. A name that is a map's, or begins with one, is drawn in the map's colour.
    pub name: String,
    /// The points, from left to right.
    pub points: Vec<Point>,
}

/// One point of a plot.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Where.
    pub x: f64,
    /// The figure; the median of several rounds.
    pub y: f64,
    /// Where the figure's spread begins; usually the lower quartile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Where it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
}

impl Point {
    /// A figure whose spread is not known.
    pub fn new(x: f64, y: f64) -> Self {
        Self { x, y, low: None, high: None }
    }

    /// The median of several rounds with its quartiles.
    pub fn spread(x: f64, summary: Summary) -> Self {
        Self { x, y: summary.median, low: Some(summary.q1), high: Some(summary.q3) }
    }
}
