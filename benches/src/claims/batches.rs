//! Lookups of many present keys at once against single lookups of the same keys, both under a held guard, on one thread.

use super::{
    Config,
    verdicts::{Limit, Line},
};
use crate::{
    document::{self, Unit},
    keys::{self, Order},
    measure::{Interleaved, ns_per_operation},
    peers::{Hasher, Readmostly},
};
use readmostly::Pinned;
use std::hint::black_box;

const SINGLE: &str = "pinned get";
const MANY: &str = "get_many";

/// Keys of a batch.
const BATCH: usize = 64;

/// Keys looked up in a turn, if there are so many: more than any cache holds the entries of.
const STREAM: usize = 1 << 21;

/// Beyond the caches, so many times the rate of single lookups.
const BEYOND_CACHES: Limit = Limit::AtLeast(1.5);
/// Within them, no less than it.
const WITHIN_CACHES: Limit = Limit::AtLeast(1.0);

const SIZES: [(usize, Option<Limit>); 5] = [
    (1_000, None),
    (10_000, Some(WITHIN_CACHES)),
    (100_000, None),
    (1_000_000, Some(BEYOND_CACHES)),
    (8_000_000, Some(BEYOND_CACHES)),
];

pub(super) fn measure(config: &Config, progress: &impl Fn(&str)) -> Vec<Line> {
    let sizes = if config.quick { &SIZES[..SIZES.len() - 1] } else { &SIZES };
    let lines = sizes.iter().map(|&(entries, limit)| {
        progress(&format!("batches: {} entries", document::entries(entries)));
        let line = line(entries, config);
        match limit {
            Some(limit) => line.limited(limit),
            None => line,
        }
    });
    lines.collect()
}

fn line(entries: usize, config: &Config) -> Line {
    config.cores.pin(0);
    let keys = keys::present(Order::Random, entries);
    let mut stream = keys::lookups(&keys, Order::Random, 1);
    stream.truncate(STREAM);
    let map: Readmostly<u64, u64> = config.filled(&keys);
    let sum = stream.iter().copied().map(keys::value_of).fold(0, u64::wrapping_add);
    let turn = |look_up: fn(&mut Pinned<'_, u64, u64, Hasher>, &[u64]) -> u64| {
        let mut pinned = map.pin();
        ns_per_operation(config.round, stream.len(), || {
            assert_eq!(look_up(&mut pinned, &stream), sum, "expected every key to be found with its value");
        })
    };
    let mut contest = Interleaved::new();
    contest.add(SINGLE, || turn(sum_one_by_one));
    contest.add(MANY, || turn(sum_of_batches));
    let outcome = contest.run(if entries > STREAM { config.long_rounds() } else { config.rounds });

    let subject = format!("rate of {MANY} / {SINGLE}, {BATCH} keys, {} entries", document::entries(entries));
    let [single, many] = [SINGLE, MANY].map(|name| document::duration(outcome.median(name)));
    Line::info("get-many", subject, Unit::Ratio, outcome.ratio(SINGLE, MANY)).detail(format!("{many} / {single}"))
}

/// Both contenders get their keys in batches, as a caller who could use either would.
#[inline(never)]
fn sum_one_by_one(pinned: &mut Pinned<'_, u64, u64, Hasher>, keys: &[u64]) -> u64 {
    let (pinned, keys) = (black_box(pinned), black_box(keys));
    let mut sum = 0_u64;
    for batch in keys.chunks(BATCH) {
        for key in batch {
            sum = sum.wrapping_add(pinned.get(key).copied().unwrap_or(0));
        }
    }
    sum
}

#[inline(never)]
fn sum_of_batches(pinned: &mut Pinned<'_, u64, u64, Hasher>, keys: &[u64]) -> u64 {
    let (pinned, keys) = (black_box(pinned), black_box(keys));
    let mut sum = 0_u64;
    for batch in keys.chunks(BATCH) {
        for value in pinned.get_many(batch) {
            sum = sum.wrapping_add(value.copied().unwrap_or(0));
        }
    }
    sum
}
