//! SQLite, with one thread that writes and a few that read.
//!
//! The writer puts all writes that wait into one transaction, so that they share its `fsync`, and tells the cache of
//! them in the order of the transaction, before their callers. Nobody else may write to the database: a lock on a file
//! beside it keeps other instances away.
//!
//! `journal_mode = WAL` lets reads go on during a write. `synchronous = FULL` syncs the log at every commit: what was
//! acknowledged survives not only the end of the process, for which `NORMAL` would do, but of the machine as well.

mod writer;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use parking_lot::Mutex;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use tokio::sync::oneshot;

use self::writer::{Change, Job, Write, Writer};
use super::faults::Faults;
use super::turns::Turns;
use super::{Condition, Store, StoreError, Written};
use crate::cache::Cache;
use crate::entry::{Entry, Key, Moment};

const READERS: usize = 4;
/// More that wait than this would time out: they are turned away at once.
const QUEUE: usize = 4096;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS entries (
        key TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL, expires INTEGER NOT NULL, value BLOB NOT NULL
    );
    CREATE INDEX IF NOT EXISTS entries_by_expiry ON entries (expires) WHERE expires < 9223372036854775807;
    CREATE TABLE IF NOT EXISTS clock (version INTEGER NOT NULL);
    INSERT INTO clock SELECT 0 WHERE NOT EXISTS (SELECT * FROM clock);
";

type Read = Box<dyn FnOnce(&Connection) + Send>;

struct Sqlite {
    reads: Sender<Read>,
    writes: Sender<Job>,
    writer: Mutex<Option<JoinHandle<()>>>,
    faults: Arc<Faults>,
    turns: Arc<Turns>,
    _lock: File,
}

/// Opens the database in `path`, or a new one in a fresh temporary folder, which is kept.
pub(crate) fn open(
    path: Option<&Path>,
    negative_ttl: Duration,
    faults: Arc<Faults>,
    cache: Arc<dyn Cache>,
) -> anyhow::Result<Arc<dyn Store>> {
    let path = match path {
        Some(path) => path.to_owned(),
        None => tempfile::Builder::new().prefix("readmostly-service-").tempdir()?.keep().join("cache.sqlite"),
    };
    tracing::info!("database in {}", path.display());
    // The same file under another name is the same database.
    let path = path.canonicalize().unwrap_or(path);
    let lock = lock(&path)?;
    let context = || format!("{}: expected an SQLite database, or a place for one", path.display());
    let connection = Connection::open(&path).and_then(|connection| {
        connection.execute_batch(SCHEMA)?;
        Ok(connection)
    });
    let connection = connection.with_context(context)?;
    let (writes, jobs) = crossbeam_channel::bounded(QUEUE);
    let writer = Writer::new(connection, cache, Arc::clone(&faults), negative_ttl);
    let writer = thread::Builder::new().name("sqlite writer".into()).spawn(move || writer.run(&jobs))?;
    let (reads, jobs) = crossbeam_channel::bounded(QUEUE);
    for n in 0..READERS {
        let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).with_context(context)?;
        rusqlite::vtab::array::load_module(&connection)?;
        let jobs: Receiver<Read> = jobs.clone();
        let run = move || jobs.iter().for_each(|read| read(&connection));
        thread::Builder::new().name(format!("sqlite reader {n}")).spawn(run)?;
    }
    Ok(Arc::new(Sqlite { reads, writes, writer: Mutex::new(Some(writer)), faults, turns: Arc::default(), _lock: lock }))
}

/// The system lets go of the lock when the process ends, however it does.
fn lock(database: &Path) -> anyhow::Result<File> {
    let mut path = PathBuf::from(database).into_os_string();
    path.push(".lock");
    let path = PathBuf::from(path);
    let context = || format!("{}: expected to create and lock it", path.display());
    let file = File::options().create(true).truncate(false).write(true).open(&path).with_context(context)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("{}: another instance uses it; expected one", database.display()),
        Err(TryLockError::Error(error)) => Err(error).with_context(context),
    }
}

