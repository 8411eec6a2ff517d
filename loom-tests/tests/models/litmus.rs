//! The epoch by itself: a ticket is not due while a guard of before may still be used.

#![cfg_attr(readmostly_contract, allow(unused_imports, reason = "most of these models need an epoch"))]

use std::cell::Cell;
use std::rc::Rc;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, Ordering};
use readmostly::epoch::{self, Link, Ticket, Turns};
use readmostly::interrupts;
use readmostly_loom_tests::{check, check_bounded, check_scripted};

/// Something that a link leads to until it is retired, and that is freed when its ticket is due.
struct Object {
    link: Link,
    memory: UnsafeCell<u64>,
    freed: Cell<bool>,
}

impl Object {
    fn new() -> Rc<Self> {
        Rc::new(Object { link: Link::to(1), memory: UnsafeCell::new(7), freed: Cell::new(false) })
    }

    /// Whether it was still there.
    fn read(&self) -> bool {
        let there = self.link.follow() == 1;
        if there {
            self.read_what_was_found();
        }
        there
    }

    fn read_what_was_found(&self) -> bool {
        assert!(!self.freed.get(), "used after it was freed");
        // SAFETY: not freed, which is what loom checks.
        self.memory.with(|number| assert_eq!(unsafe { *number }, 7));
        true
    }

    fn retire(&self) -> Ticket {
        let guard = epoch::pin();
        self.link.cut();
        Ticket::issue(&guard)
    }

    /// Whether it could be freed.
    fn free(&self, ticket: &Ticket) -> bool {
        let due = ticket.is_due();
        if due {
            self.freed.set(true);
            self.memory.with_mut(|_| ());
        }
        due
    }
}

fn advance(times: usize) {
    for _ in 0..times {
        epoch::advance(&epoch::pin());
    }
}

fn read_under_a_guard(object: &Object) -> bool {
    let _guard = epoch::pin();
    object.read()
}

/// A reader and a writer that retires, with the outcome (read, freed).
fn reader_and_writer() -> (bool, bool) {
    let object = Object::new();
    let other = Rc::clone(&object);
    let writer = spawn(move || {
        let ticket = other.retire();
        advance(3);
        other.free(&ticket)
    });
    let read = interrupts::running(|| read_under_a_guard(&object));
    (read, writer.join().unwrap())
}

/// As above, with a third thread that moves the epoch on its own: it may have begun before the writer did.
fn reader_writer_and_helper(advances: usize) -> (bool, bool) {
    let object = Object::new();
    let other = Rc::clone(&object);
    let writer = spawn(move || {
        let ticket = other.retire();
        advance(advances);
        other.free(&ticket)
    });
    let reading = Rc::clone(&object);
    let reader = spawn(move || read_under_a_guard(&reading));
    interrupts::running(|| advance(1));
    (reader.join().unwrap(), writer.join().unwrap())
}

fn spawn<R: 'static>(f: impl FnOnce() -> R + 'static) -> loom::thread::JoinHandle<R> {
    loom::thread::spawn(move || interrupts::running(f))
}

const ALL: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

#[test]
pub(crate) fn a_ticket_waits_for_a_reader() {
    check(ALL, || {
        interrupts::disable();
        reader_and_writer()
    });
}

/// With the barrier that interrupts other threads in place of fences in pins.
#[cfg(not(any(readmostly_contract, readmostly_crossbeam)))]
#[test]
pub(crate) fn a_ticket_waits_for_a_reader_with_membarrier() {
    check(ALL, || {
        interrupts::enable();
        reader_and_writer()
    });
}

#[test]
#[cfg_attr(readmostly_crossbeam, ignore = "three threads with crossbeam-epoch take hours")]
pub(crate) fn a_ticket_waits_whoever_moves_the_epoch() {
    check_bounded(ALL, || {
        interrupts::disable();
        reader_writer_and_helper(2)
    });
}

#[cfg(not(any(readmostly_contract, readmostly_crossbeam)))]
#[test]
pub(crate) fn a_ticket_waits_whoever_moves_the_epoch_with_membarrier() {
    check_bounded(ALL, || {
        interrupts::enable();
        reader_writer_and_helper(2)
    });
}

/// The one who frees is not the one who has read and then moved the epoch: found due, the ticket tells of the reads.
///
/// Not for the stand-in, whose tickets are due as soon as they can be.
#[cfg(not(readmostly_contract))]
#[test]
pub(crate) fn a_ticket_tells_what_others_have_seen() {
    check_scripted([(true, true), (true, false)], || {
        interrupts::disable();
        let (object, turns) = (Object::new(), Rc::new(Turns::new()));
        let (others, their_turns) = (Rc::clone(&object), Rc::clone(&turns));
        let writer = spawn(move || {
            their_turns.wait_for(1);
            let ticket = others.retire();
            their_turns.begin(2);
            their_turns.wait_for(3);
            others.free(&ticket)
        });
        let read = read_under_a_guard(&object);
        turns.begin(1);
        turns.wait_for(2);
        advance(4);
        turns.begin(3);
        (read, writer.join().unwrap())
    });
}

