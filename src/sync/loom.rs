//! The primitives of loom, as far as it has them, and stand-ins on top of them.

use std::fmt;
use std::mem;
use std::ops::Deref;
use std::ptr;
use std::sync::Mutex as StdMutex;
use std::sync::TryLockError;

#[cfg(readmostly_contract)]
pub(crate) use std::cell::RefCell;
pub(crate) use std::cell::{Cell as LocalCell, UnsafeCell};

use super::Ordering;
use super::figure;
pub(crate) use super::stand_in::{ArcSwapOption, OnceLock};

pub(crate) use loom::thread::yield_now;

#[path = "loom/interrupts.rs"]
pub mod interrupts;

/// A cell, since models have no signal handlers: loom checks that one thread at a time uses it.
#[cfg(not(any(readmostly_contract, readmostly_crossbeam)))]
pub(crate) type OwnCell = loom::cell::Cell<u64>;

/// A variable that is made anew for every execution of a model.
macro_rules! global {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
        ::loom::lazy_static! {
            $(#[$attribute])* static ref $name: $type = $value;
        }
    };
}
pub(crate) use global;

macro_rules! local {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
        ::loom::thread_local! {
            $(#[$attribute])* static $name: $type = $value;
        }
    };
}
pub(crate) use local;
#[cfg(not(readmostly_contract))]
pub(crate) use local as local_with_drop;

/// What executions have leaked, with the way to free it.
static LEAKED: StdMutex<Vec<(usize, usize, unsafe fn(usize))>> = StdMutex::new(Vec::new());

global! {
    /// The execution, told apart from those before it.
    static EXECUTION: usize = {
        static EXECUTIONS: figure::AtomicUsize = figure::AtomicUsize::new(0);
        // Relaxed: a number.
        EXECUTIONS.fetch_add(1, Ordering::Relaxed)
    };
}

/// Memory that is not freed before the execution is over, thread-local destructors included.
pub(crate) fn leak<T>(boxed: Box<T>) -> &'static mut T {
    unsafe fn free<T>(address: usize) {
        // SAFETY: leaked as a `Box<T>` by an execution that is over.
        drop(unsafe { Box::from_raw(ptr::with_exposed_provenance_mut::<T>(address)) });
    }
    let leaked = Box::into_raw(boxed);
    let execution = *EXECUTION;
    let mut all = LEAKED.lock().unwrap();
    // Models on other threads of the test run have executions of their own, numbered among ours: keep what is recent.
    let (old, recent) = mem::take(&mut *all).into_iter().partition(|&(_, of, _)| of + 64 < execution);
    *all = recent;
    all.push((leaked.expose_provenance(), execution, free::<T>));
    drop(all);
    let old: Vec<_> = old;
    for (address, _, free) in old {
        // SAFETY: as in `free`.
        unsafe { free(address) };
    }
    // SAFETY: just leaked.
    unsafe { &mut *leaked }
}

#[cfg(not(any(readmostly_contract, readmostly_crossbeam)))]
global! {
    /// Accessed before each fence: see there.
    static FENCES: loom::sync::atomic::AtomicUsize = loom::sync::atomic::AtomicUsize::new(0);
}

/// A fence whose place among those of other threads loom knows to matter.
///
/// loom leaves out schedules that differ in the order of fences alone, since it looks at atomics to tell what depends on
/// what. So a fence comes with an exchange that fails and, being relaxed, orders nothing.
#[cfg(not(any(readmostly_contract, readmostly_crossbeam)))]
pub(crate) fn fence(ordering: Ordering) {
    // Relaxed: as above.
    let _ = FENCES.compare_exchange(1, 2, Ordering::Relaxed, Ordering::Relaxed);
    loom::sync::atomic::fence(ordering);
}

#[cfg(not(any(readmostly_contract, readmostly_crossbeam)))]
/// Nothing: loom has a thread's own operations in their order, and `interrupts` what makes up for the processor.
pub(crate) fn compiler_fence(_ordering: Ordering) {}

/// Two, so that threads meet each other's stripes.
pub(crate) const fn stripes() -> usize {
    2
}

/// An atomic that ends in a model: everything that used it must have happened before.
pub(crate) trait Ends {
    fn end(&mut self);
}

/// # Safety
///
/// The atomic must be valid, and nobody else may be using it; it is this that loom checks.
pub(crate) unsafe fn ends<A: Ends>(atomic: *mut A) {
    // SAFETY: the caller's word.
    unsafe { &mut *atomic }.end();
}

