//! Memory that cannot be had. A capacity that no address space holds is refused by a panic, with the map as it was; an
//! allocation that fails ends the process with the message of the standard library, as it does in a `HashMap`.

#![allow(unsafe_code, reason = "an allocator can only be implemented unsafely")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::any::Any;
use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{self, AssertUnwindSafe};
use std::ptr;
use std::sync::Once;

use common::{Counted, Tally};
use readmostly::{DefaultHashBuilder, SyncMap, SyncSet};

// ---------------------------------------------------------------------------------------------------------------------
// Allocations

/// The system's allocator, which counts what each thread has and fails when it is told to.
struct Failing;

#[global_allocator]
static ALLOCATOR: Failing = Failing;

thread_local! {
    /// Bytes allocated less bytes freed.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    /// How many allocations there were.
    static COUNT: Cell<u64> = const { Cell::new(0) };
    /// Allocations until one fails; 0: none will.
    static FUSE: Cell<u64> = const { Cell::new(0) };
}

/// Whether the allocation that is asked for now is to fail.
fn blows() -> bool {
    COUNT.set(COUNT.get() + 1);
    let left = FUSE.get();
    FUSE.set(left.saturating_sub(1));
    left == 1
}

fn counted(memory: *mut u8, bytes: usize) -> *mut u8 {
    if !memory.is_null() {
        LIVE.set(LIVE.get() + bytes as isize);
    }
    memory
}

// SAFETY: passes everything on to `System`, which upholds the contract, or fails, which an allocator may.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as promised to this method.
        if blows() { ptr::null_mut() } else { counted(unsafe { System.alloc(layout) }, layout.size()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as promised to this method.
        if blows() { ptr::null_mut() } else { counted(unsafe { System.alloc_zeroed(layout) }, layout.size()) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as isize);
        // SAFETY: as promised to this method.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// The allocator itself: without it, no other test could fail.
#[test]
fn allocations_are_counted_and_can_fail() {
    let (live, count) = (LIVE.get(), COUNT.get());
    let boxed = Box::new([0_u64; 4]);
    assert_eq!((LIVE.get() - live, COUNT.get() - count), (32, 1));
    drop(boxed);
    assert_eq!(LIVE.get(), live);
    FUSE.set(2);
    let [first, second, third] = [(); 3].map(|()| Vec::<u8>::new().try_reserve_exact(1).is_ok());
    assert_eq!([first, second, third], [true, false, true]);
}

// ---------------------------------------------------------------------------------------------------------------------
// Too much to ask for

/// Slots filled in four buckets, of 64 bytes each: what a table can take at most.
const LOAD: usize = 21;

/// The most entries that a table has room for whose size in bytes is an `isize`; it has as many buckets as can be.
const LARGEST: usize = (isize::MAX as usize / 2 + 1) / (4 * 64) * LOAD;

/// What cannot be had, from the most absurd to the first that is one too many.
const TOO_MANY: [usize; 6] =
    [usize::MAX, usize::MAX - 1, usize::MAX / 4 + 1, isize::MAX as usize, isize::MAX as usize / 8, LARGEST + 1];

fn is_overflow(panic: &(dyn Any + Send)) -> bool {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.is_some_and(|text| text.contains("capacity overflow"))
}

/// Whether `ask` panics for want of capacity. Such a panic prints nothing, since that would allocate.
fn overflows<T>(ask: impl FnOnce() -> T) -> bool {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !is_overflow(panic.payload()) {
                others(panic);
            }
        }));
    });
    match panic::catch_unwind(AssertUnwindSafe(ask)) {
        Ok(_) => false,
        Err(panic) => is_overflow(&*panic) || panic::resume_unwind(panic),
    }
}

/// What this thread and the panics of it allocate once.
fn warm_up() {
    let map = SyncMap::from([(0, 0)]);
    map.insert(0, 1);
    map.snapshot().for_each(|_, _| ());
    map.flush();
    assert!(overflows(|| SyncMap::<u64, u64>::with_capacity(usize::MAX)));
}

