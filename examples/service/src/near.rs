//! Keeps the cache of this process coherent with a Redis or Valkey server that others write to as well.
//!
//! The server remembers which keys a connection has read (`CLIENT TRACKING ON`) and tells that connection when one of them
//! changes, on the same socket as its replies (RESP3). Each such message removes the key from the cache.
//!
//! # Why nothing stale stays
//!
//! A key is *unknown* (not cached), *loading*, or *cached*, present or absent alike. What happens to it:
//!
//! 1. **Loading.** All reads take place on one connection, after its tracking was turned on, so the server knows of a read
//!    before it answers it. A change that comes before the read is in the answer. A change that comes after it sends a
//!    message, and the message comes after the answer, because there is one socket. The task that reads that socket takes
//!    keys out of the cache itself, before it reads on. So a message finds its key
//!    - *loading*, when the answer has not been cached yet: [`Cache::invalidate`] keeps that load from caching what it read;
//!    - *cached*: it is removed;
//!    - *unknown*: nothing is to be done. Nor could anything become stale, since the next load begins after the change.
//!
//!    A message of an earlier read may hit a load that read the new value already. That costs one more load.
//! 2. **Cached.** The server forgets that a key was read as soon as it has told of its change. Then the key is unknown
//!    here, and the load that makes it known again is a read, which the server remembers. A server that remembers too many
//!    keys tells of some as if they had changed. So what is cached is always remembered by the server.
//! 3. **Absent.** The server remembers reads of absent keys too, and tells when one is created.
//! 4. **Expiry** is a change that the server tells of, though late: when it comes across the key. So what was read is
//!    cached no longer than the server said that it would live when it answered.
//! 5. **Writes** of this process go through a second connection without tracking, hence what they read in the server is
//!    not remembered as cached. A write invalidates its key here before it is answered, so whoever wrote never reads what
//!    was there before. What it wrote is not cached, as the server knows of no read of it. If the outcome of a write is
//!    never learnt (a timeout, a client that went away, a lost connection), the message tells of it as of any other: this
//!    is why tracking is not turned on with `NOLOOP`, besides that it would only spare messages on the same connection.
//! 6. **Flushes** come as a message without keys, which clears the cache, loads under way included.
//! 7. **A lost connection** may have lost messages. The order is: withdraw the connection, so that nothing is loaded and
//!    cached entries count as unproven; connect; turn tracking on; clear the cache; publish the connection. A load that
//!    holds the old connection began before it was withdrawn, so `clear` keeps it from caching. A load that begins
//!    after `clear` finds no connection, or the new one.
//! 8. **A connection that is dead without knowing it** delivers nothing either. A `PING` goes out every [`HEARTBEAT`]: as
//!    its answer comes after all messages of changes made before, it proves that everything cached was current when the
//!    `PING` was sent. Without such a proof in the last [`LEASE`] no entry is served before there is a new one.
//!
//! # The bound
//!
//! While the connection works, an instance shows a change as soon as the message has arrived and was handled. In any case,
//! whatever fails, a value is served for at most [`LEASE`] after it has changed,
//! or for the grace that was asked for.
//!
//! # Why not broadcast
//!
//! With `BCAST` the server keeps no table of keys, but sends every change below the prefix to every instance, whether it
//! caches the key or not. Changes are many where instances are many, and each instance caches what it reads: with
//! tracking of keys it gets at most one message for each key that it has loaded, however often that key is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use parking_lot::RwLock;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind, RedisError,
    RedisResult, Value,
};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tracing::{info, warn};

use crate::cache::Cache;
use crate::store::{Freshness, NearCache, StoreError};

/// How often the server is asked for a proof that no message is missing.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(100);

/// How long a proof holds. A few heartbeats, so that one that is late does no harm.
pub(crate) const LEASE: Duration = Duration::from_millis(500);

/// Between attempts to connect: from the first to the longest pause, with jitter. The first attempt is made at once.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Commands that may wait to be sent before those who send more have to wait.
const COMMAND_QUEUE: usize = 1024;

/// Where the server is, and how it is treated.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) url: String,
    /// Begins all keys in the server.
    pub(crate) prefix: String,
    /// The name of this instance, for the server's list of clients.
    pub(crate) instance: String,
    /// For how long after the last proof entries are served, although others may have changed them unseen.
    pub(crate) grace: Duration,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
}

/// The two connections to the server: for reads and their invalidation, and for writes.
#[derive(Clone)]
pub(crate) struct Link {
    number: u64,
    pub(crate) reads: MultiplexedConnection,
    pub(crate) writes: MultiplexedConnection,
}

