//! The set.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::iter::FusedIterator;

use equivalent::Equivalent;

use crate::budget::Budget;
use crate::guard::Ref;
use crate::hasher::DefaultHashBuilder;
use crate::impls::IntoIter;
use crate::map::SyncMap;
use crate::pinned::{Keys, Pinned};
use crate::raw::Cursor;
use crate::snapshot::Snapshot;
use crate::stats::Stats;
use crate::sync::const_fn;

/// A concurrent hash set for members that are looked up far more often than they change: a [`SyncMap`] without values.
///
/// What holds for the map holds here: costs, consistency, panics.
///
/// ```
/// use readmostly::SyncSet;
///
/// static ENABLED: SyncSet<&str> = SyncSet::new();
///
/// ENABLED.insert("dark mode");
/// assert!(ENABLED.contains("dark mode"));
/// ```
pub struct SyncSet<T, S = DefaultHashBuilder> {
    pub(crate) map: SyncMap<T, (), S>,
}

impl<T> SyncSet<T> {
    const_fn! {
        /// An empty set, which has allocated nothing.
        ///
        /// ```
        /// static SET: readmostly::SyncSet<u32> = readmostly::SyncSet::new();
        /// assert!(SET.is_empty());
        /// ```
        #[must_use]
        pub const fn new() -> Self {
            SyncSet { map: SyncMap::new() }
        }
    }

    /// An empty set that takes `capacity` members before it grows. See [`SyncMap::with_capacity`].
    ///
    /// ```
    /// assert!(readmostly::SyncSet::<u32>::with_capacity(100).capacity() >= 100);
    /// ```
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        SyncSet { map: SyncMap::with_capacity(capacity) }
    }
}

impl<T, S> SyncSet<T, S> {
    const_fn! {
        /// An empty set that uses the given hasher. See [`SyncMap::with_hasher`].
        ///
        /// ```
        /// let set = readmostly::SyncSet::with_hasher(std::hash::RandomState::new());
        /// set.insert(1);
        /// ```
        #[must_use]
        pub const fn with_hasher(hash_builder: S) -> Self {
            SyncSet { map: SyncMap::with_hasher(hash_builder) }
        }
    }

    /// An empty set that takes `capacity` members before it grows and uses the given hasher.
    ///
    /// ```
    /// let set = readmostly::SyncSet::with_capacity_and_hasher(100, std::hash::RandomState::new());
    /// set.insert(1);
    /// ```
    #[must_use]
    pub fn with_capacity_and_hasher(capacity: usize, hash_builder: S) -> Self {
        SyncSet { map: SyncMap::with_capacity_and_hasher(capacity, hash_builder) }
    }

    /// The set as a map without values, for what is offered there alone.
    ///
    /// ```
    /// let set = readmostly::SyncSet::from([1, 2]);
    /// set.as_map().promote();
    /// ```
    #[must_use]
    pub fn as_map(&self) -> &SyncMap<T, (), S> {
        &self.map
    }

