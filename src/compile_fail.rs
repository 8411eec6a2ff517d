//! What must not compile, each beside a twin that does, so that the failure is the one that is meant.

/// A reference got from a pinned map cannot outlive the `Pinned`.
///
/// ```
/// let map = readmostly::SyncMap::from([(1, 2)]);
/// let pinned = map.pin();
/// let value = pinned.get(&1);
/// assert_eq!(value, Some(&2));
/// ```
///
/// ```compile_fail,E0505
/// let map = readmostly::SyncMap::from([(1, 2)]);
/// let pinned = map.pin();
/// let value = pinned.get(&1);
/// drop(pinned);
/// assert_eq!(value, Some(&2));
/// ```
struct PinnedReferenceEscapes;

/// Nor can one that came with others, although what gave it is gone.
///
/// ```
/// let map = readmostly::SyncMap::from([(1, 2)]);
/// let pinned = map.pin();
/// let values: Vec<_> = pinned.get_many(&[1]).collect();
/// assert_eq!(values, [Some(&2)]);
/// ```
///
/// ```compile_fail,E0505
/// let map = readmostly::SyncMap::from([(1, 2)]);
/// let pinned = map.pin();
/// let values: Vec<_> = pinned.get_many(&[1]).collect();
/// drop(pinned);
/// assert_eq!(values, [Some(&2)]);
/// ```
struct ReferenceOfManyEscapes;

/// Nor can it outlive a repin.
///
/// ```
/// let map = readmostly::SyncMap::from([(1, 2)]);
/// let mut pinned = map.pin();
/// assert_eq!(pinned.get(&1), Some(&2));
/// pinned.repin();
/// ```
///
/// ```compile_fail,E0502
/// let map = readmostly::SyncMap::from([(1, 2)]);
/// let mut pinned = map.pin();
/// let value = pinned.get(&1);
/// pinned.repin();
/// assert_eq!(value, Some(&2));
/// ```
struct ReferenceSurvivesRepin;

/// A `Ref` cannot outlive its map.
///
/// ```
/// let map = readmostly::SyncMap::from([(1, 2)]);
/// let entry = map.get(&1);
/// drop(entry);
/// drop(map);
/// ```
///
/// ```compile_fail,E0505
/// let map = readmostly::SyncMap::from([(1, 2)]);
/// let entry = map.get(&1);
/// drop(map);
/// drop(entry);
/// ```
struct RefOutlivesMap;

/// Nor can a part of one, nor can what the closure is shown be kept instead.
///
/// ```
/// let map = readmostly::SyncMap::from([(1, (2, 3))]);
/// let part = readmostly::Ref::map(map.get(&1).unwrap(), |pair| &pair.0);
/// drop(part);
/// drop(map);
/// ```
///
/// ```compile_fail,E0505
/// let map = readmostly::SyncMap::from([(1, (2, 3))]);
/// let part = readmostly::Ref::map(map.get(&1).unwrap(), |pair| &pair.0);
/// drop(map);
/// drop(part);
/// ```
///
/// ```compile_fail
/// let map = readmostly::SyncMap::from([(1, (2, 3))]);
/// let mut kept = None;
/// let part = readmostly::Ref::map(map.get(&1).unwrap(), |pair| {
///     kept = Some(pair);
///     &pair.0
/// });
/// ```
///
/// ```compile_fail,E0597
/// let map = readmostly::SyncMap::from([(1, (2, 3))]);
/// let part = {
///     let other = 4;
///     readmostly::Ref::map(map.get(&1).unwrap(), |_| &other)
/// };
/// assert_eq!(*part, 4);
/// ```
struct PartOutlivesMap;

/// An iterator under a guard may be sent, and cannot outlive the guard.
///
/// ```
/// let map = readmostly::SyncMap::from([(1, 2)]);
/// let pinned = map.pin();
/// let iter = pinned.iter();
/// std::thread::scope(|scope| {
///     scope.spawn(move || assert_eq!(iter.count(), 1));
/// });
/// ```
///
/// ```compile_fail,E0505
/// let map = readmostly::SyncMap::from([(1, 2)]);
/// let pinned = map.pin();
/// let iter = pinned.iter();
/// std::thread::scope(|scope| {
///     scope.spawn(move || assert_eq!(iter.count(), 1));
///     drop(pinned);
/// });
/// ```
struct IteratorOutlivesGuard;

/// A reference into a `Ref` cannot outlive the `Ref`, which holds the guard.
///
/// ```
/// let map = readmostly::SyncMap::from([(1, 2)]);
/// let entry = map.get(&1).unwrap();
/// let value: &i32 = entry.value();
/// assert_eq!(*value, 2);
/// ```
///
/// ```compile_fail,E0716
/// let map = readmostly::SyncMap::from([(1, 2)]);
/// let value: &i32 = map.get(&1).unwrap().value();
/// assert_eq!(*value, 2);
/// ```
struct ReferenceOutlivesRef;

