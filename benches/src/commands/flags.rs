//! Options that several subcommands have.

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use readmostly_bench::{
    keys::{Choice, Trace},
    load::{Changes, Filling, KeyKind, Mix, Setting, ValueKind, Workload},
    peers::{Hasher, Peer},
    threads::Cores,
};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// How keys are picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Keys {
    /// Each equally often
    Uniform,
    /// In proportion to a power of their rank, see --skew
    Zipf,
    /// Always the same one
    Hot,
    /// Reads look for keys that are not there
    Absent,
    /// As a trace has them, see --trace
    Trace,
}

/// What the threads do.
#[derive(Debug, Args)]
pub(super) struct WorkloadFlags {
    /// Keys of the map; with a trace as many as it has pages
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    entries: usize,

    /// How keys are picked
    #[arg(long, value_name = "CHOICE", default_value = "uniform")]
    keys: Keys,

    /// Exponent of --keys zipf
    #[arg(long, value_name = "S", default_value_t = 0.99)]
    skew: f64,

    /// File of --keys trace: `first_page page_count ignore request_number` per line, plain or zstd
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// What keys are
    #[arg(long, value_name = "TYPE", default_value = "int")]
    key_type: KeyKind,

    /// What values are: 8, 64 or 1024 bytes in place, or arc:N for N bytes behind an Arc
    #[arg(long, value_name = "BYTES", default_value = "8")]
    value: ValueKind,

    /// Reads, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 95.0)]
    reads: f64,

    /// What the rest does
    #[arg(long, value_name = "KIND", default_value = "overwrites")]
    changes: Changes,

    /// Threads; one per core unless given
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// What is in the map at the start
    #[arg(long, value_name = "HOW", default_value = "presized")]
    filled: Filling,

    /// Leave the map as it is after it was filled
    #[arg(long)]
    unsettled: bool,

    /// A new map for every turn, and no warm-up
    #[arg(long)]
    cold: bool,

    /// Operations of a thread that are drawn before, and then repeated
    #[arg(long, value_name = "N", default_value_t = 1 << 20)]
    script: usize,
}

impl WorkloadFlags {
    pub(super) fn workload(&self, cores: &Cores) -> Result<Workload> {
        let choice = match self.keys {
            Keys::Uniform => Choice::Uniform,
            Keys::Zipf => Choice::Zipf(self.skew),
            Keys::Hot => Choice::Hot,
            Keys::Absent => Choice::Absent,
            Keys::Trace => {
                let path = self.trace.as_deref().context("expected --trace FILE beside --keys trace")?;
                Choice::Trace(Arc::new(Trace::load(path)?))
            }
        };
        let entries = if let Choice::Trace(trace) = &choice { trace.pages() } else { self.entries };
        ensure!(self.threads != Some(0), "expected at least one thread");
        Ok(Workload {
            keys: self.key_type,
            value: self.value,
            entries,
            choice,
            mix: Mix { reads: self.reads, changes: self.changes },
            threads: self.threads.unwrap_or(cores.count().max(1)),
            filling: self.filled,
            settled: !self.unsettled,
            cold: self.cold,
            script: self.script,
        })
    }
}

/// Which maps.
#[derive(Debug, Args)]
pub(super) struct MapFlags {
    /// Maps, the first of which the others are compared with
    #[arg(long, value_name = "MAP,...", value_delimiter = ',')]
    pub(super) maps: Vec<Peer>,

    /// Interleaved rounds that count
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) rounds: Option<u16>,

    /// Duration of a contender's turn, in milliseconds
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) round_ms: Option<u64>,
}

impl MapFlags {
    /// So many rounds of that many milliseconds unless others were asked for.
    pub(super) fn setting(&self, rounds: usize, round_ms: u64) -> Setting {
        Setting {
            peers: if self.maps.is_empty() { Peer::MAIN.to_vec() } else { self.maps.clone() },
            rounds: self.rounds.map_or(rounds, usize::from),
            round: Duration::from_millis(self.round_ms.unwrap_or(round_ms)),
            cores: Cores::available(),
            hasher: Hasher::default(),
        }
    }
}
