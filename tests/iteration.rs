//! What `range`, `snapshot` and the iterators of a `Pinned` promise while the map changes.
//!
//! That they may be nested and that every method may be called meanwhile is in `reentrancy`.

#[macro_use]
mod common;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use common::{Counted, Random, Tally, TestHasher, eventually, race, threads, within};
use readmostly::{Operation, Snapshot, SyncMap};

under_all_hashers!(
    keys_present_throughout_are_visited_once,
    values_are_from_during_the_iteration,
    no_key_twice_despite_clear,
    finished_changes_are_seen,
);

type Map<S = readmostly::DefaultHashBuilder> = SyncMap<u32, u64, S>;

/// The three ways to iterate.
#[derive(Clone, Copy, Debug)]
enum Way {
    Range,
    Snapshot,
    Iter,
}

const WAYS: [Way; 3] = [Way::Range, Way::Snapshot, Way::Iter];

/// The ways that promise a frozen key set and live values.
const FROZEN: [Way; 2] = [Way::Range, Way::Snapshot];

impl Way {
    fn visit<S: TestHasher>(self, map: &Map<S>, mut visit: impl FnMut(u32, u64)) {
        match self {
            Way::Range => map.range(|&key, &value| {
                visit(key, value);
                true
            }),
            Way::Snapshot => map.snapshot().for_each(|&key, &value| visit(key, value)),
            Way::Iter => map.pin().iter().for_each(|(&key, &value)| visit(key, value)),
        }
    }

    fn keys<S: TestHasher>(self, map: &Map<S>) -> Vec<u32> {
        let mut keys = Vec::new();
        self.visit(map, |key, _| keys.push(key));
        keys.sort_unstable();
        keys
    }
}

fn numbered<S: TestHasher>(keys: u32) -> Map<S> {
    let map = SyncMap::with_hasher(S::default());
    for key in 0..keys {
        map.insert(key, u64::from(key));
    }
    map
}

