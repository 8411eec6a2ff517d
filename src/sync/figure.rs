//! Atomics for figures and hints: numbers that are reported, or that say when to do something optional.
//!
//! No memory is published with them and nothing is wrong whatever they say, so model checkers do not branch at them:
//! they are those of the standard library in every build.

use std::time::Duration;

use super::Ordering;

pub(crate) use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, AtomicUsize};

/// The longest of many times.
#[derive(Default)]
pub(crate) struct Longest(AtomicU64);

impl Longest {
    pub(crate) const fn new() -> Self {
        Longest(AtomicU64::new(0))
    }

    pub(crate) fn note(&self, time: Duration) {
        let nanos = nanos(time);
        // Relaxed, both: a figure; looked at first so that threads seldom write to the line they share.
        if nanos > self.0.load(Ordering::Relaxed) {
            self.0.fetch_max(nanos, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self) -> Duration {
        // Relaxed: partner of the `fetch_max` in `note`; a figure.
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// A time as meters keep it: 584 years are the most that fits.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
