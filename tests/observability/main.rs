//! What a map tells about itself: the figures of `stats`, and what recorders and subscribers are told.

#[path = "../common/mod.rs"]
mod common;
mod figures;
#[cfg(all(feature = "metrics", feature = "tracing"))]
mod observers;
#[cfg(all(feature = "metrics", feature = "tracing"))]
mod recorded;

use std::cell::RefCell;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use readmostly::SyncMap;

type Hook = Box<dyn FnMut()>;

thread_local! {
    static ON_HASH: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// A key that does something when it is hashed, in threads that ask for it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key(u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Taken out meanwhile, so that the hook can use a map itself.
        if let Some(mut hook) = ON_HASH.take() {
            hook();
            ON_HASH.set(Some(hook));
        }
        self.0.hash(state);
    }
}

/// Calls `work`, and `hook` whenever a key is hashed in it.
fn with_hook<T>(hook: impl FnMut() + 'static, work: impl FnOnce() -> T) -> T {
    ON_HASH.set(Some(Box::new(hook)));
    let result = work();
    ON_HASH.take();
    result
}

/// A map that is being copied: nearly all of its keys, which are those below the number returned, are still to be hashed
/// for it, a few by each insert, under the writer lock.
fn amended() -> (Arc<SyncMap<Key, u64>>, u64) {
    let map: Arc<SyncMap<_, _>> = Arc::new((0..100).map(|n| (Key(n), n)).collect());
    map.promote();
    let snapshot = map.snapshot();
    map.insert(Key(100), 100);
    drop(snapshot);
    assert!(map.stats().dirty_len > 0, "an insert while the table is frozen begins a copy: {}", map.stats());
    (map, 101)
}

/// Inserts a key, and holds the writer lock meanwhile until another thread has waited for it for about `time`. That
/// thread does `waiter`, which must insert a key.
fn hold_the_lock<W>(map: &Arc<SyncMap<Key, u64>>, key: u64, time: Duration, waiter: W)
where
    W: FnOnce(&SyncMap<Key, u64>) + Send + 'static,
{
    let (held, is_held) = mpsc::channel::<()>();
    let other = Arc::clone(map);
    let waiting = thread::spawn(move || {
        is_held.recv().expect("the lock is taken by the other thread");
        waiter(&other);
    });
    let waits = map.stats().slow_path_waits;
    let (mut hashes, seen) = (0, Arc::clone(map));
    let hook = move || {
        hashes += 1;
        // The first key hashed is the new one, before the lock is taken.
        if hashes == 2 {
            held.send(()).expect("the other thread waits for this");
            while seen.stats().slow_path_waits == waits {
                thread::yield_now();
            }
            thread::sleep(time);
        }
    };
    with_hook(hook, || assert!(map.insert(Key(key), key).is_none()));
    waiting.join().expect("the other thread gets the lock");
}
