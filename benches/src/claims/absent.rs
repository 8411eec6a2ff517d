//! Lookups of absent keys while the map is amended, that is while new keys wait in the dirty table.
//!
//! Lookups of absent keys help to end that state, so it is measured in slices: present keys, then absent ones, and a
//! slice counts only if the map was amended before and after it.

use super::{
    Config,
    verdicts::{Limit, Line},
};
use crate::{
    document::{self, Unit},
    keys::{self, Order},
    measure::{Summary, sum_of},
    peers::{Handle, Map, Readmostly},
};
use std::time::{Duration, Instant};

const CLAIM: &str = "absent";
const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
/// A lookup of an absent key may cost this many times one of a present key.
const LIMIT: f64 = 2.0;
/// Lookups of each kind per slice: halved from the longest until the state survives a slice.
const LONGEST_SLICE: usize = 8_192;
const SHORTEST_SLICE: usize = 64;
/// Re-creating the state takes longer than measuring it, so a round also ends after this many times its duration.
const PATIENCE: u32 = 20;
/// New keys that a snapshot's holder may need until they are in the dirty table.
const MOST_NEW_KEYS: usize = 1_000;

/// How the map comes to be amended.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// It grows.
    Growth,
    /// A snapshot is alive, and new keys are inserted.
    Snapshot,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Growth => "amended by growth",
            Self::Snapshot => "amended beside a snapshot",
        }
    }
}

/// What lookups are measured through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    PerCall,
    Pinned,
}

pub(super) fn measure(config: &Config, progress: &impl Fn(&str)) -> Vec<Line> {
    config.cores.pin(0);
    let mut lines = Vec::new();
    for cause in [Cause::Growth, Cause::Snapshot] {
        for entries in SIZES {
            progress(&format!("absent: {}, {} entries", cause.name(), document::entries(entries)));
            for (access, name) in [(Access::PerCall, "get"), (Access::Pinned, "pinned get")] {
                let of = format!("{name} of an absent / of a present key");
                let subject = format!("{of}, {}, {} entries", cause.name(), document::entries(entries));
                lines.push(line(subject, access, Session::new(cause, access, entries, config).run()));
            }
        }
    }
    lines
}

fn line(subject: String, access: Access, outcome: Result<Tally, String>) -> Line {
    let line = match outcome {
        Ok(tally) => Line::info(CLAIM, subject, Unit::Ratio, Summary::of(&tally.ratios)).detail(tally.detail()),
        Err(reason) => Line::unmeasured(CLAIM, subject, reason),
    };
    match access {
        Access::PerCall => line.limited(Limit::AtMost(LIMIT)),
        Access::Pinned => line,
    }
}

/// A map with new keys in its dirty table.
struct Amended {
    map: Readmostly<u64, u64>,
    /// The keys it was built with; the few that came on top are not looked up.
    present: Vec<u64>,
    /// Kept for as long as the state is needed.
    _snapshot: Option<readmostly::Snapshot<u64, u64>>,
}

fn has_dirty_entries(map: &Readmostly<u64, u64>) -> bool {
    map.stats().dirty_len > 0
}

impl Amended {
    fn is_amended(&self) -> bool {
        has_dirty_entries(&self.map)
    }

    fn by(cause: Cause, entries: usize, config: &Config) -> Result<Self, String> {
        match cause {
            Cause::Growth => Self::by_growth(entries, config),
            Cause::Snapshot => Self::by_snapshot(entries, config),
        }
    }

    /// Grows a map until at least `entries` keys are in it and some of them in the dirty table.
    fn by_growth(entries: usize, config: &Config) -> Result<Self, String> {
        let map = Readmostly::empty(0, config.hasher);
        let mut present = Vec::new();
        for key in (0..8 * entries as u64).map(keys::nth) {
            map.insert(key, keys::value_of(key));
            present.push(key);
            if present.len() >= entries && has_dirty_entries(&map) {
                return Ok(Self { map, present, _snapshot: None });
            }
        }
        Err(format!("expected a map that grows from {entries} to {} entries to be amended at some point", 8 * entries))
    }

    /// Takes a snapshot of a settled map and inserts new keys until some are in the dirty table.
    fn by_snapshot(entries: usize, config: &Config) -> Result<Self, String> {
        let present = keys::present(Order::Random, entries);
        let map: Readmostly<u64, u64> = config.filled(&present);
        let snapshot = Some(map.snapshot());
        for key in (entries as u64..).map(keys::nth).take(MOST_NEW_KEYS) {
            map.insert(key, keys::value_of(key));
            if has_dirty_entries(&map) {
                return Ok(Self { map, present, _snapshot: snapshot });
            }
        }
        Err(format!("expected {MOST_NEW_KEYS} new keys beside a snapshot to amend a map of {entries} entries"))
    }
}

/// What the slices of all rounds added up to.
#[derive(Default)]
struct Tally {
    ratios: Vec<f64>,
    present: Vec<f64>,
    absent: Vec<f64>,
    kept: usize,
    lost: usize,
    lookups: usize,
    dirty: usize,
}

impl Tally {
    fn add(&mut self, slice: usize, dirty: usize) {
        self.kept += 1;
        self.lookups += slice;
        self.dirty += dirty;
    }

