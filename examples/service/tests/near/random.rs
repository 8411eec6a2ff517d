//! Random requests to both instances at once, and what both show in the end.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::history::{History, Read, Removal, Write};
use super::instance::{Answer, Instance, until};
use super::{BOUND, pair};
use crate::redis_server::RedisServer;

/// How long one key is the one that all ask for. Then it is left as it is: whatever is stale stays so, and is found.
const TURN: Duration = Duration::from_millis(20);

/// Of requests, for keys whose turn has been.
const LOOKING_BACK: f64 = 0.2;

/// At the end of a run nothing is disturbed for so long, so that something is left to be compared.
const CALM: Duration = Duration::from_millis(1500);

/// How long a run takes that nothing disturbs, its calm included.
const QUIET: Duration = Duration::from_secs(5);

/// The least that a client does, however slow the machine is: all of them read, and two write.
const READS: usize = 100;
const WRITES: usize = 60;
const REMOVALS: usize = 5;

/// More than it can take to do that.
const LIMIT: Duration = Duration::from_secs(60);

/// A client of one instance.
struct Client<'a> {
    instance: &'a Instance,
    number: usize,
    random: SmallRng,
    /// Mostly writes.
    writes: bool,
    history: History,
    written: u64,
}

impl Client<'_> {
    fn run(mut self, start: Instant, over: &AtomicBool) -> History {
        let writes = if self.writes { 0.7 } else { 0.1 };
        while !over.load(Relaxed) || !self.has_done_its_part() && start.elapsed() < LIMIT {
            let turn = (start.elapsed().as_nanos() / TURN.as_nanos()) as u64;
            let back = if self.random.random_bool(LOOKING_BACK) { self.random.random_range(0..=turn) } else { 0 };
            let key = format!("k{}", turn - back);
            if back == 0 && self.random.random_bool(writes) {
                self.write(&key);
            } else {
                self.read(&key);
            }
        }
        self.history
    }

    fn has_done_its_part(&self) -> bool {
        let History { writes, removals, reads, .. } = &self.history;
        reads.len() >= READS && (!self.writes || writes.len() >= WRITES && removals.len() >= REMOVALS)
    }

    fn read(&mut self, key: &str) -> Option<u64> {
        let began = Instant::now();
        let answer = self.instance.get(key);
        let found = match answer.status {
            200 => Some((answer.version.expect("an ETag"), answer.body)),
            404 => None,
            503 => return None, // for what it does not know, an instance need not answer
            _ => panic!("expected an answer to a read: {answer:?}"),
        };
        let version = found.as_ref().map(|(version, _)| *version);
        let (client, key) = (self.number, key.to_owned());
        self.history.reads.push(Read { client, key, found, began, ended: Instant::now() });
        version
    }

    fn write(&mut self, key: &str) {
        match self.random.random_range(0..10) {
            0..6 => self.put(key, &[]),
            kind => match self.read(key) {
                Some(version) if kind < 8 => self.remove(key, version),
                Some(version) => self.put(key, &[("if-match", &format!("\"{version}\""))]),
                None => self.put(key, &[("if-none-match", "*")]),
            },
        }
    }

    fn put(&mut self, key: &str, headers: &[(&str, &str)]) {
        self.written += 1;
        let body = format!("{} {} {}", self.number, self.written, self.random.random::<u64>());
        let lasts = self.random.random_bool(0.9);
        let target = if lasts { key.to_owned() } else { format!("{key}?ttl=1") };
        let sent = Instant::now();
        let answer = self.instance.send("PUT", &target, headers, &body);
        match answer.status {
            201 | 204 => self.history.writes.push(Write {
                key: key.to_owned(),
                version: answer.version.expect("an ETag"),
                body,
                lasts,
                acknowledged: Instant::now(),
            }),
            412 => {}
            503 => {
                self.history.unknown += 1;
                if !lasts {
                    // It may have taken place and expired, whatever was there before.
                    let key = Some(key.to_owned());
                    self.history.removals.push(Removal { key, version: u64::MAX, sent, acknowledged: None });
                }
            }
            _ => panic!("expected an answer to a write: {answer:?}"),
        }
    }

    fn remove(&mut self, key: &str, version: u64) {
        let sent = Instant::now();
        let answer = self.instance.send("DELETE", key, &[("if-match", &format!("\"{version}\""))], "");
        let acknowledged = match answer.status {
            204 => Some(Instant::now()),
            412 => return,
            503 => None,
            _ => panic!("expected an answer to a removal: {answer:?}"),
        };
        self.history.removals.push(Removal { key: Some(key.to_owned()), version, sent, acknowledged });
    }
}

