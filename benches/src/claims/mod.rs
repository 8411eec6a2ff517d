//! What the project promises, one module per kind of measurement.

mod absent;
mod batches;
mod lookups;
mod memory;
mod mixed;
mod shared;
mod sweeps;
mod tails;
pub mod verdicts;
mod writes;

use crate::{
    document,
    keys::{Choice, value_of},
    load::{Changes, Mix, Setting, Workload},
    peers::{Hasher, Map, Peer, Plain, plain},
    threads::Cores,
};
use anyhow::Result;
use std::time::Duration;
use verdicts::Line;

pub use memory::{Filling, Probe, probe};

/// Something the project promises, or wants to know about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Claim {
    /// A lookup under a held guard against a map without synchronisation
    PinnedGet,
    /// A lookup that pins for itself against a map without synchronisation and the other concurrent maps
    Get,
    /// Lookups of 64 keys at a time against single ones under a held guard
    GetMany,
    /// Two threads, mostly reads: throughput and tail latency
    Mixed,
    /// Two threads on popular keys: throughput against every peer
    Shared,
    /// Two threads, reads and overwrites: P99.9 of the reads against every peer
    Tails,
    /// Bytes per entry, and of an empty map
    Memory,
    /// Lookups of absent keys while the map is amended
    Absent,
    /// Iteration in slices: its cost, its longest slice, and what lookups notice of it
    Sweeps,
    /// For information: inserts, overwrites, removes and growth
    Writes,
}

/// How thoroughly to measure.
#[derive(Clone, Debug)]
pub struct Config {
    /// Rounds per figure.
    pub rounds: usize,
    /// The shortest duration of a contender's turn.
    pub round: Duration,
    /// Leave out what takes long and has no limit.
    pub quick: bool,
    /// Where threads are bound to.
    pub cores: Cores,
    /// The hasher of all maps.
    pub hasher: Hasher,
}

impl Config {
    /// Fewer rounds for measurements whose rounds take a second or so.
    fn long_rounds(&self) -> usize {
        self.rounds.min(if self.quick { 2 } else { 7 })
    }

    /// Rounds of that length in which this map meets its peers.
    fn setting(&self, round: Duration) -> Setting {
        Setting {
            peers: vec![Peer::Readmostly, Peer::Dashmap, Peer::Papaya, Peer::SccIndex],
            rounds: self.rounds,
            round,
            cores: self.cores.clone(),
            hasher: self.hasher,
        }
    }

    fn filled<M: Map<u64, u64>>(&self, keys: &[u64]) -> M {
        M::filled(self.hasher, entries(keys))
    }

    fn grown<M: Map<u64, u64>>(&self, keys: &[u64]) -> M {
        M::grown(self.hasher, entries(keys))
    }

    fn plain(&self, keys: &[u64]) -> Plain<u64, u64> {
        plain(self.hasher, entries(keys))
    }
}

fn entries(keys: &[u64]) -> impl ExactSizeIterator<Item = (u64, u64)> {
    keys.iter().map(|&key| (key, value_of(key)))
}

/// Two threads that read and overwrite the same keys.
#[derive(Clone, Debug)]
struct Sharing {
    entries: usize,
    choice: Choice,
    /// In percent.
    reads: f64,
}

impl Sharing {
    fn name(&self) -> String {
        let Self { entries, choice, reads } = self;
        format!("{} over {}, {reads} % reads", choice.name(), document::entries(*entries))
    }

    fn workload(&self) -> Workload {
        let mix = Mix { reads: self.reads, changes: Changes::Overwrites };
        Workload { entries: self.entries, choice: self.choice.clone(), mix, threads: 2, ..Workload::default() }
    }
}

/// Measures `claims`, or all if there are none, and calls `progress` before each.
pub fn measure(claims: &[Claim], config: &Config, progress: impl Fn(&str)) -> Result<Vec<Line>> {
    let wanted = |claim| claims.is_empty() || claims.contains(&claim);
    let mut lines = Vec::new();
    // First, since it starts processes that want the memory for themselves.
    if wanted(Claim::Memory) {
        lines.extend(memory::measure(config, &progress)?);
    }
    if wanted(Claim::PinnedGet) || wanted(Claim::Get) {
        let wanted = lookups::Wanted { pinned: wanted(Claim::PinnedGet), get: wanted(Claim::Get) };
        lines.extend(lookups::measure(wanted, config, &progress));
    }
    if wanted(Claim::GetMany) {
        lines.extend(batches::measure(config, &progress));
    }
    if wanted(Claim::Mixed) {
        lines.extend(mixed::measure(config, &progress));
    }
    if wanted(Claim::Shared) {
        lines.extend(shared::measure(config, &progress)?);
    }
    if wanted(Claim::Tails) {
        lines.extend(tails::measure(config, &progress)?);
    }
    if wanted(Claim::Absent) {
        lines.extend(absent::measure(config, &progress));
    }
    if wanted(Claim::Sweeps) {
        lines.extend(sweeps::measure(config, &progress));
    }
    if wanted(Claim::Writes) {
        lines.extend(writes::measure(config, &progress));
    }
    Ok(lines)
}
