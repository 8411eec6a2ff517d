//! A panic of user code, at every place where the map calls some: in `Hash`, `Eq`, `Clone`, `Drop` and every closure.
//!
//! Each operation is run on each kind of map with a fuse that blows at the first call of user code, then at the second,
//! and so on until the operation gets through. After each panic the map must be usable and its lock free, no entry that
//! was not at stake may be missing, and when the map is gone everything must have been dropped, once.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use readmostly::{Operation, SyncMap};

thread_local! {
    /// Calls of user code until one panics; 0: none will.
    static FUSE: Cell<u32> = const { Cell::new(0) };
}

/// Called by all user code.
fn user_code() {
    let left = FUSE.get();
    FUSE.set(left.saturating_sub(1));
    if left == 1 {
        panic!("fuse");
    }
}

/// A key or value whose every trait method is user code, and that is counted.
struct Bomb {
    id: u32,
    live: Arc<AtomicI64>,
    dropped: bool,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.dropped, "dropped twice");
        self.dropped = true;
        self.live.fetch_sub(1, SeqCst);
        user_code();
    }
}

impl Clone for Bomb {
    fn clone(&self) -> Self {
        user_code();
        bomb(self.id, &self.live)
    }
}

impl PartialEq for Bomb {
    fn eq(&self, other: &Self) -> bool {
        user_code();
        assert!(!self.dropped && !other.dropped);
        self.id == other.id
    }
}

impl Eq for Bomb {}

impl Hash for Bomb {
    fn hash<H: Hasher>(&self, state: &mut H) {
        user_code();
        assert!(!self.dropped);
        self.id.hash(state);
    }
}

impl std::fmt::Debug for Bomb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        user_code();
        self.id.fmt(f)
    }
}

fn bomb(id: u32, live: &Arc<AtomicI64>) -> Bomb {
    live.fetch_add(1, SeqCst);
    Bomb { id, live: Arc::clone(live), dropped: false }
}

type Map = SyncMap<Bomb, Bomb>;

/// Keys that no operation under test has a reason to touch.
const BYSTANDERS: std::ops::Range<u32> = 100..160;

/// A key that is there, one that was removed, and one that never was.
const PRESENT: u32 = 1;
const REMOVED: u32 = 2;
const NEW: u32 = 3;

fn put(map: &Map, id: u32, live: &Arc<AtomicI64>) {
    drop(map.insert(bomb(id, live), bomb(id, live)));
}

fn base(live: &Arc<AtomicI64>) -> Map {
    let map = Map::new();
    BYSTANDERS.chain([PRESENT, REMOVED]).for_each(|id| put(&map, id, live));
    drop(map.remove(&bomb(REMOVED, live)));
    map.promote();
    map
}

/// The kinds of map: settled, amended, with values that were replaced, with much garbage, and about to be compacted.
fn maps(live: &Arc<AtomicI64>) -> Vec<(&'static str, Map)> {
    let amended = base(live);
    let mut id = 1000;
    while amended.stats().dirty_len == 0 {
        put(&amended, id, live);
        id += 1;
    }
    let overwritten = base(live);
    BYSTANDERS.chain([PRESENT]).for_each(|id| put(&overwritten, id, live));
    let littered = base(live);
    for _ in 0..20 {
        (2000..2050).for_each(|id| put(&littered, id, live));
        (2000..2050).for_each(|id| drop(littered.remove(&bomb(id, live))));
    }
    let hollow = base(live);
    (3000..3400).for_each(|id| put(&hollow, id, live));
    (3000..3400).for_each(|id| drop(hollow.remove(&bomb(id, live))));
    vec![
        ("settled", base(live)),
        ("amended", amended),
        ("overwritten", overwritten),
        ("littered", littered),
        ("hollow", hollow),
    ]
}

