//! A key that is present throughout is found by every lookup, whatever happens to the tables meanwhile; and what a
//! lookup finds never goes back in time.

#[macro_use]
mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use common::{Random, TestHasher};
use readmostly::SyncMap;

type Map<S> = SyncMap<u64, u64, S>;

/// How long each test keeps the tables changing, at least.
const DURATION: Duration = Duration::from_millis(700);

/// By when there have been enough lookups and changes, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(60);

/// Looks the keys `0..present` up on two threads, in several ways, while `disturb` is called over and over on two
/// others. Values are only ever raised, so a reader must never see one fall.
fn lookups_while<S: TestHasher>(present: u64, disturb: impl Fn(&Map<S>, &mut Random, u64) + Sync) -> Map<S> {
    let map = Map::with_hasher(S::default());
    (0..present).for_each(|key| drop(map.insert(key, 0)));
    let (done, lookups, rounds) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let is_enough = || lookups.load(SeqCst) > 1_000 && rounds.load(SeqCst) > 10;
    let started = Instant::now();
    thread::scope(|scope| {
        for reader in 0..2 {
            let (map, done, lookups) = (&map, &done, &lookups);
            scope.spawn(move || {
                let mut random = Random::new(reader);
                let mut seen = vec![0; present as usize];
                while !done.load(SeqCst) {
                    let pinned = map.pin();
                    for _ in 0..64 {
                        let key = random.below(present);
                        let value = if random.below(2) == 0 { map.get_cloned(&key) } else { pinned.get(&key).copied() };
                        let value = value.unwrap_or_else(|| panic!("{key} is present, but was not found"));
                        let last = &mut seen[key as usize];
                        assert!(value >= *last, "{key} fell from {last} to {value}");
                        *last = value;
                        lookups.fetch_add(1, SeqCst);
                    }
                }
            });
        }
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let (map, rounds, disturb, is_enough) = (&map, &rounds, &disturb, &is_enough);
                scope.spawn(move || {
                    let mut random = Random::new(100 + writer);
                    while started.elapsed() < if is_enough() { DURATION } else { LIMIT } {
                        disturb(map, &mut random, writer);
                        map.update(&random.below(present), |value| value + 1);
                        rounds.fetch_add(1, SeqCst);
                    }
                })
            })
            .collect();
        let ends: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, SeqCst);
        assert!(ends.iter().all(Result::is_ok));
    });
    assert!(is_enough(), "{lookups:?} lookups and {rounds:?} rounds in {LIMIT:?}");
    map
}

fn other(random: &mut Random, keys: u64) -> u64 {
    1_000_000 + random.below(keys)
}

fn growth_and_compaction<S: TestHasher>() {
    let many = u64::from(S::MANY);
    let map = lookups_while::<S>(many / 10, |map, random, _| {
        for _ in 0..many / 10 {
            map.insert(other(random, many), 1);
        }
        for _ in 0..many / 5 {
            map.remove(&other(random, many));
        }
    });
    assert!(map.stats().promotions > 0, "no table was replaced: {}", map.stats());
}

fn snapshots<S: TestHasher>() {
    let many = u64::from(S::MANY);
    let map = lookups_while::<S>(many / 10, |map, random, _| {
        // While the snapshot lives, a new key starts a copy of the whole table.
        let snapshot = map.snapshot();
        let key = other(random, many);
        map.insert(key, 1);
        drop(snapshot);
        map.remove(&key);
    });
    assert!(map.stats().promotions > 0, "no table was replaced: {}", map.stats());
}

fn maintenance<S: TestHasher>() {
    let many = u64::from(S::MANY);
    lookups_while::<S>(many / 10, |map, random, writer| {
        map.insert(other(random, many), 1);
        match random.below(5) {
            0 => map.promote(),
            1 => map.compact(),
            2 => map.reserve(random.below(many) as usize),
            3 if writer == 0 => map.retain(|key, _| *key < 1_000_000),
            _ => map.flush(),
        }
    });
}

under_all_hashers!(growth_and_compaction, snapshots, maintenance);

#[test]
fn inserts_that_race_a_clear_are_counted_right() {
    for round in 0..300 {
        let map: SyncMap<u64, u64> = SyncMap::new();
        (0..200).for_each(|key| drop(map.insert(key, round)));
        thread::scope(|scope| {
            scope.spawn(|| map.clear());
            scope.spawn(|| (0..200).for_each(|key| drop(map.insert(key, round + 1))));
            scope.spawn(|| (0..200).for_each(|key| drop(map.remove(&key))));
        });
        let mut entries = 0;
        map.range(|key, _| {
            assert!(map.get(key).is_some());
            entries += 1;
            true
        });
        assert_eq!(map.len(), entries, "round {round}");
    }
}
