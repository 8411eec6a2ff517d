use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::{join_all, pending};
use tokio::sync::Notify;

use super::*;

const NOW: Moment = Moment(1000);

fn caches() -> impl Iterator<Item = (&'static str, Arc<dyn Cache>)> {
    MapKind::value_variants().iter().map(|kind| (kind.name(), new(*kind)))
}

fn key() -> Key {
    Key::from("key")
}

fn entry(version: u64) -> Entry {
    Entry::present(version, Moment::NEVER, Bytes::from_static(b"value"))
}

fn expiring(version: u64, expires: Moment) -> Entry {
    Entry { expires, ..entry(version) }
}

#[tokio::test]
async fn one_of_many_loads_and_all_get_it() {
    for (map, cache) in caches() {
        let loads = AtomicUsize::new(0);
        let load = || -> Loaded<'_> {
            Box::pin(async {
                loads.fetch_add(1, Relaxed);
                tokio::task::yield_now().await;
                Ok(entry(7))
            })
        };
        let results = join_all((0..100).map(|_| cache.get_or_load(key(), NOW, &load))).await;
        assert!(results.iter().all(|result| *result == Ok(entry(7))), "{map}");
        assert_eq!(loads.load(Relaxed), 1, "{map}");
        assert_eq!(cache.get("key", NOW), Some(entry(7)), "{map}");
        assert_eq!(cache.loading(), 0, "{map}");
    }
}

#[tokio::test]
async fn a_failed_load_caches_nothing_and_the_next_one_loads() {
    for (map, cache) in caches() {
        let fail = || -> Loaded<'_> { Box::pin(async { Err(StoreError::Stalled) }) };
        assert_eq!(cache.get_or_load(key(), NOW, &fail).await, Err(StoreError::Stalled), "{map}");
        assert_eq!(cache.get("key", NOW), None, "{map}");
        let load = || -> Loaded<'_> { Box::pin(async { Ok(entry(1)) }) };
        assert_eq!(cache.get_or_load(key(), NOW, &load).await, Ok(entry(1)), "{map}");
    }
}

#[tokio::test]
async fn a_load_that_was_dropped_leaves_its_turn_to_another() {
    for (map, cache) in caches() {
        let never = || -> Loaded<'_> { Box::pin(pending()) };
        let load = || -> Loaded<'_> { Box::pin(async { Ok(entry(1)) }) };
        let mut first = cache.get_or_load(key(), NOW, &never);
        assert!((&mut first).now_or_never().is_none());
        let mut second = cache.get_or_load(key(), NOW, &load);
        assert!((&mut second).now_or_never().is_none(), "{map}: two loads of one key");
        drop(first);
        assert_eq!(second.await, Ok(entry(1)), "{map}");
    }
}

fn publish_and_sweep(cache: &dyn Cache) {
    cache.publish(key(), expiring(2, NOW));
    cache.sweep(NOW, Duration::from_secs(1), Cursor::default());
}

/// What was read before a write must not be cached after it.
#[tokio::test]
async fn a_write_during_a_load_prevails() {
    type Write = fn(&dyn Cache);
    let writes: [(&str, Write, Option<Entry>); 4] = [
        ("publish", |cache| cache.publish(key(), entry(2)), Some(entry(2))),
        ("publish what expires", publish_and_sweep, None),
        ("invalidate", |cache| cache.invalidate("key"), None),
        ("clear", |cache| cache.clear(), None),
    ];
    for (name, write, expected) in writes {
        for (map, cache) in caches() {
            let (read, go_on) = (Notify::new(), Notify::new());
            let load = || -> Loaded<'_> {
                Box::pin(async {
                    read.notify_one();
                    go_on.notified().await;
                    Ok(entry(1))
                })
            };
            let write = async {
                read.notified().await;
                write(&*cache);
                go_on.notify_one();
            };
            let (loaded, ()) = tokio::join!(cache.get_or_load(key(), NOW, &load), write);
            assert!(loaded.is_ok());
            assert_eq!(cache.get("key", NOW), expected, "{map}, {name}");
        }
    }
}

#[tokio::test]
async fn an_expired_entry_is_absent_and_is_loaded_anew() {
    for (map, cache) in caches() {
        // Moka looks at the real clock.
        let now = Moment::now();
        cache.publish(key(), expiring(1, now));
        assert_eq!(cache.get("key", now), None, "{map}");
        let load = || -> Loaded<'_> { Box::pin(async { Ok(entry(2)) }) };
        assert_eq!(cache.get_or_load(key(), now, &load).await, Ok(entry(2)), "{map}");
        assert_eq!(cache.get("key", now), Some(entry(2)), "{map}");
    }
}

#[test]
fn sweeps_remove_what_has_expired_and_count_what_is_negative() {
    for (map, cache) in caches() {
        let now = Moment::now();
        for n in 0..1000_u64 {
            let entry = match n % 4 {
                0 => Entry::absent(Moment::NEVER),
                1 => expiring(n, now),
                _ => entry(n),
            };
            cache.publish(Key::from(n.to_string()), entry);
        }
        let (mut expired, mut negative, mut from) = (0, 0, Some(Cursor::default()));
        while let Some(cursor) = from {
            let slice = cache.sweep(now, Duration::from_micros(10), cursor);
            expired += slice.expired;
            negative += slice.negative;
            from = slice.rest;
        }
        if map == "moka" {
            // It looks once a second, at its own clock.
            std::thread::sleep(Duration::from_millis(1100));
            expired += cache.sweep(now, Duration::ZERO, Cursor::default()).expired;
        }
        assert_eq!((expired, negative, cache.len()), (250, 250, 750), "{map}");
        let seen = Mutex::new(0);
        cache.for_each(&mut |_, _| *seen.lock().unwrap() += 1);
        assert_eq!(seen.into_inner().unwrap(), 750, "{map}");
    }
}
