//! Parallel iteration and collection, with [rayon](https://docs.rs/rayon). The feature `rayon` turns it on.
//!
//! | what | item | |
//! |---|---|---|
//! | `map.pin().par_iter()` | `(&K, &V)` | the thread that calls stays pinned until all is done |
//! | `map.snapshot().par_iter()` | `(K, V)`, cloned | holds back memory for one bucket at a time |
//! | `map.into_par_iter()` | `(K, V)` | moves the entries out |
//! | `collect()`, `par_extend` | `(K, V)`, `(&K, &V)` | |
//!
//! Sets have the same with members, but for snapshots, whose items are those of a map without values.
//!
//! A key that is present throughout comes once, and none comes twice. Tables are split by buckets, so it takes many
//! entries and work for each before another thread is worth waking.
//!
//! ```
//! use rayon::prelude::*;
//! use readmostly::SyncMap;
//!
//! let map: SyncMap<u64, u64> = (0..1000).into_par_iter().map(|n| (n, n * n)).collect();
//! assert_eq!(map.pin().par_iter().map(|(_, square)| square).max(), Some(&998_001));
//! let even = map.snapshot().par_iter().filter(|(n, _)| n % 2 == 0).count();
//! assert_eq!(even, 500);
//! ```

use std::fmt;
use std::hash::{BuildHasher, Hash};

use rayon::iter::plumbing::{Folder, UnindexedConsumer, UnindexedProducer, bridge_unindexed};
use rayon::iter::{FromParallelIterator, IntoParallelIterator, ParallelExtend, ParallelIterator};

use crate::map::SyncMap;
use crate::pinned::Pinned;
use crate::raw::{Clones, Entries, IntoEntries, Split};
use crate::set::{PinnedSet, SyncSet};
use crate::snapshot::Snapshot;

struct Part<I>(I);

impl<I> UnindexedProducer for Part<I>
where
    I: Split + Send,
    I::Item: Send,
{
    type Item = I::Item;

    fn split(mut self) -> (Self, Option<Self>) {
        let other = self.0.split();
        (self, other.map(Part))
    }

    fn fold_with<F: Folder<I::Item>>(self, folder: F) -> F {
        folder.consume_iter(self.0)
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// By reference, under the guard of the calling thread

/// The entries of a pinned map, for several threads: what `par_iter` of a [`Pinned`] returns.
///
/// Promises what [`Pinned::iter`] does. No other thread is pinned for it: the guard of the `Pinned`, which stays borrowed
/// until all have finished, protects what they load. So memory is held back for as long as it takes; with
/// [`ParClones`] it is not.
///
/// ```
/// use rayon::prelude::*;
///
/// let map = readmostly::SyncMap::from([("a", 1), ("b", 2)]);
/// let pinned = map.pin();
/// let entries: readmostly::parallel::ParIter<'_, _, _> = pinned.par_iter();
/// assert_eq!(entries.map(|(_, n)| n).sum::<i32>(), 3);
/// ```
#[must_use = "does nothing before it is asked for items"]
pub struct ParIter<'p, K, V> {
    entries: Entries<'p, K, V>,
}

impl<'p, K, V, S> IntoParallelIterator for &'p Pinned<'_, K, V, S>
where
    K: Hash + Eq + Send + Sync,
    V: Send + Sync,
    S: BuildHasher,
{
    type Item = (&'p K, &'p V);
    type Iter = ParIter<'p, K, V>;

    fn into_par_iter(self) -> ParIter<'p, K, V> {
        ParIter { entries: self.iter().entries }
    }
}

impl<'p, K: Send + Sync, V: Send + Sync> ParallelIterator for ParIter<'p, K, V> {
    type Item = (&'p K, &'p V);

    fn drive_unindexed<C: UnindexedConsumer<Self::Item>>(self, consumer: C) -> C::Result {
        bridge_unindexed(Part(self.entries), consumer)
    }
}

impl<K, V> Clone for ParIter<'_, K, V> {
    fn clone(&self) -> Self {
        ParIter { entries: self.entries.clone() }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for ParIter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.clone()).finish()
    }
}

/// The members of a pinned set, for several threads: what `par_iter` of a [`PinnedSet`] returns. As [`ParIter`].
///
/// ```
/// use rayon::prelude::*;
///
/// let set = readmostly::SyncSet::from([1, 2]);
/// let pinned = set.pin();
/// let members: readmostly::parallel::ParMembers<'_, i32> = pinned.par_iter();
/// assert_eq!(members.sum::<i32>(), 3);
/// ```
#[must_use = "does nothing before it is asked for items"]
pub struct ParMembers<'p, T> {
    entries: ParIter<'p, T, ()>,
}

