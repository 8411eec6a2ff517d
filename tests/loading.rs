//! What `LoadingMap` promises: one load for all who ask, nobody left waiting, and nothing out of date in the map.

#[macro_use]
mod common;

use std::any::type_name;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::pending;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use common::{Random, Tally, eventually, within};
use futures::future::join_all;
use readmostly::{LoadingMap, SyncMap};

const LIMIT: Duration = Duration::from_secs(60);

type Map = LoadingMap<u32, u64>;

/// Waits until `threads` others are as good as certain to wait for a load: they have said that they are about to.
fn wait_for_waiters(started: &AtomicUsize, threads: usize) {
    eventually("the others have started", || started.load(SeqCst) == threads);
    thread::sleep(Duration::from_millis(20));
}

#[test]
fn one_loads_for_all_threads() {
    within(LIMIT, || {
        let map = Map::new();
        for key in 0..500 {
            let (loads, start) = (AtomicUsize::new(0), Barrier::new(4));
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        start.wait();
                        let entry = map.get_or_load(key, || {
                            loads.fetch_add(1, SeqCst);
                            thread::yield_now();
                            Ok::<_, Infallible>(u64::from(key) + 1)
                        });
                        assert_eq!(*entry.unwrap(), u64::from(key) + 1);
                    });
                }
            });
            assert_eq!(loads.into_inner(), 1, "loads of {key}");
        }
        assert_eq!((map.map().len(), map.loading()), (500, 0));
    });
}

#[test]
fn one_loads_for_all_tasks() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let map = Arc::new(Map::new());
        for key in 0..100 {
            let loads = Arc::new(AtomicUsize::new(0));
            let tasks = (0..20).map(|_| {
                let (map, loads) = (Arc::clone(&map), Arc::clone(&loads));
                tokio::spawn(async move {
                    let load = async || {
                        loads.fetch_add(1, SeqCst);
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        Ok::<_, Infallible>(7)
                    };
                    *map.get_or_load_async(key, load).await.unwrap()
                })
            });
            let results = join_all(tasks.collect::<Vec<_>>()).await;
            assert!(results.into_iter().all(|result| result.unwrap() == 7));
            assert_eq!(loads.load(SeqCst), 1, "loads of {key}");
        }
        assert_eq!(map.loading(), 0);
    });
}

/// Threads and futures of another executor wait for each other.
#[test]
fn both_forms_share_a_load() {
    within(LIMIT, || {
        let map = Map::new();
        let (is_loading, has_loaded) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                let entry = map.get_or_load(1, || {
                    is_loading.wait();
                    has_loaded.wait();
                    Ok::<_, ()>(1)
                });
                assert_eq!(*entry.unwrap(), 1);
            });
            is_loading.wait();
            let mut waiter = pin!(map.get_or_load_async(1, async || Err("not called")));
            assert!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            has_loaded.wait();
            assert_eq!(*futures::executor::block_on(waiter).unwrap(), 1);
        });
    });
}

/// Each gets its own error, and no two loaders run at a time.
#[test]
fn failures_pass_the_turn_on() {
    within(LIMIT, || {
        let map = Map::new();
        let (running, started) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            let callers: Vec<_> = (0..6)
                .map(|caller| {
                    let (map, running, started) = (&map, &running, &started);
                    scope.spawn(move || {
                        started.fetch_add(1, SeqCst);
                        let result = map.get_or_load(1, || {
                            assert_eq!(running.fetch_add(1, SeqCst), 0, "another loader runs");
                            wait_for_waiters(started, 6);
                            running.fetch_sub(1, SeqCst);
                            Err(caller)
                        });
                        result.map(|entry| *entry)
                    })
                })
                .collect();
            for (caller, thread) in callers.into_iter().enumerate() {
                assert_eq!(thread.join().unwrap(), Err(caller));
            }
        });
        assert!(map.map().is_empty());
        assert_eq!(map.loading(), 0);
    });
}

