//! `get_many`: what it returns is what `get` would, key by key, whatever the map is like and whatever happens meanwhile.

#[macro_use]
mod common;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use common::{Counted, Random, Tally, TestHasher};
use proptest::prelude::*;
use readmostly::{SyncMap, SyncSet};

/// More than are taken from the input at a time.
const GROUP: u32 = 40;

type Map<S> = SyncMap<u32, u64, S>;

/// A map of the even keys below `2 * many`; some, each fifth of them, have been overwritten.
fn evens<S: TestHasher>(many: u32) -> Map<S> {
    let map = Map::with_hasher(S::default());
    for key in 0..many {
        map.insert(2 * key, u64::from(key));
    }
    map.promote();
    for key in (0..many).step_by(5) {
        map.insert(2 * key, u64::from(key));
    }
    map
}

/// Inserts keys from `first` on until a copy is under way; returns the key after the last.
fn amend<S: TestHasher>(map: &Map<S>, first: u32) -> u32 {
    for key in first.. {
        if map.stats().dirty_len > 0 {
            return key;
        }
        map.insert(key, u64::from(key));
    }
    unreachable!("a map has to grow some day");
}

/// Looks all `keys` up in both ways.
#[track_caller]
fn agree<S: TestHasher>(map: &Map<S>, keys: &[u32]) {
    let pinned = map.pin();
    let singly: Vec<_> = keys.iter().map(|key| pinned.get(key)).collect();
    let together: Vec<_> = pinned.get_many(keys).collect();
    assert!(singly == together, "{singly:?} != {together:?}");
    // The same value, and not only an equal one.
    assert!(singly.iter().flatten().zip(together.iter().flatten()).all(|(one, other)| std::ptr::eq(*one, *other)));
}

/// Keys from 0 to beyond the end of the map, in disorder, some of them twice.
fn disorder(end: u32) -> Vec<u32> {
    let mut random = Random::new(7);
    (0..2 * end).map(|_| random.below(u64::from(end + end / 8)) as u32).collect()
}

// ---------------------------------------------------------------------------------------------------------------------
// What is found

fn present_and_absent<S: TestHasher>() {
    let map = evens::<S>(S::MANY / 2);
    agree(&map, &disorder(S::MANY));
    let pinned = map.pin();
    for (key, value) in (0..S::MANY).zip(pinned.get_many(&(0..S::MANY).collect::<Vec<_>>())) {
        assert_eq!(value.copied(), (key % 2 == 0).then_some(u64::from(key / 2)), "{key}");
    }
}

fn amended_and_promoted<S: TestHasher>() {
    let map = evens::<S>(S::MANY / 4);
    let end = amend(&map, S::MANY);
    agree(&map, &disorder(end));
    map.promote();
    assert_eq!(map.stats().dirty_len, 0);
    agree(&map, &disorder(end));
}

fn tombstones<S: TestHasher>() {
    let map = evens::<S>(S::MANY / 2);
    for key in (0..S::MANY).step_by(6) {
        assert!(map.remove(&key).is_some());
    }
    agree(&map, &disorder(S::MANY));
    // Where they are left behind, and their nodes are dead.
    let end = amend(&map, S::MANY);
    agree(&map, &disorder(end));
    for key in (0..S::MANY).step_by(12) {
        map.insert(key, 3);
    }
    agree(&map, &disorder(end));
    map.clear();
    agree(&map, &disorder(GROUP));
}

under_all_hashers!(present_and_absent, amended_and_promoted, tombstones);

#[test]
fn no_table_and_no_key() {
    let map = SyncMap::<u32, u64>::new();
    let pinned = map.pin();
    assert_eq!(pinned.get_many(&[0_u32; 0]).next(), None);
    assert!(pinned.get_many(&[1; GROUP as usize]).eq([None; GROUP as usize]));
    map.insert(1, 1);
    assert_eq!(pinned.get_many(&[] as &[u32]).next(), None);
}

