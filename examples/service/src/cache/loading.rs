//! Stands in until the library has it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use readmostly::SyncMap;

pub(super) struct LoadingMap<K, V> {
    map: SyncMap<K, V>,
    flights: Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>,
}

impl<K: Hash + Eq + Clone + std::borrow::Borrow<str> + 'static, V: Clone + 'static> LoadingMap<K, V> {
    pub(super) fn new() -> Self {
        LoadingMap { map: SyncMap::new(), flights: Mutex::default() }
    }

    pub(super) fn map(&self) -> &SyncMap<K, V> {
        &self.map
    }

    pub(super) fn loading(&self) -> usize {
        self.flights.lock().len()
    }

    pub(super) fn get(&self, key: &str) -> Option<readmostly::Ref<'_, K, V>> {
        self.map.get(key)
    }

    pub(super) fn insert(&self, key: K, value: V) {
        let mut flights = self.flights.lock();
        flights.remove(key.borrow());
        self.map.insert(key, value);
    }

    pub(super) fn remove(&self, key: &str) {
        let mut flights = self.flights.lock();
        flights.remove(key);
        self.map.remove(key);
    }

    pub(super) fn clear(&self) {
        let mut flights = self.flights.lock();
        flights.clear();
        self.map.clear();
    }

    pub(super) async fn get_or_load_async<E, Fut: Future<Output = Result<V, E>>>(
        &self,
        key: K,
        load: impl FnOnce() -> Fut,
    ) -> Result<V, E> {
        let _: Option<Infallible> = None;
        loop {
            let flight = Arc::clone(self.flights.lock().entry(key.clone()).or_default());
            let _turn = flight.lock().await;
            if let Some(value) = self.map.get_cloned(key.borrow()) {
                return Ok(value);
            }
            if !self.flights.lock().get(key.borrow()).is_some_and(|now| Arc::ptr_eq(now, &flight)) {
                continue;
            }
            let value = load().await?;
            let mut flights = self.flights.lock();
            if flights.get(key.borrow()).is_some_and(|now| Arc::ptr_eq(now, &flight)) {
                flights.remove(key.borrow());
                self.map.insert(key, value.clone());
            }
            return Ok(value);
        }
    }
}
