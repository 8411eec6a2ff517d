//! Reads beside a thread that inserts without pause.

use super::{
    Findings, Options,
    acts::{Act, Acted, beside, interleave},
};
use crate::{
    document::{self, Axis, Cell, Line, Plot, PlotKind, Scale, Table, Unit},
    keys::{self, Choice},
    latency::{Latencies, Stopwatch},
    load::{
        Changes, Filling, Mix, Plan, Player, Progress, Setting, Workload,
        open::{Distribution, Pace, Timings},
        preempted,
        profiles::{COLUMNS, cells, curve, ratios},
    },
    peers::{Handle, Map, Peer, RENEW},
    threads::preemptions,
};
use anyhow::{Result, ensure};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

const ABOUT: &str = "One thread reads at a fixed rate, as under `latency`, while another inserts new keys as fast as it \
    can, so that the map grows all the time. `alone`: nobody inserts. `present` reads look for keys that were in the map \
    from the start, `absent` ones for keys that never are. Each turn begins with a new map. The rate of the inserts \
    belongs to the picture: a map that inserts faster grows more often. Latency leaves out what the system took from the \
    reading thread, as `undisturbed` does there.

`reads at full speed` are in a closed loop beside the same thread.";

/// Reads per second.
const RATE: f64 = 500_000.0;
/// Reads in a closed loop between two looks at the clock.
const CHUNK: usize = 256;

struct Reads<'a> {
    plan: &'a Plan<u64>,
    beside_inserts: bool,
}

struct Turn {
    latency: Latencies,
    inserts_per_second: f64,
    reads_per_second: f64,
    preemptions: Option<u64>,
}

impl Act for Reads<'_> {
    type Figure = Turn;

    fn turn<M: Map<u64, u64>>(&self, setting: &Setting) -> Result<Turn> {
        let map = M::empty(self.plan.capacity, setting.hasher);
        map.load(self.plan.keys[..self.plan.filled].iter().map(|&key| (key, keys::value_of(key))));
        map.settle();
        let inserter = |stop: &AtomicBool| if self.beside_inserts { insert_until(&map, stop) } else { 0 };
        let (inserts, read) = beside(setting, inserter, || self.read(&map, setting.round));
        let wrong = read.wrong;
        ensure!(wrong == 0, "expected {} to be a correct map, but {wrong} reads found other keys' values", M::NAME);
        Ok(Turn { inserts_per_second: inserts as f64 / read.elapsed.as_secs_f64(), ..read.turn })
    }
}

/// What the reading thread did.
struct Read {
    turn: Turn,
    wrong: u64,
    elapsed: Duration,
}

impl Reads<'_> {
    /// Reads at the rate for that long, and then for a while as fast as it can.
    fn read<M: Map<u64, u64>>(&self, map: &M, duration: Duration) -> Read {
        let mut timings = Timings::touched();
        let mut player: Player<'_, u64, u64, _> = Player::new(map.handle(), self.plan, 0, Progress::new(0));
        let before = preemptions();
        let start = Instant::now();
        Pace::new(RATE, duration, 1).keep(&mut player, 0, &Stopwatch::default(), &mut timings);
        let (fast, mut reads) = (Instant::now(), 0);
        while fast.elapsed() < duration / 4 {
            player.play(CHUNK);
            reads += CHUNK;
        }
        let (reads_per_second, elapsed) = (reads as f64 / fast.elapsed().as_secs_f64(), start.elapsed());
        let preemptions = preemptions().zip(before).map(|(after, before)| after - before);
        let [latency, ..] = timings.undisturbed;
        let turn = Turn { latency, inserts_per_second: 0.0, reads_per_second, preemptions };
        Read { turn, wrong: player.finish().1.wrong, elapsed }
    }
}

