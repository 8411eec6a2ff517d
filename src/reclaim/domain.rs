//! The garbage of one map.
//!
//! # Garbage belongs to the map
//!
//! Each map has a domain of its own, which owns what is retired until it is dropped. The epoch is asked only *when*: a
//! full batch of garbage is sealed with a [`Ticket`]. Two things follow.
//!
//! - A domain is dropped when its map and all snapshots of it are gone. No reference into the map can exist then, so it
//!   drops its garbage on the spot, ticket or not; nothing of the user's outlives the map, and keys and values need not
//!   be `'static`.
//! - Destructors are paced: an operation that retires something drops at most [`FREE_BURST`] retired things in return.
//!
//! # Bins and the queue
//!
//! What is retired goes into a *bin*, one to a stripe of threads. A thread checks a bin *out* (swaps a null pointer in),
//! works on it alone and puts it back. Nobody waits for a bin: who finds none starts a new one, and who finds the place
//! taken when putting back merges the two. So destructors of the user's may use the map. What they retire is not freed
//! by them in turn, which could nest without end, but by a later operation.
//!
//! A full batch is handed over to the *queue* that all threads share, in exchange for batches that are due: a *trade*.
//! A thread can lose the processor at any time, for as long as all others take to have their turn, and nobody can free
//! what it has checked out meanwhile. So a bin holds little more than what is dropped until the next trade. How much
//! that is depends on the queue: while it is long, operations drop up to [`FREE_BURST`] things for each that is retired,
//! and garbage that has piled up behind a stalled reader goes faster than new comes.
//!
//! The queue has a lock, and a thread that finds it taken trades another time.

use std::array;
use std::collections::VecDeque;
use std::fmt;
use std::mem::{self, ManuallyDrop};
use std::ops::{Deref, DerefMut};
use std::ptr;

use super::epoch::{Guard, Ticket, advance, advance_sometimes, pin};
use crate::sync::{
    AtomicBool, AtomicPtr, CachePadded, LocalCell, Lock, Ordering, fault, figure, global, local, scaled, stripes,
    thread_index, yield_now,
};

/// Retired things in a batch: one ticket, and one request to move the epoch, is paid for this many.
const BATCH: usize = scaled(256, 1);

/// Attempts to free garbage that is not due between two requests to move the epoch for it.
const TENDS_PER_ADVANCE: usize = scaled(64, 1);

/// Destructors that one operation runs while little garbage waits, and batches that one trade brings for it.
const FREE_STEADY: usize = 2;

/// Destructors that one operation runs at most, and batches that one trade brings at most.
const FREE_BURST: usize = 8;

/// Batches in the queue above which trades bring [`FREE_BURST`] of them instead of [`FREE_STEADY`].
///
/// Far more than wait while the epoch moves on time: what the steady rate keeps up with needs no burst.
const BACKLOG: usize = 48;

/// Seals after which a thread looks into the bin of another, so that an idle thread's garbage is not stranded.
const SEALS_PER_VISIT: usize = scaled(32, 16);

/// Rounds of [`Domain::flush`] without a step forward, after which it gives up: some other thread stays pinned.
const FLUSH_ROUNDS: usize = scaled(512, 1);

/// Things to be dropped that no reader can reach any more, kept in pieces so that adding one never moves the others.
pub(crate) struct Graveyard<G> {
    chunks: Vec<Vec<G>>,
    len: usize,
}

impl<G> Graveyard<G> {
    const CHUNK: usize = 256;

    pub(crate) const fn new() -> Self {
        Graveyard { chunks: Vec::new(), len: 0 }
    }

    pub(crate) fn push(&mut self, item: G) {
        if self.chunks.last().is_none_or(|chunk| chunk.len() >= Self::CHUNK) {
            self.chunks.push(Vec::with_capacity(Self::CHUNK));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(item);
            self.len += 1;
        }
    }

    fn push_chunk(&mut self, chunk: Vec<G>) {
        self.len += chunk.len();
        self.chunks.push(chunk);
    }

    fn pop_chunk(&mut self) -> Option<Vec<G>> {
        let chunk = self.chunks.pop()?;
        self.len -= chunk.len();
        Some(chunk)
    }

    fn pop(&mut self) -> Option<G> {
        loop {
            let chunk = self.chunks.last_mut()?;
            if let Some(item) = chunk.pop() {
                self.len -= 1;
                return Some(item);
            }
            self.chunks.pop();
        }
    }

