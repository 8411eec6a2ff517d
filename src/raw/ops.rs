//! Operations on one key.
//!
//! All have one form: find the node, decide on the value found, exchange it if it is still the same, else start again.
//! A key without a node gets one under the writer lock. Closures of the user's run outside of it, on a value that a
//! guard protects, and may run again when another thread was faster.
//!
//! Each operation that takes something of the user's by value is in two parts. The inner one consumes it and returns
//! what it found; only then does the outer one tie that to the guard. When the destructor of a local panics after the
//! return value has been made, the compiler leaks that value (rust-lang/rust#47949), and a leaked guard would stop
//! reclamation for good.

use std::convert::Infallible;
use std::hash::{BuildHasher, Hash};
use std::mem;
use std::ptr::NonNull;

use equivalent::Equivalent;

use crate::reclaim::{Guard, Visit};

use super::RawMap;
use super::garbage::Garbage;
use super::hold::{Hit, Hold};
use super::node::{NodeRef, OwnedNode, is_expunged, is_live, tombstone};
use super::writer::{Purpose, Writing};

/// What a compute closure wants done with the value it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<V, T> {
    /// Map the key to this value.
    Insert(V),
    /// Remove the entry, if there is one.
    Remove,
    /// Change nothing, and return this.
    Abort(T),
}

/// What became of a compute.
pub(crate) enum Computed<R, T> {
    Inserted(R),
    Updated { old: R, new: R },
    Removed(R),
    Aborted(T),
    Absent,
}

/// Why nothing was inserted: the key has a value. The parts that were not used come back.
pub(crate) struct Occupied<R, K, F> {
    pub(crate) current: R,
    pub(crate) key: K,
    pub(crate) unused: F,
}

/// How an insert of something yet to be made ends: put in, not needed, or not made.
pub(crate) type Insertion<R, K, V, E> = Result<Result<R, Occupied<R, K, Option<V>>>, E>;

/// The largest values, in bytes, whose memory is used again for the next.
///
/// The old value is moved out first, since its destructor has to wait; for larger ones an allocation costs less. None under
/// AddressSanitizer, which sees that a value is read too late only if its memory has been freed.
const LARGEST_REUSED: usize = if cfg!(readmostly_asan) { 0 } else { 1024 };

/// A value on its way into the map, boxed at most once on the way.
enum Fresh<V> {
    Plain(V),
    Boxed(Box<V>),
}

impl<V> Fresh<V> {
    /// The value in a box, and what the box held before if it was used for a value that is due to be freed.
    #[inline]
    fn boxed_in<K>(self, visit: &mut Visit<'_, Garbage<K, V>>) -> (Box<V>, Option<V>) {
        let value = match self {
            Fresh::Plain(value) => value,
            Fresh::Boxed(boxed) => return (boxed, None),
        };
        if mem::size_of::<V>() <= LARGEST_REUSED
            && let Some(mut boxed) = visit.reuse(Garbage::into_box)
        {
            let spent = mem::replace(&mut *boxed, value);
            return (boxed, Some(spent));
        }
        (Box::new(value), None)
    }

    fn into_plain(self) -> V {
        match self {
            Fresh::Plain(value) => value,
            Fresh::Boxed(boxed) => *boxed,
        }
    }
}

/// What [`RawMap::insert_node`] made of a new node.
enum Placed<K, V> {
    /// It is in the map.
    New(Hit<K, V>),
    /// Another thread was faster; the node is this one's again.
    Beaten(OwnedNode<K, V>),
}

impl<K, V, S> RawMap<K, V, S> {
    /// Puts `new` in the place of `current`, a live value or a tombstone, and sees to what follows.
    ///
    /// On failure the value comes back, with the pointer that was found instead.
    fn replace(
        &self,
        node: NodeRef<'_, K, V>,
        current: *mut V,
        new: Fresh<V>,
        guard: &Guard,
    ) -> Result<Hit<K, V>, (Fresh<V>, *mut V)> {
        let mut visit = self.shared().garbage.visit();
        let (new, spent) = new.boxed_in(&mut visit);
        let new = Box::into_raw(new);
        if let Err(found) = node.exchange(current, new) {
            // SAFETY: the exchange failed, so the pointer is still this thread's own.
            let mut new = unsafe { Box::from_raw(new) };
            // Nothing is dropped: an operation may fail often, and each time would count.
            let Some(spent) = spent else {
                visit.abandon(None);
                return Err((Fresh::Boxed(new), found));
            };
            let value = mem::replace(&mut *new, spent);
            visit.abandon(Some(Garbage::from_box(new)));
            return Err((Fresh::Plain(value), found));
        }
        match retired_value(node, current) {
            // SAFETY: the exchange that took the value out was this thread's, so it is retired once, and no one who
            // pins from now on finds it.
            Some(garbage) => unsafe { visit.retire(garbage, guard) },
            None if is_live(current) => {}
            None => {
                self.shared().counters.add_len(1);
            }
        }
        visit.leave(spent);
        Ok(Hit::new(node, new))
    }