#[test]
fn borrowed_keys() {
    let map: SyncMap<String, usize> = (0..100).map(|n| (n.to_string(), n)).collect();
    let pinned = map.pin();
    assert!(pinned.get_many(["7", "x", "99"]).eq([Some(&7), None, Some(&99)]));
    let owned: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    assert!(pinned.get_many(&owned).eq((0..100).collect::<Vec<_>>().iter().map(Some)));
    assert!(pinned.get_many(owned.iter().map(String::as_str).rev().take(1)).eq([Some(&99)]));
}

#[test]
fn keys_and_values_without_size() {
    let map = SyncMap::from([((), ())]);
    assert!(map.pin().get_many(&[(); GROUP as usize]).eq([Some(&()); GROUP as usize]));
    let set = SyncSet::from([1, 2, 3]);
    assert!(set.as_map().pin().get_many(&[3, 4]).eq([Some(&()), None]));
}

#[test]
fn it_tells_how_many_are_to_come() {
    let map: SyncMap<u32, u32> = (0..GROUP).map(|n| (n, n)).collect();
    let pinned = map.pin();
    let keys: Vec<u32> = (0..GROUP).collect();
    let mut values = pinned.get_many(&keys);
    for left in (0..keys.len()).rev() {
        assert_eq!(values.len(), left + 1);
        assert!(values.next().is_some());
    }
    assert_eq!((values.len(), values.next(), values.len()), (0, None, 0));

    let mut some = pinned.get_many(keys.iter().filter(|n| **n % 2 == 0));
    assert_eq!(some.size_hint(), (0, Some(keys.len())));
    assert_eq!(some.next(), Some(Some(&0)));
    assert!(some.size_hint().0 > 0 && some.size_hint().1.is_some_and(|most| most < keys.len()));
    assert!(format!("{some:?}").contains("GetMany"));
}

