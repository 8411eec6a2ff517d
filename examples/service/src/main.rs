//! An HTTP cache in front of a database, and the driver that loads it.
//!
//! ```text
//! cargo run --release -p readmostly-service -- serve
//! cargo run --release -p readmostly-service -- load --help
//! ```

mod cache;
mod entry;
mod load;
mod near;
mod page;
#[cfg(test)]
#[path = "../tests/common/redis.rs"]
mod redis_server;
mod serve;
mod status;
mod store;

use clap::{Parser, Subcommand};

/// An HTTP cache on a concurrent map, in front of SQLite or near one in Redis.
#[derive(Debug, Parser)]
#[command(name = "readmostly-service", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the cache over HTTP.
    Serve(Box<serve::Args>),
    /// Sends requests to a cache that is being served, at a steady rate, and reports how long they took.
    Load(Box<load::Args>),
}

fn main() -> anyhow::Result<()> {
    match Args::parse().command {
        Command::Serve(args) => serve::run(*args),
        Command::Load(args) => load::run(*args),
    }
}
