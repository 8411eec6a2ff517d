//! What user code may do while a `LoadingMap` works: panic at any place, and use the map in destructors and wakers.

mod common;

use std::cell::Cell;
use std::future::pending;
use std::hash::{Hash, Hasher};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use common::within;
use readmostly::LoadingMap;

const LIMIT: Duration = Duration::from_secs(60);

thread_local! {
    /// Calls of user code until one panics; 0: none will.
    static FUSE: Cell<u32> = const { Cell::new(0) };
    /// What the next destructor of a value does.
    static AT_A_DROP: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
    /// What the next key that is hashed does.
    static AT_A_HASH: Cell<Option<fn()>> = const { Cell::new(None) };
    /// The map and key of a load that is to begin.
    static BEGINNING: Cell<Option<(&'static Map, u32)>> = const { Cell::new(None) };
}

fn user_code() {
    let left = FUSE.get();
    FUSE.set(left.saturating_sub(1));
    if left == 1 {
        panic!("fuse");
    }
}

struct Key(u32);

impl Clone for Key {
    fn clone(&self) -> Self {
        user_code();
        Key(self.0)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if let Some(hook) = AT_A_HASH.take() {
            hook();
        }
        user_code();
        self.0.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        user_code();
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Drop for Key {
    fn drop(&mut self) {
        if let Some((map, key)) = BEGINNING.get()
            && map.loading() > 0
        {
            // The load is known to others, and its loader has not been called.
            BEGINNING.set(None);
            assert_eq!(map.get_or_load(Key(key), || Ok::<_, ()>(Value(9))).map(|value| value.0), Ok(9));
        }
        if !thread::panicking() {
            user_code();
        }
    }
}

struct Value(u32);

impl Drop for Value {
    fn drop(&mut self) {
        if let Some(hook) = AT_A_DROP.take() {
            hook();
        }
        if !thread::panicking() {
            user_code();
        }
    }
}

type Map = LoadingMap<Key, Value>;

/// Leaves the map with values whose destructors are due, so that operations run some.
fn litter(map: &Map) {
    for id in 1000..1064 {
        drop(map.map().insert(Key(id), Value(0)));
        drop(map.map().remove(&Key(id)));
    }
}

fn load(map: &Map, key: u32) {
    drop(map.get_or_load(Key(key), || Ok::<_, ()>(Value(key))));
}

fn load_during(map: &Map, what: fn(&Map)) {
    let load = || {
        what(map);
        Ok::<_, ()>(Value(1))
    };
    drop(map.get_or_load(Key(1), load));
}

#[test]
fn a_panic_at_any_call_leaves_nobody_waiting() {
    type Operation = (&'static str, fn(&Map));
    let operations: [Operation; 7] = [
        ("load", |map| load(map, 1)),
        ("failed load", |map| drop(map.get_or_load(Key(1), || Err(())))),
        ("remove in a load", |map| load_during(map, |map| drop(map.remove(&Key(1))))),
        ("insert in a load", |map| load_during(map, |map| drop(map.insert(Key(1), Value(2))))),
        ("clear in a load", |map| load_during(map, |map| map.clear())),
        ("load in a load", |map| load_during(map, |map| load(map, 1))),
        ("future", |map| {
            let mut loading = pin!(map.get_or_load_async(Key(1), async || Ok::<_, ()>(Value(1))));
            assert!(loading.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        }),
    ];
    panic::set_hook(Box::new(|_| ()));
    within(LIMIT, move || {
        for (name, operation) in operations {
            let mut blown = 0;
            for fuse in 1.. {
                let map = Map::new();
                litter(&map);
                FUSE.set(fuse);
                let panicked = catch_unwind(AssertUnwindSafe(|| operation(&map))).is_err();
                let is_through = FUSE.replace(0) > 0;
                blown += u32::from(panicked);
                nobody_waits(&map);
                if is_through {
                    break;
                }
            }
            assert!(blown > 3, "{name} calls user code: {blown}");
        }
    });
    drop(panic::take_hook());
}

/// Another thread can load the key, and this one still waits for others' loads.
fn nobody_waits(map: &Map) {
    thread::scope(|scope| drop(scope.spawn(|| load(map, 1)).join()));
    let (led, is_led) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let load = || {
                led.send(()).expect("the other thread waits for this");
                thread::sleep(Duration::from_millis(1));
                Ok::<_, ()>(Value(2))
            };
            drop(map.get_or_load(Key(2), load));
        });
        is_led.recv().expect("the load has begun");
        let entry = map.get_or_load(Key(2), || Err("called"));
        assert!(entry.is_ok(), "it waits for the load that is under way");
    });
}

/// Loads key 1, and has a destructor that runs while it lands do `hook`, which must run in one of many loads.
fn while_landing(map: &'static Map, hook: fn(&'static Map)) {
    let has_run = Rc::new(Cell::new(false));
    while !has_run.get() {
        drop(map.remove(&Key(1)));
        litter(map);
        let running = Rc::clone(&has_run);
        let entry = map.get_or_load(Key(1), || {
            AT_A_DROP.set(Some(Box::new(move || {
                hook(map);
                running.set(true);
            })));
            Ok::<_, ()>(Value(1))
        });
        drop(AT_A_DROP.take());
        assert!(entry.is_ok());
    }
}

fn leaked() -> &'static Map {
    Box::leak(Box::new(Map::new()))
}

#[test]
fn what_a_destructor_removes_while_it_lands_is_removed() {
    within(LIMIT, || {
        let map = leaked();
        while_landing(map, |map| drop(map.remove(&Key(1))));
        assert!(map.get(&Key(1)).is_none());
        assert_eq!(map.loading(), 0);
    });
}

