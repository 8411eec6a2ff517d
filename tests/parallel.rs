//! What parallel iteration visits, what it keeps from being freed, and what parallel collecting makes.

#![cfg(feature = "rayon")]

#[macro_use]
mod common;

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use common::{Counted, Random, Tally, TestHasher, eventually, within};
use rayon::ThreadPool;
use rayon::prelude::*;
use readmostly::{SyncMap, SyncSet};

under_all_hashers!(every_entry_is_visited_once, keys_present_throughout_are_visited_once);

type Map<S = readmostly::DefaultHashBuilder> = SyncMap<u32, u64, S>;

fn pool(threads: usize) -> ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started")
}

fn numbered<S: TestHasher>(keys: u32) -> Map<S> {
    let map = SyncMap::with_hasher(S::default());
    for key in 0..keys {
        map.insert(key, u64::from(key));
    }
    map
}

/// A map with entries in both tables: some copied, some not, some removed in between.
fn amended() -> SyncMap<u32, u32> {
    let map = SyncMap::new();
    for key in 0.. {
        map.insert(key, key);
        if key > 500 && map.stats().dirty_len > 20 {
            break;
        }
    }
    map.remove(&3);
    assert!(map.stats().dirty_len > 0, "the copy is under way");
    map
}

// ---------------------------------------------------------------------------------------------------------------------
// What is visited

fn every_entry_is_visited_once<S: TestHasher>() {
    pool(4).install(|| {
        for keys in [0, 1, 2, 13, S::MANY] {
            let map: Map<S> = numbered(keys);
            let expected: Vec<(u32, u64)> = (0..keys).map(|key| (key, key.into())).collect();
            let sorted = |mut entries: Vec<(u32, u64)>| {
                entries.sort_unstable();
                entries
            };
            let by_reference = map.pin().par_iter().map(|(&key, &value)| (key, value)).collect();
            assert_eq!(sorted(by_reference), expected, "pinned");
            assert_eq!(sorted(map.snapshot().par_iter().collect()), expected, "snapshot");
            assert_eq!(sorted(map.into_par_iter().collect()), expected, "owned");
        }
    });
}

