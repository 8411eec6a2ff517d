//! What the barriers of a reclaimer cost a thread that reads.

use super::{Findings, Options, acts::beside};
use crate::{
    barrier::Barrier,
    document::{self, Axis, Cell, Line, Plot, PlotKind, Point, Scale, Table, Unit},
    keys::{self, Order},
    latency::{Latencies, Stopwatch},
    load::{
        Setting,
        open::{Distribution, QUANTILES},
        profiles::{COLUMNS, cells, ratios},
    },
    measure::Summary,
    peers::{Map, Peer, Readmostly},
};
use anyhow::{Result, ensure};
use std::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

const ABOUT: &str = "Readers of `SyncMap` execute no fence. Instead, a writer that moves the epoch has the kernel run one in \
    every thread of the process that is running just then (`membarrier`), which interrupts them all. Here one thread looks \
    up random keys in a closed loop, each lookup timed, while another does nothing but make barriers at a fixed interval; in \
    between it spins on the clock, in the case without barriers too.

`reader's loss` is what a barrier takes from the reading thread: the share of its throughput that is missing, divided by \
    the barriers per second. It is most certain where barriers are frequent; rare ones cost less than single rounds differ. \
    This preset is about readmostly alone.";

const ENTRIES: usize = 10_000;
/// Lookups between two looks at the clock.
const CHUNK: usize = 256;

/// From the start of one barrier to that of the next, about. First, to compare the others with it, the case without.
const INTERVALS: [Option<Duration>; 8] = [
    None,
    Some(Duration::from_millis(10)),
    Some(Duration::from_millis(2)),
    Some(Duration::from_millis(1)),
    Some(Duration::from_micros(500)),
    Some(Duration::from_micros(200)),
    Some(Duration::from_micros(100)),
    Some(Duration::from_micros(50)),
];

fn name(interval: Option<Duration>) -> String {
    interval.map_or_else(|| "none".to_owned(), |interval| document::duration(interval.as_nanos() as f64))
}

/// What the two threads did in a turn.
struct Turn {
    barriers: Barriers,
    reads: Latencies,
    elapsed: Duration,
}

/// Barriers and the time in them.
#[derive(Clone, Copy, Debug, Default)]
struct Barriers {
    count: u64,
    spent: Duration,
}

impl Turn {
    fn barriers_per_second(&self) -> f64 {
        self.barriers.count as f64 / self.elapsed.as_secs_f64()
    }

    /// None if there were no barriers.
    fn ns_per_barrier(&self) -> Option<f64> {
        (self.barriers.count > 0).then(|| self.barriers.spent.as_nanos() as f64 / self.barriers.count as f64)
    }

    fn reads_per_second(&self) -> f64 {
        self.reads.len() as f64 / self.elapsed.as_secs_f64()
    }

    fn throughput_beside(&self, without: &Self) -> f64 {
        self.reads_per_second() / without.reads_per_second()
    }

    /// Nanoseconds of the reader's time for each barrier; none if there were no barriers.
    fn loss_per_barrier(&self, without: &Self) -> Option<f64> {
        (self.barriers.count > 0).then(|| (1.0 - self.throughput_beside(without)) * 1e9 / self.barriers_per_second())
    }
}

pub(super) fn measure(options: &Options) -> Result<Findings> {
    let setting = options.setting_of(&[Peer::Readmostly], options.either(31, 151), 30);
    ensure!(setting.peers == [Peer::Readmostly], "expected no --maps but readmostly, which alone this is about");
    let mut findings = Findings { title: "Reads beside barriers", about: ABOUT, ..Findings::default() };
    let Some(barrier) = Barrier::register() else {
        findings.notes.push("Nothing to measure: the system has no `membarrier`, or refuses it.".to_owned());
        return Ok(findings);
    };
    let turns = turns(barrier, &setting)?;
    findings.plots = vec![throughput_plot(&turns), percentiles_plot(&turns)];
    findings.tables = tables(&turns);
    Ok(findings)
}

