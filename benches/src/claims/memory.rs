//! Bytes per entry, and what an empty map takes.
//!
//! Each map is built in a process of its own: in one that has freed memory before, resident bytes say nothing.

use super::Config;
use crate::{
    keys,
    measure::Summary,
    memory::{self, Usage},
    peers::{Concurrent, Dashmap, Fill, Hasher, Papaya, Plain, Readmostly, SccIndex},
    report::{self, Limit, Line, Unit},
};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::process::Command;

const CLAIM: &str = "memory";
const ENTRIES: usize = 1_000_000;
/// Bytes per entry at [`ENTRIES`] entries, promoted.
const ENTRY_LIMIT: f64 = 72.0;
/// Bytes of an empty map itself.
const EMPTY_LIMIT: f64 = 512.0;

/// The map that a process of its own builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Probe {
    Readmostly,
    Dashmap,
    Papaya,
    Scc,
    Hashbrown,
}

/// How it is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Filling {
    /// From an empty map, insert by insert
    Grown,
    /// From a map with room for all entries
    Sized,
}

impl Filling {
    fn name(self) -> &'static str {
        match self {
            Self::Grown => "grown from empty",
            Self::Sized => "with_capacity",
        }
    }

    fn capacity(self) -> usize {
        match self {
            Self::Grown => 0,
            Self::Sized => ENTRIES,
        }
    }
}

/// What a map occupies at different points.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Footprint {
    /// After the last insert.
    inserted: Usage,
    /// After `promote`, where a map has it.
    promoted: Usage,
    /// After `flush` as well.
    flushed: Usage,
    /// The bytes of tables after that as the map itself counts them, where it does.
    table_bytes: u64,
}

pub(super) fn measure(config: &Config, progress: &impl Fn(&str)) -> Result<Vec<Line>> {
    let mut lines = empty_map(config)?;
    for filling in [Filling::Grown, Filling::Sized] {
        for peer in Probe::value_variants() {
            let name = peer.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
            progress(&format!("memory: {name}, {}", filling.name()));
            lines.extend(entry_lines(*peer, &name, filling, run_apart(&name, filling)?));
        }
    }
    Ok(lines)
}

fn entry_lines(peer: Probe, name: &str, filling: Filling, footprint: Footprint) -> Vec<Line> {
    let per_entry = |bytes: u64| bytes as f64 / ENTRIES as f64;
    let subject = format!("bytes per entry, {name} {}, {} entries", filling.name(), report::entries(ENTRIES));
    let line = |subject: String, usage: Usage| {
        let detail = format!("heap {:.1}, resident {:.1}", per_entry(usage.heap), per_entry(usage.resident));
        Line::info(CLAIM, subject, Unit::Bytes, Summary::single(per_entry(usage.occupied()))).detail(detail)
    };
    if peer != Probe::Readmostly {
        return vec![line(subject, footprint.flushed)];
    }
    let mut promoted = line(format!("{subject}, promoted and flushed"), footprint.flushed);
    promoted.detail += &format!(", by its own count {:.1} in tables", per_entry(footprint.table_bytes));
    vec![
        promoted.limited(Limit::AtMost(ENTRY_LIMIT)),
        line(format!("{subject}, before flush"), footprint.promoted),
        line(format!("{subject}, before promote"), footprint.inserted),
    ]
}

fn empty_map(config: &Config) -> Result<Vec<Line>> {
    let stack = size_of::<Readmostly<u64, u64>>() as f64;
    let empty = || Readmostly::<u64, u64>::with_hasher(config.hasher);
    // Tables may come from the system instead of the allocator, so the map's own count of them is added.
    let heap = memory::heap_per_value(1_000, empty)? + empty().stats().table_bytes as f64;
    let figure =
        |what: &str, value| Line::info(CLAIM, format!("empty map, bytes {what}"), Unit::Bytes, Summary::single(value));
    Ok(vec![
        figure("in place", stack).limited(Limit::AtMost(EMPTY_LIMIT)),
        figure("on the heap", heap).limited(Limit::AtMost(0.0)),
        figure("on the heap, dashmap", memory::heap_per_value(100, Dashmap::<u64, u64>::default)?),
        figure("on the heap, papaya", memory::heap_per_value(100, Papaya::<u64, u64>::default)?),
    ])
}

/// Runs [`probe`] in a new process of this program.
fn run_apart(peer: &str, filling: Filling) -> Result<Footprint> {
    let program = std::env::current_exe().context("expected to find this program's file")?;
    let filling = filling.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    let output = Command::new(program)
        .args(["--probe-memory", peer, "--filling", &filling])
        .output()
        .context("expected to start a process for the memory probe")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "expected the memory probe of {peer} to succeed: {complaint}");
    serde_json::from_slice(&output.stdout).with_context(|| format!("expected a footprint from the probe of {peer}"))
}

/// Builds the map and prints what it occupies. For a process of its own.
pub fn probe(peer: Probe, filling: Filling) -> Result<()> {
    let footprint = match peer {
        Probe::Readmostly => readmostly_footprint(filling)?,
        Probe::Dashmap => footprint_of::<Dashmap<u64, u64>>(filling)?,
        Probe::Papaya => footprint_of::<Papaya<u64, u64>>(filling)?,
        Probe::Scc => footprint_of::<SccIndex<u64, u64>>(filling)?,
        Probe::Hashbrown => footprint_of::<Plain<u64, u64>>(filling)?,
    };
    println!("{}", serde_json::to_string(&footprint)?);
    Ok(())
}

fn footprint_of<M: Fill<u64, u64>>(filling: Filling) -> Result<Footprint> {
    let before = warm_usage::<M>()?;
    let mut map = M::empty(filling.capacity(), Hasher::default());
    for key in (0..ENTRIES as u64).map(keys::nth) {
        map.put(key, keys::value_of(key));
    }
    let inserted = Usage::now()?.since(before);
    drop(map);
    Ok(Footprint { inserted, promoted: inserted, flushed: inserted, table_bytes: 0 })
}

fn readmostly_footprint(filling: Filling) -> Result<Footprint> {
    let before = warm_usage::<Readmostly<u64, u64>>()?;
    let map = Readmostly::empty(filling.capacity(), Hasher::default());
    for key in (0..ENTRIES as u64).map(keys::nth) {
        Concurrent::insert(&map, key, keys::value_of(key));
    }
    let inserted = Usage::now()?.since(before);
    map.promote();
    let promoted = Usage::now()?.since(before);
    map.flush();
    let flushed = Usage::now()?.since(before);
    Ok(Footprint { inserted, promoted, flushed, table_bytes: map.stats().table_bytes as u64 })
}

/// What the process occupies after the map's code has run once: thread-local and global state is no entry's cost.
fn warm_usage<M: Fill<u64, u64>>() -> Result<Usage> {
    drop(M::grown(Hasher::default(), (0..8).map(|key| (key, key))));
    Usage::now()
}
