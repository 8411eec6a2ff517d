//! Counts that many threads change: one padded stripe to a few threads, summed up by whoever asks.

use crate::sync::figure::{AtomicIsize, AtomicUsize};
use crate::sync::{CachePadded, Ordering, stripes, thread_index};

struct Stripe {
    /// Entries added less entries removed by this stripe's threads; one stripe alone may be negative.
    len: AtomicIsize,
    /// Lookups that this stripe's threads had to take to the dirty table.
    misses: AtomicUsize,
}

pub(super) struct Counters(Box<[CachePadded<Stripe>]>);

impl Counters {
    pub(super) fn new() -> Self {
        let stripe = || CachePadded::new(Stripe { len: AtomicIsize::new(0), misses: AtomicUsize::new(0) });
        Counters((0..stripes()).map(|_| stripe()).collect())
    }

    fn stripe(&self) -> &Stripe {
        // The number of stripes is a power of two.
        &self.0[thread_index() & (self.0.len() - 1)]
    }

    /// Adds to the number of entries; returns what this stripe has now.
    ///
    /// A read-modify-write, unlike [`Counters::miss`]: the length has to come out exact.
    pub(super) fn add_len(&self, change: isize) -> isize {
        // Relaxed: a sum over stripes is exact only when nothing runs, and then whatever stopped the threads ordered
        // it.
        self.stripe().len.fetch_add(change, Ordering::Relaxed).wrapping_add(change)
    }

    pub(super) fn len(&self) -> usize {
        // Relaxed: partner of `add_len`. While operations run the sum may be off by as many, and even below zero.
        let sum = self.0.iter().fold(0isize, |sum, stripe| sum.wrapping_add(stripe.len.load(Ordering::Relaxed)));
        usize::try_from(sum).unwrap_or(0)
    }

    /// Counts misses of the read table; returns this stripe's count.
    pub(super) fn miss(&self, misses: usize) -> usize {
        let counted = &self.stripe().misses;
        // Relaxed, and a load and a store in place of an exchange: threads that share a stripe may lose counts, which
        // only delays help with the copy.
        let count = counted.load(Ordering::Relaxed).wrapping_add(misses);
        counted.store(count, Ordering::Relaxed);
        count
    }

    pub(super) fn misses(&self) -> usize {
        // Relaxed: partner of the store in `miss`; a figure.
        self.0.iter().map(|stripe| stripe.misses.load(Ordering::Relaxed)).sum()
    }
}
