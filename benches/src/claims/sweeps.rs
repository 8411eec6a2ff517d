//! Iteration in slices: what it costs, how long a slice takes, and what another thread's lookups notice of it.

use super::{
    Config,
    verdicts::{Limit, Line},
};
use crate::{
    document::{self, Unit},
    keys::{self, Order},
    latency::{Latencies, Stopwatch},
    measure::{Interleaved, Summary},
    peers::Readmostly,
    threads::{Worker, preemptions, race},
};
use readmostly::Cursor;
use std::{
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

const CLAIM: &str = "sweeps";
const ENTRIES: usize = 1_000_000;
const SLICE: Duration = Duration::from_millis(1);
/// A slice goes over its budget by what it does between two looks at the clock, which is far less than this.
const LONGEST_SLICE: Limit = Limit::Below(1.1e6);
/// Lookups between two looks at the stop flag.
const CHUNK: usize = 256;

const IN_SLICES: &str = "range_until";
const AT_ONCE: &str = "range";
const LOOKUPS: &str = "lookups";

type Map = Readmostly<u64, u64>;

pub(super) fn measure(config: &Config, progress: &impl Fn(&str)) -> Vec<Line> {
    let keys = keys::present(Order::Random, ENTRIES);
    let map: Map = config.filled(&keys);
    progress("sweeps: time and slices");
    let mut lines = time(&map, config);
    progress("sweeps: lookups beside a sweep");
    lines.push(beside(&map, &keys::lookups(&keys, Order::Random, 7), config));
    lines
}

fn subject(what: &str) -> String {
    format!("{what}, {} entries", document::entries(ENTRIES))
}

/// Whole sweeps against `range`, and their longest slices.
fn time(map: &Map, config: &Config) -> Vec<Line> {
    config.cores.pin(0);
    let mut longest = Vec::new();
    let mut contest = Interleaved::new();
    contest.add(IN_SLICES, || {
        let (elapsed, slice) = sweep(map);
        longest.push(slice.as_nanos() as f64);
        elapsed.as_nanos() as f64
    });
    contest.add(AT_ONCE, || {
        let (started, mut sum) = (Instant::now(), 0_u64);
        map.range(|_, value| {
            sum = sum.wrapping_add(*value);
            true
        });
        black_box(sum);
        started.elapsed().as_nanos() as f64
    });
    let outcome = contest.run(config.rounds);
    let [slices, whole] = [IN_SLICES, AT_ONCE].map(|name| document::duration(outcome.median(name)));
    let cost = subject("time of a sweep in slices of 1 ms / of range");
    let slice = subject("longest slice of 1 ms of a sweep, but for those in which another process ran");
    vec![
        Line::info(CLAIM, cost, Unit::Ratio, outcome.ratio(IN_SLICES, AT_ONCE)).detail(format!("{slices} / {whole}")),
        Line::info(CLAIM, slice, Unit::Nanoseconds, Summary::of(&longest)).limited(LONGEST_SLICE),
    ]
}

/// Visits all entries; returns how long that took, and its longest slice that the system did not interrupt.
fn sweep(map: &Map) -> (Duration, Duration) {
    let (started, mut longest) = (Instant::now(), Duration::ZERO);
    let (mut next, mut sum, mut seen) = (Some(Cursor::default()), 0_u64, preemptions());
    while let Some(cursor) = next {
        let slice = Instant::now();
        next = map.range_until(SLICE, cursor, |_, value| sum = sum.wrapping_add(*value));
        let elapsed = slice.elapsed();
        let preempted = preemptions();
        if preempted == seen {
            longest = longest.max(elapsed);
        }
        seen = preempted;
    }
    black_box(sum);
    (started.elapsed(), longest)
}

/// P99.9 of one thread's lookups while another sweeps over and over, against that beside one that looks keys up too.
fn beside(map: &Map, stream: &[u64], config: &Config) -> Line {
    let stopwatch = Stopwatch::default();
    let p99_9 = |neighbour: Work| {
        let reader = Thread { map, stream, stopwatch: &stopwatch, work: Work::TimedLookups };
        let neighbour = Thread { work: neighbour, ..reader.clone() };
        let shares = race(&config.cores, config.round * 5, vec![reader, neighbour]);
        shares[0].figure.quantile(0.999) as f64
    };
    let mut contest = Interleaved::new();
    contest.add(IN_SLICES, || p99_9(Work::Sweeps));
    contest.add(LOOKUPS, || p99_9(Work::Lookups));
    let outcome = contest.run(config.rounds);
    let [sweeps, lookups] = [IN_SLICES, LOOKUPS].map(|name| document::duration(outcome.median(name)));
    let subject = subject("P99.9 of lookups beside a sweep / beside lookups");
    Line::info(CLAIM, subject, Unit::Ratio, outcome.ratio(IN_SLICES, LOOKUPS)).detail(format!("{sweeps} / {lookups}"))
}

#[derive(Clone, Copy)]
enum Work {
    TimedLookups,
    Lookups,
    Sweeps,
}

#[derive(Clone)]
struct Thread<'a> {
    map: &'a Map,
    stream: &'a [u64],
    stopwatch: &'a Stopwatch,
    work: Work,
}

impl Worker for Thread<'_> {
    type Figure = Latencies;

    fn warm_up(&mut self) {
        black_box(self.map.get(&self.stream[0]).as_deref());
    }

    fn work(&mut self, stop: &AtomicBool) -> Latencies {
        let mut latencies = Latencies::default();
        let mut chunks = self.stream.chunks(CHUNK).cycle();
        let mut cursor = Cursor::default();
        loop {
            let chunk = chunks.next().unwrap_or_default();
            match self.work {
                Work::TimedLookups => chunk.iter().for_each(|key| {
                    latencies.record(self.stopwatch.time(|| black_box(self.map.get(key).as_deref().copied())).0);
                }),
                Work::Lookups => chunk.iter().for_each(|key| {
                    black_box(self.map.get(key).as_deref());
                }),
                Work::Sweeps => {
                    cursor = self
                        .map
                        .range_until(SLICE, cursor, |_, value| {
                            black_box(value);
                        })
                        .unwrap_or_default()
                }
            }
            if stop.load(Ordering::Relaxed) {
                return latencies;
            }
        }
    }
}
