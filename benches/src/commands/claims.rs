use anyhow::Result;
use clap::Args;
use readmostly_bench::{
    claims::{self, Claim, Config, Filling, Probe, verdicts::Report},
    peers::Hasher,
    threads::Cores,
};
use std::{process::ExitCode, time::Duration};

/// How to measure what the project promises.
#[derive(Debug, Args)]
pub(crate) struct Options {
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

    /// Exit with 1 if a limit is missed
    #[arg(long)]
    strict: bool,

    /// Build one map, print what it occupies and exit
    #[arg(long, hide = true, requires = "filling")]
    probe_memory: Option<Probe>,

    #[arg(long, hide = true)]
    filling: Option<Filling>,
}

/// Measures what the project promises and says of each promise whether it is kept.
pub(crate) fn run(options: &Options, json: bool) -> Result<ExitCode> {
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
    let environment = super::environment();
    let lines = claims::measure(&options.only, &config, |stage| eprintln!("{stage}"))?;
    let report = Report { environment, rounds: config.rounds, round_ms: config.round.as_millis(), lines };
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(if options.strict && report.misses() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
