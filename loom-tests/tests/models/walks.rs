//! Iterations, snapshots and `clear` against changes.

use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;

use readmostly_loom_tests::*;

/// The keys of an iteration under one guard, in order.
fn keys(map: &Map) -> Vec<u64> {
    let pinned = map.pin();
    let mut keys: Vec<_> = pinned.iter().map(|(key, value)| (key.number(), value.number()).0).collect();
    keys.sort_unstable();
    keys
}

fn sorted(snapshot: &readmostly::Snapshot<Key, Value>) -> Vec<u64> {
    let mut keys = Vec::new();
    snapshot.for_each(|key, value| {
        value.number();
        keys.push(key.number());
    });
    keys.sort_unstable();
    keys
}

/// The keys of an iteration in slices as small as can be, in order.
fn keys_in_slices(map: &Map) -> Vec<u64> {
    let (mut next, mut keys) = (Some(readmostly::Cursor::default()), Vec::new());
    while let Some(cursor) = next {
        next = map.range_until(0, cursor, |key, value| keys.push((key.number(), value.number()).0));
    }
    keys.sort_unstable();
    keys
}

#[test]
pub(crate) fn slices_against_a_promotion() {
    check_bounded([vec![1, 2, 3]], || {
        let map = amended();
        together(&map, keys_in_slices, |map| map.promote()).0
    });
}

#[test]
pub(crate) fn slices_against_an_insert() {
    check_bounded([vec![1, 2, 3], vec![1, 2, 3, 4]], || {
        let map = amended();
        together(&map, keys_in_slices, |map| insert(map, 4, 40)).0
    });
}

#[test]
pub(crate) fn slices_against_remove_and_insert_again() {
    check_bounded([vec![1], vec![]], || {
        let map = map_of(2, [1]);
        together(&map, keys_in_slices, |map| {
            remove(map, 1);
            insert(map, 1, 11);
        })
        .0
    });
}

#[test]
pub(crate) fn iteration_against_an_insert() {
    check([vec![1, 2, 3], vec![1, 2, 3, 4]], || {
        let map = amended();
        together(&map, keys, |map| insert(map, 4, 40)).0
    });
}

#[test]
pub(crate) fn iteration_against_a_promotion() {
    check([vec![1, 2, 3]], || {
        let map = amended();
        together(&map, keys, |map| map.promote()).0
    });
}

#[test]
pub(crate) fn iteration_against_remove_and_insert_again() {
    check([vec![1], vec![]], || {
        let map = map_of(2, [1]);
        together(&map, keys, |map| {
            remove(map, 1);
            insert(map, 1, 11);
        })
        .0
    });
}

/// The key set of a snapshot is that of one moment, and stays so.
#[test]
pub(crate) fn a_snapshot_keeps_its_keys() {
    check([(vec![1], vec![1]), (vec![1, 2], vec![1, 2])], || {
        let map = map_of(2, [1]);
        let (seen, _) = together(
            &map,
            |map| {
                let snapshot = map.snapshot();
                (sorted(&snapshot), sorted(&snapshot))
            },
            |map| insert(map, 2, 20),
        );
        assert_eq!(entries(map), [(1, 10), (2, 20)]);
        seen
    });
}

/// Who joins a snapshot without the lock sees every key that was in the table when it was frozen.
#[test]
pub(crate) fn joining_a_snapshot() {
    check_bounded([(vec![1], vec![1]), (vec![1, 2], vec![1, 2])], || {
        let map = map_of(2, [1]);
        let (seen, _held) = together(
            &map,
            |map| {
                let snapshot = map.snapshot();
                (sorted(&snapshot), sorted(&snapshot))
            },
            |map| {
                insert(map, 2, 20);
                map.snapshot()
            },
        );
        seen
    });
}

/// Two that freeze one table, of which one lets go, and an insert.
#[test]
pub(crate) fn two_snapshots_of_one_table() {
    check_bounded([(vec![1], vec![1]), (vec![1, 2], vec![1, 2])], || {
        let map = map_of(2, [1]);
        let first = map.snapshot();
        let (seen, ()) = together(
            &map,
            |map| {
                let second = map.snapshot();
                (sorted(&second), sorted(&second))
            },
            move |map| {
                drop(first);
                insert(map, 2, 20);
            },
        );
        assert_eq!(entries(map), [(1, 10), (2, 20)]);
        seen
    });
}

