//! How proptest makes random sequences of operations on a map.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::ops::{Case, Guess, Op, Plan, Step, VALUES};

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
        Just(Op::Hold),
        Just(Op::LookAtHeld),
        (0..4usize).prop_map(Op::LetGo),
        vec(during(keys), 0..12).prop_map(Op::During),
        Just(Op::Promote),
        Just(Op::Compact),
        Just(Op::Flush),
        (0..2 * keys as usize).prop_map(Op::Reserve),
        Just(Op::Stats),
        pairs.prop_map(Op::Extend),
        Just(Op::IntoIterAndCollect),
    ]
}

fn during(keys: u32) -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => single_key(0..keys),
        1 => prop_oneof![Just(Op::Clear), Just(Op::Promote), Just(Op::Compact), Just(Op::Hold), Just(Op::Iterate)],
        1 => bulk(0, keys),
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
