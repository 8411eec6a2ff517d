//! Throughput over the share of reads, the size of values and the number of threads.

use super::{Findings, Options};
use crate::{
    document,
    keys::Choice,
    load::{Changes, Length, Mix, Setting, Sheet, ValueKind, Workload, closed},
};
use anyhow::Result;

const SHARES: &str = "Two or more threads (one per core) on shared keys in a presized map that is promoted once: from \
    reads only to 40 % changes. `overwrites` give present keys a new value. `fresh`: inserts of keys that were never in \
    the map and removals of them, in equal numbers, so that its size stays the same.";

const VALUES: &str = "Values from 8 B to 64 KiB, in the map's own memory or behind an `Arc`, 1 k entries, 95 % and 80 % \
    reads, the rest overwrites, each with a newly made value. A read looks at the value's first 8 bytes.";

const THREADS: &str = "From one thread to many more than there are cores, each thread on a core as long as there are \
    enough: reads of Zipf-distributed keys out of 100 k and overwrites.";

/// The exponent that stands for skewed picks.
const SKEW: Choice = Choice::Zipf(0.99);

fn add(sheet: &mut Sheet, labels: &[String], workload: &Workload, setting: &Setting) -> Result<()> {
    let scores = closed::measure(workload.lineup(setting)?, setting.rounds, Length::Time(setting.round))?;
    sheet.add(labels.iter().cloned(), scores);
    Ok(())
}

pub(super) fn shares(options: &Options) -> Result<Findings> {
    let sizes: &[usize] = options.either(&[10_000, 100_000], &[10_000, 100_000, 1_000_000]);
    let shares: &[f64] = options.either(&[95.0, 80.0, 60.0], &[99.0, 95.0, 90.0, 80.0, 60.0]);
    let setting = options.setting();
    let mut sheet = Sheet::new(["keys", "entries", "changes", "reads"]);
    for choice in [SKEW, Choice::Uniform] {
        for &entries in sizes {
            let mut measure = |changes: Changes, word: &str, reads: f64| {
                let workload = Workload {
                    entries,
                    choice: choice.clone(),
                    mix: Mix { reads, changes },
                    threads: options.threads(),
                    script: options.script(),
                    ..Workload::default()
                };
                let labels = [choice.name(), document::entries(entries), word.to_owned(), format!("{reads} %")];
                add(&mut sheet, &labels, &workload, &setting)
            };
            measure(Changes::Overwrites, "none", 100.0)?;
            for (changes, word) in [(Changes::Overwrites, "overwrites"), (Changes::Fresh, "fresh")] {
                for &reads in shares {
                    measure(changes, word, reads)?;
                }
            }
        }
    }
    let plot = |choice: &Choice, entries: usize, word: &str| {
        let (keys, entries) = (choice.name(), document::entries(entries));
        let label = |labels: &[String]| {
            let wanted = labels[0] == keys && labels[1] == entries && (labels[2] == word || labels[2] == "none");
            wanted.then(|| labels[3].clone())
        };
        sheet.plot(&format!("{keys} keys, {entries} entries, {word}"), "reads", label)
    };
    let plots = sizes[1..]
        .iter()
        .flat_map(|&entries| [(SKEW, entries), (Choice::Uniform, entries)])
        .flat_map(|(choice, entries)| [plot(&choice, entries, "overwrites"), plot(&choice, entries, "fresh")])
        .collect();
    Ok(Findings {
        title: "Throughput by the share of reads",
        about: SHARES,
        notes: sheet.notes(),
        plots,
        tables: sheet.tables(),
    })
}

pub(super) fn values(options: &Options) -> Result<Findings> {
    let kinds = [
        ValueKind::Word,
        ValueKind::Line,
        ValueKind::Kilobyte,
        ValueKind::Shared(1 << 10),
        ValueKind::Shared(8 << 10),
        ValueKind::Shared(64 << 10),
    ];
    let setting = options.setting();
    let mut sheet = Sheet::new(["reads", "value"]);
    for reads in [95.0, 80.0] {
        for value in kinds {
            let workload = Workload {
                entries: 1_000,
                value,
                choice: SKEW,
                mix: Mix { reads, changes: Changes::Overwrites },
                threads: options.threads(),
                script: options.script(),
                ..Workload::default()
            };
            add(&mut sheet, &[format!("{reads} %"), value.name()], &workload, &setting)?;
        }
    }
    let plot = |reads: &str| {
        let label = |labels: &[String]| (labels[0] == reads).then(|| labels[1].clone());
        sheet.plot(&format!("{reads} reads"), "value", label)
    };
    let plots = vec![plot("95 %"), plot("80 %")];
    Ok(Findings {
        title: "Throughput by the size of values",
        about: VALUES,
        notes: sheet.notes(),
        plots,
        tables: sheet.tables(),
    })
}

pub(super) fn threads(options: &Options) -> Result<Findings> {
    let cores = options.threads();
    let mut counts = vec![1, 2, cores, 4 * cores, 64, 128];
    counts.sort_unstable();
    counts.dedup();
    let setting = options.setting();
    let shares: &[f64] = options.either(&[99.0], &[100.0, 99.0, 90.0]);
    let mut sheet = Sheet::new(["reads", "threads"]);
    for &reads in shares {
        for &threads in &counts {
            let workload = Workload {
                entries: 100_000,
                choice: SKEW,
                mix: Mix { reads, changes: Changes::Overwrites },
                threads,
                script: options.script(),
                ..Workload::default()
            };
            add(&mut sheet, &[format!("{reads} %"), threads.to_string()], &workload, &setting)?;
        }
    }
    let plot = |reads: &f64| {
        let reads = format!("{reads} %");
        let label = |labels: &[String]| (labels[0] == reads).then(|| labels[1].clone());
        sheet.plot(&format!("{reads} reads"), "threads", label)
    };
    let mut notes = vec![format!("The machine has {cores} cores; more threads than that take turns on them.")];
    notes.extend(sheet.notes());
    Ok(Findings {
        title: "Throughput over the number of threads",
        about: THREADS,
        notes,
        plots: shares.iter().map(plot).collect(),
        tables: sheet.tables(),
    })
}
