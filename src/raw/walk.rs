//! Visiting the entries of a table.

use std::hash::{BuildHasher, Hash};
use std::iter;
use std::ops::Range;

use crate::reclaim::{Guard, pin};
use crate::sync::{Arc, AtomicUsize, Ordering};

use super::RawMap;
use super::garbage::Shared;
use super::node::{NodeRef, is_live};
use super::table::Table;

/// A table whose key set stays as it is while this exists, with the values alive in it.
///
/// Needs no guard to exist, and keeps the nodes it can reach allocated, after the map is gone too.
pub(crate) struct Frozen<K, V> {
    pub(super) table: Arc<Table<K, V>>,
    _lease: Lease<K, V>,
}

/// Says that a snapshot may still read the map's entries; declared after the table, so given back after it.
struct Lease<K, V>(Arc<Shared<K, V>>);

impl<K, V> Lease<K, V> {
    fn new(shared: &Arc<Shared<K, V>>) -> Self {
        // Relaxed: taken while the map is borrowed, so before the drop of the map looks at it.
        leases(shared).fetch_add(1, Ordering::Relaxed);
        Lease(Arc::clone(shared))
    }
}

impl<K, V> Drop for Lease<K, V> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire load in `Shared::is_leased`, so all reads through the snapshot come before
        // what the map's owner does when it finds itself alone.
        leases(&self.0).fetch_sub(1, Ordering::Release);
    }
}

fn leases<K, V>(shared: &Shared<K, V>) -> &AtomicUsize {
    &shared.leases
}

impl<K, V> Frozen<K, V> {
    fn new(table: Arc<Table<K, V>>, shared: &Arc<Shared<K, V>>) -> Self {
        Frozen { table, _lease: Lease::new(shared) }
    }

    /// Calls `f` with every entry that is live when its turn comes, until `f` returns false.
    ///
    /// Pins for a bucket at a time, so that `f` can take its time without holding memory back for long.
    pub(crate) fn visit(&self, mut f: impl FnMut(&K, &V) -> bool) {
        let mut guard = pin();
        for index in 0..self.table.buckets() {
            let mut visited = false;
            for node in self.table.nodes_in(index) {
                visited = true;
                if let Some(value) = live_value(node, &guard)
                    && !f(node.key(), value)
                {
                    return;
                }
            }
            if visited {
                guard.repin();
            }
        }
    }

    /// The entries under `guard`.
    #[cfg(feature = "serde")]
    pub(crate) fn entries<'g>(&'g self, guard: &'g Guard) -> Entries<'g, K, V> {
        Entries::of(Some(&self.table), guard)
    }
}

impl<K, V> Drop for Frozen<K, V> {
    fn drop(&mut self) {
        self.table.generation().thaw();
    }
}

/// The value of a node, if it has one.
pub(super) fn live_value<'g, K, V>(node: NodeRef<'_, K, V>, _guard: &'g Guard) -> Option<&'g V> {
    // SAFETY: the guard exists, for `'g`.
    unsafe { live_value_under_some_guard(node) }
}

/// The value of a node, if it has one.
///
/// # Safety
///
/// This must happen after the pin of a guard, of whichever thread, and `'g` must end before that guard does.
unsafe fn live_value_under_some_guard<'g, K, V>(node: NodeRef<'_, K, V>) -> Option<&'g V> {
    let value = node.value();
    // SAFETY: loaded from the node under the guard. A value is retired after it was taken out of its node, so it stays
    // until the guard is gone.
    is_live(value).then(|| unsafe { &*value })
}

/// The entries of the map, under a guard. See [`RawMap::entries`].
///
/// Made under a guard that is borrowed for `'g`, it may go to another thread: whatever takes it there, and tells the
/// guard's thread that the borrow has ended, orders what it loads after the pin and before the unpin. That is all that
/// the guard asks for: "Loads by other threads" in docs/reclamation.md.
pub(crate) struct Entries<'g, K, V> {
    pub(super) table: Option<&'g Table<K, V>>,
    pub(super) buckets: Range<usize>,
    /// The next slot to look at in the first of these buckets.
    pub(super) slot: usize,
}

