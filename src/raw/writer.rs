//! What happens under the writer lock: adding nodes, copying to dirty, promotion.
//!
//! ```text
//!            first key                    full, frozen or mostly tombstones
//! EMPTY ----------------> SETTLED ------------------------------------------> AMENDED
//!   ^                     read, no next  <---------------------------------- read, next = dirty
//!   |                        |             copy complete: read = dirty           |
//!   +------------------------+------------------------- clear -------------------+
//! ```
//!
//! In SETTLED new keys go straight into the read table, unless an iteration or a snapshot has frozen it. In AMENDED
//! they go into dirty, and each operation that holds the lock copies a few more of read's nodes there. Copying a bucket
//! leaves each of its nodes either expunged (it was a tombstone) or in dirty as well, so everything before the cursor
//! is in dirty, expunged nodes excepted.
//!
//! # Why the copy ends before dirty is full
//!
//! Every insert into dirty uses one slot and copies a [`Plan`]: at least `PLAN_NODES - SLOTS + 1` nodes, or
//! `PLAN_BUCKETS` buckets, or the rest. So the copy takes at most `nodes / (PLAN_NODES - SLOTS + 1) + buckets /
//! PLAN_BUCKETS + 1` inserts, and dirty is made to hold these besides all nodes of read. It counts all nodes,
//! tombstones too, since any may be revived before its turn: `len` would be too small a figure.

use std::hash::BuildHasher;
use std::hash::Hash;
use std::mem::ManuallyDrop;
use std::time::Duration;

use crate::reclaim::{Graveyard, Guard};
use crate::sync::figure::{AtomicBool, AtomicU64, AtomicUsize, Longest, nanos};
use crate::sync::{Arc, Lock, Locked, Moment, Ordering, const_fn, fault, scaled};

use super::RawMap;
use super::garbage::{Garbage, Generation, Shared};
use super::node::{NodePtr, NodeRef, OwnedNode, expunged, is_live, tombstone};
use super::observe::{Event, Report};
use super::table::{SLOTS, Table, buckets_for};

/// The most nodes that one operation copies.
pub(super) const PLAN_NODES: usize = scaled(2, 1) * SLOTS;

/// The most buckets that one operation looks through for nodes to copy.
const PLAN_BUCKETS: usize = scaled(32, 1);

/// Nodes per live entry above which a table is copied to get rid of its tombstones.
///
/// Two would be too few: in steady churn of a fixed key set half of the keys are tombstones at any time, and copying
/// would never end.
const COMPACTION_FACTOR: usize = 3;

/// New keys between looks at whether a compaction is due.
const INSERTS_PER_LOOK: usize = scaled(64, 4);

/// Nodes that are not worth a compaction, however many of them are tombstones.
const COMPACTION_MIN: usize = scaled(64, 1);

/// Waits for the writer lock that are longer than this are counted by themselves: for a step of another thread a wait
/// is some microseconds, so then somebody has held the lock who was interrupted, or whose hashes take long.
const LONG_WAIT: Duration = Duration::from_micros(100);

/// The writer lock and what it guards.
pub(super) struct Slow<K, V> {
    pub(super) lock: Lock<Writer<K, V>>,
    pub(super) meters: Meters,
}

impl<K, V> Slow<K, V> {
    const_fn! {
        pub(super) const fn new() -> Self {
            Slow { lock: Lock::new(Writer { read: None, dirty: None }), meters: Meters::new() }
        }
    }
}

/// Figures that are changed under the writer lock, but for `waits`, and read by anyone.
#[derive(Default)]
pub(super) struct Meters {
    pub(super) promotions: AtomicU64,
    /// Nanoseconds, of all promotions together.
    pub(super) promotion_time: AtomicU64,
    pub(super) longest_promotion: Longest,
    pub(super) compactions: AtomicU64,
    pub(super) locks: AtomicU64,
    pub(super) waits: AtomicU64,
    pub(super) long_waits: AtomicU64,
    pub(super) longest_wait: Longest,
    pub(super) copied_slots: AtomicU64,
    pub(super) longest_copy: AtomicUsize,
    pub(super) longest_copy_time: Longest,
    pub(super) table_bytes: AtomicUsize,
    pub(super) dirty_len: AtomicUsize,
    /// Nodes of the map, tombstones included: those in the table that takes new keys and those to be copied there.
    pub(super) nodes: AtomicUsize,
    /// How many nodes that table takes.
    pub(super) capacity: AtomicUsize,
    /// Set while a copy is under way that removes are to drive, because there may be no inserts to.
    pub(super) compacting: AtomicBool,
}