/// Runs `operation` with the fuse at 1, 2, 3, ... until it gets through; `spares` says whether it leaves other keys
/// alone.
fn blow_everywhere(name: &str, spares: bool, operation: impl Fn(&Map, &Arc<AtomicI64>)) {
    let kinds = maps(&Arc::default()).len();
    for kind in 0..kinds {
        let mut blown = 0;
        for fuse in 1.. {
            assert!(fuse < 20_000, "{name} does not end");
            let live = Arc::new(AtomicI64::new(0));
            let (kind, map) = maps(&live).swap_remove(kind);
            FUSE.set(fuse);
            let end = panic::catch_unwind(AssertUnwindSafe(|| operation(&map, &live)));
            FUSE.set(0);
            check(&format!("{name} on a map {kind}, fuse {fuse}"), map, &live, spares);
            match end {
                Err(cause) => assert_eq!(cause.downcast_ref::<&str>(), Some(&"fuse"), "{name}: no other panic"),
                Ok(()) => break,
            }
            blown += 1;
        }
        assert!(blown > 0 || name == "nothing", "{name} calls no user code at all");
    }
}

fn check(what: &str, map: Map, live: &Arc<AtomicI64>, spares: bool) {
    if spares {
        for id in BYSTANDERS {
            let key = bomb(id, live);
            assert!(map.get(&key).is_some_and(|value| value.id == id), "{what}: {id} is lost");
        }
    }
    // Usable, and the lock is free: new keys, known keys, removal, iteration, growth.
    (5000..5100).for_each(|id| put(&map, id, live));
    (5000..5100).for_each(|id| put(&map, id, live));
    assert!((5000..5100).all(|id| map.get(&bomb(id, live)).is_some()), "{what}: inserts do not stick");
    let mut visited = 0;
    map.range(|key, value| {
        assert_eq!(key.id, value.id, "{what}: mixed up");
        visited += 1;
        true
    });
    assert_eq!(visited, map.len(), "{what}: length and entries differ");
    (5000..5100).for_each(|id| assert!(map.remove(&bomb(id, live)).is_some(), "{what}: {id} is lost"));
    drop(map);
    assert_eq!(live.load(SeqCst), 0, "{what}: leaked");
}

/// Flushes until nothing is left: other tests' guards may hold garbage back for a while.
fn flush_all(map: &Map) {
    map.flush();
    while map.stats().pending_garbage > 0 {
        std::thread::yield_now();
        map.flush();
    }
}

macro_rules! operations {
    ($($name:ident, $spares:expr, $operation:expr;)+) => {
        $(
            #[test]
            fn $name() {
                quietly(|| blow_everywhere(stringify!($name), $spares, $operation));
            }
        )+
    };
}

/// Keeps the expected panics out of the output.
fn quietly(test: impl FnOnce()) {
    use std::sync::Once;
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"fuse") {
                before(info);
            }
        }));
    });
    test();
}

