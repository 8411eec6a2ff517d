//! The epoch by itself, for models of it.

use super::epoch;
use crate::sync::{AtomicUsize, Ordering, yield_now};

/// What leads to something that is retired.
#[allow(missing_debug_implementations, reason = "says nothing")]
pub struct Link(AtomicUsize);

impl Link {
    /// A link that leads to `target`.
    #[must_use]
    pub fn to(target: usize) -> Self {
        Link(AtomicUsize::new(target))
    }

    /// Where it leads.
    #[must_use]
    pub fn follow(&self) -> usize {
        // Acquire: pairs with the Release in `cut`, as in the map.
        self.0.load(Ordering::Acquire)
    }

    /// Makes it lead nowhere.
    pub fn cut(&self) {
        // Release: pairs with the Acquire in `follow`, as in the map.
        self.0.store(0, Ordering::Release);
    }
}

/// Has threads take turns in a fixed order, and orders no memory.
#[allow(missing_debug_implementations, reason = "says nothing")]
pub struct Turns(AtomicUsize);

impl Turns {
    /// The first turn is 0.
    #[must_use]
    pub fn new() -> Self {
        Turns(AtomicUsize::new(0))
    }

    /// Waits until it is this turn.
    pub fn wait_for(&self, turn: usize) {
        self.wait_until(|now| now == turn);
    }

    /// Waits until `met` says so of the present turn, or of something else.
    pub fn wait_until(&self, met: impl Fn(usize) -> bool) {
        // Relaxed: orders nothing, which is the point.
        while !met(self.0.load(Ordering::Relaxed)) {
            yield_now();
        }
    }

    /// Begins this turn.
    pub fn begin(&self, turn: usize) {
        // Relaxed: as in `wait_for`.
        self.0.store(turn, Ordering::Relaxed);
    }
}

impl Default for Turns {
    fn default() -> Self {
        Turns::new()
    }
}

/// A guard of the epoch.
#[derive(Debug)]
pub struct Guard(epoch::Guard);

/// Pins the current thread.
#[must_use]
pub fn pin() -> Guard {
    Guard(epoch::pin())
}

impl Guard {
    /// Lets go and protects anew.
    pub fn repin(&mut self) {
        self.0.repin();
    }

    /// Another guard of the same protection.
    #[must_use]
    pub fn nest(&self) -> Guard {
        Guard(self.0.nest())
    }
}

/// A moment, and whether all guards of it are gone.
#[allow(missing_debug_implementations, reason = "says nothing")]
pub struct Ticket(epoch::Ticket);

impl Ticket {
    /// Marks this moment.
    #[must_use]
    pub fn issue(guard: &Guard) -> Ticket {
        Ticket(epoch::Ticket::issue(&guard.0))
    }

    /// Whether all guards of the moment are gone.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.0.is_due()
    }
}

/// Tries to bring tickets nearer.
pub fn advance(guard: &Guard) {
    epoch::advance(&guard.0);
}
