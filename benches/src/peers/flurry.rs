use super::{Clear, CompareAndSwap, GetOrInsert, Handle, Hasher, Key, Map, Peer, Range, Value};
use flurry::HashMap;

/// `flurry::HashMap`, each operation pinning for itself.
pub type Flurry<K, V> = HashMap<K, V, Hasher>;

impl<K: Key, V: Value> Map<K, V> for Flurry<K, V> {
    const NAME: &'static str = Peer::Flurry.name();

    type Handle<'a> = &'a Self;

    fn empty(capacity: usize, hasher: Hasher) -> Self {
        Self::with_capacity_and_hasher(capacity, hasher)
    }

    fn handle(&self) -> &Self {
        self
    }
}

impl<K: Key, V: Value> Handle<K, V> for &Flurry<K, V> {
    #[inline]
    fn read<R>(&mut self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.pin().get(key).map(f)
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        self.pin().insert(key, value);
    }

    #[inline]
    fn remove(&mut self, key: &K) -> bool {
        self.pin().remove(key).is_some()
    }
}

impl<K: Key, V: Value> Range<K, V> for &Flurry<K, V> {
    fn range(&mut self, mut f: impl FnMut(&K, &V)) {
        self.pin().iter().for_each(|(key, value)| f(key, value));
    }
}

impl<K: Key, V: Value> Clear<K, V> for &Flurry<K, V> {
    fn clear(&mut self) {
        self.pin().clear();
    }
}

impl<K: Key, V: Value> GetOrInsert<K, V> for &Flurry<K, V> {
    #[inline]
    fn get_or_insert(&mut self, key: K, value: V) -> bool {
        self.pin().try_insert(key, value).is_ok()
    }
}

impl<K: Key, V: Value> CompareAndSwap<K, V> for &Flurry<K, V> {
    #[inline]
    fn compare_and_swap(&mut self, key: &K, old: &V, new: V) -> bool {
        let mut swapped = false;
        self.pin().compute_if_present(key, |_, value| {
            swapped = value == old;
            // There is no way to leave a value alone, so one that stays is replaced by its clone.
            Some(if swapped { new } else { value.clone() })
        });
        swapped
    }
}
