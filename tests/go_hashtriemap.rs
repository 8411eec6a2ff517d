//! The tests that Go has for the map which replaced read and dirty (`internal/sync/hashtriemap_test.go`), each under a
//! good hash, a constant one, and two that are cut down to four bits.

#[macro_use]
mod common;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Weak};
use std::thread;

use common::{Random, TestHasher, race, threads};
use readmostly::SyncMap;

under_all_hashers!(
    load_empty,
    load_or_store,
    all,
    clear_simple,
    clear_concurrent,
    compare_and_delete_all,
    compare_and_delete_one,
    compare_and_delete_multiple,
    compare_and_delete_iterate,
    compare_and_delete_concurrent_unshared_keys,
    compare_and_delete_concurrent_shared_keys,
    compare_and_swap_all,
    compare_and_swap_one,
    compare_and_swap_multiple,
    compare_and_swap_concurrent_unshared_keys,
    compare_and_swap_concurrent_unshared_keys_with_delete,
    compare_and_swap_concurrent_shared_keys,
    swap_all,
    swap_one,
    swap_multiple,
    swap_concurrent_unshared_keys,
    swap_concurrent_unshared_keys_with_delete,
    swap_concurrent_shared_keys,
    load_and_delete_all,
    load_and_delete_one,
    load_and_delete_multiple,
    load_and_delete_iterate,
    load_and_delete_concurrent_unshared_keys,
    load_and_delete_concurrent_shared_keys,
    concurrent_cache,
);

/// 128 keys that differ in few bits: the numbers in binary.
static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| (0..128).map(|number| format!("{number:b}")).collect());

/// Keys that the tests on several keys pick out.
const SEVERAL: [usize; 4] = [1, 105, 6, 85];

/// A value that no test stores.
const NEVER: usize = usize::MAX;

fn keys() -> impl Iterator<Item = (usize, &'static String)> {
    KEYS.iter().enumerate()
}

fn keys_of(thread: usize) -> impl Iterator<Item = String> + Clone {
    KEYS.iter().map(move |key| format!("{key}-{thread}"))
}

// ---------------------------------------------------------------------------------------------------------------------
// A map with expectations

struct Map<S: TestHasher>(SyncMap<String, usize, S>);

impl<S: TestHasher> Map<S> {
    fn new() -> Self {
        Self(SyncMap::with_hasher(S::default()))
    }

    /// A map that holds every key with its index, checked with load and load-or-store.
    fn filled() -> Self {
        let map = Self::new();
        map.fill();
        map
    }

    fn fill(&self) {
        for (i, key) in keys() {
            self.store_new(key, i);
        }
        assert_eq!(self.0.len(), KEYS.len());
    }

    fn store_new(&self, key: &str, value: usize) {
        self.expect_missing(key);
        self.expect_stored(key, value);
        self.expect_present(key, value);
        self.expect_loaded(key, value);
    }

    #[track_caller]
    fn expect_present(&self, key: &str, value: usize) {
        assert_eq!(self.0.get_cloned(key), Some(value), "key {key}");
        assert!(self.0.contains_key(key), "key {key}");
    }

    #[track_caller]
    fn expect_missing(&self, key: &str) {
        assert_eq!(self.0.get_cloned(key), None, "key {key}");
        assert!(!self.0.contains_key(key), "key {key}");
    }

    #[track_caller]
    fn expect_stored(&self, key: &str, value: usize) {
        let stored = self.0.try_insert(key.to_owned(), value);
        assert_eq!(stored.ok().map(|stored| *stored), Some(value), "key {key} was expected to be absent");
    }

    #[track_caller]
    fn expect_loaded(&self, key: &str, value: usize) {
        let error = self.0.try_insert(key.to_owned(), NEVER).expect_err("the key was expected to be present");
        assert_eq!((*error.current, error.key.as_str(), error.value), (value, key, NEVER));
        assert_eq!(*self.0.get_or_insert(key.to_owned(), NEVER), value, "key {key}");
    }

    #[track_caller]
    fn expect_swapped(&self, key: &str, old: usize, new: usize) {
        let swapped = self.0.compare_and_swap(key, &old, new);
        assert_eq!(swapped.map(|old| *old), Ok(old), "key {key} was expected to hold {old}");
    }

    #[track_caller]
    fn expect_not_swapped(&self, key: &str, old: usize, new: usize) {
        let swapped = self.0.compare_and_swap(key, &old, new);
        assert_eq!(swapped.map(|old| *old), Err(new), "key {key} was not expected to hold {old}");
    }

