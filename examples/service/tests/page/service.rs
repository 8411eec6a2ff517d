//! A service of its own for a test, and traffic for it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) struct Service {
    process: Child,
    host: String,
}

impl Service {
    /// Returns when it serves.
    pub(crate) fn start(listen: &str, instance: &str) -> Service {
        let mut process = Command::new(env!("CARGO_BIN_EXE_readmostly-service"))
            .args(["serve", "--listen", listen, "--instance", instance])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the service starts");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let host = loop {
            let line = lines.next().expect("the service ended").expect("text");
            if let Some((_, host)) = line.split_once("listening on http://") {
                break host.trim().to_owned();
            }
        };
        Service { process, host }
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    pub(crate) fn status(&self) -> Value {
        let text = ureq::get(self.url("/status.json")).call().expect("an answer").body_mut().read_to_string();
        serde_json::from_str(&text.expect("text")).expect("JSON")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.process.kill().expect("it runs still");
        self.process.wait().expect("it ends");
    }
}

/// Hits, misses and a few writes.
pub(crate) fn traffic(host: &str, until: Instant) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    for n in (0u32..).take_while(|_| Instant::now() < until) {
        let key = match n % 10 {
            0 => format!("absent-{n}"),
            _ => format!("key-{}", n % 97),
        };
        let url = format!("http://{host}/cache/{key}");
        let answer = match n % 50 {
            1 => agent.put(&url).send(format!("value {n}").as_bytes()),
            _ => agent.get(&url).call(),
        };
        answer.expect("an answer").body_mut().read_to_vec().expect("all of it");
        std::thread::sleep(Duration::from_millis(1));
    }
}
