//! Threads that start together and work for some time, or for some number of steps.
//!
//! Made of `spawn`, `join` and atomics of this module alone: ThreadSanitizer sees the program without the standard
//! library's own code, and what that synchronises with elsewhere it would take for races.

use std::any::Any;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::common::Random;

/// How much is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Amount {
    Time(Duration),
    Steps(u64),
}

/// What the command line says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) threads: usize,
    pub(crate) keys: u64,
    pub(crate) seed: u64,
    pub(crate) amount: Amount,
}

impl Settings {
    /// The same with a part of the work, for scenarios in several forms.
    pub(crate) fn part(mut self, parts: u32) -> Self {
        self.amount = match self.amount {
            Amount::Time(time) => Amount::Time(time / parts),
            Amount::Steps(steps) => Amount::Steps(steps / u64::from(parts) + 1),
        };
        self
    }

    /// The same, for a loop each turn of which takes as long as `steps` steps of a thread.
    pub(crate) fn by(mut self, steps: u64) -> Self {
        if let Amount::Steps(all) = &mut self.amount {
            *all = *all / steps + 1;
        }
        self
    }

    pub(crate) fn pace(&self) -> Pace {
        Pace { amount: self.amount, start: Instant::now(), steps: 0 }
    }
}

/// Says when it is time to stop.
pub(crate) struct Pace {
    amount: Amount,
    start: Instant,
    steps: u64,
}

impl Pace {
    pub(crate) fn goes_on(&mut self) -> bool {
        self.steps += 1;
        match self.amount {
            Amount::Steps(steps) => self.steps <= steps,
            Amount::Time(time) => self.start.elapsed() < time,
        }
    }
}

/// What a thread of a crew knows of itself.
pub(crate) struct Worker {
    pub(crate) id: usize,
    pub(crate) random: Random,
    pace: Pace,
}

impl Worker {
    pub(crate) fn new(settings: &Settings, id: usize) -> Self {
        let seed = settings.seed.wrapping_mul(1_000_003).wrapping_add(id as u64);
        Worker { id, random: Random::new(seed), pace: settings.pace() }
    }

    pub(crate) fn goes_on(&mut self) -> bool {
        self.pace.goes_on()
    }

    /// Every other thread rests now and then, for long enough that what it has just looked at is replaced and freed.
    ///
    /// If it went on at once, its next guard would order what it saw under the last one too.
    pub(crate) fn rest_sometimes(&mut self) {
        if self.id.is_multiple_of(2) && self.one_in(16) {
            thread::sleep(Duration::from_millis(self.below(20)));
        }
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// Runs `work` on every thread of the settings; passes on the first panic when all have ended.
pub(crate) fn crew<S, W>(settings: &Settings, state: &Arc<S>, work: W)
where
    S: Send + Sync + 'static,
    W: Fn(&S, Worker) + Copy + Send + 'static,
{
    launch(settings, state, 0..settings.threads, work).join();
}

/// Starts one thread for each of `ids`.
pub(crate) fn launch<S, W>(
    settings: &Settings,
    state: &Arc<S>,
    ids: impl ExactSizeIterator<Item = usize>,
    work: W,
) -> Crew
where
    S: Send + Sync + 'static,
    W: Fn(&S, Worker) + Copy + Send + 'static,
{
    let missing = Arc::new(AtomicUsize::new(ids.len()));
    let start = |id| {
        let (settings, state, missing) = (*settings, Arc::clone(state), Arc::clone(&missing));
        thread::spawn(move || {
            // Relaxed: the threads are to start at one time, not to be ordered by it.
            missing.fetch_sub(1, Relaxed);
            while missing.load(Relaxed) > 0 {
                thread::yield_now();
            }
            work(&state, Worker::new(&settings, id));
        })
    };
    Crew { threads: ids.map(start).collect(), _missing: missing }
}

/// Threads that were started together.
#[derive(Default)]
pub(crate) struct Crew {
    threads: Vec<JoinHandle<()>>,
    /// Freed when all are joined: the fence by which an `Arc` orders that is one of those that ThreadSanitizer misses.
    _missing: Arc<AtomicUsize>,
}

impl Crew {
    /// Waits for the end of all, then passes on the first panic.
    pub(crate) fn join(self) {
        if let Some(panic) = self.ends().next() {
            resume_unwind(panic);
        }
    }

    /// Waits for the end of all, and returns what those that panicked did so with.
    pub(crate) fn ends(self) -> impl Iterator<Item = Box<dyn Any + Send>> {
        let ends: Vec<_> = self.threads.into_iter().map(JoinHandle::join).collect();
        ends.into_iter().filter_map(Result::err)
    }
}
