//! What `range_until` promises: over all its slices every key that is present throughout once, whatever the tables do
//! between and during the slices.

#[macro_use]
mod common;

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use common::{Random, TestHasher, eventually, within};
use readmostly::{Budget, Cursor, DefaultHashBuilder, SyncMap, SyncSet};

under_all_hashers!(
    a_map_at_rest_is_visited_once,
    tables_may_change_between_slices,
    keys_present_throughout_are_visited_once,
    a_removed_and_inserted_key_is_not_visited_twice,
);

type Map<S = DefaultHashBuilder> = SyncMap<u32, u32, S>;

fn numbered<S: TestHasher>(keys: u32) -> Map<S> {
    let map = SyncMap::with_hasher(S::default());
    for key in 0..keys {
        map.insert(key, key);
    }
    map
}

/// Visits the whole map in slices of `entries`, with `between` called between them; how often each key was visited.
fn sweep<S: TestHasher>(map: &Map<S>, entries: usize, mut between: impl FnMut(usize)) -> HashMap<u32, u32> {
    let mut visits = HashMap::new();
    let (mut next, mut slice) = (Some(Cursor::default()), 0);
    while let Some(cursor) = next {
        next = map.range_until(entries, cursor, |&key, _| *visits.entry(key).or_default() += 1);
        between(slice);
        slice += 1;
    }
    visits
}

fn assert_once(visits: &HashMap<u32, u32>, keys: impl IntoIterator<Item = u32>) {
    for key in keys {
        assert!(visits.contains_key(&key), "{key} was not visited");
    }
    for (key, times) in visits {
        assert_eq!(*times, 1, "visits of {key}");
    }
}

fn a_map_at_rest_is_visited_once<S: TestHasher>() {
    for keys in [0, 1, 2, 7, 8, 100, S::MANY] {
        let map = numbered::<S>(keys);
        for entries in [0, 1, 10, usize::MAX] {
            let visits = sweep(&map, entries, |_| {});
            assert_eq!(visits.len(), keys as usize);
            assert_once(&visits, 0..keys);
        }
    }
}

/// Growth that leaves the map amended, promotion, compaction to a smaller table, and `reserve`, each between all pairs
/// of slices.
fn tables_may_change_between_slices<S: TestHasher>() {
    let keys = S::MANY / 4;
    let changes: [fn(&Map<S>, u32); 4] = [
        |map, at| drop(map.insert(1_000_000 + at, 0)),
        |map, at| (0..200).for_each(|n| drop(map.insert(1_000_000 + 200 * at + n, 0))),
        |map, at| {
            map.reserve(if at % 2 == 0 { 10_000 } else { 0 });
            map.insert(1_000_000 + at, 0);
            map.compact();
        },
        |map, at| {
            (0..100).for_each(|n| drop(map.insert(1_000_000 + n, at)));
            map.retain(|&key, _| key < 1_000_000);
            map.compact();
        },
    ];
    for change in changes {
        let map = numbered::<S>(keys);
        let visits = sweep(&map, 20, |slice| {
            if slice < 50 {
                change(&map, slice as u32);
            }
        });
        assert_once(&visits, 0..keys);
    }
}

/// The same with threads that change the tables during the slices.
fn keys_present_throughout_are_visited_once<S: TestHasher>() {
    let keys = S::MANY / 4;
    let map = numbered::<S>(keys);
    let is_over = AtomicBool::new(false);
    within(Duration::from_secs(120), move || {
        let (map, is_over) = (&map, &is_over);
        thread::scope(|scope| {
            for id in 0..2u32 {
                scope.spawn(move || {
                    let mut random = Random::new(u64::from(id));
                    let mut fresh = 1_000_000 * (id + 1);
                    while !is_over.load(SeqCst) {
                        match random.below(100) {
                            0 => map.promote(),
                            1 => map.compact(),
                            2 => map.retain(|&key, _| key < keys),
                            3 => map.reserve(random.below(2000) as usize),
                            4..50 => drop(map.insert(random.below(u64::from(keys)) as u32, id)),
                            _ => {
                                map.insert(fresh, id);
                                fresh += 1;
                            }
                        }
                    }
                });
            }
            let started = Instant::now();
            let mut sweeps = Vec::new();
            while started.elapsed() < Duration::from_millis(600) || sweeps.len() < 3 {
                sweeps.push(sweep(map, 50, |_| {}));
            }
            is_over.store(true, SeqCst);
            sweeps.iter().for_each(|visits| assert_once(visits, 0..keys));
        });
    });
}

/// A key that gets another node, in another table, keeps its place.
fn a_removed_and_inserted_key_is_not_visited_twice<S: TestHasher>() {
    let keys = S::MANY / 4;
    let map = numbered::<S>(keys);
    let mut visits = HashMap::<u32, u32>::new();
    let mut next = Some(Cursor::default());
    let mut fresh = 1_000_000;
    while let Some(cursor) = next {
        next = map.range_until(10, cursor, |&key, _| {
            *visits.entry(key).or_default() += 1;
            if key < keys {
                map.remove(&key);
                // Has the copy expunge the tombstone.
                (0..20).for_each(|n| drop(map.insert(fresh + n, 0)));
                (0..20).for_each(|n| drop(map.remove(&(fresh + n))));
                fresh += 20;
                map.insert(key, 1);
            }
        });
    }
    assert_once(&visits, 0..keys);
}

