//! The thread that writes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::Receiver;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::gone;
use crate::cache::Cache;
use crate::entry::{Entry, Key, Moment, since_epoch};
use crate::store::faults::Faults;
use crate::store::{Condition, StoreError, Written};

/// The most writes that one transaction takes.
const BATCH: usize = 256;

/// `?2`: the version that it must have, if any. One statement looks and writes.
const UPDATE: &str = "UPDATE entries SET version = ?3, expires = ?4, value = ?5
    WHERE key = ?1 AND expires > ?6 AND (?2 IS NULL OR version = ?2)";
/// Where a value is that has expired, there is none.
const INSERT: &str = "INSERT INTO entries (key, version, expires, value) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (key) DO UPDATE SET version = excluded.version, expires = excluded.expires, value = excluded.value
    WHERE entries.expires <= ?5";
const DELETE: &str = "DELETE FROM entries WHERE key = ?1 AND expires > ?3 AND (?2 IS NULL OR version = ?2)";
const DELETE_EXPIRED: &str = "DELETE FROM entries WHERE rowid IN
    (SELECT rowid FROM entries WHERE expires < 9223372036854775807 AND expires <= ?1 LIMIT ?2)";
const EXISTS: &str = "SELECT 1 FROM entries WHERE key = ?1 AND expires > ?2";
/// Versions are microseconds of the wall's clock, and at least one above the last version given out: a key that is deleted
/// and written again does not repeat one, nor does a database that was deleted or restored from a copy, for warm files that
/// are older (unless the clock was set back, too). The last is read at the begin of a transaction and set at its end: `RETURNING`
/// at each write would make SQLite build, and free, a table in memory each time.
const READ_CLOCK: &str = "SELECT version FROM clock";
const SET_CLOCK: &str = "UPDATE clock SET version = ?1";

pub(super) enum Job {
    Write(Write),
    Expire { limit: usize, reply: oneshot::Sender<Result<usize, StoreError>> },
    Stop,
}

pub(super) struct Write {
    pub(super) key: Key,
    pub(super) change: Change,
    pub(super) condition: Condition,
    pub(super) reply: oneshot::Sender<Result<Option<Written>, StoreError>>,
}

pub(super) enum Change {
    Put { value: Bytes, expires: Moment },
    Delete,
}

pub(super) struct Writer {
    connection: Connection,
    cache: Arc<dyn Cache>,
    faults: Arc<Faults>,
    negative_ttl: Duration,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        cache: Arc<dyn Cache>,
        faults: Arc<Faults>,
        negative_ttl: Duration,
    ) -> Self {
        Writer { connection, cache, faults, negative_ttl }
    }

    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        let mut stopped = false;
        while !stopped && let Ok(first) = jobs.recv() {
            let mut writes = Vec::new();
            for job in std::iter::once(first).chain(jobs.try_iter()).take(BATCH) {
                match job {
                    Job::Write(write) => writes.push(write),
                    Job::Expire { reply, .. } if reply.is_closed() => {}
                    Job::Expire { limit, reply } => drop(reply.send(self.expire(limit))),
                    Job::Stop => stopped = true,
                }
            }
            self.write(writes);
        }
        if let Err((_, error)) = self.connection.close() {
            tracing::error!("the database could not be closed: {error}");
        }
    }

    fn expire(&self, limit: usize) -> Result<usize, StoreError> {
        self.faults.pass(None)?;
        let mut delete = self.connection.prepare_cached(DELETE_EXPIRED).map_err(gone)?;
        delete.execute(params![Moment::now().0, limit]).map_err(gone)
    }

    fn write(&mut self, writes: Vec<Write>) {
        let admit = |write: Write| match self.faults.pass(Some(&write.key)) {
            // One that nobody waits for was never acknowledged: better forgotten than made long afterwards.
            Ok(()) => (!write.reply.is_closed()).then_some(write),
            Err(error) => {
                let _ = write.reply.send(Err(error));
                None
            }
        };
        let writes: Vec<Write> = writes.into_iter().filter_map(admit).collect();
        if writes.is_empty() {
            return;
        }
        match transact(&mut self.connection, &writes) {
            Ok(results) => {
                for (write, result) in writes.into_iter().zip(results) {
                    self.finish(write, result);
                }
            }
            Err(error) => {
                tracing::warn!("a transaction of {} writes failed: {error}", writes.len());
                for write in writes {
                    let _ = write.reply.send(Err(gone(&error)));
                }
            }
        }
    }

    /// Tells the cache and then the caller, if it is still there, of a write that was committed.
    fn finish(&self, write: Write, result: Result<Option<Written>, StoreError>) {
        if let Ok(Some(written)) = &result {
            let entry = match write.change {
                Change::Put { value, expires } => Entry::present(written.version, expires, value),
                Change::Delete => Entry::absent(Moment::now().after(self.negative_ttl)),
            };
            self.cache.publish(write.key, entry);
        }
        let _ = write.reply.send(result);
    }
}

