use super::{Clear, CompareAndSwap, GetOrInsert, Handle, Hasher, Key, Map, Peer, Range, Snapshot, Value};
use readmostly::{Pinned, SyncMap};

/// `readmostly::SyncMap`, each operation pinning for itself.
pub type Readmostly<K, V> = SyncMap<K, V, Hasher>;

impl<K: Key, V: Value> Map<K, V> for Readmostly<K, V> {
    const NAME: &'static str = Peer::Readmostly.name();

    type Handle<'a> = &'a Self;

    fn empty(capacity: usize, hasher: Hasher) -> Self {
        Self::with_capacity_and_hasher(capacity, hasher)
    }

    fn handle(&self) -> &Self {
        self
    }

    fn settle(&self) {
        self.promote();
    }
}

impl<K: Key, V: Value> Handle<K, V> for &Readmostly<K, V> {
    #[inline]
    fn read<R>(&mut self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.get(key).map(|found| f(found.value()))
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        drop(SyncMap::insert(self, key, value));
    }

    #[inline]
    fn remove(&mut self, key: &K) -> bool {
        SyncMap::remove(self, key).is_some()
    }
}

impl<K: Key, V: Value> Range<K, V> for &Readmostly<K, V> {
    fn range(&mut self, mut f: impl FnMut(&K, &V)) {
        SyncMap::range(self, |key, value| {
            f(key, value);
            true
        });
    }
}

impl<K: Key, V: Value> Clear<K, V> for &Readmostly<K, V> {
    fn clear(&mut self) {
        SyncMap::clear(self);
    }
}

impl<K: Key, V: Value> GetOrInsert<K, V> for &Readmostly<K, V> {
    #[inline]
    fn get_or_insert(&mut self, key: K, value: V) -> bool {
        self.try_insert(key, value).is_ok()
    }
}

impl<K: Key, V: Value> CompareAndSwap<K, V> for &Readmostly<K, V> {
    #[inline]
    fn compare_and_swap(&mut self, key: &K, old: &V, new: V) -> bool {
        SyncMap::compare_and_swap(self, key, old, new).is_ok()
    }
}

impl<K: Key, V: Value> Snapshot<K, V> for &Readmostly<K, V> {
    fn snapshot_len(&mut self) -> usize {
        let mut count = 0;
        self.snapshot().for_each(|_, _| count += 1);
        count
    }
}

/// `readmostly::SyncMap` with a guard held over several operations.
pub struct ReadmostlyPinned<K, V>(Readmostly<K, V>);

impl<K: Key, V: Value> Map<K, V> for ReadmostlyPinned<K, V> {
    const NAME: &'static str = Peer::ReadmostlyPinned.name();

    type Handle<'a> = Pinned<'a, K, V, Hasher>;

    fn empty(capacity: usize, hasher: Hasher) -> Self {
        Self(Map::empty(capacity, hasher))
    }

    fn handle(&self) -> Self::Handle<'_> {
        self.0.pin()
    }

    fn settle(&self) {
        self.0.settle();
    }
}

impl<K: Key, V: Value> Handle<K, V> for Pinned<'_, K, V, Hasher> {
    #[inline]
    fn read<R>(&mut self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.get(key).map(f)
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        Pinned::insert(self, key, value);
    }

    #[inline]
    fn remove(&mut self, key: &K) -> bool {
        Pinned::remove(self, key).is_some()
    }

    #[inline]
    fn renew(&mut self) {
        self.repin();
    }
}

impl<K: Key, V: Value> Range<K, V> for Pinned<'_, K, V, Hasher> {
    fn range(&mut self, mut f: impl FnMut(&K, &V)) {
        self.iter().for_each(|(key, value)| f(key, value));
    }
}

impl<K: Key, V: Value> Clear<K, V> for Pinned<'_, K, V, Hasher> {
    fn clear(&mut self) {
        Pinned::clear(self);
    }
}

impl<K: Key, V: Value> GetOrInsert<K, V> for Pinned<'_, K, V, Hasher> {
    #[inline]
    fn get_or_insert(&mut self, key: K, value: V) -> bool {
        self.try_insert(key, value).is_ok()
    }
}

impl<K: Key, V: Value> CompareAndSwap<K, V> for Pinned<'_, K, V, Hasher> {
    #[inline]
    fn compare_and_swap(&mut self, key: &K, old: &V, new: V) -> bool {
        Pinned::compare_and_swap(self, key, old, new).is_ok()
    }
}

impl<K: Key, V: Value> Snapshot<K, V> for Pinned<'_, K, V, Hasher> {
    fn snapshot_len(&mut self) -> usize {
        self.map().snapshot_len()
    }
}
