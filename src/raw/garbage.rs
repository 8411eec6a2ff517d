//! What a map retires, and the generations that own its nodes.
//!
//! A node may be reachable from several tables, so no table can own it. Each table belongs to a generation instead. A
//! generation owns the nodes that were expunged while its table was the read table, and keeps the next generation
//! alive. So whoever holds a table, and with it its generation, holds every node the table can reach: such a node is
//! either in the map still, or in the graveyard of that generation or a later one.
//!
//! Keeping generations and not tables is what makes a long-held snapshot cheap: it costs the keys removed meanwhile,
//! not every table that came and went.

use std::mem;
use std::ptr::NonNull;

use crate::reclaim::{Domain, Graveyard, Retired};
use crate::sync::{Arc, AtomicUsize, Lock, OnceLock, Ordering, Weak, fault, prefetch};

use super::counters::Counters;
use super::memory::Region;
use super::node::NodePtr;
use super::table::Table;

/// Something no new reader can reach; dropping it frees it.
pub(super) enum Garbage<K, V> {
    /// A boxed value that was replaced or removed.
    Value(NonNull<V>),
    /// A node whose inline value was replaced or removed.
    Inline(NodePtr<K, V>),
    /// An expunged node, or one that was in no table.
    Node(NodePtr<K, V>),
    /// A table that was unlinked; one reference to it, since snapshots may share it.
    Table(Option<Arc<Table<K, V>>>),
    /// What is left of a table's memory.
    Memory(Option<Box<Region>>),
}

impl<K, V> Garbage<K, V> {
    /// A value that nobody can reach any more.
    pub(super) fn from_box(boxed: Box<V>) -> Self {
        Garbage::Value(NonNull::from(Box::leak(boxed)))
    }

    /// The box of a value, with the value in it; anything else comes back.
    #[inline]
    pub(super) fn into_box(self) -> Result<Box<V>, Self> {
        match self {
            Garbage::Value(value) => {
                mem::forget(self);
                // SAFETY: as in `drop`, which the box's replaces.
                Ok(unsafe { Box::from_raw(value.as_ptr()) })
            }
            other => Err(other),
        }
    }
}

impl<K, V> Drop for Garbage<K, V> {
    fn drop(&mut self) {
        // SAFETY: each variant is built once for its object, by the operation that made it unreachable, and is dropped
        // when the domain or the generation that got it says that no reader is left.
        unsafe {
            match *self {
                Garbage::Value(value) => drop(Box::from_raw(value.as_ptr())),
                Garbage::Inline(node) => node.free_inline(),
                Garbage::Node(node) => node.free(),
                Garbage::Table(_) | Garbage::Memory(_) => {}
            }
        }
    }
}

impl<K, V> Retired for Garbage<K, V> {
    const IS_KEPT: bool = !mem::needs_drop::<V>();

    #[inline]
    fn prefetch(&self) {
        if let Garbage::Value(value) = self {
            prefetch(value.as_ptr());
        }
    }

    fn free(mut self) -> Option<Self> {
        let memory = match &mut self {
            Garbage::Table(table) => table.take().and_then(Arc::into_inner).map(Table::into_memory),
            Garbage::Memory(memory) => memory.take().map(|memory| *memory),
            Garbage::Value(_) | Garbage::Inline(_) | Garbage::Node(_) => None,
        };
        let rest = memory?.release_slice()?;
        Some(Garbage::Memory(Some(Box::new(rest))))
    }
}

// SAFETY: garbage is the last reference to keys, values and nodes, and is dropped by whichever thread's turn it is. A
// table may still be shared with a snapshot that reads keys and values elsewhere, hence `Sync` too.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Garbage<K, V> {}

/// What the tables, the snapshots and the map itself share.
pub(super) struct Shared<K, V> {
    pub(super) counters: Counters,
    pub(super) garbage: Domain<Garbage<K, V>>,
    /// How many iterations and snapshots may read entries without borrowing the map.
    pub(super) leases: AtomicUsize,
}

