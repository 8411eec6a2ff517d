//! Each figure moves when it should, and only then.

use std::thread;
use std::time::{Duration, Instant};

use readmostly::{Stats, SyncMap};

use crate::common::within;
use crate::{Key, amended, hold_the_lock, with_hook};

/// Far more than a step takes, and than what counts as long.
const LONG: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_new_map_has_nothing_to_tell() {
    assert_eq!(SyncMap::<u64, u64>::new().stats(), Stats::default());
}

#[test]
fn waits_are_timed() {
    within(LIMIT, || {
        let (map, next) = amended();
        let before = map.stats();
        assert_eq!((before.slow_path_waits, before.long_waits, before.longest_wait), (0, 0, Duration::ZERO));
        hold_the_lock(&map, next, LONG, move |map| drop(map.insert(Key(next + 1), 0)));
        let after = map.stats();
        assert_eq!((after.slow_path_waits, after.long_waits), (1, 1));
        assert!(after.longest_wait >= LONG / 2, "it was waited for {LONG:?}: {after}");
    });
}

#[test]
fn copies_and_promotions_are_timed() {
    let (map, next) = amended();
    let before = map.stats();
    assert!(before.longest_copy_time > Duration::ZERO, "{before}");

    let mut hashes = 0;
    let slow = move || {
        hashes += 1;
        if hashes == 2 {
            thread::sleep(LONG);
        }
    };
    let began = Instant::now();
    with_hook(slow, || map.insert(Key(next), 0));
    map.promote();
    let took = began.elapsed();
    let after = map.stats();
    assert_eq!(after.promotions, before.promotions + 1);
    assert!(after.longest_copy_time >= LONG, "{after}");
    assert!(after.longest_copy_time <= took.max(before.longest_copy_time), "{before}; {after} in {took:?}");
    assert!(after.longest_promotion >= LONG, "the copy was slow, so the promotion was: {after}");
    assert!(after.promotion_time >= before.promotion_time + LONG, "{before}; {after}");
    assert_eq!((after.slow_path_waits, after.compactions), (0, 0));

    // A step without a slow hash adds to the sum of promotions, and is no new longest.
    let began = Instant::now();
    map.reserve(10_000);
    let (took, then) = (began.elapsed(), map.stats());
    assert!(then.promotions > after.promotions && then.promotion_time > after.promotion_time, "{after}; {then}");
    assert!(then.longest_promotion <= after.longest_promotion.max(took), "{after}; {then} in {took:?}");
    assert!(then.longest_copy_time <= after.longest_copy_time.max(took), "{after}; {then} in {took:?}");
}

#[test]
fn an_insert_that_copies_nothing_times_nothing() {
    let map = SyncMap::with_capacity(1000);
    (0..1000).for_each(|n| drop(map.insert(n, n)));
    let stats = map.stats();
    let times = [stats.longest_copy_time, stats.longest_promotion, stats.promotion_time, stats.longest_wait];
    assert_eq!(times, [Duration::ZERO; 4], "{stats}");
}

#[test]
fn compactions_are_told_from_growth() {
    let map = SyncMap::new();
    (0..10_000).for_each(|n| drop(map.insert(n, n)));
    map.promote();
    let grown = map.stats();
    assert!(grown.promotions > 3, "{grown}");
    assert_eq!(grown.compactions, 0, "nothing was removed: {grown}");

    // By removes.
    (0..10_000).for_each(|n| drop(map.remove(&n)));
    map.promote();
    let emptied = map.stats();
    assert!(emptied.compactions > 0, "{emptied}");
    assert_eq!(emptied.compactions - grown.compactions, emptied.promotions - grown.promotions, "{emptied}");

    // By hand.
    (0..100).for_each(|n| drop(map.insert(n, n)));
    map.promote();
    map.remove(&0);
    let before = map.stats();
    map.compact();
    let compacted = map.stats();
    assert!(compacted.compactions > before.compactions, "{before}; {compacted}");

    // By inserts of fresh keys, of which few stay at any time.
    (0..10_000).for_each(|n| {
        map.insert(100_000 + n, n);
        map.remove(&(100_000 + n));
    });
    assert!(map.stats().compactions > compacted.compactions, "{}", map.stats());
}

/// A value whose destructor takes its time.
struct Slow(Duration);

impl Drop for Slow {
    fn drop(&mut self) {
        thread::sleep(self.0);
    }
}

#[test]
fn frees_are_timed() {
    const DROP: Duration = Duration::from_micros(200);
    type Work = fn(&SyncMap<u32, Slow>);
    let removes: Work = |map| {
        (0..200).for_each(|n| {
            map.insert(n, Slow(DROP));
            map.remove(&n);
        })
    };
    let overwrites: Work = |map| (0..200).for_each(|n| drop(map.insert(n % 4, Slow(DROP))));
    for work in [removes, overwrites] {
        let map = SyncMap::new();
        within_other_guards(|| {
            work(&map);
            map.stats().longest_free_time >= DROP
        });
    }
}

#[test]
fn a_flush_is_not_timed() {
    let map = SyncMap::new();
    (0..10).for_each(|n| drop(map.insert(n, Slow(Duration::from_micros(500)))));
    (0..10).for_each(|n| drop(map.remove(&n)));
    map.flush();
    let stats = map.stats();
    assert_eq!((stats.longest_free, stats.longest_free_time), (0, Duration::ZERO), "{stats}");
}

/// Does `work` again until it says that it has come to its end: guards of other tests may hold garbage back for a while.
fn within_other_guards(mut work: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !work() {
        assert!(Instant::now() < deadline, "garbage was expected to be freed, and timed, within {LIMIT:?}");
        // What collects meanwhile has slow destructors.
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn stats_show_their_times() {
    let (map, _) = amended();
    map.promote();
    map.compact();
    let mut stats = map.stats();
    stats.longest_wait = Duration::from_micros(123_456);
    stats.long_waits = 7;
    stats.longest_promotion = Duration::from_secs(71);
    stats.longest_free_time = Duration::from_nanos(345);
    let shown = stats.to_string();
    for part in ["123.5ms", "7 of these long", "71.0s", "345.0ns", &format!("{} compactions", stats.compactions)] {
        assert!(shown.contains(part), "expected {part} in: {shown}");
    }
}

#[cfg(feature = "serde")]
#[test]
fn times_are_seconds_in_json() {
    let mut stats = SyncMap::<u64, u64>::new().stats();
    stats.longest_wait = Duration::from_millis(250);
    stats.promotion_time = Duration::from_millis(1500);
    stats.long_waits = 3;
    let json = serde_json::to_value(stats).unwrap();
    assert_eq!(
        (&json["longest_wait"], &json["promotion_time"], &json["long_waits"]),
        (&0.25.into(), &1.5.into(), &3.into())
    );
    for time in ["longest_promotion", "longest_copy_time", "longest_free_time"] {
        assert!(json[time].is_f64(), "{time} is a number of seconds: {json}");
    }
}

#[test]
fn misses_count_however_many_values_are_freed_between_them() {
    let map: SyncMap<u64, String> = (0..100).map(|n| (n, String::new())).collect();
    map.promote();
    let snapshot = map.snapshot();
    map.insert(100, String::new());
    drop(snapshot);
    for round in 0..200 {
        assert!(map.get(&1000).is_none());
        map.insert(round % 100, String::new());
    }
    let stats = map.stats();
    assert!(stats.misses > 0, "absent keys were looked up while the map was amended: {stats}");
}
