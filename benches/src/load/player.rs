//! One thread's way through its script.

use super::plan::{Kind, LoadKey, Payload, Plan, Script, VARIANTS};
use crate::{
    keys,
    peers::{Handle, RENEW},
};
use std::{marker::PhantomData, ops::Range};

/// How many fresh keys a thread keeps in the map before it removes the oldest.
pub(super) const FRESH_LIVE: u64 = 64;
/// The fresh keys of one thread, counted: more than any run inserts.
const FRESH_PER_THREAD: u64 = 1 << 40;

/// What an operation turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A lookup.
    Read,
    /// A new value for a key that is meant to be present.
    Overwrite,
    /// An insert.
    Insert,
    /// A removal.
    Remove,
}

impl Class {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Read, Self::Overwrite, Self::Insert, Self::Remove];

    /// The word for several of them.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Read => "reads",
            Self::Overwrite => "overwrites",
            Self::Insert => "inserts",
            Self::Remove => "removes",
        }
    }
}

/// What a thread did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All operations.
    pub operations: u64,
    /// Lookups.
    pub reads: u64,
    /// Lookups that found something.
    pub hits: u64,
    /// Lookups that found the value of another key.
    pub wrong: u64,
}

impl Tally {
    /// Adds what another thread did.
    pub fn add(&mut self, other: Self) {
        self.operations += other.operations;
        self.reads += other.reads;
        self.hits += other.hits;
        self.wrong += other.wrong;
    }
}

/// How far a thread has come, kept from turn to turn of the same map.
#[derive(Clone, Debug)]
pub struct Progress {
    position: usize,
    /// The numbers of the fresh keys that are in the map.
    fresh: Range<u64>,
    version: u64,
}

impl Progress {
    /// At the start.
    pub fn new(thread: usize) -> Self {
        let first = keys::FRESH + thread as u64 * FRESH_PER_THREAD;
        Self { position: 0, fresh: first..first, version: 0 }
    }
}

/// Plays a script on a map.
#[derive(Debug)]
pub struct Player<'a, K: LoadKey, V, H> {
    handle: H,
    plan: &'a Plan<K>,
    script: &'a Script<K>,
    progress: Progress,
    tally: Tally,
    values: PhantomData<fn() -> V>,
}

impl<'a, K: LoadKey, V: Payload, H: Handle<K, V>> Player<'a, K, V, H> {
    /// The player of a thread that has come as far as `progress` says.
    pub fn new(handle: H, plan: &'a Plan<K>, thread: usize, progress: Progress) -> Self {
        let script = &plan.scripts[thread];
        Self { handle, plan, script, progress, tally: Tally::default(), values: PhantomData }
    }

    /// How far it came and what it did.
    pub fn finish(self) -> (Progress, Tally) {
        (self.progress, self.tally)
    }

    /// Plays some steps. The one loop that all closed-loop workloads are measured with.
    #[inline(never)]
    pub fn play(&mut self, mut steps: usize) {
        while steps > 0 {
            let some = steps.min(RENEW);
            for _ in 0..some {
                self.step();
            }
            self.renew();
            steps -= some;
        }
    }

    /// Lets a guard that is held over several operations go for a moment.
    #[inline]
    pub fn renew(&mut self) {
        self.handle.renew();
    }

    /// Leaves a step out; what it would have been.
    pub fn skip(&mut self) -> Class {
        match self.script.kinds[self.next()] {
            Kind::Read => Class::Read,
            Kind::Overwrite => Class::Overwrite,
            Kind::Remove => Class::Remove,
            Kind::Insert | Kind::Fresh => Class::Insert,
        }
    }

    /// Plays one step.
    #[inline]
    pub fn step(&mut self) -> Class {
        let at = self.next();
        let token = &self.script.tokens[at];
        let key = K::key(token, &self.plan.keys);
        self.tally.operations += 1;
        match self.script.kinds[at] {
            Kind::Read => {
                let stamp = K::stamp(*token);
                let found = self.handle.read(key, |value: &V| value.belongs_to(stamp));
                self.tally.reads += 1;
                self.tally.hits += u64::from(found.is_some());
                self.tally.wrong += u64::from(found == Some(false));
                Class::Read
            }
            Kind::Overwrite => {
                let value = self.value(K::stamp(*token));
                self.handle.insert(key.clone(), value);
                Class::Overwrite
            }
            Kind::Insert => {
                let value = self.value(K::stamp(*token));
                self.handle.insert(key.clone(), value);
                Class::Insert
            }
            Kind::Remove => {
                self.handle.remove(key);
                Class::Remove
            }
            Kind::Fresh if self.progress.fresh.end - self.progress.fresh.start < FRESH_LIVE => self.insert_fresh(),
            Kind::Fresh => self.remove_fresh(),
        }
    }

    #[inline]
    fn next(&mut self) -> usize {
        let at = self.progress.position;
        self.progress.position = if at + 1 == self.script.kinds.len() { 0 } else { at + 1 };
        at
    }

    /// A new variant of the value with that stamp.
    #[inline]
    fn value(&mut self, stamp: u64) -> V {
        self.progress.version = self.progress.version.wrapping_add(1);
        V::new(stamp ^ (self.progress.version % VARIANTS), self.plan.value_bytes)
    }

    #[inline]
    fn insert_fresh(&mut self) -> Class {
        let number = self.progress.fresh.end;
        let value = self.value(number);
        self.handle.insert(K::nth(number, self.plan.prefix), value);
        self.progress.fresh.end += 1;
        Class::Insert
    }

    #[inline]
    fn remove_fresh(&mut self) -> Class {
        let removed = self.handle.remove(&K::nth(self.progress.fresh.start, self.plan.prefix));
        self.tally.wrong += u64::from(!removed);
        self.progress.fresh.start += 1;
        Class::Remove
    }
}
