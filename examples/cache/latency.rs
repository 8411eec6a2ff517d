//! Latencies of one kind of operation.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// A histogram with three significant digits that grows as far as the slowest operation.
#[derive(Debug)]
pub(crate) struct Latency(Histogram<u64>);

/// What the report shows of it, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quantiles {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) p99_9: u64,
    pub(crate) max: u64,
}

impl Latency {
    pub(crate) fn new() -> Self {
        Latency(Histogram::new(3).expect("three digits are supported"))
    }

    pub(crate) fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.record(nanos).expect("the histogram grows as needed");
    }

    pub(crate) fn merge(&mut self, other: &Latency) {
        self.0.add(&other.0).expect("the histogram grows as needed");
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// `None` if nothing was recorded.
    pub(crate) fn quantiles(&self) -> Option<Quantiles> {
        let at = |quantile| self.0.value_at_quantile(quantile);
        (!self.0.is_empty()).then(|| Quantiles { p50: at(0.5), p99: at(0.99), p99_9: at(0.999), max: self.0.max() })
    }
}

/// What two looks at the clock cost, which every recorded latency includes: the median of many pairs.
pub(crate) fn clock_cost() -> Duration {
    let mut pairs: Vec<Duration> = (0..10_001)
        .map(|_| {
            let start = Instant::now();
            start.elapsed()
        })
        .collect();
    let middle = pairs.len() / 2;
    *pairs.select_nth_unstable(middle).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_merged_histograms() {
        let (mut low, mut high) = (Latency::new(), Latency::new());
        assert_eq!(low.quantiles(), None);
        (0..990).for_each(|_| low.record(Duration::from_nanos(100)));
        (0..9).for_each(|_| high.record(Duration::from_micros(1)));
        high.record(Duration::from_secs(3));
        low.merge(&high);
        let Quantiles { p50, p99, p99_9, max } = low.quantiles().unwrap();
        assert_eq!((low.count(), p50, p99), (1000, 100, 100));
        assert!((1000..=1001).contains(&p99_9), "{p99_9}");
        assert!((3_000_000_000..=3_003_000_000).contains(&max), "{max}");
    }
}
