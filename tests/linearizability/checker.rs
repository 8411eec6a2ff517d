//! Is there an order of the operations that explains their results?
//!
//! The search of Wing and Gong, with Lowe's memory: linearize any operation that no other one precedes and whose result
//! the state allows; go back when none is left; never look twice at the same set of operations done with the same
//! state.
//!
//! Why not a crate: `todc-utils` 0.1.1 has this search, and no dependencies. But it knows no operations that are still
//! pending, which the report of a failure needs, and takes twelve times as long: 64 ms, to 5 ms here, for the 10,016
//! keys of 4,000 histories, on which the two agree. (The search is not what takes the time of a run in either case.)

// Each crate that shares this module uses a part of it.
#![allow(dead_code)]

use std::collections::HashSet;
use std::hash::Hash;

/// The `to` of an operation that has not returned: it may have taken effect, or not.
pub(crate) const PENDING: u64 = u64::MAX;

/// An operation together with its result, on a state.
pub(crate) trait Effect: Copy {
    type State: Copy + Eq + Hash;

    /// The state that the operation leaves behind, if its result is right in `state`.
    fn apply(self, state: Self::State) -> Option<Self::State>;

    /// Whether it leaves every state as it was.
    fn is_read(self) -> bool;
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<E> {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) effect: E,
    /// The event of the history that it stands for.
    pub(crate) event: usize,
}

impl<E> Call<E> {
    /// The same call with another effect.
    pub(crate) fn with<F>(&self, effect: F) -> Call<F> {
        let &Call { from, to, event, .. } = self;
        Call { from, to, effect, event }
    }
}

/// Calls that one word has a bit for.
const MOST_CALLS: usize = u128::BITS as usize;

/// Whether some order of the calls, in which one that precedes another comes first, has all their results.
pub(crate) fn is_linearizable<E: Effect>(initial: E::State, calls: &[Call<E>]) -> bool {
    let mut calls = calls.to_vec();
    assert!(calls.len() <= MOST_CALLS, "{} calls are too many", calls.len());
    calls.sort_by_key(|call| call.from);
    let required = bits(calls.iter().enumerate().filter(|(_, call)| call.to != PENDING));
    Search { calls, required, seen: HashSet::new() }.completes(0, initial)
}

fn bits<'c, E: 'c>(calls: impl Iterator<Item = (usize, &'c Call<E>)>) -> u128 {
    calls.fold(0, |bits, (index, _)| bits | 1 << index)
}

struct Search<E: Effect> {
    /// Sorted by `from`.
    calls: Vec<Call<E>>,
    required: u128,
    /// What was found to lead nowhere: calls done, and the state they left.
    seen: HashSet<(u128, E::State)>,
}

impl<E: Effect> Search<E> {
    /// Whether the calls that are not `done` can follow in `state`.
    fn completes(&mut self, done: u128, state: E::State) -> bool {
        let done = self.with_reads(done, state);
        if self.required & !done == 0 {
            return true;
        }
        if !self.seen.insert((done, state)) {
            return false;
        }
        let mut earliest_return = u64::MAX;
        for index in (!done).trailing_zeros() as usize..self.calls.len() {
            if done & 1 << index != 0 {
                continue;
            }
            let call = self.calls[index];
            if call.from > earliest_return {
                break;
            }
            earliest_return = earliest_return.min(call.to);
            if let Some(next) = call.effect.apply(state)
                && self.completes(done | 1 << index, next)
            {
                return true;
            }
        }
        false
    }

    /// Adds the reads that can come next. Whatever order there is with one of them later, there is one with it now.
    fn with_reads(&self, mut done: u128, state: E::State) -> u128 {
        loop {
            let before = done;
            let mut earliest_return = u64::MAX;
            for index in (!done).trailing_zeros() as usize..self.calls.len() {
                if done & 1 << index != 0 {
                    continue;
                }
                let call = self.calls[index];
                if call.from > earliest_return {
                    break;
                }
                if call.effect.is_read() && call.effect.apply(state).is_some() {
                    done |= 1 << index;
                } else {
                    earliest_return = earliest_return.min(call.to);
                }
            }
            if done == before {
                return done;
            }
        }
    }
}

/// The part of calls that are not linearizable by which this shows: the shortest beginning of the history that has no
/// order, without the reads that do not matter for it.
///
/// Nothing else may be left out: without a write, reads of its value are wrong in themselves.
pub(crate) fn unexplained<E: Effect>(initial: E::State, calls: &[Call<E>]) -> Vec<Call<E>> {
    let mut returns: Vec<u64> = calls.iter().map(|call| call.to).collect();
    returns.sort_unstable();
    let beginnings = returns.into_iter().map(|until| beginning(calls, until));
    let Some(mut part) = beginnings.into_iter().find(|part| !is_linearizable(initial, part)) else { return Vec::new() };
    let mut index = 0;
    while index < part.len() {
        let call = part[index];
        if call.effect.is_read() {
            part.remove(index);
            if !is_linearizable(initial, &part) {
                continue;
            }
            part.insert(index, call);
        }
        index += 1;
    }
    part
}

/// What had been called by the time `until`; what had not returned by then is pending.
fn beginning<E: Effect>(calls: &[Call<E>], until: u64) -> Vec<Call<E>> {
    let called = calls.iter().filter(|call| call.from <= until);
    called.map(|&call| if call.to > until { Call { to: PENDING, ..call } } else { call }).collect()
}