    fn detail(&self) -> String {
        let [absent, present] = [&self.absent, &self.present].map(|ns| document::duration(Summary::of(ns).median));
        format!(
            "{absent} / {present}; {} slices of {} lookups, {} more lost to promotion; {} dirty",
            self.kept,
            self.lookups / self.kept.max(1),
            self.lost,
            self.dirty / self.kept.max(1),
        )
    }
}

/// The time spent in lookups of one kind.
#[derive(Clone, Copy, Default)]
struct Spent {
    time: Duration,
    lookups: usize,
}

impl Spent {
    fn add(&mut self, time: Duration, lookups: usize) {
        self.time += time;
        self.lookups += lookups;
    }

    fn ns(self) -> f64 {
        self.time.as_nanos() as f64 / self.lookups as f64
    }
}

/// One line's measurement.
struct Session<'a> {
    cause: Cause,
    access: Access,
    entries: usize,
    config: &'a Config,
    /// The streams of lookups, and how far they have been used.
    present: Vec<u64>,
    absent: Vec<u64>,
    at: usize,
    slice: usize,
    /// How many keys `present` was made from.
    present_keys: usize,
    state: Option<Amended>,
    tally: Tally,
}

impl<'a> Session<'a> {
    fn new(cause: Cause, access: Access, entries: usize, config: &'a Config) -> Self {
        Self {
            cause,
            access,
            entries,
            config,
            present: Vec::new(),
            absent: keys::lookups(&keys::absent(entries), Order::Random, 2),
            at: 0,
            slice: LONGEST_SLICE,
            present_keys: 0,
            state: None,
            tally: Tally::default(),
        }
    }

    fn run(mut self) -> Result<Tally, String> {
        // The first round finds the slice's length and warms up.
        for round in 0..=self.config.rounds {
            let [present, absent] = self.round()?;
            if round == 0 {
                self.tally = Tally::default();
                continue;
            }
            self.tally.ratios.push(absent.ns() / present.ns());
            self.tally.present.push(present.ns());
            self.tally.absent.push(absent.ns());
        }
        Ok(self.tally)
    }

    fn round(&mut self) -> Result<[Spent; 2], String> {
        let [mut present, mut absent] = [Spent::default(); 2];
        let start = Instant::now();
        while present.time.min(absent.time) < self.config.round {
            if start.elapsed() > self.config.round * PATIENCE && present.lookups > 0 {
                break;
            }
            self.slice(&mut present, &mut absent)?;
        }
        Ok([present, absent])
    }

    fn slice(&mut self, present: &mut Spent, absent: &mut Spent) -> Result<(), String> {
        let (state, fresh) = match self.state.take() {
            Some(state) => (state, false),
            None => (self.recreate()?, true),
        };
        let (hits, misses) = (self.part_of(&self.present), self.part_of(&self.absent));
        let dirty = state.map.stats().dirty_len;
        let hit_time = time(&state.map, self.access, hits, true);
        let kept_by_hits = state.is_amended();
        let miss_time = time(&state.map, self.access, misses, false);
        self.at += self.slice;
        if kept_by_hits && state.is_amended() {
            present.add(hit_time, self.slice);
            absent.add(miss_time, self.slice);
            self.tally.add(self.slice, dirty);
            self.state = Some(state);
            return Ok(());
        }
        self.tally.lost += 1;
        if fresh && self.slice == SHORTEST_SLICE {
            return Err(format!("expected the map to stay amended for {SHORTEST_SLICE} lookups of absent keys"));
        }
        if fresh {
            self.slice /= 2;
        }
        Ok(())
    }

    /// The next slice's worth of a stream.
    fn part_of<'s>(&self, stream: &'s [u64]) -> &'s [u64] {
        let start = self.at % (stream.len() - self.slice + 1);
        &stream[start..start + self.slice]
    }

    fn recreate(&mut self) -> Result<Amended, String> {
        let state = Amended::by(self.cause, self.entries, self.config)?;
        if self.present_keys != state.present.len() {
            self.present = keys::lookups(&state.present, Order::Random, 3);
            self.present_keys = state.present.len();
        }
        // Lookups of present keys leave the state alone, so they can bring it into the cache.
        time(&state.map, self.access, &self.present[..self.entries.min(keys::STREAM)], true);
        Ok(state)
    }
}

/// The time that the lookups of `stream` take, all of them present or all absent.
fn time(map: &Readmostly<u64, u64>, access: Access, stream: &[u64], present: bool) -> Duration {
    fn timed<H: Handle<u64, u64>>(mut handle: H, stream: &[u64]) -> (Duration, u64) {
        let start = Instant::now();
        let sum = sum_of(&mut handle, stream);
        (start.elapsed(), sum)
    }
    let (elapsed, sum) = match access {
        Access::PerCall => timed(map, stream),
        Access::Pinned => timed(map.pin(), stream),
    };
    let values = stream.iter().copied().map(keys::value_of);
    let expected = if present { values.fold(0, u64::wrapping_add) } else { 0 };
    assert_eq!(sum, expected, "expected to find every present key with its value, and no absent one");
    elapsed
}
