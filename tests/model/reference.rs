//! What `HashMap` answers to each operation.

use std::collections::HashMap;

use crate::ops::{Op, Plan, VALUES};

pub(crate) type Model = HashMap<u32, u32>;

/// What an operation showed its caller.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    Done,
    Is(bool),
    Value(Option<u32>),
    /// The value an operation with a closure gave back, and how often it called the closure.
    Called {
        times: u32,
        value: Option<u32>,
    },
    Occupied {
        current: u32,
        key: u32,
        value: u32,
    },
    /// What was given in, returned because nothing was done with it.
    Refused(u32),
    Inserted(u32),
    Updated {
        old: u32,
        new: u32,
    },
    Removed(u32),
    Aborted(u32),
    Absent,
    /// The entries a closure was called with, in that order.
    Visited(Vec<(u32, u32)>),
}

pub(crate) fn apply_to_model(model: &mut Model, op: &Op) -> Outcome {
    use Outcome::*;
    match *op {
        Op::Insert(key, value) => Value(model.insert(key, value)),
        Op::TryInsert(key, value) => match model.get(&key) {
            Some(&current) => Occupied { current, key, value },
            None => Inserted(*model.entry(key).or_insert(value)),
        },
        Op::Get(key) | Op::GetCloned(key) => Value(model.get(&key).copied()),
        Op::ContainsKey(key) => Is(model.contains_key(&key)),
        Op::GetOrInsert(key, value) => Value(Some(*model.entry(key).or_insert(value))),
        Op::GetOrInsertWith(key, value) | Op::GetOrTryInsertWith(key, Ok(value)) => {
            let times = u32::from(!model.contains_key(&key));
            Called { times, value: Some(*model.entry(key).or_insert(value)) }
        }
        Op::GetOrTryInsertWith(key, Err(error)) => match model.get(&key) {
            Some(&value) => Called { times: 0, value: Some(value) },
            None => Refused(error),
        },
        Op::Update(key, add) => match model.get_mut(&key) {
            Some(value) => {
                *value = updated(*value, add);
                Called { times: 1, value: Some(*value) }
            }
            None => Called { times: 0, value: None },
        },
        Op::Compute { key, present, absent } => compute_on_model(model, key, present, absent),
        Op::CompareAndSwap(key, guess, new) => match model.get_mut(&key) {
            Some(value) if *value == guess.value() => Value(Some(std::mem::replace(value, new))),
            _ => Refused(new),
        },
        Op::CompareAndRemove(key, guess) => {
            let equal = model.get(&key) == Some(&guess.value());
            Value(if equal { model.remove(&key) } else { None })
        }
        Op::Remove(key) => Value(model.remove(&key)),
        Op::RemoveIf(key, wanted) => {
            let times = u32::from(model.contains_key(&key));
            let matches = model.get(&key) == Some(&wanted);
            Called { times, value: if matches { model.remove(&key) } else { None } }
        }
        Op::Retain { divisor, remainder } => {
            let visited = model.iter().map(|(&key, &value)| (key, value)).collect();
            model.retain(|&key, &mut value| retained(key, value, divisor, remainder));
            Visited(visited)
        }
        Op::Clear => {
            model.clear();
            Done
        }
        Op::Range { .. } => Visited(model.iter().map(|(&key, &value)| (key, value)).collect()),
        Op::Len => Value(u32::try_from(model.len()).ok()),
        Op::IsEmpty => Is(model.is_empty()),
        Op::ExtendShared(ref pairs) | Op::Extend(ref pairs) => {
            model.extend(pairs.iter().copied());
            Done
        }
        Op::Fill { start, count, step } => {
            model.extend(keys(start, count, step).map(|key| (key, filled(key))));
            Done
        }
        Op::Drain { start, count, step } => {
            for key in keys(start, count, step) {
                model.remove(&key);
            }
            Done
        }
        _ => Done,
    }
}

fn compute_on_model(model: &mut Model, key: u32, present: Plan, absent: Plan) -> Outcome {
    match (model.get(&key).copied(), present, absent) {
        (Some(old), Plan::Insert(new), _) => {
            model.insert(key, new);
            Outcome::Updated { old, new }
        }
        (Some(old), Plan::Remove, _) => {
            model.remove(&key);
            Outcome::Removed(old)
        }
        (None, _, Plan::Insert(new)) => {
            model.insert(key, new);
            Outcome::Inserted(new)
        }
        (None, _, Plan::Remove) => Outcome::Absent,
        (Some(_), Plan::Abort(with), _) | (None, _, Plan::Abort(with)) => Outcome::Aborted(with),
    }
}

pub(crate) fn updated(value: u32, add: u32) -> u32 {
    (value + add) % VALUES
}

pub(crate) fn retained(key: u32, value: u32, divisor: u32, remainder: u32) -> bool {
    (key + value) % divisor != remainder
}

pub(crate) fn filled(key: u32) -> u32 {
    key % VALUES
}

pub(crate) fn keys(start: u32, count: u32, step: u32) -> impl Iterator<Item = u32> {
    (start..start + count).step_by(step as usize)
}

pub(crate) fn assert_agree(op: &Op, got: Outcome, want: Outcome) {
    match (got, want) {
        (Outcome::Visited(got), Outcome::Visited(want)) => assert_visited(op, got, want),
        (got, want) => assert_eq!(got, want, "{op:?}"),
    }
}

/// A visit that was not stopped shows every entry once, in any order; one that was stopped shows as many as it asked
/// for.
fn assert_visited(op: &Op, mut got: Vec<(u32, u32)>, mut want: Vec<(u32, u32)>) {
    got.sort_unstable();
    want.sort_unstable();
    if let Op::Range { stop_after: Some(limit) } = *op {
        assert_eq!(got.len(), want.len().min(limit), "{op:?} showed {got:?} of {want:?}");
        assert!(got.windows(2).all(|pair| pair[0] != pair[1]), "{op:?} showed an entry twice: {got:?}");
        assert!(got.iter().all(|entry| want.contains(entry)), "{op:?} showed {got:?} of {want:?}");
    } else {
        assert_eq!(got, want, "{op:?}");
    }
}
