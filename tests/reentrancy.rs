//! Every method may be called from every closure and from the destructor of a value, on the same map: nothing deadlocks
//! and nothing runs forever.

mod common;

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use common::within;
use readmostly::{Operation, SyncMap};

type Map = SyncMap<u32, u64>;

const ENTRIES: u32 = 48;
const LIMIT: Duration = Duration::from_secs(60);

fn numbered() -> Map {
    (0..ENTRIES).map(|key| (key, u64::from(key))).collect()
}

/// Uses up a result that does not matter.
fn ignore<T>(result: T) {
    std::hint::black_box(result);
}

type Method = fn(&Map, u32, u32);

/// Every method, called for a key that may be present and for one that was never inserted before.
const METHODS: &[(&str, Method)] = &[
    ("get", |map, key, new| ignore((map.get(&key), map.get(&new)))),
    ("get_cloned", |map, key, new| ignore((map.get_cloned(&key), map.contains_key(&new)))),
    ("insert present", |map, key, _| drop(map.insert(key, 1))),
    ("insert new", |map, _, new| drop(map.insert(new, 1))),
    ("insert several new", |map, _, new| (0..20).for_each(|i| drop(map.insert(new * 20 + i, 1)))),
    ("try_insert", |map, key, new| {
        let _ = (map.try_insert(key, 1).is_ok(), map.try_insert(new, 1).is_ok());
    }),
    ("get_or_insert", |map, key, new| ignore((map.get_or_insert(key, 1), map.get_or_insert(new, 1)))),
    ("get_or_insert_with", |map, key, new| {
        map.get_or_insert_with(key, || map.len() as u64);
        map.get_or_insert_with(new, || map.len() as u64);
    }),
    ("get_or_try_insert_with", |map, key, new| {
        let _ = map.get_or_try_insert_with(key, || Err(map.len())).is_ok();
        let _ = map.get_or_try_insert_with(new, || Err(map.len())).is_ok();
    }),
    ("update", |map, key, new| ignore((map.update(&key, |value| value + 1), map.update(&new, |value| value + 1)))),
    ("compute insert", |map, key, new| {
        for key in [key, new] {
            let _ = map.compute(key, |_| Operation::<u64, ()>::Insert(2));
        }
    }),
    ("compute remove", |map, key, new| {
        for key in [key, new] {
            let _ = map.compute(key, |_| Operation::<u64, ()>::Remove);
        }
    }),
    ("compute abort", |map, key, _| drop(map.compute(key, |value| Operation::Abort(value.copied())))),
    ("compare_and_swap", |map, key, new| {
        let _ = (map.compare_and_swap(&key, &u64::from(key), 3).is_ok(), map.compare_and_swap(&new, &0, 3).is_ok());
    }),
    ("compare_and_remove", |map, key, _| drop(map.compare_and_remove(&key, &u64::from(key)))),
    ("remove", |map, key, new| ignore((map.remove(&key), map.remove(&new)))),
    ("remove and insert", |map, key, _| ignore((map.remove(&key), map.insert(key, 4)))),
    ("remove_if", |map, key, _| drop(map.remove_if(&key, |_, value| value % 2 == 0))),
    ("retain", |map, key, _| map.retain(|&other, _| other != key)),
    ("clear", |map, _, _| map.clear()),
    ("clear and insert", |map, key, new| {
        map.clear();
        map.insert(key, 5);
        map.insert(new, 5);
    }),
    ("range", |map, _, _| map.range(|key, _| map.contains_key(key))),
    ("range that inserts", |map, _, new| {
        map.range(|&key, _| {
            map.insert(new * ENTRIES + key % ENTRIES, 6);
            true
        });
    }),
    ("snapshot", |map, _, _| map.snapshot().for_each(|key, _| drop(map.get(key)))),
    ("iter", |map, _, _| map.pin().iter().for_each(|(key, _)| drop(map.get(key)))),
    ("keys and values", |map, _, _| ignore((map.pin().keys().count(), map.pin().values().count()))),
    ("pinned insert and remove", |map, key, new| {
        let mut pin = map.pin();
        pin.insert(new, 7);
        pin.remove(&key);
        pin.repin();
        pin.update(&new, |value| value + 1);
    }),
    ("len", |map, _, _| ignore((map.len(), map.is_empty(), map.capacity()))),
    ("promote", |map, _, _| map.promote()),
    ("compact", |map, _, _| map.compact()),
    ("flush", |map, _, _| map.flush()),
    ("reserve", |map, _, _| map.reserve(ENTRIES as usize)),
    ("insert, remove, compact", |map, key, new| {
        map.insert(new, 8);
        map.remove(&key);
        map.compact();
    }),
    ("insert and promote", |map, _, new| {
        map.insert(new, 9);
        map.promote();
    }),
    ("clone and compare", |map, _, _| assert!(map.clone() == *map)),
    ("extend", |map, key, new| {
        let mut shared = map;
        shared.extend([(key, 10), (new, 10)]);
    }),
    ("debug", |map, _, _| drop(format!("{map:?} {} {:?}", map.stats(), map.hasher()))),
    ("a snapshot kept and dropped later", |map, key, new| {
        let snapshot = map.snapshot();
        map.insert(new, 11);
        map.remove(&key);
        map.compact();
        drop(snapshot);
    }),
];

