//! Threads that come and go, maps that come and go, and what a thread does with a map while it ends.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use readmostly::{Ref, Snapshot, SyncMap};

use crate::crew::{Crew, Settings, Worker, crew, launch};
use crate::tracked::{self, Payload, Tracked};
use crate::views::Mailbox;

type Map = SyncMap<Tracked, Tracked>;

/// Overwrites that one operation may free in return: what is left over shows how much its thread left behind.
const GARBAGE: u64 = 40;

fn put(map: &Map, id: u64, version: u64) {
    map.insert(Tracked::key(id), Tracked::new(id, version));
}

// ---------------------------------------------------------------------------------------------------------------------

/// Threads that do a few operations and end, leaving garbage behind.
pub(crate) fn visitors(settings: &Settings) {
    let world =
        Arc::new((settings.keys, (0..settings.keys).map(|id| (Tracked::key(id), Tracked::new(id, 0))).collect()));
    let mut settings = *settings;
    let mut pace = settings.by(GARBAGE * settings.threads as u64).pace();
    let mut last = Crew::default();
    while pace.goes_on() {
        settings.seed += 1;
        let next = launch(&settings, &world, 0..settings.threads, visit);
        // So that some end while others begin.
        std::mem::replace(&mut last, next).join();
    }
    last.join();
    let map: &Map = &world.1;
    map.compact();
    map.flush();
    assert_eq!(map.stats().pending_garbage, 0, "threads that have ended hold nothing back: {}", map.stats());
    assert_eq!(tracked::live(), 2 * map.len() as u64, "keys and values of the entries alone are left");
    drop(world);
    tracked::assert_all_dropped();
}

fn visit((keys, map): &(u64, Map), mut worker: Worker) {
    for _ in 0..GARBAGE {
        let id = worker.below(*keys);
        match worker.below(8) {
            0 => drop(map.remove(&(keys + id))),
            1 => put(map, keys + id, 0),
            2..5 => put(map, id, 0),
            _ => assert!(map.get(&id).is_some_and(|value| value.version_of(id) == 0)),
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------

static LEFT: Map = SyncMap::new();

/// What a thread keeps until it ends.
struct LastWords {
    id: u64,
    held: Option<Ref<'static, Tracked, Tracked>>,
}

impl Drop for LastWords {
    fn drop(&mut self) {
        let id = self.id;
        if let Some(held) = self.held.take() {
            held.version_of(id);
        }
        // The thread's registration with the epoch may be gone already.
        let first = LEFT.get(&id).expect("no other thread removes it");
        put(&LEFT, id, 1);
        let second = LEFT.pin();
        assert_eq!((first.version_of(id), second.get(&id).map(|value| value.version_of(id))), (0, Some(1)));
        drop((first, second));
        if id.is_multiple_of(2) {
            LEFT.remove(&id);
        }
    }
}

thread_local! {
    static LAST_WORDS: RefCell<Option<LastWords>> = const { RefCell::new(None) };
}

/// Threads that still hold a guard, and use a map, while their thread-locals are destroyed.
pub(crate) fn exits(settings: &Settings) {
    static THREADS: AtomicU64 = AtomicU64::new(0);

    let mut settings = *settings;
    let mut pace = settings.by(100).pace();
    // The first use is a matter of its own: see `first_use`.
    put(&LEFT, u64::MAX, 0);
    while pace.goes_on() {
        settings.seed += 1;
        crew(&settings, &Arc::new(()), |(), mut worker| {
            // Relaxed: for being different.
            let id = THREADS.fetch_add(1, Ordering::Relaxed);
            // In which order thread-locals are destroyed depends on the order in which they were first used.
            if worker.one_in(2) {
                LAST_WORDS.with(|_| ());
            }
            put(&LEFT, id, 0);
            let held = LEFT.get(&id).filter(|_| worker.one_in(2));
            LAST_WORDS.set(Some(LastWords { id, held }));
        });
    }
    LEFT.clear();
    LEFT.flush();
    assert_eq!(LEFT.stats().pending_garbage, 0, "threads that have ended hold nothing back: {}", LEFT.stats());
    tracked::assert_all_dropped();
}

// ---------------------------------------------------------------------------------------------------------------------

struct Nested {
    /// Maps as values: dropped, with garbage of their own, by whichever thread drops what the outer map has retired.
    outer: SyncMap<u64, Map>,
    snapshots: Mailbox<Snapshot<Tracked, Tracked>>,
}

/// Maps that are made, used by several threads, and dropped while garbage waits in them and snapshots share them.
pub(crate) fn maps(settings: &Settings) {
    const PLACES: u64 = 4;

    let outer = (0..PLACES).map(|place| (place, littered(30, 0))).collect();
    let world = Arc::new(Nested { outer, snapshots: Mailbox::new() });
    crew(&settings.by(10), &world, |world, mut worker| {
        while worker.goes_on() {
            let place = worker.below(PLACES);
            match worker.below(4) {
                0 => {
                    let entries = worker.below(60);
                    let map = littered(entries, GARBAGE);
                    if worker.one_in(2) {
                        world.snapshots.put(map.snapshot());
                    }
                    world.outer.insert(place, map);
                }
                1 => drop(world.snapshots.take().map(|snapshot| check(&snapshot))),
                _ => use_inner(&mut worker, &world.outer.get(&place).expect("present throughout")),
            }
        }
    });
    drop(world);
    tracked::assert_all_dropped();
}

/// A map with entries, and with values that were replaced and are not freed yet.
fn littered(entries: u64, garbage: u64) -> Map {
    let map = Map::new();
    put(&map, 0, 0);
    for round in 0..=garbage / 8 {
        (0..entries).for_each(|id| put(&map, id, round));
        (0..entries / 2).for_each(|id| drop(map.remove(&id)));
    }
    map
}

fn check(snapshot: &Snapshot<Tracked, Tracked>) {
    snapshot.for_each(|key, value| assert!(value.version_of(key.id()) <= GARBAGE));
}

fn use_inner(worker: &mut Worker, inner: &Map) {
    for _ in 0..GARBAGE / 4 {
        let id = worker.below(60);
        match worker.below(3) {
            0 => put(inner, id, 0),
            1 => drop(inner.remove(&id).map(|old| old.version_of(id))),
            _ => drop(inner.get(&id).map(|value| value.version_of(id))),
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------

/// Threads that race to be the first to use a map.
pub(crate) fn first_use(settings: &Settings) {
    let mut pace = settings.by(50).pace();
    while pace.goes_on() {
        let world = Arc::new(Map::new());
        crew(settings, &world, |map, worker| {
            let id = worker.id as u64;
            match id % 3 {
                0 => put(map, 0, id),
                1 => put(map, id, id),
                _ => map.snapshot().for_each(|key, value| assert!(value.version_of(key.id()) % 3 < 2)),
            }
        });
        let ids = (0..settings.threads as u64).filter(|id| id % 3 == 1);
        assert_eq!(world.len(), 1 + ids.clone().count());
        assert!(ids.into_iter().all(|id| world.get(&id).is_some_and(|value| value.version_of(id) == id)));
    }
    tracked::assert_all_dropped();
}
