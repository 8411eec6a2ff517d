//! A map with a guard held over several operations.
//!
//! [`SyncMap::pin`] gives a [`Pinned`]. Its operations are those of the map, with plain references in the place of
//! [`Ref`](crate::Ref)s; where these are part of a larger result, this module has that result's counterpart.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::iter::FusedIterator;

use equivalent::Equivalent;

use crate::hasher::DefaultHashBuilder;
use crate::map::SyncMap;
use crate::raw::{Batch, Computed, Entries, Occupied, Operation};
use crate::reclaim::Guard;

/// A [`SyncMap`] with the thread pinned: made by [`SyncMap::pin`].
///
/// References that its operations return live as long as it is borrowed. It sees all changes that other threads make;
/// it is no snapshot. While it exists, memory that maps of this process retire is not freed.
///
/// ```
/// let map = readmostly::SyncMap::from([("a", 1)]);
/// let pinned = map.pin();
/// let one: &i32 = pinned.get("a").unwrap();
/// pinned.insert("a", 2);
/// assert_eq!((one, pinned.get("a")), (&1, Some(&2)));
/// ```
pub struct Pinned<'m, K, V, S = DefaultHashBuilder> {
    map: &'m SyncMap<K, V, S>,
    guard: Guard,
}

impl<'m, K, V, S> Pinned<'m, K, V, S> {
    #[inline]
    pub(crate) fn new(map: &'m SyncMap<K, V, S>, guard: Guard) -> Self {
        Pinned { map, guard }
    }

    /// Lets go of everything seen so far, so that it can be freed, and goes on from now.
    ///
    /// Cheaper than making a new `Pinned`. Does nothing while another `Pinned` or `Ref` of this thread exists.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("a", 1)]);
    /// let mut pinned = map.pin();
    /// for _ in 0..1000 {
    ///     assert_eq!(pinned.get("a"), Some(&1));
    ///     pinned.repin();
    /// }
    /// ```
    #[inline]
    pub fn repin(&mut self) {
        self.guard.repin();
    }

    /// The map.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("a", 1)]);
    /// assert_eq!(map.pin().map().len(), 1);
    /// ```
    #[must_use]
    pub fn map(&self) -> &'m SyncMap<K, V, S> {
        self.map
    }

    /// See [`SyncMap::len`].
    ///
    /// ```
    /// assert_eq!(readmostly::SyncMap::from([("a", 1)]).pin().len(), 1);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// See [`SyncMap::is_empty`].
    ///
    /// ```
    /// assert!(readmostly::SyncMap::<u32, u32>::new().pin().is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// See [`SyncMap::clear`].
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("a", 1)]);
    /// map.pin().clear();
    /// assert!(map.is_empty());
    /// ```
    pub fn clear(&self) {
        self.map.clear();
    }
}

