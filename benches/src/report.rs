//! Lines of a report, as a table or as JSON.

use crate::{measure::Summary, peers};
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use serde::Serialize;
use std::collections::BTreeMap;

/// Columns of a table that is not written to a terminal.
const FILE_WIDTH: u16 = 200;

/// A line below the header is all the drawing a long table needs.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('-').junction('-'));

/// What a figure is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The median must not exceed this.
    AtMost(f64),
    /// The median must reach this.
    AtLeast(f64),
    /// The median must stay below this.
    Below(f64),
}

impl Limit {
    fn holds(self, median: f64) -> bool {
        match self {
            Self::AtMost(limit) => median <= limit,
            Self::AtLeast(limit) => median >= limit,
            Self::Below(limit) => median < limit,
        }
    }
}

/// Whether a line keeps its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// It does.
    Pass,
    /// It does not, or could not be measured.
    Miss,
    /// It has none.
    Info,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A ratio of two contenders.
    Ratio,
    /// Nanoseconds.
    Nanoseconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{value:.2} x"),
            Self::Nanoseconds => duration(value),
            Self::Bytes if value.fract() == 0.0 => format!("{value} B"),
            Self::Bytes => format!("{value:.1} B"),
        }
    }
}

/// One measured figure.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The claim it belongs to.
    pub claim: &'static str,
    /// What was measured.
    pub subject: String,
    /// The figure; none if it could not be measured.
    pub figure: Option<Summary>,
    /// What the figure counts.
    pub unit: Unit,
    /// What it is compared with.
    pub limit: Option<Limit>,
    /// Whether it keeps the limit.
    pub verdict: Verdict,
    /// The figures behind it, in words.
    pub detail: String,
}

impl Line {
    /// A figure for information.
    pub fn info(claim: &'static str, subject: String, unit: Unit, figure: Summary) -> Self {
        Self { claim, subject, figure: Some(figure), unit, limit: None, verdict: Verdict::Info, detail: String::new() }
    }

    /// Something that could not be measured, and why. With a limit, that is a miss.
    pub fn unmeasured(claim: &'static str, subject: String, reason: String) -> Self {
        Self { claim, subject, figure: None, unit: Unit::Ratio, limit: None, verdict: Verdict::Info, detail: reason }
    }

    /// Holds the figure against a limit.
    pub fn limited(mut self, limit: Limit) -> Self {
        let holds = self.figure.is_some_and(|figure| limit.holds(figure.median));
        self.limit = Some(limit);
        self.verdict = if holds { Verdict::Pass } else { Verdict::Miss };
        self
    }

    /// Adds the figures behind the line.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    fn cells(&self) -> [String; 7] {
        let show = |value| self.unit.show(value);
        let limit = self.limit.map_or_else(String::new, |limit| match limit {
            Limit::AtMost(value) => format!("<= {}", show(value)),
            Limit::AtLeast(value) => format!(">= {}", show(value)),
            Limit::Below(value) => format!("< {}", show(value)),
        });
        let verdict = match self.verdict {
            Verdict::Pass => "PASS",
            Verdict::Miss => "MISS",
            Verdict::Info => "info",
        };
        let median = self.figure.map_or_else(|| "-".to_owned(), |figure| show(figure.median));
        let spread = match self.figure {
            Some(figure) if figure.samples > 1 => {
                format!("{} .. {}", show(figure.q1), show(figure.q3))
            }
            _ => String::new(),
        };
        [self.claim.to_owned(), self.subject.clone(), median, spread, limit, verdict.to_owned(), self.detail.clone()]
    }
}

/// Where and how a report was made.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// The processor.
    pub processor: String,
    /// The cores this process may use.
    pub cores: usize,
    /// How many threads wanted to run at the start, on average over a minute; none if the system doesn't say.
    pub load: Option<f64>,
    /// Rounds per figure.
    pub rounds: usize,
    /// The shortest duration of a contender's turn, in milliseconds.
    pub round_ms: u128,
    /// The versions of the crates that were measured.
    pub versions: BTreeMap<&'static str, String>,
}