impl<K, V> Shared<K, V> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Shared { counters: Counters::new(), garbage: Domain::new(), leases: AtomicUsize::new(0) })
    }

    /// Whether somebody besides the map's owner may read its entries. Asked by the owner, so the answer no is final.
    pub(super) fn is_leased(&self) -> bool {
        // Acquire: pairs with the Release decrement when a lease is given back.
        self.leases.load(Ordering::Acquire) > 0
    }
}

/// The time during which one table is the read table.
pub(super) struct Generation<K, V> {
    graveyard: Lock<Vec<Graveyard<Garbage<K, V>>>>,
    next: OnceLock<Arc<Generation<K, V>>>,
    /// How many iterations and snapshots want the table's key set to stay as it is.
    frozen: AtomicUsize,
    shared: Weak<Shared<K, V>>,
}

impl<K, V> Generation<K, V> {
    pub(super) fn new(shared: &Arc<Shared<K, V>>) -> Arc<Self> {
        Arc::new(Generation {
            graveyard: Lock::new(Vec::new()),
            next: OnceLock::new(),
            frozen: AtomicUsize::new(0),
            shared: Arc::downgrade(shared),
        })
    }

    /// Makes `next` live as long as this generation. Called once, under the writer lock.
    pub(super) fn link(&self, next: &Arc<Self>) {
        if fault!(ShortChain) {
            return;
        }
        let linked = self.next.set(Arc::clone(next));
        debug_assert!(linked.is_ok(), "a generation has one successor");
    }

    /// Takes over nodes that this generation's table, or an earlier one, may still reach.
    pub(super) fn bury(&self, yard: Graveyard<Garbage<K, V>>) {
        if !yard.is_empty() {
            self.graveyard.lock().push(yard);
        }
    }

    /// Asks that no key be added to the table. Called under the writer lock.
    pub(super) fn freeze(&self) {
        // Release: pairs with the Acquire exchange in `freeze_again`: who joins sees every key that was added before.
        self.frozen.fetch_add(1, Ordering::Release);
    }

    /// Asks the same without the lock; refused unless somebody has asked already and not taken it back.
    pub(super) fn freeze_again(&self) -> bool {
        let join = |frozen: usize| (frozen > 0).then_some(frozen + 1);
        // Acquire: pairs with the Release increment in `freeze`, through whatever joined or left since. Relaxed on
        // failure: nothing follows from it.
        self.frozen.fetch_update(Ordering::Acquire, Ordering::Relaxed, join).is_ok()
    }

    /// Takes one [`Generation::freeze`] back; needs no lock.
    pub(super) fn thaw(&self) {
        // Release: pairs with the Acquire load in `is_frozen`, so what the iteration read from the table is read before
        // a later insert changes it.
        self.frozen.fetch_sub(1, Ordering::Release);
    }

    pub(super) fn is_frozen(&self) -> bool {
        // Acquire: pairs with the Release decrement in `thaw`.
        self.frozen.load(Ordering::Acquire) > 0 && !fault!(NeverFrozen)
    }
}

impl<K, V> Drop for Generation<K, V> {
    fn drop(&mut self) {
        // The chain can be as long as the map is old: take it apart in a loop, not in nested drops.
        let mut next = self.next.take();
        self.hand_over();
        while let Some(mut generation) = next.and_then(Arc::into_inner) {
            next = generation.next.take();
            generation.hand_over();
        }
    }
}

impl<K, V> Generation<K, V> {
    /// Gives the graveyard to the domain, which frees it bit by bit. Without a domain the map is gone, and so is every
    /// reason to pace.
    fn hand_over(&mut self) {
        let yards = mem::take(self.graveyard.get_mut());
        if yards.is_empty() {
            return;
        }
        if let Some(shared) = self.shared.upgrade() {
            yards.into_iter().for_each(|yard| shared.garbage.bury(yard));
        }
    }
}