/// Connects, and connects again; receives what was changed and removes it from the cache.
pub(crate) struct Near {
    shared: Arc<Shared>,
    supervisor: AbortHandle,
}

struct Shared {
    client: Client,
    options: Options,
    /// Begins the keys of entries in the server.
    entries: String,
    cache: Arc<dyn Cache>,
    started: Instant,
    /// `None`: nothing can be loaded.
    link: RwLock<Option<Link>>,
    /// There is a link. Changed with the link locked, and apart from it because every hit reads this.
    connected: AtomicBool,
    /// The last proof, in nanoseconds after `started`; 0 if there was none.
    proven: AtomicU64,
    /// Told of proofs, of lost links, and of the end of the first attempt to connect.
    news: Notify,
    links: AtomicU64,
    invalidations: AtomicU64,
    flushes: AtomicU64,
}

impl Near {
    /// Connects, and goes on to try in the background if that fails or takes too long. An error if the URL is none.
    ///
    /// Keys of entries in the server are `entries` followed by the key in the cache.
    pub(crate) async fn start(options: Options, entries: String, cache: Arc<dyn Cache>) -> anyhow::Result<Self> {
        let client = Client::open(connection_info(&options.url)?)?;
        let shared = Arc::new(Shared {
            client,
            options,
            entries,
            cache,
            started: Instant::now(),
            link: RwLock::new(None),
            connected: AtomicBool::new(false),
            proven: AtomicU64::new(0),
            news: Notify::new(),
            links: AtomicU64::new(0),
            invalidations: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
        });
        let attempt = shared.news.notified();
        let supervisor = tokio::spawn(supervise(Arc::clone(&shared))).abort_handle();
        let _ = tokio::time::timeout(shared.options.timeout, attempt).await;
        Ok(Near { shared, supervisor })
    }

    /// The connections to the server. To be asked for within a load, not before it: see the order in the module's text.
    pub(crate) fn link(&self) -> Result<Link, StoreError> {
        self.shared.link.read().clone().ok_or_else(|| StoreError::Gone("there is no connection to it".to_owned()))
    }

    pub(crate) fn freshness(&self) -> Freshness {
        self.shared.freshness()
    }

    /// Waits until there is a proof that holds, as long as there is a connection it can come from.
    pub(crate) async fn proven(&self) -> Result<(), StoreError> {
        let shared = &*self.shared;
        let wait = async {
            loop {
                let news = shared.news.notified();
                if shared.freshness() == Freshness::Fresh {
                    return Ok(());
                }
                self.link()?;
                news.await;
            }
        };
        tokio::time::timeout(shared.options.timeout, wait).await.unwrap_or(Err(StoreError::Stalled))
    }