fn keys_present_throughout_are_visited_once<S: TestHasher>() {
    let (stay, all) = (S::MANY / 16, S::MANY / 4);
    let map: &Map<S> = &numbered(stay);
    let done = &AtomicBool::new(false);
    thread::scope(|scope| {
        for id in 0..2 {
            scope.spawn(move || {
                let mut random = Random::new(id);
                while !done.load(SeqCst) {
                    let passing = stay + random.below((all - stay).into()) as u32;
                    match random.below(64) {
                        0 => map.promote(),
                        1 => map.compact(),
                        2..24 => drop(map.insert(passing, 1)),
                        24..48 => drop(map.remove(&passing)),
                        _ => drop(map.insert(random.below(stay.into()) as u32, 1)),
                    }
                }
            });
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let pool = pool(3);
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(500) || map.stats().promotions < 20 {
                assert!(start.elapsed() < Duration::from_secs(60), "more promotions were expected");
                let pinned: Vec<u32> = pool.install(|| {
                    // Made here: a guard belongs to its thread.
                    map.pin().par_iter().map(|(&key, _)| key).collect()
                });
                let snapshot = map.snapshot();
                let cloned: Vec<u32> = pool.install(|| snapshot.par_iter().map(|(key, _)| key).collect());
                for keys in [pinned, cloned] {
                    let mut visits = vec![0; all as usize];
                    keys.iter().for_each(|&key| visits[key as usize] += 1);
                    let (stayed, passed) = visits.split_at(stay as usize);
                    assert!(stayed.iter().all(|&visits| visits == 1), "visits of keys that stay: {stayed:?}");
                    assert!(passed.iter().all(|&visits| visits <= 1), "visits of other keys: {passed:?}");
                }
            }
        }));
        done.store(true, SeqCst);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn amended_maps_are_moved_out_whole() {
    let map = amended();
    let expected: BTreeMap<u32, u32> = map.snapshot().to_vec().into_iter().collect();
    // Another, since a snapshot completes the copy.
    let moved = pool(4).install(|| amended().into_par_iter().collect::<Vec<_>>());
    assert_eq!(moved.len(), expected.len(), "no entry twice");
    assert_eq!(moved.into_iter().collect::<BTreeMap<_, _>>(), expected);
}

#[test]
fn sets_are_visited_as_maps_are() {
    let set: SyncSet<u32> = (0..1000).collect();
    let expected: HashSet<u32> = (0..1000).collect();
    assert_eq!(set.pin().par_iter().copied().collect::<HashSet<_>>(), expected);
    assert_eq!(set.snapshot().par_iter().map(|(member, ())| member).collect::<HashSet<_>>(), expected);
    assert_eq!(set.into_par_iter().collect::<HashSet<_>>(), expected);
}

/// Each of two threads visits something, or nothing was gained.
#[test]
fn work_is_shared() {
    let map: SyncMap<u32, u32> = (0..200).map(|key| (key, key)).collect();
    let snapshot = map.snapshot();
    let owned = map.clone();
    let visitors = Mutex::new(HashSet::new());
    let deadline = Instant::now() + Duration::from_secs(60);
    let visit = || {
        visitors.lock().unwrap().insert(thread::current().id());
        // The other thread may be slow to begin.
        while visitors.lock().unwrap().len() < 2 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    };
    let check = |way: &str| assert_eq!(visitors.lock().unwrap().drain().count(), 2, "{way}");
    pool(2).install(|| {
        map.pin().par_iter().for_each(|_| visit());
        check("pinned");
        snapshot.par_iter().for_each(|_| visit());
        check("snapshot");
        owned.into_par_iter().for_each(|_| visit());
        check("owned");
    });
}

#[test]
fn anything_may_be_called_from_inside() {
    within(Duration::from_secs(30), || {
        pool(3).install(|| {
            let map: Map = numbered(500);
            // Keys inserted meanwhile may be visited too.
            map.pin().par_iter().filter(|(key, _)| **key < 1000).for_each(|(&key, _)| {
                map.insert(1000 + key, 0);
                map.remove(&key);
                map.range(|_, _| false);
                assert!(map.pin().par_iter().count() >= 1);
                map.promote();
            });
            let snapshot = map.snapshot();
            snapshot.par_iter().for_each(|(key, _)| drop(map.insert(2000 + key, 0)));
            assert!((0..500).all(|key| !map.contains_key(&key) && map.contains_key(&(3000 + key))));
        });
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// What is kept

/// Workers load values under the guard of the thread that called, and have none of their own. What they have loaded is
/// overwritten at once, and a flush tries to free it.
#[test]
fn what_workers_load_is_kept_by_the_guard_of_the_caller() {
    let tally = Tally::default();
    let map: SyncMap<u32, Counted> = (0..2000).map(|key| (key, tally.make(key))).collect();
    let pinned = map.pin();
    let visited: Vec<(&u32, &Counted)> = pinned
        .par_iter()
        .map(|(key, value)| {
            map.insert(*key, tally.make(*key));
            if key % 64 == 0 {
                map.flush();
            }
            assert_eq!(value.id(), *key, "what a worker has loaded stays");
            (key, value)
        })
        .collect();
    map.flush();
    assert!(visited.iter().all(|(key, value)| value.id() == **key), "and stays until the guard goes");
    assert!(tally.live() >= 4000, "{} live of 4000", tally.live());
    drop(pinned);
    eventually("the guard gone, flush frees what was replaced", || {
        map.flush();
        tally.live() == 2000
    });
}

/// An iterator sent to a thread that has never used a map before.
#[test]
fn iterators_go_to_other_threads() {
    let tally = Tally::default();
    let map: SyncMap<u32, Counted> = (0..300).map(|key| (key, tally.make(key))).collect();
    let pinned = map.pin();
    let iter = pinned.iter();
    let seen = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            iter.inspect(|(key, value)| {
                map.insert(**key, tally.make(**key));
                map.flush();
                assert_eq!(value.id(), **key);
            })
            .count()
        });
        reader.join().unwrap()
    });
    assert_eq!((seen, tally.live()), (300, 600));
}

/// What a worker does with a clone may take as long as it likes: memory is freed meanwhile.
#[test]
fn snapshots_hold_nothing_back() {
    let tally = Tally::default();
    let map: SyncMap<u32, Counted> = (0..100).map(|key| (key, tally.make(key))).collect();
    let snapshot = map.snapshot();
    let first = AtomicBool::new(true);
    pool(1).install(|| {
        snapshot.par_iter().for_each(|(key, clone)| {
            assert_eq!(clone.id(), key);
            if first.swap(false, SeqCst) {
                let before = tally.live();
                for key in 0..100 {
                    map.insert(key, tally.make(key));
                }
                eventually("flush frees what was replaced, in the middle of an iteration", || {
                    map.flush();
                    tally.live() == before
                });
            }
        });
    });
    assert!(!first.into_inner());
}