impl<K, V, S> Pinned<'_, K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    /// The value of a key, if it has one. See [`SyncMap::get`].
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("a", 1)]);
    /// assert_eq!(map.pin().get("a"), Some(&1));
    /// ```
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        self.get_key_value(key).map(|(_, value)| value)
    }

    /// The key as it lies in the map, and its value.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([(String::from("a"), 1)]);
    /// assert_eq!(map.pin().get_key_value("a"), Some((&String::from("a"), &1)));
    /// ```
    #[inline]
    pub fn get_key_value<Q>(&self, key: &Q) -> Option<(&K, &V)>
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        self.map.raw().get(key, || &self.guard)
    }

    /// The values of many keys, in their order: what [`Pinned::get`] returns for each.
    ///
    /// While one key is looked up, the memory that the next ones need is on its way already: in a map larger than the
    /// processor's caches that saves half of the time and more. In a map of a few thousand entries there is nothing to
    /// wait for, and calls of [`Pinned::get`] are faster, those for absent keys twice as fast. Sixteen keys are taken at a
    /// time; fewer gain less.
    ///
    /// Keys are taken from the iterator, and hashed, before their turn comes, but each is looked up when the iterator
    /// returned is asked for its value: that call takes place as one of `get` would, and sees what was changed until
    /// then. All together are no snapshot. `keys` may use the map itself, and it may end, go on, or panic as it likes:
    /// results for keys that it gave before it panicked, and that have not been asked for, are lost.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("a".to_string(), 1), ("b".to_string(), 2)]);
    /// let pinned = map.pin();
    /// assert_eq!(pinned.get_many(["b", "c", "a"]).collect::<Vec<_>>(), [Some(&2), None, Some(&1)]);
    ///
    /// let keys = vec!["a".to_string(), "b".to_string()];
    /// assert_eq!(pinned.get_many(&keys).flatten().sum::<i32>(), 3);
    /// ```
    #[inline]
    pub fn get_many<'p, 'q, Q, I>(&'p self, keys: I) -> GetMany<'p, K, V, S, I::IntoIter>
    where
        Q: ?Sized + Hash + Equivalent<K> + 'q,
        I: IntoIterator<Item = &'q Q>,
    {
        GetMany { batch: Batch::new(self.map.raw(), &self.guard, keys.into_iter()) }
    }

    /// See [`SyncMap::get_cloned`].
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("a", String::from("x"))]);
    /// assert_eq!(map.pin().get_cloned("a"), Some(String::from("x")));
    /// ```
    #[inline]
    pub fn get_cloned<Q>(&self, key: &Q) -> Option<V>
    where
        Q: ?Sized + Hash + Equivalent<K>,
        V: Clone,
    {
        self.get(key).cloned()
    }

    /// See [`SyncMap::contains_key`].
    ///
    /// ```
    /// assert!(readmostly::SyncMap::from([("a", 1)]).pin().contains_key("a"));
    /// ```
    #[inline]
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        self.get(key).is_some()
    }

    /// Maps a key to a value; returns the one it was mapped to before. See [`SyncMap::insert`].
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("a", 1)]);
    /// assert_eq!(map.pin().insert("a", 2), Some(&1));
    /// ```
    pub fn insert(&self, key: K, value: V) -> Option<&V> {
        self.map.raw().insert(key, value, &self.guard).map(|(_, old)| old)
    }

    /// Maps a key to a value unless it has one. See [`SyncMap::try_insert`].
    ///
    /// # Errors
    ///
    /// If the key has a value. The error has it, and gives key and value back.
    ///
    /// ```
    /// let map = readmostly::SyncMap::new();
    /// let pinned = map.pin();
    /// assert_eq!(pinned.try_insert("a", 1).unwrap(), &1);
    /// assert_eq!(pinned.try_insert("a", 2).unwrap_err().current, &1);
    /// ```
    pub fn try_insert(&self, key: K, value: V) -> Result<&V, OccupiedError<'_, K, V>> {
        match self.map.raw().try_insert(key, value, &self.guard) {
            Ok((_, value)) => Ok(value),
            Err(Occupied { current: (_, current), key, unused }) => Err(OccupiedError { current, key, value: unused }),
        }
    }

    /// See [`SyncMap::get_or_insert`].
    ///
    /// ```
    /// let map = readmostly::SyncMap::new();
    /// assert_eq!(map.pin().get_or_insert("a", 1), &1);
    /// ```
    pub fn get_or_insert(&self, key: K, value: V) -> &V {
        self.get_or_insert_with(key, || value)
    }

    /// See [`SyncMap::get_or_insert_with`].
    ///
    /// ```
    /// let map = readmostly::SyncMap::new();
    /// assert_eq!(map.pin().get_or_insert_with("a", || 1), &1);
    /// ```
    pub fn get_or_insert_with<F>(&self, key: K, f: F) -> &V
    where
        F: FnOnce() -> V,
    {
        match self.get_or_try_insert_with(key, || Ok::<V, Infallible>(f())) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// See [`SyncMap::get_or_try_insert_with`].
    ///
    /// # Errors
    ///
    /// What `f` returns; the map is unchanged then.
    ///
    /// ```
    /// let map = readmostly::SyncMap::new();
    /// assert_eq!(map.pin().get_or_try_insert_with("a", || "1".parse::<u32>()), Ok(&1));
    /// ```
    pub fn get_or_try_insert_with<E>(&self, key: K, f: impl FnOnce() -> Result<V, E>) -> Result<&V, E> {
        match self.map.raw().try_insert_with(key, f, &self.guard)? {
            Ok((_, value)) | Err(Occupied { current: (_, value), .. }) => Ok(value),
        }
    }

    /// Replaces the value of a key by what `f` makes of it; returns the new one. See [`SyncMap::update`].
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("hits", 1)]);
    /// assert_eq!(map.pin().update("hits", |n| n + 1), Some(&2));
    /// ```
    pub fn update<Q, F>(&self, key: &Q, mut f: F) -> Option<&V>
    where
        Q: ?Sized + Hash + Equivalent<K>,
        F: FnMut(&V) -> V,
    {
        let mut insert = |_: &K, value: &V| Operation::<V, Infallible>::Insert(f(value));
        match self.map.raw().compute_present(key, &mut insert, &self.guard) {
            Computed::Updated { new: (_, new), .. } => Some(new),
            _ => None,
        }
    }

    /// Replaces the value of a key by what `update` makes of it, or inserts what `insert` makes; returns the new one. See
    /// [`SyncMap::update_or_insert_with`].
    ///
    /// ```
    /// let map = readmostly::SyncMap::new();
    /// assert_eq!(map.pin().update_or_insert_with("hits", |n| n + 1, || 1), &1);
    /// assert_eq!(map.pin().update_or_insert_with("hits", |n| n + 1, || 1), &2);
    /// ```
    pub fn update_or_insert_with<U, F>(&self, key: K, update: U, insert: F) -> &V
    where
        U: FnMut(&V) -> V,
        F: FnMut() -> V,
    {
        self.map.raw().update_or_insert_with(key, update, insert, &self.guard).1
    }

    /// See [`SyncMap::compute`].
    ///
    /// ```
    /// use readmostly::{Operation, SyncMap, pinned};
    ///
    /// let map = SyncMap::new();
    /// let pinned = map.pin();
    /// let end = pinned.compute("a", |n| Operation::<u32, ()>::Insert(n.map_or(1, |n| n + 1)));
    /// assert!(matches!(end, pinned::Compute::Inserted(1)));
    /// ```
    pub fn compute<T>(&self, key: K, mut f: impl FnMut(Option<&V>) -> Operation<V, T>) -> Compute<'_, V, T> {
        match self.map.raw().compute(key, &mut f, &self.guard) {
            Computed::Inserted((_, new)) => Compute::Inserted(new),
            Computed::Updated { old: (_, old), new: (_, new) } => Compute::Updated { old, new },
            Computed::Removed((_, old)) => Compute::Removed(old),
            Computed::Aborted(result) => Compute::Aborted(result),
            Computed::Absent => Compute::Absent,
        }
    }

    /// Replaces the value of a key if it equals `current`; returns the old one. See [`SyncMap::compare_and_swap`].
    ///
    /// # Errors
    ///
    /// If the key has no value or another one. `new` comes back.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("state", "idle")]);
    /// assert_eq!(map.pin().compare_and_swap("state", &"idle", "busy"), Ok(&"idle"));
    /// ```
    pub fn compare_and_swap<Q>(&self, key: &Q, current: &V, new: V) -> Result<&V, V>
    where
        Q: ?Sized + Hash + Equivalent<K>,
        V: PartialEq,
    {
        self.map.raw().compare_and_swap(key, current, new, &self.guard).map(|(_, old)| old)
    }

    /// Removes a key if its value equals `current`; returns the value removed. See [`SyncMap::compare_and_remove`].
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("lease", 7)]);
    /// assert_eq!(map.pin().compare_and_remove("lease", &7), Some(&7));
    /// ```
    pub fn compare_and_remove<Q>(&self, key: &Q, current: &V) -> Option<&V>
    where
        Q: ?Sized + Hash + Equivalent<K>,
        V: PartialEq,
    {
        self.remove_if(key, |_, value| value == current)
    }

    /// Removes a key; returns the value removed. See [`SyncMap::remove`].
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("a", 1)]);
    /// assert_eq!(map.pin().remove("a"), Some(&1));
    /// ```
    pub fn remove<Q>(&self, key: &Q) -> Option<&V>
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        self.remove_if(key, |_, _| true)
    }

    /// Removes a key; returns the key as it lies in the map, and the value removed. See [`SyncMap::remove`].
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([(String::from("a"), 1)]);
    /// assert_eq!(map.pin().remove_entry("a"), Some((&String::from("a"), &1)));
    /// ```
    pub fn remove_entry<Q>(&self, key: &Q) -> Option<(&K, &V)>
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        self.map.raw().remove_if(key, &mut |_, _| true, &self.guard)
    }

    /// Removes a key if `f` agrees; returns the value removed. See [`SyncMap::remove_if`].
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("a", 1)]);
    /// assert_eq!(map.pin().remove_if("a", |_, n| *n > 1), None);
    /// ```
    pub fn remove_if<Q, F>(&self, key: &Q, mut f: F) -> Option<&V>
    where
        Q: ?Sized + Hash + Equivalent<K>,
        F: FnMut(&K, &V) -> bool,
    {
        self.map.raw().remove_if(key, &mut f, &self.guard).map(|(_, old)| old)
    }

    /// See [`SyncMap::retain`].
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("a", 1), ("b", 2)]);
    /// map.pin().retain(|_, n| *n > 1);
    /// assert_eq!(map.len(), 1);
    /// ```
    pub fn retain<F>(&self, f: F)
    where
        F: FnMut(&K, &V) -> bool,
    {
        self.map.retain(f);
    }

    /// See [`SyncMap::range`].
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("a", 1)]);
    /// map.pin().range(|key, value| (*key, *value) == ("a", 1));
    /// ```
    pub fn range<F>(&self, f: F)
    where
        F: FnMut(&K, &V) -> bool,
    {
        self.map.range(f);
    }

    /// The entries.
    ///
    /// A key that is present throughout the iteration comes once, none comes twice; entries inserted or removed
    /// meanwhile may or may not come. The order is unspecified. If the map is amended, the copy to the dirty table
    /// is completed first.
    ///
    /// The iteration holds the epoch back as long as the `Pinned` exists; [`SyncMap::range`] does not. The iterator may
    /// go to another thread, as the references that it gives may.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("a", 1), ("b", 2)]);
    /// let pinned = map.pin();
    /// assert_eq!(pinned.iter().map(|(_, n)| n).sum::<i32>(), 3);
    /// ```
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { entries: self.map.raw().entries(&self.guard) }
    }

    /// The keys; see [`Pinned::iter`].
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("a", 1)]);
    /// assert_eq!(map.pin().keys().collect::<Vec<_>>(), [&"a"]);
    /// ```
    pub fn keys(&self) -> Keys<'_, K, V> {
        Keys { iter: self.iter() }
    }

    /// The values; see [`Pinned::iter`].
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("a", 1)]);
    /// assert_eq!(map.pin().values().collect::<Vec<_>>(), [&1]);
    /// ```
    pub fn values(&self) -> Values<'_, K, V> {
        Values { iter: self.iter() }
    }
}

