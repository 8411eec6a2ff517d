//! A hash table of node pointers that one writer fills while any number of readers look keys up.
//!
//! ```text
//! Bucket   { tags: AtomicU64, slots: [AtomicPtr<Node>; 7] }             one 64-byte line
//! tags     byte 0..6: seven bits of the hash of the node in that slot, or 0 if the slot is free
//!          byte 7: bit 0, overflow; bit 1, strangers
//! ```
//!
//! A lookup loads the tag word of the key's bucket, compares all seven tags at once, and follows the pointers that
//! match. The overflow bit says that some key of this bucket (or of one before it) was put into a bucket behind it, so
//! most misses end after one line; the strangers bit says that a key of one before it was put into this one, so a walk by
//! hashes need not hash most keys. A slot that is filled stays so: a table only grows, keys leave when the live nodes
//! are copied to the next.
//!
//! The number of buckets is a power of two and the low bits of the hash pick one, as in hashbrown, so hashers made for
//! it do well here.

use std::iter;
use std::mem;
use std::ptr::{self, NonNull};

use equivalent::Equivalent;

use crate::reclaim::Guard;
#[cfg(any(readmostly_loom, readmostly_shuttle))]
use crate::sync::ends;
use crate::sync::{Arc, AtomicPtr, AtomicU64, Ordering, fault, prefetch, scaled};

use super::garbage::Generation;
use super::memory::Region;
use super::node::{Node, NodePtr, NodeRef, capacity_overflow};

/// Slots of a bucket.
pub(super) const SLOTS: usize = 7;

/// Of the 28 slots of four buckets this many may be filled: three quarters.
const LOAD_PER_4_BUCKETS: usize = scaled(21, 8);

/// The fewest buckets a table has.
const MIN_BUCKETS: usize = scaled(2, 1);

/// The tag word of a bucket.
///
/// A tag has its high bit set, so a byte is 0 if the slot is free and at least 0x80 if it is not. Slots are filled in
/// order, so the free ones come after all others.
#[derive(Clone, Copy)]
struct Tags(u64);

impl Tags {
    const LOW_BITS: u64 = 0x0101_0101_0101_0101;
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    /// Lowest bit of the last byte. Not its high bit, so that this byte never looks like a tag.
    const OVERFLOW: u64 = 1 << 56;
    /// The bit above it, no tag's high bit either.
    const STRANGERS: u64 = 1 << 57;

    /// The byte by which a hash is known in its bucket: from its top bits, which take no part in picking the bucket.
    #[inline(always)]
    fn tag(hash: u64) -> u8 {
        (hash >> 56) as u8 | 0x80
    }

    /// The slots whose tag is `tag`.
    #[inline(always)]
    fn matches(self, tag: u8) -> SlotSet {
        let zero_where_equal = self.0 ^ (Self::LOW_BITS * u64::from(tag));
        // For a filled slot the byte is below 0x80, so 0x80 less the byte keeps its high bit if that is 0 and borrows
        // nothing from the next. Only free slots borrow, behind which there are only free ones.
        SlotSet(Self::HIGH_BITS.wrapping_sub(zero_where_equal) & self.filled().0)
    }

    #[inline(always)]
    fn filled(self) -> SlotSet {
        SlotSet(self.0 & Self::HIGH_BITS)
    }

    /// The first free slot.
    fn free_slot(self) -> Option<Slot> {
        let filled = self.filled().0.count_ones() as usize;
        (filled < SLOTS).then_some(Slot(filled))
    }

    fn with(self, slot: Slot, tag: u8, is_home: bool) -> Tags {
        Tags(self.0 | u64::from(tag) << (8 * slot.0) | if is_home { 0 } else { Self::STRANGERS })
    }

    #[inline(always)]
    fn overflows(self) -> bool {
        self.0 & Self::OVERFLOW != 0
    }

    /// Whether one of the filled slots may hold a key whose home is another bucket.
    fn has_strangers(self) -> bool {
        self.0 & Self::STRANGERS != 0
    }
}