    /// Pins the thread for several operations. See [`SyncMap::pin`].
    ///
    /// ```
    /// let set = readmostly::SyncSet::from([1, 2]);
    /// let pinned = set.pin();
    /// assert!(pinned.contains(&1) && pinned.contains(&2));
    /// ```
    #[inline]
    pub fn pin(&self) -> PinnedSet<'_, T, S> {
        PinnedSet { map: self.map.pin() }
    }

    /// The number of members; exact when nothing else uses the set. See [`SyncMap::len`].
    ///
    /// ```
    /// assert_eq!(readmostly::SyncSet::from([1, 2]).len(), 2);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is no member; see [`SyncSet::len`].
    ///
    /// ```
    /// assert!(readmostly::SyncSet::<u32>::new().is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// How many members the current table takes before the set grows. See [`SyncMap::capacity`].
    ///
    /// ```
    /// assert_eq!(readmostly::SyncSet::<u32>::new().capacity(), 0);
    /// ```
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.map.capacity()
    }

    /// Removes all members. See [`SyncMap::clear`].
    ///
    /// ```
    /// let set = readmostly::SyncSet::from([1, 2]);
    /// set.clear();
    /// assert!(set.is_empty());
    /// ```
    pub fn clear(&self) {
        self.map.clear();
    }

    /// Drops what was removed, as far as guards of other threads allow. See [`SyncMap::flush`].
    ///
    /// ```
    /// readmostly::SyncSet::from([1, 2]).flush();
    /// ```
    pub fn flush(&self) {
        self.map.flush();
    }

    /// Figures about what the set holds and has done. See [`SyncMap::stats`].
    ///
    /// ```
    /// assert_eq!(readmostly::SyncSet::from([1, 2]).stats().tombstones, 0);
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.map.stats()
    }

    /// The hasher.
    ///
    /// ```
    /// let _hasher: &readmostly::DefaultHashBuilder = readmostly::SyncSet::<u32>::new().hasher();
    /// ```
    #[must_use]
    pub fn hasher(&self) -> &S {
        self.map.hasher()
    }
}

impl<T, S> SyncSet<T, S>
where
    T: Hash + Eq,
    S: BuildHasher,
{
    /// Adds a member; returns whether it was new. The member that is there stays. See [`SyncMap::try_insert`].
    ///
    /// ```
    /// let set = readmostly::SyncSet::new();
    /// assert!(set.insert(1));
    /// assert!(!set.insert(1));
    /// ```
    pub fn insert(&self, member: T) -> bool {
        self.map.try_insert(member, ()).is_ok()
    }

    /// Whether `member` is in the set. Never locks. See [`SyncMap::contains_key`].
    ///
    /// ```
    /// assert!(readmostly::SyncSet::from(["a"]).contains("a"));
    /// ```
    #[inline]
    pub fn contains<Q>(&self, member: &Q) -> bool
    where
        Q: ?Sized + Hash + Equivalent<T>,
    {
        self.map.contains_key(member)
    }

    /// The member of the set that equals `member`, as its entry's key. See [`SyncMap::get`].
    ///
    /// ```
    /// let set = readmostly::SyncSet::from([String::from("a")]);
    /// assert_eq!(set.get("a").unwrap().key(), "a");
    /// ```
    #[inline]
    pub fn get<Q>(&self, member: &Q) -> Option<Ref<'_, T, ()>>
    where
        Q: ?Sized + Hash + Equivalent<T>,
    {
        self.map.get(member)
    }

    /// Removes a member; returns whether it was there. See [`SyncMap::remove`].
    ///
    /// ```
    /// let set = readmostly::SyncSet::from([1]);
    /// assert!(set.remove(&1));
    /// assert!(!set.remove(&1));
    /// ```
    pub fn remove<Q>(&self, member: &Q) -> bool
    where
        Q: ?Sized + Hash + Equivalent<T>,
    {
        self.map.remove(member).is_some()
    }

    /// Removes all members that `f` returns false for. See [`SyncMap::retain`].
    ///
    /// ```
    /// let set = readmostly::SyncSet::from([1, 2, 3]);
    /// set.retain(|n| n % 2 == 1);
    /// assert_eq!(set.len(), 2);
    /// ```
    pub fn retain<F>(&self, mut f: F)
    where
        F: FnMut(&T) -> bool,
    {
        self.map.retain(|member, ()| f(member));
    }

    /// Calls `f` with each member until it returns false. See [`SyncMap::range`] for what is guaranteed.
    ///
    /// ```
    /// let mut sum = 0;
    /// readmostly::SyncSet::from([1, 2]).range(|n| {
    ///     sum += n;
    ///     true
    /// });
    /// assert_eq!(sum, 3);
    /// ```
    pub fn range<F>(&self, mut f: F)
    where
        F: FnMut(&T) -> bool,
    {
        self.map.range(|member, ()| f(member));
    }

    /// Calls `f` with members from `from` on until the budget is used up; returns where to go on, or `None` when all
    /// have been visited. See [`SyncMap::range_until`] for what is guaranteed.
    ///
    /// ```
    /// use readmostly::{Cursor, SyncSet};
    ///
    /// let set: SyncSet<u32> = (0..1000).collect();
    /// let (mut next, mut sum) = (Some(Cursor::default()), 0);
    /// while let Some(cursor) = next {
    ///     next = set.range_until(100, cursor, |n| sum += n);
    /// }
    /// assert_eq!(sum, 499_500);
    /// ```
    #[must_use = "says where to go on"]
    pub fn range_until<F>(&self, budget: impl Into<Budget>, from: Cursor, mut f: F) -> Option<Cursor>
    where
        F: FnMut(&T),
    {
        self.map.range_until(budget, from, |member, ()| f(member))
    }

    /// The members of this moment, as the keys of a snapshot. See [`SyncMap::snapshot`].
    ///
    /// ```
    /// let snapshot = readmostly::SyncSet::from([1]).snapshot();
    /// assert_eq!(snapshot.to_vec(), [(1, ())]);
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> Snapshot<T, ()> {
        self.map.snapshot()
    }
}

