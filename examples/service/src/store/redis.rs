//! Redis or Valkey as the database, with this process's cache near it: see [`near`](crate::near).
//!
//! An entry is a hash with the fields `version` and `body` under the key `PREFIXentry:KEY`; the server keeps its expiry.
//! `PREFIXclock` holds the last version that was given out. No other key is read or written.
//!
//! Writes are Lua scripts, since a compare-and-swap must compare and write in one step. `WATCH` would do as well, but it
//! belongs to a connection: each write under way would need one of its own, two round trips, and a retry where others
//! write. A script is one round trip on a connection that all requests share, and never tries twice.
//!
//! A version is the server's clock in microseconds, and at least one above the last version given out. So versions only
//! ever grow: past removals, expiry, flushes, and restarts of a server that kept nothing. (A server that forgot its last
//! version *and* whose clock was set back may repeat one.)
//!
//! What expires is told to the server as the time that remains, and taken from it as such, so clocks need not agree.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::{RedisError, RedisResult, Script};

use super::{Condition, Freshness, NearCache, Store, StoreError, Written};
use crate::cache::Cache;
use crate::entry::{Entry, Key, Moment};
use crate::near::{Near, Options};

/// The begin of both scripts. KEYS[1]: entry. ARGV[1]: condition. Returns nothing on a conflict.
const CHECK: &str = r"
local current = redis.call('HGET', KEYS[1], 'version')
local condition = ARGV[1]
if condition == 'absent' then
    if current then return false end
elseif condition == 'present' then
    if not current then return false end
elseif condition ~= 'none' and condition ~= current then
    return false
end
";

/// KEYS: entry, clock. ARGV: condition, body, remaining milliseconds or nothing. Returns the version, whether the key was
/// absent.
const PUT: &str = r"
local time = redis.call('TIME')
local last = tonumber(redis.call('GET', KEYS[2]) or 0)
local version = string.format('%.0f', math.max(time[1] * 1000000 + time[2], last + 1))
redis.call('SET', KEYS[2], version)
redis.call('HSET', KEYS[1], 'version', version, 'body', ARGV[2])
if ARGV[3] == '' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return {version, current and 0 or 1}
";

/// KEYS: entry. ARGV: condition. Returns how many were deleted.
const DELETE: &str = "return redis.call('DEL', KEYS[1])";

/// Versions asked for in one round trip.
const BATCH: usize = 1000;

pub(crate) struct RedisStore {
    near: Near,
    cache: Arc<dyn Cache>,
    entries: String,
    clock: String,
    put: Script,
    delete: Script,
}

impl RedisStore {
    /// Connects, and goes on to try in the background if the server does not answer in time. What other clients change is
    /// invalidated in `cache`. An error if the URL is none.
    pub(crate) async fn open(options: Options, cache: Arc<dyn Cache>) -> anyhow::Result<Self> {
        let (entries, clock) = (format!("{}entry:", options.prefix), format!("{}clock", options.prefix));
        Ok(RedisStore {
            near: Near::start(options, entries.clone(), Arc::clone(&cache)).await?,
            cache,
            entries,
            clock,
            put: Script::new(&format!("{CHECK}{PUT}")),
            delete: Script::new(&format!("{CHECK}{DELETE}")),
        })
    }

    fn entry(&self, key: &str) -> String {
        format!("{}{key}", self.entries)
    }

    /// What became of a write to `key`. Only a conflict is known to have changed nothing.
    fn written<T>(&self, key: &str, result: RedisResult<Option<T>>) -> Result<T, StoreError> {
        let result = result.map_err(failure).and_then(|written| written.ok_or(StoreError::Conflict));
        if !matches!(result, Err(StoreError::Conflict)) {
            self.cache.invalidate(key);
        }
        result
    }
}

fn condition(condition: Condition) -> String {
    match condition {
        Condition::None => "none".to_owned(),
        Condition::Version(version) => version.to_string(),
        Condition::Present => "present".to_owned(),
        Condition::Absent => "absent".to_owned(),
    }
}

fn failure(error: RedisError) -> StoreError {
    if error.is_timeout() { StoreError::Stalled } else { StoreError::Gone(error.to_string()) }
}

#[async_trait]
impl Store for RedisStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let mut reads = self.near.link()?.reads;
        let asked = Moment::now();
        let entry = self.entry(key);
        // No transaction: a change between the two sends its message before the second answer, and nothing is cached.
        let (fields, millis): ((Option<u64>, Option<Vec<u8>>), i64) = redis::pipe()
            .cmd("HMGET")
            .arg(&entry)
            .arg(&["version", "body"])
            .cmd("PTTL")
            .arg(&entry)
            .query_async(&mut reads)
            .await
            .map_err(failure)?;
        let expires = match u64::try_from(millis) {
            Ok(millis) => asked.after(Duration::from_millis(millis)),
            Err(_) if millis == -1 => Moment::NEVER,
            Err(_) => return Ok(None), // it expired in between
        };
        Ok(match fields {
            (Some(version), Some(body)) => Some(Entry::present(version, expires, Bytes::from(body))),
            _ => None,
        })
    }

    async fn put(&self, key: Key, value: Bytes, expires: Moment, on: Condition) -> Result<Written, StoreError> {
        let mut writes = self.near.link()?.writes;
        let remaining = match expires {
            Moment::NEVER => String::new(),
            expires => expires.0.saturating_sub(Moment::now().0).max(1).to_string(),
        };
        let mut call = self.put.key(self.entry(&key));
        call.key(&self.clock).arg(condition(on)).arg(&value[..]).arg(remaining);
        let result: RedisResult<Option<(u64, bool)>> = call.invoke_async(&mut writes).await;
        self.written(&key, result).map(|(version, created)| Written { version, created })
    }

    async fn delete(&self, key: Key, on: Condition) -> Result<bool, StoreError> {
        let mut writes = self.near.link()?.writes;
        let result: RedisResult<Option<u64>> =
            self.delete.key(self.entry(&key)).arg(condition(on)).invoke_async(&mut writes).await;
        self.written(&key, result).map(|deleted| deleted > 0)
    }

    async fn versions(&self, keys: Vec<Key>) -> Result<Vec<Option<u64>>, StoreError> {
        let mut versions = Vec::with_capacity(keys.len());
        for keys in keys.chunks(BATCH) {
            let mut reads = self.near.link()?.reads;
            let mut batch = redis::pipe();
            for key in keys {
                batch.hget(self.entry(key), "version");
            }
            let found: Vec<Option<u64>> = batch.query_async(&mut reads).await.map_err(failure)?;
            versions.extend(found);
        }
        Ok(versions)
    }

    async fn delete_expired(&self, _limit: usize) -> Result<usize, StoreError> {
        Ok(0)
    }

    fn near_cache(&self) -> Option<NearCache> {
        Some(self.near.counters())
    }

    fn freshness(&self) -> Freshness {
        self.near.freshness()
    }

    async fn proven(&self) -> Result<(), StoreError> {
        self.near.proven().await
    }

    /// A write that was answered has been made; there is nothing else to finish.
    async fn close(&self) {}
}

#[cfg(test)]
mod tests;
