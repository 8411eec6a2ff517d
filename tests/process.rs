//! What the process around a map may do: lie idle, `fork`, take signals, end. docs/reclamation.md says what holds then.

#![cfg(unix)]
#![allow(unsafe_code, reason = "the calls of the system have no safe interface")]

mod common;

use std::cell::RefCell;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;
use std::{process, ptr, thread};

use common::{Counted, Tally, race, within};
use readmostly::SyncMap;

type Map = SyncMap<Counted, Counted>;

/// One test at a time, so that no guards but the test's own hold anything back.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A map of `entries` entries, and the tallies of its keys and values.
fn filled(entries: u32) -> (Map, Tally, Tally) {
    let (keys, values) = (Tally::default(), Tally::default());
    let map = (0..entries).map(|id| (keys.make(id), values.make(id))).collect();
    (map, keys, values)
}

/// Replaces each of the first hundred values, ten times.
fn overwrite(map: &Map, keys: &Tally, values: &Tally) {
    for id in (0..1000).map(|n| n % 100) {
        assert!(map.insert(keys.make(id), values.make(id)).is_some_and(|old| old.id() == id));
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Idle threads, and stalled ones

/// A thread that waits until it is let go of: by a drop, so that a test which fails ends.
fn waiter() -> (mpsc::Sender<()>, impl FnOnce() + Send) {
    let (held, wait) = mpsc::channel();
    (held, move || {
        let _ = wait.recv();
    })
}

#[test]
fn one_flush_frees_everything_in_an_idle_process() {
    let _alone = alone();
    let (map, keys, values) = filled(100);
    let (idles, is_idle) = mpsc::channel();
    thread::scope(|scope| {
        let (lives_on, until_let_go) = waiter();
        let (map, keys, values) = (&map, &keys, &values);
        scope.spawn(move || {
            overwrite(map, keys, values);
            let _ = idles.send(());
            until_let_go();
        });
        let ends = scope.spawn(|| overwrite(map, keys, values));
        ends.join().expect("it ends");
        is_idle.recv().expect("the other idles");
        assert!(map.stats().pending_garbage > 0, "a few things wait for the next operations");
        map.flush();
        assert_eq!((map.stats().pending_garbage, values.live()), (0, 100));
        drop(lives_on);
    });
}

/// What is freed waits for a reader. Nothing else does, and the figures say how much it is.
#[test]
fn a_stalled_reader_delays_freeing_alone() {
    let _alone = alone();
    let (map, keys, values) = filled(100);
    let map = Arc::new(map);
    let (stalls, is_stalled) = mpsc::channel();
    thread::scope(|scope| {
        let (stalled, until_let_go) = waiter();
        let read = &map;
        scope.spawn(move || {
            let entry = read.get(&7).expect("present");
            let _ = stalls.send(());
            until_let_go();
            assert_eq!(entry.value().id(), 7);
        });
        is_stalled.recv().expect("the reader runs");
        let (busy, keys, new_values) = (Arc::clone(&map), keys.clone(), values.clone());
        // In a thread that is given up if an operation does not end.
        within(Duration::from_secs(60), move || {
            overwrite(&busy, &keys, &new_values);
            (100..1000).for_each(|id| drop(busy.insert(keys.make(id), new_values.make(id))));
            (500..1000).for_each(|id| drop(busy.remove(&id)));
            busy.compact();
            assert_eq!(busy.pin().iter().count(), 500);
            busy.flush();
        });
        // The values that were replaced or removed, and the tables and nodes that were left behind besides.
        assert_eq!(values.live(), 1000 + 1000);
        assert!(map.stats().pending_garbage >= 1500, "{}", map.stats());
        drop(stalled);
    });
    map.flush();
    assert_eq!((map.stats().pending_garbage, values.live(), keys.live()), (0, 500, 500));
}

// ---------------------------------------------------------------------------------------------------------------------
// Children

/// What a child that panics ends with.
const PANICKED: i32 = 101;

/// Runs `work` in a child made by `fork`, and says what that ended with; 0 if `work` returned.
fn in_child(work: impl FnOnce()) -> i32 {
    // SAFETY: as far as the C library goes the child does no more than allocate, start threads and end, which the
    // libraries that this is tested with allow.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "a child can be made");
    if child == 0 {
        // SAFETY: changes nothing but when this process is ended, should it hang.
        unsafe { libc::alarm(60) };
        let panic = catch_unwind(AssertUnwindSafe(work)).err();
        if let Some(said) = panic.as_ref().and_then(|panic| panic.downcast_ref::<String>()) {
            // Directly: what a test prints is shown by the process that runs it, which this is not.
            let _ = writeln!(io::stderr(), "in the child: {said}");
        }
        // SAFETY: ends the process. The test harness, of which this has a copy, must not go on.
        unsafe { libc::_exit(if panic.is_some() { PANICKED } else { 0 }) };
    }
    let mut status = 0;
    // SAFETY: `status` is written to, nothing else.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status), "the child was ended by signal {}", libc::WTERMSIG(status));
    libc::WEXITSTATUS(status)
}

/// A child has the barrier too, and what its parent had retired is freed in both.
#[test]
fn a_child_goes_on_with_its_copy() {
    let _alone = alone();
    let (map, keys, values) = filled(100);
    overwrite(&map, &keys, &values);
    // So that the child can drop it while the parent keeps its own.
    let map = RefCell::new(Some(map));
    let status = in_child(|| {
        let map = map.take().expect("not taken in this process");
        assert_eq!(map.get(&7).map(|entry| entry.value().id()), Some(7));
        map.flush();
        assert_eq!((map.stats().pending_garbage, values.live()), (0, 100), "what the parent retired");
        race(2, |_| overwrite(&map, &keys, &values));
        (100..1000).for_each(|id| drop(map.insert(keys.make(id), values.make(id))));
        assert!(map.remove(&7).is_some());
        map.compact();
        map.flush();
        assert_eq!((map.stats().pending_garbage, values.live()), (0, 999));
        drop(map);
        assert_eq!((keys.live(), values.live()), (0, 0));
    });
    assert_eq!(status, 0);
    let map = map.take().expect("taken in the child alone");
    map.flush();
    assert_eq!((map.len(), map.stats().pending_garbage, values.live()), (100, 0, 100));
}

/// The child has no such thread, but what its guard protects may have been lent to the one that it has.
#[test]
fn what_another_thread_has_pinned_stays_in_a_child() {
    let _alone = alone();
    let (map, keys, values) = filled(100);
    let map = Box::into_raw(Box::new(map));
    // SAFETY: a box of its own, freed below.
    let shared = unsafe { &*map };
    let pinned = shared.pin();
    let lent = pinned.get(&7).expect("present");
    thread::scope(|scope| {
        let (keys, values, map) = (&keys, &values, ptr::from_ref(shared).expose_provenance());
        scope.spawn(move || {
            let status = in_child(|| {
                overwrite(shared, keys, values);
                shared.flush();
                assert_eq!((shared.stats().pending_garbage, values.live()), (1000, 1100), "nothing is freed");
                assert_eq!(lent.id(), 7);
                // SAFETY: what borrows the map is on the stack of a thread that this process does not have, but for `lent`
                // and `shared`, which are not used again.
                drop(unsafe { Box::from_raw(ptr::with_exposed_provenance_mut::<Map>(map)) });
                assert_eq!((keys.live(), values.live()), (0, 0), "a map frees what is its own");
            });
            assert_eq!(status, 0);
        });
    });
    drop(pinned);
    overwrite(shared, &keys, &values);
    shared.flush();
    assert_eq!((shared.stats().pending_garbage, values.live()), (0, 100));
    // SAFETY: made above, and no longer used.
    drop(unsafe { Box::from_raw(map) });
}

// ---------------------------------------------------------------------------------------------------------------------
// The end

/// `exit` runs the destructors of this thread's thread-locals while other threads go on as if nothing were.
#[test]
fn a_process_may_end_under_its_threads() {
    static MAP: SyncMap<u64, String> = SyncMap::new();

    struct AtExit;
    impl Drop for AtExit {
        fn drop(&mut self) {
            MAP.insert(1, "at the end".into());
            assert!(MAP.get(&1).is_some());
            MAP.flush();
        }
    }
    thread_local!(static AT_EXIT: RefCell<Option<AtExit>> = const { RefCell::new(None) });

    let _alone = alone();
    for round in 0..20 {
        let status = in_child(|| {
            // Before the first pin, so that it is destroyed after what the pin registers.
            AT_EXIT.set(Some(AtExit));
            assert!(MAP.get(&1).is_none());
            let (busy, are_busy) = mpsc::channel();
            for thread in 0..4 {
                let busy = busy.clone();
                thread::spawn(move || {
                    for key in 0.. {
                        MAP.insert(key % 1000, key.to_string());
                        assert!(MAP.get(&(key % 1000)).is_some());
                        if key == 100 * thread {
                            let _ = busy.send(());
                        }
                    }
                });
            }
            (0..4).for_each(|_| are_busy.recv().expect("all of them run"));
            process::exit(3);
        });
        assert_eq!(status, 3, "round {round}");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Signals

/// A pin of crossbeam-epoch may collect, which allocates and frees; so there no lookup may be done in a handler.
#[cfg(all(target_os = "linux", not(readmostly_crossbeam)))]
mod signals {
    use std::hint;
    use std::mem;
    use std::os::unix::thread::JoinHandleExt;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
    use std::time::Instant;

    use super::*;

    const SIGNALS: usize = 1000;

    /// How long a handler looks at what it has found. Long enough for a flush, many times over.
    const LOOK: Duration = Duration::from_millis(1);

    /// How long the thread waits for a handler while it holds something: about as long as it then pins and unpins.
    const HOLD: Duration = Duration::from_micros(20);

    static MAP: SyncMap<u32, Value> = SyncMap::new();
    static DROPPED: [AtomicBool; 1 << 20] = [const { AtomicBool::new(false) }; 1 << 20];
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    static HANDLED: AtomicUsize = AtomicUsize::new(0);
    static LOST: AtomicUsize = AtomicUsize::new(0);

    /// Its drop is noted outside of it.
    struct Value(usize);

    impl Drop for Value {
        fn drop(&mut self) {
            DROPPED[self.0].store(true, SeqCst);
        }
    }

    /// Counts a value that is dropped while it is looked at.
    fn look_at(&Value(found): &Value) {
        let since = Instant::now();
        while !DROPPED[found].load(SeqCst) && since.elapsed() < LOOK {
            hint::spin_loop();
        }
        LOST.fetch_add(usize::from(DROPPED[found].load(SeqCst)), SeqCst);
    }

    extern "C" fn look(_signal: libc::c_int) {
        if let Some(entry) = MAP.get(&0) {
            look_at(entry.value());
        }
        HANDLED.fetch_add(1, SeqCst);
    }

    /// Holds a value, and looks at it if a handler has run meanwhile.
    fn hold_under_a_handler() {
        let entry = MAP.get(&0).expect("always present");
        let (handled, since) = (HANDLED.load(SeqCst), Instant::now());
        while HANDLED.load(SeqCst) == handled && since.elapsed() < HOLD {
            hint::spin_loop();
        }
        if HANDLED.load(SeqCst) != handled {
            look_at(entry.value());
        }
    }

    /// Signals that come at any point of a pin or unpin find, and keep, what they look up, and the thread keeps what it
    /// has found.
    #[test]
    fn a_handler_may_look_things_up() {
        let _alone = alone();
        MAP.insert(0, Value(0));
        MAP.insert(1, Value(1));
        // SAFETY: the handler does what this test is to show it may.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = look as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESTART;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()), 0);
        }
        let writer = thread::spawn(|| {
            for next in 2.. {
                MAP.insert(0, Value(next));
                MAP.flush();
                if IS_OVER.load(SeqCst) {
                    break;
                }
            }
        });
        let (ready, is_ready) = mpsc::channel();
        let reader = thread::spawn(move || {
            // The first lookup of a thread registers it, and must not be a handler's.
            assert!(MAP.get(&1).is_some());
            let _ = ready.send(());
            while !IS_OVER.load(SeqCst) {
                (0..1000).for_each(|_| drop(MAP.get(&1)));
                hold_under_a_handler();
            }
        });
        is_ready.recv().expect("the reader runs");
        for handled in 0..SIGNALS {
            // SAFETY: the thread has not been joined.
            assert_eq!(unsafe { libc::pthread_kill(reader.as_pthread_t(), libc::SIGUSR1) }, 0);
            while HANDLED.load(SeqCst) == handled {
                thread::yield_now();
            }
        }
        IS_OVER.store(true, SeqCst);
        writer.join().expect("the writer ends");
        reader.join().expect("the reader ends");
        assert_eq!(
            LOST.load(SeqCst),
            0,
            "values were lost while a handler looked at them, or after it, in {SIGNALS} handlers"
        );
        MAP.flush();
        assert_eq!(MAP.stats().pending_garbage, 0, "no handler has left its thread pinned");
    }
}
