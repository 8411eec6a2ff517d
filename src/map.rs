//! The map.

use std::convert::Infallible;
use std::hash::{BuildHasher, Hash};

use equivalent::Equivalent;

use crate::budget::Budget;
use crate::guard::{Compute, OccupiedError, Ref};
use crate::hasher::DefaultHashBuilder;
use crate::pinned::Pinned;
use crate::raw::{Computed, Cursor, Occupied, Operation, RawMap};
use crate::reclaim::pin;
use crate::snapshot::Snapshot;
use crate::stats::Stats;
use crate::sync::const_fn;

/// A concurrent hash map for data that is read far more often than it is written.
///
/// Mirrors Go's `sync.Map`: lookups go to a *read* table that no lock guards; new keys go through a mutex; while the
/// map grows they collect in a *dirty* table, which is *promoted* to be the read table when everything has been copied
/// there. Unlike Go's, the copy is done a few slots at a time, and the dirty table is readable without the lock.
///
/// All methods take `&self`. See the [crate documentation](crate#consistency) for what concurrent operations see of
/// each other.
///
/// # Costs
///
/// | | locks | work |
/// |---|---|---|
/// | `get`, `contains_key` | never | O(1), two cache lines; a third or fourth while the map is amended |
/// | `insert`, `update`, ... of a known key, `remove` | never | O(1), one allocation for the value |
/// | the same for a new key | the writer lock, briefly | O(1): one allocation, at most 14 slots copied |
/// | `range`, `snapshot`, `pin().iter()` | briefly, to begin | O(entries); completes a copy that is under way |
/// | `range_until` | never | O(entries visited + buckets passed) |
/// | `promote`, `compact`, `reserve` | briefly, over and over | O(entries) |
/// | `clear` | briefly | O(entries) |
///
/// Single-key operations never copy or free more than a small constant number of entries, whatever the size of the map.
/// Growing allocates the next table in one piece, outside of the lock.
///
/// # Looking keys up
///
/// Whatever a lookup is done by need not be the key's type: anything with the same hash that is
/// [`Equivalent`](equivalent::Equivalent) to it will do. That is what a key borrows as, `str` for `String`, and any type of
/// your own, so that no `String` has to be made to look up a composite key:
///
/// ```
/// use equivalent::Equivalent;
/// use readmostly::SyncMap;
///
/// /// Derived, its hash is that of a tuple of the same fields.
/// #[derive(Hash)]
/// struct Address<'a>(&'a str, u32);
///
/// impl Equivalent<(String, u32)> for Address<'_> {
///     fn equivalent(&self, (host, port): &(String, u32)) -> bool {
///         self.0 == host && self.1 == *port
///     }
/// }
///
/// let connections = SyncMap::from([((String::from("localhost"), 80), "open")]);
/// assert_eq!(connections.get_cloned(&Address("localhost", 80)), Some("open"));
/// assert!(connections.remove(&Address("localhost", 443)).is_none());
/// ```
///
/// # Why there is no entry API
///
/// An entry is a place that nobody else changes while it is held. It would have to hold the writer lock, for known keys
/// too, and a holder who comes back to the map, or waits for somebody who does, would wait forever. So an operation is told
/// beforehand what to do: `entry(k).or_insert_with(f)` is [`get_or_insert_with`](Self::get_or_insert_with),
/// `entry(k).and_modify(f).or_insert_with(g)` is [`update_or_insert_with`](Self::update_or_insert_with), one that removes is
/// [`remove_if`](Self::remove_if), and what is none of these is [`compute`](Self::compute).
///
/// # Panics
///
/// Growing beyond the address space panics with "capacity overflow" before anything is changed. A panic in `Hash`,
/// `Eq`, `Drop` or a closure passes through to the caller and leaves the map usable. `Hash` and `Eq` may be called with
/// the writer lock held, and so must not use the map they are called for; closures and `Drop` may.
///
/// # Examples
///
/// ```
/// use readmostly::SyncMap;
///
/// static CACHE: SyncMap<String, u32> = SyncMap::new();
///
/// std::thread::scope(|scope| {
///     for n in 0..4 {
///         scope.spawn(move || {
///             CACHE.insert(format!("key {n}"), n);
///         });
///     }
/// });
/// assert_eq!(CACHE.len(), 4);
/// assert_eq!(CACHE.get("key 3").as_deref(), Some(&3));
/// ```
#[doc(alias = "sync.Map")]
pub struct SyncMap<K, V, S = DefaultHashBuilder> {
    raw: RawMap<K, V, S>,
}

