//! A load under way, and those who wait for it.
//!
//! ```text
//!                      the loader failed, panicked or was cancelled
//!          ┌──────────────────────────────────────────────────────────────────┐
//!          │                                                                  v
//!       Loading ───────> Landing: the value is being put into the map ──────> Ended
//!          │                                                                  ^
//!          └───────────> Superseded: the value will not be put into the map ──┘
//! ```
//!
//! The lock is held for a change of phase and nothing else: no loader, no waker and no destructor runs under it.
//!
//! Who supersedes a flight that lands waits until it has landed. Landing is an insert, which may run destructors and observers
//! of the user's, and they may use the map in any way; so may those that run when a flight is made known to others, before
//! its loader is called. In both a thread is [`Unwaiting`]: it waits neither for a flight that it would supersede, to
//! which it leaves the removal, nor for a load, which it does for itself. Threads that wait here wait for a loader, or
//! for threads that do not wait. A flight that is left the removal has not ended until it is done, and is found by
//! whoever looks for it until then.

use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::vec;

use crate::sync::{LocalCell, Lock, Locked, block_on, fault, local, thread_index};

local! {
    /// How many [`Unwaiting`] this thread has: one, or more when destructors nest.
    static UNWAITING: LocalCell<usize> = LocalCell::new(0);
}

/// While it exists its thread waits for no flight. It stays on that thread, whose count it is.
pub(super) struct Unwaiting(PhantomData<*const ()>);

impl Unwaiting {
    pub(super) fn begin() -> Self {
        UNWAITING.with(|count| count.set(count.get() + 1));
        Unwaiting(PhantomData)
    }

    fn is_here() -> bool {
        UNWAITING.with(LocalCell::get) > 0
    }
}

impl Drop for Unwaiting {
    fn drop(&mut self) {
        UNWAITING.with(|count| count.set(count.get() - 1));
    }
}

/// What has become of a load.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The loader runs.
    Loading,
    /// What was loaded is being put into the map; is it to be removed again?
    Landing { is_superseded: bool },
    /// The loader runs, and what it returns will not be put into the map.
    Superseded,
    /// Nothing more will come of it.
    Ended,
}

impl Phase {
    fn goes_on(self) -> bool {
        matches!(self, Phase::Loading | Phase::Landing { .. })
    }
}

struct State {
    phase: Phase,
    /// A place for each [`Wait`] that has been polled. Emptied when the phase changes to one that nobody waits for.
    waiting: Vec<Option<Waker>>,
}

/// A load under way.
pub(super) struct Flight {
    state: Lock<State>,
    /// The index of the thread that runs the loader, if that does so from beginning to end.
    leader: Option<usize>,
}

impl Flight {
    fn new(leader: Option<usize>) -> Self {
        Flight { state: Lock::new(State { phase: Phase::Loading, waiting: Vec::new() }), leader }
    }

    /// One whose loader this thread runs, without doing anything else meanwhile.
    pub(super) fn led_here() -> Self {
        Self::new(Some(thread_index()))
    }

    /// One whose loader is polled.
    pub(super) fn led_anywhere() -> Self {
        Self::new(None)
    }

    /// Whether this thread must not wait for it: the loader runs further up its own stack, or is to run there, or may come
    /// to wait for what this thread does further up.
    pub(super) fn must_not_wait(&self) -> bool {
        self.leader == Some(thread_index()) || Unwaiting::is_here()
    }

    /// Whether it is worth waiting for.
    pub(super) fn goes_on(&self) -> bool {
        self.state.lock().phase.goes_on()
    }

    /// Whether what was loaded may be put into the map, by a thread that is [`Unwaiting`] until the flight has ended.
    pub(super) fn land(&self) -> bool {
        let mut state = self.state.lock();
        let is_current = state.phase == Phase::Loading;
        if is_current {
            state.phase = Phase::Landing { is_superseded: false };
        }
        is_current || fault!(LandSuperseded)
    }

    /// Ends the flight and wakes all who wait, unless it lands and what has landed is to be removed again first: then it
    /// does not end, and the answer is no.
    pub(super) fn try_end(&self) -> bool {
        let state = self.state.lock();
        let is_to_end = !matches!(state.phase, Phase::Landing { is_superseded: true });
        if is_to_end {
            Self::end_in(state);
        }
        is_to_end
    }

