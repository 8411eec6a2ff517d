//! Single flight for maps that have none: a `LoadingMap` that holds a key only while its load is under way.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use readmostly::{Cursor, LoadingMap};

use super::{Cache, Load, Loaded, Slice};
use crate::entry::{Entry, Key, Moment};

/// A map of entries, without loads.
pub(super) trait Map: Send + Sync {
    fn get(&self, key: &str, now: Moment) -> Option<Entry>;

    fn insert(&self, key: Key, entry: Entry);

    /// Inserts if `proceed` returns true, which is called while no other operation on the key can take effect.
    fn insert_if(&self, key: Key, entry: Entry, proceed: impl FnOnce() -> bool);

    fn remove(&self, key: &str);

    fn clear(&self);

    fn sweep(&self, now: Moment) -> Slice;

    /// A copy, but of the values' bytes, so that what is done with them does not hold the map up.
    fn entries(&self) -> Vec<(Key, Entry)>;

    fn len(&self) -> usize;
}

pub(super) struct Flights<M> {
    map: M,
    flights: LoadingMap<Key, Entry>,
}

impl<M: Map> Flights<M> {
    pub(super) fn new(map: M) -> Self {
        Flights { map, flights: LoadingMap::new() }
    }

    /// Moves the result of a load to the map, unless a write has come between: a write first takes it from the flights.
    fn land(&self, key: Key, entry: &Entry) {
        let is_current = || self.flights.get(&*key).is_some_and(|flown| flown.version == entry.version);
        self.map.insert_if(Key::clone(&key), entry.clone(), is_current);
        self.flights.remove(&*key);
    }
}

impl<M: Map> Cache for Flights<M> {
    fn get(&self, key: &str, now: Moment) -> Option<Entry> {
        self.map.get(key, now)
    }

    fn get_or_load<'a>(&'a self, key: Key, now: Moment, load: Load<'a>) -> Loaded<'a> {
        Box::pin(async move {
            let loaded = AtomicBool::new(false);
            let fly = || async {
                loaded.store(true, Relaxed);
                // The load before this one may just have landed.
                match self.map.get(&key, now) {
                    Some(entry) => Ok(entry),
                    None => load().await,
                }
            };
            loop {
                let entry = self.flights.get_or_load_async(Key::clone(&key), fly).await?.value().clone();
                if loaded.load(Relaxed) {
                    self.land(Key::clone(&key), &entry);
                    return Ok(entry);
                }
                // Another's load may have begun before `now` and its result have expired since.
                if !entry.is_expired(now) {
                    return Ok(entry);
                }
                tokio::task::yield_now().await;
            }
        })
    }

    fn publish(&self, key: Key, entry: Entry) {
        self.flights.remove(&*key);
        self.map.insert(key, entry);
    }

    fn invalidate(&self, key: &str) {
        self.flights.remove(key);
        self.map.remove(key);
    }

    fn clear(&self) {
        self.flights.clear();
        self.map.clear();
    }

    fn sweep(&self, now: Moment, _: Duration, _: Cursor) -> Slice {
        self.map.sweep(now)
    }

    fn for_each(&self, f: &mut dyn FnMut(&Key, &Entry)) {
        self.map.entries().iter().for_each(|(key, entry)| f(key, entry));
    }

    fn len(&self) -> usize {
        self.map.len()
    }

    fn loading(&self) -> usize {
        self.flights.loading()
    }
}
