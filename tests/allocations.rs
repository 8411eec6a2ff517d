//! How many allocations operations cost: none for reads, none for an empty map, at most one for an overwrite.
//!
//! Go's `TestMapRangeNoAllocations` and `TestMapClearNoAllocations` are among these tests.

#![allow(unsafe_code, reason = "an allocator can only be implemented unsafely")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};

use readmostly::{SyncMap, SyncSet};

/// The system's allocator, counting for each thread how often it gave out memory.
struct Counting;

thread_local! {
    // Neither lazy nor with a destructor: the allocator must be able to use it at any time.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    ALLOCATIONS.with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every method passes its arguments on unchanged to `System`, which upholds the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as promised to this method.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as promised to this method.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as promised to this method.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as promised to this method.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn allocations_of<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = ALLOCATIONS.get();
    let result = work();
    (ALLOCATIONS.get() - before, result)
}

/// Keeps the tests from collecting each other's garbage, and makes what a thread allocates once.
fn alone_and_warm() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let map = SyncMap::from([(0, 0)]);
    map.insert(0, 1);
    map.get(&1);
    map.remove(&0);
    map.range(|_, _| true);
    map.snapshot().for_each(|_, _| ());
    map.flush();
    alone
}

fn filled(entries: u64) -> SyncMap<u64, u64> {
    let map: SyncMap<_, _> = (0..entries).map(|key| (key, key)).collect();
    map.promote();
    map
}

/// The count itself: without it, no other test could fail.
#[test]
fn allocations_are_counted() {
    let _alone = alone_and_warm();
    assert_eq!(allocations_of(|| Box::new(1)).0, 1);
    let (vec, _) = allocations_of(|| {
        let mut vec = Vec::with_capacity(1);
        vec.extend([1, 2, 3]);
        vec
    });
    assert_eq!(vec, 2, "once for the capacity, once to grow");
    assert!(allocations_of(|| filled(100)).0 >= 100, "each new entry is expected to be allocated");
}

#[test]
fn empty_map_allocates_nothing() {
    let _alone = alone_and_warm();
    let (new, map) = allocations_of(SyncMap::<u64, u64>::new);
    assert_eq!(new, 0, "new");
    assert_eq!(allocations_of(SyncSet::<u64>::new).0, 0, "new set");
    assert_eq!(allocations_of(|| map.get(&1).is_some()).0, 0, "get");
    assert_eq!(allocations_of(|| map.get_cloned(&1)).0, 0, "get_cloned");
    assert_eq!(allocations_of(|| map.contains_key(&1)).0, 0, "contains_key");
    assert_eq!(allocations_of(|| map.remove(&1).is_some()).0, 0, "remove");
    assert_eq!(allocations_of(|| map.compare_and_swap(&1, &1, 2).is_ok()).0, 0, "compare_and_swap");
    assert_eq!(allocations_of(|| map.compare_and_remove(&1, &1).is_some()).0, 0, "compare_and_remove");
    assert_eq!(allocations_of(|| map.update(&1, |value| value + 1).is_some()).0, 0, "update");
    assert_eq!(allocations_of(|| map.range(|_, _| true)).0, 0, "range");
    assert_eq!(allocations_of(|| map.retain(|_, _| true)).0, 0, "retain");
    assert_eq!(allocations_of(|| map.clear()).0, 0, "clear");
    assert_eq!(allocations_of(|| (map.len(), map.is_empty(), map.capacity())), (0, (0, true, 0)), "len");
    assert_eq!(allocations_of(|| map.snapshot().for_each(|_, _| ())).0, 0, "snapshot");
    assert_eq!(allocations_of(|| map.pin().iter().count()).0, 0, "iter");
    assert_eq!(allocations_of(|| drop(map)).0, 0, "drop");
}

