//! Workloads by name, each with its tables and pictures.

mod acts;
mod barriers;
mod bustle;
mod cold;
mod crowds;
mod footprint;
mod growth;
mod latency;
mod mixes;
mod padding;
mod policy;
mod range;
mod replay;
mod stall;
mod xsync;

pub use footprint::{Life, live};

use crate::{
    document::{Plot, Section, Table},
    environment,
    load::Setting,
    peers::{Hasher, Peer},
    threads::Cores,
};
use anyhow::Result;
use clap::ValueEnum;
use std::{path::PathBuf, time::Duration};

/// A workload, or a family of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// ReadHeavy, Exchange and RapidGrow in the proportions of conc-map-bench
    Bustle,
    /// 100, 99, 90 and 75 % loads, the rest half stores and half deletes, warm and cold
    Xsync,
    /// 128 threads, 70 % reads and 30 % writes of 10 k random strings
    #[value(name = "classic-128")]
    Classic128,
    /// 64 threads, one million mixed operations on a set of flags
    Flags,
    /// 100 to 60 % reads, with overwrites and with inserts and removes of fresh keys
    Shares,
    /// A trace of page references as the accesses to a cache
    Replay,
    /// The time of every single insert while a map grows from nothing
    Growth,
    /// The latency of reads while another thread inserts without pause
    Stall,
    /// What the barriers of a reclaimer cost a thread that reads
    Barriers,
    /// The time of an iteration, and what it does to a writer
    Range,
    /// The first reads after a bulk load
    Cold,
    /// Values of 8 B to 64 KiB
    Values,
    /// When to promote a map that grows while it is read
    Policy,
    /// Neighbouring keys that different threads write
    Padding,
    /// Throughput over the number of threads
    Threads,
    /// Latency percentiles at 99, 95 and 80 % reads
    Latency,
    /// Bytes per entry over a map's life
    Memory,
}

impl Preset {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Bustle,
        Self::Xsync,
        Self::Classic128,
        Self::Flags,
        Self::Shares,
        Self::Replay,
        Self::Growth,
        Self::Stall,
        Self::Barriers,
        Self::Range,
        Self::Cold,
        Self::Values,
        Self::Policy,
        Self::Padding,
        Self::Threads,
        Self::Latency,
        Self::Memory,
    ];

    /// What it is called on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Measures it.
    pub fn measure(self, options: &Options) -> Result<Section> {
        let findings = match self {
            Self::Bustle => bustle::measure(options),
            Self::Xsync => xsync::measure(options),
            Self::Classic128 => crowds::classic(options),
            Self::Flags => crowds::flags(options),
            Self::Shares => mixes::shares(options),
            Self::Replay => replay::measure(options),
            Self::Growth => growth::measure(options),
            Self::Stall => stall::measure(options),
            Self::Barriers => barriers::measure(options),
            Self::Range => range::measure(options),
            Self::Cold => cold::measure(options),
            Self::Values => mixes::values(options),
            Self::Policy => policy::measure(options),
            Self::Padding => padding::measure(options),
            Self::Threads => mixes::threads(options),
            Self::Latency => latency::measure(options),
            Self::Memory => footprint::measure(options),
        }?;
        let Findings { title, about, notes, plots, tables } = findings;
        Ok(Section {
            name: self.name(),
            title: title.to_owned(),
            about: about.to_owned(),
            command: options.command(self),
            notes,
            plots,
            tables,
        })
    }
}

/// What came of a preset.
#[derive(Debug, Default)]
struct Findings {
    title: &'static str,
    about: &'static str,
    notes: Vec<String>,
    plots: Vec<Plot>,
    tables: Vec<Table>,
}

/// How to measure a preset.
#[derive(Clone, Debug)]
pub struct Options {
    /// The contenders, if not those that the preset is meant for; others are compared with the first.
    pub maps: Vec<Peer>,
    /// Smaller and fewer workloads, fewer and shorter rounds.
    pub quick: bool,
    /// Rounds that count, if not as many as the preset finds enough.
    pub rounds: Option<usize>,
    /// The duration of a contender's turn, if not what the preset finds long enough.
    pub round: Option<Duration>,
    /// The trace to replay.
    pub trace: Option<PathBuf>,
    /// Where threads are bound to.
    pub cores: Cores,
    /// The hasher of all maps.
    pub hasher: Hasher,
}

impl Options {
    /// `quick` in a quick measurement, else `full`.
    fn either<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }

    /// As many threads as there are cores.
    fn threads(&self) -> usize {
        self.cores.count().max(1)
    }

    /// The main peers or those asked for, and rounds of a closed loop.
    fn setting(&self) -> Setting {
        self.setting_of(Peer::MAIN, self.either(3, 11), self.either(10, 50))
    }

    /// These peers unless others were asked for, and so many rounds of that many milliseconds unless others were.
    fn setting_of(&self, peers: &[Peer], rounds: usize, round_ms: u64) -> Setting {
        Setting {
            peers: if self.maps.is_empty() { peers.to_vec() } else { self.maps.clone() },
            rounds: self.rounds.unwrap_or(rounds),
            round: self.round.unwrap_or(Duration::from_millis(round_ms)),
            cores: self.cores.clone(),
            hasher: self.hasher,
        }
    }

    /// Operations of a thread's script.
    fn script(&self) -> usize {
        self.either(1 << 17, 1 << 20)
    }

    fn command(&self, preset: Preset) -> String {
        let mut arguments = vec!["preset".to_owned(), preset.name()];
        let mut option = |name: &str, value: Option<String>| {
            arguments.extend(value.map(|value| [format!("--{name}"), value]).into_iter().flatten());
        };
        let maps: Vec<&str> = self.maps.iter().map(|peer| peer.name()).collect();
        option("maps", (!maps.is_empty()).then(|| maps.join(",")));
        option("rounds", self.rounds.map(|rounds| rounds.to_string()));
        option("round-ms", self.round.map(|round| round.as_millis().to_string()));
        option("trace", self.trace.as_ref().map(|path| path.display().to_string()));
        if self.quick {
            arguments.push("--quick".to_owned());
        }
        environment::command(arguments)
    }
}
