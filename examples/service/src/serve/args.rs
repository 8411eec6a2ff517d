//! The arguments of `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use humantime::parse_duration;

use crate::cache::MapKind;

/// How to serve. Durations are written as in `5s`, `250ms`, `1m 30s`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Address to listen on; with port 0 the system chooses one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub(crate) listen: SocketAddr,

    /// SQLite database, created if it is missing; without it one in a fresh temporary folder
    #[arg(long, value_name = "FILE", conflicts_with = "redis")]
    pub(crate) database: Option<PathBuf>,

    /// Redis or Valkey in place of SQLite, as in redis://127.0.0.1:6379
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,

    /// Begins all keys in Redis; no others are read or written
    #[arg(long, default_value = "readmostly:", requires = "redis", value_name = "TEXT")]
    pub(crate) redis_prefix: String,

    /// How long cached entries are served, marked as stale, after the last sign of life from Redis, although others may
    /// have changed them unseen
    #[arg(long, value_parser = parse_duration, default_value = "0s", requires = "redis", value_name = "TIME")]
    pub(crate) redis_grace: Duration,

    /// Map that holds the cached entries
    #[arg(long, value_enum, default_value_t = MapKind::Readmostly)]
    pub(crate) map: MapKind,

    /// Where entries are kept for the next start
    #[arg(long, value_name = "FILE")]
    pub(crate) warm_file: Option<PathBuf>,

    /// How often the warm file is written, besides at the end
    #[arg(long, value_parser = positive, default_value = "60s", value_name = "TIME")]
    pub(crate) warm_every: Duration,

    /// How long it is remembered that the database has no value for a key
    #[arg(long, value_parser = positive, default_value = "5s", value_name = "TIME")]
    pub(crate) negative_ttl: Duration,

    /// Pause between two sweeps of expired entries
    #[arg(long, value_parser = positive, default_value = "1s", value_name = "TIME")]
    pub(crate) sweep_every: Duration,

    /// How long a sweep runs before it yields
    #[arg(long, value_parser = positive, default_value = "1ms", value_name = "TIME")]
    pub(crate) sweep_slice: Duration,

    /// How long a slice may take in fact before sweeps are suspended
    #[arg(long, value_parser = positive, default_value = "5ms", value_name = "TIME")]
    pub(crate) sweep_slo: Duration,

    /// Longest value, in bytes
    #[arg(long, default_value_t = 1 << 20, value_name = "BYTES")]
    pub(crate) body_limit: usize,

    /// How long a request waits for the database
    #[arg(long, value_parser = positive, default_value = "1s", value_name = "TIME")]
    pub(crate) load_timeout: Duration,

    /// How long a client may take to send a request's head, and again its body
    #[arg(long, value_parser = positive, default_value = "10s", value_name = "TIME")]
    pub(crate) client_timeout: Duration,

    /// Name in /status.json and of the metrics
    #[arg(long, default_value = "readmostly-service", value_name = "NAME")]
    pub(crate) instance: String,

    /// Serves POST /faults/database, /faults/sweep and /faults/panic, which make the database stall or fail, sweeps slow and
    /// a request panic
    #[arg(long)]
    pub(crate) faults: bool,

    /// Threads that serve requests; one for each core unless given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024), value_name = "N")]
    pub(crate) threads: Option<u16>,
}

fn positive(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(time) if time >= Duration::from_millis(1) => Ok(time),
        Ok(_) => Err("expected a time of at least 1ms".into()),
        Err(error) => Err(format!("{error}; expected a time as in 5s or 250ms")),
    }
}