/// The one who frees has not moved the epoch, and may have looked at it late: a ticket is no older than what it is for,
/// and found due it comes after all that was read.
#[test]
#[cfg_attr(readmostly_crossbeam, ignore = "three threads with crossbeam-epoch take hours")]
pub(crate) fn a_ticket_waits_when_others_move_the_epoch() {
    check_bounded(ALL, || {
        interrupts::disable();
        let object = Object::new();
        let other = Rc::clone(&object);
        let writer = spawn(move || {
            let ticket = other.retire();
            other.free(&ticket)
        });
        let helper = spawn(|| advance(3));
        let read = read_under_a_guard(&object);
        helper.join().unwrap();
        (read, writer.join().unwrap())
    });
}

/// The cut comes after the first step, but the writer takes the epoch for what it was before; the reader pins after the
/// second, in which it was interrupted before the writer was. These are more switches than a model can try, so they are
/// prescribed.
///
/// The link is made by a thread that does not read it: loom has none read again, after it yielded, what it knew before.
#[cfg(not(any(readmostly_contract, readmostly_crossbeam)))]
#[test]
pub(crate) fn a_cut_is_seen_by_who_pins_two_steps_later() {
    check_scripted([(false, true), (false, false)], || {
        interrupts::enable();
        let (object, turns) = (Object::new(), Rc::new(Turns::new()));
        let interrupted = Rc::new(AtomicBool::new(false));
        let (others, their_turns, other_was) = (Rc::clone(&object), Rc::clone(&turns), Rc::clone(&interrupted));
        let writer = spawn(move || {
            their_turns.wait_for(2);
            let ticket = others.retire();
            their_turns.begin(3);
            // Takes no interrupt meanwhile, and orders nothing.
            while !other_was.load(Ordering::Relaxed) {
                loom::thread::yield_now();
            }
            their_turns.wait_for(6);
            let freed = others.free(&ticket);
            their_turns.begin(7);
            freed
        });
        let their_turns = Rc::clone(&turns);
        let reader = spawn(move || {
            their_turns.begin(1);
            their_turns.wait_until(|_| interrupts::taken() == 2);
            // Relaxed: orders nothing.
            interrupted.store(true, Ordering::Relaxed);
            their_turns.wait_for(4);
            let _guard = epoch::pin();
            let there = object.link.follow() == 1;
            their_turns.begin(5);
            their_turns.wait_for(7);
            there && object.read_what_was_found()
        });
        interrupts::running(|| {
            for turn in [1, 3, 5] {
                turns.wait_for(turn);
                advance(1);
                turns.begin(turn + 1);
            }
        });
        (reader.join().unwrap(), writer.join().unwrap())
    });
}

/// The reader was let in by the first step, before the writer's cut, and reads on until the last one looks at its
/// record: nothing but that look orders the reads before the free. `then` is what it does with its guard.
#[cfg(not(any(readmostly_contract, readmostly_crossbeam)))]
fn reads_until_the_last_step(then: fn(epoch::Guard) -> Option<epoch::Guard>) {
    check_scripted([(true, true), (true, false)], move || {
        interrupts::enable();
        let (object, turns) = (Object::new(), Rc::new(Turns::new()));
        let (others, their_turns) = (Rc::clone(&object), Rc::clone(&turns));
        let writer = spawn(move || {
            their_turns.wait_for(2);
            let ticket = others.retire();
            their_turns.begin(3);
            their_turns.wait_for(5);
            others.free(&ticket)
        });
        let their_turns = Rc::clone(&turns);
        let helper = spawn(move || {
            advance(1);
            their_turns.begin(1);
            their_turns.wait_for(3);
            advance(1);
            their_turns.begin(4);
            advance(1);
            their_turns.begin(5);
        });
        let (read, guard) = interrupts::running(|| {
            turns.wait_for(1);
            let guard = epoch::pin();
            let there = object.link.follow() == 1;
            turns.begin(2);
            turns.wait_for(4);
            let read = there && object.read_what_was_found();
            let guard = then(guard);
            turns.wait_for(5);
            (read, guard)
        });
        helper.join().unwrap();
        let freed = writer.join().unwrap();
        drop(guard);
        (read, freed)
    });
}

#[cfg(not(any(readmostly_contract, readmostly_crossbeam)))]
#[test]
pub(crate) fn the_last_step_finds_the_reader_gone() {
    reads_until_the_last_step(|guard| {
        drop(guard);
        None
    });
}

