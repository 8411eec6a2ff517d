//! The command line, checked as far as it can be without opening a file.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Parser, ValueEnum};

/// The generated workload runs this long unless told otherwise.
const DEFAULT_SECONDS: f64 = 5.0;
const MAX_THREADS: u64 = 1024;
/// Ids of keys are 31 bits wide; this many already take gigabytes.
const MAX_KEYS: u64 = 100_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MapKind {
    /// readmostly::SyncMap
    Syncmap,
    /// dashmap::DashMap
    Dashmap,
    /// std::sync::RwLock over std::collections::HashMap
    Rwlock,
}

impl MapKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            MapKind::Syncmap => "syncmap",
            MapKind::Dashmap => "dashmap",
            MapKind::Rwlock => "rwlock",
        }
    }
}

/// Runs a bounded read-through cache with several threads and reports hit rate, throughput and latency.
#[derive(Debug, Parser)]
#[command(name = "cache", max_term_width = 100)]
struct Cli {
    /// The map the cache is built on
    #[arg(long, value_enum, default_value = "syncmap")]
    map: MapKind,

    /// Threads that use the cache, 1 to 1024 [default: one per available core]
    #[arg(long, value_name = "N", value_parser = whole(1, MAX_THREADS), allow_negative_numbers = true)]
    threads: Option<u64>,

    /// How long to run [default: 5; with --trace, once through]
    #[arg(long, value_name = "S", value_parser = seconds, allow_negative_numbers = true)]
    seconds: Option<Duration>,

    /// Percentage of accesses that read; the others overwrite [default: 99; with --trace, 100]
    #[arg(long, value_name = "PERCENT", value_parser = whole(0, 100), allow_negative_numbers = true)]
    read_share: Option<u64>,

    /// Entries the cache may hold before it evicts [default: a quarter of all keys]
    #[arg(long, value_name = "N", value_parser = whole(1, 1 << 32), allow_negative_numbers = true)]
    capacity: Option<u64>,

    /// Replay an ARC-format trace, plain or zstd-compressed, instead of generating a workload
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// Keys of the generated workload
    #[arg(long, value_name = "N", default_value = "1000000", conflicts_with = "trace",
          value_parser = whole(1, MAX_KEYS), allow_negative_numbers = true)]
    keys: u64,

    /// Zipf exponent of the generated workload, 0 (uniform) to 10
    #[arg(long, value_name = "X", default_value = "0.99", conflicts_with = "trace", value_parser = skew,
          allow_negative_numbers = true)]
    skew: f64,

    /// Seed of everything that is drawn at random
    #[arg(long, value_name = "N", default_value = "42",
          value_parser = whole(0, u64::MAX), allow_negative_numbers = true)]
    seed: u64,

    /// Bytes in a value, 8 to 1048576
    #[arg(long, value_name = "BYTES", default_value = "64",
          value_parser = whole(8, 1 << 20), allow_negative_numbers = true)]
    value_size: u64,

    /// Time every Nth get; inserts and evictions are all timed
    #[arg(long, value_name = "N", default_value = "16",
          value_parser = whole(1, 1_000_000), allow_negative_numbers = true)]
    sample: u64,

    /// Print the report as one JSON object, times in nanoseconds
    #[arg(long)]
    json: bool,
}

/// Where the accesses come from.
#[derive(Debug)]
pub(crate) enum Source {
    Zipf { keys: usize, skew: f64 },
    Trace(PathBuf),
}

#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) map: MapKind,
    pub(crate) threads: usize,
    /// `None` replays the workload exactly once.
    pub(crate) duration: Option<Duration>,
    pub(crate) read_share: u32,
    pub(crate) capacity: Option<usize>,
    pub(crate) source: Source,
    pub(crate) seed: u64,
    pub(crate) value_size: usize,
    pub(crate) sample: u64,
    pub(crate) json: bool,
}

#[derive(Debug)]
pub(crate) enum Parsed {
    Run(Config),
    Help(String),
}

pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Parsed, String> {
    match Cli::try_parse_from(args) {
        Ok(cli) => Ok(Parsed::Run(Config::from(cli))),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => Ok(Parsed::Help(error.to_string())),
        Err(error) => Err(one_line(&error)),
    }
}

impl From<Cli> for Config {
    fn from(cli: Cli) -> Self {
        let traced = cli.trace.is_some();
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Config {
            map: cli.map,
            threads: cli.threads.map_or(cores.min(MAX_THREADS as usize), |threads| threads as usize),
            duration: cli.seconds.or((!traced).then(|| Duration::from_secs_f64(DEFAULT_SECONDS))),
            read_share: cli.read_share.unwrap_or(if traced { 100 } else { 99 }) as u32,
            capacity: cli.capacity.map(|capacity| capacity as usize),
            source: match cli.trace {
                Some(path) => Source::Trace(path),
                None => Source::Zipf { keys: cli.keys as usize, skew: cli.skew },
            },
            seed: cli.seed,
            value_size: cli.value_size as usize,
            sample: cli.sample,
            json: cli.json,
        }
    }
}

