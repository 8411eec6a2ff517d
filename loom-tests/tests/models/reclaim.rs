//! What is read under a guard stays; what nobody can read any more goes, once.

use std::rc::Rc;

use loom::sync::Arc;
use readmostly_loom_tests::*;

/// Gives the reclaimer as many chances as it can need.
fn flush(map: &Map) {
    for _ in 0..4 {
        map.flush();
    }
}

/// Of threads that have been joined crossbeam-epoch may still have guards: those of their last collection.
fn assert_nothing_is_left(map: &Map) {
    assert!(cfg!(readmostly_crossbeam) || map.stats().pending_garbage == 0, "{:?}", map.stats());
}

/// Asserts on the way that both ends are seen: a model in which nothing is ever freed says nothing.
#[test]
pub(crate) fn a_replaced_value_stays_while_it_is_read() {
    check([(10, true), (10, false), (11, true), (11, false)], || {
        let map = map_of(1, [1]);
        insert(&map, 1, 10);
        let dropped = map.get(&At(1)).unwrap().dropped();
        let number = |map: &Map| {
            let found = map.get(&At(1)).unwrap();
            found.number() + 0 * found.key().number()
        };
        together(&map, number, move |map| {
            insert(map, 1, 11);
            flush(map);
            dropped.get()
        })
    });
}

#[test]
pub(crate) fn a_removed_value_stays_while_it_is_read() {
    check([(Some(10), true), (Some(10), false), (None, true), (None, false)], || {
        let map = map_of(1, [1]);
        let dropped = map.get(&At(1)).unwrap().dropped();
        together(
            &map,
            |map| get(map, 1),
            move |map| {
                remove(map, 1);
                flush(map);
                dropped.get()
            },
        )
    });
}

/// The value that lies in the node: it is replaced, then the node is expunged and retired, all while it may be read.
#[test]
pub(crate) fn the_first_value_stays_while_its_node_is_retired() {
    check(
        [(Some(10), true), (Some(10), false), (Some(11), true), (Some(11), false), (None, true), (None, false)],
        || {
            let map = map_of(1, [1]);
            let dropped = map.get(&At(1)).unwrap().dropped();
            together(
                &map,
                |map| get(map, 1),
                move |map| {
                    insert(map, 1, 11);
                    remove(map, 1);
                    map.compact();
                    flush(map);
                    dropped.get()
                },
            )
        },
    );
}

/// First value and node are freed by different threads, in either order: the second to come frees the memory.
#[test]
pub(crate) fn the_two_that_finish_with_a_node_meet() {
    check_bounded([()], || {
        let map = map_of(1, [1]);
        insert(&map, 1, 11);
        remove(&map, 1);
        together(&map, |map| map.compact(), flush);
        flush(&map);
        assert_nothing_is_left(&map);
    });
}

/// First value and node are due together. Two threads take one each, and the node's end may come first.
#[test]
pub(crate) fn a_node_goes_before_its_first_value() {
    check_bounded([()], || {
        let map = map_of(4, [1, 2]);
        let held = map.get(&At(2));
        insert(&map, 1, 11);
        remove(&map, 1);
        map.compact();
        drop(held);
        together(&map, flush, flush);
        flush(&map);
        assert_nothing_is_left(&map);
    });
}

/// A table is freed while a lookup may be in it.
#[test]
pub(crate) fn a_table_stays_while_it_is_read() {
    check([Some(10)], || {
        let map = map_of(1, [1]);
        together(
            &map,
            |map| get(map, 1),
            |map| {
                map.reserve(3);
                flush(map);
            },
        )
        .0
    });
}

#[test]
pub(crate) fn garbage_goes_with_the_map() {
    check_bounded([()], || {
        // Not an `Rc`: the order of its drops is the order in which the threads let go of the map.
        let map = Arc::new(Rc::into_inner(map_of(2, [1, 2])).unwrap());
        let others = Arc::clone(&map);
        let other = loom::thread::spawn(move || {
            insert(&others, 1, 11);
            remove(&others, 2);
        });
        insert(&map, 1, 12);
        drop(map);
        other.join().unwrap();
    });
}

/// Two threads free at a time, and take over each other's garbage.
#[test]
pub(crate) fn each_item_is_freed_once() {
    check_bounded([()], || {
        let map = map_of(2, [1, 2]);
        together(
            &map,
            |map| {
                insert(map, 1, 11);
                map.flush();
            },
            |map| {
                insert(map, 2, 21);
                map.flush();
            },
        );
        flush(&map);
        assert_nothing_is_left(&map);
    });
}

/// A hint that garbage waits is not lost between the thread that leaves it and the one that looks.
#[test]
#[cfg_attr(readmostly_crossbeam, ignore = "takes too long with crossbeam-epoch")]
pub(crate) fn what_is_owed_is_not_forgotten() {
    check_bounded([()], || {
        let map = map_of(2, [1, 2]);
        together(
            &map,
            |map| map.clear(),
            |map| {
                insert(map, 3, 30);
            },
        );
        for key in 4..16 {
            insert(&map, key, 0);
            remove(&map, key);
        }
        assert!(cfg!(readmostly_crossbeam) || map.stats().pending_garbage <= 6, "{:?}", map.stats());
    });
}

/// A reference outlives the guard under which it was found only if it has one of its own.
#[test]
pub(crate) fn a_value_inserted_stays_while_its_reference_is_held() {
    check_bounded([true, false], || {
        let map = map_of(1, []);
        let (dropped, ()) = together(
            &map,
            |map| {
                let inserted = map.get_or_insert(Key::new(1), Value::new(10));
                let dropped: Rc<_> = inserted.dropped();
                assert_eq!(inserted.number(), 10);
                drop(inserted);
                dropped.get()
            },
            |map| {
                remove(map, 1);
                flush(map);
            },
        );
        dropped
    });
}
