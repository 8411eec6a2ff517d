//! The map of the models, and running them.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::{self, Debug};
use std::hash::{BuildHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use loom::cell::UnsafeCell;
use loom::model::Builder;
use readmostly::SyncMap;

/// The map of the models.
pub type Map = SyncMap<Key, Value, Identity>;

/// Whether the reclaimer is one small enough for every schedule to be tried.
pub const EXHAUSTIVE: bool = cfg!(readmostly_contract);

std::thread_local! {
    /// Keys and values that exist in this execution.
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

/// Runs `model` in every execution that loom finds and compares how they end with how they may.
///
/// Without a bound on preemptions each of the `allowed` outcomes must come up: a model that cannot end in all the ways
/// it should does not look at what it means to.
pub fn check<O>(allowed: impl IntoIterator<Item = O>, model: impl Fn() -> O + Sync + Send + 'static)
where
    O: Ord + Debug + Send + 'static,
{
    check_up_to(None, allowed, model);
}

/// As [`check`], for a model with too many executions: those with at most three preemptions, or what `READMOSTLY_BOUND`
/// says.
pub fn check_bounded<O>(allowed: impl IntoIterator<Item = O>, model: impl Fn() -> O + Sync + Send + 'static)
where
    O: Ord + Debug + Send + 'static,
{
    let bound = std::env::var("READMOSTLY_BOUND").ok().and_then(|bound| bound.parse().ok());
    check_up_to(Some(bound.unwrap_or(3)), allowed, model);
}

/// As [`check`], for a model that prescribes when threads take turns: they do at no other time.
pub fn check_scripted<O>(allowed: impl IntoIterator<Item = O>, model: impl Fn() -> O + Sync + Send + 'static)
where
    O: Ord + Debug + Send + 'static,
{
    let mut builder = Builder::new();
    builder.preemption_bound = Some(0);
    run(builder, true, allowed, model);
}

fn check_up_to<O>(
    preemptions: Option<usize>,
    allowed: impl IntoIterator<Item = O>,
    model: impl Fn() -> O + Sync + Send + 'static,
) where
    O: Ord + Debug + Send + 'static,
{
    let mut builder = Builder::new();
    if builder.preemption_bound.is_none() {
        builder.preemption_bound = if EXHAUSTIVE { preemptions } else { Some(2) };
    }
    let all = builder.preemption_bound.is_none();
    run(builder, all, allowed, model);
}

/// `all`: each of the allowed outcomes must come up.
fn run<O>(
    mut builder: Builder,
    all: bool,
    allowed: impl IntoIterator<Item = O>,
    model: impl Fn() -> O + Sync + Send + 'static,
) where
    O: Ord + Debug + Send + 'static,
{
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let executions = Arc::new(AtomicUsize::new(0));
    let _planted = crate::controls::planted();
    builder.max_branches = 50_000;
    let bound = builder.preemption_bound;
    let (outcomes, count) = (Arc::clone(&seen), Arc::clone(&executions));
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        crate::memory::begin_execution();
        LIVE.set(0);
        let outcome = model();
        assert_eq!(LIVE.get(), 0, "keys and values that were never dropped");
        outcomes.lock().unwrap().insert(outcome);
    });
    crate::memory::end_model();
    eprintln!("  {} executions, preemptions {bound:?}", executions.load(Ordering::Relaxed));
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let allowed: BTreeSet<O> = allowed.into_iter().collect();
    let forbidden: Vec<_> = seen.difference(&allowed).collect();
    assert!(forbidden.is_empty(), "outcomes that must not be: {forbidden:?}");
    if all {
        let missing: Vec<_> = allowed.difference(&seen).collect();
        assert!(missing.is_empty(), "outcomes that never came up: {missing:?}");
    }
}

/// A thread of the model that uses the map.
pub fn spawn<R: 'static>(map: &Rc<Map>, f: impl FnOnce(&Map) -> R + 'static) -> loom::thread::JoinHandle<R> {
    let map = Rc::clone(map);
    loom::thread::spawn(move || f(&map))
}

/// Two threads of the model, to their end; the first is the one that the model runs in.
pub fn together<A, B: 'static>(
    map: &Rc<Map>,
    a: impl FnOnce(&Map) -> A,
    b: impl FnOnce(&Map) -> B + 'static,
) -> (A, B) {
    let b = spawn(map, b);
    let a = a(map);
    (a, b.join().unwrap())
}

/// The entries of a map that no thread uses any more, by key.
pub fn entries(map: Rc<Map>) -> Vec<(u64, u64)> {
    let map = Rc::into_inner(map).expect("threads have ended");
    let len = map.len();
    let mut entries: Vec<_> = map.into_iter().map(|(key, value)| (key.number(), value.number())).collect();
    entries.sort_unstable();
    assert_eq!(len, entries.len(), "the length is exact when nothing runs");
    entries
}

/// The key is its own hash.
#[derive(Clone, Copy, Default)]
pub struct Identity;

pub struct IdentityHasher(u64);

impl BuildHasher for Identity {
    type Hasher = IdentityHasher;

    fn build_hasher(&self) -> IdentityHasher {
        IdentityHasher(0)
    }
}

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("keys are hashed as one number");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// Memory that loom watches: it must be initialised before it is read, and dropped after.
struct Watched {
    number: UnsafeCell<u64>,
    /// No part of the model, so always current.
    dropped: Rc<Cell<bool>>,
}

impl Watched {
    fn new(number: u64) -> Self {
        LIVE.set(LIVE.get() + 1);
        Watched { number: UnsafeCell::new(number), dropped: Rc::default() }
    }

    #[track_caller]
    fn read(&self) -> u64 {
        assert!(!self.dropped.get(), "used after it was dropped");
        // SAFETY: written by `new` and by `drop`; loom checks that neither is concurrent.
        self.number.with(|number| unsafe { *number })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        assert!(!self.dropped.replace(true), "dropped twice");
        LIVE.set(LIVE.get() - 1);
        self.number.with_mut(|_| ());
    }
}

/// A key that notices when it is used after it was freed.
pub struct Key(Watched);

impl Key {
    pub fn new(number: u64) -> Self {
        Key(Watched::new(number))
    }

    #[track_caller]
    pub fn number(&self) -> u64 {
        self.0.read()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.number() == other.number()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.number());
    }
}

