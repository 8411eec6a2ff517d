//! The operations on a map, and how random sequences of them are made.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::reference::Model;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Plan {
    Insert(u32),
    Remove,
    Abort(u32),
}

/// The value a compare operation expects: what the key holds at that time (0 if it is absent), or a fixed one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Guess {
    Current,
    Value(u32),
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    // One key.
    Insert(u32, u32),
    TryInsert(u32, u32),
    Get(u32),
    GetCloned(u32),
    ContainsKey(u32),
    GetOrInsert(u32, u32),
    GetOrInsertWith(u32, u32),
    GetOrTryInsertWith(u32, Result<u32, u32>),
    Update(u32, u32),
    Compute { key: u32, present: Plan, absent: Plan },
    CompareAndSwap(u32, Guess, u32),
    CompareAndRemove(u32, Guess),
    Remove(u32),
    RemoveIf(u32, u32),
    // All keys.
    Retain { divisor: u32, remainder: u32 },
    Clear,
    Range { stop_after: Option<usize> },
    Len,
    IsEmpty,
    Fill { start: u32, count: u32, step: u32 },
    Drain { start: u32, count: u32, step: u32 },
    // All keys, on the map alone.
    Iterate,
    Snapshot,
    CloneAndCompare,
    CollectAndCompare,
    Debug,
    ExtendShared(Vec<(u32, u32)>),
    // Nothing that shows in the contents.
    Promote,
    Compact,
    Reserve(usize),
    Stats,
    // What runs while nothing refers to the map.
    Flush,
    Extend(Vec<(u32, u32)>),
    IntoIterAndCollect,
}

impl Op {
    /// Operations that run while no reference into the map is alive: they need the map by `&mut` or by value, or, like
    /// a flush, could do nothing but wait otherwise.
    pub(crate) fn stands_alone(&self) -> bool {
        matches!(self, Op::Extend(_) | Op::IntoIterAndCollect | Op::Flush)
    }

    /// Operations that a `Pinned` does not have.
    pub(crate) fn concerns_whole_map(&self) -> bool {
        matches!(
            self,
            Op::Iterate
                | Op::Snapshot
                | Op::CloneAndCompare
                | Op::CollectAndCompare
                | Op::Debug
                | Op::ExtendShared(_)
                | Op::Promote
                | Op::Compact
                | Op::Reserve(_)
                | Op::Stats
        )
    }

    /// Replaces a guess by the value it stands for.
    pub(crate) fn resolved(&self, model: &Model) -> Op {
        let current = |key| Guess::Value(model.get(&key).copied().unwrap_or(0));
        match *self {
            Op::CompareAndSwap(key, Guess::Current, new) => Op::CompareAndSwap(key, current(key), new),
            Op::CompareAndRemove(key, Guess::Current) => Op::CompareAndRemove(key, current(key)),
            _ => self.clone(),
        }
    }
}

impl Guess {
    pub(crate) fn value(self) -> u32 {
        match self {
            Guess::Value(value) => value,
            Guess::Current => unreachable!("guesses are resolved before the operation is applied"),
        }
    }
}

/// Neighbouring pinned steps share one `Pinned`.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) pinned: bool,
    pub(crate) op: Op,
}

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) capacity: Option<usize>,
    pub(crate) steps: Vec<Step>,
    pub(crate) snapshot_outlives_map: bool,
}

/// Few values, so that comparisons with another value succeed now and then.
pub(crate) const VALUES: u32 = 4;

fn plan() -> impl Strategy<Value = Plan> {
    prop_oneof![
        3 => (0..VALUES).prop_map(Plan::Insert),
        2 => Just(Plan::Remove),
        1 => (0..VALUES).prop_map(Plan::Abort),
    ]
}

fn guess() -> impl Strategy<Value = Guess> {
    prop_oneof![Just(Guess::Current), (0..VALUES).prop_map(Guess::Value)]
}

/// Operations on one of `keys`.
pub(crate) fn single_key(key: impl Strategy<Value = u32> + Clone + 'static) -> impl Strategy<Value = Op> {
    let value = 0..VALUES;
    let pair = (key.clone(), value.clone());
    prop_oneof![
        3 => pair.clone().prop_map(|(key, value)| Op::Insert(key, value)),
        1 => pair.clone().prop_map(|(key, value)| Op::TryInsert(key, value)),
        1 => key.clone().prop_map(Op::Get),
        1 => key.clone().prop_map(Op::GetCloned),
        1 => key.clone().prop_map(Op::ContainsKey),
        1 => pair.clone().prop_map(|(key, value)| Op::GetOrInsert(key, value)),
        1 => pair.clone().prop_map(|(key, value)| Op::GetOrInsertWith(key, value)),
        1 => (key.clone(), prop_oneof![value.clone().prop_map(Ok), value.clone().prop_map(Err)])
            .prop_map(|(key, result)| Op::GetOrTryInsertWith(key, result)),
        1 => pair.clone().prop_map(|(key, value)| Op::Update(key, value)),
        2 => (key.clone(), plan(), plan()).prop_map(|(key, present, absent)| Op::Compute { key, present, absent }),
        2 => (key.clone(), guess(), value.clone()).prop_map(|(key, guess, new)| Op::CompareAndSwap(key, guess, new)),
        2 => (key.clone(), guess()).prop_map(|(key, guess)| Op::CompareAndRemove(key, guess)),
        2 => key.prop_map(Op::Remove),
        1 => pair.prop_map(|(key, value)| Op::RemoveIf(key, value)),
    ]
}

pub(crate) fn whole_map(keys: u32) -> impl Strategy<Value = Op> {
    let pairs = vec((0..keys, 0..VALUES), 0..8);
    prop_oneof![
        (2..5u32, 0..5u32).prop_map(|(divisor, remainder)| Op::Retain { divisor, remainder }),
        Just(Op::Clear),
        proptest::option::of(1..6usize).prop_map(|stop_after| Op::Range { stop_after }),
        Just(Op::Iterate),
        Just(Op::Snapshot),
        Just(Op::Len),
        Just(Op::IsEmpty),
        Just(Op::CloneAndCompare),
        Just(Op::CollectAndCompare),
        Just(Op::Debug),
        pairs.clone().prop_map(Op::ExtendShared),
        Just(Op::Promote),
        Just(Op::Compact),
        Just(Op::Flush),
        (0..2 * keys as usize).prop_map(Op::Reserve),
        Just(Op::Stats),
        pairs.prop_map(Op::Extend),
        Just(Op::IntoIterAndCollect),
    ]
}

/// Inserts and removes of many keys out of `start..start + 2 * keys`.
pub(crate) fn bulk(start: u32, keys: u32) -> impl Strategy<Value = Op> {
    let run = (start..start + keys, 1..keys, 1..4u32);
    prop_oneof![
        2 => run.clone().prop_map(|(start, count, step)| Op::Fill { start, count, step }),
        1 => run.prop_map(|(start, count, step)| Op::Drain { start, count, step }),
    ]
}

pub(crate) fn case(op: impl Strategy<Value = Op>, steps: usize, keys: u32) -> impl Strategy<Value = Case> {
    let step = (any::<bool>(), op).prop_map(|(pinned, op)| Step { pinned, op });
    let capacity = proptest::option::weighted(0.25, 0..keys as usize);
    (capacity, vec(step, 0..steps), any::<bool>()).prop_map(|(capacity, steps, snapshot_outlives_map)| Case {
        capacity,
        steps,
        snapshot_outlives_map,
    })
}
