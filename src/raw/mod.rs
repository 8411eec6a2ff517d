//! The read/dirty protocol: the map without its public face.
//!
//! # Structure
//!
//! ```text
//! RawMap
//!  ├─ read       the table that lookups start at, followed under a guard
//!  ├─ published  the same table, owned: iterations and snapshots join it here without the lock
//!  ├─ shared     counters and garbage; snapshots keep it beyond the map
//!  └─ slow       the writer lock, with the owned read and dirty tables under it
//! ```
//!
//! # Invariants
//!
//! 1. A node that is not expunged is in the last table of the chain `read`, `read.next`, ... or in a bucket of the
//!    table before that the copy has not reached. So a lookup that walks the chain finds it, in whichever order copy
//!    and lookup go.
//! 2. A key has at most one node in the chain that is not expunged. A new node is made under the lock only, after a
//!    walk of the chain found none, and nothing but the lock's holder expunges a node of the chain. (`clear` expunges
//!    the nodes of a chain that it has unlinked.)
//! 3. `next` is set once and never reset. A lookup that started at a table since replaced still reaches the last.
//! 4. That a key has no node is decided at the last table; a node that is not expunged decides in whichever table it is
//!    found.
//! 5. Expunged is final. A writer that meets it starts again from `read`.
//! 6. No user code runs between the first and the last change of a step made under the lock.
//! 7. Destructors of the user's, and observers (`observe.rs`), run with no lock held.
//!
//! # Why operations are linearizable per key
//!
//! A key's value changes by one compare-and-exchange on its node, or, for a new key, by the store of the tag word that
//! makes the node visible; the writer lock's release follows that store before the insert returns. Those are the
//! linearization points. A lookup linearizes at its load of the value. One that finds no node linearizes at its last
//! load of a tag word or `next` before which the key's node, had there been one, would have been found: the node can
//! have been added only after that. `clear` linearizes when `read` becomes null: an operation that started from the old
//! chain began before that and takes effect before it, until `clear` has expunged the node it wants.

#![allow(unsafe_code, reason = "third of the three layers in which unsafe code may stand")]

mod batch;
mod counters;
mod garbage;
mod hold;
mod memory;
mod node;
mod observe;
mod ops;
mod owned;
mod scan;
#[cfg(feature = "rayon")]
mod split;
mod table;
mod walk;
mod writer;

pub(crate) use batch::Batch;
pub(crate) use hold::{Held, HeldPart, Hold};
#[cfg(feature = "metrics")]
pub(crate) use observe::histograms;
pub use ops::Operation;
pub(crate) use ops::{Computed, Occupied};
pub(crate) use owned::IntoEntries;
pub use scan::Cursor;
#[cfg(feature = "rayon")]
pub(crate) use split::{Clones, Split};
pub(crate) use walk::{Entries, Frozen};

use std::hash::{BuildHasher, Hash};
use std::ptr;
use std::time::Duration;

use equivalent::Equivalent;

use crate::reclaim::{Guard, pin};
use crate::sync::{
    Arc, ArcSwapOption, AtomicPtr, CachePadded, LocalCell, OnceLock, Ordering, const_fn, fault, local, scaled, tick,
};

use garbage::Shared;
use node::{NodeRef, is_expunged, is_live};
use table::{Table, buckets_for};
use writer::{Purpose, Slow, mostly_tombstones};

/// Misses of the read table by one thread's stripe after which it helps with the copy.
///
/// A miss costs a reader one more cache line, a step of help about a microsecond, under the lock if that is free.
const MISSES_PER_HELP: usize = scaled(1024, 1);

/// Misses that a thread counts at once, for the map that the last of them was of.
///
/// Counting each by itself cost a tenth of a lookup that misses.
const MISSES_PER_COUNT: usize = scaled(16, 1);

/// A remove looks whether a compaction is due when its stripe's count of entries is half of this, or that and a multiple
/// of it. In a phase of removes that is every so many; where inserts and removes balance, the inserts look
/// (`writer::INSERTS_PER_LOOK`). Half, since the count of an almost empty map is often a multiple, namely 0.
const REMOVES_PER_LOOK: isize = scaled(64, 1) as isize;

pub(crate) struct RawMap<K, V, S> {
    /// The first table of the chain, or null while the map has none.
    read: AtomicPtr<Table<K, V>>,
    hash_builder: S,
    shared: OnceLock<Arc<Shared<K, V>>>,
    published: ArcSwapOption<Table<K, V>>,
    /// On lines of its own: what writers write must not slow down who reads the fields above.
    slow: CachePadded<Slow<K, V>>,
}

