//! The sweeper: a thread that removes expired entries from the cache, in slices, and rows from the database.
//!
//! Expired entries are never served, swept or not: a sweep only gives their memory back. So it is the first thing to do
//! without when it takes too long.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use parking_lot::Mutex;
use readmostly::Cursor;
use tokio::runtime::Handle;

use super::app::App;
use super::breaker::Breaker;
use crate::cache::Slice;
use crate::entry::Moment;
use crate::status::{self, Sweeps};

/// Rows that one statement deletes from the database at most.
const ROWS: usize = 1000;
/// The first back-off of the breaker, in pauses between sweeps.
const BACK_OFF: u32 = 2;

/// What the sweeper has done, for others to see.
#[derive(Debug)]
pub(crate) struct SweepFigures(Mutex<Figures>);

#[derive(Clone, Copy, Debug)]
struct Figures {
    sweeps: Sweeps,
    negative_entries: usize,
    /// Made by a test: each slice takes so much longer.
    slowdown: Duration,
}

impl SweepFigures {
    pub(super) fn new() -> Self {
        let sweeps =
            Sweeps { count: 0, expired: 0, last_ms: 0.0, longest_slice_us: 0.0, breaker: status::Breaker::Closed };
        SweepFigures(Mutex::new(Figures { sweeps, negative_entries: 0, slowdown: Duration::ZERO }))
    }

    pub(super) fn sweeps(&self) -> Sweeps {
        self.0.lock().sweeps
    }

    /// As the last whole sweep counted them.
    pub(super) fn negative_entries(&self) -> usize {
        self.0.lock().negative_entries
    }

    pub(super) fn slow_down(&self, by: Duration) {
        self.0.lock().slowdown = by;
    }
}

/// The thread; it stops when this is dropped.
pub(super) struct Sweeper {
    stop: Option<Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Sweeper {
    pub(super) fn start(app: Arc<App>) -> anyhow::Result<Self> {
        let (stop, stopped) = crossbeam_channel::bounded(0);
        let runtime = Handle::current();
        let breaker = Breaker::new(app.args.sweep_slo, app.args.sweep_every * BACK_OFF);
        let work = Work { app, breaker, stopped };
        let thread = thread::Builder::new().name("sweeper".into()).spawn(move || work.run(&runtime))?;
        Ok(Sweeper { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the sweeper panicked");
        }
    }
}

struct Work {
    app: Arc<App>,
    breaker: Breaker,
    stopped: Receiver<()>,
}

impl Work {
    fn run(mut self, runtime: &Handle) {
        while self.pauses(self.app.args.sweep_every) {
            self.sweep();
            self.delete_rows(runtime);
        }
    }

    /// Deletes expired rows, in as many statements as it takes.
    fn delete_rows(&self, runtime: &Handle) {
        loop {
            match runtime.block_on(self.app.in_time(self.app.store.delete_expired(ROWS))) {
                Ok(ROWS) if self.pauses(self.app.args.sweep_slice) => {}
                Ok(_) => return,
                Err(error) => return tracing::warn!("expired rows were not deleted: {error}"),
            }
        }
    }

    /// False if it was stopped meanwhile.
    fn pauses(&self, time: Duration) -> bool {
        matches!(self.stopped.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }

    /// Sweeps, unless the breaker is open, or opens it and stops short.
    fn sweep(&mut self) {
        let begin = Instant::now();
        if !self.breaker.permits(begin) {
            return;
        }
        let mut negative = 0;
        let mut from = Some(Cursor::default());
        while let Some(cursor) = from {
            let Slice { expired, negative: seen, rest } = self.slice(cursor);
            negative += seen;
            self.app.sweeps.0.lock().sweeps.expired += expired as u64;
            if self.breaker.state() == status::Breaker::Open {
                tracing::warn!(
                    "a slice of a sweep took longer than {:?}: sweeps are suspended",
                    self.app.args.sweep_slo
                );
                return;
            }
            // As long a pause as the slice was: no more than half a core goes into sweeps.
            if rest.is_some() && !self.pauses(self.app.args.sweep_slice) {
                return;
            }
            from = rest;
        }
        let mut figures = self.app.sweeps.0.lock();
        figures.negative_entries = negative;
        figures.sweeps.count += 1;
        figures.sweeps.last_ms = begin.elapsed().as_secs_f64() * 1e3;
    }

    fn slice(&mut self, from: Cursor) -> Slice {
        let slowdown = self.app.sweeps.0.lock().slowdown;
        self.app.sweeps.0.lock().sweeps.breaker = self.breaker.state();
        let begin = Instant::now();
        let slice = self.app.cache.sweep(Moment::now(), self.app.args.sweep_slice, from);
        thread::sleep(slowdown);
        let took = begin.elapsed();
        self.breaker.record(begin, took);
        metrics::histogram!(super::metrics::SLICE).record(took);
        let sweeps = &mut self.app.sweeps.0.lock().sweeps;
        sweeps.longest_slice_us = sweeps.longest_slice_us.max(took.as_secs_f64() * 1e6);
        sweeps.breaker = self.breaker.state();
        slice
    }
}
