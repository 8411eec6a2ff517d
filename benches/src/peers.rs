//! Every map behind the same traits, so that one loop, compiled once per map, measures them all.

use std::{collections::BTreeMap, hash::Hash};

/// The hasher of all maps in a comparison. Its seed is drawn once per process, so all hash alike.
pub type Hasher = readmostly::DefaultHashBuilder;

/// `readmostly::SyncMap`.
pub type Readmostly<K, V> = readmostly::SyncMap<K, V, Hasher>;
/// `dashmap::DashMap`.
pub type Dashmap<K, V> = dashmap::DashMap<K, V, Hasher>;
/// `papaya::HashMap`.
pub type Papaya<K, V> = papaya::HashMap<K, V, Hasher>;
/// `scc::HashIndex`.
pub type SccIndex<K, V> = scc::HashIndex<K, V, Hasher>;
/// `hashbrown::HashMap`, which is not concurrent: what a lookup costs without any synchronisation.
pub type Plain<K, V> = hashbrown::HashMap<K, V, Hasher>;

/// A map, or a guard on one, that can be read.
pub trait Lookup<K, V> {
    /// Calls `f` with the value of `key`, in the cheapest way this map has for one lookup.
    fn read<R>(&self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R>;
}

/// A map that is filled by one owner.
pub trait Fill<K, V>: Lookup<K, V> + Sized {
    /// What the map is called in a report; also the name of its crate.
    const NAME: &'static str;

    /// An empty map with room for `capacity` entries; with none, as its users would create it.
    fn empty(capacity: usize, hasher: Hasher) -> Self;

    /// Inserts or overwrites.
    fn put(&mut self, key: K, value: V);

    /// Brings the map into its best shape for reading after a bulk load, if it has an operation for that.
    fn settle(&self) {}

    /// A settled map with room for `entries` from the start and filled with them.
    fn filled(hasher: Hasher, entries: impl ExactSizeIterator<Item = (K, V)>) -> Self {
        Self::from_entries(Self::empty(entries.len(), hasher), entries)
    }

    /// A settled map that grew from nothing to these entries.
    fn grown(hasher: Hasher, entries: impl Iterator<Item = (K, V)>) -> Self {
        Self::from_entries(Self::empty(0, hasher), entries)
    }

    #[doc(hidden)]
    fn from_entries(mut map: Self, entries: impl Iterator<Item = (K, V)>) -> Self {
        for (key, value) in entries {
            map.put(key, value);
        }
        map.settle();
        map
    }
}

/// A map that several threads may change.
pub trait Concurrent<K, V>: Fill<K, V> + Send + Sync {
    /// Inserts or overwrites, and drops the replaced value as soon as the map allows.
    fn insert(&self, key: K, value: V);

    /// Removes; whether the key was present.
    fn remove(&self, key: &K) -> bool;
}

/// Everything a key needs to fit in all of the maps.
pub trait Key: Hash + Eq + Clone + Send + Sync + 'static {}
impl<K: Hash + Eq + Clone + Send + Sync + 'static> Key for K {}

/// Everything a value needs to fit in all of the maps.
pub trait Value: Send + Sync + 'static {}
impl<V: Send + Sync + 'static> Value for V {}

macro_rules! fill_by_insert {
    ($map:ident, $name:literal $(, settle: $settle:ident)?) => {
        impl<K: Key, V: Value> Fill<K, V> for $map<K, V> {
            const NAME: &'static str = $name;

            fn empty(capacity: usize, hasher: Hasher) -> Self {
                match capacity {
                    0 => Self::with_hasher(hasher),
                    _ => Self::with_capacity_and_hasher(capacity, hasher),
                }
            }

            fn put(&mut self, key: K, value: V) {
                Concurrent::insert(self, key, value);
            }

            $(fn settle(&self) {
                self.$settle();
            })?
        }
    };
}

fill_by_insert!(Readmostly, "readmostly", settle: promote);
fill_by_insert!(Dashmap, "dashmap");
fill_by_insert!(Papaya, "papaya");
fill_by_insert!(SccIndex, "scc");

impl<K: Key, V: Value> Lookup<K, V> for Readmostly<K, V> {
    #[inline]
    fn read<R>(&self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.get(key).map(|found| f(found.value()))
    }
}

impl<K: Key, V: Value> Lookup<K, V> for readmostly::Pinned<'_, K, V, Hasher> {
    #[inline]
    fn read<R>(&self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.get(key).map(f)
    }
}

impl<K: Key, V: Value> Concurrent<K, V> for Readmostly<K, V> {
    #[inline]
    fn insert(&self, key: K, value: V) {
        drop(Self::insert(self, key, value));
    }

    #[inline]
    fn remove(&self, key: &K) -> bool {
        Self::remove(self, key).is_some()
    }
}

impl<K: Key, V: Value> Lookup<K, V> for Dashmap<K, V> {
    #[inline]
    fn read<R>(&self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.get(key).map(|found| f(found.value()))
    }
}

