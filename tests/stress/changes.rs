//! Writers that meet: on keys that come and go, on counters, and with `clear`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use readmostly::{Compute, Operation, SyncMap, SyncSet};

use crate::crew::{Settings, Worker, crew};
use crate::tracked::{self, Payload, Tracked};

type Map = SyncMap<Tracked, Tracked>;

/// Keys of threads' own start here, apart from those that all share.
const OWN: u64 = 1 << 32;

fn put(map: &Map, id: u64, version: u64) -> Option<u64> {
    map.insert(Tracked::key(id), Tracked::new(id, version)).map(|old| old.version_of(id))
}

fn look(map: &Map, id: u64) -> Option<u64> {
    map.get(&id).map(|value| value.version_of(id))
}

/// The number of entries that an iteration shows.
fn count(map: &Map) -> usize {
    let mut entries = 0;
    map.range(|key, value| {
        value.version_of(key.id());
        entries += 1;
        true
    });
    entries
}

// ---------------------------------------------------------------------------------------------------------------------

struct Churned {
    map: Map,
    keys: u64,
    writers: u64,
}

/// Keys are inserted, removed and inserted again, each by one thread, while others look them up. The first eighth is
/// there throughout.
pub(crate) fn churn(settings: &Settings) {
    let keys = settings.keys;
    let map = (0..keys / 8).map(|key| (Tracked::key(key), Tracked::new(key, 0))).collect();
    let world = Arc::new(Churned { map, keys, writers: settings.threads as u64 / 2 });
    crew(
        settings,
        &world,
        |world, worker| {
            if (worker.id as u64) < world.writers { world.change(worker) } else { world.watch(worker) }
        },
    );
    assert_eq!(count(&world.map), world.map.len());
    drop(world);
    tracked::assert_all_dropped();
}

impl Churned {
    fn change(&self, mut worker: Worker) {
        let (first, own) = (self.keys / 8 + worker.id as u64, self.keys / self.writers);
        // What this thread's keys have, and the version that each had last.
        let mut model = vec![(None, 0); own as usize];
        let mut passing = OWN * (1 + worker.id as u64);
        while worker.goes_on() {
            for _ in 0..16 {
                let number = worker.below(own);
                let id = first + number * self.writers;
                self.change_one(&mut worker, id, &mut model[number as usize]);
            }
            // Keys that never come back, and so make tables fill up and be compacted.
            passing += 1;
            assert_eq!(put(&self.map, passing, 0), None);
            assert!(self.map.remove(&passing).is_some_and(|old| old.version_of(passing) == 0));
            match worker.below(256) {
                0 => self.map.compact(),
                1 => self.map.promote(),
                2 => self.map.reserve(self.keys as usize),
                3 => self.map.flush(),
                _ => {}
            }
        }
    }

    fn change_one(&self, worker: &mut Worker, id: u64, (current, version): &mut (Option<u64>, u64)) {
        let map = &self.map;
        let as_value = |version: u64| Tracked::new(id, version);
        let before = *current;
        match worker.below(8) {
            0..3 => {
                *version += 1;
                *current = Some(*version);
                assert_eq!(put(map, id, *version), before, "insert of {id}");
            }
            3 => {
                let inserted = map.try_insert(Tracked::key(id), as_value(*version + 1)).is_ok();
                assert_eq!(inserted, before.is_none(), "try_insert of {id}");
                if inserted {
                    *version += 1;
                    *current = Some(*version);
                }
            }
            4 => {
                let expected = as_value(before.unwrap_or(0));
                let removed = map.compare_and_remove(&id, &expected).is_some();
                assert_eq!(removed, before.is_some(), "compare_and_remove of {id}");
                *current = None;
            }
            5 => {
                let removed = map.remove_if(&id, |_, value| value.version_of(id) % 2 == 0).is_some();
                assert_eq!(removed, before.is_some_and(|version| version % 2 == 0), "remove_if of {id}");
                *current = before.filter(|_| !removed);
            }
            _ => {
                assert_eq!(map.remove(&id).map(|old| old.version_of(id)), before, "remove of {id}");
                *current = None;
            }
        }
        assert_eq!(look(map, id), *current, "get of {id}");
    }

