use super::{Clear, CompareAndSwap, GetOrInsert, Handle, Hasher, Key, Map, Peer, Range, Value};
use moka::{
    ops::compute::{CompResult, Op},
    sync::{Cache, CacheBuilder},
};

/// `moka::sync::Cache` that neither evicts nor expires.
pub type Moka<K, V> = Cache<K, V, Hasher>;

impl<K: Key, V: Value> Map<K, V> for Moka<K, V> {
    const NAME: &'static str = Peer::Moka.name();

    type Handle<'a> = &'a Self;

    fn empty(capacity: usize, hasher: Hasher) -> Self {
        CacheBuilder::new(u64::MAX).initial_capacity(capacity).build_with_hasher(hasher)
    }

    fn handle(&self) -> &Self {
        self
    }

    fn settle(&self) {
        self.run_pending_tasks();
    }
}

impl<K: Key, V: Value> Handle<K, V> for &Moka<K, V> {
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

impl<K: Key, V: Value> Range<K, V> for &Moka<K, V> {
    fn range(&mut self, mut f: impl FnMut(&K, &V)) {
        self.iter().for_each(|(key, value)| f(&key, &value));
    }
}

impl<K: Key, V: Value> Clear<K, V> for &Moka<K, V> {
    fn clear(&mut self) {
        self.invalidate_all();
    }
}

impl<K: Key, V: Value> GetOrInsert<K, V> for &Moka<K, V> {
    #[inline]
    fn get_or_insert(&mut self, key: K, value: V) -> bool {
        self.entry(key).or_insert(value).is_fresh()
    }
}

impl<K: Key, V: Value> CompareAndSwap<K, V> for &Moka<K, V> {
    #[inline]
    fn compare_and_swap(&mut self, key: &K, old: &V, new: V) -> bool {
        let result = self.entry_by_ref(key).and_compute_with(|entry| match entry {
            Some(entry) if entry.value() == old => Op::Put(new),
            _ => Op::Nop,
        });
        matches!(result, CompResult::ReplacedWith(_))
    }
}
