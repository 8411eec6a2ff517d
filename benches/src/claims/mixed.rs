//! Two threads, mostly reads, some overwrites, on the same keys.

use super::{
    Config,
    verdicts::{Limit, Line},
};
use crate::{
    document::{self, Unit},
    keys::{self, Mix, Order},
    latency::{Latencies, Stopwatch},
    measure::Interleaved,
    peers::{Dashmap, Handle, Map, Papaya, Readmostly},
    threads::{Share, Worker, race},
};
use std::{
    cell::RefCell,
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

const CLAIM: &str = "mixed";
const THREADS: usize = 2;
const OVERWRITES: f64 = 0.05;
const ENTRIES: usize = 10_000;
/// Throughput must be this many times dashmap's.
const THROUGHPUT_LIMIT: f64 = 1.5;
/// The P99 of all operations may be this many times dashmap's.
const P99_LIMIT: f64 = 2.0;
/// Threads that start and stop blur a round's ends, so these rounds are longer than a loop's.
const ROUND_FACTOR: u32 = 5;
/// Operations between two looks at the stop flag.
const CHUNK: usize = 256;

const OURS: &str = "readmostly";
const DASHMAP: &str = "dashmap";
const PAPAYA: &str = "papaya";

pub(super) fn measure(config: &Config, progress: &impl Fn(&str)) -> Vec<Line> {
    let keys = keys::present(Order::Random, ENTRIES);
    let mixes: Vec<Mix> = (0..THREADS).map(|thread| Mix::uniform(&keys, OVERWRITES, 10 + thread as u64)).collect();
    let maps = Maps { readmostly: config.filled(&keys), dashmap: config.filled(&keys), papaya: config.filled(&keys) };
    let round = config.round * ROUND_FACTOR;
    progress("mixed: throughput");
    let mut lines = throughput(&maps, &mixes, round, config);
    progress("mixed: latency");
    lines.extend(latency(&maps, &mixes, round, config));
    lines
}

struct Maps {
    readmostly: Readmostly<u64, u64>,
    dashmap: Dashmap<u64, u64>,
    papaya: Papaya<u64, u64>,
}

fn throughput(maps: &Maps, mixes: &[Mix], round: Duration, config: &Config) -> Vec<Line> {
    let mut contest = Interleaved::new();
    contest.add(OURS, || rate(&maps.readmostly, mixes, round, config));
    contest.add(DASHMAP, || rate(&maps.dashmap, mixes, round, config));
    contest.add(PAPAYA, || rate(&maps.papaya, mixes, round, config));
    let outcome = contest.run(config.rounds);
    let line = |peer| {
        let subject = format!("throughput / {peer}'s, {}", workload());
        let [ours, theirs] = [OURS, peer].map(|name| outcome.median(name) * 1e3);
        Line::info(CLAIM, subject, Unit::Ratio, outcome.ratio(OURS, peer))
            .detail(format!("{ours:.1} / {theirs:.1} million operations per second"))
    };
    vec![line(DASHMAP).limited(Limit::AtLeast(THROUGHPUT_LIMIT)), line(PAPAYA)]
}

fn latency(maps: &Maps, mixes: &[Mix], round: Duration, config: &Config) -> Vec<Line> {
    let stopwatch = Stopwatch::default();
    let all: [RefCell<Latencies>; 3] = Default::default();
    let mut contest = Interleaved::new();
    contest.add(OURS, || p99(&maps.readmostly, mixes, round, config, &stopwatch, &all[0]));
    contest.add(DASHMAP, || p99(&maps.dashmap, mixes, round, config, &stopwatch, &all[1]));
    contest.add(PAPAYA, || p99(&maps.papaya, mixes, round, config, &stopwatch, &all[2]));
    let outcome = contest.run(config.rounds);
    let mut lines: Vec<Line> = [DASHMAP, PAPAYA]
        .map(|peer| {
            let subject = format!("P99 of all operations / {peer}'s, {}", workload());
            let [ours, theirs] = [OURS, peer].map(|name| outcome.median(name));
            Line::info(CLAIM, subject, Unit::Ratio, outcome.ratio(OURS, peer))
                .detail(format!("{ours:.0} / {theirs:.0} ns, clock readings included"))
        })
        .into();
    lines[0] = lines[0].clone().limited(Limit::AtMost(P99_LIMIT));
    lines.extend([OURS, DASHMAP, PAPAYA].iter().zip(&all).map(|(name, latencies)| {
        let subject = format!("P99 of all operations, {name}, {}", workload());
        Line::info(CLAIM, subject, Unit::Nanoseconds, outcome.get(name).summary())
            .detail(format!("over all rounds: {}", latencies.borrow().percentiles()))
    }));
    lines
}

fn workload() -> String {
    let overwrites = OVERWRITES * 100.0;
    format!("{THREADS} threads, {overwrites} % overwrites, {} entries", document::entries(ENTRIES))
}

/// Operations per nanosecond of all threads together.
fn rate<M: Map<u64, u64>>(map: &M, mixes: &[Mix], round: Duration, config: &Config) -> f64 {
    let workers = mixes.iter().map(|mix| Untimed { map, mix }).collect();
    let shares = race(&config.cores, round, workers);
    shares.iter().map(|Share { figure, elapsed }| *figure as f64 / elapsed.as_nanos() as f64).sum()
}

/// The P99 of all threads' operations of this round, which are also added to `all`.
fn p99<M: Map<u64, u64>>(
    map: &M,
    mixes: &[Mix],
    round: Duration,
    config: &Config,
    stopwatch: &Stopwatch,
    all: &RefCell<Latencies>,
) -> f64 {
    let workers = mixes.iter().map(|mix| Timed { map, mix, stopwatch, latencies: Latencies::default() }).collect();
    let mut merged = Latencies::default();
    for share in race(&config.cores, round, workers) {
        merged.merge(&share.figure);
    }
    all.borrow_mut().merge(&merged);
    merged.quantile(0.99) as f64
}

#[inline]
fn operate<H: Handle<u64, u64>>(handle: &mut H, key: u64, overwrite: bool) -> u64 {
    if overwrite {
        handle.insert(key, keys::value_of(key));
        0
    } else {
        handle.read(&key, |value| *value).unwrap_or(0)
    }
}

struct Untimed<'a, M> {
    map: &'a M,
    mix: &'a Mix,
}