/// Lets clients of both instances loose, and `disturb` beside them; what they saw. They go on for a while after it.
fn let_loose(instances: &[Instance; 2], disturb: impl FnOnce() -> History + Send) -> History {
    let start = Instant::now();
    let (mut history, over) = (History::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        let disturbed = scope.spawn(disturb);
        // On each instance one that mostly writes and two that mostly read.
        let clients: Vec<_> = (0..6)
            .map(|number| {
                let random = SmallRng::seed_from_u64(number as u64);
                let client = Client {
                    instance: &instances[number % 2],
                    number,
                    random,
                    writes: number < 2,
                    history: History::default(),
                    written: 0,
                };
                let over = &over;
                scope.spawn(move || client.run(start, over))
            })
            .collect();
        let disturbed = disturbed.join();
        thread::sleep(CALM);
        over.store(true, Relaxed);
        for client in clients {
            history.join(client.join().expect("no client panics"));
        }
        history.join(disturbed.expect("the disturbance does not panic"));
    });
    history
}

fn are_connected(instances: &[Instance; 2]) {
    until("both are connected", || instances.iter().all(Instance::is_connected));
}

/// Panics unless both instances show of every key that was asked for what the server holds.
fn agree(server: &RedisServer, instances: &[Instance; 2], history: &History) {
    are_connected(instances);
    thread::sleep(Duration::from_millis(1010).max(BOUND)); // what was written with a TTL of a second is gone
    let mut admin = server.admin();
    let (mut present, mut hits) = (0, 0);
    let read = history.reads.iter().map(|read| &read.key);
    let keys: BTreeSet<&String> = read.chain(history.writes.iter().map(|write| &write.key)).collect();
    for key in keys {
        let stored: (Option<u64>, Option<String>) = redis::cmd("HMGET")
            .arg(&[&format!("readmostly:entry:{key}"), "version", "body"])
            .query(&mut admin)
            .expect("two fields");
        // Twice, so that the second answer is that of the cache, whatever the first was.
        for instance in instances.iter().chain(instances) {
            let Answer { status, version, body, cache, .. } = instance.get_at_last(key);
            let shown = (version.filter(|_| status == 200), Some(body).filter(|_| status == 200));
            assert_eq!(shown, stored, "{key}: an instance and the server disagree ({cache})");
            hits += usize::from(cache != "miss");
        }
        present += usize::from(stored.0.is_some());
    }
    println!("{present} keys present in the end, {hits} answers from the caches");
    assert!(present > 0 && hits > 0, "expected that something was left and cached");
}

fn report(history: &History) {
    let (writes, removals) = (history.writes.len(), history.removals.len());
    println!("{writes} writes, {removals} removals, {} reads, {} unknown", history.reads.len(), history.unknown);
    let enough = writes >= 2 * WRITES && removals >= 2 * REMOVALS && history.reads.len() >= 6 * READS;
    assert!(enough, "expected some load");
}

#[test]
fn instances_agree_under_writes_from_both() {
    let Some(server) = RedisServer::start() else { return };
    let instances = &pair(&server);
    let history = let_loose(instances, || {
        thread::sleep(QUIET - CALM);
        History::default()
    });
    report(&history);
    assert_eq!(history.unknown, 0, "nothing failed");
    history.check(BOUND);
    agree(&server, instances, &history);
}

#[test]
fn instances_agree_although_connections_are_killed() {
    let Some(server) = RedisServer::start() else { return };
    let instances = &pair(&server);
    let history = let_loose(instances, || {
        for _ in 0..5 {
            for name in ["a:reads", "b:reads", "a:writes", "b:writes"] {
                thread::sleep(Duration::from_millis(150));
                until("there is one to be killed", || server.kill_clients(name) > 0);
            }
        }
        are_connected(instances);
        History::default()
    });
    report(&history);
    history.check(BOUND);
    agree(&server, instances, &history);
}

#[test]
fn instances_agree_although_the_server_is_killed() {
    let Some(mut server) = RedisServer::start() else { return };
    let instances = &pair(&server);
    let disturbed = &mut server;
    let history = let_loose(instances, move || {
        let mut history = History::default();
        for _ in 0..4 {
            thread::sleep(Duration::from_millis(1200));
            let sent = Instant::now();
            disturbed.kill();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is set");
            let version = now.as_micros() as u64; // versions are moments
            history.removals.push(Removal { key: None, version, sent, acknowledged: Some(Instant::now()) });
            thread::sleep(Duration::from_millis(100));
            disturbed.start_again();
        }
        are_connected(instances);
        history
    });
    report(&history);
    history.check(BOUND);
    agree(&server, instances, &history);
}
