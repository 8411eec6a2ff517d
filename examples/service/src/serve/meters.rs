//! Counts and latencies of requests.
//!
//! Each thread counts in a shard of its own, so that requests do not contend for a cache line. Once a second the shards
//! are emptied into the totals, into the series of `/status.json` and into the histograms of `/metrics`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::status::{Latency, Second, Totals};

/// Seconds that the series goes back.
const HISTORY: usize = 300;
const LONGEST: Duration = Duration::from_secs(60);

/// What became of a request for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered from the cache.
    Hit,
    /// The cache knew that there is nothing.
    NegativeHit,
    /// Answered by a load.
    Miss,
    /// A write that was made.
    Write,
    /// A status of 4xx or 5xx, other than for an absent key.
    Refused,
}

impl Outcome {
    pub(crate) const ALL: [Outcome; 5] =
        [Outcome::Hit, Outcome::NegativeHit, Outcome::Miss, Outcome::Write, Outcome::Refused];

    fn label(self) -> &'static str {
        match self {
            Outcome::Hit => "hit",
            Outcome::NegativeHit => "negative_hit",
            Outcome::Miss => "miss",
            Outcome::Write => "write",
            Outcome::Refused => "refused",
        }
    }
}

/// In nanoseconds, with an error of at most one per cent.
type Latencies = [Histogram<u64>; Outcome::ALL.len()];

fn latencies() -> anyhow::Result<Latencies> {
    let longest = u64::try_from(LONGEST.as_nanos())?;
    let empty = Histogram::new_with_bounds(1, longest, 2)?;
    Ok(std::array::from_fn(|_| empty.clone()))
}

pub(crate) struct Meters {
    shards: Vec<CachePadded<Mutex<Latencies>>>,
    past: Mutex<Past>,
    loads: AtomicU64,
    load_failures: AtomicU64,
}

/// What the shards were emptied into.
struct Past {
    counts: [u64; Outcome::ALL.len()],
    /// Empty between two ticks; shards are swapped with it, so that they are held briefly.
    spare: Latencies,
    last: Latency,
    series: VecDeque<Second>,
    promotions: u64,
    published: [metrics::Histogram; Outcome::ALL.len()],
}

/// Gauges at the end of a second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gauges {
    /// Since the start.
    pub(crate) promotions: u64,
    pub(crate) resident_bytes: usize,
    pub(crate) entries: usize,
}

impl Meters {
    /// For `threads` that serve. Registers with the recorder of metrics that is installed.
    pub(crate) fn new(threads: usize) -> anyhow::Result<Self> {
        let shards = (0..threads).map(|_| latencies().map(|empty| CachePadded::new(Mutex::new(empty))));
        let published =
            Outcome::ALL.map(|outcome| metrics::histogram!(super::metrics::LATENCY, "outcome" => outcome.label()));
        let past = Past {
            counts: Default::default(),
            spare: latencies()?,
            last: Latency::default(),
            series: VecDeque::with_capacity(HISTORY),
            promotions: 0,
            published,
        };
        Ok(Meters {
            shards: shards.collect::<anyhow::Result<_>>()?,
            past: Mutex::new(past),
            loads: AtomicU64::new(0),
            load_failures: AtomicU64::new(0),
        })
    }

    pub(crate) fn request(&self, outcome: Outcome, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.shards[shard() % self.shards.len()].lock()[outcome as usize].saturating_record(nanos);
    }