    fn compare_and_delete(&self, key: &str, value: usize) -> Option<usize> {
        self.0.compare_and_remove(key, &value).map(|removed| *removed)
    }

    #[track_caller]
    fn expect_deleted(&self, key: &str, value: usize) {
        assert_eq!(self.compare_and_delete(key, value), Some(value), "key {key}");
    }

    #[track_caller]
    fn expect_not_deleted(&self, key: &str, value: usize) {
        assert_eq!(self.compare_and_delete(key, value), None, "key {key} was not expected to hold {value}");
    }

    #[track_caller]
    fn expect_exchanged(&self, key: &str, old: Option<usize>, new: usize) {
        assert_eq!(self.0.insert(key.to_owned(), new).map(|old| *old), old, "key {key}");
    }

    fn load_and_delete(&self, key: &str) -> Option<usize> {
        self.0.remove(key).map(|removed| *removed)
    }

    #[track_caller]
    fn expect_taken(&self, key: &str, value: usize) {
        assert_eq!(self.load_and_delete(key), Some(value), "key {key}");
        self.expect_missing(key);
        assert_eq!(self.load_and_delete(key), None, "key {key}");
    }

    /// Every key holds what `value` says, and nothing else is in the map.
    #[track_caller]
    fn expect_contents(&self, value: impl Fn(usize) -> Option<usize>) {
        for (i, key) in keys() {
            match value(i) {
                Some(value) => self.expect_present(key, value),
                None => self.expect_missing(key),
            }
        }
        let expected = keys().filter(|&(i, _)| value(i).is_some()).count();
        assert_eq!((self.0.len(), self.0.pin().iter().count()), (expected, expected));
    }

