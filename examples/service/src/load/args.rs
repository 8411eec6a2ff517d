//! The arguments of `load`.

use super::{client::Target, plan::Workload, value};
use crate::cache::MapKind;
use anyhow::{Result, ensure};
use clap::value_parser;
use humantime::parse_duration;
use readmostly_bench::keys::{Choice, Trace};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// How to load a service, which is started unless `--url` says where one is. Durations are written as in `10s`, `250ms`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The service; repeat it for several instances, among which requests are divided
    #[arg(long, value_name = "URL")]
    pub(crate) url: Vec<Target>,

    /// Start the service once for each of these maps and compare them, the first with the others
    #[arg(long, value_name = "MAPS", value_enum, value_delimiter = ',', num_args = 1.., conflicts_with_all = ["url", "max"])]
    pub(crate) compare: Vec<MapKind>,

    /// The map of the service that is started
    #[arg(long, value_enum, default_value_t = MapKind::Readmostly, conflicts_with_all = ["url", "compare"])]
    pub(crate) map: MapKind,

    /// Threads of the service that is started
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024), default_value_t = 2)]
    pub(crate) server_threads: u16,

    /// Rounds of the comparison that count
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1000), default_value_t = 5)]
    pub(crate) rounds: u16,

    /// Requests per second; with --compare, half of what the slowest map can do unless given
    #[arg(long, value_name = "N", value_parser = rate, conflicts_with = "max")]
    pub(crate) rate: Option<f64>,

    /// How long requests are sent; with --compare, in each turn
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    pub(crate) duration: Duration,

    /// Find the highest rate at which no request is late
    #[arg(long)]
    pub(crate) max: bool,

    /// A request is late if it is answered so long after it was due; one in a thousand may be
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "20ms")]
    pub(crate) late: Duration,

    /// Check every answer: no other key's value, none torn, lost, or older than an acknowledged change
    #[arg(long)]
    pub(crate) verify: bool,

    /// How long a change may take until all instances know of it
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "0ms")]
    pub(crate) delay: Duration,

    /// Connections that are kept alive
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=10_000), default_value_t = 64)]
    pub(crate) connections: u16,

    /// Threads that send requests
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024), default_value_t = 1)]
    pub(crate) threads: u16,

    /// A request that is not answered in this time has failed
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    pub(crate) timeout: Duration,

    #[command(flatten)]
    pub(crate) requests: Requests,

    /// Write what was measured to a file, to be shown again by readmostly-bench report --from
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write a page with pictures
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// What to request.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Requests {
    /// Percentage of requests that read; 60, 80, 95 and 99 are usual
    #[arg(long, value_name = "PERCENT", value_parser = value_parser!(u8).range(0..=100), default_value_t = 95)]
    reads: u8,

    /// Percentage of the other requests that delete; the others write
    #[arg(long, value_name = "PERCENT", value_parser = value_parser!(u8).range(0..=100), default_value_t = 10)]
    deletes: u8,

    /// Percentage of written values that expire
    #[arg(long, value_name = "PERCENT", value_parser = value_parser!(u8).range(0..=100), default_value_t = 20)]
    expiring: u8,

    /// Seconds until they do
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u32).range(1..=31_536_000), default_value_t = 5)]
    ttl: u32,

    /// Keys, all of which are written before the measurement begins
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=50_000_000), default_value_t = 100_000)]
    keys: u32,

    /// The key of rank r is asked for in proportion to 1 / r^X
    #[arg(long, value_name = "X", default_value_t = 0.99, conflicts_with_all = ["uniform", "trace"])]
    zipf: f64,

    /// Each key is asked for equally often
    #[arg(long, conflicts_with = "trace")]
    uniform: bool,

    /// Keys are the pages of a trace in the ARC format, plain or compressed with zstd, in its order
    #[arg(long, value_name = "FILE", conflicts_with = "keys")]
    trace: Option<PathBuf>,

    /// Bytes of a value
    #[arg(long, value_name = "N", default_value_t = 256)]
    value_bytes: usize,

    /// Do not write all keys first
    #[arg(long)]
    pub(crate) no_fill: bool,

    /// Seed of everything that is drawn at random
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,
}

impl Requests {
    /// What requests are drawn from.
    pub(crate) fn workload(&self) -> Result<Workload> {
        let least = value::LEAST_BYTES;
        ensure!(
            (least..=1 << 20).contains(&self.value_bytes),
            "expected --value-bytes from {least} to {}, got {}",
            1 << 20,
            self.value_bytes
        );
        let trace = self.trace.as_deref().map(Trace::load).transpose()?.map(Arc::new);
        let keys = trace.as_ref().map_or(self.keys as usize, |trace| trace.pages());
        let choice = match trace {
            Some(trace) => Choice::Trace(trace),
            None if self.uniform => Choice::Uniform,
            None => Choice::Zipf(self.zipf),
        };
        let share = |percent: u8| f64::from(percent) / 100.0;
        Ok(Workload {
            keys,
            choice,
            reads: share(self.reads),
            deletes: share(self.deletes),
            expiring: share(self.expiring),
            ttl: self.ttl.into(),
            value_bytes: self.value_bytes,
        })
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| format!("{error}; expected a time as in 10s or 250ms"))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.1..=1e7).contains(&rate) => Ok(rate),
        _ => Err("expected a number from 0.1 to 10000000".into()),
    }
}
