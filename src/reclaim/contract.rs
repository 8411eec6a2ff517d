//! What an epoch promises, and nothing more: for models of what is built on it.
//!
//! A ticket remembers the guards that exist when it is issued and is due when they are gone. There are no epochs, no
//! advance and no record that lags behind, so models of the map stay small enough to be tried without a bound; models of
//! the real epochs are models of their own.
//!
//! What a real epoch orders is stated with fences and no more of them than that: what was unreachable before a ticket
//! was issued is not found under guards of after (a fence on both sides), and what happened under a guard comes before
//! the ticket is found due (Release at the end of the guard, Acquire by who asks). The bookkeeping itself is done in
//! steps that the model checker does not see, so that it orders nothing; [`Marker`] tells it that their order matters.

use std::fmt;
use std::marker::PhantomData;

use crate::sync::{AtomicUsize, Ordering, RefCell, fence, global, leak, local};

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
    /// Written at the end of a thread's last guard.
    unpinned: [AtomicUsize; THREADS],
    marker: Marker,
}

/// The most threads of a model.
const THREADS: usize = 8;

/// Tells a model checker in which order of steps things come out differently.
///
/// A checker leaves out schedules that differ only in the order of steps which do not depend on each other, and judges
/// that by the atomics that they access. Beginnings and ends of guards do not depend on each other; tickets depend on
/// both. So the former load this atomic, and the latter try an exchange on it that fails.
struct Marker(AtomicUsize);

impl Marker {
    fn before_guard_changes(&self) {
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
            PARTICIPANTS.marker.before_guard_changes();
        }
        let mut state = self.state.borrow_mut();
        state.guards += 1;
        if first {
            state.pins += 1;
            drop(state);
            // SeqCst: partner of the fence in `issue`; it and the step before are one, since no model switches threads
            // at a fence.
            fence(Ordering::SeqCst);
        }
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
            PARTICIPANTS.marker.before_guard_changes();
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
        PARTICIPANTS.marker.before_guards_are_looked_at();
        // SeqCst: partner of the fence in `pin`.
        fence(Ordering::SeqCst);
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
