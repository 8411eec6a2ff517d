use super::{Clear, CompareAndSwap, GetOrInsert, Handle, Hasher, Key, Map, Peer, Range, Value};
use quick_cache::{
    UnitWeighter,
    sync::{Cache, DefaultLifecycle, EntryAction, EntryResult, GuardResult},
};

/// `quick_cache::sync::Cache` that never evicts.
pub type QuickCache<K, V> = Cache<K, V, UnitWeighter, Hasher, DefaultLifecycle<K, V>>;

/// The number of entries from which the cache derives its number of shards, where it is not known. Its authors ask for
/// no more than the order of magnitude.
const EXPECTED: usize = 100_000;

/// More entries than any map of these measurements has.
const NO_LIMIT: u64 = 1 << 40;

impl<K: Key, V: Value> Map<K, V> for QuickCache<K, V> {
    const NAME: &'static str = Peer::QuickCache.name();

    type Handle<'a> = &'a Self;

    fn empty(capacity: usize, hasher: Hasher) -> Self {
        let expected = if capacity == 0 { EXPECTED } else { capacity };
        let cache = Self::with(expected, NO_LIMIT, UnitWeighter, hasher, DefaultLifecycle::default());
        cache.reserve(capacity);
        cache
    }

    fn handle(&self) -> &Self {
        self
    }
}

impl<K: Key, V: Value> Handle<K, V> for &QuickCache<K, V> {
    #[inline]
    fn read<R>(&mut self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.get(key).map(|value| f(&value))
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        Cache::insert(self, key, value);
    }

    #[inline]
    fn remove(&mut self, key: &K) -> bool {
        Cache::remove(self, key).is_some()
    }
}

impl<K: Key, V: Value> Range<K, V> for &QuickCache<K, V> {
    fn range(&mut self, mut f: impl FnMut(&K, &V)) {
        self.iter().for_each(|(key, value)| f(&key, &value));
    }
}

impl<K: Key, V: Value> Clear<K, V> for &QuickCache<K, V> {
    fn clear(&mut self) {
        Cache::clear(self);
    }
}

impl<K: Key, V: Value> GetOrInsert<K, V> for &QuickCache<K, V> {
    #[inline]
    fn get_or_insert(&mut self, key: K, value: V) -> bool {
        match self.get_value_or_guard(&key, None) {
            GuardResult::Guard(guard) => guard.insert(value).is_ok(),
            GuardResult::Value(_) | GuardResult::Timeout => false,
        }
    }
}

impl<K: Key, V: Value> CompareAndSwap<K, V> for &QuickCache<K, V> {
    #[inline]
    fn compare_and_swap(&mut self, key: &K, old: &V, new: V) -> bool {
        let swap = |_: &K, value: &mut V| {
            let swaps = value == old;
            if swaps {
                *value = new;
            }
            EntryAction::Retain(swaps)
        };
        matches!(self.entry(key, None, swap), EntryResult::Retained(true))
    }
}
