//! Percentiles of latency in an open loop.

use super::{Findings, Options};
use crate::{
    document::Unit,
    keys::Choice,
    load::{
        Changes, Mix, Workload,
        open::{self, Pace},
        profiles,
    },
    peers::Peer,
};
use anyhow::Result;

const ABOUT: &str = "One thread per core does operations at a fixed rate, the same for all maps: half of what the slowest \
    of them can do when the clock is read around every operation. An operation's latency counts from the moment when it was due, so whatever holds a thread up counts \
    for all operations that were due meanwhile (corrected for coordinated omission); its service time counts from when it \
    began; `undisturbed` latency leaves out what the system took while it ran other programs. Threads spin on the clock \
    between operations. All times include two readings of the clock.

Figures are medians over the rounds; a percentile is given only where at least ten operations of each round are slower. \
    The curves are of all rounds together.";

/// How much of the slowest contender's throughput is asked of all.
const LOAD: f64 = 0.5;

pub(super) fn measure(options: &Options) -> Result<Findings> {
    let setting = options.setting_of(Peer::MAIN, options.either(3, 11), options.either(100, 500));
    let mixes =
        [(99.0, Changes::Overwrites), (95.0, Changes::Overwrites), (80.0, Changes::Overwrites), (80.0, Changes::Fresh)];
    let mut findings = Findings { title: "Latency at a fixed rate", about: ABOUT, ..Findings::default() };
    for (reads, changes) in mixes {
        let workload = Workload {
            entries: 100_000,
            choice: Choice::Zipf(0.99),
            mix: Mix { reads, changes },
            threads: options.threads(),
            script: options.script(),
            ..Workload::default()
        };
        let capacity = open::capacity(workload.lineup(&setting)?, options.either(50_000, 200_000), workload.threads)?;
        let rate = LOAD * capacity;
        let pace = Pace::new(rate, setting.round, workload.threads);
        let profiles = open::measure(workload.lineup(&setting)?, setting.rounds, &pace)?;
        let title = workload.mix.name();
        findings.notes.push(format!("{title}: {} per thread.", Unit::OperationsPerSecond.show(rate)));
        findings.notes.extend(profiles::notes(&profiles));
        findings.tables.extend(profiles::tables(&title, &profiles));
        findings.plots.extend(profiles::plots(&title, &profiles));
    }
    Ok(findings)
}
