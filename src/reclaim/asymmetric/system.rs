//! What the epoch asks of the kernel and of the clock.

use std::time::Instant;

use crate::sync::{OnceLock, Ordering, figure, stripes};

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod kernel;
#[cfg(windows)]
#[path = "windows.rs"]
mod kernel;

pub(super) use kernel::{barrier, has_barrier};

/// Microseconds after which the next request to move the epoch is granted.
///
/// A barrier takes about ten microseconds of each running thread's time where processors are virtual, and one or two where
/// they are not: this is the shortest interval that costs readers about one part in a hundred there (`preset barriers` of
/// the benchmarks).
const INTERVAL: u64 = 1000;

/// Requests, for each stripe of threads, after which one is granted although it comes sooner. By stripe because an
/// advance costs every core something.
const SKIPS_PER_STRIPE: usize = 4;

/// Whether the epoch has been moved so long ago, or so many have asked since, that it should be moved again.
pub(super) fn is_worth_a_barrier() -> bool {
    static START: OnceLock<Instant> = OnceLock::new();
    static LAST: figure::AtomicU64 = figure::AtomicU64::new(0);
    static SKIPPED: figure::AtomicUsize = figure::AtomicUsize::new(0);

    let now = u64::try_from(START.get_or_init(Instant::now).elapsed().as_micros()).unwrap_or(u64::MAX);
    // Relaxed, all four: they decide how often to try, and nothing else follows from them.
    let many = SKIPPED.fetch_add(1, Ordering::Relaxed) >= SKIPS_PER_STRIPE * stripes();
    if !many && now.saturating_sub(LAST.load(Ordering::Relaxed)) < INTERVAL {
        return false;
    }
    SKIPPED.store(0, Ordering::Relaxed);
    LAST.store(now, Ordering::Relaxed);
    true
}
