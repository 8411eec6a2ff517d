//! Lookups of many keys, whose cache misses overlap.
//!
//! A lookup in a large table waits for two lines, one after the other: the bucket, then the node. Here keys are taken
//! a group at a time, in two passes: the first hashes each and asks for its bucket, the second looks into each bucket
//! and asks for the node. So a group waits about twice for its lines, however many they are. Values that lie outside
//! their nodes are not asked for: nothing but the caller waits for them.
//!
//! What the passes leave is a hint and no result: the node that a lookup in the same table would look at first. The
//! lookup itself happens when its result is asked for. If the map's first table is still the same then, and the key is
//! that of the node, then that is what the ordinary lookup would find there, since nodes never leave a table. In every
//! other case it is the ordinary lookup that answers. So each lookup is linearizable for the reasons for which those of
//! `RawMap::get` are.

use std::hash::{BuildHasher, Hash};
use std::mem::MaybeUninit;
use std::ptr;

use equivalent::Equivalent;

use crate::reclaim::Guard;
use crate::sync::{prefetch, scaled};

use super::RawMap;
use super::hold::{Hit, Hold};
use super::node::{NodeRef, is_live};
use super::table::Table;

/// Keys that are taken at a time.
///
/// As many lines as a core can wait for at once, or somewhat more: with 8 a lookup beyond the caches takes 1.4 times as
/// long, with 32 no less.
const GROUP: usize = scaled(16, 2);

/// The results for a sequence of keys, in its order.
pub(crate) struct Batch<'g, K, V, S, I: Iterator> {
    map: &'g RawMap<K, V, S>,
    guard: &'g Guard,
    /// The keys after the group; none once they have ended.
    input: Option<I>,
    /// The table that the hints are for.
    table: *const Table<K, V>,
    /// The first of the group whose result has not been asked for.
    at: usize,
    /// How many there are in the group. What the arrays have from here on may be uninitialised: they are not filled
    /// beforehand, since that would cost a batch of 64 keys in the caches a twentieth of its time.
    len: usize,
    keys: [MaybeUninit<I::Item>; GROUP],
    hashes: [MaybeUninit<u64>; GROUP],
    hints: [MaybeUninit<Option<NodeRef<'g, K, V>>>; GROUP],
}

impl<'g, K, V, S, I: Iterator> Batch<'g, K, V, S, I> {
    #[inline]
    pub(crate) fn new(map: &'g RawMap<K, V, S>, guard: &'g Guard, keys: I) -> Self {
        Batch {
            map,
            guard,
            input: Some(keys),
            table: ptr::null(),
            at: 0,
            len: 0,
            keys: [const { MaybeUninit::uninit() }; GROUP],
            hashes: [const { MaybeUninit::uninit() }; GROUP],
            hints: [const { MaybeUninit::uninit() }; GROUP],
        }
    }

    pub(crate) fn size_hint(&self) -> (usize, Option<usize>) {
        let taken = self.len - self.at;
        let (least, most) = self.input.as_ref().map_or((0, Some(0)), I::size_hint);
        (least.saturating_add(taken), most.and_then(|most| most.checked_add(taken)))
    }
}

impl<'g, 'q, K, V, S, Q, I> Batch<'g, K, V, S, I>
where
    K: Hash,
    S: BuildHasher,
    Q: ?Sized + Hash + Equivalent<K> + 'q,
    I: Iterator<Item = &'q Q>,
{
    /// The result for the next key; none if there is no further key.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<Option<(&'g K, &'g V)>> {
        if self.at == self.len && !self.take_group() {
            return None;
        }
        let at = self.at;
        self.at += 1;
        // SAFETY: less than `len`, up to which the arrays have been written.
        let (key, hint) =
            unsafe { (self.keys.get_unchecked(at).assume_init(), self.hints.get_unchecked(at).assume_init()) };
        if let Some(node) = hint
            && ptr::eq(self.table, self.map.read(self.guard).map_or(ptr::null(), ptr::from_ref))
            && key.equivalent(node.key())
        {
            let value = node.value();
            if is_live(value) {
                // SAFETY: found under the guard, in this map.
                return Some(Some(unsafe { self.guard.hold(Hit::new(node, value)) }));
            }
        }
        // SAFETY: as above.
        Some(self.look_up(key, unsafe { self.hashes[at].assume_init() }))
    }

    /// Takes the next group of keys, and has the memory on its way that their lookups will need. Returns whether there
    /// are any. Called when the last group has been used up.
    #[inline(never)]
    fn take_group(&mut self) -> bool {
        // Taken out, so that all ends here if user code panics.
        let Some(mut input) = self.input.take() else { return false };
        let table = self.map.read(self.guard);
        self.table = table.map_or(ptr::null(), ptr::from_ref);
        let taken = match table {
            Some(table) => {
                let taken = self.hash_ahead(&mut input, |hash| table.prefetch(hash));
                for (hash, hint) in self.hashes[..taken].iter().zip(&mut self.hints) {
                    // SAFETY: written by `hash_ahead`.
                    let node = table.candidate(unsafe { hash.assume_init() });
                    if let Some(node) = node {
                        prefetch(node.ptr().as_raw());
                    }
                    hint.write(node);
                }
                taken
            }
            None => {
                self.hints.fill(MaybeUninit::new(None));
                self.hash_ahead(&mut input, |_| ())
            }
        };
        if taken == GROUP {
            self.input = Some(input);
        }
        (self.at, self.len) = (0, taken);
        taken > 0
    }

    /// Takes as many keys as make a group, or all; returns how many.
    #[inline(always)]
    fn hash_ahead(&mut self, input: &mut I, mut hashed: impl FnMut(u64)) -> usize {
        let mut taken = 0;
        for ((slot, known), key) in self.keys.iter_mut().zip(&mut self.hashes).zip(input) {
            let hash = self.map.hash(key);
            hashed(hash);
            slot.write(key);
            known.write(hash);
            taken += 1;
        }
        taken
    }

    /// The ordinary lookup, for a key that is not where the hint says or that has no hint.
    #[inline(never)]
    fn look_up(&self, key: &Q, hash: u64) -> Option<(&'g K, &'g V)> {
        self.map.get_hashed(key, hash, self.guard)
    }
}
