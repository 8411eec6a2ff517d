//! The service as a child process.

use std::{
    ffi::OsStr,
    io::{self, BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};
use tempfile::TempDir;

const READY: &str = "listening on ";

/// A service that runs until this is dropped, which kills it.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    url: String,
    /// What is removed after its end.
    folder: Option<TempDir>,
}

impl Service {
    /// Starts `program serve` on a port that is free, with these arguments, and waits until it listens.
    pub(crate) fn start<A: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = A>) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?).lines();
        let url = lines.by_ref().map_while(Result::ok).find_map(|line| Some(line.strip_prefix(READY)?.to_owned()));
        // What it prints later is of no interest, but a full pipe would stop it.
        thread::spawn(|| lines.for_each(drop));
        let service = Self { child, url: url.unwrap_or_default(), folder: None };
        if service.url.is_empty() {
            return Err(io::Error::other("the service ended before it listened"));
        }
        Ok(service)
    }

    /// Removes a folder after the end of the service.
    pub(crate) fn keeping(mut self, folder: TempDir) -> Self {
        self.folder = Some(folder);
        self
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops it until [`Service::resume`], so that it takes no time from others.
    #[cfg(unix)]
    pub(crate) fn pause(&self) -> io::Result<()> {
        self.signal(rustix::process::Signal::STOP)
    }

    /// Lets it go on.
    #[cfg(unix)]
    pub(crate) fn resume(&self) -> io::Result<()> {
        self.signal(rustix::process::Signal::CONT)
    }

    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) -> io::Result<()> {
        let id = rustix::process::Pid::from_raw(self.id().cast_signed()).ok_or(io::ErrorKind::NotFound)?;
        Ok(rustix::process::kill_process(id, signal)?)
    }

    /// There is no way to stop it here.
    #[cfg(not(unix))]
    pub(crate) fn pause(&self) -> io::Result<()> {
        Ok(())
    }

    /// It goes on anyway.
    #[cfg(not(unix))]
    pub(crate) fn resume(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Either fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Time of processors so far.
    pub(crate) processor: Duration,
    /// Memory now.
    pub(crate) resident_bytes: u64,
}

impl Usage {
    /// That of a process; none if the system does not say.
    #[cfg(target_os = "linux")]
    pub(crate) fn of(id: u32) -> Option<Self> {
        let process = procfs::process::Process::new(id.cast_signed()).ok()?;
        let stat = process.stat().ok()?;
        let seconds = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
        Some(Self { processor: Duration::from_secs_f64(seconds), resident_bytes: stat.rss * procfs::page_size() })
    }

    /// That of a process; none if the system does not say.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn of(_: u32) -> Option<Self> {
        None
    }
}