    fn append(&mut self, other: &mut Graveyard<G>) {
        self.chunks.append(&mut other.chunks);
        self.len += mem::take(&mut other.len);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

global! {
    /// How many batches have been sealed, by all threads.
    static SEALED: figure::AtomicU64 = figure::AtomicU64::new(0);
}

/// What was retired in one piece of time, to be dropped when the ticket is due.
struct Batch<G> {
    /// Which one it is of all that were sealed.
    number: u64,
    ticket: Ticket,
    items: Vec<G>,
}

/// The garbage of one stripe of threads, in the order in which it ripens.
struct Bin<G> {
    open: Vec<G>,
    /// To be handed over to the queue.
    sealed: Vec<Batch<G>>,
    /// To be handed over too: nobody can reach it any more.
    graves: Vec<Graveyard<G>>,
    /// To be dropped before the next trade.
    ripe: Graveyard<G>,
    seals: usize,
    tends: usize,
    /// The place to look into at the next visit.
    visit: usize,
}

impl<G> Bin<G> {
    fn new() -> Box<Self> {
        Box::new(Bin {
            open: Vec::new(),
            sealed: Vec::new(),
            graves: Vec::new(),
            ripe: Graveyard::new(),
            seals: 0,
            tends: 0,
            visit: 0,
        })
    }

    fn push(&mut self, item: G) {
        if self.open.capacity() == 0 {
            self.open.reserve_exact(BATCH);
        }
        self.open.push(item);
    }

    fn seal(&mut self, guard: &Guard) {
        if self.open.is_empty() {
            return;
        }
        let items = mem::take(&mut self.open);
        // Relaxed: only the number counts, for `Domain::flush`.
        let number = SEALED.fetch_add(1, Ordering::Relaxed);
        self.sealed.push(Batch { number, ticket: Ticket::issue(guard), items });
        self.seals += 1;
    }

    /// Takes over what `other` holds, but for its open batch.
    fn adopt(&mut self, other: &mut Bin<G>) {
        self.sealed.append(&mut other.sealed);
        self.graves.append(&mut other.graves);
        self.ripe.append(&mut other.ripe);
    }

    /// Takes over all that `other` holds.
    fn merge(&mut self, mut other: Box<Bin<G>>) {
        self.adopt(&mut other);
        self.open.append(&mut other.open);
    }

    /// How many items lie here.
    fn len(&self) -> usize {
        let sealed = self.sealed.iter().map(|batch| batch.items.len());
        let buried = self.graves.iter().map(|yard| yard.len);
        self.open.len() + sealed.sum::<usize>() + buried.sum::<usize>() + self.ripe.len
    }

    fn is_idle(&self) -> bool {
        self.sealed.is_empty() && self.graves.is_empty() && self.ripe.is_empty()
    }
}

/// What waits to be dropped, of all threads.
struct Queue<G> {
    /// About in the order in which they were sealed, which is about that in which they ripen.
    sealed: VecDeque<Batch<G>>,
    graves: Vec<Graveyard<G>>,
    /// How many items lie in both.
    len: usize,
}

impl<G> Queue<G> {
    const fn new() -> Self {
        Queue { sealed: VecDeque::new(), graves: Vec::new(), len: 0 }
    }

    fn take_over(&mut self, bin: &mut Bin<G>) {
        let before = bin.len();
        self.sealed.extend(bin.sealed.drain(..));
        self.graves.append(&mut bin.graves);
        self.len += before - bin.len();
    }

    /// Things that may be dropped now, not many; of batches only those with numbers below `until`.
    fn pop_due(&mut self, until: u64) -> Option<Vec<G>> {
        let may_go = |batch: &&Batch<G>| batch.number < until && (batch.ticket.is_due() || fault!(FreeAtOnce));
        let chunk = loop {
            let Some(yard) = self.graves.last_mut() else {
                self.sealed.front().filter(may_go)?;
                break self.sealed.pop_front()?.items;
            };
            match yard.pop_chunk() {
                Some(chunk) => break chunk,
                None => drop(self.graves.pop()),
            }
        };
        self.len -= chunk.len();
        Some(chunk)
    }
}

/// A place for a bin that one thread at a time can take out.
struct Place<G> {
    bin: AtomicPtr<Bin<G>>,
    /// How much lay in the bin when it was put here last.
    len: figure::AtomicUsize,
}

impl<G> Place<G> {
    fn new() -> Self {
        Place { bin: AtomicPtr::new(ptr::null_mut()), len: figure::AtomicUsize::new(0) }
    }

    /// Takes the bin out, or starts a new one when another thread has it.
    fn check_out(&self) -> CheckedOut<'_, G> {
        CheckedOut::new(self, self.take().unwrap_or_else(Bin::new))
    }

    fn take(&self) -> Option<Box<Bin<G>>> {
        // Acquire: pairs with the Release in `put`, by which the last user published the bin's contents.
        let bin = self.bin.swap(ptr::null_mut(), Ordering::Acquire);
        if bin.is_null() {
            return None;
        }
        // SAFETY: a non-null pointer in a place comes from `Box::into_raw` in `put`, and the swap took it out, so this
        // thread alone has it now.
        Some(unsafe { Box::from_raw(bin) })
    }

    fn put(&self, mut bin: Box<Bin<G>>) {
        loop {
            // Relaxed: a figure for `Domain::pending`.
            self.len.store(bin.len(), Ordering::Relaxed);
            let raw = Box::into_raw(bin);
            // Release on success: publishes the bin's contents to the Acquire swap in `take`. Relaxed on failure: the
            // pointer found is not followed here.
            match self.bin.compare_exchange(ptr::null_mut(), raw, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(_) => {
                    // SAFETY: the exchange failed, so `raw` was not published and is still this thread's own.
                    bin = unsafe { Box::from_raw(raw) };
                    if let Some(other) = self.take() {
                        bin.merge(other);
                    }
                }
            }
        }
    }
}

impl<G> Drop for Place<G> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// A bin that one thread has to itself.
///
/// Put back when dropped, by a panic too: a bin dropped in unwinding would free what readers may still look at.
struct CheckedOut<'d, G> {
    place: &'d Place<G>,
    bin: ManuallyDrop<Box<Bin<G>>>,
}