#[test]
fn nothing_is_made_for_too_many() {
    warm_up();
    let before = LIVE.get();
    for many in TOO_MANY {
        let hasher = DefaultHashBuilder::default;
        assert!(overflows(|| SyncMap::<u64, u64>::with_capacity(many)), "map, {many}");
        assert!(overflows(|| SyncMap::<String, [u64; 9]>::with_capacity_and_hasher(many, hasher())), "hasher, {many}");
        assert!(overflows(|| SyncSet::<u64>::with_capacity(many)), "set, {many}");
        assert!(overflows(|| SyncSet::<()>::with_capacity_and_hasher(many, hasher())), "set with hasher, {many}");
        assert_eq!(LIVE.get(), before, "{many}");
    }
}

/// The kinds of map: without a table, settled, with tombstones, and while it is copied.
fn maps(tally: &Tally) -> [SyncMap<Counted, Counted>; 4] {
    let filled = |entries| -> SyncMap<_, _> { (0..entries).map(|id| (tally.make(id), tally.make(id))).collect() };
    let [settled, hollow, amended] = [filled(100), filled(100), filled(100)];
    (50..100).for_each(|id| drop(hollow.remove(&id)));
    while amended.stats().dirty_len == 0 {
        let id = amended.len() as u32;
        drop(amended.insert(tally.make(id), tally.make(id)));
    }
    [SyncMap::new(), settled, hollow, amended]
}

/// The ids that a map has, in order.
fn ids(map: &SyncMap<Counted, Counted>) -> Vec<u32> {
    let mut ids: Vec<_> = map.pin().iter().map(|(key, _)| key.id()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_map_that_cannot_grow_stays_as_it_is() {
    warm_up();
    for many in TOO_MANY {
        let tally = Tally::default();
        let before = LIVE.get();
        for (kind, map) in maps(&tally).into_iter().enumerate() {
            let (capacity, len, live) = (map.capacity(), map.len(), tally.live());
            // Room is made for half as many again, so less than the limit is too much as well.
            for additional in [many, many - many / 8].into_iter().filter(|&additional| len > 0 || additional == many) {
                assert!(overflows(|| map.reserve(additional)), "kind {kind}, {additional}");
                assert_eq!((map.capacity(), map.len(), tally.live()), (capacity, len, live), "kind {kind}");
            }
            assert!((0..len as u32).all(|id| map.get(&id).is_some_and(|entry| entry.id() == id)), "kind {kind}");
            assert_eq!(ids(&map), (0..len as u32).collect::<Vec<_>>(), "kind {kind}");
            goes_on(&map, &tally);
        }
        assert_eq!(tally.live(), 0, "all is dropped");
        // crossbeam-epoch keeps what its queue has allocated for a while.
        if cfg!(all(target_os = "linux", not(readmostly_crossbeam))) {
            assert_eq!(LIVE.get(), before, "and freed");
        }
    }
}

/// A map takes new keys, gives up old ones, and makes room where there is some to be had.
fn goes_on(map: &SyncMap<Counted, Counted>, tally: &Tally) {
    let len = map.len() as u32;
    (len..len + 500).for_each(|id| assert!(map.insert(tally.make(id), tally.make(id)).is_none()));
    (0..len).for_each(|id| assert!(map.remove(&id).is_some()));
    map.reserve(10_000);
    assert!(map.capacity() >= 10_500);
    assert_eq!(ids(map), (len..len + 500).collect::<Vec<_>>());
}

// ---------------------------------------------------------------------------------------------------------------------
// Hints

/// An iterator that says that it has at least `claim` items.
struct Claims<I> {
    items: I,
    claim: usize,
}

impl<I: Iterator> Iterator for Claims<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.items.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.claim, None)
    }
}

fn claims(claim: usize) -> Claims<impl Iterator<Item = (u32, u32)>> {
    Claims { items: (0..10).zip(0..10), claim }
}

