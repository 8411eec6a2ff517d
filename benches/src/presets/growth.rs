//! The time of every single insert while a map grows from nothing.

use super::{
    Findings, Options,
    acts::{Act, Acted, interleave},
};
use crate::{
    document::{self, Axis, Cell, Line, Plot, PlotKind, Point, Scale, Table, Unit},
    keys,
    latency::{Latencies, Stopwatch},
    load::{
        Setting,
        open::Distribution,
        profiles::{COLUMNS, cells},
    },
    peers::{Handle, Map, Peer, RENEW},
    threads::preemptions,
};
use anyhow::Result;
use std::time::Instant;

const ABOUT: &str = "One thread inserts random keys into a map that was created without a capacity; every insert is timed. \
    The timeline shows, for each of some hundred stretches of the growth, the slowest insert, as the median over the \
    rounds: what belongs to the map comes back at the same place in every round, what belongs to the machine does not. \
    Every insert slower than 100 µs is shown on top, from all rounds. Inserts during which the system took the processor \
    away are left out, and counted.

The percentiles of growths to different sizes show whether the slowest inserts become slower with the map's size; a small \
    size is repeated with new maps until there are enough inserts.";

/// Stretches of the timeline.
const STRETCHES: usize = 400;
/// A slower insert is a stall.
const STALL_NS: u64 = 100_000;
/// For an insert that took longer than this it is looked up whether the system took the processor away.
const SUSPICIOUS_NS: u64 = 20_000;

struct Growth {
    /// Each new map grows to this many entries.
    entries: usize,
    /// How many maps grow.
    maps: usize,
}

struct Turn {
    latencies: Latencies,
    /// The slowest of each stretch, in nanoseconds.
    slowest: Vec<u64>,
    /// After how many entries, and how long.
    stalls: Vec<(usize, u64)>,
    preempted: u64,
    ns_per_insert: f64,
}

impl Act for Growth {
    type Figure = Turn;

    fn turn<M: Map<u64, u64>>(&self, setting: &Setting) -> Result<Turn> {
        let mut turn = Turn {
            latencies: Latencies::default(),
            slowest: vec![0; STRETCHES],
            stalls: Vec::new(),
            preempted: 0,
            ns_per_insert: 0.0,
        };
        turn.latencies.clear();
        let stopwatch = Stopwatch::default();
        for _ in 0..self.maps {
            let map = M::empty(0, setting.hasher);
            let start = Instant::now();
            self.grow(map.handle(), &stopwatch, &mut turn);
            turn.ns_per_insert += start.elapsed().as_nanos() as f64 / (self.entries * self.maps) as f64;
        }
        Ok(turn)
    }
}

impl Growth {
    fn grow(&self, mut handle: impl Handle<u64, u64>, stopwatch: &Stopwatch, turn: &mut Turn) {
        let mut seen = preemptions();
        for index in 0..self.entries {
            let key = keys::nth(index as u64);
            let (ns, ()) = stopwatch.time(|| handle.insert(key, keys::value_of(key)));
            if ns > SUSPICIOUS_NS {
                let now = preemptions();
                if now != seen {
                    seen = now;
                    turn.preempted += 1;
                    continue;
                }
            }
            turn.latencies.record(ns);
            let slowest = &mut turn.slowest[index * STRETCHES / self.entries];
            *slowest = ns.max(*slowest);
            if ns > STALL_NS {
                turn.stalls.push((index, ns));
            }
            if index % RENEW == 0 {
                handle.renew();
            }
        }
    }
}

pub(super) fn measure(options: &Options) -> Result<Findings> {
    let setting = options.setting_of(Peer::MAIN, options.either(3, 5), 0);
    let most = options.either(500_000, 8_000_000);
    let timeline = interleave(&Growth { entries: most, maps: 1 }, &setting)?;
    let mut tables = vec![summary(&format!("Growth to {}", document::entries(most)), &timeline)];
    let mut notes = Vec::new();
    let sizes: &[usize] = options.either(&[40_000, 400_000], &[40_000, 400_000, 4_000_000]);
    for &entries in sizes {
        let maps = (sizes[sizes.len() - 1] / entries).min(25);
        let acted = interleave(&Growth { entries, maps }, &setting)?;
        tables.push(percentiles(
            &format!("Single inserts, growth to {}, {maps} maps", document::entries(entries)),
            &acted,
        ));
    }
    let preempted: u64 = timeline.iter().flat_map(|acted| &acted.figures).map(|turn| turn.preempted).sum();
    notes.push(format!("{preempted} inserts of all timelines are left out, since the system took the processor away."));
    Ok(Findings {
        title: "Single inserts while a map grows",
        about: ABOUT,
        notes,
        plots: vec![plot(&timeline, most), stalls(&timeline)],
        tables,
    })
}

fn summary(title: &str, acted: &[Acted<Turn>]) -> Table {
    let mut table = Table::new(title, ["map", "mean", "slowest", "over 100 µs", "their sum", "left out"]);
    for contender in acted {
        let spread = |unit, figure: fn(&Turn) -> f64| Cell::spread(contender.series(figure).summary(), unit);
        table.row([
            contender.name.into(),
            spread(Unit::Nanoseconds, |turn| turn.ns_per_insert),
            spread(Unit::Nanoseconds, |turn| turn.latencies.max() as f64),
            spread(Unit::Count, |turn| turn.stalls.len() as f64),
            spread(Unit::Nanoseconds, |turn| turn.stalls.iter().map(|(_, ns)| *ns as f64).sum()),
            spread(Unit::Count, |turn| turn.preempted as f64),
        ]);
    }
    table
}

fn percentiles(title: &str, acted: &[Acted<Turn>]) -> Table {
    let mut table = Table::new(title, ["map"].into_iter().chain(COLUMNS));
    for contender in acted {
        let distribution: Distribution = contender.figures.iter().map(|turn| &turn.latencies).collect();
        table.row([Cell::from(contender.name)].into_iter().chain(cells(&distribution)));
    }
    table
}

fn axes() -> (Axis, Axis) {
    (
        Axis::new("entries in the map", Scale::Linear, Unit::Count),
        Axis::new("time of an insert", Scale::Log, Unit::Nanoseconds),
    )
}

fn plot(acted: &[Acted<Turn>], entries: usize) -> Plot {
    let line = |acted: &Acted<Turn>| {
        let point = |stretch: usize| {
            let slowest = acted.series(|turn| turn.slowest[stretch].max(1) as f64).summary();
            Point::new((stretch * entries / STRETCHES) as f64, slowest.median)
        };
        Line { name: acted.name.to_owned(), points: (0..STRETCHES).map(point).collect() }
    };
    let (x, y) = axes();
    let title = "The slowest insert of each stretch".to_owned();
    Plot { title, x, y, kind: PlotKind::Steps, lines: acted.iter().map(line).collect() }
}

fn stalls(acted: &[Acted<Turn>]) -> Plot {
    let line = |acted: &Acted<Turn>| {
        let mut stalls: Vec<(usize, u64)> = acted.figures.iter().flat_map(|turn| &turn.stalls).copied().collect();
        stalls.sort_unstable();
        let points = stalls.into_iter().map(|(index, ns)| Point::new(index as f64, ns as f64)).collect();
        Line { name: acted.name.to_owned(), points }
    };
    let (x, y) = axes();
    let title = "Every insert slower than 100 µs, all rounds".to_owned();
    Plot { title, x, y, kind: PlotKind::Points, lines: acted.iter().map(line).collect() }
}
