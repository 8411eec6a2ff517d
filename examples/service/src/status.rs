//! The figures of /status.json, which the status page shows.

use readmostly::Stats;
use serde::Serialize;

use crate::store::NearCache;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) instance: String,
    pub(crate) map: &'static str,
    pub(crate) uptime_seconds: f64,
    pub(crate) ready: bool,
    pub(crate) entries: usize,
    pub(crate) negative_entries: usize,
    #[serde(flatten)]
    pub(crate) totals: Totals,
    pub(crate) loading: usize,
    pub(crate) latency_us: Latency,
    pub(crate) map_stats: Option<Stats>,
    pub(crate) resident_bytes: usize,
    pub(crate) sweeps: Sweeps,
    pub(crate) near_cache: Option<NearCache>,
    pub(crate) series: Vec<Second>,
}

/// Since the start.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    pub(crate) hits: u64,
    pub(crate) negative_hits: u64,
    pub(crate) misses: u64,
    pub(crate) loads: u64,
    pub(crate) load_failures: u64,
}

/// Of the requests of a second, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sweeps {
    pub(crate) count: u64,
    pub(crate) expired: u64,
    pub(crate) last_ms: f64,
    pub(crate) longest_slice_us: f64,
    pub(crate) breaker: Breaker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Breaker {
    Closed,
    Open,
    HalfOpen,
}

/// What happened in one second.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Second {
    /// Seconds since the start.
    pub(crate) t: u64,
    /// Requests.
    pub(crate) rate: f64,
    /// Share of the reads that the cache answered, negative answers among them.
    pub(crate) hit_rate: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) promotions: u64,
    pub(crate) resident_bytes: usize,
    pub(crate) entries: usize,
}