    /// An entry that no table holds, for the caller alone.
    pub(crate) fn detached<'m, H: Hold<'m, K, V>>(&'m self, key: K, value: V, hold: H) -> H::Held {
        let hit = self.detached_under(key, value, hold.guard());
        // SAFETY: made under this guard, which is older than its retirement.
        unsafe { hold.hold(hit) }
    }

    fn detached_under(&self, key: K, value: V, guard: &Guard) -> Hit<K, V> {
        let node = OwnedNode::new(key, value).publish();
        // SAFETY: nobody else knows the node, and the caller's guard keeps it.
        let hit = Hit::first(unsafe { node.by_ref() });
        // SAFETY: no one who pins finds a node that is in no table, and this is the only call.
        unsafe { self.shared().garbage.retire(Garbage::Node(node), guard) };
        hit
    }

    /// Retires a value that this thread has taken out of its node, and frees some older garbage in return.
    fn retire_value(&self, node: NodeRef<'_, K, V>, value: *mut V, guard: &Guard) {
        match retired_value(node, value) {
            // SAFETY: as in `replace`.
            Some(garbage) => unsafe { self.shared().garbage.retire(garbage, guard) },
            None => self.shared().garbage.tend(guard),
        }
    }
}

/// The garbage that a value pointer leaves behind when it is taken out of its node, if any.
#[inline]
fn retired_value<K, V>(node: NodeRef<'_, K, V>, value: *mut V) -> Option<Garbage<K, V>> {
    if !is_live(value) {
        None
    } else if !node.holds_inline(value) {
        // SAFETY: live values are not null.
        Some(Garbage::Value(unsafe { NonNull::new_unchecked(value) }))
    } else if mem::needs_drop::<V>() {
        Some(Garbage::Inline(node.ptr()))
    } else {
        None
    }
}

impl<K, V, S> RawMap<K, V, S>
where
    K: Hash,
    S: BuildHasher,
{
    /// Makes a tombstone of the live value `current` and sees to what follows; fails if it is not the value any more.
    fn remove_current(&self, node: NodeRef<'_, K, V>, current: *mut V, guard: &Guard) -> bool {
        if node.exchange(current, tombstone()).is_err() {
            return false;
        }
        let stripe_len = self.shared().counters.add_len(-1);
        self.retire_value(node, current, guard);
        self.after_remove(stripe_len, guard);
        true
    }

    /// As [`RawMap::remove_current`], for a value seen through a reference.
    pub(super) fn remove_value(&self, node: NodeRef<'_, K, V>, value: &V, guard: &Guard) -> bool {
        self.remove_current(node, std::ptr::from_ref(value).cast_mut(), guard)
    }
}