impl<K, V> SyncMap<K, V> {
    const_fn! {
        /// An empty map, which has allocated nothing.
        ///
        /// ```
        /// use readmostly::SyncMap;
        ///
        /// static SETTINGS: SyncMap<&str, String> = SyncMap::new();
        /// assert!(SETTINGS.is_empty());
        /// ```
        #[must_use]
        pub const fn new() -> Self {
            Self::with_hasher(DefaultHashBuilder::new())
        }
    }

    /// An empty map that takes `capacity` entries before it grows.
    ///
    /// # Panics
    ///
    /// If the memory needed exceeds the address space.
    ///
    /// ```
    /// let map: readmostly::SyncMap<u32, u32> = readmostly::SyncMap::with_capacity(1000);
    /// assert!(map.capacity() >= 1000);
    /// ```
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self::with_capacity_and_hasher(capacity, DefaultHashBuilder::new())
    }
}

impl<K, V, S> SyncMap<K, V, S> {
    const_fn! {
        /// An empty map that uses the given hasher.
        ///
        /// The low bits of a hash pick the place of a key and the top byte tells keys of one place apart, as in `std`'s
        /// map.
        ///
        /// ```
        /// use std::hash::RandomState;
        ///
        /// let map = readmostly::SyncMap::with_hasher(RandomState::new());
        /// map.insert("chosen by an adversary", 1);
        /// ```
        #[must_use]
        pub const fn with_hasher(hash_builder: S) -> Self {
            SyncMap { raw: RawMap::new(hash_builder) }
        }
    }

    /// An empty map that takes `capacity` entries before it grows and uses the given hasher.
    ///
    /// # Panics
    ///
    /// If the memory needed exceeds the address space.
    ///
    /// ```
    /// use std::hash::RandomState;
    ///
    /// let map = readmostly::SyncMap::with_capacity_and_hasher(100, RandomState::new());
    /// map.insert(1, 2);
    /// ```
    #[must_use]
    pub fn with_capacity_and_hasher(capacity: usize, hash_builder: S) -> Self {
        SyncMap { raw: RawMap::with_capacity(capacity, hash_builder) }
    }

    pub(crate) fn raw(&self) -> &RawMap<K, V, S> {
        &self.raw
    }

    pub(crate) fn into_raw(self) -> RawMap<K, V, S> {
        self.raw
    }