impl<'p, T, S> IntoParallelIterator for &'p PinnedSet<'_, T, S>
where
    T: Hash + Eq + Send + Sync,
    S: BuildHasher,
{
    type Item = &'p T;
    type Iter = ParMembers<'p, T>;

    fn into_par_iter(self) -> ParMembers<'p, T> {
        ParMembers { entries: self.map.into_par_iter() }
    }
}

impl<'p, T: Send + Sync> ParallelIterator for ParMembers<'p, T> {
    type Item = &'p T;

    fn drive_unindexed<C: UnindexedConsumer<Self::Item>>(self, consumer: C) -> C::Result {
        self.entries.map(|(member, ())| member).drive_unindexed(consumer)
    }
}

impl<T> Clone for ParMembers<'_, T> {
    fn clone(&self) -> Self {
        ParMembers { entries: self.entries.clone() }
    }
}

impl<T: fmt::Debug> fmt::Debug for ParMembers<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.entries.clone().map(|(member, ())| member)).finish()
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Clones, under no guard that lasts

/// Clones of the entries of a snapshot, for several threads: what `par_iter` of a [`Snapshot`] returns.
///
/// Promises what [`Snapshot::for_each`] does. A thread is pinned while it clones the entries of one bucket, at most
/// seven, and not while they are worked on.
///
/// ```
/// use rayon::prelude::*;
///
/// let snapshot = readmostly::SyncMap::from([("a", 1), ("b", 2)]).snapshot();
/// let entries: readmostly::parallel::ParClones<'_, _, _> = snapshot.par_iter();
/// assert_eq!(entries.map(|(_, n)| n).sum::<i32>(), 3);
/// ```
#[must_use = "does nothing before it is asked for items"]
pub struct ParClones<'s, K, V> {
    snapshot: &'s Snapshot<K, V>,
}

impl<'s, K, V> IntoParallelIterator for &'s Snapshot<K, V>
where
    K: Clone + Send + Sync,
    V: Clone + Send + Sync,
{
    type Item = (K, V);
    type Iter = ParClones<'s, K, V>;

    fn into_par_iter(self) -> ParClones<'s, K, V> {
        ParClones { snapshot: self }
    }
}

impl<K, V> ParallelIterator for ParClones<'_, K, V>
where
    K: Clone + Send + Sync,
    V: Clone + Send + Sync,
{
    type Item = (K, V);

    fn drive_unindexed<C: UnindexedConsumer<Self::Item>>(self, consumer: C) -> C::Result {
        bridge_unindexed(Part(Clones::of(self.snapshot.frozen())), consumer)
    }
}

impl<K, V> Clone for ParClones<'_, K, V> {
    fn clone(&self) -> Self {
        ParClones { ..*self }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for ParClones<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ParClones").field(self.snapshot).finish()
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Moved out

/// The entries of a map, owned, for several threads: what `into_par_iter` of a [`SyncMap`] returns.
///
/// Entries that are not asked for are dropped by the threads that come upon them.
///
/// ```
/// use rayon::prelude::*;
///
/// let map = readmostly::SyncMap::from([("a", 1), ("b", 2)]);
/// let entries: readmostly::parallel::IntoParIter<_, _> = map.into_par_iter();
/// assert_eq!(entries.map(|(_, n)| n).sum::<i32>(), 3);
/// ```
#[must_use = "does nothing before it is asked for items"]
pub struct IntoParIter<K, V> {
    entries: IntoEntries<K, V>,
}

/// Moves the entries out.
///
/// # Panics
///
/// If a [`Snapshot`] of the map still exists, since it shares the entries.
impl<K: Send + Sync, V: Send + Sync, S> IntoParallelIterator for SyncMap<K, V, S> {
    type Item = (K, V);
    type Iter = IntoParIter<K, V>;

    fn into_par_iter(self) -> IntoParIter<K, V> {
        IntoParIter { entries: self.into_iter().entries }
    }
}

impl<K: Send + Sync, V: Send + Sync> ParallelIterator for IntoParIter<K, V> {
    type Item = (K, V);

    fn drive_unindexed<C: UnindexedConsumer<Self::Item>>(self, consumer: C) -> C::Result {
        bridge_unindexed(Part(self.entries), consumer)
    }
}

impl<K, V> fmt::Debug for IntoParIter<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoParIter").finish_non_exhaustive()
    }
}

/// The members of a set, owned, for several threads: what `into_par_iter` of a [`SyncSet`] returns.
///
/// ```
/// use rayon::prelude::*;
///
/// let members: readmostly::parallel::IntoParMembers<i32> = readmostly::SyncSet::from([1, 2]).into_par_iter();
/// assert_eq!(members.sum::<i32>(), 3);
/// ```
#[must_use = "does nothing before it is asked for items"]
pub struct IntoParMembers<T> {
    entries: IntoParIter<T, ()>,
}