    /// Ends the flight, whatever its phase, and wakes all who wait.
    pub(super) fn end(&self) {
        Self::end_in(self.state.lock());
    }

    fn end_in(mut state: Locked<'_, State>) {
        state.phase = Phase::Ended;
        let mut waiting = mem::take(&mut state.waiting);
        drop(state);
        if fault!(WakeOne) {
            waiting.truncate(1);
        }
        drop(Waiting::new(waiting));
    }

    /// Keeps what is being loaded out of the map. What has landed is in the map when this returns `Some`, to be removed
    /// by the caller, who then drops it, which wakes those who wait. `None`: this thread cannot wait for that, and the
    /// flight, which goes on, will remove it.
    pub(super) fn supersede(&self) -> Option<Waiting> {
        let mut state = self.state.lock();
        let waiting = match &mut state.phase {
            Phase::Loading => {
                state.phase = Phase::Superseded;
                mem::take(&mut state.waiting)
            }
            Phase::Landing { is_superseded } if Unwaiting::is_here() => {
                *is_superseded = true;
                return None;
            }
            Phase::Landing { .. } => {
                drop(state);
                block_on(self.wait_while(|phase| matches!(phase, Phase::Landing { .. })));
                Vec::new()
            }
            Phase::Superseded | Phase::Ended => Vec::new(),
        };
        Some(Waiting::new(waiting))
    }

    /// Waits until the load has ended, or nothing will come of it for those who wait.
    pub(super) fn wait(&self) -> impl Future<Output = ()> {
        self.wait_while(Phase::goes_on)
    }

    fn wait_while(&self, goes_on: fn(Phase) -> bool) -> Wait<'_> {
        Wait { flight: self, goes_on, place: None }
    }
}

/// Those who wait for a flight that is over, to be woken by its drop: with the lock released, since wakers run the
/// executor's code and may drop tasks. All are woken, also if one panics. Until then this thread does not wait in turn.
pub(super) struct Waiting(vec::IntoIter<Option<Waker>>, Unwaiting);

impl Waiting {
    fn new(waiting: Vec<Option<Waker>>) -> Self {
        Waiting(waiting.into_iter(), Unwaiting::begin())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        struct Rest<'a>(&'a mut vec::IntoIter<Option<Waker>>);

        impl Drop for Rest<'_> {
            fn drop(&mut self) {
                self.0.flatten().for_each(Waker::wake);
            }
        }

        let rest = Rest(&mut self.0);
        rest.0.by_ref().flatten().for_each(Waker::wake);
    }
}

/// Waits while a flight is in certain phases.
struct Wait<'f> {
    flight: &'f Flight,
    goes_on: fn(Phase) -> bool,
    /// Where in `waiting` this one's waker is.
    place: Option<usize>,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut waker = Some(context.waker().clone());
        let mut state = self.flight.state.lock();
        if !(self.goes_on)(state.phase) {
            return Poll::Ready(());
        }
        match self.place {
            Some(place) => mem::swap(&mut state.waiting[place], &mut waker),
            None => {
                self.place = Some(state.waiting.len());
                state.waiting.push(waker.take());
            }
        }
        drop(state);
        // The waker of the poll before, if any, goes here: with the lock released.
        drop(waker);
        Poll::Pending
    }
}

/// Takes the waker back, and so lets the task's memory go, when a waiting task is cancelled.
impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let mut state = self.flight.state.lock();
        let waker = state.waiting.get_mut(place).map(mem::take);
        // Who waits has a waker in its place, so those that are empty at the end are nobody's.
        while let Some(None) = state.waiting.last() {
            state.waiting.pop();
        }
        drop(state);
        drop(waker);
    }
}

#[cfg(all(test, not(any(readmostly_loom, readmostly_shuttle))))]
mod tests {
    use std::pin::pin;

    use super::*;

    #[test]
    fn waits_that_are_given_up_leave_no_place_behind() {
        let flight = Flight::led_anywhere();
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut stays = pin!(flight.wait());
            assert!(stays.as_mut().poll(&mut context).is_pending());
            for _ in 0..100 {
                assert!(pin!(flight.wait()).poll(&mut context).is_pending());
            }
            assert_eq!(flight.state.lock().waiting.len(), 1);
        }
        assert!(flight.state.lock().waiting.is_empty());
    }
}