    fn watch(&self, mut worker: Worker) {
        let mut seen = vec![0; self.keys as usize];
        while worker.goes_on() {
            let pinned = self.map.pin();
            for _ in 0..16 {
                let id = worker.below(self.keys);
                let found =
                    if worker.one_in(2) { pinned.get(&id).map(|v| v.version_of(id)) } else { look(&self.map, id) };
                assert!(found.is_some() || id >= self.keys / 8, "{id} is present throughout, but was not found");
                let last = &mut seen[id as usize];
                assert!(found.is_none_or(|version| version >= *last), "{id} fell from {last} to {found:?}");
                *last = found.unwrap_or(*last);
            }
            drop(pinned);
            worker.rest_sometimes();
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------

struct Counted {
    map: Map,
    /// How often all threads have counted up, and what was in entries that they removed.
    ups: AtomicU64,
    removed: AtomicU64,
}

/// All threads count the same few keys up, in all ways that there are, and remove them when they are high.
pub(crate) fn counters(settings: &Settings) {
    const KEYS: u64 = 8;

    let map = (0..KEYS / 2).map(|id| (Tracked::key(id), Tracked::new(id, 0))).collect();
    let world = Arc::new(Counted { map, ups: AtomicU64::new(0), removed: AtomicU64::new(0) });
    crew(settings, &world, |world, mut worker| {
        let (mut ups, mut removed) = (0, 0);
        while worker.goes_on() {
            for _ in 0..16 {
                let id = worker.below(KEYS);
                let (up, out) = world.count(&mut worker, id);
                ups += up;
                removed += out;
            }
        }
        // Relaxed: read when the threads have been joined.
        world.ups.fetch_add(ups, Ordering::Relaxed);
        world.removed.fetch_add(removed, Ordering::Relaxed);
    });
    let mut left = 0;
    world.map.range(|key, value| {
        left += value.version_of(key.id());
        true
    });
    let [ups, removed] = [&world.ups, &world.removed].map(|sum| sum.load(Ordering::Relaxed));
    assert_eq!(left + removed, ups, "every count must be in an entry, {left}, or in one that was removed, {removed}");
    drop(world);
    tracked::assert_all_dropped();
}

impl Counted {
    /// Returns how much was counted up, and how much was taken out.
    fn count(&self, worker: &mut Worker, id: u64) -> (u64, u64) {
        const HIGH: u64 = 200;

        let map = &self.map;
        let up = |value: &Tracked| Tracked::new(id, value.version_of(id) + 1);
        match worker.below(5) {
            0 => (u64::from(map.update(&id, up).is_some()), 0),
            1 => match map.get(&id) {
                None => (0, 0),
                Some(current) => (u64::from(map.compare_and_swap(&id, &current, up(&current)).is_ok()), 0),
            },
            2 => (u64::from(map.try_insert(Tracked::key(id), Tracked::new(id, 1)).is_ok()), 0),
            3 => (0, map.remove_if(&id, |_, value| value.version() > HIGH).map_or(0, |old| old.version_of(id))),
            _ => {
                let counted = map.compute(Tracked::key(id), |current| match current {
                    Some(value) if value.version_of(id) > HIGH => Operation::Remove,
                    Some(value) => Operation::Insert(up(value)),
                    None if id.is_multiple_of(2) => Operation::Insert(Tracked::new(id, 1)),
                    None => Operation::Abort(()),
                });
                match counted {
                    Compute::Inserted(_) => (1, 0),
                    Compute::Updated { old, new } => {
                        assert_eq!(old.version_of(id) + 1, new.version_of(id));
                        (1, 0)
                    }
                    Compute::Removed(old) => (0, old.version_of(id)),
                    Compute::Aborted(()) | Compute::Absent => (0, 0),
                }
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------

struct Cleared {
    map: Map,
    keys: u64,
}

/// Each thread inserts keys of its own; the first one clears now and then.
pub(crate) fn clear(settings: &Settings) {
    let world = Arc::new(Cleared { map: Map::new(), keys: settings.keys });
    put(&world.map, 0, 0);
    crew(settings, &world, |world, mut worker| {
        let first = OWN * (1 + worker.id as u64);
        // What each key had when it was looked at last, and the version it was given last.
        let mut model = vec![(None, 0); world.keys as usize / 4];
        while worker.goes_on() {
            if worker.id == 0 && worker.one_in(8) {
                world.map.clear();
            }
            for _ in 0..16 {
                let number = worker.below(model.len() as u64);
                world.change(&mut worker, first + number, &mut model[number as usize]);
            }
        }
    });
    assert_eq!(count(&world.map), world.map.len());
    world.map.clear();
    assert!(world.map.is_empty() && count(&world.map) == 0);
    world.map.flush();
    assert_eq!(world.map.stats().pending_garbage, 0, "all threads are gone: {}", world.map.stats());
    assert_eq!(tracked::live(), 0, "an empty map holds nothing once it was flushed");
    drop(world);
    tracked::assert_all_dropped();
}

impl Cleared {
    /// An entry is as its thread left it, or it was cleared; and then it is gone until the thread brings it back.
    fn change(&self, worker: &mut Worker, id: u64, (current, version): &mut (Option<u64>, u64)) {
        let map = &self.map;
        let (found, left) = match worker.below(4) {
            0 => (map.remove(&id).map(|old| old.version_of(id)), None),
            1 => (look(map, id), *current),
            _ => (put(map, id, *version + 1), Some(*version + 1)),
        };
        assert!(found.is_none() || found == *current, "{id} had {current:?}, then {found:?}");
        let now = look(map, id);
        assert!(now.is_none() || now == left, "{id} has {now:?}, where nothing or {left:?} was expected");
        if now == Some(*version + 1) {
            *version += 1;
        }
        *current = now;
    }
}

// ---------------------------------------------------------------------------------------------------------------------

struct Members {
    set: SyncSet<Tracked>,
    keys: u64,
    /// By member: how often it was added less how often it was taken out.
    balance: Vec<AtomicU64>,
}

/// All threads add and remove the same members of a set: values without a size.
pub(crate) fn members(settings: &Settings) {
    let keys = settings.keys;
    let world =
        Arc::new(Members { set: SyncSet::new(), keys, balance: (0..keys).map(|_| AtomicU64::new(0)).collect() });
    world.set.insert(Tracked::key(keys));
    crew(settings, &world, |world, mut worker| {
        while worker.goes_on() {
            for _ in 0..16 {
                let id = worker.below(world.keys);
                match worker.below(4) {
                    0 => assert!(world.set.get(&id).is_none_or(|member| member.key().id() == id)),
                    // Relaxed, both: read when the threads have been joined.
                    1 if world.set.remove(&id) => drop(world.balance[id as usize].fetch_sub(1, Ordering::Relaxed)),
                    2 if world.set.insert(Tracked::key(id)) => {
                        world.balance[id as usize].fetch_add(1, Ordering::Relaxed);
                    }
                    _ => assert!(world.set.contains(&world.keys), "present throughout"),
                }
            }
            if worker.one_in(64) {
                world.set.retain(|member| member.id() != world.keys + 1);
            }
        }
    });
    let mut members = 1;
    for (id, balance) in (0..).zip(&world.balance) {
        let balance = balance.load(Ordering::Relaxed);
        assert_eq!(u64::from(world.set.contains(&id)), balance, "member {id}: as often added as it is there");
        members += balance;
    }
    assert_eq!(world.set.len() as u64, members);
    drop(world);
    tracked::assert_all_dropped();
}