    /// Pins the thread for several operations.
    ///
    /// The operations of [`Pinned`] return plain references that live as long as it is borrowed, and save the cost of a
    /// pin each, about a fifth of a lookup in a small map. While it exists, memory retired by any map of the process
    /// cannot be freed: keep it for a batch of operations, or call [`Pinned::repin`] now and then.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("a", 1), ("b", 2)]);
    /// let pinned = map.pin();
    /// let (a, b) = (pinned.get("a"), pinned.get("b"));
    /// assert_eq!((a, b), (Some(&1), Some(&2)));
    /// ```
    #[inline]
    pub fn pin(&self) -> Pinned<'_, K, V, S> {
        Pinned::new(self, pin())
    }

    /// The number of entries; exact when nothing else uses the map.
    ///
    /// O(1) in the size of the map: a sum of a few counters. Operations that run meanwhile may or may not be counted.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([(1, 'a'), (2, 'b')]);
    /// map.remove(&1);
    /// assert_eq!(map.len(), 1);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether there is no entry; see [`SyncMap::len`].
    ///
    /// ```
    /// assert!(readmostly::SyncMap::<u32, u32>::new().is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries the current table takes before the map grows; removed entries count until they are compacted.
    ///
    /// ```
    /// assert_eq!(readmostly::SyncMap::<u32, u32>::new().capacity(), 0);
    /// ```
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.raw.capacity()
    }

    /// Removes all entries.
    ///
    /// O(entries), most of it without the lock. An operation that runs at the same time takes effect before the clear
    /// or after it. The entries are retired: they are dropped a few at a time by later operations, or by
    /// [`SyncMap::flush`].
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([(1, 'a')]);
    /// map.clear();
    /// assert!(map.is_empty());
    /// ```
    #[doc(alias = "Clear")]
    pub fn clear(&self) {
        self.raw.clear();
    }

    /// Drops what was removed or replaced, as far as guards of other threads allow.
    ///
    /// Nobody has to call this: each insert and remove drops a few retired entries that have become free. It is for
    /// moments at which memory, or the drop itself, must not wait for the next write. A [`Ref`] or [`Pinned`] that
    /// the calling thread holds protects what it might refer to here too.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// let value = Arc::new(());
    /// let map = readmostly::SyncMap::from([("k", Arc::clone(&value))]);
    /// map.remove("k");
    /// map.flush();
    /// assert_eq!(Arc::strong_count(&value), 1);
    /// ```
    pub fn flush(&self) {
        self.raw.flush();
    }

    /// Figures about what the map holds and has done.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([(1, 'a')]);
    /// assert_eq!(map.stats().tombstones, 0);
    /// map.remove(&1);
    /// assert_eq!(map.stats().tombstones, 1);
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.raw.meter().into()
    }

    /// The hasher.
    ///
    /// ```
    /// use std::hash::BuildHasher;
    ///
    /// let map = readmostly::SyncMap::<&str, u32>::new();
    /// let _hash = map.hasher().hash_one("key");
    /// ```
    #[must_use]
    pub fn hasher(&self) -> &S {
        self.raw.hasher()
    }

    /// An entry that is not in the map, for the caller alone.
    ///
    /// For what wraps a map and returns its entries, but now and then something that is not to be kept. Nobody finds it,
    /// and it replaces nothing. O(1), one allocation, no lock. It is dropped like a removed entry: some time after the
    /// last `Ref` to it.
    ///
    /// ```
    /// use readmostly::{Ref, SyncMap};
    ///
    /// fn length<'a>(lengths: &'a SyncMap<String, usize>, word: &str) -> Ref<'a, String, usize> {
    ///     if word.len() > 20 {
    ///         return lengths.detached(word.to_owned(), word.len());
    ///     }
    ///     lengths.get_or_insert_with(word.to_owned(), || word.len())
    /// }
    ///
    /// let lengths = SyncMap::new();
    /// assert_eq!((*length(&lengths, "short"), *length(&lengths, "longer than is worth keeping")), (5, 28));
    /// assert_eq!(lengths.len(), 1);
    /// ```
    pub fn detached(&self, key: K, value: V) -> Ref<'_, K, V> {
        Ref::new(self.raw.detached(key, value, pin()))
    }
}

