//! Against a real server.

use std::collections::BTreeSet;
use std::time::Instant;

use hdrhistogram::Histogram;
use redis::Commands as _;
use tokio::sync::Semaphore;

use super::*;
use crate::cache::{self, Loaded, MapKind};
use crate::near::{HEARTBEAT, LEASE};
use crate::redis_server::RedisServer;

/// An instance of the service without its HTTP.
struct Instance {
    cache: Arc<dyn Cache>,
    store: Arc<RedisStore>,
}

impl Instance {
    async fn start(server: &RedisServer, name: &str) -> Self {
        Self::with(options(server, name)).await
    }

    async fn with(options: Options) -> Self {
        let cache = cache::new(MapKind::Readmostly);
        let store = Arc::new(RedisStore::open(options, Arc::clone(&cache)).await.expect("a valid URL"));
        let instance = Instance { cache, store };
        instance.connected().await;
        instance
    }

    async fn connected(&self) {
        until("it is connected", || self.store.freshness() == Freshness::Fresh).await;
    }

    fn links(&self) -> u64 {
        self.store.near.counters().connections
    }

    fn cached(&self, key: &str) -> Option<Entry> {
        self.cache.get(key, Moment::now())
    }

    /// As a request does: from the cache, or loaded into it. The body.
    async fn read(&self, key: &str) -> Option<Bytes> {
        let open = Semaphore::new(0);
        open.close();
        self.read_slowly(key, &open).await
    }

    /// A read whose load waits until `gate` is closed, between the server's answer and caching it.
    async fn read_slowly(&self, key: &str, gate: &Semaphore) -> Option<Bytes> {
        let key = Key::from(key);
        let load = || -> Loaded<'_> {
            Box::pin(async {
                let found = self.store.get(&key).await?;
                let _ = gate.acquire().await;
                Ok(found.unwrap_or_else(|| Entry::absent(Moment::now().after(Duration::from_secs(60)))))
            })
        };
        let entry = self.cache.get_or_load(Arc::clone(&key), Moment::now(), &load).await;
        entry.expect("the server answers").value
    }

    async fn put(&self, key: &str, body: &str) -> Written {
        self.put_if(key, body, Condition::None).await.expect("no condition")
    }

    async fn put_if(&self, key: &str, body: &str, on: Condition) -> Result<Written, StoreError> {
        self.store.put(Key::from(key), Bytes::copy_from_slice(body.as_bytes()), Moment::NEVER, on).await
    }

    async fn put_for(&self, key: &str, body: &str, ttl: Duration) -> Written {
        let body = Bytes::copy_from_slice(body.as_bytes());
        self.store.put(Key::from(key), body, Moment::now().after(ttl), Condition::None).await.expect("no condition")
    }

    async fn delete(&self, key: &str, on: Condition) -> Result<bool, StoreError> {
        self.store.delete(Key::from(key), on).await
    }
}