#[test]
fn it_ends_once() {
    let map = SyncMap::from([(1, 1)]);
    let pinned = map.pin();
    let mut turns = 0;
    // Gives a key, ends, and would go on.
    let keys = std::iter::from_fn(|| {
        turns += 1;
        (turns % 2 == 1).then_some(&1)
    });
    let mut values = pinned.get_many(keys);
    assert_eq!(values.next(), Some(Some(&1)));
    assert_eq!([values.next(), values.next()], [None; 2]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, ..ProptestConfig::default() })]

    #[test]
    fn it_agrees_with_a_hash_map(
        entries in prop::collection::vec((0..500_u32, any::<u64>()), 0..600),
        removed in prop::collection::vec(0..500_u32, 0..200),
        keys in prop::collection::vec(0..520_u32, 0..100),
        promoted in any::<bool>(),
    ) {
        let map = SyncMap::new();
        let mut model = HashMap::new();
        for &(key, value) in &entries {
            map.insert(key, value);
            model.insert(key, value);
        }
        if promoted {
            map.promote();
        }
        for key in &removed {
            map.remove(key);
            model.remove(key);
        }
        let pinned = map.pin();
        prop_assert!(pinned.get_many(&keys).eq(keys.iter().map(|key| model.get(key))));
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// What happens meanwhile

#[test]
fn each_lookup_sees_what_was_changed_before_it() {
    let map: SyncMap<u32, u32> = (0..GROUP).map(|n| (n, n)).collect();
    let pinned = map.pin();
    let keys: Vec<u32> = (0..2 * GROUP).collect();
    for (key, value) in keys.iter().zip(pinned.get_many(&keys)) {
        // Each turns to the next key, which has been taken from the input already: removes what is there, inserts what
        // is not; and adds others, so that the tables change too.
        assert_eq!(value, if *key == 0 || *key >= GROUP { Some(key) } else { None }, "{key}");
        let next = key + 1;
        if next < GROUP {
            map.remove(&next);
        } else {
            map.insert(next, next);
        }
        map.insert(1_000 + key, 0);
    }
}

#[test]
fn each_lookup_sees_a_clear_before_it() {
    let map: SyncMap<u32, u32> = (0..GROUP).map(|n| (n, n)).collect();
    let pinned = map.pin();
    let keys: Vec<u32> = (0..GROUP).collect();
    let mut values = pinned.get_many(&keys);
    let first = values.next().unwrap();
    map.clear();
    assert_eq!(values.next(), Some(None));
    map.insert(2, 20);
    map.insert(3, 30);
    assert_eq!([values.next(), values.next(), values.next()], [Some(Some(&20)), Some(Some(&30)), Some(None)]);
    assert_eq!(first, Some(&0), "what was found before stays");
}

#[test]
fn values_stay_while_the_pinned_exists() {
    let tally = Tally::default();
    let map: SyncMap<u32, Counted> = (0..GROUP).map(|n| (n, tally.make(n))).collect();
    let pinned = map.pin();
    let keys: Vec<u32> = (0..GROUP).collect();
    let values: Vec<&Counted> = pinned.get_many(&keys).flatten().collect();
    for n in 0..GROUP {
        map.insert(n, tally.make(n + 1));
        map.remove(&n);
    }
    map.compact();
    map.flush();
    assert!(values.iter().map(|value| value.id()).eq(keys.iter().copied()));
}

#[test]
fn it_can_be_left_half_way() {
    let map: SyncMap<u32, u32> = (0..1_000).map(|n| (n, n)).collect();
    let mut pinned = map.pin();
    let keys: Vec<u32> = (0..1_000).collect();
    for stop in 0..2 * GROUP as usize {
        let input = Cell::new(0);
        let counted = keys.iter().inspect(|_| input.set(input.get() + 1));
        assert_eq!(pinned.get_many(counted).take(stop).flatten().count(), stop);
        assert!((stop..stop + GROUP as usize).contains(&input.get()), "{} keys were taken for {stop}", input.get());
    }
    pinned.repin();
}

#[test]
fn the_input_may_use_the_map() {
    let map = SyncMap::new();
    let pinned = map.pin();
    let keys: Vec<u32> = (0..3_000).collect();
    let input = keys.iter().inspect(|key| {
        map.insert(**key, **key);
        if *key % 100 == 0 {
            map.promote();
        }
    });
    assert!(pinned.get_many(input).eq(keys.iter().map(Some)));
    // Another of its kind, of the same map.
    let through = pinned.get_many(&keys).flatten();
    assert!(pinned.get_many(through).eq(keys.iter().map(Some)));
}

#[test]
fn an_input_that_panics_ends_it() {
    let map: SyncMap<u32, u32> = (0..100).map(|n| (n, n)).collect();
    let pinned = map.pin();
    let keys: Vec<u32> = (0..100).collect();
    for fuse in [0, 1, 15, 16, 17, 33, 50] {
        let mut values = pinned.get_many(keys.iter().inspect(|key| assert!(**key != fuse, "fuse")));
        let mut found: Vec<&u32> = Vec::new();
        let end = panic::catch_unwind(AssertUnwindSafe(|| found.extend(values.by_ref().flatten())));
        assert!(end.is_err());
        assert!(found.len() <= fuse as usize && found.iter().copied().eq(&keys[..found.len()]), "{found:?}");
        assert_eq!((values.size_hint(), values.next()), ((0, Some(0)), None));
    }
    assert_eq!(pinned.get(&7), Some(&7));
}

/// A key whose comparison panics when it is told to.
#[derive(Debug)]
struct Touchy(u32);

thread_local! {
    static UNTOUCHABLE: RefCell<Option<u32>> = const { RefCell::new(None) };
}

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        assert!(UNTOUCHABLE.with_borrow(|key| *key != Some(self.0)), "touched");
        self.0 == other.0
    }
}

impl Eq for Touchy {}

impl Hash for Touchy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[test]
fn a_comparison_that_panics_costs_its_own_result() {
    let map: SyncMap<Touchy, u32> = (0..GROUP).map(|n| (Touchy(n), n)).collect();
    let pinned = map.pin();
    let keys: Vec<Touchy> = (0..GROUP).map(Touchy).collect();
    UNTOUCHABLE.set(Some(5));
    let mut values = pinned.get_many(&keys);
    assert_eq!(values.by_ref().take(5).flatten().count(), 5);
    assert!(panic::catch_unwind(AssertUnwindSafe(|| values.next())).is_err());
    assert_eq!((values.next(), values.len()), (Some(Some(&6)), GROUP as usize - 7));
    UNTOUCHABLE.set(None);
}

// ---------------------------------------------------------------------------------------------------------------------
// Threads

