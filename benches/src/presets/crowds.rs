//! Many more threads than cores.

use super::{Findings, Options};
use crate::{
    keys::Choice,
    load::{
        Changes, KeyKind, Length, Mix, Sheet, Workload, closed,
        open::{self, Pace},
        profiles,
    },
    peers::Peer,
};
use anyhow::Result;
use std::time::Duration;

const CLASSIC: &str = "128 threads read (70 %) and overwrite (30 %) 10 k random strings, beside a `RwLock` around a hash \
    map. On a machine with fewer cores this measures how a map does when threads lose the processor at any point, above \
    all while they hold a lock.

Latency is service time here: each operation is due when the last is done, since spinning threads without a core of \
    their own cannot keep a rate. An operation during which its thread loses the processor takes as long as the others \
    run.";

const FLAGS: &str = "64 threads do one million operations together, each thread its share, on 100 flags with names, as a \
    service does with its feature switches: reads, and some changes of a flag. A turn that takes longer than a second (a quarter if quick) \
    ends unfinished, and counts with what was done until then.";

const CLASSIC_THREADS: usize = 128;
const FLAG_THREADS: usize = 64;
const FLAG_OPERATIONS: usize = 1_000_000;
/// A map that has not done the operations after this time gets no more for them; a quarter in a quick measurement.
const LONGEST: Duration = Duration::from_secs(1);

/// The peers of a comparison with a lock around a map.
fn peers() -> Vec<Peer> {
    [Peer::MAIN, &[Peer::StdRwLock]].concat()
}

pub(super) fn classic(options: &Options) -> Result<Findings> {
    let setting = options.setting_of(&peers(), options.either(3, 11), options.either(100, 500));
    let workload = Workload {
        keys: KeyKind::Text,
        mix: Mix { reads: 70.0, changes: Changes::Overwrites },
        threads: CLASSIC_THREADS,
        script: options.script(),
        ..Workload::default()
    };
    let mut sheet = Sheet::new(["threads"]);
    let scores = closed::measure(workload.lineup(&setting)?, setting.rounds, Length::Time(setting.round))?;
    sheet.add([CLASSIC_THREADS.to_string()], scores);
    let pace = Pace::unbroken(options.either(2_000, 20_000), CLASSIC_THREADS);
    let timed = open::measure(workload.lineup(&setting)?, setting.rounds, &pace)?;
    let mut tables = sheet.tables();
    tables.extend(profiles::tables("128 threads", &timed));
    let mut notes = sheet.notes();
    notes.push(workload.name());
    Ok(Findings {
        title: "128 threads, 70 % reads of 10 k strings",
        about: CLASSIC,
        notes,
        plots: profiles::plots("128 threads", &timed),
        tables,
    })
}

pub(super) fn flags(options: &Options) -> Result<Findings> {
    let setting = options.setting_of(&peers(), options.either(3, 11), 0);
    let mut sheet = Sheet::new(["flags picked", "reads"]);
    for choice in [Choice::Uniform, Choice::Hot] {
        for reads in [99.0, 90.0, 50.0] {
            let workload = Workload {
                keys: KeyKind::Text,
                entries: 100,
                choice: choice.clone(),
                mix: Mix { reads, changes: Changes::Overwrites },
                threads: FLAG_THREADS,
                script: options.script(),
                ..Workload::default()
            };
            let at_most = options.either(LONGEST / 4, LONGEST);
            let length = Length::Operations { count: FLAG_OPERATIONS / FLAG_THREADS, at_most };
            let scores = closed::measure(workload.lineup(&setting)?, setting.rounds, length)?;
            sheet.add([choice.name(), format!("{reads} %")], scores);
        }
    }
    let label = |labels: &[String]| Some(labels.join(", "));
    let plots = vec![sheet.plot("64 threads, 100 flags", "flags picked, reads", label)];
    Ok(Findings { title: "64 threads on 100 flags", about: FLAGS, notes: sheet.notes(), plots, tables: sheet.tables() })
}
