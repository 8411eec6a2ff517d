//! Bytes per entry, and what an empty map takes.
//!
//! Each map is built in a process of its own: in one that has freed memory before, resident bytes say nothing.

use super::{
    Config,
    verdicts::{Limit, Line},
};
use crate::{
    document::{self, Unit},
    keys,
    measure::Summary,
    memory::{self, Usage},
    peers::{Dashmap, Handle, Hasher, Map, Papaya, Plain, Readmostly, SccIndex},
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
    let subject = format!("bytes per entry, {name} {}, {} entries", filling.name(), document::entries(ENTRIES));
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
        .args(["claims", "--probe-memory", peer, "--filling", &filling])
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
        Probe::Dashmap => footprint_of(filling, build::<Dashmap<u64, u64>>)?,
        Probe::Papaya => footprint_of(filling, build::<Papaya<u64, u64>>)?,
        Probe::Scc => footprint_of(filling, build::<SccIndex<u64, u64>>)?,
        Probe::Hashbrown => footprint_of(filling, build_plain)?,
    };
    println!("{}", serde_json::to_string(&footprint)?);
    Ok(())
}

fn footprint_of<T>(filling: Filling, build: impl Fn(usize, usize) -> T) -> Result<Footprint> {
    let before = warm_usage(&build)?;
    let map = build(filling.capacity(), ENTRIES);
    let inserted = Usage::now()?.since(before);
    drop(map);
    Ok(Footprint { inserted, promoted: inserted, flushed: inserted, table_bytes: 0 })
}

fn readmostly_footprint(filling: Filling) -> Result<Footprint> {
    let before = warm_usage(|capacity, entries| build::<Readmostly<u64, u64>>(capacity, entries).promote())?;
    let map: Readmostly<u64, u64> = build(filling.capacity(), ENTRIES);
    let inserted = Usage::now()?.since(before);
    map.promote();
    let promoted = Usage::now()?.since(before);
    map.flush();
    let flushed = Usage::now()?.since(before);
    Ok(Footprint { inserted, promoted, flushed, table_bytes: map.stats().table_bytes as u64 })
}

fn build<M: Map<u64, u64>>(capacity: usize, entries: usize) -> M {
    let map = M::empty(capacity, Hasher::default());
    insert_all(&mut map.handle(), entries);
    map
}

fn build_plain(capacity: usize, entries: usize) -> Plain<u64, u64> {
    let mut map = Plain::with_capacity_and_hasher(capacity, Hasher::default());
    insert_all(&mut map, entries);
    map
}

fn insert_all<H: Handle<u64, u64>>(handle: &mut H, entries: usize) {
    for key in (0..entries as u64).map(keys::nth) {
        handle.insert(key, keys::value_of(key));
    }
}

/// What the process occupies after the map's code has run once: thread-local and global state is no entry's cost.
fn warm_usage<T>(build: impl Fn(usize, usize) -> T) -> Result<Usage> {
    drop(build(0, 8));
    Usage::now()
}
