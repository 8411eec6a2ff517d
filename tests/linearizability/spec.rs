//! What a history has to be like.
//!
//! # Operations on one key
//!
//! are linearizable. A key's state is `Option` of a value; each operation, with the result it had, is an [`Effect`] on
//! it. Linearizability is local, so each key is looked at by itself. Where an operation shows a value to a closure, the
//! effect is that on the value shown last.
//!
//! # `clear`
//!
//! takes effect at one moment for all operations on keys. That joins the keys: a history with a `clear` is looked at
//! once more as a whole, with the values of all keys as the state, and `clear` as the effect that makes all of them
//! absent.
//!
//! Iterations, snapshots and `retain` are promised less, namely that they show no entry that was removed by a `clear`
//! which had returned. So what they do at a key may take effect as early as the beginning of any `clear` that is still
//! running when they do it.
//!
//! # Iterations
//!
//! (`range`, `snapshot`, `Pinned::iter`) are not atomic. Key by key they are:
//!
//! - An entry shown was in the map at a moment between the visit before and this one. It is a `get` in that interval.
//! - A key that is not shown was absent at a moment of the iteration, for a snapshot between the beginning of
//!   `snapshot()` and the end of the visit. It is a `get` in that interval, unless the iteration was stopped.
//! - No key is shown twice.
//! - `range` and snapshots show no key that is new to the map since its set of keys was frozen: something must have
//!   begun to write it before `snapshot()` returned or `range` showed its first entry.
//!
//! # `retain`
//!
//! is an iteration in which a key may be shown again if its value has changed. An entry that was refused last is
//! removed before `retain` returns if it is still the same: a removal on that condition, without a result.
//!
//! # `len`
//!
//! counts what precedes it, and does not count what it precedes. What runs at the same time may be counted or not, each
//! operation by itself, so the figure lies between all additions and all removals of these. (Should it come out below
//! zero, it is zero.) How many entries `clear` and `retain` removed is not returned by them; all of them together have
//! removed what is missing in the end, and a figure that is neither preceded nor followed by all of them is held to no
//! more than that. The same goes for `is_empty`, as to whether the figure is zero, and for `Snapshot::len_hint`. At the
//! end of a history, when nothing else runs, `len` is the number of entries that an iteration shows.

// Each crate that shares this module uses a part of it.
#![allow(dead_code)]

use std::fmt;

use super::apply::MOST_KEYS;
use super::checker::{self, Call, Effect as _, is_linearizable, unexplained};
use super::history::{End, Event, Guess, History, Op, Outcome, Parity, Plan, Visits};

// ---------------------------------------------------------------------------------------------------------------------
// Effects

/// What an operation with its result says about a key, and does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Is(Option<u64>),
    IsPresent,
    IsNot(u64),
    /// Absent, or with a value that is not so.
    HasNo(Parity),
    Change {
        from: Option<u64>,
        to: Option<u64>,
    },
    RemoveIfStill(u64),
    Remove,
}

impl checker::Effect for Effect {
    type State = Option<u64>;

    fn apply(self, state: Option<u64>) -> Option<Option<u64>> {
        let (right, next) = match self {
            Effect::Is(value) => (state == value, state),
            Effect::IsPresent => (state.is_some(), state),
            Effect::IsNot(value) => (state != Some(value), state),
            Effect::HasNo(parity) => (!state.is_some_and(|value| parity.has(value)), state),
            Effect::Change { from, to } => (state == from, to),
            Effect::RemoveIfStill(value) => (true, state.filter(|&now| now != value)),
            Effect::Remove => (true, None),
        };
        right.then_some(next)
    }

    fn is_read(self) -> bool {
        !matches!(self, Effect::Change { .. } | Effect::RemoveIfStill(_) | Effect::Remove)
    }
}

/// An effect on a map of several keys.
#[derive(Clone, Copy, Debug)]
enum Joint {
    On(usize, Effect),
    Clear,
}

impl checker::Effect for Joint {
    type State = [Option<u64>; MOST_KEYS];

    fn apply(self, mut state: Self::State) -> Option<Self::State> {
        match self {
            Joint::On(key, effect) => state[key] = effect.apply(state[key])?,
            Joint::Clear => state = [None; MOST_KEYS],
        }
        Some(state)
    }

    fn is_read(self) -> bool {
        matches!(self, Joint::On(_, effect) if effect.is_read())
    }
}

