//! The tests that Go has for `sync.Map` (`sync/map_test.go`), case by case.
//!
//! `TestMapRangeNoAllocations` and `TestMapClearNoAllocations` are in `allocations.rs`, which counts allocations. The
//! comparison with reference maps reaches further in `model`, over the whole interface.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, RwLock, mpsc};
use std::thread;

use common::{Counted, Random, Tally, eventually, race, threads};
use readmostly::SyncMap;

// ---------------------------------------------------------------------------------------------------------------------
// Comparison with maps that are plainly correct

/// Go's nine operations, with results that can be compared.
trait GoMap: Default {
    fn load(&self, key: &str) -> Option<String>;
    fn store(&self, key: &str, value: &str);
    fn load_or_store(&self, key: &str, value: &str) -> (String, bool);
    fn load_and_delete(&self, key: &str) -> Option<String>;
    fn delete(&self, key: &str);
    fn swap(&self, key: &str, value: &str) -> Option<String>;
    fn compare_and_swap(&self, key: &str, old: &str, new: &str) -> bool;
    fn compare_and_delete(&self, key: &str, old: &str) -> bool;
    fn clear(&self);
    fn contents(&self) -> BTreeMap<String, String>;
}

impl GoMap for SyncMap<String, String> {
    fn load(&self, key: &str) -> Option<String> {
        self.get(key).map(|value| String::clone(&value))
    }

    fn store(&self, key: &str, value: &str) {
        self.insert(key.into(), value.into());
    }

    fn load_or_store(&self, key: &str, value: &str) -> (String, bool) {
        match self.try_insert(key.into(), value.into()) {
            Ok(stored) => (String::clone(&stored), false),
            Err(error) => (String::clone(&error.current), true),
        }
    }

    fn load_and_delete(&self, key: &str) -> Option<String> {
        self.remove(key).map(|value| String::clone(&value))
    }

    fn delete(&self, key: &str) {
        self.remove(key);
    }

    fn swap(&self, key: &str, value: &str) -> Option<String> {
        self.insert(key.into(), value.into()).map(|old| String::clone(&old))
    }

    fn compare_and_swap(&self, key: &str, old: &str, new: &str) -> bool {
        self.compare_and_swap(key, &old.to_owned(), new.to_owned()).is_ok()
    }

    fn compare_and_delete(&self, key: &str, old: &str) -> bool {
        self.compare_and_remove(key, &old.to_owned()).is_some()
    }

    fn clear(&self) {
        self.clear();
    }

    fn contents(&self) -> BTreeMap<String, String> {
        let mut contents = BTreeMap::new();
        self.range(|key, value| {
            assert_eq!(contents.insert(key.clone(), value.clone()), None, "range visited {key:?} twice");
            true
        });
        contents
    }
}

/// How a map that can only run a closure on a `HashMap` offers Go's operations.
macro_rules! go_map_through {
    ($map:ty, $read:ident, $write:ident) => {
        impl GoMap for $map {
            fn load(&self, key: &str) -> Option<String> {
                self.$read(|map| map.get(key).cloned())
            }

            fn store(&self, key: &str, value: &str) {
                self.$write(|map| map.insert(key.into(), value.into()));
            }

            fn load_or_store(&self, key: &str, value: &str) -> (String, bool) {
                self.$write(|map| {
                    let loaded = map.contains_key(key);
                    (map.entry(key.into()).or_insert(value.into()).clone(), loaded)
                })
            }

            fn load_and_delete(&self, key: &str) -> Option<String> {
                self.$write(|map| map.remove(key))
            }

            fn delete(&self, key: &str) {
                self.$write(|map| map.remove(key));
            }

            fn swap(&self, key: &str, value: &str) -> Option<String> {
                self.$write(|map| map.insert(key.into(), value.into()))
            }

            fn compare_and_swap(&self, key: &str, old: &str, new: &str) -> bool {
                self.$write(|map| match map.get_mut(key) {
                    Some(value) if value == old => {
                        *value = new.into();
                        true
                    }
                    _ => false,
                })
            }

            fn compare_and_delete(&self, key: &str, old: &str) -> bool {
                self.$write(|map| {
                    let equal = map.get(key).is_some_and(|value| value == old);
                    equal && map.remove(key).is_some()
                })
            }

            fn clear(&self) {
                self.$write(HashMap::clear);
            }

            fn contents(&self) -> BTreeMap<String, String> {
                self.$read(|map| map.clone().into_iter().collect())
            }
        }
    };
}

