//! A Redis or Valkey server for a test: on a free port, with its files in a temporary folder, killed at the end.

#[path = "port.rs"]
mod port;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, io, thread};

use tempfile::TempDir;

/// How long the server may take to answer after its start.
const START: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct RedisServer {
    binary: PathBuf,
    folder: TempDir,
    port: u16,
    process: Child,
}

impl RedisServer {
    /// A server that answers and keeps nothing on disk. `None`, and a line on standard error, where none is installed:
    /// neither `redis-server` nor `valkey-server`. An error all the same if `REDIS_REQUIRED` is set, as in CI.
    pub(crate) fn start() -> Option<Self> {
        let Some(binary) = installed() else {
            let text = "no redis-server and no valkey-server in PATH; expected one to be installed";
            assert!(env::var_os("REDIS_REQUIRED").is_none(), "{text}");
            // Not by `eprintln`, which tests that pass keep to themselves.
            let _ = writeln!(io::stderr(), "\nTEST SKIPPED: {text}\n");
            return None;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Another process may take the port before the server does; then there is another one.
        for _ in 0..10 {
            let port = port::free();
            let mut process = spawn(&binary, folder.path(), port);
            if answers(&mut process, port) {
                return Some(RedisServer { binary, folder, port, process });
            }
        }
        panic!("{} does not start; expected it to answer within {START:?}", binary.display());
    }

    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    /// A connection for a test's own commands.
    pub(crate) fn admin(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).expect("a valid URL");
        client.get_connection().expect("the server runs")
    }

    /// Closes the connections of clients whose name ends in `suffix`; how many there were.
    pub(crate) fn kill_clients(&self, suffix: &str) -> usize {
        let mut admin = self.admin();
        let clients: String = redis::cmd("CLIENT").arg("LIST").query(&mut admin).expect("a list of clients");
        let field = |client: &str, name: &str| -> Option<String> {
            client.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
        };
        let named = clients.lines().filter(|client| field(client, "name").is_some_and(|name| name.ends_with(suffix)));
        let ids: Vec<String> = named.filter_map(|client| field(client, "id")).collect();
        for id in &ids {
            let _: i64 = redis::cmd("CLIENT").arg(&["KILL", "ID", id]).query(&mut admin).expect("a number");
        }
        ids.len()
    }

    /// As by `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it is ours");
        self.process.wait().expect("it was killed");
    }

    /// On the same port, with nothing in it.
    pub(crate) fn start_again(&mut self) {
        self.process = spawn(&self.binary, self.folder.path(), self.port);
        assert!(answers(&mut self.process, self.port), "the server starts again");
    }

    /// Stops the process without closing anything, or lets it go on.
    pub(crate) fn suspend(&self, suspended: bool) {
        let signal = if suspended { "-STOP" } else { "-CONT" };
        let status = Command::new("kill").args([signal, &self.process.id().to_string()]).status();
        assert!(status.expect("kill is installed").success());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn installed() -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    let folders: Vec<PathBuf> = env::split_paths(&folders).collect();
    let mut binaries = ["redis-server", "valkey-server"]
        .into_iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .filter(|binary| binary.is_file());
    binaries.next()
}

fn spawn(binary: &Path, folder: &Path, port: u16) -> Child {
    Command::new(binary)
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no", "--port"])
        .arg(port.to_string())
        .arg("--dir")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it is installed")
}

fn answers(process: &mut Child, port: u16) -> bool {
    let client = redis::Client::open(url(port)).expect("a valid URL");
    let own = format!("process_id:{}", process.id());
    let end = Instant::now() + START;
    while Instant::now() < end && process.try_wait().is_ok_and(|ended| ended.is_none()) {
        let mut connection = client.get_connection();
        let info = connection.as_mut().map(|connection| redis::cmd("INFO").arg("server").query::<String>(connection));
        // Not if another one has taken the port.
        if let Ok(Ok(info)) = info
            && info.lines().any(|line| line == own)
        {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let _ = process.kill();
    let _ = process.wait();
    false
}

fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}/")
}