#[test]
fn extend_believes_no_hint() {
    let mut map = SyncMap::<u32, u32>::from([(100, 100)]);
    let mut set = SyncSet::<u32>::from([100]);
    for claim in [0, 1000, LARGEST, usize::MAX] {
        let before = map.capacity().max(100);
        map.extend(claims(claim));
        (&map).extend(claims(claim));
        set.extend(claims(claim).map(|(key, _)| key));
        assert_eq!((map.len(), set.len()), (11, 11), "{claim}");
        assert!(map.capacity() <= before, "{claim}");
    }
}

/// As with `HashMap`, a hint is believed when a map is collected: a little too much costs memory, and far too much
/// is refused before anything is taken.
#[test]
fn collect_believes_hints_as_hash_map_does() {
    for claim in [0, 1, 10, 5000] {
        let (map, std): (SyncMap<_, _>, HashMap<_, _>) = (claims(claim).collect(), claims(claim).collect());
        assert!(map.capacity() >= claim && std.capacity() >= claim, "{claim}");
        assert_eq!((map.len(), std.len()), (10, 10), "{claim}");
        assert_eq!(claims(claim).map(|(key, _)| key).collect::<SyncSet<_>>().len(), 10, "{claim}");
    }
    let tally = Tally::default();
    let entries = || Claims { items: (0..10).map(|id| (tally.make(id), id)), claim: usize::MAX };
    assert!(overflows(|| entries().collect::<HashMap<_, _>>()));
    assert!(overflows(|| entries().collect::<SyncMap<_, _>>()));
    assert!(overflows(|| entries().map(|(key, _)| key).collect::<SyncSet<_>>()));
    assert_eq!(tally.created(), 0, "nothing was taken");
}

