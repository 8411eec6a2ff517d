//! Runs operations on a `SyncMap` and compares what they show with what the reference says.

use std::collections::BTreeMap;

use readmostly::{Operation, Pinned, Ref, Stats, SyncMap};

use crate::common::{Counted, Tally, TestHasher};
use crate::ops::{Case, Op, Plan, Step};
use crate::reference::{self, Model, Outcome, apply_to_model};
use crate::views::Expected;

pub(crate) type Map<S> = SyncMap<Counted, Counted, S>;

pub(crate) fn run<S: TestHasher>(case: &Case, keys: u32) -> Stats {
    let tally = Tally::default();
    let mut expected = Expected::default();
    let mut map: Map<S> = match case.capacity {
        None => SyncMap::with_hasher(S::default()),
        Some(capacity) => SyncMap::with_capacity_and_hasher(capacity, S::default()),
    };
    assert!(map.capacity() >= case.capacity.unwrap_or(0), "with_capacity must make room for that many entries");

    let shares_guard = |a: &Step, b: &Step| a.pinned == b.pinned && !a.op.stands_alone() && !b.op.stands_alone();
    for group in case.steps.chunk_by(shares_guard) {
        match &group[0] {
            Step { op, .. } if op.stands_alone() => map = apply_alone(map, &mut expected, &tally, op),
            Step { pinned: true, .. } => apply_pinned(&map, &mut expected, &tally, group),
            Step { pinned: false, .. } => apply_per_call(&map, &mut expected, &tally, group),
        }
        assert_eq!(map.len(), expected.model.len(), "after {group:?}");
    }
    compare(&map, &expected.model, keys);

    let stats = map.stats();
    if case.snapshot_outlives_map {
        let snapshot = map.snapshot();
        drop(map);
        let mut left = BTreeMap::new();
        snapshot.for_each(|key, value| insert_new(&mut left, key, value));
        assert_eq!(left, sorted(&expected.model), "a snapshot must keep what its map held when that was dropped");
    } else {
        drop(map);
    }
    expected.look_at_snapshots();
    drop(expected);
    assert_eq!(tally.live(), 0, "dropping the map must drop every key and value, retired ones too");
    stats
}

pub(crate) fn compare<S: TestHasher>(map: &Map<S>, model: &Model, keys: u32) {
    let pin = map.pin();
    for key in 0..keys {
        assert_eq!(pin.get(&key).map(Counted::id), model.get(&key).copied(), "key {key}");
    }
    assert_eq!(contents(&pin), sorted(model));
    assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
}

fn sorted(model: &Model) -> BTreeMap<u32, u32> {
    model.iter().map(|(&key, &value)| (key, value)).collect()
}

fn contents<S: TestHasher>(pin: &Pinned<'_, Counted, Counted, S>) -> BTreeMap<u32, u32> {
    let mut seen = BTreeMap::new();
    for (key, value) in pin {
        insert_new(&mut seen, key, value);
    }
    seen
}

fn insert_new(seen: &mut BTreeMap<u32, u32>, key: &Counted, value: &Counted) {
    assert_eq!(seen.insert(key.id(), value.id()), None, "an iteration visited {key:?} twice");
}

/// A reference to a value, as the per-call operations and those of a `Pinned` give it out.
trait Held {
    fn id(&self) -> u32;
}

impl Held for Ref<'_, Counted, Counted> {
    fn id(&self) -> u32 {
        self.key().id();
        self.value().id()
    }
}

impl Held for &Counted {
    fn id(&self) -> u32 {
        Counted::id(self)
    }
}

/// The references given out so far, with what they showed at first.
struct References<H>(Vec<(H, u32)>);

impl<H: Held> References<H> {
    fn keep(&mut self, reference: H) -> u32 {
        let id = reference.id();
        self.0.push((reference, id));
        id
    }

    fn recheck(&self) {
        for (reference, id) in &self.0 {
            assert_eq!(reference.id(), *id, "a reference must keep showing the value it was given out for");
        }
    }
}

