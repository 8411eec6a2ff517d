//! The time of single operations.

use hdrhistogram::Histogram;
use quanta::Clock;
use serde::Serialize;

/// The longest latency that is told apart from longer ones.
const LONGEST_NS: u64 = 60_000_000_000;

/// Times single operations by the processor's time-stamp counter where it is reliable, else by the monotonic clock.
///
/// Nothing is subtracted: a figure includes the two readings of the clock, the same for every contender.
#[derive(Clone, Debug)]
pub struct Stopwatch {
    clock: Clock,
}

impl Default for Stopwatch {
    fn default() -> Self {
        Self { clock: Clock::new() }
    }
}

impl Stopwatch {
    /// The nanoseconds that `operation` takes, and what it returned.
    #[inline]
    pub fn time<R>(&self, operation: impl FnOnce() -> R) -> (u64, R) {
        let start = self.stamp();
        let result = operation();
        let end = self.stamp();
        (self.clock.delta_as_nanos(start, end), result)
    }

    /// The nanoseconds from a [`Stopwatch::stamp`] until now.
    #[inline]
    pub fn ns_since(&self, stamp: u64) -> u64 {
        self.clock.delta_as_nanos(stamp, self.stamp())
    }

    /// A reading that no earlier load is still pending at, and that no later one starts before.
    #[inline]
    pub fn stamp(&self) -> u64 {
        fence();
        let stamp = self.clock.raw();
        fence();
        stamp
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[allow(unsafe_code)]
fn fence() {
    // SAFETY: SSE2, which has this instruction, is part of every x86-64 processor.
    unsafe { core::arch::x86_64::_mm_lfence() };
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn fence() {
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
}

/// The distribution of some latencies.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("bounds and precision are valid"))
    }
}

impl Latencies {
    /// Adds one.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have the same bounds");
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The longest, in nanoseconds.
    pub fn max(&self) -> u64 {
        self.0.max()
    }

    /// The latency that `share` (0 to 1) of the operations do not exceed, in nanoseconds.
    pub fn quantile(&self, share: f64) -> u64 {
        self.0.value_at_quantile(share)
    }

    /// The share (0 to 1) of latencies that are at most so many nanoseconds.
    pub fn quantile_below(&self, ns: u64) -> f64 {
        self.0.quantile_below(ns)
    }

    /// The figures that matter, in nanoseconds.
    pub fn percentiles(&self) -> Percentiles {
        Percentiles {
            operations: self.0.len(),
            p50: self.quantile(0.5),
            p99: self.quantile(0.99),
            p99_9: self.quantile(0.999),
            p99_99: self.quantile(0.9999),
            max: self.0.max(),
        }
    }
}

/// Percentiles of a latency distribution, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Percentiles {
    pub operations: u64,
    pub p50: u64,
    pub p99: u64,
    pub p99_9: u64,
    pub p99_99: u64,
    pub max: u64,
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p99, p99_9, p99_99, max] =
            [self.p50, self.p99, self.p99_9, self.p99_99, self.max].map(|ns| crate::document::duration(ns as f64));
        write!(f, "P50 {p50}, P99 {p99}, P99.9 {p99_9}, P99.99 {p99_99}, max {max}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_sleep_is_timed() {
        let (ns, answer) = Stopwatch::default().time(|| {
            std::thread::sleep(Duration::from_millis(5));
            42
        });
        assert_eq!(answer, 42);
        assert!((5_000_000..5_000_000_000).contains(&ns), "{ns} ns");
    }

    #[test]
    fn percentiles_are_those_of_all_that_was_merged() {
        let (mut fast, mut slow) = (Latencies::default(), Latencies::default());
        (0..990).for_each(|_| fast.record(100));
        (0..10).for_each(|_| slow.record(1_000));
        fast.merge(&slow);
        let percentiles = fast.percentiles();
        assert_eq!((percentiles.p50, percentiles.p99, percentiles.p99_9), (100, 100, 1_000));
        assert_eq!((percentiles.max, percentiles.operations), (1_000, 1_000));
    }
}
