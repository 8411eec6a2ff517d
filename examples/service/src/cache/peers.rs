//! The other maps, all with the same hasher, each used as its documentation advises. None can pause an iteration, so that
//! a sweep is one slice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use moka::Expiry;
use moka::ops::compute::Op;
use moka::sync::Cache;
use readmostly::DefaultHashBuilder;

use super::Slice;
use super::flights::Map;
use crate::entry::{Entry, Key, Moment};

#[derive(Default)]
pub(super) struct Dash(DashMap<Key, Entry, DefaultHashBuilder>);

impl Map for Dash {
    fn get(&self, key: &str, now: Moment) -> Option<Entry> {
        let entry = self.0.get(key)?;
        (!entry.is_expired(now)).then(|| entry.clone())
    }

    fn insert(&self, key: Key, entry: Entry) {
        self.0.insert(key, entry);
    }

    fn insert_if(&self, key: Key, entry: Entry, proceed: impl FnOnce() -> bool) {
        let place = self.0.entry(key);
        if proceed() {
            place.insert(entry);
        }
    }

    fn remove(&self, key: &str) {
        self.0.remove(key);
    }

    fn clear(&self) {
        self.0.clear();
    }

    fn sweep(&self, now: Moment) -> Slice {
        let mut slice = Slice::default();
        self.0.retain(|_, entry| retain(&mut slice, entry, now));
        slice
    }

    fn entries(&self) -> Vec<(Key, Entry)> {
        self.0.iter().map(|pair| (pair.key().clone(), pair.value().clone())).collect()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

#[derive(Default)]
pub(super) struct Locked(RwLock<Entries>);

type Entries = HashMap<Key, Entry, DefaultHashBuilder>;

/// A panic while the lock is held leaves the map whole.
impl Locked {
    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Map for Locked {
    fn get(&self, key: &str, now: Moment) -> Option<Entry> {
        let map = self.read();
        map.get(key).filter(|entry| !entry.is_expired(now)).cloned()
    }

    fn insert(&self, key: Key, entry: Entry) {
        let replaced = self.write().insert(key, entry);
        // What it frees, it frees without the lock.
        drop(replaced);
    }

    fn insert_if(&self, key: Key, entry: Entry, proceed: impl FnOnce() -> bool) {
        let mut map = self.write();
        if proceed() {
            map.insert(key, entry);
        }
    }

    fn remove(&self, key: &str) {
        let removed = self.write().remove(key);
        drop(removed);
    }

    fn clear(&self) {
        let removed = std::mem::take(&mut *self.write());
        drop(removed);
    }

    fn sweep(&self, now: Moment) -> Slice {
        let mut slice = Slice::default();
        self.write().retain(|_, entry| retain(&mut slice, entry, now));
        slice
    }

    fn entries(&self) -> Vec<(Key, Entry)> {
        self.read().iter().map(|(key, entry)| (key.clone(), entry.clone())).collect()
    }

    fn len(&self) -> usize {
        self.read().len()
    }
}

fn retain(slice: &mut Slice, entry: &Entry, now: Moment) -> bool {
    let expired = slice.visit(entry, now);
    slice.expired += usize::from(expired);
    !expired
}

/// Has a policy of expiry of its own.
pub(super) struct Moka {
    map: Cache<Key, Entry, DefaultHashBuilder>,
    counts: Arc<Counts>,
}

/// Kept by moka's listener, as a sweep does not visit entries.
#[derive(Default)]
struct Counts {
    expired: AtomicUsize,
    /// Negative entries that were inserted and that were evicted.
    negative: (AtomicUsize, AtomicUsize),
}

struct UntilExpiry;

impl Expiry<Key, Entry> for UntilExpiry {
    fn expire_after_create(&self, _: &Key, entry: &Entry, _: Instant) -> Option<Duration> {
        (entry.expires != Moment::NEVER).then(|| Moment::now().until(entry.expires))
    }

    fn expire_after_update(&self, key: &Key, entry: &Entry, now: Instant, _: Option<Duration>) -> Option<Duration> {
        self.expire_after_create(key, entry, now)
    }
}

impl Moka {
    pub(super) fn new() -> Self {
        let counts = Arc::new(Counts::default());
        let listened = Arc::clone(&counts);
        let map = Cache::builder()
            .expire_after(UntilExpiry)
            .eviction_listener(move |_, entry: Entry, cause| {
                if cause == moka::notification::RemovalCause::Expired {
                    listened.expired.fetch_add(1, Relaxed);
                }
                listened.negative.1.fetch_add(usize::from(entry.value.is_none()), Relaxed);
            })
            .build_with_hasher(DefaultHashBuilder::default());
        Moka { map, counts }
    }

    fn count(&self, entry: &Entry) {
        self.counts.negative.0.fetch_add(usize::from(entry.value.is_none()), Relaxed);
    }
}

impl Map for Moka {
    fn get(&self, key: &str, now: Moment) -> Option<Entry> {
        self.map.get(key).filter(|entry| !entry.is_expired(now))
    }

    /// Through `entry` as all writes here, since `insert` does not wait for what `and_compute_with` does to the key.
    fn insert(&self, key: Key, entry: Entry) {
        self.insert_if(key, entry, || true);
    }

    fn insert_if(&self, key: Key, entry: Entry, proceed: impl FnOnce() -> bool) {
        self.map.entry(key).and_compute_with(|_| {
            if proceed() {
                self.count(&entry);
                Op::Put(entry)
            } else {
                Op::Nop
            }
        });
    }

    fn remove(&self, key: &str) {
        self.map.entry(Key::from(key)).and_compute_with(|_| Op::Remove);
    }

    fn clear(&self) {
        self.map.invalidate_all();
    }

    fn sweep(&self, _: Moment) -> Slice {
        self.map.run_pending_tasks();
        let (inserted, evicted) = &self.counts.negative;
        Slice {
            expired: self.counts.expired.swap(0, Relaxed),
            negative: inserted.load(Relaxed).saturating_sub(evicted.load(Relaxed)),
            rest: None,
        }
    }

    fn entries(&self) -> Vec<(Key, Entry)> {
        self.map.iter().map(|(key, entry)| (Key::clone(&key), entry)).collect()
    }

    fn len(&self) -> usize {
        usize::try_from(self.map.entry_count()).unwrap_or(usize::MAX)
    }
}
