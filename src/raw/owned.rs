//! The end of a map's tables: `clear`, the drop of the map, and moving its entries out.

use std::ops::Range;

use crate::reclaim::{Graveyard, pin};

use super::RawMap;
use super::garbage::{Garbage, Generation};
use super::node::{NodeRef, is_live, tombstone};
use super::table::Table;
use super::writer::{Unlinked, Writer};

use crate::sync::{Arc, fault};

impl<K, V> Writer<K, V> {
    /// The nodes of the map, each once: those that the copy has not reached, and all that are in dirty.
    fn nodes(&self) -> impl Iterator<Item = NodeRef<'_, K, V>> {
        let cursor = self.dirty.as_ref().map_or(0, |dirty| dirty.cursor);
        let read = self.read.iter().flat_map(move |read| all_nodes(&read.table, cursor));
        let dirty = self.dirty.iter().flat_map(|dirty| all_nodes(&dirty.filled.table, 0));
        read.chain(dirty)
    }

    /// The generation that outlives every table of the chain.
    fn last_generation(&self) -> Option<&Arc<Generation<K, V>>> {
        let dirty = self.dirty.as_ref().map(|dirty| &dirty.filled.table);
        let last = dirty.or(self.read.as_ref().map(|read| &read.table))?;
        Some(last.generation())
    }
}

fn all_nodes<K, V>(table: &Table<K, V>, from: usize) -> impl Iterator<Item = NodeRef<'_, K, V>> {
    (from..table.buckets()).flat_map(|index| table.nodes_in(index))
}

impl<K, V, S> RawMap<K, V, S> {
    /// Removes every entry that is there when the tables are taken out.
    pub(crate) fn clear(&self) {
        let guard = pin();
        if self.read(&guard).is_none() {
            return;
        }
        let mut writing = self.write();
        let mut writer = writing.take_all();
        let _report = writing.unlock();
        // The chain is unlinked, but whoever started from it may still change values in it. Expunging makes them start
        // again, from the tables of now; until a node is expunged, what they do to it comes before the clear.
        let mut yard = Graveyard::new();
        let mut removed = 0;
        for node in writer.nodes() {
            let value = if fault!(ClearLightly) { tombstone() } else { node.expunge() };
            if is_live(value) {
                removed += 1;
                if node.holds_inline(value) {
                    // SAFETY: the expunge took the inline value out, and the guard keeps the node.
                    unsafe { node.ptr().keep_inline() };
                } else if let Some(boxed) = std::ptr::NonNull::new(value) {
                    yard.push(Garbage::Value(boxed));
                }
            }
            yard.push(Garbage::Node(node.ptr()));
        }
        self.shared().counters.add_len(-removed);
        if let Some(generation) = writer.last_generation() {
            generation.bury(yard);
        }
        if let Some(dirty) = writer.dirty.take() {
            if let Some(read) = &writer.read {
                read.table.generation().bury(dirty.graveyard);
            }
            Unlinked::new(dirty.filled.table).retire(self.shared(), &guard);
        }
        if let Some(read) = writer.read.take() {
            Unlinked::new(read.table).retire(self.shared(), &guard);
        }
    }

    /// The entries, owned; `None` if a snapshot still shares them.
    pub(crate) fn into_entries(mut self) -> Option<IntoEntries<K, V>> {
        if self.shared.get().is_some_and(|shared| shared.is_leased()) {
            return None;
        }
        Some(self.take_entries())
    }

    fn take_entries(&mut self) -> IntoEntries<K, V> {
        let writer = self.slow.lock.get_mut();
        let (read, dirty) = (writer.read.take(), writer.dirty.take());
        self.unpublish();
        let cursor = dirty.as_ref().map_or(0, |dirty| dirty.cursor);
        let mut yard = Graveyard::new();
        let mut tables = [const { None }; 2];
        if let Some(dirty) = dirty {
            tables[1] = Some(Rest::of(dirty.filled.table, 0));
            yard = dirty.graveyard;
        }
        if let Some(read) = read {
            read.table.generation().bury(yard);
            tables[0] = Some(Rest::of(read.table, cursor));
        }
        IntoEntries { tables, slot: 0 }
    }
}

impl<K, V, S> Drop for RawMap<K, V, S> {
    fn drop(&mut self) {
        let Some(shared) = self.shared.get() else { return };
        if !shared.is_leased() {
            // No snapshot, and no other borrow of the map: the entries can be dropped where they are.
            drop(self.take_entries());
            return;
        }
        // A snapshot goes on reading live values. The entries go to the graveyard that outlives every table it can
        // hold.
        let writer = self.slow.lock.get_mut();
        let mut yard = Graveyard::new();
        writer.nodes().for_each(|node| yard.push(Garbage::Node(node.ptr())));
        if let Some(generation) = writer.last_generation() {
            generation.bury(yard);
        }
        if let (Some(read), Some(dirty)) = (&writer.read, writer.dirty.take()) {
            read.table.generation().bury(dirty.graveyard);
        }
    }
}

/// What is left of a table, or of a part of it.
pub(super) struct Rest<K, V> {
    pub(super) table: Arc<Table<K, V>>,
    pub(super) buckets: Range<usize>,
}

impl<K, V> Rest<K, V> {
    fn of(table: Arc<Table<K, V>>, from: usize) -> Self {
        let buckets = from..table.buckets();
        Rest { table, buckets }
    }
}

/// The entries of a map that nobody else can reach, moved out one by one.
pub(crate) struct IntoEntries<K, V> {
    pub(super) tables: [Option<Rest<K, V>>; 2],
    /// The next slot to look at in the first bucket that is left.
    pub(super) slot: usize,
}

// SAFETY: owns its keys and values, like a `Vec<(K, V)>`, but a snapshot's last reader may have been another thread.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for IntoEntries<K, V> {}
// SAFETY: gives nothing out by shared reference.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for IntoEntries<K, V> {}

impl<K, V> Iterator for IntoEntries<K, V> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        for place in &mut self.tables {
            while let Some(rest) = place {
                if rest.buckets.is_empty() {
                    *place = None;
                    self.slot = 0;
                    break;
                }
                let Some(node) = rest.table.nodes_in(rest.buckets.start).nth(self.slot).map(NodeRef::ptr) else {
                    rest.buckets.start += 1;
                    self.slot = 0;
                    continue;
                };
                self.slot += 1;
                // SAFETY: each node of the map comes up once: buckets of read before the cursor are left out, and parts
                // have none in common. The map was owned, and no snapshot shares it.
                if let Some(entry) = unsafe { node.take() } {
                    return Some(entry);
                }
            }
        }
        None
    }
}

impl<K, V> Drop for IntoEntries<K, V> {
    fn drop(&mut self) {
        /// Goes on when dropping an entry, or the key of a removed one, panics.
        struct GoOn<'a, K, V>(&'a mut IntoEntries<K, V>);
        impl<K, V> Drop for GoOn<'_, K, V> {
            fn drop(&mut self) {
                self.0.by_ref().for_each(drop);
            }
        }
        let go_on = GoOn(self);
        go_on.0.by_ref().for_each(drop);
        std::mem::forget(go_on);
    }
}