// SAFETY: threads that share the map share keys and values by reference, and any of them may be the one to drop them.
// The map itself is changed through atomics and the lock.
unsafe impl<K: Send + Sync, V: Send + Sync, S: Send> Send for RawMap<K, V, S> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync, S: Sync> Sync for RawMap<K, V, S> {}

impl<K, V, S> RawMap<K, V, S> {
    const_fn! {
        pub(crate) const fn new(hash_builder: S) -> Self {
            RawMap {
                read: AtomicPtr::new(ptr::null_mut()),
                hash_builder,
                shared: OnceLock::new(),
                published: ArcSwapOption::const_empty(),
                slow: CachePadded::new(Slow::new()),
            }
        }
    }

    pub(crate) fn with_capacity(capacity: usize, hash_builder: S) -> Self {
        let map = Self::new(hash_builder);
        if capacity > 0 {
            let table = map.new_table(buckets_for(capacity));
            map.write().start(table, Purpose::Room);
        }
        map
    }

    pub(crate) fn hasher(&self) -> &S {
        &self.hash_builder
    }

    fn shared(&self) -> &Arc<Shared<K, V>> {
        self.shared.get_or_init(Shared::new)
    }

    /// The first table of the chain.
    #[inline(always)]
    fn read<'g>(&'g self, _guard: &'g Guard) -> Option<&'g Table<K, V>> {
        // Acquire: pairs with the Release store in `publish`, so the table's contents are seen.
        let read = self.read.load(Ordering::Acquire);
        // SAFETY: null or a table that was published when this guard existed already; it is retired after it was
        // unlinked, so not freed before the guard is gone.
        unsafe { read.as_ref() }
    }

    /// Makes `table` the first of the chain. Called under the writer lock.
    fn publish(&self, table: &Arc<Table<K, V>>) {
        // Release: pairs with the Acquire load in `read`.
        self.read.store(Arc::as_ptr(table).cast_mut(), Ordering::Release);
        self.published.store(Some(Arc::clone(table)));
    }

    /// Leaves the map without a table. Called under the writer lock.
    fn unpublish(&self) {
        // First this one: who has found a key absent must not find it in an iteration begun after that.
        self.published.store(None);
        // Release: pairs with the Acquire load in `read`: who finds no table also finds what happened before.
        self.read.store(ptr::null_mut(), Ordering::Release);
    }

    pub(crate) fn len(&self) -> usize {
        self.shared.get().map_or(0, |shared| shared.counters.len())
    }

    pub(crate) fn capacity(&self) -> usize {
        // Relaxed: a figure; partner in `update_meters`.
        self.slow.meters.capacity.load(Ordering::Relaxed)
    }

    /// Frees what was retired, as far as guards of other threads allow.
    pub(crate) fn flush(&self) {
        if let Some(shared) = self.shared.get() {
            shared.garbage.flush();
        }
    }

    pub(crate) fn meter(&self) -> Figures {
        let meters = &self.slow.meters;
        let shared = self.shared.get();
        let (longest_free, longest_free_time) =
            shared.map_or_else(Default::default, |shared| shared.garbage.longest_free());
        // Relaxed, all: figures of one moment or another.
        let nodes = meters.nodes.load(Ordering::Relaxed);
        Figures {
            promotions: meters.promotions.load(Ordering::Relaxed),
            promotion_time: Duration::from_nanos(meters.promotion_time.load(Ordering::Relaxed)),
            compactions: meters.compactions.load(Ordering::Relaxed),
            locks: meters.locks.load(Ordering::Relaxed),
            waits: meters.waits.load(Ordering::Relaxed),
            long_waits: meters.long_waits.load(Ordering::Relaxed),
            copied_slots: meters.copied_slots.load(Ordering::Relaxed),
            longest_copy: meters.longest_copy.load(Ordering::Relaxed),
            dirty_len: meters.dirty_len.load(Ordering::Relaxed),
            table_bytes: meters.table_bytes.load(Ordering::Relaxed),
            longest_promotion: meters.longest_promotion.get(),
            longest_wait: meters.longest_wait.get(),
            longest_copy_time: meters.longest_copy_time.get(),
            longest_free,
            longest_free_time,
            misses: shared.map_or(0, |shared| shared.counters.misses()),
            tombstones: nodes.saturating_sub(self.len()),
            pending: shared.map_or(0, |shared| shared.garbage.pending()),
        }
    }
}

