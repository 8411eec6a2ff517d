//! Operations applied to a map.
//!
//! Keys and values pause now and then when the map compares or hashes them, and so do closures: inside of operations,
//! between the steps that have to stay right when another thread comes between.

// Each crate that shares this module uses a part of it.
#![allow(dead_code)]

use std::cell::Cell;
use std::hash::{BuildHasher, Hash, Hasher};
use std::hint;
use std::thread;

use readmostly::{Operation, Pinned, Snapshot, SyncMap, pinned};

use super::history::{Clock, End, Event, Guess, Op, Outcome, Plan, Step, Visit, Visits};

/// The most keys that operations share.
pub(crate) const MOST_KEYS: usize = 4;

/// Keys from here on belong to one thread each, or to none.
const OWN_KEYS: u64 = 1 << 32;
const ABSENT_KEY: u64 = u64::MAX;

pub(crate) type Map<V> = SyncMap<Key, V, Spread>;

// ---------------------------------------------------------------------------------------------------------------------
// Pauses

thread_local! {
    static PAUSES: Cell<Pauses> = const { Cell::new(Pauses { random: 0, one_in: 0 }) };
}

/// When this thread pauses.
#[derive(Clone, Copy)]
struct Pauses {
    random: u64,
    /// One in so many opportunities is taken, or none if this is 0.
    one_in: u64,
}

/// Has this thread pause at one in `one_in` opportunities from now on, or, at 0, never.
pub(crate) fn set_pauses(seed: u64, one_in: u64) {
    PAUSES.set(Pauses { random: seed | 1, one_in });
}

/// An opportunity to pause.
pub(crate) fn pause() {
    let Pauses { mut random, one_in } = PAUSES.get();
    if one_in == 0 {
        return;
    }
    // Xorshift.
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    PAUSES.set(Pauses { random, one_in });
    if (random >> 20) % one_in == 0 {
        match (random >> 12) % 4 {
            0 => thread::yield_now(),
            _ => (0..random % 400).for_each(|_| hint::spin_loop()),
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Keys, values, hashers

#[derive(Clone, Copy, Debug, Eq)]
pub(crate) struct Key(pub(crate) u64);

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        pause();
        self.0 == other.0
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        pause();
        state.write_u64(self.0);
    }
}

/// A value of a map, known by a number.
pub(crate) trait Value: Clone + PartialEq + From<u64> + Send + Sync + 'static {
    fn id(&self) -> u64;
}

/// A value without drop glue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain(u64);

/// A value that takes another number when it is dropped, so that one which is read too late is known for it.
#[derive(Clone, Debug)]
pub(crate) struct Dropped(u64);

/// The number of a value that has been dropped; no operation writes it.
const DROPPED: u64 = u64::MAX;

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0 = DROPPED;
        hint::black_box(&mut self.0);
    }
}

macro_rules! value {
    ($value:ident) => {
        impl From<u64> for $value {
            fn from(id: u64) -> Self {
                $value(id)
            }
        }

        impl PartialEq for $value {
            fn eq(&self, other: &Self) -> bool {
                pause();
                self.0 == other.0
            }
        }

        impl Value for $value {
            fn id(&self) -> u64 {
                self.0
            }
        }
    };
}

value!(Plain);
value!(Dropped);

/// Keeps the bits of a good hash that `mask` has set, so that keys share buckets, tags, or both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) mask: u64,
    pub(crate) seed: u64,
}

impl BuildHasher for Spread {
    type Hasher = SpreadHasher;

    fn build_hasher(&self) -> SpreadHasher {
        SpreadHasher { mask: self.mask, hash: self.seed }
    }
}

pub(crate) struct SpreadHasher {
    mask: u64,
    hash: u64,
}

impl Hasher for SpreadHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.hash ^ number ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        self.hash = (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
    }

    fn finish(&self) -> u64 {
        (self.hash ^ (self.hash >> 31)) & self.mask
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// One thread's operations

/// A thread's use of a map, with a record of it.
pub(crate) struct Session<'m, V: Value, C> {
    map: &'m Map<V>,
    thread: usize,
    clock: C,
    pinned: Option<Pinned<'m, Key, V, Spread>>,
    held: Option<Held<V>>,
    /// The value last seen under each key, or 0.
    seen: [u64; MOST_KEYS],
    /// The keys of its own that it has inserted and not removed.
    own: std::ops::Range<u64>,
    events: Vec<Event>,
}

