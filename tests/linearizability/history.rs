//! Histories: which operations threads called, when, and what came of them.
//!
//! # Time
//!
//! Each operation is recorded with a time before its call and one after its return, into a buffer of its own thread.
//! One operation precedes another if its `to` is less than the other's `from`; equal times count as overlapping. Both
//! ends err towards the longer interval, so what is recorded to be in order is so.
//!
//! There is no shared counter: a `fetch_add` before and after each operation would be a full barrier on x86, and would
//! pass a cache line from thread to thread. Both order what the map itself has to order. A clock does not:
//! [`Monotonic`] is `std`'s `Instant`, whose readings agree between cores (the kernel takes another source where the
//! cores' counters do not), with a resolution of a nanosecond and a cost of about 30. Crates that read the counter
//! themselves are faster because they leave out the fence before the reading, which is what keeps a time from being
//! taken before the operation that it is to follow.
//!
//! Under a scheduler that runs one thread at a time [`Ticks`] serves as well.

// Each crate that shares this module uses a part of it.
#![allow(dead_code)]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Where the times of a history come from.
pub(crate) trait Clock: Clone {
    /// The time, before anything that follows in this thread.
    fn before(&self) -> u64;

    /// The time, after everything that this thread has done.
    fn after(&self) -> u64;
}

/// Nanoseconds since the clock was made.
#[derive(Clone, Copy)]
pub(crate) struct Monotonic(Instant);

impl Monotonic {
    pub(crate) fn new() -> Self {
        Monotonic(Instant::now())
    }
}

impl Clock for Monotonic {
    fn before(&self) -> u64 {
        let now = self.after();
        wait_for_clock();
        now
    }

    fn after(&self) -> u64 {
        // Begins with a fence for loads (x86-64: `rdtscp` or `lfence`), so that all of them come before it. Stores may
        // still be under way to the cache. That is intended: an operation that returns before its store can be
        // seen by others is not linearizable.
        self.0.elapsed().as_nanos() as u64
    }
}

/// Keeps loads that follow from being executed before the clock has been read.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "the instruction has no safe name")]
fn wait_for_clock() {
    // Not a full fence: that would also empty the store buffer, which is the map's own business.
    // SAFETY: SSE2 is part of x86-64.
    unsafe { std::arch::x86_64::_mm_lfence() }
}

/// Elsewhere this is left to the clock; on AArch64 the kernel makes what follows depend on the reading.
#[cfg(not(target_arch = "x86_64"))]
fn wait_for_clock() {}

/// Counts its readings: a clock for threads of which one runs at a time.
#[derive(Clone, Default)]
pub(crate) struct Ticks(Arc<AtomicU64>);

impl Clock for Ticks {
    fn before(&self) -> u64 {
        self.after()
    }

    fn after(&self) -> u64 {
        self.0.fetch_add(1, Relaxed)
    }
}

/// The value that a comparison expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guess {
    /// What this thread has last seen under the key; resolved when the operation is called.
    Seen,
    Value(u64),
}

/// What the closure of a `compute` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    Insert(u64),
    Remove,
    Abort,
}

/// An operation. Keys come first, then values; every value is written by one operation only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    // On one key.
    Get(u64),
    GetKeyValue(u64),
    GetCloned(u64),
    ContainsKey(u64),
    Insert(u64, u64),
    TryInsert(u64, u64),
    GetOrInsert(u64, u64),
    GetOrInsertWith(u64, u64),
    /// With a closure that fails if it has no value.
    GetOrTryInsertWith(u64, Option<u64>),
    Update(u64, u64),
    Compute {
        key: u64,
        present: Plan,
        absent: Plan,
    },
    CompareAndSwap(u64, Guess, u64),
    CompareAndRemove(u64, Guess),
    Remove(u64),
    /// Removes odd values, or even ones.
    RemoveIf(u64, Parity),

    // On all keys.
    Clear,
    /// Removes odd values, or even ones.
    RetainNot(Parity),
    Len,
    IsEmpty,
    /// Stops after so many entries.
    Range(Option<usize>),
    Iterate,
    Snapshot,
    /// Takes a snapshot for later; at most one per thread.
    Hold,
    VisitHeld,
    Release,

    // On tables.
    Promote,
    Compact,
    Reserve(usize),
    Flush,

    // On many keys that belong to the calling thread alone.
    Fill(usize),
    /// Fills the table, but for so many keys.
    FillUp(usize),
    Drain(usize),
    /// Looks absent keys up.
    Miss(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parity {
    Even,
    Odd,
}

impl Parity {
    pub(crate) fn has(self, value: u64) -> bool {
        (value % 2 == 1) == (self == Parity::Odd)
    }
}

impl Op {
    /// The key of an operation on one key.
    pub(crate) fn key(self) -> Option<u64> {
        match self {
            Op::Get(key)
            | Op::GetKeyValue(key)
            | Op::GetCloned(key)
            | Op::ContainsKey(key)
            | Op::Insert(key, _)
            | Op::TryInsert(key, _)
            | Op::GetOrInsert(key, _)
            | Op::GetOrInsertWith(key, _)
            | Op::GetOrTryInsertWith(key, _)
            | Op::Update(key, _)
            | Op::Compute { key, .. }
            | Op::CompareAndSwap(key, ..)
            | Op::CompareAndRemove(key, _)
            | Op::Remove(key)
            | Op::RemoveIf(key, _) => Some(key),
            _ => None,
        }
    }

    /// The values that the operation may write.
    pub(crate) fn writes(self) -> impl Iterator<Item = u64> {
        let planned = |plan| if let Plan::Insert(value) = plan { Some(value) } else { None };
        let values = match self {
            Op::Insert(_, value)
            | Op::TryInsert(_, value)
            | Op::GetOrInsert(_, value)
            | Op::GetOrInsertWith(_, value)
            | Op::Update(_, value)
            | Op::CompareAndSwap(_, _, value) => [Some(value), None],
            Op::GetOrTryInsertWith(_, value) => [value, None],
            Op::Compute { present, absent, .. } => [planned(present), planned(absent)],
            _ => [None; 2],
        };
        values.into_iter().flatten()
    }
}

/// An operation, and whether it goes through a `Pinned`; neighbouring steps that do share one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) pinned: bool,
    pub(crate) op: Op,
}

