//! What the project promises, one module per kind of measurement.

mod absent;
mod batches;
mod lookups;
mod memory;
mod mixed;
pub mod verdicts;
mod writes;

use crate::{
    keys::value_of,
    peers::{Hasher, Map, Plain, plain},
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
    /// A lookup that pins for itself against the other concurrent maps
    Get,
    /// Lookups of 64 keys at a time against single ones under a held guard
    GetMany,
    /// Two threads, mostly reads: throughput and tail latency
    Mixed,
    /// Bytes per entry, and of an empty map
    Memory,
    /// Lookups of absent keys while the map is amended
    Absent,
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

/// Measures `claims`, or all if there are none, and calls `progress` before each.
pub fn measure(claims: &[Claim], config: &Config, progress: impl Fn(&str)) -> Result<Vec<Line>> {
    let wanted = |claim| claims.is_empty() || claims.contains(&claim);
    let mut lines = Vec::new();
    // First, since it starts processes that want the memory for themselves.
    if wanted(Claim::Memory) {
        lines.extend(memory::measure(config, &progress)?);
    }
    if wanted(Claim::PinnedGet) || wanted(Claim::Get) {
        lines.extend(lookups::measure(wanted(Claim::PinnedGet), wanted(Claim::Get), config, &progress));
    }
    if wanted(Claim::GetMany) {
        lines.extend(batches::measure(config, &progress));
    }
    if wanted(Claim::Mixed) {
        lines.extend(mixed::measure(config, &progress));
    }
    if wanted(Claim::Absent) {
        lines.extend(absent::measure(config, &progress));
    }
    if wanted(Claim::Writes) {
        lines.extend(writes::measure(config, &progress));
    }
    Ok(lines)
}
