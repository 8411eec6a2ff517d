//! The time of an iteration, and what it does to a writer.

use super::{Findings, Options, acts::beside};
use crate::{
    document::{self, Axis, Cell, Line, Plot, PlotKind, Point, Scale, Table, Unit},
    keys::{self, Choice},
    latency::{Latencies, Stopwatch},
    load::{
        Changes, Mix, Plan, Player, Progress, Setting, Workload,
        open::{Distribution, Pace, Timings},
        profiles::{COLUMNS, cells},
    },
    measure::Series,
    peers::{Dashmap, Map, Papaya, Peer, Range, Readmostly, SccIndex, SccMap},
};
use anyhow::{Result, bail, ensure};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

const ABOUT: &str = "One thread goes over all entries again and again and adds up the values; another overwrites random \
    present keys. Each of them alone and beside the other: nanoseconds per entry of the iteration, and the service time \
    of single overwrites. A map may show an entry twice, or not at all, if it is overwritten meanwhile; how many entries it \
    shows on average is given.";

/// The peers that have an iteration.
const PEERS: [Peer; 5] = [Peer::Readmostly, Peer::Dashmap, Peer::Papaya, Peer::SccIndex, Peer::SccMap];
/// Overwrites between two looks at the clock.
const CHUNK: u64 = 256;

/// What one contender did in one round.
struct Turn {
    ns_per_entry_alone: f64,
    ns_per_entry: f64,
    /// How many of the entries an iteration beside the writer shows, on average.
    shown: f64,
    writes_alone: Latencies,
    writes: Latencies,
}

pub(super) fn measure(options: &Options) -> Result<Findings> {
    let setting = options.setting_of(&PEERS, options.either(3, 11), options.either(20, 100));
    for peer in &setting.peers {
        ensure!(
            PEERS.contains(peer),
            "expected maps with an iteration ({}), got {peer}",
            PEERS.map(Peer::name).join(", ")
        );
    }
    let sizes: &[usize] = options.either(&[1_000, 100_000], &[1_000, 10_000, 100_000, 1_000_000]);
    let mut findings = Findings { title: "Iteration and a writer", about: ABOUT, ..Findings::default() };
    let mut lines: Vec<Line> =
        setting.peers.iter().map(|peer| Line { name: peer.name().to_owned(), points: Vec::new() }).collect();
    for &entries in sizes {
        let workload = Workload {
            entries,
            choice: Choice::Uniform,
            mix: Mix { reads: 0.0, changes: Changes::Overwrites },
            threads: 1,
            script: options.script(),
            ..Workload::default()
        };
        let plan = workload.plan()?;
        let turns = rounds(&setting, &plan)?;
        for (line, (name, turns)) in lines.iter_mut().zip(&turns) {
            let samples = turns.iter().map(|turn| turn.ns_per_entry * entries as f64).collect();
            line.points.push(Point::spread(entries as f64, Series { name, samples }.summary()));
        }
        findings.tables.extend(tables(&document::entries(entries), &turns));
    }
    findings.plots.push(Plot {
        title: "One iteration beside a writer".into(),
        x: Axis::new("entries", Scale::Log, Unit::Count),
        y: Axis::new("time of an iteration", Scale::Log, Unit::Nanoseconds),
        kind: PlotKind::Lines,
        lines,
    });
    Ok(findings)
}