/// A snapshot is read while its table is two promotions old and the map has been cleared.
#[test]
pub(crate) fn a_snapshot_across_two_promotions_and_a_clear() {
    check_bounded([vec![1, 2], vec![1], vec![]], || {
        let map = map_of(2, [1, 2]);
        let snapshot = map.snapshot();
        let (seen, ()) = together(
            &map,
            move |_| sorted(&snapshot),
            |map| {
                map.reserve(3);
                remove(map, 2);
                map.compact();
                map.clear();
                map.flush();
                map.flush();
            },
        );
        assert_eq!(entries(map), []);
        seen
    });
}

/// The snapshot outlives the map.
#[test]
pub(crate) fn a_snapshot_after_the_map() {
    check([vec![1, 2]], || {
        let map = map_of(2, [1, 2]);
        let snapshot = map.snapshot();
        let reader = loom::thread::spawn(move || sorted(&snapshot));
        drop(map);
        reader.join().unwrap()
    });
}

/// One thread moves the entries out, the other drops the last of the garbage: a first value in a node.
#[test]
pub(crate) fn a_snapshot_ends_while_entries_are_moved_out() {
    check_bounded([Some(1), None], || {
        let map = map_of(1, [1]);
        insert(&map, 1, 11);
        let snapshot = map.snapshot();
        let other = loom::thread::spawn(move || drop(snapshot));
        let map = Rc::into_inner(map).expect("nobody else has it");
        // Panics while the snapshot shares the entries.
        let moving = panic::catch_unwind(AssertUnwindSafe(|| map.into_iter())).ok();
        let moved = moving.map(Iterator::count);
        other.join().unwrap();
        moved
    });
}

#[test]
pub(crate) fn clear_against_an_insert() {
    check([(None, vec![]), (None, vec![(3, 30)])], || {
        let map = map_of(4, [1, 2]);
        let ((), old) = together(&map, |map| map.clear(), |map| insert(map, 3, 30));
        (old, entries(map))
    });
}

#[test]
pub(crate) fn clear_against_an_overwrite() {
    check([(Some(10), vec![]), (None, vec![(1, 11)])], || {
        let map = map_of(4, [1]);
        let ((), old) = together(&map, |map| map.clear(), |map| insert(map, 1, 11));
        (old, entries(map))
    });
}

#[test]
pub(crate) fn clear_against_a_lookup() {
    check([(Some(10), None), (None, None), (Some(10), Some(10))], || {
        let map = amended();
        let ((), found) = together(&map, |map| map.clear(), |map| (get(map, 1), get(map, 1)));
        assert_eq!(entries(map), []);
        found
    });
}

#[test]
pub(crate) fn clear_against_remove() {
    check([Some(10), None], || {
        let map = map_of(2, [1]);
        let ((), removed) = together(&map, |map| map.clear(), |map| remove(map, 1));
        assert_eq!(map.len(), 0);
        removed
    });
}

#[test]
pub(crate) fn clear_against_the_copier() {
    check([()], || {
        let map = amended();
        together(&map, |map| map.clear(), |map| map.promote());
        assert_eq!(map.len(), 0);
        assert_eq!(entries(map), []);
    });
}

#[test]
pub(crate) fn clear_twice() {
    check([()], || {
        let map = amended();
        together(&map, |map| map.clear(), |map| map.clear());
        assert_eq!(map.len(), 0);
        assert_eq!(entries(map), []);
    });
}

#[test]
pub(crate) fn compact_against_a_revive() {
    check_bounded([None], || {
        let map = map_of(4, [1, 2, 3]);
        remove(&map, 1);
        let ((), old) = together(&map, |map| map.compact(), |map| insert(map, 1, 11));
        assert_eq!(map.len(), 3);
        assert_eq!(entries(map), [(1, 11), (2, 20), (3, 30)]);
        old
    });
}

#[test]
pub(crate) fn retain_against_an_overwrite() {
    check([vec![(1, 11)]], || {
        let map = map_of(2, [1]);
        together(
            &map,
            |map| map.retain(|_, value| value.number() != 10),
            |map| {
                insert(map, 1, 11);
            },
        );
        entries(map)
    });
}

/// `retain` finds what lookups find, also while `clear` takes the tables out.
#[test]
pub(crate) fn retain_against_clear() {
    check([(0, None), (1, None), (1, Some(10))], || {
        let map = map_of(2, [1]);
        let (shown, ()) = together(
            &map,
            |map| {
                let mut shown = 0;
                map.retain(|_, _| {
                    shown += 1;
                    true
                });
                (shown, get(map, 1))
            },
            |map| map.clear(),
        );
        shown
    });
}
