//! What the threads and the one that watches them tell each other, and the bar that shows it.

use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const REDRAW: Duration = Duration::from_millis(100);

/// How far the workers are, and whether they should go on.
pub(crate) struct Progress {
    /// Accesses by each worker.
    done: Vec<CachePadded<AtomicU64>>,
    /// Workers that are not done yet.
    running: AtomicUsize,
    stop: AtomicBool,
}

impl Progress {
    pub(crate) fn of(workers: usize) -> Self {
        Progress {
            done: (0..workers).map(|_| CachePadded::default()).collect(),
            running: AtomicUsize::new(workers),
            stop: AtomicBool::new(false),
        }
    }

    /// The signals of one worker to the calling thread, which is to watch it.
    pub(crate) fn signals(&self, worker: usize) -> Signals<'_> {
        Signals { progress: self, worker, watcher: thread::current() }
    }

    /// Shows a progress bar until the time is over or all workers are done, and makes them stop.
    pub(crate) fn watch(&self, duration: Option<Duration>, accesses: u64) {
        let bar = progress_bar(duration, accesses);
        let start = Instant::now();
        while self.running.load(Ordering::Relaxed) > 0 {
            let elapsed = start.elapsed();
            let done: u64 = self.done.iter().map(|done| done.load(Ordering::Relaxed)).sum();
            bar.set_position(duration.map_or(done, |_| elapsed.as_millis() as u64));
            bar.set_message(format!("{:.1} M accesses/s", done as f64 / elapsed.as_secs_f64() / 1e6));
            let pause = match duration {
                Some(duration) if elapsed >= duration => break,
                Some(duration) => REDRAW.min(duration - elapsed),
                None => REDRAW,
            };
            thread::park_timeout(pause);
        }
        self.stop();
        bar.finish_and_clear();
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What a worker tells the thread that watches it, and is told.
pub(crate) struct Signals<'a> {
    progress: &'a Progress,
    worker: usize,
    watcher: Thread,
}

impl Signals<'_> {
    /// Tells that the worker has made `done` accesses; whether it should stop.
    pub(crate) fn told_to_stop(&self, done: u64) -> bool {
        self.progress.done[self.worker].store(done, Ordering::Relaxed);
        self.progress.stop.load(Ordering::Relaxed)
    }
}

impl Drop for Signals<'_> {
    /// On drop, so that the watcher is told of a panic, too.
    fn drop(&mut self) {
        self.progress.running.fetch_sub(1, Ordering::Relaxed);
        self.watcher.unpark();
    }
}

/// A bar over the time or, without a limit to it, over the accesses. Hidden unless a person sees all of the output.
fn progress_bar(duration: Option<Duration>, accesses: u64) -> ProgressBar {
    let seen = io::stdout().is_terminal() && io::stderr().is_terminal();
    let target = if seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let length = duration.map_or(accesses, |duration| duration.as_millis() as u64);
    let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {msg}").expect("a valid template");
    ProgressBar::with_draw_target(Some(length), target).with_style(style)
}