impl Meters {
    const fn new() -> Self {
        Meters {
            promotions: AtomicU64::new(0),
            promotion_time: AtomicU64::new(0),
            longest_promotion: Longest::new(),
            compactions: AtomicU64::new(0),
            locks: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            long_waits: AtomicU64::new(0),
            longest_wait: Longest::new(),
            copied_slots: AtomicU64::new(0),
            longest_copy: AtomicUsize::new(0),
            longest_copy_time: Longest::new(),
            table_bytes: AtomicUsize::new(0),
            dirty_len: AtomicUsize::new(0),
            nodes: AtomicUsize::new(0),
            capacity: AtomicUsize::new(0),
            compacting: AtomicBool::new(false),
        }
    }
}

/// Adds to a meter that is changed under the writer lock alone.
fn add(meter: &AtomicU64, amount: u64) {
    // Relaxed, and no exchange: one writer, and readers that want a figure only.
    meter.store(meter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

/// A table and how many of its slots are used.
pub(super) struct Filled<K, V> {
    pub(super) table: Arc<Table<K, V>>,
    used: usize,
}

impl<K, V> Filled<K, V> {
    fn new(table: Arc<Table<K, V>>) -> Self {
        Filled { table, used: 0 }
    }

    fn is_full(&self) -> bool {
        self.used >= self.table.capacity()
    }

    /// Whether a new key can go here, when the map has `len` entries.
    fn takes_more(&self, len: impl FnOnce() -> usize) -> bool {
        if self.is_full() || self.table.generation().is_frozen() {
            return false;
        }
        // A table that was left to fill up with tombstones would be followed by one twice its size.
        let looks = self.used.is_multiple_of(INSERTS_PER_LOOK);
        !(looks && mostly_tombstones(self.used, len()))
    }

    fn put(&mut self, hash: u64, node: NodePtr<K, V>) {
        debug_assert!(!self.is_full(), "a table is never filled beyond its capacity");
        self.table.put(hash, node);
        self.used += 1;
    }
}

/// What a copy is made for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// New keys: the table is full, or frozen.
    Room,
    /// Leaving tombstones behind, or buckets that are not needed any more.
    Compaction,
}

/// The table being filled, while read is copied to it.
pub(super) struct Dirty<K, V> {
    pub(super) filled: Filled<K, V>,
    /// The first bucket of read that has not been copied.
    pub(super) cursor: usize,
    /// How many nodes of read have not been copied.
    uncopied: usize,
    /// The nodes of read that were expunged by this copy.
    pub(super) graveyard: Graveyard<Garbage<K, V>>,
    purpose: Purpose,
    began: Moment,
}

/// What the writer lock guards.
pub(super) struct Writer<K, V> {
    pub(super) read: Option<Filled<K, V>>,
    pub(super) dirty: Option<Dirty<K, V>>,
}

/// A table that the map no longer refers to; it must be retired, after the writer lock has been released.
///
/// Leaked, not freed, if it is dropped otherwise: readers may still be looking at it.
#[must_use = "retire it"]
pub(super) struct Unlinked<K, V>(ManuallyDrop<Arc<Table<K, V>>>);

impl<K, V> Unlinked<K, V> {
    pub(super) fn new(table: Arc<Table<K, V>>) -> Self {
        Unlinked(ManuallyDrop::new(table))
    }

    pub(super) fn retire(self, shared: &Shared<K, V>, guard: &Guard) {
        // SAFETY: `read` and `published` no longer lead to the table. Nor does a table before it that a thread could
        // still come to: that was unlinked earlier, so whoever reaches this one through it was pinned before
        // now. Being a value, it is retired once.
        unsafe { shared.garbage.retire_now(Garbage::Table(Some(ManuallyDrop::into_inner(self.0))), guard) };
    }
}

/// Nodes to be copied next, with their hashes: all user code of a copying step has run when this exists.
pub(super) struct Plan<'t, K, V> {
    nodes: [Option<(NodeRef<'t, K, V>, u64)>; PLAN_NODES],
    /// The cursor when the plan has been carried out.
    until: usize,
    began: Moment,
}

/// The writer lock, held.
pub(super) struct Writing<'m, K, V, S> {
    map: &'m RawMap<K, V, S>,
    writer: Locked<'m, Writer<K, V>>,
    /// Declared after the lock, so dropped when that has been released: observers are user code.
    report: Report,
}

impl<K, V, S> RawMap<K, V, S> {
    pub(super) fn write(&self) -> Writing<'_, K, V, S> {
        match self.slow.lock.try_lock() {
            Some(writer) => self.writing(writer),
            None => self.wait_to_write(),
        }
    }

    #[cold]
    fn wait_to_write(&self) -> Writing<'_, K, V, S> {
        let meters = &self.slow.meters;
        // Relaxed: a figure; threads that wait count themselves.
        meters.waits.fetch_add(1, Ordering::Relaxed);
        let since = Moment::now();
        let mut writing = self.writing(self.slow.lock.lock());
        let waited = Moment::now().since(since);
        if waited > LONG_WAIT {
            add(&meters.long_waits, 1);
        }
        meters.longest_wait.note(waited);
        writing.report.note(Event::Waited(waited));
        writing
    }

    /// The writer lock if nobody holds it.
    pub(super) fn try_write(&self) -> Option<Writing<'_, K, V, S>> {
        Some(self.writing(self.slow.lock.try_lock()?))
    }

    fn writing<'m>(&'m self, writer: Locked<'m, Writer<K, V>>) -> Writing<'m, K, V, S> {
        add(&self.slow.meters.locks, 1);
        Writing { map: self, writer, report: Report::new() }
    }

    /// An empty table, made while no lock is held: zeroing a large one takes time.
    pub(super) fn new_table(&self, buckets: usize) -> Arc<Table<K, V>> {
        Table::new(buckets, Generation::new(self.shared()))
    }
}

