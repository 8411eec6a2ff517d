//! Bytes per entry over a map's life.
//!
//! Each map lives in a process of its own: in one that has freed memory before, resident bytes say nothing.

use super::{Findings, Options};
use crate::{
    document::{self, Axis, Cell, Line, Plot, PlotKind, Point, Scale, Table, Unit},
    keys,
    memory::{self, Usage},
    peers::{Handle, Hasher, Map, Peer, PerMap, RENEW},
};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::{
    process::Command,
    time::{Duration, Instant},
};

const ABOUT: &str = "What a map of `u64` to `u64` occupies, in a process of its own: empty, after it grew from nothing, \
    after it was settled (`promote` for readmostly), after 99 of 100 keys were removed, after as many operations on what \
    remains as there were entries, and when it is settled again. Bytes of an empty map are on the heap.

`Resident` bytes are those after the allocator has given back to the system what it can: whole pages. A map that allocates \
    every entry by itself has the kept ones spread over all of its pages, which stay, though their other entries are free \
    for whatever the program allocates next. `Heap` bytes are what the allocator has handed out; they leave out what a map \
    gets from the system by itself, which is where readmostly has its large tables.

`churn`: a map of a tenth of the entries, in which one thread inserts new keys and removes the oldest without pause, so \
    that its size stays the same; what it occupies over time, without asking the allocator to give anything back.";

/// One in so many keys stays when the others are removed.
const KEPT: usize = 100;
/// How often a map under churn is looked at.
const SAMPLES: u32 = 20;
/// Maps of which the heap bytes of an empty one are the mean.
const EMPTY_MAPS: usize = 100;

/// What a map occupies over its life.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Life {
    /// Heap bytes of an empty map.
    empty: f64,
    grown: Usage,
    settled: Usage,
    removed: Usage,
    used_on: Usage,
    settled_again: Usage,
    /// Seconds of churn, operations until then, and what was occupied.
    churn: Vec<(f64, u64, Usage)>,
}

/// Lets one map of that kind live, in this process, which should have done nothing else.
pub fn live(peer: Peer, entries: usize, churn: Duration) -> Result<Life> {
    ensure!(entries >= KEPT, "expected at least {KEPT} entries, got {entries}");
    peer.with(Living { entries, churn })
}

struct Living {
    entries: usize,
    churn: Duration,
}

impl PerMap<u64, u64> for Living {
    type Output = Result<Life>;

    fn run<M: Map<u64, u64>>(self) -> Result<Life> {
        let hasher = Hasher::default();
        // Thread-local and global state is no entry's cost.
        drop(M::grown(hasher, (0..8).map(|key| (key, key))));
        let empty = memory::heap_per_value(EMPTY_MAPS, || M::empty(0, hasher))?;
        let before = Usage::trimmed()?;
        let occupied = || Ok::<_, anyhow::Error>(Usage::trimmed()?.since(before));

        let map = M::empty(0, hasher);
        map.load((0..self.entries as u64).map(keys::nth).map(|key| (key, keys::value_of(key))));
        let grown = occupied()?;
        map.settle();
        let settled = occupied()?;
        each(&map, (0..self.entries).filter(|index| index % KEPT != 0), |handle, key| {
            handle.remove(&key);
        });
        let removed = occupied()?;
        each(&map, (0..self.entries).map(|index| index / KEPT * KEPT), |handle, key| {
            handle.insert(key, keys::value_of(key));
        });
        let used_on = occupied()?;
        map.settle();
        let settled_again = occupied()?;
        drop(map);
        let churn = churn::<M>(self.entries / 10, self.churn)?;
        Ok(Life { empty, grown, settled, removed, used_on, settled_again, churn })
    }
}

/// Does `what` with the keys of those numbers.
fn each<M: Map<u64, u64>>(
    map: &M,
    numbers: impl Iterator<Item = usize>,
    mut what: impl FnMut(&mut M::Handle<'_>, u64),
) {
    let mut handle = map.handle();
    for (done, number) in (1..).zip(numbers) {
        what(&mut handle, keys::nth(number as u64));
        if done % RENEW == 0 {
            handle.renew();
        }
    }
}

/// Inserts new keys and removes the oldest for so long.
fn churn<M: Map<u64, u64>>(entries: usize, duration: Duration) -> Result<Vec<(f64, u64, Usage)>> {
    let before = Usage::trimmed()?;
    let map = M::empty(0, Hasher::default());
    map.load((0..entries as u64).map(keys::nth).map(|key| (key, keys::value_of(key))));
    let mut handle = map.handle();
    let mut samples = Vec::new();
    let mut oldest = 0;
    let start = Instant::now();
    for sample in 0..=SAMPLES {
        while start.elapsed() < duration * sample / SAMPLES {
            for number in oldest..oldest + RENEW as u64 {
                let newest = keys::nth(number + entries as u64);
                handle.insert(newest, keys::value_of(newest));
                handle.remove(&keys::nth(number));
            }
            handle.renew();
            oldest += RENEW as u64;
        }
        samples.push((start.elapsed().as_secs_f64(), 2 * oldest, Usage::now()?.since(before)));
    }
    Ok(samples)
}

pub(super) fn measure(options: &Options) -> Result<Findings> {
    let setting = options.setting_of(Peer::MAIN, 1, 0);
    let entries = options.either(200_000, 1_000_000);
    let churn_ms = options.either(1_000, 10_000);
    let mut lives = Vec::new();
    for peer in setting.peers {
        lives.push((peer, live_apart(peer, entries, churn_ms)?));
    }
    Ok(Findings {
        title: "Memory over a map's life",
        about: ABOUT,
        notes: vec![format!("{} entries of 16 bytes each; measured once.", document::entries(entries))],
        plots: vec![stages(&lives, entries), churn_plot(&lives, entries / 10)],
        tables: vec![
            life_table("Resident bytes per entry that was inserted", &lives, entries, |usage| usage.resident),
            life_table("Heap bytes per entry that was inserted", &lives, entries, |usage| usage.heap),
            churn_table(&lives, entries / 10),
        ],
    })
}

/// Runs [`live`] in a new process of this program.
fn live_apart(peer: Peer, entries: usize, churn_ms: u64) -> Result<Life> {
    let program = std::env::current_exe().context("expected to find this program's file")?;
    let output = Command::new(program)
        .args(["live", peer.name(), &entries.to_string(), &churn_ms.to_string()])
        .output()
        .context("expected to start a process for a map's life")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "expected the life of {peer} to succeed: {complaint}");
    serde_json::from_slice(&output.stdout).with_context(|| format!("expected what {peer} occupied"))
}