/// The effect of an operation on one key; an error if its result is wrong in any state.
pub(crate) fn effect(op: Op, outcome: &Outcome) -> Result<Effect, &'static str> {
    let check = |right: bool, wrong| if right { Ok(()) } else { Err(wrong) };
    let insert = |value| Effect::Change { from: None, to: Some(value) };
    Ok(match (op, outcome) {
        (Op::Get(_) | Op::GetKeyValue(_) | Op::GetCloned(_), &Outcome::Value(found)) => Effect::Is(found),
        (Op::ContainsKey(_), Outcome::Flag(true)) => Effect::IsPresent,
        (Op::ContainsKey(_), Outcome::Flag(false)) => Effect::Is(None),
        (Op::Insert(_, new), &Outcome::Value(from)) => Effect::Change { from, to: Some(new) },
        (Op::TryInsert(_, new), &Outcome::Inserted(value)) => {
            check(value == new, "returned another value than the one inserted")?;
            insert(new)
        }
        (Op::TryInsert(key, new), &Outcome::Occupied { current, key: same_key, value }) => {
            check((key, new) == (same_key, value), "gave back something else than it was given")?;
            Effect::Is(Some(current))
        }
        (Op::GetOrInsert(_, new), &Outcome::Value(Some(value))) if value == new => insert(new),
        (Op::GetOrInsert(..), &Outcome::Value(found)) => Effect::Is(found),
        (Op::GetOrInsertWith(_, new), &Outcome::Entry { value, called }) => got(value, Some(new), called)?,
        (Op::GetOrTryInsertWith(_, new), &Outcome::Entry { value, called }) => got(value, new, called)?,
        (Op::Update(_, new), &Outcome::Updated { saw, new: Some(value) }) => {
            check(saw.is_some() && value == new, "did not take what the closure made")?;
            Effect::Change { from: saw, to: Some(new) }
        }
        (Op::Update(..), &Outcome::Updated { new: None, .. }) => Effect::Is(None),
        (Op::Compute { present, absent, .. }, &Outcome::Computed { saw, end }) => {
            computed(if saw.is_some() { present } else { absent }, saw, end)?
        }
        (Op::CompareAndSwap(_, Guess::Value(old), new), &Outcome::Swapped(Ok(value))) => {
            check(value == old, "replaced another value than the one expected")?;
            Effect::Change { from: Some(old), to: Some(new) }
        }
        (Op::CompareAndSwap(_, Guess::Value(old), new), &Outcome::Swapped(Err(value))) => {
            check(value == new, "gave back something else than it was given")?;
            Effect::IsNot(old)
        }
        (Op::CompareAndRemove(_, Guess::Value(old)), Outcome::Value(None)) => Effect::IsNot(old),
        (Op::CompareAndRemove(_, Guess::Value(old)), &Outcome::Value(Some(value))) => {
            check(value == old, "removed another value than the one expected")?;
            Effect::Change { from: Some(old), to: None }
        }
        (Op::RemoveIf(_, parity), Outcome::Value(None)) => Effect::HasNo(parity),
        (Op::RemoveIf(_, parity), &Outcome::Value(Some(value))) => {
            check(parity.has(value), "removed what the closure refused to")?;
            Effect::Change { from: Some(value), to: None }
        }
        (Op::Remove(_), Outcome::Value(None)) => Effect::Is(None),
        (Op::Remove(_), &Outcome::Value(from)) => Effect::Change { from, to: None },
        _ => return Err("has a result of another operation"),
    })
}

/// The effect of a get-or-insert that returned `value`, with a closure that makes `new` or fails.
fn got(value: Option<u64>, new: Option<u64>, called: bool) -> Result<Effect, &'static str> {
    match value {
        Some(value) if new == Some(value) && called => Ok(Effect::Change { from: None, to: new }),
        Some(value) if new == Some(value) => Err("inserted a value without asking for it"),
        Some(value) => Ok(Effect::Is(Some(value))),
        None if new.is_none() && called => Ok(Effect::Is(None)),
        None => Err("failed, but its closure did not"),
    }
}