#[test]
fn a_panic_passes_the_turn_on() {
    within(LIMIT, || {
        let map = Map::new();
        let started = AtomicUsize::new(0);
        let panics = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    started.fetch_add(1, SeqCst);
                    let loaded = catch_unwind(AssertUnwindSafe(|| {
                        map.get_or_load(1, || {
                            wait_for_waiters(&started, 4);
                            assert_eq!(panics.fetch_add(1, SeqCst), 2, "on purpose");
                            Ok::<_, ()>(5)
                        })
                        .map(|entry| *entry)
                    }));
                    assert!(loaded.is_err() || loaded.unwrap() == Ok(5));
                });
            }
        });
        assert_eq!(panics.into_inner(), 3, "two panicked, the third loaded for the fourth");
        assert_eq!(map.get(&1).as_deref(), Some(&5));
    });
}

#[test]
fn a_cancelled_load_passes_the_turn_on() {
    within(LIMIT, || {
        let map = Map::new();
        let mut context = Context::from_waker(Waker::noop());
        let mut leader = Box::pin(map.get_or_load_async(1, pending::<Result<u64, ()>>));
        assert!(leader.as_mut().poll(&mut context).is_pending());
        thread::scope(|scope| {
            let waiting = scope.spawn(|| *map.get_or_load(1, || Ok::<_, ()>(2)).unwrap());
            thread::sleep(Duration::from_millis(20));
            assert!(!waiting.is_finished(), "it waits for the load that is under way");
            drop(leader);
            assert_eq!(waiting.join().unwrap(), 2);
        });
        assert_eq!(map.loading(), 0);
    });
}

#[test]
fn cancelled_waiters_are_forgotten() {
    let map = Map::new();
    let mut leader = Box::pin(map.get_or_load_async(1, pending::<Result<u64, ()>>));
    assert!(leader.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let task = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&task));
    for _ in 0..10 {
        let mut waiter = Box::pin(map.get_or_load_async(1, async || Ok::<_, ()>(1)));
        for _ in 0..3 {
            assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(Arc::strong_count(&task), 3, "one waker is kept, of the last poll");
        drop(waiter);
        assert_eq!(Arc::strong_count(&task), 2, "and let go with the waiter");
    }
    drop(leader);
    assert!(!task.0.load(SeqCst), "nobody is there to be woken");
}

/// A task that notes that it was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl std::task::Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn other_keys_and_present_ones_do_not_wait() {
    within(LIMIT, || {
        let map = Map::new();
        map.insert(2, 20);
        map.get_or_load(1, || {
            thread::scope(|scope| {
                scope.spawn(|| {
                    assert_eq!(*map.get_or_load(2, || Err("present")).unwrap(), 20);
                    assert_eq!(*map.get_or_load(3, || Ok::<_, ()>(30)).unwrap(), 30);
                    assert!(map.get(&1).is_none());
                    assert_eq!(map.loading(), 1);
                });
            });
            Ok::<_, ()>(10)
        })
        .unwrap();
    });
}