    /// Begins a load, which fails unless it is said to have succeeded: it may be given up in the middle.
    pub(crate) fn load(&self) -> Loading<'_> {
        self.loads.fetch_add(1, Relaxed);
        Loading { failures: &self.load_failures }
    }

    pub(crate) fn totals(&self) -> Totals {
        // Held throughout, so that no tick moves counts from where they were not looked for yet to where they were.
        let past = self.past.lock();
        let mut counts = past.counts;
        for shard in &self.shards {
            for (count, latencies) in counts.iter_mut().zip(shard.lock().iter()) {
                *count += latencies.len();
            }
        }
        let of = |outcome: Outcome| counts[outcome as usize];
        Totals {
            requests: counts.iter().sum(),
            hits: of(Outcome::Hit),
            negative_hits: of(Outcome::NegativeHit),
            misses: of(Outcome::Miss),
            loads: self.loads.load(Relaxed),
            load_failures: self.load_failures.load(Relaxed),
        }
    }

    /// Of the second before the last tick.
    pub(crate) fn latency(&self) -> Latency {
        self.past.lock().last
    }

    pub(crate) fn series(&self) -> Vec<Second> {
        self.past.lock().series.iter().copied().collect()
    }

    /// Ends a second, which began `span` ago; `t` is its number.
    pub(crate) fn tick(&self, t: u64, span: Duration, gauges: Gauges) -> anyhow::Result<()> {
        let past = &mut *self.past.lock();
        let mut seconds = latencies()?;
        for shard in &self.shards {
            std::mem::swap(&mut *shard.lock(), &mut past.spare);
            for (sum, spare) in seconds.iter_mut().zip(&mut past.spare) {
                sum.add(&*spare)?;
                spare.reset();
            }
        }
        let mut all = Histogram::new_from(&seconds[0]);
        for ((latencies, count), published) in seconds.iter().zip(&mut past.counts).zip(&past.published) {
            *count += latencies.len();
            all.add(latencies)?;
            for step in latencies.iter_recorded() {
                let times = usize::try_from(step.count_at_value())?;
                published.record_many(Duration::from_nanos(step.value_iterated_to()), times);
            }
        }
        let of = |outcome: Outcome| seconds[outcome as usize].len();
        let hits = of(Outcome::Hit) + of(Outcome::NegativeHit);
        let reads = hits + of(Outcome::Miss);
        past.last = Latency::of(&all);
        if past.series.len() == HISTORY {
            past.series.pop_front();
        }
        past.series.push_back(Second {
            t,
            rate: all.len() as f64 / span.as_secs_f64().max(f64::EPSILON),
            hit_rate: if reads == 0 { 0.0 } else { hits as f64 / reads as f64 },
            p50_us: past.last.p50,
            p99_us: past.last.p99,
            p999_us: past.last.p999,
            promotions: gauges.promotions - past.promotions,
            resident_bytes: gauges.resident_bytes,
            entries: gauges.entries,
        });
        past.promotions = gauges.promotions;
        Ok(())
    }
}

pub(crate) struct Loading<'a> {
    failures: &'a AtomicU64,
}

impl Loading<'_> {
    pub(crate) fn succeeded(self) {
        std::mem::forget(self);
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.failures.fetch_add(1, Relaxed);
    }
}

impl Latency {
    fn of(nanos: &Histogram<u64>) -> Self {
        let at = |quantile| nanos.value_at_quantile(quantile) as f64 / 1e3;
        Latency { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: nanos.max() as f64 / 1e3 }
    }
}

/// The number of this thread.
fn shard() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static THREAD: usize = THREADS.fetch_add(1, Relaxed));
    THREAD.with(|thread| *thread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_stay_over_a_tick_and_the_second_is_summed_up() {
        let meters = Meters::new(2).unwrap();
        for micros in 1..=100 {
            meters.request(Outcome::Hit, Duration::from_micros(micros));
        }
        meters.request(Outcome::Miss, Duration::from_secs(3600));
        let before = meters.totals();
        let gauges = Gauges { promotions: 3, resident_bytes: 7, entries: 11 };
        meters.tick(1, Duration::from_secs(2), gauges).unwrap();
        assert_eq!((before.requests, before.hits, before.misses), (101, 100, 1));
        assert_eq!(meters.totals().requests, 101);
        let second = meters.series()[0];
        assert_eq!((second.t, second.promotions, second.resident_bytes, second.entries), (1, 3, 7, 11));
        assert!((second.rate - 50.5).abs() < 1e-9);
        assert!((second.hit_rate - 100.0 / 101.0).abs() < 1e-9);
        assert!((50.0..53.0).contains(&second.p50_us), "{second:?}");
        assert!(meters.latency().max > 5.9e7);
        meters.tick(2, Duration::from_secs(1), gauges).unwrap();
        assert_eq!(meters.series()[1].promotions, 0);
        assert_eq!(meters.latency().max, 0.0);
    }

    #[test]
    fn a_load_that_is_given_up_has_failed() {
        let meters = Meters::new(1).unwrap();
        meters.load().succeeded();
        drop(meters.load());
        assert_eq!((meters.totals().loads, meters.totals().load_failures), (2, 1));
    }

    #[test]
    fn the_series_goes_back_for_so_long_and_no_longer() {
        let meters = Meters::new(1).unwrap();
        for t in 0..HISTORY as u64 + 5 {
            meters.tick(t, Duration::from_secs(1), Gauges::default()).unwrap();
        }
        let series = meters.series();
        assert_eq!((series.len(), series[0].t), (HISTORY, 5));
    }
}
