//! Throughput in tables and pictures.

use super::closed::Score;
use crate::{
    document::{Axis, Cell, Line, Plot, PlotKind, Point, Scale, Table, Unit},
    measure::Summary,
};

/// Workloads and what the contenders scored in them.
#[derive(Debug)]
pub struct Sheet {
    columns: Vec<String>,
    rows: Vec<(Vec<String>, Vec<Score>)>,
}

impl Sheet {
    /// A sheet whose rows begin with these columns.
    pub fn new<C: Into<String>>(columns: impl IntoIterator<Item = C>) -> Self {
        Self { columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a workload, named by one word per column.
    pub fn add<L: Into<String>>(&mut self, labels: impl IntoIterator<Item = L>, scores: Vec<Score>) {
        self.rows.push((labels.into_iter().map(Into::into).collect(), scores));
    }

    fn names(&self) -> Vec<&'static str> {
        self.rows.first().map_or_else(Vec::new, |(_, scores)| scores.iter().map(Score::name).collect())
    }

    fn table(&self, title: String, columns: Vec<String>, cells: impl Fn(&[Score]) -> Vec<Cell>) -> Table {
        let mut table = Table::new(title, self.columns.iter().cloned().chain(columns));
        for (labels, scores) in &self.rows {
            table.row(labels.iter().map(|label| Cell::from(label.as_str())).chain(cells(scores)));
        }
        table
    }

    /// What each contender scored, and how the first compares with the others.
    pub fn tables(&self) -> Vec<Table> {
        let names = self.names();
        let Some((first, others)) = names.split_first() else { return Vec::new() };
        let columns = names.iter().map(|name| (*name).to_owned()).chain(["reads that hit".to_owned()]).collect();
        let mut tables = vec![self.table("Throughput, all threads together".into(), columns, |scores| {
            let spread = |score: &Score| Cell::spread(score.throughput.summary(), Unit::OperationsPerSecond);
            scores.iter().map(spread).chain([hit_rate(scores)]).collect()
        })];
        if !others.is_empty() {
            let columns = others.iter().map(|name| format!("{first} / {name}")).collect();
            tables.push(self.table(format!("Throughput of {first} against the others'"), columns, |scores| {
                scores[1..].iter().map(|score| Cell::Ratio(scores[0].throughput.ratio_to(&score.throughput))).collect()
            }));
        }
        tables
    }

    /// Throughput over the rows for which `label` gives a word, in their order.
    pub fn plot(&self, title: &str, axis: &str, label: impl Fn(&[String]) -> Option<String>) -> Plot {
        let shown: Vec<(String, &[Score])> =
            self.rows.iter().filter_map(|(labels, scores)| Some((label(labels)?, scores.as_slice()))).collect();
        let line = |(index, name): (usize, &'static str)| {
            let point = |(x, (_, scores)): (usize, &(String, &[Score]))| {
                Point::spread(x as f64, scores[index].throughput.summary())
            };
            Line { name: name.to_owned(), points: shown.iter().enumerate().map(point).collect() }
        };
        Plot {
            title: title.to_owned(),
            x: Axis::new(axis, Scale::Category(shown.iter().map(|(label, _)| label.clone()).collect()), Unit::Plain),
            y: Axis::new("throughput", Scale::Linear, Unit::OperationsPerSecond),
            kind: PlotKind::Lines,
            lines: self.names().into_iter().enumerate().map(line).collect(),
        }
    }

    /// As [`Sheet::plot`], for rows between which nothing lies.
    pub fn bars(&self, title: &str, axis: &str, label: impl Fn(&[String]) -> Option<String>) -> Plot {
        Plot { kind: PlotKind::Bars, ..self.plot(title, axis, label) }
    }

    /// How often the system took the processor from the threads.
    pub fn notes(&self) -> Vec<String> {
        preempted(self.rows.iter().flat_map(|(_, scores)| scores).flat_map(|score| &score.preemptions).copied())
    }
}

/// The share of hits, over all contenders.
fn hit_rate(scores: &[Score]) -> Cell {
    let rates: Vec<f64> = scores.iter().filter_map(Score::hit_rate).collect();
    if rates.is_empty() { Cell::Missing } else { Cell::spread(Summary::of(&rates), Unit::Percent) }
}

/// How often the system took the processor from the threads, if it says, given the counts of single turns.
pub fn preempted(counts: impl Iterator<Item = f64>) -> Vec<String> {
    let counts: Vec<f64> = counts.collect();
    if counts.is_empty() {
        return Vec::new();
    }
    let Summary { median, max, .. } = Summary::of(&counts);
    vec![format!("The system took the processor from a thread {median:.0} times per turn (median), {max:.0} at most.")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{load::Tally, measure::Series};

    fn score(name: &'static str, rates: [f64; 3]) -> Score {
        let tally = Tally { operations: 30, reads: 20, hits: 15, wrong: 0 };
        Score { throughput: Series { name, samples: rates.to_vec() }, tally, preemptions: vec![1.0, 2.0, 9.0] }
    }

    fn sheet() -> Sheet {
        let mut sheet = Sheet::new(["reads"]);
        sheet.add(["99 %"], vec![score("a", [2.0, 4.0, 8.0]), score("b", [1.0, 2.0, 4.0])]);
        sheet.add(["60 %"], vec![score("a", [1.0, 1.0, 1.0]), score("b", [1.0, 2.0, 4.0])]);
        sheet
    }

    #[test]
    fn contenders_are_compared_within_rounds_and_hits_are_shown() {
        let tables = sheet().tables();
        assert_eq!(tables[0].columns, ["reads", "a", "b", "reads that hit"]);
        assert!(matches!(&tables[0].rows[0][3], Cell::Spread { summary, .. } if summary.median == 0.75));
        assert!(matches!(&tables[1].rows[0][1], Cell::Ratio(summary) if summary.min == 2.0 && summary.max == 2.0));
        assert_eq!(tables[1].columns, ["reads", "a / b"]);
    }

    #[test]
    fn a_plot_has_a_point_per_row_that_is_wanted() {
        let plot = sheet().plot("t", "reads", |labels| (labels[0] == "60 %").then(|| labels[0].clone()));
        assert_eq!(plot.x.scale, Scale::Category(vec!["60 %".into()]));
        assert_eq!((plot.lines.len(), plot.lines[1].points.len(), plot.lines[1].points[0].y), (2, 1, 2.0));
    }

    #[test]
    fn preemptions_are_told() {
        assert!(sheet().notes()[0].contains("2 times per turn (median), 9 at most"));
        assert!(preempted(std::iter::empty()).is_empty());
    }
}
