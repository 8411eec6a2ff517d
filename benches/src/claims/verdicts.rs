//! What was found of the claims: figures, limits and verdicts, as a table or as JSON.

use crate::{
    document::{Cell, Table, Unit},
    environment::Environment,
    measure::Summary,
};
use serde::Serialize;

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

    fn cells(&self) -> [Cell; 6] {
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
        let figure = match self.figure {
            None => Cell::Missing,
            // A limit is held against the median, however far the rounds spread.
            Some(figure) if self.unit == Unit::Ratio && self.limit.is_none() => Cell::Ratio(figure),
            Some(figure) => Cell::spread(figure, self.unit),
        };
        [
            self.claim.into(),
            self.subject.clone().into(),
            figure,
            limit.into(),
            verdict.into(),
            self.detail.clone().into(),
        ]
    }
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where, when and with what.
    pub environment: Environment,
    /// Rounds per figure.
    pub rounds: usize,
    /// The shortest duration of a contender's turn, in milliseconds.
    pub round_ms: u128,
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
        let Self { environment, rounds, round_ms, lines } = self;
        writeln!(f, "{environment}")?;
        writeln!(f, "median (quartiles) of {rounds} interleaved rounds of at least {round_ms} ms per contender")?;
        let mut table = Table::new("", ["claim", "figure", "measured", "limit", "", "behind it"]);
        lines.iter().for_each(|line| table.row(line.cells()));
        write!(f, "{table}")
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
    fn a_ratio_without_a_limit_may_be_unclear() {
        let unclear = Line::info("claim", "subject".into(), Unit::Ratio, Summary::of(&[0.9, 1.0, 1.1]));
        assert_eq!(unclear.cells()[2].show(), "unclear (0.95 .. 1.05)");
        assert_eq!(unclear.limited(Limit::AtMost(2.0)).cells()[2].show(), "1.00 × (0.95 .. 1.05)");
    }
}
