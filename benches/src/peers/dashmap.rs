use super::{Clear, CompareAndSwap, GetOrInsert, Handle, Hasher, Key, Map, Peer, Range, Value};
use dashmap::{DashMap, Entry};

/// `dashmap::DashMap`.
pub type Dashmap<K, V> = DashMap<K, V, Hasher>;

impl<K: Key, V: Value> Map<K, V> for Dashmap<K, V> {
    const NAME: &'static str = Peer::Dashmap.name();

    type Handle<'a> = &'a Self;

    fn empty(capacity: usize, hasher: Hasher) -> Self {
        Self::with_capacity_and_hasher(capacity, hasher)
    }

    fn handle(&self) -> &Self {
        self
    }
}

impl<K: Key, V: Value> Handle<K, V> for &Dashmap<K, V> {
    #[inline]
    fn read<R>(&mut self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.get(key).map(|found| f(found.value()))
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        drop(DashMap::insert(self, key, value));
    }

    #[inline]
    fn remove(&mut self, key: &K) -> bool {
        DashMap::remove(self, key).is_some()
    }
}

impl<K: Key, V: Value> Range<K, V> for &Dashmap<K, V> {
    fn range(&mut self, mut f: impl FnMut(&K, &V)) {
        self.iter().for_each(|entry| f(entry.key(), entry.value()));
    }
}

impl<K: Key, V: Value> Clear<K, V> for &Dashmap<K, V> {
    fn clear(&mut self) {
        DashMap::clear(self);
    }
}

impl<K: Key, V: Value> GetOrInsert<K, V> for &Dashmap<K, V> {
    #[inline]
    fn get_or_insert(&mut self, key: K, value: V) -> bool {
        match self.entry(key) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                drop(entry.insert(value));
                true
            }
        }
    }
}

impl<K: Key, V: Value> CompareAndSwap<K, V> for &Dashmap<K, V> {
    #[inline]
    fn compare_and_swap(&mut self, key: &K, old: &V, new: V) -> bool {
        match self.get_mut(key) {
            Some(mut value) if *value == *old => {
                *value = new;
                true
            }
            _ => false,
        }
    }
}