    /// Visits everything and lets `also` work on the map meanwhile.
    fn visit_all(&self, also: impl Fn(&str, usize)) {
        let mut visits = vec![0; KEYS.len()];
        self.0.range(|key, &value| {
            assert_eq!(KEYS.get(value), Some(key), "an entry that was not stored");
            visits[value] += 1;
            also(key, value);
            true
        });
        assert_eq!(visits, vec![1; KEYS.len()], "each key must be visited once");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// LoadEmpty, LoadOrStore, All, Clear

fn load_empty<S: TestHasher>() {
    Map::<S>::new().expect_contents(|_| None);
}

fn load_or_store<S: TestHasher>() {
    let map = Map::<S>::filled();
    for (i, key) in keys() {
        map.expect_present(key, i);
        map.expect_loaded(key, i);
    }
    map.expect_contents(Some);
}

fn all<S: TestHasher>() {
    Map::<S>::filled().visit_all(|_, _| ());
}

fn clear_simple<S: TestHasher>() {
    let map = Map::<S>::filled();
    map.0.clear();
    map.expect_contents(|_| None);
    map.fill();
    map.expect_contents(Some);
}

/// Clear wins over whatever changed entries before, and compare-and-swap never brings one back.
fn clear_concurrent<S: TestHasher>() {
    for _ in 0..10 {
        let map = Map::<S>::filled();
        race(threads() + 1, |id| {
            if id == threads() {
                thread::yield_now();
                map.0.clear();
                return;
            }
            for (i, key) in keys() {
                map.expect_not_deleted(key, NEVER);
                let _ = map.0.compare_and_swap(key, &i, i + 1);
            }
        });
        map.expect_contents(|_| None);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// CompareAndDelete

fn compare_and_delete_all<S: TestHasher>() {
    let map = Map::<S>::new();
    for _ in 0..3 {
        map.fill();
        for (i, key) in keys() {
            map.expect_present(key, i);
            map.expect_not_deleted(key, NEVER);
            map.expect_deleted(key, i);
            map.expect_not_deleted(key, i);
            map.expect_missing(key);
        }
        map.expect_contents(|_| None);
    }
}

fn compare_and_delete_one<S: TestHasher>() {
    compare_and_delete_some::<S>(&[15]);
}

fn compare_and_delete_multiple<S: TestHasher>() {
    compare_and_delete_some::<S>(&SEVERAL);
}

fn compare_and_delete_some<S: TestHasher>(some: &[usize]) {
    let map = Map::<S>::filled();
    for &i in some {
        map.expect_not_deleted(&KEYS[i], NEVER);
        map.expect_deleted(&KEYS[i], i);
        map.expect_not_deleted(&KEYS[i], i);
    }
    map.expect_contents(|i| (!some.contains(&i)).then_some(i));
}

fn compare_and_delete_iterate<S: TestHasher>() {
    let map = Map::<S>::filled();
    map.visit_all(|key, value| map.expect_deleted(key, value));
    map.expect_contents(|_| None);
}

fn compare_and_delete_concurrent_unshared_keys<S: TestHasher>() {
    let map = Map::<S>::new();
    race(threads(), |id| {
        for key in keys_of(id) {
            map.store_new(&key, id);
        }
        for key in keys_of(id) {
            map.expect_present(&key, id);
            map.expect_deleted(&key, id);
            map.expect_missing(&key);
        }
        for key in keys_of(id) {
            map.expect_missing(&key);
        }
    });
    assert!(map.0.is_empty());
}

fn compare_and_delete_concurrent_shared_keys<S: TestHasher>() {
    let map = Map::<S>::filled();
    let deleted = race(threads(), |_| {
        let mut deleted = 0;
        for (i, key) in keys() {
            map.expect_not_deleted(key, NEVER);
            deleted += usize::from(map.compare_and_delete(key, i).is_some());
            map.expect_missing(key);
        }
        map.expect_contents(|_| None);
        deleted
    });
    assert_eq!(
        deleted.iter().sum::<usize>(),
        KEYS.len(),
        "each key must be deleted by exactly one thread: {deleted:?}"
    );
}

// ---------------------------------------------------------------------------------------------------------------------
// CompareAndSwap

fn compare_and_swap_all<S: TestHasher>() {
    let map = Map::<S>::filled();
    for round in 0..3 {
        for (i, key) in keys() {
            map.expect_present(key, i + round);
            map.expect_not_swapped(key, NEVER, i + round + 1);
            map.expect_swapped(key, i + round, i + round + 1);
            map.expect_not_swapped(key, i + round, i + round + 1);
            map.expect_present(key, i + round + 1);
        }
    }
    map.expect_contents(|i| Some(i + 3));
}

fn compare_and_swap_one<S: TestHasher>() {
    compare_and_swap_some::<S>(&[15]);
}

fn compare_and_swap_multiple<S: TestHasher>() {
    compare_and_swap_some::<S>(&SEVERAL);
}

fn compare_and_swap_some<S: TestHasher>(some: &[usize]) {
    let map = Map::<S>::filled();
    for &i in some {
        map.expect_not_swapped(&KEYS[i], NEVER, i + 1);
        map.expect_swapped(&KEYS[i], i, i + 1);
        map.expect_not_swapped(&KEYS[i], i, i + 1);
    }
    map.expect_contents(|i| Some(i + usize::from(some.contains(&i))));
}

fn compare_and_swap_concurrent_unshared_keys<S: TestHasher>() {
    let map = Map::<S>::new();
    race(threads(), |id| {
        for key in keys_of(id) {
            map.store_new(&key, id);
        }
        for key in keys_of(id) {
            map.expect_present(&key, id);
            map.expect_swapped(&key, id, id + 1);
            map.expect_present(&key, id + 1);
        }
        for key in keys_of(id) {
            map.expect_present(&key, id + 1);
        }
    });
    assert_eq!(map.0.len(), threads() * KEYS.len());
}

fn compare_and_swap_concurrent_unshared_keys_with_delete<S: TestHasher>() {
    let map = Map::<S>::new();
    race(threads(), |id| {
        for key in keys_of(id) {
            map.store_new(&key, id);
        }
        for key in keys_of(id) {
            map.expect_present(&key, id);
            map.expect_swapped(&key, id, id + 1);
            map.expect_present(&key, id + 1);
            map.expect_deleted(&key, id + 1);
            map.expect_not_swapped(&key, id + 1, id + 2);
            map.expect_not_deleted(&key, id + 1);
            map.expect_missing(&key);
        }
        for key in keys_of(id) {
            map.expect_missing(&key);
        }
    });
    assert!(map.0.is_empty());
}

fn compare_and_swap_concurrent_shared_keys<S: TestHasher>() {
    let map = Map::<S>::filled();
    let swapped = race(threads(), |_| {
        let mut swapped = 0;
        for (i, key) in keys() {
            map.expect_not_swapped(key, NEVER, i + 1);
            swapped += usize::from(map.0.compare_and_swap(key, &i, i + 1).is_ok());
            map.expect_present(key, i + 1);
        }
        map.expect_contents(|i| Some(i + 1));
        swapped
    });
    assert_eq!(
        swapped.iter().sum::<usize>(),
        KEYS.len(),
        "each key must be swapped by exactly one thread: {swapped:?}"
    );
}

// ---------------------------------------------------------------------------------------------------------------------
// Swap

fn exchange_new<S: TestHasher>(map: &Map<S>, key: &str, value: usize) {
    map.expect_missing(key);
    map.expect_exchanged(key, None, value);
    map.expect_present(key, value);
    map.expect_exchanged(key, Some(value), value);
}

fn exchanged_map<S: TestHasher>() -> Map<S> {
    let map = Map::new();
    for (i, key) in keys() {
        exchange_new(&map, key, i);
    }
    map
}

fn swap_all<S: TestHasher>() {
    let map = exchanged_map::<S>();
    for round in 0..3 {
        for (i, key) in keys() {
            map.expect_present(key, i + round);
            map.expect_exchanged(key, Some(i + round), i + round + 1);
            map.expect_present(key, i + round + 1);
        }
    }
    for (i, key) in keys() {
        map.expect_exchanged(key, Some(i + 3), i + 3);
    }
    map.expect_contents(|i| Some(i + 3));
}

fn swap_one<S: TestHasher>() {
    swap_some::<S>(&[15]);
}

fn swap_multiple<S: TestHasher>() {
    swap_some::<S>(&SEVERAL);
}

fn swap_some<S: TestHasher>(some: &[usize]) {
    let map = exchanged_map::<S>();
    for &i in some {
        map.expect_exchanged(&KEYS[i], Some(i), i + 1);
    }
    map.expect_contents(|i| Some(i + usize::from(some.contains(&i))));
}

fn swap_concurrent_unshared_keys<S: TestHasher>() {
    let map = Map::<S>::new();
    race(threads(), |id| {
        for key in keys_of(id) {
            exchange_new(&map, &key, id);
        }
        for key in keys_of(id) {
            map.expect_present(&key, id);
            map.expect_exchanged(&key, Some(id), id + 1);
            map.expect_present(&key, id + 1);
        }
        for key in keys_of(id) {
            map.expect_present(&key, id + 1);
        }
    });
    assert_eq!(map.0.len(), threads() * KEYS.len());
}

fn swap_concurrent_unshared_keys_with_delete<S: TestHasher>() {
    let map = Map::<S>::new();
    race(threads(), |id| {
        for key in keys_of(id) {
            exchange_new(&map, &key, id);
        }
        for key in keys_of(id) {
            map.expect_present(&key, id);
            map.expect_exchanged(&key, Some(id), id + 1);
            map.expect_present(&key, id + 1);
            map.expect_deleted(&key, id + 1);
            map.expect_exchanged(&key, None, id + 2);
            map.expect_present(&key, id + 2);
        }
        for key in keys_of(id) {
            map.expect_present(&key, id + 2);
        }
    });
    assert_eq!(map.0.len(), threads() * KEYS.len());
}

/// The first to swap a key gets the old value, and every other one gets the value of the swap before it.
fn swap_concurrent_shared_keys<S: TestHasher>() {
    let map = Map::<S>::filled();
    let firsts = race(threads(), |_| {
        let mut firsts = 0;
        for (i, key) in keys() {
            let old = *map.0.insert(key.clone(), i + 1).expect("keys are never removed");
            assert!(old == i || old == i + 1, "key {key} held {old}");
            firsts += usize::from(old == i);
            map.expect_present(key, i + 1);
        }
        map.expect_contents(|i| Some(i + 1));
        firsts
    });
    assert_eq!(firsts.iter().sum::<usize>(), KEYS.len(), "each old value must be replaced exactly once: {firsts:?}");
}

// ---------------------------------------------------------------------------------------------------------------------
// LoadAndDelete

fn load_and_delete_all<S: TestHasher>() {
    let map = Map::<S>::new();
    for _ in 0..3 {
        map.fill();
        for (i, key) in keys() {
            map.expect_present(key, i);
            map.expect_taken(key, i);
        }
        map.expect_contents(|_| None);
    }
}

fn load_and_delete_one<S: TestHasher>() {
    load_and_delete_some::<S>(&[15]);
}

fn load_and_delete_multiple<S: TestHasher>() {
    load_and_delete_some::<S>(&SEVERAL);
}

fn load_and_delete_some<S: TestHasher>(some: &[usize]) {
    let map = Map::<S>::filled();
    for &i in some {
        map.expect_present(&KEYS[i], i);
        map.expect_taken(&KEYS[i], i);
    }
    map.expect_contents(|i| (!some.contains(&i)).then_some(i));
}

fn load_and_delete_iterate<S: TestHasher>() {
    let map = Map::<S>::filled();
    map.visit_all(|key, value| map.expect_taken(key, value));
    map.expect_contents(|_| None);
}

fn load_and_delete_concurrent_unshared_keys<S: TestHasher>() {
    let map = Map::<S>::new();
    race(threads(), |id| {
        for key in keys_of(id) {
            map.store_new(&key, id);
        }
        for key in keys_of(id) {
            map.expect_present(&key, id);
            map.expect_taken(&key, id);
        }
        for key in keys_of(id) {
            map.expect_missing(&key);
        }
    });
    assert!(map.0.is_empty());
}

fn load_and_delete_concurrent_shared_keys<S: TestHasher>() {
    let map = Map::<S>::filled();
    let taken = race(threads(), |_| {
        let mut taken = 0;
        for (i, key) in keys() {
            if let Some(value) = map.load_and_delete(key) {
                assert_eq!(value, i, "key {key}");
                taken += 1;
            }
            map.expect_missing(key);
        }
        map.expect_contents(|_| None);
        taken
    });
    assert_eq!(taken.iter().sum::<usize>(), KEYS.len(), "each key must be taken by exactly one thread: {taken:?}");
}

// ---------------------------------------------------------------------------------------------------------------------
// TestConcurrentCache, https://go.dev/issue/70970

/// A cached object that removes its entry when the last user lets go of it.
struct Object<S: TestHasher> {
    key: u64,
    number: u64,
    cache: Weak<Cache<S>>,
    this: WeakObject<S>,
}

impl<S: TestHasher> Drop for Object<S> {
    fn drop(&mut self) {
        if let Some(cache) = self.cache.upgrade() {
            // Time for others to find the entry of an object that is gone already, and to replace it.
            thread::yield_now();
            let removed = cache.objects.compare_and_remove(&self.key, &self.this);
            cache.removed.fetch_add(usize::from(removed.is_some()), SeqCst);
        }
    }
}

/// Equal if it points to the same object, which is told by the address: it is not reused while a weak pointer exists.
struct WeakObject<S: TestHasher>(Weak<Object<S>>);

impl<S: TestHasher> PartialEq for WeakObject<S> {
    fn eq(&self, other: &Self) -> bool {
        Weak::ptr_eq(&self.0, &other.0)
    }
}

struct Cache<S: TestHasher> {
    objects: SyncMap<u64, WeakObject<S>, S>,
    made: AtomicU64,
    replaced: AtomicUsize,
    removed: AtomicUsize,
}

impl<S: TestHasher> Cache<S> {
    fn get(self: &Arc<Self>, key: u64) -> Arc<Object<S>> {
        let number = self.made.fetch_add(1, SeqCst);
        let new =
            Arc::new_cyclic(|this| Object { key, number, cache: Arc::downgrade(self), this: WeakObject(this.clone()) });
        loop {
            let error = match self.objects.try_insert(key, WeakObject(Arc::downgrade(&new))) {
                Ok(_) => return new,
                Err(error) => error,
            };
            if let Some(cached) = error.current.0.upgrade() {
                return cached;
            }
            // The cached object is being dropped: either this replaces its entry, or its drop removes it, never both.
            if self.objects.compare_and_swap(&key, &error.current, error.value).is_ok() {
                self.replaced.fetch_add(1, SeqCst);
                return new;
            }
        }
    }
}

/// While a thread holds what the cache gave it, the cache must not give out another object under that key. It would if
/// the swap that installed an object and the removal of the object before could both succeed.
fn concurrent_cache<S: TestHasher>() {
    const THREADS: usize = 16;
    const ROUNDS: u64 = 1500;
    const CACHED: u64 = 8;

    let cache = Arc::new(Cache::<S> {
        objects: SyncMap::with_hasher(S::default()),
        made: AtomicU64::new(0),
        replaced: AtomicUsize::new(0),
        removed: AtomicUsize::new(0),
    });
    race(THREADS, |id| {
        let mut random = Random::new(id as u64);
        for _ in 0..ROUNDS {
            let key = random.below(CACHED);
            let first = cache.get(key);
            thread::yield_now();
            for _ in 0..2 {
                let again = cache.get(key);
                assert_eq!(first.number, again.number, "the object under key {key} was exchanged while in use");
            }
        }
    });
    let (replaced, removed) = (cache.replaced.load(SeqCst), cache.removed.load(SeqCst));
    assert!(replaced > 0 && removed > 0, "both ends were expected to happen: {replaced} replaced, {removed} removed");
    assert!(cache.objects.is_empty(), "with the last user every entry must be gone");
}
