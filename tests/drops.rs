//! Every key and value is dropped exactly once, and when: on every path by which one can leave the map.

mod common;

use std::thread;

use common::{Counted, Tally, eventually, race};
use readmostly::{Operation, SyncMap};

type Map = SyncMap<Counted, Counted>;

/// A map of `entries` entries, and the tallies of its keys and values.
fn filled(entries: u32) -> (Map, Tally, Tally) {
    let (keys, values) = (Tally::default(), Tally::default());
    let map = Map::new();
    for id in 0..entries {
        assert!(map.insert(keys.make(id), values.make(id)).is_none());
    }
    (map, keys, values)
}

fn flushed(map: &Map) -> bool {
    map.flush();
    map.stats().pending_garbage == 0
}

#[test]
fn the_map_drops_what_it_holds() {
    for entries in [0, 1, 7, 100, 1500] {
        let (map, keys, values) = filled(entries);
        assert_eq!((keys.live(), values.live()), (i64::from(entries), i64::from(entries)));
        drop(map);
        assert_eq!((keys.live(), values.live()), (0, 0));
    }
}

#[test]
fn an_amended_map_drops_what_it_holds() {
    for entries in 1..600 {
        let (map, keys, values) = filled(entries);
        if map.stats().dirty_len > 0 {
            drop(map);
            assert_eq!((keys.live(), values.live()), (0, 0), "{entries} entries");
        }
    }
}

#[test]
fn overwritten_values_are_dropped() {
    let (map, keys, values) = filled(100);
    for round in 0..50 {
        for id in 0..100 {
            map.insert(keys.make(id), values.make(id + round));
        }
    }
    assert_eq!(keys.live(), 100, "the key given is dropped if the map has one");
    eventually("replaced values are dropped", || flushed(&map) && values.live() == 100);
    drop(map);
    assert_eq!((keys.live(), values.live(), values.created()), (0, 0, 5100));
}

#[test]
fn the_operations_own_only_what_they_keep() {
    let (map, keys, values) = filled(10);
    drop(map.try_insert(keys.make(1), values.make(1)));
    map.get_or_insert(keys.make(2), values.make(2));
    map.get_or_insert_with(keys.make(3), || unreachable!("the key has a value"));
    let failed: Result<_, Counted> = map.get_or_try_insert_with(keys.make(100), || Err(values.make(100)));
    drop(failed);
    assert!(map.update(&4, |old| values.make(old.id() + 1)).is_some());
    drop(map.compute(keys.make(5), |_| Operation::<Counted, Counted>::Abort(values.make(7))));
    drop(map.compute(keys.make(101), |_| Operation::<Counted, ()>::Remove));
    drop(map.compute(keys.make(6), |_| Operation::<Counted, ()>::Insert(values.make(6))));
    assert!(map.compare_and_swap(&7, &values.make(0), values.make(8)).is_err());
    assert!(map.compare_and_swap(&7, &values.make(7), values.make(8)).is_ok());
    assert!(map.compare_and_remove(&8, &values.make(0)).is_none());
    assert_eq!(map.len(), 10);
    eventually("nothing else is kept", || flushed(&map) && (keys.live(), values.live()) == (10, 10));
}

#[test]
fn removed_entries_are_dropped() {
    for with in ["remove", "retain", "clear"] {
        let (map, keys, values) = filled(500);
        match with {
            "remove" => (0..500).for_each(|id| assert!(map.remove(&id).is_some())),
            "retain" => map.retain(|_, _| false),
            _ => map.clear(),
        }
        assert!(map.is_empty());
        map.compact();
        eventually("keys and values go", || flushed(&map) && (keys.live(), values.live()) == (0, 0));
    }
}

#[test]
fn a_reference_keeps_its_entry() {
    let (map, keys, values) = filled(10);
    let entry = map.get(&3).unwrap();
    assert!(map.remove(&3).is_some());
    map.clear();
    map.compact();
    map.flush();
    assert_eq!((entry.key().id(), entry.value().id()), (3, 3));
    assert!(values.live() >= 1 && keys.live() >= 1);
    drop(entry);
    eventually("it goes with the reference", || flushed(&map) && (keys.live(), values.live()) == (0, 0));
}

#[test]
fn a_removed_value_is_returned_alive() {
    let (map, _keys, _values) = filled(2000);
    for id in 0..2000 {
        let removed = map.remove(&id).unwrap();
        map.flush();
        assert_eq!((removed.key().id(), removed.value().id()), (id, id));
    }
}

#[test]
fn into_iter_moves_entries_out() {
    for (entries, taken) in [(0, 0), (300, 0), (300, 10), (300, 300), (1345, 700)] {
        let (map, keys, values) = filled(entries);
        map.insert(keys.make(1), values.make(1));
        map.remove(&2);
        let len = map.len();
        let mut owned = map.into_iter();
        let kept: Vec<_> = owned.by_ref().take(taken).collect();
        assert_eq!(kept.len(), taken.min(len));
        drop(owned);
        assert_eq!((keys.live(), values.live()), (kept.len() as i64, kept.len() as i64));
        drop(kept);
        assert_eq!((keys.live(), values.live()), (0, 0));
    }
}

#[test]
#[should_panic(expected = "while a Snapshot shares them")]
fn into_iter_refuses_while_a_snapshot_shares_the_entries() {
    let (map, ..) = filled(10);
    let _snapshot = map.snapshot();
    let _ = map.into_iter();
}

