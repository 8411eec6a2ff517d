//! The operations on a map.

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
    Compute {
        key: u32,
        present: Plan,
        absent: Plan,
    },
    CompareAndSwap(u32, Guess, u32),
    CompareAndRemove(u32, Guess),
    Remove(u32),
    RemoveIf(u32, u32),
    // All keys.
    Retain {
        divisor: u32,
        remainder: u32,
    },
    Clear,
    Range {
        stop_after: Option<usize>,
    },
    Len,
    IsEmpty,
    Fill {
        start: u32,
        count: u32,
        step: u32,
    },
    Drain {
        start: u32,
        count: u32,
        step: u32,
    },
    // All keys, on the map alone.
    Iterate,
    Snapshot,
    CloneAndCompare,
    CollectAndCompare,
    Debug,
    ExtendShared(Vec<(u32, u32)>),
    // Views that stay while other operations run.
    /// Takes a snapshot and keeps it.
    Hold,
    LookAtHeld,
    LetGo(usize),
    /// Runs operations one by one while a range goes on, at each of its visits.
    During(Vec<Op>),
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
                | Op::Hold
                | Op::LookAtHeld
                | Op::LetGo(_)
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
