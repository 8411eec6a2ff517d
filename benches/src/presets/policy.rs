//! When to promote a map that grows while it is read.

use super::{Findings, Options, acts::beside};
use crate::{
    document::{self, Axis, Cell, Line, Plot, PlotKind, Point, Scale, Table, Unit},
    keys::{self, rng},
    latency::{Latencies, Stopwatch},
    load::{
        Setting,
        open::Distribution,
        profiles::{COLUMNS, cells},
    },
    measure::Series,
    peers::{Map, Peer, Readmostly},
};
use anyhow::{Result, ensure};
use rand::RngExt;
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Instant,
};

const ABOUT: &str = "`SyncMap` has no knob for when it promotes: inserts and missing lookups move the copy on, and it is \
    promoted when it is complete. What is left to a caller is to call `promote()` oneself, or to give a capacity from the \
    start. This sweeps those choices while one thread inserts new keys and another looks up random keys that are already \
    there: the time of an insert with its share of the calls, and of a lookup.

If calling `promote()` more often does not make lookups faster by more than it makes inserts slower, then the map's own \
    policy is good enough. This preset is about readmostly alone.";

/// What the caller does.
#[derive(Clone, Copy, Debug)]
enum Policy {
    /// Nothing.
    Own,
    /// Calls `promote()` after so many inserts.
    Every(usize),
    /// Gives the capacity at the start.
    Sized,
}

impl Policy {
    fn name(self) -> String {
        match self {
            Self::Own => "the map's own".into(),
            Self::Every(inserts) => format!("promote() every {}", document::entries(inserts)),
            Self::Sized => "with_capacity".into(),
        }
    }
}

const POLICIES: [Policy; 6] = [
    Policy::Own,
    Policy::Every(100_000),
    Policy::Every(10_000),
    Policy::Every(1_000),
    Policy::Every(100),
    Policy::Sized,
];

/// Lookups between two looks at how far the map has grown.
const CHUNK: usize = 64;

struct Turn {
    ns_per_insert: f64,
    ns_per_lookup: f64,
    inserts: Latencies,
    promotions: f64,
    copied_slots: f64,
}

pub(super) fn measure(options: &Options) -> Result<Findings> {
    let setting = options.setting_of(&[Peer::Readmostly], options.either(2, 9), 0);
    ensure!(setting.peers == [Peer::Readmostly], "expected no --maps but readmostly, which alone this is about");
    let entries = options.either(100_000, 1_000_000);
    let mut turns: Vec<Vec<Turn>> = POLICIES.iter().map(|_| Vec::new()).collect();
    for round in 0..=setting.rounds {
        for (policy, turns) in POLICIES.iter().zip(&mut turns) {
            let turn = turn(*policy, entries, &setting)?;
            if round > 0 {
                turns.push(turn);
            }
        }
    }
    let title = format!("Growth to {} entries beside lookups", document::entries(entries));
    Ok(Findings {
        title: "When to promote",
        about: ABOUT,
        notes: Vec::new(),
        plots: vec![plot(&turns)],
        tables: tables(&title, &turns),
    })
}

fn turn(policy: Policy, entries: usize, setting: &Setting) -> Result<Turn> {
    let capacity = if matches!(policy, Policy::Sized) { entries } else { 0 };
    let map: Readmostly<u64, u64> = Map::empty(capacity, setting.hasher);
    let present = AtomicUsize::new(0);
    let ((ns_per_lookup, lost), (ns_per_insert, inserts)) =
        beside(setting, |stop| look_up(&map, &present, stop), || insert(&map, policy, entries, &present));
    ensure!(lost == 0, "expected every key to be found after its insert, but {lost} were not");
    let stats = map.stats();
    Ok(Turn {
        ns_per_insert,
        ns_per_lookup,
        inserts,
        promotions: stats.promotions as f64,
        copied_slots: stats.copied_slots as f64,
    })
}

fn insert(map: &Readmostly<u64, u64>, policy: Policy, entries: usize, present: &AtomicUsize) -> (f64, Latencies) {
    let (stopwatch, mut latencies) = (Stopwatch::default(), Latencies::default());
    latencies.clear();
    let start = Instant::now();
    for index in 0..entries {
        let key = keys::nth(index as u64);
        let (ns, ()) = stopwatch.time(|| {
            drop(map.insert(key, keys::value_of(key)));
            if matches!(policy, Policy::Every(inserts) if (index + 1) % inserts == 0) {
                map.promote();
            }
        });
        latencies.record(ns);
        present.store(index + 1, Ordering::Release);
    }
    (start.elapsed().as_nanos() as f64 / entries as f64, latencies)
}

/// Looks up keys that are there until it is told to stop; the mean time, and how many were not found.
fn look_up(map: &Readmostly<u64, u64>, present: &AtomicUsize, stop: &AtomicBool) -> (f64, usize) {
    let mut rng = rng(1);
    let (mut lookups, mut lost) = (0, 0);
    let start = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let present = present.load(Ordering::Acquire);
        if present == 0 {
            continue;
        }
        for _ in 0..CHUNK {
            let key = keys::nth(rng.random_range(0..present as u64));
            lost += usize::from(map.get(&key).is_none());
        }
        lookups += CHUNK;
    }
    (start.elapsed().as_nanos() as f64 / lookups.max(1) as f64, lost)
}

fn series(turns: &[Turn], figure: fn(&Turn) -> f64) -> Series {
    Series { name: Peer::Readmostly.name(), samples: turns.iter().map(figure).collect() }
}

fn tables(title: &str, turns: &[Vec<Turn>]) -> Vec<Table> {
    let mut table =
        Table::new(title, ["policy", "insert", "lookup", "promotions", "copied slots", "insert / own", "lookup / own"]);
    let mut latencies =
        Table::new("Single inserts, with the call if there is one", ["policy"].into_iter().chain(COLUMNS));
    for (policy, of) in POLICIES.iter().zip(turns) {
        let spread = |figure, unit| Cell::spread(series(of, figure).summary(), unit);
        let ratio = |figure| Cell::Ratio(series(of, figure).ratio_to(&series(&turns[0], figure)));
        table.row([
            policy.name().into(),
            spread(|turn| turn.ns_per_insert, Unit::Nanoseconds),
            spread(|turn| turn.ns_per_lookup, Unit::Nanoseconds),
            spread(|turn| turn.promotions, Unit::Count),
            spread(|turn| turn.copied_slots, Unit::Count),
            ratio(|turn| turn.ns_per_insert),
            ratio(|turn| turn.ns_per_lookup),
        ]);
        let distribution: Distribution = of.iter().map(|turn| &turn.inserts).collect();
        latencies.row([Cell::from(policy.name())].into_iter().chain(cells(&distribution)));
    }
    vec![table, latencies]
}

fn plot(turns: &[Vec<Turn>]) -> Plot {
    let line = |name: &str, figure: fn(&Turn) -> f64| Line {
        name: name.to_owned(),
        points: turns
            .iter()
            .enumerate()
            .map(|(index, of)| Point::spread(index as f64, series(of, figure).summary()))
            .collect(),
    };
    Plot {
        title: "Mean time by policy".into(),
        x: Axis::new("policy", Scale::Category(POLICIES.map(Policy::name).to_vec()), Unit::Plain),
        y: Axis::new("time of an operation", Scale::Log, Unit::Nanoseconds),
        kind: PlotKind::Lines,
        lines: vec![line("insert", |turn| turn.ns_per_insert), line("lookup", |turn| turn.ns_per_lookup)],
    }
}
