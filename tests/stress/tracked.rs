//! Keys and values that notice when they are used after they were dropped, and are counted.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Relaxed, both: exact when all threads have been joined, and to order nothing before that.
static MADE: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many [`Tracked`] objects exist.
pub(crate) fn live() -> u64 {
    // In this order, so that what is dropped meanwhile cannot make the difference negative.
    let dropped = DROPPED.load(Relaxed);
    MADE.load(Relaxed).saturating_sub(dropped)
}

/// To be called when all maps of a scenario are gone.
pub(crate) fn assert_all_dropped() {
    let (made, dropped) = (MADE.load(Relaxed), DROPPED.load(Relaxed));
    assert_eq!(made, dropped, "what was made must be dropped once: {made} made, {dropped} dropped");
}

/// What a map holds here: an identity that does not change, and a version that its writer counts up.
pub(crate) trait Payload: Clone + PartialEq + Send + Sync + 'static {
    fn new(id: u64, version: u64) -> Self;

    /// The version; panics if this is not a live object made for `id`.
    fn version_of(&self, id: u64) -> u64;
}

/// A key or value with drop glue and memory of its own.
#[derive(Debug)]
pub(crate) struct Tracked {
    id: u64,
    version: u64,
    canary: u64,
    body: Box<u64>,
}

const DEAD: u64 = 0xdead_dead_dead_dead;

fn seal(id: u64, version: u64) -> u64 {
    (id ^ version.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
}

impl Tracked {
    pub(crate) fn id(&self) -> u64 {
        let intact = self.canary == seal(self.id, self.version) && *self.body == self.canary;
        assert!(intact, "canary: {:#x} where {:#x} was expected", self.canary, seal(self.id, self.version));
        self.id
    }

    pub(crate) fn version(&self) -> u64 {
        self.id();
        self.version
    }

    /// A key.
    pub(crate) fn key(id: u64) -> Self {
        Tracked::new(id, 0)
    }
}

impl Payload for Tracked {
    fn new(id: u64, version: u64) -> Self {
        MADE.fetch_add(1, Relaxed);
        let canary = seal(id, version);
        Tracked { id, version, canary, body: Box::new(canary) }
    }

    fn version_of(&self, id: u64) -> u64 {
        assert_eq!(self.id(), id, "canary: the value belongs to another key");
        self.version
    }
}

impl Clone for Tracked {
    fn clone(&self) -> Self {
        Tracked::new(self.id(), self.version)
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.id();
        self.canary = DEAD;
        *self.body = DEAD;
        // Else the stores are left out, since nobody can see them.
        black_box(self);
        DROPPED.fetch_add(1, Relaxed);
    }
}

impl PartialEq for Tracked {
    fn eq(&self, other: &Self) -> bool {
        (self.id(), self.version) == (other.id(), other.version)
    }
}

impl Eq for Tracked {}

/// As its id, by which it can be looked up.
impl Hash for Tracked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl Borrow<u64> for Tracked {
    fn borrow(&self) -> &u64 {
        self.id();
        &self.id
    }
}

/// A value without drop glue: maps keep its memory differently.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plain {
    version: u64,
    canary: u64,
}

impl Payload for Plain {
    fn new(id: u64, version: u64) -> Self {
        Plain { version, canary: seal(id, version) }
    }

    fn version_of(&self, id: u64) -> u64 {
        assert_eq!(self.canary, seal(id, self.version), "canary: {self:?} is no value of {id}");
        self.version
    }
}
