//! A read-through cache under load: several threads read a Zipf-distributed or recorded workload through a bounded
//! cache, and the run ends with its hit rate, its throughput and the latency of every kind of operation.
//!
//! ```text
//! cargo run --release --example cache
//! cargo run --release --example cache -- --trace FILE --map dashmap
//! cargo run --release --example cache -- --help
//! ```
//!
//! Traces are in the format of the ARC paper: Nimrod Megiddo and Dharmendra S. Modha, "ARC: A Self-Tuning, Low Overhead
//! Replacement Cache", USENIX Conference on File and Storage Technologies (FAST 03), 2003.

mod args;
mod evict;
mod latency;
mod maps;
mod progress;
mod report;
mod run;
mod trace;
mod worker;
mod workload;

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use args::{Config, MapKind, Parsed, Source};
use maps::{DashCache, LockCache, SyncCache};
use report::Report;
use workload::Workload;

/// The arguments or the trace are at fault.
const EXIT_USAGE: u8 = 2;
/// The output could not be written, or the cache broke its own invariants.
const EXIT_FAILURE: u8 = 1;

fn main() -> ExitCode {
    let config = match args::parse(std::env::args_os()) {
        Ok(Parsed::Run(config)) => config,
        Ok(Parsed::Help(text)) => return print(&text),
        Err(message) => return fail(EXIT_USAGE, &message),
    };
    match run_and_report(&config) {
        Ok(code) => code,
        Err(message) => fail(EXIT_USAGE, &message),
    }
}

fn run_and_report(config: &Config) -> Result<ExitCode, String> {
    let mut workload = match &config.source {
        Source::Zipf { keys, skew } => Workload::zipf(*keys, *skew, config.seed, config.threads)?,
        Source::Trace(path) => trace::load(path, config.threads)?,
    };
    workload.mark_overwrites(config.read_share, config.seed)?;
    let workload = &workload;
    let capacity = config.capacity.unwrap_or_else(|| workload.default_capacity());
    let outcome = match config.map {
        MapKind::Syncmap => run::run(&SyncCache::default(), config, workload, capacity),
        MapKind::Dashmap => run::run(&DashCache::default(), config, workload, capacity),
        MapKind::Rwlock => run::run(&LockCache::default(), config, workload, capacity),
    }?;
    let report = Report { config, workload, capacity, outcome: &outcome };
    let printed = print(&if config.json { report.json() } else { report.text() });
    Ok(match outcome.broken_invariant() {
        Some(message) => fail(EXIT_FAILURE, &message),
        None => printed,
    })
}

/// Writes `text` to standard output; a reader that went away, as `head` does, is no failure.
fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            fail(EXIT_FAILURE, &format!("standard output: {error}; expected to write the report"))
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Reports `message` as exactly one line, whatever text from outside it quotes.
fn fail(code: u8, message: &str) -> ExitCode {
    let mut line = String::from("cache: ");
    for c in message.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    // Nothing is left to be told where standard error is closed.
    let _ = io::stderr().write_all(line.as_bytes());
    ExitCode::from(code)
}