/// The turns of each interval, one per round.
fn turns(barrier: Barrier, setting: &Setting) -> Result<Vec<Vec<Turn>>> {
    let keys = keys::present(Order::Random, ENTRIES);
    let stream = keys::lookups(&keys, Order::Random, 1);
    let map = Map::filled(setting.hasher, keys.iter().map(|&key| (key, keys::value_of(key))));
    let mut turns: Vec<Vec<Turn>> = INTERVALS.iter().map(|_| Vec::new()).collect();
    for round in 0..=setting.rounds {
        for (interval, turns) in INTERVALS.into_iter().zip(&mut turns) {
            let writer = |stop: &AtomicBool| run_barriers(barrier, interval, stop);
            let (barriers, reading) = beside(setting, writer, || read(&map, &stream, setting.round));
            ensure!(
                reading.wrong == 0,
                "expected every key to be found with its value, but {} were not",
                reading.wrong
            );
            if round > 0 {
                turns.push(Turn { barriers, reads: reading.latencies, elapsed: reading.elapsed });
            }
        }
    }
    Ok(turns)
}

/// Makes a barrier at every interval, and spins on the clock, until it is told to stop.
fn run_barriers(barrier: Barrier, interval: Option<Duration>, stop: &AtomicBool) -> Barriers {
    let mut done = Barriers::default();
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        if interval.is_some_and(|interval| now - last >= interval) {
            barrier.run();
            done.spent += now.elapsed();
            done.count += 1;
            last = now;
        }
        spin_loop();
    }
    done
}

/// What the reading thread did.
struct Reading {
    latencies: Latencies,
    elapsed: Duration,
    wrong: u64,
}

/// Looks up the keys of the stream, over and over for that long, and times each lookup.
fn read(map: &Readmostly<u64, u64>, stream: &[u64], duration: Duration) -> Reading {
    let (stopwatch, mut latencies, mut wrong) = (Stopwatch::default(), Latencies::default(), 0);
    latencies.clear();
    let start = Instant::now();
    for chunk in stream.chunks(CHUNK).cycle() {
        for key in chunk {
            let (ns, value) = stopwatch.time(|| map.get(key).map(|found| *found));
            latencies.record(ns);
            wrong += u64::from(value != Some(keys::value_of(*key)));
        }
        if start.elapsed() >= duration {
            break;
        }
    }
    Reading { latencies, elapsed: start.elapsed(), wrong }
}

fn distribution(turns: &[Turn]) -> Distribution {
    turns.iter().map(|turn| &turn.reads).collect()
}

/// A figure of every turn that has it.
fn spread(figures: impl Iterator<Item = Option<f64>>, unit: Unit) -> Cell {
    let figures: Vec<f64> = figures.flatten().collect();
    if figures.is_empty() { Cell::Missing } else { Cell::spread(Summary::of(&figures), unit) }
}

/// A figure of every turn that is compared with the turn of the same round without barriers.
fn compared<'a, T>(
    turns: &'a [Turn],
    without: &'a [Turn],
    figure: impl Fn(&Turn, &Turn) -> T + 'a,
) -> impl Iterator<Item = T> + 'a {
    turns.iter().zip(without).map(move |(turn, without)| figure(turn, without))
}

fn throughput(turns: &[Turn], without: &[Turn]) -> Summary {
    Summary::of(&compared(turns, without, Turn::throughput_beside).collect::<Vec<_>>())
}

fn tables(turns: &[Vec<Turn>]) -> Vec<Table> {
    let without = &turns[0];
    let title = format!("A reader of {} entries beside barriers", document::entries(ENTRIES));
    let columns = ["barrier every", "barriers", "one call", "reads", "reads / without", "reader's loss, each"];
    let mut costs = Table::new(title, columns);
    let mut reads = Table::new("Single reads", ["barrier every"].into_iter().chain(COLUMNS));
    let mut changes = Table::new("Single reads / without", ["barrier every"].into_iter().chain(COLUMNS));
    for (interval, turns) in INTERVALS.into_iter().zip(turns) {
        let name = name(interval);
        costs.row([
            name.clone().into(),
            spread(turns.iter().map(|turn| Some(turn.barriers_per_second())), Unit::OperationsPerSecond),
            spread(turns.iter().map(Turn::ns_per_barrier), Unit::Nanoseconds),
            spread(turns.iter().map(|turn| Some(turn.reads_per_second())), Unit::OperationsPerSecond),
            Cell::spread(throughput(turns, without), Unit::Ratio),
            spread(compared(turns, without, Turn::loss_per_barrier), Unit::Nanoseconds),
        ]);
        reads.row([Cell::from(name.clone())].into_iter().chain(cells(&distribution(turns))));
        if interval.is_some() {
            changes.row([Cell::from(name)].into_iter().chain(ratios(&distribution(turns), &distribution(without))));
        }
    }
    vec![costs, reads, changes]
}

