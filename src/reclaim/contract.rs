//! What an epoch promises, and nothing more: for models of what is built on it.
//!
//! A ticket remembers the guards that exist when it is issued and is due when they are gone. There are no epochs, no
//! advance and no record that lags behind, so models of the map stay small enough to be tried without a bound; models of
//! the real epochs are models of their own.
//!
//! It orders no more than that asks for: what was unreachable before a ticket was issued is not found under guards of
//! after, and what happened under a guard comes before the ticket is found due. No fences: loom's order more than C11's
//! do, and one in each pin would hide what the map lacks. The bookkeeping itself is done in steps that the model checker
//! does not see; [`Marker`], and the exchanges on [`Participants::issued`], tell it that their order matters.

use std::fmt;
use std::marker::PhantomData;

use crate::sync::{AtomicUsize, Ordering, RefCell, global, leak, local};

/// A thread, as far as guards are concerned.
struct Participant {
    state: RefCell<State>,
    /// Which of [`Participants::unpinned`] is its own.
    index: usize,
}

#[derive(Clone, Copy, Default)]
struct State {
    guards: usize,
    /// How often the thread has been pinned: tells its guards of now from those of another time.
    pins: usize,
}

// SAFETY: model checkers run all threads of a model on one thread of the system, and no borrow of `state` lasts beyond
// a function here.
unsafe impl Sync for Participant {}

/// The threads that have ever been pinned.
struct Participants {
    all: RefCell<Vec<&'static Participant>>,
    /// Written when a ticket is issued, read by pins.
    issued: AtomicUsize,
    /// Written at the end of a thread's last guard.
    unpinned: [AtomicUsize; THREADS],
    marker: Marker,
}

/// The most threads of a model.
const THREADS: usize = 8;

/// Tells a model checker in which order of steps things come out differently.
///
/// A checker leaves out schedules that differ only in the order of steps which do not depend on each other, and judges
/// that by the atomics that they access. Ends of guards do not depend on each other; whether a ticket is due depends on
/// them. So the former load this atomic, and who asks tries an exchange on it that fails.
struct Marker(AtomicUsize);

impl Marker {
    fn before_guard_ends(&self) {
        // Relaxed: orders nothing.
        self.0.load(Ordering::Relaxed);
    }

    fn before_guards_are_looked_at(&self) {
        // Relaxed: as above.
        let _ = self.0.compare_exchange(1, 2, Ordering::Relaxed, Ordering::Relaxed);
    }
}

// SAFETY: as for `Participant`.
unsafe impl Sync for Participants {}

global! {
    static PARTICIPANTS: Participants = Participants {
        all: RefCell::new(Vec::new()),
        issued: AtomicUsize::new(0),
        unpinned: [(); THREADS].map(|()| AtomicUsize::new(0)),
        marker: Marker(AtomicUsize::new(0)),
    };
}

local! {
    static OWN: &'static Participant = Participant::register();
}

impl Participant {
    fn register() -> &'static Self {
        let mut all = PARTICIPANTS.all.borrow_mut();
        let own = &*leak(Box::new(Participant { state: RefCell::default(), index: all.len() }));
        all.push(own);
        own
    }

    fn pin(&'static self) -> Guard {
        let first = self.state.borrow().guards == 0;
        if first {
            // Acquire: pairs with the Release exchange in `issue`. An exchange, to read the last one. It and the step
            // that follows are one, since models switch threads before an access and not after.
            PARTICIPANTS.issued.fetch_add(0, Ordering::Acquire);
        }
        let mut state = self.state.borrow_mut();
        state.guards += 1;
        state.pins += usize::from(first);
        drop(state);
        Guard { participant: self, _not_send: PhantomData }
    }
}

/// Keeps everything that was reachable while it exists from being freed.
pub(crate) struct Guard {
    participant: &'static Participant,
    _not_send: PhantomData<*const ()>,
}

/// Pins the current thread.
pub(crate) fn pin() -> Guard {
    OWN.with(|own| own.pin())
}

impl Guard {
    /// A guard that protects what this one does, however long it outlives it.
    pub(crate) fn nest(&self) -> Guard {
        self.participant.pin()
    }

    /// Lets go of what was protected so far and protects from now on.
    pub(crate) fn repin(&mut self) {
        if self.participant.state.borrow().guards == 1 {
            let participant = self.participant;
            participant.leave();
            // The guard that `pin` makes takes the place of this one.
            std::mem::forget(participant.pin());
        }
    }
}

impl Participant {
    fn leave(&self) {
        let guards = self.state.borrow().guards;
        if guards == 1 {
            // Release: pairs with the Acquire exchange in `is_due`. An exchange too, although a store would do: loom takes
            // the order of a store and an exchange on one atomic for open when it is not (tokio-rs/loom#282).
            PARTICIPANTS.unpinned[self.index].fetch_add(1, Ordering::Release);
            PARTICIPANTS.marker.before_guard_ends();
        }
        self.state.borrow_mut().guards -= 1;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.participant.leave();
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

/// Says whether every guard that existed when it was issued is gone: all threads of that moment, with how often each
/// had been pinned if it was pinned then.
pub(super) struct Ticket(Vec<(&'static Participant, Option<usize>)>);

impl Ticket {
    pub(super) fn issue(_guard: &Guard) -> Ticket {
        // Release: pairs with the Acquire exchange in `pin`: who pins from now on sees what was made unreachable.
        PARTICIPANTS.issued.fetch_add(1, Ordering::Release);
        let pinned = |participant: &&'static Participant| {
            let State { guards, pins } = *participant.state.borrow();
            (*participant, (guards > 0).then_some(pins))
        };
        Ticket(PARTICIPANTS.all.borrow().iter().map(pinned).collect())
    }

    pub(super) fn is_due(&self) -> bool {
        PARTICIPANTS.marker.before_guards_are_looked_at();
        let gone = |&(participant, pinned): &(&Participant, Option<usize>)| {
            let State { guards, pins } = *participant.state.borrow();
            guards == 0 || pinned != Some(pins)
        };
        if !self.0.iter().all(gone) {
            return false;
        }
        for (participant, _) in &self.0 {
            // Acquire: pairs with the Release store in `leave`, for guards that were gone before the ticket as well. An
            // exchange, to read the last one.
            PARTICIPANTS.unpinned[participant.index].fetch_add(0, Ordering::Acquire);
        }
        true
    }
}

/// Nothing: tickets do not depend on it.
pub(super) fn advance(_guard: &Guard) {}

/// Nothing, as well.
pub(super) fn advance_sometimes(_guard: &Guard) {}
