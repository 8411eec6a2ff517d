//! A database that stalls, or is gone for a while.

use crate::client::{Client, Reply, at_last, start_in};
use crate::process::Service;
use std::{
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// As long as a request waits for the database, where a test is about that.
const LOAD_TIMEOUT: Duration = Duration::from_secs(1);
const OPTIONS: [&str; 3] = ["--faults", "--threads", "2"];

/// A service whose database has values that are not cached, `hot` excepted.
fn cold(load_timeout: &str) -> (Service, Client, TempDir) {
    let folder = TempDir::new().unwrap();
    let (service, client) = start_in(folder.path(), &OPTIONS);
    for n in 0..100 {
        client.write(&format!("cold-{n}"), format!("value-{n}"));
    }
    client.write("hot", "value");
    drop(service);
    let (service, client) = start_in(folder.path(), &[&OPTIONS[..], &["--load-timeout", load_timeout]].concat());
    assert_eq!(at_last(|| client.read("hot")).source, "miss");
    (service, client, folder)
}

/// A load that waits for another gets no value, but 503.
fn expect_load(client: &Client, n: usize) {
    let Reply { status, body, .. } = at_last(|| client.read(&format!("cold-{n}")));
    assert_eq!((status, body), (200, format!("value-{n}").into_bytes()), "cold-{n}");
}

fn expect_unavailable(reply: &Reply) {
    assert_eq!(reply.status, 503, "{:?}", String::from_utf8_lossy(&reply.body));
    assert_eq!(reply.retry_after.as_deref(), Some("1"));
    assert!(String::from_utf8_lossy(&reply.body).contains("expected"), "{reply:?}");
}

#[test]
fn hits_keep_their_latency_while_the_database_stalls_and_loads_give_up() {
    let (_service, client, _folder) = cold("1s");
    client.fault("mode=stall");
    let start = Instant::now();
    let loads: Vec<_> = (0..20)
        .map(|n| {
            let client = client.clone();
            thread::spawn(move || client.read(&format!("cold-{}", n % 10)))
        })
        .collect();
    let mut hits = Vec::new();
    while start.elapsed() < Duration::from_millis(2_500) {
        let reply = client.read("hot");
        assert_eq!((reply.status, reply.source.as_str()), (200, "hit"));
        hits.push(reply.took);
    }
    hits.sort_unstable();
    // The slowest may be those in which the machine halted; a wait for the database would be felt by more.
    let (median, most) = (hits[hits.len() / 2], hits[hits.len() * 9 / 10]);
    assert!(median < LOAD_TIMEOUT / 20 && most < LOAD_TIMEOUT, "hits took {median:?}, nine of ten up to {most:?}");
    for load in loads {
        let reply = load.join().unwrap();
        expect_unavailable(&reply);
        assert!(reply.took >= LOAD_TIMEOUT && reply.took < 10 * LOAD_TIMEOUT, "{:?}", reply.took);
    }
    // Nothing was cached of it, and what waited is done as soon as the database goes on.
    client.fault("mode=ok");
    (0..100).for_each(|n| expect_load(&client, n));
    (0..100).for_each(|n| client.expect_hit(&format!("cold-{n}"), format!("value-{n}")));
}

#[test]
fn a_stall_of_one_key_delays_no_other_key() {
    let (_service, client, _folder) = cold("1s");
    client.fault("mode=stall&key=cold-0");
    let stalled: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            thread::spawn(move || client.read("cold-0"))
        })
        .collect();
    thread::sleep(Duration::from_millis(50));
    (1..50).for_each(|n| expect_load(&client, n));
    client.expect_hit("hot", "value");
    stalled.into_iter().for_each(|reply| expect_unavailable(&reply.join().unwrap()));
    // Those who gave up have not left their loads in the way of others either.
    (50..100).for_each(|n| expect_load(&client, n));
    expect_unavailable(&client.read("cold-0"));
    client.fault("mode=ok");
    expect_load(&client, 0);
}

#[test]
fn a_database_that_is_gone_is_said_to_be_and_comes_back() {
    let (_service, client, _folder) = cold("20s");
    client.fault("mode=gone");
    for n in 0..10 {
        let reply = client.read(&format!("cold-{n}"));
        expect_unavailable(&reply);
        assert!(String::from_utf8_lossy(&reply.body).contains("is gone"), "{reply:?}");
    }
    client.expect_hit("hot", "value");
    // A write that is not made is not seen.
    expect_unavailable(&client.write("hot", "new"));
    client.expect_hit("hot", "value");
    client.fault("mode=ok");
    // The failures were not taken for absence.
    (0..10).for_each(|n| expect_load(&client, n));
    assert_eq!(client.write("hot", "new").status, 204);
    client.expect_hit("hot", "new");
}

#[test]
fn a_write_that_took_too_long_is_made_or_not_but_cache_and_database_agree() {
    let (service, client, folder) = cold("1s");
    client.fault("mode=stall");
    let replies: Vec<Reply> = (0..2).map(|n| client.write("hot", format!("late-{n}"))).collect();
    replies.iter().for_each(expect_unavailable);
    client.fault("mode=ok");
    // A write after them is the last.
    assert_eq!(at_last(|| client.write("cold-1", "last")).status, 204);
    let cached = client.read("hot").body;
    assert!([&b"value"[..], b"late-0", b"late-1"].contains(&&cached[..]), "{cached:?}");
    drop(service);
    let (_service, client) = start_in(folder.path(), &OPTIONS);
    assert_eq!(client.read("hot").body, cached);
    assert_eq!(client.read("cold-1").body, b"last");
}