fn whole(min: u64, max: u64) -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse::<u64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("expected a whole number from {min} to {max}")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.001..=86_400.0).contains(&number) => Ok(Duration::from_secs_f64(number)),
        _ => Err("expected a number of seconds from 0.001 to 86400".to_owned()),
    }
}

fn skew(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=10.0).contains(&number) => Ok(number),
        _ => Err("expected a number from 0 to 10".to_owned()),
    }
}

/// Clap's message without the usage and the tips that follow its first paragraph.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let paragraph: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let message = paragraph.join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    match error.kind() {
        ErrorKind::UnknownArgument => {
            format!("{message}; expected one of the options that --help lists")
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Result<Config, String> {
        let args = std::iter::once("cache").chain(args.iter().copied()).map(OsString::from);
        match parse(args)? {
            Parsed::Run(config) => Ok(config),
            Parsed::Help(text) => panic!("help instead of a run: {text}"),
        }
    }

    fn message(args: &[&str]) -> String {
        run(args).map(|config| format!("{config:?}")).expect_err("arguments that must be rejected")
    }

    #[test]
    fn defaults_differ_between_generated_and_traced() {
        let generated = run(&[]).unwrap();
        assert_eq!(generated.map, MapKind::Syncmap);
        assert_eq!(generated.duration, Some(Duration::from_secs(5)));
        assert_eq!(generated.read_share, 99);
        assert!(matches!(generated.source, Source::Zipf { keys: 1_000_000, .. }));
        assert!(generated.threads >= 1);

        let traced = run(&["--trace", "some.lis"]).unwrap();
        assert_eq!(traced.duration, None);
        assert_eq!(traced.read_share, 100);
        assert!(matches!(traced.source, Source::Trace(_)));
        let timed = run(&["--trace", "some.lis", "--seconds", "0.5"]).unwrap();
        assert_eq!(timed.duration, Some(Duration::from_millis(500)));
    }

    #[test]
    fn accepts_the_bounds_of_every_range() {
        assert_eq!(run(&["--read-share", "0"]).unwrap().read_share, 0);
        assert_eq!(run(&["--read-share", "100"]).unwrap().read_share, 100);
        assert_eq!(run(&["--threads", "1024"]).unwrap().threads, 1024);
        assert_eq!(run(&["--capacity", "1"]).unwrap().capacity, Some(1));
        assert_eq!(run(&["--seed", "18446744073709551615"]).unwrap().seed, u64::MAX);
    }

    #[test]
    fn rejects_what_cannot_run_in_one_line_that_says_why() {
        for (args, expected) in [
            (["--threads", "0"], "whole number from 1 to 1024"),
            (["--threads", "-1"], "whole number from 1 to 1024"),
            (["--threads", "1025"], "whole number from 1 to 1024"),
            (["--threads", "two"], "whole number from 1 to 1024"),
            (["--read-share", "101"], "whole number from 0 to 100"),
            (["--read-share", "-1"], "whole number from 0 to 100"),
            (["--capacity", "0"], "whole number from 1 to 4294967296"),
            (["--keys", "0"], "whole number from 1 to 100000000"),
            (["--value-size", "7"], "whole number from 8 to 1048576"),
            (["--sample", "0"], "whole number from 1 to 1000000"),
            (["--seconds", "0"], "seconds from 0.001 to 86400"),
            (["--seconds", "NaN"], "seconds from 0.001 to 86400"),
            (["--seconds", "inf"], "seconds from 0.001 to 86400"),
            (["--skew", "-0.5"], "number from 0 to 10"),
            (["--map", "btree"], "[possible values: syncmap, dashmap, rwlock]"),
            (["--capacity", "99999999999999999999"], "whole number from 1 to 4294967296"),
        ] {
            let message = message(&args);
            assert!(message.contains(expected), "{args:?}: {message}");
            assert!(message.contains(args[0]), "{args:?}: {message}");
            assert!(message.contains(args[1]), "{args:?}: {message}");
            assert!(!message.contains('\n'), "{args:?}: {message}");
        }
    }

    #[test]
    fn rejects_unknown_and_conflicting_options_in_one_line() {
        for args in [&["--shards", "4"][..], &["leftover"], &["--trace"], &["--trace", "a", "--keys", "5"]] {
            let message = message(args);
            assert!(!message.contains('\n') && !message.contains("Usage"), "{args:?}: {message}");
            assert!(!message.is_empty());
        }
    }

    #[test]
    fn help_is_not_an_error() {
        let parsed = parse(["cache", "--help"].map(OsString::from)).unwrap();
        assert!(matches!(parsed, Parsed::Help(text) if text.contains("--read-share")));
    }
}
