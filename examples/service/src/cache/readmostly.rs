//! On readmostly.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use readmostly::{Cursor, LoadingMap, Stats};

use super::{Cache, Load, Loaded, Slice};
use crate::entry::{Entry, Key, Moment};

pub(super) struct ReadmostlyCache(LoadingMap<Key, Entry>);

impl ReadmostlyCache {
    pub(super) fn new() -> Self {
        ReadmostlyCache(LoadingMap::new())
    }

    /// The entry is looked at again at the moment of its removal, so that one that was refreshed meanwhile stays.
    fn remove_expired(&self, key: &str, now: Moment) -> bool {
        self.0.map().remove_if(key, |_, entry| entry.is_expired(now)).is_some()
    }
}

impl Cache for ReadmostlyCache {
    fn get(&self, key: &str, now: Moment) -> Option<Entry> {
        let entry = self.0.get(key)?;
        (!entry.is_expired(now)).then(|| entry.value().clone())
    }

    fn get_or_load<'a>(&'a self, key: Key, now: Moment, load: Load<'a>) -> Loaded<'a> {
        Box::pin(async move {
            loop {
                self.remove_expired(&key, now);
                let loaded = AtomicBool::new(false);
                let load = || {
                    loaded.store(true, Relaxed);
                    load()
                };
                let entry = self.0.get_or_load_async(Key::clone(&key), load).await?.value().clone();
                // Another's load may have begun before `now` and its result have expired since.
                if loaded.load(Relaxed) || !entry.is_expired(now) {
                    return Ok(entry);
                }
            }
        })
    }

    fn publish(&self, key: Key, entry: Entry) {
        self.0.insert(key, entry);
    }

    fn invalidate(&self, key: &str) {
        self.0.remove(key);
    }

    fn clear(&self) {
        self.0.clear();
    }

    fn sweep(&self, now: Moment, budget: Duration, from: Cursor) -> Slice {
        let mut slice = Slice::default();
        slice.rest = self.0.map().range_until(budget, from, |key, entry| {
            if slice.visit(entry, now) {
                slice.expired += usize::from(self.remove_expired(key, now));
            }
        });
        slice
    }

    fn for_each(&self, f: &mut dyn FnMut(&Key, &Entry)) {
        // So many entries are all of them.
        let _rest = self.0.map().range_until(usize::MAX, Cursor::default(), f);
    }

    fn len(&self) -> usize {
        self.0.map().len()
    }

    fn loading(&self) -> usize {
        self.0.loading()
    }

    fn stats(&self) -> Option<Stats> {
        Some(self.0.map().stats())
    }
}