/// The number of a slot, below [`SLOTS`].
#[derive(Clone, Copy)]
struct Slot(usize);

/// Slots of one bucket: the high bit of each one's byte, and so never that of the last byte.
#[derive(Clone, Copy)]
struct SlotSet(u64);

impl SlotSet {
    #[inline(always)]
    fn first(self) -> Option<Slot> {
        (self.0 != 0).then(|| Slot(self.0.trailing_zeros() as usize / 8))
    }

    /// The rest of a set that is not empty.
    #[inline(always)]
    fn without_first(self) -> Self {
        SlotSet(self.0 & (self.0 - 1))
    }
}

impl Iterator for SlotSet {
    type Item = Slot;

    #[inline]
    fn next(&mut self) -> Option<Slot> {
        let first = self.first()?;
        *self = self.without_first();
        Some(first)
    }
}

#[repr(C, align(64))]
struct Bucket<K, V> {
    tags: AtomicU64,
    slots: [AtomicPtr<Node<K, V>>; SLOTS],
}

impl<K, V> Bucket<K, V> {
    #[inline(always)]
    fn tags(&self) -> Tags {
        // Acquire: pairs with the Release store in `Table::put`: who sees a tag sees the pointer in its slot and the
        // node.
        Tags(self.tags.load(Ordering::Acquire))
    }

    #[inline(always)]
    fn node(&self, slot: Slot) -> *mut Node<K, V> {
        // SAFETY: a slot comes from a tag word, whose last byte, the eighth, is never that of a slot.
        let pointer = unsafe { self.slots.get_unchecked(slot.0) };
        // Relaxed: read only after a tag for this slot, whose Acquire load in `tags` orders it.
        pointer.load(Ordering::Relaxed)
    }
}

/// A table of nodes.
///
/// Readers come to a table with a guard or with an `Arc` of it; both keep it, its generation, and so all its nodes
/// alive.
#[repr(align(64))]
pub(super) struct Table<K, V> {
    /// The start of `memory`.
    buckets: NonNull<Bucket<K, V>>,
    mask: usize,
    /// The table that this one is being copied to. Once set it stays: a reader that holds an old table finds
    /// everything by following it. Null: this table holds every key of the map.
    next: AtomicPtr<Table<K, V>>,
    memory: Region,
    generation: Arc<Generation<K, V>>,
}

// SAFETY: a table lets its nodes' keys and values be looked at from several threads, and its generation has them
// dropped on any; the buckets are changed through atomics alone.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Table<K, V> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Table<K, V> {}

/// The buckets that a table for `entries` nodes needs.
pub(super) fn buckets_for(entries: usize) -> usize {
    let Some(buckets) = entries.checked_mul(4).map(|slots| slots.div_ceil(LOAD_PER_4_BUCKETS)) else {
        capacity_overflow()
    };
    match buckets.checked_next_power_of_two() {
        Some(buckets) => buckets.max(MIN_BUCKETS),
        None => capacity_overflow(),
    }
}

/// How many nodes a table of `buckets` buckets takes.
pub(super) fn capacity_of(buckets: usize) -> usize {
    buckets * LOAD_PER_4_BUCKETS / 4
}

impl<K, V> Table<K, V> {
    /// An empty table; `buckets` is a power of two.
    pub(super) fn new(buckets: usize, generation: Arc<Generation<K, V>>) -> Arc<Self> {
        let Some(bytes) = buckets.checked_mul(mem::size_of::<Bucket<K, V>>()) else { capacity_overflow() };
        // All zero is an empty bucket: no tag, no overflow, null pointers.
        let memory = Region::zeroed(bytes);
        #[cfg(any(readmostly_loom, readmostly_shuttle))]
        let memory = models::with_buckets::<K, V>(memory, buckets);
        Arc::new(Table {
            buckets: memory.start().cast(),
            mask: buckets - 1,
            next: AtomicPtr::new(ptr::null_mut()),
            memory,
            generation,
        })
    }

