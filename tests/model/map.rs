//! `SyncMap` against `HashMap`, through the map itself and through a `Pinned`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use readmostly::{Operation, Pinned, Ref, Stats, SyncMap};

use crate::common::{Counted, Tally, TestHasher, race, threads};
use crate::ops::{self, Case, Op, Plan, Step};
use crate::reference::{self, Model, Outcome, apply_to_model};

under_all_hashers!(
    few_keys_collide_and_come_back,
    many_keys_grow_copy_and_promote,
    keys_leave_and_come_back_while_tables_are_copied,
    clear_at_every_size,
    keys_come_back_while_others_copy,
    threads_follow_models_of_their_own,
);

type Map<S> = SyncMap<Counted, Counted, S>;

fn few_keys_collide_and_come_back<S: TestHasher>() {
    const KEYS: u32 = 16;
    let op = prop_oneof![4 => ops::single_key(0..KEYS), 1 => ops::whole_map(KEYS)];
    crate::check(300, ops::case(op, 120, KEYS), |case| {
        run::<S>(case, KEYS);
    });
}

fn many_keys_grow_copy_and_promote<S: TestHasher>() {
    let keys = S::MANY;
    let op = prop_oneof![8 => ops::single_key(0..keys), 1 => ops::whole_map(keys), 1 => ops::bulk(0, keys)];
    let (promotions, copied_slots) = (Cell::new(0), Cell::new(0));
    crate::check(40, ops::case(op, 100, keys), |case| {
        let stats = run::<S>(case, keys);
        promotions.set(promotions.get() + stats.promotions);
        copied_slots.set(copied_slots.get() + stats.copied_slots);
    });
    assert!(promotions.get() > 0, "the sequences were expected to promote a table at least once");
    assert!(copied_slots.get() > 0, "the sequences were expected to copy a slot at least once");
}

/// Not random: at every step of every copy one key leaves, another comes back, and all are looked up.
fn keys_leave_and_come_back_while_tables_are_copied<S: TestHasher>() {
    for size in [1, 7, 30, 100] {
        let tally = Tally::default();
        let (map, mut model) = (Map::<S>::default(), Model::new());
        let insert = |model: &mut Model, key, value| {
            let old = map.insert(tally.make(key), tally.make(value)).map(|old| old.id());
            assert_eq!(old, model.insert(key, value), "insert of {key}");
        };
        for key in 0..size {
            insert(&mut model, key, key);
        }
        for (fresh, leaving) in (size..3 * size).zip((0..size).cycle()) {
            let back = (leaving + size / 2) % size;
            assert_eq!(map.remove(&leaving).map(|old| old.id()), model.remove(&leaving), "remove of {leaving}");
            insert(&mut model, fresh, fresh);
            insert(&mut model, back, fresh);
            for key in 0..=fresh {
                assert_eq!(map.get(&key).map(|value| value.id()), model.get(&key).copied(), "key {key} of {fresh}");
            }
        }
        compare(&map, &model, 3 * size);
    }
}

/// At some of the sizes a copy is under way.
fn clear_at_every_size<S: TestHasher>() {
    let tally = Tally::default();
    let map = Map::<S>::default();
    for size in 0..120 {
        for round in 0..2 {
            for key in 0..size {
                let new = map.insert(tally.make(key), tally.make(round)).is_none();
                assert!(new, "key {key} is left after a clear");
            }
            // Only looked up: an iteration would end the copy.
            for key in 0..=size {
                assert_eq!(map.get_cloned(&key).map(|value| value.id()), (key < size).then_some(round));
            }
            map.clear();
            assert!(
                map.is_empty() && (0..size).all(|key| !map.contains_key(&key)),
                "after clear {round} of {size} keys"
            );
        }
    }
    drop(map);
    assert_eq!(tally.live(), 0);
}

/// A removed key may come back at the very moment at which a copy leaves it behind; neither may lose it.
fn keys_come_back_while_others_copy<S: TestHasher>() {
    const TIME: Duration = Duration::from_millis(600);
    const KEYS: u32 = 16;

    let map: SyncMap<u32, u32, S> = (0..KEYS * 2).map(|key| (key, 0)).collect();
    let end = Instant::now() + TIME;
    race(3, |id| {
        if id == 2 {
            while Instant::now() < end {
                map.compact();
            }
            return;
        }
        for round in 0.. {
            let own = (0..KEYS).map(|key| key * 2 + id as u32);
            for key in own {
                assert_eq!(map.remove(&key).as_deref(), Some(&round), "remove of {key} in round {round}");
                assert!(map.insert(key, round + 1).is_none(), "insert of {key} in round {round}");
                assert_eq!(map.get_cloned(&key), Some(round + 1), "get of {key} in round {round}");
            }
            if Instant::now() > end {
                break;
            }
        }
    });
    assert_eq!(map.len(), KEYS as usize * 2);
}