/// Runs an operation that `SyncMap` and `Pinned` have in common on `$target`. `Compute` must name the enum that belongs
/// to the type of `$target`.
macro_rules! apply {
    ($target:expr, $op:expr, $tally:expr, $held:expr) => {{
        let (target, tally, held, make) = (&$target, $tally, &mut *$held, |id: u32| $tally.make(id));
        match *$op {
            Op::Insert(key, value) => Outcome::Value(target.insert(make(key), make(value)).map(|old| held.keep(old))),
            Op::TryInsert(key, value) => match target.try_insert(make(key), make(value)) {
                Ok(new) => Outcome::Inserted(held.keep(new)),
                Err(error) => Outcome::Occupied {
                    key: error.key.id(),
                    value: error.value.id(),
                    current: held.keep(error.current),
                },
            },
            Op::Get(key) => Outcome::Value(target.get(&key).map(|value| held.keep(value))),
            Op::GetCloned(key) => Outcome::Value(target.get_cloned(&key).map(|value| value.id())),
            Op::ContainsKey(key) => Outcome::Is(target.contains_key(&key)),
            Op::GetOrInsert(key, value) => {
                Outcome::Value(Some(held.keep(target.get_or_insert(make(key), make(value)))))
            }
            Op::GetOrInsertWith(key, value) => {
                let mut times = 0;
                let got = target.get_or_insert_with(make(key), || {
                    times += 1;
                    assert!(!target.contains_key(&key), "the closure is for absent keys");
                    make(value)
                });
                Outcome::Called { value: Some(held.keep(got)), times }
            }
            Op::GetOrTryInsertWith(key, result) => {
                let mut times = 0;
                let got = target.get_or_try_insert_with(make(key), || {
                    times += 1;
                    result.map(make)
                });
                match got {
                    Ok(value) => Outcome::Called { value: Some(held.keep(value)), times },
                    Err(error) => Outcome::Refused(error),
                }
            }
            Op::Update(key, add) => {
                let mut times = 0;
                let new = target.update(&key, |old| {
                    times += 1;
                    assert_eq!(target.get_cloned(&key).as_ref(), Some(old), "the map must be usable in the closure");
                    make(reference::updated(old.id(), add))
                });
                Outcome::Called { value: new.map(|new| held.keep(new)), times }
            }
            Op::Compute { key, present, absent } => {
                let computed = target.compute(make(key), |current| {
                    assert_eq!(target.get_cloned(&key).as_ref(), current, "the map must be usable in the closure");
                    operation(if current.is_some() { present } else { absent }, tally)
                });
                match computed {
                    Compute::Inserted(new) => Outcome::Inserted(held.keep(new)),
                    Compute::Updated { old, new } => Outcome::Updated { old: held.keep(old), new: held.keep(new) },
                    Compute::Removed(old) => Outcome::Removed(held.keep(old)),
                    Compute::Aborted(with) => Outcome::Aborted(with),
                    Compute::Absent => Outcome::Absent,
                }
            }
            Op::CompareAndSwap(key, guess, new) => {
                match target.compare_and_swap(&key, &make(guess.value()), make(new)) {
                    Ok(old) => Outcome::Value(Some(held.keep(old))),
                    Err(new) => Outcome::Refused(new.id()),
                }
            }
            Op::CompareAndRemove(key, guess) => {
                Outcome::Value(target.compare_and_remove(&key, &make(guess.value())).map(|old| held.keep(old)))
            }
            Op::Remove(key) => Outcome::Value(target.remove(&key).map(|old| held.keep(old))),
            Op::RemoveIf(key, wanted) => {
                let mut times = 0;
                let removed = target.remove_if(&key, |found, value| {
                    times += 1;
                    assert_eq!(found.id(), key);
                    value.id() == wanted
                });
                Outcome::Called { value: removed.map(|old| held.keep(old)), times }
            }
            Op::Retain { divisor, remainder } => {
                let mut visited = Vec::new();
                target.retain(|key, value| {
                    visited.push((key.id(), value.id()));
                    reference::retained(key.id(), value.id(), divisor, remainder)
                });
                Outcome::Visited(visited)
            }
            Op::Clear => {
                target.clear();
                Outcome::Done
            }
            Op::Range { stop_after } => {
                let mut visited = Vec::new();
                target.range(|key, value| {
                    visited.push((key.id(), value.id()));
                    Some(visited.len()) != stop_after
                });
                Outcome::Visited(visited)
            }
            Op::Len => Outcome::Value(u32::try_from(target.len()).ok()),
            Op::IsEmpty => Outcome::Is(target.is_empty()),
            Op::Fill { start, count, step } => {
                for key in reference::keys(start, count, step) {
                    target.insert(make(key), make(reference::filled(key)));
                }
                Outcome::Done
            }
            Op::Drain { start, count, step } => {
                for key in reference::keys(start, count, step) {
                    target.remove(&key);
                }
                Outcome::Done
            }
            _ => unreachable!("{:?} is not an operation that map and pin share", $op),
        }
    }};
}