impl<M: Map<u64, u64>> Worker for Untimed<'_, M> {
    type Figure = u64;

    fn warm_up(&mut self) {
        black_box(operate_all(&mut self.map.handle(), &self.mix.keys, &self.mix.overwrites));
    }

    fn work(&mut self, stop: &AtomicBool) -> u64 {
        let mut handle = self.map.handle();
        let mut operations = 0;
        loop {
            for (keys, overwrites) in self.mix.keys.chunks(CHUNK).zip(self.mix.overwrites.chunks(CHUNK)) {
                black_box(operate_all(&mut handle, keys, overwrites));
                operations += keys.len() as u64;
                if stop.load(Ordering::Relaxed) {
                    return operations;
                }
            }
        }
    }
}

#[inline(never)]
fn operate_all<H: Handle<u64, u64>>(handle: &mut H, keys: &[u64], overwrites: &[bool]) -> u64 {
    let mut sum = 0_u64;
    for (&key, &overwrite) in keys.iter().zip(overwrites) {
        sum = sum.wrapping_add(operate(handle, key, overwrite));
    }
    sum
}

struct Timed<'a, M> {
    map: &'a M,
    mix: &'a Mix,
    stopwatch: &'a Stopwatch,
    latencies: Latencies,
}

impl<M: Map<u64, u64>> Worker for Timed<'_, M> {
    type Figure = Latencies;

    fn warm_up(&mut self) {
        time_all(&mut self.map.handle(), self.mix, self.stopwatch, &mut self.latencies, &AtomicBool::new(true));
        self.latencies = Latencies::default();
    }

    fn work(&mut self, stop: &AtomicBool) -> Latencies {
        let mut handle = self.map.handle();
        loop {
            time_all(&mut handle, self.mix, self.stopwatch, &mut self.latencies, stop);
            if stop.load(Ordering::Relaxed) {
                return std::mem::take(&mut self.latencies);
            }
        }
    }
}

#[inline(never)]
fn time_all<H: Handle<u64, u64>>(
    handle: &mut H,
    mix: &Mix,
    stopwatch: &Stopwatch,
    latencies: &mut Latencies,
    stop: &AtomicBool,
) {
    for (&key, &overwrite) in mix.keys.iter().zip(&mix.overwrites) {
        let (ns, value) = stopwatch.time(|| operate(handle, key, overwrite));
        black_box(value);
        latencies.record(ns);
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}