impl<K: Key, V: Value> Concurrent<K, V> for Dashmap<K, V> {
    #[inline]
    fn insert(&self, key: K, value: V) {
        drop(Self::insert(self, key, value));
    }

    #[inline]
    fn remove(&self, key: &K) -> bool {
        Self::remove(self, key).is_some()
    }
}

impl<K: Key, V: Value> Lookup<K, V> for Papaya<K, V> {
    #[inline]
    fn read<R>(&self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.pin().get(key).map(f)
    }
}

impl<K: Key, V: Value> Lookup<K, V> for papaya::HashMapRef<'_, K, V, Hasher, papaya::LocalGuard<'_>> {
    #[inline]
    fn read<R>(&self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.get(key).map(f)
    }
}

impl<K: Key, V: Value> Concurrent<K, V> for Papaya<K, V> {
    #[inline]
    fn insert(&self, key: K, value: V) {
        self.pin().insert(key, value);
    }

    #[inline]
    fn remove(&self, key: &K) -> bool {
        self.pin().remove(key).is_some()
    }
}

impl<K: Key, V: Value> Lookup<K, V> for SccIndex<K, V> {
    #[inline]
    fn read<R>(&self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.peek_with(key, |_, value| f(value))
    }
}

impl<K: Key, V: Value> Concurrent<K, V> for SccIndex<K, V> {
    #[inline]
    fn insert(&self, key: K, value: V) {
        match self.entry_sync(key) {
            scc::hash_index::Entry::Occupied(mut entry) => entry.update(value),
            scc::hash_index::Entry::Vacant(entry) => drop(entry.insert_entry(value)),
        }
    }

    #[inline]
    fn remove(&self, key: &K) -> bool {
        self.remove_sync(key)
    }
}

/// A [`SccIndex`] with a guard held over several lookups.
#[derive(Debug)]
pub struct SccHeld<'a, K: Key, V: Value> {
    index: &'a SccIndex<K, V>,
    guard: scc::Guard,
}

impl<'a, K: Key, V: Value> SccHeld<'a, K, V> {
    /// Takes the guard.
    pub fn new(index: &'a SccIndex<K, V>) -> Self {
        Self { index, guard: scc::Guard::new() }
    }
}

impl<K: Key, V: Value> Lookup<K, V> for SccHeld<'_, K, V> {
    #[inline]
    fn read<R>(&self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.index.peek(key, &self.guard).map(f)
    }
}

impl<K: Key, V: Value> Lookup<K, V> for Plain<K, V> {
    #[inline]
    fn read<R>(&self, key: &K, f: impl FnOnce(&V) -> R) -> Option<R> {
        self.get(key).map(f)
    }
}

impl<K: Key, V: Value> Fill<K, V> for Plain<K, V> {
    const NAME: &'static str = "hashbrown";

    fn empty(capacity: usize, hasher: Hasher) -> Self {
        Self::with_capacity_and_hasher(capacity, hasher)
    }

    fn put(&mut self, key: K, value: V) {
        self.insert(key, value);
    }
}

/// The versions of the named crates that this program was built with.
pub fn versions(names: &[&'static str]) -> BTreeMap<&'static str, String> {
    let lock = include_str!("../../Cargo.lock");
    let newest = |name: &str| {
        let header = format!("name = \"{name}\"\nversion = \"");
        lock.match_indices(&header).filter_map(|(at, _)| lock[at + header.len()..].split('"').next()).last()
    };
    names.iter().map(|&name| (name, newest(name).unwrap_or("unknown").to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behaves<M: Concurrent<u64, u64>>() {
        let map = M::filled(Hasher::default(), (0..100_u32).map(|i| (u64::from(i), u64::from(i) + 1)));
        assert_eq!(map.read(&7, |v| *v), Some(8), "{}", M::NAME);
        map.insert(7, 70);
        assert_eq!(map.read(&7, |v| *v), Some(70), "{}", M::NAME);
        assert!(map.remove(&7), "{}", M::NAME);
        assert!(!map.remove(&7), "{}", M::NAME);
        assert_eq!(map.read(&7, |v| *v), None, "{}", M::NAME);
        map.insert(7, 71);
        assert_eq!(map.read(&7, |v| *v), Some(71), "{}", M::NAME);
    }

    #[test]
    fn all_peers_do_the_same() {
        behaves::<Readmostly<u64, u64>>();
        behaves::<Dashmap<u64, u64>>();
        behaves::<Papaya<u64, u64>>();
        behaves::<SccIndex<u64, u64>>();
    }

    #[test]
    fn versions_come_from_the_lock_file() {
        let versions = versions(&["dashmap", "no-such-crate"]);
        assert!(versions["dashmap"].starts_with("6."), "{versions:?}");
        assert_eq!(versions["no-such-crate"], "unknown");
    }
}