#[test]
fn snapshots_that_outlive_the_map_drop_the_rest() {
    let (map, keys, values) = filled(800);
    let early = map.snapshot();
    (0..400).for_each(|id| assert!(map.remove(&id).is_some()));
    (1000..3000).for_each(|id| drop(map.insert(keys.make(id), values.make(id))));
    let late = map.snapshot();
    (500..600).for_each(|id| drop(map.insert(keys.make(id), values.make(9))));
    drop(map);
    let count = |snapshot: &readmostly::Snapshot<Counted, Counted>| {
        let mut entries = 0;
        snapshot.for_each(|key, value| entries += usize::from(key.id() < 3000 && value.id() < 3000));
        entries
    };
    assert_eq!((count(&early), count(&late)), (400, 2400));
    drop(early);
    assert_eq!(count(&late), 2400);
    drop(late);
    assert_eq!((keys.live(), values.live()), (0, 0));
}

#[test]
fn snapshots_dropped_on_other_threads_while_the_map_goes() {
    for round in 0..200 {
        let (map, keys, values) = filled(100 + round);
        let snapshots: Vec<_> = (0..4).map(|_| map.snapshot()).collect();
        thread::scope(|scope| {
            for snapshot in snapshots {
                scope.spawn(move || {
                    let mut entries = 0;
                    snapshot.for_each(|key, value| entries += usize::from(key.id() == value.id()));
                    assert_eq!(entries, 100 + round as usize);
                    drop(snapshot);
                });
            }
            scope.spawn(move || drop(map));
        });
        assert_eq!((keys.live(), values.live()), (0, 0), "round {round}");
    }
}

#[test]
fn threads_that_end_leave_no_garbage_behind() {
    let (map, keys, values) = filled(100);
    for _ in 0..20 {
        race(4, |thread| {
            for id in 0..100 {
                map.insert(keys.make(id), values.make(thread as u32));
            }
        });
    }
    eventually("garbage of ended threads is freed", || flushed(&map) && values.live() == 100);
    drop(map);
    assert_eq!((keys.live(), values.live()), (0, 0));
}

#[test]
fn nothing_is_lost_in_a_free_for_all() {
    let (map, keys, values) = filled(0);
    race(6, |thread| {
        let mut random = common::Random::new(thread as u64);
        for _ in 0..20_000 {
            let id = random.below(300) as u32;
            match random.below(12) {
                0..=3 => drop(map.insert(keys.make(id), values.make(id))),
                4..=6 => drop(map.remove(&id)),
                7 => drop(map.update(&id, |old| values.make(old.id()))),
                8 => drop(map.try_insert(keys.make(id), values.make(id))),
                9 if id == 0 => map.clear(),
                10 if id < 3 => drop(map.snapshot()),
                _ => {
                    if let Some(entry) = map.get(&id) {
                        assert_eq!((entry.key().id(), entry.value().id()), (id, id));
                    }
                }
            }
        }
    });
    let mut entries = 0;
    map.range(|key, value| {
        assert_eq!(key.id(), value.id());
        entries += 1;
        true
    });
    assert_eq!(entries, map.len());
    eventually("garbage is freed", || flushed(&map) && values.live() == entries as i64);
    drop(map);
    assert_eq!((keys.live(), values.live()), (0, 0));
}

#[test]
fn a_drop_that_writes_to_the_map_does_not_nest() {
    use std::cell::Cell;
    use std::sync::{Arc, Weak};

    thread_local!(static DEPTH: Cell<usize> = const { Cell::new(0) });

    struct Writes(Weak<SyncMap<u32, Writes>>);
    impl Drop for Writes {
        fn drop(&mut self) {
            let depth = DEPTH.get() + 1;
            assert!(depth < 3, "destructors run destructors run destructors");
            DEPTH.set(depth);
            if let Some(map) = self.0.upgrade() {
                map.remove(&7);
                map.update(&8, |_| Writes(Weak::new()));
                map.flush();
            }
            DEPTH.set(depth - 1);
        }
    }

    let map = Arc::new(SyncMap::new());
    let value = || Writes(Arc::downgrade(&map));
    (0..10).for_each(|key| drop(map.insert(key, value())));
    // Much garbage, none of which can be freed yet, so that one destructor finds more when it writes.
    let entry = map.get(&1);
    (0..20_000).for_each(|n| drop(map.insert(n % 10, value())));
    drop(entry);
    (0..20_000).for_each(|n| drop(map.insert(n % 10, value())));
    eventually("garbage is freed", || {
        map.flush();
        map.stats().pending_garbage < 10
    });
}

#[test]
fn a_thread_local_destructor_may_use_a_map() {
    use std::cell::RefCell;
    use std::sync::Arc;

    struct AtExit(Arc<Map>, Tally);
    impl Drop for AtExit {
        fn drop(&mut self) {
            assert_eq!(self.0.get(&1).unwrap().value().id(), 1);
            self.0.insert(self.1.make(1), self.1.make(1));
            self.0.range(|_, _| true);
        }
    }
    thread_local!(static AT_EXIT: RefCell<Option<AtExit>> = const { RefCell::new(None) });

    let (map, _keys, values) = filled(10);
    let map = Arc::new(map);
    for _ in 0..100 {
        let (map, tally) = (Arc::clone(&map), values.clone());
        thread::spawn(move || {
            // Before the first pin, so that it is destroyed after what the pin registers.
            AT_EXIT.set(Some(AtExit(Arc::clone(&map), tally)));
            assert!(map.get(&2).is_some());
        })
        .join()
        .unwrap();
    }
    // Were a guard left behind, nothing would ever be freed again.
    eventually("garbage is freed", || flushed(&map));
}
