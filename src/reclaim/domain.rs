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
//! what it has checked out meanwhile. So a bin holds little more than what is dropped or used again until the next trade. How much
//! that is depends on the queue: while it is long, operations drop up to [`FREE_BURST`] things for each that is retired,
//! and garbage that has piled up behind a stalled reader goes faster than new comes.
//!
//! The queue has a lock, and a thread that finds it taken trades another time.
//!
//! # Memory is used again
//!
//! An operation that replaces a value needs a box and leaves one behind. So it takes one that is due from its bin, and
//! the allocator is not asked. As long as operations do that, up to three batches are kept ready in each bin, and
//! of values without destructors [`KEPT`] more for each bin in the queue, since what becomes due comes in bursts, when the
//! epoch moves. What lies there beyond is freed. When operations do no more than retire, everything is; when they do not
//! even that, what is kept stays until [`Domain::flush`].

use std::array;
use std::fmt;
use std::mem;
use std::ptr;
use std::time::Duration;

use super::bin::{self, BATCH, Bin, CheckedOut, Graveyard, Place, Queue};
use super::epoch::{Guard, advance, advance_sometimes, pin};
use crate::sync::{
    AtomicBool, CachePadded, LocalCell, Lock, Moment, Ordering, figure, local, scaled, stripes, thread_index, tick,
    yield_now,
};

/// Calls of [`Domain::tend`] by one thread of which one looks for garbage that is due, when there was none before.
const CALLS_PER_LOOK: usize = scaled(16, 1);

/// Looks for garbage between two requests to move the epoch for it. Many, since each that is granted interrupts all threads.
const TENDS_PER_ADVANCE: usize = scaled(64, 1);

/// Destructors that one operation runs while little garbage waits, and batches that one trade brings for it.
///
/// Of an operation that used something again, only if more lies ready than is kept for that.
const FREE_STEADY: usize = 2;

/// Destructors that one operation runs at most, and batches that one trade brings at most.
const FREE_BURST: usize = 8;

/// Batches in the queue above which trades bring [`FREE_BURST`] of them instead of [`FREE_STEADY`].
///
/// Far more than wait while the epoch moves on time: what the steady rate keeps up with needs no burst.
const BACKLOG: usize = 48;

/// The same for each stripe of threads, where there are many.
const BACKLOG_PER_STRIPE: usize = KEPT + 3;

/// Batches that are due, for each stripe of threads, which are kept for overwrites to use again.
///
/// As many as become due at once while all threads overwrite without pause.
const KEPT: usize = scaled(8, 1);

/// Operations that run no more than [`FREE_STEADY`] destructors, of which one is timed: reading the clock twice costs as much
/// as freeing a value.
const FREES_PER_TIMING: usize = 16;

/// Seals after which a thread looks into the bin of another, so that an idle thread's garbage is not stranded.
const SEALS_PER_VISIT: usize = scaled(32, 16);

/// Rounds of [`Domain::flush`] without a step forward, after which it gives up: some other thread stays pinned.
const FLUSH_ROUNDS: usize = scaled(512, 1);

/// The garbage of one map and its snapshots.
pub(crate) struct Domain<G> {
    places: Box<[CachePadded<Place<G>>]>,
    queue: CachePadded<Lock<Queue<G>>>,
    /// How much lies in the queue.
    queued: figure::AtomicUsize,
    /// A hint that garbage waits which no later `retire` may come to free: see [`Domain::tend`].
    owed: AtomicBool,
    longest_free: figure::AtomicUsize,
    longest_free_time: figure::Longest,
}

impl<G: Retired> Domain<G> {
    pub(crate) fn new() -> Self {
        Domain {
            places: (0..stripes()).map(|_| CachePadded::new(Place::new())).collect(),
            queue: CachePadded::new(Lock::new(Queue::new())),
            queued: figure::AtomicUsize::new(0),
            owed: AtomicBool::new(false),
            longest_free: figure::AtomicUsize::new(0),
            longest_free_time: figure::Longest::new(),
        }
    }

    /// Drops `item` once every guard that exists now is gone, and a few older items that are due.
    ///
    /// # Safety
    ///
    /// No thread that pins from now on may reach `item`, and it must not have been retired before.
    pub(crate) unsafe fn retire(&self, item: G, guard: &Guard) {
        let mut visit = self.visit();
        // SAFETY: passed on.
        unsafe { visit.retire(item, guard) };
        visit.leave(());
    }

