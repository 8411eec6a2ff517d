//! Traits, constructors and the forms in which things print.

#[macro_use]
mod common;

use std::any::Any;
use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, MutexGuard};
use std::thread;

use common::{GoodHash, Masked, Tally, ZeroHash};
use readmostly::{
    Compute, MappedRef, OccupiedError, Operation, Pinned, Ref, Snapshot, Stats, SyncMap, SyncSet, pinned,
};

// ---------------------------------------------------------------------------------------------------------------------
// Auto traits

fn assert_send<T: Send>() {}
fn assert_sync<T: Sync>() {}

/// Does not compile if the type implements the trait: `check` could then be that of either impl.
macro_rules! assert_not {
    ($trait:ident: $($type:ty),+ $(,)?) => {
        $(
            const _: fn() = || {
                trait Check<Which> {
                    fn check() {}
                }
                struct Implements;
                impl<T: ?Sized> Check<()> for T {}
                impl<T: ?Sized + $trait> Check<Implements> for T {}
                let _ = <$type as Check<_>>::check;
                let _ = Implements;
            };
        )+
    };
}

/// `Send`, but not `Sync`.
type NotSync = Cell<u8>;
/// `Sync`, but not `Send`.
type NotSend = MutexGuard<'static, u8>;
/// Neither.
type Neither = Rc<u8>;

/// A hasher that takes the auto traits of `T`.
#[derive(Clone, Default)]
struct HashWith<T>(ZeroHash, PhantomData<T>);

