//! An owned view of a map's keys.

use std::convert::Infallible;
use std::fmt;

use crate::raw::Frozen;

/// The keys that a map had at one moment, with the values they have now.
///
/// Made by [`SyncMap::snapshot`](crate::SyncMap::snapshot) without a copy: it shares the map's table, to which no key
/// is added while the snapshot exists (new keys go to the next table). So no key joins that the map did not know.
/// Values are looked at when they are visited: an overwritten entry shows its new value, a removed one is left out (one
/// removed by [`SyncMap::clear`](crate::SyncMap::clear) at the latest when that returns). A key that had been removed
/// before and is inserted again may be shown, unless a compaction has dropped it in between.
///
/// It borrows nothing and may outlive the map. What it costs to keep one: the memory of its table and of the keys
/// removed meanwhile, which its drop hands back, and the next insert of a new key starts a copy to another table.
///
/// Entries removed by `clear` while a snapshot exists keep their values until it is dropped.
///
/// ```
/// use readmostly::SyncMap;
///
/// let map = SyncMap::from([("a", 1), ("b", 2)]);
/// let snapshot = map.snapshot();
/// map.insert("a", 10);
/// map.insert("c", 3);
/// map.remove("b");
/// assert_eq!(snapshot.to_vec(), [("a", 10)]);
/// ```
pub struct Snapshot<K, V> {
    frozen: Option<Frozen<K, V>>,
    len_hint: usize,
}

impl<K, V> Snapshot<K, V> {
    pub(crate) fn new(frozen: Option<Frozen<K, V>>, len_hint: usize) -> Self {
        Snapshot { frozen, len_hint }
    }

    #[cfg(any(feature = "rayon", feature = "serde"))]
    pub(crate) fn frozen(&self) -> Option<&Frozen<K, V>> {
        self.frozen.as_ref()
    }

    /// Calls `f` with every key of the snapshot that has a value, and that value.
    ///
    /// No key comes twice; the order is unspecified. No lock is held meanwhile: `f` may use any map in any way, and may
    /// take its time, since memory is held back for a few entries at a time only.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([(1, 10), (2, 20)]);
    /// let mut sum = 0;
    /// map.snapshot().for_each(|_, value| sum += value);
    /// assert_eq!(sum, 30);
    /// ```
    pub fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        let Ok(()) = self.try_for_each(|key, value| {
            f(key, value);
            Ok::<(), Infallible>(())
        });
    }

    /// As [`Snapshot::for_each`], until `f` fails.
    ///
    /// # Errors
    ///
    /// The first one that `f` returns; no entry is visited after it.
    ///
    /// ```
    /// use std::io::Write;
    ///
    /// let mut file = Vec::new();
    /// let map = readmostly::SyncMap::from([("a", 1)]);
    /// map.snapshot().try_for_each(|key, value| writeln!(file, "{key} = {value}"))?;
    /// assert_eq!(file, b"a = 1\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_for_each<E>(&self, mut f: impl FnMut(&K, &V) -> Result<(), E>) -> Result<(), E> {
        let mut result = Ok(());
        if let Some(frozen) = &self.frozen {
            frozen.visit(|key, value| {
                result = f(key, value);
                result.is_ok()
            });
        }
        result
    }

    /// Clones of all entries that [`Snapshot::for_each`] would visit.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([(1, 'a')]);
    /// assert_eq!(map.snapshot().to_vec(), [(1, 'a')]);
    /// ```
    #[must_use]
    pub fn to_vec(&self) -> Vec<(K, V)>
    where
        K: Clone,
        V: Clone,
    {
        let mut entries = Vec::with_capacity(self.len_hint);
        self.for_each(|key, value| entries.push((key.clone(), value.clone())));
        entries
    }

    /// How many entries the map had when the snapshot was taken, for sizing a buffer.
    ///
    /// Operations that ran at that moment may or may not be counted.
    ///
    /// ```
    /// let map = readmostly::SyncMap::from([(1, 'a')]);
    /// assert_eq!(map.snapshot().len_hint(), 1);
    /// ```
    #[must_use]
    pub fn len_hint(&self) -> usize {
        self.len_hint
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Snapshot<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut entries = f.debug_map();
        self.for_each(|key, value| {
            entries.entry(key, value);
        });
        entries.finish()
    }
}
