//! References to parts of values.

mod common;

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use common::{Counted, Tally, eventually};
use readmostly::{MappedRef, Ref, SyncMap};

#[derive(Debug)]
struct Pair {
    first: Counted,
    second: Counted,
}

fn pairs(tally: &Tally) -> SyncMap<&'static str, Pair> {
    SyncMap::from([("pair", Pair { first: tally.make(1), second: tally.make(2) })])
}

#[test]
fn a_part_keeps_the_whole() {
    let tally = Tally::default();
    let map = pairs(&tally);
    let second = Ref::map(map.get("pair").unwrap(), |pair| {
        map.remove("pair");
        map.flush();
        &pair.second
    });
    // Moved about, as results are.
    let kept = Box::new(second);
    map.compact();
    map.flush();
    let second = *kept;
    assert_eq!((second.id(), second.value().id(), AsRef::<Counted>::as_ref(&second).id()), (2, 2, 2));
    assert_eq!((*second.key(), tally.live()), ("pair", 2));
    drop(second);
    eventually("flush frees the whole when the part is gone", || {
        map.flush();
        tally.live() == 0
    });
}

#[test]
fn parts_have_parts() {
    let map = SyncMap::from([(1, (vec![String::from("ab"), String::from("cd")], 7))]);
    let strings = Ref::map(map.get(&1).unwrap(), |value| &value.0);
    let string = MappedRef::map(strings, |strings| strings[1].as_str());
    let char = MappedRef::filter_map(string, |string| string.get(1..)).expect("a second character");
    assert_eq!((&*char, *char.key()), ("d", 1));
    let whole = MappedRef::filter_map(char, |char| char.get(2..)).expect_err("no third");
    assert_eq!(&*whole, "d", "what had no such part comes back");
}

#[test]
fn what_has_no_such_part_comes_back_whole() {
    let tally = Tally::default();
    let map = pairs(&tally);
    let whole = Ref::filter_map(map.get("pair").unwrap(), |_| None::<&u8>).expect_err("none was found");
    map.remove("pair");
    map.flush();
    assert_eq!((whole.first.id(), whole.second.id()), (1, 2));
    let part = Ref::filter_map(whole, |pair| Some(&pair.first)).expect("it has one");
    assert_eq!(part.id(), 1);
}

#[test]
fn a_part_may_be_of_any_size_or_from_elsewhere() {
    let map = SyncMap::from([("a", [1_u8, 2, 3])]);
    let entry = || map.get("a").unwrap();
    let slice: MappedRef<'_, _, _, [u8]> = Ref::map(entry(), |bytes| &bytes[1..]);
    let object: MappedRef<'_, _, _, dyn Display> = Ref::map(entry(), |bytes| &bytes[0] as &dyn Display);
    let elsewhere: MappedRef<'_, _, _, str> = Ref::map(entry(), |_| "static");
    assert_eq!((&slice[..], object.to_string(), &*elsewhere), (&[2, 3][..], String::from("1"), "static"));
    let text: &str = elsewhere.as_ref();
    assert_eq!(text.len(), 6);
}

/// The guard goes with the closure's panic, or nothing would ever be freed again.
#[test]
fn a_panic_lets_go() {
    let tally = Tally::default();
    let map = pairs(&tally);
    fn stop(_: &Pair) -> &Counted {
        std::panic::resume_unwind(Box::new("stop"))
    }
    let panicked = catch_unwind(AssertUnwindSafe(|| Ref::map(map.get("pair").unwrap(), stop).id()));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"stop"));
    map.remove("pair");
    eventually("flush frees what was removed", || {
        map.flush();
        tally.live() == 0
    });
}

#[test]
fn parts_print_themselves() {
    let map = SyncMap::from([("a", ("text", 1))]);
    let text = Ref::map(map.get("a").unwrap(), |value| value.0);
    assert_eq!(format!("{text} {text:>6}"), "text   text");
    assert_eq!(format!("{text:?}"), r#"MappedRef { key: "a", value: "text" }"#);
}

// ---------------------------------------------------------------------------------------------------------------------
// Other things that are asked for and cost nothing

#[test]
fn counting_up_inserts_first() {
    let map = SyncMap::new();
    common::race(4, |_| {
        for n in 0..2000 {
            map.update_or_insert_with(n % 7, |count| count + 1, || 1);
            if n % 100 == 0 {
                assert!(*map.pin().update_or_insert_with(n % 7, |count| count + 1, || 1) >= 1);
            }
        }
    });
    assert_eq!(map.pin().values().sum::<u64>(), 4 * (2000 + 20), "none is lost, and none inserted over another");
    let (mut updated, mut inserted) = (0, 0);
    let mut count = |key| {
        *map.update_or_insert_with(
            key,
            |_| {
                updated += 1;
                10
            },
            || {
                inserted += 1;
                20
            },
        )
    };
    assert_eq!((count(0), count(100)), (10, 20));
    assert_eq!((updated, inserted), (1, 1), "one of both is called");
}

#[test]
fn removed_entries_come_with_their_keys() {
    let map = SyncMap::from([(String::from("a"), 1)]);
    let pinned = map.pin();
    let (key, value) = pinned.remove_entry("a").expect("it is there");
    map.flush();
    assert_eq!((key.as_str(), *value), ("a", 1));
    assert_eq!(pinned.remove_entry("a"), None);
}

#[test]
fn maps_and_sets_extend_by_copies() {
    let more = std::collections::HashMap::from([(1, 10), (2, 20)]);
    let mut map = SyncMap::from([(1, 0)]);
    map.extend(&more);
    assert_eq!(map, SyncMap::from([(1, 10), (2, 20)]));
    let mut set = readmostly::SyncSet::from([3]);
    set.extend(more.keys());
    assert_eq!(set, readmostly::SyncSet::from([1, 2, 3]));
    assert_eq!((set.pin().len(), set.pin().is_empty()), (3, false));
}

#[test]
fn a_detached_entry_is_the_callers_alone() {
    let tally = Tally::default();
    let map = SyncMap::new();
    let entry = map.detached(tally.make(1), tally.make(2));
    assert!(map.is_empty() && map.get(&1).is_none());
    map.insert(tally.make(1), tally.make(3));
    map.clear();
    map.flush();
    assert_eq!((entry.key().id(), entry.id()), (1, 2), "it stays while it is held");
    drop(entry);
    eventually("flush frees it when it is let go", || {
        map.flush();
        tally.live() == 0
    });
}

#[test]
fn detached_entries_are_dropped_by_those_that_follow() {
    let tally = Tally::default();
    let map = SyncMap::new();
    for _ in 0..10_000 {
        drop(map.detached(tally.make(1), tally.make(2)));
    }
    eventually("what was let go is dropped", || {
        drop(map.detached(tally.make(1), tally.make(2)));
        tally.is_mostly_dropped()
    });
    drop(map);
    assert_eq!(tally.live(), 0);

    // Without a destructor, too.
    let map = SyncMap::new();
    eventually("few wait to be freed, after many", || {
        for n in 0..10_000 {
            drop(map.detached(n, n));
        }
        map.stats().pending_garbage < 2_000
    });
}