#[test]
fn a_cleared_map_has_nothing_left_of_the_old() {
    let map = numbered::<DefaultHashBuilder>(1000);
    let cursor = map.range_until(500, Cursor::default(), |_, _| {}).expect("there are more");
    map.clear();
    assert_eq!(map.range_until(usize::MAX, cursor, |key, _| panic!("{key} was removed")), None);
    (0..100).for_each(|key| drop(map.insert(key, key)));
    let mut visits = 0;
    assert_eq!(map.range_until(usize::MAX, cursor, |_, _| visits += 1), None);
    assert!(visits < 100, "what came before the cursor was passed over");
}

#[test]
fn a_slice_ends_soon_after_its_budget() {
    let map = numbered::<DefaultHashBuilder>(100_000);
    for entries in [1, 100, 5000] {
        let mut visits = 0;
        assert!(map.range_until(entries, Cursor::default(), |_, _| visits += 1).is_some());
        assert!((entries..entries + 50).contains(&visits), "{visits} of {entries}");
    }
    let mut visits = 0;
    assert!(map.range_until(Instant::now(), Cursor::default(), |_, _| visits += 1).is_some());
    assert!((1..50).contains(&visits), "some progress, not {visits}");
    let mut visits = 0;
    let slow = |_: &u32, _: &u32| {
        visits += 1;
        thread::sleep(Duration::from_millis(1));
    };
    assert!(map.range_until(Duration::from_millis(5), Cursor::default(), slow).is_some());
    assert!((1..50).contains(&visits), "{visits} of a millisecond in five");
    assert_eq!(Budget::from(Duration::MAX), Budget::Entries(usize::MAX));
}

/// A key that, when it is hashed, first does what `AT_A_HASH` says, once.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Hooked(u32);

thread_local! {
    static AT_A_HASH: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
}

impl Hash for Hooked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if let Some(hook) = AT_A_HASH.take() {
            hook();
        }
        self.0.hash(state);
    }
}

/// A tiny table that is being copied to a huge one is still visited in small runs.
#[test]
fn runs_are_those_of_the_largest_table() {
    let map: Arc<SyncMap<_, _>> = Arc::new((0..10).map(|key| (Hooked(key), key)).collect());
    let (during, done) = (Arc::clone(&map), Arc::new(AtomicBool::new(false)));
    let is_done = Arc::clone(&done);
    AT_A_HASH.set(Some(Box::new(move || {
        let (mut next, mut seen) = (Some(Cursor::default()), Vec::new());
        while let Some(cursor) = next {
            let before = seen.len();
            next = during.range_until(1, cursor, |_, &key| seen.push(key));
            assert!(seen.len() - before <= 2, "ten keys share 2^15 homes and more: {} in a slice", seen.len() - before);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        done.store(true, SeqCst);
    })));
    map.reserve(100_000);
    assert!(is_done.load(SeqCst), "the copy hashes keys");
}

#[test]
fn keys_that_are_in_a_table_behind_alone_are_visited() {
    let map = numbered::<DefaultHashBuilder>(1000);
    map.promote();
    let snapshot = map.snapshot();
    (1000..1010).for_each(|key| drop(map.insert(key, key)));
    drop(snapshot);
    assert!(map.stats().dirty_len > 0, "inserts while the table is frozen begin a copy: {}", map.stats());
    assert_once(&sweep(&map, 20, |_| {}), 0..1010);
}

#[test]
fn nothing_is_frozen_copied_or_locked() {
    let map = numbered::<DefaultHashBuilder>(1000);
    map.promote();
    let before = map.stats();
    let cursor = map.range_until(10, Cursor::default(), |_, _| {}).expect("there are more than ten");
    map.range_until(usize::MAX, cursor, |_, _| {}).ok_or(()).expect_err("all visited");
    assert_eq!(map.stats(), before);
}

#[test]
fn the_closure_may_use_the_map_and_panic() {
    let map = numbered::<DefaultHashBuilder>(100);
    let mut seen = 0;
    let done = map.range_until(usize::MAX, Cursor::default(), |key, _| {
        seen += 1;
        map.remove(key);
        map.insert(key + 1_000_000, 0);
        assert!(map.range_until(5, Cursor::default(), |_, _| {}).is_some(), "there are more than five");
    });
    assert!(done.is_none() && seen >= 100);
    let panicked =
        catch_unwind(AssertUnwindSafe(|| map.range_until(usize::MAX, Cursor::default(), |_, _| panic!("on purpose"))));
    assert!(panicked.is_err());
    map.clear();
    eventually("the panic left nothing pinned", || {
        map.flush();
        map.stats().pending_garbage == 0
    });
}

#[test]
fn sets_are_visited_like_maps() {
    let set: SyncSet<u32> = (0..1000).collect();
    let (mut next, mut seen) = (Some(Cursor::default()), Vec::new());
    while let Some(cursor) = next {
        next = set.range_until(10, cursor, |&member| seen.push(member));
    }
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..1000));
}