    /// The memory of a table that nobody refers to any more. Its nodes belong to the generation.
    pub(super) fn into_memory(self) -> Region {
        self.memory
    }

    pub(super) fn buckets(&self) -> usize {
        self.mask + 1
    }

    pub(super) fn capacity(&self) -> usize {
        capacity_of(self.buckets())
    }

    pub(super) fn bytes(&self) -> usize {
        self.buckets() * mem::size_of::<Bucket<K, V>>() + mem::size_of::<Self>()
    }

    pub(super) fn generation(&self) -> &Arc<Generation<K, V>> {
        &self.generation
    }

    #[inline(always)]
    fn bucket(&self, index: usize) -> &Bucket<K, V> {
        debug_assert!(index <= self.mask);
        // SAFETY: every caller masks the index with `mask`, and `mask + 1` buckets were allocated and zeroed in `new`.
        unsafe { &*self.buckets.as_ptr().add(index) }
    }

    /// The table that this one is being copied to.
    #[inline(always)]
    pub(super) fn next<'g>(&'g self, _guard: &'g Guard) -> Option<&'g Table<K, V>> {
        // Acquire: pairs with the Release store in `link`, so the new table's buckets are seen zeroed.
        let next = self.next.load(Ordering::Acquire);
        // SAFETY: a guard that protects this table was pinned before this one was unlinked from `read`, so before any
        // table behind it was, and each is retired after that: the guard protects them too.
        unsafe { next.as_ref() }
    }

    /// Whether keys are, or were, added to a table behind this one.
    pub(super) fn is_amended(&self) -> bool {
        // Relaxed: what is there is not looked at here, and who finds something loads it again, in `next`. Who finds
        // nothing knows that all keys were in this table at this moment: a new one goes behind it after `link` alone.
        !self.next.load(Ordering::Relaxed).is_null()
    }

    /// Publishes `next` as the table that this one is copied to. Called once, under the writer lock.
    pub(super) fn link(&self, next: &Arc<Self>) {
        self.generation.link(&next.generation);
        // Release: pairs with the Acquire load in `next`.
        self.next.store(Arc::as_ptr(next).cast_mut(), Ordering::Release);
    }

    #[inline(always)]
    pub(super) fn find<Q>(&self, hash: u64, key: &Q) -> Option<NodeRef<'_, K, V>>
    where
        Q: ?Sized + Equivalent<K>,
    {
        let tag = Tags::tag(hash);
        let mut index = self.home(hash);
        loop {
            let bucket = self.bucket(index);
            let tags = bucket.tags();
            let mut matches = tags.matches(tag);
            while let Some(slot) = matches.first() {
                let node = self.node_at(bucket, slot);
                if key.equivalent(node.key()) {
                    return Some(node);
                }
                matches = matches.without_first();
            }
            if !tags.overflows() {
                return None;
            }
            index = (index + 1) & self.mask;
        }
    }

    /// The bucket that a lookup of `hash` starts at.
    #[inline(always)]
    pub(super) fn home(&self, hash: u64) -> usize {
        hash as usize & self.mask
    }

