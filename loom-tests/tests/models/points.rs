//! Operations on one key against each other and against the copy.

use readmostly::Operation;
use readmostly_loom_tests::*;

/// The outcome in which both threads find what they look for.
const BOTH: [(Option<u64>, Option<u64>); 1] = [(Some(30), Some(30))];

#[test]
pub(crate) fn insert_is_found_or_not() {
    check([None, Some(10)], || {
        let map = map_of(0, []);
        let (found, old) = together(&map, |map| get(map, 1), |map| insert(map, 1, 10));
        assert_eq!(old, None);
        assert_eq!(entries(map), [(1, 10)]);
        found
    });
}

#[test]
pub(crate) fn overwrite_is_seen_or_not() {
    check([(10, 10), (10, 11), (11, 11)], || {
        let map = map_of(1, [1]);
        let found = together(&map, |map| (get(map, 1), get(map, 1)), |map| insert(map, 1, 11)).0;
        assert_eq!(entries(map), [(1, 11)]);
        (found.0.unwrap(), found.1.unwrap())
    });
}

/// Both miss, and one of them, or both, help the copy to its end.
#[test]
pub(crate) fn misses_promote() {
    check(BOTH, || {
        let map = amended();
        let found = together(&map, |map| get(map, 3), |map| get(map, 3));
        assert_eq!(map.stats().promotions, 1);
        assert_eq!(entries(map), [(1, 10), (2, 20), (3, 30)]);
        found
    });
}

/// A key that is there throughout, while the table that the lookup starts at is promoted away by a reader.
#[test]
pub(crate) fn lookup_while_a_reader_promotes() {
    check([(Some(10), Some(30))], || {
        let map = amended();
        let found = together(&map, |map| get(map, 1), |map| get(map, 3));
        assert_eq!(entries(map), [(1, 10), (2, 20), (3, 30)]);
        found
    });
}

/// The table that the lookup starts at is replaced, and so is the next; the key's node may be expunged and made anew.
#[test]
pub(crate) fn lookup_across_two_promotions() {
    check([Some(10)], || {
        let map = amended();
        let found = together(
            &map,
            |map| get(map, 1),
            |map| {
                map.promote();
                let snapshot = map.snapshot();
                insert(map, 4, 40);
                drop(snapshot);
                map.promote();
            },
        );
        assert_eq!(map.stats().promotions, 2);
        found.0
    });
}

/// As above, for a key that is removed, expunged by the first copy and inserted again while the reader is on its way:
/// once inserted it must not be missed, wherever the reader started.
#[test]
pub(crate) fn lookup_of_a_key_made_anew() {
    check([None, Some(10), Some(11)], || {
        let map = amended();
        let found = together(
            &map,
            |map| get(map, 1),
            |map| {
                remove(map, 1);
                map.promote();
                insert(map, 1, 11);
            },
        );
        assert_eq!(entries(map), [(1, 11), (2, 20), (3, 30)]);
        found.0
    });
}

/// The node that the lookup finds first is dead, the key's live one is in the next table: it is there throughout.
#[test]
pub(crate) fn lookup_of_a_dead_node_while_promoted() {
    check([Some(44)], || {
        let map = amended_with_expunged();
        let found = together(&map, |map| get(map, 4), |map| insert(map, 5, 50)).0;
        assert_eq!(entries(map), [(1, 10), (2, 20), (3, 30), (4, 44), (5, 50)]);
        found
    });
}

#[test]
pub(crate) fn overwrite_during_the_copy() {
    check([(Some(10), ())], || {
        let map = amended();
        let outcome = together(&map, |map| insert(map, 1, 11), |map| map.promote());
        assert_eq!(entries(map), [(1, 11), (2, 20), (3, 30)]);
        outcome
    });
}

#[test]
pub(crate) fn insert_of_a_new_key_during_the_copy() {
    check([(None, ())], || {
        let map = amended();
        let outcome = together(&map, |map| insert(map, 4, 40), |map| map.promote());
        assert_eq!(entries(map), [(1, 10), (2, 20), (3, 30), (4, 40)]);
        outcome
    });
}

/// live -> tombstone -> live or expunged -> a new node: nothing comes back to life, no insert is lost.
#[test]
pub(crate) fn remove_and_insert_again_against_the_copier() {
    check_bounded([()], || {
        let map = amended();
        let ((removed, old), ()) = together(&map, |map| (remove(map, 1), insert(map, 1, 11)), |map| map.promote());
        assert_eq!((removed, old), (Some(10), None));
        assert_eq!(entries(map), [(1, 11), (2, 20), (3, 30)]);
    });
}