type Results = Vec<Result<Option<Written>, StoreError>>;

/// Makes all of `writes`, or on an error none.
fn transact(connection: &mut Connection, writes: &[Write]) -> rusqlite::Result<Results> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let last: u64 = transaction.prepare_cached(READ_CLOCK)?.query_row((), |row| row.get(0))?;
    let now = u64::try_from(since_epoch().as_micros()).unwrap_or(0);
    let numbered = ((last + 1).max(now)..).zip(writes);
    let results: Results =
        numbered.map(|(version, write)| make(&transaction, version, write)).collect::<rusqlite::Result<_>>()?;
    let written = results.iter().flatten().flatten().map(|written| written.version).max();
    // A delete has no version, and what changes nothing is not worth a sync.
    if let Some(newest) = written.filter(|version| *version > last) {
        transaction.prepare_cached(SET_CLOCK)?.execute([newest])?;
    }
    transaction.commit()?;
    Ok(results)
}

/// Makes one write; `version` is that of the value, if it leaves one.
fn make(
    transaction: &Transaction<'_>,
    version: u64,
    write: &Write,
) -> rusqlite::Result<Result<Option<Written>, StoreError>> {
    let now = Moment::now().0;
    let expected = match write.condition {
        Condition::Version(version) => match i64::try_from(version) {
            Ok(version) => Some(version),
            Err(_) => return Ok(Err(StoreError::Conflict)), // more than the database can hold
        },
        Condition::None | Condition::Present | Condition::Absent => None,
    };
    let missed = || match write.condition {
        Condition::None => Ok(None),
        Condition::Version(_) | Condition::Present | Condition::Absent => Err(StoreError::Conflict),
    };
    let Change::Put { value, expires } = &write.change else {
        if write.condition == Condition::Absent {
            let exists = transaction.prepare_cached(EXISTS)?.exists(params![&*write.key, now])?;
            return Ok(if exists { Err(StoreError::Conflict) } else { Ok(None) });
        }
        let deleted = transaction.prepare_cached(DELETE)?.execute(params![&*write.key, expected, now])?;
        return Ok(if deleted == 0 { missed() } else { Ok(Some(Written { version: 0, created: false })) });
    };
    if write.condition != Condition::Absent {
        let row = params![&*write.key, expected, version, expires.0, &**value, now];
        if transaction.prepare_cached(UPDATE)?.execute(row)? != 0 {
            return Ok(Ok(Some(Written { version, created: false })));
        }
    }
    if matches!(write.condition, Condition::None | Condition::Absent) {
        let row = params![&*write.key, version, expires.0, &**value, now];
        if transaction.prepare_cached(INSERT)?.execute(row)? != 0 {
            return Ok(Ok(Some(Written { version, created: true })));
        }
    }
    Ok(missed())
}
