//! Readers beside writers: of values that are overwritten, and of a map that grows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use readmostly::{Ref, SyncMap};

use crate::crew::{Settings, Worker, crew};
use crate::tracked::{self, Payload, Plain, Tracked};

type Map<V> = SyncMap<Tracked, V>;

// ---------------------------------------------------------------------------------------------------------------------

struct Overwritten<V> {
    map: Map<V>,
    keys: u64,
    writers: u64,
    /// What each key's writer stored last.
    last: Vec<AtomicU64>,
}

/// Half of the threads read, half overwrite keys of their own.
pub(crate) fn overwrites(settings: &Settings) {
    overwrites_of::<Tracked>(&settings.part(2));
    overwrites_of::<Plain>(&settings.part(2));
    tracked::assert_all_dropped();
}

fn overwrites_of<V: Payload>(settings: &Settings) {
    let keys = settings.keys;
    let map = (0..keys).map(|key| (Tracked::key(key), V::new(key, 0))).collect();
    let last = (0..keys).map(|_| AtomicU64::new(0)).collect();
    let world = Arc::new(Overwritten { map, keys, writers: settings.threads as u64 / 2, last });
    crew(settings, &world, |world, worker| {
        if (worker.id as u64) < world.writers { world.overwrite(worker) } else { world.read(worker) }
    });
    let pinned = world.map.pin();
    for (key, last) in (0..).zip(&world.last) {
        // Relaxed: the threads have been joined.
        let last = last.load(Ordering::Relaxed);
        assert_eq!(pinned.get(&key).map(|value| value.version_of(key)), Some(last), "the last value of {key}");
    }
}

impl<V: Payload> Overwritten<V> {
    fn overwrite(&self, mut worker: Worker) {
        while worker.goes_on() {
            for _ in 0..16 {
                let key = worker.below(self.keys / self.writers) * self.writers + worker.id as u64;
                let last = &self.last[key as usize];
                // Relaxed: this thread's own. Not to be read by others before the end: it would order them.
                let version = last.load(Ordering::Relaxed);
                let old = self.overwrite_one(&mut worker, key, version + 1);
                assert_eq!(old, Some(version), "{key} has one writer");
                last.store(version + 1, Ordering::Relaxed);
            }
        }
    }

    /// Returns the version that was replaced.
    fn overwrite_one(&self, worker: &mut Worker, key: u64, version: u64) -> Option<u64> {
        let new = V::new(key, version);
        match worker.below(4) {
            0 => self.map.pin().insert(Tracked::key(key), new).map(|old| old.version_of(key)),
            1 => self.map.update(&key, |_| new.clone()).map(|new| new.version_of(key) - 1),
            2 => {
                let old = self.map.get(&key)?;
                self.map.compare_and_swap(&key, &old, new).ok().map(|old| old.version_of(key))
            }
            _ => {
                let old = self.map.insert(Tracked::key(key), new)?;
                if worker.one_in(200) {
                    // What was replaced is kept while the others go on.
                    thread::sleep(Duration::from_millis(worker.below(5)));
                }
                Some(old.version_of(key))
            }
        }
    }

    fn read(&self, mut worker: Worker) {
        let mut seen = vec![0; self.keys as usize];
        let mut held = VecDeque::new();
        while worker.goes_on() {
            for _ in 0..16 {
                let key = worker.below(self.keys);
                let version = match worker.below(8) {
                    0 => self.map.get_cloned(&key).map(|value| value.version_of(key)),
                    1..4 => self.map.pin().get(&key).map(|value| value.version_of(key)),
                    4 => self.hold(key, &mut held),
                    _ => self.map.get(&key).map(|value| value.version_of(key)),
                };
                let version = version.unwrap_or_else(|| panic!("{key} is present throughout, but was not found"));
                assert!(version >= seen[key as usize], "{key} fell from {} to {version}", seen[key as usize]);
                seen[key as usize] = version;
            }
            if held.is_empty() {
                worker.rest_sometimes();
            }
        }
    }

    /// Keeps a reference for a while; they are let go of together, or the thread would stay pinned.
    fn hold<'m>(&'m self, key: u64, held: &mut VecDeque<(Ref<'m, Tracked, V>, u64)>) -> Option<u64> {
        let value = self.map.get(&key)?;
        let version = value.version_of(key);
        held.push_back((value, version));
        if held.len() == 8 {
            for (value, version) in held.drain(..) {
                assert_eq!(value.version_of(value.key().id()), version, "what a reference shows must not change");
            }
        }
        Some(version)
    }
}

// ---------------------------------------------------------------------------------------------------------------------

struct Growing {
    map: Map<Tracked>,
    keys: u64,
    writers: u64,
    /// Keys below this are in the map: by writer, each of which has every so many keys.
    filled: Vec<AtomicU64>,
}

/// Half of the threads insert keys into an empty map, half look them up, again and again.
pub(crate) fn growth(settings: &Settings) {
    let mut pace = settings.by(settings.keys * 10).pace();
    let mut settings = *settings;
    while pace.goes_on() {
        settings.seed += 1;
        let writers = settings.threads / 2;
        let filled = (0..writers).map(|_| AtomicU64::new(0)).collect();
        let keys = settings.keys * 50;
        let world = Arc::new(Growing { map: Map::new(), keys, writers: writers as u64, filled });
        // The first use is a matter of its own: see `lives::first_use`.
        world.map.insert(Tracked::key(keys), Tracked::new(keys, 0));
        crew(&settings, &world, |world, worker| {
            if (worker.id as u64) < world.writers { world.fill(worker) } else { world.find(worker) }
        });
        let stats = world.map.stats();
        assert!(stats.promotions > 0, "growth was expected to promote tables: {stats}");
        assert_eq!(world.map.len() as u64, keys + 1);
        assert!((0..=keys).all(|key| world.map.contains_key(&key)), "every key was inserted");
    }
    tracked::assert_all_dropped();
}

impl Growing {
    fn fill(&self, worker: Worker) {
        let id = worker.id as u64;
        for key in (id..self.keys).step_by(self.writers as usize) {
            assert!(self.map.insert(Tracked::key(key), Tracked::new(key, 0)).is_none());
            // Release: pairs with the load in `find`, for readers that insist on what they look for.
            self.filled[worker.id].store(key + 1, Ordering::Release);
        }
    }

    /// Every other reader does not look at `filled` first: nothing but the map itself may order it after a writer.
    fn find(&self, mut worker: Worker) {
        let insists = worker.id.is_multiple_of(2);
        // Relaxed: only the end is looked for.
        while self.filled.iter().any(|filled| filled.load(Ordering::Relaxed) + self.writers < self.keys) {
            for _ in 0..64 {
                let writer = worker.below(self.writers);
                // Acquire: pairs with the store in `fill`.
                let filled = if insists { self.filled[writer as usize].load(Ordering::Acquire) } else { self.keys };
                let key = worker.below(filled / self.writers + 1) * self.writers + writer;
                let found = self.map.get(&key).map(|value| value.version_of(key)).is_some();
                assert!(found || !insists || key >= filled, "{key} is not found, though all below {filled} are there");
            }
        }
    }
}