impl Environment {
    /// Describes this machine and build.
    pub fn describe(cores: usize, rounds: usize, round: std::time::Duration) -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
        Self {
            processor: model.unwrap_or(std::env::consts::ARCH).trim().to_owned(),
            cores,
            load: load(),
            rounds,
            round_ms: round.as_millis(),
            versions: peers::versions(&["readmostly", "dashmap", "papaya", "scc", "hashbrown"]),
        }
    }

    /// Whether so much else runs that the figures will be doubtful.
    pub fn is_busy(&self) -> bool {
        self.load.is_some_and(|load| load > 0.5 * self.cores as f64)
    }
}

fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where and how.
    pub environment: Environment,
    /// The figures.
    pub lines: Vec<Line>,
}

impl Report {
    /// Whether any line misses its limit.
    pub fn misses(&self) -> bool {
        self.lines.iter().any(|line| line.verdict == Verdict::Miss)
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Environment { processor, cores, load, rounds, round_ms, versions } = &self.environment;
        let load = load.map_or_else(String::new, |load| format!(", load {load} at the start"));
        let versions: Vec<String> = versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        writeln!(f, "{processor}, {cores} cores{load}; {}", versions.join(", "))?;
        writeln!(f, "median of {rounds} interleaved rounds of at least {round_ms} ms per contender")?;
        let mut table = Table::new();
        table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic);
        if !table.is_tty() {
            table.set_width(FILE_WIDTH);
        }
        table.set_header(["claim", "figure", "median", "quartiles", "limit", "", "behind it"]);
        table.add_rows(self.lines.iter().map(Line::cells));
        for numeric in 2..5 {
            if let Some(column) = table.column_mut(numeric) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(f, "{table}")
    }
}

/// Nanoseconds for people: three digits and a fitting unit.
pub fn duration(ns: f64) -> String {
    match ns {
        _ if ns < 10.0 => format!("{ns:.2} ns"),
        _ if ns < 100.0 => format!("{ns:.1} ns"),
        _ if ns < 1e3 => format!("{ns:.0} ns"),
        _ if ns < 1e6 => format!("{:.1} us", ns / 1e3),
        _ if ns < 1e9 => format!("{:.1} ms", ns / 1e6),
        _ => format!("{:.1} s", ns / 1e9),
    }
}

/// A number of entries for people.
pub fn entries(count: usize) -> String {
    match count {
        _ if count > 0 && count.is_multiple_of(1_000_000) => format!("{} M", count / 1_000_000),
        _ if count > 0 && count.is_multiple_of(1_000) => format!("{} k", count / 1_000),
        _ => count.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(median: f64) -> Line {
        Line::info("claim", "subject".into(), Unit::Ratio, Summary::single(median))
    }

    #[test]
    fn limits_decide_the_verdict() {
        assert_eq!(line(2.0).verdict, Verdict::Info);
        assert_eq!(line(2.0).limited(Limit::AtMost(2.0)).verdict, Verdict::Pass);
        assert_eq!(line(2.1).limited(Limit::AtMost(2.0)).verdict, Verdict::Miss);
        assert_eq!(line(1.5).limited(Limit::AtLeast(1.5)).verdict, Verdict::Pass);
        assert_eq!(line(1.4).limited(Limit::AtLeast(1.5)).verdict, Verdict::Miss);
        assert_eq!(line(1.0).limited(Limit::Below(1.0)).verdict, Verdict::Miss);
        let unmeasured = Line::unmeasured("claim", "subject".into(), "reason".into());
        assert_eq!(unmeasured.limited(Limit::AtMost(2.0)).verdict, Verdict::Miss);
    }

    #[test]
    fn figures_have_a_fitting_unit() {
        assert_eq!(duration(2.34567), "2.35 ns");
        assert_eq!(duration(1_234_567.0), "1.2 ms");
        assert_eq!((entries(10_000), entries(1_000_000), entries(512)), ("10 k".into(), "1 M".into(), "512".into()));
    }
}
