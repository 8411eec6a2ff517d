//! Measures what the project promises and says of each promise whether it is kept.

use anyhow::Result;
use clap::Parser;
use readmostly_bench::{
    claims::{self, Claim, Config, Filling, Probe},
    peers::Hasher,
    report::{Environment, Report},
    threads::Cores,
};
use std::{process::ExitCode, time::Duration};

/// Measures what readmostly promises, against its peers.
#[derive(Debug, Parser)]
struct Options {
    /// Measure only this; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<Claim>,

    /// Interleaved rounds per figure
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,

    /// Shortest duration of a contender's turn in a round, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    round_ms: u64,

    /// Few rounds, small maps where there is no limit
    #[arg(long)]
    quick: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Exit with 1 if a limit is missed
    #[arg(long)]
    strict: bool,

    /// Build one map, print what it occupies and exit
    #[arg(long, hide = true, requires = "filling")]
    probe_memory: Option<Probe>,

    #[arg(long, hide = true)]
    filling: Option<Filling>,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    if let (Some(peer), Some(filling)) = (options.probe_memory, options.filling) {
        claims::probe(peer, filling)?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config {
        rounds: options.rounds.map_or(if options.quick { 5 } else { 21 }, usize::from),
        round: Duration::from_millis(options.round_ms),
        quick: options.quick,
        cores: Cores::available(),
        hasher: Hasher::default(),
    };
    if cfg!(debug_assertions) {
        eprintln!("warning: built without optimisation, the figures mean nothing; use --release");
    }
    let environment = Environment::describe(config.cores.count(), config.rounds, config.round);
    if environment.is_busy() {
        eprintln!("warning: other programs are running, the figures are doubtful; expected an idle machine");
    }
    let lines = claims::measure(&options.only, &config, |stage| eprintln!("{stage}"))?;
    let report = Report { environment, lines };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(if options.strict && report.misses() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