/// Inserts new keys until it is told to stop; how many.
fn insert_until<M: Map<u64, u64>>(map: &M, stop: &AtomicBool) -> usize {
    let mut handle = map.handle();
    let mut inserted = 0;
    while !stop.load(Ordering::Relaxed) {
        let first = keys::FRESH + inserted as u64;
        for key in (first..first + RENEW as u64).map(keys::nth) {
            handle.insert(key, keys::value_of(key));
        }
        handle.renew();
        inserted += RENEW;
    }
    inserted
}

pub(super) fn measure(options: &Options) -> Result<Findings> {
    let setting = options.setting_of(Peer::MAIN, options.either(3, 11), options.either(100, 300));
    let sizes: &[usize] = options.either(&[10_000], &[10_000, 1_000_000]);
    let mut findings = Findings { title: "Reads beside endless inserts", about: ABOUT, ..Findings::default() };
    let mut counts = Vec::new();
    for &entries in sizes {
        for (choice, word) in [(Choice::Uniform, "present"), (Choice::Absent, "absent")] {
            let workload = Workload {
                entries,
                choice,
                mix: Mix { reads: 100.0, changes: Changes::Overwrites },
                threads: 1,
                filling: Filling::Presized,
                script: options.script(),
                ..Workload::default()
            };
            let plan = workload.plan()?;
            for beside_inserts in [false, true] {
                let acted = interleave(&Reads { plan: &plan, beside_inserts }, &setting)?;
                counts.extend(acted.iter().flat_map(|a| &a.figures).filter_map(|turn| turn.preemptions));
                let company = if beside_inserts { "beside inserts" } else { "alone" };
                let title = format!("{} reads out of {}, {company}", word, document::entries(entries));
                findings.tables.extend(tables(&title, &acted));
                if beside_inserts {
                    findings.plots.push(plot(title, &acted));
                }
            }
        }
    }
    findings.notes = preempted(counts.into_iter().map(|count| count as f64));
    findings.notes.push(format!("Reads at {}.", Unit::OperationsPerSecond.show(RATE)));
    Ok(findings)
}

fn tables(title: &str, acted: &[Acted<Turn>]) -> Vec<Table> {
    let columns = ["map"].into_iter().chain(COLUMNS).chain(["reads at full speed", "inserts"]);
    let mut table = Table::new(title, columns);
    for contender in acted {
        let inserts = contender.series(|turn| turn.inserts_per_second).summary();
        let reads = contender.series(|turn| turn.reads_per_second).summary();
        table.row([Cell::from(contender.name)].into_iter().chain(cells(&distribution(contender))).chain([
            Cell::spread(reads, Unit::OperationsPerSecond),
            if inserts.max > 0.0 { Cell::spread(inserts, Unit::OperationsPerSecond) } else { Cell::Missing },
        ]));
    }
    let Some((first, others)) = acted.split_first().filter(|(_, others)| !others.is_empty()) else {
        return vec![table];
    };
    let columns = ["against"].into_iter().chain(COLUMNS).chain(["reads at full speed"]);
    let mut comparison = Table::new(format!("{title}: {} / the others'", first.name), columns);
    let speed = |contender: &Acted<Turn>| contender.series(|turn| turn.reads_per_second);
    for other in others {
        let ratios = ratios(&distribution(first), &distribution(other)).collect::<Vec<_>>();
        let full_speed = Cell::Ratio(speed(first).ratio_to(&speed(other)));
        comparison.row([Cell::from(other.name)].into_iter().chain(ratios).chain([full_speed]));
    }
    vec![table, comparison]
}

fn distribution(acted: &Acted<Turn>) -> Distribution {
    acted.figures.iter().map(|turn| &turn.latency).collect()
}

fn plot(title: String, acted: &[Acted<Turn>]) -> Plot {
    let line = |acted: &Acted<Turn>| Line { name: acted.name.to_owned(), points: curve(&distribution(acted).merged) };
    Plot {
        title,
        x: Axis::new("share of reads", Scale::Percentile, Unit::Percent),
        y: Axis::new("latency", Scale::Log, Unit::Nanoseconds),
        kind: PlotKind::Lines,
        lines: acted.iter().map(line).collect(),
    }
}
