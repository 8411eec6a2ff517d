//! Measures readmostly against its peers.

mod commands;

use clap::Parser;
use std::process::ExitCode;

/// Measures readmostly against its peers.
#[derive(Debug, Parser)]
struct Program {
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> anyhow::Result<ExitCode> {
    let program = Program::parse();
    program.command.run(program.json)
}
