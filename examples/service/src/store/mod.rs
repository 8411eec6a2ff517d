//! What the cache stands in front of.

pub(crate) mod faults;
pub(crate) mod redis;
pub(crate) mod sqlite;
mod turns;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;

use crate::entry::{Entry, Key, Moment};

/// What must hold of the stored value for a write to take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    None,
    /// `If-Match: "7"`
    Version(u64),
    /// `If-Match: *`
    Present,
    /// `If-None-Match: *`
    Absent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) version: u64,
    /// There was no value before, or one that had expired.
    pub(crate) created: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoreError {
    /// The condition does not hold; nothing was written.
    #[error("the version is another; expected one that matches the condition")]
    Conflict,
    /// It could not be reached or does not work.
    #[error("the database is gone: {0}; expected it to answer")]
    Gone(String),
    /// It did not answer in time. A write may still take place.
    #[error("the database does not answer in time; expected an answer within the load timeout")]
    Stalled,
}

/// A database. Dropping a future cancels nothing that has begun.
///
/// A store tells the [`Cache`](crate::cache::Cache) that it was opened with of each write that it has made, in the order
/// in which they took effect and before the write's future is ready: with `publish`, where it can vouch for that order,
/// or with `invalidate`. A write whose future was dropped is told of all the same.
#[async_trait]
pub(crate) trait Store: Send + Sync {
    /// `None` if there is no value, or one that has expired.
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError>;

    async fn put(&self, key: Key, value: Bytes, expires: Moment, condition: Condition) -> Result<Written, StoreError>;

    /// False if there was no value, or one that had expired. With a condition that is a conflict.
    async fn delete(&self, key: Key, condition: Condition) -> Result<bool, StoreError>;

    /// For each key the version of its value, `None` if there is no value or one that has expired.
    async fn versions(&self, keys: Vec<Key>) -> Result<Vec<Option<u64>>, StoreError>;

    /// Deletes up to `limit` values that have expired; the number deleted. Stores that do so by themselves return 0.
    async fn delete_expired(&self, limit: usize) -> Result<usize, StoreError>;

    /// How the cache is kept coherent with other instances, where there can be any.
    fn near_cache(&self) -> Option<NearCache> {
        None
    }

    /// What is known of the entries that are cached: whether others may have changed them unseen. Asked on every hit.
    fn freshness(&self) -> Freshness {
        Freshness::Fresh
    }

    /// Waits until entries that are cached are known to be current; an error if that takes too long.
    async fn proven(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Finishes the writes that were begun, and closes the database.
    async fn close(&self);
}

/// What is known of the entries that are cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Nobody else changes them, or changes are seen.
    Fresh,
    /// Changes may have been missed; by the options they may be served all the same, and are to be marked as stale.
    Stale,
    /// Changes may have been missed. They are not to be served before [`Store::proven`].
    Unproven,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct NearCache {
    /// Messages of invalidation arrive.
    pub(crate) connected: bool,
    /// How often it was connected: the first time, and after each loss.
    pub(crate) connections: u64,
    pub(crate) invalidations: u64,
    /// How often everything cached was dropped, because the server was flushed or messages may have been missed.
    pub(crate) flushes: u64,
}

/// How long it makes sense to wait before the next attempt.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);