/// The effect of a `compute` that ended so after its closure `saw` a value and answered with `plan`.
fn computed(plan: Plan, saw: Option<u64>, end: End) -> Result<Effect, &'static str> {
    let expected = match (plan, saw) {
        (Plan::Insert(new), None) => End::Inserted(new),
        (Plan::Insert(new), Some(old)) => End::Updated { old, new },
        (Plan::Remove, Some(old)) => End::Removed(old),
        (Plan::Remove, None) => End::Absent,
        (Plan::Abort, _) => End::Aborted,
    };
    if end != expected {
        return Err("did something else than its closure said");
    }
    Ok(match end {
        End::Inserted(new) | End::Updated { new, .. } => Effect::Change { from: saw, to: Some(new) },
        End::Removed(_) => Effect::Change { from: saw, to: None },
        End::Aborted | End::Absent => Effect::Is(saw),
    })
}

// ---------------------------------------------------------------------------------------------------------------------
// Calls

type Calls<E> = Vec<Call<E>>;

/// What a history says about one key.
fn calls_on(key: u64, history: &History) -> Result<Calls<Effect>, Violation> {
    let mut calls = Vec::new();
    for (index, event) in history.events.iter().enumerate() {
        let mut call = |from, to, effect| calls.push(Call { from, to, effect, event: index });
        match &event.outcome {
            Outcome::Visited(visits) if event.op != Op::Hold => {
                let early = |from: u64, to| from.min(earliest_clear(history, from, to));
                let shown = || visits.shown.iter().filter(|visit| visit.key == key);
                for visit in shown() {
                    call(early(visit.from, visit.to), visit.to, Effect::Is(Some(visit.value)));
                }
                match (shown().next_back(), event.op) {
                    (Some(last), Op::RetainNot(parity)) if parity.has(last.value) => {
                        call(early(last.to, event.to), event.to, Effect::RemoveIfStill(last.value));
                    }
                    (None, _) if visits.complete => {
                        call(visits.frozen.map_or(event.from, |(from, _)| from), event.to, Effect::Is(None));
                    }
                    _ => {}
                }
            }
            _ if event.op == Op::Clear => call(event.from, event.to, Effect::Remove),
            outcome if event.op.key() == Some(key) => {
                let effect = effect(event.op, outcome).map_err(|wrong| Violation::new(wrong, vec![index]))?;
                call(event.from, event.to, effect);
            }
            _ => {}
        }
    }
    Ok(calls)
}

/// When the first of the clears began that run between `from` and `to`, or a later time.
fn earliest_clear(history: &History, from: u64, to: u64) -> u64 {
    let clears = history.events.iter().filter(|event| event.op == Op::Clear);
    clears.filter(|clear| clear.from <= to && clear.to >= from).map(|clear| clear.from).min().unwrap_or(u64::MAX)
}

/// What a history says about all keys at once, given what it says about each. What iterations show is left out.
fn joint_calls(history: &History, by_key: &[Calls<Effect>]) -> Calls<Joint> {
    let mut calls = Vec::new();
    for (key, on_key) in by_key.iter().enumerate() {
        let changes_or_is_of_key = |call: &&Call<Effect>| match history.events[call.event].op {
            Op::Clear => false,
            op => op.key().is_some() || !call.effect.is_read(),
        };
        calls.extend(on_key.iter().filter(changes_or_is_of_key).map(|call| call.with(Joint::On(key, call.effect))));
    }
    let clears = history.events.iter().enumerate().filter(|(_, event)| event.op == Op::Clear);
    calls.extend(clears.map(|(event, &Event { from, to, .. })| Call { from, to, effect: Joint::Clear, event }));
    calls
}

// ---------------------------------------------------------------------------------------------------------------------
// Checks

/// How a history is wrong.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) what: String,
    /// Which events show it.
    pub(crate) events: Vec<usize>,
}