/// Atomics of loom at which pending interrupts are taken.
macro_rules! atomics {
    ($($name:ident $(<$generic:ident>)?: $value:ty;)*) => {$(
        pub(crate) struct $name $(<$generic>)? {
            atomic: loom::sync::atomic::$name $(<$generic>)?,
            ended: figure::AtomicBool,
        }

        #[allow(dead_code, reason = "the same for all, whatever is used of each")]
        impl $(<$generic>)? $name $(<$generic>)? {
            #[track_caller]
            pub(crate) fn new(value: $value) -> Self {
                $name { atomic: loom::sync::atomic::$name::new(value), ended: figure::AtomicBool::new(false) }
            }

            /// The atomic, for an operation of the current thread.
            #[track_caller]
            fn used(&self) -> &loom::sync::atomic::$name $(<$generic>)? {
                interrupts::take();
                // Relaxed: no part of the model, and models run on one thread of the system.
                assert!(!self.ended.load(Ordering::Relaxed), "an atomic is used after its end");
                &self.atomic
            }

            #[track_caller]
            pub(crate) fn load(&self, ordering: Ordering) -> $value {
                self.used().load(ordering)
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $value, ordering: Ordering) {
                self.used().store(value, ordering);
            }

            #[track_caller]
            pub(crate) fn swap(&self, value: $value, ordering: Ordering) -> $value {
                self.used().swap(value, ordering)
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.used().compare_exchange(current, new, success, failure)
            }
        }

        impl $(<$generic>)? fmt::Debug for $name $(<$generic>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}

atomics! {
    AtomicBool: bool;
    AtomicPtr<T>: *mut T;
    AtomicU8: u8;
    AtomicU64: u64;
    AtomicUsize: usize;
}

impl<T> Ends for AtomicPtr<T> {
    #[track_caller]
    fn end(&mut self) {
        self.atomic.with_mut(|_| ());
        // Relaxed: as in `used`.
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Ends for AtomicU64 {
    #[track_caller]
    fn end(&mut self) {
        self.atomic.with_mut(|_| ());
        // Relaxed: as in `used`.
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Ends for AtomicU8 {
    #[track_caller]
    fn end(&mut self) {
        self.atomic.with_mut(|_| ());
        // Relaxed: as in `used`.
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl AtomicU8 {
    #[track_caller]
    pub(crate) fn fetch_or(&self, bits: u8, ordering: Ordering) -> u8 {
        self.used().fetch_or(bits, ordering)
    }
}

impl AtomicUsize {
    #[track_caller]
    pub(crate) fn fetch_add(&self, value: usize, ordering: Ordering) -> usize {
        self.used().fetch_add(value, ordering)
    }

    #[track_caller]
    pub(crate) fn fetch_sub(&self, value: usize, ordering: Ordering) -> usize {
        self.used().fetch_sub(value, ordering)
    }

    #[track_caller]
    pub(crate) fn fetch_update(
        &self,
        success: Ordering,
        failure: Ordering,
        update: impl FnMut(usize) -> Option<usize>,
    ) -> Result<usize, usize> {
        self.used().fetch_update(success, failure, update)
    }
}

/// A mutex of loom, which no panic poisons.
#[derive(Debug)]
pub(crate) struct Lock<T>(loom::sync::Mutex<T>);

pub(crate) type Locked<'a, T> = loom::sync::MutexGuard<'a, T>;

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Lock(loom::sync::Mutex::new(value))
    }

    #[track_caller]
    pub(crate) fn lock(&self) -> Locked<'_, T> {
        self.0.lock().unwrap()
    }

    #[track_caller]
    pub(crate) fn try_lock(&self) -> Option<Locked<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Poisoned(_)) => unreachable!("loom's mutexes are not poisoned"),
        }
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap()
    }
}

/// The standard library's `Arc`, with the order of its drops told to loom.
///
/// loom has an `Arc`, but no `Weak` to it. Counting is one step here: how `Arc` counts is not what is checked.
pub(crate) struct Arc<T>(std::sync::Arc<Counted<T>>);

pub(crate) struct Weak<T>(std::sync::Weak<Counted<T>>);

struct Counted<T> {
    value: T,
    /// Written by each drop of a reference, read by the last one.
    dropped: loom::sync::atomic::AtomicUsize,
}

impl<T> Arc<T> {
    pub(crate) fn new(value: T) -> Self {
        Arc(std::sync::Arc::new(Counted { value, dropped: loom::sync::atomic::AtomicUsize::new(0) }))
    }

    pub(crate) fn as_ptr(this: &Self) -> *const T {
        &raw const this.0.value
    }

    pub(crate) fn downgrade(this: &Self) -> Weak<T> {
        Weak(std::sync::Arc::downgrade(&this.0))
    }

    pub(crate) fn into_inner(this: Self) -> Option<T> {
        this.drop_order();
        let this = mem::ManuallyDrop::new(this);
        // SAFETY: taken out once; the destructor of `this` does not run.
        let counted = unsafe { ptr::read(&raw const this.0) };
        std::sync::Arc::into_inner(counted).map(|counted| counted.value)
    }

    /// What an `Arc` orders when a reference goes: the drops of the others before the end of the value.
    fn drop_order(&self) {
        // Release: pairs with the Acquire below in the drop of the last reference.
        self.0.dropped.fetch_add(1, Ordering::Release);
        if std::sync::Arc::strong_count(&self.0) == 1 {
            // Acquire: pairs with the Release above in all other drops.
            self.0.dropped.fetch_add(1, Ordering::Acquire);
        }
    }
}

impl<T> Drop for Arc<T> {
    fn drop(&mut self) {
        self.drop_order();
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Arc(std::sync::Arc::clone(&self.0))
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Arc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.value.fmt(f)
    }
}

impl<T> Weak<T> {
    pub(crate) fn upgrade(&self) -> Option<Arc<T>> {
        self.0.upgrade().map(Arc)
    }
}
