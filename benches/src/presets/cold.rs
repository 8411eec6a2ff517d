//! The first reads after a bulk load.

use super::{
    Findings, Options,
    acts::{Act, Acted, interleave},
};
use crate::{
    document::{self, Axis, Cell, Line, Plot, PlotKind, Point, Scale, Table, Unit},
    keys::{self, Choice, Picker},
    latency::{Latencies, Stopwatch},
    load::{
        Setting,
        open::Distribution,
        profiles::{COLUMNS, cells},
    },
    peers::{Handle, Map, Peer, RENEW, Readmostly},
};
use anyhow::{Result, ensure};
use std::time::Instant;

const ABOUT: &str = "A map grows from nothing by a bulk load, and is then read by one thread, each key picked uniformly. \
    `as loaded`: reads follow the last insert. `settled`: before the first read, a map that has an operation for it is \
    brought into its best shape (`promote` for readmostly; the others have none, so their two columns should be alike). \
    The time of that operation is given too.";

/// The ends of the stretches of reads whose mean time is shown.
const STRETCHES: [usize; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];

struct FirstReads {
    entries: usize,
    reads: Vec<u64>,
}

/// What was measured with one start.
struct Start {
    settling: f64,
    /// Nanoseconds per read of each stretch.
    stretches: Vec<f64>,
    reads: Latencies,
}

/// As loaded, and settled.
type Turn = [Start; 2];

const STARTS: [&str; 2] = ["as loaded", "settled"];

impl FirstReads {
    fn new(entries: usize) -> Result<Self> {
        let picks = Picker::new(&Choice::Uniform, entries)?.picks(STRETCHES[STRETCHES.len() - 1], 0, 1);
        Ok(Self { entries, reads: picks.into_iter().map(|pick| keys::nth(u64::from(pick))).collect() })
    }

    fn loaded<M: Map<u64, u64>>(&self, settled: bool, setting: &Setting) -> (M, f64) {
        let map = M::empty(0, setting.hasher);
        map.load((0..self.entries as u64).map(keys::nth).map(|key| (key, keys::value_of(key))));
        let start = Instant::now();
        if settled {
            map.settle();
        }
        (map, start.elapsed().as_nanos() as f64)
    }

    fn start<M: Map<u64, u64>>(&self, settled: bool, setting: &Setting) -> Result<Start> {
        let (map, settling) = self.loaded::<M>(settled, setting);
        let stretches = self.read_in_stretches(&map)?;
        drop(map);
        let (map, _) = self.loaded::<M>(settled, setting);
        Ok(Start { settling, stretches, reads: self.read_one_by_one(&map) })
    }

    fn read_in_stretches<M: Map<u64, u64>>(&self, map: &M) -> Result<Vec<f64>> {
        let mut handle = map.handle();
        let (mut first, mut wrong, mut stretches) = (0, 0, Vec::new());
        for end in STRETCHES {
            let start = Instant::now();
            for some in self.reads[first..end].chunks(RENEW) {
                for key in some {
                    wrong += u64::from(handle.read(key, |value| *value) != Some(keys::value_of(*key)));
                }
                handle.renew();
            }
            stretches.push(start.elapsed().as_nanos() as f64 / (end - first) as f64);
            first = end;
        }
        ensure!(wrong == 0, "expected {} to have all keys with their values, but {wrong} reads failed", M::NAME);
        Ok(stretches)
    }

    fn read_one_by_one<M: Map<u64, u64>>(&self, map: &M) -> Latencies {
        let mut handle = map.handle();
        let (stopwatch, mut reads) = (Stopwatch::default(), Latencies::default());
        reads.clear();
        for key in &self.reads[..STRETCHES[STRETCHES.len() - 2]] {
            let (ns, value) = stopwatch.time(|| handle.read(key, |value| *value));
            std::hint::black_box(value);
            reads.record(ns);
        }
        reads
    }
}

impl Act for FirstReads {
    type Figure = Turn;

    fn turn<M: Map<u64, u64>>(&self, setting: &Setting) -> Result<Turn> {
        Ok([self.start::<M>(false, setting)?, self.start::<M>(true, setting)?])
    }
}

pub(super) fn measure(options: &Options) -> Result<Findings> {
    let setting = options.setting_of(Peer::MAIN, options.either(3, 11), 0);
    let sizes: &[usize] = options.either(&[100_000, 150_000], &[10_000, 100_000, 150_000, 600_000, 1_000_000]);
    let mut findings = Findings { title: "The first reads after a bulk load", about: ABOUT, ..Findings::default() };
    for &entries in sizes {
        let first_reads = FirstReads::new(entries)?;
        let acted = interleave(&first_reads, &setting)?;
        let title = format!("{} entries", document::entries(entries));
        findings.tables.push(means(&title, &acted));
        findings.tables.push(percentiles(&title, &acted));
        findings.plots.push(plot(&title, &acted));
        let (map, _) = first_reads.loaded::<Readmostly<u64, u64>>(false, &setting);
        let dirty = document::entries(map.stats().dirty_len);
        findings.notes.push(format!("{title}: {dirty} of them in the dirty table of readmostly as loaded."));
    }
    Ok(findings)
}

fn means(title: &str, acted: &[Acted<Turn>]) -> Table {
    let stretches = STRETCHES.map(|end| format!("to {}", document::entries(end)));
    let columns = ["map".to_owned(), "start".to_owned(), "settling".to_owned()].into_iter().chain(stretches);
    let mut table = Table::new(format!("{title}: mean time of a read, by how many came before"), columns);
    for contender in acted {
        for (at, word) in STARTS.into_iter().enumerate() {
            let spread = |figure: &dyn Fn(&Start) -> f64| {
                Cell::spread(contender.series(|turn| figure(&turn[at])).summary(), Unit::Nanoseconds)
            };
            let settling = if at == 0 { Cell::Missing } else { spread(&|start| start.settling) };
            let stretches = (0..STRETCHES.len()).map(|index| spread(&|start| start.stretches[index]));
            table.row([Cell::from(contender.name), word.into(), settling].into_iter().chain(stretches));
        }
    }
    table
}

fn percentiles(title: &str, acted: &[Acted<Turn>]) -> Table {
    let first = document::entries(STRETCHES[STRETCHES.len() - 2]);
    let columns = ["map", "start"].into_iter().chain(COLUMNS);
    let mut table = Table::new(format!("{title}: service time of the first {first} reads"), columns);
    for contender in acted {
        for (at, word) in STARTS.into_iter().enumerate() {
            let distribution: Distribution = contender.figures.iter().map(|turn| &turn[at].reads).collect();
            table.row([Cell::from(contender.name), word.into()].into_iter().chain(cells(&distribution)));
        }
    }
    table
}

fn plot(title: &str, acted: &[Acted<Turn>]) -> Plot {
    let line = |acted: &Acted<Turn>| {
        let point = |(index, end): (usize, usize)| {
            Point::spread(end as f64, acted.series(|turn| turn[0].stretches[index]).summary())
        };
        Line { name: acted.name.to_owned(), points: STRETCHES.into_iter().enumerate().map(point).collect() }
    };
    Plot {
        title: format!("{title}, as loaded"),
        x: Axis::new("reads since the last insert", Scale::Log, Unit::Count),
        y: Axis::new("mean time of a read", Scale::Log, Unit::Nanoseconds),
        kind: PlotKind::Lines,
        lines: acted.iter().map(line).collect(),
    }
}
