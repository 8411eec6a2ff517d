//! How long what an operation found stays valid: for the borrow of a guard, or as long as a guard of its own.

use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::reclaim::Guard;
use crate::sync::fault;

use super::node::NodeRef;

/// A key and a value that were seen under a guard; says nothing about how long they live.
pub(crate) struct Hit<K, V> {
    key: NonNull<K>,
    value: NonNull<V>,
}

impl<K, V> Hit<K, V> {
    /// The node's key, and a live value pointer read from (or just put into) the node.
    #[inline(always)]
    pub(super) fn new(node: NodeRef<'_, K, V>, value: *mut V) -> Self {
        debug_assert!(super::node::is_live(value));
        // SAFETY: a live value pointer is not null.
        Hit { key: NonNull::from(node.key()), value: unsafe { NonNull::new_unchecked(value) } }
    }
}

impl<K, V> Hit<K, V> {
    /// The value that a node was made with.
    pub(super) fn first(node: NodeRef<'_, K, V>) -> Self {
        Hit::new(node, node.inline())
    }
}

/// A guard, or a borrow of one, that an operation works under and that its results are tied to.
pub(crate) trait Hold<'m, K: 'm, V: 'm> {
    /// A key and a value that cannot be freed while this exists.
    type Held;

    fn guard(&self) -> &Guard;

    /// Ties `hit` to this guard.
    ///
    /// # Safety
    ///
    /// `hit` must have been found under this guard, in a map that is borrowed for `'m`.
    unsafe fn hold(self, hit: Hit<K, V>) -> Self::Held;

    /// Ties two hits to this guard.
    ///
    /// # Safety
    ///
    /// As for [`Hold::hold`], for both.
    unsafe fn hold_both(self, one: Hit<K, V>, other: Hit<K, V>) -> (Self::Held, Self::Held);
}

impl<'m, K: 'm, V: 'm> Hold<'m, K, V> for &'m Guard {
    type Held = (&'m K, &'m V);

    #[inline(always)]
    fn guard(&self) -> &Guard {
        self
    }

    #[inline(always)]
    unsafe fn hold(self, hit: Hit<K, V>) -> Self::Held {
        // SAFETY: found under this guard, which is borrowed for `'m`: neither can be freed before.
        unsafe { (hit.key.as_ref(), hit.value.as_ref()) }
    }

    unsafe fn hold_both(self, one: Hit<K, V>, other: Hit<K, V>) -> (Self::Held, Self::Held) {
        // SAFETY: passed on.
        unsafe { (self.hold(one), self.hold(other)) }
    }
}

impl<'m, K: 'm, V: 'm> Hold<'m, K, V> for Guard {
    type Held = Held<'m, K, V>;

    #[inline(always)]
    fn guard(&self) -> &Guard {
        self
    }

    #[inline(always)]
    unsafe fn hold(mut self, hit: Hit<K, V>) -> Self::Held {
        if fault!(UnpinEarly) {
            drop(self);
            self = crate::reclaim::pin();
        }
        Held { hit, _guard: self, _map: PhantomData }
    }

    unsafe fn hold_both(self, one: Hit<K, V>, other: Hit<K, V>) -> (Self::Held, Self::Held) {
        let nested = self.nest();
        // SAFETY: passed on.
        unsafe { (self.hold(one), nested.hold(other)) }
    }
}

/// A key and a value with a guard of their own.
pub(crate) struct Held<'m, K, V> {
    hit: Hit<K, V>,
    _guard: Guard,
    /// The map, with all its garbage, outlives this.
    _map: PhantomData<(&'m K, &'m V)>,
}

impl<K, V> Held<'_, K, V> {
    #[inline(always)]
    pub(crate) fn key(&self) -> &K {
        // SAFETY: found under `_guard`, or one that it was nested in and so protects as long.
        unsafe { self.hit.key.as_ref() }
    }

    #[inline(always)]
    pub(crate) fn value(&self) -> &V {
        // SAFETY: as for the key.
        unsafe { self.hit.value.as_ref() }
    }
}

impl<'m, K, V> Held<'m, K, V> {
    /// The part of the value that `f` points at.
    pub(crate) fn part<T: ?Sized>(self, f: impl FnOnce(&V) -> &T) -> HeldPart<'m, K, V, T> {
        HeldPart { part: NonNull::from(f(self.value())), whole: self }
    }

    /// The part of the value that `f` points at, if it does.
    pub(crate) fn try_part<T: ?Sized>(self, f: impl FnOnce(&V) -> Option<&T>) -> Result<HeldPart<'m, K, V, T>, Self> {
        match f(self.value()).map(NonNull::from) {
            Some(part) => Ok(HeldPart { part, whole: self }),
            None => Err(self),
        }
    }
}

/// A key and a part of its value, with the guard of the whole.
pub(crate) struct HeldPart<'m, K, V, T: ?Sized> {
    /// Borrowed from the value of `whole`.
    part: NonNull<T>,
    whole: Held<'m, K, V>,
}

impl<'m, K, V, T: ?Sized> HeldPart<'m, K, V, T> {
    #[inline(always)]
    pub(crate) fn key(&self) -> &K {
        self.whole.key()
    }

    #[inline(always)]
    pub(crate) fn value(&self) -> &T {
        // SAFETY: borrowed from the value, which stays where it is while `whole` exists, wherever that is moved to.
        unsafe { self.part.as_ref() }
    }

    /// The part of this part that `f` points at.
    pub(crate) fn part<U: ?Sized>(self, f: impl FnOnce(&T) -> &U) -> HeldPart<'m, K, V, U> {
        HeldPart { part: NonNull::from(f(self.value())), whole: self.whole }
    }

    /// The part of this part that `f` points at, if it does.
    pub(crate) fn try_part<U: ?Sized>(self, f: impl FnOnce(&T) -> Option<&U>) -> Result<HeldPart<'m, K, V, U>, Self> {
        match f(self.value()).map(NonNull::from) {
            Some(part) => Ok(HeldPart { part, whole: self.whole }),
            None => Err(self),
        }
    }
}