    pub(crate) fn counters(&self) -> NearCache {
        let shared = &*self.shared;
        NearCache {
            connected: shared.connected.load(Ordering::Relaxed),
            connections: shared.links.load(Ordering::Relaxed),
            invalidations: shared.invalidations.load(Ordering::Relaxed),
            flushes: shared.flushes.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Near {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

fn connection_info(url: &str) -> anyhow::Result<ConnectionInfo> {
    // Without the URL, which may hold a password.
    let expected = |error| anyhow::anyhow!("bad URL of Redis: {error}; expected one as in redis://127.0.0.1:6379/0");
    let info = url.into_connection_info().map_err(expected)?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings))
}

fn pauses() -> impl Iterator<Item = Duration> {
    let pauses = ExponentialBuilder::default().with_min_delay(PAUSES.0).with_max_delay(PAUSES.1).with_jitter();
    std::iter::once(Duration::ZERO).chain(pauses.without_max_times().build())
}

async fn supervise(shared: Arc<Shared>) {
    let mut pause = pauses();
    let mut told = false;
    loop {
        tokio::time::sleep(pause.next().unwrap_or(PAUSES.1)).await;
        let lost = Arc::new(Notify::new());
        match shared.connect(&lost).await {
            Ok(link) => {
                info!(server = %shared.client.get_connection_info().addr(), "connected; what others change is invalidated");
                let error = shared.keep(&link, &lost).await;
                shared.withdraw(link.number);
                warn!(%error, "the connection is lost; nothing cached is served without proof");
                (pause, told) = (pauses(), false);
            }
            // Once for each time that it is away, not for each attempt.
            Err(error) if !told => {
                warn!(%error, "no connection; expected a server of version 6 or later that speaks RESP3");
                told = true;
            }
            Err(_) => {}
        }
        shared.news.notify_waiters();
    }
}

impl Shared {
    /// Connects and publishes the link. `lost` is notified as soon as one of its connections is closed.
    async fn connect(self: &Arc<Self>, lost: &Arc<Notify>) -> RedisResult<Link> {
        let number = self.links.load(Ordering::Relaxed) + 1;
        let reads = self.open(number, "reads", lost).await?;
        let writes = self.open(number, "writes", lost).await?;
        let link = Link { number, reads, writes };
        let asked = Instant::now();
        redis::cmd("CLIENT").arg(&["TRACKING", "ON"]).exec_async(&mut link.reads.clone()).await?;
        self.flush();
        self.prove(asked);
        let mut published = self.link.write();
        *published = Some(link.clone());
        self.links.store(number, Ordering::Relaxed);
        self.connected.store(true, Ordering::Release);
        drop(published);
        self.news.notify_waiters();
        Ok(link)
    }

    async fn open(
        self: &Arc<Self>,
        number: u64,
        purpose: &str,
        lost: &Arc<Notify>,
    ) -> RedisResult<MultiplexedConnection> {
        let (shared, lost) = (Arc::clone(self), Arc::clone(lost));
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.options.timeout))
            .set_response_timeout(Some(self.options.timeout))
            .set_pipeline_buffer_size(COMMAND_QUEUE)
            .set_push_sender(move |message| {
                shared.receive(number, message, &lost);
                Ok::<_, redis::aio::SendError>(())
            });
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let instance = self.options.instance.replace(|c: char| !c.is_ascii_graphic(), "-");
        redis::cmd("CLIENT").arg("SETNAME").arg(format!("{instance}:{purpose}")).exec_async(&mut connection).await?;
        Ok(connection)
    }

    /// Asks for proofs until the link is lost; why it is.
    async fn keep(&self, link: &Link, lost: &Notify) -> RedisError {
        let ping =
            async |connection: &MultiplexedConnection| redis::cmd("PING").exec_async(&mut connection.clone()).await;
        loop {
            tokio::select! {
                () = tokio::time::sleep(HEARTBEAT) => {}
                () = lost.notified() => {}
            }
            let asked = Instant::now();
            match tokio::try_join!(ping(&link.reads), ping(&link.writes)) {
                Ok(_) => {
                    self.prove(asked);
                    self.news.notify_waiters();
                }
                Err(error) => return error,
            }
        }
    }

    /// Called by the task that reads the connection, for each message in its turn.
    fn receive(&self, number: u64, message: PushInfo, lost: &Notify) {
        match message.kind {
            PushKind::Invalidate => self.invalidate(&message.data),
            PushKind::Disconnection => {
                self.withdraw(number);
                lost.notify_one();
            }
            _ => {}
        }
    }

    fn invalidate(&self, message: &[Value]) {
        let [Value::Array(keys)] = message else {
            return self.flush(); // null: all keys
        };
        for key in keys {
            let Value::BulkString(key) = key else {
                return self.flush();
            };
            // Only what was read is told of, so other keys than those of entries do not come.
            if let Some(key) = key.strip_prefix(self.entries.as_bytes()).and_then(|key| str::from_utf8(key).ok()) {
                self.cache.invalidate(key);
                self.invalidations.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn flush(&self) {
        self.cache.clear();
        self.flushes.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the link back, unless there is a newer one already.
    fn withdraw(&self, number: u64) {
        let mut link = self.link.write();
        if link.take_if(|link| link.number == number).is_some() {
            self.connected.store(false, Ordering::Release);
            self.news.notify_waiters();
        }
    }

    /// All that is cached was current at `asked`.
    fn prove(&self, asked: Instant) {
        let nanos = asked.duration_since(self.started).as_nanos();
        self.proven.store(u64::try_from(nanos).unwrap_or(u64::MAX), Ordering::Release);
    }

    fn freshness(&self) -> Freshness {
        // Read before the clock, so that a proof never lies in the future.
        let connected = self.connected.load(Ordering::Acquire);
        let proven = self.proven.load(Ordering::Acquire);
        let age = self.started.elapsed().saturating_sub(Duration::from_nanos(proven));
        if connected && age <= LEASE {
            Freshness::Fresh
        } else if proven != 0 && age <= self.options.grace {
            Freshness::Stale
        } else {
            Freshness::Unproven
        }
    }
}