operations! {
    insert_new, true, |map, live| put(map, NEW, live);
    insert_present, true, |map, live| put(map, PRESENT, live);
    insert_removed, true, |map, live| put(map, REMOVED, live);
    insert_many, true, |map, live| (0..40).for_each(|n| put(map, 6000 + n, live));
    try_insert_new, true, |map, live| drop(map.try_insert(bomb(NEW, live), bomb(NEW, live)));
    try_insert_present, true, |map, live| drop(map.try_insert(bomb(PRESENT, live), bomb(PRESENT, live)));
    get_present, true, |map, live| drop(map.get(&bomb(PRESENT, live)));
    get_absent, true, |map, live| (0..300).for_each(|_| drop(map.get(&bomb(NEW, live))));
    get_cloned, true, |map, live| drop(map.get_cloned(&bomb(PRESENT, live)));
    get_or_insert_with, true, |map, live| {
        for id in [PRESENT, REMOVED, NEW] {
            map.get_or_insert_with(bomb(id, live), || {
                user_code();
                bomb(id, live)
            });
        }
    };
    update, true, |map, live| drop(map.update(&bomb(PRESENT, live), |old| {
        user_code();
        bomb(old.id, live)
    }));
    compute, true, |map, live| {
        for id in [PRESENT, REMOVED, NEW] {
            drop(map.compute(bomb(id, live), |_| {
                user_code();
                Operation::<Bomb, ()>::Insert(bomb(id, live))
            }));
            drop(map.compute(bomb(id, live), |_| {
                user_code();
                Operation::<Bomb, ()>::Remove
            }));
        }
    };
    compare_and_swap, true, |map, live| {
        drop(map.compare_and_swap(&bomb(PRESENT, live), &bomb(PRESENT, live), bomb(PRESENT, live)));
        drop(map.compare_and_swap(&bomb(PRESENT, live), &bomb(NEW, live), bomb(PRESENT, live)));
    };
    compare_and_remove, true, |map, live| drop(map.compare_and_remove(&bomb(PRESENT, live), &bomb(PRESENT, live)));
    remove, true, |map, live| drop(map.remove(&bomb(PRESENT, live)));
    remove_if, true, |map, live| drop(map.remove_if(&bomb(PRESENT, live), |_, _| {
        user_code();
        true
    }));
    remove_many, false, |map, live| BYSTANDERS.for_each(|id| drop(map.remove(&bomb(id, live))));
    retain, true, |map, _| map.retain(|key, _| {
        user_code();
        BYSTANDERS.contains(&key.id)
    });
    range, true, |map, _| map.range(|_, _| {
        user_code();
        true
    });
    snapshot, true, |map, _| drop(map.snapshot().to_vec());
    iterate, true, |map, _| map.pin().iter().for_each(|_| user_code());
    clone, true, |map, _| drop(map.clone());
    compare, true, |map, live| assert!(*map != base(live) || map.len() == base(live).len());
    format, true, |map, _| assert!(!format!("{map:?}").is_empty());
    extend, true, |map, live| {
        let mut target = map;
        target.extend((0..10).map(|n| (bomb(7000 + n, live), bomb(7000 + n, live))));
    };
    reserve, true, |map, _| map.reserve(2000);
    compact, true, |map, _| map.compact();
    clear_and_flush, false, |map, _| {
        map.clear();
        flush_all(map);
    };
    flush_after_overwrites, true, |map, live| {
        BYSTANDERS.for_each(|id| put(map, id, live));
        flush_all(map);
    };
}

#[test]
fn promote() {
    // Only an amended map has anything to promote, so the other kinds call no user code.
    quietly(|| blow_everywhere("nothing", true, |map, _| map.promote()));
}

#[test]
fn drop_of_the_map() {
    quietly(|| {
        for kind in 0..maps(&Arc::default()).len() {
            for fuse in 1..400 {
                let live = Arc::new(AtomicI64::new(0));
                let (kind, map) = maps(&live).swap_remove(kind);
                FUSE.set(fuse);
                let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(map)));
                FUSE.set(0);
                assert_eq!(live.load(SeqCst), 0, "drop of a map {kind}, fuse {fuse}: leaked");
            }
        }
    });
}

#[test]
fn drop_of_what_into_iter_left() {
    quietly(|| {
        for fuse in 1..200 {
            let live = Arc::new(AtomicI64::new(0));
            let mut entries = base(&live).into_iter();
            let first = entries.next();
            FUSE.set(fuse);
            let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(entries)));
            FUSE.set(0);
            drop(first);
            assert_eq!(live.load(SeqCst), 0, "fuse {fuse}: leaked");
        }
    });
}

#[test]
fn drop_of_a_snapshot_that_was_left_the_entries() {
    quietly(|| {
        for fuse in 1..300 {
            let live = Arc::new(AtomicI64::new(0));
            let map = base(&live);
            let snapshot = map.snapshot();
            BYSTANDERS.for_each(|id| put(&map, id, &live));
            drop(map);
            let mut seen = 0;
            snapshot.for_each(|key, value| {
                assert_eq!(key.id, value.id);
                seen += 1;
            });
            assert_eq!(seen, BYSTANDERS.len() + 1);
            FUSE.set(fuse);
            let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(snapshot)));
            FUSE.set(0);
            assert_eq!(live.load(SeqCst), 0, "fuse {fuse}: leaked");
        }
    });
}
