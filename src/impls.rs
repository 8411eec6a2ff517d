//! Traits of the standard library for the map.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::iter::FusedIterator;

use crate::map::SyncMap;
use crate::raw::IntoEntries;

impl<K, V, S: Default> Default for SyncMap<K, V, S> {
    fn default() -> Self {
        SyncMap::with_hasher(S::default())
    }
}

impl<K, V, S> fmt::Debug for SyncMap<K, V, S>
where
    K: Hash + Eq + fmt::Debug,
    V: fmt::Debug,
    S: BuildHasher,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut entries = f.debug_map();
        self.range(|key, value| {
            entries.entry(key, value);
            true
        });
        entries.finish()
    }
}

impl<K, V, S> Extend<(K, V)> for &SyncMap<K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            drop(self.insert(key, value));
        }
    }
}

impl<K, V, S> Extend<(K, V)> for SyncMap<K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        (&*self).extend(entries);
    }
}

impl<'a, K, V, S> Extend<(&'a K, &'a V)> for SyncMap<K, V, S>
where
    K: Hash + Eq + Copy,
    V: Copy,
    S: BuildHasher,
{
    fn extend<I: IntoIterator<Item = (&'a K, &'a V)>>(&mut self, entries: I) {
        (&*self).extend(entries.into_iter().map(|(key, value)| (*key, *value)));
    }
}

impl<K, V, S> FromIterator<(K, V)> for SyncMap<K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher + Default,
{
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let entries = entries.into_iter();
        let mut map = SyncMap::with_capacity_and_hasher(entries.size_hint().0, S::default());
        map.extend(entries);
        map
    }
}

impl<K: Hash + Eq, V, const N: usize> From<[(K, V); N]> for SyncMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

/// Clones each entry as it is when it is visited, like [`SyncMap::range`].
impl<K, V, S> Clone for SyncMap<K, V, S>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher + Clone,
{
    fn clone(&self) -> Self {
        let clone = SyncMap::with_capacity_and_hasher(self.len(), self.hasher().clone());
        self.range(|key, value| {
            drop(clone.insert(key.clone(), value.clone()));
            true
        });
        clone
    }
}

/// Whether both have the same entries; exact when nothing changes them meanwhile.
impl<K, V, S, S2> PartialEq<SyncMap<K, V, S2>> for SyncMap<K, V, S>
where
    K: Hash + Eq,
    V: PartialEq,
    S: BuildHasher,
    S2: BuildHasher,
{
    fn eq(&self, other: &SyncMap<K, V, S2>) -> bool {
        if self.len() != other.len() {
            return false;
        }
        let (mine, theirs) = (self.pin(), other.pin());
        mine.iter().all(|(key, value)| theirs.get(key) == Some(value))
    }
}

impl<K, V, S> Eq for SyncMap<K, V, S>
where
    K: Hash + Eq,
    V: Eq,
    S: BuildHasher,
{
}

/// Moves the entries out.
///
/// # Panics
///
/// If a [`Snapshot`](crate::Snapshot) of the map still exists, since it shares the entries.
///
/// ```
/// let map = readmostly::SyncMap::from([(String::from("a"), 1)]);
/// assert_eq!(map.into_iter().collect::<Vec<_>>(), [(String::from("a"), 1)]);
/// ```
impl<K, V, S> IntoIterator for SyncMap<K, V, S> {
    type Item = (K, V);
    type IntoIter = IntoIter<K, V>;

    fn into_iter(self) -> IntoIter<K, V> {
        match self.into_raw().into_entries() {
            Some(entries) => IntoIter { entries },
            None => panic!("the entries of a SyncMap cannot be moved out while a Snapshot shares them: drop it first"),
        }
    }
}

/// The entries of a map, owned: what [`SyncMap`]'s `into_iter` returns.
///
/// ```
/// let mut entries: readmostly::IntoIter<&str, u32> = readmostly::SyncMap::from([("a", 1)]).into_iter();
/// assert_eq!(entries.next(), Some(("a", 1)));
/// ```
pub struct IntoIter<K, V> {
    pub(crate) entries: IntoEntries<K, V>,
}

impl<K, V> Iterator for IntoIter<K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        self.entries.next()
    }
}

impl<K, V> FusedIterator for IntoIter<K, V> {}

impl<K, V> fmt::Debug for IntoIter<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoIter").finish_non_exhaustive()
    }
}
