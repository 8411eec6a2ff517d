//! The one module that names atomics, locks, cells and arc-swap.
//!
//! Everything above takes its primitives from here, so a build for a model checker has one file to exchange, and a
//! reader who wants to know what the crate synchronises with has one file to read.

#![allow(unsafe_code, reason = "first of the three layers in which unsafe code may stand")]

#[cfg(readmostly_faults)]
pub mod faults;

/// Whether a mistake is planted; false, at compile time, in every build but those that test the tests.
#[cfg(readmostly_faults)]
macro_rules! fault {
    ($name:ident) => {
        $crate::sync::faults::is_planted($crate::sync::faults::Fault::$name)
    };
}
#[cfg(not(readmostly_faults))]
macro_rules! fault {
    ($name:ident) => {
        false
    };
}
pub(crate) use fault;

pub(crate) use std::cell::{Cell, UnsafeCell};
pub(crate) use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering};
#[cfg(all(target_os = "linux", not(readmostly_crossbeam)))]
pub(crate) use std::sync::atomic::{compiler_fence, fence};
pub(crate) use std::sync::{Arc, OnceLock, Weak};

pub(crate) use arc_swap::ArcSwapOption;
pub(crate) use crossbeam_utils::CachePadded;

use std::num::NonZero;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;

/// Lets other threads run, so that what a planted mistake leaves open stays open for long.
#[cfg(readmostly_faults)]
pub(crate) fn pause() {
    thread::yield_now();
}

/// A mutex that a panic does not poison.
///
/// Whatever it guards is changed in steps that run no user code between them, so a panic of user code always finds,
/// and leaves, the guarded data whole.
#[derive(Debug)]
pub(crate) struct Lock<T>(Mutex<T>);

/// The right to use what a [`Lock`] guards, until it is dropped.
pub(crate) type Locked<'a, T> = MutexGuard<'a, T>;

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Lock(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> Locked<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock if it is free at this moment; never waits.
    pub(crate) fn try_lock(&self) -> Option<Locked<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A small number of this thread's own, from which it picks its stripe of a striped structure.
///
/// Numbers are handed out in order, so the first threads of a process never share a stripe needlessly.
#[inline]
pub(crate) fn thread_index() -> usize {
    const UNASSIGNED: usize = usize::MAX;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static INDEX: Cell<usize> = const { Cell::new(UNASSIGNED) };
    }
    INDEX.with(|index| {
        if index.get() == UNASSIGNED {
            // Relaxed: the number only has to differ from other threads'; nothing is published with it.
            index.set(NEXT.fetch_add(1, Ordering::Relaxed) & (UNASSIGNED >> 1));
        }
        index.get()
    })
}

/// Counts up, for this thread alone: for doing something every so many times without a counter that threads share.
#[inline(always)]
pub(crate) fn thread_tick() -> usize {
    thread_local! {
        static TICKS: Cell<usize> = const { Cell::new(0) };
    }
    let tick = TICKS.get().wrapping_add(1);
    TICKS.set(tick);
    tick
}

/// How many stripes a striped structure should have: a power of two, at least the number of cores, at most 16.
pub(crate) fn stripes() -> usize {
    static STRIPES: OnceLock<usize> = OnceLock::new();
    *STRIPES.get_or_init(|| {
        let cores = thread::available_parallelism().map_or(4, NonZero::get);
        cores.next_power_of_two().clamp(2, 16)
    })
}