impl<'d, G> CheckedOut<'d, G> {
    fn new(place: &'d Place<G>, bin: Box<Bin<G>>) -> Self {
        CheckedOut { place, bin: ManuallyDrop::new(bin) }
    }
}

impl<G> Deref for CheckedOut<'_, G> {
    type Target = Bin<G>;

    fn deref(&self) -> &Bin<G> {
        &self.bin
    }
}

impl<G> DerefMut for CheckedOut<'_, G> {
    fn deref_mut(&mut self) -> &mut Bin<G> {
        &mut self.bin
    }
}

impl<G> Drop for CheckedOut<'_, G> {
    fn drop(&mut self) {
        // SAFETY: the bin is taken here alone, and nothing uses it after `drop`.
        let bin = unsafe { ManuallyDrop::take(&mut self.bin) };
        self.place.put(bin);
    }
}

/// The garbage of one map and its snapshots.
pub(crate) struct Domain<G> {
    places: Box<[CachePadded<Place<G>>]>,
    queue: CachePadded<Lock<Queue<G>>>,
    /// How much lies in the queue.
    queued: figure::AtomicUsize,
    /// A hint that garbage waits which no later `retire` may come to free: see [`Domain::tend`].
    owed: AtomicBool,
    longest_free: figure::AtomicUsize,
}

impl<G: Retired> Domain<G> {
    pub(crate) fn new() -> Self {
        Domain {
            places: (0..stripes()).map(|_| CachePadded::new(Place::new())).collect(),
            queue: CachePadded::new(Lock::new(Queue::new())),
            queued: figure::AtomicUsize::new(0),
            owed: AtomicBool::new(false),
            longest_free: figure::AtomicUsize::new(0),
        }
    }

    /// Drops `item` once every guard that exists now is gone, and a few older items that are due.
    ///
    /// # Safety
    ///
    /// No thread that pins from now on may reach `item`, and it must not have been retired before.
    pub(crate) unsafe fn retire(&self, item: G, guard: &Guard) {
        self.work(|bin| {
            bin.push(item);
            if bin.open.len() >= BATCH {
                self.seal(bin, guard);
            }
        });
    }

    /// As [`Domain::retire`], for an item so large that it must not wait until its batch is full. Drops nothing itself.
    ///
    /// # Safety
    ///
    /// As for [`Domain::retire`].
    pub(crate) unsafe fn retire_now(&self, item: G, guard: &Guard) {
        let mut bin = self.place().check_out();
        bin.push(item);
        self.seal(&mut bin, guard);
        drop(bin);
        self.owe();
    }

    /// Takes items that no reader can reach any more, to be dropped a few at a time by the operations to come.
    pub(crate) fn bury(&self, yard: Graveyard<G>) {
        if yard.is_empty() {
            return;
        }
        self.place().check_out().graves.push(yard);
        self.owe();
    }