impl<K, V, S> fmt::Debug for Pinned<'_, K, V, S>
where
    K: Hash + Eq + fmt::Debug,
    V: fmt::Debug,
    S: BuildHasher,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<'p, K, V, S> IntoIterator for &'p Pinned<'_, K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    type Item = (&'p K, &'p V);
    type IntoIter = Iter<'p, K, V>;

    fn into_iter(self) -> Iter<'p, K, V> {
        self.iter()
    }
}

/// The values of many keys: see [`Pinned::get_many`].
///
/// ```
/// let map = readmostly::SyncMap::from([("a", 1)]);
/// let pinned = map.pin();
/// let values: readmostly::pinned::GetMany<'_, _, _, _, _> = pinned.get_many(["a", "b"]);
/// assert_eq!(values.len(), 2);
/// ```
#[must_use = "nothing is looked up before it is asked for"]
pub struct GetMany<'p, K, V, S, I: Iterator> {
    batch: Batch<'p, K, V, S, I>,
}

impl<'p, 'q, K, V, S, Q, I> Iterator for GetMany<'p, K, V, S, I>
where
    K: Hash + Eq,
    S: BuildHasher,
    Q: ?Sized + Hash + Equivalent<K> + 'q,
    I: Iterator<Item = &'q Q>,
{
    type Item = Option<&'p V>;

    #[inline]
    fn next(&mut self) -> Option<Option<&'p V>> {
        Some(self.batch.next()?.map(|(_, value)| value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.batch.size_hint()
    }
}

impl<'q, K, V, S, Q, I> ExactSizeIterator for GetMany<'_, K, V, S, I>
where
    K: Hash + Eq,
    S: BuildHasher,
    Q: ?Sized + Hash + Equivalent<K> + 'q,
    I: ExactSizeIterator<Item = &'q Q>,
{
}

impl<'q, K, V, S, Q, I> FusedIterator for GetMany<'_, K, V, S, I>
where
    K: Hash + Eq,
    S: BuildHasher,
    Q: ?Sized + Hash + Equivalent<K> + 'q,
    I: Iterator<Item = &'q Q>,
{
}

impl<K, V, S, I: Iterator> fmt::Debug for GetMany<'_, K, V, S, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetMany").finish_non_exhaustive()
    }
}