impl<'g, K, V> Entries<'g, K, V> {
    fn of(table: Option<&'g Table<K, V>>, _guard: &'g Guard) -> Self {
        Entries { table, buckets: 0..table.map_or(0, Table::buckets), slot: 0 }
    }
}

impl<K, V> Clone for Entries<'_, K, V> {
    fn clone(&self) -> Self {
        Entries { buckets: self.buckets.clone(), ..*self }
    }
}

impl<'g, K, V> Iterator for Entries<'g, K, V> {
    type Item = (&'g K, &'g V);

    fn next(&mut self) -> Option<Self::Item> {
        let table = self.table?;
        while !self.buckets.is_empty() {
            while let Some(node) = table.nodes_in(self.buckets.start).nth(self.slot) {
                self.slot += 1;
                // SAFETY: made under a guard that is borrowed for `'g`.
                if let Some(value) = unsafe { live_value_under_some_guard(node) } {
                    return Some((node.key_for(), value));
                }
            }
            self.buckets.start += 1;
            self.slot = 0;
        }
        self.table = None;
        None
    }
}

impl<K, V> iter::FusedIterator for Entries<'_, K, V> {}

impl<K, V, S> RawMap<K, V, S>
where
    K: Hash,
    S: BuildHasher,
{
    /// The read table when it holds every key of the map; completes the copy first if one is under way.
    fn settled<'g>(&'g self, guard: &'g Guard) -> Option<&'g Table<K, V>> {
        loop {
            let read = self.read(guard)?;
            if !read.is_amended() {
                return Some(read);
            }
            self.write().step(guard);
        }
    }

    /// The entries under `guard`: every key that is present throughout once, no key twice.
    pub(crate) fn entries<'g>(&'g self, guard: &'g Guard) -> Entries<'g, K, V> {
        Entries::of(self.settled(guard), guard)
    }

    /// The key set of this moment; `None` if the map has no table, so no keys.
    pub(crate) fn freeze(&self) -> Option<Frozen<K, V>> {
        if let Some(frozen) = self.join() {
            return Some(frozen);
        }
        let mut guard = pin();
        self.read(&guard)?;
        loop {
            let writing = self.write();
            if writing.is_amended() {
                writing.step(&guard);
                guard.repin();
                continue;
            }
            let table = Arc::clone(writing.read()?);
            table.generation().freeze();
            let frozen = Frozen::new(table, self.shared());
            // Before the result is made: see `ops` about panics after that, here of an observer.
            drop(writing);
            return Some(frozen);
        }
    }

    /// Joins those who have frozen the read table already; takes no lock.
    fn join(&self) -> Option<Frozen<K, V>> {
        let table = self.published.load_full()?;
        if !table.generation().freeze_again() {
            return None;
        }
        let frozen = Frozen::new(table, self.shared());
        // Frozen by us from here on: if no table was started before, the key set is the map's, now and while it is
        // frozen.
        (!frozen.table.is_amended()).then_some(frozen)
    }

    /// Removes the entries that `keep` refuses.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) {
        let mut guard = pin();
        let Some(walk) = self.hold_settled(&guard) else { return };
        for index in 0..walk.buckets() {
            for node in walk.nodes_in(index) {
                while let Some(value) = live_value(node, &guard) {
                    if keep(node.key(), value) || self.remove_value(node, value, &guard) {
                        break;
                    }
                }
            }
            guard.repin();
        }
    }

    /// As [`RawMap::settled`], with the table kept alive beyond the guard.
    fn hold_settled(&self, guard: &Guard) -> Option<Arc<Table<K, V>>> {
        self.settled(guard)?;
        if let Some(published) = self.published.load_full()
            && !published.is_amended()
        {
            return Some(published);
        }
        // Another thread is about to publish a table, or to take one back, or a copy has begun since. None published is
        // not yet an empty map: `clear` takes it back before lookups stop finding entries.
        loop {
            let writing = self.write();
            if !writing.is_amended() {
                let read = writing.read().cloned();
                drop(writing);
                return read;
            }
            writing.step(guard);
        }
    }
}