    /// Asks for the bucket that a lookup of `hash` starts at.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch(self.bucket(self.home(hash)));
    }

    /// The node whose key a lookup of `hash` compares first. None of the nodes is looked at.
    #[inline(always)]
    pub(super) fn candidate(&self, hash: u64) -> Option<NodeRef<'_, K, V>> {
        let tag = Tags::tag(hash);
        let mut index = self.home(hash);
        loop {
            let bucket = self.bucket(index);
            let tags = bucket.tags();
            if let Some(slot) = tags.matches(tag).first() {
                return Some(self.node_at(bucket, slot));
            }
            if !tags.overflows() {
                return None;
            }
            index = (index + 1) & self.mask;
        }
    }

    #[inline(always)]
    fn node_at<'t>(&'t self, bucket: &'t Bucket<K, V>, slot: Slot) -> NodeRef<'t, K, V> {
        let raw = bucket.node(slot);
        debug_assert!(!raw.is_null());
        // SAFETY: a slot with a tag holds a node, by the order of stores in `put`. It stays allocated while the table
        // does, which holds the generation in whose graveyard, or a later one's, the node will lie.
        unsafe { NodePtr::from_raw(raw).unwrap_unchecked().by_ref() }
    }

    /// Adds a node. Called under the writer lock, on a table that is not full.
    pub(super) fn put(&self, hash: u64, node: NodePtr<K, V>) {
        let home = self.home(hash);
        let mut index = home;
        loop {
            let bucket = self.bucket(index);
            // Relaxed: tag words are stored under the writer lock alone, which this thread holds.
            let tags = Tags(bucket.tags.load(Ordering::Relaxed));
            if let Some(slot) = tags.free_slot() {
                let filled = tags.with(slot, Tags::tag(hash), index == home);
                if fault!(PublishFirst) {
                    // Release: a mistake does not get better for it.
                    bucket.tags.store(filled.0, Ordering::Release);
                }
                // Relaxed: published by the tag word.
                bucket.slots[slot.0].store(node.as_raw(), Ordering::Relaxed);
                // Release: pairs with the Acquire load in `Bucket::tags`; publishes pointer and node.
                bucket.tags.store(filled.0, Ordering::Release);
                return;
            }
            if !tags.overflows() {
                // Release: keeps the word's stores a release sequence of one kind: pairs with the load in
                // `Bucket::tags`, which must see the earlier pointers also when it sees this word.
                bucket.tags.store(tags.0 | Tags::OVERFLOW, Ordering::Release);
            }
            index = (index + 1) & self.mask;
        }
    }

    /// Asks for the nodes in one bucket.
    pub(super) fn prefetch_nodes(&self, index: usize) {
        self.nodes_in(index).for_each(|node| prefetch(node.ptr().as_raw()));
    }

    /// The nodes among which lookups that start at bucket `home` look, in their order, and of each whether it is certain,
    /// without a look at its key, that lookups of it do start there.
    pub(super) fn nodes_from(&self, home: usize) -> impl Iterator<Item = (NodeRef<'_, K, V>, bool)> {
        let mut next = Some(home);
        let filled = iter::from_fn(move || {
            let index = next?;
            let bucket = self.bucket(index);
            let tags = bucket.tags();
            let is_home = index == home && !tags.has_strangers();
            next = next.filter(|_| tags.overflows()).map(|index| (index + 1) & self.mask);
            Some(tags.filled().map(move |slot| (self.node_at(bucket, slot), is_home)))
        });
        filled.flatten()
    }

    /// The nodes in one bucket.
    pub(super) fn nodes_in(&self, index: usize) -> impl Iterator<Item = NodeRef<'_, K, V>> {
        let bucket = self.bucket(index & self.mask);
        bucket.tags().filled().map(|slot| self.node_at(bucket, slot))
    }
}

/// Atomics of model checkers are not made of zeroes, and want to be told when they end.
#[cfg(any(readmostly_loom, readmostly_shuttle))]
mod models {
    use super::*;

    pub(super) fn with_buckets<K, V>(memory: Region, buckets: usize) -> Region {
        let start = memory.start().cast::<Bucket<K, V>>();
        for index in 0..buckets {
            let bucket =
                Bucket { tags: AtomicU64::new(0), slots: [(); SLOTS].map(|()| AtomicPtr::new(ptr::null_mut())) };
            // SAFETY: the memory has room for `buckets` buckets and nobody knows it yet.
            unsafe { start.add(index).write(bucket) };
        }
        memory.ended_by(|memory, bytes| {
            for index in 0..bytes / mem::size_of::<Bucket<K, V>>() {
                // SAFETY: written above, and nobody uses the memory any more.
                unsafe {
                    let bucket = memory.cast::<Bucket<K, V>>().add(index).as_mut();
                    ends(&raw mut bucket.tags);
                    bucket.slots.iter_mut().for_each(|slot| ends(slot));
                }
            }
        })
    }
}