    /// Begins the part of an operation that deals with its garbage. No code of the user's may run before it ends.
    #[inline]
    pub(crate) fn visit(&self) -> Visit<'_, G> {
        Visit { bin: self.place().check_out(), domain: self, freeing: Freeing::begin(), reused: 0, refused: None }
    }

    /// As [`Domain::retire`], for an item so large that it must not wait until its batch is full. Drops nothing itself.
    ///
    /// # Safety
    ///
    /// As for [`Domain::retire`].
    pub(crate) unsafe fn retire_now(&self, item: G, guard: &Guard) {
        let mut bin = self.place().check_out();
        bin.seal_items(vec![item], guard);
        self.trade(&mut bin);
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
            let (domain, calls) = CALLS_TO_SKIP.with(LocalCell::get);
            if calls == 0 || domain != self.address() {
                self.tend_owed(guard);
            } else {
                CALLS_TO_SKIP.with(|skip| skip.set((domain, calls - 1)));
            }
        }
    }

    fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    #[cold]
    fn tend_owed(&self, guard: &Guard) {
        let mut visit = self.visit();
        let bin = &mut *visit.bin;
        if bin.ripe.is_empty() {
            // Acquire: pairs with the Release exchange in `owe`: garbage whose hint is cleared here is found below.
            self.owed.swap(false, Ordering::Acquire);
            self.look_for_garbage(bin, guard);
            if !bin.is_idle() || self.others_wait() {
                self.owe();
                bin.tends += 1;
                if bin.tends.is_multiple_of(TENDS_PER_ADVANCE) {
                    advance_sometimes(guard);
                }
            }
        }
        let skip = if bin.ripe.is_empty() { CALLS_PER_LOOK - 1 } else { 0 };
        CALLS_TO_SKIP.with(|calls| calls.set((self.address(), skip)));
        visit.leave_tidy();
    }

    /// Fills the bin with what is due, if something is: from the queue, or else from all bins.
    fn look_for_garbage(&self, bin: &mut Bin<G>, guard: &Guard) {
        self.trade(bin);
        if bin.is_idle() {
            self.places.iter().for_each(|place| Self::collect(place, bin, guard));
            self.trade(bin);
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
        let chunks =
            if queue.sealed.len() > BACKLOG.max(BACKLOG_PER_STRIPE * self.places.len()) || !queue.graves.is_empty() {
                FREE_BURST
            } else {
                FREE_STEADY
            };
        while bin.ripe.len < chunks * BATCH
            && let Some(due) = queue.pop_due(u64::MAX)
        {
            bin.ripe.push_chunk(due);
        }
        let kept = if G::IS_KEPT { KEPT * self.places.len() } else { 0 };
        bin.surplus = bin.reused == 0 || queue.has_due(kept);
        bin.reused = 0;
        // Relaxed: a figure for `Domain::pending` and a hint for `others_wait`.
        self.queued.store(queue.len, Ordering::Relaxed);
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
            // Every batch of before the call has been sealed by now, here or by a thread that handed it over.
            let until = *until.get_or_insert_with(bin::next_number);
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

    /// Notes how many destructors an operation has run, and for how long if it is known when it began.
    #[inline]
    fn has_freed(&self, items: usize, began: Option<Moment>) {
        if let Some(began) = began {
            self.longest_free_time.note(Moment::now().since(began));
        }
        // Relaxed, both: a figure for `stats`; looked at first so that threads seldom write to the line they share.
        if items > self.longest_free.load(Ordering::Relaxed) {
            self.longest_free.fetch_max(items, Ordering::Relaxed);
        }
    }

    /// The most destructors that one operation has run, `flush` excepted, and the longest time that one took for them.
    pub(crate) fn longest_free(&self) -> (usize, Duration) {
        // Relaxed: partner of the `fetch_max` in `has_freed`; a figure.
        (self.longest_free.load(Ordering::Relaxed), self.longest_free_time.get())
    }
}

/// An operation's stay at its bin.
///
/// It can take something that is due, to use its memory again, and retire something else: one check-out serves both.
pub(crate) struct Visit<'d, G> {
    // First, so that it is put back before destructors may run on this thread again.
    bin: CheckedOut<'d, G>,
    domain: &'d Domain<G>,
    /// Unless a destructor that a map runs is what does this operation.
    freeing: Option<Freeing>,
    reused: usize,
    /// What was looked at to be used again and could not be; to be freed instead.
    refused: Option<G>,
}