/// Runs `test` with every method and a map of its own, and looks whether the map is in order afterwards.
fn with_every_method(test: impl Fn(&Map, &dyn Fn(u32)) + Send + 'static) {
    within(LIMIT, move || {
        for (name, method) in METHODS {
            let map = numbered();
            let calls = Cell::new(0);
            test(&map, &|key| {
                calls.set(calls.get() + 1);
                method(&map, key, 1000 + calls.get());
            });
            assert!(calls.get() > 0, "{name} was never called");

            let mut keys = HashSet::new();
            map.range(|&key, _| keys.insert(key));
            assert_eq!(keys.len(), map.len(), "after {name}");
            assert!(keys.iter().all(|key| map.contains_key(key)), "after {name}");
            map.insert(0, 42);
            assert_eq!(map.get_cloned(&0), Some(42), "after {name}");
        }
    });
}

/// R4: from the closure of a range, which is called for no more keys than there were.
#[test]
fn from_range() {
    with_every_method(|map, call| {
        let mut visited = HashSet::new();
        map.range(|&key, _| {
            assert!(key < ENTRIES, "key {key} was inserted after the range began");
            assert!(visited.insert(key), "range visited key {key} twice");
            call(key);
            true
        });
    });
}

#[test]
fn from_snapshot() {
    with_every_method(|map, call| {
        let mut visited = HashSet::new();
        map.snapshot().for_each(|&key, _| {
            assert!(key < ENTRIES, "key {key} was inserted after the snapshot was taken");
            assert!(visited.insert(key), "the snapshot visited key {key} twice");
            call(key);
        });
    });
}

#[test]
fn while_iterating_under_a_pin() {
    with_every_method(|map, call| {
        let mut visited = HashSet::new();
        for (&key, _) in &map.pin() {
            assert!(visited.insert(key), "the iterator visited key {key} twice");
            call(key);
        }
    });
}

#[test]
fn from_retain() {
    with_every_method(|map, call| {
        let mut visited = HashSet::new();
        map.retain(|&key, _| {
            // A key may come again if its value changed before it could be removed.
            if key < ENTRIES && visited.insert(key) {
                call(key);
            }
            key % 2 == 0
        });
    });
}

/// The closures of updates run again when the value changed meanwhile, so the method is called the first time alone.
fn once<'a>(call: &'a dyn Fn(u32), key: u32) -> impl FnMut() + 'a {
    let mut first = true;
    move || {
        if std::mem::take(&mut first) {
            call(key);
        }
    }
}

#[test]
fn from_update_and_compute() {
    with_every_method(|map, call| {
        let mut call_once = once(call, 1);
        map.update(&1, |value| {
            call_once();
            value + 1
        });

        for (key, insert) in [(2, true), (3, false), (500, true), (501, false)] {
            let (mut call_once, mut present) = (once(call, key), false);
            let _ = map.compute(key, |value| {
                present = value.is_some();
                call_once();
                if insert { Operation::<u64, ()>::Insert(1) } else { Operation::Remove }
            });
            // If it saw an absent key, the method may have inserted that after it looked.
            assert!(insert || !present || !map.contains_key(&key), "compute was told to remove key {key}");
        }
    });
}

