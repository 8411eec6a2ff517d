//! Where garbage lies until it is dropped.

use std::collections::VecDeque;
use std::mem::{self, ManuallyDrop};
use std::ops::{Deref, DerefMut};
use std::ptr;

use super::epoch::{Guard, Ticket};
use crate::sync::{AtomicPtr, Ordering, fault, figure, global, scaled};

/// Retired things in a batch: one ticket, and one request to move the epoch, is paid for this many.
pub(super) const BATCH: usize = scaled(256, 1);

/// Things to be dropped that no reader can reach any more, kept in pieces so that adding one never moves many others.
pub(crate) struct Graveyard<G> {
    chunks: VecDeque<Vec<G>>,
    pub(super) len: usize,
    /// A piece that was emptied, to be filled again: in steady state a batch needs no allocation.
    empty: Vec<G>,
}

impl<G> Graveyard<G> {
    const CHUNK: usize = 256;
    /// Room in the first piece, for when few things are all.
    const FIRST_CHUNK: usize = 8;

    pub(crate) const fn new() -> Self {
        Graveyard { chunks: VecDeque::new(), len: 0, empty: Vec::new() }
    }

    pub(crate) fn push(&mut self, item: G) {
        if self.chunks.back().is_none_or(|chunk| chunk.len() >= Self::CHUNK) {
            let room = if self.chunks.is_empty() { Self::FIRST_CHUNK } else { Self::CHUNK };
            self.chunks.push_back(Vec::with_capacity(room));
        }
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.push(item);
            self.len += 1;
        }
    }

    pub(super) fn push_chunk(&mut self, chunk: Vec<G>) {
        self.len += chunk.len();
        self.chunks.push_back(chunk);
    }

    pub(super) fn pop_chunk(&mut self) -> Option<Vec<G>> {
        let chunk = self.chunks.pop_front()?;
        self.len -= chunk.len();
        Some(chunk)
    }

    pub(super) fn pop(&mut self) -> Option<G> {
        loop {
            let chunk = self.chunks.front_mut()?;
            if let Some(item) = chunk.pop() {
                self.len -= 1;
                return Some(item);
            }
            let empty = self.chunks.pop_front()?;
            if empty.capacity() > self.empty.capacity() {
                self.empty = empty;
            }
        }
    }

    /// What [`Graveyard::pop`] gives next.
    pub(super) fn peek(&self) -> Option<&G> {
        self.chunks.front()?.last()
    }

    pub(super) fn append(&mut self, other: &mut Graveyard<G>) {
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

/// The number that the next batch gets.
pub(super) fn next_number() -> u64 {
    // Relaxed: only the number counts, for `Domain::flush`.
    SEALED.load(Ordering::Relaxed)
}

/// What was retired in one piece of time, to be dropped when the ticket is due.
pub(super) struct Batch<G> {
    /// Which one it is of all that were sealed.
    pub(super) number: u64,
    ticket: Ticket,
    items: Vec<G>,
}

/// The garbage of one stripe of threads, in the order in which it ripens.
pub(super) struct Bin<G> {
    pub(super) open: Vec<G>,
    /// To be handed over to the queue.
    pub(super) sealed: Vec<Batch<G>>,
    /// To be handed over too: nobody can reach it any more.
    pub(super) graves: Vec<Graveyard<G>>,
    /// To be dropped before the next trade.
    pub(super) ripe: Graveyard<G>,
    /// How many things operations have used again since the last trade.
    pub(super) reused: usize,
    /// Whether more is due than operations use again.
    pub(super) surplus: bool,
    pub(super) seals: usize,
    pub(super) tends: usize,
    /// The place to look into at the next visit.
    pub(super) visit: usize,
}

impl<G> Bin<G> {
    pub(super) fn new() -> Box<Self> {
        Box::new(Bin {
            open: Vec::new(),
            sealed: Vec::new(),
            graves: Vec::new(),
            ripe: Graveyard::new(),
            reused: 0,
            surplus: false,
            seals: 0,
            tends: 0,
            visit: 0,
        })
    }

    pub(super) fn push(&mut self, item: G) {
        if self.open.capacity() == 0 {
            self.open = mem::take(&mut self.ripe.empty);
            self.open.reserve_exact(BATCH);
        }
        self.open.push(item);
    }

    pub(super) fn seal(&mut self, guard: &Guard) {
        if !self.open.is_empty() {
            let items = mem::take(&mut self.open);
            self.seal_items(items, guard);
        }
    }

    /// Seals `items` as a batch.
    pub(super) fn seal_items(&mut self, items: Vec<G>, guard: &Guard) {
        // Relaxed: only the number counts, for `Domain::flush`.
        let number = SEALED.fetch_add(1, Ordering::Relaxed);
        self.sealed.push(Batch { number, ticket: Ticket::issue(guard), items });
        self.seals += 1;
    }

    /// Takes over what `other` holds, but for its open batch.
    pub(super) fn adopt(&mut self, other: &mut Bin<G>) {
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
    pub(super) fn len(&self) -> usize {
        let sealed = self.sealed.iter().map(|batch| batch.items.len());
        let buried = self.graves.iter().map(|yard| yard.len);
        self.open.len() + sealed.sum::<usize>() + buried.sum::<usize>() + self.ripe.len
    }

    pub(super) fn is_idle(&self) -> bool {
        self.sealed.is_empty() && self.graves.is_empty() && self.ripe.is_empty()
    }
}

/// What waits to be dropped, of all threads.
pub(super) struct Queue<G> {
    /// About in the order in which they were sealed, which is about that in which they ripen.
    pub(super) sealed: VecDeque<Batch<G>>,
    pub(super) graves: Vec<Graveyard<G>>,
    /// How many items lie in both.
    pub(super) len: usize,
}

impl<G> Queue<G> {
    pub(super) const fn new() -> Self {
        Queue { sealed: VecDeque::new(), graves: Vec::new(), len: 0 }
    }

    pub(super) fn take_over(&mut self, bin: &mut Bin<G>) {
        let before = bin.len();
        self.sealed.extend(bin.sealed.drain(..));
        self.graves.append(&mut bin.graves);
        self.len += before - bin.len();
    }

    /// Whether more than this many batches may go.
    pub(super) fn has_due(&self, batches: usize) -> bool {
        self.sealed.get(batches).is_some_and(|batch| batch.ticket.is_due())
    }

    /// Things that may be dropped now, not many; of batches only those with numbers below `until`.
    pub(super) fn pop_due(&mut self, until: u64) -> Option<Vec<G>> {
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
pub(super) struct Place<G> {
    bin: AtomicPtr<Bin<G>>,
    /// How much lay in the bin when it was put here last.
    pub(super) len: figure::AtomicUsize,
}

impl<G> Place<G> {
    pub(super) fn new() -> Self {
        Place { bin: AtomicPtr::new(ptr::null_mut()), len: figure::AtomicUsize::new(0) }
    }

    /// Takes the bin out, or starts a new one when another thread has it.
    pub(super) fn check_out(&self) -> CheckedOut<'_, G> {
        CheckedOut::new(self, self.take().unwrap_or_else(Bin::new))
    }

    pub(super) fn take(&self) -> Option<Box<Bin<G>>> {
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
pub(super) struct CheckedOut<'d, G> {
    place: &'d Place<G>,
    bin: ManuallyDrop<Box<Bin<G>>>,
}

impl<'d, G> CheckedOut<'d, G> {
    pub(super) fn new(place: &'d Place<G>, bin: Box<Bin<G>>) -> Self {
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

#[cfg(all(test, not(any(readmostly_loom, readmostly_shuttle))))]
mod tests {
    use super::*;

    /// Else what lies at the bottom could stay there for as long as more comes.
    #[test]
    fn the_oldest_piece_is_emptied_first() {
        let mut yard = Graveyard::new();
        yard.push_chunk(vec![1, 2]);
        yard.push_chunk(vec![3]);
        yard.push(4);
        assert_eq!(yard.peek(), Some(&2));
        let order: Vec<_> = std::iter::from_fn(|| yard.pop()).collect();
        assert_eq!(order[..2], [2, 1]);
        assert_eq!((order.len(), yard.is_empty()), (4, true));
    }
}
