//! On readmostly.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking::Stand;
use ::readmostly::{Stats, SyncMap};

use super::{Cache, Load, Progress, Slice};
use crate::entry::{Entry, Key, Moment};

/// Stands in until the library has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor(());

mod parking {
    pub(super) type Stand = tokio::sync::Mutex<()>;
}

#[derive(Default)]
pub(crate) struct ReadmostlyCache {
    map: SyncMap<Key, Entry>,
    loads: std::sync::Mutex<HashMap<Key, Arc<Stand>>>,
}

impl Cache for ReadmostlyCache {
    fn get(&self, key: &str, now: Moment) -> Option<Entry> {
        let entry = self.map.get(key)?;
        (!entry.is_expired(now)).then(|| entry.clone())
    }

    fn get_or_load<'a>(&'a self, key: Key, now: Moment, load: Load<'a>) -> Load<'a> {
        Box::pin(async move {
            let turn = Arc::clone(self.loads.lock().unwrap().entry(Arc::clone(&key)).or_default());
            let _turn = turn.lock().await;
            if let Some(entry) = self.get(&key, now) {
                return Ok(entry);
            }
            let entry = load.await?;
            self.map.insert(Arc::clone(&key), entry.clone());
            self.loads.lock().unwrap().remove(&key);
            Ok(entry)
        })
    }

    fn publish(&self, key: Key, entry: Entry) {
        self.map.insert(key, entry);
    }

    fn invalidate(&self, key: &str) {
        self.map.remove(key);
    }

    fn clear(&self) {
        self.map.clear();
    }

    fn sweep(&self, now: Moment, _budget: Duration, _from: Progress) -> Slice {
        let mut expired = 0;
        self.map.range(|key, entry| {
            if entry.is_expired(now) && self.map.remove_if(key, |_, entry| entry.is_expired(now)).is_some() {
                expired += 1;
            }
            true
        });
        Slice { expired, rest: None }
    }

    fn for_each(&self, f: &mut dyn FnMut(&Key, &Entry)) {
        self.map.range(|key, entry| {
            f(key, entry);
            true
        });
    }

    fn len(&self) -> usize {
        self.map.len()
    }

    fn loading(&self) -> usize {
        self.loads.lock().unwrap().len()
    }

    fn stats(&self) -> Option<Stats> {
        Some(self.map.stats())
    }
}