/// What `range` shows cannot be kept.
///
/// ```
/// let map = readmostly::SyncMap::from([(1, 2)]);
/// let mut kept = None;
/// map.range(|_, value| {
///     kept = Some(*value);
///     true
/// });
/// ```
///
/// ```compile_fail
/// let map = readmostly::SyncMap::from([(1, 2)]);
/// let mut kept = None;
/// map.range(|_, value| {
///     kept = Some(value);
///     true
/// });
/// ```
struct RangeReferenceEscapes;

/// What a snapshot shows cannot be kept.
///
/// ```
/// let snapshot = readmostly::SyncMap::from([(1, 2)]).snapshot();
/// let mut kept = None;
/// snapshot.for_each(|_, value| kept = Some(*value));
/// ```
///
/// ```compile_fail
/// let snapshot = readmostly::SyncMap::from([(1, 2)]).snapshot();
/// let mut kept = None;
/// snapshot.for_each(|_, value| kept = Some(value));
/// ```
struct SnapshotReferenceEscapes;

/// A `Ref` stays on its thread.
///
/// ```
/// let map = readmostly::SyncMap::from([(1, 2)]);
/// let value = *map.get(&1).unwrap();
/// std::thread::scope(|scope| {
///     scope.spawn(move || assert_eq!(value, 2));
/// });
/// ```
///
/// ```compile_fail,E0277
/// let map = readmostly::SyncMap::from([(1, 2)]);
/// let entry = map.get(&1).unwrap();
/// std::thread::scope(|scope| {
///     scope.spawn(move || assert_eq!(*entry, 2));
/// });
/// ```
struct RefIsSent;

/// A `Pinned` stays on its thread.
///
/// ```
/// let map = readmostly::SyncMap::from([(1, 2)]);
/// std::thread::scope(|scope| {
///     scope.spawn(|| assert_eq!(map.pin().get(&1), Some(&2)));
/// });
/// ```
///
/// ```compile_fail,E0277
/// let map = readmostly::SyncMap::from([(1, 2)]);
/// let pinned = map.pin();
/// std::thread::scope(|scope| {
///     scope.spawn(move || assert_eq!(pinned.get(&1), Some(&2)));
/// });
/// ```
struct PinnedIsSent;

/// A map of values that may not be shared between threads is not shared.
///
/// ```
/// fn share<T: Sync>(_: &T) {}
/// share(&readmostly::SyncMap::<u32, u32>::new());
/// ```
///
/// ```compile_fail,E0277
/// fn share<T: Sync>(_: &T) {}
/// share(&readmostly::SyncMap::<u32, std::cell::Cell<u32>>::new());
/// ```
///
/// ```compile_fail,E0277
/// fn share<T: Sync>(_: &T) {}
/// share(&readmostly::SyncMap::<u32, std::rc::Rc<u32>>::new());
/// ```
///
/// Nor sent, since a snapshot on another thread may share its entries.
///
/// ```compile_fail,E0277
/// fn send<T: Send>(_: T) {}
/// send(readmostly::SyncMap::<u32, std::cell::Cell<u32>>::new());
/// ```
struct UnsharableIsShared;

/// A map of long-lived references does not pass for one of short-lived ones, to which a short-lived one could be added.
///
/// ```
/// fn same<'a>(map: readmostly::SyncMap<u32, &'a str>) -> readmostly::SyncMap<u32, &'a str> {
///     map
/// }
/// same(readmostly::SyncMap::from([(1, "a")]));
/// ```
///
/// ```compile_fail
/// fn shorten<'a>(map: readmostly::SyncMap<u32, &'static str>, _: &'a str) -> readmostly::SyncMap<u32, &'a str> {
///     map
/// }
/// ```
///
/// ```compile_fail
/// fn shorten<'a>(map: readmostly::SyncMap<&'static str, u32>, _: &'a str) -> readmostly::SyncMap<&'a str, u32> {
///     map
/// }
/// ```
///
/// ```compile_fail
/// fn lengthen<'a>(map: readmostly::SyncMap<u32, &'a str>) -> readmostly::SyncMap<u32, &'static str> {
///     map
/// }
/// ```
struct NotInvariant;

/// Keys and values must outlive the map: it drops them.
///
/// ```
/// let text = String::from("a");
/// let map = readmostly::SyncMap::new();
/// map.insert(1, text.as_str());
/// ```
///
/// ```compile_fail,E0597
/// let map = readmostly::SyncMap::new();
/// {
///     let text = String::from("a");
///     map.insert(1, text.as_str());
/// }
/// assert_eq!(map.len(), 1);
/// ```
struct ValueDiesBeforeMap;
