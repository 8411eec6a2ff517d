//! Two instances of the service, as processes, near one real Redis or Valkey server.

mod history;
mod instance;
mod random;
#[path = "../common/redis.rs"]
mod redis_server;

use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use instance::{Instance, until};
use redis_server::RedisServer;

/// How long an instance may show what was changed elsewhere, whatever fails: the lease of src/near.rs.
const BOUND: Duration = Duration::from_millis(500);

fn pair(server: &RedisServer) -> [Instance; 2] {
    [Instance::start(server, "a", &[]), Instance::start(server, "b", &[])]
}

/// The body that `instance` shows to whoever asks later than the bound after it was changed elsewhere.
fn shows(instance: &Instance, key: &str, body: &str) {
    let end = Instant::now() + BOUND;
    loop {
        // By when the request began: an answer may be slow to come, but what it says was current then.
        let began = Instant::now();
        let answer = instance.get_at_last(key);
        if answer.body == body && answer.status == 200 {
            return;
        }
        assert!(began <= end, "expected {body:?} after {BOUND:?}: {answer:?}");
    }
}

#[test]
fn instances_see_each_others_writes() {
    let Some(server) = RedisServer::start() else { return };
    let [a, b] = &pair(&server);
    assert_eq!(a.cached("k").status, 404);
    for (body, writer, reader) in [("1", b, a), ("2", b, a), ("3", a, b), ("4", b, a)] {
        let written = writer.put("k", body);
        assert!([201, 204].contains(&written.status), "{written:?}");
        let own = writer.get("k");
        assert_eq!((own.body.as_str(), own.version), (body, written.version), "whoever wrote reads it");
        shows(reader, "k", body);
        assert_eq!(reader.cached("k").version, written.version);
    }
    assert_eq!(a.send("DELETE", "k", &[], "").status, 204);
    until("the other sees the removal", || b.get("k").status == 404);
    assert!(a.count("invalidations") >= 3 && b.count("invalidations") >= 1);
    assert_eq!((a.metric("cache_near_connected"), a.metric("cache_near_connections_total")), (1.0, 1.0));
    assert!(a.metric("cache_near_invalidations_total") >= 3.0 && a.metric("cache_near_flushes_total") >= 1.0);
}

#[test]
fn a_created_key_ends_its_absence() {
    let Some(server) = RedisServer::start() else { return };
    let [a, b] = &pair(&server);
    for round in 0..50 {
        let key = round.to_string();
        let absent = a.cached(&key);
        assert_eq!((absent.status, absent.cache.as_str()), (404, "negative"));
        assert_eq!(b.put(&key, "x").status, 201);
        shows(a, &key, "x");
    }
}

#[test]
fn of_two_swaps_one_wins() {
    let Some(server) = RedisServer::start() else { return };
    let [a, b] = &pair(&server);
    let mut version = a.put("k", "x").version.expect("an ETag");
    for round in 0..100 {
        let swap = |instance: &Instance, body: String| {
            instance.send("PUT", "k", &[("if-match", &format!("\"{version}\""))], &body)
        };
        let (from_a, from_b) = thread::scope(|scope| {
            let from_a = scope.spawn(|| swap(a, format!("a{round}")));
            let from_b = swap(b, format!("b{round}"));
            (from_a.join().expect("it does not panic"), from_b)
        });
        let (won, body) = match (from_a.status, from_b.status) {
            (204, 412) => (from_a, format!("a{round}")),
            (412, 204) => (from_b, format!("b{round}")),
            _ => panic!("expected that one wins: {from_a:?}, {from_b:?}"),
        };
        shows(a, "k", &body);
        shows(b, "k", &body);
        version = won.version.expect("an ETag");
    }
}

#[test]
fn a_flush_empties_both() {
    let Some(server) = RedisServer::start() else { return };
    let instances = &pair(&server);
    for instance in instances {
        assert_eq!(instance.put("k", "x").version, instance.cached("k").version);
    }
    shows(&instances[0], "k", "x");
    let flushes = instances.each_ref().map(|instance| instance.count("flushes"));
    redis::cmd("FLUSHALL").exec(&mut server.admin()).expect("it is allowed");
    for (instance, flushes) in instances.iter().zip(flushes) {
        until("it is gone", || instance.get("k").status == 404);
        assert!(instance.count("flushes") > flushes);
    }
}

#[test]
fn what_expires_is_gone_in_both() {
    let Some(server) = RedisServer::start() else { return };
    let [a, b] = &pair(&server);
    let begin = Instant::now();
    assert_eq!(a.send("PUT", "k?ttl=3", &[], "x").status, 201);
    let written = Instant::now();
    loop {
        let shown = [a, b].map(|instance| (instance.get("k").status, instance.get("k")));
        let age = begin.elapsed();
        // The server counts in milliseconds.
        if age >= Duration::from_millis(2990) {
            break;
        }
        for (status, second) in shown {
            assert_eq!((status, second.status, second.body.as_str()), (200, 200, "x"), "after {age:?}");
            // What was loaded is cached for as long as the value had left, less what the load took.
            assert!(second.cache == "hit" || age > Duration::from_millis(1490), "{second:?} after {age:?}");
        }
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(3010).saturating_sub(written.elapsed()));
    assert_eq!((a.get("k").status, b.get("k").status), (404, 404));
}