#[test]
fn what_is_out_of_date_goes_to_its_caller_alone() {
    // And how many of two who wait may load again. Those who wait are woken by `clear` before it clears.
    type Change = (fn(&Map), RangeInclusive<usize>);
    let changes: [Change; 3] =
        [(|map| drop(map.remove(&1)), 1..=1), (|map| map.clear(), 1..=2), (|map| drop(map.insert(1, 2)), 0..=0)];
    for (change, loads_again) in changes {
        within(LIMIT, move || {
            let map = Map::new();
            let [waiting, loaded_again, served] = [const { AtomicUsize::new(0) }; 3];
            thread::scope(|scope| {
                let old = map.get_or_load(1, || {
                    for _ in 0..2 {
                        scope.spawn(|| {
                            waiting.fetch_add(1, SeqCst);
                            let entry = map.get_or_load(1, || {
                                loaded_again.fetch_add(1, SeqCst);
                                Ok::<_, ()>(2)
                            });
                            assert_eq!(*entry.unwrap(), 2, "not what was loaded before the change");
                            served.fetch_add(1, SeqCst);
                        });
                    }
                    wait_for_waiters(&waiting, 2);
                    change(&map);
                    eventually("who waited goes on before the loader has ended", || served.load(SeqCst) == 2);
                    map.map().remove(&1);
                    Ok::<_, ()>(1)
                });
                assert_eq!((*old.as_ref().unwrap().key(), *old.unwrap()), (1, 1));
            });
            assert_eq!(map.get(&1).as_deref(), None, "not put into the map");
            let loads = loaded_again.into_inner();
            assert!(loads_again.contains(&loads), "{loads}, expected {loads_again:?}");
            assert_eq!(map.loading(), 0);
        });
    }
}

#[test]
fn what_is_out_of_date_stays_while_its_caller_looks_at_it() {
    let tally = Tally::default();
    let map = LoadingMap::new();
    let load = || {
        let load = || {
            map.remove(&1);
            Ok::<_, ()>(tally.make(7))
        };
        map.get_or_load(1, load).expect("the loader succeeds")
    };
    let held = load();
    for _ in 0..10_000 {
        assert_eq!(load().id(), 7);
    }
    map.map().flush();
    assert_eq!((*held.key(), held.id(), tally.live() > 0), (1, 7, true));
    drop(held);
    eventually("what was passed on is dropped while the map lives", || {
        map.map().flush();
        tally.live() == 0
    });
    assert_eq!(map.map().stats().tombstones, 0, "none of it has been in the map");
}

#[test]
fn a_load_replaces_nothing() {
    let map = Map::new();
    let entry = map.get_or_load(1, || {
        map.map().insert(1, 2);
        Ok::<_, ()>(1)
    });
    assert_eq!(*entry.unwrap(), 2, "what is in the map");
    assert_eq!(*map.get(&1).unwrap(), 2);
}

#[test]
fn a_loader_may_ask_for_its_own_key() {
    within(LIMIT, || {
        let map = Map::new();
        let outer = map.get_or_load(1, || {
            let inner = *map.get_or_load(1, || Ok::<_, ()>(5)).unwrap();
            assert!(map.get(&1).is_none(), "the outer load decides what is kept");
            Ok::<_, ()>(inner + 1)
        });
        assert_eq!(*outer.unwrap(), 6);
        assert_eq!(*map.get(&1).unwrap(), 6);
    });
}

/// The rule of cache-aside: change the source, then `remove`. After that nobody gets what was there before.
#[test]
fn nobody_reads_what_was_there_before_a_remove() {
    const KEYS: usize = 3;
    within(LIMIT, || {
        let map = Map::new();
        let source: [AtomicU64; KEYS] = Default::default();
        let removed: [AtomicU64; KEYS] = Default::default();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            for id in 0..2 {
                let (map, source, removed, is_over) = (&map, &source, &removed, &is_over);
                scope.spawn(move || {
                    let mut random = Random::new(id);
                    while !is_over.load(SeqCst) {
                        let key = random.below(KEYS as u64) as usize;
                        let version = source[key].fetch_add(1, SeqCst) + 1;
                        match random.below(4) {
                            0 => map.clear(),
                            _ => drop(map.remove(&(key as u32))),
                        }
                        removed[key].fetch_max(version, SeqCst);
                    }
                });
                scope.spawn(move || {
                    let mut random = Random::new(id + 10);
                    while !is_over.load(SeqCst) {
                        let key = random.below(KEYS as u64) as usize;
                        let at_least = removed[key].load(SeqCst);
                        let load = || {
                            let version = source[key].load(SeqCst);
                            (0..random.below(50)).for_each(|_| thread::yield_now());
                            Ok::<_, Infallible>(version)
                        };
                        let found = *map.get_or_load(key as u32, load).unwrap();
                        assert!(found >= at_least, "{found} of key {key}, which was removed at {at_least}");
                    }
                });
            }
            thread::sleep(Duration::from_millis(800));
            is_over.store(true, SeqCst);
        });
        assert_eq!(map.loading(), 0);
    });
}

