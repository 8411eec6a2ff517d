//! What no operation may exceed, however large the map: slots copied, destructors run, memory kept after removal.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use readmostly::SyncMap;

/// The most slots that an operation copies: two buckets of seven.
const COPY_BOUND: usize = 14;

/// The most destructors that an operation runs.
const FREE_BOUND: usize = 8;

/// One test at a time: a guard that another test's thread holds when the system interrupts it would keep garbage
/// pending.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn scattered(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[test]
fn the_longest_copy_does_not_grow_with_the_map() {
    let _alone = alone();
    let map = SyncMap::new();
    let mut seen = Vec::new();
    for n in 0..4_000_000_u64 {
        map.insert(scattered(n), n);
        if [1_000, 100_000, 4_000_000].contains(&(n + 1)) {
            seen.push(map.stats().longest_copy);
        }
    }
    assert!(seen.iter().all(|&longest| (1..=COPY_BOUND).contains(&longest)), "{seen:?}");
    let stats = map.stats();
    assert!(stats.promotions >= 15, "it grew by copying: {stats}");
    assert!(stats.copied_slots <= 3 * 4_000_000, "copies are amortised: {stats}");
}

#[test]
fn the_longest_copy_stays_bounded_beside_snapshots_and_removes() {
    let _alone = alone();
    let map = SyncMap::new();
    for n in 0..200_000_u64 {
        map.insert(scattered(n), n);
        if n % 5_000 == 0 {
            // A snapshot that is alive when the next key comes makes that start a copy of the whole map.
            let snapshot = map.snapshot();
            map.insert(scattered(1_000_000 + n), n);
            drop(snapshot);
        }
        if n % 3 != 0 {
            map.remove(&scattered(n / 2));
        }
    }
    map.compact();
    assert!(map.stats().longest_copy <= COPY_BOUND, "{}", map.stats());
}

/// A value whose drop counts in `now`, so that one operation's drops can be told from the next one's.
struct Counts<'a> {
    now: &'a AtomicUsize,
}

impl Drop for Counts<'_> {
    fn drop(&mut self) {
        self.now.fetch_add(1, SeqCst);
    }
}

#[test]
fn an_operation_runs_few_destructors() {
    let _alone = alone();
    let now = AtomicUsize::new(0);
    let map = SyncMap::new();
    let mut most = 0;
    let mut total = 0;
    let mut measure = |operation: &dyn Fn()| {
        now.store(0, SeqCst);
        operation();
        most = most.max(now.load(SeqCst));
        total += now.load(SeqCst);
    };
    let value = || Counts { now: &now };
    for n in 0..50_000_u64 {
        measure(&|| drop(map.insert(scattered(n), value())));
    }
    for n in 0..50_000_u64 {
        measure(&|| drop(map.insert(scattered(n), value())));
    }
    for n in 0..50_000_u64 {
        measure(&|| drop(map.remove(&scattered(n))));
    }
    for _ in 0..3 {
        (0..20_000_u64).for_each(|n| measure(&|| drop(map.insert(scattered(n), value()))));
        measure(&|| map.clear());
    }
    (0..20_000_u64).for_each(|n| measure(&|| drop(map.insert(scattered(n), value()))));
    assert!(most <= FREE_BOUND, "{most} destructors in one operation");
    assert!(map.stats().longest_free <= FREE_BOUND, "{}", map.stats());
    assert!(total > 100_000, "the destructors of replaced values did run: {total}");
}

#[test]
fn a_delete_only_phase_gives_keys_values_and_tables_back() {
    let _alone = alone();
    const ENTRIES: u64 = 200_000;
    let token = Arc::new(());
    let map = SyncMap::new();
    for n in 0..ENTRIES {
        map.insert((scattered(n), Arc::clone(&token)), Arc::clone(&token));
    }
    map.promote();
    let full = map.stats().table_bytes;
    let key = |n| (scattered(n), Arc::clone(&token));
    for n in 0..ENTRIES {
        assert!(map.remove(&key(n)).is_some());
    }
    // Nothing but removes so far. What is left is what became garbage in the last milliseconds, and the tombstones of a
    // small table.
    let kept = Arc::strong_count(&token) - 1;
    assert!(kept < 2 * ENTRIES as usize / 10, "{kept} keys and values are kept: {}", map.stats());
    let tables = map.stats().table_bytes;
    assert!(tables < full / 50, "{tables} of {full} bytes of tables are kept");
}