/// For lookups without a key of their own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At(pub u64);

impl Hash for At {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

impl equivalent::Equivalent<Key> for At {
    fn equivalent(&self, key: &Key) -> bool {
        self.0 == key.number()
    }
}

/// A value that notices when it is used after it was freed.
pub struct Value(Watched);

impl Value {
    pub fn new(number: u64) -> Self {
        Value(Watched::new(number))
    }

    #[track_caller]
    pub fn number(&self) -> u64 {
        self.0.read()
    }

    /// Becomes true when the value is dropped.
    pub fn dropped(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.0.dropped)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.number() == other.number()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

/// A map with these keys, each with ten times its number as its value, in a table with room for `capacity`.
pub fn map_of(capacity: usize, keys: impl IntoIterator<Item = u64>) -> Rc<Map> {
    let map = SyncMap::with_capacity_and_hasher(capacity, Identity);
    for key in keys {
        insert(&map, key, 10 * key);
    }
    Rc::new(map)
}

/// Keys 1, 2 and 3 in the middle of a copy: 2 is in read and in dirty, 1 is in read only, 3 in dirty only.
///
/// Read has two buckets. The copy takes one for each operation with the lock, so the next such operation promotes.
pub fn amended() -> Rc<Map> {
    let map = map_of(3, [1, 2]);
    let snapshot = map.snapshot();
    insert(&map, 3, 30);
    drop(snapshot);
    assert!(map.stats().dirty_len > 0 && map.stats().promotions == 0, "{:?}", map.stats());
    map
}

/// Key 4 was removed, expunged by a copy that is not complete, and inserted again: its first node, dead, is in read and
/// its second in dirty.
pub fn amended_with_expunged() -> Rc<Map> {
    let map = map_of(5, [1, 2, 4]);
    remove(&map, 4);
    let snapshot = map.snapshot();
    insert(&map, 3, 30);
    drop(snapshot);
    insert(&map, 4, 44);
    assert!(map.stats().dirty_len > 0 && map.stats().promotions == 0, "{:?}", map.stats());
    map
}

/// As [`Map::insert`], with the old value's number.
pub fn insert(map: &Map, key: u64, value: u64) -> Option<u64> {
    map.insert(Key::new(key), Value::new(value)).map(|old| old.number())
}

/// As [`Map::get`], with the value's number.
pub fn get(map: &Map, key: u64) -> Option<u64> {
    map.get(&At(key)).map(|value| value.number())
}

/// As [`Map::remove`], with the value's number.
pub fn remove(map: &Map, key: u64) -> Option<u64> {
    map.remove(&At(key)).map(|value| value.number())
}
