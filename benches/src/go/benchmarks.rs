//! The loops of Go's `sync/map_bench_test.go`.
//!
//! A call's result is put into a black box, since Go's compiler cannot see into a call through an interface either, and
//! so are keys and values that stay the same throughout a loop.

use super::{Benchmark, Map, harness::Turns};
use std::hint::black_box;

/// Keys of the benchmarks that look most up, or hardly any.
const KEYS: i64 = 1024;

/// Entries, and absent keys, of the benchmarks that look up as many of these as of those.
const BALANCED: i64 = 128;

/// All there are, in the order of Go's file.
pub const ALL: [Benchmark; 24] = [
    Benchmark { name: "LoadMostlyHits", setup: mostly_hits, body: load },
    Benchmark { name: "LoadMostlyMisses", setup: mostly_misses, body: load },
    Benchmark { name: "LoadOrStoreBalanced", setup: balanced, body: load_or_store_balanced },
    Benchmark { name: "LoadOrStoreUnique", setup: empty, body: load_or_store_unique },
    Benchmark { name: "LoadOrStoreCollision", setup: one_entry, body: load_or_store_collision },
    Benchmark { name: "LoadAndDeleteBalanced", setup: balanced, body: load_and_delete_balanced },
    Benchmark { name: "LoadAndDeleteUnique", setup: empty, body: load_and_delete_unique },
    Benchmark { name: "LoadAndDeleteCollision", setup: one_entry, body: load_and_delete_collision },
    Benchmark { name: "Range", setup: full, body: range },
    Benchmark { name: "AdversarialAlloc", setup: empty, body: adversarial_alloc },
    Benchmark { name: "AdversarialDelete", setup: full, body: adversarial_delete },
    Benchmark { name: "DeleteCollision", setup: one_entry, body: delete_collision },
    Benchmark { name: "SwapCollision", setup: one_entry, body: swap_collision },
    Benchmark { name: "SwapMostlyHits", setup: mostly_hits, body: swap::<{ KEYS - 1 }> },
    Benchmark { name: "SwapMostlyMisses", setup: mostly_misses, body: swap::<1> },
    Benchmark { name: "CompareAndSwapCollision", setup: one_entry, body: compare_and_swap_collision },
    Benchmark { name: "CompareAndSwapNoExistingKey", setup: empty, body: compare_and_swap_no_existing_key },
    Benchmark { name: "CompareAndSwapValueNotEqual", setup: one_entry, body: compare_and_swap_value_not_equal },
    Benchmark { name: "CompareAndSwapMostlyHits", setup: mostly_hits, body: compare_and_swap::<{ KEYS - 1 }> },
    Benchmark { name: "CompareAndSwapMostlyMisses", setup: mostly_misses, body: compare_and_swap::<1> },
    Benchmark { name: "CompareAndDeleteCollision", setup: one_entry, body: compare_and_delete_collision },
    Benchmark { name: "CompareAndDeleteMostlyHits", setup: mostly_hits, body: compare_and_delete::<{ KEYS - 1 }> },
    Benchmark { name: "CompareAndDeleteMostlyMisses", setup: mostly_misses, body: compare_and_delete::<1> },
    Benchmark { name: "Clear", setup: empty, body: clear },
];

/// Inserts `entries` and looks each up twice, after which a map of Go's that has a dirty part has promoted it.
fn primed(map: &Map, entries: i64) {
    for i in 0..entries {
        let _ = map.try_insert(i, i);
    }
    for i in 0..entries * 2 {
        black_box(map.get(&(i % entries)).is_some());
    }
}

fn empty(_: &Map) {}

fn one_entry(map: &Map) {
    map.insert(0, 0);
}

fn mostly_hits(map: &Map) {
    primed(map, KEYS - 1);
}

fn mostly_misses(map: &Map) {
    primed(map, 1);
}

fn balanced(map: &Map) {
    primed(map, BALANCED);
}

fn full(map: &Map) {
    for i in 0..KEYS {
        map.insert(i, i);
    }
}

fn load(map: &Map, turns: Turns<'_>) {
    for i in turns {
        black_box(map.get(&(i % KEYS)).as_deref());
    }
}

fn load_or_store_balanced(map: &Map, turns: Turns<'_>) {
    for i in turns {
        let j = i % (2 * BALANCED);
        if j < BALANCED {
            assert!(map.try_insert(j, i).is_err(), "key {j} is in the map and was not found");
        } else {
            assert!(map.try_insert(i, i).is_ok(), "key {i} is not in the map and was found");
        }
    }
}

fn load_or_store_unique(map: &Map, turns: Turns<'_>) {
    for i in turns {
        black_box(map.try_insert(i, i).is_ok());
    }
}

fn load_or_store_collision(map: &Map, turns: Turns<'_>) {
    for _ in turns {
        black_box(map.try_insert(black_box(0), black_box(0)).is_ok());
    }
}

fn load_and_delete_balanced(map: &Map, turns: Turns<'_>) {
    for i in turns {
        let j = i % (2 * BALANCED);
        let key = if j < BALANCED { j } else { i };
        black_box(map.remove(&key).as_deref());
    }
}

fn load_and_delete_unique(map: &Map, turns: Turns<'_>) {
    for i in turns {
        black_box(map.remove(&i).as_deref());
    }
}