/// A snapshot, and when it was taken.
struct Held<V> {
    snapshot: Snapshot<Key, V>,
    frozen: (u64, u64),
}

impl<'m, V: Value, C: Clock> Session<'m, V, C> {
    /// `steps` is how many there will be, more or less: the record should not have to grow while threads run.
    pub(crate) fn new(map: &'m Map<V>, thread: usize, clock: C, steps: usize) -> Self {
        let first = OWN_KEYS * (thread as u64 + 1);
        let events = Vec::with_capacity(steps);
        Session { map, thread, clock, pinned: None, held: None, seen: [0; MOST_KEYS], own: first..first, events }
    }

    pub(crate) fn into_events(self) -> Vec<Event> {
        self.events
    }

    pub(crate) fn run(&mut self, steps: &[Step]) {
        for step in steps {
            pause();
            if !step.pinned {
                self.pinned = None;
            } else if self.pinned.is_none() {
                self.pinned = Some(self.map.pin());
            }
            self.record(self.resolved(step.op));
        }
    }

    /// Replaces a guess by the value it stands for.
    fn resolved(&self, op: Op) -> Op {
        let seen = |key: u64| Guess::Value(self.seen[key as usize]);
        match op {
            Op::CompareAndSwap(key, Guess::Seen, new) => Op::CompareAndSwap(key, seen(key), new),
            Op::CompareAndRemove(key, Guess::Seen) => Op::CompareAndRemove(key, seen(key)),
            _ => op,
        }
    }

    fn record(&mut self, op: Op) {
        let from = self.clock.before();
        let outcome = self.apply(op, from);
        let to = self.clock.after();
        if let (Some(held), Op::Hold) = (&mut self.held, op) {
            held.frozen = (from, to);
        }
        if let (Some(key), Outcome::Value(Some(value)) | Outcome::Entry { value: Some(value), .. }) =
            (op.key(), &outcome)
        {
            self.seen[key as usize] = *value;
        }
        self.events.push(Event { thread: self.thread, from, to, op, outcome });
    }

    fn apply(&mut self, op: Op, from: u64) -> Outcome {
        match op {
            Op::Fill(keys) => Outcome::Count(self.fill(keys)),
            Op::FillUp(but) => {
                let stats = self.map.stats();
                let room = self.map.capacity().saturating_sub(self.map.len() + stats.tombstones);
                Outcome::Count(self.fill(room.saturating_sub(but)))
            }
            Op::Drain(keys) => Outcome::Count(self.drain(keys)),
            Op::Hold => {
                let snapshot = self.map.snapshot();
                let hint = Some(snapshot.len_hint());
                self.held = Some(Held { snapshot, frozen: (from, from) });
                Outcome::Visited(Visits { hint, ..Visitor::new(&self.clock, from).visits })
            }
            Op::VisitHeld => match &self.held {
                Some(held) => Outcome::Visited(self.visit(&held.snapshot, from, Some(held.frozen), None)),
                None => Outcome::Done,
            },
            Op::Release => {
                self.held = None;
                Outcome::Done
            }
            Op::Snapshot => {
                let snapshot = self.map.snapshot();
                let taken = self.clock.after();
                let hint = Some(snapshot.len_hint());
                Outcome::Visited(self.visit(&snapshot, from, Some((from, taken)), hint))
            }
            Op::Iterate => Outcome::Visited(self.iterate(from)),
            Op::Range(most) => Outcome::Visited(self.range(most, from)),
            Op::RetainNot(parity) => {
                let mut visitor = Visitor::new(&self.clock, from);
                self.map.retain(|key, value| {
                    visitor.enter(key, value.id());
                    pause();
                    visitor.leave();
                    key.0 >= OWN_KEYS || !parity.has(value.id())
                });
                Outcome::Visited(visitor.finish(true))
            }
            _ => match &self.pinned {
                Some(pinned) => apply_pinned(pinned, op),
                None => apply_unpinned(self.map, op),
            },
        }
    }