fn operation(plan: Plan, tally: &Tally) -> Operation<Counted, u32> {
    match plan {
        Plan::Insert(value) => Operation::Insert(tally.make(value)),
        Plan::Remove => Operation::Remove,
        Plan::Abort(with) => Operation::Abort(with),
    }
}

pub(crate) fn apply_per_call<S: TestHasher>(map: &Map<S>, expected: &mut Expected, tally: &Tally, group: &[Step]) {
    let mut held = References(Vec::new());
    for step in group {
        apply_one(map, expected, tally, &mut held, &step.op);
    }
    held.recheck();
}

fn apply_one<'m, S: TestHasher>(
    map: &'m Map<S>,
    expected: &mut Expected,
    tally: &Tally,
    held: &mut References<Ref<'m, Counted, Counted>>,
    op: &Op,
) {
    use readmostly::Compute;
    let op = op.resolved(&expected.model);
    if let Op::During(ops) = &op {
        let then = |expected: &mut Expected, op: &Op| apply_one(map, expected, tally, held, op);
        return expected.during(ops, |visit| map.range(visit), then);
    }
    if op.concerns_whole_map() {
        apply_to_map(map, expected, tally, &op);
        apply_to_model(&mut expected.model, &op);
    } else {
        let got = apply!(map, &op, tally, held);
        reference::assert_agree(&op, got, apply_to_model(&mut expected.model, &op));
    }
    expected.after(&op);
}

pub(crate) fn apply_pinned<S: TestHasher>(map: &Map<S>, expected: &mut Expected, tally: &Tally, group: &[Step]) {
    use readmostly::pinned::Compute;
    let mut pin = map.pin();
    let mut held = References(Vec::new());
    for step in group {
        let op = step.op.resolved(&expected.model);
        if let Op::During(ops) = &op {
            let mut held = References(Vec::new());
            let then = |expected: &mut Expected, op: &Op| apply_one(map, expected, tally, &mut held, op);
            expected.during(ops, |visit| pin.range(visit), then);
            held.recheck();
            continue;
        }
        if op.concerns_whole_map() {
            apply_to_map(map, expected, tally, &op);
            apply_to_model(&mut expected.model, &op);
        } else {
            let held = &mut held;
            let got = apply!(pin, &op, tally, held);
            reference::assert_agree(&op, got, apply_to_model(&mut expected.model, &op));
        }
        expected.after(&op);
    }
    held.recheck();
    pin.repin();
    for (key, value) in expected.model.iter().take(8) {
        assert_eq!(pin.get(key).map(Counted::id), Some(*value), "key {key} after repin");
    }
}

