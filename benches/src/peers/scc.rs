use super::{Clear, CompareAndSwap, GetOrInsert, Handle, Hasher, Key, Map, Peer, Range, Value};
use scc::{Guard, HashIndex, HashMap, hash_index::Entry};

/// `scc::HashMap`.
pub type SccMap<K, V> = HashMap<K, V, Hasher>;

impl<K: Key, V: Value> Map<K, V> for SccMap<K, V> {
    const NAME: &'static str = Peer::SccMap.name();

    type Handle<'a> = &'a Self;

    fn empty(capacity: usize, hasher: Hasher) -> Self {
        Self::with_capacity_and_hasher(capacity, hasher)
    }

    fn handle(&self) -> &Self {
        self
    }
}

impl<K: Key, V: Value> Handle<K, V> for &SccMap<K, V> {
    #[inline]
    fn read<R>(&mut self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.read_sync(key, |_, value| f(value))
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        drop(self.upsert_sync(key, value));
    }

    #[inline]
    fn remove(&mut self, key: &K) -> bool {
        self.remove_sync(key).is_some()
    }
}

impl<K: Key, V: Value> Range<K, V> for &SccMap<K, V> {
    fn range(&mut self, mut f: impl FnMut(&K, &V)) {
        self.iter_sync(|key, value| {
            f(key, value);
            true
        });
    }
}

impl<K: Key, V: Value> Clear<K, V> for &SccMap<K, V> {
    fn clear(&mut self) {
        self.clear_sync();
    }
}

impl<K: Key, V: Value> GetOrInsert<K, V> for &SccMap<K, V> {
    #[inline]
    fn get_or_insert(&mut self, key: K, value: V) -> bool {
        self.insert_sync(key, value).is_ok()
    }
}

impl<K: Key, V: Value> CompareAndSwap<K, V> for &SccMap<K, V> {
    #[inline]
    fn compare_and_swap(&mut self, key: &K, old: &V, new: V) -> bool {
        let swap = |_: &K, value: &mut V| {
            let swaps = value == old;
            if swaps {
                *value = new;
            }
            swaps
        };
        self.update_sync(key, swap) == Some(true)
    }
}

/// `scc::HashIndex`.
pub type SccIndex<K, V> = HashIndex<K, V, Hasher>;

impl<K: Key, V: Value> Map<K, V> for SccIndex<K, V> {
    const NAME: &'static str = Peer::SccIndex.name();

    type Handle<'a> = &'a Self;

    fn empty(capacity: usize, hasher: Hasher) -> Self {
        Self::with_capacity_and_hasher(capacity, hasher)
    }

    fn handle(&self) -> &Self {
        self
    }
}

impl<K: Key, V: Value> Handle<K, V> for &SccIndex<K, V> {
    #[inline]
    fn read<R>(&mut self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.peek_with(key, |_, value| f(value))
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        match self.entry_sync(key) {
            Entry::Occupied(mut entry) => entry.update(value),
            Entry::Vacant(entry) => drop(entry.insert_entry(value)),
        }
    }

    #[inline]
    fn remove(&mut self, key: &K) -> bool {
        self.remove_sync(key)
    }
}

impl<K: Key, V: Value> Range<K, V> for &SccIndex<K, V> {
    fn range(&mut self, mut f: impl FnMut(&K, &V)) {
        self.iter(&Guard::new()).for_each(|(key, value)| f(key, value));
    }
}

impl<K: Key, V: Value> Clear<K, V> for &SccIndex<K, V> {
    fn clear(&mut self) {
        self.clear_sync();
    }
}

impl<K: Key, V: Value> GetOrInsert<K, V> for &SccIndex<K, V> {
    #[inline]
    fn get_or_insert(&mut self, key: K, value: V) -> bool {
        self.insert_sync(key, value).is_ok()
    }
}

impl<K: Key, V: Value> CompareAndSwap<K, V> for &SccIndex<K, V> {
    #[inline]
    fn compare_and_swap(&mut self, key: &K, old: &V, new: V) -> bool {
        match self.get_sync(key) {
            Some(mut entry) if entry.get() == old => {
                entry.update(new);
                true
            }
            _ => false,
        }
    }
}

/// Access to a [`SccIndex`] with a guard held over several lookups.
pub struct SccHeld<'a, K: Key, V: Value> {
    index: &'a SccIndex<K, V>,
    guard: Guard,
}

impl<'a, K: Key, V: Value> SccHeld<'a, K, V> {
    /// Takes the guard.
    pub fn new(index: &'a SccIndex<K, V>) -> Self {
        Self { index, guard: Guard::new() }
    }
}

impl<K: Key, V: Value> Handle<K, V> for SccHeld<'_, K, V> {
    #[inline]
    fn read<R>(&mut self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.index.peek(key, &self.guard).map(f)
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        self.index.insert(key, value);
    }

    #[inline]
    fn remove(&mut self, key: &K) -> bool {
        self.index.remove(key)
    }
}