type Strings = HashMap<String, String>;

/// Go's `RWMutexMap`.
#[derive(Default)]
struct LockedMap(RwLock<Strings>);

impl LockedMap {
    fn read<T>(&self, look: impl FnOnce(&Strings) -> T) -> T {
        look(&self.0.read().unwrap())
    }

    fn write<T>(&self, change: impl FnOnce(&mut Strings) -> T) -> T {
        change(&mut self.0.write().unwrap())
    }
}

/// Go's `DeepCopyMap`: every write replaces the map by a changed copy.
#[derive(Default)]
struct DeepCopyMap {
    current: RwLock<Arc<Strings>>,
    writer: Mutex<()>,
}

impl DeepCopyMap {
    fn read<T>(&self, look: impl FnOnce(&Strings) -> T) -> T {
        let current = Arc::clone(&self.current.read().unwrap());
        look(&current)
    }

    fn write<T>(&self, change: impl FnOnce(&mut Strings) -> T) -> T {
        let _writer = self.writer.lock().unwrap();
        let mut copy = self.read(Strings::clone);
        let result = change(&mut copy);
        *self.current.write().unwrap() = Arc::new(copy);
        result
    }
}

go_map_through!(LockedMap, read, write);
go_map_through!(DeepCopyMap, read, write);

#[derive(Clone, Copy, Debug)]
enum Call {
    Load,
    Store,
    LoadOrStore,
    LoadAndDelete,
    Delete,
    Swap,
    CompareAndSwap,
    CompareAndDelete,
    Clear,
}

impl Call {
    const ALL: [Call; 9] = [
        Call::Load,
        Call::Store,
        Call::LoadOrStore,
        Call::LoadAndDelete,
        Call::Delete,
        Call::Swap,
        Call::CompareAndSwap,
        Call::CompareAndDelete,
        Call::Clear,
    ];

    fn apply(self, map: &impl GoMap, key: &str, value: &str, new: &str) -> (Option<String>, bool) {
        let found = |value: Option<String>| {
            let ok = value.is_some();
            (value, ok)
        };
        match self {
            Call::Load => found(map.load(key)),
            Call::Store => {
                map.store(key, value);
                (None, false)
            }
            Call::LoadOrStore => {
                let (value, loaded) = map.load_or_store(key, value);
                (Some(value), loaded)
            }
            Call::LoadAndDelete => found(map.load_and_delete(key)),
            Call::Delete => {
                map.delete(key);
                (None, false)
            }
            Call::Swap => found(map.swap(key, value)),
            Call::CompareAndSwap => (None, map.compare_and_swap(key, value, new)),
            Call::CompareAndDelete => (None, map.compare_and_delete(key, value)),
            Call::Clear => {
                map.clear();
                (None, false)
            }
        }
    }
}

/// No or one letter out of few: Go draws up to three out of 26, and its comparisons then hardly ever find the value
/// they compare with.
fn letter(random: &mut Random, letters: u64) -> String {
    let letters = ["", "a", "b", "c", "d", "e", "f", "g"][..letters as usize].iter();
    letters.as_slice()[random.below(letters.len() as u64) as usize].to_owned()
}

fn assert_same_results<M: GoMap>() {
    let mut compared = [0; 2];
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let (map, reference) = (SyncMap::<String, String>::default(), M::default());
        for step in 0..random.below(100) {
            // A clear at every ninth step would leave nothing to compare.
            let calls = if random.below(8) == 0 { 9 } else { 8 };
            let call = Call::ALL[random.below(calls) as usize];
            let key = letter(&mut random, 8);
            let (value, new) = (letter(&mut random, 3), letter(&mut random, 3));
            let got = call.apply(&map, &key, &value, &new);
            let want = call.apply(&reference, &key, &value, &new);
            assert_eq!(got, want, "seed {seed}, step {step}: {call:?}({key:?}, {value:?}, {new:?})");
            if let Call::CompareAndSwap | Call::CompareAndDelete = call {
                compared[usize::from(got.1)] += 1;
            }
        }
        assert_eq!(map.contents(), reference.contents(), "seed {seed}");
    }
    assert!(compared.iter().all(|&times| times > 100), "failed and successful comparisons: {compared:?}");
}