fn per_entry(usage: Usage, entries: usize) -> f64 {
    usage.resident as f64 / entries as f64
}

/// Bytes per entry in every stage, and how much of the settled map's was given back in the later ones.
fn life_table(title: &str, lives: &[(Peer, Life)], entries: usize, of: fn(Usage) -> u64) -> Table {
    let columns = [
        "map",
        "empty",
        "grown",
        "settled",
        "99 % removed",
        "given back",
        "used on",
        "given back",
        "settled again",
        "given back",
    ];
    let mut table = Table::new(title, columns);
    for (peer, life) in lives {
        let bytes = |usage| Cell::figure(of(usage) as f64 / entries as f64, Unit::BytesPerEntry);
        let given_back = |usage| Cell::figure(1.0 - of(usage) as f64 / of(life.settled).max(1) as f64, Unit::Percent);
        table.row([
            peer.name().into(),
            Cell::figure(life.empty, Unit::Bytes),
            bytes(life.grown),
            bytes(life.settled),
            bytes(life.removed),
            given_back(life.removed),
            bytes(life.used_on),
            given_back(life.used_on),
            bytes(life.settled_again),
            given_back(life.settled_again),
        ]);
    }
    table
}

fn churn_table(lives: &[(Peer, Life)], entries: usize) -> Table {
    let title = format!("Resident bytes per entry under churn, {} entries", document::entries(entries));
    let mut table = Table::new(title, ["map", "start", "least after", "most after", "end", "operations"]);
    for (peer, life) in lives {
        let bytes = |usage: Usage| Cell::figure(per_entry(usage, entries), Unit::BytesPerEntry);
        let by_size = |usage: &Usage| usage.resident;
        let usages: Vec<Usage> = life.churn.iter().map(|(_, _, usage)| *usage).collect();
        let [first, later @ ..] = &usages[..] else { continue };
        let extreme = |usage: Option<&Usage>| usage.copied().map_or(Cell::Missing, bytes);
        let operations = life.churn.last().map_or(0, |(_, operations, _)| *operations);
        table.row([
            peer.name().into(),
            bytes(*first),
            extreme(later.iter().min_by_key(|usage| by_size(usage))),
            extreme(later.iter().max_by_key(|usage| by_size(usage))),
            extreme(later.last()),
            Cell::figure(operations as f64, Unit::Count),
        ]);
    }
    table
}

fn stages(lives: &[(Peer, Life)], entries: usize) -> Plot {
    let names = ["grown", "settled", "99 % removed", "used on", "settled again"];
    let line = |(peer, life): &(Peer, Life)| {
        let usages = [life.grown, life.settled, life.removed, life.used_on, life.settled_again];
        let points = usages.into_iter().enumerate().map(|(at, usage)| Point::new(at as f64, per_entry(usage, entries)));
        Line { name: peer.name().to_owned(), points: points.collect() }
    };
    Plot {
        title: "Bytes per entry that was inserted".into(),
        x: Axis::new("", Scale::Category(names.map(str::to_owned).to_vec()), Unit::Plain),
        y: Axis::new("resident", Scale::Linear, Unit::BytesPerEntry),
        kind: PlotKind::Bars,
        lines: lives.iter().map(line).collect(),
    }
}

fn churn_plot(lives: &[(Peer, Life)], entries: usize) -> Plot {
    let line = |(peer, life): &(Peer, Life)| {
        let points = life.churn.iter().map(|(seconds, _, usage)| Point::new(seconds * 1e9, per_entry(*usage, entries)));
        Line { name: peer.name().to_owned(), points: points.collect() }
    };
    Plot {
        title: format!("Under churn, {} entries", document::entries(entries)),
        x: Axis::new("time", Scale::Linear, Unit::Nanoseconds),
        y: Axis::new("resident bytes per entry", Scale::Linear, Unit::BytesPerEntry),
        kind: PlotKind::Lines,
        lines: lives.iter().map(line).collect(),
    }
}