impl<K, V, S> RawMap<K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    /// Adds a node for a key that had none when looked for.
    #[inline(never)]
    fn insert_node(&self, hash: u64, node: OwnedNode<K, V>, guard: &Guard) -> Placed<K, V> {
        let mut table = None;
        loop {
            let mut writing = self.write();
            // Under the lock nobody else adds or expunges, so what is found now is what there is.
            if self.locate(hash, node.key(), guard).is_some() {
                drop(writing);
                return Placed::Beaten(node);
            }
            if let Some(buckets) = writing.lacks_table(|| self.len()) {
                match table.take() {
                    Some((size, table)) if size >= buckets => {
                        let compacts = writing.wants_compaction(self.len());
                        writing.start(table, if compacts { Purpose::Compaction } else { Purpose::Room });
                    }
                    _ => {
                        drop(writing);
                        table = Some((buckets, self.new_table(buckets)));
                        continue;
                    }
                }
            }
            return Placed::New(self.add_and_copy(writing, hash, node, guard));
        }
    }

    /// The end of an insert: no user code, but for the hashes of the nodes to be copied, before anything is changed.
    fn add_and_copy(
        &self,
        mut writing: Writing<'_, K, V, S>,
        hash: u64,
        node: OwnedNode<K, V>,
        guard: &Guard,
    ) -> Hit<K, V> {
        let plan = writing.plan(guard);
        let node = writing.add(hash, node, guard);
        // What was inserted is the inline value, whatever becomes of the entry by now; the guard, older than it,
        // protects it.
        let hit = Hit::first(node);
        let unlinked = plan.and_then(|plan| writing.copy(plan));
        self.shared().counters.add_len(1);
        writing.release(unlinked, guard);
        self.shared().garbage.tend(guard);
        hit
    }

    pub(crate) fn insert<'m, H: Hold<'m, K, V>>(&'m self, key: K, value: V, hold: H) -> Option<H::Held> {
        let old = self.insert_under(key, value, hold.guard());
        // SAFETY: found under this guard.
        old.map(|old| unsafe { hold.hold(old) })
    }

    fn insert_under(&self, key: K, value: V, guard: &Guard) -> Option<Hit<K, V>> {
        let hash = self.hash(&key);
        let (mut key, mut fresh) = (key, Fresh::Plain(value));
        loop {
            let Some(node) = self.locate(hash, &key, guard) else {
                match self.insert_node(hash, OwnedNode::new(key, fresh.into_plain()), guard) {
                    Placed::New(_) => return None,
                    Placed::Beaten(node) => {
                        let (same_key, value) = node.into_parts();
                        (key, fresh) = (same_key, Fresh::Plain(value));
                        continue;
                    }
                }
            };
            let mut current = node.value();
            while !is_expunged(current) {
                let old = is_live(current).then(|| Hit::new(node, current));
                match self.replace(node, current, fresh, guard) {
                    Ok(_) => return old,
                    Err((unused, found)) => (fresh, current) = (unused, found),
                }
            }
        }
    }

    /// Inserts `value`, unless the key has one.
    pub(crate) fn try_insert<'m, H>(&'m self, key: K, value: V, hold: H) -> Result<H::Held, Occupied<H::Held, K, V>>
    where
        H: Hold<'m, K, V>,
    {
        let mut given = Some(value);
        match self.try_insert_with(key, || given.take().ok_or(()), hold) {
            Ok(Ok(new)) => Ok(new),
            Ok(Err(Occupied { current, key, unused })) => match unused.or(given) {
                Some(unused) => Err(Occupied { current, key, unused }),
                None => unreachable!("the value is in the map, in the error, or still here"),
            },
            Err(()) => unreachable!("the value is asked for once"),
        }
    }

    /// Inserts what `make` makes, unless the key has a value. `make` is called at most once.
    pub(crate) fn try_insert_with<'m, H, F, E>(&'m self, key: K, make: F, hold: H) -> Insertion<H::Held, K, V, E>
    where
        H: Hold<'m, K, V>,
        F: FnOnce() -> Result<V, E>,
    {
        let end = self.try_insert_under(key, make, hold.guard())?;
        // SAFETY: found, or put in, under this guard.
        Ok(unsafe {
            match end {
                Ok(new) => Ok(hold.hold(new)),
                Err(Occupied { current, key, unused }) => Err(Occupied { current: hold.hold(current), key, unused }),
            }
        })
    }

    fn try_insert_under<F, E>(&self, key: K, make: F, guard: &Guard) -> Insertion<Hit<K, V>, K, V, E>
    where
        F: FnOnce() -> Result<V, E>,
    {
        let hash = self.hash(&key);
        let (mut key, mut make, mut fresh) = (key, Some(make), None);
        loop {
            let node = self.locate(hash, &key, guard);
            let current = node.map_or(tombstone(), |node| node.value());
            if let Some(node) = node.filter(|_| is_live(current)) {
                let unused = fresh.map(Fresh::into_plain);
                return Ok(Err(Occupied { current: Hit::new(node, current), key, unused }));
            }
            if is_expunged(current) {
                continue;
            }
            let value = match (fresh.take(), make.take()) {
                (Some(fresh), _) => fresh,
                (None, Some(make)) => Fresh::Plain(make()?),
                (None, None) => unreachable!("the value made is kept until it is used"),
            };
            match node {
                Some(node) => match self.replace(node, current, value, guard) {
                    Ok(new) => return Ok(Ok(new)),
                    Err((unused, _)) => fresh = Some(unused),
                },
                None => match self.insert_node(hash, OwnedNode::new(key, value.into_plain()), guard) {
                    Placed::New(new) => return Ok(Ok(new)),
                    Placed::Beaten(node) => {
                        let (same_key, value) = node.into_parts();
                        (key, fresh) = (same_key, Some(Fresh::Plain(value)));
                    }
                },
            }
        }
    }

    pub(crate) fn compute<'m, H, T, F>(&'m self, key: K, f: &mut F, hold: H) -> Computed<H::Held, T>
    where
        H: Hold<'m, K, V>,
        F: FnMut(Option<&V>) -> Operation<V, T>,
    {
        self.compute_under(key, f, hold.guard()).hold(hold)
    }

    pub(crate) fn update_or_insert_with<'m, H, U, F>(&'m self, key: K, mut update: U, mut insert: F, hold: H) -> H::Held
    where
        H: Hold<'m, K, V>,
        U: FnMut(&V) -> V,
        F: FnMut() -> V,
    {
        let mut end = |value: Option<&V>| match value {
            Some(value) => Operation::<V, Infallible>::Insert(update(value)),
            None => Operation::Insert(insert()),
        };
        let new = match self.compute_under(key, &mut end, hold.guard()) {
            Computed::Inserted(new) | Computed::Updated { new, .. } => new,
            Computed::Aborted(never) => match never {},
            Computed::Removed(_) | Computed::Absent => unreachable!("nothing but inserts was asked for"),
        };
        drop((update, insert));
        // SAFETY: found under this guard.
        unsafe { hold.hold(new) }
    }

    fn compute_under<T, F>(&self, key: K, f: &mut F, guard: &Guard) -> Computed<Hit<K, V>, T>
    where
        F: FnMut(Option<&V>) -> Operation<V, T>,
    {
        let hash = self.hash(&key);
        let mut key = key;
        loop {
            if let Some(node) = self.locate(hash, &key, guard) {
                match self.compute_on(node, f, guard) {
                    Some(end) => return end,
                    None => continue,
                }
            }
            match f(None) {
                Operation::Abort(result) => return Computed::Aborted(result),
                Operation::Remove => return Computed::Absent,
                Operation::Insert(value) => match self.insert_node(hash, OwnedNode::new(key, value), guard) {
                    Placed::New(new) => return Computed::Inserted(new),
                    Placed::Beaten(node) => key = node.into_parts().0,
                },
            }
        }
    }
}