    /// Drops a few items if some are known to wait; for operations that retire nothing themselves.
    #[inline]
    pub(crate) fn tend(&self, guard: &Guard) {
        // Relaxed: a hint; the garbage itself is handed over by the places' swaps.
        if self.owed.load(Ordering::Relaxed) {
            self.tend_owed(guard);
        }
    }

    #[cold]
    fn tend_owed(&self, guard: &Guard) {
        // Acquire: pairs with the Release exchange in `owe`: garbage whose hint is cleared here is found in its bin below.
        self.owed.swap(false, Ordering::Acquire);
        let mut rest = false;
        self.work(|bin| {
            if bin.ripe.is_empty() {
                self.trade(bin);
            }
            if bin.is_idle() {
                self.places.iter().for_each(|place| Self::collect(place, bin, guard));
                self.trade(bin);
            }
            rest = !bin.is_idle() || self.others_wait();
            bin.tends += 1;
            if rest && bin.tends % TENDS_PER_ADVANCE == 0 {
                advance_sometimes(guard);
            }
        });
        if rest {
            self.owe();
        }
    }

    fn owe(&self) {
        // Release: pairs with the Acquire exchange in `tend_owed`. An exchange and not a store, so that the hint of another
        // thread, which it may replace, is handed on with it.
        self.owed.swap(true, Ordering::Release);
    }

    /// Whether something waits in the queue, or in a bin that another thread has checked out and that was therefore not
    /// collected from.
    fn others_wait(&self) -> bool {
        let own = ptr::from_ref(self.place());
        // Relaxed, both: partners of the stores in `trade` and `Place::put`; hints.
        self.queued.load(Ordering::Relaxed) > 0
            || self
                .places
                .iter()
                .any(|place| !ptr::eq(&raw const **place, own) && place.len.load(Ordering::Relaxed) > 0)
    }

    fn place(&self) -> &Place<G> {
        // The number of places is a power of two.
        &self.places[thread_index() & (self.places.len() - 1)]
    }

    /// Moves what lies in `place` to `bin`, after sealing what is open there.
    fn collect(place: &Place<G>, bin: &mut Bin<G>, guard: &Guard) {
        if let Some(other) = place.take() {
            let mut other = CheckedOut::new(place, other);
            other.seal(guard);
            bin.adopt(&mut other);
        }
    }

    /// Lets `change` work on this thread's bin, then drops a few things that are due: more if many are.
    fn work(&self, change: impl FnOnce(&mut Bin<G>)) {
        let mut bin = self.place().check_out();
        change(&mut bin);
        if bin.ripe.len > FREE_STEADY * BATCH {
            self.free_some::<FREE_BURST>(bin);
        } else {
            self.free_some::<FREE_STEADY>(bin);
        }
    }

    /// Seals the open batch of the bin and brings it to the queue; sometimes one of another stripe too.
    #[cold]
    fn seal(&self, bin: &mut Bin<G>, guard: &Guard) {
        bin.seal(guard);
        if bin.seals >= SEALS_PER_VISIT {
            bin.seals = 0;
            bin.visit = (bin.visit + 1) & (self.places.len() - 1);
            Self::collect(&self.places[bin.visit], bin, guard);
        }
        self.trade(bin);
    }

    /// Hands over to the queue what waits in the bin, and takes from it what is due, unless another thread trades.
    fn trade(&self, bin: &mut Bin<G>) {
        let Some(mut queue) = self.queue.try_lock() else { return };
        queue.take_over(bin);
        let chunks = if queue.sealed.len() > BACKLOG || !queue.graves.is_empty() { FREE_BURST } else { FREE_STEADY };
        while bin.ripe.len < chunks * BATCH
            && let Some(due) = queue.pop_due(u64::MAX)
        {
            bin.ripe.push_chunk(due);
        }
        // Relaxed: a figure for `Domain::pending` and a hint for `others_wait`.
        self.queued.store(queue.len, Ordering::Relaxed);
    }

    /// Puts the bin back and then drops up to `N` due things of it.
    fn free_some<const N: usize>(&self, mut bin: CheckedOut<'_, G>) {
        let Some(_freeing) = Freeing::begin() else {
            drop(bin);
            return self.owe();
        };
        let due: [Option<G>; N] = array::from_fn(|_| bin.ripe.pop());
        drop(bin);
        let mut freed = 0;
        for item in due.into_iter().flatten() {
            freed += 1;
            // An item too large to be freed in one step comes back smaller; it is ripe already.
            if let Some(rest) = item.free() {
                self.place().check_out().ripe.push(rest);
                self.owe();
            }
        }
        // Relaxed, both: a figure for `stats`; looked at first so that threads seldom write to the line they share.
        if freed > self.longest_free.load(Ordering::Relaxed) {
            self.longest_free.fetch_max(freed, Ordering::Relaxed);
        }
    }