impl<T> std::hash::BuildHasher for HashWith<T> {
    type Hasher = <ZeroHash as std::hash::BuildHasher>::Hasher;

    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

#[test]
fn shared_between_threads_if_keys_values_and_hasher_are() {
    assert_send::<SyncMap<String, u8>>();
    assert_sync::<SyncMap<String, u8>>();
    assert_send::<SyncSet<String>>();
    assert_sync::<SyncSet<String>>();
    assert_send::<SyncMap<&str, &str>>();
    assert_sync::<SyncMap<Arc<str>, Box<dyn Fn() + Send + Sync>>>();

    // A hasher that is `Send` alone makes a map that is `Send` alone.
    assert_send::<SyncMap<u8, u8, HashWith<NotSync>>>();
    assert_sync::<SyncMap<u8, u8, HashWith<NotSend>>>();
}

// Whoever shares a map can take a value out of it on another thread or look at it there: both traits need both.
assert_not!(Send: SyncMap<u8, NotSync>, SyncMap<u8, NotSend>, SyncMap<u8, Neither>);
assert_not!(Sync: SyncMap<u8, NotSync>, SyncMap<u8, NotSend>, SyncMap<u8, Neither>);
assert_not!(Send: SyncMap<NotSync, u8>, SyncMap<NotSend, u8>, SyncMap<Neither, u8>);
assert_not!(Sync: SyncMap<NotSync, u8>, SyncMap<NotSend, u8>, SyncMap<Neither, u8>);
assert_not!(Send: SyncMap<u8, u8, HashWith<NotSend>>, SyncMap<u8, u8, HashWith<Neither>>);
assert_not!(Sync: SyncMap<u8, u8, HashWith<NotSync>>, SyncMap<u8, u8, HashWith<Neither>>);
assert_not!(Send: SyncSet<NotSync>, SyncSet<NotSend>, SyncSet<Neither>);
assert_not!(Sync: SyncSet<NotSync>, SyncSet<NotSend>, SyncSet<Neither>);

// A guard belongs to the thread that made it, and so does everything that holds one.
assert_not!(Send: Ref<'static, u8, u8>, Pinned<'static, u8, u8>);
assert_not!(Sync: Pinned<'static, u8, u8>);
assert_not!(Send: MappedRef<'static, u8, u8, u8>, MappedRef<'static, u8, u8, str>);
assert_not!(Sync: MappedRef<'static, u8, u8, NotSync>);
assert_not!(Send: OccupiedError<'static, u8, u8>, Compute<'static, u8, u8, ()>);
assert_not!(Sync: Ref<'static, u8, NotSync>, Ref<'static, NotSync, u8>);

#[test]
fn snapshot_goes_to_another_thread() {
    fn assert_static<T: 'static>() {}
    assert_send::<Snapshot<String, u8>>();
    assert_sync::<Snapshot<String, u8>>();
    assert_static::<Snapshot<String, u8>>();
}

assert_not!(Send: Snapshot<u8, NotSync>, Snapshot<u8, NotSend>, Snapshot<NotSync, u8>, Snapshot<NotSend, u8>);
assert_not!(Sync: Snapshot<u8, NotSync>, Snapshot<u8, NotSend>, Snapshot<NotSync, u8>, Snapshot<NotSend, u8>);

#[test]
fn plain_results_go_to_another_thread() {
    assert_send::<Operation<u8, u8>>();
    assert_send::<Stats>();
    assert_sync::<Stats>();
    assert_send::<readmostly::IntoIter<String, u8>>();
}

/// They hold no guard, but borrow one, which protects loads of other threads too.
#[test]
fn iterators_under_a_guard_go_to_another_thread() {
    assert_send::<pinned::Iter<'static, String, u8>>();
    assert_sync::<pinned::Iter<'static, String, u8>>();
    assert_send::<pinned::Keys<'static, String, u8>>();
    assert_send::<pinned::Values<'static, String, u8>>();
}

assert_not!(Send: pinned::Iter<'static, u8, NotSync>, pinned::Iter<'static, u8, NotSend>, pinned::Iter<'static, Neither, u8>);
assert_not!(Sync: pinned::Iter<'static, u8, NotSync>, pinned::Iter<'static, u8, NotSend>, pinned::Iter<'static, Neither, u8>);

// ---------------------------------------------------------------------------------------------------------------------
// Construction

static CACHE: SyncMap<String, u32> = SyncMap::new();
static WITH_HASHER: SyncMap<u32, u32, ConstHash> = SyncMap::with_hasher(ConstHash);
static SET: SyncSet<String> = SyncSet::new();

#[derive(Clone, Copy, Debug, Default)]
struct ConstHash;

impl std::hash::BuildHasher for ConstHash {
    type Hasher = std::hash::DefaultHasher;

    fn build_hasher(&self) -> Self::Hasher {
        std::hash::DefaultHasher::new()
    }
}

#[test]
fn statics_need_no_initialisation_at_run_time() {
    thread::scope(|scope| {
        for id in 0..4 {
            scope.spawn(move || {
                CACHE.insert(format!("thread {id}"), id);
                WITH_HASHER.insert(id, id);
                SET.insert(format!("thread {id}"));
            });
        }
    });
    assert_eq!((CACHE.len(), WITH_HASHER.len(), SET.len()), (4, 4, 4));
    assert_eq!(CACHE.get_cloned("thread 3"), Some(3));
    assert_eq!(WITH_HASHER.get_cloned(&2), Some(2));
    assert!(SET.contains("thread 1"));

    let [one, other] = [const { SyncMap::<u32, u32>::new() }; 2];
    one.insert(1, 1);
    assert!(other.is_empty(), "each use of a constant is a map of its own");
}

#[test]
fn constructors_make_empty_maps() {
    let maps: [SyncMap<u32, u32>; 5] = [
        SyncMap::new(),
        SyncMap::default(),
        SyncMap::with_capacity(0),
        SyncMap::with_hasher(GoodHash::default()),
        SyncMap::with_capacity_and_hasher(10, GoodHash::default()),
    ];
    for map in maps {
        assert!(map.is_empty());
        map.insert(1, 2);
        assert_eq!(map.get_cloned(&1), Some(2));
    }
    assert!(SyncMap::<u32, u32>::with_capacity(1000).capacity() >= 1000);
    assert!(SyncSet::<u32>::with_capacity(1000).is_empty());
    assert!(SyncSet::<u32, ConstHash>::with_hasher(ConstHash).is_empty());
    assert!(SyncSet::<u32, ConstHash>::with_capacity_and_hasher(10, ConstHash).is_empty());
    assert!(SyncSet::<u32>::default().is_empty());
    let map: SyncMap<u32, u32, Masked<3>> = SyncMap::default();
    assert!(map.insert(1, 1).is_none());
    let _: &Masked<3> = map.hasher();
}

/// A map with capacity takes that many entries without making another table.
#[test]
fn capacity_is_room() {
    let (filled, reserved) = (SyncMap::with_capacity(1000), SyncMap::new());
    reserved.reserve(1000);
    for map in [filled, reserved] {
        let before = map.stats();
        for key in 0..1000 {
            map.insert(key, key);
        }
        let after = map.stats();
        assert_eq!((after.promotions, after.copied_slots), (before.promotions, before.copied_slots));
    }
}

#[test]
fn too_much_capacity_panics_and_changes_nothing() {
    let made = catch_unwind(|| SyncMap::<u64, u64>::with_capacity(usize::MAX));
    assert_capacity_overflow(made.unwrap_err());
    let map = SyncMap::from([(1, 1)]);
    let reserved = catch_unwind(AssertUnwindSafe(|| map.reserve(usize::MAX)));
    assert_capacity_overflow(reserved.unwrap_err());
    map.insert(2, 2);
    assert_eq!(map, SyncMap::from([(1, 1), (2, 2)]));
}

fn assert_capacity_overflow(panic: Box<dyn Any + Send>) {
    let message = panic.downcast_ref::<String>().cloned().or(panic.downcast_ref::<&str>().map(|text| text.to_string()));
    assert!(message.as_ref().is_some_and(|text| text.contains("capacity overflow")), "{message:?}");
}

#[test]
fn conversions_from_and_to_collections() {
    let expected: BTreeMap<_, _> = [("a", 1), ("b", 2), ("c", 3)].into();
    let from = SyncMap::from([("a", 1), ("b", 2), ("c", 3)]);
    let collected: SyncMap<_, _> = expected.clone().into_iter().collect();
    let extended_by_value = {
        let mut map = SyncMap::from([("a", 0)]);
        map.extend(expected.clone());
        map
    };
    let extended_by_reference = {
        let map = SyncMap::from([("a", 0)]);
        (&map).extend(expected.clone());
        map
    };
    for map in [from, collected, extended_by_value, extended_by_reference] {
        assert_eq!((&map.pin()).into_iter().map(|(&key, &value)| (key, value)).collect::<BTreeMap<_, _>>(), expected);
        assert_eq!(map.into_iter().collect::<BTreeMap<_, _>>(), expected);
    }
    let last_wins = SyncMap::from([("a", 1), ("a", 2)]);
    assert_eq!((last_wins.len(), last_wins.get_cloned("a")), (1, Some(2)));
}

#[test]
fn sets_convert_like_maps() {
    let from = SyncSet::from([1, 2, 3]);
    let mut extended: SyncSet<i32> = [1].into_iter().collect();
    extended.extend([2]);
    (&extended).extend([3, 3]);
    assert_eq!(from, extended);
    assert_eq!(from.clone(), from);
    assert_ne!(from, SyncSet::from([1, 2]));
    assert_eq!((&from.pin()).into_iter().copied().collect::<HashSet<_>>(), HashSet::from([1, 2, 3]));
    assert_eq!(from.into_iter().collect::<HashSet<_>>(), HashSet::from([1, 2, 3]));
    assert_eq!(format!("{:?}", SyncSet::from([1])), "{1}");
}

#[test]
fn into_iter_moves_everything_out_once() {
    let tally = Tally::default();
    let map: SyncMap<_, _> = (0..100).map(|id| (tally.make(id), tally.make(id))).collect();
    map.retain(|key, _| key.id() >= 10);
    let mut entries = map.into_iter();
    let mut moved: Vec<_> = entries.by_ref().take(50).collect();
    drop(entries);
    assert_eq!(tally.live(), 100, "50 entries were moved out, the rest dropped with the iterator");
    moved.sort_by_key(|(key, _)| key.id());
    moved.dedup_by_key(|(key, _)| key.id());
    assert_eq!(moved.len(), 50);
    assert!(moved.iter().all(|(key, value)| key.id() >= 10 && key == value));
    drop(moved);
    assert_eq!(tally.live(), 0);
}

#[test]
#[should_panic]
fn into_iter_needs_the_map_to_itself() {
    let map = SyncMap::from([(1, 1)]);
    let _snapshot = map.snapshot();
    map.into_iter();
}

// ---------------------------------------------------------------------------------------------------------------------
// Comparison

#[test]
fn equality_is_that_of_the_contents() {
    fn assert_eq_trait<T: Eq>(_: &T) {}
    let map = SyncMap::from([(1, "one"), (2, "two")]);
    let same = SyncMap::from([(3, "three"), (2, "two"), (1, "uno")]);
    same.remove(&3);
    same.insert(1, "one");
    assert_eq_trait(&map);
    assert_eq!(map, same);
    assert_eq!(map, map.clone());
    assert_ne!(map, SyncMap::from([(1, "one")]));
    assert_ne!(SyncMap::from([(1, "one")]), map);
    assert_ne!(map, SyncMap::from([(1, "one"), (3, "two")]));
    assert_ne!(map, SyncMap::from([(1, "one"), (2, "zwei")]));
    let not_a_number = SyncMap::from([(1, f64::NAN)]);
    assert!(not_a_number != not_a_number, "values are compared even between a map and itself");
}

// ---------------------------------------------------------------------------------------------------------------------
// Borrowing

#[test]
fn keys_are_found_by_what_they_borrow_as() {
    let map: SyncMap<String, Vec<u8>> = SyncMap::from([("key".to_owned(), vec![1])]);
    assert!(map.contains_key("key"));
    assert_eq!(map.get("key").unwrap().key(), "key");
    assert!(map.update("key", |bytes| [&bytes[..], &[2]].concat()).is_some());
    assert_eq!(*map.remove("key").unwrap(), [1, 2]);

    let pairs = SyncMap::from([((1, "one".to_owned()), 1)]);
    assert_eq!(pairs.get_cloned(&Pair(1, "one")), Some(1), "by an equivalent key that cannot be borrowed from it");
}

#[derive(Hash)]
struct Pair<'a>(i32, &'a str);

impl equivalent::Equivalent<(i32, String)> for Pair<'_> {
    fn equivalent(&self, key: &(i32, String)) -> bool {
        (self.0, self.1) == (key.0, &key.1)
    }
}

#[test]
fn keys_and_values_may_borrow() {
    let text = "to be or not to be".to_owned();
    let seen = Cell::new(0);
    let counts: SyncMap<&str, (u32, &Cell<u32>)> = SyncMap::new();
    for word in text.split(' ') {
        let count =
            |count: Option<&(u32, _)>| Operation::<_, ()>::Insert((count.map_or(1, |(count, _)| count + 1), &seen));
        let _ = counts.compute(word, count);
    }
    assert_eq!(counts.get("to").map(|count| count.0), Some(2));
    counts.remove("not").unwrap().1.set(1);
    drop(counts);
    assert_eq!(seen.get(), 1);
}

/// References from a pin live as long as the borrow of it, across other operations on the map.
#[test]
fn pinned_references_outlive_removal() {
    let map = SyncMap::from([(1, "one".to_owned()), (2, "two".to_owned())]);
    let mut pin = map.pin();
    {
        let one: &String = pin.get(&1).unwrap();
        let removed: &String = pin.remove(&1).unwrap();
        let two: &String = pin.insert(2, "zwei".to_owned()).unwrap();
        map.clear();
        map.compact();
        map.flush();
        assert_eq!((one.as_str(), removed.as_str(), two.as_str()), ("one", "one", "two"));
    }
    pin.repin();
    assert_eq!(pin.get(&2), None);
}

#[test]
fn refs_outlive_removal() {
    let map = SyncMap::from([(1, "one".to_owned())]);
    let one = map.get(&1).unwrap();
    map.remove(&1);
    map.compact();
    map.flush();
    assert_eq!((*one.key(), one.value().as_str(), one.len()), (1, "one", 3));
}

// ---------------------------------------------------------------------------------------------------------------------
// Unusual types

#[test]
fn zero_sized_keys_and_values() {
    static LIVE: AtomicI64 = AtomicI64::new(0);
    #[derive(Debug, PartialEq)]
    struct Nothing;
    impl Nothing {
        fn new() -> Self {
            LIVE.fetch_add(1, SeqCst);
            Nothing
        }
    }
    impl Drop for Nothing {
        fn drop(&mut self) {
            LIVE.fetch_sub(1, SeqCst);
        }
    }

    let map: SyncMap<(), Nothing> = SyncMap::new();
    assert!(map.insert((), Nothing::new()).is_none());
    for _ in 0..100 {
        assert!(map.insert((), Nothing::new()).is_some());
        assert!(map.compare_and_swap(&(), &Nothing::new(), Nothing::new()).is_ok());
        assert!(map.remove(&()).is_some() && map.remove(&()).is_none());
        assert!(map.try_insert((), Nothing::new()).is_ok());
    }
    assert_eq!((map.len(), map.pin().iter().count()), (1, 1));
    drop(map);
    assert_eq!(LIVE.load(SeqCst), 0);

    let set = SyncSet::from([()]);
    assert!(set.contains(&()) && !set.insert(()) && set.remove(&()) && set.is_empty());
}

#[test]
fn over_aligned_keys_and_values() {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[repr(align(256))]
    struct Wide(u8);

    let map: SyncMap<Wide, Wide> = (0..200).map(|i| (Wide(i), Wide(i))).collect();
    for i in 0..200 {
        map.insert(Wide(i), Wide(i / 2));
    }
    map.range(|key, value| {
        assert!(std::ptr::from_ref(key).is_aligned() && std::ptr::from_ref(value).is_aligned());
        assert_eq!(value.0, key.0 / 2);
        true
    });
    assert_eq!(map.len(), 200);
}

// ---------------------------------------------------------------------------------------------------------------------
// Printing

#[test]
fn maps_print_as_maps() {
    assert_eq!(format!("{:?}", SyncMap::<u8, u8>::new()), "{}");
    assert_eq!(format!("{:?}", SyncMap::from([("a", 1)])), r#"{"a": 1}"#);
    assert_eq!(format!("{:#?}", SyncMap::from([("a", 1)])), "{\n    \"a\": 1,\n}");
}

#[test]
fn refs_print_their_value() {
    let map = SyncMap::from([("a", "text")]);
    let value = map.get("a").unwrap();
    assert_eq!(format!("{value} {value:>6}"), "text   text");
    assert!(format!("{value:?}").contains(r#""text""#));
}

#[test]
fn every_public_type_prints_for_debugging() {
    let map = SyncMap::from([("a", 71_u32)]);
    let pin = map.pin();
    let shown = [
        format!("{pin:?}"),
        format!("{:?}", map.snapshot()),
        format!("{:?}", map.compute("a", |_| Operation::<u32, ()>::Remove)),
        format!("{:?}", pin.compute("a", |_| Operation::<u32, ()>::Insert(71))),
        format!("{:?}", pin.iter()),
        format!("{:?}", Operation::<u8, u8>::Insert(71)),
        format!("{:?}", map.stats()),
    ];
    assert!(shown.iter().all(|shown| !shown.is_empty()));
}

#[test]
fn occupied_error_says_what_is_there() {
    let map = SyncMap::from([("key", 1)]);
    let error: OccupiedError<'_, _, _> = map.try_insert("key", 2).unwrap_err();
    assert_error(&error);
    assert_eq!((*error.current.key(), *error.current, error.key, error.value), ("key", 1, "key", 2));

    let pin = map.pin();
    let error: pinned::OccupiedError<'_, _, _> = pin.try_insert("key", 2).unwrap_err();
    assert_error(&error);
    assert_eq!((*error.current, error.key, error.value), (1, "key", 2));
}

fn assert_error(error: &dyn Error) {
    let message = error.to_string();
    assert!(!message.is_empty() && !message.contains('\n'), "an error must be one line: {message:?}");
    assert!(format!("{error:?}").contains("key"));
}

#[test]
fn stats_print_their_numbers() {
    let map = SyncMap::new();
    for key in 0..1000 {
        map.insert(key, key);
    }
    map.promote();
    let stats = map.stats();
    assert!(stats.promotions > 0 && stats.copied_slots > 0, "growth must be counted: {stats:?}");
    assert!(stats.table_bytes > 0, "a map with entries has a table: {stats:?}");
    let shown = stats.to_string();
    assert!(shown.contains(&stats.table_bytes.to_string()), "the table's size is missing: {shown}");
    let copy = stats;
    assert_eq!(copy, stats);
}
