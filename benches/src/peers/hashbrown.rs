use super::{Clear, CompareAndSwap, GetOrInsert, Handle, Hasher, Key, Range, Value};
use hashbrown::{HashMap, hash_map::Entry};

/// `hashbrown::HashMap`, which is not concurrent: what an operation costs without any synchronisation.
pub type Plain<K, V> = HashMap<K, V, Hasher>;

/// A [`Plain`] map with room for `entries` from the start and filled with them.
pub fn plain<K: Key, V: Value>(hasher: Hasher, entries: impl ExactSizeIterator<Item = (K, V)>) -> Plain<K, V> {
    let mut map = Plain::with_capacity_and_hasher(entries.len(), hasher);
    map.extend(entries);
    map
}

impl<K: Key, V: Value> Handle<K, V> for Plain<K, V> {
    #[inline]
    fn read<R>(&mut self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.get(key).map(f)
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        HashMap::insert(self, key, value);
    }

    #[inline]
    fn remove(&mut self, key: &K) -> bool {
        HashMap::remove(self, key).is_some()
    }
}

impl<K: Key, V: Value> Range<K, V> for Plain<K, V> {
    fn range(&mut self, mut f: impl FnMut(&K, &V)) {
        self.iter().for_each(|(key, value)| f(key, value));
    }
}

impl<K: Key, V: Value> Clear<K, V> for Plain<K, V> {
    fn clear(&mut self) {
        HashMap::clear(self);
    }
}

impl<K: Key, V: Value> GetOrInsert<K, V> for Plain<K, V> {
    #[inline]
    fn get_or_insert(&mut self, key: K, value: V) -> bool {
        match self.entry(key) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(value);
                true
            }
        }
    }
}

impl<K: Key, V: Value> CompareAndSwap<K, V> for Plain<K, V> {
    #[inline]
    fn compare_and_swap(&mut self, key: &K, old: &V, new: V) -> bool {
        match self.get_mut(key) {
            Some(value) if value == old => {
                *value = new;
                true
            }
            _ => false,
        }
    }
}
