//! What the operations of a map return: an entry that is kept alive.

use std::error::Error;
use std::fmt;
use std::ops::Deref;

use crate::raw::{Held, HeldPart};

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

    /// A part of the value, kept alive as the whole is.
    ///
    /// As with `std::cell::Ref`, an associated function, `Ref::map(entry, ..)`: a method would hide one of the value's.
    ///
    /// ```
    /// use readmostly::{MappedRef, Ref, SyncMap};
    ///
    /// struct User {
    ///     name: String,
    /// }
    ///
    /// fn name(users: &SyncMap<u64, User>, id: u64) -> Option<MappedRef<'_, u64, User, str>> {
    ///     Some(Ref::map(users.get(&id)?, |user| user.name.as_str()))
    /// }
    ///
    /// let users = SyncMap::from([(1, User { name: String::from("ada") })]);
    /// assert_eq!(name(&users, 1).as_deref(), Some("ada"));
    /// ```
    #[inline]
    pub fn map<T: ?Sized>(this: Self, f: impl FnOnce(&V) -> &T) -> MappedRef<'a, K, V, T> {
        MappedRef(this.0.part(f))
    }

    /// A part of the value that it may not have.
    ///
    /// # Errors
    ///
    /// If `f` finds none. The whole comes back.
    ///
    /// ```
    /// use readmostly::{Ref, SyncMap};
    ///
    /// let map = SyncMap::from([("even", vec![2, 4])]);
    /// let second = Ref::filter_map(map.get("even").unwrap(), |numbers| numbers.get(1));
    /// assert_eq!(*second.unwrap(), 4);
    /// let whole = Ref::filter_map(map.get("even").unwrap(), |numbers| numbers.get(2)).unwrap_err();
    /// assert_eq!(*whole, [2, 4]);
    /// ```
    #[inline]
    pub fn filter_map<T: ?Sized>(this: Self, f: impl FnOnce(&V) -> Option<&T>) -> Result<MappedRef<'a, K, V, T>, Self> {
        this.0.try_part(f).map(MappedRef).map_err(Ref)
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

/// A part of an entry's value, with the entry kept alive: what [`Ref::map`] makes.
///
/// Dereferences to the part. What holds for a [`Ref`] holds for it.
///
/// ```
/// use readmostly::{Ref, SyncMap};
///
/// let map = SyncMap::from([("origin", (0, 0))]);
/// let x = Ref::map(map.get("origin").unwrap(), |(x, _)| x);
/// map.remove("origin");
/// assert_eq!((*x.key(), *x), ("origin", 0));
/// ```
#[must_use = "keeps memory from being freed as long as it exists"]
pub struct MappedRef<'a, K, V, T: ?Sized>(HeldPart<'a, K, V, T>);

impl<'a, K, V, T: ?Sized> MappedRef<'a, K, V, T> {
    /// The key of the entry, as it lies in the map.
    ///
    /// ```
    /// use readmostly::{Ref, SyncMap};
    ///
    /// let map = SyncMap::from([("k", (1, 2))]);
    /// assert_eq!(Ref::map(map.get("k").unwrap(), |pair| &pair.0).key(), &"k");
    /// ```
    #[inline]
    #[must_use]
    pub fn key(&self) -> &K {
        self.0.key()
    }

    /// The part.
    ///
    /// ```
    /// use readmostly::{Ref, SyncMap};
    ///
    /// let map = SyncMap::from([("k", (1, 2))]);
    /// assert_eq!(Ref::map(map.get("k").unwrap(), |pair| &pair.1).value(), &2);
    /// ```
    #[inline]
    #[must_use]
    pub fn value(&self) -> &T {
        self.0.value()
    }

    /// A part of the part: see [`Ref::map`].
    ///
    /// ```
    /// use readmostly::{MappedRef, Ref, SyncMap};
    ///
    /// let map = SyncMap::from([("k", (vec![1, 2], 3))]);
    /// let numbers = Ref::map(map.get("k").unwrap(), |pair| &pair.0);
    /// assert_eq!(*MappedRef::map(numbers, |numbers| &numbers[1]), 2);
    /// ```
    #[inline]
    pub fn map<U: ?Sized>(this: Self, f: impl FnOnce(&T) -> &U) -> MappedRef<'a, K, V, U> {
        MappedRef(this.0.part(f))
    }

    /// A part of the part that it may not have: see [`Ref::filter_map`].
    ///
    /// # Errors
    ///
    /// If `f` finds none. The part comes back.
    ///
    /// ```
    /// use readmostly::{MappedRef, Ref, SyncMap};
    ///
    /// let map = SyncMap::from([("k", (vec![1, 2], 3))]);
    /// let numbers = Ref::map(map.get("k").unwrap(), |pair| &pair.0);
    /// let numbers = MappedRef::filter_map(numbers, |numbers| numbers.get(2)).unwrap_err();
    /// assert_eq!(numbers.len(), 2);
    /// ```
    #[inline]
    pub fn filter_map<U: ?Sized>(this: Self, f: impl FnOnce(&T) -> Option<&U>) -> Result<MappedRef<'a, K, V, U>, Self> {
        this.0.try_part(f).map(MappedRef).map_err(MappedRef)
    }
}

impl<K, V, T: ?Sized> Deref for MappedRef<'_, K, V, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value()
    }
}

impl<K, V, T: ?Sized> AsRef<T> for MappedRef<'_, K, V, T> {
    fn as_ref(&self) -> &T {
        self.value()
    }
}

impl<K: fmt::Debug, V, T: ?Sized + fmt::Debug> fmt::Debug for MappedRef<'_, K, V, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedRef").field("key", self.key()).field("value", &self.value()).finish()
    }
}

impl<K, V, T: ?Sized + fmt::Display> fmt::Display for MappedRef<'_, K, V, T> {
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