#[cfg(not(any(readmostly_contract, readmostly_crossbeam)))]
#[test]
pub(crate) fn the_last_step_finds_the_reader_pinned_anew() {
    reads_until_the_last_step(|guard| {
        drop(guard);
        Some(epoch::pin())
    });
}

/// Two steps are not enough: a step that began before the link was cut may let a reader in that has not seen the cut,
/// and the next finds the reader in the epoch that it expects.
#[cfg(not(any(readmostly_contract, readmostly_crossbeam)))]
#[test]
pub(crate) fn a_ticket_waits_for_a_third_step() {
    check_bounded([(true, false), (false, false), (false, true)], || {
        interrupts::enable();
        let object = Object::new();
        let other = Rc::clone(&object);
        let writer = loom::thread::spawn(move || {
            let ticket = other.retire();
            advance(1);
            other.free(&ticket)
        });
        let helper = loom::thread::spawn(|| advance(1));
        let (guard, read) = interrupts::running(|| {
            let guard = epoch::pin();
            (guard, object.read())
        });
        helper.join().unwrap();
        let freed = writer.join().unwrap();
        drop(guard);
        (read, freed)
    });
}

/// The outer guard protects until it goes, whatever inner ones do.
#[test]
pub(crate) fn an_outer_guard_protects_beyond_an_inner_one() {
    check(ALL, || {
        interrupts::disable();
        let object = Object::new();
        let other = Rc::clone(&object);
        let writer = spawn(move || {
            let ticket = other.retire();
            advance(3);
            other.free(&ticket)
        });
        let outer = epoch::pin();
        let there = object.link.follow() == 1;
        drop(outer.nest());
        drop(epoch::pin());
        let read = there && object.read_what_was_found();
        drop(outer);
        (read, writer.join().unwrap())
    });
}

/// A guard renewed protects what is found after that, and no more holds back what was retired before.
#[test]
pub(crate) fn a_renewed_guard_protects() {
    check(ALL, || {
        interrupts::disable();
        let object = Object::new();
        let other = Rc::clone(&object);
        let writer = spawn(move || {
            let ticket = other.retire();
            advance(3);
            other.free(&ticket)
        });
        let mut guard = epoch::pin();
        object.read();
        guard.repin();
        let read = object.read();
        drop(guard);
        (read, writer.join().unwrap())
    });
}

/// The record that an advance finds may be that of a second guard; what happened under the first is over all the same.
#[test]
pub(crate) fn a_second_guard_tells_of_the_first() {
    check(ALL, || {
        interrupts::disable();
        let object = Object::new();
        let other = Rc::clone(&object);
        let writer = spawn(move || {
            let ticket = other.retire();
            advance(3);
            other.free(&ticket)
        });
        let read = read_under_a_guard(&object);
        let second = epoch::pin();
        drop(second);
        (read, writer.join().unwrap())
    });
}

/// A reader that pins and has another thread follow the link, and a writer, with the outcome (read, freed). The reader
/// takes no interrupts while it waits: it does not run, and the barrier of the writer goes past it.
fn lender_and_writer() -> (bool, bool) {
    let object = Object::new();
    let others = Rc::clone(&object);
    let writer = spawn(move || {
        let ticket = others.retire();
        advance(3);
        others.free(&ticket)
    });
    let (guard, worker) = interrupts::running(|| {
        let guard = epoch::pin();
        (guard, spawn(move || object.read()))
    });
    let read = worker.join().unwrap();
    interrupts::running(|| drop(guard));
    (read, writer.join().unwrap())
}

#[test]
#[cfg_attr(readmostly_crossbeam, ignore = "three threads with crossbeam-epoch take hours")]
pub(crate) fn a_guard_may_be_lent() {
    check_bounded(ALL, || {
        interrupts::disable();
        lender_and_writer()
    });
}

#[cfg(not(any(readmostly_contract, readmostly_crossbeam)))]
#[test]
pub(crate) fn a_guard_may_be_lent_with_membarrier() {
    check_bounded(ALL, || {
        interrupts::enable();
        lender_and_writer()
    });
}

/// Threads that come late, and one that takes over the record of one that has gone.
#[test]
#[cfg_attr(readmostly_crossbeam, ignore = "three threads with crossbeam-epoch take hours")]
pub(crate) fn records_change_hands() {
    check_bounded([(); 1], || {
        interrupts::disable();
        let object = Object::new();
        let (first, second) = (Rc::clone(&object), Rc::clone(&object));
        let early = spawn(move || read_under_a_guard(&first));
        let writer = spawn(move || {
            let ticket = second.retire();
            advance(3);
            second.free(&ticket);
        });
        early.join().unwrap();
        let third = Rc::clone(&object);
        let late = spawn(move || read_under_a_guard(&third));
        late.join().unwrap();
        writer.join().unwrap();
    });
}