#[test]
fn a_killed_connection_costs_a_cache_and_nothing_else() {
    let Some(server) = RedisServer::start() else { return };
    let [a, b] = &pair(&server);
    for (round, purpose) in ["a:reads", "a:writes", "a:reads"].into_iter().enumerate() {
        b.put("k", "old");
        shows(a, "k", "old");
        assert_eq!(a.cached("k").body, "old");
        let connections = a.count("connections");
        // The server may still list the other connection of the pair that was killed before.
        assert!(server.kill_clients(purpose) > 0);
        b.put("k", &format!("new{round}"));
        until("it is connected again", || a.count("connections") > connections && a.is_connected());
        assert_eq!(a.get("k").body, format!("new{round}"));
        assert_eq!(a.cached("k").body, format!("new{round}"));
    }
}

#[test]
fn without_the_server_nothing_is_served_and_all_is_well_again_with_it() {
    let Some(mut server) = RedisServer::start() else { return };
    let [a, b] = &pair(&server);
    a.put("k", "x");
    assert_eq!(b.cached("k").body, "x");
    server.kill();
    until("it knows", || !a.is_connected() && !b.is_connected());
    for answer in [a.get("k"), b.get("k"), b.get("absent"), a.put("k", "y"), a.send("DELETE", "k", &[], "")] {
        assert_eq!((answer.status, answer.retry_after.as_str()), (503, "1"), "{answer:?}");
        assert_eq!(answer.body.trim_end().lines().count(), 1, "{answer:?}");
    }
    server.start_again();
    until("they are connected again", || a.is_connected() && b.is_connected());
    assert_eq!((a.get("k").status, b.get("k").status), (404, 404), "the server kept nothing");
    b.put("k", "z");
    shows(a, "k", "z");
}

#[test]
fn a_grace_is_asked_for_and_ends() {
    let Some(mut server) = RedisServer::start() else { return };
    let grace = Duration::from_secs(5);
    let a = Instance::start(&server, "a", &["--redis-grace", "5s"]);
    a.put("k", "x");
    let mut fresh = Instant::now();
    until("it is cached, and proven", || {
        fresh = Instant::now();
        a.get("k").cache == "hit"
    });
    server.kill();
    let killed = Instant::now();
    until("it knows", || !a.is_connected());
    assert_eq!(a.get("absent").status, 503, "what is not cached needs the server");
    // The grace begins at the last proof, which is from before the kill and was no older than the bound at the hit.
    let mut stale = 0;
    loop {
        let asked = killed.elapsed();
        let answer = a.get("k");
        if answer.status == 503 {
            break;
        }
        assert_eq!((answer.status, answer.cache.as_str(), answer.body.as_str()), (200, "stale", "x"));
        assert!(asked <= grace, "{asked:?}");
        stale += 1;
        thread::sleep(Duration::from_millis(1));
    }
    assert!(fresh.elapsed() >= grace - BOUND, "{:?}", fresh.elapsed());
    assert!(stale > 0, "expected what is cached to be served without the server");
}

/// A server that takes connections and answers nothing.
#[test]
fn a_stalled_server_is_not_trusted_for_long() {
    let Some(server) = RedisServer::start() else { return };
    let a = &Instance::start(&server, "a", &["--load-timeout", "3s"]);
    until("it is written", || a.put("k", "x").version.is_some());
    until("it is cached", || a.get("k").cache == "hit");
    server.suspend(true);
    thread::sleep(BOUND + Duration::from_millis(50));
    assert_eq!(a.get("k").status, 503);
    server.suspend(false);
    until("it is served again", || a.get("k").status == 200);
}

/// From the answer to a write until the other instance shows it, as clients see it: mostly less than a heartbeat of
/// src/near.rs, or changes would not be told of when they come.
#[test]
fn the_delay_of_invalidation_is_short() {
    let Some(server) = RedisServer::start() else { return };
    let [a, b] = &pair(&server);
    let mut delays = Histogram::<u64>::new(3).expect("three digits");
    for round in 0..500 {
        a.cached("k");
        let body = round.to_string();
        b.put("k", &body);
        let written = Instant::now();
        shows(a, "k", &body);
        delays.record(written.elapsed().as_micros() as u64).expect("it grows");
    }
    println!(
        "a write is shown by the other instance after: P50 {} us, P99 {} us, max {} us, a request included",
        delays.value_at_quantile(0.5),
        delays.value_at_quantile(0.99),
        delays.max(),
    );
    assert!(delays.value_at_quantile(0.5) < 100_000, "{} us", delays.value_at_quantile(0.5));
}
