//! Instances of the service near a server, as processes, and requests to them.

#[path = "../service/server.rs"]
#[allow(dead_code, reason = "other tests need the rest of it")]
mod server;

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use server::{Place, Server};

use crate::redis_server::RedisServer;

/// Killed when dropped.
pub(crate) struct Instance {
    server: Server,
    _place: Place,
}

/// What a request got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// From `ETag`.
    pub(crate) version: Option<u64>,
    /// From `x-cache`.
    pub(crate) cache: String,
    pub(crate) retry_after: String,
    pub(crate) body: String,
}

impl Instance {
    /// Starts the service with `more` arguments besides those that a test needs; it is connected when this returns.
    pub(crate) fn start(redis: &RedisServer, name: &str, more: &[&str]) -> Self {
        let place = Place::new();
        let mut command = server::serve(more);
        command.args(["--negative-ttl", "60s", "--redis", &redis.url(), "--instance", name]);
        let server = Server::start_with(&mut command, &place);
        let instance = Instance { server, _place: place };
        until("it is connected", || instance.is_connected());
        instance
    }

    pub(crate) fn get(&self, key: &str) -> Answer {
        self.send("GET", key, &[], "")
    }

    pub(crate) fn put(&self, key: &str, body: &str) -> Answer {
        self.send("PUT", key, &[], body)
    }

    /// What is answered once the instance has a proof of what is current; before that it may refuse to.
    pub(crate) fn get_at_last(&self, key: &str) -> Answer {
        let mut answer = None;
        until("it answers", || {
            answer = Some(self.get(key)).filter(|answer| answer.status != 503);
            answer.is_some()
        });
        answer.expect("it is there")
    }

    /// `target` is the key, and what follows it.
    pub(crate) fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let answer = self.server.send(method, &format!("/cache/{target}"), headers, body.as_bytes());
        Answer {
            status: answer.status,
            version: answer.header("etag").trim_matches('"').parse().ok(),
            cache: answer.header("x-cache").to_owned(),
            retry_after: answer.header("retry-after").to_owned(),
            body: answer.text().to_owned(),
        }
    }

    /// Reads `key` twice, so that it is cached; the second answer.
    pub(crate) fn cached(&self, key: &str) -> Answer {
        self.get(key);
        let answer = self.get(key);
        assert!(["hit", "negative"].contains(&answer.cache.as_str()), "expected a hit: {answer:?}");
        answer
    }

    fn near_cache(&self) -> Value {
        self.server.status()["near_cache"].take()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.near_cache()["connected"] == true
    }

    /// One of the figures in `near_cache`.
    pub(crate) fn count(&self, what: &str) -> u64 {
        self.near_cache()[what].as_u64().unwrap_or_else(|| panic!("expected a number for {what}"))
    }

    /// One of the figures in `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let metrics = self.server.get("/metrics");
        let line = metrics.text().lines().find(|line| line.split('{').next() == Some(name));
        let figure = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        figure.unwrap_or_else(|| panic!("expected {name} in:\n{}", metrics.text()))
    }
}

/// Waits until `holds`, for twenty seconds at most.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "expected that {what}, within twenty seconds");
        thread::sleep(Duration::from_millis(1));
    }
}
