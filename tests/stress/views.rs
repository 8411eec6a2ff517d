//! Ranges, iterators and snapshots while tables are promoted, compacted and cleared; snapshots that other threads drop.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use readmostly::{Snapshot, SyncMap};

use crate::crew::{Settings, Worker, crew};
use crate::tracked::{self, Payload, Tracked};

type Map = SyncMap<Tracked, Tracked>;

/// Things left by one thread for another.
///
/// The lock is only ever tried: waiting for it would be the standard library's code.
pub(crate) struct Mailbox<T>(Mutex<Vec<T>>);

impl<T> Mailbox<T> {
    pub(crate) fn new() -> Self {
        Mailbox(Mutex::new(Vec::new()))
    }

    /// Leaves something, unless much lies there or another thread is at the box.
    pub(crate) fn put(&self, thing: T) {
        if let Ok(mut things) = self.0.try_lock()
            && things.len() < 32
        {
            things.push(thing);
        }
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.0.try_lock().ok()?.pop()
    }
}

/// A snapshot, and a key that was not in the map when it was taken.
struct Taken {
    snapshot: Snapshot<Tracked, Tracked>,
    fresh: u64,
}

struct Viewed {
    map: Map,
    /// Keys below this are there throughout, unless the map is cleared.
    stay: u64,
    clears: bool,
    taken: Mailbox<Taken>,
}

/// Every thread looks at the map in all ways, and changes it.
pub(crate) fn views(settings: &Settings) {
    for clears in [false, true] {
        let stay = settings.keys / 4;
        let map = (0..stay).map(|key| (Tracked::key(key), Tracked::new(key, 0))).collect();
        let world = Arc::new(Viewed { map, stay, clears, taken: Mailbox::new() });
        crew(&settings.part(2).by(16), &world, |world, worker| world.work(worker));
        let world = Arc::into_inner(world).expect("all threads are gone");
        // The last snapshots outlive their map.
        drop(world.map);
        while let Some(taken) = world.taken.take() {
            taken.snapshot.for_each(|key, value| assert_eq!(value.version_of(key.id()), 0));
        }
        drop(world.taken);
        tracked::assert_all_dropped();
    }
}

impl Viewed {
    fn work(&self, mut worker: Worker) {
        let mut fresh = (1 + worker.id as u64) << 32;
        while worker.goes_on() {
            match worker.below(12) {
                0..3 => {
                    fresh += 1;
                    self.taken.put(self.take(fresh));
                }
                3..5 => self.range(&mut worker, &mut fresh),
                5 => self.iterate(),
                6 => self.retain(fresh),
                7 => self.map.promote(),
                8 => self.map.compact(),
                9 if self.clears => self.refill(&mut worker),
                _ => drop(self.taken.take().map(|taken| self.check(&taken))),
            }
        }
    }

    /// Takes a snapshot and inserts a key that must not show in it.
    fn take(&self, fresh: u64) -> Taken {
        let taken = Taken { snapshot: self.map.snapshot(), fresh };
        self.map.insert(Tracked::key(fresh), Tracked::new(fresh, 0));
        taken
    }

    fn check(&self, taken: &Taken) {
        let mut shown = Shown::new(self);
        taken.snapshot.for_each(|key, value| {
            assert_ne!(key.id(), taken.fresh, "a key that was new after the snapshot shows in it");
            shown.note(key, value);
        });
        shown.finish();
        self.map.remove(&taken.fresh);
    }

    /// A range during which the thread itself changes the map.
    fn range(&self, worker: &mut Worker, fresh: &mut u64) {
        let first = *fresh;
        let mut shown = Shown::new(self);
        self.map.range(|key, value| {
            assert!(key.id() <= first || key.id() > *fresh, "a key that was inserted during the range shows in it");
            shown.note(key, value);
            match worker.below(16) {
                0 => {
                    *fresh += 1;
                    self.map.insert(Tracked::key(*fresh), Tracked::new(*fresh, 0));
                }
                1 => drop(self.map.remove(&first)),
                2 => self.map.promote(),
                _ => {}
            }
            // Still there, though the map has changed.
            value.version_of(key.id());
            true
        });
        shown.finish();
    }

    fn iterate(&self) {
        let pinned = self.map.pin();
        let mut shown = Shown::new(self);
        pinned.iter().for_each(|(key, value)| shown.note(key, value));
        shown.finish();
    }

    /// Removes what the thread has inserted.
    fn retain(&self, fresh: u64) {
        let own = (fresh >> 32) << 32..=fresh;
        let mut shown = Shown::new(self);
        self.map.retain(|key, value| {
            shown.note(key, value);
            !own.contains(&key.id())
        });
        shown.finish();
    }

    fn refill(&self, worker: &mut Worker) {
        if worker.one_in(4) {
            self.map.clear();
        }
        for key in 0..self.stay {
            self.map.get_or_insert_with(Tracked::key(key), || Tracked::new(key, 0));
        }
    }
}

/// What one look at the map has shown so far.
struct Shown<'v> {
    viewed: &'v Viewed,
    staying: u64,
    keys: HashSet<u64>,
}

impl<'v> Shown<'v> {
    fn new(viewed: &'v Viewed) -> Self {
        Shown { viewed, staying: 0, keys: HashSet::new() }
    }

    fn note(&mut self, key: &Tracked, value: &Tracked) {
        let id = key.id();
        value.version_of(id);
        assert!(self.keys.insert(id), "{id} is shown twice");
        self.staying += u64::from(id < self.viewed.stay);
    }

    fn finish(self) {
        let Viewed { stay, clears, .. } = *self.viewed;
        assert!(self.staying == stay || clears, "{} of {stay} keys that are there throughout are shown", self.staying);
    }
}