/// Destructors run while values land, on the landing thread, and may use the map in any way.
#[test]
fn destructors_may_remove_what_is_landing() {
    struct Removes(&'static LoadingMap<u32, Removes>, u32);
    impl Drop for Removes {
        fn drop(&mut self) {
            self.0.remove(&self.1);
        }
    }
    within(LIMIT, || {
        let map: &'static LoadingMap<u32, Removes> = Box::leak(Box::new(LoadingMap::new()));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let started = Instant::now();
                    for round in 0.. {
                        if started.elapsed() > Duration::from_millis(300) {
                            break;
                        }
                        let key = round % 3;
                        drop(map.get_or_load(key, || Ok::<_, ()>(Removes(map, key))));
                        drop(map.insert(key, Removes(map, key)));
                        drop(map.remove(&key));
                    }
                });
            }
        });
        assert_eq!(map.loading(), 0);
    });
}

#[test]
fn values_are_dropped_once() {
    let tally = Tally::default();
    {
        let map = LoadingMap::new();
        for round in 0..100 {
            let load = |fails: bool| if fails { Err(tally.make(round)) } else { Ok(tally.make(round)) };
            drop(map.get_or_load(round % 7, || load(round % 3 == 0)));
            let out_of_date = map.get_or_load(8, || {
                map.remove(&8);
                load(false)
            });
            drop(out_of_date);
        }
        assert!(map.get(&8).is_none());
    }
    assert_eq!(tally.live(), 0);
}

/// A hasher that was chosen to withstand chosen keys has to see those that are absent too.
#[test]
fn keys_are_hashed_by_the_maps_own_hasher_alone() {
    #[derive(Clone, PartialEq, Eq)]
    struct Guarded(u32);

    impl Hash for Guarded {
        fn hash<H: Hasher>(&self, state: &mut H) {
            assert_eq!(type_name::<H>(), type_name::<<RandomState as BuildHasher>::Hasher>());
            self.0.hash(state);
        }
    }

    let map = LoadingMap::with_hasher(RandomState::new());
    for key in (0..100).map(Guarded) {
        let value = map.get_or_load(key.clone(), || {
            assert!(map.get_or_load(Guarded(1000), || Err(())).is_err());
            if key.0 % 3 == 0 {
                map.remove(&key);
            }
            Ok::<_, ()>(key.0)
        });
        assert_eq!(*value.unwrap(), key.0);
        map.insert(Guarded(key.0 + 2000), 0);
    }
    map.clear();
}

#[test]
fn futures_are_send_and_maps_are_what_they_hold() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let map: LoadingMap<String, Vec<u8>> = LoadingMap::from(SyncMap::from([("a".to_owned(), vec![1])]));
    let future = is_send(map.get_or_load_async("b".to_owned(), async || Ok::<_, ()>(vec![2])));
    assert!(matches!(pin!(future).poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(_))));
    assert_eq!(map.get("b").as_deref(), Some(&vec![2]));
    assert_eq!(map.remove("a").as_deref(), Some(&vec![1]));
    assert_eq!(format!("{map:?}"), r#"LoadingMap { map: {"b": [2]}, loading: 0 }"#);
    assert_eq!(map.into_map().into_iter().count(), 1);

    // Values that may not be shared work on one thread.
    let local: LoadingMap<u32, Cell<u32>> = LoadingMap::default();
    local.get_or_load(1, || Ok::<_, ()>(Cell::new(1))).unwrap().set(2);
    assert_eq!(local.get(&1).unwrap().get(), 2);
}
