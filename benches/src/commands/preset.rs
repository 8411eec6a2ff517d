//! Workloads by name.

use super::flags::MapFlags;
use anyhow::Result;
use clap::Args;
use readmostly_bench::{
    document::Section,
    peers::Hasher,
    presets::{self, Preset},
    threads::Cores,
};
use std::{path::PathBuf, time::Duration};

/// Presets and how to measure them.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which of them
    #[arg(required = true, value_name = "NAME")]
    presets: Vec<Preset>,

    #[command(flatten)]
    maps: MapFlags,

    /// Smaller and fewer workloads, fewer and shorter rounds
    #[arg(long)]
    quick: bool,

    /// The trace of `replay`: `first_page page_count ignore request_number` per line, plain or zstd
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

impl Options {
    pub(crate) fn measure(&self) -> Result<Vec<Section>> {
        let options = presets::Options {
            maps: self.maps.maps.clone(),
            quick: self.quick,
            rounds: self.maps.rounds.map(usize::from),
            round: self.maps.round_ms.map(Duration::from_millis),
            trace: self.trace.clone(),
            cores: Cores::available(),
            hasher: Hasher::default(),
        };
        let measure = |preset: &Preset| {
            eprintln!("preset {}", preset.name());
            preset.measure(&options)
        };
        self.presets.iter().map(measure).collect()
    }
}
