//! What one thread does: replay its accesses, count and time them.

use std::sync::Arc;
use std::time::Instant;

use crate::args::Config;
use crate::evict::{Evictor, Look};
use crate::latency::Latency;
use crate::maps::{Cache, Entry};
use crate::progress::Signals;
use crate::workload::{Access, BackingStore, Workload};

/// Accesses between two looks at whether to stop.
const BATCH: usize = 256;

/// What the threads counted and timed; summed up over all of them at the end.
pub(crate) struct Tally {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) overwrites: u64,
    /// Values that were not inserted because eviction lagged behind.
    pub(crate) bypassed: u64,
    /// Inserts whose key was absent.
    pub(crate) added: u64,
    pub(crate) evicted: u64,
    /// Hits whose value belongs to another key.
    pub(crate) foreign: u64,
    pub(crate) get: Latency,
    pub(crate) insert: Latency,
    pub(crate) evict: Latency,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Tally {
            hits: 0,
            misses: 0,
            overwrites: 0,
            bypassed: 0,
            added: 0,
            evicted: 0,
            foreign: 0,
            get: Latency::new(),
            insert: Latency::new(),
            evict: Latency::new(),
        }
    }

    pub(crate) fn merge(&mut self, other: &Tally) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.overwrites += other.overwrites;
        self.bypassed += other.bypassed;
        self.added += other.added;
        self.evicted += other.evicted;
        self.foreign += other.foreign;
        self.get.merge(&other.get);
        self.insert.merge(&other.insert);
        self.evict.merge(&other.evict);
    }

    pub(crate) fn gets(&self) -> u64 {
        self.hits + self.misses
    }

    /// One per miss and per overwrite, but for what bypassed the cache.
    pub(crate) fn inserts(&self) -> u64 {
        self.insert.count()
    }

    pub(crate) fn accesses(&self) -> u64 {
        self.gets() + self.overwrites
    }
}

pub(crate) struct Worker<'a, C> {
    cache: &'a C,
    evictor: &'a Evictor,
    workload: &'a Workload,
    store: BackingStore,
    /// Every this many gets, one is timed.
    sample: u64,
    until_sample: u64,
    /// New entries the evictor was not told of yet.
    untold: usize,
    /// The last look at the size found too many.
    overfull: bool,
    pub(crate) tally: Tally,
}

impl<'a, C: Cache> Worker<'a, C> {
    pub(crate) fn new(cache: &'a C, evictor: &'a Evictor, workload: &'a Workload, config: &Config) -> Self {
        let store = BackingStore { value_size: config.value_size };
        let (sample, until_sample) = (config.sample, config.sample);
        Worker {
            cache,
            evictor,
            workload,
            store,
            sample,
            until_sample,
            untold: 0,
            overfull: false,
            tally: Tally::new(),
        }
    }

    pub(crate) fn replay(&mut self, stream: &[Access], repeat: bool, signals: &Signals<'_>) {
        let mut done = 0;
        // A trace shorter than the number of threads leaves some without accesses: not to be repeated for ever.
        while !stream.is_empty() {
            for batch in stream.chunks(BATCH) {
                batch.iter().for_each(|&access| self.access(access));
                done += batch.len() as u64;
                if signals.told_to_stop(done) {
                    return;
                }
            }
            if !repeat {
                return;
            }
        }
    }

    fn access(&mut self, access: Access) {
        let id = access.id();
        if access.overwrites() {
            self.tally.overwrites += 1;
        } else if self.get(id) {
            self.tally.hits += 1;
            return;
        } else {
            self.tally.misses += 1;
        }
        let value = self.store.load(id);
        if self.admits(access) {
            self.insert(id, value);
        } else {
            self.tally.bypassed += 1;
        }
    }

    /// Whether the cache had it.
    fn get(&mut self, id: u32) -> bool {
        self.until_sample -= 1;
        let right = if self.until_sample == 0 {
            self.until_sample = self.sample;
            let start = Instant::now();
            let right = self.look_up(id);
            self.tally.get.record(start.elapsed());
            right
        } else {
            self.look_up(id)
        };
        if right == Some(false) {
            self.tally.foreign += 1;
        }
        right.is_some()
    }

    /// On a hit, whether the value is that of the key.
    fn look_up(&self, id: u32) -> Option<bool> {
        let now = self.evictor.now();
        self.cache.get(self.workload.keys.get(id), |entry| self.store.made(id, entry.touch(now)))
    }

    /// An overfull cache takes no new keys, but never keeps an outdated value.
    fn admits(&mut self, access: Access) -> bool {
        if self.overfull {
            self.make_room();
        }
        let present = || self.cache.get(self.workload.keys.get(access.id()), |_| ()).is_some();
        !self.overfull || (access.overwrites() && present())
    }

    fn insert(&mut self, id: u32, value: Arc<[u8]>) {
        let key = self.workload.keys.get(id).to_owned();
        let entry = Entry::new(value, self.evictor.now());
        let start = Instant::now();
        let new = self.cache.insert(key, entry);
        self.tally.insert.record(start.elapsed());
        if new {
            self.tally.added += 1;
            self.untold += 1;
            if self.untold >= self.evictor.check_interval() {
                self.make_room();
            }
        }
    }

    fn make_room(&mut self) {
        let untold = std::mem::take(&mut self.untold);
        let Look { pass, overfull } = self.evictor.inserted(untold, self.cache);
        self.overfull = overfull;
        if let Some(pass) = pass {
            self.tally.evicted += pass.removed;
            self.tally.evict.record(pass.took);
        }
    }
}
