//! The loads, stores and deletes of go-concurrent-map-bench.

use super::{Findings, Options};
use crate::{
    document,
    load::{Changes, Filling, KeyKind, Length, Mix, Sheet, Workload, closed},
};
use anyhow::Result;

const ABOUT: &str =
    "The workloads of go-concurrent-map-bench: 100, 99, 90 and 75 % loads of uniformly drawn keys, the \
    rest half stores and half deletes of keys of the same fixed set. `warm`: all keys are in a presized map at the \
    start. `cold`: the map begins empty, and every turn with a new one.

With deletes, half of the keys are absent after a while, so half of the reads miss; the table shows how many hit.";

const COLUMNS: [&str; 4] = ["keys", "start", "entries", "loads"];

pub(super) fn measure(options: &Options) -> Result<Findings> {
    let sizes: &[usize] = options.either(&[1_000, 100_000], &[100, 1_000, 100_000, 1_000_000]);
    let loads: &[f64] = options.either(&[99.0, 75.0], &[100.0, 99.0, 90.0, 75.0]);
    let setting = options.setting();
    let mut sheet = Sheet::new(COLUMNS);
    for keys in [KeyKind::Int, KeyKind::Prefixed] {
        for cold in [false, true] {
            for &entries in sizes {
                for &reads in loads.iter().filter(|&&reads| !(cold && reads == 100.0)) {
                    let workload = Workload {
                        keys,
                        entries,
                        mix: Mix { reads, changes: Changes::Churn },
                        threads: options.threads(),
                        filling: if cold { Filling::Empty } else { Filling::Presized },
                        cold,
                        script: options.script(),
                        ..Workload::default()
                    };
                    let scores =
                        closed::measure(workload.lineup(&setting)?, setting.rounds, Length::Time(setting.round))?;
                    sheet.add(labels(&workload), scores);
                }
            }
        }
    }
    let plot = |keys: KeyKind, start: &str| {
        let label = |labels: &[String]| {
            (labels[0] == keys.name() && labels[1] == start).then(|| format!("{} {}", labels[2], labels[3]))
        };
        sheet.bars(&format!("{} keys, {start}", keys.name()), "entries and loads", label)
    };
    let plots = [KeyKind::Int, KeyKind::Prefixed].into_iter().flat_map(|keys| [plot(keys, "warm"), plot(keys, "cold")]);
    Ok(Findings {
        title: "Loads, stores and deletes on a fixed key set",
        about: ABOUT,
        notes: sheet.notes(),
        plots: plots.collect(),
        tables: sheet.tables(),
    })
}

fn labels(workload: &Workload) -> [String; COLUMNS.len()] {
    [
        workload.keys.name().to_owned(),
        if workload.cold { "cold" } else { "warm" }.to_owned(),
        document::entries(workload.entries),
        format!("{} %", workload.mix.reads),
    ]
}