/// What [`RawMap::meter`] reads off.
pub(crate) struct Figures {
    pub(crate) promotions: u64,
    pub(crate) promotion_time: Duration,
    pub(crate) longest_promotion: Duration,
    pub(crate) compactions: u64,
    pub(crate) misses: usize,
    pub(crate) locks: u64,
    pub(crate) waits: u64,
    pub(crate) long_waits: u64,
    pub(crate) longest_wait: Duration,
    pub(crate) copied_slots: u64,
    pub(crate) longest_copy: usize,
    pub(crate) longest_copy_time: Duration,
    pub(crate) longest_free: usize,
    pub(crate) longest_free_time: Duration,
    pub(crate) dirty_len: usize,
    pub(crate) tombstones: usize,
    pub(crate) pending: usize,
    pub(crate) table_bytes: usize,
}

impl<K, V, S: BuildHasher> RawMap<K, V, S> {
    #[inline(always)]
    fn hash<Q: ?Sized + Hash>(&self, key: &Q) -> u64 {
        self.hash_builder.hash_one(key)
    }
}

impl<K, V, S> RawMap<K, V, S>
where
    K: Hash,
    S: BuildHasher,
{
    /// Looks a key up under what `pin` gives.
    ///
    /// The key is hashed first: an instruction that pins waits for what comes before it to finish and holds up what
    /// comes after it, so hashing is best done while the processor still finishes what the caller did.
    ///
    /// Always inlined, since a call and the passing of its result cost a third of a lookup, and a program with more than
    /// one lookup of a type would have calls.
    #[inline(always)]
    pub(crate) fn get<'m, Q, H>(&'m self, key: &Q, pin: impl FnOnce() -> H) -> Option<H::Held>
    where
        Q: ?Sized + Hash + Equivalent<K>,
        H: Hold<'m, K, V>,
    {
        let hash = self.hash(key);
        self.get_hashed(key, hash, pin())
    }

    /// Looks a key up whose hash is known.
    #[inline(always)]
    fn get_hashed<'m, Q, H>(&'m self, key: &Q, hash: u64, hold: H) -> Option<H::Held>
    where
        Q: ?Sized + Equivalent<K>,
        H: Hold<'m, K, V>,
    {
        let hit = {
            let guard = hold.guard();
            let read = self.read(guard)?;
            let found = match read.find(hash, key) {
                Some(node) => {
                    let value = node.value();
                    if is_live(value) {
                        Some((node, value))
                    } else if is_expunged(value) && !fault!(StaleRead) {
                        self.get_amended(read, hash, key, guard)
                    } else {
                        None
                    }
                }
                None if read.is_amended() => self.get_amended(read, hash, key, guard),
                None => None,
            };
            let (node, value) = found?;
            hold::Hit::new(node, value)
        };
        // SAFETY: found under the guard, in this map.
        Some(unsafe { hold.hold(hit) })
    }

    /// The rest of a lookup that `missed` could not answer.
    ///
    /// A call, so that what it needs does not take registers from the lookups that hit.
    #[cold]
    #[inline(never)]
    fn get_amended<'g, Q>(
        &'g self,
        missed: &'g Table<K, V>,
        hash: u64,
        key: &Q,
        guard: &'g Guard,
    ) -> Option<(NodeRef<'g, K, V>, *mut V)>
    where
        Q: ?Sized + Equivalent<K>,
    {
        local! {
            static MISSES: LocalCell<usize> = LocalCell::new(0);
        }
        if MISSES.with(tick).is_multiple_of(MISSES_PER_COUNT) {
            return self.get_amended_and_count(missed, hash, key, guard);
        }
        Self::get_behind(missed, hash, key, guard)
    }

    /// As [`RawMap::get_amended`], and counts. In one function with it an absent key costs up to a tenth more: arguments
    /// would have to survive the call, each time, that is made once in sixteen.
    #[cold]
    #[inline(never)]
    fn get_amended_and_count<'g, Q>(
        &'g self,
        missed: &'g Table<K, V>,
        hash: u64,
        key: &Q,
        guard: &'g Guard,
    ) -> Option<(NodeRef<'g, K, V>, *mut V)>
    where
        Q: ?Sized + Equivalent<K>,
    {
        self.count_misses(guard);
        Self::get_behind(missed, hash, key, guard)
    }

    /// Looks a key up in the tables behind `table`.
    #[inline(always)]
    fn get_behind<'g, Q>(
        mut table: &'g Table<K, V>,
        hash: u64,
        key: &Q,
        guard: &'g Guard,
    ) -> Option<(NodeRef<'g, K, V>, *mut V)>
    where
        Q: ?Sized + Equivalent<K>,
    {
        while let Some(next) = table.next(guard) {
            if let Some(node) = next.find(hash, key) {
                let value = node.value();
                if is_live(value) {
                    return Some((node, value));
                }
                if !is_expunged(value) || fault!(StaleRead) {
                    return None;
                }
            }
            table = next;
        }
        None
    }

    /// The node of `key` that is not expunged, as far as can be told before it is used.
    #[inline]
    fn locate<'g, Q>(&'g self, hash: u64, key: &Q, guard: &'g Guard) -> Option<NodeRef<'g, K, V>>
    where
        Q: ?Sized + Equivalent<K>,
    {
        let mut table = self.read(guard);
        while let Some(here) = table {
            if let Some(node) = here.find(hash, key)
                && !is_expunged(node.value())
            {
                return Some(node);
            }
            table = here.next(guard);
        }
        None
    }

    /// Counts misses of this thread, [`MISSES_PER_COUNT`] at a time, and helps with the copy now and then.
    #[cold]
    fn count_misses(&self, guard: &Guard) {
        if self.shared().counters.miss(MISSES_PER_COUNT).is_multiple_of(MISSES_PER_HELP) {
            self.help(guard);
        }
    }

    /// Copies a little, if a copy is under way and nobody has the lock.
    #[cold]
    fn help(&self, guard: &Guard) {
        if let Some(writing) = self.try_write() {
            writing.step(guard);
        }
    }

    /// Work that a remove does for the map, beside its own.
    fn after_remove(&self, stripe_len: isize, guard: &Guard) {
        // Relaxed: a hint; partner in `drive_by_removes`.
        if self.slow.meters.compacting.load(Ordering::Relaxed) {
            self.help(guard);
        } else if stripe_len.rem_euclid(REMOVES_PER_LOOK) == REMOVES_PER_LOOK / 2 {
            self.consider_compaction(guard);
        }
    }

    /// Starts a copy that leaves the tombstones behind, if there are enough of them.
    #[cold]
    fn consider_compaction(&self, guard: &Guard) {
        // Relaxed: a hint; looked at again under the lock.
        if !mostly_tombstones(self.slow.meters.nodes.load(Ordering::Relaxed), self.len()) {
            return;
        }
        let Some(writing) = self.try_write() else { return };
        if writing.is_amended() {
            // There may be no inserts to complete this copy, and only then can one without the tombstones begin.
            writing.drive_by_removes();
            return writing.step(guard);
        }
        if !writing.wants_compaction(self.len()) {
            return;
        }
        let buckets = writing.successor_buckets(self.len());
        drop(writing);
        let table = self.new_table(buckets);
        if let Some(mut writing) = self.try_write()
            && writing.wants_compaction(self.len())
            && writing.successor_buckets(self.len()) <= buckets
        {
            writing.start(table, Purpose::Compaction);
            writing.drive_by_removes();
            writing.step(guard);
        }
    }

    /// Completes the copy that is under way, if one is, and makes dirty the read table.
    pub(crate) fn promote(&self) {
        let mut guard = pin();
        loop {
            let writing = self.write();
            if !writing.is_amended() {
                return;
            }
            writing.step(&guard);
            guard.repin();
        }
    }

    /// Makes room for `additional` more entries.
    pub(crate) fn reserve(&self, additional: usize) {
        let wanted = self.len().saturating_add(additional);
        let buckets = buckets_for(wanted);
        self.rebuild_while(Purpose::Room, |writing| {
            // Relaxed: stored under the lock, which is held.
            let nodes = self.slow.meters.nodes.load(Ordering::Relaxed);
            (self.capacity().saturating_sub(nodes) < additional)
                .then(|| buckets.max(writing.successor_buckets(nodes.saturating_add(additional))))
        });
    }

    /// Copies to a new table until there are no tombstones and the table fits what is live.
    pub(crate) fn compact(&self) {
        // Each round leaves the tombstones of the one before behind and can be smaller for it. Two rounds fit a quiet
        // map; the bound is for one that other threads change meanwhile.
        let mut rounds = 0;
        self.rebuild_while(Purpose::Compaction, |writing| {
            // Relaxed: stored under the lock, which is held.
            let nodes = self.slow.meters.nodes.load(Ordering::Relaxed);
            let successor = writing.successor_buckets(self.len());
            let fits = writing.read().is_none_or(|read| read.buckets() <= successor);
            rounds += 1;
            (rounds <= 4 && (nodes > self.len() || !fits)).then_some(successor)
        });
    }

    /// Promotes, then starts and completes copies to tables of the sizes that `wanted` gives, until it gives none.
    fn rebuild_while(&self, purpose: Purpose, mut wanted: impl FnMut(&writer::Writing<'_, K, V, S>) -> Option<usize>) {
        loop {
            self.promote();
            let writing = self.write();
            if writing.is_amended() {
                continue;
            }
            let Some(buckets) = wanted(&writing) else { return };
            drop(writing);
            let table = self.new_table(buckets);
            let mut writing = self.write();
            if !writing.is_amended() && writing.successor_buckets(0) <= buckets {
                writing.start(table, purpose);
            }
        }
    }
}