/// A [`SyncSet`] with the thread pinned: made by [`SyncSet::pin`].
///
/// ```
/// let set = readmostly::SyncSet::from([1]);
/// let pinned: readmostly::PinnedSet<'_, u32> = set.pin();
/// assert_eq!(pinned.get(&1), Some(&1));
/// ```
pub struct PinnedSet<'m, T, S = DefaultHashBuilder> {
    pub(crate) map: Pinned<'m, T, (), S>,
}

impl<T, S> PinnedSet<'_, T, S> {
    /// See [`Pinned::repin`].
    ///
    /// ```
    /// readmostly::SyncSet::from([1]).pin().repin();
    /// ```
    #[inline]
    pub fn repin(&mut self) {
        self.map.repin();
    }

    /// See [`SyncSet::len`].
    ///
    /// ```
    /// assert_eq!(readmostly::SyncSet::from([1, 2]).pin().len(), 2);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// See [`SyncSet::is_empty`].
    ///
    /// ```
    /// assert!(readmostly::SyncSet::<u32>::new().pin().is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}

impl<T, S> PinnedSet<'_, T, S>
where
    T: Hash + Eq,
    S: BuildHasher,
{
    /// See [`SyncSet::insert`].
    ///
    /// ```
    /// assert!(readmostly::SyncSet::new().pin().insert(1));
    /// ```
    pub fn insert(&self, member: T) -> bool {
        self.map.try_insert(member, ()).is_ok()
    }

    /// See [`SyncSet::contains`].
    ///
    /// ```
    /// assert!(readmostly::SyncSet::from([1]).pin().contains(&1));
    /// ```
    #[inline]
    pub fn contains<Q>(&self, member: &Q) -> bool
    where
        Q: ?Sized + Hash + Equivalent<T>,
    {
        self.map.contains_key(member)
    }

    /// The member of the set that equals `member`.
    ///
    /// ```
    /// let set = readmostly::SyncSet::from([String::from("a")]);
    /// assert_eq!(set.pin().get("a"), Some(&String::from("a")));
    /// ```
    #[inline]
    pub fn get<Q>(&self, member: &Q) -> Option<&T>
    where
        Q: ?Sized + Hash + Equivalent<T>,
    {
        self.map.get_key_value(member).map(|(member, ())| member)
    }

    /// See [`SyncSet::remove`].
    ///
    /// ```
    /// assert!(readmostly::SyncSet::from([1]).pin().remove(&1));
    /// ```
    pub fn remove<Q>(&self, member: &Q) -> bool
    where
        Q: ?Sized + Hash + Equivalent<T>,
    {
        self.map.remove(member).is_some()
    }

    /// The members. See [`Pinned::iter`] for what is guaranteed.
    ///
    /// ```
    /// assert_eq!(readmostly::SyncSet::from([1, 2]).pin().iter().sum::<i32>(), 3);
    /// ```
    pub fn iter(&self) -> Keys<'_, T, ()> {
        self.map.keys()
    }
}