impl<K, V, S> RawMap<K, V, S>
where
    K: Hash,
    S: BuildHasher,
{
    /// Shows the value of `node` to `f` and does what it says, again if another thread was faster; `None` if the node
    /// turns out to be dead.
    fn compute_on<T, F>(&self, node: NodeRef<'_, K, V>, f: &mut F, guard: &Guard) -> Option<Computed<Hit<K, V>, T>>
    where
        F: FnMut(Option<&V>) -> Operation<V, T>,
    {
        let mut current = node.value();
        while !is_expunged(current) {
            // SAFETY: a live value, loaded under the guard.
            let value = is_live(current).then(|| unsafe { &*current });
            let old = value.map(|_| Hit::new(node, current));
            match (f(value), old) {
                (Operation::Abort(result), _) => return Some(Computed::Aborted(result)),
                (Operation::Remove, None) => return Some(Computed::Absent),
                (Operation::Remove, Some(old)) => {
                    if self.remove_current(node, current, guard) {
                        return Some(Computed::Removed(old));
                    }
                    current = node.value();
                }
                (Operation::Insert(new), old) => match self.replace(node, current, Fresh::Plain(new), guard) {
                    Ok(new) => {
                        return Some(match old {
                            Some(old) => Computed::Updated { old, new },
                            None => Computed::Inserted(new),
                        });
                    }
                    Err((_, found)) => current = found,
                },
            }
        }
        None
    }

    /// As [`RawMap::compute`], for an entry that is there: an absent one is left alone and `f` not called.
    ///
    /// Needs no owned key, since nothing is inserted.
    pub(crate) fn compute_present<'m, Q, H, T, F>(&'m self, key: &Q, f: &mut F, hold: H) -> Computed<H::Held, T>
    where
        Q: ?Sized + Hash + Equivalent<K>,
        H: Hold<'m, K, V>,
        F: FnMut(&K, &V) -> Operation<V, T>,
    {
        let hash = self.hash(key);
        loop {
            let guard = hold.guard();
            let Some(node) = self.locate(hash, key, guard) else { return Computed::Absent };
            let mut on_present = |value: Option<&V>| value.map_or(Operation::Remove, |value| f(node.key(), value));
            if let Some(end) = self.compute_on(node, &mut on_present, guard) {
                return end.hold(hold);
            }
        }
    }

    /// Removes an entry if `f` agrees, again if another thread has changed the value meanwhile.
    pub(crate) fn remove_if<'m, Q, H, F>(&'m self, key: &Q, f: &mut F, hold: H) -> Option<H::Held>
    where
        Q: ?Sized + Hash + Equivalent<K>,
        H: Hold<'m, K, V>,
        F: FnMut(&K, &V) -> bool,
    {
        let old = self.remove_if_under(key, f, hold.guard())?;
        // SAFETY: found under this guard.
        Some(unsafe { hold.hold(old) })
    }

    fn remove_if_under<Q, F>(&self, key: &Q, f: &mut F, guard: &Guard) -> Option<Hit<K, V>>
    where
        Q: ?Sized + Hash + Equivalent<K>,
        F: FnMut(&K, &V) -> bool,
    {
        let hash = self.hash(key);
        loop {
            let node = self.locate(hash, key, guard)?;
            let mut current = node.value();
            while is_live(current) {
                // SAFETY: a live value, loaded under the guard.
                if !f(node.key(), unsafe { &*current }) {
                    return None;
                }
                let old = Hit::new(node, current);
                if self.remove_current(node, current, guard) {
                    return Some(old);
                }
                current = node.value();
            }
            if !is_expunged(current) {
                return None;
            }
        }
    }

    pub(crate) fn compare_and_swap<'m, Q, H>(&'m self, key: &Q, expected: &V, new: V, hold: H) -> Result<H::Held, V>
    where
        Q: ?Sized + Hash + Equivalent<K>,
        H: Hold<'m, K, V>,
        V: PartialEq,
    {
        let old = self.compare_and_swap_under(key, expected, new, hold.guard())?;
        // SAFETY: found under this guard.
        Ok(unsafe { hold.hold(old) })
    }

    fn compare_and_swap_under<Q>(&self, key: &Q, expected: &V, new: V, guard: &Guard) -> Result<Hit<K, V>, V>
    where
        Q: ?Sized + Hash + Equivalent<K>,
        V: PartialEq,
    {
        let hash = self.hash(key);
        let mut new = Fresh::Plain(new);
        loop {
            let Some(node) = self.locate(hash, key, guard) else { return Err(new.into_plain()) };
            let mut current = node.value();
            while is_live(current) {
                // SAFETY: a live value, loaded under the guard.
                if unsafe { &*current } != expected {
                    return Err(new.into_plain());
                }
                let old = Hit::new(node, current);
                match self.replace(node, current, new, guard) {
                    Ok(_) => return Ok(old),
                    Err((unused, found)) => (new, current) = (unused, found),
                }
            }
            if !is_expunged(current) {
                return Err(new.into_plain());
            }
        }
    }
}

impl<K, V, T> Computed<Hit<K, V>, T> {
    /// Ties the hits, just found under the guard of `hold`, to it.
    fn hold<'m, H>(self, hold: H) -> Computed<H::Held, T>
    where
        H: Hold<'m, K, V>,
        K: 'm,
        V: 'm,
    {
        // SAFETY: private to this module, where each result is held by the guard under which it was found.
        unsafe {
            match self {
                Computed::Inserted(new) => Computed::Inserted(hold.hold(new)),
                Computed::Updated { old, new } => {
                    let (old, new) = hold.hold_both(old, new);
                    Computed::Updated { old, new }
                }
                Computed::Removed(old) => Computed::Removed(hold.hold(old)),
                Computed::Aborted(result) => Computed::Aborted(result),
                Computed::Absent => Computed::Absent,
            }
        }
    }
}
