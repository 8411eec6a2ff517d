//! Threads that start together, each on its own core where there are enough.

use core_affinity::CoreId;
use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// The cores that this process may use.
#[derive(Clone, Debug)]
pub struct Cores(Vec<CoreId>);

impl Cores {
    /// Asks the system. Call it before the first [`Cores::pin`], which narrows what the system answers.
    pub fn available() -> Self {
        Self(core_affinity::get_core_ids().unwrap_or_default())
    }

    /// How many there are; 0 if the system doesn't say.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Binds the calling thread to a core, counted from the last, since the first often serves interrupts.
    /// Without effect where the system doesn't support it.
    pub fn pin(&self, index: usize) {
        if let Some(core) = self.0.iter().rev().cycle().nth(index) {
            core_affinity::set_for_current(*core);
        }
    }
}

/// How often the system has taken the processor from the calling thread, if it says.
pub fn preemptions() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?;
    line.trim().parse().ok()
}

/// One thread's share of a round.
pub trait Worker: Send {
    /// What it measured.
    type Figure: Send;

    /// Brings caches and thread-local state into shape; not measured.
    fn warm_up(&mut self);

    /// Works until `stop` is true. Does something even if it is from the start, as it is for a thread that gets its
    /// core late: there is no figure of nothing.
    fn work(&mut self, stop: &AtomicBool) -> Self::Figure;
}

/// What one thread did and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Share<F> {
    /// What the worker measured.
    pub figure: F,
    /// From the common start to the worker's return.
    pub elapsed: Duration,
}

/// Runs every worker on a thread of its own, all starting together, for about `duration`.
pub fn race<W: Worker>(cores: &Cores, duration: Duration, workers: Vec<W>) -> Vec<Share<W::Figure>> {
    let stop = AtomicBool::new(false);
    let barrier = Barrier::new(workers.len() + 1);
    std::thread::scope(|scope| {
        let (stop, barrier) = (&stop, &barrier);
        let threads: Vec<_> = workers
            .into_iter()
            .enumerate()
            .map(|(index, mut worker)| {
                scope.spawn(move || {
                    cores.pin(index);
                    worker.warm_up();
                    barrier.wait();
                    let start = Instant::now();
                    let figure = worker.work(stop);
                    Share { figure, elapsed: start.elapsed() }
                })
            })
            .collect();
        barrier.wait();
        std::thread::sleep(duration);
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().expect("a worker panicked")).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter;

    impl Worker for Counter {
        type Figure = u64;

        fn warm_up(&mut self) {}

        fn work(&mut self, stop: &AtomicBool) -> u64 {
            let mut count = 0;
            loop {
                count += 1;
                if stop.load(Ordering::Relaxed) {
                    return count;
                }
            }
        }
    }

    #[test]
    fn all_workers_run_until_they_are_stopped() {
        let duration = Duration::from_millis(20);
        let shares = race(&Cores::available(), duration, vec![Counter, Counter]);
        assert_eq!(shares.len(), 2);
        assert!(shares.iter().all(|share| share.elapsed < Duration::from_secs(60)));
        assert!(shares.iter().all(|share| share.figure > 0));
    }
}
