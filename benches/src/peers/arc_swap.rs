use super::{Clear, CompareAndSwap, GetOrInsert, Handle, Hasher, Key, Map, Peer, Plain, Range, Snapshot, Value};
use arc_swap::{ArcSwap, Cache};
use std::{hint::black_box, sync::Arc};

/// `hashbrown::HashMap` in an `arc_swap::ArcSwap`: a writer changes a copy and puts it in place.
pub struct CopyOnWrite<K, V>(Swap<K, V>);

type Swap<K, V> = ArcSwap<Plain<K, V>>;

impl<K: Key, V: Value> Map<K, V> for CopyOnWrite<K, V> {
    const NAME: &'static str = Peer::ArcSwap.name();

    type Handle<'a> = CopyOnWriteAccess<'a, K, V, &'a Swap<K, V>>;

    fn empty(capacity: usize, hasher: Hasher) -> Self {
        Self(ArcSwap::from_pointee(Plain::with_capacity_and_hasher(capacity, hasher)))
    }

    fn handle(&self) -> Self::Handle<'_> {
        CopyOnWriteAccess { map: &self.0, reader: &self.0 }
    }

    fn load(&self, entries: impl Iterator<Item = (K, V)>) {
        let mut map = Plain::clone(&self.0.load());
        for (key, value) in entries {
            map.insert(key, value);
        }
        self.0.store(Arc::new(map));
    }
}

/// [`CopyOnWrite`], read through an `arc_swap::Cache` per thread.
pub struct CopyOnWriteCached<K, V>(CopyOnWrite<K, V>);

impl<K: Key, V: Value> Map<K, V> for CopyOnWriteCached<K, V> {
    const NAME: &'static str = Peer::ArcSwapCache.name();

    type Handle<'a> = CopyOnWriteAccess<'a, K, V, Cache<&'a Swap<K, V>, Arc<Plain<K, V>>>>;

    fn empty(capacity: usize, hasher: Hasher) -> Self {
        Self(Map::empty(capacity, hasher))
    }

    fn handle(&self) -> Self::Handle<'_> {
        let map = &self.0.0;
        CopyOnWriteAccess { map, reader: Cache::new(map) }
    }

    fn load(&self, entries: impl Iterator<Item = (K, V)>) {
        self.0.load(entries);
    }
}

/// Gives access to the current version of a map.
pub trait Reader<T> {
    /// Calls `f` with it.
    fn current<R>(&mut self, f: impl FnOnce(&T) -> R) -> R;
}

impl<T> Reader<T> for &ArcSwap<T> {
    #[inline]
    fn current<R>(&mut self, f: impl FnOnce(&T) -> R) -> R {
        f(&self.load())
    }
}

impl<T> Reader<T> for Cache<&ArcSwap<T>, Arc<T>> {
    #[inline]
    fn current<R>(&mut self, f: impl FnOnce(&T) -> R) -> R {
        f(self.load())
    }
}

/// One thread's access to a [`CopyOnWrite`] map.
pub struct CopyOnWriteAccess<'a, K, V, R> {
    map: &'a Swap<K, V>,
    reader: R,
}

impl<K: Key, V: Value, R> CopyOnWriteAccess<'_, K, V, R> {
    /// Puts a changed copy in place, as often as it takes until no other writer was faster.
    fn change<T>(&self, mut change: impl FnMut(&mut Plain<K, V>) -> T) -> T {
        let mut result = None;
        self.map.rcu(|map| {
            let mut map = Plain::clone(map);
            result = Some(change(&mut map));
            map
        });
        result.expect("`rcu` calls its closure")
    }
}

impl<K: Key, V: Value, G: Reader<Plain<K, V>>> Handle<K, V> for CopyOnWriteAccess<'_, K, V, G> {
    #[inline]
    fn read<R>(&mut self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.reader.current(|map| map.get(key).map(f))
    }

    fn insert(&mut self, key: K, value: V) {
        self.change(|map| map.insert(key.clone(), value.clone()));
    }

    fn remove(&mut self, key: &K) -> bool {
        // Nothing is copied if nothing changes; so below.
        self.read(key, |_| ()).is_some() && self.change(|map| map.remove(key)).is_some()
    }
}

impl<K: Key, V: Value, G: Reader<Plain<K, V>>> Range<K, V> for CopyOnWriteAccess<'_, K, V, G> {
    fn range(&mut self, mut f: impl FnMut(&K, &V)) {
        self.reader.current(|map| map.iter().for_each(|(key, value)| f(key, value)));
    }
}

impl<K: Key, V: Value, G: Reader<Plain<K, V>>> Clear<K, V> for CopyOnWriteAccess<'_, K, V, G> {
    fn clear(&mut self) {
        let hasher = self.reader.current(|map| *map.hasher());
        self.map.store(Arc::new(Plain::with_hasher(hasher)));
    }
}

impl<K: Key, V: Value, G: Reader<Plain<K, V>>> GetOrInsert<K, V> for CopyOnWriteAccess<'_, K, V, G> {
    fn get_or_insert(&mut self, key: K, value: V) -> bool {
        self.read(&key, |_| ()).is_none() && self.change(|map| map.get_or_insert(key.clone(), value.clone()))
    }
}

impl<K: Key, V: Value, G: Reader<Plain<K, V>>> CompareAndSwap<K, V> for CopyOnWriteAccess<'_, K, V, G> {
    fn compare_and_swap(&mut self, key: &K, old: &V, new: V) -> bool {
        self.read(key, |value| value == old) == Some(true)
            && self.change(|map| map.compare_and_swap(key, old, new.clone()))
    }
}

impl<K: Key, V: Value, G: Reader<Plain<K, V>>> Snapshot<K, V> for CopyOnWriteAccess<'_, K, V, G> {
    fn snapshot_len(&mut self) -> usize {
        let snapshot = self.map.load_full();
        snapshot.iter().map(black_box).count()
    }
}