fn load_and_delete_collision(map: &Map, turns: Turns<'_>) {
    for _ in turns {
        if map.remove(&black_box(0)).is_some() {
            map.insert(black_box(0), black_box(0));
        }
    }
}

fn range(map: &Map, turns: Turns<'_>) {
    for _ in turns {
        map.range(|key, value| {
            black_box((key, value));
            true
        });
    }
}

/// Looks up a key that is in no map and, the less often the more have been stored, stores it.
fn adversarial_alloc(map: &Map, turns: Turns<'_>) {
    let (mut stores, mut loads_since) = (0, 0);
    for i in turns {
        black_box(map.get(&i).as_deref());
        loads_since += 1;
        if loads_since > stores {
            black_box(map.try_insert(i, stores).is_ok());
            loads_since = 0;
            stores += 1;
        }
    }
}

/// Looks keys up and now and then replaces one entry of many by another.
fn adversarial_delete(map: &Map, turns: Turns<'_>) {
    for i in turns {
        black_box(map.get(&i).as_deref());
        if i % KEYS == 0 {
            map.range(|key, _| {
                map.remove(key);
                false
            });
            map.insert(i, i);
        }
    }
}

fn delete_collision(map: &Map, turns: Turns<'_>) {
    for _ in turns {
        black_box(map.remove(&black_box(0)).is_some());
    }
}

fn swap_collision(map: &Map, turns: Turns<'_>) {
    for _ in turns {
        black_box(map.insert(black_box(0), black_box(0)).as_deref());
    }
}

fn swap<const HITS: i64>(map: &Map, turns: Turns<'_>) {
    for i in turns {
        let j = i % KEYS;
        if j < HITS {
            black_box(map.insert(j, j).as_deref());
        } else {
            black_box(map.insert(i, i).as_deref());
            map.remove(&i);
        }
    }
}

fn compare_and_swap_collision(map: &Map, turns: Turns<'_>) {
    for _ in turns {
        if map.compare_and_swap(&black_box(0), &black_box(0), black_box(42)).is_ok() {
            black_box(map.compare_and_swap(&black_box(0), &black_box(42), black_box(0)).is_ok());
        }
    }
}

fn compare_and_swap_no_existing_key(map: &Map, turns: Turns<'_>) {
    for i in turns {
        if map.compare_and_swap(&i, &0, 0).is_ok() {
            map.remove(&i);
        }
    }
}

fn compare_and_swap_value_not_equal(map: &Map, turns: Turns<'_>) {
    for _ in turns {
        black_box(map.compare_and_swap(&black_box(0), &black_box(1), black_box(2)).is_ok());
    }
}

fn compare_and_swap<const HITS: i64>(map: &Map, turns: Turns<'_>) {
    for i in turns {
        let key = present_or_new::<HITS>(i);
        black_box(map.compare_and_swap(&key, &key, key).is_ok());
    }
}

fn compare_and_delete_collision(map: &Map, turns: Turns<'_>) {
    for _ in turns {
        if map.compare_and_remove(&black_box(0), &black_box(0)).is_some() {
            map.insert(black_box(0), black_box(0));
        }
    }
}

fn compare_and_delete<const HITS: i64>(map: &Map, turns: Turns<'_>) {
    for i in turns {
        let key = present_or_new::<HITS>(i);
        if map.compare_and_remove(&key, &key).is_some() {
            map.insert(key, key);
        }
    }
}

fn clear(map: &Map, turns: Turns<'_>) {
    for i in turns {
        map.clear();
        map.insert(i % 256, i % 256);
    }
}

/// In `HITS` of [`KEYS`] turns a key that the map was filled with, else one that is used this once.
fn present_or_new<const HITS: i64>(i: i64) -> i64 {
    if i % KEYS < HITS { i % KEYS } else { i }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::harness::{BenchTime, measure};
    use std::collections::HashSet;

    #[test]
    fn every_benchmark_has_a_name_of_its_own() {
        let names: HashSet<_> = ALL.iter().map(|benchmark| benchmark.name).collect();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn every_benchmark_runs_as_often_as_it_is_told() {
        for benchmark in &ALL {
            for threads in [1, 2] {
                let measured = measure(benchmark, threads, BenchTime::Iterations(3_000));
                assert_eq!((measured.iterations, measured.threads), (3_000, threads));
                assert!(measured.ns_per_iteration > 0.0, "{measured}");
            }
        }
    }

    #[test]
    fn hits_and_misses_are_as_many_as_the_names_say() {
        let hits = |entries: fn(&Map), key: fn(i64) -> i64| {
            let map = Map::new();
            entries(&map);
            (0..KEYS).filter(|&i| map.contains_key(&key(i + KEYS))).count()
        };
        assert_eq!(hits(mostly_hits, |i| i % KEYS), 1023);
        assert_eq!(hits(mostly_misses, |i| i % KEYS), 1);
        assert_eq!(hits(mostly_hits, present_or_new::<{ KEYS - 1 }>), 1023);
        assert_eq!(hits(mostly_misses, present_or_new::<1>), 1);
        assert_eq!(hits(balanced, |i| i % (2 * BALANCED)), 512);
    }
}