#[test]
fn from_get_or_insert_with() {
    with_every_method(|map, call| {
        map.get_or_insert_with(500, || {
            call(500);
            1
        });
        assert!(map.contains_key(&500), "after get_or_insert_with the key must be present");
        let failed = map.get_or_try_insert_with(501, || {
            call(502);
            Err(())
        });
        assert!(failed.is_err() && !map.contains_key(&501), "a failed closure must insert nothing");
    });
}

#[test]
fn from_remove_if() {
    with_every_method(|map, call| {
        for key in [1, 2] {
            let mut call_once = once(call, key);
            map.remove_if(&key, |_, _| {
                call_once();
                key == 1
            });
        }
    });
}

/// Under a guard, with references at hand, which must stay what they were.
#[test]
fn while_references_are_held() {
    with_every_method(|map, call| {
        let (by_ref, pin) = (map.get(&1).expect("key 1 was inserted"), map.pin());
        let value = pin.get(&2).expect("key 2 was inserted");
        for key in 0..4 {
            call(key);
        }
        assert_eq!((*by_ref.key(), *by_ref, *value), (1, 1, 2));
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// Other threads

/// Maintenance ends, however busy other threads are. A flush frees what was retired before it began, not what they
/// retire meanwhile; a promotion or compaction does not chase their inserts.
#[test]
fn maintenance_ends_while_others_write() {
    const WRITERS: u32 = 4;
    const TIMES: u32 = 8;
    const LIMIT: Duration = Duration::from_secs(8);

    type Method = fn(&Map);
    let maintenance: [(&str, Method); 4] = [
        ("promote", |map| map.promote()),
        ("compact", |map| map.compact()),
        ("reserve", |map| map.reserve(ENTRIES as usize)),
        ("flush", |map| map.flush()),
    ];
    for (name, method) in maintenance {
        let map = &numbered();
        let done = AtomicBool::new(false);
        // Writers stop even if the method does not come back, so that it can.
        let deadline = Instant::now() + 2 * LIMIT;
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let done = &done;
                scope.spawn(move || {
                    for round in (0..u64::MAX).take_while(|_| !done.load(SeqCst) && Instant::now() < deadline) {
                        let key = (round as u32 * 7 + writer) % (4 * ENTRIES);
                        if round % 3 == 0 { drop(map.remove(&key)) } else { drop(map.insert(key, round)) }
                    }
                });
            }
            let mut took = Duration::ZERO;
            for _ in 0..TIMES {
                thread::sleep(Duration::from_millis(10));
                let start = Instant::now();
                method(map);
                took += start.elapsed();
                if took > LIMIT {
                    break;
                }
            }
            done.store(true, SeqCst);
            assert!(took < LIMIT, "{TIMES} times {name} took {took:?} or more beside {WRITERS} writers");
        });
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Destructors

/// A value that uses the map it was in when it is dropped.
struct Talkative {
    map: Weak<SyncMap<u32, Talkative>>,
    dropped: Arc<AtomicU64>,
    generation: u32,
}

impl Drop for Talkative {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, SeqCst);
        let Some(map) = self.map.upgrade() else { return };
        map.contains_key(&1);
        map.range(|_, _| true);
        map.remove(&u32::MAX);
        // One generation of descendants, or it would never end.
        if self.generation == 0 {
            let child = Talkative { map: self.map.clone(), dropped: Arc::clone(&self.dropped), generation: 1 };
            map.insert(1000 + map.len() as u32 % 16, child);
        }
        map.flush();
    }
}

#[test]
fn from_destructors() {
    within(LIMIT, || {
        let map = Arc::new(SyncMap::new());
        let dropped = Arc::new(AtomicU64::new(0));
        let mut made = 0;
        let mut make = || {
            made += 1;
            Talkative { map: Arc::downgrade(&map), dropped: Arc::clone(&dropped), generation: 0 }
        };
        for round in 0..20 {
            for key in 0..50 {
                map.insert(key, make());
            }
            map.retain(|key, _| key % 2 == 0);
            map.compact();
            map.flush();
            match round % 4 {
                0 => map.clear(),
                1 => map.promote(),
                _ => drop(map.insert(round, make())),
            }
        }
        map.clear();
        map.flush();
        drop(map);
        assert!(dropped.load(SeqCst) >= made, "{made} values were made, {} dropped", dropped.load(SeqCst));
    });
}