/// Moves the members out; panics if a [`Snapshot`] of the set still exists.
impl<T: Send + Sync, S> IntoParallelIterator for SyncSet<T, S> {
    type Item = T;
    type Iter = IntoParMembers<T>;

    fn into_par_iter(self) -> IntoParMembers<T> {
        IntoParMembers { entries: self.map.into_par_iter() }
    }
}

impl<T: Send + Sync> ParallelIterator for IntoParMembers<T> {
    type Item = T;

    fn drive_unindexed<C: UnindexedConsumer<T>>(self, consumer: C) -> C::Result {
        self.entries.map(|(member, ())| member).drive_unindexed(consumer)
    }
}

impl<T> fmt::Debug for IntoParMembers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoParMembers").finish_non_exhaustive()
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Collected

/// The items of a parallel iterator, made by many threads, in its order.
fn made_in_parallel<I: IntoParallelIterator>(items: I) -> (usize, impl Iterator<Item = I::Item>) {
    let parts = items.into_par_iter().collect_vec_list();
    (parts.iter().map(Vec::len).sum(), parts.into_iter().flatten())
}

/// Makes the items in parallel and inserts them on the thread that calls, in their order: as with [`Extend`], the last of
/// equal keys wins. To insert in parallel, in any order, use `for_each` with [`SyncMap::insert`].
impl<K, V, S> ParallelExtend<(K, V)> for &SyncMap<K, V, S>
where
    K: Hash + Eq + Send,
    V: Send,
    S: BuildHasher,
{
    fn par_extend<I: IntoParallelIterator<Item = (K, V)>>(&mut self, entries: I) {
        let (_, entries) = made_in_parallel(entries);
        self.extend(entries);
    }
}

/// As `par_extend` of `&SyncMap`.
impl<K, V, S> ParallelExtend<(K, V)> for SyncMap<K, V, S>
where
    K: Hash + Eq + Send,
    V: Send,
    S: BuildHasher,
{
    fn par_extend<I: IntoParallelIterator<Item = (K, V)>>(&mut self, entries: I) {
        (&*self).par_extend(entries);
    }
}

/// As `par_extend` of `&SyncMap`, with copies.
impl<'a, K, V, S> ParallelExtend<(&'a K, &'a V)> for SyncMap<K, V, S>
where
    K: Copy + Hash + Eq + Send + Sync,
    V: Copy + Send + Sync,
    S: BuildHasher,
{
    fn par_extend<I: IntoParallelIterator<Item = (&'a K, &'a V)>>(&mut self, entries: I) {
        self.par_extend(entries.into_par_iter().map(|(key, value)| (*key, *value)));
    }
}

/// As `par_extend`: the last of equal keys wins.
impl<K, V, S> FromParallelIterator<(K, V)> for SyncMap<K, V, S>
where
    K: Hash + Eq + Send,
    V: Send,
    S: BuildHasher + Default,
{
    fn from_par_iter<I: IntoParallelIterator<Item = (K, V)>>(entries: I) -> Self {
        let (capacity, entries) = made_in_parallel(entries);
        let mut map = SyncMap::with_capacity_and_hasher(capacity, S::default());
        map.extend(entries);
        map
    }
}

/// Makes the members in parallel and inserts them on the thread that calls, in their order.
impl<T, S> ParallelExtend<T> for &SyncSet<T, S>
where
    T: Hash + Eq + Send,
    S: BuildHasher,
{
    fn par_extend<I: IntoParallelIterator<Item = T>>(&mut self, members: I) {
        let (_, members) = made_in_parallel(members);
        self.extend(members);
    }
}

/// As `par_extend` of `&SyncSet`.
impl<T, S> ParallelExtend<T> for SyncSet<T, S>
where
    T: Hash + Eq + Send,
    S: BuildHasher,
{
    fn par_extend<I: IntoParallelIterator<Item = T>>(&mut self, members: I) {
        (&*self).par_extend(members);
    }
}

/// As `par_extend` of `&SyncSet`, with copies.
impl<'a, T, S> ParallelExtend<&'a T> for SyncSet<T, S>
where
    T: Copy + Hash + Eq + Send + Sync + 'a,
    S: BuildHasher,
{
    fn par_extend<I: IntoParallelIterator<Item = &'a T>>(&mut self, members: I) {
        self.par_extend(members.into_par_iter().map(|member| *member));
    }
}

/// As `par_extend`.
impl<T, S> FromParallelIterator<T> for SyncSet<T, S>
where
    T: Hash + Eq + Send,
    S: BuildHasher + Default,
{
    fn from_par_iter<I: IntoParallelIterator<Item = T>>(members: I) -> Self {
        let (capacity, members) = made_in_parallel(members);
        let mut set = SyncSet::with_capacity_and_hasher(capacity, S::default());
        set.extend(members);
        set
    }
}