#[test]
fn a_delete_only_phase_may_begin_while_a_copy_is_under_way() {
    let _alone = alone();
    let map = SyncMap::new();
    let mut entries = 0_u64;
    while entries < 100_000 || map.stats().dirty_len == 0 {
        map.insert(scattered(entries), entries);
        entries += 1;
    }
    let full = map.stats().table_bytes;
    for n in 0..entries {
        assert!(map.remove(&scattered(n)).is_some());
    }
    let stats = map.stats();
    assert!(stats.table_bytes < full / 20 && stats.tombstones < 5_000, "nothing was compacted: {stats}");
}

#[test]
fn tombstones_are_counted_in_both_tables() {
    let _alone = alone();
    let map = SyncMap::new();
    let mut entries = 0_u64;
    while entries < 5_000 || map.stats().dirty_len == 0 {
        map.insert(scattered(entries), entries);
        entries += 1;
    }
    (0..10).for_each(|n| drop(map.remove(&scattered(n))));
    let stats = map.stats();
    assert!(stats.dirty_len > 0 && stats.tombstones == 10, "{stats}");
}

#[test]
fn a_cleared_map_starts_small() {
    let _alone = alone();
    let map = SyncMap::new();
    (0..100_000_u64).for_each(|n| drop(map.insert(scattered(n), n)));
    std::thread::scope(|scope| {
        scope.spawn(|| map.clear());
        // Meets the clear at one stage or another.
        scope.spawn(|| (0..1_000).for_each(|n| drop(map.insert(n, n))));
    });
    map.clear();
    map.insert(1, 1);
    assert!(map.stats().table_bytes < 4096, "{}", map.stats());
}

#[test]
fn removing_most_gives_most_memory_back() {
    let _alone = alone();
    let map = SyncMap::new();
    for n in 0..1_000_000_u64 {
        map.insert(scattered(n), n);
    }
    map.promote();
    let memory = |map: &SyncMap<u64, u64>| {
        let stats = map.stats();
        // A node of two words and its header take 32 bytes of the allocator.
        stats.table_bytes + 32 * (map.len() + stats.tombstones + stats.pending_garbage)
    };
    let full = memory(&map);
    for n in 0..1_000_000_u64 {
        if n % 100 != 0 {
            map.remove(&scattered(n));
        }
    }
    let left = memory(&map);
    assert!(left <= full / 10, "{left} of {full} bytes are left: {}", map.stats());
    assert!((0..1_000_000).step_by(100).all(|n| map.get(&scattered(n)).is_some_and(|value| *value == n)));
}

#[test]
fn churn_of_fresh_keys_does_not_grow_the_map() {
    let _alone = alone();
    const LIVE: u64 = 1_000;
    let map = SyncMap::new();
    (0..LIVE).for_each(|n| drop(map.insert(scattered(n), n)));
    let mut largest = 0;
    for n in LIVE..300_000 {
        map.insert(scattered(n), n);
        assert!(map.remove(&scattered(n - LIVE)).is_some());
        largest = largest.max(map.stats().table_bytes);
    }
    assert_eq!(map.len(), LIVE as usize);
    assert!(largest < 256 * 1024, "tables for {LIVE} entries grew to {largest} bytes");
    assert!(map.stats().pending_garbage < 4_000, "{}", map.stats());
}

