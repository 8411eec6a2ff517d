//! Visiting the entries of a map in the order of their hashes, in as many calls as it takes.
//!
//! # Order
//!
//! The *place* of a key is its hash with the bits in reverse order. The low bits of a hash pick the bucket that a lookup
//! starts at, the key's home, so the keys of one home have neighbouring places, in a table of any size; a table of twice
//! the size divides each home's places between two. That is the order of Redis' `SCAN` (Pieter Noordhuis, "reverse
//! binary iteration"), refined from buckets to hashes.
//!
//! A cursor is a place. Keys with lower places have been visited, the others have not. No table is mentioned in it, so
//! whatever becomes of the tables between two calls, it stays right.
//!
//! # Why every key that is present throughout is visited once
//!
//! Places are visited in *runs*: those of one home in the largest table of the chain. Under one guard, a run is looked
//! for in every table of the chain, in the buckets and in the order of loads in which a lookup of each of its keys
//! would look: from the key's home on as long as buckets overflow, and only then in the next table. So a key is found
//! if a lookup at the same time would find it (invariant 1 in `raw`). It is shown once, since runs do not overlap, and since
//! a node that the copy has put into several tables, or a key that got a new node meanwhile, is told by its key.

use std::hash::{BuildHasher, Hash};

use crate::reclaim::{Guard, pin};
use crate::sync::scaled;

use super::RawMap;
use super::node::NodePtr;
use super::table::Table;
use super::walk::live_value;

/// Runs after which the caller is asked whether to go on though none of them had an entry.
const EMPTY_RUNS_PER_CHECK: usize = scaled(16, 1);

/// Where [`SyncMap::range_until`](crate::SyncMap::range_until) goes on.
///
/// The default is the start. A cursor belongs to no moment: it says which hashes have been visited, holds nothing, and may
/// be kept for any time. It means nothing to maps with another hasher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(u64);

/// The places from `first` to `last`.
#[derive(Clone, Copy)]
struct Run {
    first: u64,
    last: u64,
}

impl Run {
    /// From `first` to the last place that shares its home in a table of `buckets` buckets, a power of two.
    fn from(first: u64, buckets: usize) -> Self {
        Run { first, last: first | (u64::MAX >> buckets.trailing_zeros()) }
    }

    fn contains(self, hash: u64) -> bool {
        (self.first..=self.last).contains(&hash.reverse_bits())
    }

    /// Whether the run is all keys of one home in a table of `buckets` buckets.
    fn is_of(self, buckets: usize) -> bool {
        self.last - self.first == u64::MAX >> buckets.trailing_zeros()
    }

    /// Where the next run begins; `None` after the last.
    fn next(self) -> Option<u64> {
        self.last.checked_add(1)
    }

    /// The homes, in a table of `buckets` buckets, of the keys in this run.
    fn homes(self, buckets: usize) -> impl Iterator<Item = usize> {
        // For a table of one bucket the shift is by all bits.
        let to_spare = u64::BITS - buckets.trailing_zeros();
        let high_bits = move |place: u64| place.checked_shr(to_spare).unwrap_or(0);
        (high_bits(self.first)..=high_bits(self.last)).map(move |place| high_bits(place.reverse_bits()) as usize)
    }
}

impl<K, V, S> RawMap<K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    /// Calls `f` with entries from `from` on, run by run, until `goes_on`, told how many it were, says no. Returns
    /// where to go on, or `None` if there is nothing left.
    ///
    /// Pins for one run at a time, takes no lock and leaves the tables as they are.
    pub(crate) fn scan(
        &self,
        Cursor(mut place): Cursor,
        mut f: impl FnMut(&K, &V),
        mut goes_on: impl FnMut(usize) -> bool,
    ) -> Option<Cursor> {
        let mut guard = pin();
        let (mut shown, mut visited, mut unasked) = (Vec::new(), 0, 0);
        loop {
            let read = self.read(&guard)?;
            let run = Run::from(place, largest(read, &guard));
            if let Some(next) = run.next() {
                read.prefetch_nodes(read.home(next.reverse_bits()));
                if let Some(later) = Run::from(next, read.buckets()).next() {
                    read.prefetch(later.reverse_bits());
                }
            }
            self.visit_run(run, read, &mut shown, &guard, &mut f);
            guard.repin();
            place = run.next()?;
            visited += shown.len();
            unasked += 1;
            if !shown.is_empty() || unasked == EMPTY_RUNS_PER_CHECK {
                unasked = 0;
                if !goes_on(visited) {
                    return Some(Cursor(place));
                }
            }
        }
    }

    /// Calls `f` with the live entries of a run, and leaves their nodes in `shown`.
    fn visit_run<'g>(
        &self,
        run: Run,
        read: &'g Table<K, V>,
        shown: &mut Vec<NodePtr<K, V>>,
        guard: &'g Guard,
        f: &mut impl FnMut(&K, &V),
    ) {
        shown.clear();
        let mut table = Some(read);
        while let Some(here) = table {
            let shown_before = shown.len();
            let is_one_home = run.is_of(here.buckets());
            for home in run.homes(here.buckets()) {
                here.prefetch_nodes(home);
                for (node, is_home) in here.nodes_from(home) {
                    // Keys of other homes come here from buckets that overflow, and may be in the run as well.
                    let hashes_into_run = |hash| here.home(hash) == home && run.contains(hash);
                    let is_due = is_home && is_one_home || hashes_into_run(self.hash(node.key()));
                    if !is_due {
                        continue;
                    }
                    let Some(value) = live_value(node, guard) else { continue };
                    // SAFETY: `shown` was cleared under this guard, so all nodes in it were found under it, and it is still held.
                    let is_key_of = |other: &NodePtr<K, V>| unsafe { other.by_ref() }.key() == node.key();
                    if !shown[..shown_before].iter().any(is_key_of) {
                        shown.push(node.ptr());
                        f(node.key(), value);
                    }
                }
            }
            table = here.next(guard);
        }
    }
}

/// The number of buckets of the largest table in the chain.
fn largest<K, V>(read: &Table<K, V>, guard: &Guard) -> usize {
    let (mut buckets, mut table) = (0, Some(read));
    while let Some(here) = table {
        buckets = buckets.max(here.buckets());
        table = here.next(guard);
    }
    buckets
}
