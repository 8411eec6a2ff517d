//! What was measured, as sections of a document like those of the benchmarks.

use super::{
    args::Args,
    outcome::{Class, Outcome},
    plan::Workload,
};
use anyhow::{Context, Result};
use readmostly_bench::{
    document::{Axis, Cell, Document, Line, Plot, PlotKind, Scale, Section, Table, Unit, entries},
    environment::{Environment, command_of},
    latency::Latencies,
    load::{
        open::QUANTILES,
        profiles::{COLUMNS, curve},
    },
    page,
    threads::Cores,
};
use std::{fs, path::Path};

const PACKAGE: &str = env!("CARGO_PKG_NAME");
const TITLE: &str = "readmostly: the service under load";
const LEAD: &str = "Requests are sent over HTTP to the service in a process of its own, on the machine that sends them. Where \
    maps are compared, their services take turns round by round and those not in turn are stopped.";

/// How latencies are to be read.
pub(crate) const ABOUT: &str = "Requests are due at a fixed rate, whether or not the ones before them were answered. Latency \
    counts from when a request was due, so that whatever holds the service or its clients up counts for all requests that were \
    due meanwhile. Errors count with the time they took, requests that were given up with the time until then.";

/// Where, when and with what it is measured; taken before that adds to the load.
pub(crate) fn environment() -> Environment {
    if cfg!(debug_assertions) {
        eprintln!("warning: built without optimisation, the figures mean nothing; use --release");
    }
    Environment::describe_for(PACKAGE, Cores::available().count())
}

/// Prints a section and writes it where the arguments say.
pub(crate) fn publish(args: &Args, environment: Environment, section: Section) -> Result<()> {
    let document = Document { environment, sections: vec![section], failures: Vec::new() };
    print!("{document}");
    if let Some(path) = &args.json {
        write(path, serde_json::to_vec_pretty(&document)?)?;
    }
    if let Some(path) = &args.html {
        write(path, page::titled(TITLE, LEAD, &[document]))?;
    }
    Ok(())
}

fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    fs::write(path, content).with_context(|| format!("could not write {}", path.display()))
}

/// A section without figures yet.
pub(crate) fn section(name: &str, workload: &Workload, about: &str) -> Section {
    Section {
        name: name.into(),
        title: title(workload),
        about: about.into(),
        command: command_of(PACKAGE, std::env::args().skip(1)),
        notes: Vec::new(),
        plots: Vec::new(),
        tables: Vec::new(),
    }
}

/// The words for what is requested.
fn title(workload: &Workload) -> String {
    let Workload { keys, choice, reads, deletes, expiring, ttl, value_bytes } = workload;
    let [reads, writes, deletes, expiring] =
        [*reads, (1.0 - reads) * (1.0 - deletes), (1.0 - reads) * deletes, *expiring].map(|x| Unit::Percent.show(x));
    let (keys, choice) = (entries(*keys), choice.name());
    format!(
        "{reads} reads, {writes} writes, {deletes} deletes; {keys} keys, {choice}; values of {value_bytes} B, {expiring} of \
        them for {ttl} s"
    )
}

/// One row per contender: how much was asked and answered.
pub(crate) fn rates(intended: Option<f64>, outcomes: &[(&str, &Outcome)]) -> Table {
    let columns = ["map", "asked", "answered", "answers", "errors", "given up", "wrong", "reads that hit"];
    let mut table = Table::new("Requests", columns);
    for (name, outcome) in outcomes {
        let count = |count: u64| Cell::figure(count as f64, Unit::Count);
        let rate = |rate| Cell::figure(rate, Unit::OperationsPerSecond);
        table.row([
            Cell::from(*name),
            intended.map_or("as fast as it can".into(), rate),
            rate(outcome.rate()),
            count(outcome.answered()),
            count(outcome.failed()),
            count(outcome.given_up),
            count(outcome.violated()),
            outcome.hit_rate().map_or(Cell::Missing, |share| Cell::figure(share, Unit::Percent)),
        ]);
    }
    table
}

/// Percentiles of every class of requests.
pub(crate) fn percentiles(title: &str, outcome: &Outcome) -> Table {
    let mut table = Table::new(title, ["requests", "number"].into_iter().chain(COLUMNS));
    let mut add = |name: &str, latencies: &Latencies| {
        if !latencies.is_empty() {
            let number = Cell::figure(latencies.len() as f64, Unit::Count);
            table.row(
                [name.into(), number].into_iter().chain(QUANTILES.map(|quantile| quantile_cell(latencies, quantile))),
            );
        }
    };
    add("all", &outcome.all);
    for class in Class::ALL {
        add(class.name(), &outcome.latency[class as usize]);
    }
    add("all, from when they were sent", &outcome.service);
    table
}

/// A percentile, if at least one request took longer.
fn quantile_cell(latencies: &Latencies, quantile: f64) -> Cell {
    let enough = quantile == 1.0 || latencies.len() as f64 * (1.0 - quantile) >= 1.0;
    if enough { Cell::figure(latencies.quantile(quantile) as f64, Unit::Nanoseconds) } else { Cell::Missing }
}

/// Percentile curves, one per line.
pub(crate) fn curves<'a>(title: &str, lines: impl IntoIterator<Item = (&'a str, &'a Latencies)>) -> Plot {
    let lines = lines.into_iter().filter(|(_, latencies)| !latencies.is_empty());
    Plot {
        title: title.into(),
        x: Axis::new("share of requests", Scale::Percentile, Unit::Percent),
        y: Axis::new("latency", Scale::Log, Unit::Nanoseconds),
        kind: PlotKind::Lines,
        lines: lines.map(|(name, latencies)| Line { name: name.into(), points: curve(latencies) }).collect(),
    }
}

/// Curves of all requests of one run, and of each class of them.
pub(crate) fn class_curves(outcome: &Outcome) -> Plot {
    let classes = Class::ALL.map(|class| (class.name(), &outcome.latency[class as usize]));
    curves("Latency", [("all", &outcome.all)].into_iter().chain(classes))
}

/// Errors and wrong answers by kind, of each contender.
pub(crate) fn errors(outcomes: &[(&str, &Outcome)]) -> Option<Table> {
    let mut table = Table::new("Errors and wrong answers", ["map", "kind", "number"]);
    for (name, outcome) in outcomes {
        let errors = outcome.errors.iter().map(|(kind, count)| (kind.clone(), count));
        let wrong = outcome.violations.iter().map(|(kind, count)| (format!("wrong: {}", kind.name()), count));
        for (kind, count) in errors.chain(wrong) {
            table.row([Cell::from(*name), kind.into(), Cell::figure(*count as f64, Unit::Count)]);
        }
    }
    (!table.rows.is_empty()).then_some(table)
}