#[test]
fn lookups_allocate_nothing() {
    const ENTRIES: u64 = 1000;

    let _alone = alone_and_warm();
    // Once right after growth, when lookups may still go through two tables, and once settled.
    let growing: SyncMap<_, _> = (0..ENTRIES).map(|key| (key, key)).collect();
    for map in [growing, filled(ENTRIES)] {
        let (allocations, found) = allocations_of(|| {
            let by_ref = (0..ENTRIES).filter(|key| map.get(key).is_some()).count();
            by_ref + (0..ENTRIES).filter(|key| map.contains_key(key)).count()
        });
        assert_eq!((allocations, found), (0, 2 * ENTRIES as usize), "get and contains_key of present keys");

        let (allocations, sum) = allocations_of(|| {
            let pin = map.pin();
            (0..ENTRIES).map(|key| pin.get(&key).expect("present")).sum::<u64>()
        });
        assert_eq!((allocations, sum), (0, ENTRIES * (ENTRIES - 1) / 2), "get through a pin");

        let (allocations, visited) = allocations_of(|| {
            let mut visited = 0;
            map.range(|_, _| {
                visited += 1;
                true
            });
            visited + map.pin().iter().count() as u64
        });
        assert_eq!((allocations, visited), (0, 2 * ENTRIES), "range and iter of a promoted map");
    }
}

#[test]
fn absent_keys_cost_no_allocation() {
    let _alone = alone_and_warm();
    let map = filled(100);
    let (allocations, found) = allocations_of(|| (1000..2000).any(|key| map.contains_key(&key)));
    assert_eq!((allocations, found), (0, false));
    let (allocations, removed) = allocations_of(|| (1000..2000).any(|key| map.remove(&key).is_some()));
    assert_eq!((allocations, removed), (0, false));
}

#[test]
fn overwrite_allocates_the_new_value_at_most() {
    let _alone = alone_and_warm();
    let map = filled(1);
    let (allocations, _) = allocations_of(|| drop(map.insert(0, 1)));
    assert!(
        allocations <= 2,
        "one overwrite, the first, cost {allocations} allocations: the value and a bin for garbage"
    );

    const ENTRIES: u64 = 100;
    const OVERWRITES: u64 = 200_000;
    let map = filled(ENTRIES);
    let overwrite_all = || {
        for i in 0..OVERWRITES {
            map.insert(i % ENTRIES, i);
        }
    };
    overwrite_all();
    let (allocations, ()) = allocations_of(overwrite_all);
    let average = allocations as f64 / OVERWRITES as f64;
    assert!(average <= 0.5, "an overwrite cost {average} allocations on average, although memory could be used again");
    assert_eq!(map.get_cloned(&0), Some(OVERWRITES - ENTRIES));
}

#[test]
fn remove_allocates_next_to_nothing() {
    const ENTRIES: u64 = 10_000;

    let _alone = alone_and_warm();
    let map = filled(ENTRIES);
    let (allocations, removed) = allocations_of(|| (0..ENTRIES).filter(|key| map.remove(key).is_some()).count());
    assert_eq!(removed, ENTRIES as usize);
    let average = allocations as f64 / ENTRIES as f64;
    assert!(average <= 0.1, "a remove cost {average} allocations on average");
}

/// An entry that is removed and inserted again needs its value, not a new table or a new key.
#[test]
fn reinsert_allocates_the_new_value_at_most() {
    const ENTRIES: u64 = 1000;
    const ROUNDS: u64 = 10;

    let _alone = alone_and_warm();
    let map = filled(ENTRIES);
    let (allocations, _) = allocations_of(|| {
        for key in (0..ENTRIES * ROUNDS).map(|i| i % ENTRIES) {
            map.remove(&key);
            map.insert(key, key);
        }
    });
    let average = allocations as f64 / (ENTRIES * ROUNDS) as f64;
    assert!(average <= 1.2, "a remove and an insert cost {average} allocations on average");
}

#[test]
fn map_is_small() {
    assert!(size_of::<SyncMap<u64, u64>>() <= 512, "a map takes {} bytes", size_of::<SyncMap<u64, u64>>());
}
