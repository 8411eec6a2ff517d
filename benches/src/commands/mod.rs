//! One module per subcommand: its options, and what it does.

mod claims;
mod flags;
mod go;
mod latency;
mod live;
mod preset;
mod report;
mod run;

use anyhow::Result;
use clap::Subcommand;
use readmostly_bench::{
    document::{Document, Section},
    environment::Environment,
    threads::Cores,
};
use std::process::ExitCode;

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure what readmostly promises, and say of each promise whether it is kept
    Claims(claims::Options),

    /// Run the benchmarks of Go's sync.Map on SyncMap and print what `go test -bench` would print
    Go(go::Options),

    /// Measure the throughput of a workload
    Run(run::Options),

    /// Measure the latency of a workload at a fixed rate
    Latency(latency::Options),

    /// Measure workloads by name
    Preset(preset::Options),

    /// Let one map live and print what it occupied
    #[command(hide = true)]
    Live(live::Options),

    /// Measure a set of presets and show them on a page with pictures
    Report(report::Options),
}

impl Command {
    /// Does it; the results go to the standard output, as JSON if `json`.
    pub(crate) fn run(&self, json: bool) -> Result<ExitCode> {
        match self {
            Self::Claims(options) => claims::run(options, json),
            Self::Go(options) => go::run(options, json),
            Self::Run(options) => show(json, || Ok(vec![options.measure()?])),
            Self::Latency(options) => show(json, || Ok(vec![options.measure()?])),
            Self::Preset(options) => show(json, || options.measure()),
            Self::Live(options) => options.run().map(|()| ExitCode::SUCCESS),
            Self::Report(options) => report::run(options),
        }
    }
}

/// Describes where something is going to be measured, before that adds to the load, and warns of what spoils figures.
fn environment() -> Environment {
    if cfg!(debug_assertions) {
        eprintln!("warning: built without optimisation, the figures mean nothing; use --release");
    }
    let environment = Environment::describe(Cores::available().count());
    if environment.is_busy() {
        eprintln!("warning: other programs are running, the figures are doubtful; expected an idle machine");
    }
    environment
}

/// Measures, and prints what came of it.
fn show(json: bool, measure: impl FnOnce() -> Result<Vec<Section>>) -> Result<ExitCode> {
    let document = Document { environment: environment(), sections: measure()?, failures: Vec::new() };
    if json {
        println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        print!("{document}");
    }
    Ok(ExitCode::SUCCESS)
}