impl<K, V, S> SyncMap<K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    /// The entry of a key, if it has one.
    ///
    /// Never locks and never waits, whether the key is there or not.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([(String::from("a"), 1)]);
    /// assert_eq!(map.get("a").map(|entry| *entry), Some(1));
    /// assert!(map.get("b").is_none());
    /// ```
    #[doc(alias = "Load")]
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<Ref<'_, K, V>>
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        self.raw.get(key, pin).map(Ref::new)
    }

    /// A clone of the value of a key, if it has one.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("a", String::from("x"))]);
    /// assert_eq!(map.get_cloned("a"), Some(String::from("x")));
    /// ```
    #[inline]
    pub fn get_cloned<Q>(&self, key: &Q) -> Option<V>
    where
        Q: ?Sized + Hash + Equivalent<K>,
        V: Clone,
    {
        self.get(key).map(|entry| V::clone(&entry))
    }

    /// Whether a key has a value.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("a", 1)]);
    /// assert!(map.contains_key("a") && !map.contains_key("b"));
    /// ```
    #[inline]
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        self.raw.get(key, pin).is_some()
    }

    /// Maps a key to a value; returns what it was mapped to before.
    ///
    /// If the key is known, nothing is locked and the key in the map stays. A new key takes the writer lock for a
    /// moment.
    ///
    /// ```
    /// let map = readmostly::SyncMap::new();
    /// assert!(map.insert("a", 1).is_none());
    /// assert_eq!(*map.insert("a", 2).unwrap(), 1);
    /// ```
    #[doc(alias = "Store")]
    #[doc(alias = "Swap")]
    #[inline]
    pub fn insert(&self, key: K, value: V) -> Option<Ref<'_, K, V>> {
        self.raw.insert(key, value, pin()).map(Ref::new)
    }

    /// Maps a key to a value unless it has one.
    ///
    /// # Errors
    ///
    /// If the key has a value. The error has the entry, and gives key and value back.
    ///
    /// ```
    /// let map = readmostly::SyncMap::new();
    /// assert_eq!(*map.try_insert("a", 1).unwrap(), 1);
    /// assert_eq!(*map.try_insert("a", 2).unwrap_err().current, 1);
    /// ```
    #[doc(alias = "LoadOrStore")]
    pub fn try_insert(&self, key: K, value: V) -> Result<Ref<'_, K, V>, OccupiedError<'_, K, V>> {
        match self.raw.try_insert(key, value, pin()) {
            Ok(held) => Ok(Ref::new(held)),
            Err(Occupied { current, key, unused }) => {
                Err(OccupiedError { current: Ref::new(current), key, value: unused })
            }
        }
    }

    /// The entry of a key, after mapping it to `value` if it had none.
    ///
    /// ```
    /// let map = readmostly::SyncMap::new();
    /// assert_eq!(*map.get_or_insert("a", 1), 1);
    /// assert_eq!(*map.get_or_insert("a", 2), 1);
    /// ```
    #[doc(alias = "LoadOrStore")]
    pub fn get_or_insert(&self, key: K, value: V) -> Ref<'_, K, V> {
        self.get_or_insert_with(key, || value)
    }

    /// The entry of a key, after mapping it to what `f` returns if it had none.
    ///
    /// `f` is not called if the key has a value, and at most once otherwise. It runs without a lock, but pinned: while
    /// it runs, memory retired by any map cannot be freed. To make values slowly, look first, make the value, then
    /// [`SyncMap::try_insert`] it. Threads that find the key absent at the same time may each call theirs; one
    /// result is kept, and all return that.
    ///
    /// ```
    /// let map = readmostly::SyncMap::new();
    /// assert_eq!(*map.get_or_insert_with("a", || 1), 1);
    /// assert_eq!(*map.get_or_insert_with("a", || unreachable!()), 1);
    /// ```
    pub fn get_or_insert_with<F>(&self, key: K, f: F) -> Ref<'_, K, V>
    where
        F: FnOnce() -> V,
    {
        match self.get_or_try_insert_with(key, || Ok::<V, Infallible>(f())) {
            Ok(entry) => entry,
            Err(never) => match never {},
        }
    }

    /// As [`SyncMap::get_or_insert_with`], with an `f` that may fail.
    ///
    /// # Errors
    ///
    /// What `f` returns; the map is unchanged then.
    ///
    /// ```
    /// let map = readmostly::SyncMap::new();
    /// assert!(map.get_or_try_insert_with("a", || "x".parse::<u32>()).is_err());
    /// assert_eq!(*map.get_or_try_insert_with("a", || "1".parse::<u32>()).unwrap(), 1);
    /// ```
    pub fn get_or_try_insert_with<E>(&self, key: K, f: impl FnOnce() -> Result<V, E>) -> Result<Ref<'_, K, V>, E> {
        match self.raw.try_insert_with(key, f, pin())? {
            Ok(new) => Ok(Ref::new(new)),
            Err(Occupied { current, key, unused }) => {
                // Before the `Ref` is made, which must not be what a panic of theirs leaks: see `raw::ops`.
                drop((key, unused));
                Ok(Ref::new(current))
            }
        }
    }

    /// Replaces the value of a key by what `f` makes of it; returns the new entry, or `None` if the key has no value.
    ///
    /// Atomic: the value replaced is the one that `f` saw. If another thread changes it meanwhile, `f` runs again on
    /// the value found then, so it must have no effects of its own. It runs without a lock.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("hits", 1)]);
    /// assert_eq!(map.update("hits", |n| n + 1).as_deref(), Some(&2));
    /// assert!(map.update("misses", |n| n + 1).is_none());
    /// ```
    pub fn update<Q, F>(&self, key: &Q, mut f: F) -> Option<Ref<'_, K, V>>
    where
        Q: ?Sized + Hash + Equivalent<K>,
        F: FnMut(&V) -> V,
    {
        let mut insert = |_: &K, value: &V| Operation::<V, Infallible>::Insert(f(value));
        let end = self.raw.compute_present(key, &mut insert, pin());
        drop(f);
        match end {
            Computed::Updated { new, .. } => Some(Ref::new(new)),
            _ => None,
        }
    }

    /// Replaces the value of a key by what `update` makes of it, or inserts what `insert` makes; returns the new entry.
    ///
    /// Atomic: the value replaced is the one that `update` saw, and a value is inserted only while there is none. If
    /// another thread changes that meanwhile, one of both runs again on what is found then, so they must have no effects
    /// of their own. They run without a lock.
    ///
    /// ```
    /// let map = readmostly::SyncMap::new();
    /// for word in ["to", "be", "or", "not", "to", "be"] {
    ///     map.update_or_insert_with(word, |n| n + 1, || 1);
    /// }
    /// assert_eq!((map.get_cloned("be"), map.get_cloned("or")), (Some(2), Some(1)));
    /// ```
    pub fn update_or_insert_with<U, F>(&self, key: K, update: U, insert: F) -> Ref<'_, K, V>
    where
        U: FnMut(&V) -> V,
        F: FnMut() -> V,
    {
        Ref::new(self.raw.update_or_insert_with(key, update, insert, pin()))
    }

    /// Shows `f` what a key maps to, and inserts, replaces, removes or leaves it as `f` says.
    ///
    /// Atomic: what is done is done to the value that `f` saw. If another thread changes it meanwhile, `f` runs again
    /// on what is found then, so it must have no effects of its own. It runs without a lock.
    ///
    /// ```
    /// use readmostly::{Compute, Operation, SyncMap};
    ///
    /// let map = SyncMap::new();
    /// let count = |n: Option<&u32>| Operation::<u32, ()>::Insert(n.map_or(1, |n| n + 1));
    /// assert!(matches!(map.compute::<()>("a", count), Compute::Inserted(n) if *n == 1));
    /// assert!(matches!(map.compute("a", count), Compute::Updated { new, .. } if *new == 2));
    /// ```
    pub fn compute<T>(&self, key: K, mut f: impl FnMut(Option<&V>) -> Operation<V, T>) -> Compute<'_, K, V, T> {
        let end = self.raw.compute(key, &mut f, pin());
        drop(f);
        match end {
            Computed::Inserted(new) => Compute::Inserted(Ref::new(new)),
            Computed::Updated { old, new } => Compute::Updated { old: Ref::new(old), new: Ref::new(new) },
            Computed::Removed(old) => Compute::Removed(Ref::new(old)),
            Computed::Aborted(result) => Compute::Aborted(result),
            Computed::Absent => Compute::Absent,
        }
    }

    /// Replaces the value of a key if it equals `current`; returns the entry as it was. Never inserts.
    ///
    /// # Errors
    ///
    /// If the key has no value or another one. `new` comes back.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("state", "idle")]);
    /// assert_eq!(*map.compare_and_swap("state", &"idle", "busy").unwrap(), "idle");
    /// assert_eq!(map.compare_and_swap("state", &"idle", "done").unwrap_err(), "done");
    /// ```
    #[doc(alias = "CompareAndSwap")]
    pub fn compare_and_swap<Q>(&self, key: &Q, current: &V, new: V) -> Result<Ref<'_, K, V>, V>
    where
        Q: ?Sized + Hash + Equivalent<K>,
        V: PartialEq,
    {
        self.raw.compare_and_swap(key, current, new, pin()).map(Ref::new)
    }

    /// Removes a key if its value equals `current`; returns the entry removed.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("lease", 7)]);
    /// assert!(map.compare_and_remove("lease", &8).is_none());
    /// assert!(map.compare_and_remove("lease", &7).is_some());
    /// ```
    #[doc(alias = "CompareAndDelete")]
    pub fn compare_and_remove<Q>(&self, key: &Q, current: &V) -> Option<Ref<'_, K, V>>
    where
        Q: ?Sized + Hash + Equivalent<K>,
        V: PartialEq,
    {
        self.remove_if(key, |_, value| value == current)
    }

    /// Removes a key; returns the entry removed.
    ///
    /// Takes no lock, unless there is compacting to be done and the lock is free. The key itself stays in the table
    /// until a compaction; inserting it again before that is as cheap as an overwrite.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("a", 1)]);
    /// assert_eq!(*map.remove("a").unwrap(), 1);
    /// assert!(map.remove("a").is_none());
    /// ```
    #[doc(alias = "Delete")]
    #[doc(alias = "LoadAndDelete")]
    pub fn remove<Q>(&self, key: &Q) -> Option<Ref<'_, K, V>>
    where
        Q: ?Sized + Hash + Equivalent<K>,
    {
        self.remove_if(key, |_, _| true)
    }

    /// Removes a key if `f` agrees; returns the entry removed.
    ///
    /// Atomic: the value removed is the one that `f` agreed to, so an entry that was refreshed meanwhile is not lost.
    /// If another thread changes the value, `f` is asked again. It runs without a lock.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("a", 1)]);
    /// assert!(map.remove_if("a", |_, n| *n > 1).is_none());
    /// assert!(map.remove_if("a", |_, n| *n == 1).is_some());
    /// ```
    pub fn remove_if<Q, F>(&self, key: &Q, mut f: F) -> Option<Ref<'_, K, V>>
    where
        Q: ?Sized + Hash + Equivalent<K>,
        F: FnMut(&K, &V) -> bool,
    {
        let removed = self.raw.remove_if(key, &mut f, pin());
        drop(f);
        removed.map(Ref::new)
    }

    /// Removes all entries that `f` returns false for.
    ///
    /// Each is removed as by [`SyncMap::remove_if`]. Entries inserted meanwhile may or may not be visited, others are
    /// visited once, and again when their value has just changed.
    ///
    /// ```
    /// let map: readmostly::SyncMap<u32, u32> = (0..10).map(|n| (n, n)).collect();
    /// map.retain(|_, n| n % 2 == 0);
    /// assert_eq!(map.len(), 5);
    /// ```
    pub fn retain<F>(&self, f: F)
    where
        F: FnMut(&K, &V) -> bool,
    {
        self.raw.retain(f);
    }

    /// Calls `f` with each entry until it returns false.
    ///
    /// - The key set is frozen: keys that came to the map after the call began are not visited. (One that was removed
    ///   before and is inserted again meanwhile may be, or, if the map was compacted in between, may not.)
    /// - Values are live: an entry is shown with the value it has when visited; one that is removed by then is left
    ///   out.
    /// - A key that is present throughout the call is visited once. No key is visited twice.
    /// - `f` may call any method of any map, `range` of this one too. No lock is held while it runs, and it may take
    ///   its time: memory is held back for a few entries at a time only.
    /// - The order is unspecified.
    ///
    /// O(entries). If the map is amended, the copy to the dirty table is completed first. No key is added to the table
    /// visited while the call lasts; new keys start a dirty table.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([(1, "one"), (2, "two")]);
    /// let mut seen = Vec::new();
    /// map.range(|key, _| {
    ///     seen.push(*key);
    ///     map.remove(key);
    ///     true
    /// });
    /// seen.sort();
    /// assert_eq!(seen, [1, 2]);
    /// assert!(map.is_empty());
    /// ```
    #[doc(alias = "Range")]
    pub fn range<F>(&self, f: F)
    where
        F: FnMut(&K, &V) -> bool,
    {
        if let Some(frozen) = self.raw.freeze() {
            frozen.visit(f);
        }
    }

    /// Calls `f` with entries from `from` on until the budget is used up; returns where to go on, or `None` when all
    /// have been visited.
    ///
    /// For sweeps over large maps that must not take long at a time: of expired entries, say, in slices of a
    /// millisecond.
    ///
    /// - Over all calls from [`Cursor::default`](Cursor) to `None`, a key that is present throughout is visited once,
    ///   and no key twice, whatever happens during and between the calls: growth, promotion, compaction, [`clear`](Self::clear).
    ///   A key that comes or goes meanwhile may be visited or not.
    /// - Values are live, and `f` may call any method of any map, as in [`range`](Self::range).
    /// - Unlike `range` it freezes nothing: it takes no lock, never starts or completes a copy, and holds nothing between calls, so a sweep
    ///   may be abandoned at any time.
    /// - Each call makes progress. It looks at its budget after each run of keys that share a bucket (about five, more if
    ///   the hasher is poor; at most sixteen empty ones), so it goes over it by what `f` takes for those.
    ///
    /// O(entries visited + buckets passed). Beyond the caches `range` visits all entries in about a fifth of the time, since it
    /// hashes no key and passes buckets in the order in which they lie in memory.
    ///
    /// ```
    /// use readmostly::{Cursor, SyncMap};
    /// use std::time::{Duration, Instant};
    ///
    /// let sessions: SyncMap<u32, Instant> = (0..1000).map(|id| (id, Instant::now())).collect();
    ///
    /// let mut next = Some(Cursor::default());
    /// while let Some(cursor) = next {
    ///     next = sessions.range_until(Duration::from_millis(1), cursor, |id, _| {
    ///         // Looks at the value again: one that was refreshed just now stays.
    ///         sessions.remove_if(id, |_, ends| *ends <= Instant::now());
    ///     });
    ///     // Let others work.
    /// }
    /// assert!(sessions.is_empty());
    /// ```
    #[must_use = "says where to go on"]
    pub fn range_until<F>(&self, budget: impl Into<Budget>, from: Cursor, f: F) -> Option<Cursor>
    where
        F: FnMut(&K, &V),
    {
        let budget = budget.into();
        self.raw.scan(from, f, |visited| !budget.is_used_up(visited))
    }

    /// The keys of this moment, to be visited later, more than once, or on another thread.
    ///
    /// O(1), or O(entries) if the map is amended, since the copy to the dirty table is completed first.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([(1, "one")]);
    /// let snapshot = map.snapshot();
    /// std::thread::spawn(move || assert_eq!(snapshot.to_vec(), [(1, "one")])).join().unwrap();
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> Snapshot<K, V> {
        let frozen = self.raw.freeze();
        Snapshot::new(frozen, self.len())
    }

    /// Makes room for `additional` more entries, so that inserting them does not grow the map.
    ///
    /// O(entries) if the map has to grow for it. The lock is taken for a few slots at a time.
    ///
    /// # Panics
    ///
    /// If the memory needed exceeds the address space; nothing has changed then.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([(1, 'a')]);
    /// map.reserve(1000);
    /// assert!(map.capacity() >= 1001);
    /// ```
    pub fn reserve(&self, additional: usize) {
        self.raw.reserve(additional);
    }

    /// Completes the copy to the dirty table and makes that the read table; does nothing if the map is not amended.
    ///
    /// Nobody has to call this: inserts complete the copy, and so do lookups that miss. It is for the moment between a
    /// bulk load and serving. O(entries), the lock being taken for a few slots at a time.
    ///
    /// ```
    /// let map: readmostly::SyncMap<u32, u32> = (0..1000).map(|n| (n, n)).collect();
    /// map.promote();
    /// assert_eq!(map.stats().dirty_len, 0);
    /// ```
    pub fn promote(&self) {
        self.raw.promote();
    }

    /// Drops the keys of removed entries and fits the table to what is left.
    ///
    /// Nobody has to call this either: removes start a compaction when two thirds of the keys are removed ones.
    /// O(entries), the lock being taken for a few slots at a time.
    ///
    /// ```
    /// let map: readmostly::SyncMap<u32, u32> = (0..1000).map(|n| (n, n)).collect();
    /// map.retain(|n, _| *n < 10);
    /// map.compact();
    /// assert_eq!(map.stats().tombstones, 0);
    /// assert!(map.capacity() < 100);
    /// ```
    #[doc(alias = "shrink_to_fit")]
    pub fn compact(&self) {
        self.raw.compact();
    }
}