/// Each thread has keys of its own, and for these sees exactly what it would see without the others, who make tables
/// grow, be copied, promoted and compacted meanwhile.
fn threads_follow_models_of_their_own<S: TestHasher>() {
    const KEYS: u32 = 24;
    const PASSING: u32 = 60;
    const OPS: usize = 3000;

    let tally = Tally::default();
    let map: Map<S> = Map::default();
    let threads = threads() as u32;
    let models = race(threads as usize, |id| {
        let id = id as u32;
        let own = (0..KEYS).prop_map(move |key| key * threads + id);
        let op = prop_oneof![24 => ops::single_key(own), 1 => ops::bulk(1_000_000 * (id + 1), PASSING)];
        let step = (Just(false), op).prop_map(|(pinned, op)| Step { pinned, op });
        let steps = vec(step, OPS).new_tree(&mut TestRunner::default()).expect("nothing is filtered out").current();
        let mut model = Model::new();
        for (round, group) in steps.chunks(8).enumerate() {
            match round % 8 {
                0 => map.compact(),
                4 => map.promote(),
                _ => {}
            }
            if round % 2 == 0 {
                apply_pinned(&map, &mut model, &tally, group);
            } else {
                apply_per_call(&map, &mut model, &tally, group);
            }
        }
        for key in 0..KEYS * threads {
            if key % threads == id {
                assert_eq!(map.get(&key).map(|value| value.id()), model.get(&key).copied(), "key {key}");
            }
        }
        model
    });
    let all: Model = models.into_iter().flatten().collect();
    compare(&map, &all, KEYS * threads);
    drop(map);
    assert_eq!(tally.live(), 0);
}

fn run<S: TestHasher>(case: Case, keys: u32) -> Stats {
    let tally = Tally::default();
    let mut model = Model::new();
    let mut map: Map<S> = match case.capacity {
        None => SyncMap::with_hasher(S::default()),
        Some(capacity) => SyncMap::with_capacity_and_hasher(capacity, S::default()),
    };
    assert!(map.capacity() >= case.capacity.unwrap_or(0), "with_capacity must make room for that many entries");

    let shares_guard = |a: &Step, b: &Step| a.pinned == b.pinned && !a.op.stands_alone() && !b.op.stands_alone();
    for group in case.steps.chunk_by(shares_guard) {
        match &group[0] {
            Step { op, .. } if op.stands_alone() => {
                apply_to_model(&mut model, op);
                map = apply_alone(map, &tally, op);
            }
            Step { pinned: true, .. } => apply_pinned(&map, &mut model, &tally, group),
            Step { pinned: false, .. } => apply_per_call(&map, &mut model, &tally, group),
        }
        assert_eq!(map.len(), model.len(), "after {group:?}");
    }
    compare(&map, &model, keys);

    let stats = map.stats();
    if case.snapshot_outlives_map {
        let snapshot = map.snapshot();
        drop(map);
        let mut left = BTreeMap::new();
        snapshot.for_each(|key, value| insert_new(&mut left, key, value));
        assert_eq!(left, sorted(&model), "a snapshot must keep what its map held when that was dropped");
    } else {
        drop(map);
    }
    assert_eq!(tally.live(), 0, "dropping the map must drop every key and value, retired ones too");
    stats
}

fn compare<S: TestHasher>(map: &Map<S>, model: &Model, keys: u32) {
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
        let (target, tally, held, make) = (&$target, $tally, &mut $held, |id: u32| $tally.make(id));
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

fn apply_per_call<S: TestHasher>(map: &Map<S>, model: &mut Model, tally: &Tally, group: &[Step]) {
    use readmostly::Compute;
    let mut held = References(Vec::new());
    for step in group {
        let op = step.op.resolved(model);
        if op.concerns_whole_map() {
            apply_to_map(map, model, tally, &op);
            apply_to_model(model, &op);
        } else {
            let got = apply!(map, &op, tally, held);
            reference::assert_agree(&op, got, apply_to_model(model, &op));
        }
    }
    held.recheck();
}

fn apply_pinned<S: TestHasher>(map: &Map<S>, model: &mut Model, tally: &Tally, group: &[Step]) {
    use readmostly::pinned::Compute;
    let mut pin = map.pin();
    let mut held = References(Vec::new());
    for step in group {
        let op = step.op.resolved(model);
        if op.concerns_whole_map() {
            apply_to_map(map, model, tally, &op);
            apply_to_model(model, &op);
        } else {
            let got = apply!(pin, &op, tally, held);
            reference::assert_agree(&op, got, apply_to_model(model, &op));
        }
    }
    held.recheck();
    pin.repin();
    for (key, value) in model.iter().take(8) {
        assert_eq!(pin.get(key).map(Counted::id), Some(*value), "key {key} after repin");
    }
}

/// Operations that need the map itself; a `Pinned` and references may be alive meanwhile. `model` is as before `op`.
fn apply_to_map<S: TestHasher>(map: &Map<S>, model: &Model, tally: &Tally, op: &Op) {
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

fn apply_alone<S: TestHasher>(mut map: Map<S>, tally: &Tally, op: &Op) -> Map<S> {
    match op {
        Op::Extend(pairs) => {
            map.extend(pairs.iter().map(|&(key, value)| (tally.make(key), tally.make(value))));
            map
        }
        Op::IntoIterAndCollect => map.into_iter().collect(),
        Op::Flush => {
            map.flush();
            map
        }
        _ => unreachable!("{op:?} does not stand alone"),
    }
}