/// What became of a `compute`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Inserted(u64),
    Updated { old: u64, new: u64 },
    Removed(u64),
    Aborted,
    Absent,
}

/// What an operation returned, and what it showed to closures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Value(Option<u64>),
    Flag(bool),
    Count(usize),
    Inserted(u64),
    Occupied {
        current: u64,
        key: u64,
        value: u64,
    },
    /// Of a get-or-insert: what was returned, if the closure did not fail, and whether it was called.
    Entry {
        value: Option<u64>,
        called: bool,
    },
    /// Of an update: what the closure was shown last, and what the key has now.
    Updated {
        saw: Option<u64>,
        new: Option<u64>,
    },
    Computed {
        saw: Option<u64>,
        end: End,
    },
    Swapped(Result<u64, u64>),
    Visited(Visits),
}

/// An entry as it was shown during an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Visit {
    pub(crate) key: u64,
    pub(crate) value: u64,
    /// When the visit before this one was over.
    pub(crate) from: u64,
    /// When the entry was shown.
    pub(crate) to: u64,
}

/// What an iteration showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visits {
    /// Those of the keys that operations share, in order.
    pub(crate) shown: Vec<Visit>,
    /// How many entries were shown, of all keys.
    pub(crate) total: usize,
    /// A key that was shown twice.
    pub(crate) twice: Option<u64>,
    /// Whether the iteration went on to the end.
    pub(crate) complete: bool,
    /// When the set of keys may have begun to be frozen, and by when it certainly was; for iterations that freeze it.
    pub(crate) frozen: Option<(u64, u64)>,
    /// Of a snapshot: the number of entries it says it has, if it was taken by this operation.
    pub(crate) hint: Option<usize>,
}

/// An operation that has returned.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// 0 for what comes before and after all threads, in none of them.
    pub(crate) thread: usize,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) op: Op,
    pub(crate) outcome: Outcome,
}

/// All operations on one map. The last ones ran alone, an iteration and `len` among them.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// Operations share the keys `0..keys`.
    pub(crate) keys: u64,
    pub(crate) events: Vec<Event>,
}

impl History {
    /// The history of all events that were recorded, in any order.
    pub(crate) fn new(keys: u64, mut events: Vec<Event>) -> Self {
        events.sort_by_key(|event| event.from);
        History { keys, events }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// For reports

struct Maybe(Option<u64>);

impl fmt::Display for Maybe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(f, "{value}"),
            None => f.write_str("none"),
        }
    }
}

/// As it would be called, in short.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guess = |guess| match guess {
            Guess::Seen => "seen".to_owned(),
            Guess::Value(value) => value.to_string(),
        };
        match *self {
            Op::Get(key) => write!(f, "get({key})"),
            Op::GetKeyValue(key) => write!(f, "get_key_value({key})"),
            Op::GetCloned(key) => write!(f, "get_cloned({key})"),
            Op::ContainsKey(key) => write!(f, "contains_key({key})"),
            Op::Insert(key, value) => write!(f, "insert({key}, {value})"),
            Op::TryInsert(key, value) => write!(f, "try_insert({key}, {value})"),
            Op::GetOrInsert(key, value) => write!(f, "get_or_insert({key}, {value})"),
            Op::GetOrInsertWith(key, value) => write!(f, "get_or_insert_with({key}, {value})"),
            Op::GetOrTryInsertWith(key, value) => write!(f, "get_or_try_insert_with({key}, {})", Maybe(value)),
            Op::Update(key, value) => write!(f, "update({key}, {value})"),
            Op::Compute { key, present, absent } => write!(f, "compute({key}, {present:?}, {absent:?})"),
            Op::CompareAndSwap(key, old, new) => write!(f, "compare_and_swap({key}, {}, {new})", guess(old)),
            Op::CompareAndRemove(key, old) => write!(f, "compare_and_remove({key}, {})", guess(old)),
            Op::Remove(key) => write!(f, "remove({key})"),
            Op::RemoveIf(key, parity) => write!(f, "remove_if({key}, {parity:?})"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Done => f.write_str("()"),
            Outcome::Value(value) => Maybe(*value).fmt(f),
            Outcome::Flag(flag) => flag.fmt(f),
            Outcome::Count(count) => count.fmt(f),
            Outcome::Updated { saw, new } => write!(f, "{} from {}", Maybe(*new), Maybe(*saw)),
            Outcome::Computed { saw, end } => write!(f, "{end:?} from {}", Maybe(*saw)),
            Outcome::Visited(visits) => {
                for visit in &visits.shown {
                    write!(f, "{}:{} ", visit.key, visit.value)?;
                }
                write!(f, "of {}", visits.total)
            }
            other => write!(f, "{other:?}"),
        }
    }
}
