//! The service and a client that behaves, and one that need not.

use crate::process::Service;
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use ureq::Agent;

/// No answer may take longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_readmostly-service");

/// Starts the service on a database in `folder`, with more arguments, and waits until it is ready. Without a load
/// timeout among them it has one that no slow machine or disk meets.
pub(crate) fn start_in(folder: &Path, arguments: &[&str]) -> (Service, Client) {
    let database = folder.join("cache.sqlite");
    let database = ["--database", database.to_str().expect("a temporary folder whose name is text")];
    let patience: &[_] = if arguments.contains(&"--load-timeout") { &[] } else { &["--load-timeout", "20s"] };
    let arguments = database.iter().chain(arguments).chain(patience);
    let service = Service::start(Path::new(PROGRAM), arguments).expect("a service that starts");
    let client = Client::new(service.url());
    let start = Instant::now();
    while client.get("/ready").status != 200 {
        assert!(start.elapsed() < PATIENCE, "the service does not become ready");
        thread::sleep(Duration::from_millis(10));
    }
    (service, client)
}

/// Starts the service on a new database.
pub(crate) fn start(arguments: &[&str]) -> (Service, Client) {
    let folder = TempDir::new().expect("a temporary folder");
    let (service, client) = start_in(folder.path(), arguments);
    (service.keeping(folder), client)
}

/// A client that behaves.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: Agent,
    url: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// What `x-cache` says.
    pub(crate) source: String,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) took: Duration,
}

impl Client {
    fn new(url: &str) -> Self {
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        // The environment may name a proxy, which knows nothing of this machine's ports.
        Self { agent: config.proxy(None).build().into(), url: url.to_owned() }
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        let start = Instant::now();
        reply(self.agent.get(format!("{}{path}", self.url)).call().expect("an answer"), start)
    }

    pub(crate) fn read(&self, key: &str) -> Reply {
        self.get(&format!("/cache/{key}"))
    }

    pub(crate) fn write(&self, key: &str, value: impl AsRef<[u8]>) -> Reply {
        let start = Instant::now();
        let request = self.agent.put(format!("{}/cache/{key}", self.url));
        reply(request.send(value.as_ref()).expect("an answer"), start)
    }

    /// Whether the service acknowledged a write before it ended.
    pub(crate) fn is_written(&self, key: &str, value: &str) -> bool {
        let answer = self.agent.put(format!("{}/cache/{key}", self.url)).send(value.as_bytes());
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    pub(crate) fn fault(&self, query: &str) {
        let answer = self.agent.post(format!("{}/faults/database?{query}", self.url)).send_empty().expect("an answer");
        assert!(answer.status().is_success(), "{query}: {}", answer.status());
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("http://").trim_end_matches('/').parse().expect("an address")
    }

    /// A connection on which anything can be sent.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time that is not zero");
        stream
    }

    /// Sends a request after which the service is to close the connection; all of the answer.
    pub(crate) fn send(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        // The service may answer and close before all was sent.
        let _ = stream.write_all(request);
        rest_of(stream)
    }

    /// Sends a part of a request and that there is no more to come; all of the answer.
    pub(crate) fn send_part(&self, part: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(part).expect("a service that reads");
        stream.shutdown(Shutdown::Write).expect("a connection");
        rest_of(stream)
    }

    /// Expects a key to be cached with that value, and the answer not to have waited for anything: at least one of
    /// three, as a machine may halt.
    pub(crate) fn expect_hit(&self, key: &str, value: impl AsRef<[u8]>) {
        let is_prompt = |_| {
            let Reply { status, source, body, took, .. } = self.read(key);
            assert_eq!((status, source.as_str()), (200, "hit"), "{key}");
            assert_eq!(body, value.as_ref(), "{key}");
            took < Duration::from_secs(1)
        };
        assert!((0..3).any(is_prompt), "hits of {key} took a second and more");
    }
}

/// Asks again while the service gives up, which a slow machine brings about where a test has the load timeout short.
pub(crate) fn at_last(ask: impl Fn() -> Reply) -> Reply {
    let start = Instant::now();
    loop {
        let reply = ask();
        if reply.status != 503 || start.elapsed() > PATIENCE {
            return reply;
        }
    }
}

fn reply(mut response: ureq::http::Response<ureq::Body>, start: Instant) -> Reply {
    let header = |name| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
    let (source, retry_after) = (header("x-cache").unwrap_or_default(), header("retry-after"));
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(1 << 30).read_to_vec().expect("a body");
    Reply { status, source, retry_after, body, took: start.elapsed() }
}

/// All that comes until the connection is closed, which it must be.
pub(crate) fn rest_of(mut stream: TcpStream) -> String {
    let (mut answer, start) = (Vec::new(), Instant::now());
    // A connection that is reset, since the service did not read all, has ended, too.
    let _ = stream.read_to_end(&mut answer);
    assert!(start.elapsed() < PATIENCE, "the connection is not closed");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status of an answer as it came; 0 if there was none.
pub(crate) fn status_of(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}