impl Violation {
    fn new(what: impl Into<String>, events: Vec<usize>) -> Self {
        Violation { what: what.into(), events }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Whether the history is as this module says.
pub(crate) fn check(history: &History) -> Result<(), Violation> {
    for (index, event) in history.events.iter().enumerate() {
        if let Outcome::Visited(visits) = &event.outcome {
            check_keys_shown(history, index, visits)?;
        }
    }
    let by_key = (0..history.keys).map(|key| calls_on(key, history)).collect::<Result<Vec<_>, _>>()?;
    for (key, calls) in by_key.iter().enumerate() {
        if !is_linearizable(None, calls) {
            let events = unexplained(None, calls).iter().map(|call| call.event).collect();
            return Err(Violation::new(format!("no order of these operations explains what key {key} was"), events));
        }
    }
    let joint = joint_calls(history, &by_key);
    if history.keys > 1 && joint.iter().any(|call| matches!(call.effect, Joint::Clear)) {
        let absent = [None; MOST_KEYS];
        if !is_linearizable(absent, &joint) {
            let events = unexplained(absent, &joint).iter().map(|call| call.event).collect();
            return Err(Violation::new(
                "no order of these operations, with clear at one moment, explains them",
                events,
            ));
        }
    }
    check_lengths(history)
}

fn check_keys_shown(history: &History, index: usize, visits: &Visits) -> Result<(), Violation> {
    if let Some(key) = visits.twice
        && !matches!(history.events[index].op, Op::RetainNot(_))
    {
        return Err(Violation::new(format!("key {key} was shown twice"), vec![index]));
    }
    let Some((_, frozen)) = visits.frozen else { return Ok(()) };
    for visit in &visits.shown {
        let writes = |event: &Event| event.op.key() == Some(visit.key) && event.op.writes().next().is_some();
        let writing = || (0..history.events.len()).filter(|&event| writes(&history.events[event]));
        if writing().all(|event| history.events[event].from > frozen) {
            let new = format!("key {} was shown, and is newer than the set of keys", visit.key);
            return Err(Violation::new(new, writing().chain([index]).collect()));
        }
    }
    Ok(())
}

// ---------------------------------------------------------------------------------------------------------------------
// Lengths

/// By how much an operation has changed the number of entries, where its result says so.
fn change(event: &Event) -> i64 {
    match (event.op, &event.outcome) {
        (Op::Fill(_) | Op::FillUp(_), &Outcome::Count(keys)) => keys as i64,
        (Op::Drain(_), &Outcome::Count(keys)) => -(keys as i64),
        (op, outcome) if op.key().is_some() => match effect(op, outcome) {
            Ok(Effect::Change { from, to }) => i64::from(to.is_some()) - i64::from(from.is_some()),
            _ => 0,
        },
        _ => 0,
    }
}

/// Whether the operation removes entries and does not say how many.
fn removes_in_silence(event: &Event) -> bool {
    matches!(event.op, Op::Clear | Op::RetainNot(_))
}

fn check_lengths(history: &History) -> Result<(), Violation> {
    let last = history.events.iter().rev().find_map(|event| match &event.outcome {
        Outcome::Visited(visits) if visits.complete && event.op != Op::VisitHeld => Some(visits.total),
        _ => None,
    });
    let Some(last) = last else { return Ok(()) };
    let sum: i64 = history.events.iter().map(change).sum();
    let lost = sum - last as i64;
    let may_lose = history.events.iter().any(removes_in_silence);
    if lost < 0 || lost > 0 && !may_lose {
        let wrong = format!("{last} entries are shown in the end, the results of all operations add up to {sum}");
        return Err(Violation::new(wrong, Vec::new()));
    }
    for (index, event) in history.events.iter().enumerate() {
        let (least, most) = length_at(history, event, lost);
        let right = match (event.op, &event.outcome) {
            (Op::Len, &Outcome::Count(len)) => (least..=most).contains(&(len as i64)),
            (Op::IsEmpty, &Outcome::Flag(empty)) => {
                if empty {
                    least == 0
                } else {
                    most > 0
                }
            }
            (_, Outcome::Visited(Visits { hint: Some(len), .. })) => (least..=most).contains(&(*len as i64)),
            _ => true,
        };
        if !right {
            return Err(Violation::new(format!("a length outside of {least} to {most}"), vec![index]));
        }
    }
    Ok(())
}

/// The least and the most that `len` may be during `at`, if `lost` is what was removed in silence.
fn length_at(history: &History, at: &Event, lost: i64) -> (i64, i64) {
    let (mut least, mut most) = (0, 0);
    let (mut preceding, mut following, mut silent) = (0, 0, 0);
    for event in &history.events {
        let (precedes, follows) = (event.to < at.from, at.to < event.from);
        if removes_in_silence(event) {
            silent += 1;
            preceding += usize::from(precedes);
            following += usize::from(follows);
        }
        let change = change(event);
        if precedes {
            (least, most) = (least + change, most + change);
        } else if !follows {
            (least, most) = (least + change.min(0), most + change.max(0));
        }
    }
    if following < silent {
        least -= lost;
    }
    if silent > 0 && preceding == silent {
        most -= lost;
    }
    (least.max(0), most.max(0))
}