    /// Inserts keys of its own; returns how many were new, which is all of them.
    fn fill(&mut self, keys: usize) -> usize {
        let end = self.own.end + keys as u64;
        let new = (self.own.end..end).filter(|&key| self.map.insert(Key(key), V::from(key)).is_none()).count();
        self.own.end = end;
        new
    }

    /// Removes keys of its own; returns how many were still there.
    fn drain(&mut self, keys: usize) -> usize {
        let end = self.own.end.min(self.own.start + keys as u64);
        let there = (self.own.start..end).filter(|&key| self.map.remove(&Key(key)).is_some()).count();
        self.own.start = end;
        there
    }

    fn visit(&self, snapshot: &Snapshot<Key, V>, from: u64, frozen: Option<(u64, u64)>, hint: Option<usize>) -> Visits {
        let mut visitor = Visitor::new(&self.clock, from);
        snapshot.for_each(|key, value| {
            visitor.enter(key, value.id());
            pause();
            visitor.leave();
        });
        Visits { frozen, hint, ..visitor.finish(true) }
    }

    fn iterate(&self, from: u64) -> Visits {
        let new;
        let pinned = match &self.pinned {
            Some(pinned) => pinned,
            None => {
                new = self.map.pin();
                &new
            }
        };
        let mut visitor = Visitor::new(&self.clock, from);
        for (key, value) in pinned {
            visitor.enter(key, value.id());
            pause();
            visitor.leave();
        }
        visitor.finish(true)
    }

    fn range(&self, most: Option<usize>, from: u64) -> Visits {
        let mut visitor = Visitor::new(&self.clock, from);
        let mut stopped = false;
        self.map.range(|key, value| {
            visitor.enter(key, value.id());
            pause();
            visitor.leave();
            stopped = Some(visitor.visits.total) == most;
            !stopped
        });
        let frozen = visitor.first.map(|first| (from, first));
        Visits { frozen, ..visitor.finish(!stopped) }
    }
}

/// Notes what an iteration shows.
struct Visitor<'c, C> {
    clock: &'c C,
    /// When the last visit was over.
    left: u64,
    /// When the first one began.
    first: Option<u64>,
    keys: Vec<u64>,
    visits: Visits,
}

impl<'c, C: Clock> Visitor<'c, C> {
    fn new(clock: &'c C, from: u64) -> Self {
        let visits = Visits { shown: Vec::new(), total: 0, twice: None, complete: false, frozen: None, hint: None };
        Visitor { clock, left: from, first: None, keys: Vec::new(), visits }
    }

    fn enter(&mut self, &Key(key): &Key, value: u64) {
        let now = self.clock.after();
        self.first.get_or_insert(now);
        self.keys.push(key);
        self.visits.total += 1;
        if key < OWN_KEYS {
            self.visits.shown.push(Visit { key, value, from: self.left, to: now });
        }
    }

    fn leave(&mut self) {
        self.left = self.clock.before();
    }

