//! What the routes share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::Args;
use super::meters::Meters;
use super::sweep::SweepFigures;
use crate::cache::{Cache, Loaded};
use crate::entry::{Entry, Key, Moment};
use crate::store::faults::Faults;
use crate::store::{Store, StoreError};

pub(crate) struct App {
    pub(crate) args: Args,
    pub(crate) cache: Arc<dyn Cache>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) meters: Meters,
    pub(crate) sweeps: SweepFigures,
    pub(crate) faults: Arc<Faults>,
    pub(crate) started: Instant,
    /// The cache is warm, and connections are still served.
    pub(crate) ready: AtomicBool,
}

impl App {
    /// The entry of a key that was not found in the cache at `now`.
    pub(crate) async fn load(&self, key: Key, now: Moment) -> Result<Entry, StoreError> {
        let load = || -> Loaded<'_> { Box::pin(self.load_alone(Key::clone(&key))) };
        self.in_time(self.cache.get_or_load(Key::clone(&key), now, &load)).await
    }

    async fn load_alone(&self, key: Key) -> Result<Entry, StoreError> {
        let loading = self.meters.load();
        let entry = self.store.get(&key).await?;
        loading.succeeded();
        Ok(entry.unwrap_or_else(|| Entry::absent(Moment::now().after(self.args.negative_ttl))))
    }

    /// Waits no longer than the load timeout.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        timeout(self.args.load_timeout, work).await.unwrap_or(Err(StoreError::Stalled))
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}
