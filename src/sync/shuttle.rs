//! The primitives of shuttle, as far as it has them, and stand-ins on top of them.
//!
//! shuttle runs one thread at a time and switches between them at each operation here: every atomic is sequentially
//! consistent, and fences do nothing.

use std::sync::TryLockError;

#[cfg(readmostly_contract)]
pub(crate) use std::cell::RefCell;
pub(crate) use std::cell::{Cell as LocalCell, UnsafeCell};
pub(crate) use std::sync::{Arc, Weak};

use super::Ordering;
pub(crate) use super::stand_in::{ArcSwapOption, OnceLock};

pub(crate) use shuttle::future::block_on;
pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, fence};
pub(crate) use shuttle::thread::yield_now;

/// A cell, since models have no signal handlers.
#[cfg(not(any(readmostly_contract, readmostly_crossbeam)))]
pub(crate) type OwnCell = std::cell::Cell<u64>;

/// A variable that is made anew for every execution of a model.
macro_rules! global {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
        ::shuttle::lazy_static! {
            $(#[$attribute])* static ref $name: $type = $value;
        }
    };
}
pub(crate) use global;

macro_rules! local {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
        ::shuttle::thread_local! {
            $(#[$attribute])* static $name: $type = $value;
        }
    };
}
pub(crate) use local;
pub(crate) use local as local_with_drop;

/// Memory that is never freed: executions leak a few hundred bytes each.
pub(crate) fn leak<T>(boxed: Box<T>) -> &'static mut T {
    Box::leak(boxed)
}

/// Nothing: threads are switched at operations on atomics, so there is nothing for a compiler to move across one.
pub(crate) fn compiler_fence(_ordering: Ordering) {}

/// Nothing: shuttle does not check when atomics end.
///
/// # Safety
///
/// The atomic must be valid, and nobody else may be using it.
pub(crate) unsafe fn ends<A>(_atomic: *mut A) {}

/// Two, so that threads meet each other's stripes.
pub(crate) const fn stripes() -> usize {
    2
}

/// A mutex of shuttle that a panic does not poison.
#[derive(Debug)]
pub(crate) struct Lock<T>(shuttle::sync::Mutex<T>);

pub(crate) type Locked<'a, T> = shuttle::sync::MutexGuard<'a, T>;

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Lock(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> Locked<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn try_lock(&self) -> Option<Locked<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
