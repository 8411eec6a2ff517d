//! The cache's entries and the three maps that can hold them, all with the same hasher.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, RwLock};

use dashmap::DashMap;
use readmostly::{Cursor, DefaultHashBuilder, SyncMap};
use serde_json::{Value, json};

/// Entries that an eviction visits at a time.
const SLICE: usize = 1000;

/// A cached value and when it was last used, in ticks of the cache's clock.
#[derive(Debug)]
pub(crate) struct Entry {
    payload: Arc<[u8]>,
    used: AtomicU32,
}

impl Entry {
    pub(crate) fn new(payload: Arc<[u8]>, now: u32) -> Self {
        Entry { payload, used: AtomicU32::new(now) }
    }

    /// The value. A hit marks the entry as used, with a store only once per tick: a store on every hit would have the
    /// cores contend for the hot entries' cache lines. The mark guides eviction and orders nothing, hence `Relaxed`.
    pub(crate) fn touch(&self, now: u32) -> &[u8] {
        if self.used.load(Ordering::Relaxed) != now {
            self.used.store(now, Ordering::Relaxed);
        }
        &self.payload
    }

    fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }
}

/// What a map tells of its own state.
#[derive(Debug)]
pub(crate) struct MapStats {
    pub(crate) text: String,
    pub(crate) fields: Value,
}

/// A map from string keys to entries, as the cache needs it.
pub(crate) trait Cache: Sync {
    /// `read` of the entry, if there is one.
    fn get<R>(&self, key: &str, read: impl FnOnce(&Entry) -> R) -> Option<R>;

    /// Inserts or overwrites; true if the key was absent.
    fn insert(&self, key: String, entry: Entry) -> bool;

    fn entries(&self) -> usize;

    /// The marks of up to `limit` entries, in no order that says anything about their use.
    fn sample_marks(&self, limit: usize) -> Vec<u32>;

    /// Removes up to `limit` entries that were last used at `mark` or before; the number removed.
    fn remove_unused_since(&self, mark: u32, limit: usize) -> usize;

    fn stats(&self) -> Option<MapStats> {
        None
    }
}

#[derive(Default)]
pub(crate) struct SyncCache(SyncMap<String, Entry>);

impl Cache for SyncCache {
    fn get<R>(&self, key: &str, read: impl FnOnce(&Entry) -> R) -> Option<R> {
        self.0.get(key).map(|entry| read(&entry))
    }

    fn insert(&self, key: String, entry: Entry) -> bool {
        self.0.insert(key, entry).is_none()
    }

    fn entries(&self) -> usize {
        self.0.len()
    }

    fn sample_marks(&self, limit: usize) -> Vec<u32> {
        // Not by `range`: a key set frozen for a sample would have the next insert start a new table.
        let pinned = self.0.pin();
        pinned.iter().take(limit).map(|(_, entry)| entry.used()).collect()
    }

    fn remove_unused_since(&self, mark: u32, limit: usize) -> usize {
        let mut removed = 0;
        // Not by `range`, which would freeze the key set: inserts meanwhile would start a new table.
        let mut next = Some(Cursor::default());
        while let Some(cursor) = next.filter(|_| removed < limit) {
            next = self.0.range_until(SLICE, cursor, |key, entry| {
                let is_due = |entry: &Entry| removed < limit && entry.used() <= mark;
                // Whoever used or replaced the entry since it was visited keeps it: `remove_if` looks at it again.
                if is_due(entry) && self.0.remove_if(key.as_str(), |_, entry| is_due(entry)).is_some() {
                    removed += 1;
                }
            });
        }
        removed
    }

    fn stats(&self) -> Option<MapStats> {
        let stats = self.0.stats();
        let fields = json!({
            "promotions": stats.promotions,
            "promotion_seconds": stats.promotion_time.as_secs_f64(),
            "longest_promotion_seconds": stats.longest_promotion.as_secs_f64(),
            "compactions": stats.compactions,
            "misses": stats.misses,
            "slow_path_locks": stats.slow_path_locks,
            "slow_path_waits": stats.slow_path_waits,
            "long_waits": stats.long_waits,
            "longest_wait_seconds": stats.longest_wait.as_secs_f64(),
            "copied_slots": stats.copied_slots,
            "longest_copy": stats.longest_copy,
            "longest_copy_seconds": stats.longest_copy_time.as_secs_f64(),
            "longest_free": stats.longest_free,
            "longest_free_seconds": stats.longest_free_time.as_secs_f64(),
            "dirty_len": stats.dirty_len,
            "tombstones": stats.tombstones,
            "pending_garbage": stats.pending_garbage,
            "table_bytes": stats.table_bytes,
        });
        Some(MapStats { text: stats.to_string(), fields })
    }
}

