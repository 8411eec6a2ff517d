//! The primitives of the standard library.

use std::num::NonZero;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use super::Ordering;

pub(crate) use std::cell::{Cell as LocalCell, UnsafeCell};
pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize};
#[allow(unused_imports, reason = "used by one of the two epochs")]
pub(crate) use std::sync::atomic::{compiler_fence, fence};
pub(crate) use std::sync::{Arc, OnceLock, Weak};
pub(crate) use std::thread::yield_now;

pub(crate) use arc_swap::ArcSwapOption;

/// A number that one thread at a time uses, and signal handlers that interrupt it.
///
/// Loads and stores, as those of a `Cell`. That they are atomic is for the handlers: a thread and its handler make a
/// data race like two threads.
#[allow(dead_code, reason = "used by one of the two epochs")]
pub(crate) struct OwnCell(AtomicU64);

#[allow(dead_code, reason = "as above")]
impl OwnCell {
    pub(crate) const fn new(value: u64) -> Self {
        OwnCell(AtomicU64::new(value))
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> u64 {
        // Relaxed, here and below: one thread uses it, and the order for its handlers is the program's.
        self.0.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn set(&self, value: u64) {
        // Relaxed: as above.
        self.0.store(value, Ordering::Relaxed);
    }
}

/// A static variable.
macro_rules! global {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
        $(#[$attribute])* static $name: $type = $value;
    };
}
pub(crate) use global;

/// A thread-local variable that needs no destructor, and so no check of its state.
macro_rules! local {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
        ::std::thread_local! {
            $(#[$attribute])* static $name: $type = const { $value };
        }
    };
}
pub(crate) use local;

/// A thread-local variable with a destructor.
macro_rules! local_with_drop {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
        ::std::thread_local! {
            $(#[$attribute])* static $name: $type = $value;
        }
    };
}
pub(crate) use local_with_drop;

/// Memory that is never freed.
pub(crate) fn leak<T>(boxed: Box<T>) -> &'static mut T {
    Box::leak(boxed)
}

/// Says that the atomic ends here, so that a model checker sees whether everything that used it came before.
///
/// # Safety
///
/// The atomic must be valid, and nobody else may be using it.
#[inline(always)]
pub(crate) unsafe fn ends<A>(_atomic: *mut A) {}

/// How many stripes a striped structure should have: a power of two, at least the number of cores, at most 16.
pub(crate) fn stripes() -> usize {
    static STRIPES: OnceLock<usize> = OnceLock::new();
    *STRIPES.get_or_init(|| {
        let cores = thread::available_parallelism().map_or(4, NonZero::get);
        cores.next_power_of_two().clamp(2, 16)
    })
}

/// Runs a future on this thread, which sleeps while the future waits.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, mut context) = (pin!(future), Context::from_waker(&waker));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        // Returns at once if the waker was faster.
        thread::park();
    }
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
        // Where a lock waits the standard library's own code takes it, which ThreadSanitizer does not see into.
        #[cfg(readmostly_tsan)]
        loop {
            match self.try_lock() {
                Some(guard) => return guard,
                None => yield_now(),
            }
        }
        #[cfg(not(readmostly_tsan))]
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