/// Remove, the copier's expunge and a re-insert by three threads.
#[test]
#[cfg_attr(readmostly_crossbeam, ignore = "three threads with crossbeam-epoch take hours")]
pub(crate) fn remove_against_copier_against_insert() {
    check_bounded([(Some(10), Some(10), true), (Some(10), None, true), (Some(11), Some(10), false)], || {
        let map = amended();
        let copier = spawn(&map, |map| map.promote());
        let inserter = spawn(&map, |map| insert(map, 1, 11));
        let removed = remove(&map, 1);
        copier.join().unwrap();
        let old = inserter.join().unwrap();
        let is_there = entries(map).contains(&(1, 11));
        (removed, old, is_there)
    });
}

/// A tombstone from before: the copier expunges it, or an insert revives it first.
#[test]
pub(crate) fn revive_against_the_copier() {
    check([None], || {
        let map = amended();
        remove(&map, 1);
        let old = together(&map, |map| insert(map, 1, 11), |map| map.promote()).0;
        assert_eq!(entries(map), [(1, 11), (2, 20), (3, 30)]);
        old
    });
}

#[test]
pub(crate) fn get_or_insert_twice() {
    check([(10, 10), (11, 11)], || {
        let map = map_of(1, []);
        let (a, b) = together(
            &map,
            |map| map.get_or_insert(Key::new(1), Value::new(10)).number(),
            |map| map.get_or_insert(Key::new(1), Value::new(11)).number(),
        );
        assert_eq!(entries(map), [(1, a)]);
        (a, b)
    });
}

#[test]
pub(crate) fn remove_twice() {
    check([(Some(10), None), (None, Some(10))], || {
        let map = map_of(1, [1]);
        let removed = together(&map, |map| remove(map, 1), |map| remove(map, 1));
        assert_eq!(entries(map), []);
        removed
    });
}

/// Go's replacement for its map had a compare-and-swap that could bring a removed key back (golang/go#70970).
#[test]
pub(crate) fn compare_and_swap_against_remove() {
    check([(true, Some(11)), (false, Some(10))], || {
        let map = map_of(1, [1]);
        let (swapped, removed) = together(
            &map,
            |map| map.compare_and_swap(&At(1), &Value::new(10), Value::new(11)).is_ok(),
            |map| remove(map, 1),
        );
        assert_eq!(entries(map), []);
        (swapped, removed)
    });
}

#[test]
pub(crate) fn compare_and_swap_twice() {
    check([(true, false), (false, true)], || {
        let map = map_of(1, [1]);
        let swap = |to| move |map: &Map| map.compare_and_swap(&At(1), &Value::new(10), Value::new(to)).is_ok();
        let outcome = together(&map, swap(11), swap(12));
        assert_eq!(entries(map), [(1, if outcome.0 { 11 } else { 12 })]);
        outcome
    });
}

#[test]
pub(crate) fn compare_and_remove_against_overwrite() {
    check([(true, None), (false, Some(10))], || {
        let map = map_of(1, [1]);
        let (removed, old) =
            together(&map, |map| map.compare_and_remove(&At(1), &Value::new(10)).is_some(), |map| insert(map, 1, 11));
        assert_eq!(entries(map), [(1, 11)]);
        (removed, old)
    });
}

#[test]
pub(crate) fn computes_do_not_lose_updates() {
    let add = |map: &Map| {
        map.compute(Key::new(1), |value| Operation::<_, ()>::Insert(Value::new(value.map_or(0, Value::number) + 1)));
    };
    check([()], move || {
        let map = map_of(1, []);
        together(&map, add, add);
        assert_eq!(entries(map), [(1, 2)]);
    });
}

#[test]
pub(crate) fn computes_do_not_lose_updates_during_the_copy() {
    let add = |map: &Map| {
        map.update(&At(1), |value| Value::new(value.number() + 1));
    };
    check([()], move || {
        let map = amended();
        let (_, ()) = together(
            &map,
            move |map| add(map),
            |map| {
                map.promote();
            },
        );
        assert_eq!(entries(map), [(1, 11), (2, 20), (3, 30)]);
    });
}

/// Two new keys that both make the table grow.
#[test]
pub(crate) fn two_inserts_into_a_full_table() {
    check_bounded([()], || {
        let map = map_of(2, [1, 2]);
        together(&map, |map| insert(map, 3, 30), |map| insert(map, 4, 40));
        assert_eq!(map.len(), 4);
        assert_eq!(entries(map), [(1, 10), (2, 20), (3, 30), (4, 40)]);
    });
}