impl<K, V, S> Writing<'_, K, V, S> {
    pub(super) fn read(&self) -> Option<&Arc<Table<K, V>>> {
        self.writer.read.as_ref().map(|read| &read.table)
    }

    pub(super) fn is_amended(&self) -> bool {
        self.writer.dirty.is_some()
    }

    /// The size of the table that has to be started before a key can be added, if one has to.
    pub(super) fn lacks_table(&self, len: impl Fn() -> usize) -> Option<usize> {
        match (&self.writer.read, &self.writer.dirty) {
            (_, Some(_)) => None,
            (Some(read), None) if read.takes_more(&len) => None,
            _ => Some(self.successor_buckets(len())),
        }
    }

    /// The size of the table that read should be copied to, when the map has `len` entries.
    pub(super) fn successor_buckets(&self, len: usize) -> usize {
        let Some(read) = &self.writer.read else {
            // Nothing to copy. `len` may still count what a `clear` is about to remove.
            return buckets_for(1);
        };
        let inserts_meanwhile = read.used / (PLAN_NODES - SLOTS + 1) + read.table.buckets() / PLAN_BUCKETS + 2;
        buckets_for((read.used + inserts_meanwhile).max(len.saturating_add(len / 2)))
    }

    /// Whether so many of the nodes are tombstones that a copy pays.
    pub(super) fn wants_compaction(&self, len: usize) -> bool {
        match (&self.writer.read, &self.writer.dirty) {
            (Some(read), None) => mostly_tombstones(read.used, len),
            _ => false,
        }
    }

    /// Publishes `table` as the one that takes new keys. There must be no dirty table.
    pub(super) fn start(&mut self, table: Arc<Table<K, V>>, purpose: Purpose) {
        debug_assert!(!self.is_amended(), "the copy to one table ends before the next starts");
        let map = self.map;
        match &self.writer.read {
            Some(read) => {
                read.table.link(&table);
                let uncopied = read.used;
                self.writer.dirty = Some(Dirty {
                    filled: Filled::new(table),
                    cursor: 0,
                    uncopied,
                    graveyard: Graveyard::new(),
                    purpose,
                    began: Moment::now(),
                });
            }
            None => {
                map.publish(&table);
                self.writer.read = Some(Filled::new(table));
            }
        }
        self.update_meters();
    }

    /// Adds a node for a key that is in no table.
    pub(super) fn add<'g>(&mut self, hash: u64, node: OwnedNode<K, V>, _guard: &'g Guard) -> NodeRef<'g, K, V>
    where
        K: 'g,
        V: 'g,
    {
        let node = node.publish();
        let writer = &mut *self.writer;
        match (&mut writer.dirty, &mut writer.read) {
            (Some(_), Some(read)) if fault!(InsertIntoRead) && read.used < read.table.buckets() * SLOTS => {
                read.table.put(hash, node);
                read.used += 1;
            }
            (Some(dirty), _) => dirty.filled.put(hash, node),
            (None, Some(read)) => read.put(hash, node),
            (None, None) => unreachable!("`start` comes before `add`"),
        }
        self.update_meters();
        // SAFETY: the guard protects the table that the node is in now, and with it the node.
        unsafe { node.by_ref() }
    }

    /// Carries out `plan`, and promotes dirty if that completes the copy.
    pub(super) fn copy(&mut self, plan: Plan<'_, K, V>) -> Option<Unlinked<K, V>> {
        let writer = &mut *self.writer;
        let dirty = writer.dirty.as_mut()?;
        let buckets = writer.read.as_ref()?.table.buckets();
        let mut slots = 0;
        for (node, hash) in plan.nodes.into_iter().flatten() {
            slots += 1;
            if fault!(SkipExpunge) && !is_live(node.value()) {
                continue;
            }
            // Only a tombstone can be expunged: the exchange fails if the entry has come alive again.
            if !is_live(node.value()) && node.exchange(tombstone(), expunged()).is_ok() {
                dirty.graveyard.push(Garbage::Node(node.ptr()));
            } else {
                dirty.filled.put(hash, node.ptr());
            }
        }
        let passed = plan.until - dirty.cursor;
        dirty.cursor = plan.until;
        dirty.uncopied -= slots;
        let complete = dirty.cursor >= buckets || fault!(PromoteEarly);
        let meters = &self.map.slow.meters;
        add(&meters.copied_slots, slots as u64);
        // Relaxed: a figure.
        meters.longest_copy.fetch_max(slots, Ordering::Relaxed);
        let now = Moment::now();
        let duration = now.since(plan.began);
        meters.longest_copy_time.note(duration);
        self.report.note(Event::Copied { slots, buckets: passed, duration });
        self.update_meters();
        if complete { self.promote(now) } else { None }
    }

    /// Makes dirty, to which everything has been copied, the read table.
    fn promote(&mut self, now: Moment) -> Option<Unlinked<K, V>> {
        let dirty = self.writer.dirty.take()?;
        self.map.publish(&dirty.filled.table);
        let (slots, buckets) = (dirty.filled.used, dirty.filled.table.buckets());
        let old = self.writer.read.replace(dirty.filled)?.table;
        old.generation().bury(dirty.graveyard);
        let duration = now.since(dirty.began);
        let compaction = dirty.purpose == Purpose::Compaction;
        let meters = &self.map.slow.meters;
        add(&meters.promotions, 1);
        add(&meters.promotion_time, nanos(duration));
        meters.longest_promotion.note(duration);
        add(&meters.compactions, u64::from(compaction));
        self.report.note(Event::Promoted { slots, buckets, duration, compaction });
        // Relaxed: a hint to removes.
        meters.compacting.store(false, Ordering::Relaxed);
        self.update_meters();
        Some(Unlinked::new(old))
    }

    /// Takes all tables out of the map, which is empty then.
    pub(super) fn take_all(&mut self) -> Writer<K, V> {
        self.map.unpublish();
        let taken = Writer { read: self.writer.read.take(), dirty: self.writer.dirty.take() };
        // Relaxed: a hint to removes.
        self.map.slow.meters.compacting.store(false, Ordering::Relaxed);
        self.update_meters();
        taken
    }

    /// Tells removes to help with the copy that was just started.
    pub(super) fn drive_by_removes(&self) {
        // Relaxed: a hint; whoever acts on it takes the lock first.
        self.map.slow.meters.compacting.store(true, Ordering::Relaxed);
    }

    fn update_meters(&self) {
        let (read, dirty) = (self.writer.read.as_ref(), self.writer.dirty.as_ref().map(|dirty| &dirty.filled));
        let bytes = |filled: Option<&Filled<K, V>>| filled.map_or(0, |filled| filled.table.bytes());
        let taking = dirty.or(read);
        let meters = &self.map.slow.meters;
        // Relaxed, all four: figures and hints; nothing is published with them.
        meters.table_bytes.store(bytes(read) + bytes(dirty), Ordering::Relaxed);
        meters.dirty_len.store(dirty.map_or(0, |dirty| dirty.used), Ordering::Relaxed);
        let uncopied = self.writer.dirty.as_ref().map_or(0, |dirty| dirty.uncopied);
        meters.nodes.store(taking.map_or(0, |filled| filled.used) + uncopied, Ordering::Relaxed);
        meters.capacity.store(taking.map_or(0, |filled| filled.table.capacity()), Ordering::Relaxed);
    }
}