/// With a timeout that no slow machine meets: it would cost the connection, and what is cached.
fn options(server: &RedisServer, name: &str) -> Options {
    Options {
        url: server.url(),
        prefix: "test:".to_owned(),
        instance: name.to_owned(),
        grace: Duration::ZERO,
        timeout: Duration::from_secs(20),
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "expected that {what}, within twenty seconds");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Longer than a message takes on one machine, by far.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn bytes(text: &'static str) -> Option<Bytes> {
    Some(Bytes::from_static(text.as_bytes()))
}

// ---------------------------------------------------------------------------------------------------------------------
// The store

#[tokio::test(flavor = "multi_thread")]
async fn values_are_put_read_and_deleted() {
    let Some(server) = RedisServer::start() else { return };
    let a = Instance::start(&server, "a").await;
    let key = Key::from("ké/y\n%");
    assert_eq!(a.store.get(&key).await, Ok(None));
    assert_eq!(a.delete(&key, Condition::None).await, Ok(false));

    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let written = a.store.put(key.clone(), Bytes::from(body.clone()), Moment::NEVER, Condition::None).await.unwrap();
    assert!(written.created);
    let entry = a.store.get(&key).await.unwrap().expect("it was put");
    assert_eq!(entry, Entry::present(written.version, Moment::NEVER, Bytes::from(body)));

    let empty = a.put(&key, "").await;
    assert!(!empty.created && empty.version > written.version);
    assert_eq!(a.store.get(&key).await.unwrap().and_then(|entry| entry.value), bytes(""));
    let versions = a.store.versions(vec![Key::from("absent"), key.clone()]).await;
    assert_eq!(versions, Ok(vec![None, Some(empty.version)]));
    assert_eq!(a.delete(&key, Condition::None).await, Ok(true));
    assert_eq!(a.store.get(&key).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_grow_past_removal_flush_and_restart() {
    let Some(mut server) = RedisServer::start() else { return };
    let a = Instance::start(&server, "a").await;
    let mut last = 0;
    for round in 0..20 {
        let written = a.put("k", "x").await;
        assert!(written.version > last, "{} is not above {last}", written.version);
        last = written.version;
        match round % 3 {
            0 => assert_eq!(a.delete("k", Condition::None).await, Ok(true)),
            1 => redis::cmd("FLUSHALL").exec(&mut server.admin()).unwrap(),
            _ => {}
        }
    }
    let links = a.links();
    server.kill();
    server.start_again();
    until("it is connected again", || a.links() > links).await;
    assert!(a.put("k", "x").await.version > last);
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_decide_over_writes() {
    let Some(server) = RedisServer::start() else { return };
    let a = Instance::start(&server, "a").await;
    let conflict = Err(StoreError::Conflict);

    // Absent.
    assert_eq!(a.put_if("k", "1", Condition::Present).await.map(drop), conflict.clone());
    assert_eq!(a.put_if("k", "1", Condition::Version(1)).await.map(drop), conflict.clone());
    assert_eq!(a.delete("k", Condition::Present).await.map(drop), conflict.clone());
    assert_eq!(a.delete("k", Condition::Version(1)).await.map(drop), conflict.clone());
    assert_eq!(a.read("k").await, None);
    let first = a.put_if("k", "1", Condition::Absent).await.expect("it is absent");
    assert!(first.created);

    // Present.
    assert_eq!(a.put_if("k", "2", Condition::Absent).await.map(drop), conflict.clone());
    assert_eq!(a.put_if("k", "2", Condition::Version(first.version - 1)).await.map(drop), conflict.clone());
    assert_eq!(a.delete("k", Condition::Version(first.version + 1)).await.map(drop), conflict);
    assert_eq!(a.read("k").await, bytes("1"));
    let second = a.put_if("k", "2", Condition::Version(first.version)).await.expect("the version is right");
    assert!(!second.created);
    assert_eq!(a.read("k").await, bytes("2"));
    let third = a.put_if("k", "3", Condition::Present).await.expect("it is present");
    assert_eq!(a.delete("k", Condition::Version(third.version)).await, Ok(true));
    assert_eq!(a.read("k").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_swaps_one_wins() {
    let Some(server) = RedisServer::start() else { return };
    let (a, b) = tokio::join!(Instance::start(&server, "a"), Instance::start(&server, "b"));
    let mut on = Condition::Absent;
    for _ in 0..200 {
        let (from_a, from_b) = tokio::join!(a.put_if("k", "a", on), b.put_if("k", "b", on));
        let (won, body) = match (from_a, from_b) {
            (Ok(won), Err(StoreError::Conflict)) => (won, "a"),
            (Err(StoreError::Conflict), Ok(won)) => (won, "b"),
            both => panic!("expected that one wins: {both:?}"),
        };
        let entry = a.store.get(&Key::from("k")).await.unwrap().expect("it was put");
        assert_eq!(entry, Entry::present(won.version, Moment::NEVER, Bytes::from_static(body.as_bytes())));
        on = Condition::Version(won.version);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_without_the_prefix_is_touched() {
    let Some(server) = RedisServer::start() else { return };
    let mut admin = server.admin();
    let () = admin.set("k", "foreign").unwrap();
    let () = admin.set("clock", "foreign").unwrap();
    let a = Instance::with(Options { prefix: "one:".to_owned(), ..options(&server, "a") }).await;
    let b = Instance::with(Options { prefix: "two:".to_owned(), ..options(&server, "b") }).await;
    a.put("k", "a").await;
    assert_eq!((b.read("k").await, b.delete("k", Condition::None).await), (None, Ok(false)));
    b.put("k", "b").await;
    assert_eq!((a.read("k").await, b.read("k").await), (bytes("a"), bytes("b")));

    let keys: BTreeSet<String> = admin.keys("*").unwrap();
    let expected = ["k", "clock", "one:entry:k", "one:clock", "two:entry:k", "two:clock"];
    assert_eq!(keys, expected.map(str::to_owned).into());
    let foreign: (String, String) = (admin.get("k").unwrap(), admin.get("clock").unwrap());
    assert_eq!(foreign, ("foreign".to_owned(), "foreign".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_type_is_an_error() {
    let Some(server) = RedisServer::start() else { return };
    let a = Instance::start(&server, "a").await;
    let () = server.admin().set("test:entry:k", "a string").unwrap();
    assert!(matches!(a.store.get(&Key::from("k")).await, Err(StoreError::Gone(text)) if text.contains("WRONGTYPE")));
    assert!(matches!(a.put_if("k", "x", Condition::None).await, Err(StoreError::Gone(_))));
}

// ---------------------------------------------------------------------------------------------------------------------
// Coherence

/// From the answer to a write in one instance until another has dropped what it had cached.
#[tokio::test(flavor = "multi_thread")]
async fn invalidation_takes_no_longer_than_a_heartbeat() {
    let Some(server) = RedisServer::start() else { return };
    let (a, b) = tokio::join!(Instance::start(&server, "a"), Instance::start(&server, "b"));
    let mut delays = Histogram::<u64>::new(3).expect("three digits");
    for _ in 0..2000 {
        a.read("k").await;
        b.put("k", "x").await;
        let written = Instant::now();
        while a.cached("k").is_some() {
            tokio::task::yield_now().await;
        }
        delays.record(written.elapsed().as_nanos() as u64).expect("it grows");
    }
    let micros = |quantile| delays.value_at_quantile(quantile) as f64 / 1e3;
    println!("invalidation: P50 {:.1} us, P99 {:.1} us, max {:.1} us", micros(0.5), micros(0.99), micros(1.0));
    assert!(micros(0.5) < HEARTBEAT.as_micros() as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_writes_is_invalidated() {
    let Some(server) = RedisServer::start() else { return };
    let (a, b) = tokio::join!(Instance::start(&server, "a"), Instance::start(&server, "b"));
    assert_eq!(a.read("k").await, None);
    assert!(a.cached("k").is_some_and(|entry| entry.value.is_none()), "the absence is cached");
    for body in ["1", "2", "3"] {
        b.put("k", body).await;
        until("the old entry goes", || a.cached("k").is_none()).await;
        assert_eq!(a.read("k").await, bytes(body));
        assert!(a.cached("k").is_some(), "what was read is cached");
    }
    b.delete("k", Condition::None).await.unwrap();
    until("the old entry goes", || a.cached("k").is_none()).await;
    assert_eq!(a.read("k").await, None);
    assert_eq!(a.store.near.counters().invalidations, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_wrote_reads_it() {
    let Some(server) = RedisServer::start() else { return };
    let a = Instance::start(&server, "a").await;
    for round in 0..200 {
        let body = round.to_string();
        a.put("k", &body).await;
        assert_eq!(a.read("k").await, Some(Bytes::from(body)));
    }
}

/// A write whose answer nobody waits for: its message tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_given_up_is_seen() {
    let Some(server) = RedisServer::start() else { return };
    let a = Instance::start(&server, "a").await;
    a.put("k", "old").await;
    assert_eq!(a.read("k").await, bytes("old"));
    server.suspend(true);
    let given_up = tokio::time::timeout(Duration::from_millis(50), a.put("k", "new")).await;
    assert!(given_up.is_err(), "the server is suspended");
    assert!(a.cached("k").is_some());
    server.suspend(false);
    until("the old entry goes", || a.cached("k").is_none()).await;
    assert_eq!(a.read("k").await, bytes("new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_a_message_meets_is_not_cached() {
    let Some(server) = RedisServer::start() else { return };
    let (a, b) = tokio::join!(Instance::start(&server, "a"), Instance::start(&server, "b"));
    b.put("k", "old").await;
    let gate = Semaphore::new(0);
    let slow = a.read_slowly("k", &gate);
    let change = async {
        // The server remembers the read as soon as it has answered it.
        let mut admin = server.admin();
        until("the key was read", || tracked_keys(&mut admin) == 1).await;
        b.put("k", "new").await;
        until("the message is here", || a.store.near.counters().invalidations == 1).await;
        gate.close();
    };
    let (seen, ()) = tokio::join!(slow, change);
    assert_eq!(seen, bytes("old"), "whoever asked before the change may see it");
    assert_eq!(a.cached("k"), None, "what was read before the change stays");
    assert_eq!(a.read("k").await, bytes("new"));
}

/// Keys whose readers the server remembers.
fn tracked_keys(admin: &mut redis::Connection) -> u64 {
    let info: String = redis::cmd("INFO").arg("stats").query(admin).expect("figures");
    let figure = info.lines().find_map(|line| line.strip_prefix("tracking_total_keys:"));
    figure.and_then(|figure| figure.trim().parse().ok()).expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_of_a_lost_connection_is_not_cached() {
    let Some(server) = RedisServer::start() else { return };
    let (a, b) = tokio::join!(Instance::start(&server, "a"), Instance::start(&server, "b"));
    b.put("k", "old").await;
    let gate = Semaphore::new(0);
    let slow = a.read_slowly("k", &gate);
    let change = async {
        let mut admin = server.admin();
        until("the key was read", || tracked_keys(&mut admin) == 1).await;
        assert_eq!(server.kill_clients("a:reads"), 1);
        b.put("k", "new").await;
        until("it is connected again", || a.links() == 2).await;
        a.connected().await;
        gate.close();
    };
    tokio::join!(slow, change);
    assert_eq!(a.cached("k"), None, "what was read over the lost connection stays");
    assert_eq!(a.read("k").await, bytes("new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_clears_the_cache() {
    let Some(server) = RedisServer::start() else { return };
    let a = Instance::start(&server, "a").await;
    for key in ["1", "2", "3"] {
        a.put(key, "x").await;
        a.read(key).await;
    }
    assert_eq!(a.cache.len(), 3);
    let flushes = a.store.near.counters().flushes;
    redis::cmd("FLUSHALL").exec(&mut server.admin()).unwrap();
    until("the cache is empty", || a.cache.len() == 0).await;
    assert_eq!(a.store.near.counters().flushes, flushes + 1);
    assert_eq!(a.read("1").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_holds_here_and_in_the_server() {
    let Some(server) = RedisServer::start() else { return };
    let (a, b) = tokio::join!(Instance::start(&server, "a"), Instance::start(&server, "b"));
    let ttl = Duration::from_secs(3);
    let begin = Moment::now();
    let invalidations = a.store.near.counters().invalidations;
    b.put_for("k", "x", ttl).await;
    assert_eq!(a.read("k").await, bytes("x"));
    let expires = a.cached("k").expect("it is cached").expires;
    assert!(expires > begin.after(ttl / 2) && expires <= Moment::now().after(ttl), "{begin:?} {expires:?}");
    assert_eq!(a.cache.get("k", expires), None, "not even if no message came");
    // The server removes expired keys ten times a second and tells of them.
    until("the server tells of the expiry", || a.store.near.counters().invalidations > invalidations).await;
    assert_eq!(a.read("k").await, None);

    // A write without a TTL takes the one there was away.
    b.put_for("k", "x", Duration::from_millis(100)).await;
    b.put("k", "y").await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(a.read("k").await, bytes("y"));
    assert_eq!(a.cached("k").map(|entry| entry.expires), Some(Moment::NEVER));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_empties_the_cache() {
    let Some(server) = RedisServer::start() else { return };
    let (a, b) = tokio::join!(Instance::start(&server, "a"), Instance::start(&server, "b"));
    for connection in ["a:reads", "a:writes"] {
        b.put("k", "old").await;
        assert_eq!(a.read("k").await, bytes("old"));
        let links = a.links();
        // The server may still list the other connection of the pair that was killed before.
        assert!(server.kill_clients(connection) > 0);
        b.put("k", "new").await;
        until("it is connected again", || a.links() > links).await;
        a.connected().await;
        assert_eq!(a.cached("k"), None);
        assert_eq!(a.read("k").await, bytes("new"));
        assert!(a.cached("k").is_some(), "it caches again");
        b.put("k", "newer").await;
        until("it is told of changes again", || a.cached("k").is_none()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_is_found_again() {
    let Some(mut server) = RedisServer::start() else { return };
    let a = Instance::start(&server, "a").await;
    a.put("k", "x").await;
    assert_eq!(a.read("k").await, bytes("x"));
    server.kill();
    until("nothing is served", || a.store.freshness() == Freshness::Unproven).await;
    assert!(matches!(a.store.proven().await, Err(StoreError::Gone(_))));
    assert!(matches!(a.store.get(&Key::from("k")).await, Err(StoreError::Gone(_))));
    assert!(matches!(a.put_if("k", "y", Condition::None).await, Err(StoreError::Gone(_))));
    assert!(!a.store.near.counters().connected);
    settle().await;
    server.start_again();
    a.connected().await;
    assert_eq!(a.cache.len(), 0);
    assert_eq!(a.read("k").await, None, "the server kept nothing");
    a.put("k", "z").await;
    assert_eq!(a.read("k").await, bytes("z"));
}

/// The connection stands, but nothing comes: a server that stalls, or a network that drops everything.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_fresh_without_proof() {
    let Some(server) = RedisServer::start() else { return };
    let grace = Duration::from_secs(5);
    let timeout = Duration::from_secs(1);
    let strict = Instance::with(Options { timeout, ..options(&server, "strict") }).await;
    let lenient = Instance::with(Options { timeout, grace, ..options(&server, "lenient") }).await;
    let mut fresh = Instant::now();
    until("a proof is no older than the lease", || {
        fresh = Instant::now();
        lenient.store.freshness() == Freshness::Fresh
    })
    .await;
    server.suspend(true);
    let suspended = Instant::now();
    tokio::time::sleep(LEASE).await;
    assert_eq!(strict.store.freshness(), Freshness::Unproven);
    assert_eq!(lenient.store.freshness(), Freshness::Stale);
    assert!(strict.store.proven().await.is_err(), "it does not answer");
    until("the grace is over", || {
        let must_be = suspended.elapsed() > grace;
        let is = lenient.store.freshness() == Freshness::Unproven;
        assert!(is || !must_be, "{:?}", suspended.elapsed());
        is
    })
    .await;
    assert!(fresh.elapsed() >= grace - LEASE, "{:?}", fresh.elapsed());
    server.suspend(false);
    strict.connected().await;
    lenient.connected().await;
    let begin = Instant::now();
    while let Err(error) = strict.store.proven().await {
        assert!(begin.elapsed() < Duration::from_secs(20), "{error}");
    }
}

#[tokio::test]
async fn a_url_that_is_none_is_refused() {
    for url in ["", "http://localhost/", "redis://", "localhost:6379", "redis://localhost:x/"] {
        let options = Options {
            url: url.to_owned(),
            prefix: "test:".to_owned(),
            instance: "a".to_owned(),
            grace: Duration::ZERO,
            timeout: Duration::from_secs(1),
        };
        let error = RedisStore::open(options, cache::new(MapKind::Readmostly)).await.err().expect(url);
        assert!(error.to_string().contains("expected one as in redis://127.0.0.1:6379/0"), "{error}");
    }
}
