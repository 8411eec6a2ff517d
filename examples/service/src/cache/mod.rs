//! The cache, on each of the maps.

mod flights;
mod peers;
mod readmostly;

use std::sync::Arc;
use std::time::Duration;

use ::readmostly::{Cursor, Stats};
use clap::ValueEnum;
use futures::future::BoxFuture;

use crate::entry::{Entry, Key, Moment};
use crate::store::StoreError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MapKind {
    Readmostly,
    Dashmap,
    Moka,
    Rwlock,
}

impl MapKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            MapKind::Readmostly => "readmostly",
            MapKind::Dashmap => "dashmap",
            MapKind::Moka => "moka",
            MapKind::Rwlock => "rwlock",
        }
    }
}

pub(crate) type Loaded<'a> = BoxFuture<'a, Result<Entry, StoreError>>;

/// Reads an entry from the database; an absent value is a negative entry.
pub(crate) type Load<'a> = &'a (dyn Fn() -> Loaded<'a> + Send + Sync);

/// A map of entries with loads in single flight.
pub(crate) trait Cache: Send + Sync {
    /// The entry, if there is one that has not expired at `now`.
    fn get(&self, key: &str, now: Moment) -> Option<Entry>;

    /// What `get` returns, or else what `load` does, which is then cached. Of several callers for one key one loads. If it
    /// fails or is dropped, one of the others does.
    ///
    /// The result of a load during which `publish`, `invalidate` or `clear` was called for the key is not cached.
    fn get_or_load<'a>(&'a self, key: Key, now: Moment, load: Load<'a>) -> Loaded<'a>;

    /// Caches what was written. The caller sees to the order.
    fn publish(&self, key: Key, entry: Entry);

    fn invalidate(&self, key: &str);

    fn clear(&self);

    /// Removes entries that have expired at `now`, for about as long as `budget` where the map can stop and go on. An
    /// entry that was refreshed meanwhile stays.
    fn sweep(&self, now: Moment, budget: Duration, from: Cursor) -> Slice;

    /// Calls `f` with every entry that is cached throughout. What else uses the cache goes on.
    fn for_each(&self, f: &mut dyn FnMut(&Key, &Entry));

    /// Entries, expired ones among them.
    fn len(&self) -> usize;

    /// Loads under way.
    fn loading(&self) -> usize;

    fn stats(&self) -> Option<Stats> {
        None
    }
}

/// What a slice of a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) expired: usize,
    /// Negative entries seen that have not expired.
    pub(crate) negative: usize,
    /// Where to go on; `None`: all was visited.
    pub(crate) rest: Option<Cursor>,
}

impl Slice {
    /// Counts `entry`; true if it has expired.
    fn visit(&mut self, entry: &Entry, now: Moment) -> bool {
        let expired = entry.is_expired(now);
        self.negative += usize::from(!expired && entry.value.is_none());
        expired
    }
}

pub(crate) fn new(kind: MapKind) -> Arc<dyn Cache> {
    match kind {
        MapKind::Readmostly => Arc::new(readmostly::ReadmostlyCache::new()),
        MapKind::Dashmap => Arc::new(flights::Flights::new(peers::Dash::default())),
        MapKind::Moka => Arc::new(flights::Flights::new(peers::Moka::new())),
        MapKind::Rwlock => Arc::new(flights::Flights::new(peers::Locked::default())),
    }
}

#[cfg(test)]
mod tests;