/// Batches of keys that stay, on two threads, while two others overwrite them, insert and remove others, and make the
/// tables grow and shrink. None may be absent, and no value may fall.
fn keys_that_stay_are_found<S: TestHasher>() {
    let present = u64::from(S::MANY / 10);
    let map = SyncMap::<u64, u64, S>::with_hasher(S::default());
    (0..present).for_each(|key| drop(map.insert(key, 0)));
    let (done, batches) = (AtomicBool::new(false), AtomicU64::new(0));
    let is_enough = || batches.load(SeqCst) > 100 && map.stats().promotions > 10;
    let started = Instant::now();
    thread::scope(|scope| {
        for reader in 0..2 {
            let (map, done, batches) = (&map, &done, &batches);
            scope.spawn(move || {
                let mut random = Random::new(reader);
                let mut seen = vec![0; present as usize];
                while !done.load(SeqCst) {
                    let keys: Vec<u64> = (0..50).map(|_| random.below(present)).collect();
                    let pinned = map.pin();
                    for (key, value) in keys.iter().zip(pinned.get_many(&keys)) {
                        let value = *value.unwrap_or_else(|| panic!("{key} is present, but was not found"));
                        let last = &mut seen[*key as usize];
                        assert!(value >= *last, "{key} fell from {last} to {value}");
                        *last = value;
                    }
                    batches.fetch_add(1, SeqCst);
                }
            });
        }
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let (map, is_enough) = (&map, &is_enough);
                scope.spawn(move || {
                    let mut random = Random::new(100 + writer);
                    let limit = || if is_enough() { Duration::from_millis(700) } else { Duration::from_secs(60) };
                    while started.elapsed() < limit() {
                        for _ in 0..S::MANY / 10 {
                            map.insert(1_000_000 + random.below(u64::from(S::MANY)), 1);
                            map.update(&random.below(present), |value| value + 1);
                        }
                        for _ in 0..S::MANY / 5 {
                            map.remove(&(1_000_000 + random.below(u64::from(S::MANY))));
                        }
                        map.compact();
                    }
                })
            })
            .collect();
        let ends: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, SeqCst);
        assert!(ends.iter().all(Result::is_ok));
    });
    assert!(is_enough(), "{batches:?} batches, {}", map.stats());
}

under_all_hashers!(@ stay_good, GoodHash, keys_that_stay_are_found);
under_all_hashers!(@ stay_zero, ZeroHash, keys_that_stay_are_found);
under_all_hashers!(@ stay_low, LowBitsHash, keys_that_stay_are_found);

/// A clear takes effect at one moment: who has seen that a key is gone finds nothing that was there before, although
/// `clear` may not be done with it and the key was taken from the input long ago.
#[test]
fn a_clear_is_never_taken_back() {
    const KEYS: u64 = 5_000;
    let map = SyncMap::<u64, u64>::new();
    let (done, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for reader in 0..2 {
            let (map, done) = (&map, &done);
            scope.spawn(move || {
                let mut random = Random::new(reader);
                let (mut newest, mut least) = (0, 0);
                while !done.load(SeqCst) {
                    let keys: Vec<u64> = (0..100).map(|_| random.below(KEYS)).collect();
                    let pinned = map.pin();
                    let mut values = pinned.get_many(&keys);
                    loop {
                        // The first key that is inserted in each round. So when it is gone all that was found is.
                        match pinned.get(&0) {
                            Some(&round) => newest = newest.max(round),
                            None => least = newest + 1,
                        }
                        match values.next() {
                            None => break,
                            Some(None) => (),
                            Some(Some(&round)) => {
                                assert!(round >= least, "a value of round {round} after it was cleared");
                                newest = newest.max(round);
                            }
                        }
                    }
                }
            });
        }
        let writer = scope.spawn(|| {
            let end = Instant::now() + Duration::from_millis(700);
            // However little of the machine there is for it, some rounds.
            while Instant::now() < end || rounds.load(SeqCst) < 50 {
                let round = 1 + rounds.fetch_add(1, SeqCst);
                (0..KEYS).for_each(|key| drop(map.insert(key, round)));
                map.clear();
            }
        });
        let end = writer.join();
        done.store(true, SeqCst);
        assert!(end.is_ok());
    });
}