/// Removed when it lands and is not there yet: by another thread, say, that is in a destructor and so may not wait.
#[test]
fn what_is_removed_before_it_is_put_there_is_removed() {
    static MAP: Map = Map::new();
    within(LIMIT, || {
        let entry = MAP.get_or_load(Key(1), || {
            AT_A_HASH.set(Some(|| assert!(MAP.remove(&Key(1)).is_none())));
            Ok::<_, ()>(Value(1))
        });
        assert!(AT_A_HASH.take().is_none(), "the key is hashed when it is put into the map");
        assert_eq!(entry.map(|value| value.0), Ok(1));
        assert!(MAP.get(&Key(1)).is_none());
        assert_eq!(MAP.loading(), 0);
    });
}

/// Who may wait does, also for a load that a thread which may not has made out of date before.
#[test]
fn a_second_remove_waits_until_the_first_has_been_seen_to() {
    static MAP: Map = Map::new();
    static HAS_RETURNED: AtomicBool = AtomicBool::new(false);
    thread_local! {
        static SECOND: Cell<Option<thread::JoinHandle<bool>>> = const { Cell::new(None) };
    }
    fn remove_twice() {
        drop(MAP.remove(&Key(1)));
        let (begun, has_begun) = mpsc::channel();
        SECOND.set(Some(thread::spawn(move || {
            begun.send(()).expect("the first waits for this");
            drop(MAP.remove(&Key(1)));
            HAS_RETURNED.store(true, SeqCst);
            MAP.get(&Key(1)).is_none()
        })));
        has_begun.recv().expect("the second begins");
        thread::sleep(Duration::from_millis(50));
        assert!(!HAS_RETURNED.load(SeqCst), "the value may still come");
    }
    within(LIMIT, || {
        let entry = MAP.get_or_load(Key(1), || {
            AT_A_HASH.set(Some(remove_twice));
            Ok::<_, ()>(Value(1))
        });
        assert_eq!(entry.map(|value| value.0), Ok(1));
        let second = SECOND.take().expect("it was started");
        assert!(second.join().expect("it does not panic"), "what was removed is gone");
    });
}

/// As before, but what comes before it puts something else there.
#[test]
fn what_is_inserted_before_it_is_put_there_stays() {
    static MAP: Map = Map::new();
    within(LIMIT, || {
        let entry = MAP.get_or_load(Key(1), || {
            AT_A_HASH.set(Some(|| drop(MAP.insert(Key(1), Value(7)))));
            Ok::<_, ()>(Value(1))
        });
        assert_eq!(entry.map(|value| value.0), Ok(7), "a load replaces nothing");
        assert_eq!(MAP.get(&Key(1)).map(|value| value.0), Some(7));
        assert_eq!(MAP.loading(), 0);
    });
}

#[test]
fn what_a_destructor_inserts_while_another_value_lands_stays() {
    within(LIMIT, || {
        let map = leaked();
        while_landing(map, |map| drop(map.insert(Key(1), Value(7))));
        assert_eq!(map.get(&Key(1)).map(|value| value.0), Some(7));
        assert_eq!(map.loading(), 0);
    });
}

/// The destructor asks for a key that another thread loads, whose loader removes the key that lands. One must not wait.
#[test]
fn who_lands_waits_for_no_load() {
    within(LIMIT, || {
        let map = leaked();
        let hook = |map: &'static Map| {
            let (led, is_led) = mpsc::channel();
            let other = thread::spawn(move || {
                let load = || {
                    led.send(()).expect("the other thread waits for this");
                    drop(map.remove(&Key(1)));
                    Ok::<_, ()>(Value(2))
                };
                drop(map.get_or_load(Key(2), load));
            });
            is_led.recv().expect("the load has begun");
            assert_eq!(map.get_or_load(Key(2), || Ok::<_, ()>(Value(3))).map(|value| value.0), Ok(3));
            drop(map.map().remove(&Key(2)));
            drop(other);
        };
        while_landing(map, hook);
    });
}

/// Making a load known to others may run destructors of keys that were loaded before.
#[test]
fn who_begins_a_load_waits_for_none() {
    within(LIMIT, || {
        let map = leaked();
        for key in 0.. {
            BEGINNING.set(Some((map, key)));
            let is_met = Cell::new(false);
            let load = async || {
                is_met.set(BEGINNING.take().is_none());
                Ok::<_, ()>(Value(key))
            };
            let mut loading = pin!(map.get_or_load_async(Key(key), load));
            let loaded = loading.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(loaded, Poll::Ready(Ok(entry)) if entry.0 == key));
            drop(map.map().remove(&Key(key)));
            if is_met.get() {
                break;
            }
        }
    });
}

/// A task that counts how often it was woken, and panics each time if it is told to.
struct Task {
    woken: AtomicUsize,
    panics: bool,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, SeqCst);
        assert!(!self.panics, "on purpose");
    }
}

#[test]
fn a_waker_that_panics_leaves_no_other_asleep() {
    let map = LoadingMap::<u32, u32>::new();
    let mut leader = Box::pin(map.get_or_load_async(1, pending::<Result<u32, ()>>));
    assert!(leader.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let tasks = [false, true, false].map(|panics| Arc::new(Task { woken: AtomicUsize::new(0), panics }));
    let mut waiting = tasks.each_ref().map(|task| {
        let mut waiter = Box::pin(map.get_or_load_async(1, async || Ok::<_, ()>(5)));
        let waker = Waker::from(Arc::clone(task));
        assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        waiter
    });
    assert!(catch_unwind(AssertUnwindSafe(|| drop(leader))).is_err(), "the panic goes to who ended the load");
    assert_eq!(tasks.each_ref().map(|task| task.woken.load(SeqCst)), [1; 3]);
    let loaded = waiting[2].as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(loaded, Poll::Ready(Ok(entry)) if *entry == 5));
}