impl<'p, T, S> IntoIterator for &'p PinnedSet<'_, T, S>
where
    T: Hash + Eq,
    S: BuildHasher,
{
    type Item = &'p T;
    type IntoIter = Keys<'p, T, ()>;

    fn into_iter(self) -> Keys<'p, T, ()> {
        self.iter()
    }
}

impl<T, S> fmt::Debug for PinnedSet<'_, T, S>
where
    T: Hash + Eq + fmt::Debug,
    S: BuildHasher,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<T, S: Default> Default for SyncSet<T, S> {
    fn default() -> Self {
        SyncSet { map: SyncMap::default() }
    }
}

impl<T, S> fmt::Debug for SyncSet<T, S>
where
    T: Hash + Eq + fmt::Debug,
    S: BuildHasher,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pin().fmt(f)
    }
}

impl<T, S> Clone for SyncSet<T, S>
where
    T: Hash + Eq + Clone,
    S: BuildHasher + Clone,
{
    fn clone(&self) -> Self {
        SyncSet { map: self.map.clone() }
    }
}

impl<T, S, S2> PartialEq<SyncSet<T, S2>> for SyncSet<T, S>
where
    T: Hash + Eq,
    S: BuildHasher,
    S2: BuildHasher,
{
    fn eq(&self, other: &SyncSet<T, S2>) -> bool {
        self.map == other.map
    }
}

impl<T, S> Eq for SyncSet<T, S>
where
    T: Hash + Eq,
    S: BuildHasher,
{
}

impl<T, S> Extend<T> for &SyncSet<T, S>
where
    T: Hash + Eq,
    S: BuildHasher,
{
    fn extend<I: IntoIterator<Item = T>>(&mut self, members: I) {
        for member in members {
            self.insert(member);
        }
    }
}

impl<T, S> Extend<T> for SyncSet<T, S>
where
    T: Hash + Eq,
    S: BuildHasher,
{
    fn extend<I: IntoIterator<Item = T>>(&mut self, members: I) {
        (&*self).extend(members);
    }
}

impl<'a, T, S> Extend<&'a T> for SyncSet<T, S>
where
    T: Hash + Eq + Copy + 'a,
    S: BuildHasher,
{
    fn extend<I: IntoIterator<Item = &'a T>>(&mut self, members: I) {
        (&*self).extend(members.into_iter().copied());
    }
}

impl<T, S> FromIterator<T> for SyncSet<T, S>
where
    T: Hash + Eq,
    S: BuildHasher + Default,
{
    fn from_iter<I: IntoIterator<Item = T>>(members: I) -> Self {
        let members = members.into_iter();
        let mut set = SyncSet::with_capacity_and_hasher(members.size_hint().0, S::default());
        set.extend(members);
        set
    }
}

impl<T: Hash + Eq, const N: usize> From<[T; N]> for SyncSet<T> {
    fn from(members: [T; N]) -> Self {
        members.into_iter().collect()
    }
}

/// Moves the members out; panics if a [`Snapshot`] of the set still exists.
impl<T, S> IntoIterator for SyncSet<T, S> {
    type Item = T;
    type IntoIter = IntoMembers<T>;

    fn into_iter(self) -> IntoMembers<T> {
        IntoMembers { entries: self.map.into_iter() }
    }
}

/// The members of a set, owned: what [`SyncSet`]'s `into_iter` returns.
///
/// ```
/// let mut members: readmostly::IntoMembers<u32> = readmostly::SyncSet::from([1]).into_iter();
/// assert_eq!(members.next(), Some(1));
/// ```
pub struct IntoMembers<T> {
    entries: IntoIter<T, ()>,
}

impl<T> Iterator for IntoMembers<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.entries.next().map(|(member, ())| member)
    }
}

impl<T> FusedIterator for IntoMembers<T> {}

impl<T> fmt::Debug for IntoMembers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoMembers").finish_non_exhaustive()
    }
}
