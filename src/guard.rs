//! What the operations of a map return: an entry that is kept alive.

use std::error::Error;
use std::fmt;
use std::ops::Deref;

use crate::raw::Held;

/// An entry of a [`SyncMap`](crate::SyncMap), kept alive.
///
/// Dereferences to the value. The value is the one that was found: an overwrite or a remove by another thread does not
/// change what a `Ref` shows, and is not delayed by it. A `Ref` holds no lock, so keeping one blocks nobody; it does
/// keep the memory that the process's maps retire meanwhile from being freed. It is not `Send`: clone the value, or let
/// values be `Arc`s, to keep one for long or across an `await`.
///
/// ```
/// use readmostly::SyncMap;
///
/// let map = SyncMap::from([("hits", 1)]);
/// let entry = map.get("hits").unwrap();
/// map.insert("hits", 2);
/// assert_eq!((*entry.key(), *entry.value(), *entry), ("hits", 1, 1));
/// assert_eq!(*map.get("hits").unwrap(), 2);
/// ```
pub struct Ref<'a, K, V>(Held<'a, K, V>);

impl<'a, K, V> Ref<'a, K, V> {
    pub(crate) fn new(held: Held<'a, K, V>) -> Self {
        Ref(held)
    }

    /// The key, as it lies in the map.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([(String::from("k"), 1)]);
    /// assert_eq!(map.get("k").unwrap().key(), "k");
    /// ```
    #[inline]
    #[must_use]
    pub fn key(&self) -> &K {
        self.0.key()
    }

    /// The value that was found.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([("k", 1)]);
    /// assert_eq!(map.get("k").unwrap().value(), &1);
    /// ```
    #[inline]
    #[must_use]
    pub fn value(&self) -> &V {
        self.0.value()
    }
}

impl<K, V> Deref for Ref<'_, K, V> {
    type Target = V;

    #[inline]
    fn deref(&self) -> &V {
        self.value()
    }
}

impl<K, V> AsRef<V> for Ref<'_, K, V> {
    fn as_ref(&self) -> &V {
        self.value()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Ref<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ref").field("key", self.key()).field("value", self.value()).finish()
    }
}

impl<K, V: fmt::Display> fmt::Display for Ref<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value().fmt(f)
    }
}

/// What became of a [`SyncMap::compute`](crate::SyncMap::compute).
///
/// ```
/// use readmostly::{Compute, Operation, SyncMap};
///
/// let stock = SyncMap::from([("nails", 2)]);
/// let take = |have: Option<&i32>| match have {
///     Some(1) => Operation::Remove,
///     Some(n) => Operation::Insert(n - 1),
///     None => Operation::Abort("sold out"),
/// };
/// assert!(matches!(stock.compute("nails", take), Compute::Updated { old, new } if (*old, *new) == (2, 1)));
/// assert!(matches!(stock.compute("nails", take), Compute::Removed(last) if *last == 1));
/// assert!(matches!(stock.compute("nails", take), Compute::Aborted("sold out")));
/// ```
#[derive(Debug)]
pub enum Compute<'a, K, V, T> {
    /// The key was absent and now has this value.
    Inserted(Ref<'a, K, V>),
    /// The value was replaced.
    Updated {
        /// What it was.
        old: Ref<'a, K, V>,
        /// What it is.
        new: Ref<'a, K, V>,
    },
    /// The entry was removed; this is what it was.
    Removed(Ref<'a, K, V>),
    /// Nothing was changed; this is what the closure gave to [`Operation::Abort`](crate::Operation::Abort).
    Aborted(T),
    /// The closure answered [`Operation::Remove`](crate::Operation::Remove) for a key that was absent.
    Absent,
}

/// Why [`SyncMap::try_insert`](crate::SyncMap::try_insert) inserted nothing: the key has a value. Key and value come
/// back.
///
/// ```
/// use readmostly::{OccupiedError, SyncMap};
///
/// let map = SyncMap::from([("a", 1)]);
/// let OccupiedError { current, key, value } = map.try_insert("a", 2).unwrap_err();
/// assert_eq!((*current, key, value), (1, "a", 2));
/// ```
pub struct OccupiedError<'a, K, V> {
    /// The entry that is there.
    pub current: Ref<'a, K, V>,
    /// The key that was not inserted.
    pub key: K,
    /// The value that was not inserted.
    pub value: V,
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for OccupiedError<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OccupiedError")
            .field("key", &self.key)
            .field("current", self.current.value())
            .field("value", &self.value)
            .finish()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Display for OccupiedError<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, value, current) = (&self.key, &self.value, self.current.value());
        write!(f, "did not insert {value:?} for key {key:?}, which has the value {current:?}")
    }
}

impl<K: fmt::Debug, V: fmt::Debug> Error for OccupiedError<'_, K, V> {}