impl<G: Retired> Visit<'_, G> {
    /// Something that no reader can reach any more, if `convert` makes of it what the caller can use.
    #[inline]
    pub(crate) fn reuse<T>(&mut self, convert: impl FnOnce(G) -> Result<T, G>) -> Option<T> {
        self.freeing.as_ref()?;
        match convert(self.bin.ripe.pop()?) {
            Ok(usable) => {
                self.reused = 1;
                self.bin.reused += 1;
                if let Some(next) = self.bin.ripe.peek() {
                    next.prefetch();
                }
                Some(usable)
            }
            Err(item) => {
                self.refused = Some(item);
                None
            }
        }
    }

    /// Ends the visit as if it had not been; `unused` is what [`Visit::reuse`] gave.
    #[cold]
    pub(crate) fn abandon(mut self, unused: Option<G>) {
        if unused.is_some() {
            self.bin.reused -= 1;
        }
        unused.into_iter().chain(self.refused.take()).for_each(|item| self.bin.ripe.push(item));
    }

    /// Drops `item` once every guard that exists now is gone.
    ///
    /// # Safety
    ///
    /// No thread that pins from now on may reach `item`, and it must not have been retired before.
    #[inline]
    pub(crate) unsafe fn retire(&mut self, item: G, guard: &Guard) {
        self.bin.push(item);
        if self.bin.open.len() >= BATCH {
            self.domain.seal(&mut self.bin, guard);
        }
    }

    /// Puts the bin back; then drops `spent`, which is what something used again held, and a few things that are due,
    /// more if many are, unless they are kept to be used again.
    #[inline]
    pub(crate) fn leave<T>(self, spent: T) {
        let ready = self.bin.ripe.len;
        // A trade fills up to the batch that reaches `FREE_STEADY`, unless there is a backlog.
        let calm = if self.bin.surplus { FREE_STEADY } else { FREE_STEADY + 1 };
        if ready > calm * BATCH {
            self.free_some::<T, FREE_BURST>(spent);
        } else if self.bin.surplus || self.refused.is_some() || self.reused == 0 && ready > BATCH {
            self.free_some::<T, FREE_STEADY>(spent);
        } else {
            drop(self.bin);
            let began = (mem::needs_drop::<T>() && is_timed()).then(Moment::now);
            drop(spent);
            self.domain.has_freed(self.reused, began);
        }
    }

    /// As [`Visit::leave`], and keeps nothing.
    fn leave_tidy(mut self) {
        self.bin.surplus = true;
        self.leave(());
    }

    fn free_some<T, const N: usize>(self, spent: T) {
        let Visit { mut bin, domain, freeing, reused, mut refused } = self;
        let timed = N > FREE_STEADY || is_timed();
        if freeing.is_none() {
            drop(bin);
            return domain.owe();
        }
        // What is used again counts: its destructor runs too.
        let mut next = || refused.take().or_else(|| bin.ripe.pop());
        let due: [Option<G>; N] = array::from_fn(|nth| if nth < N - reused { next() } else { None });
        drop(bin);
        let began = timed.then(Moment::now);
        drop(spent);
        let mut freed = reused;
        for item in due.into_iter().flatten() {
            freed += 1;
            // An item too large to be freed in one step comes back smaller; it is ripe already.
            if let Some(rest) = item.free() {
                domain.place().check_out().ripe.push(rest);
                domain.owe();
            }
        }
        domain.has_freed(freed, began);
    }
}

/// Whether to time an operation that frees little. By count, not by how much lies ready: that may go round in a circle that
/// never comes to a given number.
#[inline]
fn is_timed() -> bool {
    local! {
        static FREES: LocalCell<usize> = LocalCell::new(0);
    }
    FREES.with(tick).is_multiple_of(FREES_PER_TIMING)
}

local! {
    /// The domain that this thread tended last, by its address, and how many further calls for it do nothing.
    static CALLS_TO_SKIP: LocalCell<(usize, usize)> = LocalCell::new((0, 0));
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
    /// Whether it may wait until it is used again, although it could be freed: hardly any of it holds more than its
    /// own memory.
    const IS_KEPT: bool;

    /// Frees it, or a bounded part of it; what is left is returned.
    fn free(self) -> Option<Self>;

    /// Asks for the cache line that is written to first if this is used again.
    fn prefetch(&self);
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