// TestMapMatchesRWMutex
#[test]
fn map_matches_rw_mutex() {
    assert_same_results::<LockedMap>();
}

// TestMapMatchesDeepCopy
#[test]
fn map_matches_deep_copy() {
    assert_same_results::<DeepCopyMap>();
}

// ---------------------------------------------------------------------------------------------------------------------
// Range

// TestConcurrentRange
#[test]
fn concurrent_range() {
    const SIZE: u64 = 1 << 10;
    const RANGES: usize = 1 << 9;

    let map = SyncMap::new();
    for key in 1..=SIZE {
        map.insert(key, key);
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 1..=threads() as u64 {
            let (map, done) = (&map, &done);
            scope.spawn(move || {
                let mut random = Random::new(writer);
                for round in 0.. {
                    for key in 1..SIZE {
                        if done.load(Relaxed) {
                            return;
                        }
                        if random.below(SIZE) == 0 {
                            map.insert(key, key * round * writer);
                        } else {
                            assert!(map.contains_key(&key), "key {key} is never removed");
                        }
                    }
                }
            });
        }
        let ranges = scope.spawn(|| {
            for _ in 0..RANGES {
                assert_range_sees_multiples(&map, SIZE);
            }
        });
        let outcome = ranges.join();
        done.store(true, Relaxed);
        outcome.unwrap();
    });
}

fn assert_range_sees_multiples(map: &SyncMap<u64, u64>, size: u64) {
    let mut seen = vec![false; size as usize + 1];
    map.range(|&key, &value| {
        assert_eq!(value % key, 0, "only multiples of {key} were stored under it, range saw {value}");
        assert!(!std::mem::replace(&mut seen[key as usize], true), "range visited key {key} twice");
        true
    });
    let visited = seen.iter().filter(|&&seen| seen).count();
    assert_eq!(visited, size as usize, "range must visit every key that is present throughout");
}

// TestMapRangeNestedCall, https://go.dev/issue/46399
#[test]
fn map_range_nested_call() {
    let map: SyncMap<u32, String> = SyncMap::from([(0, "hello".into()), (1, "world".into()), (2, "Rust".into())]);
    map.range(|key, value| {
        map.range(|inner, inner_value| {
            assert_eq!(map.get_cloned(inner).as_ref(), Some(inner_value), "a visited key must be found");
            assert!(map.try_insert(42, "dummy".into()).is_ok(), "key 42 is absent before each inner call");
            map.insert(42, "sync.Map".into());
            assert_eq!(map.remove(&42).expect("key 42 was just inserted").value(), "sync.Map");
            true
        });
        assert_eq!(map.remove(key).expect("each key is visited once").value(), value);
        true
    });
    map.range(|key, value| panic!("the closure removed every key, range yielded ({key}, {value})"));
    assert!(map.is_empty());
}

// ---------------------------------------------------------------------------------------------------------------------
// Remove and clear

// TestIssue40999: keys that are inserted and removed again must not pile up.
#[test]
fn issue_40999() {
    const ROUNDS: u32 = 50_000;
    const TABLE_BOUND: usize = 16 << 10;

    let (keys, values) = (Tally::default(), Tally::default());
    let map: SyncMap<Counted, Counted> = SyncMap::new();
    // As in Go: one entry that stays, so that the map is never just empty.
    map.insert(keys.make(0), values.make(0));
    let mut ids = 1..;
    eventually("inserts and removes free the keys and values that were removed before", || {
        for id in ids.by_ref().take(ROUNDS as usize) {
            map.insert(keys.make(id), values.make(id));
            map.remove(&id);
            if id % 1000 == 0 {
                let stats = map.stats();
                assert!(stats.table_bytes < TABLE_BOUND, "one entry is in the map after {id} rounds: {stats}");
            }
        }
        keys.is_mostly_dropped() && values.is_mostly_dropped()
    });
    eventually("compact and flush leave one key and one value", || {
        map.compact();
        map.flush();
        (keys.live(), values.live()) == (1, 1)
    });
    drop(map);
    assert_eq!((keys.live(), values.live()), (0, 0));
}