fn axis() -> Axis {
    Axis::new("a barrier every", Scale::Category(INTERVALS.map(name).to_vec()), Unit::Plain)
}

fn throughput_plot(turns: &[Vec<Turn>]) -> Plot {
    let point = |(at, of): (usize, &Vec<Turn>)| Point::spread(at as f64, throughput(of, &turns[0]));
    let points = turns.iter().enumerate().map(point).collect();
    Plot {
        title: "Throughput of the reader".to_owned(),
        x: axis(),
        y: Axis::new("against no barriers", Scale::Linear, Unit::Ratio),
        kind: PlotKind::Lines,
        lines: vec![Line { name: Peer::Readmostly.name().to_owned(), points }],
    }
}

/// The percentiles of single reads, but for the slowest.
fn percentiles_plot(turns: &[Vec<Turn>]) -> Plot {
    let distributions: Vec<Distribution> = turns.iter().map(|turns| distribution(turns)).collect();
    let line = |quantile: usize| {
        let point = |(at, of): (usize, &Distribution)| {
            of.samples(quantile).map(|samples| Point::spread(at as f64, Summary::of(samples)))
        };
        Line {
            name: COLUMNS[quantile].to_owned(),
            points: distributions.iter().enumerate().filter_map(point).collect(),
        }
    };
    Plot {
        title: "Single reads".to_owned(),
        x: axis(),
        y: Axis::new("time of a read", Scale::Log, Unit::Nanoseconds),
        kind: PlotKind::Lines,
        lines: (0..QUANTILES.len() - 1).map(line).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(barriers: u64, reads: u64) -> Turn {
        let mut latencies = Latencies::default();
        (0..reads).for_each(|_| latencies.record(100));
        Turn {
            barriers: Barriers { count: barriers, spent: Duration::from_micros(3 * barriers) },
            reads: latencies,
            elapsed: Duration::from_millis(500),
        }
    }

    #[test]
    fn the_loss_of_a_barrier_is_the_missing_share_of_the_time() {
        let (without, with) = (turn(0, 1_000), turn(500, 980));
        assert_eq!((with.barriers_per_second(), with.ns_per_barrier()), (1_000.0, Some(3_000.0)));
        assert_eq!(with.throughput_beside(&without), 0.98);
        // 2 % of a second, over a thousand barriers.
        let loss = with.loss_per_barrier(&without).unwrap();
        assert!((loss - 20_000.0).abs() < 1e-6, "{loss}");
        assert_eq!((without.ns_per_barrier(), without.loss_per_barrier(&without)), (None, None));
    }

    #[test]
    fn rounds_are_compared_with_the_same_round_without_barriers() {
        let rounds = |reads: [u64; 3]| reads.map(|reads| turn(1, reads));
        let (without, with) = (rounds([1_000, 100, 400]), rounds([500, 50, 200]));
        let summary = throughput(&with, &without);
        assert_eq!((summary.min, summary.max), (0.5, 0.5));
    }

    #[test]
    fn barriers_keep_their_interval() {
        let Some(barrier) = Barrier::register() else { return };
        let run = |interval| {
            let stop = AtomicBool::new(false);
            let start = Instant::now();
            std::thread::scope(|scope| {
                let thread = scope.spawn(|| run_barriers(barrier, interval, &stop));
                std::thread::sleep(Duration::from_millis(20));
                stop.store(true, Ordering::Relaxed);
                (thread.join().unwrap(), start.elapsed())
            })
        };
        assert_eq!(run(None).0.count, 0);
        let interval = Duration::from_micros(100);
        // A thread may not get a core in one run.
        let made_some = |(done, _): &(Barriers, Duration)| done.count > 0;
        let (done, elapsed) = std::iter::repeat_with(|| run(Some(interval))).take(1_000).find(made_some).unwrap();
        assert!(done.spent > Duration::ZERO, "{done:?}");
        assert!(interval * done.count as u32 <= elapsed, "{done:?} in {elapsed:?}");
    }

    #[test]
    fn a_read_that_finds_nothing_is_told() {
        let map: Readmostly<u64, u64> =
            Map::filled(crate::peers::Hasher::default(), [(1, keys::value_of(1))].into_iter());
        assert_eq!(read(&map, &[1], Duration::ZERO).wrong, 0);
        let reading = read(&map, &[1, 2], Duration::ZERO);
        assert_eq!((reading.wrong, reading.latencies.len()), (1, 2));
    }
}
