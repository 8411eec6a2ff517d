//! The benchmarks of Go's `sync.Map`, on `SyncMap`.

use anyhow::{Result, ensure};
use clap::Args;
use readmostly_bench::{
    environment,
    go::{
        benchmarks,
        harness::{self, BenchTime},
    },
};
use regex_lite::Regex;
use std::{io::Write, process::ExitCode};

/// Which of them, for how long, on how many threads.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only benchmarks whose name matches this regular expression
    #[arg(long, value_name = "REGEX", default_value = ".")]
    bench: Regex,

    /// How long each runs: a duration (1s, 200ms) or a number of iterations (1000x)
    #[arg(long, value_name = "TIME", default_value = "1s")]
    benchtime: BenchTime,

    /// Numbers of threads, separated by commas [default: as many as there are cores]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1024))]
    cpu: Vec<u16>,

    /// Print the names of the benchmarks and exit
    #[arg(long)]
    list: bool,
}

/// Runs them.
pub(crate) fn run(options: &Options, json: bool) -> Result<ExitCode> {
    let chosen: Vec<_> =
        benchmarks::ALL.iter().filter(|benchmark| options.bench.is_match(&benchmark.full_name())).collect();
    ensure!(
        !chosen.is_empty(),
        "no benchmark matches {:?}; expected part of a name such as {}",
        options.bench.as_str(),
        benchmarks::ALL[0].full_name()
    );
    if options.list {
        chosen.iter().for_each(|benchmark| println!("{}", benchmark.full_name()));
        return Ok(ExitCode::SUCCESS);
    }
    let threads = match options.cpu.as_slice() {
        [] => vec![std::thread::available_parallelism()?.get()],
        given => given.iter().copied().map(usize::from).collect(),
    };
    let measure_all = chosen
        .iter()
        .flat_map(|benchmark| threads.iter().map(|&threads| harness::measure(benchmark, threads, options.benchtime)));
    if json {
        println!("{}", serde_json::to_string_pretty(&measure_all.collect::<Vec<_>>())?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "goos: {}\ngoarch: {}\npkg: readmostly", std::env::consts::OS, go_architecture())?;
    writeln!(out, "cpu: {}", environment::processor())?;
    for measured in measure_all {
        writeln!(out, "{measured}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What Go calls the architecture.
fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}
