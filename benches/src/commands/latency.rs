//! Latency of one workload.

use super::flags::{MapFlags, WorkloadFlags};
use anyhow::{Result, ensure};
use clap::Args;
use readmostly_bench::{
    document::{Section, Unit},
    environment,
    load::{
        open::{self, Pace},
        profiles,
    },
};

const ABOUT: &str = "Operations are due at a fixed rate, the same for all maps. Latency counts from when an operation was \
    due, so whatever holds a thread up counts for all operations that were due meanwhile; service time counts from when it \
    began; `undisturbed` latency leaves out what the system took while it ran other programs. Threads spin on the clock \
    between operations. All times include two readings of the clock. Medians over \
    interleaved rounds; a percentile is given only where at least ten operations of each round are slower.";

/// Operations of a thread in each turn that finds the rate.
const TRIAL_OPERATIONS: u64 = 200_000;

/// An open loop.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    workload: WorkloadFlags,
    #[command(flatten)]
    maps: MapFlags,

    /// Operations per second of each thread
    #[arg(long, value_name = "N", conflicts_with = "load")]
    rate: Option<f64>,

    /// The rate as a share of what the slowest of the maps can do
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    load: f64,
}

impl Options {
    pub(crate) fn measure(&self) -> Result<Section> {
        let setting = self.maps.setting(11, 500);
        let workload = self.workload.workload(&setting.cores)?;
        let threads = workload.threads;
        ensure!(self.load > 0.0, "expected a --load above 0, got {}", self.load);
        ensure!(self.rate.is_none_or(|rate| rate >= 1.0), "expected a --rate of at least 1 operation per second");
        let mut notes = Vec::new();
        let rate = match self.rate {
            Some(rate) => rate,
            None => {
                let capacity = open::capacity(workload.lineup(&setting)?, TRIAL_OPERATIONS, threads)?;
                notes.push(format!(
                    "The rate is {} of the {} per thread that the slowest map can do with the clock read around each.",
                    Unit::Percent.show(self.load),
                    Unit::OperationsPerSecond.show(capacity)
                ));
                self.load * capacity
            }
        };
        notes.push(format!("{} per thread.", Unit::OperationsPerSecond.show(rate)));
        if threads > setting.cores.count() {
            notes.push(format!(
                "{threads} threads spin on {} cores: these are the latencies of the scheduler.",
                setting.cores.count()
            ));
        }
        let pace = Pace::new(rate, setting.round, threads);
        let profiles = open::measure(workload.lineup(&setting)?, setting.rounds, &pace)?;
        notes.extend(profiles::notes(&profiles));
        Ok(Section {
            name: "latency".into(),
            title: workload.name(),
            about: ABOUT.into(),
            command: environment::command(std::env::args().skip(1)),
            notes,
            plots: profiles::plots("Latency", &profiles),
            tables: profiles::tables("Latency", &profiles),
        })
    }
}