#[test]
fn what_is_not_taken_is_dropped_once() {
    for taken in [0, 1, 40, 1000] {
        let tally = Tally::default();
        let map: SyncMap<_, _> = (0..400).map(|id| (tally.make(id), tally.make(id))).collect();
        for id in 0..50 {
            map.insert(tally.make(id), tally.make(id));
            map.remove(&tally.make(id + 100));
        }
        let seen = AtomicUsize::new(0);
        pool(3).install(|| {
            map.into_par_iter().take_any(taken).for_each(|(key, value)| {
                assert_eq!(key.id(), value.id());
                seen.fetch_add(1, SeqCst);
            });
        });
        assert_eq!((seen.into_inner(), tally.live()), (taken.min(350), 0));
    }
    let tally = Tally::default();
    let map: SyncMap<_, _> = (0..400).map(|id| (id, tally.make(id))).collect();
    drop(map.into_par_iter());
    assert_eq!(tally.live(), 0, "dropped without having run");
}

#[test]
fn panics_come_through_and_leave_nothing_behind() {
    let tally = Tally::default();
    let map: SyncMap<u32, Counted> = (0..400).map(|id| (id, tally.make(id))).collect();
    let snapshot = map.snapshot();
    let stop = |key: u32| {
        if key == 77 {
            std::panic::resume_unwind(Box::new("stop"));
        }
    };
    let message = |run: &(dyn Fn() + Sync)| {
        let panic = catch_unwind(AssertUnwindSafe(|| pool(3).install(run))).expect_err("a panic");
        assert_eq!(panic.downcast_ref(), Some(&"stop"));
    };
    message(&|| map.pin().par_iter().for_each(|(&key, _)| stop(key)));
    message(&|| snapshot.par_iter().for_each(|(key, _)| stop(key)));
    drop(snapshot);
    let map = Mutex::new(Some(map));
    message(&|| map.lock().unwrap().take().unwrap().into_par_iter().for_each(|(key, _)| stop(key)));
    assert_eq!(tally.live(), 0);
}

#[test]
#[should_panic(expected = "while a Snapshot shares them")]
fn moving_out_needs_the_map_to_itself() {
    let map = SyncMap::from([(1, 1)]);
    let _snapshot = map.snapshot();
    let _ = map.into_par_iter();
}

// ---------------------------------------------------------------------------------------------------------------------
// Collecting

#[test]
fn collecting_keeps_the_last_of_equal_keys() {
    // Filtered, so that it is not known how many there are, and they are made in several parts.
    let entries = || (0..10_000_u32).into_par_iter().filter(|_| true).map(|n| (n % 100, n));
    let expected: BTreeMap<u32, u32> = (9_900..10_000).map(|n| (n % 100, n)).collect();
    pool(4).install(|| {
        let collected: SyncMap<u32, u32> = entries().collect();
        let mut by_value = SyncMap::from([(0, 0), (1000, 0)]);
        by_value.remove(&1000);
        by_value.par_extend(entries());
        let by_reference = SyncMap::new();
        (&by_reference).par_extend(entries());
        let mut copied = SyncMap::new();
        let pinned = collected.pin();
        copied.par_extend(&pinned);
        drop(pinned);
        for map in [collected, by_value, by_reference, copied] {
            assert_eq!(map.into_iter().collect::<BTreeMap<_, _>>(), expected);
        }
    });
}

#[test]
fn sets_are_collected_as_maps_are() {
    let members = || (0..10_000_u32).into_par_iter().map(|n| n % 100);
    let expected: SyncSet<u32> = (0..100).collect();
    let mut extended = SyncSet::new();
    extended.par_extend(members());
    let by_reference = SyncSet::new();
    (&by_reference).par_extend(members());
    let mut copied = SyncSet::new();
    copied.par_extend(&expected.pin());
    for set in [members().collect(), extended, by_reference, copied] {
        assert_eq!(set, expected);
    }
}

#[test]
fn iterators_print_what_they_have_left() {
    let map = SyncMap::from([(1, 71)]);
    let set = SyncSet::from([72]);
    let (snapshot, pinned, members) = (map.snapshot(), map.pin(), set.pin());
    assert_eq!(format!("{:?}", pinned.par_iter().clone()), "[(1, 71)]");
    assert_eq!(format!("{:?}", members.par_iter().clone()), "[72]");
    assert_eq!(format!("{:?}", snapshot.par_iter().clone()), "ParClones({1: 71})");
}
