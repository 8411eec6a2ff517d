//! The real binary, and a client for it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use ureq::http::{HeaderMap, Request};
use ureq::{Agent, RequestExt as _};

pub(crate) const MAPS: [&str; 4] = ["readmostly", "dashmap", "moka", "rwlock"];

/// The same test on each map, all at once where it has to sleep.
pub(crate) fn on_each_map(test: impl Fn(&str) + Sync) {
    thread::scope(|scope| MAPS.iter().for_each(|map| drop(scope.spawn(|| test(map)))));
}

/// Nothing here takes that long unless it hangs.
const LIMIT: Duration = Duration::from_secs(20);

/// A service that is running; it is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    agent: Agent,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A folder for a database and a warm file.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.0.path().join("database")
    }

    pub(crate) fn warm_file(&self) -> PathBuf {
        self.0.path().join("warm")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.path().join("log")
    }
}

pub(crate) fn command(place: &Place, args: &[&str]) -> Command {
    let mut command = serve(args);
    command.args(["--faults", "--database"]).arg(place.database());
    command
}

/// The service with `args`, and what a test needs besides, unless they say otherwise.
pub(crate) fn serve(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_readmostly-service"));
    // Tests look for what is logged by default.
    command.env_remove("RUST_LOG").args(["serve", "--threads", "2"]).args(args);
    // However slow the machine and its disk are, only a test of the load timeout is to meet it.
    for [option, value] in [["--listen", "127.0.0.1:0"], ["--load-timeout", "20s"]] {
        if !args.contains(&option) {
            command.args([option, value]);
        }
    }
    command
}

impl Server {
    pub(crate) fn start(place: &Place, args: &[&str]) -> Server {
        Server::start_with(&mut command(place, args), place)
    }

    pub(crate) fn start_with(command: &mut Command, place: &Place) -> Server {
        let mut server = Server::spawn(command, place);
        let stdout = server.child.stdout.take().unwrap();
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ");
        server.url = url.unwrap_or_else(|| panic!("{line:?}; {}", log(place))).to_owned();
        server
    }

    /// Without waiting until it serves.
    pub(crate) fn spawn(command: &mut Command, place: &Place) -> Server {
        let log = std::fs::File::options().create(true).append(true).open(place.log()).unwrap();
        let child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(LIMIT));
        // The environment may name a proxy, which knows nothing of this machine's ports.
        let agent = config.proxy(None).build().new_agent();
        Server { child, url: String::new(), agent }
    }

    pub(crate) fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).unwrap();
        let response = request.with_agent(&self.agent).configure().allow_non_standard_methods(true).run()?;
        let (head, mut body) = response.into_parts();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: body.read_to_vec()? })
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_send(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn put(&self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        self.send("PUT", path, &[], body.as_ref())
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], b"")
    }

    /// Status, `x-cache` and body of a read.
    pub(crate) fn read(&self, path: &str) -> (u16, String, String) {
        let answer = self.get(path);
        let body = if answer.status == 200 { answer.text().to_owned() } else { String::new() };
        (answer.status, answer.header("x-cache").to_owned(), body)
    }

    /// Reads again while the load timeout strikes, which a slow machine brings about where a test has it short.
    pub(crate) fn read_at_last(&self, path: &str) -> (u16, String, String) {
        at_last(|| self.read(path), |(status, ..)| *status)
    }

    /// Writes again while the load timeout strikes. All writes before it have then been made, or never will be.
    pub(crate) fn put_at_last(&self, path: &str, body: &str) {
        let status = at_last(|| self.put(path, body), |answer| answer.status).status;
        assert!(matches!(status, 201 | 204), "{path}: {status}");
    }

    pub(crate) fn fault(&self, query: &str) {
        assert_eq!(self.send("POST", &format!("/faults/{query}"), &[], b"").status, 204);
    }

    pub(crate) fn status(&self) -> Value {
        self.get("/status.json").json()
    }

    /// Waits until the status is as `f` wants it.
    pub(crate) fn wait_for(&self, what: &str, f: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + LIMIT;
        loop {
            let status = self.status();
            if f(&status) {
                return status;
            }
            assert!(Instant::now() < end, "no {what}: {status}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until `/metrics` has the line.
    pub(crate) fn wait_for_metric(&self, line: &str) {
        let end = Instant::now() + LIMIT;
        loop {
            let metrics = self.get("/metrics");
            if metrics.text().lines().any(|found| found == line) {
                return;
            }
            assert!(Instant::now() < end, "no {line}: {}", metrics.text());
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.url.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGTERM, and a good end.
    pub(crate) fn stop(self) {
        self.signal(Signal::TERM);
        assert!(self.wait().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn at_last<T>(ask: impl Fn() -> T, status: impl Fn(&T) -> u16) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        let answer = ask();
        if status(&answer) != 503 || Instant::now() > end {
            return answer;
        }
    }
}

pub(crate) fn log(place: &Place) -> String {
    std::fs::read_to_string(place.log()).unwrap()
}

/// Everything until the other side closes; an error of the connection counts as that.
pub(crate) fn read_all(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) fn flip_byte(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
