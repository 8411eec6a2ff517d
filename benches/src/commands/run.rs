//! Throughput of one workload.

use super::flags::{MapFlags, WorkloadFlags};
use anyhow::Result;
use clap::Args;
use readmostly_bench::{
    document::Section,
    environment,
    load::{Length, Sheet, closed},
};

const ABOUT: &str =
    "Every thread does its next operation as soon as the last is done. Medians over interleaved rounds.";

/// A closed loop.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    workload: WorkloadFlags,
    #[command(flatten)]
    maps: MapFlags,
}

impl Options {
    pub(crate) fn measure(&self) -> Result<Section> {
        let setting = self.maps.setting(11, 100);
        let workload = self.workload.workload(&setting.cores)?;
        let scores = closed::measure(workload.lineup(&setting)?, setting.rounds, Length::Time(setting.round))?;
        let mut sheet = Sheet::new(["threads"]);
        sheet.add([workload.threads.to_string()], scores);
        Ok(Section {
            name: "run".into(),
            title: workload.name(),
            about: ABOUT.into(),
            command: environment::command(std::env::args().skip(1)),
            notes: sheet.notes(),
            plots: Vec::new(),
            tables: sheet.tables(),
        })
    }
}
