//! Does one kind of operation many times, for callgrind to count its instructions; see `ci/instructions.py`.
//!
//! Everything that could differ from run to run is fixed: keys, their order, the seed of the hasher. The map has room
//! for its entries from the start and keeps most of them, so that it neither grows nor shrinks: when a table that it
//! leaves behind is freed is a matter of time, which must not decide what is counted.

use clap::{Parser, ValueEnum};
use foldhash::fast::FixedState;
use readmostly::SyncMap;
use readmostly_bench::keys::{nth, value_of};
use std::{hash::Hash, hint::black_box};

/// Keys that are operated on: enough that chance, in which of them share a bucket, evens out.
const KEYS: u64 = 10_000;

/// How often each is operated on, where that leaves the map as it was.
const PASSES: usize = 5;

/// Does one kind of operation many times and prints how often.
#[derive(Debug, Parser)]
struct Options {
    operation: Operation,
    key: Key,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Operation {
    /// A lookup of a present key that pins for itself
    GetHit,
    /// A lookup of a present key under a held guard
    PinnedGetHit,
    /// A lookup of an absent key that pins for itself
    GetMiss,
    /// An insert of a present key
    Overwrite,
    /// An insert of an absent key
    Insert,
    /// A remove of a present key
    Remove,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Key {
    U64,
    String,
}

fn main() {
    let Options { operation, key } = Options::parse();
    let operations = match key {
        Key::U64 => perform(operation, nth),
        Key::String => perform(operation, |i| format!("key-{:016x}", nth(i))),
    };
    println!("{operations}");
}

/// Performs operations, the measured ones within [`counted`], and returns how many those were.
fn perform<K: Hash + Eq + Clone + 'static>(operation: Operation, key: impl Fn(u64) -> K) -> usize {
    let (entries, capacity, first) = match operation {
        Operation::GetHit | Operation::PinnedGetHit | Operation::Overwrite => (KEYS, KEYS, 0),
        Operation::GetMiss => (KEYS, KEYS, KEYS),
        Operation::Insert => (KEYS, 2 * KEYS, KEYS),
        Operation::Remove => (4 * KEYS, 4 * KEYS, 0),
    };
    let map = SyncMap::with_capacity_and_hasher(capacity as usize, FixedState::with_seed(0));
    for i in 0..entries {
        map.insert(key(i), value_of(i));
    }
    map.promote();
    map.flush();
    let keys: Vec<K> = (first..first + KEYS).map(key).collect();
    match operation {
        // Two calls and not one, as in most programs: a compiler will inline what is called only once.
        Operation::GetHit => repeat(&keys, |key| {
            black_box(map.get(key).as_deref());
        }),
        Operation::GetMiss => repeat(&keys, |key| {
            black_box(map.get(key).as_deref());
        }),
        Operation::PinnedGetHit => {
            let map = map.pin();
            repeat(&keys, |key| {
                black_box(map.get(key));
            })
        }
        Operation::Overwrite => {
            let keys = (0..PASSES).flat_map(|_| keys.iter().cloned()).collect();
            consume(keys, |key| drop(map.insert(key, black_box(1))))
        }
        Operation::Insert => consume(keys, |key| drop(map.insert(key, black_box(1)))),
        Operation::Remove => consume(keys, |key| drop(map.remove(&key))),
    }
}

/// `f` on every key, [`PASSES`] times.
fn repeat<K>(keys: &[K], f: impl Fn(&K)) -> usize {
    counted(|| {
        for _ in 0..PASSES {
            keys.iter().for_each(&f);
        }
    });
    PASSES * keys.len()
}

/// `f` once with every key.
fn consume<K>(keys: Vec<K>, f: impl Fn(K)) -> usize {
    let count = keys.len();
    counted(|| keys.into_iter().for_each(f));
    count
}

/// What callgrind counts: the script knows it by this name.
#[inline(never)]
fn counted(f: impl FnOnce()) {
    black_box(f)();
}
