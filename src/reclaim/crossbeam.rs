//! The epoch of crossbeam-epoch.

use std::fmt;
use std::ptr;

use crossbeam_epoch::{Collector, LocalHandle};

use crate::sync::{Arc, AtomicBool, LocalCell, OnceLock, Ordering, global, leak, local, local_with_drop};

/// Keeps everything that was reachable while it exists from being freed.
pub(crate) struct Guard(crossbeam_epoch::Guard);

/// The collector of this crate alone: a guard that other users of crossbeam-epoch hold for long delays nothing here,
/// and collecting here runs none of their destructors.
fn collector() -> &'static Collector {
    global! {
        static COLLECTOR: OnceLock<Collector> = OnceLock::new();
    }
    COLLECTOR.get_or_init(Collector::new)
}

/// This thread's registration with the collector; taken back when the thread ends.
struct Participant(LocalHandle);

impl Drop for Participant {
    fn drop(&mut self) {
        // Fails where thread-locals go in any order, and then nothing pins after this.
        let _ = HANDLE.try_with(|handle| handle.set(ptr::null()));
    }
}

local! {
    /// The handle in `PARTICIPANT`, or null before that is initialised and after it is gone.
    ///
    /// Apart from it because a thread-local that is initialised lazily and has a destructor costs a check of its state
    /// each time, a third of the cost of a pin.
    static HANDLE: LocalCell<*const LocalHandle> = LocalCell::new(ptr::null());
}

local_with_drop! {
    static PARTICIPANT: Participant = Participant(collector().register());
}

/// Pins the current thread.
#[inline]
pub(crate) fn pin() -> Guard {
    let handle = HANDLE.with(LocalCell::get);
    if handle.is_null() {
        return pin_first();
    }
    // SAFETY: not null, so it points into this thread's `PARTICIPANT`, which resets it before it is destroyed.
    Guard(unsafe { &*handle }.pin())
}

/// Pins a thread that has not registered yet, or one that ends and has taken its registration back.
#[cold]
fn pin_first() -> Guard {
    let guard = PARTICIPANT.try_with(|participant| {
        HANDLE.with(|handle| handle.set(&raw const participant.0));
        participant.0.pin()
    });
    Guard(guard.unwrap_or_else(|_| {
        // A destructor of another thread-local uses a map after this one's is gone. It gets a registration that stays,
        // so that guards nest in one another as they do elsewhere.
        let leaked: &'static LocalHandle = leak(Box::new(collector().register()));
        HANDLE.with(|handle| handle.set(leaked));
        leaked.pin()
    }))
}

impl Guard {
    /// A guard that protects what this one does, however long it outlives it.
    pub(crate) fn nest(&self) -> Guard {
        // All guards of a thread belong to one participant, which stays pinned where it is while any of them exists.
        pin()
    }

    /// Lets go of what was protected so far and protects from now on.
    ///
    /// Takes `&mut self`, so that no reference obtained under the guard survives the call.
    #[inline]
    pub(crate) fn repin(&mut self) {
        // Not `repin`, which moves the record without the fence that a pin has: a processor could have looked at links
        // before that.
        self.0.repin_after(|| ());
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

/// Says whether every guard that existed when it was issued is gone.
pub(super) struct Ticket(Arc<AtomicBool>);

impl Ticket {
    /// What is deferred through the epoch is one store to the ticket. So a collection, which crossbeam-epoch runs in
    /// bursts and on whoever happens to pin, executes a few stores and never a destructor of the user's.
    pub(super) fn issue(guard: &Guard) -> Ticket {
        let due = Arc::new(AtomicBool::new(false));
        let ticket = Ticket(Arc::clone(&due));
        // Release: pairs with the Acquire load in `is_due`. The epoch has ordered every read made under the older
        // guards before this function runs; the pair carries that on to the thread that frees.
        guard.0.defer(move || due.store(true, Ordering::Release));
        // Hand the deferred store over at once: it must not wait for this thread to fill a bag.
        advance(guard);
        ticket
    }

    pub(super) fn is_due(&self) -> bool {
        // Acquire: pairs with the Release store of the function deferred in `issue`.
        self.0.load(Ordering::Acquire)
    }
}

/// Tries to move the epoch.
pub(super) fn advance(guard: &Guard) {
    guard.0.flush();
}

/// The same: crossbeam-epoch decides for itself how much to do.
pub(super) fn advance_sometimes(guard: &Guard) {
    advance(guard);
}
