//! `SyncMap` against `HashMap`, through the map itself and through a `Pinned`.

use std::cell::Cell;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use readmostly::SyncMap;

use crate::common::{Tally, TestHasher, race, threads};
use crate::ops::Step;
use crate::reference::Model;
use crate::run_map::{Map, apply_per_call, apply_pinned, compare, run};
use crate::strategies;
use crate::views::Expected;

under_all_hashers!(
    few_keys_collide_and_come_back,
    many_keys_grow_copy_and_promote,
    keys_leave_and_come_back_while_tables_are_copied,
    clear_at_every_size,
    keys_come_back_while_others_copy,
    threads_follow_models_of_their_own,
);

fn few_keys_collide_and_come_back<S: TestHasher>() {
    const KEYS: u32 = 16;
    let op = prop_oneof![4 => strategies::single_key(0..KEYS), 1 => strategies::whole_map(KEYS)];
    crate::check(300, strategies::case(op, 120, KEYS), |case| {
        run::<S>(&case, KEYS);
    });
}

fn many_keys_grow_copy_and_promote<S: TestHasher>() {
    let keys = S::MANY;
    let op = prop_oneof![8 => strategies::single_key(0..keys), 1 => strategies::whole_map(keys), 1 => strategies::bulk(0, keys)];
    let (promotions, copied_slots) = (Cell::new(0), Cell::new(0));
    crate::check(40, strategies::case(op, 100, keys), |case| {
        let stats = run::<S>(&case, keys);
        promotions.set(promotions.get() + stats.promotions);
        copied_slots.set(copied_slots.get() + stats.copied_slots);
    });
    assert!(promotions.get() > 0, "the sequences were expected to promote a table at least once");
    assert!(copied_slots.get() > 0, "the sequences were expected to copy a slot at least once");
}

/// Not random: at every step of every copy one key leaves, another comes back, and all are looked up.
fn keys_leave_and_come_back_while_tables_are_copied<S: TestHasher>() {
    for size in [1, 7, 30, 100] {
        let tally = Tally::default();
        let (map, mut model) = (Map::<S>::default(), Model::new());
        let insert = |model: &mut Model, key, value| {
            let old = map.insert(tally.make(key), tally.make(value)).map(|old| old.id());
            assert_eq!(old, model.insert(key, value), "insert of {key}");
        };
        for key in 0..size {
            insert(&mut model, key, key);
        }
        for (fresh, leaving) in (size..3 * size).zip((0..size).cycle()) {
            let back = (leaving + size / 2) % size;
            assert_eq!(map.remove(&leaving).map(|old| old.id()), model.remove(&leaving), "remove of {leaving}");
            insert(&mut model, fresh, fresh);
            insert(&mut model, back, fresh);
            for key in 0..=fresh {
                assert_eq!(map.get(&key).map(|value| value.id()), model.get(&key).copied(), "key {key} of {fresh}");
            }
        }
        compare(&map, &model, 3 * size);
    }
}

/// At some of the sizes a copy is under way.
fn clear_at_every_size<S: TestHasher>() {
    let tally = Tally::default();
    let map = Map::<S>::default();
    for size in 0..120 {
        for round in 0..2 {
            for key in 0..size {
                let new = map.insert(tally.make(key), tally.make(round)).is_none();
                assert!(new, "key {key} is left after a clear");
            }
            // Only looked up: an iteration would end the copy.
            for key in 0..=size {
                assert_eq!(map.get_cloned(&key).map(|value| value.id()), (key < size).then_some(round));
            }
            map.clear();
            assert!(
                map.is_empty() && (0..size).all(|key| !map.contains_key(&key)),
                "after clear {round} of {size} keys"
            );
        }
    }
    drop(map);
    assert_eq!(tally.live(), 0);
}

/// A removed key may come back at the very moment at which a copy leaves it behind; neither may lose it.
fn keys_come_back_while_others_copy<S: TestHasher>() {
    const TIME: Duration = Duration::from_millis(600);
    const KEYS: u32 = 16;

    let map: SyncMap<u32, u32, S> = (0..KEYS * 2).map(|key| (key, 0)).collect();
    let end = Instant::now() + TIME;
    race(3, |id| {
        if id == 2 {
            while Instant::now() < end {
                map.compact();
            }
            return;
        }
        for round in 0.. {
            let own = (0..KEYS).map(|key| key * 2 + id as u32);
            for key in own {
                assert_eq!(map.remove(&key).as_deref(), Some(&round), "remove of {key} in round {round}");
                assert!(map.insert(key, round + 1).is_none(), "insert of {key} in round {round}");
                assert_eq!(map.get_cloned(&key), Some(round + 1), "get of {key} in round {round}");
            }
            if Instant::now() > end {
                break;
            }
        }
    });
    assert_eq!(map.len(), KEYS as usize * 2);
}

/// Each thread has keys of its own, and for these sees exactly what it would see without the others, who make tables
/// grow, be copied, promoted and compacted meanwhile.
fn threads_follow_models_of_their_own<S: TestHasher>() {
    const KEYS: u32 = 24;
    const PASSING: u32 = 60;
    const OPS: usize = 3000;

    let tally = Tally::default();
    let map: Map<S> = Map::default();
    let threads = threads() as u32;
    let models = race(threads as usize, |id| {
        let id = id as u32;
        let own = (0..KEYS).prop_map(move |key| key * threads + id);
        let op = prop_oneof![24 => strategies::single_key(own), 1 => strategies::bulk(1_000_000 * (id + 1), PASSING)];
        let step = (Just(false), op).prop_map(|(pinned, op)| Step { pinned, op });
        let steps = vec(step, OPS).new_tree(&mut TestRunner::default()).expect("nothing is filtered out").current();
        let mut expected = Expected::default();
        for (round, group) in steps.chunks(8).enumerate() {
            match round % 8 {
                0 => map.compact(),
                4 => map.promote(),
                _ => {}
            }
            if round % 2 == 0 {
                apply_pinned(&map, &mut expected, &tally, group);
            } else {
                apply_per_call(&map, &mut expected, &tally, group);
            }
        }
        for key in 0..KEYS * threads {
            if key % threads == id {
                assert_eq!(map.get(&key).map(|value| value.id()), expected.model.get(&key).copied(), "key {key}");
            }
        }
        expected.model
    });
    let all: Model = models.into_iter().flatten().collect();
    compare(&map, &all, KEYS * threads);
    drop(map);
    assert_eq!(tally.live(), 0);
}