impl<K, V, S> Writing<'_, K, V, S>
where
    K: Hash,
    S: BuildHasher,
{
    /// Hashes the nodes to be copied next. Runs user code, which may panic, and changes nothing.
    pub(super) fn plan<'g>(&self, _guard: &'g Guard) -> Option<Plan<'g, K, V>>
    where
        K: 'g,
        V: 'g,
    {
        let dirty = self.writer.dirty.as_ref()?;
        let read = &self.writer.read.as_ref()?.table;
        let mut plan = Plan { nodes: [const { None }; PLAN_NODES], until: dirty.cursor, began: Moment::now() };
        let mut planned = 0;
        let end = read.buckets().min(dirty.cursor + PLAN_BUCKETS);
        while plan.until < end && planned + SLOTS <= PLAN_NODES {
            for node in read.nodes_in(plan.until) {
                let hash = self.map.hash(node.key());
                // SAFETY: read is the map's read table and the guard protects what is reachable from it.
                plan.nodes[planned] = Some((unsafe { node.ptr().by_ref() }, hash));
                planned += 1;
            }
            plan.until += 1;
        }
        Some(plan)
    }

    /// Copies one plan's worth if a copy is under way; releases the lock.
    pub(super) fn step(mut self, guard: &Guard) {
        let unlinked = self.plan(guard).and_then(|plan| self.copy(plan));
        self.release(unlinked, guard);
    }
}

impl<K, V, S> Writing<'_, K, V, S> {
    /// Releases the lock. The report that comes back makes itself when it is dropped; until then no user code runs.
    pub(super) fn unlock(self) -> Report {
        self.report
    }

    /// Releases the lock, and only then retires what was unlinked: retiring may run destructors of the user's.
    pub(super) fn release(self, unlinked: Option<Unlinked<K, V>>, guard: &Guard) {
        let map = self.map;
        // Made last: whatever becomes of it, the table has been retired.
        let _report = self.unlock();
        if let Some(unlinked) = unlinked {
            unlinked.retire(map.shared(), guard);
        }
    }
}

pub(super) fn mostly_tombstones(nodes: usize, len: usize) -> bool {
    nodes > len.saturating_mul(COMPACTION_FACTOR).saturating_add(COMPACTION_MIN)
}
