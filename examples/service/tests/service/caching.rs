//! Time: expiry, negative entries, sweeps and their breaker.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::server::{Place, Server, on_each_map};

#[test]
fn a_value_expires_and_its_absence_is_remembered_for_a_while() {
    on_each_map(|map| {
        const TTL: Duration = Duration::from_millis(1500);
        const A_LITTLE: Duration = Duration::from_millis(20);
        let place = Place::new();
        let server = Server::start(&place, &["--map", map, "--negative-ttl", "1500ms"]);
        server.put("/cache/b?ttl=600", "long");
        let begin = Instant::now();
        server.put("/cache/a?ttl=1.5", "short");
        let written = Instant::now();
        let read = server.read("/cache/a");
        // Otherwise the value may have been over before it was asked for.
        if begin.elapsed() < TTL - A_LITTLE {
            assert_eq!(read, (200, "hit".into(), "short".into()), "{map}");
        }
        sleep((TTL + A_LITTLE).saturating_sub(written.elapsed()));
        let begin = Instant::now();
        assert_eq!(server.read("/cache/a"), (404, "miss".into(), String::new()), "{map}: served after its time");
        let read = server.read("/cache/a");
        let is_remembered = begin.elapsed() < TTL - A_LITTLE;
        if is_remembered {
            assert_eq!(read, (404, "negative".into(), String::new()), "{map}");
        }
        assert_eq!(server.read("/cache/b").0, 200);
        sleep(TTL + A_LITTLE);
        assert_eq!(
            server.read("/cache/a"),
            (404, "miss".into(), String::new()),
            "{map}: the absence was remembered too long"
        );
        assert_eq!(server.put("/cache/a", "new").status, 201, "{map}: where a value has expired there is none");
        assert_eq!(server.read("/cache/a"), (200, "hit".into(), "new".into()), "{map}");
        if is_remembered {
            assert_eq!(server.status()["loads"], 2, "{map}");
        }
    });
}

#[test]
fn conditions_see_no_expired_value() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let tag = server.put("/cache/a?ttl=0.05", "one").header("etag").to_owned();
    sleep(Duration::from_millis(60));
    assert_eq!(server.send("PUT", "/cache/a", &[("if-match", &tag)], b"no").status, 412);
    assert_eq!(server.delete("/cache/a").status, 404);
    assert_eq!(server.send("PUT", "/cache/a", &[("if-none-match", "*")], b"two").status, 201);
    assert_eq!(server.read("/cache/a"), (200, "hit".into(), "two".into()));
}

#[test]
fn sweeps_empty_the_cache_of_what_has_expired_and_the_database_too() {
    on_each_map(|map| {
        let place = Place::new();
        let server = Server::start(&place, &["--map", map, "--sweep-every", "50ms", "--sweep-slo", "60s"]);
        for n in 0..50 {
            server.put(&format!("/cache/short{n}?ttl=0.2"), "x");
            server.put(&format!("/cache/long{n}"), "x");
        }
        let status =
            server.wait_for("swept cache", |status| status["entries"] == 50 && status["sweeps"]["expired"] == 50);
        assert_eq!(status["sweeps"]["breaker"], "closed");
        assert_eq!(server.read("/cache/long7"), (200, "hit".into(), "x".into()), "{map}");
        // The rows go with the sweep after the one that emptied the cache at the latest.
        let swept = status["sweeps"]["count"].as_u64().unwrap();
        server.wait_for("further sweep", |status| status["sweeps"]["count"].as_u64().unwrap() > swept + 1);
        server.stop();
        let database = rusqlite::Connection::open(place.database()).unwrap();
        let rows: usize = database.query_row("SELECT count(*) FROM entries", (), |row| row.get(0)).unwrap();
        assert_eq!(rows, 50, "{map}");
    });
}

/// One statement deletes a thousand rows, so that writes need not wait for all of them; one sweep makes as many as it takes.
#[test]
fn a_sweep_deletes_all_rows_that_have_expired() {
    let place = Place::new();
    Server::start(&place, &[]).stop();
    let database = rusqlite::Connection::open(place.database()).unwrap();
    let expired = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000)
        INSERT INTO entries (key, version, expires, value) SELECT 'old-' || n, n, n, 'x' FROM numbers";
    assert_eq!(database.execute(expired, ()).unwrap(), 20_000);
    let server = Server::start(&place, &["--sweep-every", "500ms", "--sweep-slo", "60s"]);
    let begin = Instant::now();
    let rows = || database.query_row("SELECT count(*) FROM entries", (), |row| row.get::<_, u64>(0)).unwrap();
    while rows() > 0 {
        assert!(begin.elapsed() < Duration::from_secs(20), "{} rows are left", rows());
        sleep(Duration::from_millis(5));
    }
    let sweeps = server.status()["sweeps"]["count"].as_u64().unwrap();
    assert!(sweeps < 10, "it took {sweeps} sweeps");
}

#[test]
fn slow_sweeps_are_suspended_and_taken_up_again() {
    let place = Place::new();
    let server = Server::start(&place, &["--sweep-every", "50ms", "--sweep-slo", "100ms"]);
    server.wait_for("sweep", |status| status["sweeps"]["count"] != 0);
    server.fault("sweep?millis=150");
    server.wait_for("slow slice and open breaker", |status| {
        status["sweeps"]["breaker"] == "open" && status["sweeps"]["longest_slice_us"].as_f64().unwrap() >= 150e3
    });
    let metrics = server.get("/metrics");
    assert!(metrics.text().contains("cache_breaker{instance_name=\"readmostly-service\"}"));
    // Suspended or not, expired entries are not served.
    server.put("/cache/a?ttl=0.05", "x");
    sleep(Duration::from_millis(60));
    assert_eq!(server.read("/cache/a").0, 404);
    server.wait_for("half-open breaker", |status| status["sweeps"]["breaker"] == "half-open");
    server.fault("sweep?millis=0");
    let closed = server.wait_for("closed breaker", |status| status["sweeps"]["breaker"] == "closed");
    let swept = closed["sweeps"]["count"].as_u64().unwrap();
    server.wait_for("sweep", |status| status["sweeps"]["count"].as_u64().unwrap() > swept);
}