    /// Drops everything retired before the call that no guard of another thread protects.
    ///
    /// A guard that this thread holds protects too. Bounded: what others retire meanwhile is not waited for, and it
    /// gives up after some rounds without a step forward. Does nothing when called by a destructor that a map runs.
    pub(crate) fn flush(&self) {
        let Some(_freeing) = Freeing::begin() else { return };
        // Now, in case a destructor panics; `tend` finds out when nothing is owed after all.
        self.owe();
        let mut bin = self.place().check_out();
        let mut until = None;
        let (mut done_rounds, mut idle_rounds) = (0, 0);
        // Two rounds without an old batch: dropping a table can bury the nodes of its generation, which are found in
        // the round after.
        while done_rounds < 2 && idle_rounds < FLUSH_ROUNDS {
            {
                let guard = pin();
                bin.seal(&guard);
                self.places.iter().for_each(|place| Self::collect(place, &mut bin, &guard));
                advance(&guard);
            }
            // Relaxed: every batch of before the call has been sealed by now, here or by a thread that handed it over.
            let until = *until.get_or_insert_with(|| SEALED.load(Ordering::Relaxed));
            let dropped = self.drop_due(&mut bin, until);
            let old_batches = self.queue.lock().sealed.iter().any(|batch| batch.number < until);
            done_rounds = if old_batches { 0 } else { done_rounds + 1 };
            if dropped {
                idle_rounds = 0;
            } else {
                idle_rounds += 1;
                if idle_rounds < FLUSH_ROUNDS {
                    yield_now();
                }
            }
        }
    }

    /// Drops all that is due in the bin and, of batches with numbers below `until`, in the queue; false if that is
    /// nothing.
    fn drop_due(&self, bin: &mut Bin<G>, until: u64) -> bool {
        let mut dropped = false;
        loop {
            while let Some(item) = bin.ripe.pop() {
                drop(item);
                dropped = true;
            }
            let mut queue = self.queue.lock();
            queue.take_over(bin);
            let due = queue.pop_due(until);
            // Relaxed: as in `trade`.
            self.queued.store(queue.len, Ordering::Relaxed);
            drop(queue);
            match due {
                Some(due) => bin.ripe.push_chunk(due),
                None => return dropped,
            }
        }
    }

    /// How many retired items have not been dropped yet.
    pub(crate) fn pending(&self) -> usize {
        // Relaxed, both: partners of the stores in `Place::put` and `trade`; figures. A bin that is checked out counts
        // as it was before.
        let in_bins: usize = self.places.iter().map(|place| place.len.load(Ordering::Relaxed)).sum();
        in_bins + self.queued.load(Ordering::Relaxed)
    }

    /// The most destructors that one operation has run, `flush` excepted.
    pub(crate) fn longest_free(&self) -> usize {
        // Relaxed: partner of the `fetch_max` in `free`; a figure.
        self.longest_free.load(Ordering::Relaxed)
    }
}

local! {
    /// Whether this thread is running destructors of retired things.
    static FREEING: LocalCell<bool> = LocalCell::new(false);
}

/// Says that this thread is running destructors, until dropped; only one can.
struct Freeing(());

impl Freeing {
    fn begin() -> Option<Self> {
        // Not `then_some`: that would make, and drop, a `Freeing` when there is one already.
        (!FREEING.with(|freeing| freeing.replace(true))).then(|| Freeing(()))
    }
}

impl Drop for Freeing {
    fn drop(&mut self) {
        FREEING.with(|freeing| freeing.set(false));
    }
}

/// Something a [`Domain`] can hold; dropping it frees all of it.
pub(crate) trait Retired: Sized {
    /// Frees it, or a bounded part of it; what is left is returned.
    fn free(self) -> Option<Self>;
}

impl<G> fmt::Debug for Domain<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Domain").finish_non_exhaustive()
    }
}

// SAFETY: a domain owns items of type `G` and hands each to whichever thread's turn it is to drop it; that is sending.
// Everything shared between threads is reached through the places' swaps and the other atomics.
unsafe impl<G: Send> Send for Domain<G> {}
// SAFETY: as above; no `&G` is ever handed out, so `G: Send` is all that sharing needs.
unsafe impl<G: Send> Sync for Domain<G> {}
