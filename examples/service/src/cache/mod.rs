//! The cache, on each of the maps.

mod readmostly;

use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use futures::future::BoxFuture;
use ::readmostly::Stats;

use crate::entry::{Entry, Key, Moment};
use crate::store::StoreError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MapKind {
    Readmostly,
    Dashmap,
    Moka,
    Rwlock,
}

/// Reads an entry from the database; an absent value is a negative entry.
pub(crate) type Load<'a> = BoxFuture<'a, Result<Entry, StoreError>>;

/// A map of entries with loads in single flight.
pub(crate) trait Cache: Send + Sync {
    /// The entry, if there is one that has not expired at `now`.
    fn get(&self, key: &str, now: Moment) -> Option<Entry>;

    /// What `get` returns, or else what `load` does, which is then cached. Of several callers for one key one loads. If it
    /// fails or is dropped, one of the others does.
    ///
    /// A result of a load during which `publish`, `invalidate` or `clear` was called for the key is not cached.
    fn get_or_load<'a>(&'a self, key: Key, now: Moment, load: Load<'a>) -> Load<'a>;

    /// Caches what was written. The caller sees to the order.
    fn publish(&self, key: Key, entry: Entry);

    fn invalidate(&self, key: &str);

    fn clear(&self);

    /// Removes expired entries for about as long as `budget`, where the map can stop. A refreshed entry is never removed.
    fn sweep(&self, now: Moment, budget: Duration, from: Progress) -> Slice;

    /// Calls `f` with every entry that is cached throughout.
    fn for_each(&self, f: &mut dyn FnMut(&Key, &Entry));

    /// Entries, expired ones among them.
    fn len(&self) -> usize;

    /// Loads under way.
    fn loading(&self) -> usize;

    fn stats(&self) -> Option<Stats> {
        None
    }
}

/// How far a sweep has come; the default is the start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress(pub(crate) readmostly::Cursor);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    pub(crate) expired: usize,
    /// `None`: all was visited.
    pub(crate) rest: Option<Progress>,
}

pub(crate) fn new(kind: MapKind) -> Arc<dyn Cache> {
    match kind {
        _ => Arc::new(readmostly::ReadmostlyCache::default()),
    }
}