#[test]
fn churn_of_a_fixed_key_set_settles() {
    let _alone = alone();
    let map = SyncMap::new();
    let mut random = 1_u64;
    let mut step = || {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33, random >> 20 & 1 == 0)
    };
    let mut churn = |steps: usize| {
        for _ in 0..steps {
            let (key, insert) = step();
            if insert {
                map.insert(key % 1_000, key);
            } else {
                map.remove(&(key % 1_000));
            }
        }
    };
    churn(100_000);
    let before = map.stats();
    churn(100_000);
    let after = map.stats();
    assert_eq!(after.promotions, before.promotions, "copying goes on: {after}");
    // Looks at whether a compaction is due may take the lock now and then; inserts and removes do not.
    assert!(after.slow_path_locks - before.slow_path_locks < 100, "the lock is taken all the time: {after}");
}

#[test]
fn an_emptied_map_can_be_refilled_while_it_is_copied() {
    let _alone = alone();
    // Every tombstone may be revived before the copy reaches it: the new table must have room for all of them.
    for extra in [0, 1, 7, 50, 333] {
        let map = SyncMap::new();
        (0..2_000_u64).for_each(|n| drop(map.insert(scattered(n), n)));
        map.promote();
        (0..2_000_u64).for_each(|n| drop(map.remove(&scattered(n))));
        let snapshot = map.snapshot();
        (0..extra).for_each(|n| drop(map.insert(scattered(10_000 + n), n)));
        (0..2_000_u64).rev().for_each(|n| drop(map.insert(scattered(n), n + 1)));
        (0..3_000_u64).for_each(|n| drop(map.insert(scattered(20_000 + n), n)));
        drop(snapshot);
        assert_eq!(map.len(), 5_000 + extra as usize);
        assert!((0..2_000).all(|n| map.get(&scattered(n)).is_some_and(|value| *value == n + 1)));
        assert!(map.stats().longest_copy <= COPY_BOUND);
    }
}

#[test]
fn range_and_insert_by_turns_copy_nothing() {
    let _alone = alone();
    // Go's sync.Map copies the whole map for each such insert.
    let map = SyncMap::with_capacity(20_000);
    for n in 0..10_000_u64 {
        map.insert(scattered(n), n);
        if n % 100 == 0 {
            let mut visited = 0;
            map.range(|_, _| {
                visited += 1;
                true
            });
            assert_eq!(visited, n + 1);
        }
    }
    assert_eq!(map.stats().copied_slots, 0, "{}", map.stats());
}

#[test]
fn what_was_removed_is_dropped_while_others_are_overwritten() {
    let _alone = alone();
    const REMOVED: u64 = 10_000;
    let (removed, overwritten) = (Arc::new(()), Arc::new(()));
    let map = SyncMap::new();
    for n in 0..REMOVED {
        map.insert(scattered(n), Arc::clone(&removed));
        map.insert(scattered(REMOVED + n), Arc::clone(&overwritten));
    }
    // Some as first values, which lie in nodes, some as boxes; among overwrites, whose boxes are used again.
    for n in 0..REMOVED {
        if n % 2 == 0 {
            map.insert(scattered(n), Arc::clone(&removed));
        }
        map.remove(&scattered(n));
        map.insert(scattered(REMOVED + n), Arc::clone(&overwritten));
    }
    for n in 0..100 * REMOVED {
        map.insert(scattered(REMOVED + n % REMOVED), Arc::clone(&overwritten));
    }
    assert_eq!(Arc::strong_count(&removed), 1, "values removed long ago are kept: {}", map.stats());
}

#[test]
#[should_panic(expected = "capacity overflow")]
fn with_capacity_beyond_memory() {
    let _ = SyncMap::<u64, u64>::with_capacity(usize::MAX);
}

#[test]
fn reserve_beyond_memory_changes_nothing() {
    let _alone = alone();
    let map = SyncMap::from([(1, 'a')]);
    let capacity = map.capacity();
    for additional in [usize::MAX, usize::MAX / 2, usize::MAX / 64] {
        let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| map.reserve(additional)));
        let cause = end.expect_err("more than the address space");
        assert!(cause.downcast_ref::<&str>().is_some_and(|text| text.contains("capacity overflow")));
    }
    assert_eq!((map.capacity(), map.len()), (capacity, 1));
    map.insert(2, 'b');
    assert_eq!(*map.get(&2).unwrap(), 'b');
}