impl Sqlite {
    /// Has a reader run `f`, unless nobody waits for it any longer when its turn comes.
    async fn read<T: Send + 'static>(
        &self,
        key: Option<Key>,
        f: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = match &key {
            Some(key) => Some(self.turns.take(Key::clone(key)).await),
            None => None,
        };
        let (reply, answer) = oneshot::channel();
        let faults = Arc::clone(&self.faults);
        let read: Read = Box::new(move |connection| {
            let _turn = turn;
            if !reply.is_closed() {
                let result = faults.pass(key.as_deref());
                let _ = reply.send(result.and_then(|()| f(connection).map_err(gone)));
            }
        });
        enqueue(&self.reads, read)?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    async fn write(&self, key: Key, change: Change, condition: Condition) -> Result<Option<Written>, StoreError> {
        let (reply, answer) = oneshot::channel();
        enqueue(&self.writes, Job::Write(Write { key, change, condition, reply }))?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }
}

fn enqueue<T>(queue: &Sender<T>, job: T) -> Result<(), StoreError> {
    queue.try_send(job).map_err(|error| match error {
        TrySendError::Full(_) => StoreError::Stalled,
        TrySendError::Disconnected(_) => closed(),
    })
}

fn gone(error: impl std::fmt::Display) -> StoreError {
    StoreError::Gone(error.to_string())
}

fn closed() -> StoreError {
    StoreError::Gone("it was closed".into())
}

#[async_trait]
impl Store for Sqlite {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        const SELECT: &str = "SELECT version, expires, value FROM entries WHERE key = ?1 AND expires > ?2";
        let key = Arc::clone(key);
        self.read(Some(Arc::clone(&key)), move |connection| {
            let mut select = connection.prepare_cached(SELECT)?;
            let row = select.query_row((&*key, Moment::now().0), |row| {
                let value: Vec<u8> = row.get(2)?;
                Ok(Entry::present(row.get(0)?, Moment(row.get(1)?), Bytes::from(value)))
            });
            row.optional()
        })
        .await
    }

    async fn put(&self, key: Key, value: Bytes, expires: Moment, condition: Condition) -> Result<Written, StoreError> {
        // A write with a value always leaves one.
        self.write(key, Change::Put { value, expires }, condition).await?.ok_or_else(closed)
    }

    async fn delete(&self, key: Key, condition: Condition) -> Result<bool, StoreError> {
        Ok(self.write(key, Change::Delete, condition).await?.is_some())
    }

    async fn versions(&self, keys: Vec<Key>) -> Result<Vec<Option<u64>>, StoreError> {
        const SELECT: &str = "SELECT wanted.value, version FROM rarray(?1) AS wanted
            JOIN entries ON entries.key = wanted.value WHERE expires > ?2";
        self.read(None, move |connection| {
            let wanted: Vec<Value> = keys.iter().map(|key| Value::Text(key.to_string())).collect();
            let mut select = connection.prepare_cached(SELECT)?;
            let rows = select.query_map((std::rc::Rc::new(wanted), Moment::now().0), |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?))
            })?;
            let found = rows.collect::<rusqlite::Result<std::collections::HashMap<_, _>>>()?;
            Ok(keys.iter().map(|key| found.get(&**key).copied()).collect())
        })
        .await
    }

    async fn delete_expired(&self, limit: usize) -> Result<usize, StoreError> {
        let (reply, answer) = oneshot::channel();
        enqueue(&self.writes, Job::Expire { limit, reply })?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    async fn close(&self) {
        let Some(writer) = self.writer.lock().take() else { return };
        let writes = self.writes.clone();
        let end = move || {
            // Fails only where the writer has gone before.
            let _ = writes.send(Job::Stop);
            if writer.join().is_err() {
                tracing::error!("the writer of the database panicked");
            }
        };
        if let Err(error) = tokio::task::spawn_blocking(end).await {
            tracing::error!("the database could not be closed: {error}");
        }
    }
}
