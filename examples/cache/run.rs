//! The run: starts the threads on an empty cache, and sums up what they did.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::args::Config;
use crate::evict::Evictor;
use crate::maps::{Cache, MapStats};
use crate::progress::Progress;
use crate::worker::{Tally, Worker};
use crate::workload::Workload;

pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) elapsed: Duration,
    pub(crate) entries: usize,
    pub(crate) peak: usize,
    pub(crate) clock_cost: Duration,
    pub(crate) stats: Option<MapStats>,
}

impl Outcome {
    /// The cache counts what it does, which tells on a map that loses, doubles or mixes up entries.
    pub(crate) fn broken_invariant(&self) -> Option<String> {
        let Tally { added, evicted, foreign, .. } = self.tally;
        if foreign > 0 {
            return Some(format!("{foreign} hits returned the value of another key; expected none"));
        }
        let expected = added.checked_sub(evicted);
        (expected != Some(self.entries as u64)).then(|| {
            format!("the map has {} entries; expected the {added} added less the {evicted} evicted", self.entries)
        })
    }
}

/// Runs the workload on an empty cache, until the time is over or exactly once through.
pub(crate) fn run<C: Cache>(
    cache: &C,
    config: &Config,
    workload: &Workload,
    capacity: usize,
) -> Result<Outcome, String> {
    let clock_cost = crate::latency::clock_cost();
    let evictor = Evictor::new(capacity, config.threads);
    let (tally, elapsed) = run_threads(cache, &evictor, config, workload)?;
    Ok(Outcome {
        tally,
        elapsed,
        entries: cache.entries(),
        peak: evictor.peak().max(cache.entries()),
        clock_cost,
        stats: cache.stats(),
    })
}

fn run_threads<C: Cache>(
    cache: &C,
    evictor: &Evictor,
    config: &Config,
    workload: &Workload,
) -> Result<(Tally, Duration), String> {
    let progress = &Progress::of(workload.streams.len());
    let repeat = config.duration.is_some();
    // Held until all threads exist: none has the cache for itself.
    let gate = &Mutex::new(());
    thread::scope(|scope| {
        let closed = gate.lock();
        let mut handles = Vec::with_capacity(workload.streams.len());
        for (number, stream) in workload.streams.iter().enumerate() {
            let signals = progress.signals(number);
            let work = move || {
                let mut worker = Worker::new(cache, evictor, workload, config);
                drop(gate.lock());
                let start = Instant::now();
                worker.replay(stream, repeat, &signals);
                (worker.tally, start, Instant::now())
            };
            let spawned = thread::Builder::new().spawn_scoped(scope, work);
            handles.push(spawned.map_err(|error| {
                progress.stop();
                format!("--threads {}: {error}; expected to start as many", config.threads)
            })?);
        }
        drop(closed);
        progress.watch(config.duration, workload.accesses());
        let join = |handle: thread::ScopedJoinHandle<'_, _>| {
            handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        Ok(sum_up(handles.into_iter().map(join)))
    })
}

/// Everything counted, and the time from the first start to the last end.
fn sum_up(counted: impl Iterator<Item = (Tally, Instant, Instant)>) -> (Tally, Duration) {
    let mut total = Tally::new();
    let mut span: Option<(Instant, Instant)> = None;
    for (tally, start, end) in counted {
        total.merge(&tally);
        let (first, last) = span.unwrap_or((start, end));
        span = Some((first.min(start), last.max(end)));
    }
    let elapsed = span.map_or(Duration::ZERO, |(first, last)| last - first);
    // The shortest trace may take less than the clock can tell.
    (total, elapsed.max(Duration::from_nanos(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(entries: usize, count: impl Fn(&mut Tally)) -> Outcome {
        let mut tally = Tally::new();
        count(&mut tally);
        let (elapsed, clock_cost) = (Duration::from_secs(1), Duration::ZERO);
        Outcome { tally, elapsed, entries, peak: entries, clock_cost, stats: None }
    }

    #[test]
    fn lost_doubled_and_mixed_up_entries_are_noticed() {
        let whole = outcome(3, |tally| (tally.added, tally.evicted) = (5, 2));
        assert_eq!(whole.broken_invariant(), None);
        let lost = outcome(2, |tally| (tally.added, tally.evicted) = (5, 2));
        let doubled = outcome(0, |tally| (tally.added, tally.evicted) = (1, 2));
        let mixed_up = outcome(0, |tally| tally.foreign = 1);
        for broken in [lost, doubled, mixed_up] {
            assert!(broken.broken_invariant().is_some_and(|message| message.contains("expected")));
        }
    }

    #[test]
    fn the_time_is_from_the_first_start_to_the_last_end() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let tally = |hits| Tally { hits, ..Tally::new() };
        let runs = [(tally(1), at(5), at(20)), (tally(2), at(3), at(10))];
        let (total, elapsed) = sum_up(runs.into_iter());
        assert_eq!((total.hits, elapsed), (3, Duration::from_millis(17)));
    }
}
