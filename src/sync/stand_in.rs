//! What model checkers lack, made of what they have.

use std::ptr;
use std::sync::Mutex as StdMutex;

use super::{Arc, AtomicPtr, AtomicUsize, Ordering};

/// A value that is written once.
///
/// Unlike the standard library's it lets two threads initialise it at a time, and keeps the first that is done.
#[derive(Debug)]
pub(crate) struct OnceLock<T>(AtomicPtr<T>);

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        OnceLock(AtomicPtr::new(ptr::null_mut()))
    }

    pub(crate) fn get(&self) -> Option<&T> {
        // Acquire: pairs with the Release exchange in `set`, as in the standard library's.
        // SAFETY: null, or leaked in `set`; freed when `self` is dropped.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        let new = Box::into_raw(Box::new(value));
        // AcqRel: Release publishes the value to the Acquire load in `get`.
        match self.0.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            // SAFETY: the exchange failed, so the box is still ours.
            Err(_) => Err(*unsafe { Box::from_raw(new) }),
        }
    }

    pub(crate) fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        drop(self.set(init()));
        match self.get() {
            Some(value) => value,
            None => unreachable!("set just now"),
        }
    }

    pub(crate) fn take(&mut self) -> Option<T> {
        // Relaxed: who has it exclusively is ordered after all others.
        let value = self.0.swap(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: not null, so leaked in `set`, and nobody else has it.
        (!value.is_null()).then(|| *unsafe { Box::from_raw(value) })
    }
}

impl<T> Drop for OnceLock<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

// SAFETY: as for the standard library's.
unsafe impl<T: Send> Send for OnceLock<T> {}
// SAFETY: as for the standard library's.
unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}

/// arc-swap's contract: a store happens before the loads that return what it stored, and a load returns what was stored
/// last. How arc-swap does that is not what is checked.
pub(crate) struct ArcSwapOption<T> {
    /// At which a model checker branches, and which carries the order.
    stores: AtomicUsize,
    current: StdMutex<Option<Arc<T>>>,
}

impl<T> ArcSwapOption<T> {
    pub(crate) fn const_empty() -> Self {
        ArcSwapOption { stores: AtomicUsize::new(0), current: StdMutex::new(None) }
    }

    pub(crate) fn store(&self, new: Option<Arc<T>>) {
        // AcqRel: Release pairs with the Acquire in `load_full`; Acquire orders the drop of the old value.
        self.stores.fetch_add(1, Ordering::AcqRel);
        let old = std::mem::replace(&mut *self.current.lock().unwrap(), new);
        drop(old);
    }

    pub(crate) fn load_full(&self) -> Option<Arc<T>> {
        // Acquire: pairs with the Release in `store`. An exchange, so that it reads the last one.
        self.stores.fetch_add(0, Ordering::Acquire);
        self.current.lock().unwrap().clone()
    }
}
