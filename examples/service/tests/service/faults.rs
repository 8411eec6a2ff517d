//! A database that stalls or is gone.

use std::thread;
use std::time::{Duration, Instant};

use crate::server::{MAPS, Place, Server, on_each_map};

const READERS: usize = 20;

#[test]
fn many_readers_of_a_stalled_key_share_one_load_and_no_other_key_waits() {
    on_each_map(|map| {
        let place = Place::new();
        {
            let server = Server::start(&place, &["--map", map]);
            server.put("/cache/slow", "slow");
            server.put("/cache/other", "other");
            server.stop();
        }
        let server = Server::start(&place, &["--map", map]);
        server.fault("database?mode=stall&key=slow");
        thread::scope(|scope| {
            let read = || assert_eq!(server.get("/cache/slow").text(), "slow", "{map}");
            for _ in 0..READERS {
                scope.spawn(read);
            }
            server.wait_for("load", |status| status["loading"] == 1);
            // Long enough for most of them to have come.
            thread::sleep(Duration::from_secs(1));
            assert_eq!(server.read("/cache/other"), (200, "miss".into(), "other".into()), "{map}");
            assert_eq!(server.read("/cache/other"), (200, "hit".into(), "other".into()), "{map}");
            assert_eq!(server.status()["requests"], 2, "{map}: the slow ones were answered already");
            server.fault("database?mode=ok");
        });
        let status = server.status();
        assert_eq!((&status["loads"], &status["requests"]), (&2.into(), &(READERS + 2).into()), "{map}: {status}");
        assert!(status["misses"].as_u64().unwrap() > 2, "{map}: nobody waited: {status}");
    });
}

#[test]
fn a_stall_costs_misses_a_timeout_and_hits_nothing() {
    on_each_map(|map| {
        let place = Place::new();
        let server = Server::start(&place, &["--map", map, "--load-timeout", "500ms"]);
        server.put_at_last("/cache/a", "x");
        server.fault("database?mode=stall");
        let begin = Instant::now();
        let miss = server.get("/cache/b");
        let write = server.put("/cache/a", "y");
        let took = begin.elapsed();
        for answer in [&miss, &write] {
            assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{map}");
            assert!(answer.text().contains("expected"), "{map}: {answer:?}");
        }
        assert!((Duration::from_millis(1000)..Duration::from_secs(10)).contains(&took), "{map}: {took:?}");
        assert_eq!(server.read("/cache/a"), (200, "hit".into(), "x".into()), "{map}");
        server.fault("database?mode=ok");
        let read = server.read_at_last("/cache/b");
        assert_eq!(read, (404, "miss".into(), String::new()), "{map}: the failure was cached");
        // The write was given up before it began, or it was made; the cache and the database agree on that.
        server.put_at_last("/cache/c", "last");
        let cached = server.read("/cache/a").2;
        server.kill();
        let server = Server::start(&place, &[]);
        assert_eq!(server.read("/cache/a").2, cached, "{map}");
    });
}

#[test]
fn without_its_database_the_service_answers_from_the_cache() {
    for map in MAPS {
        let place = Place::new();
        let server = Server::start(&place, &["--map", map, "--negative-ttl", "1m"]);
        server.put("/cache/a", "x");
        assert_eq!(server.get("/cache/absent").status, 404);
        server.fault("database?mode=gone&millis=60000");
        assert_eq!(server.read("/cache/a"), (200, "hit".into(), "x".into()), "{map}");
        assert_eq!(server.read("/cache/absent"), (404, "negative".into(), String::new()), "{map}");
        for answer in [server.get("/cache/b"), server.put("/cache/a", "y"), server.delete("/cache/a")] {
            assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{map}: {answer:?}");
        }
        assert_eq!(server.read("/cache/a"), (200, "hit".into(), "x".into()), "{map}: not what the database holds");
        assert_eq!(server.status()["load_failures"], 1);
        server.fault("database?mode=ok");
        assert_eq!(server.put("/cache/b", "new").status, 201);
    }
}

#[test]
fn a_fault_ends_by_itself() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let begin = Instant::now();
    server.fault("database?mode=stall&millis=200");
    assert_eq!(server.read("/cache/a"), (404, "miss".into(), String::new()));
    assert!(begin.elapsed() >= Duration::from_millis(200));
}

/// Writers and readers of the same keys, while loads are slow and many are given up: a value that was read before a write
/// must not be cached after it.
#[test]
fn cache_and_database_agree_after_writes_among_loads() {
    const KEYS: usize = 8;
    on_each_map(|map| {
        let place = Place::new();
        let args = ["--map", map, "--negative-ttl", "20ms", "--sweep-every", "5ms", "--load-timeout", "50ms"];
        let server = Server::start(&place, &args);
        let end = Instant::now() + Duration::from_millis(700);
        let touch = |seed: usize| {
            let mut n = seed;
            while Instant::now() < end {
                n = n.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let path = format!("/cache/{}", (n >> 33) % KEYS);
                match (n >> 40) % 8 {
                    0 => drop(server.put(&format!("{path}?ttl=0.02"), n.to_string())),
                    1 => drop(server.put(&path, n.to_string())),
                    2 => drop(server.delete(&path)),
                    _ => drop(server.get(&path)),
                }
            }
        };
        thread::scope(|scope| {
            (0..4).for_each(|seed| drop(scope.spawn(move || touch(seed))));
            while Instant::now() < end {
                server.fault("database?mode=stall&millis=3");
                thread::sleep(Duration::from_millis(10));
            }
        });
        // Of those that were given up none is made later.
        server.put_at_last("/cache/last", "x");
        // What had a short life is over.
        thread::sleep(Duration::from_millis(50));
        let cached: Vec<_> = (0..KEYS).map(|key| server.read_at_last(&format!("/cache/{key}"))).collect();
        server.kill();
        let server = Server::start(&place, &["--map", map]);
        for (key, (status, _, value)) in cached.into_iter().enumerate() {
            let (fresh_status, _, fresh) = server.read(&format!("/cache/{key}"));
            assert_eq!((status, value), (fresh_status, fresh), "{map}, key {key}");
        }
    });
}