// TestIssue40999, with keys that one thread inserts and another removes.
#[test]
fn keys_that_pass_through_do_not_pile_up() {
    const PAIRS: u32 = 2;
    const ROUNDS: u32 = 30_000;
    const AT_ONCE: usize = 64;
    const TABLE_BOUND: usize = 64 << 10;

    let keys = Tally::default();
    let map: SyncMap<Counted, u32> = SyncMap::new();
    thread::scope(|scope| {
        let (map, keys) = (&map, &keys);
        for pair in 0..PAIRS {
            let (inserted, to_remove) = mpsc::sync_channel(AT_ONCE);
            scope.spawn(move || {
                for id in (0..ROUNDS).map(|round| round * PAIRS + pair) {
                    map.insert(keys.make(id), id);
                    inserted.send(id).expect("the other half of the pair panicked");
                }
            });
            scope.spawn(move || {
                for id in to_remove {
                    assert_eq!(map.remove(&id).map(|removed| *removed), Some(id));
                    let stats = map.stats();
                    assert!(stats.table_bytes < TABLE_BOUND, "{} entries are in the map: {stats}", map.len());
                }
            });
        }
    });
    assert!(map.is_empty());
    eventually("compact and flush leave no key", || {
        map.compact();
        map.flush();
        keys.live() == 0
    });
}

// TestIssue40999, with a phase that only removes: Go then frees no key at all.
#[test]
fn removed_keys_are_freed_without_further_inserts() {
    const KEYS: u32 = 10_000;

    let (keys, values) = (Tally::default(), Tally::default());
    let map: SyncMap<Counted, Counted> = SyncMap::new();
    for id in 0..KEYS {
        map.insert(keys.make(id), values.make(id));
    }
    for id in 1..KEYS {
        map.remove(&id);
    }
    eventually("flush alone frees the removed values", || {
        map.flush();
        values.live() == 1
    });
    eventually("compact and flush free the removed keys", || {
        map.compact();
        map.flush();
        keys.live() == 1
    });
    assert_eq!(map.get(&0).map(|value| value.id()), Some(0));
    assert!(map.stats().table_bytes < 4096, "compact must fit the table to one entry: {}", map.stats());
}

// TestMapDelete
#[test]
fn map_delete() {
    let map = SyncMap::from([("go", 1.22)]);
    assert_eq!(map.get_cloned("go"), Some(1.22));
    map.remove("go");
    assert_eq!(map.get_cloned("go"), None);
    assert!(map.remove("go").is_none(), "a second remove finds nothing");
}

// TestMapClear
#[test]
fn map_clear() {
    let map = SyncMap::from([("go", 1.21)]);
    assert_eq!(map.get_cloned("go"), Some(1.21));
    map.clear();
    assert_eq!(map.get_cloned("go"), None);
    assert!(map.insert("go", 1.21).is_none());
    assert_eq!(map.get_cloned("go"), Some(1.21));
}

// TestConcurrentClear, many times over.
#[test]
fn concurrent_clear() {
    for _ in 0..100 {
        let map = SyncMap::new();
        race(30, |id| {
            let key = id as u64 % 10;
            match id / 10 {
                0 => drop(map.insert(key, key * 10)),
                1 => assert!(map.get(&key).is_none_or(|value| *value == key * 10)),
                _ => map.clear(),
            }
        });
        assert_eq!(map.pin().iter().count(), map.len(), "len must be exact once all threads are done");
        map.clear();
        map.range(|key, value| panic!("after a clear nothing is left, range yielded ({key}, {value})"));
        assert!(map.is_empty());
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Compare and swap

// TestCompareAndSwap_NonExistingKey, https://go.dev/issue/51972#issuecomment-1126408637: even where the value to
// compare with stands for "nothing".
#[test]
fn compare_and_swap_non_existing_key() {
    let map: SyncMap<u32, Option<u32>> = SyncMap::new();
    assert_eq!(map.compare_and_swap(&1, &None, Some(42)).err(), Some(Some(42)), "must give the new value back");
    assert!(!map.contains_key(&1));

    map.insert(1, None);
    map.remove(&1);
    assert!(map.compare_and_swap(&1, &None, Some(42)).is_err(), "a removed key is as absent as one never inserted");
    assert!(map.compare_and_remove(&1, &None).is_none());
    assert_eq!(map.len(), 0);
}