    fn finish(mut self, complete: bool) -> Visits {
        self.keys.sort_unstable();
        let twice = self.keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
        Visits { complete, twice, ..self.visits }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// One operation

/// What a map and a `Pinned` both have; `$ends` is where the results of theirs are found that differ.
macro_rules! apply {
    ($map:ident, $ends:ident, $op:ident) => {
        match $op {
            Op::Get(key) => Outcome::Value($map.get(&Key(key)).map(|found| found.id())),
            Op::GetCloned(key) => Outcome::Value($map.get_cloned(&Key(key)).map(|found| found.id())),
            Op::ContainsKey(key) => Outcome::Flag($map.contains_key(&Key(key))),
            Op::Insert(key, value) => Outcome::Value($map.insert(Key(key), V::from(value)).map(|old| old.id())),
            Op::TryInsert(key, value) => match $map.try_insert(Key(key), V::from(value)) {
                Ok(new) => Outcome::Inserted(new.id()),
                Err(error) => {
                    Outcome::Occupied { current: error.current.id(), key: error.key.0, value: error.value.id() }
                }
            },
            Op::GetOrInsert(key, value) => Outcome::Value(Some($map.get_or_insert(Key(key), V::from(value)).id())),
            Op::GetOrInsertWith(key, value) => {
                let mut called = false;
                let found = $map.get_or_insert_with(Key(key), || {
                    pause();
                    called = true;
                    V::from(value)
                });
                Outcome::Entry { value: Some(found.id()), called }
            }
            Op::GetOrTryInsertWith(key, value) => {
                let mut called = false;
                let found = $map.get_or_try_insert_with(Key(key), || {
                    pause();
                    called = true;
                    value.map(V::from).ok_or(())
                });
                Outcome::Entry { value: found.ok().map(|found| found.id()), called }
            }
            Op::Update(key, value) => {
                let mut saw = None;
                let new = $map.update(&Key(key), |old| {
                    pause();
                    saw = Some(old.id());
                    V::from(value)
                });
                Outcome::Updated { new: new.map(|new| new.id()), saw }
            }
            Op::Compute { key, present, absent } => {
                let mut saw = None;
                let end = $map.compute(Key(key), |old| {
                    pause();
                    saw = old.map(V::id);
                    match if saw.is_some() { present } else { absent } {
                        Plan::Insert(value) => Operation::Insert(V::from(value)),
                        Plan::Remove => Operation::Remove,
                        Plan::Abort => Operation::Abort(()),
                    }
                });
                let end = match end {
                    $ends::Compute::Inserted(new) => End::Inserted(new.id()),
                    $ends::Compute::Updated { old, new } => End::Updated { old: old.id(), new: new.id() },
                    $ends::Compute::Removed(old) => End::Removed(old.id()),
                    $ends::Compute::Aborted(()) => End::Aborted,
                    $ends::Compute::Absent => End::Absent,
                };
                Outcome::Computed { saw, end }
            }
            Op::CompareAndSwap(key, Guess::Value(old), new) => {
                let end = $map.compare_and_swap(&Key(key), &V::from(old), V::from(new));
                Outcome::Swapped(end.map(|old| old.id()).map_err(|new| new.id()))
            }
            Op::CompareAndRemove(key, Guess::Value(old)) => {
                Outcome::Value($map.compare_and_remove(&Key(key), &V::from(old)).map(|old| old.id()))
            }
            Op::Remove(key) => Outcome::Value($map.remove(&Key(key)).map(|old| old.id())),
            Op::RemoveIf(key, parity) => {
                let removed = $map.remove_if(&Key(key), |_, value| {
                    pause();
                    parity.has(value.id())
                });
                Outcome::Value(removed.map(|old| old.id()))
            }
            Op::Clear => {
                $map.clear();
                Outcome::Done
            }
            Op::Len => Outcome::Count($map.len()),
            Op::IsEmpty => Outcome::Flag($map.is_empty()),
            _ => unreachable!("{} is applied elsewhere", $op),
        }
    };
}

fn apply_pinned<V: Value>(map: &Pinned<'_, Key, V, Spread>, op: Op) -> Outcome {
    match op {
        Op::GetKeyValue(key) => Outcome::Value(map.get_key_value(&Key(key)).map(|(found, value)| {
            assert_eq!(found.0, key, "an entry of another key");
            value.id()
        })),
        Op::Promote | Op::Compact | Op::Reserve(_) | Op::Flush | Op::Miss(_) => apply_unpinned(map.map(), op),
        _ => apply!(map, pinned, op),
    }
}

fn apply_unpinned<V: Value>(map: &Map<V>, op: Op) -> Outcome {
    match op {
        Op::GetKeyValue(key) => {
            return Outcome::Value(map.get(&Key(key)).map(|found| {
                assert_eq!(found.key().0, key, "an entry of another key");
                found.id()
            }));
        }
        Op::Promote => map.promote(),
        Op::Compact => map.compact(),
        Op::Reserve(additional) => map.reserve(additional),
        Op::Flush => map.flush(),
        Op::Miss(times) => (0..times).for_each(|_| assert!(!map.contains_key(&Key(ABSENT_KEY)))),
        _ => return apply!(map, readmostly, op),
    }
    Outcome::Done
}