/// Input is not to be trusted at all.
#[cfg(feature = "serde")]
#[test]
fn deserialization_believes_no_hint() {
    use serde::Deserialize;
    use serde::de::value::{Error, MapDeserializer, SeqDeserializer};

    struct Exactly<I>(Claims<I>);

    impl<I: Iterator> Iterator for Exactly<I> {
        type Item = I::Item;

        fn next(&mut self) -> Option<I::Item> {
            self.0.next()
        }

        fn size_hint(&self) -> (usize, Option<usize>) {
            (self.0.claim, Some(self.0.claim))
        }
    }

    for claim in [LARGEST, usize::MAX] {
        let entries = MapDeserializer::<_, Error>::new(Exactly(claims(claim)));
        assert_eq!(SyncMap::<u32, u32>::deserialize(entries).expect("ten entries").len(), 10);
        let keys = Exactly(Claims { items: 0..10_u32, claim });
        assert_eq!(SyncSet::<u32>::deserialize(SeqDeserializer::<_, Error>::new(keys)).expect("ten members").len(), 10);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Allocations that fail

/// Cases that end the process, each in one of its own: this one, started again for one test.
#[cfg(unix)]
mod failures {
    use std::env;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Output};
    use std::time::Duration;

    use super::*;

    /// In the environment of a process that is to run one case itself: which.
    const CASE: &str = "READMOSTLY_CAPACITY_CASE";

    /// The case that this process is to run, if it was started for one.
    fn own_case() -> Option<u64> {
        let case = env::var(CASE).ok()?.parse().expect("a number");
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: changes a limit of the process. No core file for a death that was asked for.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) }, 0);
        Some(case)
    }

    fn in_child(test: &str, case: u64) -> Output {
        let mut child = Command::new(env::current_exe().expect("this program"));
        let test = format!("failures::{test}");
        child.args([&test, "--exact", "--nocapture", "--test-threads=1"]).env(CASE, case.to_string());
        // Finding the names for one takes a quarter of a second.
        child.env_remove("RUST_BACKTRACE");
        common::within(Duration::from_secs(60), move || child.output().expect("this program can be run"))
    }

    /// Whether a process was ended by a failed allocation, in the way of the standard library, and said nothing else.
    fn is_out_of_memory(output: &Output, bytes: &str) -> bool {
        let said = String::from_utf8_lossy(&output.stderr);
        let message = format!("memory allocation of {bytes}");
        let as_usual = said.contains(&message) && said.contains("bytes failed") && !said.contains("panicked");
        as_usual && output.status.signal() == Some(libc::SIGABRT)
    }

    /// Something of everything that allocates.
    fn use_a_map() {
        let map = SyncMap::new();
        let put = |keys: std::ops::Range<u32>| keys.for_each(|key| drop(map.insert(key, key.to_string())));
        put(0..12);
        map.insert(3, String::new());
        map.update(&4, |value| value.clone() + "!");
        map.get_or_insert(5, String::new());
        map.remove(&1);
        let snapshot = map.snapshot();
        put(12..15);
        map.insert(1, String::new());
        snapshot.for_each(|_, _| ());
        drop(snapshot);
        map.promote();
        map.range(|_, _| true);
        map.reserve(50);
        map.compact();
        map.flush();
        map.clear();
        put(0..3);
        assert_eq!(map.into_iter().count(), 3);
    }

    #[test]
    fn any_allocation_may_fail() {
        if let Some(case) = own_case() {
            FUSE.set(case);
            let before = COUNT.get();
            use_a_map();
            let count = COUNT.get() - before;
            FUSE.set(0);
            return println!("\n{count} allocations");
        }
        // None fails at first: how many there are.
        let output = in_child("any_allocation_may_fail", 0);
        let said = String::from_utf8_lossy(&output.stdout);
        let count = said.lines().find_map(|line| line.strip_suffix(" allocations")?.parse().ok());
        let count: u64 = count.unwrap_or_else(|| panic!("{}: {said}", output.status));
        assert!((50..500).contains(&count), "{count} allocations");
        for case in 1..=count {
            let output = in_child("any_allocation_may_fail", case);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(is_out_of_memory(&output, ""), "allocation {case} of {count}: {}\n{said}", output.status);
        }
        assert!(in_child("any_allocation_may_fail", count + 1).status.success(), "one more than there are");
    }

    /// The address space holds this much, but no machine does: not an overflow, and not to be had.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_largest_table_is_out_of_memory() {
        if let Some(case) = own_case() {
            match case {
                0 => drop(SyncMap::<u64, u64>::with_capacity(LARGEST)),
                1 => drop(SyncSet::<u64>::with_capacity(LARGEST)),
                _ => SyncMap::<u64, u64>::new().reserve(LARGEST),
            }
            return;
        }
        for case in 0..3 {
            let output = in_child("the_largest_table_is_out_of_memory", case);
            let said = String::from_utf8_lossy(&output.stderr);
            let bytes = (isize::MAX as usize / 2 + 1).to_string();
            assert!(is_out_of_memory(&output, &bytes), "case {case}: {}\n{said}", output.status);
        }
    }

    /// Large tables are mapped, not allocated, and that can fail too.
    #[test]
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    fn a_mapping_may_fail() {
        const TABLE: usize = 4 << 30;
        const ENTRIES: usize = TABLE / (4 * 64) * LOAD;

        if let Some(case) = own_case() {
            let map: SyncMap<_, _> = (0..1000).map(|key| (key, key)).collect();
            // SAFETY: changes a limit of the process.
            unsafe {
                let limit = libc::rlimit { rlim_cur: TABLE as u64, rlim_max: TABLE as u64 };
                assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &raw const limit), 0);
            }
            return match case {
                0 => drop(SyncMap::<u64, u64>::with_capacity(ENTRIES)),
                _ => map.reserve(ENTRIES - 1000),
            };
        }
        for case in 0..2 {
            let output = in_child("a_mapping_may_fail", case);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(is_out_of_memory(&output, ""), "case {case}: {}\n{said}", output.status);
        }
    }
}