type Turns = (&'static str, Vec<Turn>);

/// Interleaved rounds, of which the first does not count; the maps stay the same.
fn rounds(setting: &Setting, plan: &Plan<u64>) -> Result<Vec<Turns>> {
    let mut contenders = Vec::new();
    for &peer in &setting.peers {
        contenders.push((peer.name(), contender(peer, setting, plan)?));
    }
    let mut turns: Vec<Turns> = contenders.iter().map(|(name, _)| (*name, Vec::new())).collect();
    for round in 0..=setting.rounds {
        for ((_, act), (_, turns)) in contenders.iter().zip(&mut turns) {
            let turn = act()?;
            if round > 0 {
                turns.push(turn);
            }
        }
    }
    Ok(turns)
}

type Contender<'a> = Box<dyn Fn() -> Result<Turn> + 'a>;

fn contender<'a>(peer: Peer, setting: &'a Setting, plan: &'a Plan<u64>) -> Result<Contender<'a>> {
    Ok(match peer {
        Peer::Readmostly => with::<Readmostly<u64, u64>>(setting, plan),
        Peer::Dashmap => with::<Dashmap<u64, u64>>(setting, plan),
        Peer::Papaya => with::<Papaya<u64, u64>>(setting, plan),
        Peer::SccIndex => with::<SccIndex<u64, u64>>(setting, plan),
        Peer::SccMap => with::<SccMap<u64, u64>>(setting, plan),
        other => bail!("expected a map with an iteration, got {other}"),
    })
}

fn with<'a, M>(setting: &'a Setting, plan: &'a Plan<u64>) -> Contender<'a>
where
    M: Map<u64, u64>,
    for<'m> M::Handle<'m>: Range<u64, u64>,
{
    let map = M::filled(setting.hasher, plan.keys.iter().map(|&key| (key, keys::value_of(key))));
    Box::new(move || turn(&map, setting, plan))
}

fn turn<M>(map: &M, setting: &Setting, plan: &Plan<u64>) -> Result<Turn>
where
    M: Map<u64, u64>,
    for<'m> M::Handle<'m>: Range<u64, u64>,
{
    let entries = plan.filled as f64;
    let until_stopped = |stop: &AtomicBool| iterate(map, |_| stop.load(Ordering::Relaxed));
    let ((), alone) = beside(setting, |_| (), || iterate(map, |elapsed| elapsed >= setting.round));
    let ((), writes_alone) = beside(setting, |_| (), || write(map, plan, setting.round));
    let (iterated, writes) = beside(setting, until_stopped, || write(map, plan, setting.round));
    let shown = alone.per_iteration();
    ensure!(shown == entries, "expected {} to show all {entries} entries while nobody writes, got {shown}", M::NAME);
    Ok(Turn {
        ns_per_entry_alone: alone.ns_per_entry,
        ns_per_entry: iterated.ns_per_entry,
        shown: iterated.per_iteration() / entries,
        writes_alone,
        writes,
    })
}

struct Iterated {
    ns_per_entry: f64,
    seen: usize,
    iterations: usize,
}

impl Iterated {
    fn per_iteration(&self) -> f64 {
        self.seen as f64 / self.iterations as f64
    }
}

/// Goes over all entries at least once and until `enough` of the time that has passed.
fn iterate<M>(map: &M, enough: impl Fn(Duration) -> bool) -> Iterated
where
    M: Map<u64, u64>,
    for<'m> M::Handle<'m>: Range<u64, u64>,
{
    let mut handle = map.handle();
    let (mut seen, mut iterations, mut sum) = (0, 0, 0_u64);
    let start = Instant::now();
    loop {
        handle.range(|_, value| {
            seen += 1;
            sum = sum.wrapping_add(*value);
        });
        iterations += 1;
        let elapsed = start.elapsed();
        if enough(elapsed) {
            std::hint::black_box(sum);
            return Iterated { ns_per_entry: elapsed.as_nanos() as f64 / seen as f64, seen, iterations };
        }
    }
}

/// Overwrites for so long, one operation after the other.
fn write<M: Map<u64, u64>>(map: &M, plan: &Plan<u64>, duration: Duration) -> Latencies {
    let mut timings = Timings::touched();
    let mut player: Player<'_, u64, u64, _> = Player::new(map.handle(), plan, 0, Progress::new(0));
    let (pace, stopwatch) = (Pace::unbroken(CHUNK, 1), Stopwatch::default());
    let start = Instant::now();
    while start.elapsed() < duration {
        pace.keep(&mut player, 0, &stopwatch, &mut timings);
    }
    let [_, overwrites, ..] = timings.service;
    overwrites
}

fn tables(entries: &str, turns: &[Turns]) -> [Table; 2] {
    let mut iteration = Table::new(
        format!("{entries} entries: an iteration, time per entry"),
        [
            "map",
            "alone",
            "beside a writer",
            "beside / alone",
            "alone / the first's",
            "beside / the first's",
            "shown beside a writer",
        ],
    );
    let columns = ["map", "company"].into_iter().chain(COLUMNS);
    let mut writes = Table::new(format!("{entries} entries: service time of an overwrite"), columns);
    let series =
        |turns: &[Turn], figure: fn(&Turn) -> f64| Series { name: "", samples: turns.iter().map(figure).collect() };
    let both =
        |turns: &[Turn]| (series(turns, |turn| turn.ns_per_entry_alone), series(turns, |turn| turn.ns_per_entry));
    for (name, contender) in turns {
        let (alone, beside) = both(contender);
        let (first_alone, first_beside) = both(&turns[0].1);
        iteration.row([
            Cell::from(*name),
            Cell::spread(alone.summary(), Unit::Nanoseconds),
            Cell::spread(beside.summary(), Unit::Nanoseconds),
            Cell::Ratio(beside.ratio_to(&alone)),
            Cell::Ratio(alone.ratio_to(&first_alone)),
            Cell::Ratio(beside.ratio_to(&first_beside)),
            Cell::spread(series(contender, |turn| turn.shown).summary(), Unit::Percent),
        ]);
        let alone: Distribution = contender.iter().map(|turn| &turn.writes_alone).collect();
        let beside: Distribution = contender.iter().map(|turn| &turn.writes).collect();
        for (company, distribution) in [("alone", &alone), ("beside an iteration", &beside)] {
            writes.row([Cell::from(*name), company.into()].into_iter().chain(cells(distribution)));
        }
    }
    [iteration, writes]
}