/// The entries of a pinned map: see [`Pinned::iter`].
///
/// ```
/// let map = readmostly::SyncMap::from([("a", 1)]);
/// let pinned = map.pin();
/// let iter: readmostly::pinned::Iter<'_, _, _> = pinned.iter();
/// assert_eq!(iter.count(), 1);
/// ```
pub struct Iter<'p, K, V> {
    pub(crate) entries: Entries<'p, K, V>,
}

/// The keys of a pinned map: see [`Pinned::keys`].
///
/// ```
/// let map = readmostly::SyncMap::from([("a", 1)]);
/// let pinned = map.pin();
/// let keys: readmostly::pinned::Keys<'_, _, _> = pinned.keys();
/// assert_eq!(keys.count(), 1);
/// ```
pub struct Keys<'p, K, V> {
    iter: Iter<'p, K, V>,
}

/// The values of a pinned map: see [`Pinned::values`].
///
/// ```
/// let map = readmostly::SyncMap::from([("a", 1)]);
/// let pinned = map.pin();
/// let values: readmostly::pinned::Values<'_, _, _> = pinned.values();
/// assert_eq!(values.count(), 1);
/// ```
pub struct Values<'p, K, V> {
    iter: Iter<'p, K, V>,
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Iter { entries: self.entries.clone() }
    }
}

