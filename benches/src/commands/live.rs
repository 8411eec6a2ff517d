//! One map's life in a process of its own, for the preset `memory`.

use anyhow::Result;
use clap::Args;
use readmostly_bench::{peers::Peer, presets};
use std::time::Duration;

/// Which map, and how it lives.
#[derive(Debug, Args)]
pub(crate) struct Options {
    map: Peer,
    entries: usize,
    churn_ms: u64,
}

impl Options {
    pub(crate) fn run(&self) -> Result<()> {
        let life = presets::live(self.map, self.entries, Duration::from_millis(self.churn_ms))?;
        println!("{}", serde_json::to_string(&life)?);
        Ok(())
    }
}
