//! The kernel's `membarrier`, for models: one thread makes all others execute a fence.
//!
//! loom cannot execute something in another thread. So a barrier leaves each other thread an interrupt, which the thread
//! takes, by executing the fence, before its next operation on an atomic; and the barrier returns when all have. That is
//! what the system call promises: a fence in each running thread at *some* moment between its call and its return.
//!
//! Threads that may be interrupted say so with [`running`]. One that waits for a lock cannot take an interrupt, so
//! models that use this must not have the caller of a barrier hold a lock.

use std::cell::{Cell, RefCell};
use std::mem;

use loom::sync::atomic::{AtomicUsize, Ordering, fence};
#[cfg(not(any(readmostly_contract, readmostly_crossbeam)))]
use loom::thread;
use loom::thread::Thread;

/// The most threads of a model.
const THREADS: usize = loom::MAX_THREADS;

#[derive(Default)]
struct State {
    enabled: bool,
    /// How many threads have a number.
    threads: usize,
    running: [bool; THREADS],
    /// How many interrupts each thread has taken.
    taken: [usize; THREADS],
    /// For each thread, the callers of barriers that wait for it.
    pending: [Vec<(usize, Thread)>; THREADS],
}

std::thread_local! {
    // All threads of a model are coroutines on one thread of the system.
    static STATE: RefCell<State> = RefCell::new(State::default());
}

loom::lazy_static! {
    /// Tells loom that the order of barriers and other operations matters: see `Marker` in `reclaim::contract`.
    static ref MARKER: AtomicUsize = AtomicUsize::new(0);
}

loom::thread_local! {
    static INDEX: Cell<Option<usize>> = Cell::new(None);
}

/// A small number for the current thread of the model; none for one that ends.
fn index() -> Option<usize> {
    let own = INDEX.try_with(|index| {
        let own = index.get().unwrap_or_else(|| {
            STATE.with_borrow_mut(|state| {
                state.threads += 1;
                state.threads - 1
            })
        });
        index.set(Some(own));
        own
    });
    own.ok()
}

/// Lets this execution of a model have the barrier; without it pins have fences.
pub fn enable() {
    STATE.set(State { enabled: true, ..State::default() });
}

/// Lets executions do without the barrier again.
pub fn disable() {
    STATE.set(State::default());
}

pub(crate) fn are_enabled() -> bool {
    STATE.with_borrow(|state| state.enabled)
}

/// How many barriers have interrupted the current thread.
#[must_use]
pub fn taken() -> usize {
    let own = index().expect("the thread runs");
    STATE.with_borrow(|state| state.taken[own])
}

/// Runs `f` as a thread that barriers interrupt. Beginning and end are fences, as every switch to and from the kernel is:
/// a barrier need not wait for a thread that does not run.
pub fn running<R>(f: impl FnOnce() -> R) -> R {
    let own = index().expect("the thread runs");
    let run = |running| STATE.with_borrow_mut(|state| state.running[own] = running);
    if !are_enabled() {
        return f();
    }
    // Relaxed: orders nothing, as in `barrier`.
    let _ = MARKER.compare_exchange(1, 2, Ordering::Relaxed, Ordering::Relaxed);
    run(true);
    // SeqCst, here and below: partners of the fences in `barrier`.
    fence(Ordering::SeqCst);
    let result = f();
    // Relaxed: as above.
    let _ = MARKER.compare_exchange(1, 2, Ordering::Relaxed, Ordering::Relaxed);
    answer(own);
    fence(Ordering::SeqCst);
    run(false);
    result
}

/// Executes the fence that barriers have asked this thread for, if any has.
pub(crate) fn take() {
    if !are_enabled() {
        return;
    }
    let Some(own) = index() else { return };
    if !STATE.with_borrow(|state| state.running[own]) {
        return;
    }
    // Relaxed: orders nothing.
    MARKER.load(Ordering::Relaxed);
    answer(own);
}

fn answer(own: usize) {
    let waiting = STATE.with_borrow_mut(|state| {
        state.taken[own] += state.pending[own].len();
        mem::take(&mut state.pending[own])
    });
    if !waiting.is_empty() {
        // SeqCst: partner of the fences in `barrier`.
        fence(Ordering::SeqCst);
        waiting.into_iter().for_each(|(_, caller)| caller.unpark());
    }
}

/// Has every other running thread execute a fence, and waits until all have.
#[cfg(not(any(readmostly_contract, readmostly_crossbeam)))]
pub(crate) fn barrier() {
    // Relaxed: orders nothing.
    let _ = MARKER.compare_exchange(1, 2, Ordering::Relaxed, Ordering::Relaxed);
    let own = index().unwrap_or(THREADS);
    // SeqCst: partner of the fence in `answer`, and of those of other callers, which need not interrupt this one.
    fence(Ordering::SeqCst);
    answer(own);
    let was_running = STATE.with_borrow_mut(|state| {
        let was_running = mem::take(&mut state.running[own]);
        for other in (0..THREADS).filter(|other| state.running[*other]) {
            state.pending[other].push((own, thread::current()));
        }
        was_running
    });
    let waits = |state: &State| state.pending.iter().flatten().any(|(caller, _)| *caller == own);
    while STATE.with_borrow(waits) {
        thread::park();
    }
    STATE.with_borrow_mut(|state| state.running[own] = was_running);
    // SeqCst: as above.
    fence(Ordering::SeqCst);
}