/// Operations that need the map itself; a `Pinned` and references may be alive meanwhile. `expected` is as before `op`.
fn apply_to_map<S: TestHasher>(map: &Map<S>, expected: &mut Expected, tally: &Tally, op: &Op) {
    let model = &expected.model;
    match op {
        Op::Iterate => assert_iterators(map, model),
        Op::Snapshot => {
            let snapshot = map.snapshot();
            assert_eq!(snapshot.len_hint(), model.len(), "nothing else runs, so the hint must be exact");
            let mut seen = BTreeMap::new();
            snapshot.for_each(|key, value| insert_new(&mut seen, key, value));
            assert_eq!(seen, sorted(model));
            let listed: BTreeMap<_, _> = snapshot.to_vec().iter().map(|(key, value)| (key.id(), value.id())).collect();
            assert_eq!(listed, sorted(model));
        }
        Op::CloneAndCompare => assert_clone(map, model, tally),
        Op::CollectAndCompare => {
            let other: Map<S> = model.iter().map(|(&key, &value)| (tally.make(key), tally.make(value))).collect();
            assert!(equal(map, &other), "a map with the same entries must be equal to {map:?}");
        }
        Op::Debug => assert_debug(&format!("{map:?}"), model),
        Op::ExtendShared(pairs) => {
            let mut shared = map;
            shared.extend(pairs.iter().map(|&(key, value)| (tally.make(key), tally.make(value))));
        }
        Op::Hold => expected.keep(map.snapshot()),
        Op::LookAtHeld => expected.look_at_snapshots(),
        Op::LetGo(index) => expected.let_go(*index),
        Op::Promote => map.promote(),
        Op::Compact => {
            map.compact();
            assert_eq!(map.stats().tombstones, 0, "compact must leave no removed entry in the table");
        }
        Op::Reserve(additional) => {
            map.reserve(*additional);
            assert!(map.capacity() >= model.len() + additional, "reserve must make room for {additional} more entries");
        }
        Op::Stats => assert!(!map.stats().to_string().is_empty()),
        _ => unreachable!("{op:?} is not an operation on a shared map"),
    }
}

fn assert_iterators<S: TestHasher>(map: &Map<S>, model: &Model) {
    let pin = map.pin();
    let by_iter: BTreeMap<_, _> = pin.iter().map(|(key, value)| (key.id(), value.id())).collect();
    assert_eq!(by_iter, sorted(model));
    assert_eq!(contents(&pin), sorted(model));

    let mut keys: Vec<_> = pin.keys().map(Counted::id).collect();
    keys.sort_unstable();
    assert!(keys.iter().eq(sorted(model).keys()), "keys() gave {keys:?}, expected those of {model:?}");

    let (mut values, mut expected): (Vec<_>, Vec<_>) =
        (pin.values().map(Counted::id).collect(), model.values().copied().collect());
    values.sort_unstable();
    expected.sort_unstable();
    assert_eq!(values, expected);

    for (&key, &value) in model {
        let pair = pin.get_key_value(&key).map(|(key, value)| (key.id(), value.id()));
        assert_eq!(pair, Some((key, value)));
    }
}

fn assert_clone<S: TestHasher>(map: &Map<S>, model: &Model, tally: &Tally) {
    let clone = map.clone();
    assert!(equal(&clone, map), "a clone must be equal");
    let extra = (0..).find(|key| !model.contains_key(key)).expect("fewer keys than numbers");
    clone.insert(tally.make(extra), tally.make(0));
    assert!(!equal(&clone, map), "a map with one entry more must differ");
    assert!(!map.contains_key(&extra), "a change of the clone must not show in the original");
    if let Some((&key, &value)) = model.iter().next() {
        clone.remove(&extra);
        clone.insert(tally.make(key), tally.make(value + 1));
        assert!(!equal(&clone, map), "a map with another value must differ");
    }
}

fn equal<S: TestHasher>(one: &Map<S>, other: &Map<S>) -> bool {
    let equal = one == other;
    assert_eq!(other == one, equal, "equality must be symmetric");
    equal
}

fn assert_debug(shown: &str, model: &Model) {
    let entries = shown.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).expect("the form of a map");
    let mut entries: Vec<_> = entries.split(", ").filter(|entry| !entry.is_empty()).map(str::to_owned).collect();
    entries.sort_unstable();
    let mut expected: Vec<_> = model.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    expected.sort_unstable();
    assert_eq!(entries, expected);
}

fn apply_alone<S: TestHasher>(mut map: Map<S>, expected: &mut Expected, tally: &Tally, op: &Op) -> Map<S> {
    let map = match op {
        Op::Extend(pairs) => {
            map.extend(pairs.iter().map(|&(key, value)| (tally.make(key), tally.make(value))));
            map
        }
        Op::IntoIterAndCollect => {
            // Entries that a snapshot shares cannot be moved out.
            expected.let_all_go();
            map.into_iter().collect()
        }
        Op::Flush => {
            map.flush();
            map
        }
        _ => unreachable!("{op:?} does not stand alone"),
    };
    apply_to_model(&mut expected.model, op);
    expected.after(op);
    map
}
