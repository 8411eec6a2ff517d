//! The one module that names atomics, locks, cells and arc-swap.
//!
//! Everything above takes its primitives from here, so a build for a model checker has one place to exchange, and a
//! reader who wants to know what the crate synchronises with has one place to read.
//!
//! - `native`: those of the standard library;
//! - `loom`, under `--cfg readmostly_loom`: those of loom, which tries every schedule and every value that C11 allows a
//!   load to return;
//! - `shuttle`, under `--cfg readmostly_shuttle`: those of shuttle, which tries random schedules of larger programs.

#![allow(unsafe_code, reason = "first of the three layers in which unsafe code may stand")]

mod clock;
#[cfg(readmostly_faults)]
pub mod faults;
pub(crate) mod figure;

#[cfg(readmostly_loom)]
#[path = "loom.rs"]
mod backend;
#[cfg(not(any(readmostly_loom, readmostly_shuttle)))]
#[path = "native.rs"]
mod backend;
#[cfg(all(readmostly_shuttle, not(readmostly_loom)))]
#[path = "shuttle.rs"]
mod backend;
#[cfg(any(readmostly_loom, readmostly_shuttle))]
mod stand_in;

#[cfg(readmostly_loom)]
pub use backend::interrupts;
pub(crate) use backend::*;
pub(crate) use clock::Moment;

pub(crate) use crossbeam_utils::CachePadded;
pub(crate) use std::sync::atomic::Ordering;

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

/// Lets other threads run, so that what a planted mistake leaves open stays open for long.
#[cfg(readmostly_faults)]
pub(crate) fn pause() {
    yield_now();
}

/// Whether this is a build for a model checker.
pub(crate) const MODEL: bool = cfg!(any(readmostly_loom, readmostly_shuttle));

/// A constant that models have smaller, so that the rare is one step away.
pub(crate) const fn scaled(real: usize, in_models: usize) -> usize {
    if MODEL { in_models } else { real }
}

/// A `const fn`, but for models, whose atomics are not made at compile time.
#[cfg(not(any(readmostly_loom, readmostly_shuttle)))]
macro_rules! const_fn {
    ($(#[$attribute:meta])* $visibility:vis const fn $($rest:tt)*) => {
        $(#[$attribute])* $visibility const fn $($rest)*
    };
}
#[cfg(any(readmostly_loom, readmostly_shuttle))]
macro_rules! const_fn {
    ($(#[$attribute:meta])* $visibility:vis const fn $($rest:tt)*) => {
        $(#[$attribute])* $visibility fn $($rest)*
    };
}
pub(crate) use const_fn;

global! {
    static NEXT_INDEX: figure::AtomicUsize = figure::AtomicUsize::new(0);
}

/// A small number of this thread's own, from which it picks its stripe of a striped structure.
///
/// Numbers are handed out in order, so the first threads of a process never share a stripe needlessly.
#[inline]
pub(crate) fn thread_index() -> usize {
    const UNASSIGNED: usize = usize::MAX;
    local! {
        static INDEX: LocalCell<usize> = LocalCell::new(UNASSIGNED);
    }
    INDEX.with(|index| {
        if index.get() == UNASSIGNED {
            // Relaxed: the number only has to differ from other threads'; nothing is published with it.
            index.set(NEXT_INDEX.fetch_add(1, Ordering::Relaxed) & (UNASSIGNED >> 1));
        }
        index.get()
    })
}

/// Asks for the cache line at `address`, which will be written to soon. A hint: any address will do.
#[inline(always)]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: prefetching has no effect that a program can see, whatever the address; the instruction is part of SSE,
    // which every x86-64 processor has.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

/// Counts `ticks` up: for doing something every so many times without a counter that threads share. Each such thing has a
/// counter of its own: of two that take turns on one, the first might never see but odd numbers.
#[inline(always)]
pub(crate) fn tick(ticks: &LocalCell<usize>) -> usize {
    let tick = ticks.get().wrapping_add(1);
    ticks.set(tick);
    tick
}