#[derive(Default)]
pub(crate) struct DashCache(DashMap<String, Entry, DefaultHashBuilder>);

impl Cache for DashCache {
    fn get<R>(&self, key: &str, read: impl FnOnce(&Entry) -> R) -> Option<R> {
        self.0.get(key).map(|entry| read(&entry))
    }

    fn insert(&self, key: String, entry: Entry) -> bool {
        self.0.insert(key, entry).is_none()
    }

    fn entries(&self) -> usize {
        self.0.len()
    }

    fn sample_marks(&self, limit: usize) -> Vec<u32> {
        self.0.iter().take(limit).map(|entry| entry.used()).collect()
    }

    /// By `retain`: removing while iterating would deadlock on the shard.
    fn remove_unused_since(&self, mark: u32, limit: usize) -> usize {
        let mut removed = 0;
        self.0.retain(|_, entry| keep(entry, mark, limit, &mut removed));
        removed
    }
}

#[derive(Default)]
pub(crate) struct LockCache(RwLock<HashMap<String, Entry, DefaultHashBuilder>>);

const POISONED: &str = "no thread panics while it holds the lock";

impl Cache for LockCache {
    fn get<R>(&self, key: &str, read: impl FnOnce(&Entry) -> R) -> Option<R> {
        self.0.read().expect(POISONED).get(key).map(read)
    }

    fn insert(&self, key: String, entry: Entry) -> bool {
        let replaced = self.0.write().expect(POISONED).insert(key, entry);
        replaced.is_none()
    }

    fn entries(&self) -> usize {
        self.0.read().expect(POISONED).len()
    }

    fn sample_marks(&self, limit: usize) -> Vec<u32> {
        self.0.read().expect(POISONED).values().take(limit).map(Entry::used).collect()
    }

    fn remove_unused_since(&self, mark: u32, limit: usize) -> usize {
        let mut removed = 0;
        self.0.write().expect(POISONED).retain(|_, entry| keep(entry, mark, limit, &mut removed));
        removed
    }
}

fn keep(entry: &Entry, mark: u32, limit: usize, removed: &mut usize) -> bool {
    let unused = *removed < limit && entry.used() <= mark;
    *removed += usize::from(unused);
    !unused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(cache: &impl Cache, marks: &[u32]) {
        for (number, &mark) in marks.iter().enumerate() {
            assert!(cache.insert(number.to_string(), Entry::new(Arc::from([number as u8]), mark)));
        }
    }

    fn behaves(cache: &impl Cache) {
        fill(cache, &[1, 2, 3, 4, 5]);
        assert_eq!(cache.entries(), 5);
        assert_eq!(cache.get("2", |entry| entry.touch(9)[0]), Some(2));
        assert_eq!(cache.get("absent", |_| ()), None);
        assert!(!cache.insert("0".to_owned(), Entry::new(Arc::from([7]), 1)), "the key was there");

        let mut marks = cache.sample_marks(10);
        marks.sort_unstable();
        assert_eq!(marks, [1, 2, 4, 5, 9]);
        assert_eq!(cache.sample_marks(2).len(), 2);

        assert_eq!(cache.remove_unused_since(4, 10), 3);
        assert_eq!(cache.entries(), 2);
        assert!(cache.get("2", |_| ()).is_some(), "it was used lately");
        assert_eq!(cache.remove_unused_since(9, 1), 1, "no more than the limit");
        assert_eq!(cache.entries(), 1);
    }

    #[test]
    fn every_map_behaves_alike() {
        behaves(&SyncCache::default());
        behaves(&DashCache::default());
        behaves(&LockCache::default());
    }
}