impl<K, V> Clone for Keys<'_, K, V> {
    fn clone(&self) -> Self {
        Keys { iter: self.iter.clone() }
    }
}

impl<K, V> Clone for Values<'_, K, V> {
    fn clone(&self) -> Self {
        Values { iter: self.iter.clone() }
    }
}

impl<'p, K, V> Iterator for Iter<'p, K, V> {
    type Item = (&'p K, &'p V);

    #[inline]
    fn next(&mut self) -> Option<(&'p K, &'p V)> {
        self.entries.next()
    }
}

impl<'p, K, V> Iterator for Keys<'p, K, V> {
    type Item = &'p K;

    #[inline]
    fn next(&mut self) -> Option<&'p K> {
        self.iter.next().map(|(key, _)| key)
    }
}

impl<'p, K, V> Iterator for Values<'p, K, V> {
    type Item = &'p V;

    #[inline]
    fn next(&mut self) -> Option<&'p V> {
        self.iter.next().map(|(_, value)| value)
    }
}

impl<K, V> FusedIterator for Iter<'_, K, V> {}
impl<K, V> FusedIterator for Keys<'_, K, V> {}
impl<K, V> FusedIterator for Values<'_, K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<K: fmt::Debug, V> fmt::Debug for Keys<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<K, V: fmt::Debug> fmt::Debug for Values<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// What became of a [`Pinned::compute`]: as [`crate::Compute`], with plain references.
///
/// ```
/// use readmostly::{Operation, SyncMap, pinned};
///
/// let map = SyncMap::from([("a", 1)]);
/// let pinned = map.pin();
/// let end = pinned.compute("a", |_| Operation::<i32, ()>::Remove);
/// assert!(matches!(end, pinned::Compute::Removed(1)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compute<'p, V, T> {
    /// The key was absent and now has this value.
    Inserted(&'p V),
    /// The value was replaced.
    Updated {
        /// What it was.
        old: &'p V,
        /// What it is.
        new: &'p V,
    },
    /// The entry was removed; this is what it was.
    Removed(&'p V),
    /// Nothing was changed; this is what the closure gave to [`Operation::Abort`].
    Aborted(T),
    /// The closure answered [`Operation::Remove`] for a key that was absent.
    Absent,
}

/// Why [`Pinned::try_insert`] inserted nothing: as [`crate::OccupiedError`], with a plain reference.
///
/// ```
/// let map = readmostly::SyncMap::from([("a", 1)]);
/// let pinned = map.pin();
/// let error = pinned.try_insert("a", 2).unwrap_err();
/// assert_eq!((error.current, error.key, error.value), (&1, "a", 2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OccupiedError<'p, K, V> {
    /// The value that is there.
    pub current: &'p V,
    /// The key that was not inserted.
    pub key: K,
    /// The value that was not inserted.
    pub value: V,
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Display for OccupiedError<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OccupiedError { current, key, value } = self;
        write!(f, "did not insert {value:?} for key {key:?}, which has the value {current:?}")
    }
}

impl<K: fmt::Debug, V: fmt::Debug> Error for OccupiedError<'_, K, V> {}