/// Runs `watch` again and again while threads do the same with `churn(0)` to `churn(threads - 1)`: for some time, and
/// longer if `watch` says that too little has happened yet.
fn while_churning(threads: u64, churn: impl Fn(u64, &mut Random) + Sync, mut watch: impl FnMut() -> bool + Send) {
    const TIME: Duration = Duration::from_millis(800);
    const LIMIT: Duration = Duration::from_secs(60);

    let started = Barrier::new(threads as usize + 1);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for id in 0..threads {
            let (started, done, churn) = (&started, &done, &churn);
            scope.spawn(move || {
                let mut random = Random::new(id);
                started.wait();
                while !done.load(SeqCst) {
                    churn(id, &mut random);
                }
            });
        }
        let outcome = scope.spawn(|| {
            started.wait();
            let start = Instant::now();
            while !watch() || start.elapsed() < TIME {
                assert!(start.elapsed() < LIMIT, "the other threads were expected to do more in {LIMIT:?}");
            }
        });
        let outcome = outcome.join();
        done.store(true, SeqCst);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// Under concurrent change

/// R1 and R2: with keys that stay, among keys that come and go, while tables are grown, copied, promoted and compacted.
fn keys_present_throughout_are_visited_once<S: TestHasher>() {
    let stay = S::MANY / 16;
    let all = S::MANY / 4;
    let map: &Map<S> = &numbered(stay);
    let multiple = |key: u32, factor: u64| u64::from(key) * factor;
    let churn = |id: u64, random: &mut Random| {
        let staying = random.below(stay.into()) as u32;
        let passing = stay + random.below((all - stay).into()) as u32;
        match (id, random.below(64)) {
            (0, 0..4) => map.promote(),
            (0, 4..12) => map.compact(),
            (0, 12) => map.retain(|&key, _| key < stay),
            (_, action) if action < 24 => drop(map.insert(passing, multiple(passing, action))),
            (_, action) if action < 48 => drop(map.remove(&passing)),
            (_, action) if action < 56 => drop(map.insert(staying, multiple(staying, action))),
            _ => drop(map.compute(passing, |value| match value {
                Some(_) => Operation::<u64, ()>::Remove,
                None => Operation::Insert(u64::from(passing)),
            })),
        }
    };
    while_churning(3, churn, || {
        for way in WAYS {
            let mut visits = vec![0; all as usize];
            way.visit(map, |key, value| {
                assert!(value == 0 || value % u64::from(key) == 0, "key {key} never held {value}");
                visits[key as usize] += 1;
            });
            let (stayed, passed) = visits.split_at(stay as usize);
            assert!(stayed.iter().all(|&visits| visits == 1), "{way:?}, visits of keys that stay: {stayed:?}");
            assert!(passed.iter().all(|&visits| visits <= 1), "{way:?}, visits of other keys: {passed:?}");
        }
        map.stats().promotions > 100
    });
    assert_eq!(map.len(), Way::Iter.keys(map).len(), "len must be exact once all threads are done");
}

/// R3: what a visit shows was the key's value at some time between the start of the iteration and the visit.
fn values_are_from_during_the_iteration<S: TestHasher>() {
    const WRITERS: u64 = 2;
    const KEYS: u32 = 32;

    let map: &Map<S> = &numbered(0);
    let [begun, ended]: [Vec<AtomicU64>; 2] = [(); 2].map(|()| (0..KEYS).map(|_| AtomicU64::new(0)).collect());
    for key in 0..KEYS {
        map.insert(key, 0);
    }
    // Each key has one writer, which counts it up.
    let churn = |writer: u64, random: &mut Random| {
        let key = (random.below(u64::from(KEYS) / WRITERS) * WRITERS + writer) as u32;
        let version = begun[key as usize].fetch_add(1, SeqCst) + 1;
        map.insert(key, version);
        ended[key as usize].store(version, SeqCst);
        match random.below(256) {
            0 => map.promote(),
            1 => drop(map.insert(KEYS + key, version)),
            2 => drop(map.remove(&(KEYS + key))),
            _ => {}
        }
    };
    while_churning(WRITERS, churn, || {
        for way in WAYS {
            let oldest: Vec<_> = ended.iter().map(|version| version.load(SeqCst)).collect();
            way.visit(map, |key, version| {
                if key < KEYS {
                    let valid = oldest[key as usize]..=begun[key as usize].load(SeqCst);
                    assert!(valid.contains(&version), "{way:?} showed {key} with {version}, not from {valid:?}");
                }
            });
        }
        true
    });
}

/// R2 and R9: a clear may or may not end an iteration, but never makes it show a key twice.
fn no_key_twice_despite_clear<S: TestHasher>() {
    let keys = S::MANY / 8;
    let map: &Map<S> = &numbered(keys);
    let churn = |id: u64, random: &mut Random| {
        if id == 0 && random.below(8) == 0 {
            map.clear();
        }
        for key in 0..keys {
            map.insert(key, u64::from(key));
        }
    };
    while_churning(2, churn, || {
        for way in WAYS {
            let mut seen = vec![false; keys as usize];
            way.visit(map, |key, value| {
                assert_eq!(value, u64::from(key));
                assert!(!std::mem::replace(&mut seen[key as usize], true), "{way:?} visited key {key} twice");
            });
        }
        true
    });
}

/// R1 for keys that come and go: an iteration that begins after an insert returned shows the key, one that begins after
/// a remove returned does not, although other threads freeze, copy and promote tables all the time.
fn finished_changes_are_seen<S: TestHasher>() {
    const ROUNDS: u32 = 150;

    let map: &Map<S> = &numbered(20);
    let threads = threads() as u32;
    race(threads as usize, |id| {
        for round in 0..ROUNDS {
            let way = WAYS[round as usize % WAYS.len()];
            let key = 100 + round * threads + id as u32;
            map.insert(key, 1);
            assert!(way.keys(map).contains(&key), "{way:?} did not show key {key}, inserted before");
            let snapshot = map.snapshot();
            map.remove(&key);
            assert!(!way.keys(map).contains(&key), "{way:?} showed key {key}, removed before");
            snapshot.for_each(|&shown, _| assert_ne!(shown, key, "the snapshot showed a key that was removed since"));
            if round % 16 == 0 {
                map.compact();
            }
        }
    });
    assert_eq!(Way::Range.keys(map), (0..20).collect::<Vec<_>>());
}

// ---------------------------------------------------------------------------------------------------------------------
// Early stop

/// R5.
#[test]
fn range_stops_when_told() {
    let map: Map = numbered(100);
    for limit in [1, 2, 50, 99, 100] {
        let mut calls = 0;
        map.range(|_, _| {
            calls += 1;
            calls < limit
        });
        assert_eq!(calls, limit);
    }
    assert_eq!(map.pin().iter().take(7).count(), 7);
}

/// A stopped range must not leave anything behind, such as a lock or a guard.
#[test]
fn stopped_and_panicked_ranges_hold_nothing() {
    let tally = Tally::default();
    let map: SyncMap<u32, Counted> = (0..100).map(|key| (key, tally.make(key))).collect();
    map.range(|_, _| false);
    let panicked = catch_unwind(AssertUnwindSafe(|| map.range(|_, _| std::panic::resume_unwind(Box::new("stop")))));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"stop"), "the closure's own panic must come through");

    assert_eq!(map.len(), 100);
    map.insert(100, tally.make(100));
    map.promote();
    map.retain(|&key, _| key == 100);
    eventually("flush frees what was removed", || {
        map.flush();
        tally.live() == 1
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// Frozen key set

/// R8, with inserts by the closure itself. Without it, this would not even end.
#[test]
fn keys_inserted_by_the_closure_do_not_appear() {
    within(Duration::from_secs(20), || {
        for way in FROZEN {
            let map: Map = numbered(100);
            let mut visited = Vec::new();
            way.visit(&map, |key, _| {
                visited.push(key);
                map.insert(1000 + key, 0);
                map.promote();
            });
            visited.sort_unstable();
            assert_eq!(visited, (0..100).collect::<Vec<_>>(), "{way:?}");
            assert_eq!(map.len(), 200);
        }
    });
}

/// R8, with inserts by another thread, enough of them to replace every table several times.
#[test]
fn keys_inserted_meanwhile_do_not_appear() {
    for way in FROZEN {
        for promoted in [false, true] {
            let map: Map = numbered(100);
            if promoted {
                map.promote();
            }
            let mut visited = Vec::new();
            way.visit(&map, |key, _| {
                if visited.is_empty() {
                    thread::scope(|scope| {
                        scope.spawn(|| {
                            for key in 1000..5000 {
                                map.insert(key, 0);
                            }
                            map.promote();
                        });
                    });
                }
                visited.push(key);
            });
            visited.sort_unstable();
            assert_eq!(visited, (0..100).collect::<Vec<_>>(), "{way:?}, promoted before: {promoted}");
        }
    }
}

#[test]
fn keys_inserted_after_the_snapshot_do_not_appear() {
    let map: Map = numbered(100);
    let snapshots: Vec<_> = (0..10)
        .map(|round| {
            let snapshot = map.snapshot();
            for key in 0..100 {
                map.insert(100 * (round + 1) + key, 0);
            }
            snapshot
        })
        .collect();
    for (round, snapshot) in (1..).zip(&snapshots) {
        let mut keys: Vec<u32> = snapshot.to_vec().into_iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        assert_eq!(keys, (0..100 * round).collect::<Vec<_>>());
    }
}

/// The other side of it: an older iteration must not hide what was inserted before a newer one began.
#[test]
fn keys_inserted_before_the_iteration_appear() {
    let map: Map = SyncMap::new();
    let mut snapshots = Vec::new();
    for key in 0..300 {
        snapshots.push(map.snapshot());
        map.insert(key, 0);
        for way in WAYS {
            assert_eq!(way.keys(&map), (0..=key).collect::<Vec<_>>(), "{way:?} beside {} snapshots", snapshots.len());
        }
    }
    let mut next = 1000;
    map.range(|_, _| {
        map.insert(next, 0);
        for way in WAYS {
            assert_eq!(way.keys(&map).last(), Some(&next), "{way:?} inside a range");
        }
        next += 1;
        next < 1100
    });
    for (key, snapshot) in snapshots.iter().enumerate() {
        assert_eq!(snapshot.to_vec().len(), key);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Live values

/// Iterates over 0..100 and runs `change` at the first visit. Gives the visits after that one.
fn visits_after(way: Way, change: impl Fn(&Map, u32)) -> (Map, Vec<(u32, u64)>) {
    let map: Map = numbered(100);
    let mut visits = Vec::new();
    let mut first = None;
    way.visit(&map, |key, value| match first {
        None => {
            first = Some(key);
            change(&map, key);
        }
        Some(first) => {
            assert_ne!(key, first, "{way:?} visited key {key} twice");
            visits.push((key, value));
        }
    });
    visits.sort_unstable();
    (map, visits)
}

/// Inserts so many keys that every table is replaced, and removes them again.
fn replace_tables(map: &Map) {
    for key in 1000..3000 {
        map.insert(key, 0);
    }
    map.promote();
    for key in 1000..3000 {
        map.remove(&key);
    }
    map.compact();
}

#[test]
fn overwritten_values_are_seen() {
    for way in FROZEN {
        for replace in [false, true] {
            let (_, visits) = visits_after(way, |map, _| {
                if replace {
                    replace_tables(map);
                }
                for key in 0..100 {
                    map.insert(key, 7);
                }
            });
            assert_eq!(visits.len(), 99, "{way:?}, tables replaced: {replace}");
            assert!(visits.iter().all(|&(_, value)| value == 7), "{way:?}, tables replaced: {replace}: {visits:?}");
        }
    }
}

#[test]
fn removed_entries_are_not_visited() {
    for way in FROZEN {
        for replace in [false, true] {
            let (map, visits) = visits_after(way, |map, first| {
                if replace {
                    replace_tables(map);
                }
                map.retain(|&key, _| key == first || key % 2 == 0);
            });
            let mut left = way.keys(&map);
            assert!(visits.iter().all(|(key, _)| key % 2 == 0), "{way:?} showed a removed key: {visits:?}");
            left.retain(|&key| visits.iter().all(|&(visited, _)| visited != key));
            assert_eq!(left.len(), 1, "{way:?}: only the first key is in the map without being among {visits:?}");
        }
    }
}

/// An entry that is removed and inserted again may be skipped, but is shown once at most, and with live values as it is
/// now.
#[test]
fn reinserted_entries_are_visited_at_most_once() {
    for way in WAYS {
        for compact in [false, true] {
            let (_, visits) = visits_after(way, |map, _| {
                for key in 0..100 {
                    map.remove(&key);
                }
                if compact {
                    map.compact();
                }
                for key in 0..100 {
                    map.insert(key, 7);
                }
                map.promote();
            });
            assert!(visits.is_sorted_by(|a, b| a.0 < b.0), "{way:?} showed a key twice: {visits:?}");
            let live = visits.iter().all(|&(_, value)| value == 7);
            assert!(live || matches!(way, Way::Iter), "{way:?} showed a removed entry: {visits:?}");
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// What an iteration keeps alive

#[test]
fn snapshot_outlives_the_map() {
    let (keys, values) = (Tally::default(), Tally::default());
    let map: SyncMap<Counted, Counted> = (0..100).map(|id| (keys.make(id), values.make(id + 1))).collect();
    let snapshot = map.snapshot();
    map.insert(keys.make(7), values.make(700));
    map.remove(&8);
    map.insert(keys.make(1000), values.make(1000));
    drop(map);
    assert!(keys.live() >= 99, "a snapshot must keep its keys alive");

    let seen = thread::spawn(move || {
        let mut seen = Vec::new();
        snapshot.for_each(|key, value| seen.push((key.id(), value.id())));
        assert_eq!(snapshot.to_vec().len(), seen.len());
        drop::<Snapshot<_, _>>(snapshot);
        seen.sort_unstable();
        seen
    });
    let mut expected: Vec<_> = (0..100).filter(|&id| id != 8).map(|id| (id, id + 1)).collect();
    expected[7].1 = 700;
    assert_eq!(seen.join().unwrap(), expected);
    assert_eq!((keys.live(), values.live()), (0, 0), "with the last snapshot everything must be dropped");
}

#[test]
fn snapshots_of_several_times_share_the_map_s_fate() {
    let tally = Tally::default();
    let map: SyncMap<Counted, Counted> = SyncMap::new();
    let mut snapshots = Vec::new();
    for round in 0..20 {
        for id in 0..50 {
            map.insert(tally.make(round * 50 + id), tally.make(id));
        }
        snapshots.push(map.snapshot());
        map.retain(|key, _| key.id() % 3 != round % 3);
        if round % 5 == 0 {
            map.clear();
        }
        if round % 2 == 0 {
            map.compact();
        }
    }
    // Neither oldest first nor newest first.
    let (even, odd): (Vec<_>, Vec<_>) = snapshots.into_iter().enumerate().partition(|(i, _)| i % 2 == 0);
    drop(even);
    drop(map);
    let mut seen = HashSet::new();
    for (_, snapshot) in &odd {
        snapshot.for_each(|key, value| assert!(seen.insert(key.id()) || value.id() < 50));
    }
    drop(odd);
    assert_eq!(tally.live(), 0);
}

/// A long iteration renews its guard: what is replaced meanwhile is freed meanwhile.
#[test]
fn iteration_does_not_hold_back_reclamation() {
    const OVERWRITES: u32 = 50;

    for way in FROZEN {
        let tally = Tally::default();
        let map: Map = numbered(2000);
        let values: SyncMap<u32, Counted> = SyncMap::from([(0, tally.make(0))]);
        let (mut visits, mut freed) = (0, false);
        way.visit(&map, |key, _| {
            for i in 0..OVERWRITES {
                values.insert(0, tally.make(key + i));
            }
            visits += 1;
            if visits > 1000 && !freed {
                thread::sleep(Duration::from_millis(1));
                freed = tally.is_mostly_dropped();
            }
        });
        assert!(freed, "{way:?}: {} of {} values were left at the end", tally.live(), tally.created());
    }
}

/// A snapshot at rest holds keys, not values.
#[test]
fn snapshot_does_not_hold_back_values() {
    let tally = Tally::default();
    let map: SyncMap<u32, Counted> = (0..10).map(|key| (key, tally.make(key))).collect();
    let snapshot = map.snapshot();
    eventually("overwrites free what others replaced", || {
        (0..20_000).for_each(|i| drop(map.insert(i % 10, tally.make(i))));
        tally.is_mostly_dropped()
    });
    map.retain(|_, _| false);
    eventually("flush frees every removed value", || {
        map.flush();
        tally.live() == 0
    });
    snapshot.for_each(|key, _| panic!("key {key} was removed"));
}

/// A pin that is renewed now and then may be kept for as long as the thread lives.
#[test]
fn repin_does_not_hold_back_reclamation() {
    let tally = Tally::default();
    let map: SyncMap<u32, Counted> = SyncMap::from([(0, tally.make(0))]);
    let mut pin = map.pin();
    eventually("overwrites free what others replaced", || {
        for i in 0..20_000 {
            pin.insert(0, tally.make(i));
            if i % 100 == 0 {
                pin.repin();
            }
        }
        tally.is_mostly_dropped()
    });
}

/// Go's map copies everything for the first new key after each `Range`. Here new keys go on into the same table when an
/// iteration is over, stopped or not.
#[test]
fn finished_iterations_cost_inserts_nothing() {
    for way in WAYS {
        let map: Map = SyncMap::with_capacity(1000);
        for key in 0..500 {
            map.insert(key, 0);
            assert_eq!(way.keys(&map).len(), key as usize + 1);
            map.range(|_, _| false);
        }
        assert_eq!(map.stats().copied_slots, 0, "{way:?}: {}", map.stats());
    }
}

/// Iterating over a map on one thread while others write must not make a writer wait for the iteration.
#[test]
fn writers_do_not_wait_for_an_iteration() {
    within(Duration::from_secs(20), || {
        for way in WAYS {
            let map: Map = numbered(100);
            let mut first = true;
            way.visit(&map, |_, _| {
                if std::mem::take(&mut first) {
                    let (done, finished) = mpsc::channel();
                    thread::scope(|scope| {
                        scope.spawn(|| {
                            for key in 0..1000 {
                                map.insert(key, 1);
                            }
                            map.promote();
                            map.remove(&5);
                            map.compact();
                            map.clear();
                            done.send(()).unwrap();
                        });
                        finished.recv().expect("the writer must come through while the iteration waits for it");
                    });
                }
            });
        }
    });
}
